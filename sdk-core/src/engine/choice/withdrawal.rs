//! A refusal carried out, step by step (C4), and whatever else ends an `allow`.

use super::{Want, Work, fault_of};
use crate::engine::books::Dropped;
use crate::engine::consent::{ConsentChange, ConsentState, Decision, DenyReason, Erasure, Verdict};
use crate::engine::effect::{ConsentError, Done, Effect, Item, ItemKind, StoreFault, Ticket, WipeScope};
use crate::engine::hold::Room;
use crate::engine::outbox::Asked;
use crate::engine::store::Pending;
use crate::engine::{Engine, Unclean};
use alloc::string::String;
use alloc::vec::Vec;

/// A purge is tried so often before what is left is reported.
const PURGE_TRIES: u32 = 3;

/// The transaction of C4. Also runs, from its second step, for whatever else ends an `allow`.
#[cfg_attr(feature = "simulation", derive(Debug))]
pub(in crate::engine) struct Withdrawal {
    step: Step,
    ticket: Option<Ticket>,
    /// Data of older epochs goes; `None`: what stands without a record.
    before: Option<u64>,
    /// What the last wipe was to leave: data of this epoch and later ones.
    stays: u64,
    scope: WipeScope,
    tries: u32,
    trouble: Option<ConsentError>,
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
    pub(super) fn purge(before: Option<u64>, scope: WipeScope) -> Self {
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
    pub(in crate::engine) fn recording(&self) -> bool {
        matches!(self.step, Step::Recording)
    }
}

impl Engine {
    /// A refusal of this moment, above everything that is known here.
    pub(super) fn deny(&self, at_ms: u64, outbox: Vec<Erasure>, asked: Option<Asked>) -> ConsentChange {
        let revision = self.known_revision().saturating_add(1);
        let entries = self.recorded_outbox().iter().chain(&self.retries.outbox);
        let known = entries.filter(|entry| !entry.state.is_final()).cloned().collect();
        ConsentChange::Deny { epoch: self.epoch, revision, at_ms, outbox, asked, known }
    }

    pub(super) fn refuse(&mut self, change: ConsentChange, ticket: Option<Ticket>) {
        let withdrawal = Withdrawal::refusal(change.clone(), ticket);
        self.amend(Work::Withdrawing(withdrawal), change);
    }

    /// The person's refusal, where it is not recorded yet.
    pub(in crate::engine) fn refusal(&self) -> Option<ConsentChange> {
        if let Some(Want::Deny { outbox, at_ms, .. }) = self.wants.last() {
            return Some(self.deny(*at_ms, outbox.clone(), None));
        }
        match &self.work {
            Some(Work::Withdrawing(withdrawal)) if self.wants.is_empty() && withdrawal.recording() => {
                withdrawal.change.clone()
            }
            _ => None,
        }
    }

    /// A refusal that could not be written is written as soon as it can be. It is about whom it was then: who has come
    /// since has not objected. While the record cannot be read nobody has come.
    pub(in crate::engine) fn retry_refusal(&mut self) {
        if let Some(ConsentChange::Deny { at_ms, outbox, asked, .. }) = self.retries.refusal.take() {
            let asked =
                asked.filter(|_| outbox.is_empty() && matches!(self.consent, ConsentState::Unreadable));
            self.refuse(self.deny(at_ms, outbox, asked), None);
        }
    }

    /// One step of a withdrawal is done: the next one.
    pub(super) fn advance(&mut self, mut withdrawal: Withdrawal, result: &Done) {
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
                        self.settled(ticket, Err(ConsentError::NotRecorded(fault)));
                    }
                }
            },
            Step::Fencing => {
                withdrawal.trouble = match result {
                    Done::Unfenced(who) => Some(ConsentError::NotFenced(who.clone())),
                    Done::Failed(fault) => Some(ConsentError::NotFenced(String::from(fault.as_str()))),
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
                    withdrawal.trouble = Some(ConsentError::NotPurged(left));
                }
                if let Some(ticket) = withdrawal.ticket {
                    self.settled(ticket, withdrawal.trouble.map_or(Ok(()), Err));
                }
            }
        }
    }

    pub(super) fn purge(&mut self, mut withdrawal: Withdrawal) {
        withdrawal.step = Step::Purging;
        withdrawal.tries += 1;
        let (before, scope) = (withdrawal.before, withdrawal.scope);
        self.work(Work::Withdrawing(withdrawal), |op| Effect::Wipe { op, before, scope });
    }

    /// Ends collection in this process, at once: raises the epoch, kills every permit, aborts requests, forgets
    /// records and identity. What the store holds is purged afterwards.
    pub(super) fn stop(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.fence.raise(epoch);
        self.memory_only = false;
        self.drop_data();
    }

    /// Aborts requests and forgets records and identity; grants come no further.
    pub(super) fn drop_data(&mut self) {
        self.abandon_data();
        // A change that the store has yet to refuse must not be tried again under a later grant (C6).
        self.pending.retain(|(_, pending)| !matches!(pending, Pending::Identity(_)));
        let dropped = self.queue.clear();
        self.books.drop_records(Dropped::Withdrawn, dropped);
        self.subject.forget();
        self.draft = String::new();
        self.opened_epoch = None;
        self.retries.forget_data();
        self.settle_grants();
    }

    pub(in crate::engine) fn drop_ring(&mut self) {
        let dropped = self.ring.clear();
        self.books.drop_records(Dropped::Withdrawn, dropped);
    }

    /// What has waited for too long goes: at the latest when a grant would release it, though its tick be late.
    pub(in crate::engine) fn expire_ring(&mut self) {
        self.ring.expire(self.now, &self.config, &mut self.books);
    }

    /// A refusal ends what an `allow` has begun, also while other work is under way.
    pub(in crate::engine) fn stop_if_denied(&mut self, verdict: Verdict) {
        if let Verdict::Deny(reason) = verdict {
            self.drop_ring();
            // What cannot be read may be readable again in a moment; what was accepted waits until then.
            if reason != DenyReason::StoreUnavailable {
                self.stop_if_open();
            } else if self.signals.refusal(&self.config).is_some() {
                // The record may say that nobody has decided by the time that a request leaves (C5).
                self.call_back();
            }
        }
    }

    /// What stands without a record goes before a grant could make it its own (C8), and a withdrawal that was cut off ends
    /// before anything else happens (C4). Whether that is to be waited for. What cannot be deleted keeps nobody
    /// from agreeing.
    pub(in crate::engine) fn purge_before_grant(&mut self) -> bool {
        let refused = self.consent.record().filter(|record| record.decision == Decision::Denied);
        let (before, scope) = match (self.unclean, refused) {
            (Unclean::Orphans, _) => (None, WipeScope::Own),
            (Unclean::Data, Some(record)) => (Some(self.epoch.max(record.epoch)), WipeScope::Store),
            _ => return false,
        };
        if self.retries.purge_failed || !matches!(self.wants.first(), Some(Want::Grant { .. })) {
            return false;
        }
        self.purge(Withdrawal::purge(before, scope));
        true
    }

    /// Whether there may be data of this epoch.
    pub(super) fn collects(&self) -> bool {
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
    pub(in crate::engine) fn settle_closed(&mut self, verdict: Verdict) {
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
