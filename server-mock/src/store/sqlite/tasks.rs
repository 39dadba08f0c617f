//! Rows of privacy tasks, and the barrier against late copies of what was erased.

use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::SqliteStore;
use super::keys::{Kind, OpenKey, slot_of};
use crate::domain::identity::Ids;
use crate::store::vault::Slot;
use crate::store::{Erasure, NewTask, ProjectRow, StoreError, StoredTask, TaskKind, TaskState};

const UNFINISHED: &str = "('WAITING', 'STARTED')";

fn kind_name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Deletion => "deletion",
        TaskKind::Retrieval => "retrieval",
    }
}

impl SqliteStore {
    fn task_id_hash(&self, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash("task id", &[&project.to_le_bytes(), id.as_bytes()])
    }

    fn barrier_hash(&self, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash("barrier", &[&project.to_le_bytes(), id.as_bytes()])
    }

    pub(super) fn insert_task(&mut self, project: ProjectRow, task: &NewTask) -> Result<(), StoreError> {
        let lookup = self.lookup_hash(Kind::Task, project, &[Some(&task.id)]);
        let key = self.make_key(Kind::Task, project, lookup, &Ids::default(), &json!(task.ids))?;
        let about = self.vault.common_key().seal(b"task", task.about.to_string().as_bytes())?;
        self.connection.execute(
            "INSERT INTO tasks(id, kind, project, state, requested, due, key, id_count, about)
             VALUES (?, ?, ?, 'WAITING', ?, ?, ?, ?, ?)",
            params![
                task.id,
                kind_name(task.kind),
                project,
                task.requested,
                task.due,
                key.row,
                task.ids.len() as i64,
                about
            ],
        )?;
        let row = self.connection.last_insert_rowid();
        for id in &task.ids {
            let hash = self.task_id_hash(project, id);
            self.connection
                .prepare_cached("INSERT INTO task_ids(task, project, id) VALUES (?, ?, ?)")?
                .execute(params![row, project, hash])?;
        }
        Ok(())
    }

    pub(super) fn find_task(
        &self,
        project: ProjectRow,
        kind: TaskKind,
        id: &str,
    ) -> Result<Option<StoredTask>, StoreError> {
        let row: Option<i64> = self
            .connection
            .prepare_cached("SELECT row FROM tasks WHERE project = ? AND kind = ? AND id = ?")?
            .query_row(params![project, kind_name(kind), id], |row| row.get(0))
            .optional()?;
        row.map(|row| self.read_task(row)).transpose()
    }

    pub(super) fn read_task(&self, row: i64) -> Result<StoredTask, StoreError> {
        type Raw = (String, i64, String, i64, i64, i64, i64, i64, Vec<u8>, String);
        let (id, project, state, requested, due, id_count, events, profiles, about, kind): Raw =
            self.connection.query_row(
                "SELECT id, project, state, requested, due, id_count, events, profiles, about, kind
             FROM tasks WHERE row = ?",
                [row],
                |r| {
                    Ok((
                        r.get(0)?,
                        r.get(1)?,
                        r.get(2)?,
                        r.get(3)?,
                        r.get(4)?,
                        r.get(5)?,
                        r.get(6)?,
                        r.get(7)?,
                        r.get(8)?,
                        r.get(9)?,
                    ))
                },
            )?;
        let about = self.vault.common_key().open(b"task", &about);
        let about: Value = about.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let sealed: Option<(i64, Slot, Vec<u8>)> = self
            .connection
            .query_row(
                "SELECT k.id, k.slot, k.generation, k.ids FROM tasks t JOIN keys k ON k.id = t.key
                 WHERE t.row = ? AND k.dying IS NULL",
                [row],
                |r| Ok((r.get(0)?, slot_of(r, 1)?, r.get(3)?)),
            )
            .optional()?;
        let ids = match sealed {
            Some((key_row, slot, sealed)) => {
                let text = OpenKey { row: key_row, key: self.vault.key(slot)? }.open("ids", &sealed)?;
                serde_json::from_slice(&text).map_err(|_| StoreError::damaged("a task cannot be read"))?
            }
            None => Vec::new(),
        };
        let state = match state.as_str() {
            "WAITING" => TaskState::Waiting,
            "STARTED" => TaskState::Started,
            "REVOKED" => TaskState::Revoked,
            _ => TaskState::Done,
        };
        Ok(StoredTask {
            kind: if kind == "deletion" { TaskKind::Deletion } else { TaskKind::Retrieval },
            row,
            id,
            project,
            state,
            requested,
            due,
            ids,
            id_count: id_count as usize,
            events: events as usize,
            profiles: profiles as usize,
            about,
        })
    }

