//! Where things are kept. The trait speaks of projects, combinations of ids, events and tasks; `sqlite.rs` knows rows
//! and `vault.rs` knows keys.

pub mod sqlite;
pub mod vault;

use std::fmt;

use serde_json::{Map, Value};

use crate::domain::config::{IdMerge, RetentionBasis};
use crate::domain::identity::Ids;
use crate::domain::profile::Subject;

/// Number of a project in the store.
pub type ProjectRow = i64;
/// Number of a combination of ids (of its key) in the store.
pub type KeyRow = i64;

/// What went wrong with storage, in words that an operator can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    text: String,
}

impl StoreError {
    pub(crate) fn io(what: &str, error: impl fmt::Display) -> StoreError {
        StoreError { text: format!("{what}: {error}") }
    }

    pub(crate) fn damaged(text: impl Into<String>) -> StoreError {
        StoreError { text: text.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

/// An event to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose it is.
    pub ids: Ids,
    /// Its name.
    pub name: String,
    /// The distinct id as sent.
    pub distinct_id: Option<String>,
    /// When it happened, in milliseconds.
    pub time: i64,
    /// When it was received, in milliseconds.
    pub received: i64,
    /// Everything else.
    pub properties: Map<String, Value>,
    /// What makes two events the same.
    pub dedupe: Option<Vec<u8>>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Stored,
    /// It replaced an equal one.
    Duplicate,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Number in the order of receipt.
    pub row: i64,
    /// The combination that it came under.
    pub key: KeyRow,
    /// The ids of that combination.
    pub ids: Ids,
    /// Its name.
    pub name: String,
    /// The distinct id as sent.
    pub distinct_id: Option<String>,
    /// When it happened, in milliseconds.
    pub time: i64,
    /// When it was received, in milliseconds.
    pub received: i64,
    /// Everything else.
    pub properties: Map<String, Value>,
}

/// From when on rows of a project are expired: those at or before the bound are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What the bound is compared with.
    pub basis: RetentionBasis,
    /// The bound in milliseconds; `i64::MIN` keeps everything.
    pub expired_until: i64,
}

/// Which events to visit.
#[derive(Debug, Clone, Copy)]
pub struct EventRange {
    /// Of which project.
    pub project: ProjectRow,
    /// What is expired.
    pub window: Window,
    /// From this time on, in milliseconds.
    pub from: i64,
    /// Before this time.
    pub until: i64,
    /// Only rows after this one.
    pub after_row: i64,
    /// Sorted by time (and then receipt) after this time, instead of by receipt alone.
    pub by_time_after: Option<i64>,
}

/// A place for events, profiles, tasks and the keys that they are sealed with.
///
/// Changes happen between [`Store::begin`] and [`Store::commit`]; they are there after a crash if and only if the commit
/// succeeded. Every method may fail with a [`StoreError`] that says what is wrong with the storage.
pub trait Store: Send {
    /// Starts a transaction.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Ends it; returns when it is durable. Keys made in it are made durable before.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Gives the transaction up.
    fn rollback(&mut self);
    /// Marks a point in the transaction.
    fn savepoint(&mut self) -> Result<(), StoreError>;
    /// Keeps what happened since the point.
    fn keep(&mut self) -> Result<(), StoreError>;
    /// Gives up what happened since the point.
    fn undo(&mut self) -> Result<(), StoreError>;

    /// Destroys all keys and deletes everything. Not inside a transaction.
    fn clear(&mut self) -> Result<(), StoreError>;

    /// The number of a project, which is made if asked for.
    fn project(&mut self, token: &str, make: bool) -> Result<Option<ProjectRow>, StoreError>;
    /// All projects: number and token.
    fn projects(&mut self) -> Result<Vec<(ProjectRow, String)>, StoreError>;

