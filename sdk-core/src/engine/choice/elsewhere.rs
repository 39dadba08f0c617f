//! Choices made elsewhere (C9): in other tabs and processes, before this start, or by whoever deleted the record.

use crate::engine::consent::{ConsentChange, ConsentRecord, ConsentState, Decision, Erasure, counting_anew};
use crate::engine::effect::RecordRead;
use crate::engine::{Engine, Phase, Unclean};
use alloc::vec::Vec;

impl Engine {
    /// Takes what was read, or worked out of it, as what stands in the store.
    pub(in crate::engine) fn set_consent(&mut self, state: ConsentState) {
        let has = |outbox: &[Erasure], id: &str| outbox.iter().any(|entry| entry.id == id);
        // What was asked for is still to be done, also where a record follows that does not know of it: the one before
        // was deleted, or could not be read by whoever wrote this one (C12).
        for entry in self.consent.record().map_or(&[][..], |known| &known.outbox) {
            if !entry.state.is_final() && !has(&self.retries.outbox, &entry.id) {
                self.retries.outbox.push(entry.clone());
            }
        }
        if !matches!(state, ConsentState::Unreadable) {
            let denied = state.record().filter(|record| record.decision == Decision::Denied);
            self.refused = denied.map(|record| (record.revision, record.at_ms));
            self.known_epoch = state.record().map(|record| record.epoch);
        }
        if let Some(record) = state.record() {
            self.seen_revision = self.seen_revision.max(record.revision);
        }
        self.consent = state;
        self.entrust();
        self.hold_behind();
    }

    /// Records that name somebody whose profile is to be deleted wait for that, and no others (C12).
    pub(in crate::engine) fn hold_behind(&mut self) {
        if self.queue.hold_behind(self.held_behind()) {
            self.release();
        }
    }

    /// The consent record as somebody has just read it.
    pub(in crate::engine) fn observe_consent(&mut self, read: &RecordRead) {
        if self.phase != Phase::Ready {
            // What is being read meanwhile may be older.
            self.told = true;
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
            (ConsentState::Found(_), _) => {
                self.learn(state, None);
            }
        }
    }

    /// The record as another look has found it: nothing that is known here was written later.
    pub(in crate::engine) fn looked(&mut self, read: &RecordRead) {
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
        if let Some((revision, at_ms)) = self.refused.filter(|(_, at_ms)| !agreed(*at_ms)) {
            let epoch = self.epoch;
            self.retries.give_up_refusal();
            let (outbox, asked, known) = (Vec::new(), None, Vec::new());
            self.retries.refusal = Some(ConsentChange::Deny { epoch, revision, at_ms, outbox, asked, known });
            self.retries.arm(self.now);
            self.in_process = Some(Decision::Denied);
        }
        if state.record().is_some() {
            // What has happened between the two cannot be told: perhaps a refusal, and what is here was captured before it
            // (C6).
            self.stop(self.epoch.saturating_add(1));
            self.unclean = Unclean::Data;
            self.learn(state, None);
            return;
        }
        // What stands there now stands without a record (C8). Others may have counted on since it was last read here;
        // whatever is written now is above that.
        self.stop(self.epoch.saturating_add(1).max(counting_anew(self.now.wall_ms)));
        self.unclean = Unclean::Orphans;
        self.set_consent(state);
    }

    /// Takes a newer record as the truth. `asked` is the revision that a change made here would have; any other one
    /// tells of somebody else's word. If that was a refusal, standing or already taken back (the epoch tells), then
    /// whatever this process has captured was captured before a withdrawal (C6). Whether it was one.
    pub(super) fn learn(&mut self, state: ConsentState, asked: Option<u64>) -> bool {
        let Some(record) = state.record() else { return false };
        let (epoch, denied, granted) =
            (record.epoch, record.decision == Decision::Denied, record.decision == Decision::Granted);
        let mine = asked == Some(record.revision);
        if !mine {
            // It may be a grant that comes before the tick.
            self.expire_ring();
        }
        let known = self.consent.record();
        // The same refusal with another note in its outbox is none.
        let same = known.is_some_and(|known| known.decision == Decision::Denied && known.epoch == epoch);
        // Where the epoch is a lower one, the record known here was deleted, and what has happened since cannot be told. Nor
        // where one that could not be read for a while counts from an earlier revision now; else that is no news, and costs
        // nothing that was accepted.
        let anew = matches!(self.consent, ConsentState::Unreadable) && record.revision < self.seen_revision;
        let renewed = anew || self.known_epoch.map_or(epoch > 1, |known| known != epoch);
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
        withdrawn
    }
}
