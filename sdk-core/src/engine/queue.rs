//! The queue of undelivered records, in the order of their capture; but what the store gives back after it had failed stands
//! behind what was captured meanwhile. The store holds a copy.

use super::effect::{Lane, RecordId};
use super::message;
use super::time::Now;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A record that seems to have waited longer has met a wrong clock.
const YEAR_MS: u64 = 366 * 86_400_000;

#[cfg_attr(feature = "simulation", derive(Debug))]
struct Queued {
    id: RecordId,
    text: Arc<str>,
    lane: Lane,
    /// Position among all records since the start: what requests and flush marks name it by.
    number: u64,
    /// Since when it counts as waiting, on the monotonic clock; before 0 for one of an earlier process.
    since_ms: i64,
    state: State,
    /// Whether the store holds it, or has been asked to.
    kept: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "simulation", derive(Debug))]
enum State {
    Waiting,
    /// Waits until a profile is deleted that it names.
    Behind,
    Sending,
    /// No longer here; its place goes later.
    Gone,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Numbers ascend.
    records: Vec<Queued>,
    /// Where the first one stands that is still here: before it all are gone.
    first: usize,
    len: usize,
    bytes: u64,
    /// Records that may leave and that no request carries, by lane.
    waiting: [usize; Lane::ALL.len()],
    /// Records that hold one of these texts stay where they are.
    behind: Vec<String>,
    /// No record here counts as waiting since before this moment.
    oldest_ms: i64,
    next_seq: u64,
    next_number: u64,
}

/// A record of this driver's own that the store does not hold yet.
pub(super) struct Missing {
    pub(super) number: u64,
    /// Its number in the store.
    pub(super) seq: u64,
    pub(super) text: Arc<str>,
}

/// Records that have left the queue.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) count: usize,
    /// Where the store has those that it holds, or has been asked to.
    pub(super) stored: Vec<RecordId>,
}

/// Records that a request carries: ascending numbers.
pub(super) type Batch = Vec<u64>;

impl Queue {
    /// Adds a record of this driver's own; `kept` if the store is asked to hold it.
    pub(super) fn push(&mut self, text: &str, now: Now, kept: bool) -> (Missing, Lane) {
        let (number, seq) = (self.next_number, self.next_seq);
        self.next_seq += 1;
        let text: Arc<str> = text.into();
        let lane = self.add(RecordId { queue: 0, seq }, text.clone(), now.mono_ms as i64, kept);
        (Missing { number, seq, text }, lane)
    }

    /// Adds a record that the store holds already.
    pub(super) fn restore(&mut self, id: RecordId, text: &str, now: Now) {
        // An age that cannot be is the fault of a clock that had stood at 1970, or stands at 2100.
        let age = message::captured_ms(text).and_then(|at| now.wall_ms.checked_sub(at));
        let age = age.filter(|age| *age < YEAR_MS).unwrap_or_default();
        self.add(id, text.into(), (now.mono_ms as i64).saturating_sub(age as i64), true);
    }

    fn add(&mut self, id: RecordId, text: Arc<str>, since_ms: i64, kept: bool) -> Lane {
        let lane = Lane::of(&text);
        self.len += 1;
        self.bytes += text.len() as u64;
        self.oldest_ms = self.oldest_ms.min(since_ms);
        let state = if is_behind(&text, &self.behind) { State::Behind } else { State::Waiting };
        self.count(lane, State::Gone, state);
        let number = self.next_number;
        self.next_number += 1;
        self.records.push(Queued { id, text, lane, number, since_ms, state, kept });
        lane
    }

    /// Gives this driver's own records numbers in the store from this one on. None of them stands there.
    pub(super) fn renumber(&mut self, from: u64) {
        self.next_seq = self.next_seq.max(from);
        for queued in &mut self.records {
            if queued.id.queue == 0 && queued.state != State::Gone {
                queued.id.seq = self.next_seq;
                queued.kept = false;
                self.next_seq += 1;
            }
        }
    }

    /// The store does not hold this record after all. Whether it is still here.
    pub(super) fn not_kept(&mut self, number: u64) -> bool {
        let Some(queued) = self.find(number) else { return false };
        queued.kept = false;
        true
    }