    /// Stores an event; one with the same key is replaced.
    fn put_event(&mut self, project: ProjectRow, event: &NewEvent) -> Result<Put, StoreError>;
    /// Visits events in order, until the visitor returns false.
    fn visit_events(
        &mut self,
        range: EventRange,
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<(), StoreError>;

    /// Deletes what is expired; answers how many events went.
    fn delete_expired(&mut self, project: ProjectRow, window: Window) -> Result<usize, StoreError>;

    /// The profile of a subject, by its literal id.
    fn profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
    ) -> Result<Option<StoredProfile>, StoreError>;
    /// Writes the profile of a subject.
    fn put_profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
        last_seen: i64,
        properties: &Map<String, Value>,
    ) -> Result<(), StoreError>;
    /// Decides that a profile goes, key and all; [`Store::shred`] carries it out. Answers whether it was there.
    fn delete_profile(&mut self, project: ProjectRow, subject: &Subject) -> Result<bool, StoreError>;
    /// Visits profiles in order of their making, until the visitor returns false.
    fn visit_profiles(
        &mut self,
        range: ProfileRange,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError>;
    /// Decides that profiles last seen at or before an instant go. Answers how many.
    fn delete_expired_profiles(
        &mut self,
        project: ProjectRow,
        expired_until: i64,
    ) -> Result<usize, StoreError>;
    /// Decides that combinations without events go, where no link depends on them.
    fn delete_unused(&mut self) -> Result<(), StoreError>;
    /// Forgets barriers that are over, and decides that the ids of retrievals due at or before an instant go.
    fn delete_outdated(&mut self, now: i64, retrievals_until: i64) -> Result<(), StoreError>;
    /// Carries out what is decided: destroys keys, syncs, deletes rows. Not inside a transaction; may be repeated
    /// after a failure or a crash. Answers what went on behalf of tasks.
    fn shred(&mut self) -> Result<Shredded, StoreError>;

    /// Makes a privacy task.
    fn put_task(&mut self, project: ProjectRow, task: &NewTask) -> Result<(), StoreError>;
    /// A task of a project, by the id that its maker was told.
    fn task(
        &mut self,
        project: ProjectRow,
        kind: TaskKind,
        id: &str,
    ) -> Result<Option<StoredTask>, StoreError>;
    /// A task by its row.
    fn task_of_row(&mut self, row: i64) -> Result<StoredTask, StoreError>;
    /// Those of the ids that an unfinished task of the project names, each with the task's id.
    fn conflicts(&mut self, project: ProjectRow, ids: &[String])
    -> Result<Vec<(String, String)>, StoreError>;
    /// Ends a task that has nothing to erase.
    fn finish_task(&mut self, row: i64) -> Result<(), StoreError>;
    /// Revokes a task that has not started; answers whether it could be.
    fn cancel_task(&mut self, row: i64) -> Result<bool, StoreError>;
    /// The task that falls due first: row and due time.
    fn next_task(&mut self) -> Result<Option<(i64, i64)>, StoreError>;
    /// The combinations that belong to a person, by canonical id.
    fn keys_of(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        canonical: &str,
    ) -> Result<Vec<(KeyRow, Ids)>, StoreError>;
    /// Decides an erasure; [`Store::shred`] carries it out.
    fn erase(&mut self, erasure: &Erasure) -> Result<(), StoreError>;
    /// Whether events of an id with this time are late copies of what was erased.
    fn is_barred(&mut self, project: ProjectRow, id: &str, time: i64, now: i64) -> Result<bool, StoreError>;

    /// The first user that a device was seen with (simplified merge).
    fn first_user(&mut self, project: ProjectRow, device: &str) -> Result<Option<String>, StoreError>;
    /// The nodes of the cluster of a node (original merge), oldest first; empty when it is not known.
    fn cluster(&mut self, project: ProjectRow, node: &str) -> Result<Vec<ClusterNode>, StoreError>;
    /// Joins two nodes.
    fn join(
        &mut self,
        project: ProjectRow,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError>;
}

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
    /// Of which project.
    pub project: ProjectRow,
    /// Groups instead of persons.
    pub groups: bool,
    /// Those last seen at or before this instant are expired.
    pub expired_until: i64,
}

/// What a privacy task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// It erases persons.
    Deletion,
    /// It hands out what is known about them.
    Retrieval,
}

/// A privacy task to be made.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// What it does.
    pub kind: TaskKind,
    /// What its maker is told.
    pub id: String,
    /// The ids as asked for.
    pub ids: Vec<String>,
    /// When it was asked for, in milliseconds.
    pub requested: i64,
    /// When it starts.
    pub due: i64,
    /// Who asked, under which law.
    pub about: Value,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It can still be cancelled.
    Waiting,
    /// It is decided.
    Started,
    /// Keys gone and synced, rows deleted.
    Done,
    /// It was cancelled.
    Revoked,
}

/// A stored task.
#[derive(Debug, Clone)]
pub struct StoredTask {
    /// What it does.
    pub kind: TaskKind,
    /// Its row.
    pub row: i64,
    /// What its maker was told.
    pub id: String,
    /// Of which project.
    pub project: ProjectRow,
    /// Where it stands.
    pub state: TaskState,
    /// When it was asked for, in milliseconds.
    pub requested: i64,
    /// When it starts.
    pub due: i64,
    /// The ids as asked for; none once it has started.
    pub ids: Vec<String>,
    /// How many there were.
    pub id_count: usize,
    /// Events erased.
    pub events: usize,
    /// Profiles erased.
    pub profiles: usize,
    /// Who asked, under which law.
    pub about: Value,
}

/// An erasure that is decided.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Of which project.
    pub project: ProjectRow,
    /// On behalf of which task.
    pub task: i64,
    /// Combinations whose keys are destroyed.
    pub keys: Vec<KeyRow>,
    /// All literal ids of the person: their profiles go, and late copies of their events are barred.
    pub ids: Vec<String>,
    /// Late copies are events up to this time.
    pub barred_before: i64,
    /// They are barred until this instant; `None` is not at all.
    pub barred_until: Option<i64>,
}

/// What was deleted on behalf of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shredded {
    /// Events.
    pub events: usize,
    /// Profiles.
    pub profiles: usize,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: String,
    /// Whether a `$identify` named it as the user.
    pub identified: bool,
}
