//! Destroying keys, then rows, in an order that survives a crash at any point.
//!
//! 1. A transaction marks the keys' rows as dying and takes their lookups away: from its commit on nothing finds them,
//!    and what follows will be done, if not now then at the next start, before the first answer.
//! 2. The slots are overwritten and synced: now nothing can read what the keys sealed, wherever copies of it lie.
//! 3. Transactions note that, and delete the rows, some at a time, each with what it counts. The last one turns the
//!    tasks to `SUCCESS`. Only then may the slots be used again.

use rusqlite::params;

use super::keys::{Kind, slot_of};
use super::{Slots, SqliteStore};
use crate::domain::identity::strip;
use crate::store::vault::Slot;
use crate::store::{AuditLog, Counts, Dated, Erasing, Erasure, NewAudit, ProjectRow, Shredding, StoreError};

/// Keys that are destroyed and still have rows. The index is named wherever they are asked for: they are few, and the
/// planner, which cannot know that, would look at every key there is.
const DESTROYED: &str = "keys INDEXED BY keys_dying WHERE dying IS NOT NULL AND destroyed = 1";

/// A piece of an archive is as long as so many events.
const ROWS_OF_A_PIECE: usize = 200;

/// Rows that hang on a key and go with it, in the end: they are few. `GONE` is [`DESTROYED`].
const LEFTOVERS: [&str; 9] = [
    "DELETE FROM profiles WHERE key IN (SELECT id FROM GONE)",
    "DELETE FROM edges WHERE first IN (SELECT id FROM GONE) OR second IN (SELECT id FROM GONE)",
    "DELETE FROM key_ids WHERE key IN (SELECT id FROM GONE)",
    "DELETE FROM crowd_members WHERE key IN (SELECT id FROM GONE) OR crowd IN (SELECT id FROM GONE)",
    "DELETE FROM archive_keys WHERE task IN (SELECT task FROM archives WHERE key IN (SELECT id FROM GONE))
       OR key IN (SELECT id FROM GONE)",
    "DELETE FROM task_ids WHERE task IN (SELECT task FROM archives WHERE key IN (SELECT id FROM GONE))",
    "DELETE FROM archives WHERE key IN (SELECT id FROM GONE)",
    "DELETE FROM uses WHERE key IN (SELECT id FROM GONE)",
    "UPDATE tasks SET key = NULL WHERE key IN (SELECT id FROM GONE)",
];

impl Erasing for SqliteStore {
    fn erase(&mut self, erasure: &Erasure) -> Result<(), StoreError> {
        let project = erasure.project;
        for key in &erasure.keys {
            // What the combination's rows are found by goes with it, others' too.
            self.connection
                .prepare_cached(
                    "UPDATE keys SET dying = ?, lookup = NULL
                     WHERE dying IS NULL AND id IN (SELECT crowd FROM crowd_members WHERE key = ?)",
                )?
                .execute([erasure.task, *key])?;
            self.connection
                .prepare_cached(
                    "UPDATE keys SET dying = ?, lookup = NULL, device = NULL, user = NULL WHERE dying IS NULL AND id = ?",
                )?
                .execute([erasure.task, *key])?;
        }
        for id in &erasure.ids {
            let lookup = self.lookup_hash(Kind::Profile, project, &[Some(id)]);
            for space in &erasure.spaces {
                self.connection
                    .prepare_cached(
                        "UPDATE keys SET dying = ?, lookup = NULL WHERE space = ? AND lookup = ?",
                    )?
                    .execute(params![erasure.task, space.row, lookup])?;
            }
            // Deletions that were revoked show their ids, too.
            self.connection
                .prepare_cached(
                    "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL AND id IN
                       (SELECT t.key FROM task_ids i JOIN tasks t ON t.row = i.task
                        WHERE i.project = ?1 AND i.id = ?2 AND t.state = 'REVOKED')",
                )?
                .execute(params![project, self.task_id_hash(project, id)])?;
            if let Some(barrier) = erasure.barrier {
                self.barred_until = self.barred_until.max(barrier.until.unwrap_or(i64::MAX));
                self.connection
                    .prepare_cached("INSERT INTO barriers(project, id, before, until, sent_before) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![
                        project,
                        self.barrier_hash(project, id),
                        barrier.before,
                        barrier.until,
                        barrier.sent_before
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
        self.marked_dying(1);
        Ok(())
    }

    fn destroy_keys(&mut self) -> Result<(), StoreError> {
        self.destroy_dying()
    }

    fn shred(&mut self, limit: usize, now: i64) -> Result<Shredding, StoreError> {
        self.destroy_dying()?;
        self.shred_rows(limit, now)
    }

    fn is_shredding(&self) -> bool {
        self.has_dying || self.has_rows_to_shred
    }

    fn has_barriers(&self, now: i64) -> bool {
        now < self.barred_until
    }

    fn is_barred(
        &mut self,
        project: ProjectRow,
        id: &str,
        time: Dated,
        now: i64,
    ) -> Result<bool, StoreError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM barriers WHERE project = ? AND id = ?
                   AND (before IS NULL OR before >= ? OR sent_before >= ?) AND (until IS NULL OR until > ?) LIMIT 1",
            )?
            .exists(params![project, self.barrier_hash(project, id), time.time, time.sent, now])?;
        Ok(found)
    }

    fn forget_barriers(&mut self, now: i64) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM barriers WHERE until <= ?", [now])?;
        Ok(())
    }

    fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.vault.sign(text)
    }

    fn public_key(&self) -> [u8; 32] {
        self.vault.public_key()
    }
}

impl SqliteStore {
    /// `$device:X` and `X` are the same here: a late copy may come in either form.
    fn barrier_hash(&self, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash("barrier", &[&project.to_le_bytes(), strip(id).as_bytes()])
    }

    pub(super) fn read_barriers(&mut self) -> Result<(), StoreError> {
        let last: Option<i64> =
            self.connection
                .query_row("SELECT max(ifnull(until, ?)) FROM barriers", [i64::MAX], |row| row.get(0))?;
        self.barred_until = last.unwrap_or(i64::MIN);
        Ok(())
    }

    /// Rows were marked to go, so that keys that were looked up before may not be used any more.
    pub(super) fn marked_dying(&mut self, rows: usize) {
        if rows > 0 {
            self.has_dying = true;
            self.forget_known();
        }
    }

    /// Slots of the keys for which a condition holds.
    pub(super) fn slots(&self, condition: &str) -> Result<Vec<Slot>, StoreError> {
        let mut statement =
            self.connection.prepare(&format!("SELECT slot, generation FROM keys WHERE {condition}"))?;
        let rows = statement.query_map([], |row| slot_of(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Step 2.
    pub(super) fn destroy_dying(&mut self) -> Result<(), StoreError> {
        if !self.has_dying {
            return Ok(());
        }
        let dying: Vec<Slot> = {
            let mut statement = self.connection.prepare_cached(
                "SELECT slot, generation FROM keys INDEXED BY keys_dying WHERE dying IS NOT NULL AND destroyed = 0",
            )?;
            let rows = statement.query_map([], |row| slot_of(row, 0))?;
            rows.collect::<Result<_, _>>()?
        };
        self.vault.destroy(&dying)?;
        self.has_rows_to_shred = true;
        self.has_dying = false;
        Ok(())
    }

    /// Step 3, a part of it.
    pub(super) fn shred_rows(&mut self, limit: usize, now: i64) -> Result<Shredding, StoreError> {
        if !self.has_rows_to_shred {
            return Ok(Shredding::default());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        match self.try_shred_rows(limit, now) {
            Ok((shredded, slots)) => {
                self.connection.execute_batch("COMMIT")?;
                if !shredded.more {
                    self.vault.release(&slots.into_iter().collect::<Vec<_>>());
                    self.has_rows_to_shred = false;
                }
                Ok(shredded)
            }
            Err(error) => {
                let _ = self.connection.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    fn try_shred_rows(&mut self, limit: usize, now: i64) -> Result<(Shredding, Slots), StoreError> {
        // Noted here and not where it is done, so that nobody waits for it: to destroy a key twice does no harm.
        self.connection
            .prepare_cached(
                "UPDATE keys INDEXED BY keys_dying SET destroyed = 1 WHERE dying IS NOT NULL AND destroyed = 0",
            )?
            .execute([])?;
        let mut shredded = Shredding::default();
        let mut room = limit;
        for (table, count) in [("events", &mut shredded.events), ("replays", &mut shredded.replays)] {
            let (deleted, for_tasks) = self.shred_table(table, room)?;
            *count = for_tasks;
            room -= deleted;
        }
        if room > 0 {
            room -= (self.shred_pieces(room.div_ceil(ROWS_OF_A_PIECE))? * ROWS_OF_A_PIECE).min(room);
        }
        if room == 0 {
            shredded.more = true;
            return Ok((shredded, Slots::new()));
        }
        let counted =
            "SELECT k.dying, count(*) FROM keys k INDEXED BY keys_dying CROSS JOIN profiles p ON p.key = k.id
            WHERE k.dying > 0 AND k.destroyed = 1 GROUP BY k.dying";
        let profiles: Vec<(i64, i64)> = self
            .connection
            .prepare_cached(counted)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (task, count) in profiles {
            self.connection
                .execute("UPDATE tasks SET profiles = profiles + ? WHERE row = ?", [count, task])?;
            shredded.profiles += count as usize;
        }
        for sql in LEFTOVERS {
            self.connection.prepare_cached(&sql.replace("GONE", DESTROYED))?.execute([])?;
        }
        let slots = {
            let mut statement =
                self.connection.prepare_cached(&format!("SELECT slot, generation FROM {DESTROYED}"))?;
            let rows = statement.query_map([], |row| slot_of(row, 0))?;
            rows.collect::<Result<Slots, _>>()?
        };
        self.connection.prepare_cached(&format!("DELETE FROM {DESTROYED}"))?.execute([])?;
        self.end_tasks(now)?;
        Ok((shredded, slots))
    }

    /// Ends the tasks for which nothing is left to do, with an entry of the audit each. A device may have asked after the
    /// instant at which the rest was decided, and nothing ends before it was asked for.
    fn end_tasks(&mut self, now: i64) -> Result<(), StoreError> {
        type Ended = (i64, String, String, ProjectRow, i64, [i64; 3]);
        let ended: Vec<Ended> = self
            .connection
            .prepare_cached(
                "SELECT row, id, kind, project, requested, events, profiles, replays FROM tasks
                 WHERE state = 'STARTED' AND kind <> 'retrieval' AND NOT EXISTS (SELECT 1 FROM keys WHERE dying = tasks.row)",
            )?
            .query_map([], |r| {
                let counts = [r.get(5)?, r.get(6)?, r.get(7)?];
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, counts))
            })?
            .collect::<Result<_, _>>()?;
        for (row, id, kind, project, requested, [events, profiles, replays]) in ended {
            let at = now.max(requested);
            self.connection
                .execute("UPDATE tasks SET state = 'SUCCESS', finished = ? WHERE row = ?", [at, row])?;
            let (action, rule) = match kind.as_str() {
                "device" => ("device_erasure.completed", "proof by the device's secret"),
                _ => ("user_data_deletion.completed", "data-deletions v3.0"),
            };
            let counts =
                Counts { events: events as usize, profiles: profiles as usize, replays: replays as usize };
            self.audit(&NewAudit { at, project: Some(project), action, rule, task: Some(&id), counts })?;
        }
        Ok(())
    }

    /// Deletes pieces of archives whose keys are destroyed; answers how many.
    fn shred_pieces(&self, limit: usize) -> Result<usize, StoreError> {
        let deleted = self
            .connection
            .prepare_cached(
                "DELETE FROM archive_pieces WHERE id IN (
                   SELECT p.id FROM keys k INDEXED BY keys_dying CROSS JOIN archive_pieces p ON p.key = k.id
                   WHERE k.dying IS NOT NULL AND k.destroyed = 1 LIMIT ?)",
            )?
            .execute([limit.min(i64::MAX as usize) as i64])?;
        Ok(deleted)
    }

    /// Deletes rows of a table whose keys are destroyed; answers how many, and how many of them for tasks.
    fn shred_table(&self, table: &str, limit: usize) -> Result<(usize, usize), StoreError> {
        let rows: Vec<(i64, i64)> = self
            .connection
            .prepare_cached(&format!(
                "SELECT t.id, k.dying FROM keys k INDEXED BY keys_dying CROSS JOIN {table} t ON t.key = k.id
                 WHERE k.dying IS NOT NULL AND k.destroyed = 1 LIMIT ?"
            ))?
            .query_map([limit.min(i64::MAX as usize) as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut by_task = std::collections::BTreeMap::new();
        let mut delete = self.connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?"))?;
        for (row, task) in &rows {
            delete.execute([row])?;
            if *task > 0 {
                *by_task.entry(*task).or_insert(0) += 1;
            }
        }
        let mut for_tasks = 0;
        for (task, count) in by_task {
            let sql = format!("UPDATE tasks SET {table} = {table} + ? WHERE row = ?");
            self.connection.prepare_cached(&sql)?.execute([count, task])?;
            for_tasks += count as usize;
        }
        Ok((rows.len(), for_tasks))
    }
}

#[cfg(test)]
mod tests {

    use serde_json::{Map, json};

    use super::*;
    use crate::domain::config::IdMerge;
    use crate::domain::event::Event;
    use crate::domain::identity::Ids;
    use crate::domain::profile::Subject;
    use crate::scratch::ScratchFolder;
    use crate::store::{
        EventText, Events, Identities, NewEvent, NewTask, Profiles, Projects, Space, TaskKind, TaskState,
        Tasks, Transactions,
    };

    fn open(folder: &ScratchFolder) -> SqliteStore {
        SqliteStore::open(folder.path()).unwrap()
    }

    fn event(user: &str) -> NewEvent {
        let event = Event {
            name: "A".into(),
            ids: Ids { user: Some(user.into()), ..Ids::default() },
            distinct_id: Some(user.into()),
            time: 1,
            sent_time: None,
            properties: Map::new(),
            dedupe: None,
            verb: None,
        };
        let text = EventText::of(&event);
        NewEvent { ids: event.ids, distinct_id: event.distinct_id, time: 1, dedupe: None, text }
    }

    fn space(store: &mut SqliteStore) -> Space {
        store.open_project("T").unwrap().space.unwrap()
    }

    /// Two persons, and the decision to erase one of them.
    fn decided(store: &mut SqliteStore) {
        store.begin().unwrap();
        let space = space(store);
        let project = space.project;
        for user in ["gone", "kept", "gone"] {
            store.put_event(space, &event(user), 1).unwrap();
        }
        store.put_profile(space, &Subject::Person("gone".into()), 1, &Map::new()).unwrap();
        let task = NewTask {
            kind: TaskKind::Deletion,
            id: "task".into(),
            ids: vec!["gone".into()],
            requested: 1,
            due: 1,
            about: json!({}),
        };
        store.put_task(project, &task).unwrap();
        store.commit().unwrap();
        let task = store.task("task").unwrap().unwrap();
        let keys = store.keys_of(space, IdMerge::Simplified, "gone").unwrap();
        store.begin().unwrap();
        store
            .erase(&Erasure {
                project,
                task: task.row,
                spaces: vec![space],
                keys: keys.into_iter().map(|(key, _)| key).collect(),
                ids: task.ids,
                barrier: None,
            })
            .unwrap();
        store.commit().unwrap();
    }

    fn assert_done(store: &mut SqliteStore) {
        while store.is_shredding() {
            // One row at a time: wherever it is cut off, the counts are right at the end.
            store.shred(1, 5).unwrap();
        }
        let task = store.task("task").unwrap().unwrap();
        assert_eq!((task.state, task.events, task.profiles), (TaskState::Done, 2, 1));
        assert!(task.ids.is_empty());
        let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM events"), 1);
        assert_eq!(count("SELECT count(*) FROM profiles"), 0);
        assert_eq!(count("SELECT count(*) FROM keys"), 1);
        assert_eq!(count("SELECT count(*) FROM audit WHERE events = 2 AND profiles = 1"), 1);
        assert_eq!(task.finished, Some(5));
        assert_eq!(store.slots("dying IS NULL").unwrap().len(), 1);
    }

    #[test]
    fn it_ends_the_same_wherever_it_was_cut_off() {
        for cut in ["after the decision", "after the keys", "after a row", "not at all"] {
            let folder = ScratchFolder::new("erase-cut");
            let mut store = open(&folder);
            decided(&mut store);
            match cut {
                "after the keys" => {
                    let mut dying = store
                        .connection
                        .prepare("SELECT slot, generation FROM keys WHERE dying > 0")
                        .unwrap();
                    let slots: Vec<Slot> =
                        dying.query_map([], |row| slot_of(row, 0)).unwrap().map(Result::unwrap).collect();
                    drop(dying);
                    assert_eq!(slots.len(), 3, "events, profile, task");
                    store.vault.destroy(&slots).unwrap();
                }
                "after a row" => assert!(store.shred(1, 5).unwrap().more),
                "not at all" => {
                    let done = store.shred(1000, 5).unwrap();
                    assert_eq!((done.events, done.profiles, done.more), (2, 1, false));
                }
                _ => {}
            }
            drop(store);
            assert_done(&mut open(&folder));
            assert_done(&mut open(&folder));
        }
    }

    #[test]
    fn no_slot_is_used_twice_after_an_erasure_that_was_cut_off() {
        let folder = ScratchFolder::new("erase-twice");
        decided(&mut open(&folder));
        let mut store = open(&folder);
        while store.is_shredding() {
            store.shred(1, 5).unwrap();
        }
        store.begin().unwrap();
        let space = space(&mut store);
        for n in 0..300 {
            store.put_event(space, &event(&format!("new-{n}")), 1).unwrap();
        }
        store.commit().unwrap();
        let slots = store.slots("dying IS NULL").unwrap();
        let places: std::collections::HashSet<u32> = slots.iter().map(|slot| slot.index).collect();
        assert_eq!((slots.len(), places.len()), (301, 301));
    }

    #[test]
    fn nothing_finds_a_person_from_the_decision_on() {
        let folder = ScratchFolder::new("erase-hidden");
        let mut store = open(&folder);
        decided(&mut store);
        let space = space(&mut store);
        assert!(store.keys_of(space, IdMerge::Simplified, "gone").unwrap().is_empty());
        assert!(store.profile(space, &Subject::Person("gone".into())).unwrap().is_none());
        store.begin().unwrap();
        store.put_event(space, &event("gone"), 1).unwrap();
        store.commit().unwrap();
        store.shred(1000, 5).unwrap();
        assert_eq!(
            store.keys_of(space, IdMerge::Simplified, "gone").unwrap().len(),
            1,
            "new data has a key of its own"
        );
    }

    #[test]
    fn keys_of_a_transaction_that_is_given_up_are_destroyed() {
        let folder = ScratchFolder::new("erase-rollback");
        let mut store = open(&folder);
        store.begin().unwrap();
        let space = space(&mut store);
        store.put_event(space, &event("a"), 1).unwrap();
        // Those that were made ahead are there, too.
        let keys = || {
            let vault = std::fs::read(folder.path().join("vault.keys")).unwrap();
            vault[4096..].chunks_exact(64).filter(|slot| slot[8..16] != [0; 8]).count()
        };
        let made = keys();
        store.savepoint().unwrap();
        store.put_event(space, &event("b"), 1).unwrap();
        store.undo().unwrap();
        store.commit().unwrap();
        assert_eq!(keys(), made - 1);
        store.begin().unwrap();
        store.put_event(space, &event("c"), 1).unwrap();
        store.rollback();
        assert_eq!((keys(), store.slots("dying IS NULL").unwrap().len()), (made - 2, 1));
        drop(store);
        assert_eq!(
            (open(&folder).slots("dying IS NULL").unwrap().len(), keys()),
            (1, 1),
            "nor do they outlive the server"
        );
    }

    /// A commit that is in the log and could not be synced has failed for whoever waits for it, and is there after a crash.
    #[test]
    fn what_a_failed_commit_left_in_the_log_can_be_read_after_a_crash() {
        let folder = ScratchFolder::new("erase-log");
        let mut store = open(&folder);
        store.begin().unwrap();
        let space = space(&mut store);
        store.commit().unwrap();
        // It is called when the log is written, and its failure is the commit's.
        let fails = || Err(rusqlite::Error::InvalidQuery);
        store.connection.wal_hook(Some(move |_: &mut _, _| fails())).unwrap();
        store.begin().unwrap();
        store.put_event(space, &event("a"), 1).unwrap();
        assert!(store.commit().is_err());
        store.rollback();
        drop(store);
        let store = open(&folder);
        assert_eq!(store.slots("dying IS NULL").unwrap().len(), 1);
    }

    #[test]
    fn keys_of_a_failed_commit_stay_until_another_one_has_taken_its_place() {
        let folder = ScratchFolder::new("erase-uncertain");
        let mut store = open(&folder);
        store.begin().unwrap();
        let space = space(&mut store);
        store.commit().unwrap();
        store.connection.commit_hook(Some(|| true)).unwrap();
        store.begin().unwrap();
        store.put_event(space, &event("a"), 1).unwrap();
        assert!(store.commit().is_err());
        store.rollback();
        let uncertain = store.uncertain.clone();
        assert_eq!(uncertain.len(), 1);
        // Nobody else gets its place, and what is given up without a commit leaves it alone.
        store.begin().unwrap();
        for n in 0..200 {
            store.put_event(space, &event(&format!("u{n}")), 1).unwrap();
        }
        assert!(!store.fresh.iter().any(|slot| slot.index == uncertain[0].index));
        store.rollback();
        assert!(store.vault.key(uncertain[0]).is_ok());
        // Even a commit with nothing in it is written now.
        store.connection.commit_hook(None::<fn() -> bool>).unwrap();
        let (written, commits) = std::sync::mpsc::channel();
        let tell = move |_: &mut _, _| {
            written.send(()).unwrap();
            Ok(())
        };
        store.connection.wal_hook(Some(tell)).unwrap();
        store.begin().unwrap();
        store.commit().unwrap();
        assert_eq!(commits.try_iter().count(), 1);
        assert!(store.vault.key(uncertain[0]).is_err());
        store.begin().unwrap();
        store.commit().unwrap();
        assert_eq!(commits.try_iter().count(), 0, "and then no more");
    }
}