    /// So many of the records that the store does not hold, to be given to it now.
    pub(super) fn missing(&mut self, most: usize) -> Vec<Missing> {
        let mut missing = Vec::new();
        for queued in self.records.get_mut(self.first..).unwrap_or_default() {
            if missing.len() < most && !queued.kept && queued.state != State::Gone {
                queued.kept = true;
                missing.push(Missing {
                    number: queued.number,
                    seq: queued.id.seq,
                    text: queued.text.clone(),
                });
            }
        }
        missing
    }

    /// From now on records that hold one of these texts stay where they are, and no others. Whether these are others than
    /// before.
    pub(super) fn hold_behind(&mut self, behind: Vec<String>) -> bool {
        if behind == self.behind {
            return false;
        }
        self.behind = behind;
        self.part_waiting();
        true
    }

    /// Tells those of the records that no request carries which may leave from those that stay.
    fn part_waiting(&mut self) {
        self.waiting = Default::default();
        for queued in self.records.get_mut(self.first..).unwrap_or_default() {
            if matches!(queued.state, State::Waiting | State::Behind) {
                let behind = is_behind(&queued.text, &self.behind);
                queued.state = if behind { State::Behind } else { State::Waiting };
                if let Some(waiting) = self.waiting.get_mut(queued.lane as usize) {
                    *waiting += usize::from(!behind);
                }
            }
        }
    }

    /// Takes the next records of a lane for a request: a JSON array, at most so many records and bytes, at least one
    /// record.
    pub(super) fn take_batch(&mut self, lane: Lane, records: usize, bytes: usize) -> Option<(String, Batch)> {
        let mut body = String::from("[");
        let mut batch = Batch::new();
        for queued in self.records.get_mut(self.first..).unwrap_or_default() {
            if queued.state != State::Waiting || queued.lane != lane {
                continue;
            }
            if batch.len() >= records || !batch.is_empty() && body.len() + queued.text.len() + 2 > bytes {
                break;
            }
            if !batch.is_empty() {
                body.push(',');
            }
            body.push_str(&queued.text);
            queued.state = State::Sending;
            batch.push(queued.number);
        }
        if let Some(waiting) = self.waiting.get_mut(lane as usize) {
            *waiting -= batch.len();
        }
        body.push(']');
        (!batch.is_empty()).then_some((body, batch))
    }

