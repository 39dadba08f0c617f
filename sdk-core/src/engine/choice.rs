//! The person's choice, carried out: grants, withdrawals (C4), and choices made elsewhere (C9).

use super::books::Dropped;
use super::call::{Call, Kept};
use super::consent::{
    ConsentChange, ConsentRecord, ConsentState, Decision, DenyReason, Erasure, Verdict, counting_anew,
};
use super::effect::{
    Amendment, Done, Effect, Item, ItemKind, Notice, RecordRead, StoreFault, Ticket, Trouble, WipeScope,
};
use super::hold::Room;
use super::identity::{Identity, IdentityChange};
use super::input::Also;
use super::outcome::Outcome;
use super::store::Pending;
use super::time::{EventId, Secret};
use super::{Engine, Phase, Unclean};
use alloc::string::String;
use alloc::vec::Vec;

/// A purge is tried so often before what is left is reported.
const PURGE_TRIES: u32 = 3;

/// A consent call that waits for its turn.
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(super) enum Want {
    Grant { ticket: Ticket, id: EventId, secret: Secret, known: u64, at_ms: u64 },
    Deny { ticket: Ticket, also: Also, id: EventId, outbox: Vec<Erasure>, at_ms: u64 },
}

/// The one piece of consent or store work under way. Its effect's end is the next step.
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(super) enum Work {
    Opening,
    Establishing {
        known: u64,
    },
    Recovering {
        epoch: u64,
    },
    /// Making sure that a device exists.
    Naming {
        epoch: u64,
        fresh: Identity,
    },
    Granting {
        ticket: Ticket,
        id: EventId,
        epoch: u64,
        known: u64,
    },
    /// The grant could not be written: whether a refusal stands there that was not seen here.
    Unrecorded {
        ticket: Ticket,
        id: EventId,
        fault: StoreFault,
    },
    Withdrawing(Withdrawal),
}

/// The transaction of C4. Also runs, from its second step, for whatever else ends an `allow`.
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(super) struct Withdrawal {
    step: Step,
    ticket: Option<Ticket>,
    /// Data of older epochs goes; `None`: what stands without a record.
    before: Option<u64>,
    /// What the last wipe was to leave: data of this epoch and later ones.
    stays: u64,
    scope: WipeScope,
    tries: u32,
    trouble: Option<Trouble>,
    change: Option<ConsentChange>,
}

#[cfg_attr(feature = "simulation", derive(Debug))]
enum Step {
    Recording,
    Fencing,
    Purging,
    Verifying,
}

impl Withdrawal {
    fn purge(before: Option<u64>, scope: WipeScope) -> Self {
        Self {
            step: Step::Purging,
            ticket: None,
            before,
            stays: u64::MAX,
            scope,
            tries: 0,
            trouble: None,
            change: None,
        }
    }

    fn refusal(change: ConsentChange, ticket: Option<Ticket>) -> Self {
        let step = Step::Recording;
        Self {
            step,
            ticket,
            before: Some(0),
            stays: u64::MAX,
            scope: WipeScope::Store,
            tries: 0,
            trouble: None,
            change: Some(change),
        }
    }

    /// Whether the person's refusal is not yet in the record.
    pub(super) fn recording(&self) -> bool {
        matches!(self.step, Step::Recording)
    }
}

impl Engine {
    pub(super) fn opt_in(&mut self, id: EventId, secret: Secret) {
        let ticket = self.next_ticket();
        // A refusal that the person may have seen here; where the record is gone, or unreadable, none.
        let (known, at_ms) = (self.recorded_revision(), self.now.wall_ms);
        self.wants.push(Want::Grant { ticket, id, secret, known, at_ms });
        self.outcome = Outcome::Pending(ticket);
    }

