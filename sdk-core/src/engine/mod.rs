//! The engine: everything that Refrain decides, and nothing that it does.
//!
//! A *sans-IO* machine. Whatever happens is an [`Input`]; whatever has to be done outside is an [`Effect`]; a driver
//! stands between the engine and clocks, threads, files, tabs and sockets, and decides nothing itself.
//!
//! ```text
//!  host ──calls──►┌────────┐──Effect──► driver ──► store (records, queue)
//!                 │ Engine │                  └──► transport (one request a lane)
//!  clock ──Tick──►└────────┘◄──Done─── driver ◄── how each effect ended
//! ```
//!
//! The contract:
//!
//! * [`Engine::handle`] takes one input and its moment and lends out [`Effects`]: a second input before they are taken
//!   does not compile. Effects that were not taken stay queued, in order. Across bindings, where a borrow
//!   cannot pass, [`Engine::next_effect`] reads the same queue.
//! * Storage effects are executed in order, with these exceptions: the steps of a person's choice (amendments of the
//!   consent record, fence, wipe, list) may overtake all others, in order among themselves; records may be released
//!   after records have been appended that were asked for later. A page that is being left, and will get to nothing
//!   else, may append and release records before everything queued ahead of them. Every effect with an [`Op`] ends in
//!   exactly one [`Input::Done`]; late and unknown ones do nothing. The steps of a withdrawal (C4) advance only on
//!   them.
//! * [`Engine::next_wakeup`] says when the next [`Input::Tick`] is due. Spurious ticks do nothing.
//! * No clock, no randomness, no environment, no hash order: the same inputs give the same effects.
//! * It never panics, never blocks, and does bounded work for each input.
//!
//! One function answers "may I?" (C1): the gate in this file. What leaves for disk or network leaves in a
//! [`Permit`], which only opens against the consent record as it reads at that moment (C2).
#![doc = include_str!("rules.md")]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod books;
mod call;
mod calls;
mod choice;
mod config;
mod consent;
mod effect;
mod hold;
mod identity;
mod input;
mod limits;
mod message;
mod outbox;
mod outcome;
mod permit;
#[cfg(feature = "personal-data")]
mod personal;
mod policy;
mod queue;
mod sending;
mod sha256;
mod store;
mod subject;
mod time;

pub use books::{Dropped, Stats};
pub use call::{Call, CallKind};
pub use config::{Config, ConfigError, DefaultConsent, IdMerge};
pub use consent::{
    Consent, ConsentRecord, ConsentState, Decision, DenyReason, Erasure, ErasureKind, ErasureState, Signals,
    Verdict,
};
pub use effect::{
    Amended, Amendment, Answer, ConsentError, Done, Effect, Entry, Item, ItemKind, Lane, Notice, Op,
    RecordId, RecordName, RecordRead, Recovered, RecoveredRecord, Request, StoreFault, Ticket, WipeScope,
    wipe_before,
};
pub use identity::identity_is_before;
pub use input::{Also, Input, Lifecycle};
pub use outcome::{FlushMark, FlushState, Outcome, Rejection};
pub use permit::{OutboxPermit, Permit, Refused};
#[cfg(feature = "personal-data")]
pub use personal::{PersonalDataKind, PersonalDataMode};
pub use time::{EventId, Now, Secret};

#[cfg(feature = "native")]
pub(crate) use message::captured_ms;

use crate::json::Survey;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use choice::{Want, Work};
use consent::ConsentChange;
use hold::Ring;
use identity::Identity;
use outbox::Outbox;
use permit::{Basis, Fence};
use queue::Queue;
use sending::Delivery;
use store::{Pending, Retries};
use subject::Subject;

/// The state of one client. See the [module](self) for its contract.
pub struct Engine {
    config: Config,
    now: Now,
    phase: Phase,
    /// Whether somebody has told of another consent record before the store was open: it is read once more then.
    told: bool,

