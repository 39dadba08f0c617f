//! Whether the files that a store was opened with are still the ones at their paths: what is written into a file that was
//! deleted or replaced is gone with the process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The files of a store, by device and number; none of one in memory.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Identity)>);

type Identity = (u64, u64);

impl Files {
    /// The files of these names in a folder as they are now.
    pub fn of(folder: &Path, names: &[&str]) -> Result<Files, StoreError> {
        let seen = names.iter().map(|name| {
            let path = folder.join(name);
            identity(&path).map(|identity| (path, identity)).map_err(|error| StoreError::io(name, error))
        });
        seen.collect::<Result<_, _>>().map(Files)
    }

    /// Fails where one of them is gone or another one.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.0.iter().find(|(path, known)| identity(path).ok() != Some(*known)) {
            Some((path, _)) => Err(StoreError::damaged(format!(
                "{} was deleted or replaced while the server runs, so nothing would last; put it back or start anew",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}