    /// Everything in this process stops before this returns; the rest of C4 follows.
    pub(super) fn opt_out(&mut self, also: Also, id: EventId) {
        let outbox = self.erasures(also, id);
        self.stop(self.epoch.saturating_add(1));
        let ticket = self.next_ticket();
        self.wants.push(Want::Deny { ticket, also, id, outbox, at_ms: self.now.wall_ms });
        self.outcome = Outcome::Pending(ticket);
    }

    /// Starts the transaction of a consent call.
    pub(super) fn begin(&mut self, want: Want) {
        match want {
            Want::Grant { ticket, id, secret, known: at_call, at_ms } => {
                self.spare = Some(secret);
                self.retries.give_up_refusal();
                if matches!(self.consent, ConsentState::Unreadable) {
                    self.set_aside();
                    self.grant_in_process(id);
                    self.granted.push(ticket);
                } else {
                    // Also where it seems to be granted already: somebody else may have withdrawn meanwhile.
                    let (epoch, known, own) = (self.epoch, self.known_revision(), self.own_refusal);
                    let seen = self.recorded_revision();
                    let change = ConsentChange::Grant { epoch, known, seen, at_call, own, at_ms };
                    self.amend(Work::Granting { ticket, id, epoch, known }, change);
                }
            }
            Want::Deny { ticket, also, id, mut outbox, at_ms } => {
                // The device may have been read only after the call.
                if outbox.is_empty() {
                    outbox = self.erasures(also, id);
                }
                self.subject.forget();
                self.refuse(self.deny(at_ms, outbox), Some(ticket));
            }
        }
    }

    /// The newest revision ever seen here, also while the record cannot be read: what is written over it must outrank
    /// what others have seen (C9).
    fn known_revision(&self) -> u64 {
        self.seen_revision
    }

    /// The revision of the record as it was read last; 0 where there is none, or none can be read.
    pub(super) fn recorded_revision(&self) -> u64 {
        self.consent.record().map_or(0, |record| record.revision)
    }

    /// Takes what was read, or worked out of it, as what stands in the store.
    pub(super) fn set_consent(&mut self, state: ConsentState) {
        let has = |outbox: &[Erasure], id: &str| outbox.iter().any(|entry| entry.id == id);
        // What was asked for is still to be done, also where a record follows that does not know of it: the one before
        // was deleted, or could not be read by whoever wrote this one (C12).
        for entry in self.consent.record().map_or(&[][..], |known| &known.outbox) {
            if !entry.state.is_final() && !has(&self.retries.outbox, &entry.id) {
                self.retries.outbox.push(entry.clone());
            }
        }
        if let Some(record) = state.record() {
            self.seen_revision = self.seen_revision.max(record.revision);
            self.retries.outbox.retain(|lost| !has(&record.outbox, &lost.id));
        }
        self.consent = state;
        self.entrust();
        if self.queue.hold_behind(self.held_behind()) {
            self.release();
        }
    }

    /// A refusal of this moment, above everything that is known here.
    fn deny(&self, at_ms: u64, outbox: Vec<Erasure>) -> ConsentChange {
        let revision = self.known_revision().saturating_add(1);
        ConsentChange::Deny { epoch: self.epoch, revision, at_ms, outbox }
    }

    fn refuse(&mut self, change: ConsentChange, ticket: Option<Ticket>) {
        let withdrawal = Withdrawal::refusal(change.clone(), ticket);
        self.amend(Work::Withdrawing(withdrawal), change);
    }

    /// The person's refusal, where it is not recorded yet.
    pub(super) fn refusal(&self) -> Option<ConsentChange> {
        if let Some(Want::Deny { outbox, at_ms, .. }) = self.wants.last() {
            return Some(self.deny(*at_ms, outbox.clone()));
        }
        match &self.work {
            Some(Work::Withdrawing(withdrawal)) if self.wants.is_empty() && withdrawal.recording() => {
                withdrawal.change.clone()
            }
            _ => None,
        }
    }

