//! The counters behind [`Stats`] (C15): what became of every record since this process or page began.

#[cfg(feature = "personal-data")]
use super::personal::PersonalDataKind;

/// Why a record was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// Consent was withdrawn, or a signal or setting now says no.
    Withdrawn,
    /// More calls were waiting for a decision than the limit allows.
    HoldFull,
    /// No decision came in time.
    HoldExpired,
    /// The queue exceeded its byte budget.
    Evicted,
    /// It was in the queue for too long.
    Expired,
    /// Too large for the collector, even on its own.
    Oversize,
    /// The collector refused it, even on its own.
    Refused,
    /// It was held, and could not be recorded when its turn came: with what had been registered in the meantime it was
    /// too large. Or it was to tell of a call, as `$identify` does, and was too large.
    Unrecordable,
}

impl Dropped {
    /// All reasons, in the order of [`Stats::dropped`].
    pub const ALL: [Self; 8] = [
        Self::Withdrawn,
        Self::HoldFull,
        Self::HoldExpired,
        Self::Evicted,
        Self::Expired,
        Self::Oversize,
        Self::Refused,
        Self::Unrecordable,
    ];

    /// The name used in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::HoldFull => "hold_full",
            Self::HoldExpired => "hold_expired",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Oversize => "oversize",
            Self::Refused => "refused",
            Self::Unrecordable => "unrecordable",
        }
    }
}

/// What [`Engine::stats`](super::Engine::stats) returns. At all times `tracked + recovered + adopted == delivered +
/// queued + held + dropped + given_up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records made here.
    pub tracked: u64,
    /// Records found in this driver's own queue at the start.
    pub recovered: u64,
    /// Records found in queues whose owner is gone.
    pub adopted: u64,
    /// Records that the collector has accepted.
    pub delivered: u64,
    /// Records waiting to be delivered.
    pub queued: u64,
    /// Calls waiting for a decision.
    pub held: u64,
    /// Records that were dropped, by reason; see [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Records that a page gave up after it had been frozen, because their place in the store may have another owner
    /// since. Those that were found there at the start still count as recovered as well.
    pub given_up: u64,
    /// Bytes waiting to be delivered.
    pub queued_bytes: u64,
    /// Stored records that could not be read back. Not part of the balance: they were never seen.
    pub damaged: u64,
    /// Files or keys deleted unread because consent was withdrawn. Not part of the balance.
    pub wiped: u64,
    /// Calls that were rejected, so that nothing was recorded.
    pub rejected: u64,
    /// Personal data found in calls, whether recorded or rejected, by kind; see [`PersonalDataKind::ALL`]. Not part of
    /// the balance.
    #[cfg(feature = "personal-data")]
    pub personal_data: [u64; PersonalDataKind::ALL.len()],
}

impl Stats {
    /// The number of dropped records, for all reasons together.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// The number of records dropped for one reason.
    pub fn dropped_for(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// How often personal data of one kind was found.
    #[cfg(feature = "personal-data")]
    pub fn personal_data_of(&self, kind: PersonalDataKind) -> u64 {
        self.personal_data.get(kind as usize).copied().unwrap_or_default()
    }

    /// Whether the counters add up.
    pub fn balance(&self) -> bool {
        self.tracked + self.recovered + self.adopted
            == self.delivered + self.queued + self.held + self.dropped_total() + self.given_up
    }

    pub(super) fn drop_records(&mut self, reason: Dropped, count: u64) {
        if let Some(counter) = self.dropped.get_mut(reason as usize) {
            *counter += count;
        }
    }
}
