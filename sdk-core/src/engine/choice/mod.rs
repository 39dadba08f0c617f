//! The person's choice, carried out. Consent calls take their turns here, and grants come through; withdrawals (C4) and
//! choices made elsewhere (C9) have files of their own.

mod elsewhere;
mod withdrawal;

use super::books::Dropped;
use super::call::{Call, Kept};
use super::consent::{ConsentChange, ConsentRecord, ConsentState, Decision, Erasure};
use super::effect::{
    Amendment, ConsentError, Done, Effect, Notice, RecordRead, StoreFault, Ticket, WipeScope,
};
use super::identity::{Identity, IdentityChange};
use super::input::Also;
use super::outbox::Asked;
use super::outcome::Outcome;
use super::store::Pending;
use super::time::{EventId, Secret};
use super::{Engine, Unclean};
use alloc::vec::Vec;
use withdrawal::Withdrawal;

/// A consent call that waits for its turn.
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(super) enum Want {
    Grant { ticket: Ticket, id: EventId, secret: Secret, known: u64, at_ms: u64 },
    Deny { ticket: Ticket, also: Also, id: EventId, outbox: Vec<Erasure>, asked: Option<Asked>, at_ms: u64 },
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
        at_ms: u64,
    },
    /// The grant could not be written: whether a refusal stands there that was not seen here, or the grant all the same.
    Unrecorded {
        ticket: Ticket,
        id: EventId,
        known: u64,
        at_ms: u64,
        fault: StoreFault,
    },
    Withdrawing(Withdrawal),
}

impl Engine {
    pub(super) fn opt_in(&mut self, id: EventId, secret: Secret) {
        self.expire_ring();
        let ticket = self.next_ticket();
        // A refusal that the person may have seen here; where the record is gone, or unreadable, none.
        let (known, at_ms) = (self.recorded_revision(), self.now.wall_ms);
        self.wants.push(Want::Grant { ticket, id, secret, known, at_ms });
        self.outcome = Outcome::Pending(ticket);
    }

    /// Everything in this process stops before this returns; the rest of C4 follows.
    pub(super) fn opt_out(&mut self, also: Also, id: EventId) {
        let (outbox, asked) = (self.erasures(also, id), self.asked(also, id));
        self.stop(self.epoch.saturating_add(1));
        let ticket = self.next_ticket();
        self.wants.push(Want::Deny { ticket, also, id, outbox, asked, at_ms: self.now.wall_ms });
        self.outcome = Outcome::Pending(ticket);
    }