    /// A refusal that could not be written is written as soon as it can be.
    pub(super) fn retry_refusal(&mut self) {
        if let Some(ConsentChange::Deny { at_ms, outbox, .. }) = self.retries.refusal.take() {
            self.refuse(self.deny(at_ms, outbox), None);
        }
    }

    fn work(&mut self, work: Work, effect: impl FnOnce(super::Op) -> Effect) {
        let op = self.next_op(Pending::Work);
        self.work = Some(work);
        self.effects.push_back(effect(op));
    }

    fn amend(&mut self, work: Work, change: ConsentChange) {
        let amendment = self.amendment(change);
        self.work(work, |op| Effect::Amend { op, amendment });
    }

    pub(super) fn amendment(&self, change: ConsentChange) -> Amendment {
        Amendment::consent(change, self.config.library.clone())
    }

    /// The effect of the work under way has ended.
    pub(super) fn work_done(&mut self, result: &Done) {
        let Some(work) = self.work.take() else { return };
        match (work, result) {
            (Work::Opening, Done::Opened { consent, identity, data }) => {
                self.opened(consent, identity, *data)
            }
            // A driver that cannot even look: nothing can be read.
            (Work::Opening, _) => self.opened(&RecordRead::Unreadable, &RecordRead::Unreadable, false),

            (Work::Establishing { known }, Done::Amended { read, changed }) => {
                self.learn(ConsentState::of(read), Some(known.saturating_add(u64::from(*changed))));
            }
            (Work::Establishing { .. }, result) => self.go_memory_only(result),

            (Work::Recovering { epoch }, Done::Recovered(recovered)) => self.recovered(epoch, recovered),
            (Work::Recovering { epoch }, result) => {
                self.go_memory_only(result);
                self.recovered(epoch, &super::Recovered::default());
            }

            (Work::Naming { .. }, Done::Refused(read)) => self.observe_consent(read),
            (Work::Naming { epoch, fresh }, result) => self.named(epoch, fresh, result),

            (Work::Granting { ticket, id, epoch, known }, Done::Amended { read, changed }) => {
                let changed = *changed;
                let state = ConsentState::of(read);
                // A higher epoch than asked for tells of a refusal that this process had not seen.
                let mine = state.record().is_some_and(|record| record.epoch <= epoch);
                self.learn(state, mine.then_some(known.saturating_add(u64::from(changed))));
                self.in_process = None;
                let granted =
                    self.consent.record().is_some_and(|record| record.decision == Decision::Granted);
                if changed && granted {
                    self.announce_grant(id);
                }
                if granted {
                    self.granted.push(ticket);
                } else {
                    self.settled(ticket, Err(Trouble::Overruled));
                }
            }
            (Work::Granting { ticket, id, .. }, result) => {
                let fault = fault_of(result);
                self.work(Work::Unrecorded { ticket, id, fault }, |op| Effect::Open { op });
            }
            (Work::Unrecorded { ticket, id, fault }, result) => {
                match result {
                    Done::Opened { consent, .. } => self.observe_consent(consent),
                    _ => self.observe_consent(&RecordRead::Unreadable),
                }
                if self.consent.record().is_some_and(|record| record.decision == Decision::Denied) {
                    // A stored refusal stands, and is over when the record says so: one that was made here and not
                    // written has been taken back.
                    self.in_process = None;
                } else {
                    // Otherwise the grant lasts for this process.
                    if matches!(self.consent, ConsentState::Unreadable) {
                        self.set_aside();
                    }
                    self.grant_in_process(id);
                }
                self.settled(ticket, Err(Trouble::NotRecorded(fault)));
            }

            (Work::Withdrawing(withdrawal), result) => self.advance(withdrawal, result),
        }
    }

