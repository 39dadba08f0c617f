//! Rows of privacy tasks and of the archives that retrievals yield.

use std::collections::BTreeSet;
use std::rc::Rc;

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::SqliteStore;
use super::keys::{Kind, NO_SPACE, NewKey, OpenKey, slot_of};
use crate::domain::identity::{Ids, strip};
use crate::store::vault::{SEAL, Slot};
use crate::store::{
    KeyRow, NewTask, ProjectRow, StoreError, StoredArchive, StoredTask, TaskKind, TaskState, Tasks,
};

const UNFINISHED: &str = "('WAITING', 'STARTED')";

/// What a piece of an archive is sealed as: none can stand in the place of another.
fn piece(number: usize) -> String {
    format!("piece {number} of an archive")
}

const TASK: &str =
    "SELECT t.row, t.id, t.project, t.state, t.requested, t.due, t.finished, t.id_count, t.events,
    t.profiles, t.replays, t.kind, t.about, k.id, k.slot, k.generation, k.ids, a.expires, p.deleted IS NOT NULL
    FROM tasks t JOIN projects p ON p.id = t.project LEFT JOIN keys k ON k.id = t.key AND k.dying IS NULL
    LEFT JOIN archives a ON a.task = t.row AND a.key = k.id";

fn kind_name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Deletion => "deletion",
        TaskKind::Retrieval => "retrieval",
        TaskKind::Device => "device",
    }
}

/// A row as it lies there: the task without what is sealed, and the seals.
struct Sealed {
    task: StoredTask,
    about: Vec<u8>,
    ids: Option<(KeyRow, Slot, Vec<u8>)>,
}

fn sealed_of(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    let count = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)? as usize);
    let state = match row.get_ref(3)?.as_str()? {
        "WAITING" => TaskState::Waiting,
        "STARTED" => TaskState::Started,
        "REVOKED" => TaskState::Revoked,
        _ => TaskState::Done,
    };
    let kind = match row.get_ref(11)?.as_str()? {
        "deletion" => TaskKind::Deletion,
        "device" => TaskKind::Device,
        _ => TaskKind::Retrieval,
    };
    let ids = match row.get::<_, Option<KeyRow>>(13)? {
        Some(key) => Some((key, slot_of(row, 14)?, row.get(16)?)),
        None => None,
    };
    let task = StoredTask {
        kind,
        row: row.get(0)?,
        id: row.get(1)?,
        project: row.get(2)?,
        state,
        requested: row.get(4)?,
        due: row.get(5)?,
        finished: row.get(6)?,
        ids: Vec::new(),
        id_count: count(7)?,
        events: count(8)?,
        profiles: count(9)?,
        replays: count(10)?,
        about: Value::Null,
        archive_until: row.get(17)?,
        is_hidden: row.get(18)?,
    };
    Ok(Sealed { task, about: row.get(12)?, ids })
}

impl Tasks for SqliteStore {
    fn put_task(&mut self, project: ProjectRow, task: &NewTask) -> Result<(), StoreError> {
        let is_device = task.kind == TaskKind::Device;
        let key = if is_device { None } else { Some(self.task_key(project, &task.id, &task.ids)?.row) };
        let about = self.vault.common_key().seal(b"task", task.about.to_string().as_bytes())?;
        let device = task.ids.first().filter(|_| is_device).map(|device| self.task_id_hash(project, device));
        self.connection.execute(
            "INSERT INTO tasks(id, kind, project, state, requested, due, key, device, id_count, about)
             VALUES (?, ?, ?, 'WAITING', ?, ?, ?, ?, ?, ?)",
            params![
                task.id,
                kind_name(task.kind),
                project,
                task.requested,
                task.due,
                key,
                device,
                task.ids.len() as i64,
                about
            ],
        )?;
        let row = self.connection.last_insert_rowid();
        if is_device { Ok(()) } else { self.put_task_ids(row, project, &task.ids) }
    }

