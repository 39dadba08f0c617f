//! Deleting data, unread, and naming what is left.

use super::disk::{Disk, Hold, if_there};
use super::instance::Instance;
use super::layout::{Layout, QueueFile, owner, queue_files, remove_file};
use super::record;
use crate::engine::{Item, ItemKind, RecordName, RecordRead, WipeScope, identity_is_before, wipe_before};
use crate::journal::segment::{HEADER_LEN, Header};
use crate::json::Object;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Whether anything stands in a queue, of whatever epoch and whoever's.
pub(super) fn has_data<D: Disk>(layout: &Layout<D>) -> io::Result<bool> {
    for folder in layout.instances()? {
        if queue_files(&layout.disk, &folder)?.iter().any(|(_, kind)| *kind != QueueFile::Owner) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes the data of epochs before this one: segments, what was set aside, the identity record. How many files.
/// And of which epoch and later ones has stayed. What fails does not keep the rest from going.
pub(super) fn wipe<D: Disk>(
    layout: &Layout<D>,
    ours: &[Instance<D>],
    before: Option<u64>,
    scope: WipeScope,
) -> io::Result<(u64, u64)> {
    let _held = record::lock_if_there(layout)?;
    // Of a process that was killed, and about somebody who may be withdrawn by now.
    let _ = remove_file(&layout.disk, &layout.first_consent());
    let unreadable = || io::Error::other("the consent record cannot be read");
    let before =
        wipe_before(before, &record::read_held(layout, RecordName::Consent)).ok_or_else(unreadable)?;
    // Where it cannot be told, somebody else may live.
    let (mut items, mut failure, mut others_live) = (0, Ok(()), false);
    let mut count = |result: io::Result<u64>| match result {
        Ok(removed) => items += removed,
        Err(error) => failure = Err(error),
    };
    let folders = layout.instances().unwrap_or_else(|error| {
        others_live = true;
        count(Err(error));
        // Where they stand was known when they could be listed.
        ours.iter().map(|instance| instance.folder().to_path_buf()).collect()
    });
    for folder in folders {
        if ours.iter().any(|instance| instance.folder() == folder) {
            count(wipe_folder(&layout.disk, &folder, before));
            continue;
        }
        match Instance::claim(&layout.disk, folder.clone()) {
            Ok(Some(orphan)) => {
                count(wipe_folder(&layout.disk, &folder, before));
                count(orphan.close().map(|()| 0));
            }
            claimed => {
                others_live = true;
                count(claimed.map(|_| 0));
                if scope == WipeScope::Store {
                    count(wipe_folder(&layout.disk, &folder, before));
                }
            }
        }
    }
    let kept_for_others = scope == WipeScope::Own && others_live;
    let identity = record::read_held(layout, RecordName::Identity);
    // One that was begun and never written is none, and its file would be found.
    let stays = kept_for_others || identity != RecordRead::Absent && !identity_is_before(&identity, before);
    if !stays {
        count(record::remove(layout, RecordName::Identity));
    }
    failure.map(|()| (items, before))
}

fn wipe_folder(disk: &impl Disk, folder: &Path, before: u64) -> io::Result<u64> {
    let (mut items, mut failure) = (0, Ok(()));
    for (path, kind) in queue_files(disk, folder)? {
        let goes = match kind {
            // None is kept, whatever its header says and whether or not it can be read.
            QueueFile::Segment(_) if before == u64::MAX => Ok(true),
            QueueFile::Segment(_) => {
                epoch_of(disk, &path).map(|epoch| epoch.is_none_or(|epoch| epoch < before))
            }
            QueueFile::Aside | QueueFile::Draft => Ok(true),
            QueueFile::Owner => Ok(false),
        };
        let removed = goes.and_then(|goes| if goes { remove_file(disk, &path) } else { Ok(false) });
        match removed {
            Ok(removed) => items += u64::from(removed),
            Err(error) => failure = Err(error),
        }
    }
    failure.and_then(|()| disk.sync_folder(folder)).map(|()| items)
}

/// A segment's epoch, from its header alone.
fn epoch_of(disk: &impl Disk, path: &Path) -> io::Result<Option<u64>> {
    let head = if_there(disk.read(path, HEADER_LEN as u64))?;
    Ok(head.and_then(|head| Header::decode(&head)).map(|header| header.epoch))
}

/// The newest epoch of any data, 0 without data, [`u64::MAX`] where it cannot be told.
pub(super) fn newest_epoch<D: Disk>(layout: &Layout<D>) -> io::Result<u64> {
    let identity = record::read_held(layout, RecordName::Identity);
    if identity == RecordRead::Unreadable {
        return Ok(u64::MAX);
    }
    let mut newest = identity_epoch(&identity).unwrap_or_default();
    for folder in layout.instances()? {
        for (path, _) in queue_files(&layout.disk, &folder)? {
            newest = newest.max(epoch_of(&layout.disk, &path)?.unwrap_or_default());
        }
    }
    Ok(newest)
}

/// Removes the folder of the queues, if nothing stands in it.
pub(super) fn remove_empty_queue<D: Disk>(layout: &Layout<D>) {
    let _ = layout.disk.remove_folder(&layout.queues());
}

/// What a look at a folder has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What stands there.
    pub items: Vec<Item>,
    /// Places that could not be looked at: anything may stand there.
    pub unlisted: Vec<String>,
}

impl Listing {
    /// As a withdrawal has to take it: where nobody can look, data is left.
    pub(super) fn suspicious(mut self) -> Vec<Item> {
        let kind = ItemKind::Data(None);
        self.items.extend(self.unlisted.into_iter().map(|name| Item { name, kind, bytes: 0 }));
        self.items
    }
}

/// Everything that stands here, as a wipe of this scope sees it.
pub(super) fn list<D: Disk>(layout: &Layout<D>, ours: &[&Path], scope: WipeScope) -> Listing {
    let Listing { mut items, mut unlisted } = Listing::default();
    let mut add = |path: &Path, kind| match if_there(layout.disk.len(path)) {
        Ok(Some(bytes)) => {
            items.push(Item { name: layout.name(path), kind, bytes });
        }
        Ok(None) => {}
        Err(_) => unlisted.push(layout.name(path)),
    };
    for path in layout.slots(RecordName::Consent).into_iter().chain([layout.first_consent()]) {
        add(&path, ItemKind::Consent);
    }
    let (mut kept_for_others, mut hidden) = (false, Vec::new());
    let folders = layout.instances().unwrap_or_else(|_| {
        hidden.push(layout.name(&layout.queues()));
        Vec::new()
    });
    for folder in folders {
        if scope == WipeScope::Own && !ours.contains(&folder.as_path()) && is_owned(&layout.disk, &folder) {
            kept_for_others = true;
            continue;
        }
        let Ok(files) = queue_files(&layout.disk, &folder) else {
            hidden.push(layout.name(&folder));
            continue;
        };
        for (path, kind) in files {
            let kind = match kind {
                QueueFile::Segment(_) => ItemKind::Data(epoch_of(&layout.disk, &path).unwrap_or_default()),
                QueueFile::Aside | QueueFile::Draft => ItemKind::Data(None),
                QueueFile::Owner => ItemKind::Lock,
            };
            add(&path, kind);
        }
    }
    if !kept_for_others {
        let epoch = identity_epoch(&record::read(layout, RecordName::Identity));
        for path in layout.slots(RecordName::Identity) {
            add(&path, ItemKind::Data(epoch));
        }
    }
    for path in [layout.record_lock(), layout.sending_lock(), layout.outbox_lock()] {
        add(&path, ItemKind::Lock);
    }
    unlisted.append(&mut hidden);
    Listing { items, unlisted }
}

/// Who may hold the sending lock: the living owners of queues here.
pub(super) fn senders<D: Disk>(layout: &Layout<D>) -> String {
    let folders = layout.instances().unwrap_or_default();
    let pids = folders.iter().filter(|folder| is_owned(&layout.disk, folder)).map(|folder| {
        let text = layout.disk.read(&owner(folder), 20).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse::<u32>().ok()
    });
    let mut names = String::new();
    for pid in pids {
        if !names.is_empty() {
            names += " or ";
        }
        names += &match pid {
            Some(pid) if pid == std::process::id() => format!("process {pid} (this one)"),
            Some(pid) => format!("process {pid}"),
            None => "a process that did not give its number".into(),
        };
    }
    if names.is_empty() { "a process without a queue".into() } else { names }
}

/// Whether somebody living holds the folder. Makes nothing.
fn is_owned(disk: &impl Disk, folder: &Path) -> bool {
    let held = disk.lock(&owner(folder), Hold::Shared, false, Duration::ZERO);
    held.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn identity_epoch(read: &RecordRead) -> Option<u64> {
    let RecordRead::Content(text) = read else { return None };
    Object::parse(text).ok()?.integer("epoch")
}