    /// One step of a withdrawal is done: the next one.
    fn advance(&mut self, mut withdrawal: Withdrawal, result: &Done) {
        match withdrawal.step {
            Step::Recording => match result {
                Done::Amended { read, .. } => {
                    self.memory_only = false;
                    let asked = withdrawal.change.as_ref().map_or(0, ConsentChange::revision);
                    self.learn(ConsentState::of(read), Some(asked));
                    // If somebody else has written in between, theirs may be the later word of the same moment.
                    if self.consent.record().is_some_and(|record| record.revision == asked) {
                        self.own_refusal = asked;
                    }
                    let recorded = self.consent.record().map(|record| record.epoch);
                    withdrawal.before = recorded.or(Some(self.epoch));
                    withdrawal.step = Step::Fencing;
                    self.work(Work::Withdrawing(withdrawal), |op| Effect::Fence { op });
                }
                result => {
                    let fault = fault_of(result);
                    self.in_process = Some(Decision::Denied);
                    if fault != StoreFault::Absent {
                        self.retries.give_up_refusal();
                        self.retries.refusal = withdrawal.change;
                        self.retries.arm(self.now);
                    }
                    if let Some(ticket) = withdrawal.ticket {
                        self.settled(ticket, Err(Trouble::NotRecorded(fault)));
                    }
                }
            },
            Step::Fencing => {
                withdrawal.trouble = match result {
                    Done::Unfenced(who) => Some(Trouble::NotFenced(who.clone())),
                    Done::Failed(fault) => Some(Trouble::NotFenced(String::from(fault.as_str()))),
                    _ => None,
                };
                self.purge(withdrawal);
            }
            Step::Purging => {
                if let Done::Wiped { items, before } = result {
                    self.books.wiped = self.books.wiped.saturating_add(*items);
                    withdrawal.stays = *before;
                }
                withdrawal.step = Step::Verifying;
                self.work(Work::Withdrawing(withdrawal), |op| Effect::List { op });
            }
            Step::Verifying => {
                let left = match result {
                    Done::Listed(items) => leftovers(items, withdrawal.stays),
                    result => Vec::from([String::from(fault_of(result).as_str())]),
                };
                if !left.is_empty() && withdrawal.tries < PURGE_TRIES {
                    return self.purge(withdrawal);
                }
                if left.is_empty() {
                    self.unclean = Unclean::No;
                } else {
                    // Orphans stay orphans: no record that is made later makes them its own (C8).
                    if self.unclean == Unclean::No {
                        self.unclean = Unclean::Data;
                    }
                    self.retries.purge_failed = true;
                    self.retries.arm(self.now);
                    withdrawal.trouble = Some(Trouble::NotPurged(left));
                }
                if let Some(ticket) = withdrawal.ticket {
                    self.settled(ticket, withdrawal.trouble.map_or(Ok(()), Err));
                }
            }
        }
    }

    fn purge(&mut self, mut withdrawal: Withdrawal) {
        withdrawal.step = Step::Purging;
        withdrawal.tries += 1;
        let (before, scope) = (withdrawal.before, withdrawal.scope);
        self.work(Work::Withdrawing(withdrawal), |op| Effect::Wipe { op, before, scope });
    }

    /// The consent record as somebody has just read it.
    pub(super) fn observe_consent(&mut self, read: &RecordRead) {
        if self.phase != Phase::Ready {
            return;
        }
        let state = ConsentState::of(read);
        match (&state, &self.consent) {
            // Read before the newest was written, or made after that was deleted or could not be read, and so numbered
            // anew: another look tells. Until then no permit opens against it.
            (ConsentState::Found(new), ConsentState::Found(old)) if !new.outranks(old) => {
                if new != old {
                    self.look();
                }
            }
            (ConsentState::Absent, ConsentState::Absent) => {}
            (ConsentState::Absent, _) => self.record_lost(state),
            // Nothing is collected while it cannot be read; what was accepted waits, and it is looked at again. Behind
            // what cannot be read may stand a refusal, and what is held was captured before it (C6).
            (ConsentState::Unreadable, _) => {
                self.drop_ring();
                self.set_consent(state);
                self.retries.arm(self.now);
            }
            (ConsentState::Found(_), _) => self.learn(state, None),
        }
    }