    /// Records of a lane that may leave and that no request carries.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.waiting.get(lane as usize).copied().unwrap_or_default()
    }

    /// Puts records of a request back in their place.
    pub(super) fn put_back(&mut self, batch: &[u64]) {
        self.change(batch, State::Waiting);
        if !self.behind.is_empty() {
            self.part_waiting();
        }
    }

    /// Removes records that are here.
    pub(super) fn remove(&mut self, batch: &[u64]) -> Gone {
        let gone = self.change(batch, State::Gone);
        self.first += self.here().iter().take_while(|queued| queued.state == State::Gone).count();
        // Those that are gone must not keep their places for long.
        if self.records.len() > 2 * self.len + 64 {
            self.records.retain(|queued| queued.state != State::Gone);
            self.first = 0;
        }
        gone
    }

    /// Removes the oldest records that no request carries until the queue is within its bytes.
    pub(super) fn evict(&mut self, limit: u64) -> Gone {
        if self.bytes <= limit {
            return Gone::default();
        }
        self.remove_waiting(self.bytes - limit, i64::MIN)
    }

    /// Removes the records that have waited since before this moment and that no request carries.
    pub(super) fn expire(&mut self, before_ms: i64) -> Gone {
        // Asked at every request; looked through only when somebody may be due.
        if before_ms <= self.oldest_ms {
            return Gone::default();
        }
        let gone = self.remove_waiting(0, before_ms);
        self.oldest_ms = before_ms;
        for queued in &self.records {
            if queued.state != State::Gone {
                self.oldest_ms = self.oldest_ms.min(queued.since_ms);
            }
        }
        gone
    }

    /// Removes what the store holds; how many records that were. No request carries the others any more.
    pub(super) fn give_up(&mut self) -> u64 {
        let (mut kept, mut others) = (Batch::new(), Batch::new());
        for queued in self.here() {
            match queued.state {
                State::Gone => {}
                _ if queued.kept => kept.push(queued.number),
                State::Sending => others.push(queued.number),
                State::Waiting | State::Behind => {}
            }
        }
        self.put_back(&others);
        self.remove(&kept).count as u64
    }

    /// Removes everything; how many records that were. Numbers go on.
    pub(super) fn clear(&mut self) -> u64 {
        let cleared = core::mem::take(self);
        self.next_seq = cleared.next_seq;
        self.next_number = cleared.next_number;
        self.behind = cleared.behind;
        cleared.len as u64
    }

    /// The number of the oldest record still here.
    pub(super) fn oldest_number(&self) -> Option<u64> {
        self.here().first().map(|queued| queued.number)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The records from the first one on that is still here.
    fn here(&self) -> &[Queued] {
        self.records.get(self.first..).unwrap_or_default()
    }

    #[cfg(feature = "simulation")]
    pub(super) fn fingerprint(&self) -> impl core::fmt::Debug + '_ {
        (self.here(), self.len, self.bytes, self.waiting, &self.behind, self.next_seq, self.next_number)
    }

    /// Removes the oldest of the records that no request carries until so many bytes are gone, and all of them that
    /// have waited since before this moment.
    fn remove_waiting(&mut self, mut bytes: u64, before_ms: i64) -> Gone {
        let mut gone = Batch::new();
        for queued in self.here() {
            if bytes == 0 && before_ms == i64::MIN {
                break;
            }
            let waiting = matches!(queued.state, State::Waiting | State::Behind);
            if waiting && (bytes > 0 || queued.since_ms < before_ms) {
                bytes = bytes.saturating_sub(queued.text.len() as u64);
                gone.push(queued.number);
            }
        }
        self.remove(&gone)
    }

    /// Changes the state of records that are here, and tells of them as of those that have left.
    fn change(&mut self, batch: &[u64], to: State) -> Gone {
        let mut changed = Gone { count: 0, stored: Vec::with_capacity(batch.len()) };
        for number in batch {
            let Some(queued) = self.find(*number) else { continue };
            let (lane, from) = (queued.lane, core::mem::replace(&mut queued.state, to));
            changed.count += 1;
            if queued.kept {
                changed.stored.push(queued.id);
            }
            if to == State::Gone {
                let text = core::mem::take(&mut queued.text);
                self.len -= 1;
                self.bytes -= text.len() as u64;
            }
            self.count(lane, from, to);
        }
        changed
    }

    fn find(&mut self, number: u64) -> Option<&mut Queued> {
        let at = self.records.binary_search_by_key(&number, |queued| queued.number).ok()?;
        self.records.get_mut(at).filter(|queued| queued.state != State::Gone)
    }

    fn count(&mut self, lane: Lane, from: State, to: State) {
        if let Some(waiting) = self.waiting.get_mut(lane as usize) {
            *waiting += usize::from(to == State::Waiting);
            *waiting -= usize::from(from == State::Waiting);
        }
    }
}

