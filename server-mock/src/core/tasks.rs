//! Privacy tasks of the account holder: who is erased or told, and when (SPEC §15).

use std::collections::HashMap;

use super::Core;
use crate::domain::config::Project;
use crate::domain::identity::strip;
use crate::domain::profile::{self, Subject};
use crate::domain::time::{DAY, SECOND};
use crate::store::{
    Barrier, Counts, Dated, Erasure, KeyRow, NewTask, Space, StoreError, StoredTask, TaskKind, TaskState,
};

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

/// The ids of deletions that are decided, which their makers are still told for a while (SPEC §15.6). They are in memory and
/// nowhere else: what is stored of an erased person goes before `SUCCESS`.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<String, Asked>);

/// The ids that a deletion named.
#[derive(Debug)]
struct Asked {
    ids: Vec<String>,
    /// For how long after the end they are told, in milliseconds.
    grace: i64,
    /// Until when, once the deletion has ended.
    until: Option<i64>,
}

impl Told {
    /// Nothing is left to do for what is decided.
    pub fn ended(&mut self, now: i64) {
        self.0.values_mut().for_each(|asked| asked.until = asked.until.or(Some(now + asked.grace)));
    }

    pub fn forget(&mut self, now: i64) {
        self.0.retain(|_, asked| asked.until.is_none_or(|until| now < until));
    }
}

/// When a task that is asked for now falls due.
pub fn due_time(project: &Project, now: i64) -> i64 {
    now + project.settings.gdpr_staging_seconds * SECOND
}

/// The state of a task, as the API names it: the first half of the waiting time is `PENDING`, the second `STAGING`.
pub fn state_name(task: &StoredTask, now: i64) -> &'static str {
    match task.state {
        TaskState::Waiting if now < task.requested + (task.due - task.requested) / 2 => "PENDING",
        TaskState::Waiting => "STAGING",
        TaskState::Started => "STARTED",
        TaskState::Done => "SUCCESS",
        TaskState::Revoked => "REVOKED",
    }
}

/// These ids without some of them, however those are spelled.
fn without(ids: &[String], gone: &[String]) -> Vec<String> {
    let is_left = |id: &&String| !gone.iter().any(|gone| strip(gone) == strip(id));
    ids.iter().filter(is_left).cloned().collect()
}

impl Core {
    /// Makes a task; a deletion can be cancelled until it falls due.
    pub fn request_task(
        &mut self,
        project: &Project,
        task: &NewTask,
    ) -> Result<Result<(), Conflict>, StoreError> {
        let conflict = self.in_transaction(|core| core.try_request_task(project, task))?;
        self.reschedule()?;
        self.run_due_now()?;
        Ok(conflict.map_or(Ok(()), Err))
    }

    fn try_request_task(
        &mut self,
        project: &Project,
        task: &NewTask,
    ) -> Result<Option<Conflict>, StoreError> {
        let home = self.open_project(&project.token)?;
        let conflicts = match task.kind {
            TaskKind::Deletion => self.store.conflicts(home.project, &task.ids)?,
            TaskKind::Retrieval | TaskKind::Device => Vec::new(),
        };
        if !conflicts.is_empty() {
            let (mut ids, mut tasks): (Vec<_>, Vec<_>) = conflicts.into_iter().unzip();
            ids.dedup();
            tasks.sort_unstable();
            tasks.dedup();
            return Ok(Some(Conflict { ids, tasks }));
        }
        self.store.put_task(home.project, task)?;
        let (action, rule) = match task.kind {
            TaskKind::Retrieval => ("user_data_retrieval.created", "data-retrievals v3.0"),
            _ => ("user_data_deletion.created", "data-deletions v3.0"),
        };
        self.note(task.requested, Some(home.project), action, rule, Some(&task.id), Counts::default())?;
        Ok(None)
    }

    /// A task of a project.
    pub fn task(&mut self, token: &str, kind: TaskKind, id: &str) -> Result<Option<StoredTask>, StoreError> {
        let Some(home) = self.store.find_project(token)? else { return Ok(None) };
        let task = self.store.task(id)?;
        let task = task.filter(|task| task.kind == kind && task.project == home.project);
        self.told.forget(self.shared.now());
        Ok(task.map(|mut task| {
            if let Some(asked) = self.told.0.get(&task.id) {
                task.ids = asked.ids.clone();
            }
            task
        }))
    }

    /// Cancels a deletion.
    pub fn cancel_deletion(&mut self, token: &str, id: &str) -> Result<Cancelled, StoreError> {
        let Some(task) = self.task(token, TaskKind::Deletion, id)? else { return Ok(Cancelled::Unknown) };
        if task.state != TaskState::Waiting {
            return Ok(Cancelled::TooLate);
        }
        let now = self.shared.now();
        let done = self.in_transaction(|core| {
            let done = core.store.cancel_task(task.row)?;
            let action = "user_data_deletion.canceled";
            core.note(now, Some(task.project), action, "before it started", Some(id), Counts::default())?;
            Ok(done)
        })?;
        self.reschedule()?;
        Ok(if done { Cancelled::Yes } else { Cancelled::TooLate })
    }

    /// Takes ids out of a deletion; one that has no others is cancelled.
    fn cancel_deletion_of(&mut self, token: &str, id: &str, ids: &[String]) -> Result<Cancelled, StoreError> {
        let Some(task) = self.task(token, TaskKind::Deletion, id)? else { return Ok(Cancelled::Unknown) };
        let left = without(&task.ids, ids);
        if task.state != TaskState::Waiting || left.is_empty() {
            return self.cancel_deletion(token, id);
        }
        let now = self.shared.now();
        self.in_transaction(|core| {
            core.store.replace_task_ids(&task, &left)?;
            let rule = format!("before it started; {} ids are left in it", left.len());
            let action = "user_data_deletion.canceled";
            core.note(now, Some(task.project), action, &rule, Some(id), Counts::default())
        })?;
        self.reschedule()?;
        Ok(Cancelled::Yes)
    }

