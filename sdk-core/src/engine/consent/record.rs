//! The durable record of the person's choice.

use super::erasure::Erasure;
use crate::engine::effect::RecordRead;
use crate::json::{Object, write};
use alloc::string::String;
use alloc::vec::Vec;

/// The highest revision or epoch of a record. Nobody has counted further: what says more is none of ours, and could not
/// be counted up by a refusal.
pub(in crate::engine) const MOST: u64 = 1 << 53;

/// Where counting goes on when it cannot be told how far it had come: nobody counts faster than milliseconds pass. Leaves
/// room even where the clock is wrong.
pub(in crate::engine) fn counting_anew(wall_ms: u64) -> u64 {
    wall_ms.min(MOST / 2)
}

/// What the person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// Nothing has been decided yet.
    #[default]
    Unset,
    /// Collection is agreed to.
    Granted,
    /// Collection is refused.
    Denied,
}

impl Decision {
    /// The word in records and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Granted => "granted",
            Self::Denied => "denied",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Unset, Self::Granted, Self::Denied].iter().find(|d| d.as_str() == word).copied()
    }
}

/// The one durable record of the person's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsentRecord {
    /// What the person chose.
    pub decision: Decision,
    /// Incremented at every change; orders records (C9).
    pub revision: u64,
    /// Incremented whenever the verdict stops being `allow`.
    pub epoch: u64,
    /// When the decision was made, in wall-clock milliseconds. Evidence only.
    pub at_ms: u64,
    /// Which library recorded the decision, by its name on the wire. Evidence only; absent in older records.
    pub source: String,
    /// Erasures asked for by withdrawals and not yet forgotten.
    pub outbox: Vec<Erasure>,
}

impl ConsentRecord {
    /// The record's text.
    pub fn encode(&self) -> String {
        let mut out = String::from("{\"v\":1,\"decision\":\"");
        out.push_str(self.decision.as_str());
        out.push('"');
        write::number(&mut out, "revision", self.revision);
        write::number(&mut out, "epoch", self.epoch);
        write::number(&mut out, "at", self.at_ms);
        write::member(&mut out, "source", &self.source);
        if !self.outbox.is_empty() {
            out.push_str(",\"outbox\":[");
            for erasure in &self.outbox {
                write::comma(&mut out);
                out.push('{');
                write::member(&mut out, "id", &erasure.id);
                write::member(&mut out, "kind", erasure.kind.as_str());
                write::member(&mut out, "device_id", &erasure.device_id);
                if let Some(user) = erasure.user.as_ref().filter(|user| !user.is_empty()) {
                    write::member(&mut out, "user", user);
                }
                if !erasure.secret.is_empty() {
                    write::member(&mut out, "secret", &erasure.secret);
                }
                write::member(&mut out, "state", erasure.state.as_str());
                if let Some(answer) = &erasure.answer {
                    write::key(&mut out, "answer");
                    out.push_str(answer);
                }
                out.push('}');
            }
            out.push(']');
        }
        out.push('}');
        out
    }

    /// Reads a record; `None` if it is not one, or one of a later version.
    pub fn decode(text: &str) -> Option<Self> {
        let object = Object::parse(text).ok()?;
        if object.integer("v")? != 1 {
            return None;
        }
        let counted = |key| object.integer(key).filter(|number| *number <= MOST);
        let mut outbox = Vec::new();
        if let Some(entries) = object.get("outbox") {
            for entry in entries.elements() {
                outbox.push(Erasure::decode(entry.object()?)?);
            }
        }
        Some(Self {
            decision: Decision::from_word(&object.string("decision")?)?,
            revision: counted("revision")?,
            epoch: counted("epoch")?,
            at_ms: object.integer("at")?,
            source: object.string("source").unwrap_or_default(),
            outbox,
        })
    }

    /// Adds entries to the outbox. Some may stand there already.
    pub(super) fn entrust(&mut self, entries: &[Erasure]) {
        for entry in entries {
            if !self.outbox.iter().any(|other| other.id == entry.id) {
                self.outbox.push(entry.clone());
            }
        }
    }

    /// Whether this record outranks another one of the same store: the higher revision, on a tie `denied` (C9).
    pub fn outranks(&self, other: &Self) -> bool {
        (self.revision, self.decision == Decision::Denied)
            > (other.revision, other.decision == Decision::Denied)
    }
}

