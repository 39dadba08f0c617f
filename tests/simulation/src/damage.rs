//! What a bit that flips may cost.

use refrain::journal::segment::{Found, Records};
use std::path::Path;

/// What a queue has lost with a bit that flipped in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// The file holds no queue.
    Nothing,
    /// These records.
    Records(Vec<String>),
    /// The header: what stands behind it, and what will.
    Queue,
}

/// What a queue has lost with a bit that flipped in this file.
pub fn lost(path: &Path, before: &[u8], after: &[u8]) -> Lost {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.ends_with(".log") {
        return Lost::Nothing;
    }
    let (Some(before), Some(after)) = (Records::new(before), Records::new(after)) else { return Lost::Queue };
    let (whole, left) = (events(before), events(after));
    let lost: Vec<_> = whole.into_iter().filter(|record| !left.contains(record)).map(String::from).collect();
    assert!(lost.len() <= 1, "damage costs more than the record that it hits: {lost:?}");
    Lost::Records(lost)
}

fn events(records: Records<'_>) -> Vec<&str> {
    let text = |found| match found {
        Found::Record { payload, .. } => std::str::from_utf8(payload).ok(),
        Found::Damage { .. } => None,
    };
    records.filter_map(text).collect()
}