    /// Starts the transaction of a consent call.
    pub(super) fn begin(&mut self, want: Want) {
        match want {
            Want::Grant { ticket, id, secret, known: at_call, at_ms } => {
                self.spare = Some(secret);
                self.retries.give_up_refusal();
                self.hold_behind();
                if matches!(self.consent, ConsentState::Unreadable) {
                    self.set_aside();
                    self.grant_in_process(id);
                    self.granted.push(ticket);
                } else {
                    // Also where it seems to be granted already: somebody else may have withdrawn meanwhile.
                    let (epoch, known, own) = (self.epoch, self.known_revision(), self.own_refusal);
                    let seen = self.recorded_revision();
                    let change = ConsentChange::Grant { epoch, known, seen, at_call, own, at_ms };
                    self.amend(Work::Granting { ticket, id, epoch, known, at_ms }, change);
                }
            }
            Want::Deny { ticket, also, id, mut outbox, asked, at_ms } => {
                // The device may have been read only after the call.
                if outbox.is_empty() {
                    outbox = self.erasures(also, id);
                }
                self.subject.forget();
                self.refuse(self.deny(at_ms, outbox, asked), Some(ticket));
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
    pub(super) fn work_done(&mut self, result: &mut Done) {
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
            // It could be read before, and nobody has decided: what stands there may be a refusal (C8).
            (Work::Establishing { .. }, Done::Failed(StoreFault::Unreadable)) => {
                self.notify(Notice::StoreTrouble(StoreFault::Unreadable));
                self.observe_consent(&RecordRead::Unreadable);
            }
            (Work::Establishing { .. }, result) => self.go_memory_only(result),

            (Work::Recovering { epoch }, Done::Recovered(recovered)) => self.recovered(epoch, recovered),
            (Work::Recovering { epoch }, result) => {
                self.go_memory_only(result);
                self.recovered(epoch, &mut super::Recovered::default());
            }

            (Work::Naming { .. }, Done::Refused(read)) => self.observe_consent(read),
            (Work::Naming { epoch, fresh }, result) => self.named(epoch, fresh, result),

            (Work::Granting { ticket, id, epoch, known, .. }, Done::Amended { read, changed }) => {
                let state = ConsentState::of(read);
                // A higher epoch than asked for tells of a refusal that this process had not seen.
                let mine = state.record().is_some_and(|record| record.epoch <= epoch);
                let announced = self.in_process == Some(Decision::Granted);
                let withdrawn = self.learn(state, mine.then_some(known.saturating_add(u64::from(*changed))));
                self.in_process = None;
                // What held in this process already is no transition, unless somebody has refused in between.
                let changed = *changed && (withdrawn || !announced);
                let granted =
                    self.consent.record().is_some_and(|record| record.decision == Decision::Granted);
                if changed && granted {
                    self.announce_grant(id);
                }
                if granted {
                    self.granted.push(ticket);
                } else {
                    self.settled(ticket, Err(ConsentError::Overruled));
                }
            }
            (Work::Granting { ticket, id, known, at_ms, .. }, result) => {
                let fault = fault_of(result);
                self.work(Work::Unrecorded { ticket, id, known, at_ms, fault }, |op| Effect::Open { op });
            }
            (Work::Unrecorded { ticket, id, known, at_ms, fault }, result) => {
                let announced = self.in_process == Some(Decision::Granted);
                match result {
                    Done::Opened { consent, .. } => self.observe_consent(consent),
                    _ => self.observe_consent(&RecordRead::Unreadable),
                }
                if self.consent.record().is_some_and(|record| record.decision == Decision::Denied) {
                    // A stored refusal stands, and is over when the record says so: one that was made here and not
                    // written has been taken back.
                    self.in_process = None;
                } else if self.is_granted_already() {
                    let own = |record: &ConsentRecord| record.revision > known && record.at_ms == at_ms;
                    if !self.consent.record().is_some_and(own) {
                        return self.granted.push(ticket);
                    }
                    // It is this grant: what failed was to make it durable, after it was written.
                    if !announced {
                        self.announce_grant(id);
                    }
                } else {
                    // Otherwise the grant lasts for this process.
                    if matches!(self.consent, ConsentState::Unreadable) {
                        self.set_aside();
                    }
                    self.grant_in_process(id);
                }
                self.settled(ticket, Err(ConsentError::NotRecorded(fault)));
            }

            (Work::Withdrawing(withdrawal), result) => self.advance(withdrawal, result),
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
        self.retries.known.clone_from(&stored);
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

    /// Whether the record says so, and nobody has refused here since.
    pub(super) fn is_granted_already(&self) -> bool {
        let granted =
            |record: &ConsentRecord| record.decision == Decision::Granted && record.epoch >= self.epoch;
        self.in_process.is_none() && self.consent.record().is_some_and(granted)
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
        self.refused = None;
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
        let held = self.hold(Kept::new(self.now, Call::track("$opt_in", "{}", id)));
        self.books.tracked += 1;
        self.books.drop_records(Dropped::HoldFull, u64::from(!held));
    }

    /// Grants have come as far as they can for now.
    fn settle_grants(&mut self) {
        for ticket in core::mem::take(&mut self.granted) {
            self.settled(ticket, Ok(()));
        }
    }

    fn settled(&mut self, ticket: Ticket, result: Result<(), ConsentError>) {
        self.notify(Notice::Settled { ticket, result });
    }
}

/// What went wrong, where a driver did not end an effect as it should.
fn fault_of(result: &Done) -> StoreFault {
    match result {
        Done::Failed(fault) => *fault,
        _ => StoreFault::Other,
    }
}
