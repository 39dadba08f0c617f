//! The queue of undelivered records, in the order of their capture. The store holds a copy.

use super::effect::RecordId;
use super::time::Now;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(super) struct Queued {
    pub(super) id: RecordId,
    pub(super) text: Arc<str>,
    /// Position among all records since the start, for flush marks.
    number: u64,
    at_wall_ms: u64,
    sending: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    records: Vec<Queued>,
    bytes: u64,
    /// Records that a request carries.
    in_requests: usize,
    next_seq: u64,
    next_number: u64,
}

impl Queue {
    /// Adds a record of this driver's own.
    pub(super) fn push(&mut self, text: Arc<str>, now: Now) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.insert(RecordId { queue: 0, seq }, text, now);
        seq
    }

    /// Adds a record that the store held already.
    pub(super) fn restore(&mut self, id: RecordId, text: Arc<str>, now: Now) {
        self.insert(id, text, now);
    }

    /// Numbers below this one are taken in the driver's own queue.
    pub(super) fn start_at(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq);
    }

    fn insert(&mut self, id: RecordId, text: Arc<str>, now: Now) {
        self.bytes += text.len() as u64;
        let number = self.next_number;
        self.next_number += 1;
        self.records.push(Queued { id, text, number, at_wall_ms: now.wall_ms, sending: false });
    }

    /// Takes the next records for a request: a JSON array, at most so many records and bytes, at least one record.
    pub(super) fn take_batch(&mut self, records: usize, bytes: usize) -> Option<(String, Vec<RecordId>)> {
        let mut body = String::from("[");
        let mut ids = Vec::new();
        for queued in self.records.iter_mut().filter(|queued| !queued.sending) {
            if ids.len() >= records || !ids.is_empty() && body.len() + queued.text.len() + 2 > bytes {
                break;
            }
            if !ids.is_empty() {
                body.push(',');
            }
            body.push_str(&queued.text);
            queued.sending = true;
            self.in_requests += 1;
            ids.push(queued.id);
        }
        body.push(']');
        (!ids.is_empty()).then_some((body, ids))
    }

    /// Records that no request carries.
    pub(super) fn waiting(&self) -> usize {
        self.records.len() - self.in_requests
    }

    /// Puts records of a request back in their place.
    pub(super) fn put_back(&mut self, ids: &[RecordId]) {
        for queued in &mut self.records {
            if queued.sending && ids.contains(&queued.id) {
                queued.sending = false;
                self.in_requests -= 1;
            }
        }
    }

    /// Removes records; how many were there.
    pub(super) fn remove(&mut self, ids: &[RecordId]) -> u64 {
        // Nothing to evict is the rule after every record: that must not walk the queue.
        if ids.is_empty() {
            return 0;
        }
        let before = self.records.len();
        let (bytes, in_requests) = (&mut self.bytes, &mut self.in_requests);
        let mut left = ids.len();
        self.records.retain(|queued| {
            let gone = left > 0 && ids.contains(&queued.id);
            if gone {
                left -= 1;
                *bytes -= queued.text.len() as u64;
                *in_requests -= usize::from(queued.sending);
            }
            !gone
        });
        (before - self.records.len()) as u64
    }

    /// Removes the oldest records that no request carries until the queue is within its bytes.
    pub(super) fn evict(&mut self, limit: u64) -> Vec<RecordId> {
        let mut gone = Vec::new();
        let mut bytes = self.bytes;
        for queued in self.records.iter().filter(|queued| !queued.sending) {
            if bytes <= limit {
                break;
            }
            bytes -= queued.text.len() as u64;
            gone.push(queued.id);
        }
        self.remove(&gone);
        gone
    }

    /// Removes the records that were captured before a wall time and that no request carries.
    pub(super) fn expire(&mut self, before_wall_ms: u64) -> Vec<RecordId> {
        let old = |queued: &&Queued| !queued.sending && queued.at_wall_ms < before_wall_ms;
        let gone: Vec<_> = self.records.iter().filter(old).map(|queued| queued.id).collect();
        self.remove(&gone);
        gone
    }

    /// Removes everything; how many records that were. Numbers go on.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        self.in_requests = 0;
        core::mem::take(&mut self.records).len() as u64
    }

    pub(super) fn text(&self, seq: u64) -> Option<Arc<str>> {
        let id = RecordId { queue: 0, seq };
        self.records.iter().find(|queued| queued.id == id).map(|queued| queued.text.clone())
    }

    /// The number of the oldest record still here.
    pub(super) fn oldest_number(&self) -> Option<u64> {
        self.records.first().map(|queued| queued.number)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
