//! The person's choice: the record of it, and the verdict that follows from it.

use super::config::{Config, DefaultConsent};
use super::effect::{Amended, RecordRead};
use crate::json::{Object, write};
use alloc::string::String;
use alloc::vec::Vec;

/// The highest revision or epoch of a record. Nobody has counted further: what says more is none of ours, and could not
/// be counted up by a refusal.
const MOST: u64 = 1 << 53;

/// Where counting goes on when it cannot be told how far it had come: nobody counts faster than milliseconds pass. Leaves
/// room even where the clock is wrong.
pub(super) fn counting_anew(wall_ms: u64) -> u64 {
    wall_ms.min(MOST / 2)
}

/// What the person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// Nothing yet.
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

/// What the environment says. `true` means "do not track".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Global Privacy Control.
    pub gpc: bool,
    /// Do Not Track.
    pub dnt: bool,
    /// A signal that the host application supplies.
    pub host: bool,
}

/// Why nothing is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DenyReason {
    /// The person said no.
    Person,
    /// The consent record cannot be read, or there is no place to keep one.
    StoreUnavailable,
    /// Global Privacy Control.
    Gpc,
    /// Do Not Track.
    Dnt,
    /// The host application's signal.
    Host,
    /// Nobody has decided, and the default is "no".
    Default,
}

impl DenyReason {
    /// The word in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::StoreUnavailable => "store_unavailable",
            Self::Gpc => "gpc",
            Self::Dnt => "dnt",
            Self::Host => "host",
            Self::Default => "default",
        }
    }

    /// One sentence that a person can read.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Person => "Not collecting: you have objected.",
            Self::StoreUnavailable => {
                "Not collecting: there is no readable record of a choice, so none is assumed."
            }
            Self::Gpc => "Not collecting: this browser sends Global Privacy Control.",
            Self::Dnt => "Not collecting: this browser sends Do Not Track.",
            Self::Host => "Not collecting: this app has passed on your wish not to be tracked.",
            Self::Default => "Not collecting: you have not agreed.",
        }
    }
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Collect and send.
    Allow,
    /// Keep calls in memory until the person decides.
    Hold,
    /// Nothing.
    Deny(DenyReason),
}

impl Verdict {
    /// The word in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny(_) => "deny",
        }
    }
}

/// The table that all else follows from. `in_process` is a decision that the store could not take.
pub(super) fn verdict(
    record: &ConsentState,
    in_process: Option<Decision>,
    signals: Signals,
    config: &Config,
) -> Verdict {
    let decision = match (in_process, record) {
        (Some(decision), _) => decision,
        (None, ConsentState::Unreadable) => return Verdict::Deny(DenyReason::StoreUnavailable),
        (None, ConsentState::Absent) => Decision::Unset,
        (None, ConsentState::Found(record)) => record.decision,
    };
    match decision {
        Decision::Denied => Verdict::Deny(DenyReason::Person),
        Decision::Granted => Verdict::Allow,
        Decision::Unset if signals.gpc && config.honor_gpc => Verdict::Deny(DenyReason::Gpc),
        Decision::Unset if signals.dnt && config.honor_dnt => Verdict::Deny(DenyReason::Dnt),
        Decision::Unset if signals.host => Verdict::Deny(DenyReason::Host),
        Decision::Unset => match config.default_consent {
            DefaultConsent::Granted => Verdict::Allow,
            DefaultConsent::Denied => Verdict::Deny(DenyReason::Default),
            DefaultConsent::Pending => Verdict::Hold,
        },
    }
}

/// Where consent stands, for the host to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// What the person chose.
    pub decision: Decision,
    /// What may be done now.
    pub verdict: Verdict,
}

impl Consent {
    /// Why: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`.
    pub const fn reason(&self) -> &'static str {
        match (self.verdict, self.decision) {
            (Verdict::Deny(reason), _) => reason.as_str(),
            (_, Decision::Unset) => "default",
            _ => "person",
        }
    }

    /// One sentence that a person can read.
    pub const fn sentence(&self) -> &'static str {
        match (self.verdict, self.decision) {
            (Verdict::Deny(reason), _) => reason.sentence(),
            (Verdict::Hold, _) => "Waiting: nothing is stored or sent until you decide.",
            (Verdict::Allow, Decision::Granted) => "Collecting: you have agreed.",
            (Verdict::Allow, _) => "Collecting: you have not objected.",
        }
    }
}

