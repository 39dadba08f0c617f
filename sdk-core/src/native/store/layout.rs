//! Where things stand in a data folder. Several projects may share one.
//!
//! ```text
//! <project>.consent.a .b     the person's choice, in two slots
//! <project>.identity.a .b    device, user, super properties, in two slots
//! <project>.lock             held while a record is changed, and while queues are taken over or deleted
//! <project>.send.lock        shared by whoever writes or sends, exclusive for a fence
//! queue/<project>-<instance>/owner                   locked while its process lives; holds the pid
//! queue/<project>-<instance>/0000000000000001.log    segments
//! queue/<project>-<instance>/0000000000000001.log.bad    damaged bytes, set aside
//! ```
//! `<project>` is a hash of the token, so that a file name does not show it.

use crate::engine::RecordName;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The paths of one project in one folder.
#[derive(Debug, Clone)]
pub(in crate::native) struct Layout {
    folder: PathBuf,
    project: String,
}

/// A file of an instance folder that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueFile {
    /// A segment and its number.
    Segment(u64),
    /// Bytes that were set aside, or the remains of a repair.
    Aside,
    /// The owner's lock.
    Owner,
}

impl Layout {
    pub(in crate::native) fn new(folder: PathBuf, token: &str) -> Self {
        // FNV-1a: not a secret, only a name that differs.
        let hash = token.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self { folder, project: format!("{:012x}", hash & 0xFFFF_FFFF_FFFF) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn slots(&self, name: RecordName) -> [PathBuf; 2] {
        let name = match name {
            RecordName::Consent => "consent",
            RecordName::Identity => "identity",
        };
        ["a", "b"].map(|slot| self.folder.join(format!("{}.{name}.{slot}", self.project)))
    }

    pub(super) fn record_lock(&self) -> PathBuf {
        self.folder.join(format!("{}.lock", self.project))
    }

    pub(super) fn sending_lock(&self) -> PathBuf {
        self.folder.join(format!("{}.send.lock", self.project))
    }

    pub(super) fn queues(&self) -> PathBuf {
        self.folder.join("queue")
    }

    /// The folder of a new instance.
    pub(super) fn instance(&self, id: [u8; 8]) -> PathBuf {
        self.queues().join(format!("{}-{:016x}", self.project, u64::from_be_bytes(id)))
    }

    /// This project's instance folders, sorted by name; none if there is no queue.
    pub(super) fn instances(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.queues()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = format!("{}-", self.project);
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix))
                && entry.file_type()?.is_dir()
            {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Makes the data folder, readable by its owner only.
    pub(super) fn create(&self) -> io::Result<()> {
        create_folder(&self.folder)
    }

    /// A path as it is shown to people: below the data folder.
    pub(super) fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }
}

/// Makes a folder and its parents, with no rights for others.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the names in a folder durable, where the platform has a way to.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Deletes a file; whether there was one.
pub(super) fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.log"))
}

/// The path of what is set aside from a segment.
pub(super) fn aside(segment: &Path) -> PathBuf {
    segment.with_extension("log.bad")
}

pub(super) fn owner(folder: &Path) -> PathBuf {
    folder.join("owner")
}

/// What of an instance folder is ours, sorted by name. Files that nobody here has made are left alone.
pub(super) fn queue_files(folder: &Path) -> io::Result<Vec<(PathBuf, QueueFile)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let kind = name.to_str().and_then(|name| match name.split_once('.') {
            None => (name == "owner").then_some(QueueFile::Owner),
            Some((digits, extension)) if digits.len() == 16 => {
                let number = digits.parse().ok()?;
                match extension {
                    "log" => Some(QueueFile::Segment(number)),
                    "log.bad" | "log.tmp" => Some(QueueFile::Aside),
                    _ => None,
                }
            }
            Some(_) => None,
        });
        files.extend(kind.map(|kind| (entry.path(), kind)));
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}