    fn task(&mut self, id: &str) -> Result<Option<StoredTask>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!("{TASK} WHERE t.id = ?"))?
            .query_row([id], sealed_of)
            .optional()?;
        found.map(|sealed| self.open_task(sealed)).transpose()
    }

    fn task_of_row(&mut self, row: i64) -> Result<StoredTask, StoreError> {
        let sealed = self
            .connection
            .prepare_cached(&format!("{TASK} WHERE t.row = ?"))?
            .query_row([row], sealed_of)?;
        self.open_task(sealed)
    }

    fn device_task(&mut self, project: ProjectRow, device: &str) -> Result<Option<StoredTask>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!("{TASK} WHERE t.project = ? AND t.device = ?"))?
            .query_row(params![project, self.task_id_hash(project, device)], sealed_of)
            .optional()?;
        found.map(|sealed| self.open_task(sealed)).transpose()
    }

    fn tasks(&mut self, limit: usize) -> Result<Vec<StoredTask>, StoreError> {
        let sealed: Vec<Sealed> = self
            .connection
            .prepare_cached(&format!("{TASK} ORDER BY t.row DESC LIMIT ?"))?
            .query_map([limit.min(i64::MAX as usize) as i64], sealed_of)?
            .collect::<Result<_, _>>()?;
        sealed.into_iter().map(|sealed| self.open_task(sealed)).collect()
    }

    fn conflicts(
        &mut self,
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

    fn was_to_be_erased(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError> {
        let named = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM task_ids i JOIN tasks t ON t.row = i.task
                 WHERE i.project = ? AND i.id = ? AND t.kind = 'deletion' LIMIT 1",
            )?
            .exists(params![project, self.task_id_hash(project, id)])?;
        Ok(named)
    }

    fn cancel_task(&mut self, row: i64) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .execute("UPDATE tasks SET state = 'REVOKED' WHERE row = ? AND state = 'WAITING'", [row])?;
        Ok(changed > 0)
    }

    fn next_task(&mut self) -> Result<Option<(i64, i64)>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT row, due FROM tasks WHERE state = 'WAITING' ORDER BY due, row LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found)
    }

    fn start_retrieval(&mut self, row: i64) -> Result<(), StoreError> {
        self.connection.execute("UPDATE tasks SET state = 'STARTED' WHERE row = ?", [row])?;
        Ok(())
    }

    fn started_retrieval(&mut self) -> Result<Option<StoredTask>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!(
                "{TASK} WHERE t.state = 'STARTED' AND t.kind = 'retrieval' ORDER BY t.due, t.row LIMIT 1"
            ))?
            .query_row([], sealed_of)
            .optional()?;
        found.map(|sealed| self.open_task(sealed)).transpose()
    }

    fn begin_archive(
        &mut self,
        task: &StoredTask,
        keys: &[KeyRow],
        ids: &[String],
    ) -> Result<KeyRow, StoreError> {
        self.give_up_task_key(task.row)?;
        let key = self.task_key(task.project, &task.id, &task.ids)?;
        // What is left of the one before on the disk is sealed under the key that goes.
        self.connection.execute("DELETE FROM archives WHERE task = ?", [task.row])?;
        self.connection.execute(
            "INSERT INTO archives(task, key, expires, body) VALUES (?, ?, ?, x'')",
            params![task.row, key.row, task.archive_until],
        )?;
        self.connection.execute("UPDATE tasks SET key = ? WHERE row = ?", [key.row, task.row])?;
        self.connection.execute("DELETE FROM archive_keys WHERE task = ?", [task.row])?;
        let mut insert =
            self.connection.prepare_cached("INSERT OR IGNORE INTO archive_keys(key, task) VALUES (?, ?)")?;
        for included in keys {
            insert.execute([*included, task.row])?;
        }
        drop(insert);
        // A combination goes with its last event, be that in the archive or not; what it led to, a profile, stays in it.
        self.connection.execute("DELETE FROM task_ids WHERE task = ?", [task.row])?;
        self.put_task_ids(task.row, task.project, task.ids.iter().chain(ids))?;
        Ok(key.row)
    }

    fn is_archive_there(&mut self, key: KeyRow) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT 1 FROM archives a JOIN keys k ON k.id = a.key WHERE a.key = ? AND k.dying IS NULL",
        )?;
        Ok(statement.exists([key])?)
    }

    fn put_archive_piece(&mut self, key: KeyRow, number: usize, bytes: &[u8]) -> Result<(), StoreError> {
        let slot = self
            .connection
            .prepare_cached("SELECT slot, generation FROM keys WHERE id = ?")?
            .query_row([key], |row| slot_of(row, 0))?;
        let open = OpenKey { row: key, key: self.vault.key(slot)? };
        self.connection
            .prepare_cached("INSERT INTO archive_pieces(key, number, body) VALUES (?, ?, ?)")?
            .execute(params![key, number as i64, open.seal(&piece(number), bytes)?])?;
        Ok(())
    }

    fn end_archive(&mut self, task: &StoredTask, outdated: Option<i64>) -> Result<(), StoreError> {
        self.connection.execute(
            "UPDATE archives SET expires = ?, outdated = ? WHERE task = ?",
            params![task.archive_until, outdated, task.row],
        )?;
        self.connection.execute(
            "UPDATE tasks SET state = 'SUCCESS', finished = ?, events = ?, profiles = ?, replays = ? WHERE row = ?",
            params![task.finished, task.events as i64, task.profiles as i64, task.replays as i64, task.row],
        )?;
        Ok(())
    }

    fn retrievals(&mut self, project: Option<ProjectRow>) -> Result<Vec<i64>, StoreError> {
        let rows = self
            .connection
            .prepare_cached(
                "SELECT t.row FROM archives a JOIN tasks t ON t.row = a.task
                 JOIN keys k ON k.id = a.key AND k.dying IS NULL WHERE ?1 IS NULL OR t.project = ?1",
            )?
            .query_map([project], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn outdated_archives(&mut self, now: i64) -> Result<Vec<i64>, StoreError> {
        let rows = self
            .connection
            .prepare_cached(
                "SELECT a.task FROM archives a JOIN keys k ON k.id = a.key AND k.dying IS NULL WHERE a.outdated <= ?",
            )?
            .query_map([now], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn archive(&mut self, row: i64) -> Result<Option<StoredArchive>, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT a.key, length(a.body), (SELECT sum(length(body) - ?1) FROM archive_pieces WHERE key = a.key), a.outdated
                 FROM archives a JOIN keys k ON k.id = a.key WHERE a.task = ?2 AND k.dying IS NULL",
            )?
            .query_row(params![SEAL as i64, row], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?, row.get(3)?))
            })
            .optional()?;
        // Before format 3 an archive was one piece, in the row itself.
        Ok(found.map(|(key, whole, pieces, outdated)| {
            let bytes = pieces.unwrap_or_else(|| (whole - SEAL as i64).max(0)) as u64;
            StoredArchive { key, bytes, outdated }
        }))
    }

    fn archive_piece(&mut self, key: KeyRow, number: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = |sql: &str, number: usize| {
            let mut statement = self.connection.prepare_cached(sql)?;
            let found = statement.query_row(params![key, number as i64], |row| {
                Ok::<(Slot, Vec<u8>), _>((slot_of(row, 0)?, row.get(2)?))
            });
            Ok::<_, StoreError>(found.optional()?)
        };
        let open = |(slot, body): (Slot, Vec<u8>), purpose: &str| {
            OpenKey { row: key, key: self.vault.key(slot)? }.open(purpose, &body).map(Some)
        };
        let found = sealed(
            "SELECT k.slot, k.generation, p.body FROM archive_pieces p JOIN keys k ON k.id = p.key
             WHERE p.key = ? AND p.number = ? AND k.dying IS NULL",
            number,
        )?;
        if let Some(found) = found {
            return open(found, &piece(number));
        }
        let whole = sealed(
            "SELECT k.slot, k.generation, a.body FROM archives a JOIN keys k ON k.id = a.key
             WHERE a.key = ? AND ? = 0 AND length(a.body) > 0 AND k.dying IS NULL",
            number,
        )?;
        whole.map_or(Ok(None), |found| open(found, "archive"))
    }

    fn retrievals_about(
        &mut self,
        project: ProjectRow,
        ids: &[String],
        keys: &[KeyRow],
    ) -> Result<Vec<i64>, StoreError> {
        let keys: Rc<Vec<Sql>> = Rc::new(keys.iter().map(|key| Sql::Integer(*key)).collect());
        let mut rows: Vec<i64> = self
            .connection
            .prepare_cached(
                "SELECT DISTINCT a.task FROM archive_keys i JOIN archives a ON a.task = i.task
                 JOIN keys k ON k.id = a.key AND k.dying IS NULL WHERE i.key IN rarray(?)",
            )?
            .query_map([keys], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut naming = self.connection.prepare_cached(
            "SELECT t.row FROM task_ids i JOIN tasks t ON t.row = i.task
             WHERE i.project = ? AND i.id = ? AND t.kind = 'retrieval'",
        )?;
        for id in ids {
            let named =
                naming.query_map(params![project, self.task_id_hash(project, id)], |row| row.get(0))?;
            for row in named {
                rows.push(row?);
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    fn replace_task_ids(&mut self, task: &StoredTask, ids: &[String]) -> Result<(), StoreError> {
        self.give_up_task_key(task.row)?;
        let key = self.task_key(task.project, &task.id, ids)?;
        // What was done already was done for as many as it was asked for.
        self.connection.execute(
            "UPDATE tasks SET key = ?, id_count = CASE state WHEN 'WAITING' THEN ? ELSE id_count END WHERE row = ?",
            params![key.row, ids.len() as i64, task.row],
        )?;
        self.connection.execute("DELETE FROM archives WHERE task = ?", [task.row])?;
        self.connection.execute("DELETE FROM archive_keys WHERE task = ?", [task.row])?;
        self.connection.execute("DELETE FROM task_ids WHERE task = ?", [task.row])?;
        self.put_task_ids(task.row, task.project, ids)
    }

    fn next_archive_expiry(&mut self) -> Result<Option<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT min(min(a.expires, ifnull(a.outdated, a.expires)))
             FROM archives a JOIN keys k ON k.id = a.key AND k.dying IS NULL
             JOIN tasks t ON t.row = a.task AND t.state = 'SUCCESS'",
        )?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?.flatten())
    }

    fn expire_archives(&mut self, now: i64) -> Result<usize, StoreError> {
        let marked = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL
               AND id IN (SELECT a.key FROM archives a JOIN tasks t ON t.row = a.task
                          WHERE a.expires <= ? AND t.state = 'SUCCESS')",
            [now],
        )?;
        self.marked_dying(marked);
        Ok(marked)
    }
}

