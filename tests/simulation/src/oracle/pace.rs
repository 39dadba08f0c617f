//! How soon somebody may be asked again: what a collector has said of it, lane by lane and for the outbox, and what of that
//! has to outlive the process that was told.

use super::{Maker, Promise, Tally};
use crate::collector::markers;
use crate::process::Process;
use refrain::engine::{Answer, Lane, Op, Request};
use std::collections::{BTreeMap, BTreeSet};

/// After a failure, in milliseconds, nobody is asked again sooner.
const LEAST_MS: u64 = 100;
/// A collector that does not want a client is left alone for so long at least.
const UNWANTED_MS: u64 = 60_000;

/// What each process has to wait for, by its place.
#[derive(Debug, Default)]
pub struct Pace {
    /// On its own clock: because the collector has said so, in a lane.
    asked: BTreeMap<(usize, u8), u64>,
    /// When a lane's last request failed, unless its process was told to hurry since.
    failed: BTreeMap<(usize, u8), u64>,
    /// A lane's last request had so many bytes, and was too large.
    too_large: BTreeMap<(usize, u8), usize>,
    /// Before this a request of the outbox must not be made again, by what it asks.
    outbox: BTreeMap<(usize, String), u64>,
    /// Requests that were on their way already when their lane was told to wait.
    exempt: BTreeSet<(usize, Op)>,
    /// Waits that are on their way into the store, on the wall clock.
    noting: Vec<(Maker, Op, u64)>,
    /// Waits that the store has taken.
    kept: BTreeMap<Maker, u64>,
    /// Waits of the dead, as a process that begins finds them.
    found: BTreeMap<Maker, BTreeMap<Maker, u64>>,
}

impl Pace {
    /// A process is about to hear an answer: what is on its way by then was asked for before.
    pub fn hears(&mut self, maker: Maker, process: &Process) {
        self.exempt.extend(process.waiting.iter().map(|(op, _)| (maker.0, *op)));
    }

    /// A process has heard an answer, to a request that it had not given up.
    pub fn told(
        &mut self,
        maker: Maker,
        process: &Process,
        request: &Request,
        outbox: bool,
        answer: &Answer,
    ) {
        let (place, now) = (maker.0, process.now);
        let (status, asked_ms) = match answer {
            Answer::Response { status, retry_after, .. } => {
                let seconds = retry_after.as_ref().and_then(|text| text.parse::<u64>().ok());
                (Some(*status), seconds.unwrap_or_default() * 1_000)
            }
            _ => (None, 0),
        };
        if outbox {
            let done = matches!(status, Some(200..=299));
            let ms = if done { asked_ms } else { asked_ms.max(LEAST_MS) };
            if ms > 0 {
                self.outbox.insert((place, next_question(request, answer)), now.mono_ms + ms);
            }
            return;
        }
        let lane = (place, lane_of(&request.path));
        self.asked.remove(&lane);
        self.failed.remove(&lane);
        self.too_large.remove(&lane);
        match status {
            Some(200) if is_word(answer) => {}
            Some(400) => {}
            Some(413) if request.records > 1 => _ = self.too_large.insert(lane, request.body.len()),
            Some(413) => {}
            Some(404) => _ = self.asked.insert(lane, now.mono_ms + UNWANTED_MS),
            _ if asked_ms > 0 => {
                self.asked.insert(lane, now.mono_ms + asked_ms);
                let noted = process.asked.iter().find(|op| op.0 & 1 == 0);
                self.noting.extend(noted.map(|op| (maker, *op, now.wall_ms + asked_ms)));
            }
            _ => _ = self.failed.insert(lane, now.mono_ms),
        }
    }

    /// The store has taken something.
    pub(super) fn taken(&mut self, maker: Maker, op: Op) {
        if let Some(at) = self.noting.iter().position(|(of, noted, _)| (*of, *noted) == (maker, op)) {
            let (_, _, until) = self.noting.remove(at);
            self.kept.insert(maker, until);
        }
    }

    /// A process begins. `dead`: who is not there any more.
    pub fn begins(&mut self, maker: Maker, dead: impl Fn(Maker) -> bool) {
        let found = self.kept.iter().filter(|(of, _)| dead(**of)).map(|(of, until)| (*of, *until));
        self.found.insert(maker, found.collect());
    }

