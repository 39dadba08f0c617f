//! The ring of calls that wait for a decision, or for the store to open. In memory only, bounded.

use super::books::{Dropped, Stats};
use super::config::Config;
use super::time::{EventId, Now, Secret};
use alloc::string::String;
use alloc::vec::Vec;

/// A call, to be made again.
#[derive(Debug)]
pub(super) enum Call {
    Track { name: String, properties: String, id: EventId },
    Identify { user: String, id: EventId },
    Reset { secret: Secret },
    Register { properties: String, once: bool },
    Unregister { name: String },
}

impl Call {
    fn bytes(&self) -> usize {
        64 + match self {
            Self::Track { name, properties, .. } => name.len() + properties.len(),
            Self::Identify { user: text, .. }
            | Self::Register { properties: text, .. }
            | Self::Unregister { name: text } => text.len(),
            Self::Reset { .. } => 0,
        }
    }

    /// Whether the books count it as a record.
    fn counts(&self) -> bool {
        matches!(self, Self::Track { .. })
    }
}

/// A call and its moment.
pub(super) struct Held {
    pub(super) at: Now,
    pub(super) call: Call,
}

#[derive(Default)]
pub(super) struct Ring {
    calls: Vec<Held>,
    bytes: usize,
    records: u64,
}

impl Ring {
    /// Keeps a call; the oldest events make room. `false` if there is no room to be made.
    pub(super) fn push(&mut self, at: Now, call: Call, config: &Config, books: &mut Stats) -> bool {
        let bytes = call.bytes();
        while self.calls.len() >= config.hold_limit || self.bytes + bytes > config.hold_limit_bytes {
            let Some(oldest) = self.calls.iter().position(|held| held.call.counts()) else { return false };
            self.take(oldest);
            books.drop_records(Dropped::HoldFull, 1);
        }
        self.bytes += bytes;
        self.records += u64::from(call.counts());
        self.calls.push(Held { at, call });
        true
    }

    /// Takes all calls, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Held> {
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
        let call = self.calls.remove(at).call;
        let records = u64::from(call.counts());
        self.bytes -= call.bytes();
        self.records -= records;
        records
    }
}
