//! The small records: read without a lock, changed under it, each in two slots.

use super::disk::{Disk, DiskFile, Hold, Mode, if_there};
use super::fault::fault;
use super::layout::{Layout, remove_file};
use super::wipe;
use crate::engine::{Amended, Amendment, ConsentState, Done, RecordName, RecordRead, StoreFault};
use crate::journal::slot::{self, Slots};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The lock is held for microseconds; whoever holds it longer was stopped.
const PATIENCE: Duration = Duration::from_secs(5);
/// A record larger than this was not written by us.
const LIMIT: u64 = 16 << 20;

/// What stands under a name now. Changes nothing.
pub(super) fn read<D: Disk>(layout: &Layout<D>, name: RecordName) -> RecordRead {
    match read_slots(layout, name) {
        Ok(slots) if !matches!(slots.newest(), Slots::Unreadable) => slots.record(),
        // Perhaps in the middle of being written: once more while nobody writes.
        _ => {
            let held = if_there(layout.disk.lock(&layout.record_lock(), Hold::Shared, false, PATIENCE));
            match (held, read_slots(layout, name)) {
                (Ok(_), Ok(slots)) => slots.record(),
                _ => RecordRead::Unreadable,
            }
        }
    }
}

/// As [`read`], where the caller holds the lock.
pub(super) fn read_held<D: Disk>(layout: &Layout<D>, name: RecordName) -> RecordRead {
    read_slots(layout, name).map_or(RecordRead::Unreadable, |slots| slots.record())
}

/// Applies an amendment under the lock, durably.
pub(super) fn amend<D: Disk>(layout: &Layout<D>, amendment: Amendment) -> Done {
    amend_durably(layout, amendment).unwrap_or_else(|error| Done::Failed(fault(&error)))
}

fn amend_durably<D: Disk>(layout: &Layout<D>, amendment: Amendment) -> io::Result<Done> {
    layout.create()?;
    let _held = layout.disk.lock(&layout.record_lock(), Hold::Exclusive, true, PATIENCE)?;
    let name = amendment.record();
    let slots = match read_slots(layout, name) {
        Ok(slots) => slots,
        Err(error) if fault(&error) == StoreFault::Other && !is_out_of_descriptors(&error) => {
            SlotFiles::Foreign
        }
        Err(error) => return Err(error),
    };
    let read = slots.record();
    let (consent, identity) = match name {
        RecordName::Consent => (&read, &read_held(layout, RecordName::Identity)),
        RecordName::Identity => (&read_held(layout, RecordName::Consent), &read),
    };
    let state = ConsentState::of(consent);
    let data_epoch =
        if state.record().is_none() { wipe::newest_epoch(layout).unwrap_or(u64::MAX) } else { 0 };
    Ok(match amendment.apply(&read, &state, identity, data_epoch) {
        Amended::Withdrawn => Done::Refused(consent.clone()),
        Amended::Keep => {
            // Somebody's write of it may have been cut off: whoever relies on it makes it durable (C7).
            if let RecordRead::Content(text) = &read
                && !slots.is_written()
            {
                write(layout, name, &slots, text.as_bytes())?;
            }
            Done::Amended { read, changed: false }
        }
        Amended::Refuse => Done::Failed(StoreFault::Unreadable),
        Amended::Write(text) => {
            write(layout, name, &slots, text.as_bytes())?;
            Done::Amended { read: RecordRead::Content(text), changed: true }
        }
    })
}

