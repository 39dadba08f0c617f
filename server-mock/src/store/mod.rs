//! Where things are kept. The traits speak of projects, combinations of ids, events and tasks; `sqlite.rs` knows rows
//! and `vault.rs` knows keys.
//!
//! [`Store`] is the sum of one trait for each topic, in a file of its own, with the types that it speaks of.

mod audit;
mod erasing;
mod error;
mod event_text;
mod events;
mod identities;
mod objections;
mod profiles;
mod projects;
mod replays;
pub mod sqlite;
mod tasks;
mod usage;
pub mod vault;

pub use audit::{AuditLog, AuditRow, Counts, NewAudit};
pub use erasing::{Barrier, Dated, Erasing, Erasure, Shredding};
pub use error::StoreError;
pub use event_text::{EventParts, EventText};
pub use events::{Behind, EventPlace, EventRange, Events, NewEvent, Order, Put, StoredEvent, Window};
pub use identities::{ClusterNode, Identities};
pub use objections::Objections;
pub use profiles::{ProfileRange, Profiles, StoredProfile};
pub use projects::{Hidden, HideCause, Home, ProjectRow, Projects, Space};
pub use replays::{NewReplay, Replays, StoredReplay};
pub use tasks::{NewTask, StoredArchive, StoredTask, TaskKind, TaskState, Tasks};
pub use usage::{StoredUse, Usage};

/// Number of a combination of ids (of its key) in the store.
pub type KeyRow = i64;

/// A place for events, profiles, tasks and the keys that they are sealed with.
///
/// Every method may fail with a [`StoreError`] that says what is wrong with the storage.
pub trait Store:
    Transactions
    + Projects
    + Events
    + Profiles
    + Identities
    + Replays
    + Tasks
    + Erasing
    + Objections
    + AuditLog
    + Usage
    + Send
{
}

impl<T> Store for T where
    T: Transactions
        + Projects
        + Events
        + Profiles
        + Identities
        + Replays
        + Tasks
        + Erasing
        + Objections
        + AuditLog
        + Usage
        + Send
{
}

/// Changes happen between [`Transactions::begin`] and [`Transactions::commit`]; they are there after a crash if and only
/// if the commit succeeded.
pub trait Transactions {
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
}
