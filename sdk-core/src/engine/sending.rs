//! Delivery of the queue: when a request leaves, and what its answer means.

use super::books::Dropped;
use super::config::Config;
use super::effect::{Answer, Effect, Entry, Notice, Op, RecordId, Request};
use super::input::Lifecycle;
use super::outcome::{FlushMark, Outcome};
use super::policy::{Judgement, judge, retry_after_ms};
use super::store::Pending;
use super::time::Now;
use super::{Engine, Phase, Verdict};

/// First step of the backoff, in milliseconds; it doubles up to [`BACKOFF_CAP_MS`], and the wait is drawn evenly
/// from it ("full jitter").
const BACKOFF_MS: u64 = 2_000;
const BACKOFF_CAP_MS: u64 = 10 * 60 * 1_000;
/// The least wait after a failure, so that a jitter of nothing is no busy loop.
const BACKOFF_FLOOR_MS: u64 = 250;
/// The rest of a client that the collector does not want.
const PAUSE_MS: u64 = 10 * 60 * 1_000;
const TRACK: &str = "/track/?verbose=1&ip=0";

/// Where delivery stands: at most one request under way, except for the last one of a leaving page.
pub(super) struct Lane {
    /// When the gathered records are to leave, on the monotonic clock.
    due: Option<u64>,
    /// Before this nothing leaves, on the monotonic clock.
    not_before: u64,
    /// Whether the server asked for it, so that a flush does not override it.
    asked_to_wait: bool,
    attempts: u32,
    in_flight: Option<Op>,
    /// Records in the next request at most: fewer while a batch is searched for its poison.
    limit: usize,
    /// Records of a refused batch that are still to be cleared.
    suspects: usize,
    /// Bytes in a request at most: fewer once a collector has said that one was too large.
    bytes: usize,
    flushing: bool,
    last_sent: Option<u64>,
    /// Requests that failed, for flush marks.
    pub(super) failures: u64,
}

impl Lane {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            due: None,
            not_before: 0,
            asked_to_wait: false,
            attempts: 0,
            in_flight: None,
            limit: config.batch_size,
            suspects: 0,
            bytes: config.batch_bytes,
            flushing: false,
            last_sent: None,
            failures: 0,
        }
    }

    /// A record has joined the queue: a full batch leaves at once, others at the interval.
    pub(super) fn record_queued(&mut self, now: Now, config: &Config, waiting: usize) {
        if waiting >= config.batch_size {
            self.due = Some(now.mono_ms);
        }
        let quiet_since = self.last_sent.map_or(0, |at| at.saturating_add(config.flush_interval_ms));
        self.due.get_or_insert(if config.leading_edge {
            quiet_since.max(now.mono_ms)
        } else {
            now.mono_ms.saturating_add(config.flush_interval_ms)
        });
    }

    /// Whether nothing has to be waited for but the next tick.
    fn ready_at(&self) -> Option<u64> {
        if self.in_flight.is_some() {
            return None;
        }
        let due = if self.flushing { Some(0) } else { self.due };
        due.map(|due| due.max(self.not_before))
    }

    fn wait(&mut self, now: Now, ms: u64, asked: bool) {
        self.not_before = now.mono_ms.saturating_add(ms);
        self.asked_to_wait = asked;
        self.due = Some(self.not_before);
    }

    /// Forgets a wait that no server asked for.
    fn hurry(&mut self) {
        if !self.asked_to_wait {
            self.not_before = 0;
        }
    }

    fn restore_limits(&mut self, config: &Config) {
        self.limit = config.batch_size;
        self.bytes = config.batch_bytes;
    }
}

impl Engine {
    /// When a request may leave, on the monotonic clock.
    pub(super) fn sending_due(&self) -> Option<u64> {
        let waiting = self.phase == Phase::Ready && self.queue.waiting() > 0 && self.gate() == Verdict::Allow;
        self.lane.ready_at().filter(|_| waiting)
    }

