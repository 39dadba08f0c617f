//! Canonical ids, resolved when they are read (SPEC §16.4).

use std::collections::HashMap;

use super::clusters::{Cluster, Clusters};
use crate::domain::config::IdMerge;
use crate::domain::identity::{DEVICE_PREFIX, Ids, strip};
use crate::store::{Space, Store, StoreError};

/// Resolves the ids of one space; remembers what it found, so it must not outlive a change.
pub struct Resolver {
    space: Space,
    mode: IdMerge,
    links: HashMap<String, Option<String>>,
    clusters: Clusters,
}

impl Resolver {
    /// For one space.
    pub fn new(space: Space, mode: IdMerge) -> Resolver {
        Resolver { space, mode, links: HashMap::new(), clusters: Clusters::default() }
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
        ids: &Ids,
        sent: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        match (self.mode, &ids.user, &ids.device) {
            (IdMerge::Simplified, None, Some(device)) => self.of_device(store, device).map(Some),
            (IdMerge::Original, Some(node), _) => {
                let canonical = self.cluster(store, node)?.canonical.clone();
                Ok(canonical.or_else(|| self.own(ids, sent)))
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
                Ok(self.cluster(store, node)?.canonical.clone().unwrap_or_else(|| id.to_owned()))
            }
            _ => Ok(id.to_owned()),
        }
    }

    /// The persons behind a bare distinct id: whose it is, and who is named exactly so where it looks like a device's.
    pub fn persons(&mut self, store: &mut dyn Store, id: &str) -> Result<Vec<String>, StoreError> {
        let mut persons = vec![self.of_distinct_id(store, id)?];
        if persons[0] != id && id.starts_with(DEVICE_PREFIX) {
            let is_known = match self.mode {
                IdMerge::Original => !self.cluster(store, id)?.nodes.is_empty(),
                IdMerge::Simplified | IdMerge::None => true,
            };
            if is_known {
                persons.push(id.to_owned());
            }
        }
        Ok(persons)
    }

    /// The names under which the profile of a distinct id may lie, the canonical one first.
    pub fn profile_names(&mut self, store: &mut dyn Store, id: &str) -> Result<Vec<String>, StoreError> {
        let canonical = self.of_distinct_id(store, id)?;
        if self.mode != IdMerge::Original {
            return Ok(vec![canonical]);
        }
        let mut names = vec![canonical];
        for known in &self.cluster(store, strip(id))?.nodes {
            names.push(format!("{DEVICE_PREFIX}{}", known.id));
            names.push(known.id.clone());
        }
        Ok(names)
    }

    /// The cluster of a node (original merge).
    pub fn cluster(&mut self, store: &mut dyn Store, node: &str) -> Result<&Cluster, StoreError> {
        self.clusters.of(store, self.space, node)
    }

    /// Joins the clusters of two nodes (original merge).
    pub fn join(
        &mut self,
        store: &mut dyn Store,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError> {
        self.clusters.join(store, self.space, first, second, identified)
    }

    /// A record was stored that links a device with a user, perhaps the first one to do so (simplified merge).
    pub fn linked(&mut self, ids: &Ids) {
        if let (Some(device), Some(_)) = (&ids.device, &ids.user) {
            self.links.remove(device);
        }
    }

    fn of_device(&mut self, store: &mut dyn Store, device: &str) -> Result<String, StoreError> {
        if !self.links.contains_key(device) {
            let user = store.first_user(self.space, device)?;
            self.links.insert(device.to_owned(), user);
        }
        Ok(self.links[device].clone().unwrap_or_else(|| format!("{DEVICE_PREFIX}{device}")))
    }
}
