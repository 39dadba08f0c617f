//! Changes of the consent record, made where it is read and written under one lock (C9).

use super::erasure::{Erasure, ErasureState};
use super::record::{ConsentRecord, ConsentState, Decision, MOST, counting_anew};
use crate::engine::effect::{Amended, RecordRead};
use crate::engine::outbox::Asked;
use alloc::string::String;
use alloc::vec::Vec;

/// A change of the consent record, applied by the driver to what it reads under the store's lock.
#[derive(Debug, Clone)]
pub(in crate::engine) enum ConsentChange {
    /// Make the record exist, with at least this epoch, before any other data is written (C8). `known` is the newest
    /// revision seen, which what is written outranks.
    Establish { epoch: u64, known: u64, at_ms: u64 },
    /// The person agreed, at this moment. A refusal of another revision than the one `seen` last was made elsewhere, and
    /// what this process has captured was captured before it (C6). A refusal that was not the one known at the call
    /// (`at_call`), is not this process's `own`, and was made at that moment or later, is the last word (C9).
    Grant { epoch: u64, known: u64, seen: u64, at_call: u64, own: u64, at_ms: u64 },
    /// The person refused. `revision` is the lowest that may be written, for a record that cannot be read. `outbox` names
    /// whom this process knew; what is `asked` for is about whom the store knows, where it can say. `known` is what was asked
    /// for before, as this process has last seen it: a record that cannot be read, or is gone, does not bring it along (C12).
    Deny {
        epoch: u64,
        revision: u64,
        at_ms: u64,
        outbox: Vec<Erasure>,
        asked: Option<Asked>,
        known: Vec<Erasure>,
    },
    /// An entry of the outbox has come further.
    Erasure { id: String, state: ErasureState, answer: Option<String> },
    /// These entries stood in a record that somebody has deleted.
    Entrust(Vec<Erasure>),
}

impl ConsentChange {
    /// The revision that a refusal asks for.
    pub(in crate::engine) fn revision(&self) -> u64 {
        match self {
            Self::Deny { revision, .. } => *revision,
            _ => 0,
        }
    }

    /// What a record becomes by it, at the hands of the library of this name.
    pub(in crate::engine) fn apply(
        &self,
        read: &RecordRead,
        identity: &RecordRead,
        data_epoch: u64,
        source: &str,
    ) -> Amended {
        let state = ConsentState::of(read);
        let (absent, unreadable) = (state.record().is_none(), matches!(state, ConsentState::Unreadable));
        if unreadable && !matches!(self, Self::Deny { .. }) {
            return Amended::Refuse;
        }
        let mut new = match state {
            ConsentState::Found(record) => record,
            _ => ConsentRecord::default(),
        };
        let (decision, revision, old_epoch) = (new.decision, new.revision, new.epoch);
        new.revision = new.revision.saturating_add(1);
        match self {
            Self::Establish { epoch, known, at_ms } => {
                if !absent && (old_epoch >= *epoch || decision == Decision::Denied) {
                    return Amended::Keep;
                }
                new.revision = new.revision.max(known.saturating_add(1));
                new.epoch = *epoch;
                new.at_ms = *at_ms;
            }
            Self::Grant { epoch, known, seen, at_call, own, at_ms } => {
                // If only the epoch is to go up, the grant is not a new one (C11), and `Establish` follows.
                if decision == Decision::Granted {
                    return Amended::Keep;
                }
                let denied = decision == Decision::Denied;
                let later = new.at_ms > *at_ms || new.at_ms == *at_ms && revision > *own;
                if denied && revision != *at_call && later {
                    return Amended::Keep;
                }
                let unseen = denied && revision != *seen;
                new.revision = new.revision.max(known.saturating_add(1));
                new.decision = Decision::Granted;
                new.epoch = old_epoch.max(*epoch).saturating_add(u64::from(unseen));
                new.at_ms = *at_ms;
                if absent && *seen > 0 {
                    // Somebody has deleted what was seen; nobody can tell whether it was a refusal by then (C6).
                    new.epoch = new.epoch.max(counting_anew(*at_ms));
                }
            }
            // Also over a refusal: a new epoch tells a process whose grant is still on its way that what it holds
            // was captured before a withdrawal (C6).
            Self::Deny { epoch, revision: lowest, at_ms, outbox, asked, known } => {
                new.decision = Decision::Denied;
                new.epoch = old_epoch.saturating_add(1).max(*epoch);
                new.revision = new.revision.max(*lowest);
                if unreadable {
                    // What stands there, and what others have seen of it, was counted up; this is above that.
                    let above = counting_anew(*at_ms);
                    new.epoch = new.epoch.max(above);
                    new.revision = new.revision.max(above);
                }
                // Over a refusal: the later one of both.
                new.at_ms = if decision == Decision::Denied { new.at_ms.max(*at_ms) } else { *at_ms };
                if absent {
                    new.entrust(known);
                }
                // After a refusal nobody is known any more; what is left of them is about to be purged.
                let asked = asked.filter(|_| decision != Decision::Denied);
                let stored = asked.and_then(|asked| asked.of(identity, (!absent).then_some(old_epoch)));
                new.entrust(stored.as_ref().unwrap_or(outbox));
                forget_finished(&mut new.outbox);
            }
            Self::Erasure { id, state, answer } => match new.outbox.iter_mut().find(|e| e.id == *id) {
                Some(entry)
                    if !entry.state.is_final() && (entry.state, &entry.answer) != (*state, answer) =>
                {
                    entry.state = *state;
                    entry.answer.clone_from(answer);
                    if *state != ErasureState::Requested {
                        entry.secret.clear();
                    }
                    // What a finished one named is not kept for its own sake.
                    if state.is_final() {
                        entry.user = None;
                    }
                }
                _ => return Amended::Keep,
            },
            Self::Entrust(entries) => {
                let before = new.outbox.len();
                new.entrust(entries);
                if absent || new.outbox.len() == before {
                    return Amended::Keep;
                }
            }
        }
        if matches!(self, Self::Establish { .. } | Self::Grant { .. } | Self::Deny { .. }) {
            new.source = source.into();
        }
        // What stands there without a record, or with one that cannot be read, is of older epochs than what begins now.
        if absent && data_epoch > 0 {
            let above = if data_epoch < MOST { data_epoch + 1 } else { counting_anew(new.at_ms) };
            new.epoch = new.epoch.max(above);
        }
        Amended::Write(new.encode())
    }
}

