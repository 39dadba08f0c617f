//! Where things stand in a data folder. Several projects may share one.
//!
//! ```text
//! <project>.consent.a .b     the person's choice, in two slots
//! <project>.consent.tmp      the first choice, about to take its slot
//! <project>.identity.a .b    device, user, super properties, in two slots
//! <project>.lock             held while a record is changed, and while queues are taken over or deleted
//! <project>.send.lock        shared by whoever writes or sends, exclusive for a fence
//! <project>.outbox.lock      held while the collector is asked for what the erasure outbox holds
//! queue/<project>-<instance>/owner                   locked while its process lives; holds the pid
//! queue/<project>-<instance>/0000000000000001.log    segments
//! queue/<project>-<instance>/0000000000000001.log.bad    damaged bytes, set aside
//! queue/<project>-<instance>/0000000000000001.log.tmp    what is about to take the segment's place
//! ```
//! `<project>` is a hash of the token, so that a file name does not show it. A forked child has its parent's locks, too:
//! what a killed parent leaves behind counts as owned until the child ends.

use super::disk::{Disk, Files, if_there};
use super::instance::SEGMENT_BYTES;
use crate::engine::RecordName;
use std::io;
use std::path::{Path, PathBuf};

/// The paths of one project in one folder, and the disk that they are on.
#[derive(Debug, Clone)]
pub struct Layout<D: Disk = Files> {
    pub(super) disk: D,
    /// The length at which a segment is closed, and a new one begun.
    pub(super) segment_bytes: u64,
    folder: PathBuf,
    project: String,
}

/// A file of an instance folder that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueFile {
    /// A segment and its number.
    Segment(u64),
    /// Bytes that were set aside.
    Aside,
    /// What was about to take a segment's place.
    Draft,
    /// The owner's lock.
    Owner,
}

impl Layout {
    pub(in crate::native) fn new(folder: PathBuf, token: &str) -> Self {
        Self { segment_bytes: SEGMENT_BYTES, ..Self::on(Files, folder, token) }
    }
}

impl<D: Disk> Layout<D> {
    /// The paths of a token's project below a folder, with segments so short that a record fills one: for
    /// the simulation.
    pub fn on(disk: D, folder: PathBuf, token: &str) -> Self {
        // FNV-1a: not a secret, only a name that differs.
        let hash = token.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        let project = format!("{:012x}", hash & 0xFFFF_FFFF_FFFF);
        Self { disk, segment_bytes: 128, folder, project }
    }

    /// With segments of another length.
    #[cfg(feature = "simulation")]
    pub fn with_segments_of(self, bytes: u64) -> Self {
        Self { segment_bytes: bytes, ..self }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.{name}", self.project))
    }

    pub(super) fn slots(&self, name: RecordName) -> [PathBuf; 2] {
        let name = match name {
            RecordName::Consent => "consent",
            RecordName::Identity => "identity",
        };
        ["a", "b"].map(|slot| self.file(&format!("{name}.{slot}")))
    }

    /// What is about to become the first consent record.
    pub(super) fn first_consent(&self) -> PathBuf {
        self.file("consent.tmp")
    }

    pub(super) fn record_lock(&self) -> PathBuf {
        self.file("lock")
    }

    pub(super) fn sending_lock(&self) -> PathBuf {
        self.file("send.lock")
    }

    pub(super) fn outbox_lock(&self) -> PathBuf {
        self.file("outbox.lock")
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
        let prefix = format!("{}-", self.project);
        let names = if_there(self.disk.list(&self.queues()))?.unwrap_or_default().into_iter();
        let ours = names.filter(|(name, is_folder)| *is_folder && name.starts_with(&prefix));
        let mut folders: Vec<_> = ours.map(|(name, _)| self.queues().join(name)).collect();
        folders.sort_unstable();
        Ok(folders)
    }

    /// Makes the data folder, readable by its owner only.
    pub(super) fn create(&self) -> io::Result<()> {
        self.disk.create_folder(&self.folder)
    }

    /// A path as it is shown to people: below the data folder.
    pub(super) fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }
}

/// Deletes a file; whether there was one.
pub(super) fn remove_file(disk: &impl Disk, path: &Path) -> io::Result<bool> {
    if_there(disk.remove(path)).map(|removed| removed.is_some())
}

pub(super) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.log"))
}

/// The path of what is set aside from a segment.
pub(super) fn aside(segment: &Path) -> PathBuf {
    segment.with_extension("log.bad")
}

/// The path of what is about to take a segment's place.
pub(super) fn draft(segment: &Path) -> PathBuf {
    segment.with_extension("log.tmp")
}

pub(super) fn owner(folder: &Path) -> PathBuf {
    folder.join("owner")
}

/// What of an instance folder is ours, segments by their numbers. Files that nobody here has made are left alone.
pub(super) fn queue_files(disk: &impl Disk, folder: &Path) -> io::Result<Vec<(PathBuf, QueueFile)>> {
    let kind_of = |name: &str| match name.split_once('.') {
        None => (name == "owner").then_some(QueueFile::Owner),
        Some((digits, extension)) => {
            let number: u64 = digits.parse().ok()?;
            match extension {
                _ if format!("{number:016}") != digits => None,
                "log" => Some(QueueFile::Segment(number)),
                "log.bad" => Some(QueueFile::Aside),
                "log.tmp" => Some(QueueFile::Draft),
                _ => None,
            }
        }
    };
    let names = if_there(disk.list(folder))?.unwrap_or_default().into_iter();
    let mut files: Vec<_> =
        names.filter_map(|(name, _)| Some((folder.join(&name), kind_of(&name)?))).collect();
    // By name, but for numbers that have outgrown their sixteen digits.
    let number = |kind: &QueueFile| if let QueueFile::Segment(number) = kind { *number } else { 0 };
    files.sort_unstable_by(|a, b| number(&a.1).cmp(&number(&b.1)).then_with(|| a.0.cmp(&b.0)));
    Ok(files)
}
