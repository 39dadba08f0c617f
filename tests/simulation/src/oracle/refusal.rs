//! The person, or a signal, says no: nothing is left, nothing leaves, and it stays that way (C3 to C8).

use super::erasure::{Asked, Whom};
use super::stored::SECRET;
use super::{Maker, Oracle, Promise, record_on};
use crate::collector::{marker_text, markers};
use crate::disk::SimDisk;
use crate::process::Process;
use refrain::engine::{Also, ConsentError, Decision, ErasureKind, Request, Ticket};
use std::collections::BTreeSet;

/// A refusal under way.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) maker: Maker,
    pub(super) ticket: Ticket,
    /// Records below this were captured before it.
    bound: u64,
    whom: Option<Whom>,
    /// Other processes may have made another one: who stood on the disk since it was called for.
    stored: BTreeSet<Whom>,
    /// What is asked for, too.
    also: Also,
    /// Somebody has agreed since.
    pub(super) overtaken: bool,
    /// A grant was under way when it was called for.
    pub(super) crossing: bool,
    /// Somebody has withdrawn or agreed since it was called for: what it is about to write may not know of that.
    pub(super) overtakes: bool,
}

impl Refusal {
    fn asks(&self) -> Vec<Asked> {
        let mut whom: BTreeSet<_> = self.whom.iter().cloned().collect();
        if !whom.is_empty() {
            whom.extend(self.stored.iter().cloned());
        }
        let kinds =
            [(self.also.erase, ErasureKind::Device), (self.also.delete_profile, ErasureKind::Profile)];
        let asked = kinds.into_iter().filter(|(wanted, _)| *wanted);
        asked.map(|(_, kind)| Asked { kind, whom: whom.clone() }).collect()
    }

    pub(super) fn asks_something(&self) -> bool {
        self.also != Also::default()
    }

    /// What it has asked for may be written over.
    pub(super) fn asks_no_more(&mut self) {
        self.also = Also::default();
    }

    /// Others who hold the identity still will never hear of it.
    pub(super) fn asks_nothing(&mut self) {
        self.asks_no_more();
        self.whom = None;
    }

    pub(super) fn stands(&mut self, whom: &Whom) {
        if !self.stored.contains(whom) {
            self.stored.insert(whom.clone());
        }
    }
}

impl Oracle {
    /// The person objects, in this process, which knows `whom`.
    pub fn refuses(&mut self, maker: Maker, ticket: Ticket, whom: Option<Whom>, also: Also) {
        self.may_write = true;
        self.granted = false;
        self.announcing.clear();
        // It may ask for the same as an earlier one, and need not wait for that.
        self.pace.0.asked_anew();
        self.grants_under_way.iter_mut().for_each(|grant| {
            grant.overtaken = true;
            grant.unclear();
        });
        // Whether or not it ends well: from now on their loss is no fault.
        self.excuse_all();
        let bound = self.next_marker;
        let crossing = !self.grants_under_way.is_empty();
        let (stored, overtaken, overtakes) = (BTreeSet::new(), false, false);
        self.refusals.push(Refusal {
            maker,
            ticket,
            bound,
            whom,
            stored,
            also,
            overtaken,
            crossing,
            overtakes,
        });
    }

    /// A refusal has ended; whether well.
    pub(super) fn refusal_settled(
        &mut self,
        refusal: &Refusal,
        result: Result<(), ConsentError>,
        disk: &SimDisk,
    ) -> bool {
        match result {
            Ok(()) => {
                self.withdrawn(refusal, disk);
                return true;
            }
            Err(ConsentError::NotRecorded(_)) => {
                self.unwritten.insert(refusal.maker);
                self.owed.extend(refusal.asks().into_iter().map(|asked| (refusal.maker, asked)));
            }
            // It is recorded, and with it what it asks for.
            Err(_) => self.ask(refusal),
        }
        false
    }

    fn ask(&mut self, refusal: &Refusal) {
        let known = |asked: &Asked| self.asked.contains(asked);
        let asked: Vec<_> = refusal.asks().into_iter().filter(|asked| !known(asked)).collect();
        self.asked.extend(asked);
    }

    /// C3, C4: a withdrawal has ended well.
    fn withdrawn(&mut self, refusal: &Refusal, disk: &SimDisk) {
        // Where clocks jump, or the record was deleted or could not be read, it cannot be told which of two words that
        // cross was the last.
        let crossing = refusal.crossing || !self.grants_under_way.is_empty();
        let told = !self.jumped && !self.in_process() && !self.renumbered || !crossing;
        if !refusal.overtaken && told {
            self.refused = true;
            self.refuser = Some(refusal.maker);
        }
        self.withdrawn_devices.extend(refusal.whom.as_ref().map(|whom| whom.device.clone()));
        self.ask(refusal);
        for (_, record) in self.records.range_mut(..refusal.bound) {
            record.withdrawn |= told || record.maker == refusal.maker;
        }
        // A refusal over what cannot be read is numbered by the clock, and that has jumped.
        if self.jumped && self.in_process() {
            return;
        }
        self.tally.test(Promise::NothingLeft);
        for (path, bytes) in disk.files() {
            let text = String::from_utf8_lossy(&bytes);
            let left = markers(&text).find(|marker| told && *marker < refusal.bound);
            assert_eq!(left, None, "C3: a withdrawn record stands in {}", path.display());
            let consent = path.to_string_lossy().contains(".consent.");
            let secret = !consent && !refusal.overtaken && told && text.contains(SECRET);
            assert!(!secret, "C3: an identifier stands in {}", path.display());
        }
    }