    /// Cancels the deletion of these ids, wherever it is unfinished; others that were to be erased with them still are.
    /// Where a deletion named one and is cancelled or carried out, it is too late; what a deletion has erased is known by
    /// its barrier only.
    pub fn cancel_deletions_of(&mut self, token: &str, ids: &[String]) -> Result<Cancelled, StoreError> {
        let Some(home) = self.store.find_project(token)? else { return Ok(Cancelled::Unknown) };
        let conflicts = self.store.conflicts(home.project, ids)?;
        let mut tasks: Vec<String> = conflicts.into_iter().map(|(_, task)| task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let mut outcome = Cancelled::Unknown;
        for task in tasks {
            match (self.cancel_deletion_of(token, &task, ids)?, outcome) {
                (Cancelled::Yes, _) => outcome = Cancelled::Yes,
                (Cancelled::TooLate, Cancelled::Unknown) => outcome = Cancelled::TooLate,
                _ => {}
            }
        }
        if outcome == Cancelled::Unknown {
            let now = self.shared.now();
            for id in ids {
                let store = &mut self.store;
                if store.was_to_be_erased(home.project, id)?
                    || store.is_barred(home.project, id, Dated::ALWAYS, now)?
                {
                    return Ok(Cancelled::TooLate);
                }
            }
        }
        Ok(outcome)
    }

    /// Carries out a task that falls due at `now`.
    pub(super) fn carry_out(&mut self, row: i64, now: i64) -> Result<(), StoreError> {
        let task = self.store.task_of_row(row)?;
        let token = self.token_of(task.project)?;
        self.in_transaction(|core| match task.kind {
            TaskKind::Retrieval => core.store.start_retrieval(row),
            TaskKind::Deletion => core.decide_deletion(&token, &task, now),
            TaskKind::Device => core.store.erase(&Erasure {
                project: task.project,
                task: row,
                spaces: Vec::new(),
                keys: Vec::new(),
                ids: Vec::new(),
                barrier: None,
            }),
        })?;
        self.era += 1;
        self.store.destroy_keys()
    }

    fn decide_deletion(&mut self, token: &str, task: &StoredTask, now: i64) -> Result<(), StoreError> {
        let settings = self.project_of(token);
        let spaces = self.store.spaces(task.project)?;
        if self.store.has_objections(task.project) {
            self.suppress_linked(token, task.project, &task.ids)?;
        }
        // Hidden data too: it could be restored.
        let mut closure = self.closure_anywhere(task.project, settings.id_merge, &task.ids)?;
        for space in &spaces {
            self.add_mentions(*space, settings.id_merge, &mut closure)?;
        }
        let keys: Vec<KeyRow> = closure.keys.into_iter().collect();
        let ids: Vec<String> = closure.ids.into_iter().collect();
        for space in &spaces {
            self.scrub_groups(*space, &ids)?;
        }
        let retrievals = self.store.retrievals_about(task.project, &ids, &keys)?;
        self.shared.forget_rejected(&ids);
        let client_offset = task.about["client_offset"].as_i64().unwrap_or_default();
        let barrier = settings.settings.erasure_barrier_days.map(|days| Barrier {
            before: Some(task.requested),
            sent_before: Some(task.requested - client_offset),
            until: Some(now + days * DAY),
        });
        let erasure =
            Erasure { project: task.project, task: task.row, spaces, keys, ids: ids.clone(), barrier };
        self.store.erase(&erasure)?;
        let grace = settings.settings.gdpr_staging_seconds * SECOND;
        self.told.0.insert(task.id.clone(), Asked { ids: task.ids.clone(), grace, until: None });
        self.take_out_of_retrievals(&retrievals, &ids)
    }

    /// Takes ids out of retrievals. An archive goes with its person; for others who are in it, it is made anew when it is
    /// fetched.
    pub(super) fn take_out_of_retrievals(
        &mut self,
        retrievals: &[i64],
        ids: &[String],
    ) -> Result<(), StoreError> {
        for row in retrievals {
            let task = self.store.task_of_row(*row)?;
            let left = without(&task.ids, ids);
            self.store.replace_task_ids(&task, &left)?;
            if task.archive_until.is_some() && !left.is_empty() {
                self.store.begin_archive(&StoredTask { ids: left, ..task }, &[], &[])?;
            }
        }
        Ok(())
    }

    /// Takes ids out of the profiles of groups that name them as members. A changed profile gets a new key.
    pub(super) fn scrub_groups(&mut self, space: Space, ids: &[String]) -> Result<(), StoreError> {
        let mut subjects: Vec<Subject> = Vec::new();
        for id in ids {
            for subject in self.store.groups_naming(space, id)? {
                if !subjects.contains(&subject) {
                    subjects.push(subject);
                }
            }
        }
        for subject in subjects {
            let Some(mut group) = self.store.profile(space, &subject)? else { continue };
            self.store.delete_profile(space, &subject)?;
            let is_gone = |text: &str| ids.iter().any(|id| strip(id) == strip(text));
            profile::without_texts(&mut group.properties, &is_gone);
            self.store.put_profile(space, &subject, group.last_seen, &group.properties)?;
        }
        Ok(())
    }
}