/// Whether the process or the system has no descriptor to spare at the moment. What could not be opened is sound: nothing
/// may be written over it as over damage, or the erasures in it were lost (C12).
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) { &[4] } else { &[23, 24] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Deletes a record; how many files went. A slot that cannot be deleted does not keep the other one from going. The caller
/// holds the lock.
pub(super) fn remove<D: Disk>(layout: &Layout<D>, name: RecordName) -> io::Result<u64> {
    let (mut removed, mut failure) = (0, Ok(()));
    for path in layout.slots(name) {
        match remove_file(&layout.disk, &path) {
            Ok(gone) => removed += u64::from(gone),
            Err(error) => failure = Err(error),
        }
    }
    if removed > 0 {
        layout.disk.sync_folder(layout.folder())?;
    }
    failure.map(|()| removed)
}

/// Takes the lock that record changes and queue take-overs are made under.
pub(super) fn lock<D: Disk>(layout: &Layout<D>) -> io::Result<D::Lock> {
    layout.create()?;
    layout.disk.lock(&layout.record_lock(), Hold::Exclusive, true, PATIENCE)
}

/// As [`lock`], but makes nothing where there is nothing.
pub(super) fn lock_if_there<D: Disk>(layout: &Layout<D>) -> io::Result<Option<D::Lock>> {
    if_there(layout.disk.lock(&layout.record_lock(), Hold::Exclusive, false, PATIENCE))
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

    /// Whether the last write has come to its end: the same stands in both.
    fn is_written(&self) -> bool {
        matches!(self, Self::Read([Some(first), Some(second)]) if first == second)
    }

    fn record(&self) -> RecordRead {
        match self.newest() {
            Slots::Absent => RecordRead::Absent,
            Slots::Unreadable => RecordRead::Unreadable,
            Slots::Content { payload, .. } => RecordRead::of_bytes(payload.to_vec()),
        }
    }
}

fn read_slots<D: Disk>(layout: &Layout<D>, name: RecordName) -> io::Result<SlotFiles> {
    let [first, second] = layout.slots(name);
    let read = |path: &Path| if_there(layout.disk.read(path, LIMIT + 1));
    Ok(SlotFiles::Read(match [read(&first)?, read(&second)?] {
        // Whoever was to write the first identity of all was killed before its first byte. A consent record is never found
        // like that (see `write`): one that is empty was emptied, and may have been a refusal (C8).
        [Some(empty), None] if empty.is_empty() && name == RecordName::Identity => [None, None],
        slots => slots,
    }))
}

/// The slot with the older content first: a crash in between leaves one that is whole. Then the other one, so that
/// damage to either leaves the newest.
fn write<D: Disk>(layout: &Layout<D>, name: RecordName, slots: &SlotFiles, payload: &[u8]) -> io::Result<()> {
    let (generation, second_is_newest) = match slots.newest() {
        Slots::Content { generation, second, .. } => (generation.saturating_add(1), second),
        Slots::Absent => (1, true),
        Slots::Unreadable => (above(layout, name), true),
    };
    let bytes = slot::encode(generation, payload);
    let [first, second] = layout.slots(name);
    let (older, newer) = if second_is_newest { (first, second) } else { (second, first) };
    // Half of a first consent record would be one that cannot be read: whoever agrees later is not heard for longer than a
    // process lives (C8). Nor is half of one worth what stands there and can perhaps be read again.
    let written = match (name, slots.newest()) {
        (RecordName::Consent, Slots::Absent | Slots::Unreadable) => write_first(layout, &older, &bytes),
        _ => write_slot(&layout.disk, &older, &bytes),
    };
    if let Err(error) = written {
        // Half of a first record must not stand for one that cannot be read, long after the disk has room again.
        if slots.newest() == Slots::Absent {
            let _ = remove_file(&layout.disk, &older);
        }
        return Err(error);
    }
    layout.disk.sync_folder(layout.folder())?;
    // The change is durable. An old content that cannot be replaced must not come back when the new is damaged.
    if write_slot(&layout.disk, &newer, &bytes).is_err() {
        write_slot(&layout.disk, &newer, &[])?;
    }
    layout.disk.sync_folder(layout.folder())
}

/// A generation above what stands in either slot, where not both can be read: were this write cut off, an old agreement would
/// be found beside it (C8). They are never more than one step apart.
fn above<D: Disk>(layout: &Layout<D>, name: RecordName) -> u64 {
    let found = layout.slots(name).map(|path| {
        let bytes = layout.disk.read(&path, LIMIT + 1).unwrap_or_default();
        match slot::newest(Some(&bytes), None) {
            Slots::Content { generation, .. } => generation,
            Slots::Absent | Slots::Unreadable => 0,
        }
    });
    found.into_iter().fold(0, u64::max).saturating_add(2)
}

/// Whole or not at all, also where the process is killed meanwhile.
fn write_first<D: Disk>(layout: &Layout<D>, slot: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = layout.first_consent();
    let written = layout.disk.open(&draft, Mode::Anew).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync()?;
        layout.disk.rename(&draft, slot)
    });
    if written.is_err() {
        let _ = remove_file(&layout.disk, &draft);
    }
    written
}

