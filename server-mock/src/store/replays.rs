//! Session replays, where a project asks for them to be kept.

use std::sync::Arc;

use serde_json::Value;

use super::{KeyRow, Space, StoreError};
use crate::domain::identity::Ids;

/// A piece of a replay to be stored.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Whose it is.
    pub ids: Ids,
    /// The parameters that came with it.
    pub about: Value,
    /// As received.
    pub body: Vec<u8>,
    /// When it was received, in milliseconds.
    pub received: i64,
    /// When it expires; `None` is never.
    pub expires: Option<i64>,
}

/// A stored piece of a replay.
#[derive(Debug, Clone)]
pub struct StoredReplay {
    /// Number in the order of receipt.
    pub row: i64,
    /// The combination that it came under.
    pub key: KeyRow,
    /// The ids of that combination.
    pub ids: Ids,
    /// The parameters that came with it.
    pub about: Value,
    /// As received.
    pub body: Vec<u8>,
    /// When it was received, in milliseconds.
    pub received: i64,
    /// When it expires; `None` is never.
    pub expires: Option<i64>,
}

/// Keeps replays.
pub trait Replays {
    /// Stores a piece.
    fn put_replay(&mut self, space: Space, replay: &NewReplay) -> Result<(), StoreError>;
    /// Visits pieces behind a row that are not expired, in the order of receipt, until the visitor returns false: all,
    /// or only those under these combinations.
    fn visit_replays(
        &mut self,
        space: Space,
        now: i64,
        after: i64,
        keys: Option<Arc<Vec<KeyRow>>>,
        visitor: &mut dyn FnMut(StoredReplay) -> bool,
    ) -> Result<(), StoreError>;
    /// When the next piece expires, in milliseconds.
    fn next_replay_expiry(&mut self, space: Space) -> Result<Option<i64>, StoreError>;
    /// Deletes what is expired, at most so many; answers how many went.
    fn delete_expired_replays(&mut self, space: Space, now: i64, limit: usize) -> Result<usize, StoreError>;
}
