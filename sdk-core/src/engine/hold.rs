//! The ring of calls that wait for a decision, or for the store to open. In memory only, bounded.

use super::books::{Dropped, Stats};
use super::call::Kept;
use super::config::Config;
use super::time::Now;
use alloc::vec::Vec;

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
        Self { calls: 10_000, bytes: usize::try_from(config.queue_limit_bytes).unwrap_or(usize::MAX) }
    }
}

#[derive(Default)]
pub(super) struct Ring {
    calls: Vec<Kept>,
    bytes: usize,
    records: u64,
}

impl Ring {
    /// Keeps a call; the oldest records make room, and where that would not do the same call, made before. `false` if
    /// there is no room to be made; then nobody has lost theirs.
    pub(super) fn push(&mut self, call: Kept, room: Room, books: &mut Stats) -> bool {
        let bytes = call.bytes();
        if self.can_hold(bytes, room) {
            self.make_room(1, bytes, room, books);
        } else {
            // Two records that say the same are two, and so are two people who come one after the other.
            let same = |held: &Kept| {
                !held.kind.is_record()
                    && !held.names_somebody()
                    && (held.kind, &held.name, &held.text) == (call.kind, &call.name, &call.text)
            };
            let Some(before) = self.calls.iter().position(same) else { return false };
            self.calls.remove(before);
            self.bytes -= bytes;
        }
        self.bytes += bytes;
        self.records += u64::from(call.kind.is_record());
        self.calls.push(call);
        true
    }

    /// Whether a call of so many bytes fits, be it in the place of all records.
    fn can_hold(&self, bytes: usize, room: Room) -> bool {
        let fits = |calls, held: usize| calls < room.calls && held + bytes <= room.bytes;
        fits(self.calls.len(), self.bytes) || {
            let others = self.calls.iter().filter(|held| !held.kind.is_record());
            let (calls, held) = others.fold((0, 0), |(calls, held), call| (calls + 1, held + call.bytes()));
            fits(calls, held)
        }
    }

    /// Drops the oldest records until so many more calls and bytes fit, or none is left.
    pub(super) fn make_room(&mut self, calls: usize, bytes: usize, room: Room, books: &mut Stats) {
        let over = (self.calls.len() + calls).saturating_sub(room.calls);
        let over_bytes = (self.bytes + bytes).saturating_sub(room.bytes);
        if over == 0 && over_bytes == 0 {
            return;
        }
        let dropped = self.drop_calls(Old::Records { calls: over, bytes: over_bytes, until_ms: None });
        books.drop_records(Dropped::HoldFull, dropped);
    }

    /// Takes all calls, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Kept> {
        core::mem::take(self).calls
    }

    /// Drops everything; how many records that were.
    pub(super) fn clear(&mut self) -> u64 {
        core::mem::take(self).records
    }

    /// Drops records that have waited for too long. Whom they would have been about is still to be known.
    pub(super) fn expire(&mut self, now: Now, config: &Config, books: &mut Stats) {
        if self.expires_at(config).is_some_and(|at| at <= now.mono_ms) {
            let until = now.mono_ms.saturating_sub(config.hold_limit_age_ms);
            let dropped = self.drop_calls(Old::Records { calls: 0, bytes: 0, until_ms: Some(until) });
            books.drop_records(Dropped::HoldExpired, dropped);
        }
    }

    /// When the oldest record expires, on the monotonic clock.
    pub(super) fn expires_at(&self, config: &Config) -> Option<u64> {
        if self.records == 0 {
            return None;
        }
        let oldest = self.calls.iter().find(|held| held.kind.is_record())?;
        Some(oldest.at.mono_ms.saturating_add(config.hold_limit_age_ms))
    }

    /// When the first call was made.
    pub(super) fn oldest(&self) -> Option<Now> {
        self.calls.first().map(|held| held.at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Records among the calls.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    #[cfg(feature = "simulation")]
    pub(super) fn fingerprint(&self) -> impl core::fmt::Debug + '_ {
        self.calls
            .iter()
            .map(|held| (held.at, held.kind, held.bits, &held.name, &held.text, held.agreed, held.signalled))
            .collect::<Vec<_>>()
    }

    /// Drops what was called before the person agreed, be it all or only where a signal said no; how many records that were.
    pub(super) fn drop_before_grant(&mut self, all: bool) -> u64 {
        self.drop_calls(Old::BeforeGrant { all })
    }

    /// Drops calls, asking oldest first; how many records that were. All in one go: there may be very many.
    fn drop_calls(&mut self, mut old: Old) -> u64 {
        let (before, held_bytes, records) = (self.records, &mut self.bytes, &mut self.records);
        self.calls.retain(|held| {
            let is_record = held.kind.is_record();
            let goes = match &mut old {
                Old::BeforeGrant { all } => !held.agreed && (*all || held.signalled),
                Old::Records { calls, bytes, until_ms } => {
                    let is_over = *calls > 0 || *bytes > 0;
                    let goes =
                        is_record && (is_over || until_ms.is_some_and(|until| held.at.mono_ms <= until));
                    if goes {
                        *calls = calls.saturating_sub(1);
                        *bytes = bytes.saturating_sub(held.bytes());
                    }
                    goes
                }
            };
            if goes {
                *held_bytes -= held.bytes();
                *records -= u64::from(is_record);
            }
            !goes
        });
        before - self.records
    }
}

/// What goes.
enum Old {
    /// What was called before the person agreed; if not `all`, where a signal said no.
    BeforeGrant { all: bool },
    /// So many records, so many bytes of them, and those made until a moment on the monotonic clock.
    Records { calls: usize, bytes: usize, until_ms: Option<u64> },
}
