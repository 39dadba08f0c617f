//! Who is meant by some ids: everything that belongs to the persons behind them, at this moment.

use std::collections::BTreeSet;

use super::{Core, Resolver};
use crate::domain::config::IdMerge;
use crate::domain::identity::{DEVICE_PREFIX, strip};
use crate::store::{KeyRow, Space, StoreError};

/// The persons behind some ids.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// The combinations that are theirs.
    pub keys: BTreeSet<KeyRow>,
    /// All their literal ids, and the canonical ones.
    pub ids: BTreeSet<String>,
    /// The canonical ids.
    pub canonical: BTreeSet<String>,
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
        for id in ids {
            closure.ids.insert(id.clone());
            let canonical = resolver.of_distinct_id(self.store.as_mut(), id)?;
            if !closure.canonical.insert(canonical.clone()) {
                continue;
            }
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

    /// The persons behind some ids, with the records of others that name one of them (SPEC §20.6).
    pub(super) fn closure_with_mentions(
        &mut self,
        space: Space,
        id_merge: IdMerge,
        ids: &[String],
    ) -> Result<Closure, StoreError> {
        let mut closure = self.closure(space, id_merge, ids)?;
        for id in &closure.ids {
            closure.keys.extend(self.store.keys_naming(space, id)?);
            if id_merge == IdMerge::Original {
                // Here a device's id is its person's; it was not, if ids were merged by other rules when this came.
                let device = format!("{DEVICE_PREFIX}{}", strip(id));
                let before = self.store.keys_of(space, IdMerge::Simplified, &device)?;
                closure.keys.extend(before.into_iter().map(|(key, _)| key));
            }
        }
        Ok(closure)
    }
}