    /// The record as another look has found it: nothing that is known here was written later.
    pub(super) fn looked(&mut self, read: &RecordRead) {
        let state = ConsentState::of(read);
        match (&state, &self.consent) {
            (ConsentState::Found(new), ConsentState::Found(old)) if new != old && !new.outranks(old) => {
                self.record_lost(state);
            }
            _ => self.observe_consent(read),
        }
    }

    /// Somebody has deleted the record that was known here, and perhaps another one was made since.
    fn record_lost(&mut self, state: ConsentState) {
        // A refusal that this process has seen still holds here, and is written again (C7), unless the person has
        // agreed since, or is about to.
        let agreed = |since: u64| {
            let granted = |new: &ConsentRecord| new.decision == Decision::Granted && new.at_ms > since;
            self.choosing() == Some(Decision::Granted) || state.record().is_some_and(granted)
        };
        let known = self.consent.record().filter(|known| known.decision == Decision::Denied);
        if let Some(known) = known.filter(|known| !agreed(known.at_ms)) {
            let (epoch, revision, at_ms) = (self.epoch, known.revision, known.at_ms);
            self.retries.give_up_refusal();
            self.retries.refusal = Some(ConsentChange::Deny { epoch, revision, at_ms, outbox: Vec::new() });
            self.retries.arm(self.now);
            self.in_process = Some(Decision::Denied);
        }
        if state.record().is_some() {
            // What has happened between the two cannot be told: perhaps a refusal, and what is here was captured before it
            // (C6).
            self.stop(self.epoch.saturating_add(1));
            self.unclean = Unclean::Data;
            return self.learn(state, None);
        }
        // What stands there now stands without a record (C8). Others may have counted on since it was last read here;
        // whatever is written now is above that.
        self.stop(self.epoch.saturating_add(1).max(counting_anew(self.now.wall_ms)));
        self.unclean = Unclean::Orphans;
        self.set_consent(state);
    }

    /// Takes a newer record as the truth. `asked` is the revision that a change made here would have; any other one
    /// tells of somebody else's word. If that was a refusal, standing or already taken back (the epoch tells), then
    /// whatever this process has captured was captured before a withdrawal (C6).
    fn learn(&mut self, state: ConsentState, asked: Option<u64>) {
        let Some(record) = state.record() else { return };
        let (epoch, denied, granted) =
            (record.epoch, record.decision == Decision::Denied, record.decision == Decision::Granted);
        let mine = asked == Some(record.revision);
        let known = self.consent.record();
        // The same refusal with another note in its outbox is none.
        let same = known.is_some_and(|known| known.decision == Decision::Denied && known.epoch == epoch);
        // Where the epoch is a lower one, the record known here was deleted, and what has happened since cannot be told.
        let renewed = known.map_or(epoch > 1, |known| known.epoch != epoch);
        let withdrawn = !mine && (denied && !same || renewed);
        // A decision that could not be written ends with the record's; a refusal is still to be written.
        if mine || self.in_process == Some(Decision::Granted) && (withdrawn || granted) {
            let before = self.in_process.take();
            if before == Some(Decision::Granted) {
                // Who has lived in memory is not yet the device that the store knows (C9).
                self.retries.identity_missing = true;
                self.retries.arm(self.now);
            }
            // What was set aside is taken up again.
            if before.is_some() && matches!(self.consent, ConsentState::Unreadable) {
                self.opened_epoch = None;
            }
        }
        self.set_consent(state);
        if withdrawn {
            self.drop_ring();
            // A refusal that was numbered anew may not be above what is open here; it is the later word all the same.
            let above = epoch > self.epoch || epoch == self.epoch && !self.collects();
            self.stop(if above { epoch } else { self.epoch.saturating_add(1) });
            self.unclean = Unclean::Data;
        } else if epoch > self.epoch {
            self.epoch = epoch;
            self.fence.raise(epoch);
        }
    }

