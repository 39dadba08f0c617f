//! For tests: the real disk, but for what nobody can look into.

use super::disk::{Disk, FileLock, Files, Hold, Mode};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Asked before a file is read or a folder is listed.
#[derive(Clone)]
pub(super) struct Blind<F>(pub F);

impl<F> fmt::Debug for Blind<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blind")
    }
}

impl<F: Fn(&Path) -> io::Result<()> + Clone + 'static> Disk for Blind<F> {
    type File = File;
    type Lock = FileLock;

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        self.0(path).and_then(|()| Files.read(path, most))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<File> {
        Files.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        Files.remove_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        self.0(folder).and_then(|()| Files.list(folder))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Files.len(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        Files.create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Files.sync_folder(path)
    }

    fn lock(&self, path: &Path, hold: Hold, make: bool, patience: Duration) -> io::Result<FileLock> {
        Files.lock(path, hold, make, patience)
    }

    fn note(&self, lock: &FileLock, text: &str) {
        Files.note(lock, text);
    }
}
