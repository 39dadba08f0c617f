//! Delivery of the queue, lane by lane: when a request leaves, and what its answer means.

use super::books::Dropped;
use super::config::Config;
use super::effect::{Answer, Effect, Entry, Lane, Notice, Op, Request};
use super::input::Lifecycle;
use super::outcome::{FlushMark, Outcome};
use super::policy::{ASKED_CAP_MS, Judgement, judge, retry_after_ms};
use super::queue::Gone;
use super::store::Pending;
use super::time::Now;
use super::{Engine, Phase, Verdict, sooner};
use alloc::boxed::Box;

/// First step of the backoff, in milliseconds; it doubles up to [`BACKOFF_CAP_MS`], and the wait is drawn evenly
/// from it ("full jitter").
const BACKOFF_MS: u64 = 2_000;
const BACKOFF_CAP_MS: u64 = 10 * 60 * 1_000;
/// The least wait after a failure, so that a jitter of nothing is no busy loop.
const BACKOFF_FLOOR_MS: u64 = 250;
/// The rest of a client that the collector does not want.
const PAUSE_MS: u64 = 10 * 60 * 1_000;
/// After so many requests that were not too large, twice their bytes are tried again: seldom enough where the collector
/// takes no more, and soon enough where it had a bad hour.
const GROWTH: u32 = 8;

/// Where delivery of a lane stands: at most one request under way, except for the last one of a leaving page.
pub(super) struct Delivery {
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
    /// Requests that were delivered since there may be only so many.
    taken: u32,
    flushing: bool,
    last_sent: Option<u64>,
}

impl Delivery {
    fn new(config: &Config) -> Self {
        Self {
            due: None,
            not_before: 0,
            asked_to_wait: false,
            attempts: 0,
            in_flight: None,
            limit: config.batch_size,
            suspects: 0,
            bytes: config.batch_bytes,
            taken: 0,
            flushing: false,
            last_sent: None,
        }
    }

    /// A record has joined the queue: a full batch leaves at once, others at the interval.
    fn record_queued(&mut self, now: Now, config: &Config, waiting: usize) {
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

    /// What the server has asked for is not cut short by the failure of another request.
    fn wait(&mut self, now: Now, ms: u64, asked: bool) {
        let until = now.mono_ms.saturating_add(ms);
        let asked_until = if self.asked_to_wait && !asked { self.not_before } else { 0 };
        self.not_before = until.max(asked_until);
        self.asked_to_wait = asked || asked_until > now.mono_ms;
        self.due = Some(self.not_before);
    }

    #[cfg(feature = "simulation")]
    pub(super) fn fingerprint(&self, now_ms: u64) -> impl core::fmt::Debug + use<> {
        let since = |at: u64| at.saturating_sub(now_ms);
        let times = (self.due.map(since), since(self.not_before), self.last_sent.map(|at| now_ms - at));
        let limits = (self.limit, self.suspects, self.bytes, self.taken);
        (times, self.asked_to_wait, self.attempts, self.in_flight.is_some(), limits, self.flushing)
    }

    /// Forgets a wait that no server asked for: what it held up is due now.
    fn hurry(&mut self, now: Now) {
        if !self.asked_to_wait && core::mem::take(&mut self.not_before) > now.mono_ms {
            self.due = Some(now.mono_ms);
        }
    }

    /// So many suspects were delivered or dropped. The rest is tried whole, then halved again.
    fn cleared(&mut self, count: usize, batch_size: usize) {
        self.suspects = self.suspects.saturating_sub(count);
        self.limit = if self.suspects == 0 { batch_size } else { self.suspects };
    }

    /// Requests have so many bytes at most from now on.
    fn limit_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.taken = 0;
    }

    /// A request was not too large.
    fn grow(&mut self, batch_bytes: usize) {
        if self.bytes < batch_bytes {
            self.taken += 1;
            if self.taken >= GROWTH {
                self.limit_bytes(self.bytes.saturating_mul(2).min(batch_bytes));
            }
        }
    }
}

