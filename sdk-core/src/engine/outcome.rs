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
    /// A flush under way, see [`Engine::flush_end`](super::Engine::flush_end).
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
    /// The device's own id, and ids that begin with `$device:`, are no users (SPEC §16.1).
    ReservedUser,
    /// The properties cannot be used.
    InvalidProperties(JsonError),
    /// More than 255 properties, members of an object or elements of a list (SPEC §20.2).
    TooMany,
    /// A property's name is longer than 255 characters.
    KeyTooLong,
    /// Objects are nested more than 3 deep below a property.
    NestedTooDeep,
    /// A profile update needs operators such as `$set`, each with a value of its kind (SPEC §9.2).
    InvalidOperator,
    /// A group needs a key and an id. A key on the deny list is none.
    EmptyGroup,
    /// The properties hold personal data, and the detector is set to refuse that.
    #[cfg(feature = "personal-data")]
    PersonalData,
    /// The record is larger than the 1 MB that a collector takes (SPEC §2.4), or than the queue's limit.
    TooLarge,
    /// Too much is waiting for the person's decision.
    HoldFull,
    /// The host's own filter does not want it recorded; said by drivers.
    #[cfg(feature = "native")]
    Filtered,
    /// A number is infinite or not a number, which JSON cannot hold; said by drivers.
    #[cfg(feature = "native")]
    NotFinite,
    /// The store cannot keep up; said by drivers.
    #[cfg(feature = "native")]
    Overloaded,
    /// The client has been shut down, or belongs to another process; said by drivers.
    #[cfg(feature = "native")]
    Closed,
}

impl Rejection {
    /// All of them. A binding may name one by its place here, which is not the same in every version.
    #[cfg(feature = "native")]
    pub const ALL: &'static [Self] = &[
        Self::Denied,
        Self::EmptyName,
        Self::NameTooLong,
        Self::EmptyUser,
        Self::ReservedUser,
        Self::InvalidProperties(JsonError::NotAnObject),
        Self::InvalidProperties(JsonError::Syntax),
        Self::InvalidProperties(JsonError::TooDeep),
        Self::InvalidProperties(JsonError::LoneSurrogate),
        Self::TooMany,
        Self::KeyTooLong,
        Self::NestedTooDeep,
        Self::InvalidOperator,
        Self::EmptyGroup,
        #[cfg(feature = "personal-data")]
        Self::PersonalData,
        Self::TooLarge,
        Self::HoldFull,
        Self::Filtered,
        Self::NotFinite,
        Self::Overloaded,
        Self::Closed,
    ];

    /// A stable word for logs and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::EmptyName => "empty_name",
            Self::NameTooLong => "name_too_long",
            Self::EmptyUser => "empty_user",
            Self::ReservedUser => "reserved_user",
            Self::InvalidProperties(error) => error.code(),
            Self::TooMany => "too_many",
            Self::KeyTooLong => "key_too_long",
            Self::NestedTooDeep => "nested_too_deep",
            Self::InvalidOperator => "invalid_operator",
            Self::EmptyGroup => "empty_group",
            #[cfg(feature = "personal-data")]
            Self::PersonalData => "personal_data",
            Self::TooLarge => "too_large",
            Self::HoldFull => "hold_full",
            #[cfg(feature = "native")]
            Self::Filtered => "filtered",
            #[cfg(feature = "native")]
            Self::NotFinite => "not_finite",
            #[cfg(feature = "native")]
            Self::Overloaded => "overloaded",
            #[cfg(feature = "native")]
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
            Self::ReservedUser => "this is the id of a device; pass the user's own",
            Self::InvalidProperties(_) => "pass an object that JSON can hold, at most 60 levels deep",
            Self::TooMany => "a collector takes 255 properties, members or elements; send fewer",
            Self::KeyTooLong => "names of properties have at most 255 characters",
            Self::NestedTooDeep => "objects have at most 3 levels below a property; flatten them",
            Self::InvalidOperator => "pass operators such as $set with a value of their kind",
            Self::EmptyGroup => "pass the group's key and its id",
            #[cfg(feature = "personal-data")]
            Self::PersonalData => "something in it looks like personal data; leave it out",
            Self::TooLarge => "a record has at most 1 MB, and no more than the queue; send less in one",
            Self::HoldFull => "too many calls are waiting for the person's decision",
            #[cfg(feature = "native")]
            Self::Filtered => "the filter that this app has set does not want it recorded",
            #[cfg(feature = "native")]
            Self::NotFinite => "JSON has no infinity and no NaN; leave it out or pass a text",
            #[cfg(feature = "native")]
            Self::Overloaded => "the store cannot keep up; record less, or later",
            #[cfg(feature = "native")]
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
    /// The number in the queue before which everything is meant; `None`: what comes into it when it is opened.
    pub(super) through: Option<u64>,
    pub(super) failures: u64,
}

/// How far a flush has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushState {
    /// Everything that was queued at the call has been delivered or dropped.
    Done,
    /// Under way, or to be tried again only later than anybody waits for it.
    Underway,
    /// A request has failed since the call; the rest is kept and tried again later.
    Failing,
}
