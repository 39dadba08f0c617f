//! The store as the engine sees it: effects under way, how they ended, and what is tried again.

use super::books::Dropped;
use super::choice::{Want, Work};
use super::effect::{Amendment, Done, Effect, Lane, Notice, Op, RecordId, RecordRead, Recovered, StoreFault};
use super::identity::{Identity, IdentityChange};
use super::queue::Batch;
use super::sha256;
use super::time::{Now, Secret};
use super::{Engine, Phase, Unclean, Verdict};
use crate::engine::consent::{ConsentChange, ConsentRecord, ConsentState, Decision, Erasure, ErasureState};
use alloc::vec::Vec;

/// First and longest wait before the store is tried again, in milliseconds.
const RETRY_MS: u64 = 1_000;
const RETRY_CAP_MS: u64 = 60_000;

/// Records that are given to the store again at once.
const REFILL: usize = 500;

/// The highest number that a store is believed to have counted up to: there must be room for more.
const MOST_SEQ: u64 = 1 << 53;

/// What an effect under way is for.
#[derive(Debug)]
pub(super) enum Pending {
    /// The step of consent or store work that `Engine::work` describes.
    Work,
    /// Another look at the consent record, when this revision of it was known.
    Look {
        known: u64,
    },
    Sync,
    NotBefore,
    /// A change of the identity.
    Identity(IdentityChange),
    Send {
        lane: Lane,
        batch: Batch,
        bytes: usize,
    },
    /// A request of the outbox.
    Erasure {
        id: alloc::string::String,
        state: ErasureState,
    },
    /// A change of the outbox: how far an entry has come, or entries that had been lost.
    Outbox,
}

/// What the store did not take.
#[derive(Default)]
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(super) struct Retries {
    /// The store does not hold all that was said of the person.
    pub(super) identity_missing: bool,
    /// The identity that the store was last known to hold.
    pub(super) known: Option<Identity>,
    /// A refusal that could not be written; it holds in this process meanwhile.
    pub(super) refusal: Option<ConsentChange>,
    /// Erasures that no record holds: of one that somebody has deleted, or of a refusal that was never written.
    pub(super) outbox: Vec<Erasure>,
    /// Once this record is stored, the next ones follow that are not.
    refill: Option<u64>,
    /// A purge has left something behind; before the next retry none is tried.
    pub(super) purge_failed: bool,
    at: Option<u64>,
    wait_ms: u64,
}

impl Retries {
    pub(super) fn due(&self) -> Option<u64> {
        self.at
    }

    pub(super) fn arm(&mut self, now: Now) {
        if self.at.is_none() {
            self.wait_ms = (self.wait_ms * 2).clamp(RETRY_MS, RETRY_CAP_MS);
            self.at = Some(now.mono_ms.saturating_add(self.wait_ms));
        }
    }

    fn worked(&mut self) {
        if self.at.is_none() {
            self.wait_ms = 0;
        }
    }

    /// Another word has taken the place of a refusal that was not written; what it asked for is still to be done (C12).
    pub(super) fn give_up_refusal(&mut self) {
        if let Some(ConsentChange::Deny { outbox, .. }) = self.refusal.take() {
            self.outbox.extend(outbox);
        }
    }

    /// Forgets data; a refusal stays.
    pub(super) fn forget_data(&mut self) {
        self.identity_missing = false;
        self.known = None;
        self.refill = None;
    }
}

impl Engine {
    pub(super) fn start(&mut self, secret: Secret) {
        if self.phase != Phase::Created {
            return;
        }
        self.phase = Phase::Opening;
        // The seed of the jitter must not betray the secret.
        let [_, _, _, _, high, low, ..] = sha256::short(&secret.0);
        self.random = u64::from(high) << 32 | u64::from(low);
        self.spare = Some(secret);
        let op = self.next_op(Pending::Work);
        self.work = Some(Work::Opening);
        self.effects.push_back(Effect::Open { op });
    }