/// One for each lane.
pub(super) fn deliveries(config: &Config) -> [Delivery; Lane::ALL.len()] {
    [Delivery::new(config), Delivery::new(config), Delivery::new(config)]
}

fn delivery(deliveries: &mut [Delivery; Lane::ALL.len()], lane: Lane) -> &mut Delivery {
    let [events, profiles, groups] = deliveries;
    match lane {
        Lane::Events => events,
        Lane::Profiles => profiles,
        Lane::Groups => groups,
    }
}

impl Engine {
    fn delivery(&mut self, lane: Lane) -> &mut Delivery {
        delivery(&mut self.deliveries, lane)
    }

    /// A record has joined the queue.
    pub(super) fn record_queued(&mut self, lane: Lane) {
        let waiting = self.queue.waiting(lane);
        delivery(&mut self.deliveries, lane).record_queued(self.now, &self.config, waiting);
    }

    /// What waits is to leave as if it had joined the queue just now.
    pub(super) fn gather(&mut self) {
        for &lane in &Lane::ALL {
            if self.queue.waiting(lane) > 0 {
                self.record_queued(lane);
            }
        }
    }

    /// When a request may leave, on the monotonic clock.
    pub(super) fn sending_due(&self) -> Option<u64> {
        if self.phase != Phase::Ready || self.queue.len() == 0 || self.gate() != Verdict::Allow {
            return None;
        }
        let mut soonest = None;
        for (lane, delivery) in Lane::ALL.iter().zip(&self.deliveries) {
            if self.queue.waiting(*lane) > 0 {
                soonest = sooner(soonest, delivery.ready_at());
            }
        }
        soonest
    }

    /// What has waited behind the deletion of a profile leaves at once.
    pub(super) fn release(&mut self) {
        let now = self.now.mono_ms;
        for (lane, delivery) in Lane::ALL.iter().zip(&mut self.deliveries) {
            if self.queue.waiting(*lane) > 0 {
                delivery.due = Some(now);
            }
        }
    }

    /// Sends the next batch of each lane for which it is time.
    pub(super) fn deliver(&mut self) {
        for &lane in &Lane::ALL {
            let (now, waiting) = (self.now.mono_ms, self.queue.waiting(lane));
            let delivery = self.delivery(lane);
            // A flush is over for a lane that holds nothing.
            delivery.flushing &= waiting > 0 || delivery.in_flight.is_some();
            if waiting > 0 && delivery.ready_at().is_some_and(|due| due <= now) {
                let (limit, bytes) = (delivery.limit, delivery.bytes);
                let Some((op, _)) = self.send(lane, limit, bytes, false) else { continue };
                // What did not fit is due already; what comes from now on gathers anew.
                let due = (self.queue.waiting(lane) > 0).then_some(now);
                let delivery = self.delivery(lane);
                delivery.in_flight = Some(op);
                delivery.last_sent = Some(now);
                delivery.due = due;
            }
        }
    }

    /// Sends a batch; the request's number, and the bytes in it.
    fn send(&mut self, lane: Lane, records: usize, bytes: usize, leaving: bool) -> Option<(Op, usize)> {
        // A flush, a full batch and what an earlier process has left come without a tick.
        self.expire_queue();
        let (body, batch) = self.queue.take_batch(lane, records, bytes)?;
        let size = body.len();
        let request = Request { path: lane.path().into(), body, records: batch.len(), leaving };
        let permit = Box::new(self.permit(request));
        let op = self.next_op(Pending::Send { lane, batch, bytes: size });
        self.effects.push_back(Effect::Send { op, permit });
        Some((op, size))
    }

    pub(super) fn flush(&mut self) {
        self.hurry_and_sync();
        self.hurry();
        let through = (!self.is_opening()).then(|| self.queue.next_number());
        let mark = FlushMark { through, failures: self.failures };
        self.outcome = Outcome::Flushing(mark);
    }

