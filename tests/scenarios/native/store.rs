//! What stands in a device's folder, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Every file below a folder, with its content; none where there is no folder.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop().filter(|folder| folder.exists()) {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                // One that is gone by now was not kept.
                found.push((path, bytes));
            }
        }
    }
    Ok(found)
}

/// Checks what the folder holds, and what the clients that run on it say in `audit()`.
pub fn check(word: &str, folder: &Path, audits: &[Value]) -> Result<()> {
    let full: Vec<String> = files(folder)?
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(path, _)| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let is_consent = |name: &String| name.contains(".consent.");
    let data: Vec<&String> = full.iter().filter(|name| !is_consent(name) && *name != "owner").collect();
    let recorded = full.iter().any(is_consent);
    let holds = match word {
        "untouched" => !folder.exists(),
        "nothing" => full.is_empty(),
        "consent" => recorded && data.is_empty(),
        "data" => !data.is_empty(),
        _ => bail!("`{word}` is no word for what is kept"),
    };
    ensure!(holds, "the folder holds {full:?}");
    for audit in audits {
        let anonymous = audit["ids"] == json!([null, null]);
        let quiet = audit["super_properties"] == json!([]) && audit["counts"] == json!([0, 0, 0]);
        let kinds = audit["files"].as_array().context("files")?;
        let consent = kinds.iter().any(|kind| kind == "consent");
        let data = kinds.iter().any(|kind| kind != "consent");
        let holds = match word {
            "consent" => anonymous && quiet && consent && !data,
            "data" => data,
            _ => anonymous && kinds.is_empty(),
        };
        ensure!(holds, "audit() lists {audit}");
    }
    Ok(())
}

/// Whether a text stands in a file or its name.
pub fn holds(folder: &Path, text: &str) -> Result<bool> {
    let in_bytes = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    Ok(files(folder)?.iter().any(|(path, bytes)| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        below.to_string_lossy().contains(text) || in_bytes(bytes)
    }))
}

/// Does something to both slots of the consent record.
pub fn hurt_consent(folder: &Path, hurt: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let mut slots = 0;
    for (path, _) in files(folder)? {
        if path.to_string_lossy().contains(".consent.") {
            slots += 1;
            hurt(&path)?;
        }
    }
    ensure!(slots == 2, "there are {slots} slots of a consent record");
    Ok(())
}

/// Makes a slot one that cannot be read.
pub fn damage(slot: &Path) -> Result<()> {
    let mut bytes = fs::read(slot)?;
    *bytes.last_mut().context("an empty slot")? ^= 0x10;
    Ok(fs::write(slot, bytes)?)
}
