//! For tests: the real disk, behind somebody who is asked first and may refuse.

use super::disk::{Disk, DiskFile, FileLock, Files, Hold, Mode};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What is about to happen.
pub(super) enum Touch<'a> {
    /// A file is read or a folder is listed.
    Look(&'a Path),
    /// A file is opened to be written, written to, renamed or deleted.
    Change,
}

/// The disk, with whom to ask.
#[derive(Clone)]
pub(super) struct Guarded<F>(pub F);

impl<F> fmt::Debug for Guarded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl<F: Fn(Touch<'_>) -> io::Result<()> + Clone + 'static> Disk for Guarded<F> {
    type File = GuardedFile<F>;
    type Lock = FileLock;

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        self.0(Touch::Look(path))?;
        Files.read(path, most)
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<GuardedFile<F>> {
        self.0(Touch::Change)?;
        Ok(GuardedFile(self.clone(), Files.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0(Touch::Change)?;
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0(Touch::Change)?;
        Files.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.0(Touch::Change)?;
        Files.remove_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        self.0(Touch::Look(folder))?;
        Files.list(folder)
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

pub(super) struct GuardedFile<F>(Guarded<F>, File);

impl<F> fmt::Debug for GuardedFile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<F: Fn(Touch<'_>) -> io::Result<()>> DiskFile for GuardedFile<F> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Half of it stands there when the other half is refused.
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        for part in [half, rest] {
            self.0.0(Touch::Change)?;
            DiskFile::write_all(&mut self.1, part)?;
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.0(Touch::Change)?;
        DiskFile::set_len(&mut self.1, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        DiskFile::sync(&mut self.1)
    }
}

/// What the system says to a process that has no descriptor to spare.
pub(super) fn out_of_descriptors() -> io::Error {
    io::Error::from_raw_os_error(if cfg!(windows) { 4 } else { 24 })
}