    /// A request that is not the outbox's has begun to leave.
    pub fn departs(&self, maker: Maker, process: &Process, op: Op, request: &Request, tally: &mut Tally) {
        let (place, now) = (maker.0, process.now);
        if self.exempt.contains(&(place, op)) {
            return;
        }
        let lane = (place, lane_of(&request.path));
        if request.leaving {
            return;
        }
        if let Some(at) = self.failed.get(&lane) {
            let pause = now.mono_ms - at;
            tally.test(Promise::Pause);
            assert!(pause >= LEAST_MS, "a collector that fails is asked again after {pause} ms");
        }
        if let Some(until) = self.asked.get(&lane) {
            tally.test(Promise::RetryAfter);
            assert!(now.mono_ms >= *until, "Retry-After was not honoured");
        }
        if let Some(bytes) = self.too_large.get(&lane) {
            tally.test(Promise::Smaller);
            let smaller = request.records == 1 || request.body.len() < *bytes;
            assert!(smaller, "what was too large comes again: {} bytes", request.body.len());
        }
    }

    /// A wait of somebody who has died since is one for whoever takes over the records. `made` says whose a record is.
    pub(super) fn departs_for_others(
        &self,
        maker: Maker,
        process: &Process,
        request: &Request,
        made: impl Fn(u64) -> Option<Maker>,
        tally: &mut Tally,
    ) {
        let Some(found) = self.found.get(&maker).filter(|found| !found.is_empty()) else { return };
        for until in markers(&request.body).filter_map(made).filter_map(|of| found.get(&of)) {
            tally.test(Promise::RetryAfterRestart);
            assert!(process.now.wall_ms >= *until, "Retry-After was forgotten by a restart");
        }
    }

    /// A request of the outbox has begun to leave. `alone`: nobody else asks the same.
    pub fn asks(
        &mut self,
        maker: Maker,
        process: &Process,
        request: &Request,
        alone: impl FnOnce() -> bool,
        tally: &mut Tally,
    ) {
        let Some(until) = self.outbox.remove(&(maker.0, question(request))) else { return };
        if alone() {
            tally.test(Promise::OutboxWaits);
            let early = until.saturating_sub(process.now.mono_ms);
            assert_eq!(early, 0, "C12: the outbox asks too early: {} {}", request.path, request.body);
        }
    }

    /// A process need not wait in its lanes any more.
    pub fn forget(&mut self, place: usize) {
        self.asked.retain(|(of, _), _| *of != place);
        self.too_large.retain(|(of, _), _| *of != place);
        self.hurry(place);
    }

    /// There may be a new entry in the outbox that asks for the same as another one.
    pub(super) fn asked_anew(&mut self) {
        self.outbox.clear();
    }

    /// A process is told not to wait for its interval.
    pub fn hurry(&mut self, place: usize) {
        self.failed.retain(|(of, _), _| *of != place);
    }

    /// A process is gone.
    pub fn gone(&mut self, maker: Maker) {
        self.forget(maker.0);
        self.outbox.retain(|(of, _), _| *of != maker.0);
        self.exempt.retain(|(of, _)| *of != maker.0);
        self.noting.retain(|(of, _, _)| *of != maker);
        self.found.remove(&maker);
    }

    /// A withdrawal ends every wait with the requests that it was for.
    pub fn withdrawn(&mut self) {
        self.asked.clear();
        self.failed.clear();
        self.too_large.clear();
        self.lost();
    }

    /// What the store was to keep may be lost.
    pub fn lost(&mut self) {
        self.noting.clear();
        self.kept.clear();
        self.found.values_mut().for_each(BTreeMap::clear);
    }
}

/// What a request of the outbox asks.
fn question(request: &Request) -> String {
    if request.body.is_empty() { request.path.clone() } else { request.body.clone() }
}

/// What is asked after this answer: the same, or, once an erasure is taken, how far it is.
fn next_question(request: &Request, answer: &Answer) -> String {
    match answer {
        Answer::Response { status: 202, body, .. } if !request.body.is_empty() => {
            let ticket = crate::collector::text_of(body, "id").unwrap_or_default();
            format!("{}/{ticket}", request.path)
        }
        _ => question(request),
    }
}

fn is_word(answer: &Answer) -> bool {
    matches!(answer, Answer::Response { body, .. } if body == "1")
}

fn lane_of(path: &str) -> u8 {
    let paths = ["/track/", "/engage/", "/groups/"];
    Lane::ALL.iter().position(|lane| path.starts_with(paths[*lane as usize])).unwrap_or(9) as u8
}
