//! The consent record stands in IndexedDB and, as a mirror, in `localStorage`: what the two copies mean together (C5).

use alloc::string::String;
use refrain::engine::{ConsentRecord, ConsentState, Decision, RecordRead};

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

/// A refusal for the mirror that the record may not hold yet: it ends with a space, which means nothing in JSON. One that
/// ends without was in the record, so that whatever stands there in its place was decided after it.
pub fn unrecorded(mut text: String) -> String {
    text.push(' ');
    text
}

/// Whether it is such a refusal.
pub fn is_unrecorded(mirror: &RecordRead) -> bool {
    matches!(mirror, RecordRead::Content(text) if text.ends_with(' '))
}

/// What makes the copies agree where they do not: which text to write, and whether it is the mirror's, for the record. A
/// refusal that is there is never replaced by what is none, but for an agreement that has taken its place in the record:
/// whose it was cannot be told of any other.
pub fn agreed(stored: &RecordRead, mirror: &RecordRead) -> Option<(bool, String)> {
    let denied = |record: &ConsentRecord| record.decision == Decision::Denied;
    match (ConsentState::of(stored), ConsentState::of(mirror)) {
        (ConsentState::Absent, ConsentState::Found(late)) if denied(&late) => Some((true, late.encode())),
        (ConsentState::Found(record), ConsentState::Found(late)) if denied(&late) => {
            if late.outranks(&record) {
                return Some((true, late.encode()));
            }
            let ended = denied(&record) || !is_unrecorded(mirror) && record.decision == Decision::Granted;
            ended.then(|| (false, record.encode()))
        }
        (ConsentState::Found(record), ConsentState::Unreadable) if !denied(&record) => None,
        (ConsentState::Found(record), _) => Some((false, record.encode())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn c7_an_agreement_ends_a_refusal_only_if_that_was_in_the_record() {
        let text = |read: &RecordRead| match read {
            RecordRead::Content(text) => text.clone(),
            _ => String::new(),
        };
        let (granted, denied) = (copy(Decision::Granted, 5, 2), copy(Decision::Denied, 4, 2));
        assert_eq!(agreed(&granted, &denied), Some((false, text(&granted))));
        let unrecorded = RecordRead::Content(unrecorded(text(&denied)));
        assert_eq!(agreed(&granted, &unrecorded), None, "whose it was cannot be told");
        assert_eq!(agreed(&copy(Decision::Unset, 5, 2), &denied), None, "it is no agreement");
        assert_eq!(agreed(&denied, &unrecorded), Some((false, text(&denied))), "it was recorded");
        let earlier = copy(Decision::Granted, 3, 1);
        for mirror in [&denied, &unrecorded] {
            assert_eq!(agreed(&earlier, mirror), Some((true, text(&denied))));
            assert_eq!(agreed(&RecordRead::Absent, mirror), Some((true, text(&denied))));
        }
    }

    #[test]
    fn c8_one_copy_beyond_reading_makes_the_record_unreadable() {
        let granted = copy(Decision::Granted, 1, 1);
        assert_eq!(ground(&granted, &read_of(Some(String::new()))), RecordRead::Unreadable);
        assert_eq!(ground(&read_of(Some("{".into())), &granted), RecordRead::Unreadable);
        assert_eq!(ground(&read_of(None), &granted), granted);
    }
}
