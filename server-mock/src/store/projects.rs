//! Projects, and the spaces that hold their data.

use super::{Counts, StoreError};
use crate::domain::config::IdMerge;

/// Number of a project in the store.
pub type ProjectRow = i64;

/// A space: the data that a project collected between two resets. What outlives a reset (tasks, objections, bars)
/// belongs to the project, everything else to a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Space {
    /// Its number.
    pub row: i64,
    /// Whose data it holds.
    pub project: ProjectRow,
}

/// A project that the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// Its number.
    pub project: ProjectRow,
    /// The space that is visible; `None` while there is none.
    pub space: Option<Space>,
    /// When the project was deleted, in milliseconds.
    pub deleted: Option<i64>,
    /// By which rules its ids are merged; `None` while that is not known.
    pub id_merge: Option<IdMerge>,
}

/// Why a space is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HideCause {
    /// The project was deleted.
    Delete,
    /// The project was reset.
    Reset,
}

/// A space that is hidden, and can be restored until it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// Which.
    pub space: Space,
    /// Since when, in milliseconds.
    pub since: i64,
    /// Why.
    pub cause: HideCause,
    /// When it is purged.
    pub due: i64,
}

/// Keeps projects apart.
pub trait Projects {
    /// A project, by token.
    fn find_project(&mut self, token: &str) -> Result<Option<Home>, StoreError>;
    /// The same, made if it is not there. A deleted project gets no new space.
    fn open_project(&mut self, token: &str) -> Result<Home, StoreError>;
    /// Notes by which rules the ids of a project are merged.
    fn set_id_merge(&mut self, project: ProjectRow, id_merge: IdMerge) -> Result<(), StoreError>;
    /// All projects, with their tokens.
    fn projects(&mut self) -> Result<Vec<(Home, String)>, StoreError>;
    /// All spaces of a project, hidden ones too, oldest first.
    fn spaces(&mut self, project: ProjectRow) -> Result<Vec<Space>, StoreError>;
    /// The hidden spaces of a project, in the order in which they were hidden.
    fn hidden(&mut self, project: ProjectRow) -> Result<Vec<Hidden>, StoreError>;
    /// Hides what is visible of a project, until it is purged at `due`.
    fn hide(&mut self, project: ProjectRow, cause: HideCause, at: i64, due: i64) -> Result<(), StoreError>;
    /// Makes a hidden space visible again; what came in the meantime is put into it.
    fn restore(&mut self, hidden: Hidden) -> Result<(), StoreError>;
    /// The hidden space that is purged first.
    fn next_purge(&mut self) -> Result<Option<Hidden>, StoreError>;
    /// Decides that a hidden space goes, with everything in it. Answers how much that is.
    fn purge(&mut self, space: Space) -> Result<Counts, StoreError>;
}
