//! The host's own filter: a last look at what is about to be recorded, on the calling thread.

use std::sync::Arc;

/// What the properties that a filter sees belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject<'a> {
    /// An event with this name.
    Event(&'a str),
    /// Properties for every later event.
    Registered,
    /// Operators on a profile or on a group's profile.
    Profile,
}

/// Gives out the text of the properties that are to be recorded in place of these; `None`: nothing is.
pub(super) type Filter = Arc<dyn Fn(Subject<'_>, &str) -> Option<String> + Send + Sync>;