    /// An effect has ended.
    pub(super) fn done(&mut self, op: Op, mut result: Done) {
        if let Some(number) = op.appended() {
            return self.append_done(number, &result);
        }
        let Some(at) = self.pending.iter().position(|(other, _)| *other == op) else { return };
        let (_, pending) = self.pending.remove(at);
        if let Pending::Work = pending {
            return self.work_done(&mut result);
        }
        match (&pending, &result) {
            (Pending::Look { known }, Done::Opened { consent, .. }) if *known == self.recorded_revision() => {
                self.looked(consent);
            }
            // Somebody else has read meanwhile, perhaps later than this look.
            (Pending::Look { .. }, Done::Opened { .. }) => self.look(),
            (Pending::Look { .. }, _) => self.retries.arm(self.now),

            (Pending::Identity(change), Done::Amended { read, changed }) => {
                if *changed && change.may_be_another_device() {
                    self.retries.known = Identity::of(read);
                } else if let (IdentityChange::Call(kept), Some(known)) = (change, &mut self.retries.known) {
                    known.change(&kept.call());
                }
                let there = Identity::of(read).is_some_and(|identity| identity.epoch == self.epoch);
                if !there && self.subject.identity().is_some() {
                    // Somebody has deleted it, and nobody has refused: it is written again.
                    self.retries.identity_missing = true;
                    self.retries.arm(self.now);
                }
                self.adopt_identity(read);
            }
            (Pending::Identity(_), Done::Refused(read)) => self.observe_consent(read),
            (Pending::Identity(_), Done::Failed(fault)) => {
                let known = self.retries.at.is_some();
                if *fault != StoreFault::Unreadable {
                    self.retries.identity_missing = true;
                    self.retries.arm(self.now);
                }
                self.notify_once(known, *fault);
            }

            (Pending::Send { lane, batch, bytes }, Done::Answered(answer)) => {
                self.answered(op, *lane, batch, *bytes, answer);
            }
            (Pending::Send { lane, batch, .. }, result) => {
                self.send_refused(op, *lane, batch);
                if let Done::Refused(read) = result {
                    self.observe_consent(read);
                }
            }

            (Pending::Erasure { id, state }, result) => self.erasure_done(id, *state, result),
            (Pending::Outbox, Done::Amended { read, .. }) => {
                self.observe_consent(read);
                // Some may have been lost meanwhile. If what was read does not outrank what is known here, the look that is
                // under way tells first: until then every try would read the same.
                let looks = self.pending.iter().any(|(_, pending)| matches!(pending, Pending::Look { .. }));
                if !looks {
                    self.entrust();
                }
            }
            (Pending::Outbox, Done::Failed(_)) => self.retries.arm(self.now),

            // Whoever has been told of a refusal knows of it, whatever was to be done.
            (_, Done::Refused(read)) => self.observe_consent(read),

            // Lost bookkeeping costs at most a record that is sent twice, with the same id.
            _ => {}
        }
    }

    fn append_done(&mut self, number: u64, result: &Done) {
        let refilled = self.retries.refill == Some(number);
        if refilled {
            self.retries.refill = None;
        }
        match result {
            Done::Refused(read) => {
                self.observe_consent(read);
                self.not_stored(number);
            }
            Done::Failed(fault) => {
                let known = self.retries.at.is_some();
                self.not_stored(number);
                self.notify_once(known, *fault);
            }
            _ => {
                self.retries.worked();
                if refilled {
                    self.append_missing();
                }
            }
        }
    }

