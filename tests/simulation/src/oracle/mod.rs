//! What must be true, worked out from what was called and what came back, and from nothing of how it works.

mod delivery;
mod erasure;
mod grant;
mod pace;
mod refusal;
mod stored;
mod subject;
mod tally;

pub use erasure::{Whom, asks_once, receipts, stays_behind};
pub use stored::{identity_on, is_damaged_on, no_other_record, record_on, slots_on};
pub use subject::Said;
pub use tally::{Promise, Tally};

use crate::collector::Collector;
use crate::damage::Lost;
use crate::disk::SimDisk;
use crate::process::{Kept, Process};
use delivery::Record;
use erasure::Asked;
use grant::Grant;
use pace::Pace;
use refrain::engine::{Config, ConsentError, Decision, DefaultConsent, Op, Request, Signals};
use refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use stored::{Pair, consent_on};
use subject::Subjects;

/// A process, by place and generation.
pub type Maker = (usize, u8);

/// Whose announcement it is that somebody has left in the store who is not there any more.
const LEFT: Maker = (usize::MAX, 0);

/// The witness.
#[derive(Debug, Default)]
pub struct Oracle {
    records: BTreeMap<u64, Record>,
    /// Acknowledgements under way: records, by who lets go of them.
    letting_go: Aside<Vec<(Maker, Op, Vec<u64>)>>,
    refusals: Vec<Refusal>,
    /// Grants under way.
    grants_under_way: Vec<Grant>,
    /// The last word of the person is a grant that is recorded.
    granted: bool,
    /// Grants that changed something, by who has to announce them, with the announcement's id.
    announcing: Vec<(Maker, String)>,
    /// Whose refusal could not be written: they write it as soon as they can, whatever was said meanwhile.
    unwritten: BTreeSet<Maker>,
    /// Who has agreed, so that a decision may hold there that is not in the record.
    agreed: BTreeSet<Maker>,
    /// Who lives, or lived, while the record could not be read, or could not record a decision there.
    troubled: BTreeSet<Maker>,
    /// Who has read the record since its epoch was last raised. What others capture may be dropped once they read it: they
    /// cannot tell that it came after.
    current: BTreeSet<Maker>,
    /// Whose store does something now.
    pub acting: Option<Maker>,
    withdrawn_devices: BTreeSet<String>,
    /// What was asked for.
    asked: Vec<Asked>,
    /// What the outbox has asked for, and was refused for good.
    turned_away: Vec<String>,
    /// What was asked for with a refusal that could not be written: as long as the process lives.
    owed: Vec<(Maker, Asked)>,
    /// The last word of the person is a refusal that has ended well.
    refused: bool,
    /// Whose word that is.
    refuser: Option<Maker>,
    /// Somebody was asked, or may collect without being asked: something may stand on the disk.
    pub may_write: bool,
    /// A bit was flipped that has cost the consent record or the identity, so that anything but safety may be lost.
    damaged: bool,
    /// A clock has jumped, so that moments of different processes do not compare.
    jumped: bool,
    /// The record could not be read while a grant was under way: what is written over it unseen may have been the last
    /// word, and nobody can know.
    blind: bool,
    /// The record was deleted, and what numbers the words anew.
    pub renumbered: bool,
    /// How often the record has come to say `granted`.
    grants: usize,
    /// Grants that ended where the record could not be written, or read.
    unrecorded_grants: usize,
    /// The epoch of the record when it last came to say `granted`.
    granted_epoch: u64,
    last_decision: Option<Decision>,
    last_epoch: u64,
    /// Entries of the outbox in the record as it was last read: which, and whether they were added without a withdrawal.
    entries: Aside<BTreeMap<String, bool>>,
    /// What those were read from.
    last_slots: Option<Rc<Pair>>,
    next_marker: u64,
    /// Whom records are about.
    subjects: Aside<Subjects>,
    /// How soon a collector may be asked again.
    pub pace: Aside<Pace>,
    /// How often each promise was put to the test.
    pub tally: Tally,
}

/// Something that is not told of: by it no two states are different for a search.
#[derive(Default)]
pub struct Aside<T>(pub T);

impl<T> fmt::Debug for Aside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// Whether a signal that is honoured says no.
pub fn objects(signals: Signals, config: &Config) -> bool {
    signals.gpc && config.honor_gpc || signals.dnt && config.honor_dnt || signals.host
}

/// The table of verdicts, for a record that can be read.
fn verdict(decision: Decision, objects: bool, config: &Config) -> &'static str {
    match decision {
        Decision::Denied => "deny",
        Decision::Granted => "allow",
        Decision::Unset if objects => "deny",
        Decision::Unset => match config.default_consent {
            DefaultConsent::Granted => "allow",
            DefaultConsent::Pending => "hold",
            DefaultConsent::Denied => "deny",
        },
    }
}

