//! Canonical ids, resolved when they are read (SPEC §16.4).

use std::collections::HashMap;

use crate::domain::config::IdMerge;
use crate::domain::identity::{self, DEVICE_PREFIX, Ids, strip};
use crate::store::{ClusterNode, KeyRow, Space, Store, StoreError};

/// Resolves the ids of one space; remembers what it found, so it must not outlive a change.
pub struct Resolver {
    space: Space,
    mode: IdMerge,
    links: HashMap<String, Option<String>>,
    clusters: HashMap<KeyRow, Option<String>>,
}

impl Resolver {
    /// For one space.
    pub fn new(space: Space, mode: IdMerge) -> Resolver {
        Resolver { space, mode, links: HashMap::new(), clusters: HashMap::new() }
    }

    /// The id of a record before links and merges.
    pub fn own(&self, ids: &Ids, sent: Option<&str>) -> Option<String> {
        match self.mode {
            IdMerge::Simplified => ids.own(),
            IdMerge::Original | IdMerge::None => sent.map(str::to_owned).or_else(|| ids.own()),
        }
    }

    /// The id of the person that a record belongs to now; `None` for a record of nobody.
    pub fn canonical(
        &mut self,
        store: &mut dyn Store,
        key: KeyRow,
        ids: &Ids,
        sent: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        match (self.mode, &ids.user, &ids.device) {
            (IdMerge::Simplified, None, Some(device)) => self.of_device(store, device).map(Some),
            (IdMerge::Original, Some(node), _) => {
                if !self.clusters.contains_key(&key) {
                    let chosen = canonical_of_cluster(&store.cluster(self.space, node)?);
                    self.clusters.insert(key, chosen);
                }
                Ok(self.clusters[&key].clone().or_else(|| self.own(ids, sent)))
            }
            _ => Ok(self.own(ids, sent)),
        }
    }

    /// The person behind a bare distinct id.
    pub fn of_distinct_id(&mut self, store: &mut dyn Store, id: &str) -> Result<String, StoreError> {
        let ids = Ids::of_distinct_id(self.mode, id);
        match (self.mode, &ids.user, &ids.device) {
            (IdMerge::Simplified, None, Some(device)) => self.of_device(store, device),
            (IdMerge::Original, Some(node), _) => {
                Ok(canonical_of_cluster(&store.cluster(self.space, node)?).unwrap_or_else(|| id.to_owned()))
            }
            _ => Ok(id.to_owned()),
        }
    }

    /// The names under which the profile of a distinct id may lie, the canonical one first.
    pub fn profile_names(&mut self, store: &mut dyn Store, id: &str) -> Result<Vec<String>, StoreError> {
        let canonical = self.of_distinct_id(store, id)?;
        if self.mode != IdMerge::Original {
            return Ok(vec![canonical]);
        }
        let mut names = vec![canonical];
        for known in store.cluster(self.space, strip(id))? {
            names.push(format!("{DEVICE_PREFIX}{}", known.id));
            names.push(known.id);
        }
        Ok(names)
    }

    fn of_device(&mut self, store: &mut dyn Store, device: &str) -> Result<String, StoreError> {
        if !self.links.contains_key(device) {
            let user = store.first_user(self.space, device)?;
            self.links.insert(device.to_owned(), user);
        }
        Ok(self.links[device].clone().unwrap_or_else(|| format!("{DEVICE_PREFIX}{device}")))
    }
}

/// Prefers an id that `$identify` named, then the oldest that is no UUID, then the smallest (SPEC §16.2). A cluster
/// of one has no say: its only id is shown as it was sent.
fn canonical_of_cluster(nodes: &[ClusterNode]) -> Option<String> {
    if nodes.len() < 2 {
        return None;
    }
    let identified = nodes.iter().find(|node| node.identified);
    let plain = || nodes.iter().find(|node| !identity::is_uuid4(&node.id));
    let smallest = || nodes.iter().min_by(|a, b| a.id.cmp(&b.id));
    identified.or_else(plain).or_else(smallest).map(|node| node.id.clone())
}