fn write_slot(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.open(path, Mode::InPlace)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::super::disk::Files;
    use super::super::guarded::{Guarded, Touch, out_of_descriptors};
    use super::*;
    use crate::engine::{
        Also, Config, ConsentRecord, Decision, Effect, Engine, EventId, Input, Now, Secret, WipeScope,
    };
    use std::cell::Cell;
    use std::fs;
    use std::path::PathBuf;
    use std::rc::Rc;

    /// What a client asks of its store when the person objects.
    fn refusal() -> Amendment {
        choice(Input::OptOut { also: Also::default(), id: EventId([2; 16]) })
    }

    /// The same for any choice, over a store that seems to be empty.
    fn choice(input: Input<'_>) -> Amendment {
        let mut engine = Engine::new(Config::new("T")).unwrap();
        let mut amendment = None;
        let mut handle = |input: Input<'_>| {
            for effect in engine.handle(Now { wall_ms: 1_788_220_800_000, mono_ms: 0 }, input) {
                match effect {
                    Effect::Amend { amendment: wanted, .. } => amendment = Some(wanted),
                    Effect::Open { op } => return Some(op),
                    _ => {}
                }
            }
            None
        };
        let op = handle(Input::Start { secret: Secret([1; 16]) }).unwrap();
        let (consent, identity) = (RecordRead::Absent, RecordRead::Absent);
        handle(Input::Done { op, result: Done::Opened { consent, identity, data: false } });
        handle(input);
        amendment.unwrap()
    }

    #[test]
    fn c8_who_is_killed_while_writing_the_first_word_leaves_all_of_it_or_none() {
        let folder = std::env::temp_dir().join(format!("refrain-first-{}", std::process::id()));
        let layout = Layout::on(Files, folder.clone(), "T");
        let mut found = Vec::new();
        for calls in 0_u32.. {
            let left = Rc::new(Cell::new(calls));
            let until_killed = move |_: Touch<'_>| match left.get().checked_sub(1) {
                Some(fewer) => {
                    left.set(fewer);
                    Ok(())
                }
                None => Err(io::ErrorKind::BrokenPipe.into()),
            };
            let done = amend(&Layout::on(Guarded(until_killed), folder.clone(), "T"), refusal());
            found.push(read(&layout, RecordName::Consent));
            let drafted = layout.first_consent().exists();
            assert!(!drafted || wipe::list(&layout, &[], WipeScope::Store).items.len() > 1, "it is shown");
            fs::remove_dir_all(&folder).unwrap();
            if matches!(done, Done::Amended { .. }) {
                break;
            }
        }
        assert!(found.len() > 10, "{found:?}");
        let whole = found.iter().position(|read| *read != RecordRead::Absent).unwrap();
        assert!(found[whole..].iter().all(|read| matches!(read, RecordRead::Content(_))), "{found:?}");
    }

    #[test]
    fn c7_a_record_whose_write_was_cut_off_is_written_to_its_end_by_who_relies_on_it() {
        let folder = std::env::temp_dir().join(format!("refrain-half-{}", std::process::id()));
        let layout = Layout::on(Files, folder.clone(), "T");
        let grant = || amend(&layout, choice(Input::OptIn { id: EventId([2; 16]), secret: Secret([3; 16]) }));
        assert!(matches!(grant(), Done::Amended { changed: true, .. }));
        let [first, second] = layout.slots(RecordName::Consent);
        fs::remove_file(&second).unwrap();
        assert!(matches!(grant(), Done::Amended { changed: false, .. }));
        let (first, second) = (fs::read(first), fs::read(second));
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[test]
    fn c8_a_refusal_that_is_cut_off_costs_no_record_that_could_not_be_read_for_a_moment() {
        let folder = std::env::temp_dir().join(format!("refrain-moment-{}", std::process::id()));
        let layout = Layout::on(Files, folder.clone(), "T");
        let [first, second] = layout.slots(RecordName::Consent);
        let long = ConsentRecord { source: "a library".repeat(50), ..Default::default() }.encode();
        for calls in 0_u32.. {
            layout.create().unwrap();
            fs::write(&first, slot::encode(1, long.as_bytes())).unwrap();
            fs::write(&second, "damaged").unwrap();
            let left = Rc::new(Cell::new(calls));
            let until_killed = move |touch: Touch<'_>| match (touch, left.get().checked_sub(1)) {
                (Touch::Look(path), _) if path.is_file() => Err(io::Error::other("not now")),
                (Touch::Change, Some(fewer)) => {
                    left.set(fewer);
                    Ok(())
                }
                (Touch::Change, None) => Err(io::ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            };
            let done = amend(&Layout::on(Guarded(until_killed), folder.clone(), "T"), refusal());
            let found = read(&layout, RecordName::Consent);
            fs::remove_dir_all(&folder).unwrap();
            assert!(matches!(found, RecordRead::Content(_)), "after {calls} calls: {found:?}");
            if matches!(done, Done::Amended { .. }) {
                assert!(calls > 5);
                break;
            }
        }
    }

    #[test]
    fn c8_a_refusal_that_is_cut_off_over_a_slot_that_cannot_be_read_lets_no_agreement_show() {
        let folder = std::env::temp_dir().join(format!("refrain-half-read-{}", std::process::id()));
        let layout = Layout::on(Files, folder.clone(), "T");
        let [first, second] = layout.slots(RecordName::Consent);
        let granted = ConsentRecord { decision: Decision::Granted, ..Default::default() }.encode();
        layout.create().unwrap();
        for slot in [&first, &second] {
            fs::write(slot, slot::encode(7, granted.as_bytes())).unwrap();
        }
        // A draft is made, and written in two parts; then it takes the slot's place.
        let (hidden, left) = (first.clone(), Rc::new(Cell::new(4)));
        let until_killed = move |touch: Touch<'_>| match touch {
            Touch::Look(path) if path == hidden => Err(io::Error::other("a bad sector")),
            Touch::Look(_) => Ok(()),
            Touch::Change => match left.replace(left.get() - 1) {
                1.. => Ok(()),
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            },
        };
        let done = amend(&Layout::on(Guarded(until_killed), folder.clone(), "T"), refusal());
        let found = read(&layout, RecordName::Consent);
        fs::remove_dir_all(folder).unwrap();
        assert!(matches!(done, Done::Failed(_)), "{done:?}");
        let decision = ConsentState::of(&found).record().map(|record| record.decision);
        assert_eq!(decision, Some(Decision::Denied));
    }

    #[test]
    fn c12_a_record_that_cannot_be_opened_for_want_of_a_descriptor_is_not_written_over() {
        let folder = std::env::temp_dir().join(format!("refrain-record-{}", std::process::id()));
        let layout = Layout::on(Files, folder.clone(), "T");
        assert!(matches!(amend(&layout, refusal()), Done::Amended { changed: true, .. }));
        let slots = || layout.slots(RecordName::Consent).map(|slot: PathBuf| fs::read(slot).unwrap());
        let before = slots();
        let starved = |touch: Touch<'_>| match touch {
            Touch::Look(path) if !path.is_dir() => Err(out_of_descriptors()),
            _ => Ok(()),
        };
        let starved = Layout::on(Guarded(starved), folder.clone(), "T");
        let done = amend(&starved, refusal());
        let after = slots();
        fs::remove_dir_all(folder).unwrap();
        assert!(matches!(done, Done::Failed(StoreFault::Other)), "{done:?}");
        assert_eq!(after, before);
    }
}
