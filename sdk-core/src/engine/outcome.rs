//! What a call gets to hear.

use super::effect::Ticket;
use crate::json::JsonError;
use core::fmt;

/// What became of the last input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// There is nothing to say.
    #[default]
    Nothing,
    /// Recorded; the queue has it.
    Accepted,
    /// Kept in memory until the person decides, or the store is open.
    Held,
    /// Not recorded.
    Rejected(Rejection),
    /// A consent call under way: [`Notice::Settled`](super::Notice::Settled) ends it.
    Pending(Ticket),
    /// A flush under way, see [`Engine::flush_state`](super::Engine::flush_state).
    Flushing(FlushMark),
}

/// Why a call was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Nothing may be collected; call again after a grant.
    Denied,
    /// An event needs a name.
    EmptyName,
    /// The name is longer than 255 characters.
    NameTooLong,
    /// A user id must not be empty.
    EmptyUser,
    /// User ids that begin with `$device:` are reserved for devices (SPEC §16.1).
    ReservedUser,
    /// The properties cannot be used.
    InvalidProperties(JsonError),
    /// The event is larger than the 1 MB that a collector takes (SPEC §2.4).
    TooLarge,
    /// Too much is waiting for the person's decision.
    HoldFull,
    /// The store cannot keep up; said by drivers.
    Overloaded,
    /// The client has been shut down, or belongs to another process; said by drivers.
    Closed,
}

impl Rejection {
    /// A stable word for logs and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::EmptyName => "empty_name",
            Self::NameTooLong => "name_too_long",
            Self::EmptyUser => "empty_user",
            Self::ReservedUser => "reserved_user",
            Self::InvalidProperties(error) => error.code(),
            Self::TooLarge => "too_large",
            Self::HoldFull => "hold_full",
            Self::Overloaded => "overloaded",
            Self::Closed => "closed",
        }
    }

    /// One sentence that says what to do.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Denied => "nothing may be collected now; call again after a grant",
            Self::EmptyName => "give the event a name",
            Self::NameTooLong => "event names have at most 255 characters",
            Self::EmptyUser => "pass the user's id, or call reset() when nobody is known",
            Self::ReservedUser => "ids that begin with $device: belong to devices",
            Self::InvalidProperties(_) => "pass an object that JSON can hold, at most 64 levels deep",
            Self::TooLarge => "an event has at most 1 MB; send less in one event",
            Self::HoldFull => "too many calls are waiting for the person's decision",
            Self::Overloaded => "the store cannot keep up; record less, or later",
            Self::Closed => "this client has been shut down, or was made before a fork; make a new one",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hint())
    }
}

impl core::error::Error for Rejection {}

/// A point in the queue that a flush wants to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushMark {
    pub(super) through: u64,
    pub(super) failures: u64,
}

/// How far a flush has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushState {
    /// Everything that was queued at the call has been delivered or dropped.
    Done,
    /// Under way.
    Underway,
    /// A request has failed since the call; the rest is kept and tried again later.
    Failing,
}
