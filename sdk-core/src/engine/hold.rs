//! The ring of calls that wait for a decision, or for the store to open. In memory only, bounded.

use super::books::{Dropped, Stats};
use super::call::Kept;
use super::config::Config;
use super::time::Now;
use alloc::collections::VecDeque;

/// How much may wait.
#[derive(Clone, Copy)]
pub(super) struct Room {
    calls: usize,
    bytes: usize,
}

impl Room {
    /// For the person's decision.
    pub(super) fn for_decision(config: &Config) -> Self {
        Self { calls: config.hold_limit, bytes: config.hold_limit_bytes }
    }

    /// For the store, which opens in a moment: what is in the queue then.
    pub(super) fn for_store(config: &Config) -> Self {
        Self { calls: 20_000, bytes: usize::try_from(config.queue_limit_bytes).unwrap_or(usize::MAX) }
    }
}

#[derive(Default)]
pub(super) struct Ring {
    calls: VecDeque<Kept>,
    bytes: usize,
    records: u64,
}

impl Ring {
    /// Keeps a call; the oldest records make room, and where there are none the same call, made before. `false` if there
    /// is no room to be made.
    pub(super) fn push(&mut self, call: Kept, room: Room, books: &mut Stats) -> bool {
        let bytes = call.bytes();
        if !self.make_room(1, bytes, room, books) {
            let same =
                |held: &Kept| (held.kind, &held.name, &held.text) == (call.kind, &call.name, &call.text);
            let Some(before) = self.calls.iter().position(same) else { return false };
            self.calls.remove(before);
            self.bytes -= bytes;
        }
        self.bytes += bytes;
        self.records += u64::from(call.kind.is_record());
        self.calls.push_back(call);
        true
    }

    /// Drops the oldest records until so many more calls and bytes fit. `false` if they do not even then.
    pub(super) fn make_room(&mut self, calls: usize, bytes: usize, room: Room, books: &mut Stats) -> bool {
        while self.calls.len() + calls > room.calls || self.bytes + bytes > room.bytes {
            let Some(oldest) = self.oldest_record() else { return false };
            self.take(oldest);
            books.drop_records(Dropped::HoldFull, 1);
        }
        true
    }

    /// Takes all calls, oldest first.
    pub(super) fn drain(&mut self) -> VecDeque<Kept> {
        core::mem::take(self).calls
    }

    /// Drops everything; how many records that were.
    pub(super) fn clear(&mut self) -> u64 {
        core::mem::take(self).records
    }

    /// Drops records that have waited for too long. Whom they would have been about is still to be known.
    pub(super) fn expire(&mut self, now: Now, config: &Config, books: &mut Stats) {
        while self.expires_at(config).is_some_and(|at| at <= now.mono_ms) {
            let Some(oldest) = self.oldest_record() else { break };
            self.take(oldest);
            books.drop_records(Dropped::HoldExpired, 1);
        }
    }

    /// When the oldest record expires, on the monotonic clock.
    pub(super) fn expires_at(&self, config: &Config) -> Option<u64> {
        let oldest = self.calls.get(self.oldest_record()?)?;
        Some(oldest.at.mono_ms.saturating_add(config.hold_limit_age_ms))
    }

    fn oldest_record(&self) -> Option<usize> {
        if self.records == 0 {
            return None;
        }
        self.calls.iter().position(|held| held.kind.is_record())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Records among the calls.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Removes a record.
    fn take(&mut self, at: usize) {
        if let Some(record) = self.calls.remove(at) {
            self.bytes -= record.bytes();
            self.records -= 1;
        }
    }
}
