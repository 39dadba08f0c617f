//! Everything the engine asks of the outside.

use super::consent::{Consent, ConsentChange, ConsentState, Decision, MOST};
use super::identity::IdentityChange;
use super::permit::{OutboxPermit, Permit, Refused};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The number of an effect that can fail. Its end is reported once, by [`Input::Done`](super::Input::Done).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub u64);

impl Op {
    /// The number of the append of a record: odd, and made of the record's own in the queue, so that bursts need no book
    /// of what is under way.
    pub(super) const fn append(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    /// The record whose append it is.
    pub(super) const fn appended(self) -> Option<u64> {
        if self.0 & 1 == 1 { Some(self.0 >> 1) } else { None }
    }
}

/// The number of a consent call, to wait for by [`Notice::Settled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to be done, in the order given. Exhaustive on purpose: a driver that forgets one does not compile.
///
/// Storage effects are executed one after the other ([the engine](super) says which may go before others); `Send` and
/// `SendErasure` beside them.
#[derive(Debug)]
pub enum Effect {
    /// Read both records and see whether any data stands beside them, changing nothing. At the start, and again while
    /// the consent record cannot be read. Ends in [`Done::Opened`].
    Open {
        /// Its number.
        op: Op,
    },
    /// Take over what the queue holds of this epoch; delete what is of another one, unread. Queues whose owner is
    /// gone are adopted. Ends in [`Done::Recovered`].
    Recover {
        /// Its number.
        op: Op,
        /// The only epoch that counts.
        epoch: u64,
    },
    /// Under the store's lock: read both records, apply the amendment, do what it says, durably.
    /// Ends in [`Done::Amended`] or [`Done::Refused`].
    Amend {
        /// Its number.
        op: Op,
        /// The change, and which record it is for.
        amendment: Amendment,
    },
    /// Redeem the permit against the record as read now, under the shared sending lock; then append the entry to
    /// the queue. Ends in [`Done::Stored`] or [`Done::Refused`].
    Append {
        /// Its number.
        op: Op,
        /// What to append.
        permit: Permit<Entry>,
    },
    /// These records need no longer be kept. Ends in [`Done::Stored`].
    Acknowledge {
        /// Its number.
        op: Op,
        /// Which.
        records: Vec<RecordId>,
    },
    /// Make durable against power loss what was written. Ends in [`Done::Stored`].
    Sync {
        /// Its number.
        op: Op,
    },
    /// Wait until no sender or writer of any process or tab still holds a permit that it redeemed before: take the
    /// sending lock exclusively, and let it go. Ends in [`Done::Stored`] or, after 5 s, [`Done::Unfenced`].
    Fence {
        /// Its number.
        op: Op,
    },
    /// Delete all data older than an epoch, unread: queues, what was set aside, the identity record. Never the
    /// consent record. Ends in [`Done::Wiped`].
    Wipe {
        /// Its number.
        op: Op,
        /// Data of this epoch and later ones stays. `None`: what stands without a consent record goes; see
        /// [`wipe_before`].
        before: Option<u64>,
        /// Whose.
        scope: WipeScope,
    },
    /// Name everything that the store holds, as [`Wipe`](Self::Wipe) sees it. Ends in [`Done::Listed`].
    List {
        /// Its number.
        op: Op,
    },
    /// Redeem the permit against the record as read now, under the shared sending lock; start the request; let go
    /// of the lock. Ends in [`Done::Answered`] or [`Done::Refused`].
    Send {
        /// Its number.
        op: Op,
        /// The request.
        permit: Box<Permit<Request>>,
    },
    /// As [`Send`](Self::Send), for an erasure request, which a refusal does not stop.
    SendErasure {
        /// Its number.
        op: Op,
        /// The request.
        permit: Box<OutboxPermit>,
    },
    /// Abort a request, where the platform can. Its end is of no interest any more.
    Cancel {
        /// The request's.
        op: Op,
    },
    /// Something that the host may want to know.
    Notify(Notice),
}

impl Effect {
    /// The number to report its end by; a notice has none, and the end of a cancelled request is of no interest.
    pub fn op(&self) -> Option<Op> {
        match self {
            Self::Open { op }
            | Self::Recover { op, .. }
            | Self::Amend { op, .. }
            | Self::Append { op, .. }
            | Self::Acknowledge { op, .. }
            | Self::Sync { op }
            | Self::Fence { op }
            | Self::Wipe { op, .. }
            | Self::List { op }
            | Self::Send { op, .. }
            | Self::SendErasure { op, .. } => Some(*op),
            Self::Cancel { .. } | Self::Notify(_) => None,
        }
    }
}

/// The records that stand outside the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordName {
    /// The person's choice.
    Consent,
    /// Device, user, super properties.
    Identity,
}