    /// C2, C5, C6: a request that is not the outbox's has begun to leave. `objects`: an honoured signal says no.
    pub fn departed(
        &mut self,
        maker: Maker,
        process: &Process,
        request: &Request,
        objects: bool,
        disk: &SimDisk,
    ) {
        let here = process.engine.consent().decision;
        assert!(here != Decision::Denied, "C5: a process sends after its own refusal: {maker:?}");
        if objects && !self.agreed.contains(&maker) {
            let decision = record_on(disk).map(|record| record.decision).unwrap_or_default();
            assert!(decision != Decision::Unset, "C5: a request leaves although a signal says no: {maker:?}");
        }
        if self.blind {
            return;
        }
        assert!(!self.refused, "C5: a request leaves after a refusal: {}", request.path);
        self.records_depart(maker, request);
        for device in &self.withdrawn_devices {
            self.tally.test(Promise::NoWithdrawnDevice);
            assert!(!request.body.contains(device.as_str()), "C6: a withdrawn device sends: {device}");
        }
    }

    /// C5: once a withdrawal has ended well, no byte of what it withdrew is still being written. A process that decided
    /// without being able to read the record cannot have read anybody else's word in it.
    pub fn writes(&mut self, process: &Process) {
        if self.in_process() {
            return;
        }
        for open in process.open.iter().filter(|open| open.sending.is_some() && !open.outbox) {
            for marker in markers(&open.request.body) {
                let withdrawn = self.records.get(&marker).is_some_and(|record| record.withdrawn);
                self.tally.test(Promise::NothingBeingWritten);
                assert!(!withdrawn, "C5: {} is still being written", marker_text(marker));
            }
        }
    }

    /// C5: where an honoured signal says no, and nobody has agreed, nothing is collected. `waits`: whether a request does
    /// that would have to be refused.
    pub fn under_signal(&mut self, maker: Maker, process: &Process) {
        if !process.engine.is_settled() || self.agreed.contains(&maker) || self.troubled.contains(&maker) {
            return;
        }
        let consent = process.engine.consent();
        if consent.decision == Decision::Unset {
            self.tally.test(Promise::NothingLeavesUnderSignal);
            assert_eq!(
                consent.verdict.as_str(),
                "deny",
                "C1: a signal says no, and is not heard: {consent:?}"
            );
        }
    }

    /// C7: whoever has given the last refusal goes on refusing.
    pub fn holds(&mut self, maker: Maker, process: &Process) {
        if self.refused && !self.blind && self.refuser == Some(maker) {
            let consent = process.engine.consent();
            let unavailable = consent.reason() == "store_unavailable";
            self.tally.test(Promise::RefusalHolds);
            assert!(
                consent.decision == Decision::Denied || unavailable,
                "C7: a refusal is taken back: {consent:?}"
            );
        }
        if self.refused && !self.blind {
            let waiting = process.waiting.iter().any(|(_, waiting)| !waiting.is_outbox());
            if waiting || !process.open.is_empty() {
                self.tally.test(Promise::NothingLeaves);
            }
        }
    }

    /// A process that has just begun has read what there is.
    pub fn started(&mut self, process: &Process) {
        if self.refused && !self.blind && process.engine.is_open() {
            let consent = process.engine.consent();
            let denies = consent.verdict.as_str() == "deny";
            self.tally.test(Promise::RefusalHolds);
            assert!(
                consent.decision == Decision::Denied || denies,
                "C7, C8: a refusal was forgotten: {consent:?}"
            );
        }
    }

    /// C3: where nobody has agreed, and a signal or a setting says no, a process keeps nothing of its own.
    pub fn purged_by_signal(&mut self, maker: Maker, process: &Process, disk: &SimDisk) {
        let undecided = record_on(disk).is_some_and(|record| record.decision == Decision::Unset);
        if !undecided || self.damaged || self.agreed.contains(&maker) || self.troubled.contains(&maker) {
            return;
        }
        self.tally.test(Promise::NothingLeftOfSignals);
        let own = process.queue_name();
        for (path, bytes) in disk.files().iter().filter(|(path, _)| path.to_string_lossy().contains(&own)) {
            let left = markers(&String::from_utf8_lossy(bytes)).next();
            assert_eq!(left, None, "C3: a signal says no, and a record stands in {}", path.display());
        }
    }

    /// C4, C8: where the record refuses, or there is none, and somebody lives there, nothing is left. The same where
    /// nobody has decided, and everybody who lives there is told no by a signal or a setting (C3).
    pub fn purged(&mut self, disk: &SimDisk, all_denied: bool) {
        let numbered_anew = self.jumped && self.in_process();
        let decided = disk.files().iter().any(|(path, _)| path.to_string_lossy().contains(".consent."));
        let decision = record_on(disk).map(|record| record.decision);
        let by_signal = decision == Some(Decision::Unset) && all_denied;
        let refuses = decision == Some(Decision::Denied);
        if self.damaged || numbered_anew || decided && !refuses && !by_signal {
            return;
        }
        self.tally.test(if by_signal { Promise::NothingLeftOfSignals } else { Promise::Purged });
        for (path, bytes) in disk.files() {
            if !path.to_string_lossy().contains(".consent.") {
                let text = String::from_utf8_lossy(&bytes);
                let data = markers(&text).next().is_some() || text.contains(SECRET);
                assert!(!data, "C3, C4: a withdrawal was not gone on with: {}", path.display());
            }
        }
    }
}
