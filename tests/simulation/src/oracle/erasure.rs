//! What is asked for with a refusal (C12).

use super::refusal::Refusal;
use super::stored::whom_on;
use super::{Maker, Oracle, Promise, record_on};
use crate::collector::{Collector, split, text_of};
use crate::disk::SimDisk;
use refrain::engine::{ConsentRecord, ErasureKind, ErasureState, Request};
use std::collections::BTreeSet;

/// A device, and the user who was known on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whom {
    /// The device's id.
    pub device: String,
    /// The user.
    pub user: Option<String>,
}

/// What a refusal asks a collector for: that one of these devices is erased, or its profiles are deleted. None where nobody
/// was known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) kind: ErasureKind,
    pub(super) whom: BTreeSet<Whom>,
}

impl Asked {
    /// Whether nothing of it was refused for good, in requests with these bodies.
    pub(super) fn is_promised(&self, turned_away: &[String]) -> bool {
        let refused = |whom: &Whom| turned_away.iter().any(|body| body.contains(&whom.device));
        !self.whom.iter().any(refused)
    }

    pub(super) fn has_arrived(&self, collector: &Collector) {
        let Self { kind, whom } = self;
        let names = |body: &str, id: &str| {
            split(body).iter().any(|deletion| text_of(deletion, "$distinct_id") == Some(id))
        };
        let deletes = |body: &String, whom: &Whom| {
            names(body, &format!("$device:{}", whom.device))
                && whom.user.as_ref().is_none_or(|user| names(body, user))
        };
        let arrived = whom.iter().any(|whom| match kind {
            ErasureKind::Device => collector.erasures.contains(&whom.device),
            ErasureKind::Profile => collector.deletions.iter().any(|body| deletes(body, whom)),
        });
        assert!(arrived || whom.is_empty(), "C12: the erasure of {whom:?} ({kind:?}) is never asked for");
    }
}

impl Oracle {
    /// Other processes may say who is here while a refusal is under way that asks for an erasure.
    pub(super) fn watch_identity(&mut self, disk: &SimDisk) {
        self.subjects.0.stands(self.acting, disk);
        let mut asking = self.refusals.iter_mut().filter(|refusal| refusal.asks_something()).peekable();
        if asking.peek().is_some()
            && let Some(whom) = whom_on(disk)
        {
            asking.for_each(|refusal| refusal.stands(&whom));
        }
    }

    /// What a refusal has asked for that could not be written is added later, under the epoch that there is: records of that
    /// epoch are no later ones.
    pub(super) fn entrusted(&mut self, record: Option<&ConsentRecord>) {
        let late = record.is_some_and(|record| record.epoch == self.last_epoch);
        let known = std::mem::take(&mut self.entries.0);
        let entries = record.into_iter().flat_map(|record| &record.outbox);
        let entries = entries.map(|entry| (entry.id.clone(), *known.get(&entry.id).unwrap_or(&late)));
        self.entries.0 = entries.collect();
    }

    /// The record has changed. Where somebody may have written a refusal over what they could not read, and had not read
    /// before the refusal was on its way, nobody knows what had been asked for.
    pub(super) fn written_over(&mut self) {
        let refuses = |maker: &Maker, overtakes: bool| {
            let of = |refusal: &Refusal| refusal.maker == *maker && (refusal.overtakes || !overtakes);
            self.refusals.iter().any(of)
        };
        let unread = |maker: &Maker| {
            let refuses_unseen = self.unwritten.contains(maker) || refuses(maker, false);
            let writes = Some(*maker) == self.acting && refuses(maker, true);
            refuses_unseen && !self.current.contains(maker) || writes
        };
        if self.troubled.iter().any(unread) {
            self.asked.clear();
            // Nor what somebody is asking for who has recorded it and is not done yet.
            let others = self.refusals.iter_mut().filter(|refusal| Some(refusal.maker) != self.acting);
            others.for_each(Refusal::asks_no_more);
        }
        let others = self.refusals.iter_mut().filter(|refusal| Some(refusal.maker) != self.acting);
        others.for_each(|refusal| refusal.overtakes = true);
    }

    /// The world has calmed down, and nobody has died of it: what was asked for with a refusal that could not be written
    /// was asked for all the same, once there is a record to keep it.
    pub fn paid(&self, collector: &Collector, disk: &SimDisk) {
        if !(self.damaged || self.jumped) && record_on(disk).is_some() {
            let owed = self.owed.iter().map(|(_, asked)| asked);
            owed.filter(|asked| asked.is_promised(&self.turned_away))
                .for_each(|asked| asked.has_arrived(collector));
        }
    }

    /// What this request of the outbox asks for was refused for good.
    pub fn turned_away(&mut self, body: &str) {
        self.turned_away.push(body.into());
    }
}

/// An erasure that counts as done has its receipt.
pub fn receipts(oracle: &mut Oracle, disk: &SimDisk) {
    for entry in record_on(disk).iter().flat_map(|record| &record.outbox) {
        let done = entry.kind == ErasureKind::Device && entry.state == ErasureState::Completed;
        if done {
            let receipt = entry.answer.as_ref().is_some_and(|answer| answer.contains("\"receipt\""));
            oracle.tally.test(Promise::Receipt);
            oracle.tally.test(Promise::Proven);
            assert!(receipt, "C12: an erasure is done without a receipt");
        }
    }
}

/// No record that names a user overtakes the deletion of that user's profile.
pub fn stays_behind(oracle: &mut Oracle, disk: &SimDisk, request: &Request) {
    for entry in record_on(disk).iter().flat_map(|record| &record.outbox) {
        let late = oracle.entries.0.get(&entry.id) == Some(&true);
        let open = entry.kind == ErasureKind::Profile && !entry.state.is_final();
        if let Some(user) = entry.user.as_ref().filter(|_| open && !late) {
            oracle.tally.test(Promise::StaysBehind);
            let overtakes = request.body.contains(&format!("\"{user}\""));
            assert!(!overtakes, "C12: a record overtakes the deletion of its profile: {}", request.body);
        }
    }
}

/// Whether no two open entries of the record ask the same of the collector.
pub fn asks_once(disk: &SimDisk) -> bool {
    let record = record_on(disk);
    let entries = record.iter().flat_map(|record| &record.outbox);
    let open: Vec<_> = entries.filter(|entry| !entry.state.is_final()).collect();
    let same = |(at, entry): (usize, &&refrain::engine::Erasure)| {
        let others = open.iter().skip(at + 1);
        others.clone().any(|other| (other.kind, &other.device_id) == (entry.kind, &entry.device_id))
    };
    !open.iter().enumerate().any(same)
}
