//! What becomes of records: everything that was taken is delivered, once, and says what it should.

use super::grant::Grant;
use super::subject::Expected;
use super::{Aside, Maker, Oracle, Promise, record_on};
use crate::collector::{Collector, marker_text, markers, split, text_of};
use crate::disk::SimDisk;
use crate::process::Process;
use refrain::engine::{Answer, Decision, Op, Outcome, Request, Verdict};
use std::collections::BTreeSet;

/// Records that the store holds longer than this may go, in milliseconds.
const KEPT_MS: u64 = 5 * 24 * 60 * 60 * 1_000;

/// A record that an app has made.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) maker: Maker,
    /// `None` where it lives in memory, or was held: which append is its own is not known then.
    pub(super) op: Option<Op>,
    taken: bool,
    synced: bool,
    /// It waits for a decision, or did.
    held: bool,
    /// It was held, and does not wait any more.
    agreed: bool,
    /// It was called for before the store was open.
    early: bool,
    /// Captured before a withdrawal that has ended well, or under a refusal that stood there: it must never leave.
    pub(super) withdrawn: bool,
    /// Captured before a signal said no in its process, which must not send it.
    silenced: bool,
    /// A withdrawal, a signal or a crash may have cost it.
    excused: bool,
    /// It had to be delivered, at some time of rest.
    demanded: bool,
    /// The store has noted that it is delivered.
    let_go: bool,
    /// When it was made, on the wall clock and the monotonic clock of its maker.
    made: Aside<(u64, u64)>,
    /// What it must say.
    pub(super) expected: Aside<Option<Expected>>,
}

impl Oracle {
    /// The marker of the next record.
    pub fn next_marker(&self) -> u64 {
        self.next_marker
    }

    /// A record was made: accepted or held; `refused` where a refusal stood, which this process could not know of yet.
    /// `name` is that of an event.
    pub fn made(
        &mut self,
        maker: Maker,
        process: &Process,
        outcome: Outcome,
        refused: bool,
        name: Option<&'static str>,
    ) {
        let held = outcome == Outcome::Held;
        let expected = self.subjects.0.made(maker, process, self.next_marker, name, held);
        let expected = expected.filter(|_| !self.troubled.contains(&maker) && !self.damaged);
        let record = Record {
            maker,
            op: process.asked.last().copied().filter(|_| !held),
            taken: false,
            synced: false,
            held,
            agreed: false,
            early: held && !process.engine.is_open(),
            withdrawn: refused,
            silenced: false,
            excused: self.last_epoch > 0 && !self.current.contains(&maker),
            demanded: false,
            let_go: false,
            made: Aside((process.now.wall_ms, process.now.mono_ms)),
            expected: Aside(expected),
        };
        self.records.insert(self.next_marker, record);
        self.next_marker += 1;
    }

    /// C1, C6: whether a process that has not opened its store yet is called under a refusal. Where clocks jump, or the
    /// record could not be read or was deleted, it cannot tell that what it finds there came after the call.
    pub fn stands_refused(&self, disk: &SimDisk) -> bool {
        let told = !(self.jumped || self.in_process() || self.damaged || self.renumbered);
        told && self.grants_under_way.is_empty()
            && record_on(disk).is_some_and(|record| record.decision == Decision::Denied)
    }

    /// Records made so far may be lost without fault.
    pub fn excuse_all(&mut self) {
        self.records.values_mut().for_each(|record| record.excused = true);
    }

    /// A process may not collect: its own records go, and those of who is not there any more. What is held stays where
    /// somebody will be asked: `holds`.
    pub fn closed(&mut self, maker: Maker, holds: bool, lives: impl Fn(Maker) -> bool) {
        for record in self.records.values_mut() {
            let waits = holds && record.held && !record.taken;
            record.excused |= !waits && (record.maker == maker || !lives(record.maker));
        }
    }

    /// A full queue has dropped records of a process, or of those who are not there any more.
    pub fn evicted(&mut self, maker: Maker, lives: impl Fn(Maker) -> bool) {
        self.expired(maker, &lives);
        self.closed(maker, false, lives);
    }

    /// Records of a process, or of those who are not there any more, have become too old: what announces a grant may be one
    /// of them. When the others were made is known.
    pub fn expired(&mut self, maker: Maker, lives: impl Fn(Maker) -> bool) {
        self.announcing.retain(|(of, _)| *of != maker && lives(*of));
    }

    /// A process has dropped something that it held: what announces a grant may be part of it.
    pub fn unheld(&mut self, maker: Maker) {
        self.announcing.retain(|(of, _)| *of != maker);
        self.grants_under_way.iter_mut().filter(|grant| grant.maker == maker).for_each(Grant::unclear);
    }