/// Of the finished entries only the newest ones are kept, for their receipts.
fn forget_finished(outbox: &mut Vec<Erasure>) {
    const KEPT: usize = 8;
    let finished = |entry: &Erasure| entry.state.is_final();
    while outbox.iter().filter(|entry| finished(entry)).count() > KEPT
        && let Some(oldest) = outbox.iter().position(finished)
    {
        outbox.remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::erasure::tests::erasure;
    use super::*;

    fn written(change: &ConsentChange, record: &ConsentRecord) -> Option<ConsentRecord> {
        match change.apply(&RecordRead::Content(record.encode()), &RecordRead::Absent, 0, "lib") {
            Amended::Write(text) => ConsentRecord::decode(&text),
            _ => None,
        }
    }

    #[test]
    fn c12_an_entry_keeps_its_secret_until_it_is_taken_and_its_answer_for_good() {
        let outbox = [erasure("ab", ErasureState::Requested)].into();
        let record = ConsentRecord { decision: Decision::Denied, outbox, ..Default::default() };
        let note = |state, answer: &str| ConsentChange::Erasure {
            id: "ab".into(),
            state,
            answer: Some(answer.into()),
        };
        let taken = written(&note(ErasureState::Accepted, "{}"), &record).unwrap();
        assert_eq!(taken.source, "", "it is no decision");
        assert_eq!((taken.outbox[0].secret.as_str(), taken.outbox[0].user.as_deref()), ("", Some("u")));
        assert_eq!(written(&note(ErasureState::Accepted, "{}"), &taken), None, "nothing new");
        let done = written(&note(ErasureState::Completed, "{\"receipt\":1}"), &taken).unwrap();
        assert_eq!(done.outbox[0].answer.as_deref(), Some("{\"receipt\":1}"));
        assert_eq!(written(&note(ErasureState::Refused, "{}"), &done), None, "it is over");
        let mut outbox: Vec<_> =
            (0..12).map(|n| erasure(&alloc::format!("{n}"), ErasureState::Completed)).collect();
        outbox.push(erasure("new", ErasureState::Requested));
        let known = Vec::new();
        let deny = ConsentChange::Deny { epoch: 1, revision: 1, at_ms: 0, outbox, asked: None, known };
        let ids: Vec<_> = written(&deny, &record).unwrap().outbox.into_iter().map(|e| e.id).collect();
        assert_eq!(ids, ["ab", "4", "5", "6", "7", "8", "9", "10", "11", "new"]);
    }

    #[test]
    fn c8_only_a_refusal_may_replace_what_cannot_be_read() {
        let damaged = RecordRead::Content("{\"v\":1,".into());
        assert!(matches!(
            ConsentChange::Grant { epoch: 1, known: 0, seen: 0, at_call: 0, own: 0, at_ms: 0 }.apply(
                &damaged,
                &RecordRead::Absent,
                0,
                "lib"
            ),
            Amended::Refuse
        ));
        assert!(matches!(
            ConsentChange::Establish { epoch: 1, known: 0, at_ms: 0 }.apply(
                &damaged,
                &RecordRead::Absent,
                0,
                "lib"
            ),
            Amended::Refuse
        ));
        let deny = |at_ms| ConsentChange::Deny {
            epoch: 5,
            revision: 9,
            at_ms,
            outbox: Vec::new(),
            asked: None,
            known: Vec::new(),
        };
        let Amended::Write(text) = deny(7_000).apply(&damaged, &RecordRead::Absent, 0, "lib") else {
            panic!("a refusal is always written")
        };
        let record = ConsentRecord::decode(&text).unwrap();
        assert_eq!((record.decision, record.revision, record.epoch), (Decision::Denied, 7_000, 7_000));
        assert_eq!((record.at_ms, record.source.as_str()), (7_000, "lib"));
        let Amended::Write(text) = deny(u64::MAX).apply(&damaged, &RecordRead::Absent, 0, "lib") else {
            panic!("a refusal is always written")
        };
        assert!(ConsentState::of(&RecordRead::Content(text)).record().is_some());
    }

    #[test]
    fn c9_a_grant_that_comes_late_does_not_take_back_a_refusal_of_after_it() {
        let record =
            ConsentRecord { decision: Decision::Denied, revision: 5, at_ms: 1_000, ..Default::default() };
        let grant = |at_call, own, at_ms| {
            written(&ConsentChange::Grant { epoch: 1, known: 5, seen: 5, at_call, own, at_ms }, &record)
        };
        assert_eq!(grant(4, 0, 999), None, "the refusal came after it");
        assert_eq!(grant(4, 0, 1_000), None, "on a tie the refusal counts");
        assert!(grant(4, 5, 1_000).is_some(), "unless the same person has made it here, before");
        assert!(grant(4, 0, 1_001).is_some());
        assert!(grant(5, 0, 0).is_some(), "it was known, whatever the clocks say");
    }
}