/// What an entry of the erasure outbox asks for (C12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureKind {
    /// That everything is erased which carries the withdrawn device's id.
    Device,
    /// That the profiles of the withdrawn device and its user are deleted. That erases no event.
    Profile,
}

impl ErasureKind {
    /// The word in records and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Profile => "profile",
        }
    }
}

/// How far an entry of the erasure outbox has come (C12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureState {
    /// Not yet taken by the server.
    Requested,
    /// Taken by the server, which works on it.
    Accepted,
    /// Done, the server says.
    Completed,
    /// Refused by the server for good.
    Refused,
}

impl ErasureState {
    /// The word in records and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Completed => "completed",
            Self::Refused => "refused",
        }
    }

    /// Whether there is nothing more to come.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Refused)
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Requested, Self::Accepted, Self::Completed, Self::Refused]
            .iter()
            .find(|s| s.as_str() == word)
            .copied()
    }
}

/// An entry of the erasure outbox, written with the withdrawal that asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The entry's own id, 32 hexadecimal digits.
    pub id: String,
    /// What it asks for.
    pub kind: ErasureKind,
    /// The withdrawn device.
    pub device_id: String,
    /// The withdrawn user, where a profile is to be deleted and somebody was known.
    pub user: Option<String>,
    /// The device's secret in hexadecimal digits; revealing it proves that the asker is that device. Empty once the
    /// server has taken the request.
    pub secret: String,
    /// How far it has come.
    pub state: ErasureState,
    /// What the server has said last, where that is a JSON object: the text, with the receipt at the end.
    pub answer: Option<String>,
}

impl Erasure {
    fn decode(entry: Object<'_>) -> Option<Self> {
        let state = ErasureState::from_word(&entry.string("state")?)?;
        let kind = match entry.string("kind").as_deref() {
            Some("profile") => ErasureKind::Profile,
            _ => ErasureKind::Device,
        };
        Some(Self {
            id: entry.string("id")?,
            kind,
            device_id: entry.string("device_id")?,
            user: entry.string("user").filter(|user| !user.is_empty()),
            secret: entry.string("secret").unwrap_or_default(),
            state,
            answer: entry.get("answer").map(|answer| answer.raw().into()),
        })
    }
}

