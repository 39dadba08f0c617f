//! Profiles of persons and groups.

use serde_json::{Map, Value};

use super::{KeyRow, Space, StoreError};
use crate::domain::profile::Subject;

/// A stored profile.
#[derive(Debug, Clone)]
pub struct StoredProfile {
    /// Number in the order of making.
    pub row: i64,
    /// Whose it is.
    pub subject: Subject,
    /// When it was last seen, in milliseconds.
    pub last_seen: i64,
    /// What is known.
    pub properties: Map<String, Value>,
}

/// Which profiles to visit.
#[derive(Debug, Clone, Copy)]
pub struct ProfileRange {
    /// Of which space.
    pub space: Space,
    /// Groups instead of persons.
    pub groups: bool,
    /// Those last seen at or before this instant are expired.
    pub expired_until: i64,
    /// Only rows behind this one.
    pub after: i64,
}

/// Keeps profiles. Each has a key of its own.
pub trait Profiles {
    /// The profile of a subject, by its literal id.
    fn profile(&mut self, space: Space, subject: &Subject) -> Result<Option<StoredProfile>, StoreError>;
    /// The profile in a row of a space, of a person or of a group.
    fn profile_of_row(&mut self, space: Space, row: i64) -> Result<Option<StoredProfile>, StoreError>;
    /// Whether a person has a profile under this literal id that was last seen after an instant.
    fn has_profile(&mut self, space: Space, id: &str, after: i64) -> Result<bool, StoreError>;
    /// Writes the profile of a subject.
    fn put_profile(
        &mut self,
        space: Space,
        subject: &Subject,
        last_seen: i64,
        properties: &Map<String, Value>,
    ) -> Result<(), StoreError>;
    /// Decides that a profile goes, key and all. Answers whether it was there.
    fn delete_profile(&mut self, space: Space, subject: &Subject) -> Result<bool, StoreError>;
    /// Visits profiles in order of their making, until the visitor returns false.
    fn visit_profiles(
        &mut self,
        range: ProfileRange,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError>;
    /// The rows of profiles, in the same order, at most so many.
    fn profile_rows(&mut self, range: ProfileRange, limit: usize) -> Result<Vec<i64>, StoreError>;
    /// The groups whose profiles have this text as a name or a value.
    fn groups_naming(&mut self, space: Space, text: &str) -> Result<Vec<Subject>, StoreError>;
    /// The next of those, in order of their keys, behind a key.
    fn next_group_naming(
        &mut self,
        space: Space,
        text: &str,
        after: KeyRow,
    ) -> Result<Option<(KeyRow, StoredProfile)>, StoreError>;
    /// When the person that was not seen for the longest time was last seen, in milliseconds.
    fn oldest_profile(&mut self, space: Space) -> Result<Option<i64>, StoreError>;
    /// Decides that profiles of persons last seen at or before an instant go, at most so many. Answers how many.
    fn delete_expired_profiles(
        &mut self,
        space: Space,
        expired_until: i64,
        limit: usize,
    ) -> Result<usize, StoreError>;
}