    /// Of what a process holds there was too much, or it was too large for a queue of that size.
    pub fn overflowed(&mut self, maker: Maker) {
        self.unheld(maker);
        for record in self.records.values_mut().filter(|record| record.held && record.maker == maker) {
            record.excused |= !record.agreed;
        }
    }

    /// What lives in memory alone may be lost without fault where the store has failed.
    pub fn excuse_troubled(&mut self, disk: &SimDisk) {
        if self.troubled.is_empty() {
            return;
        }
        let troubled = |maker: &Maker| self.troubled.contains(maker);
        self.announcing.retain(|(maker, id)| !troubled(maker) || disk.holds(id.as_bytes()).is_some());
        for record in self.records.values_mut().filter(|record| !record.taken) {
            record.excused |= self.troubled.contains(&record.maker);
        }
    }

    /// What may have become too old by the clock of somebody who lives. `wall_ms` is the latest of these.
    pub fn excuse_expired(&mut self, wall_ms: u64) {
        if self.jumped {
            for record in self.records.values_mut() {
                record.excused |= record.made.0.0.saturating_add(KEPT_MS) <= wall_ms;
            }
        }
    }

    /// A signal says no in a process that nobody has agreed in: what it has captured must not be sent by it.
    pub fn silenced(&mut self, maker: Maker) {
        for record in self.records.values_mut().filter(|record| record.maker == maker) {
            record.silenced = true;
        }
    }

    pub(super) fn records_of_the_dead(&mut self, maker: Maker, power: bool) {
        for record in self.records.values_mut() {
            if power {
                // What was noted, or deleted, may be undone.
                record.let_go = false;
            }
            if power && !record.synced || !power && record.maker == maker && !record.taken {
                record.excused = true;
            }
        }
    }

    /// A bit was flipped that has cost these records, or the note that others are delivered: they may come again.
    pub(super) fn records_damaged(&mut self, texts: &[String]) {
        for marker in texts.iter().flat_map(|text| markers(text)) {
            if let Some(record) = self.records.get_mut(&marker) {
                record.excused = true;
            }
        }
        self.records.values_mut().for_each(|record| record.let_go = false);
    }

    /// The store has taken what this append was for; whether it is known what that was.
    pub(super) fn taken(&mut self, maker: Maker, op: Op) -> bool {
        let own = |record: &&mut Record| record.maker == maker && record.op == Some(op);
        self.records.values_mut().rev().find(own).map(|record| record.taken = true).is_some()
    }

    /// The store has taken what was held: what stands there says which.
    pub(super) fn taken_unnamed(&mut self, maker: Maker, disk: &SimDisk) {
        let unnamed = |record: &Record| record.maker == maker && record.op.is_none() && !record.taken;
        if !self.records.values().any(unnamed) {
            return;
        }
        for (path, bytes) in disk.files() {
            if path.starts_with("/data/queue") {
                for marker in markers(&String::from_utf8_lossy(&bytes)) {
                    if let Some(record) = self.records.get_mut(&marker).filter(|record| unnamed(record)) {
                        record.taken = true;
                    }
                }
            }
        }
    }

    pub(super) fn synced(&mut self, maker: Maker) {
        for record in self.records.values_mut().filter(|record| record.maker == maker) {
            record.synced |= record.taken;
        }
    }

    /// A page goes on: what is on its way into its store counts as the store's from now on, wherever it gets.
    pub fn resumes(&mut self, maker: Maker, disk: &SimDisk) {
        self.announcing.retain(|(of, id)| *of != maker || disk.holds(id.as_bytes()).is_some());
        for record in self.records.values_mut().filter(|record| record.maker == maker) {
            record.excused |= !record.taken && (!record.held || record.agreed);
        }
    }

    /// A process has heard an answer, and asks its store to let go of what was delivered.
    pub fn answered(&mut self, maker: Maker, process: &Process, request: &Request, answer: &Answer) {
        let delivers = matches!(answer, Answer::Response { status: 200, body, .. } if body == "1");
        self.tally.test(Promise::Books);
        if let Some(op) = process.lets_go.filter(|_| delivers) {
            self.letting_go.0.push((maker, op, markers(&request.body).collect()));
        }
    }

    pub(super) fn let_go(&mut self, maker: Maker, op: Op) {
        let Some(at) = self.letting_go.0.iter().position(|(of, other, _)| (*of, *other) == (maker, op))
        else {
            return;
        };
        let (_, _, markers) = self.letting_go.0.remove(at);
        for marker in markers {
            if let Some(record) = self.records.get_mut(&marker) {
                record.let_go = true;
            }
        }
    }