impl core::fmt::Debug for Erasure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Erasure")
            .field("kind", &self.kind)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The one durable record of the person's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsentRecord {
    /// What the person chose.
    pub decision: Decision,
    /// Last seen + 1 at every change; orders records (C9).
    pub revision: u64,
    /// + 1 whenever the verdict stops being `allow`.
    pub epoch: u64,
    /// When, in wall milliseconds. Evidence only.
    pub at_ms: u64,
    /// By which library, by its name on the wire. Evidence only; nothing in records from before it was kept.
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
    fn entrust(&mut self, entries: &[Erasure]) {
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

/// A change of the consent record, applied by the driver to what it reads under the store's lock.
#[derive(Debug, Clone)]
pub(super) enum ConsentChange {
    /// Make the record exist, with at least this epoch, before any other data is written (C8). `known` is the newest
    /// revision seen, which what is written outranks.
    Establish { epoch: u64, known: u64, at_ms: u64 },
    /// The person agreed, at this moment. A refusal of another revision than the one `seen` last was made elsewhere, and
    /// what this process has captured was captured before it (C6). A refusal that was not the one known at the call
    /// (`at_call`), is not this process's `own`, and was made at that moment or later, is the last word (C9).
    Grant { epoch: u64, known: u64, seen: u64, at_call: u64, own: u64, at_ms: u64 },
    /// The person refused. `revision` is the lowest that may be written, for a record that cannot be read.
    Deny { epoch: u64, revision: u64, at_ms: u64, outbox: Vec<Erasure> },
    /// An entry of the outbox has come further.
    Erasure { id: String, state: ErasureState, answer: Option<String> },
    /// These entries stood in a record that somebody has deleted.
    Entrust(Vec<Erasure>),
}

impl ConsentChange {
    /// The revision that a refusal asks for.
    pub(super) fn revision(&self) -> u64 {
        match self {
            Self::Deny { revision, .. } => *revision,
            _ => 0,
        }
    }

    /// What a record becomes by it, at the hands of the library of this name.
    pub(super) fn apply(&self, read: &RecordRead, data_epoch: u64, source: &str) -> Amended {
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
            }
            // Also over a refusal: a new epoch tells a process whose grant is still on its way that what it holds
            // was captured before a withdrawal (C6).
            Self::Deny { epoch, revision: lowest, at_ms, outbox } => {
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
                new.entrust(outbox);
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
    use super::*;

    fn found(decision: Decision) -> ConsentState {
        ConsentState::Found(ConsentRecord { decision, revision: 1, epoch: 1, ..Default::default() })
    }

    #[test]
    fn the_verdict_table_row_by_row() {
        use DenyReason as R;
        let mut config = Config::new("t");
        let mut check = |state: &ConsentState, default, signals, expected| {
            config.default_consent = default;
            assert_eq!(verdict(state, None, signals, &config), expected, "{state:?} {default:?} {signals:?}");
        };
        let (quiet, gpc) = (Signals::default(), Signals { gpc: true, ..Default::default() });
        for default in [DefaultConsent::Granted, DefaultConsent::Denied, DefaultConsent::Pending] {
            for signals in [quiet, gpc] {
                check(&ConsentState::Unreadable, default, signals, Verdict::Deny(R::StoreUnavailable));
                check(&found(Decision::Denied), default, signals, Verdict::Deny(R::Person));
                check(&found(Decision::Granted), default, signals, Verdict::Allow);
            }
            check(&ConsentState::Absent, default, gpc, Verdict::Deny(R::Gpc));
            check(&found(Decision::Unset), default, Signals { dnt: true, ..quiet }, Verdict::Deny(R::Dnt));
            check(&found(Decision::Unset), default, Signals { host: true, ..quiet }, Verdict::Deny(R::Host));
        }
        check(&ConsentState::Absent, DefaultConsent::Granted, quiet, Verdict::Allow);
        check(&ConsentState::Absent, DefaultConsent::Denied, quiet, Verdict::Deny(R::Default));
        check(&ConsentState::Absent, DefaultConsent::Pending, quiet, Verdict::Hold);
        config.honor_gpc = false;
        config.default_consent = DefaultConsent::Granted;
        assert_eq!(verdict(&ConsentState::Absent, None, gpc, &config), Verdict::Allow);
    }

    fn erasure(id: &str, state: ErasureState) -> Erasure {
        Erasure {
            id: id.into(),
            kind: ErasureKind::Profile,
            device_id: "d".into(),
            user: Some("u".into()),
            secret: "s".into(),
            state,
            answer: Some("{\"id\":\"x\"}".into()),
        }
    }

    fn written(change: &ConsentChange, record: &ConsentRecord) -> Option<ConsentRecord> {
        match change.apply(&RecordRead::Content(record.encode()), 0, "lib") {
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
        let deny = ConsentChange::Deny { epoch: 1, revision: 1, at_ms: 0, outbox };
        let ids: Vec<_> = written(&deny, &record).unwrap().outbox.into_iter().map(|e| e.id).collect();
        assert_eq!(ids, ["ab", "4", "5", "6", "7", "8", "9", "10", "11", "new"]);
    }

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
    fn c8_only_a_refusal_may_replace_what_cannot_be_read() {
        let damaged = RecordRead::Content("{\"v\":1,".into());
        assert!(matches!(
            ConsentChange::Grant { epoch: 1, known: 0, seen: 0, at_call: 0, own: 0, at_ms: 0 }
                .apply(&damaged, 0, "lib"),
            Amended::Refuse
        ));
        assert!(matches!(
            ConsentChange::Establish { epoch: 1, known: 0, at_ms: 0 }.apply(&damaged, 0, "lib"),
            Amended::Refuse
        ));
        let deny = ConsentChange::Deny { epoch: 5, revision: 9, at_ms: 7_000, outbox: Vec::new() };
        let Amended::Write(text) = deny.apply(&damaged, 0, "lib") else {
            panic!("a refusal is always written")
        };
        let record = ConsentRecord::decode(&text).unwrap();
        assert_eq!((record.decision, record.revision, record.epoch), (Decision::Denied, 7_000, 7_000));
        assert_eq!((record.at_ms, record.source.as_str()), (7_000, "lib"));
        let wrong_clock = ConsentChange::Deny { epoch: 5, revision: 9, at_ms: u64::MAX, outbox: Vec::new() };
        let Amended::Write(text) = wrong_clock.apply(&damaged, 0, "lib") else {
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