    /// Sends the next batch, if it is time.
    pub(super) fn deliver(&mut self) {
        if self.sending_due().is_some_and(|due| due <= self.now.mono_ms) {
            let (limit, bytes) = (self.lane.limit, self.lane.bytes);
            self.lane.in_flight = self.send(limit, bytes, false);
            self.lane.last_sent = Some(self.now.mono_ms);
            // What did not fit is due already; what comes from now on gathers anew.
            self.lane.due = (self.queue.waiting() > 0).then_some(self.now.mono_ms);
        }
    }

    fn send(&mut self, records: usize, bytes: usize, leaving: bool) -> Option<Op> {
        let (body, ids) = self.queue.take_batch(records, bytes)?;
        let size = body.len();
        let permit = self.permit(Request { path: TRACK, body, records: ids.len(), leaving });
        let op = self.next_op(Pending::Send { ids, bytes: size });
        self.effects.push_back(Effect::Send { op, permit });
        Some(op)
    }

    pub(super) fn flush(&mut self) {
        self.hurry_and_sync();
        self.lane.hurry();
        let mark = FlushMark { through: self.queue.next_number(), failures: self.lane.failures };
        self.outcome = Outcome::Flushing(mark);
    }

    /// What is queued leaves now, and is durable against power loss meanwhile.
    fn hurry_and_sync(&mut self) {
        self.lane.flushing = self.queue.len() > 0 || !self.ring.is_empty() || self.phase != Phase::Ready;
        if self.queue.len() > 0 && self.durable() && self.gate() == Verdict::Allow {
            let op = self.next_op(Pending::Sync);
            self.effects.push_back(Effect::Sync { op });
        }
    }

    pub(super) fn lifecycle(&mut self, lifecycle: Lifecycle) {
        match lifecycle {
            Lifecycle::Foreground => {}
            Lifecycle::Online => self.lane.hurry(),
            Lifecycle::Background => self.hurry_and_sync(),
            Lifecycle::Leaving => {
                if self.gate() == Verdict::Allow && self.now.mono_ms >= self.lane.not_before {
                    self.send(usize::MAX, self.config.leaving_bytes, true);
                }
            }
        }
    }

    /// A request has ended.
    pub(super) fn answered(&mut self, op: Op, ids: &[RecordId], bytes: usize, answer: &Answer) {
        if self.lane.in_flight == Some(op) {
            self.lane.in_flight = None;
        }
        match judge(answer) {
            Judgement::Delivered => {
                self.books.delivered += self.queue.remove(ids);
                self.acknowledge(ids);
                self.lane.attempts = 0;
                self.lane.asked_to_wait = false;
                self.cleared(ids.len());
                self.go_on();
            }
            Judgement::Retry => {
                self.failed(ids);
                match retry_after_ms(answer) {
                    Some(ms) => {
                        self.lane.wait(self.now, ms, true);
                        self.store_not_before(self.now.wall_ms.saturating_add(ms));
                    }
                    None => self.back_off(),
                }
            }
            Judgement::Split if ids.len() > 1 => {
                self.again(ids);
                self.lane.bytes = bytes / 2;
            }
            Judgement::Split => {
                self.refused(ids, Dropped::Oversize);
                self.lane.restore_limits(&self.config);
            }
            Judgement::Bisect if ids.len() > 1 => {
                self.again(ids);
                self.lane.suspects = self.lane.suspects.max(ids.len());
                self.lane.limit = ids.len() / 2;
            }
            Judgement::Bisect => {
                self.refused(ids, Dropped::Refused);
                self.cleared(1);
            }
            Judgement::Pause => {
                self.failed(ids);
                self.lane.wait(self.now, PAUSE_MS, true);
                if let Answer::Response { status, .. } = answer {
                    self.notify(Notice::Paused { status: *status });
                }
            }
        }
    }

