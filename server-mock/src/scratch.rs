//! A folder of a unit test's own.

use std::path::{Path, PathBuf};

/// An empty folder, gone with its value.
pub struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Tests that run at the same time give different names.
    pub fn new(name: &str) -> ScratchFolder {
        let path = std::env::temp_dir().join(format!("refrain-scratch-{name}-{}", std::process::id()));
        // Left over from an earlier process of the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        ScratchFolder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
