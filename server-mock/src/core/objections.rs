//! The suppression list of a project: objections of end users.

use super::Core;
use crate::store::{Counts, ProjectRow, StoreError};

/// What became of a change to a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListChange {
    /// Ids that were not there before.
    pub added: usize,
    /// Ids that are not there any more.
    pub removed: usize,
}

impl Core {
    /// The hashes on the list of a project.
    pub fn suppressed(&mut self, token: &str) -> Result<Vec<[u8; 16]>, StoreError> {
        match self.store.find_project(token)? {
            Some(home) => self.store.objections(home.project),
            None => Ok(Vec::new()),
        }
    }

    /// Makes these ids the list.
    pub fn suppress_only(&mut self, token: &str, ids: &[String]) -> Result<ListChange, StoreError> {
        self.change_list(token, |core, project| {
            let before = core.store.objections(project)?;
            core.store.clear_objections(project)?;
            for id in ids {
                core.store.add_objection(project, id)?;
            }
            core.forget_rejected_of(token, project, ids)?;
            let after = core.store.objections(project)?;
            Ok(ListChange {
                added: after.iter().filter(|hash| !before.contains(hash)).count(),
                removed: before.iter().filter(|hash| !after.contains(hash)).count(),
            })
        })
    }

    /// Puts ids on the list.
    pub fn suppress(&mut self, token: &str, ids: &[String]) -> Result<ListChange, StoreError> {
        self.change_list(token, |core, project| {
            let mut change = ListChange::default();
            for id in ids {
                change.added += usize::from(core.store.add_objection(project, id)?);
            }
            core.forget_rejected_of(token, project, ids)?;
            Ok(change)
        })
    }

    /// Takes ids off the list.
    pub fn stop_suppressing(&mut self, token: &str, ids: &[String]) -> Result<ListChange, StoreError> {
        self.change_list(token, |core, project| {
            let mut change = ListChange::default();
            for id in ids {
                change.removed += usize::from(core.store.remove_objection(project, id)?);
            }
            Ok(change)
        })
    }

    /// Forgets what was refused of persons, under any of their linked ids.
    fn forget_rejected_of(
        &mut self,
        token: &str,
        project: ProjectRow,
        ids: &[String],
    ) -> Result<(), StoreError> {
        self.shared.forget_rejected(ids);
        let id_merge = self.project_of(token).id_merge;
        for space in self.store.spaces(project)? {
            let linked: Vec<String> = self.closure(space, id_merge, ids)?.ids.into_iter().collect();
            self.shared.forget_rejected(&linked);
        }
        Ok(())
    }

    fn change_list(
        &mut self,
        token: &str,
        work: impl FnOnce(&mut Core, ProjectRow) -> Result<ListChange, StoreError>,
    ) -> Result<ListChange, StoreError> {
        let now = self.shared.now();
        let home = self.open_project(token)?;
        let change = work(self, home.project)?;
        let rule = format!("{} added, {} removed", change.added, change.removed);
        self.note(now, Some(home.project), "suppression.changed", &rule, None, Counts::default())?;
        Ok(change)
    }
}