    /// Ends collection in this process, at once: raises the epoch, kills every permit, aborts requests, forgets
    /// records and identity. What the store holds is purged afterwards.
    fn stop(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.fence.raise(epoch);
        self.memory_only = false;
        self.drop_data();
    }

    /// Aborts requests and forgets records and identity; grants come no further.
    fn drop_data(&mut self) {
        self.abandon_data();
        let dropped = self.queue.clear();
        self.books.drop_records(Dropped::Withdrawn, dropped);
        self.subject.forget();
        self.draft = String::new();
        self.opened_epoch = None;
        self.retries.forget_data();
        self.settle_grants();
    }

    fn drop_ring(&mut self) {
        let dropped = self.ring.clear();
        self.books.drop_records(Dropped::Withdrawn, dropped);
    }

    /// A refusal ends what an `allow` has begun, also while other work is under way.
    pub(super) fn stop_if_denied(&mut self, verdict: Verdict) {
        if let Verdict::Deny(reason) = verdict {
            self.drop_ring();
            // What cannot be read may be readable again in a moment; what was accepted waits until then.
            if reason != DenyReason::StoreUnavailable {
                self.stop_if_open();
            }
        }
    }

    /// Whether there may be data of this epoch.
    fn collects(&self) -> bool {
        self.opened_epoch.is_some() || self.subject.identity().is_some()
    }

    fn stop_if_open(&mut self) {
        if self.collects() {
            self.stop(self.epoch.saturating_add(1));
            if self.unclean == Unclean::No {
                self.unclean = Unclean::Data;
            }
        }
    }

    /// The verdict does not allow: what an `allow` has left is purged, from C4's second step on.
    pub(super) fn settle_closed(&mut self, verdict: Verdict) {
        self.stop_if_denied(verdict);
        self.ring.make_room(0, 0, Room::for_decision(&self.config), &mut self.books);
        self.settle_grants();
        if verdict == Verdict::Deny(DenyReason::StoreUnavailable) {
            return;
        }
        // After a refusal it has happened; a choice may also have come to be none.
        self.stop_if_open();
        let refused = self.consent.record().is_some_and(|record| record.decision == Decision::Denied);
        // A refusal that is not recorded yet is written first (C4).
        if self.in_process.is_some() && !refused || self.retries.purge_failed {
            return;
        }
        let by_person = verdict == Verdict::Deny(DenyReason::Person);
        match self.unclean {
            Unclean::No => {}
            Unclean::Orphans => self.purge(Withdrawal::purge(None, WipeScope::Own)),
            Unclean::Data => {
                // A recorded refusal has raised the epoch already; a signal or a setting has not.
                let recorded = self.consent.record().map_or(0, |record| record.epoch);
                if !by_person && self.epoch <= recorded {
                    self.stop(recorded.saturating_add(1));
                }
                let (before, scope) = if by_person {
                    (self.epoch.max(recorded), WipeScope::Store)
                } else {
                    (self.epoch, WipeScope::Own)
                };
                self.purge(Withdrawal::purge(Some(before), scope));
            }
        }
    }