/// What stands in the store under a record's name.
#[derive(Clone, PartialEq, Eq)]
pub enum RecordRead {
    /// A readable store without it.
    Absent,
    /// It cannot be read, or is damaged.
    Unreadable,
    /// Its undamaged content.
    Content(String),
}

impl RecordRead {
    /// Content as it was read; what is no text cannot be read.
    pub fn of_bytes(content: Vec<u8>) -> Self {
        String::from_utf8(content).map_or(Self::Unreadable, Self::Content)
    }
}

impl fmt::Debug for RecordRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Unreadable => "Unreadable",
            Self::Content(_) => "Content(…)",
        })
    }
}

/// A change of a record that is worked out from what stands there, under the lock. Apart, because it is large and rare:
/// an [`Effect`] of every record moves through two queues.
#[derive(Debug)]
pub struct Amendment(Box<Change>);

#[derive(Debug)]
enum Change {
    /// By which library.
    Consent(ConsentChange, String),
    Identity(Permit<IdentityChange>),
}

impl Amendment {
    pub(super) fn consent(change: ConsentChange, source: String) -> Self {
        Self(Box::new(Change::Consent(change, source)))
    }

    pub(super) fn identity(change: Permit<IdentityChange>) -> Self {
        Self(Box::new(Change::Identity(change)))
    }

    /// The record it is for.
    pub fn record(&self) -> RecordName {
        match *self.0 {
            Change::Consent(..) => RecordName::Consent,
            Change::Identity(_) => RecordName::Identity,
        }
    }

    /// What is to be done, given what stands there now and the consent record as it is read under the same lock.
    /// An identity is data: it is only written while consent allows it (C3). A refusal that asks for erasures names the
    /// device and the user of `identity`, as that record is read under the same lock (C12). `data_epoch` is the newest
    /// epoch of any data in the store, 0 without data, [`u64::MAX`] where it cannot be told; only looked at where no
    /// consent record can be read.
    pub fn apply(
        self,
        read: &RecordRead,
        consent: &ConsentState,
        identity: &RecordRead,
        data_epoch: u64,
    ) -> Amended {
        match *self.0 {
            Change::Consent(change, source) => change.apply(read, identity, data_epoch, &source),
            Change::Identity(permit) => {
                let epoch = permit.epoch();
                match permit.redeem(consent) {
                    Ok(change) => change.apply(epoch, read),
                    Err(Refused) => Amended::Withdrawn,
                }
            }
        }
    }
}

/// What an amendment makes of a record.
#[derive(Clone, PartialEq, Eq)]
pub enum Amended {
    /// It stays as it is: [`Done::Amended`], unchanged.
    Keep,
    /// This is its new content: [`Done::Amended`], changed, once it is durable.
    Write(String),
    /// It must not be touched, because it cannot be understood or belongs to a later epoch:
    /// [`Done::Failed`] with [`StoreFault::Unreadable`].
    Refuse,
    /// The consent record no longer allows it: [`Done::Refused`] with what was read of it.
    Withdrawn,
}

impl fmt::Debug for Amended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Write(_) => "Write(…)",
            Self::Refuse => "Refuse",
            Self::Withdrawn => "Withdrawn",
        })
    }
}

/// A record of the queue: which queue (0 is the driver's own, others are adopted ones), and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The queue.
    pub queue: u32,
    /// The number in it.
    pub seq: u64,
}

/// What a record is, and where it goes: at most one request of each lane is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Events.
    Events = 0,
    /// Updates of people's profiles.
    Profiles = 1,
    /// Updates of groups' profiles.
    Groups = 2,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Events, Self::Profiles, Self::Groups];

    /// The lane of a record, as its own text says.
    pub fn of(text: &str) -> Self {
        if text.starts_with("{\"event\"") {
            Self::Events
        } else if text.starts_with("{\"$group_key\"") {
            Self::Groups
        } else {
            Self::Profiles
        }
    }

    /// Path and query under the endpoint (SPEC §1.2).
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Events => "/track/?verbose=1&ip=0",
            Self::Profiles => "/engage/?verbose=1&ip=0",
            Self::Groups => "/groups/?verbose=1&ip=0",
        }
    }
}

