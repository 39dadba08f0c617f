//! What a retrieval yields: a ZIP with everything about some persons (SPEC §15.5). It is made when the task falls due,
//! sealed under the task's own key, and gone when it expires or one of its persons is erased. Where something in it may not
//! be shown any more it is emptied, and made anew when it is fetched.
//!
//! A person may have more events than fit into memory, so it is made, kept and handed out in pieces.

mod making;
#[cfg(test)]
mod steps;
mod writer;
mod zip;

use super::Core;
use crate::domain::config::IdMerge;
use crate::domain::time::DAY;
use crate::store::{Counts, ProjectRow, StoreError, StoredArchive, StoredTask, TaskKind, TaskState};
pub(super) use making::Making;

/// For how long an archive is handed out, in milliseconds.
pub const LIFE: i64 = 7 * DAY;

/// What somebody finds who comes for an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The archive.
    There(StoredArchive),
    /// It is being made, as due work.
    Making,
    /// There is none, or not yet, or not any more.
    Nothing,
}

/// Until when the archive of a task can be fetched; `None`: not yet, or not any more.
pub fn fetchable(task: &StoredTask, now: i64) -> Option<i64> {
    let is_made = task.state == TaskState::Done && is_shown(task);
    task.archive_until.filter(|until| is_made && now < *until)
}

/// Whether the archive of a task is being made, for somebody who may have it.
pub fn is_making(task: &StoredTask) -> bool {
    task.kind == TaskKind::Retrieval && task.state == TaskState::Started && is_shown(task)
}

fn is_shown(task: &StoredTask) -> bool {
    !task.ids.is_empty() && !task.is_hidden
}

impl Core {
    /// An archive to be handed out, noted in the audit. One that was emptied is made anew, and so is one that due work should
    /// have emptied, and will when it comes to it.
    pub fn fetch_archive(&mut self, task: &StoredTask) -> Result<Fetched, StoreError> {
        let now = self.shared.now();
        if is_making(task) {
            return Ok(Fetched::Making);
        }
        if fetchable(task, now).is_none() {
            return Ok(Fetched::Nothing);
        }
        let Some(archive) = self.store.archive(task.row)? else { return Ok(Fetched::Nothing) };
        if archive.bytes == 0 || archive.outdated.is_some_and(|at| at <= now) {
            self.store.start_retrieval(task.row)?;
            self.reschedule()?;
            return Ok(Fetched::Making);
        }
        let counts = Counts { events: task.events, profiles: task.profiles, replays: task.replays };
        let action = "user_data_retrieval.downloaded";
        self.note(now, Some(task.project), action, "the archive's link", Some(&task.id), counts)?;
        Ok(Fetched::There(archive))
    }

    /// Begins the archive of a task that has started.
    pub(super) fn begin_making(&mut self, task: i64, now: i64) -> Result<(), StoreError> {
        self.making = Some(self.in_transaction(|core| Making::begin(core, task, now))?);
        self.store.destroy_keys()
    }

    /// Does the next step of the archive that is being made. One that fails is begun anew.
    pub(super) fn make_on(&mut self, now: i64) -> Result<(), StoreError> {
        let Some(making) = self.making.take() else { return Ok(()) };
        self.making = self.in_transaction(|core| making.step(core, now))?;
        // What was made in vain is sealed under a key that goes.
        self.store.destroy_keys()
    }

    /// Takes out of archives what may not be shown any more, or not for now. They are made anew when they are fetched, of
    /// what is visible then; one that is being made is begun anew.
    pub(super) fn empty_archives(&mut self, retrievals: &[i64]) -> Result<(), StoreError> {
        for row in retrievals {
            let task = self.store.task_of_row(*row)?;
            if task.archive_until.is_some() {
                self.store.begin_archive(&task, &[], &[])?;
            }
        }
        Ok(())
    }

    /// Empties the archives that the person behind an id may be in.
    pub(super) fn empty_archives_of(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        id: &str,
    ) -> Result<(), StoreError> {
        if self.store.retrievals(Some(project))?.is_empty() {
            return Ok(());
        }
        let (mut ids, mut keys) = (vec![id.to_owned()], Vec::new());
        for space in self.store.spaces(project)? {
            let closure = self.closure(space, id_merge, &ids[..1])?;
            ids.extend(closure.ids);
            keys.extend(closure.keys);
        }
        let retrievals = self.store.retrievals_about(project, &ids, &keys)?;
        self.empty_archives(&retrievals)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::tests::core_with_an_event;
    use crate::store::NewTask;

    /// A sweep of many rows may be under way when somebody asks.
    #[test]
    fn what_has_expired_is_not_handed_out_although_due_work_has_not_come_to_it() {
        let mut core = core_with_an_event();
        let (now, project) = (core.shared.now(), core.project_of("T"));
        let (kind, id) = (TaskKind::Retrieval, "task".to_owned());
        let task = NewTask { kind, id, ids: vec!["u".into()], requested: now, due: now, about: json!({}) };
        core.request_task(&project, &task).unwrap().unwrap();
        core.run_due(now).unwrap();
        let events_of = |core: &mut Core| {
            let fetched = |core: &mut Core| {
                let task = core.store.task("task").unwrap().unwrap();
                core.in_transaction(|core| core.fetch_archive(&task)).unwrap()
            };
            while fetched(core) == Fetched::Making {
                core.run_due_now().unwrap();
            }
            assert!(matches!(fetched(core), Fetched::There(_)));
            core.store.task("task").unwrap().unwrap().events
        };
        core.shared.clock().advance(DAY - 1);
        assert_eq!(events_of(&mut core), 1);
        core.shared.clock().advance(1);
        assert_eq!(events_of(&mut core), 0);
    }
}
