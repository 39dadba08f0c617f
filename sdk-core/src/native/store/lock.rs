//! File locks with a deadline: nobody waits for ever behind a process that was stopped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(in crate::native) struct Lock(File);

impl Lock {
    /// Takes the lock for itself.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where others did not let go in time; whatever opening the file brings.
    pub(super) fn exclusive(path: &Path, patience: Duration) -> io::Result<Self> {
        poll(open(path)?, patience, File::try_lock)
    }

    /// Takes the lock together with others.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub(super) fn shared(path: &Path, patience: Duration) -> io::Result<Self> {
        poll(open(path)?, patience, File::try_lock_shared)
    }

    /// [`Lock::exclusive`], but without a file there is nobody to exclude, and none is made.
    pub(super) fn exclusive_if_there(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => poll(file, patience, File::try_lock).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Lock::exclusive_if_there`], together with others.
    pub(super) fn shared_if_there(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => poll(file, patience, File::try_lock_shared).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock for itself if nobody holds it.
    pub(super) fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The locked file.
    pub(super) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, but not while a forked child still has the descriptor.
        let _ = self.0.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn poll(file: File, patience: Duration, take: fn(&File) -> Result<(), TryLockError>) -> io::Result<Lock> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(20);
    loop {
        match take(&file) {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(1));
            }
        }
    }
}
