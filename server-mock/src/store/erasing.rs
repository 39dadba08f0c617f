//! Erasing: deciding, destroying keys, deleting rows.

use super::{KeyRow, ProjectRow, Space, StoreError};

/// Which records of erased ids are dropped when they come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// Those with a time up to this one, in milliseconds; `None` is all.
    pub before: Option<i64>,
    /// The same instant by the clients' clocks, which do not follow one that is only advanced.
    pub sent_before: Option<i64>,
    /// Until this instant; `None` is for ever.
    pub until: Option<i64>,
}

/// When a record was made: late copies of what is erased bear the time at which the first one was sent, and are known by
/// it however far the server's clock was advanced in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// By the server's clock as it is now, in milliseconds.
    pub time: i64,
    /// By the client's.
    pub sent: i64,
}

impl Dated {
    /// Before any barrier: whoever is barred at all is barred then.
    pub const ALWAYS: Dated = Dated { time: i64::MIN, sent: i64::MIN };
    /// After any barrier that has a time: only one that has none bars it.
    pub const UNDATED: Dated = Dated { time: i64::MAX, sent: i64::MAX };
}

/// An erasure that is decided.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Of which project.
    pub project: ProjectRow,
    /// On behalf of which task.
    pub task: i64,
    /// Where.
    pub spaces: Vec<Space>,
    /// Combinations whose keys are destroyed.
    pub keys: Vec<KeyRow>,
    /// Literal ids: the profiles of these names go, and revoked tasks that show them.
    pub ids: Vec<String>,
    /// What keeps late copies out.
    pub barrier: Option<Barrier>,
}

/// What a step of shredding did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shredding {
    /// Events deleted on behalf of tasks.
    pub events: usize,
    /// Profiles deleted on behalf of tasks.
    pub profiles: usize,
    /// Pieces of replays deleted on behalf of tasks.
    pub replays: usize,
    /// There is more to do.
    pub more: bool,
}

/// Erases.
pub trait Erasing {
    /// Decides an erasure.
    fn erase(&mut self, erasure: &Erasure) -> Result<(), StoreError>;
    /// Destroys and syncs the keys of everything that is decided to go: from now on nothing can read what they sealed.
    /// Not inside a transaction; may be repeated after a failure or a crash.
    fn destroy_keys(&mut self) -> Result<(), StoreError>;
    /// Deletes rows whose keys are destroyed, at most so many, and ends the tasks for which nothing is left to do at
    /// `now`. Not inside a transaction; may be repeated after a failure or a crash.
    fn shred(&mut self, limit: usize, now: i64) -> Result<Shredding, StoreError>;
    /// Whether something is decided to go and still there.
    fn is_shredding(&self) -> bool;
    /// Whether any barrier holds at an instant, so that arrivals need not be looked up while there is none.
    fn has_barriers(&self, now: i64) -> bool;
    /// Whether records that carry an id and this time are dropped.
    fn is_barred(&mut self, project: ProjectRow, id: &str, time: Dated, now: i64)
    -> Result<bool, StoreError>;
    /// Forgets barriers that are over.
    fn forget_barriers(&mut self, now: i64) -> Result<(), StoreError>;
    /// Signs a text with the server's key (Ed25519, RFC 8032).
    fn sign(&self, text: &[u8]) -> [u8; 64];
    /// The public half of that key.
    fn public_key(&self) -> [u8; 32];
}