    /// What is queued leaves now, and is durable against power loss meanwhile.
    fn hurry_and_sync(&mut self) {
        let anything = self.queue.len() > 0 || !self.ring.is_empty() || self.phase != Phase::Ready;
        self.deliveries.iter_mut().for_each(|delivery| delivery.flushing = anything);
        if self.queue.len() > 0 && self.durable() && self.gate() == Verdict::Allow {
            let op = self.next_op(Pending::Sync);
            self.effects.push_back(Effect::Sync { op });
        }
    }

    fn hurry(&mut self) {
        let now = self.now;
        self.deliveries.iter_mut().for_each(|delivery| delivery.hurry(now));
    }

    pub(super) fn lifecycle(&mut self, lifecycle: Lifecycle) {
        match lifecycle {
            Lifecycle::Foreground => {}
            Lifecycle::Online => self.hurry(),
            Lifecycle::Background => self.hurry_and_sync(),
            Lifecycle::Resumed => self.resume(),
            Lifecycle::Leaving => {
                let mut room = self.config.leaving_bytes;
                for &lane in &Lane::ALL {
                    let may =
                        self.gate() == Verdict::Allow && self.now.mono_ms >= self.delivery(lane).not_before;
                    if may && room > 0 {
                        let sent = self.send(lane, usize::MAX, room, true);
                        room = room.saturating_sub(sent.map_or(0, |(_, bytes)| bytes));
                    }
                }
            }
        }
    }

    /// The store, not memory, says what is still to be delivered.
    fn resume(&mut self) {
        if self.opened_epoch.take().is_some() {
            self.abandon_data();
            self.books.given_up += self.queue.give_up();
            // What lives in memory only waits for no store.
            self.gather();
        }
    }

    /// A request has ended.
    pub(super) fn answered(&mut self, op: Op, lane: Lane, batch: &[u64], bytes: usize, answer: &Answer) {
        self.landed(op, lane);
        let (now, size, room) = (self.now, self.config.batch_size, self.config.batch_bytes);
        match judge(answer) {
            Judgement::Delivered => {
                let gone = self.queue.remove(batch);
                self.books.delivered += gone.count as u64;
                self.acknowledge(gone.stored);
                let delivery = self.delivery(lane);
                delivery.attempts = 0;
                delivery.asked_to_wait = false;
                delivery.cleared(batch.len(), size);
                delivery.grow(room);
                self.go_on(lane);
            }
            Judgement::Retry => {
                self.failed(lane, batch);
                match retry_after_ms(answer) {
                    // "At once" is what a server says that wants no more than a retry: it is no licence for a busy loop.
                    Some(ms) if ms > 0 => {
                        self.delivery(lane).wait(now, ms, true);
                        // One wait is remembered: the longest of all lanes.
                        let mut ms = ms;
                        for delivery in &self.deliveries {
                            if delivery.asked_to_wait {
                                ms = ms.max(delivery.not_before.saturating_sub(now.mono_ms));
                            }
                        }
                        self.store_not_before(now.wall_ms.saturating_add(ms));
                    }
                    _ => self.back_off(lane),
                }
            }
            Judgement::Split if batch.len() > 1 => {
                self.again(lane, batch);
                self.delivery(lane).limit_bytes(bytes / 2);
            }
            Judgement::Split => {
                self.refused(lane, batch, Dropped::Oversize);
                let delivery = self.delivery(lane);
                delivery.limit = size;
                delivery.limit_bytes(room);
            }
            Judgement::Bisect if batch.len() > 1 => {
                self.again(lane, batch);
                let delivery = self.delivery(lane);
                delivery.suspects = delivery.suspects.max(batch.len());
                delivery.limit = batch.len() / 2;
            }
            Judgement::Bisect => {
                self.refused(lane, batch, Dropped::Refused);
                self.delivery(lane).cleared(1, size);
            }
            Judgement::Pause => {
                self.failed(lane, batch);
                self.delivery(lane).wait(now, PAUSE_MS, true);
                if let Answer::Response { status, .. } = answer {
                    self.notify(Notice::Paused { status: *status });
                }
            }
        }
    }

    /// The permit was refused: the records go back; whether they may stay is settled by what the record says.
    pub(super) fn send_refused(&mut self, op: Op, lane: Lane, batch: &[u64]) {
        self.landed(op, lane);
        self.queue.put_back(batch);
        self.back_off(lane);
    }

