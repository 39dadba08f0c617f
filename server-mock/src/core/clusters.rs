//! Clusters of the original merge (SPEC §16.2), as one piece of work has found and joined them.

use std::collections::HashMap;

use crate::domain::identity;
use crate::store::{ClusterNode, Space, Store, StoreError};

/// The clusters of one space that were looked at. Remembers what it found, so it must not outlive a change that it was
/// not told of.
#[derive(Default)]
pub struct Clusters {
    of_node: HashMap<String, usize>,
    all: Vec<Cluster>,
}

/// Nodes that belong together.
#[derive(Default)]
pub struct Cluster {
    /// Oldest first; empty when the node is not known.
    pub nodes: Vec<ClusterNode>,
    /// The id that they are all shown by. A cluster of one has no say: its only id is shown as it was sent.
    pub canonical: Option<String>,
}

impl Clusters {
    /// The cluster of a node.
    pub fn of(&mut self, store: &mut dyn Store, space: Space, node: &str) -> Result<&Cluster, StoreError> {
        let at = match self.of_node.get(node) {
            Some(at) => *at,
            None => {
                let nodes = store.cluster(space, node)?;
                let at = self.all.len();
                self.of_node.extend(nodes.iter().map(|node| (node.id.clone(), at)));
                self.of_node.insert(node.to_owned(), at);
                self.all.push(Cluster::new(nodes));
                at
            }
        };
        Ok(&self.all[at])
    }

    /// Joins the clusters of two nodes. In which order the nodes of the new one were seen first is not told: its
    /// canonical id tells persons apart, and is not for showing.
    pub fn join(
        &mut self,
        store: &mut dyn Store,
        space: Space,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError> {
        let mut joined = Vec::new();
        for (id, identified) in [(first, identified), (second, false)] {
            let known = self.of(store, space, id)?.nodes.clone();
            let at = self.of_node[id];
            self.all[at] = Cluster::default();
            joined.extend(known);
            match joined.iter_mut().find(|node| node.id == id) {
                Some(node) => node.identified |= identified,
                None => joined.push(ClusterNode { id: id.to_owned(), identified }),
            }
        }
        store.join(space, first, second, identified)?;
        let at = self.all.len();
        self.of_node.extend(joined.iter().map(|node| (node.id.clone(), at)));
        self.all.push(Cluster::new(joined));
        Ok(())
    }
}

impl Cluster {
    /// Prefers an id that `$identify` named, then the oldest that is no UUID, then the smallest (SPEC §16.2).
    fn new(nodes: Vec<ClusterNode>) -> Cluster {
        let identified = nodes.iter().find(|node| node.identified);
        let plain = || nodes.iter().find(|node| !identity::is_uuid4(&node.id));
        let smallest = || nodes.iter().min_by(|a, b| a.id.cmp(&b.id));
        let chosen = identified.or_else(plain).or_else(smallest).filter(|_| nodes.len() > 1);
        let canonical = chosen.map(|node| node.id.clone());
        Cluster { nodes, canonical }
    }
}
