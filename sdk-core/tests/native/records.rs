//! The two small records of a data folder, as they stand on disk.

use refrain::engine::ConsentRecord;
use refrain::journal::slot::{self, Slots};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Readings in a row that no writer outlasts.
const MANY: usize = 10_000;

/// The consent record that the next reader finds; the empty one where nothing stands.
pub fn consent(folder: &Path) -> ConsentRecord {
    let text = newest(folder, "consent");
    text.map_or_else(ConsentRecord::default, |text| ConsentRecord::decode(&text).expect(&text))
}

/// The device's secret, and who is known on it; `None` where no device exists.
pub fn identity(folder: &Path) -> Option<(String, Option<String>)> {
    let record: Value = serde_json::from_str(&newest(folder, "identity")?).unwrap();
    let text = |key: &str| record[key].as_str().map(str::to_owned);
    Some((text("secret")?, text("user")))
}

/// Somebody may be writing one of the two slots. What two readings in a row say is a content that has stood there.
fn newest(folder: &Path, name: &str) -> Option<String> {
    let mut before = read(folder, name);
    for _ in 0..MANY {
        let now = read(folder, name);
        if let (true, Ok(text)) = (now == before, &now) {
            return text.clone();
        }
        before = now;
    }
    panic!("{name} cannot be read, though nobody can be writing it so long");
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, ()> {
    let slot = |end: &str| {
        let end = format!(".{name}.{end}");
        let mut paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        fs::read(paths.find(|path| path.to_string_lossy().ends_with(&end))?).ok()
    };
    let (first, second) = (slot("a"), slot("b"));
    if second.is_none() && first.as_ref().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    // Its removal was cut off after the slot that held it: what is left was never whole.
    let is_removed = name == "identity" && first.is_none();
    match slot::newest(first.as_deref(), second.as_deref()) {
        Slots::Absent => Ok(None),
        Slots::Content { payload, .. } => Ok(Some(String::from_utf8(payload.to_vec()).unwrap())),
        Slots::Unreadable if is_removed => Ok(None),
        Slots::Unreadable => Err(()),
    }
}