    /// C6, C9: what leaves says whom it is about, has not left for good, and was not withdrawn.
    pub(super) fn records_depart(&mut self, maker: Maker, request: &Request) {
        for text in split(&request.body) {
            for marker in markers(text) {
                let Some(record) = self.records.get(&marker) else { continue };
                let name = marker_text(marker);
                self.tally.test(Promise::NothingWithdrawnLeaves);
                assert!(!record.withdrawn, "C6: {name} was withdrawn and leaves");
                let silenced = record.silenced && record.maker == maker;
                assert!(!silenced, "C6: {name} was captured before a signal said no, and leaves");
                self.tally.test(Promise::SentOnce);
                assert!(!record.let_go, "{name} was delivered, and leaves again");
                if let Some(expected) = &record.expected.0 {
                    let found = expected.compare(text);
                    self.tally.test(Promise::Person);
                    if found.registered {
                        self.tally.test(Promise::Registered);
                    }
                    if found.timed {
                        self.tally.test(Promise::Timed);
                    }
                }
            }
        }
    }

    /// Whose a record is.
    pub fn maker_of(&self, marker: u64) -> Option<Maker> {
        self.records.get(&marker).map(|record| record.maker)
    }

    /// What has waited too long for a decision may be gone; and what was called for before the store was open, where a "no"
    /// was found there: `denied` tells of a signal or a setting.
    pub fn excuse_held(&mut self, maker: Maker, process: &Process, denied: bool) {
        let refused = denied || self.last_epoch > 1 || self.last_decision == Some(Decision::Denied);
        let open = process.engine.held_calls() == 0 && process.engine.consent().verdict == Verdict::Allow;
        let held = self.records.values_mut().filter(|record| record.held && record.maker == maker);
        for record in held {
            let age = process.now.mono_ms.saturating_sub(record.made.0.1);
            record.excused |=
                !record.agreed && age >= process.limits.hold_limit_age_ms || record.early && refused;
            record.agreed |= open;
        }
    }

    /// The world is at rest, and these live: what they have accepted is delivered, and so is what they held where
    /// everybody collects.
    pub fn delivered(
        &mut self,
        maker: Maker,
        collects: bool,
        collector: &Collector,
        poison: &dyn Fn(u64) -> bool,
    ) {
        for (marker, record) in self.records.iter_mut().filter(|(_, record)| record.maker == maker) {
            // Where the record could not be read, what stands in the store waits until somebody can.
            let set_aside = record.taken && self.troubled.contains(&maker);
            if record.excused || set_aside || record.held && !record.taken && !collects {
                continue;
            }
            let arrived = collector.records.contains_key(marker) || poison(*marker);
            let promise = if record.held { Promise::HeldDelivered } else { Promise::AcceptedDelivered };
            self.tally.test(promise);
            record.demanded = true;
            assert!(
                arrived,
                "C1: {} was accepted or agreed to, and is lost: {record:?}",
                marker_text(*marker)
            );
        }
    }

    /// The world has calmed down: everything was delivered that had to be.
    pub fn ended(&mut self, collector: &Collector, poison: &dyn Fn(u64) -> bool) {
        for (marker, record) in &mut self.records {
            self.tally.made += 1;
            let demanded = record.taken && !record.excused && !self.damaged && !poison(*marker);
            self.tally.demanded += u64::from(demanded || record.demanded);
            if !demanded {
                continue;
            }
            let arrived = collector.records.contains_key(marker);
            self.tally.test(Promise::TakenDelivered);
            assert!(arrived, "{} was taken, and is lost", marker_text(*marker));
        }
        for (marker, text) in &collector.records {
            assert!(self.records.contains_key(marker), "{} was never made: {text}", marker_text(*marker));
            assert!(!poison(*marker), "poison was taken");
        }
        if !(self.damaged || self.jumped || self.in_process()) {
            let (tally, asked) = (&mut self.tally, &self.asked);
            for asked in asked.iter().filter(|asked| asked.is_promised(&self.turned_away)) {
                asked.has_arrived(collector);
                tally.test(Promise::AskedFor);
            }
        }
        let ids: BTreeSet<_> =
            collector.records.values().filter_map(|text| text_of(text, "$insert_id")).collect();
        let events = collector.records.values().filter(|text| text.starts_with("{\"event\"")).count();
        assert_eq!(ids.len(), events, "every event has an id of its own");
    }
}
