//! The ring of calls that wait for a decision, or for the store to open. In memory only, bounded.

use super::books::{Dropped, Stats};
use super::call::Kept;
use super::config::Config;
use super::time::Now;
use alloc::vec::Vec;

#[derive(Default)]
pub(super) struct Ring {
    calls: Vec<Kept>,
    bytes: usize,
    records: u64,
}

impl Ring {
    /// Keeps a call; the oldest records make room. `false` if there is no room to be made.
    pub(super) fn push(&mut self, call: Kept, config: &Config, books: &mut Stats) -> bool {
        let bytes = call.bytes();
        while self.calls.len() >= config.hold_limit || self.bytes + bytes > config.hold_limit_bytes {
            let Some(oldest) = self.calls.iter().position(|held| held.kind.is_record()) else {
                return false;
            };
            self.take(oldest);
            books.drop_records(Dropped::HoldFull, 1);
        }
        self.bytes += bytes;
        self.records += u64::from(call.kind.is_record());
        self.calls.push(call);
        true
    }

    /// Takes all calls, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Kept> {
        core::mem::take(self).calls
    }

    /// Drops everything; how many records that were.
    pub(super) fn clear(&mut self) -> u64 {
        core::mem::take(self).records
    }

    /// Drops what has waited for too long.
    pub(super) fn expire(&mut self, now: Now, config: &Config, books: &mut Stats) {
        while self.expires_at(config).is_some_and(|at| at <= now.mono_ms) {
            books.drop_records(Dropped::HoldExpired, self.take(0));
        }
    }

    /// When the oldest call expires, on the monotonic clock.
    pub(super) fn expires_at(&self, config: &Config) -> Option<u64> {
        self.calls.first().map(|held| held.at.mono_ms.saturating_add(config.hold_limit_age_ms))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Records among the calls.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Removes a call; how many records it is.
    fn take(&mut self, at: usize) -> u64 {
        let call = self.calls.remove(at);
        let records = u64::from(call.kind.is_record());
        self.bytes -= call.bytes();
        self.records -= records;
        records
    }
}
