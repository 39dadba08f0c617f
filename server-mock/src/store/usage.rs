//! The portal's own usage log: what account holders did in it, where they let it be recorded.

use super::StoreError;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUse {
    /// When, in milliseconds.
    pub at: i64,
    /// What was done.
    pub action: String,
}

/// Keeps the usage log, sealed under a key for each account.
pub trait Usage {
    /// Whether an account lets its use be recorded.
    fn records_use(&mut self, account: &str) -> Result<bool, StoreError>;
    /// Changes that. Answers whether it is a change.
    fn set_records_use(&mut self, account: &str, recorded: bool) -> Result<bool, StoreError>;
    /// Writes an entry.
    fn put_use(&mut self, account: &str, at: i64, action: &str) -> Result<(), StoreError>;
    /// The entries of an account, oldest first.
    fn uses(&mut self, account: &str) -> Result<Vec<StoredUse>, StoreError>;
    /// Decides that the entries of an account go. Answers how many there are.
    fn delete_uses(&mut self, account: &str) -> Result<usize, StoreError>;
    /// Deletes entries up to an instant; answers how many.
    fn delete_outdated_uses(&mut self, until: i64) -> Result<usize, StoreError>;
}
