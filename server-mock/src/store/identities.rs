//! Combinations of ids, and the links between them.

use super::{KeyRow, Space, StoreError};
use crate::domain::config::IdMerge;
use crate::domain::identity::Ids;

/// A node of a cluster (original merge).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: String,
    /// Whether a `$identify` named it as the user.
    pub identified: bool,
}

/// Knows which combinations of ids there are.
pub trait Identities {
    /// The first user that a device was seen with (simplified merge).
    fn first_user(&mut self, space: Space, device: &str) -> Result<Option<String>, StoreError>;
    /// The nodes of the cluster of a node (original merge), oldest first; empty when it is not known.
    fn cluster(&mut self, space: Space, node: &str) -> Result<Vec<ClusterNode>, StoreError>;
    /// Joins two nodes.
    fn join(&mut self, space: Space, first: &str, second: &str, identified: bool) -> Result<(), StoreError>;
    /// The combinations that belong to a person, by canonical id.
    fn keys_of(
        &mut self,
        space: Space,
        id_merge: IdMerge,
        canonical: &str,
    ) -> Result<Vec<(KeyRow, Ids)>, StoreError>;
    /// The combinations of others that name an id (SPEC §20.6).
    fn keys_naming(&mut self, space: Space, id: &str) -> Result<Vec<KeyRow>, StoreError>;
    /// All combinations that carry a device id, whoever the user is.
    fn keys_of_device(&mut self, space: Space, device: &str) -> Result<Vec<KeyRow>, StoreError>;
    /// Decides that combinations under which nothing is kept any more go, where no link depends on them. Looks at so
    /// many after a row, or at fewer where they are merged with many others, and answers the last of them; `None` when
    /// there are no more.
    fn delete_unused_keys(&mut self, after: KeyRow, limit: usize) -> Result<Option<KeyRow>, StoreError>;
}
