//! Locks on whole files, that end with their process.
//!
//! On Unix they are those of `flock(2)` itself. The standard library's are the same, but not on Android, where it says that
//! there are none (rust-lang/rust#148325): no choice could be written there.

use super::disk::Hold;
use std::fs::File;
use std::io;

/// Takes a lock without waiting for it; `false` if others hold it.
pub(super) fn try_take(file: &File, hold: Hold) -> io::Result<bool> {
    system::try_take(file, hold)
}

/// Lets go of it. To close the file would do, but not while a forked child still has the descriptor.
pub(super) fn let_go(file: &File) {
    system::let_go(file);
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library does not lock files everywhere")]
mod system {
    use super::{File, Hold, io};
    use std::os::fd::AsRawFd;

    // The same on all of them.
    const SHARED: i32 = 1;
    const EXCLUSIVE: i32 = 2;
    const WITHOUT_WAITING: i32 = 4;
    const NONE: i32 = 8;

    // SAFETY: as the manuals declare it.
    unsafe extern "C" {
        fn flock(descriptor: i32, operation: i32) -> i32;
    }

    fn ask(file: &File, operation: i32) -> io::Result<()> {
        // SAFETY: the descriptor is open as long as the file is borrowed; nothing else is touched.
        match unsafe { flock(file.as_raw_fd(), operation) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn try_take(file: &File, hold: Hold) -> io::Result<bool> {
        let kind = match hold {
            Hold::Shared => SHARED,
            Hold::Exclusive => EXCLUSIVE,
        };
        loop {
            match ask(file, kind | WITHOUT_WAITING) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn let_go(file: &File) {
        let _ = ask(file, NONE);
    }
}

#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "they are missing on Android alone, which is a Unix")]
mod system {
    use super::{File, Hold, io};
    use std::fs::TryLockError;

    pub(super) fn try_take(file: &File, hold: Hold) -> io::Result<bool> {
        let taken = match hold {
            Hold::Shared => file.try_lock_shared(),
            Hold::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn let_go(file: &File) {
        let _ = file.unlock();
    }
}