impl Oracle {
    /// Whether decisions hold somewhere that no record tells of, or were made unseen.
    pub fn in_process(&self) -> bool {
        !self.troubled.is_empty()
    }

    /// Whether the consent record or the identity was damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The record cannot be read: now, and by these.
    pub fn blinded(&mut self, living: impl Iterator<Item = Maker>) {
        self.blind |= !self.grants_under_way.is_empty();
        self.granted = false;
        self.troubled.extend(living);
    }

    /// Looks at what a process has come to since it was last looked at; whether a withdrawal has ended well.
    pub fn look(&mut self, maker: Maker, process: &mut Process, disk: &SimDisk) -> bool {
        self.watch_decision(disk);
        self.look_at_store(maker, process, disk);
        let mut ended_well = false;
        for (ticket, result) in std::mem::take(&mut process.settled) {
            if matches!(result, Err(ConsentError::NotRecorded(_))) {
                self.troubled.insert(maker);
                self.granted = false;
            }
            if let Some(at) = self.grants_under_way.iter().position(|grant| grant.is(maker, ticket)) {
                let grant = self.grants_under_way.remove(at);
                self.grant_settled(&grant, result.is_ok(), disk);
            } else if let Some(at) = self.refusals.iter().position(|r| r.maker == maker && r.ticket == ticket)
            {
                let refusal = self.refusals.remove(at);
                ended_well |= self.refusal_settled(&refusal, result, disk);
            }
        }
        self.watch_decision(disk);
        self.look_at_subject(maker, process);
        ended_well
    }

    /// Looks at what a process has done in one of several steps.
    pub fn watch_step(&mut self, maker: Maker, process: &Process, disk: &SimDisk) {
        // What it has written since, it may have written over what it could not read.
        if process.was_blind() {
            self.blinded(std::iter::once(maker));
        }
        self.watch_decision(disk);
        self.look_at_subject(maker, process);
    }

    /// Looks at whom a process knows, and at what it holds no longer.
    fn look_at_subject(&mut self, maker: Maker, process: &Process) {
        let troubled = self.troubled.contains(&maker) || self.damaged;
        if troubled {
            self.subjects.0.lost_track(maker);
        }
        for (marker, expected) in self.subjects.0.look(maker, process) {
            if let Some(record) = self.records.get_mut(&marker).filter(|_| !troubled) {
                record.expected.0 = Some(expected);
            }
        }
    }

    /// Looks at the decision on the disk; after every step, so that none goes unseen.
    pub fn watch_decision(&mut self, disk: &SimDisk) {
        self.watch_identity(disk);
        let (slots, record) = consent_on(disk);
        if self.last_slots.as_ref() == Some(&slots) {
            return;
        }
        self.last_slots = Some(slots);
        let decision = record.as_ref().map(|record| record.decision);
        if decision == Some(Decision::Granted) && self.last_decision != decision {
            self.grants += 1;
            self.granted_epoch = record.as_ref().map_or(0, |record| record.epoch);
        }
        self.last_decision = decision;
        self.entrusted(record.as_deref());
        // A withdrawal takes what was captured before it was written, not only before it was called for.
        let epoch = record.map_or(0, |record| record.epoch);
        // Lower, where a refusal was written over what could not be read.
        if epoch != self.last_epoch {
            self.last_epoch = epoch;
            self.excuse_all();
            self.pace.0.withdrawn();
            self.written_over();
            // With what goes an announcement goes that had not left yet.
            self.announcing.clear();
            self.current.clear();
            // Whoever has changed it has read it.
            self.current.extend(self.acting);
            self.subjects.0.lost_track_of_held();
        }
    }

    /// A process has read the record as it stands.
    pub fn reads(&mut self, maker: Maker) {
        self.current.insert(maker);
    }

    /// Data was deleted. Where a signal says no that is what the dead have left, and an announcement with it (C3).
    pub fn wiped(&mut self, disk: &SimDisk) {
        self.announcing.retain(|(of, id)| *of != LEFT || disk.holds(id.as_bytes()).is_some());
    }

    /// Whether there is a record, and this process has read it.
    pub fn has_read(&self, maker: Maker, disk: &SimDisk) -> bool {
        self.current.contains(&maker) && record_on(disk).is_some()
    }

    /// After every step.
    pub fn check(&mut self, disk: &SimDisk, collector: &Collector) {
        if !self.may_write {
            let files = disk.files();
            assert!(files.is_empty(), "C3: nobody has decided, and there is {:?}", files[0].0);
        }
        self.announced_at_most(collector);
    }

