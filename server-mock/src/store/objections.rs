//! Whose records a project does not want: the suppression list.

use super::{ProjectRow, StoreError};

/// Keeps the suppression lists, as keyed hashes. `$device:X` and `X` are the same id here.
pub trait Objections {
    /// Whether a project suppresses anybody, so that arrivals need not be looked up where it does not.
    fn has_objections(&self, project: ProjectRow) -> bool;
    /// Whether an id is on the list; answers the entry that it is there for.
    fn objection(&self, project: ProjectRow, id: &str) -> Option<[u8; 16]>;
    /// Whether an id was itself put on the list, and is not there because of another one only.
    fn is_listed(&self, project: ProjectRow, id: &str) -> bool;
    /// How many ids were put on the list, and the hashes of these.
    fn objections(&mut self, project: ProjectRow) -> Result<Vec<[u8; 16]>, StoreError>;
    /// Puts an id on the list. Answers whether it is new there.
    fn add_objection(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError>;
    /// Puts an id there because it turned out to be the same person as an entry.
    fn extend_objection(&mut self, project: ProjectRow, id: &str, entry: [u8; 16]) -> Result<(), StoreError>;
    /// Takes an id off the list, with what was put there because of it. Answers whether it was there.
    fn remove_objection(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError>;
    /// Takes everything off the list but these ids, and what was put there because of them.
    fn keep_objections(&mut self, project: ProjectRow, ids: &[String]) -> Result<(), StoreError>;
}