impl SqliteStore {
    /// `$device:X` and `X` are the same here.
    pub(super) fn task_id_hash(&self, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash("task id", &[&project.to_le_bytes(), strip(id).as_bytes()])
    }

    /// A fresh key under which a task's ids are sealed, and later its archive.
    fn task_key(&mut self, project: ProjectRow, id: &str, ids: &[String]) -> Result<OpenKey, StoreError> {
        let lookup = self.lookup_hash(Kind::Task, project, &[Some(id)]);
        let about = json!(ids);
        self.make_key(&NewKey {
            kind: Kind::Task,
            space: NO_SPACE,
            lookup,
            ids: &Ids::default(),
            about: &about,
        })
    }

    /// Decides that the key of a task goes: what it sealed is about to be sealed anew, or not at all.
    fn give_up_task_key(&mut self, task: i64) -> Result<(), StoreError> {
        let marked = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL
               AND id = (SELECT key FROM tasks WHERE row = ?)",
            [task],
        )?;
        self.marked_dying(marked);
        Ok(())
    }

    fn put_task_ids<'a>(
        &self,
        task: i64,
        project: ProjectRow,
        ids: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), StoreError> {
        let hashes: BTreeSet<[u8; 16]> = ids.into_iter().map(|id| self.task_id_hash(project, id)).collect();
        for hash in hashes {
            self.connection
                .prepare_cached("INSERT INTO task_ids(task, project, id) VALUES (?, ?, ?)")?
                .execute(params![task, project, hash])?;
        }
        Ok(())
    }

    fn open_task(&self, sealed: Sealed) -> Result<StoredTask, StoreError> {
        let mut task = sealed.task;
        let about = self.vault.common_key().open(b"task", &sealed.about);
        task.about = about.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        if let Some((row, slot, ids)) = sealed.ids {
            let text = OpenKey { row, key: self.vault.key(slot)? }.open("ids", &ids)?;
            task.ids = serde_json::from_slice(&text)
                .map_err(|_| StoreError::damaged("a task's ids cannot be read"))?;
        }
        Ok(task)
    }
}
