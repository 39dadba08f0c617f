//! The results of calls.

use super::effect::Ticket;
use crate::json::JsonError;
use core::fmt;

/// The result of the last input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// There is nothing to report.
    #[default]
    Nothing,
    /// Recorded and queued.
    Accepted,
    /// Kept in memory until the person decides, or until the store is open.
    Held,
    /// Not recorded.
    Rejected(Rejection),
    /// A consent call in progress; [`Notice::Settled`](super::Notice::Settled) ends it.
    Pending(Ticket),
    /// A flush in progress, see [`Engine::flush_end`](super::Engine::flush_end).
    Flushing(FlushMark),
}

/// The reason why a call was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Nothing may be collected. Call again after a grant.
    Denied,
    /// An event needs a name.
    EmptyName,
    /// The name is longer than 255 characters.
    NameTooLong,
    /// A user id must not be empty.
    EmptyUser,
    /// The device's own id, and ids that begin with `$device:`, are not valid users (SPEC §16.1).
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
    /// A group needs a key and an id. A key on the deny list does not count.
    EmptyGroup,
    /// The properties contain personal data, and the detector is set to reject that.
    #[cfg(feature = "personal-data")]
    PersonalData,
    /// The record is larger than the 1 MB that a collector accepts (SPEC §2.4), or than the queue's limit.
    TooLarge,
    /// Too much is waiting for the person's decision.
    HoldFull,
    /// The app's own filter declined it. Reported by drivers.
    #[cfg(feature = "native")]
    Filtered,
    /// A number is infinite or NaN, which JSON cannot represent. Reported by drivers.
    #[cfg(feature = "native")]
    NotFinite,
    /// The store cannot keep up. Reported by drivers.
    #[cfg(feature = "native")]
    Overloaded,
    /// The client has been shut down, or belongs to another process. Reported by drivers.
    #[cfg(feature = "native")]
    Closed,
}

impl Rejection {
    /// All reasons. A binding may refer to one by its index here, which can differ between versions.
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

    /// A stable name for logs and bindings.
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

    /// One sentence on what to do about it.
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
            Self::TooLarge => "a record may be at most 1 MB and must fit into the queue: split it",
            Self::HoldFull => {
                "too many calls are waiting for the person's decision: ask earlier, or record less until then"
            }
            #[cfg(feature = "native")]
            Self::Filtered => "the app's own filter rejected it",
            #[cfg(feature = "native")]
            Self::NotFinite => "JSON has no infinity and no NaN; leave it out or pass a text",
            #[cfg(feature = "native")]
            Self::Overloaded => "the store cannot keep up: record less, or later",
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

/// The point in the queue up to which a flush is to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushMark {
    /// Everything before this number in the queue is included; `None` means everything that is queued when the store is
    /// opened.
    pub(super) through: Option<u64>,
    pub(super) failures: u64,
}

/// The progress of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushState {
    /// Everything that was queued at the call has been delivered or dropped.
    Done,
    /// In progress, or to be retried only later than the caller waits.
    Underway,
    /// A request has failed since the call. The rest is kept and retried later.
    Failing,
}