    /// The outside has been looked at for the first time.
    pub(super) fn opened(&mut self, consent: &RecordRead, identity: &RecordRead, data: bool) {
        self.phase = Phase::Ready;
        self.set_consent(ConsentState::of(consent));
        if matches!(self.consent, ConsentState::Unreadable) {
            self.retries.arm(self.now);
        }
        if self.told {
            self.look();
        }
        let recorded = self.consent.record().map_or(0, |record| record.epoch);
        let refused = self.wants.iter().any(|want| matches!(want, Want::Deny { .. }));
        // As it would be had the store been open at the call: the first epoch that is written is 1.
        self.epoch = self.epoch.max(recorded.max(1) + u64::from(refused));
        self.fence.raise(self.epoch);
        // A refusal from the future was made before this by a clock that was wrong: whoever has agreed since the start has
        // agreed after it.
        let ahead = self.consent.record().filter(|record| record.at_ms > self.now.wall_ms);
        if let Some(revision) = ahead.map(|record| record.revision) {
            for want in &mut self.wants {
                if let Want::Grant { known, .. } = want {
                    *known = revision;
                }
            }
        }
        let data = data || !matches!(identity, RecordRead::Absent);
        self.unclean = match self.consent {
            ConsentState::Absent if data => Unclean::Orphans,
            ConsentState::Found(_) if data => Unclean::Data,
            _ => Unclean::No,
        };
        let record_epoch = self.consent.record().filter(|r| r.decision != Decision::Denied).map(|r| r.epoch);
        let identity = Identity::of(identity).filter(|identity| Some(identity.epoch) == record_epoch);
        self.retries.known.clone_from(&identity);
        self.subject.set(identity);
        // What was called before the last word was called before a refusal (C6): before this one, or, as the epoch tells, the
        // one that a grant has ended. A record from the future tells of a clock that was wrong, be it by ours as it is now or
        // as it was at the call.
        let word = |record: &&ConsentRecord| match record.decision {
            Decision::Unset => false,
            Decision::Granted => record.epoch > 1,
            Decision::Denied => true,
        };
        let since = self.consent.record().filter(word).map_or(0, |record| record.at_ms);
        let before = |at: Now| {
            let now_ms = at.wall_ms.saturating_add(self.now.mono_ms.saturating_sub(at.mono_ms));
            at.wall_ms < since && since <= now_ms.max(self.now.wall_ms)
        };
        if self.ring.oldest().is_some_and(before) {
            self.drop_ring();
        }
        // What was called before the person agreed was called under a "no", that could only not be said yet. So was what was
        // called while a signal said it, unless the person's word outranks that.
        let denied = matches!(self.recorded_verdict(), Verdict::Deny(_));
        if denied || !self.is_granted_already() {
            let dropped = self.ring.drop_before_grant(denied);
            self.books.drop_records(Dropped::Withdrawn, dropped);
        }
    }

    /// The queue of this epoch has been taken over.
    pub(super) fn recovered(&mut self, epoch: u64, recovered: &mut Recovered) {
        if epoch != self.epoch {
            return;
        }
        self.opened_epoch = Some(epoch);
        // What lived in memory while the store failed is stored now.
        self.queue.renumber(recovered.next_seq.clamp(1, MOST_SEQ));
        self.append_missing();
        // Each text goes when it is in the queue, so that none of them stands in memory twice for long.
        for record in recovered.records.drain(..) {
            *(if record.adopted { &mut self.books.adopted } else { &mut self.books.recovered }) += 1;
            self.queue.restore(record.id, &record.text, self.now);
        }
        self.evict();
        self.books.damaged = self.books.damaged.saturating_add(recovered.damaged);
        self.books.wiped = self.books.wiped.saturating_add(recovered.wiped);
        if let Some(wall_ms) = recovered.not_before_ms {
            self.resume_wait(wall_ms);
        }
        self.gather();
        self.opened_through = self.queue.next_number();
    }

    /// Lets the store forget records that it holds, whatever the ground that they were sent on.
    pub(super) fn acknowledge(&mut self, records: Vec<RecordId>) {
        if !records.is_empty() {
            // Not in the book of what is under way: nothing follows from its end, and in a queue that is full there is one
            // for every record, which all would have to be looked through at each end of another one.
            let op = self.unbooked_op();
            self.effects.push_back(Effect::Acknowledge { op, records });
        }
    }

    pub(super) fn store_identity(&mut self, change: IdentityChange) {
        let amendment = self.identity_amendment(change.clone());
        let op = self.next_op(Pending::Identity(change));
        self.effects.push_back(Effect::Amend { op, amendment });
    }