    fn landed(&mut self, op: Op, lane: Lane) {
        let delivery = self.delivery(lane);
        if delivery.in_flight == Some(op) {
            delivery.in_flight = None;
        }
    }

    /// A request has failed: its records wait, and flushes hear of it.
    fn failed(&mut self, lane: Lane, batch: &[u64]) {
        self.queue.put_back(batch);
        self.failures += 1;
        self.delivery(lane).flushing = false;
    }

    fn refused(&mut self, lane: Lane, batch: &[u64], reason: Dropped) {
        let gone = self.queue.remove(batch);
        self.give_up(gone, reason);
        self.go_on(lane);
    }

    /// A request has ended well: the next one leaves when it is due.
    fn go_on(&mut self, lane: Lane) {
        let empty = self.queue.waiting(lane) == 0;
        let delivery = self.delivery(lane);
        delivery.not_before = 0;
        if empty {
            delivery.due = None;
            delivery.flushing = false;
        }
    }

    /// The same records again, in smaller pieces, at once.
    fn again(&mut self, lane: Lane, batch: &[u64]) {
        self.queue.put_back(batch);
        let now = self.now.mono_ms;
        let delivery = self.delivery(lane);
        delivery.not_before = 0;
        delivery.due = Some(now);
    }

    fn back_off(&mut self, lane: Lane) {
        let attempts = self.delivery(lane).attempts;
        let (now, ms) = (self.now, self.backoff_ms(attempts));
        let delivery = self.delivery(lane);
        delivery.attempts = attempts.saturating_add(1);
        delivery.wait(now, ms, false);
    }

    /// How long to wait after so many failures in a row, in milliseconds.
    pub(super) fn backoff_ms(&mut self, attempts: u32) -> u64 {
        let bound = (BACKOFF_MS << attempts.min(20)).min(BACKOFF_CAP_MS);
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
        let (now, ms) = (self.now, not_before_wall_ms.saturating_sub(self.now.wall_ms));
        if ms > 0 && ms <= ASKED_CAP_MS {
            self.deliveries.iter_mut().for_each(|delivery| delivery.wait(now, ms, true));
        }
    }

    /// Aborts requests, and forgets every wait and limit.
    pub(super) fn abandon_data(&mut self) {
        self.abort();
        self.deliveries = deliveries(&self.config);
    }

    fn abort(&mut self) {
        let effects = &mut self.effects;
        self.pending.retain(|(op, pending)| match pending {
            Pending::Send { .. } => {
                effects.push_back(Effect::Cancel { op: *op });
                false
            }
            _ => true,
        });
    }

    /// Aborts requests whose records stay, and leave once the gate opens again: no sooner than they might have, and no
    /// larger.
    pub(super) fn call_back(&mut self) {
        for (_, pending) in &self.pending {
            if let Pending::Send { batch, .. } = pending {
                self.queue.put_back(batch);
            }
        }
        self.abort();
        self.deliveries.iter_mut().for_each(|delivery| delivery.in_flight = None);
        self.gather();
    }

    pub(super) fn expire_queue(&mut self) {
        let limit = i64::try_from(self.config.queue_limit_age_ms).unwrap_or(i64::MAX);
        let expired = self.queue.expire((self.now.mono_ms as i64).saturating_sub(limit));
        self.give_up(expired, Dropped::Expired);
    }

    /// Keeps the queue within its bytes.
    pub(super) fn evict(&mut self) {
        let evicted = self.queue.evict(self.config.queue_limit_bytes);
        if evicted.count > 0 && self.books.dropped_for(Dropped::Evicted) == 0 {
            self.notify(Notice::QueueFull);
        }
        self.give_up(evicted, Dropped::Evicted);
    }

    /// Records that have left the queue undelivered.
    pub(super) fn give_up(&mut self, gone: Gone, reason: Dropped) {
        self.books.drop_records(reason, gone.count as u64);
        self.acknowledge(gone.stored);
    }
}
