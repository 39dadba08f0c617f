//! Privacy tasks: who is erased, and when (SPEC §15).

use std::collections::BTreeSet;

use super::{Core, Resolver, Stats};
use crate::domain::config::{IdMerge, Project};
use crate::domain::event::Event;
use crate::domain::identity::DEVICE_PREFIX;
use crate::domain::time::{DAY, SECOND};
use crate::store::{Erasure, KeyRow, NewTask, ProjectRow, StoreError, StoredTask, TaskKind, TaskState};

/// Why a deletion was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Ids that an unfinished deletion names already.
    pub ids: Vec<String>,
    /// Those deletions.
    pub tasks: Vec<String>,
}

/// What became of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing will be erased.
    Yes,
    /// It is too late, or it was cancelled before.
    TooLate,
    /// There is no such task.
    Unknown,
}

impl Core {
    /// Makes a task; a deletion can be cancelled until it falls due.
    pub fn request_task(
        &mut self,
        project: &Project,
        task: &NewTask,
    ) -> Result<Result<(), Conflict>, StoreError> {
        self.store.begin()?;
        let done = self.try_request_task(project, task);
        match done {
            Ok(Ok(())) => self.store.commit()?,
            _ => self.store.rollback(),
        }
        self.reschedule()?;
        self.run_due_now()?;
        done
    }

    fn try_request_task(
        &mut self,
        project: &Project,
        task: &NewTask,
    ) -> Result<Result<(), Conflict>, StoreError> {
        let Some(row) = self.store.project(&project.token, true)? else { return Ok(Ok(())) };
        let conflicts = match task.kind {
            TaskKind::Deletion => self.store.conflicts(row, &task.ids)?,
            TaskKind::Retrieval => Vec::new(),
        };
        if !conflicts.is_empty() {
            let (mut ids, mut tasks): (Vec<_>, Vec<_>) = conflicts.into_iter().unzip();
            ids.dedup();
            tasks.sort_unstable();
            tasks.dedup();
            return Ok(Err(Conflict { ids, tasks }));
        }
        self.store.put_task(row, task).map(Ok)
    }

    /// A task of a project.
    pub fn task(&mut self, token: &str, kind: TaskKind, id: &str) -> Result<Option<StoredTask>, StoreError> {
        match self.store.project(token, false)? {
            Some(row) => self.store.task(row, kind, id),
            None => Ok(None),
        }
    }

    /// Cancels a task.
    pub fn cancel_deletion(&mut self, token: &str, id: &str) -> Result<Cancelled, StoreError> {
        let Some(task) = self.task(token, TaskKind::Deletion, id)? else { return Ok(Cancelled::Unknown) };
        if task.state != TaskState::Waiting {
            return Ok(Cancelled::TooLate);
        }
        self.store.begin()?;
        let done = self.store.cancel_task(task.row);
        match done {
            Ok(_) => self.store.commit()?,
            Err(_) => self.store.rollback(),
        }
        self.reschedule()?;
        Ok(if done? { Cancelled::Yes } else { Cancelled::TooLate })
    }