/// What is appended to the driver's own queue.
#[derive(Clone)]
pub enum Entry {
    /// A record.
    Record {
        /// Its number in the queue; higher than all before.
        seq: u64,
        /// Its text, ready to be sent.
        text: Arc<str>,
    },
    /// The wall time before which nothing may be sent, in milliseconds.
    NotBefore(u64),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { seq, .. } => f.debug_struct("Record").field("seq", seq).finish_non_exhaustive(),
            Self::NotBefore(wall_ms) => f.debug_tuple("NotBefore").field(wall_ms).finish(),
        }
    }
}

/// Which data a wipe leaves: that of this epoch and later ones. `consent` is the record as read under the lock that the
/// wipe holds. Where it refuses, nothing may stay, however it came to be numbered. Where it has not come to the epoch asked
/// for, no epoch counts: a power cut may have undone the record that data was written under. Where it was missing when the
/// wipe was asked for, somebody may have made one since, and what follows that one is theirs. `None` where it cannot be
/// told, and nothing may go.
pub fn wipe_before(asked: Option<u64>, consent: &RecordRead) -> Option<u64> {
    match ConsentState::of(consent) {
        ConsentState::Found(record) if record.decision == Decision::Denied => Some(u64::MAX),
        ConsentState::Found(record) if asked > Some(record.epoch) => asked.max(Some(MOST + 1)),
        ConsentState::Found(record) => asked.or(Some(record.epoch)),
        ConsentState::Absent => asked.or(Some(u64::MAX)),
        ConsentState::Unreadable => asked,
    }
}

/// Whose data a wipe takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WipeScope {
    /// Everybody's on the store: the person has withdrawn.
    Store,
    /// This driver's own, and what belongs to nobody that is still running: a signal or a setting says no here.
    Own,
}

/// A request to the collector: a `POST`, or a `GET` where there is no body.
#[derive(Clone)]
pub struct Request {
    /// Path and query under the configured endpoint. Holds no token and no id of a person.
    pub path: String,
    /// The body: JSON text.
    pub body: String,
    /// Records in it.
    pub records: usize,
    /// Whether the page is leaving: a simple form request that outlives the page.
    pub leaving: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How an effect ended.
#[derive(Debug)]
pub enum Done {
    /// The store was looked at.
    Opened {
        /// The consent record.
        consent: RecordRead,
        /// The identity record.
        identity: RecordRead,
        /// Whether anything else of this project stands there, of whatever epoch.
        data: bool,
    },
    /// The queue was taken over.
    Recovered(Recovered),
    /// The record as it stands now.
    Amended {
        /// Its content.
        read: RecordRead,
        /// Whether this amendment changed it.
        changed: bool,
    },
    /// It is done.
    Stored,
    /// It is done: so many files or keys went, unread.
    Wiped {
        /// How many.
        items: u64,
        /// Data of this epoch and later ones has stayed.
        before: u64,
    },
    /// What the store holds.
    Listed(Vec<Item>),
    /// The permit was refused; the record as it was read.
    Refused(RecordRead),
    /// Senders that still hold the lock, in words.
    Unfenced(String),
    /// The request has ended.
    Answered(Answer),
    /// The store would not do it.
    Failed(StoreFault),
}

/// What [`Effect::Recover`] found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The records, oldest first.
    pub records: Vec<RecoveredRecord>,
    /// The first number that is free in the driver's own queue.
    pub next_seq: u64,
    /// The wall time before which nothing may be sent, in milliseconds.
    pub not_before_ms: Option<u64>,
    /// Records that could not be read again, as far as they can be told apart.
    pub damaged: u64,
    /// Files or keys of other epochs that were deleted unread.
    pub wiped: u64,
}

/// A record that was found in the queue.
#[derive(Clone)]
pub struct RecoveredRecord {
    /// Where.
    pub id: RecordId,
    /// Its text.
    pub text: String,
    /// Whether it came from a queue that another process or tab left behind.
    pub adopted: bool,
}

