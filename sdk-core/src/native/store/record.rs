//! The small records: read without a lock, changed under it, each in two slots.

use super::fault::fault;
use super::layout::{Layout, remove_file, sync_folder};
use super::lock::Lock;
use crate::engine::{Amended, Amendment, ConsentState, Done, RecordName, RecordRead, StoreFault};
use crate::journal::slot::{self, Slots};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// The lock is held for microseconds; whoever holds it longer was stopped.
const PATIENCE: Duration = Duration::from_secs(5);
/// A record larger than this was not written by us.
const LIMIT: u64 = 16 << 20;

/// What stands under a name now. Changes nothing.
pub(super) fn read(layout: &Layout, name: RecordName) -> RecordRead {
    match read_slots(layout, name) {
        Ok(slots) if !matches!(slots.newest(), Slots::Unreadable) => slots.record(),
        // Perhaps in the middle of being written: once more while nobody writes.
        _ => {
            let held = Lock::shared_if_there(&layout.record_lock(), PATIENCE);
            match (held, read_slots(layout, name)) {
                (Ok(_), Ok(slots)) => slots.record(),
                _ => RecordRead::Unreadable,
            }
        }
    }
}

/// As [`read`], where the caller holds the lock.
pub(super) fn read_held(layout: &Layout, name: RecordName) -> RecordRead {
    read_slots(layout, name).map_or(RecordRead::Unreadable, |slots| slots.record())
}

/// Applies an amendment under the lock, durably.
pub(super) fn amend(layout: &Layout, amendment: Amendment) -> Done {
    amend_durably(layout, amendment).unwrap_or_else(|error| Done::Failed(fault(&error)))
}

fn amend_durably(layout: &Layout, amendment: Amendment) -> io::Result<Done> {
    layout.create()?;
    let _held = Lock::exclusive(&layout.record_lock(), PATIENCE)?;
    let name = amendment.record();
    let slots = match read_slots(layout, name) {
        Ok(slots) => slots,
        Err(error) if fault(&error) == StoreFault::Other => SlotFiles::Foreign,
        Err(error) => return Err(error),
    };
    let read = slots.record();
    let consent = match name {
        RecordName::Consent => read.clone(),
        RecordName::Identity => read_held(layout, RecordName::Consent),
    };
    Ok(match amendment.apply(&read, &ConsentState::of(&consent)) {
        Amended::Withdrawn => Done::Refused(consent),
        Amended::Keep => Done::Amended { read, changed: false },
        Amended::Refuse => Done::Failed(StoreFault::Unreadable),
        Amended::Write(bytes) => {
            write(layout, name, &slots, &bytes)?;
            Done::Amended { read: RecordRead::Content(bytes), changed: true }
        }
    })
}

/// Deletes a record; how many files went. The caller holds the lock.
pub(super) fn remove(layout: &Layout, name: RecordName) -> io::Result<u64> {
    let mut removed = 0;
    for path in layout.slots(name) {
        removed += u64::from(remove_file(&path)?);
    }
    if removed > 0 {
        sync_folder(layout.folder())?;
    }
    Ok(removed)
}

/// Takes the lock that record changes and queue take-overs are made under.
pub(super) fn lock(layout: &Layout) -> io::Result<Lock> {
    layout.create()?;
    Lock::exclusive(&layout.record_lock(), PATIENCE)
}

/// As [`lock`], but makes nothing where there is nothing.
pub(super) fn lock_if_there(layout: &Layout) -> io::Result<Option<Lock>> {
    Lock::exclusive_if_there(&layout.record_lock(), PATIENCE)
}

enum SlotFiles {
    Read([Option<Vec<u8>>; 2]),
    /// Something that is no file stands in a slot's place.
    Foreign,
}

impl SlotFiles {
    fn newest(&self) -> Slots<'_> {
        match self {
            Self::Read([first, second]) => slot::newest(first.as_deref(), second.as_deref()),
            Self::Foreign => Slots::Unreadable,
        }
    }

    fn record(&self) -> RecordRead {
        match self.newest() {
            Slots::Absent => RecordRead::Absent,
            Slots::Unreadable => RecordRead::Unreadable,
            Slots::Content { payload, .. } => RecordRead::Content(payload.to_vec()),
        }
    }
}

fn read_slots(layout: &Layout, name: RecordName) -> io::Result<SlotFiles> {
    let [first, second] = layout.slots(name);
    Ok(SlotFiles::Read([read_slot(&first)?, read_slot(&second)?]))
}

fn read_slot(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LIMIT + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(bytes))
}

/// The slot with the older content first: a crash in between leaves one that is whole. Then the other one, so that
/// damage to either leaves the newest.
fn write(layout: &Layout, name: RecordName, slots: &SlotFiles, payload: &[u8]) -> io::Result<()> {
    let (generation, second_is_newest) = match slots.newest() {
        Slots::Content { generation, second, .. } => (generation.saturating_add(1), second),
        Slots::Absent | Slots::Unreadable => (1, true),
    };
    let bytes = slot::encode(generation, payload);
    let [first, second] = layout.slots(name);
    let (older, newer) = if second_is_newest { (first, second) } else { (second, first) };
    write_slot(&older, &bytes)?;
    sync_folder(layout.folder())?;
    // The change is durable. An old content that cannot be replaced must not come back when the new is damaged.
    if write_slot(&newer, &bytes).is_err() {
        OpenOptions::new().write(true).truncate(true).open(&newer).and_then(|file| file.sync_all())?;
    }
    sync_folder(layout.folder())
}

fn write_slot(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Not truncated first: on a full disk the blocks it has are the blocks it needs.
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