    /// A process is gone. What the store had taken is still there; after a power cut, what was synced.
    pub fn gone(&mut self, maker: Maker, power: bool, disk: &SimDisk) {
        self.refusals.retain(|refusal| refusal.maker != maker);
        self.owed.retain(|(other, _)| *other != maker);
        self.grants_under_way.retain(|grant| grant.maker != maker);
        self.unwritten.remove(&maker);
        self.agreed.remove(&maker);
        self.troubled.remove(&maker);
        self.current.remove(&maker);
        self.letting_go.0.retain(|(other, _, _)| *other != maker);
        self.subjects.0.gone(maker);
        self.pace.0.gone(maker);
        // An announcement that the store has taken is made by whoever comes next.
        self.announcing
            .retain(|(other, id)| !power && (*other != maker || disk.holds(id.as_bytes()).is_some()));
        self.announcing.iter_mut().filter(|(other, _)| *other == maker).for_each(|(other, _)| *other = LEFT);
        self.records_of_the_dead(maker, power);
    }

    /// A clock jumps.
    pub fn jumps(&mut self) {
        self.jumped = true;
        self.granted = false;
        self.pace.0.lost();
    }

    /// A bit was flipped. `lost` is what a queue has lost by it. `speaks`: whether the decision or the identity reads
    /// otherwise since.
    pub fn flipped(&mut self, lost: &Lost, speaks: bool) {
        self.damaged |= speaks;
        match lost {
            Lost::Records(texts) => {
                self.announcing.retain(|(_, id)| !texts.iter().any(|text| text.contains(id.as_str())));
                self.records_damaged(texts);
            }
            // Whoever writes to it goes on behind what nobody can read.
            Lost::Queue => self.damaged = true,
            Lost::Nothing => {}
        }
        self.pace.0.lost();
    }

    /// Somebody else has deleted the consent record. C8: what stands there, and is nobody's, belongs to nobody now.
    pub fn record_lost(&mut self, nobody_lives: bool) {
        self.excuse_all();
        self.pace.0.withdrawn();
        self.renumbered = true;
        self.granted = false;
        self.announcing.clear();
        self.asked.clear();
        self.owed.clear();
        self.refused = false;
        // Who holds records and an identity in memory and has not seen a refusal that stood there never will.
        let held = self.records.values_mut().filter(|record| record.op.is_none());
        held.for_each(|record| record.withdrawn = false);
        for refusal in &mut self.refusals {
            refusal.overtaken = true;
            refusal.crossing = true;
            refusal.asks_nothing();
        }
        self.last_epoch = 0;
        self.last_slots = None;
        if nobody_lives {
            self.records.values_mut().for_each(|record| record.withdrawn = true);
        } else {
            self.withdrawn_devices.clear();
        }
    }

    /// A request that is not the outbox's has begun to leave: not too early.
    pub fn paces(&mut self, maker: Maker, process: &Process, op: Op, request: &Request) {
        self.pace.0.departs(maker, process, op, request, &mut self.tally);
        if !self.jumped && !self.damaged {
            let made = |marker: u64| self.records.get(&marker).map(|record| record.maker);
            self.pace.0.departs_for_others(maker, process, request, made, &mut self.tally);
        }
    }

    /// An app has said whom records are about, and was heard or has to wait.
    pub fn said(&mut self, maker: Maker, process: &Process, said: Said, held: bool) {
        self.subjects.0.said(maker, process, said, held);
    }

    /// What the witness expects: states in which it expects different things are different.
    pub fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// How many records were made.
    pub fn made_count(&self) -> usize {
        self.records.len()
    }

    fn look_at_store(&mut self, maker: Maker, process: &mut Process, disk: &SimDisk) {
        let mut unknown = false;
        for kept in &process.kept {
            match kept {
                Kept::Taken(op) => {
                    self.pace.0.taken(maker, *op);
                    unknown |= !self.taken(maker, *op);
                }
                Kept::Synced => self.synced(maker),
                Kept::LetGo(op) => self.let_go(maker, *op),
                Kept::Unknown => _ = self.current.remove(&maker),
                // Another one may have written since.
                Kept::Read(epoch) if *epoch == self.last_epoch => _ = self.current.insert(maker),
                Kept::Read(_) => {}
                Kept::Wiped => self.wiped(disk),
            }
        }
        if unknown {
            self.taken_unnamed(maker, disk);
            if process.kept.last() == Some(&Kept::Synced) {
                self.synced(maker);
            }
        }
        process.kept.clear();
    }
}
