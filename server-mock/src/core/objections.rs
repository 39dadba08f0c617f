//! The suppression list of a project: objections of end users.

use std::collections::BTreeSet;

use super::Core;
use crate::domain::config::IdMerge;
use crate::domain::identity::{DEVICE_PREFIX, strip};
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
    /// The hashes on the list of a project, if there can be one.
    pub fn suppressed(&mut self, token: &str) -> Result<Option<Vec<[u8; 16]>>, StoreError> {
        match self.store.find_project(token)? {
            Some(home) => self.store.objections(home.project).map(Some),
            None => Ok(self.shared.config().project_or_new(token).map(|_| Vec::new())),
        }
    }

    /// Makes these ids the list; `None` where there is no such project.
    pub fn suppress_only(&mut self, token: &str, ids: &[String]) -> Result<Option<ListChange>, StoreError> {
        self.change_list(token, |core, project| {
            let before = core.store.objections(project)?;
            core.store.keep_objections(project, ids)?;
            for id in ids {
                core.store.add_objection(project, id)?;
            }
            core.suppress_linked(token, project, ids)?;
            let after = core.store.objections(project)?;
            Ok(ListChange {
                added: after.iter().filter(|hash| !before.contains(hash)).count(),
                removed: before.iter().filter(|hash| !after.contains(hash)).count(),
            })
        })
    }

    /// Puts ids on the list.
    pub fn suppress(&mut self, token: &str, ids: &[String]) -> Result<Option<ListChange>, StoreError> {
        self.change_list(token, |core, project| {
            let mut change = ListChange::default();
            for id in ids {
                change.added += usize::from(core.store.add_objection(project, id)?);
            }
            core.suppress_linked(token, project, ids)?;
            Ok(change)
        })
    }

    /// Takes ids off the list.
    pub fn stop_suppressing(
        &mut self,
        token: &str,
        ids: &[String],
    ) -> Result<Option<ListChange>, StoreError> {
        self.change_list(token, |core, project| {
            let mut change = ListChange::default();
            for id in ids {
                change.removed += usize::from(core.store.remove_objection(project, id)?);
            }
            // Somebody else on the list may be the same person.
            core.suppress_linked(token, project, ids)?;
            Ok(change)
        })
    }

    /// Puts all ids of these persons on the list where one of them is there: who objected has done so under each, and a
    /// link goes with what is erased or expired. What was refused of them is forgotten.
    pub(super) fn suppress_linked(
        &mut self,
        token: &str,
        project: ProjectRow,
        ids: &[String],
    ) -> Result<(), StoreError> {
        let id_merge = self.project_of(token).id_merge;
        for id in ids {
            // On the list they are the same.
            let spellings = [strip(id).to_owned(), format!("{DEVICE_PREFIX}{}", strip(id))];
            let linked = self.closure_anywhere(project, id_merge, &spellings)?.ids;
            let Some(entry) = self.objection_of(project, id_merge, &linked) else { continue };
            for id in &linked {
                self.store.extend_objection(project, id, entry)?;
            }
            self.shared.forget_rejected(&linked.into_iter().collect::<Vec<_>>());
        }
        Ok(())
    }

    /// The entry of the list that a person falls under, by all linked ids. A device that is there because of a user says
    /// nothing about another one.
    pub(super) fn objection_of(
        &self,
        project: ProjectRow,
        id_merge: IdMerge,
        linked: &BTreeSet<String>,
    ) -> Option<[u8; 16]> {
        linked.iter().find_map(|id| {
            let is_device = id_merge == IdMerge::Simplified && id.starts_with(DEVICE_PREFIX);
            let counts = !is_device || self.store.is_listed(project, id);
            self.store.objection(project, id).filter(|_| counts)
        })
    }

    fn change_list(
        &mut self,
        token: &str,
        work: impl FnOnce(&mut Core, ProjectRow) -> Result<ListChange, StoreError>,
    ) -> Result<Option<ListChange>, StoreError> {
        let now = self.shared.now();
        let Some(home) = self.answerable_home(token)? else { return Ok(None) };
        let change = work(self, home.project)?;
        let rule = format!("{} added, {} removed", change.added, change.removed);
        self.note(now, Some(home.project), "suppression.changed", &rule, None, Counts::default())?;
        Ok(Some(change))
    }
}
