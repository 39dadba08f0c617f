//! Who is meant by some ids: everything that belongs to the persons behind them, at this moment.

use std::collections::BTreeSet;

use super::{Core, Resolver};
use crate::domain::config::IdMerge;
use crate::domain::identity::{DEVICE_PREFIX, strip};
use crate::store::{KeyRow, ProjectRow, Space, StoreError};

/// The persons behind some ids.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// The combinations that are theirs.
    pub keys: BTreeSet<KeyRow>,
    /// All their literal ids, and the canonical ones.
    pub ids: BTreeSet<String>,
}

impl Core {
    /// The persons behind some ids in one space.
    pub(super) fn closure(
        &mut self,
        space: Space,
        id_merge: IdMerge,
        ids: &[String],
    ) -> Result<Closure, StoreError> {
        let mut resolver = Resolver::new(space, id_merge);
        let mut closure = Closure::default();
        let mut persons = BTreeSet::new();
        for id in ids {
            closure.ids.insert(id.clone());
            if id_merge == IdMerge::Original {
                // A profile lies under the spelling that it was sent with, and leaves no other trace.
                closure.ids.extend([strip(id).to_owned(), format!("{DEVICE_PREFIX}{}", strip(id))]);
            }
            persons.extend(resolver.persons(self.store.as_mut(), id)?);
        }
        for canonical in persons {
            for (key, found) in self.store.keys_of(space, id_merge, &canonical)? {
                closure.keys.insert(key);
                if let (Some(device), IdMerge::Simplified) = (&found.device, id_merge) {
                    // The device's own id too, if it is this person's device: a profile may lie under it.
                    let anonymous = format!("{DEVICE_PREFIX}{device}");
                    if resolver.of_distinct_id(self.store.as_mut(), &anonymous)? == canonical {
                        closure.ids.insert(anonymous);
                    }
                }
                if let Some(own) = found.own() {
                    if id_merge == IdMerge::Original {
                        closure.ids.insert(format!("{DEVICE_PREFIX}{own}"));
                    }
                    closure.ids.insert(own);
                }
            }
            closure.ids.insert(canonical);
        }
        Ok(closure)
    }

    /// The persons behind some ids in all spaces of a project, hidden ones too: a restore puts them together, so what one
    /// of them links is linked in the others. A device that is another user's there stays theirs.
    pub(super) fn closure_anywhere(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        ids: &[String],
    ) -> Result<Closure, StoreError> {
        let spaces = self.store.spaces(project)?;
        let mut all = Closure { keys: BTreeSet::new(), ids: ids.iter().cloned().collect() };
        let mut asked = vec![ids.to_vec(); spaces.len()];
        loop {
            let mut new = BTreeSet::new();
            for (space, ids) in spaces.iter().zip(&asked) {
                let found = self.closure(*space, id_merge, ids)?;
                all.keys.extend(found.keys);
                new.extend(found.ids);
            }
            new.retain(|id| !all.ids.contains(id));
            if new.is_empty() {
                return Ok(all);
            }
            all.ids.extend(new.iter().cloned());
            for (space, ids) in spaces.iter().zip(&mut asked) {
                let mut resolver = Resolver::new(*space, id_merge);
                ids.clear();
                for id in &new {
                    let is_theirs = id_merge != IdMerge::Simplified
                        || all.ids.contains(&resolver.of_distinct_id(self.store.as_mut(), id)?);
                    if is_theirs {
                        ids.push(id.clone());
                    }
                }
            }
        }
    }

    /// Adds the records of others that name one of the ids (SPEC §20.6).
    pub(super) fn add_mentions(
        &mut self,
        space: Space,
        id_merge: IdMerge,
        closure: &mut Closure,
    ) -> Result<(), StoreError> {
        for id in &closure.ids {
            closure.keys.extend(self.store.keys_naming(space, id)?);
            if id_merge == IdMerge::Original {
                // Here a device's id is its person's; it was not, if ids were merged by other rules when this came.
                let device = format!("{DEVICE_PREFIX}{}", strip(id));
                let before = self.store.keys_of(space, IdMerge::Simplified, &device)?;
                closure.keys.extend(before.into_iter().map(|(key, _)| key));
            }
        }
        Ok(())
    }
}