    pub(super) fn tasks_in_conflict(
        &self,
        project: ProjectRow,
        ids: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT t.id FROM task_ids i JOIN tasks t ON t.row = i.task
             WHERE i.project = ? AND i.id = ? AND t.kind = 'deletion' AND t.state IN {UNFINISHED} ORDER BY t.row"
        ))?;
        let mut conflicts = Vec::new();
        for id in ids {
            let tasks =
                statement.query_map(params![project, self.task_id_hash(project, id)], |row| row.get(0))?;
            for task in tasks {
                conflicts.push((id.clone(), task?));
            }
        }
        Ok(conflicts)
    }

    pub(super) fn finish(&mut self, row: i64) -> Result<(), StoreError> {
        self.connection.execute("UPDATE tasks SET state = 'SUCCESS' WHERE row = ?", [row])?;
        Ok(())
    }

    pub(super) fn cancel(&mut self, row: i64) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .execute("UPDATE tasks SET state = 'REVOKED' WHERE row = ? AND state = 'WAITING'", [row])?;
        Ok(changed > 0)
    }

    pub(super) fn first_waiting_task(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT row, due FROM tasks WHERE state = 'WAITING' ORDER BY due, row LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found)
    }

    /// The durable intent of an erasure: from its commit on nothing finds the person, and the rest will be done.
    pub(super) fn decide_erasure(&mut self, erasure: &Erasure) -> Result<(), StoreError> {
        let project = erasure.project;
        let mark = "UPDATE keys SET dying = ?, lookup = NULL, device = NULL, user = NULL WHERE dying IS NULL AND id = ?";
        for key in &erasure.keys {
            self.connection.prepare_cached(mark)?.execute([erasure.task, *key])?;
        }
        for id in &erasure.ids {
            let lookup = self.lookup_hash(Kind::Profile, project, &[Some(id)]);
            self.connection
                .prepare_cached("UPDATE keys SET dying = ?, lookup = NULL WHERE lookup = ?")?
                .execute(params![erasure.task, lookup])?;
            // Other tasks that show an id of the person: deletions that were revoked, retrievals.
            self.connection
                .prepare_cached(
                    "UPDATE keys SET dying = ?1, lookup = NULL WHERE dying IS NULL AND id IN
                       (SELECT t.key FROM task_ids i JOIN tasks t ON t.row = i.task
                        WHERE i.project = ?2 AND i.id = ?3 AND (t.state = 'REVOKED' OR t.kind = 'retrieval'))",
                )?
                .execute(params![erasure.task, project, self.task_id_hash(project, id)])?;
            if let Some(until) = erasure.barred_until {
                self.barred_until = self.barred_until.max(until);
                self.connection
                    .prepare_cached("INSERT INTO barriers(project, id, before, until) VALUES (?, ?, ?, ?)")?
                    .execute(params![
                        project,
                        self.barrier_hash(project, id),
                        erasure.barred_before,
                        until
                    ])?;
            }
        }
        self.connection.execute(
            "UPDATE keys SET dying = ?1, lookup = NULL WHERE dying IS NULL
               AND id = (SELECT key FROM tasks WHERE row = ?1)",
            [erasure.task],
        )?;
        self.connection.execute("UPDATE tasks SET state = 'STARTED' WHERE row = ?", [erasure.task])?;
        self.connection.execute("DELETE FROM task_ids WHERE task = ?", [erasure.task])?;
        self.has_dying = true;
        Ok(())
    }

    pub(super) fn read_barriers(&mut self) -> Result<(), StoreError> {
        let last: Option<i64> =
            self.connection.query_row("SELECT max(until) FROM barriers", [], |row| row.get(0))?;
        self.barred_until = last.unwrap_or(i64::MIN);
        Ok(())
    }

    pub(super) fn barred(
        &self,
        project: ProjectRow,
        id: &str,
        time: i64,
        now: i64,
    ) -> Result<bool, StoreError> {
        if now >= self.barred_until {
            return Ok(false);
        }
        let found = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM barriers WHERE project = ? AND id = ? AND before >= ? AND until > ? LIMIT 1",
            )?
            .exists(params![project, self.barrier_hash(project, id), time, now])?;
        Ok(found)
    }
}
