//! The consent record stands in IndexedDB and, as a mirror, in `localStorage`: what the two copies mean together (C5).

use alloc::string::String;
use refrain::engine::{ConsentState, RecordRead};

/// What JavaScript has read: nothing there, not readable, or the record.
pub fn read_of(copy: Option<String>) -> RecordRead {
    match copy {
        None => RecordRead::Absent,
        Some(text) if text.is_empty() => RecordRead::Unreadable,
        Some(text) => RecordRead::Content(text),
    }
}

/// A state as a record that was read.
pub fn as_read(state: &ConsentState) -> RecordRead {
    match state {
        ConsentState::Absent => RecordRead::Absent,
        ConsentState::Unreadable => RecordRead::Unreadable,
        ConsentState::Found(record) => RecordRead::Content(record.encode()),
    }
}

/// Both copies as the ground of a change: what is written next must outrank either of them, though one may be stale.
pub fn ground(stored: &RecordRead, mirror: &RecordRead) -> RecordRead {
    let mut state = ConsentState::of_copies(stored, mirror);
    if let ConsentState::Found(record) = &mut state {
        for copy in [stored, mirror] {
            if let ConsentState::Found(other) = ConsentState::of(copy) {
                record.revision = record.revision.max(other.revision);
                record.epoch = record.epoch.max(other.epoch);
            }
        }
    }
    as_read(&state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use refrain::engine::{ConsentRecord, Decision};

    fn copy(decision: Decision, revision: u64, epoch: u64) -> RecordRead {
        let record = ConsentRecord { decision, revision, epoch, ..Default::default() };
        RecordRead::Content(record.encode())
    }

    #[test]
    fn c9_a_change_outranks_both_copies_and_the_refusal_is_what_it_changes() {
        let read = ground(&copy(Decision::Granted, 5, 2), &copy(Decision::Denied, 4, 3));
        let ConsentState::Found(record) = ConsentState::of(&read) else {
            panic!("two readable copies are readable")
        };
        assert_eq!((record.decision, record.revision, record.epoch), (Decision::Denied, 5, 3));
    }

    #[test]
    fn c8_one_copy_beyond_reading_makes_the_record_unreadable() {
        let granted = copy(Decision::Granted, 1, 1);
        assert_eq!(ground(&granted, &read_of(Some(String::new()))), RecordRead::Unreadable);
        assert_eq!(ground(&read_of(Some("{".into())), &granted), RecordRead::Unreadable);
        assert_eq!(ground(&read_of(None), &granted), granted);
    }
}
