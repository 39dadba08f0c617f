//! The data folder of one test.

use crate::native::entropy::draw_array;
use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

/// A folder with a name that nobody can guess, for its owner only, deleted when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        let name = u128::from_be_bytes(draw_array());
        let path = std::env::temp_dir().join(format!("refrain-test-{name:032x}"));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
