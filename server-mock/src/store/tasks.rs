//! Privacy tasks.

use serde_json::Value;

use super::{KeyRow, ProjectRow, StoreError};

/// What a privacy task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// It erases persons, on behalf of the account holder.
    Deletion,
    /// It hands out what is known about them.
    Retrieval,
    /// It erases what a device sent, on behalf of the device.
    Device,
}

/// A privacy task to be made.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// What it does.
    pub kind: TaskKind,
    /// What its maker is told.
    pub id: String,
    /// The ids as asked for. A task of a device is found by its id and does not keep it.
    pub ids: Vec<String>,
    /// When it was asked for, in milliseconds.
    pub requested: i64,
    /// When it starts.
    pub due: i64,
    /// Who asked, under which law, and how far clients' clocks were behind then. No personal data of end users.
    pub about: Value,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It can still be cancelled.
    Waiting,
    /// It is decided, or the archive is being made.
    Started,
    /// Keys gone and synced, rows deleted; or the archive is there.
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
    /// When it ended.
    pub finished: Option<i64>,
    /// The ids as asked for; none are stored once it has started.
    pub ids: Vec<String>,
    /// How many there were.
    pub id_count: usize,
    /// Events erased, or in the archive.
    pub events: usize,
    /// Profiles erased, or in the archive.
    pub profiles: usize,
    /// Pieces of replays erased, or in the archive.
    pub replays: usize,
    /// Who asked, under which law.
    pub about: Value,
    /// Until when the archive is kept; `None` when there is none.
    pub archive_until: Option<i64>,
    /// Whether its project is deleted, so that nothing of it is shown.
    pub is_hidden: bool,
}

/// An archive, which is read piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredArchive {
    /// The key that its pieces are sealed under.
    pub key: KeyRow,
    /// The bytes of all its pieces; none when it was emptied and has to be made anew.
    pub bytes: u64,
    /// When the first thing in it expires, in milliseconds.
    pub outdated: Option<i64>,
}

/// Keeps tasks and archives.
pub trait Tasks {
    /// Makes a task.
    fn put_task(&mut self, project: ProjectRow, task: &NewTask) -> Result<(), StoreError>;
    /// A task by the id that its maker was told.
    fn task(&mut self, id: &str) -> Result<Option<StoredTask>, StoreError>;
    /// A task by its row.
    fn task_of_row(&mut self, row: i64) -> Result<StoredTask, StoreError>;
    /// The task of a device.
    fn device_task(&mut self, project: ProjectRow, device: &str) -> Result<Option<StoredTask>, StoreError>;
    /// All tasks, the newest first, at most so many.
    fn tasks(&mut self, limit: usize) -> Result<Vec<StoredTask>, StoreError>;
    /// Those of the ids that an unfinished deletion of the project names, each with the task's id.
    fn conflicts(&mut self, project: ProjectRow, ids: &[String])
    -> Result<Vec<(String, String)>, StoreError>;
    /// Whether any deletion of the project, cancelled ones among them, names this id.
    fn was_to_be_erased(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError>;
    /// Revokes a task that has not started; answers whether it could be.
    fn cancel_task(&mut self, row: i64) -> Result<bool, StoreError>;
    /// The task that falls due first: row and due time.
    fn next_task(&mut self) -> Result<Option<(i64, i64)>, StoreError>;
    /// Starts a retrieval: its archive is to be made.
    fn start_retrieval(&mut self, row: i64) -> Result<(), StoreError>;
    /// The retrieval that has started and fell due first.
    fn started_retrieval(&mut self) -> Result<Option<StoredTask>, StoreError>;
    /// Begins the archive of a retrieval, under a fresh key, which is answered; whatever was sealed for it before is
    /// destroyed. `keys` are the combinations whose data will be in it, `ids` those of its persons besides the task's own.
    /// Without pieces it is empty.
    fn begin_archive(
        &mut self,
        task: &StoredTask,
        keys: &[KeyRow],
        ids: &[String],
    ) -> Result<KeyRow, StoreError>;
    /// Whether what is sealed for an archive is still wanted.
    fn is_archive_there(&mut self, key: KeyRow) -> Result<bool, StoreError>;
    /// Adds a piece to an archive. They are numbered from 0, and may come in any order.
    fn put_archive_piece(&mut self, key: KeyRow, number: usize, bytes: &[u8]) -> Result<(), StoreError>;
    /// Ends a retrieval with its archive; the first thing in that expires when it is `outdated`.
    fn end_archive(&mut self, task: &StoredTask, outdated: Option<i64>) -> Result<(), StoreError>;
    /// The retrievals that have an archive, made or not: of one project or of all.
    fn retrievals(&mut self, project: Option<ProjectRow>) -> Result<Vec<i64>, StoreError>;
    /// The retrievals in whose archives something is expired at an instant.
    fn outdated_archives(&mut self, now: i64) -> Result<Vec<i64>, StoreError>;
    /// The retrievals of a project that name any of these ids, or whose archives are about one of them or hold data under
    /// any of these combinations.
    fn retrievals_about(
        &mut self,
        project: ProjectRow,
        ids: &[String],
        keys: &[KeyRow],
    ) -> Result<Vec<i64>, StoreError>;
    /// Replaces the ids of a task; what they and its archive were sealed with is destroyed. Its archive is gone.
    fn replace_task_ids(&mut self, task: &StoredTask, ids: &[String]) -> Result<(), StoreError>;
    /// The archive of a retrieval.
    fn archive(&mut self, row: i64) -> Result<Option<StoredArchive>, StoreError>;
    /// A piece of an archive, if it is still there.
    fn archive_piece(&mut self, key: KeyRow, number: usize) -> Result<Option<Vec<u8>>, StoreError>;
    /// When the next archive, or the first thing in one, expires, in milliseconds. What is being made does not expire.
    fn next_archive_expiry(&mut self) -> Result<Option<i64>, StoreError>;
    /// Decides that archives that expire at or before an instant go, and the ids of their tasks. Answers how many.
    fn expire_archives(&mut self, now: i64) -> Result<usize, StoreError>;
}
