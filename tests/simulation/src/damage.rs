//! What a bit that flips may cost.

use crate::collector::markers;
use refrain::journal::segment::{Found, Records};
use std::path::Path;

/// The records that a queue's file has lost with a bit that flipped in it. `None` where that may cost more than the records
/// that stood there: it is no queue's file, or who writes to it goes on behind a header that nobody can read.
pub fn lost(path: &Path, before: &[u8], after: &[u8]) -> Option<Vec<u64>> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".log.bad") || name.ends_with(".log.tmp") {
        return Some(Vec::new());
    }
    if !name.ends_with(".log") {
        return None;
    }
    let (before, after) = (Records::new(before)?, Records::new(after)?);
    let (whole, left) = (events(before), events(after));
    let lost: Vec<_> = whole.into_iter().filter(|record| !left.contains(record)).collect();
    assert!(lost.len() <= 1, "damage costs more than the record that it hits: {lost:?}");
    Some(lost.iter().flat_map(|record| markers(record)).collect())
}

fn events(records: Records<'_>) -> Vec<&str> {
    let text = |found| match found {
        Found::Record { payload, .. } => std::str::from_utf8(payload).ok(),
        Found::Damage { .. } => None,
    };
    records.filter_map(text).collect()
}
