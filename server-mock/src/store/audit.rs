//! The audit: what was erased, expired and exported, when, by which rule, how much. No personal data.

use super::{ProjectRow, StoreError};

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: usize,
    /// Profiles.
    pub profiles: usize,
    /// Pieces of replays.
    pub replays: usize,
}

impl Counts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Counts::default()
    }

    /// Adds.
    pub fn add(&mut self, more: Counts) {
        self.events += more.events;
        self.profiles += more.profiles;
        self.replays += more.replays;
    }
}

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct NewAudit<'a> {
    /// When, in milliseconds.
    pub at: i64,
    /// Of which project; `None` for the server's own data.
    pub project: Option<ProjectRow>,
    /// What happened.
    pub action: &'a str,
    /// By which rule.
    pub rule: &'a str,
    /// The task, where there is one.
    pub task: Option<&'a str>,
    /// How much.
    pub counts: Counts,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Number in the order of writing.
    pub row: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// Of which project.
    pub project: Option<ProjectRow>,
    /// What happened.
    pub action: String,
    /// By which rule.
    pub rule: String,
    /// The task, where there is one.
    pub task: Option<String>,
    /// How much.
    pub counts: Counts,
}

/// Keeps the audit. Entries cannot be changed or deleted.
pub trait AuditLog {
    /// Writes an entry.
    fn audit(&mut self, entry: &NewAudit<'_>) -> Result<(), StoreError>;
    /// The entries after a row, oldest first, at most so many; or the newest, newest first.
    fn audit_rows(&mut self, after: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, StoreError>;
    /// How many there are.
    fn count_audit(&mut self) -> Result<usize, StoreError>;
    /// Adds to what a sweep that is under way has deleted of a project by a rule.
    fn note_sweep(&mut self, project: ProjectRow, rule: &str, counts: Counts) -> Result<(), StoreError>;
    /// Turns what a sweep has deleted into entries of the audit; answers the sum.
    fn end_sweep(&mut self, at: i64) -> Result<Counts, StoreError>;
}