/// What the store says about consent, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentState {
    /// A readable store without a record: nothing chosen yet.
    Absent,
    /// Something stands there that cannot be understood, or nothing can be read: a "no" (C8).
    Unreadable,
    /// The record.
    Found(ConsentRecord),
}

impl ConsentState {
    /// Understands what a driver has read.
    pub fn of(read: &RecordRead) -> Self {
        match read {
            RecordRead::Absent => Self::Absent,
            RecordRead::Unreadable => Self::Unreadable,
            RecordRead::Content(text) => ConsentRecord::decode(text).map_or(Self::Unreadable, Self::Found),
        }
    }

    /// The stricter of two copies of one record: what a driver with a mirror reads (C5). A missing copy yields to
    /// the other one; an unreadable one does not.
    pub fn of_copies(one: &RecordRead, other: &RecordRead) -> Self {
        match (Self::of(one), Self::of(other)) {
            (Self::Absent, state) | (state, Self::Absent) => state,
            (Self::Unreadable, Self::Found(r)) | (Self::Found(r), Self::Unreadable)
                if r.decision == Decision::Denied =>
            {
                Self::Found(r)
            }
            (Self::Unreadable, _) | (_, Self::Unreadable) => Self::Unreadable,
            (Self::Found(a), Self::Found(b)) => {
                let a_denied = a.decision == Decision::Denied;
                let denied_differs = a_denied != (b.decision == Decision::Denied);
                if if denied_differs { a_denied } else { a.outranks(&b) } {
                    Self::Found(a)
                } else {
                    Self::Found(b)
                }
            }
        }
    }

    /// The record, where there is one.
    pub fn record(&self) -> Option<&ConsentRecord> {
        match self {
            Self::Found(record) => Some(record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::erasure::ErasureState;
    use super::super::erasure::tests::erasure;
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_later_version_does_not() {
        let record = ConsentRecord {
            decision: Decision::Denied,
            revision: 7,
            epoch: 3,
            at_ms: 1_788_220_800_000,
            source: "a \"library\"".into(),
            outbox: [erasure("ab", ErasureState::Requested)].into(),
        };
        assert_eq!(ConsentRecord::decode(&record.encode()), Some(record.clone()));
        let nobody = r#"{"v":1,"decision":"denied","revision":7,"epoch":3,"at":0,"outbox":[
            {"id":"","device_id":"","user":"","state":"accepted"}]}"#;
        let nobody = ConsentRecord::decode(nobody).unwrap();
        assert_eq!(
            ConsentRecord::decode(&nobody.encode()),
            Some(nobody),
            "a damaged entry costs nothing else"
        );
        assert_eq!(ConsentRecord::decode(&record.encode().replace("\"v\":1", "\"v\":2")), None);
        let counted_up = ConsentRecord { epoch: MOST + 1, ..record };
        assert_eq!(ConsentRecord::decode(&counted_up.encode()), None, "a refusal could not be above it");
        assert_eq!(ConsentRecord::decode("{}"), None);
    }

    #[test]
    fn c9_a_refusal_outranks_a_grant_of_the_same_revision() {
        let record = |decision, revision| ConsentRecord { decision, revision, ..Default::default() };
        assert!(record(Decision::Denied, 4).outranks(&record(Decision::Granted, 4)));
        assert!(!record(Decision::Granted, 4).outranks(&record(Decision::Denied, 4)));
        assert!(record(Decision::Granted, 5).outranks(&record(Decision::Denied, 4)));
    }

    #[test]
    fn c5_where_copies_differ_the_refusal_wins() {
        let read = |decision, revision| {
            let record = ConsentRecord { decision, revision, ..Default::default() };
            RecordRead::Content(record.encode())
        };
        let (yes, no) = (read(Decision::Granted, 9), read(Decision::Denied, 2));
        for state in [ConsentState::of_copies(&yes, &no), ConsentState::of_copies(&no, &yes)] {
            assert_eq!(state.record().unwrap().decision, Decision::Denied);
        }
        assert_eq!(ConsentState::of_copies(&RecordRead::Absent, &yes).record().unwrap().revision, 9);
        assert_eq!(ConsentState::of_copies(&RecordRead::Unreadable, &yes), ConsentState::Unreadable);
    }
}
