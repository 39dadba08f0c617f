//! The app's own filter, called on the recording thread just before something is recorded.

use std::sync::Arc;

/// What the properties passed to a filter belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject<'a> {
    /// An event with this name.
    Event(&'a str),
    /// Properties that are registered for every later event.
    Registered,
    /// Operators on a profile or on a group's profile.
    Profile,
}

/// Returns the text of the properties to record instead; `None` records nothing.
pub(super) type Filter = Arc<dyn Fn(Subject<'_>, &str) -> Option<String> + Send + Sync>;