    /// The verdict allows: the record is there before any data (C8), then the queue is taken over, then a device
    /// exists; then held calls are made, and records leave.
    pub(super) fn settle_open(&mut self) {
        if self.unclean == Unclean::Orphans && !self.memory_only {
            if self.retries.purge_failed {
                return;
            }
            return self.purge(Withdrawal::purge(None, WipeScope::Own));
        }
        if self.durable() {
            let recorded = self.consent.record().is_some_and(|record| record.epoch >= self.epoch);
            if !recorded {
                let known = self.known_revision();
                let change = ConsentChange::Establish { epoch: self.epoch, known, at_ms: self.now.wall_ms };
                return self.amend(Work::Establishing { known }, change);
            }
            if self.opened_epoch != Some(self.epoch) {
                let epoch = self.epoch;
                return self.work(Work::Recovering { epoch }, |op| Effect::Recover { op, epoch });
            }
        }
        self.opened_epoch = Some(self.epoch);
        if self.subject.identity().is_none() {
            let Some(secret) = self.spare.take() else { return };
            let fresh = Identity::fresh(self.epoch, secret);
            if self.durable() {
                let epoch = self.epoch;
                let amendment = self.identity_amendment(IdentityChange::Ensure(fresh.clone()));
                return self.work(Work::Naming { epoch, fresh }, |op| Effect::Amend { op, amendment });
            }
            self.subject.set(Some(fresh));
        }
        if !self.ring.is_empty() {
            self.replay_ring();
            self.opened_through = self.queue.next_number();
        }
        self.settle_grants();
        self.deliver();
    }

    /// The store was asked for a device. Should it fail, the fresh one lives in memory until the store works again.
    fn named(&mut self, epoch: u64, fresh: Identity, result: &Done) {
        if epoch != self.epoch {
            return;
        }
        let stored = match result {
            Done::Amended { read, .. } => Identity::of(read).filter(|identity| identity.epoch == epoch),
            _ => None,
        };
        if stored.is_none() {
            self.notify(Notice::StoreTrouble(fault_of(result)));
            self.retries.identity_missing = true;
            self.retries.arm(self.now);
        }
        self.retries.device = stored.as_ref().map(|identity| identity.secret);
        self.subject.set(Some(stored.unwrap_or(fresh)));
    }

    /// The store takes nothing: this process goes on in memory, until it does.
    fn go_memory_only(&mut self, result: &Done) {
        self.memory_only = true;
        if fault_of(result) != StoreFault::Absent {
            self.retries.identity_missing = true;
            self.retries.arm(self.now);
        }
        self.notify(Notice::StoreTrouble(fault_of(result)));
    }

    /// Somebody agrees although the record cannot be read. Behind it may stand a refusal, and whatever is in memory was
    /// captured before it (C6). What the store holds stays, for when the record can be read.
    fn set_aside(&mut self) {
        if self.in_process == Some(Decision::Granted) {
            return;
        }
        self.drop_ring();
        self.drop_data();
    }

    fn grant_in_process(&mut self, id: EventId) {
        let already = self.in_process == Some(Decision::Granted);
        self.in_process = Some(Decision::Granted);
        if !already {
            self.announce_grant(id);
        }
    }

    /// The transition is an event of its own, once (C11), after what was held.
    fn announce_grant(&mut self, id: EventId) {
        // One that is taken back already is not announced: it would wait here for the next one.
        if self.wants.iter().any(|want| matches!(want, Want::Deny { .. })) {
            return;
        }
        let outcome = self.outcome;
        if self.hold(Kept::new(self.now, Call::track("$opt_in", "{}", id))) {
            self.books.tracked += 1;
        }
        self.outcome = outcome;
    }

    /// Grants have come as far as they can for now.
    fn settle_grants(&mut self) {
        for ticket in core::mem::take(&mut self.granted) {
            self.settled(ticket, Ok(()));
        }
    }

    fn settled(&mut self, ticket: Ticket, result: Result<(), Trouble>) {
        self.notify(Notice::Settled { ticket, result });
    }
}

/// What C3 does not allow to be left.
fn leftovers(items: &[Item], before: u64) -> Vec<String> {
    let mut left = Vec::new();
    for item in items {
        if let ItemKind::Data(epoch) = item.kind
            && epoch.is_none_or(|epoch| epoch < before)
        {
            left.push(item.name.clone());
        }
    }
    left
}

/// What went wrong, where a driver did not end an effect as it should.
fn fault_of(result: &Done) -> StoreFault {
    match result {
        Done::Failed(fault) => *fault,
        _ => StoreFault::Other,
    }
}
