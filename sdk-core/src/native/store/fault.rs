//! What the operating system says, in the engine's words.

use crate::engine::StoreFault;
use std::io::{Error, ErrorKind};

/// The fault that an I/O error stands for.
pub(super) fn fault(error: &Error) -> StoreFault {
    match error.kind() {
        // A file size limit (`ulimit -f`) is a quota under another name.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreFault::Full,
        // A file may stand in the folder's place.
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied | ErrorKind::NotADirectory => {
            StoreFault::ReadOnly
        }
        _ => StoreFault::Other,
    }
}