    pub(super) fn identity_amendment(&self, change: IdentityChange) -> Amendment {
        Amendment::identity(self.permit(change))
    }

    /// Whether a change of the identity is under way.
    fn changing(&self) -> bool {
        self.pending.iter().any(|(_, pending)| matches!(pending, Pending::Identity(_)))
    }

    /// The identity as it stands in the store, once it holds every change made here.
    fn adopt_identity(&mut self, read: &RecordRead) {
        let Some(ours) = self.subject.identity().filter(|_| !self.changing()) else { return };
        let read = Identity::of(read).filter(|identity| identity.epoch == self.epoch);
        let Some(read) = read else { return };
        if self.retries.identity_missing {
            // Unless somebody else is here by now: what the store did not take was said of the one before.
            let is_other = read.secret != ours.secret;
            if !is_other || self.retries.known.as_ref().is_none_or(|known| known.secret != ours.secret) {
                return;
            }
            self.retries.identity_missing = false;
        }
        let is_new = read != *ours;
        self.retries.known = Some(read.clone());
        if is_new {
            self.subject.adopt(Some(read));
        }
    }

    /// Another process or tab has changed the identity (C9).
    pub(super) fn observe_identity(&mut self, read: &RecordRead) {
        let newer = |new: &Identity| {
            let old = self.subject.identity();
            old.is_some_and(|old| new.revision != old.revision || new.secret != old.secret)
        };
        if Identity::of(read).is_some_and(|new| newer(&new)) {
            self.adopt_identity(read);
        }
    }

    /// Once for each time that the store is tried: what it does not take may be very much.
    fn notify_once(&mut self, known: bool, fault: StoreFault) {
        if !known {
            self.notify(Notice::StoreTrouble(fault));
        }
    }

    fn not_stored(&mut self, number: u64) {
        // A withdrawal may have taken it meanwhile.
        if self.queue.not_kept(number) {
            self.retries.arm(self.now);
        }
    }

    /// Records that live in memory only go to the store: some, and the next ones once the last of them is there. Not before
    /// its queue is taken over, which brings along what stands in it, and gives the others their numbers.
    fn append_missing(&mut self) {
        if !self.durable() || self.opened_epoch != Some(self.epoch) {
            return;
        }
        for record in self.queue.missing(REFILL) {
            self.retries.refill = Some(record.number);
            self.append(record);
        }
    }

    /// Has the consent record read once more.
    pub(super) fn look(&mut self) {
        if !self.pending.iter().any(|(_, pending)| matches!(pending, Pending::Look { .. })) {
            let op = self.next_op(Pending::Look { known: self.recorded_revision() });
            self.effects.push_back(Effect::Open { op });
        }
    }

    /// Tries again what the store did not take.
    pub(super) fn retry_store(&mut self) {
        if self.retries.at.is_none_or(|at| at > self.now.mono_ms) {
            return;
        }
        self.retries.at = None;
        self.retries.purge_failed = false;
        if self.work.is_none() {
            self.retry_refusal();
        }
        self.entrust();
        if matches!(self.consent, ConsentState::Unreadable) {
            self.look();
        }
        if self.memory_only && self.work.is_none() && self.in_process.is_none() {
            // From the beginning: the record, the queue, the identity.
            self.memory_only = false;
            self.opened_epoch = None;
            self.retries.identity_missing = true;
            return self.retries.arm(self.now);
        }
        if !self.durable() || self.work.is_some() {
            return self.retries.arm(self.now);
        }
        self.append_missing();
        // What is still under way decides what this goes over.
        if self.retries.identity_missing && self.changing() {
            self.retries.arm(self.now);
        } else if core::mem::take(&mut self.retries.identity_missing)
            && let Some(identity) = self.subject.identity()
        {
            self.store_identity(IdentityChange::Save(identity.clone(), self.retries.known.clone()));
        }
    }
}