/// Without the searching machinery of `str`: something is behind only while a profile is to be deleted.
fn is_behind(text: &str, behind: &[String]) -> bool {
    let holds = |needle: &[u8]| text.as_bytes().windows(needle.len().max(1)).any(|part| part == needle);
    behind.iter().any(|needle| holds(needle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const EVENT: &str = "{\"event\":1}";
    const UPDATE: &str = "{\"$token\":1}";

    fn queue(texts: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for text in texts {
            queue.push(text, Now::default(), true);
        }
        queue
    }

    #[test]
    fn each_lane_has_its_own_records_in_order() {
        let mut queue = queue(&[EVENT, UPDATE, EVENT]);
        let (body, batch) = queue.take_batch(Lane::Events, 50, 1 << 20).unwrap();
        assert_eq!((body.as_str(), batch.as_slice()), (&*format!("[{EVENT},{EVENT}]"), &[0, 2][..]));
        assert_eq!((queue.waiting(Lane::Events), queue.waiting(Lane::Profiles)), (0, 1));
        queue.put_back(&batch);
        assert_eq!(queue.waiting(Lane::Events), 2);
        let (_, batch) = queue.take_batch(Lane::Events, 1, 1 << 20).unwrap();
        assert_eq!(queue.remove(&batch).count, 1);
        assert_eq!((queue.len(), queue.oldest_number()), (2, Some(1)));
        assert_eq!(queue.remove(&batch).count, 0, "a late answer finds nothing");
        assert_eq!(queue.clear(), 2);
        assert_eq!(queue.push(EVENT, Now::default(), true).0.seq, 3);
    }

    #[test]
    fn what_names_a_profile_that_is_to_be_deleted_stays_behind() {
        let mut queue = queue(&["{\"event\":\"u1\"}", EVENT]);
        queue.hold_behind([String::from("\"u1\"")].into());
        queue.push("{\"event\":\"u1\"}", Now::default(), true);
        assert_eq!(queue.waiting(Lane::Events), 1);
        let (body, batch) = queue.take_batch(Lane::Events, 50, 1 << 20).unwrap();
        assert_eq!(body, format!("[{EVENT}]"));
        queue.hold_behind([String::from("1}")].into());
        queue.put_back(&batch);
        assert_eq!(queue.waiting(Lane::Events), 2, "the others may leave now");
        queue.hold_behind(Vec::new());
        assert_eq!(queue.take_batch(Lane::Events, 50, 1 << 20).unwrap().1, [0, 1, 2]);
        assert_eq!(queue.waiting(Lane::Events), 0);
    }

    #[test]
    fn a_record_that_stays_keeps_no_other_places() {
        let mut queue = queue(&[UPDATE]);
        for number in 1..=1_000 {
            queue.push(EVENT, Now::default(), true);
            queue.remove(&[number]);
        }
        assert!(queue.records.len() < 100);
        assert_eq!((queue.len(), queue.bytes()), (1, UPDATE.len() as u64));
    }

    #[test]
    fn a_clock_beyond_reason_breaks_nothing() {
        let mut queue = Queue::default();
        let now = Now { wall_ms: 9, mono_ms: 1 << 63 };
        queue.restore(RecordId { queue: 0, seq: 1 }, r#"{"event":"e","properties":{"time":1}}"#, now);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn whoever_may_be_due_is_looked_for() {
        let at = |mono_ms| Now { wall_ms: 10_000, mono_ms };
        let mut queue = Queue::default();
        queue.push(EVENT, at(1_000), true);
        assert_eq!(queue.expire(500).count, 0);
        // Captured 6 s ago.
        let earlier = r#"{"event":"e","properties":{"time":4000}}"#;
        queue.restore(RecordId { queue: 1, seq: 7 }, earlier, at(2_000));
        assert_eq!(queue.expire(0).stored, [RecordId { queue: 1, seq: 7 }]);
        let (_, sending) = queue.take_batch(Lane::Events, 1, 1 << 20).unwrap();
        queue.push(EVENT, at(3_000), true);
        assert_eq!(queue.expire(2_000).count, 0, "a request carries it");
        queue.put_back(&sending);
        assert_eq!(queue.expire(2_000).stored, [RecordId { queue: 0, seq: 0 }]);
        assert_eq!(queue.expire(3_001).stored, [RecordId { queue: 0, seq: 1 }]);
        queue.clear();
        queue.push(EVENT, at(4_000), true);
        assert_eq!(queue.expire(4_001).count, 1);
    }

    #[test]
    fn the_oldest_go_first_when_room_is_short() {
        let mut queue = queue(&[EVENT, EVENT, EVENT]);
        let (_, sending) = queue.take_batch(Lane::Events, 1, 1 << 20).unwrap();
        let gone = queue.evict(2 * EVENT.len() as u64);
        assert_eq!(gone.stored, [RecordId { queue: 0, seq: 1 }]);
        assert_eq!(queue.remove(&sending).stored, [RecordId { queue: 0, seq: 0 }]);
    }
}