    /// The permit was refused: the records go back; whether they may stay is settled by what the record says.
    pub(super) fn send_refused(&mut self, op: Op, ids: &[RecordId]) {
        if self.lane.in_flight == Some(op) {
            self.lane.in_flight = None;
        }
        self.queue.put_back(ids);
        self.back_off();
    }

    /// A request has failed: its records wait, and flushes hear of it.
    fn failed(&mut self, ids: &[RecordId]) {
        self.queue.put_back(ids);
        self.lane.failures += 1;
        self.lane.flushing = false;
    }

    fn refused(&mut self, ids: &[RecordId], reason: Dropped) {
        let count = self.queue.remove(ids);
        self.books.drop_records(reason, count);
        self.acknowledge(ids);
        self.go_on();
    }

    /// So many suspects were delivered or dropped. The rest is tried whole, then halved again.
    fn cleared(&mut self, count: usize) {
        self.lane.suspects = self.lane.suspects.saturating_sub(count);
        self.lane.limit = match self.lane.suspects {
            0 => self.config.batch_size,
            left => left,
        };
    }

    /// A request has ended well: the next one leaves when it is due.
    fn go_on(&mut self) {
        self.lane.not_before = 0;
        if self.queue.waiting() == 0 {
            self.lane.due = None;
            self.lane.flushing = false;
        }
    }

    /// The same records again, in smaller pieces, at once.
    fn again(&mut self, ids: &[RecordId]) {
        self.queue.put_back(ids);
        self.lane.not_before = 0;
        self.lane.due = Some(self.now.mono_ms);
    }

    fn back_off(&mut self) {
        let ms = self.backoff_ms(self.lane.attempts);
        self.lane.attempts = self.lane.attempts.saturating_add(1);
        self.lane.wait(self.now, ms, false);
    }

    /// How long to wait after so many failures in a row, in milliseconds.
    pub(super) fn backoff_ms(&mut self, attempts: u32) -> u64 {
        let bound = BACKOFF_MS.saturating_mul(1 << attempts.min(20)).min(BACKOFF_CAP_MS);
        self.random_below(bound).max(BACKOFF_FLOOR_MS)
    }

    /// Remembers across a restart what the server asked for.
    fn store_not_before(&mut self, wall_ms: u64) {
        if self.durable() {
            let permit = self.permit(Entry::NotBefore(wall_ms));
            let op = self.next_op(Pending::NotBefore);
            self.effects.push_back(Effect::Append { op, permit });
        }
    }

    /// A wait that was remembered. A clock that has jumped back does not prolong it beyond what a server may ask.
    pub(super) fn resume_wait(&mut self, not_before_wall_ms: u64) {
        let ms = not_before_wall_ms.saturating_sub(self.now.wall_ms);
        if ms > 0 && ms <= 24 * 60 * 60 * 1_000 {
            self.lane.wait(self.now, ms, true);
        }
    }

    /// Aborts what is under way and forgets every wait and limit.
    pub(super) fn abandon_requests(&mut self) {
        let effects = &mut self.effects;
        self.pending.retain(|(op, pending)| {
            let request = matches!(pending, Pending::Send { .. });
            if request {
                effects.push_back(Effect::Cancel { op: *op });
            }
            !request
        });
        let failures = self.lane.failures;
        self.lane = Lane { failures, ..Lane::new(&self.config) };
    }

    pub(super) fn expire_queue(&mut self) {
        let before = self.now.wall_ms.saturating_sub(self.config.queue_limit_age_ms);
        let expired = self.queue.expire(before);
        self.give_up(&expired, Dropped::Expired);
    }

    /// Records that have left the queue undelivered.
    pub(super) fn give_up(&mut self, ids: &[RecordId], reason: Dropped) {
        if !ids.is_empty() {
            self.books.drop_records(reason, ids.len() as u64);
            self.acknowledge(ids);
        }
    }
}