    /// The newest consent record seen, and what goes with it.
    consent: ConsentState,
    /// A decision that the store could not take; for this process only.
    in_process: Option<Decision>,
    /// The revision and the moment of the refusal in the record as it was last readable (C8).
    refused: Option<(u64, u64)>,
    /// The epoch of the record as it was last readable; `None` where there was none.
    known_epoch: Option<u64>,
    signals: Signals,
    /// At least the record's; + 1 whenever the verdict stops being `allow`.
    epoch: u64,
    fence: Fence,
    /// Consent calls, one transaction after the other.
    wants: Vec<Want>,
    work: Option<Work>,
    /// Grants whose callers wait until records are accepted again.
    granted: Vec<Ticket>,
    /// The newest revision of the record ever seen here.
    seen_revision: u64,
    /// The revision of the newest refusal that this process has written.
    own_refusal: u64,
    /// Whether the store may hold data that the verdict does not allow; wiped before anything else.
    unclean: Unclean,

    /// The epoch whose queue has been taken over.
    opened_epoch: Option<u64>,
    /// The number in the queue before which stands what came into it when it was opened.
    opened_through: u64,
    /// The store cannot take data; records live in memory.
    memory_only: bool,
    subject: Subject,
    /// For the next device id.
    spare: Option<Secret>,
    ring: Ring,
    queue: Queue,
    /// In the order of [`Lane::ALL`].
    deliveries: [Delivery; Lane::ALL.len()],
    /// Requests that failed, for flush marks.
    failures: u64,
    outbox: Outbox,
    retries: Retries,
    random: u64,
    /// Of the properties of the call under way.
    survey: Survey,
    /// Where events are put together: empty between two calls.
    draft: String,

    books: Stats,
    outcome: Outcome,
    effects: VecDeque<Effect>,
    /// What the host has heard last of where consent stands.
    announced: Option<Consent>,
    pending: Vec<(Op, Pending)>,
    last_number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Opening,
    Ready,
}

/// What must go from the store before anything else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unclean {
    No,
    /// Data stands there; whether it may stay depends on the verdict.
    Data,
    /// Data stands there without a consent record (C8).
    Orphans,
}