impl fmt::Debug for RecoveredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveredRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A file or key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What a file or key of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// The consent record, with the erasure outbox.
    Consent,
    /// Data of an epoch; `None` where it cannot be told.
    Data(Option<u64>),
    /// An empty file that only serves as a lock.
    Lock,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There was a response.
    Response {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header, as sent.
        retry_after: Option<String>,
        /// The beginning of the body; 4 KiB are enough.
        body: String,
    },
    /// No connection, or it broke.
    Unreachable,
    /// No response in time.
    TimedOut,
}

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// No space, or no quota.
    Full,
    /// Read-only, or no permission.
    ReadOnly,
    /// A record is damaged or of a later version, and must not be overwritten.
    Unreadable,
    /// There is no store: no data folder was given, or the platform has none.
    Absent,
    /// Nobody serves the store any more: the client was closed, or belongs to the process from which this one was
    /// forked.
    Closed,
    /// Anything else.
    Other,
}

impl StoreFault {
    /// The word in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "store_full",
            Self::ReadOnly => "store_read_only",
            Self::Unreadable => "store_unreadable",
            Self::Absent => "store_absent",
            Self::Closed => "store_closed",
            Self::Other => "store_failed",
        }
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the disk or its quota is full",
            Self::ReadOnly => "the data folder cannot be written",
            Self::Unreadable => "the record is damaged, of a later version, or must not be read",
            Self::Absent => "there is no data folder",
            Self::Closed => "the client is closed, or was inherited across a fork: create a new one and repeat the choice there",
            Self::Other => "the store failed",
        })
    }
}

/// Why a consent call could not be fully carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsentError {
    /// The decision could not be written. A refusal holds for this process all the same, and writing is retried.
    NotRecorded(StoreFault),
    /// The person refused elsewhere after this grant was given and before it could be written. The refusal counts.
    Overruled,
    /// The refusal is durable, but one sender did not release its request in time. The text says which.
    NotFenced(String),
    /// The refusal is durable, but these files or keys could not be deleted.
    NotPurged(Vec<String>),
}

impl fmt::Display for ConsentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecorded(fault) => write!(f, "the decision could not be recorded: {fault}"),
            Self::Overruled => f.write_str("a refusal given elsewhere after this grant takes precedence"),
            Self::NotFenced(who) => {
                write!(f, "the withdrawal is durable, but a sender is not fenced yet: {who}")
            }
            Self::NotPurged(names) => {
                write!(f, "the withdrawal is durable, but these could not be deleted: {}", names.join(", "))
            }
        }
    }
}

impl core::error::Error for ConsentError {}

/// Something that the host may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A consent call has ended.
    Settled {
        /// The call's ticket.
        ticket: Ticket,
        /// How it ended.
        result: Result<(), ConsentError>,
    },
    /// The collector refuses this client (401, 403, 404, …). Sending is paused; nothing is lost.
    Paused {
        /// The HTTP status.
        status: u16,
    },
    /// The store fails. Records are kept in memory or, if the store cannot be read, not made unless somebody agrees
    /// (C8).
    StoreTrouble(StoreFault),
    /// The state of consent. Sent once the store has been read, and again whenever the decision or the verdict changes,
    /// here or in another process or tab; not while a choice is being carried out.
    ConsentChanged(Consent),
    /// The queue is full for the first time, and its oldest records are dropped. [`Stats`](super::Stats) counts them.
    QueueFull,
    /// Nothing can be sent, because this environment variable names a proxy that cannot be used. Nothing is lost.
    UnusableProxy {
        /// Its name.
        variable: &'static str,
    },
    /// Nothing can be sent, and nothing is lost: who answers in the collector's place cannot prove that it is the collector.
    #[cfg(feature = "http")]
    UntrustedCertificate {
        /// What is wrong with its certificate.
        why: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled { result: Ok(()), .. } => f.write_str("the choice is carried out"),
            Self::Settled { result: Err(trouble), .. } => trouble.fmt(f),
            Self::Paused { status } => {
                write!(
                    f,
                    "the collector answers {status}: check the token and the endpoint; sending is paused, nothing is lost"
                )
            }
            Self::StoreTrouble(fault) => write!(f, "{fault}; records are kept in memory at most"),
            Self::ConsentChanged(consent) => f.write_str(consent.sentence()),
            Self::QueueFull => f.write_str("the queue is full: the oldest records are dropped"),
            Self::UnusableProxy { variable } => {
                write!(f, "{variable} names a proxy that cannot be used; nothing is sent, nothing is lost")
            }
            #[cfg(feature = "http")]
            Self::UntrustedCertificate { why } => write!(
                f,
                "the collector's certificate is not trusted: {why}; nothing is sent, nothing is lost; look at the clock, \
                 and for a proxy that opens what is encrypted"
            ),
        }
    }
}