    /// Cancels the unfinished tasks that name any of these ids.
    pub fn cancel_deletions_of(&mut self, token: &str, ids: &[String]) -> Result<Cancelled, StoreError> {
        let Some(row) = self.store.project(token, false)? else { return Ok(Cancelled::Unknown) };
        let mut tasks: Vec<String> =
            self.store.conflicts(row, ids)?.into_iter().map(|(_, task)| task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let mut outcome = Cancelled::Unknown;
        for task in tasks {
            match (self.cancel_deletion(token, &task)?, outcome) {
                (Cancelled::Yes, _) => outcome = Cancelled::Yes,
                (Cancelled::TooLate, Cancelled::Unknown) => outcome = Cancelled::TooLate,
                _ => {}
            }
        }
        Ok(outcome)
    }

    /// Carries out a task: decides its erasure and does it. A retrieval is answered when its archive is fetched.
    pub(super) fn carry_out(&mut self, row: i64, now: i64) -> Result<(), StoreError> {
        let task = self.store.task_of_row(row)?;
        if task.kind == TaskKind::Retrieval {
            self.store.begin()?;
            return match self.store.finish_task(row) {
                Ok(()) => self.store.commit(),
                Err(error) => {
                    self.store.rollback();
                    Err(error)
                }
            };
        }
        let token = self.store.projects()?.into_iter().find(|(project, _)| *project == task.project);
        let project = self.project_of(&token.map(|(_, token)| token).unwrap_or_default());
        self.store.begin()?;
        let decided = self.closure(task.project, project.id_merge, &task.ids).and_then(|(keys, ids)| {
            self.store.erase(&Erasure {
                project: task.project,
                task: row,
                keys,
                ids,
                barred_before: task.requested,
                barred_until: project.settings.erasure_barrier_days.map(|days| now + days * DAY),
            })
        });
        match decided {
            Ok(()) => self.store.commit()?,
            Err(error) => {
                self.store.rollback();
                return Err(error);
            }
        }
        self.shred()
    }

    /// Carries out what is decided.
    pub fn shred(&mut self) -> Result<(), StoreError> {
        let shredded = self.store.shred()?;
        Stats::add(&self.shared.stats.erased, shredded.events + shredded.profiles);
        if shredded.events + shredded.profiles > 0 {
            // Snapshots may name profiles that are gone.
            self.sessions.clear();
        }
        Ok(())
    }

    /// All literal ids of the persons behind some ids, at this moment.
    pub fn linked_ids(&mut self, token: &str, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let Some(row) = self.store.project(token, false)? else { return Ok(ids.to_vec()) };
        let id_merge = self.project_of(token).id_merge;
        Ok(self.closure(row, id_merge, ids)?.1)
    }

    /// The combinations and the literal ids of the persons behind some ids, at this moment.
    fn closure(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        ids: &[String],
    ) -> Result<(Vec<KeyRow>, Vec<String>), StoreError> {
        let mut resolver = Resolver::new(project, id_merge);
        let (mut keys, mut literal) = (BTreeSet::new(), BTreeSet::new());
        for id in ids {
            literal.insert(id.clone());
            let canonical = resolver.of_distinct_id(self.store.as_mut(), id)?;
            for (key, found) in self.store.keys_of(project, id_merge, &canonical)? {
                keys.insert(key);
                if let (Some(device), IdMerge::Simplified) = (&found.device, id_merge) {
                    // The device's own id too, if it is this person's device: a profile may lie under it.
                    let anonymous = format!("{DEVICE_PREFIX}{device}");
                    if resolver.of_distinct_id(self.store.as_mut(), &anonymous)? == canonical {
                        literal.insert(anonymous);
                    }
                }
                if let Some(own) = found.own() {
                    if id_merge == IdMerge::Original {
                        literal.insert(format!("{DEVICE_PREFIX}{own}"));
                    }
                    literal.insert(own);
                }
            }
            literal.insert(canonical);
        }
        Ok((keys.into_iter().collect(), literal.into_iter().collect()))
    }

    /// Whether an event belongs to somebody who was erased, and is a late copy of what was erased (SPEC §15.6).
    pub(super) fn is_barred(
        &mut self,
        project: ProjectRow,
        event: &Event,
        now: i64,
    ) -> Result<bool, StoreError> {
        match event.ids.own() {
            Some(own) => self.store.is_barred(project, &own, event.time, now),
            None => Ok(false),
        }
    }
}

/// For how long after its success a retrieval's archive is handed out, in milliseconds.
pub const ARCHIVE_LIFE: i64 = 7 * DAY;

/// When a task that is asked for now falls due.
pub fn due_time(project: &Project, now: i64) -> i64 {
    now + project.settings.gdpr_staging_seconds * SECOND
}