impl Engine {
    /// A new engine. It reads and writes nothing before [`Input::Start`]; calls are legal before it.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        #[cfg(feature = "personal-data")]
        let (config, books) = personal::checked(config)?;
        Ok(Self {
            deliveries: sending::deliveries(&config),
            config,
            now: Now::default(),
            phase: Phase::Created,
            told: false,
            consent: ConsentState::Absent,
            in_process: None,
            refused: None,
            known_epoch: None,
            signals: Signals::default(),
            epoch: 0,
            fence: Fence::default(),
            wants: Vec::new(),
            work: None,
            granted: Vec::new(),
            seen_revision: 0,
            own_refusal: 0,
            unclean: Unclean::No,
            opened_epoch: None,
            opened_through: 0,
            memory_only: false,
            subject: Subject::default(),
            spare: None,
            ring: Ring::default(),
            queue: Queue::default(),
            failures: 0,
            outbox: Outbox::default(),
            retries: Retries::default(),
            random: 0,
            survey: Survey::default(),
            draft: String::new(),
            #[cfg(feature = "personal-data")]
            books,
            #[cfg(not(feature = "personal-data"))]
            books: Stats::default(),
            outcome: Outcome::Nothing,
            effects: VecDeque::new(),
            announced: None,
            pending: Vec::new(),
            last_number: 0,
        })
    }

    /// Takes one input and lends out what is to be done about it.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Effects<'_> {
        self.now = Now { wall_ms: now.wall_ms, mono_ms: now.mono_ms.max(self.now.mono_ms) };
        self.outcome = Outcome::Nothing;
        match input {
            Input::Start { secret } => self.start(secret),
            Input::Call(call) => self.call(call),
            Input::OptIn { id, secret } => self.opt_in(id, secret),
            Input::OptOut { also, id } => self.opt_out(also, id),
            Input::Signals(signals) => self.signals = signals,
            Input::Flush => self.flush(),
            Input::Lifecycle(lifecycle) => self.lifecycle(lifecycle),
            Input::Tick { secret } => self.tick(secret),
            Input::RecordChanged { name: RecordName::Consent, read } => self.observe_consent(&read),
            Input::RecordChanged { name: RecordName::Identity, read } => self.observe_identity(&read),
            Input::Done { op, result } => self.done(op, result),
        }
        self.settle();
        self.announce_consent();
        Effects(self)
    }

    /// The next effect that was not taken yet.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What became of the last input.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When the next [`Input::Tick`] is due, on the monotonic clock; `None` while nothing waits for time. May have
    /// changed after every input.
    pub fn next_wakeup(&self) -> Option<u64> {
        let needs_secret =
            self.spare.is_none() && self.phase == Phase::Ready && self.verdict() == Verdict::Allow;
        let waits = [
            (needs_secret && self.subject.identity().is_none() && self.work.is_none())
                .then_some(self.now.mono_ms),
            self.ring.expires_at(&self.config),
            self.sending_due(),
            self.outbox_due(),
            self.retries.due(),
        ];
        waits.iter().fold(None, |soonest, due| sooner(soonest, *due))
    }

    /// Whether the store has been opened, so that answers reflect what it remembers.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the store has been opened, and no consent call or step that it led to is under way.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Ready && self.work.is_none() && self.wants.is_empty()
    }

    /// Whether the store holds whom records are about, and what goes with them, as far as it was asked to.
    pub fn is_identity_stored(&self) -> bool {
        !self.retries.identity_missing
    }

    /// What the environment says.
    pub fn signals(&self) -> Signals {
        self.signals
    }

    /// Calls that wait for a decision: records, and what is to be known of whom they are about.
    pub fn held_calls(&self) -> usize {
        self.ring.len()
    }

    /// Where consent stands.
    pub fn consent(&self) -> Consent {
        let decision = self.choosing().unwrap_or_else(|| {
            let recorded = self.consent.record().map(|record| record.decision);
            self.in_process.or(recorded).or(self.refused.map(|_| Decision::Denied)).unwrap_or_default()
        });
        Consent { decision, verdict: self.verdict() }
    }

    /// The books.
    pub fn stats(&self) -> Stats {
        Stats {
            queued: self.queue.len() as u64,
            queued_bytes: self.queue.bytes(),
            held: self.ring.records(),
            ..self.books
        }
    }

    /// What goes as `distinct_id` now; `None` while no identifier exists.
    pub fn distinct_id(&self) -> Option<String> {
        self.subject.identity().map(Identity::distinct_id)
    }

    /// The device id; `None` while none exists.
    pub fn device_id(&self) -> Option<String> {
        self.subject.identity().map(|identity| identity.device_id.clone())
    }

    /// The super properties that the store holds: the text of an object.
    pub fn super_properties(&self) -> &str {
        self.subject.identity().map_or("{}", |identity| &identity.super_properties)
    }

    /// The super properties of this session only: the text of an object, or nothing.
    pub fn session_properties(&self) -> &str {
        self.subject.session()
    }

    /// Running timers of events.
    pub fn timers(&self) -> usize {
        self.subject.timers()
    }

    /// The erasure outbox (C12), with what a record that somebody has deleted held of it, and what a refusal asks for that
    /// could not be written yet.
    pub fn erasure_outbox(&self) -> Vec<&Erasure> {
        let unwritten = match &self.retries.refusal {
            Some(ConsentChange::Deny { outbox, .. }) => outbox.as_slice(),
            _ => &[],
        };
        let mut entries = Vec::new();
        for outbox in [self.recorded_outbox(), &self.retries.outbox, unwritten] {
            for entry in outbox {
                entries.push(entry);
            }
        }
        entries
    }

    fn recorded_outbox(&self) -> &[Erasure] {
        self.consent.record().map_or(&[], |record| &record.outbox)
    }

    /// What the engine will do next, and with what: two engines that say the same here behave alike.
    /// For the project's own search through states.
    #[cfg(feature = "simulation")]
    pub fn fingerprint(&self) -> String {
        let since = |at: u64| at.saturating_sub(self.now.mono_ms);
        let deliveries = self.deliveries.iter().map(|delivery| delivery.fingerprint(self.now.mono_ms));
        let pending: Vec<_> = self.pending.iter().map(|(_, pending)| pending).collect();
        alloc::format!(
            "{:?}",
            (
                (
                    (self.phase, self.told),
                    &self.consent,
                    (self.in_process, self.refused, self.known_epoch),
                    self.signals,
                    self.epoch,
                    &self.wants,
                    &self.work
                ),
                (self.seen_revision, self.own_refusal, self.granted.len(), self.unclean, self.opened_epoch),
                (
                    self.memory_only,
                    self.subject.identity(),
                    self.spare.is_some(),
                    self.ring.fingerprint(),
                    self.queue.fingerprint()
                ),
                (
                    deliveries.collect::<Vec<_>>(),
                    self.outbox.fingerprint(self.now.mono_ms),
                    &self.retries,
                    pending
                ),
                self.next_wakeup().map(since),
            )
        )
    }

    /// The consent epoch that holds here now.
    #[cfg(feature = "flight-recorder")]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Draws jitter from this seed from now on. A recording names its seed: one that came from a device's secret would
    /// betray it, or be another one once secrets are replaced. Called right after [`Input::Start`].
    #[cfg(feature = "flight-recorder")]
    pub fn reseed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        let request = |(_, pending): &&_| matches!(pending, Pending::Send { .. } | Pending::Erasure { .. });
        self.pending.iter().filter(request).count()
    }

    /// How far a flush has come.
    fn flush_state(&self, mark: FlushMark) -> FlushState {
        let through = mark.through.unwrap_or(self.opened_through);
        if self.failures > mark.failures {
            FlushState::Failing
        } else if self.is_opening() || self.queue.oldest_number().is_some_and(|number| number < through) {
            FlushState::Underway
        } else {
            FlushState::Done
        }
    }

    /// The record that holds the person's refusal, for a driver that can write a copy of it before anything else: what
    /// stands there now becomes this. `None` unless a refusal is still to be recorded, and before the store has been
    /// looked at: whose erasure it asks for is not known then.
    pub fn refusal_over(&self, read: &RecordRead) -> Option<String> {
        if self.phase != Phase::Ready {
            return None;
        }
        match self.refusal()?.apply(read, &RecordRead::Absent, 0, &self.config.library) {
            Amended::Write(text) => Some(text),
            _ => None,
        }
    }

    /// Whether something is on its way into the queue: what an earlier run has left, and calls that are held, but not
    /// for want of a decision.
    fn is_opening(&self) -> bool {
        let is_open = self.opened_epoch == Some(self.epoch) && self.ring.is_empty();
        self.phase != Phase::Ready
            || self.choosing() == Some(Decision::Granted)
            || (self.verdict() == Verdict::Allow && !is_open)
    }

    /// How a flush has ended for who waits for it until this moment on the monotonic clock; `None` while that is worth
    /// it. It is not where nothing is under way, and what is left is to wait for longer.
    pub fn flush_end(&self, mark: FlushMark, until_ms: u64) -> Option<FlushState> {
        let state = self.flush_state(mark);
        let rests = || {
            self.is_settled() && self.in_flight() == 0 && self.next_wakeup().is_none_or(|at| at > until_ms)
        };
        (state != FlushState::Underway || rests()).then_some(state)
    }

    /// What the rules and the record say.
    fn verdict(&self) -> Verdict {
        match self.choosing() {
            Some(Decision::Denied) => Verdict::Deny(DenyReason::Person),
            Some(_) => Verdict::Hold,
            None if self.phase != Phase::Ready => Verdict::Hold,
            None => self.recorded_verdict(),
        }
    }

    /// What follows without the word that is not recorded yet.
    fn recorded_verdict(&self) -> Verdict {
        consent::verdict(&self.consent, self.in_process, self.signals, &self.config)
    }

    /// The person's last word, while it is not recorded yet.
    fn choosing(&self) -> Option<Decision> {
        match (self.wants.last(), &self.work) {
            (Some(Want::Deny { .. }), _) => Some(Decision::Denied),
            (Some(Want::Grant { .. }), _) | (None, Some(Work::Granting { .. } | Work::Unrecorded { .. })) => {
                Some(Decision::Granted)
            }
            (None, Some(Work::Withdrawing(withdrawal))) if withdrawal.recording() => Some(Decision::Denied),
            _ => None,
        }
    }

    /// "May I?" (C1): the verdict, and `Hold` while an allowed client is not ready yet.
    fn gate(&self) -> Verdict {
        match self.verdict() {
            Verdict::Allow if self.subject.identity().is_none() || self.opened_epoch != Some(self.epoch) => {
                Verdict::Hold
            }
            Verdict::Allow if self.work.is_some() => Verdict::Hold,
            verdict => verdict,
        }
    }

    /// The ground for permits.
    fn basis(&self) -> Basis {
        if self.in_process.is_some() || self.memory_only {
            let revision = self.consent.record().map(|record| record.revision);
            Basis::InProcess { revision, decided: self.in_process.is_some() }
        } else {
            Basis::Recorded
        }
    }

    /// Whether records go to the store.
    fn durable(&self) -> bool {
        self.basis() == Basis::Recorded
    }

    fn permit<T>(&self, content: T) -> Permit<T> {
        Permit::new(content, self.epoch, self.basis(), &self.fence)
    }

    fn next_op(&mut self, pending: Pending) -> Op {
        let op = self.unbooked_op();
        self.pending.push((op, pending));
        op
    }

    /// The number of an effect from whose end nothing follows.
    fn unbooked_op(&mut self) -> Op {
        self.last_number += 1;
        Op(self.last_number << 1)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_number += 1;
        Ticket(self.last_number)
    }

    fn notify(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notify(notice));
    }

    /// Has the host hear where consent stands, once that is known and whenever it has changed.
    fn announce_consent(&mut self) {
        let consent = self.consent();
        if self.phase == Phase::Ready && self.choosing().is_none() && self.announced != Some(consent) {
            self.announced = Some(consent);
            self.notify(Notice::ConsentChanged(consent));
        }
    }

    /// A number for jitter: nobody is harmed by guessing it (splitmix64).
    fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % bound.max(1)
    }

    fn tick(&mut self, secret: Secret) {
        self.spare.get_or_insert(secret);
        self.expire_ring();
        self.expire_queue();
        self.retry_store();
    }

    /// Does whatever is due next. Called after every input; starts at most one piece of consent or store work,
    /// whose end is an input again.
    fn settle(&mut self) {
        if self.phase != Phase::Ready {
            // The person may have refused already, and may agree again before the store is open (C6).
            return self.stop_if_denied(self.verdict());
        }
        while self.work.is_none() {
            if self.wants.is_empty() || self.purge_before_grant() {
                break;
            }
            let want = self.wants.remove(0);
            self.begin(want);
        }
        match self.verdict() {
            // Its end comes back here; what may no longer leave stops at once.
            verdict if self.work.is_some() => self.stop_if_denied(verdict),
            Verdict::Allow => self.settle_open(),
            verdict => self.settle_closed(verdict),
        }
        self.send_erasures();
    }
}

/// The earlier one of two moments that may not come.
fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

/// What is to be done, in order. Dropping it leaves the rest queued.
#[must_use = "execute the effects, in order, before the next input"]
pub struct Effects<'e>(&'e mut Engine);

impl Effects<'_> {
    /// What became of the input.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

impl Iterator for Effects<'_> {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        self.0.next_effect()
    }
}

#[cfg(test)]
mod tests;
