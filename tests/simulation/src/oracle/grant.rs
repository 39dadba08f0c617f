//! The person agrees: then everybody collects, what was held is delivered, and it is announced once (C1, C11).

use super::stored::identity_on;
use super::{Maker, Oracle, Promise, record_on, verdict};
use crate::collector::Collector;
use crate::disk::SimDisk;
use crate::process::Process;
use refrain::engine::{Config, Decision, Ticket};

/// A grant under way.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) maker: Maker,
    ticket: Ticket,
    /// Of the event that announces it.
    id: String,
    /// Somebody has objected since.
    pub(super) overtaken: bool,
    /// How often the record had come to say `granted` before, where nobody else's word was under way then: if it comes to
    /// say so now, this has made it.
    before: Option<usize>,
}

impl Grant {
    pub(super) fn is(&self, maker: Maker, ticket: Ticket) -> bool {
        (self.maker, self.ticket) == (maker, ticket)
    }

    /// Another word is under way: if the record comes to say `granted`, that may be another one's doing.
    pub(super) fn unclear(&mut self) {
        self.before = None;
    }
}

impl Oracle {
    /// The person agrees, in whatever process; `id` is that of the announcement.
    pub fn agrees(&mut self, maker: Maker, ticket: Ticket, id: String) {
        let others = !self.grants_under_way.is_empty() || !self.refusals.is_empty();
        self.grants_under_way.iter_mut().for_each(Grant::unclear);
        let undecided = self.last_decision != Some(Decision::Granted) && !others && !self.in_process();
        let before = undecided.then_some(self.grants);
        if !others && !self.in_process() {
            // Whatever was written unseen, this is the last word.
            self.blind = false;
        }
        self.grants_under_way.push(Grant { maker, ticket, id, overtaken: false, before });
        self.agreed.insert(maker);
        self.may_write = true;
        self.refused = false;
        self.refusals.iter_mut().for_each(|refusal| refusal.overtaken = true);
    }

    pub(super) fn grant_settled(&mut self, grant: &Grant, ended_well: bool, disk: &SimDisk) {
        self.watch_decision(disk);
        let recorded = record_on(disk).is_some_and(|record| record.decision == Decision::Granted);
        // One that is not recorded is announced all the same, where it holds.
        self.unrecorded_grants += usize::from(!ended_well || self.troubled.contains(&grant.maker));
        if !ended_well || !recorded || grant.overtaken {
            return;
        }
        self.unwritten.remove(&grant.maker);
        let others = !self.refusals.is_empty() || !self.unwritten.is_empty();
        if others || self.in_process() || self.damaged || self.jumped || self.renumbered {
            return;
        }
        self.granted = true;
        let made_it = grant.before.is_some_and(|before| before + 1 == self.grants);
        if made_it && self.granted_epoch == self.last_epoch {
            self.announcing.push((grant.maker, grant.id.clone()));
        }
    }

    /// C11: no grant is announced that changed nothing.
    pub(super) fn announced_at_most(&mut self, collector: &Collector) {
        if !self.damaged && !self.in_process() && !self.jumped && !self.renumbered {
            let announced = collector.opt_ins.len();
            if announced > 0 {
                self.tally.test(Promise::AnnouncedAtMost);
            }
            let most = self.grants + self.unrecorded_grants;
            assert!(announced <= most, "C11: {announced} announcements of {most} grants");
        }
    }

    /// C11: a grant that changed something, and that nobody has taken back, is announced by whom of these it has to be.
    pub fn announced(&mut self, collector: &Collector, by: impl Fn(Maker) -> bool) {
        if !self.damaged {
            for (_, id) in self.announcing.iter().filter(|(maker, _)| by(*maker)) {
                self.tally.test(Promise::Announced);
                assert!(collector.opt_ins.contains_key(id), "C11: a grant is not announced: {id}");
            }
        }
    }

    /// The world is at rest. C1: a process does what the table says of the record as it stands.
    pub fn rests(&mut self, maker: Maker, process: &Process, disk: &SimDisk, objects: bool, config: &Config) {
        let decision = record_on(disk).map(|record| record.decision);
        if self.granted {
            self.tally.test(Promise::GrantHolds);
            assert_eq!(decision, Some(Decision::Granted), "C7: a grant is not there any more");
        }
        if self.damaged || self.troubled.contains(&maker) || self.renumbered {
            return;
        }
        let expected = verdict(decision.unwrap_or_default(), objects, config);
        let consent = process.engine.consent();
        self.tally.test(Promise::Verdict);
        assert_eq!(consent.verdict.as_str(), expected, "C1: {consent:?} where the record says {decision:?}");
        if expected == "allow" {
            assert_eq!(process.engine.held_calls(), 0, "C1: calls are held, and nobody is asked");
        }
    }

    /// C9: who knows anybody knows whom the store knows.
    pub fn one_person<'p>(&mut self, processes: impl Iterator<Item = &'p Process>, disk: &SimDisk) {
        let known: Vec<_> = processes
            .filter_map(|process| Some((process.engine.distinct_id()?, process.engine.super_properties())))
            .collect();
        if self.damaged || self.in_process() {
            return;
        }
        for pair in known.windows(2) {
            self.tally.test(Promise::OnePerson);
            assert_eq!(pair[0], pair[1], "C9: two processes know different people");
        }
        if let (Some((_, properties)), Some(stored)) = (known.first(), identity_on(disk)) {
            assert!(stored.contains(properties), "C9: the store knows somebody else: {stored}");
        }
    }
}
