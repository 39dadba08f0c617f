//! Destroying keys, then rows, in an order that survives a crash at any point.
//!
//! 1. A transaction marks the keys' rows as dying and takes their lookups away: from its commit on nothing finds them,
//!    and what follows will be done, if not now then at the next start.
//! 2. The slots are overwritten and synced: now nothing can read what the keys sealed, wherever copies of it lie.
//! 3. A transaction deletes the rows and turns the tasks to `SUCCESS`. Only then may the slots be used again.

use rusqlite::params;

use super::SqliteStore;
use super::keys::{OpenKey, ids_from, slot_of};
use crate::domain::config::IdMerge;
use crate::domain::identity::Ids;
use crate::store::vault::Slot;
use crate::store::{KeyRow, ProjectRow, Shredded, StoreError};

const DYING: &str = "(SELECT id FROM keys WHERE dying IS NOT NULL)";

impl SqliteStore {
    /// Slots of all keys that are in use.
    pub(super) fn live_slots(&self) -> Result<Vec<Slot>, StoreError> {
        let mut statement =
            self.connection.prepare("SELECT slot, generation FROM keys WHERE dying IS NULL")?;
        let rows = statement.query_map([], |row| slot_of(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Destroys all keys and deletes all rows.
    pub(super) fn clear_all(&mut self) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL;
             DELETE FROM tasks; DELETE FROM task_ids; DELETE FROM barriers; DELETE FROM projects;",
        )?;
        transaction.commit()?;
        self.has_dying = true;
        self.shred_dying().map(|_| ())
    }

    /// Carries out what is decided, if anything is.
    pub(super) fn shred_dying(&mut self) -> Result<Shredded, StoreError> {
        if !self.has_dying {
            return Ok(Shredded::default());
        }
        let (slots, shredded) = self.resume_shredding()?;
        self.vault.release(&slots);
        self.has_dying = false;
        Ok(shredded)
    }

    /// Steps 2 and 3. Answers the slots, which may be used again only now.
    pub(super) fn resume_shredding(&mut self) -> Result<(Vec<Slot>, Shredded), StoreError> {
        let dying: Vec<Slot> = {
            let mut statement = self
                .connection
                .prepare_cached("SELECT slot, generation FROM keys WHERE dying IS NOT NULL")?;
            let rows = statement.query_map([], |row| slot_of(row, 0))?;
            rows.collect::<Result<_, _>>()?
        };
        if dying.is_empty() {
            return Ok((dying, Shredded::default()));
        }
        self.vault.destroy(&dying)?;
        let transaction = self.connection.transaction()?;
        let count = |table: &str| -> Result<usize, StoreError> {
            let sql =
                format!("SELECT count(*) FROM {table} WHERE key IN (SELECT id FROM keys WHERE dying > 0)");
            Ok(transaction.query_row(&sql, [], |row| row.get::<_, i64>(0))? as usize)
        };
        let shredded = Shredded { events: count("events")?, profiles: count("profiles")? };
        transaction.execute(
            "UPDATE tasks SET state = 'SUCCESS',
               events = (SELECT count(*) FROM keys k JOIN events e ON e.key = k.id WHERE k.dying = tasks.row),
               profiles = (SELECT count(*) FROM keys k JOIN profiles p ON p.key = k.id WHERE k.dying = tasks.row)
             WHERE state = 'STARTED'",
            [],
        )?;
        for sql in [
            format!("DELETE FROM events WHERE key IN {DYING}"),
            format!("DELETE FROM profiles WHERE key IN {DYING}"),
            format!("DELETE FROM edges WHERE first IN {DYING} OR second IN {DYING}"),
            format!("UPDATE tasks SET key = NULL WHERE key IN {DYING}"),
            "DELETE FROM keys WHERE dying IS NOT NULL".to_owned(),
        ] {
            transaction.execute(&sql, params![])?;
        }
        transaction.commit()?;
        Ok((dying, shredded))
    }

    /// Marks combinations that have no events left. One stays while it links a device that still has events: the
    /// link decides whose those are.
    pub(super) fn drop_unused(&mut self) -> Result<(), StoreError> {
        let marked = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL
             WHERE kind = 0 AND dying IS NULL
               AND NOT EXISTS (SELECT 1 FROM events e WHERE e.key = keys.id)
               AND NOT EXISTS (SELECT 1 FROM edges WHERE first = keys.id)
               AND NOT EXISTS (SELECT 1 FROM edges WHERE second = keys.id)
               AND (user IS NULL OR device IS NULL OR NOT EXISTS (
                 SELECT 1 FROM keys other JOIN events e ON e.key = other.id
                 WHERE other.project = keys.project AND other.device = keys.device AND other.id <> keys.id))",
            [],
        )?;
        self.has_dying |= marked > 0;
        Ok(())
    }

    pub(super) fn drop_outdated(&mut self, now: i64, retrievals_until: i64) -> Result<(), StoreError> {
        let over = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL AND id IN
               (SELECT key FROM tasks WHERE kind = 'retrieval' AND due <= ?)",
            [retrievals_until],
        )?;
        self.has_dying |= over > 0;
        self.connection.execute("DELETE FROM barriers WHERE until <= ?", [now])?;
        Ok(())
    }

    /// The combinations whose canonical id this is. Another user of a device keeps theirs.
    pub(super) fn person_keys(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        canonical: &str,
    ) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        let ids = Ids::of_distinct_id(id_merge, canonical);
        if let (Some(node), IdMerge::Original) = (&ids.user, id_merge) {
            let rows = self.cluster_rows(project, node)?;
            return rows.into_iter().map(|row| self.ids_of_row(row)).collect();
        }
        let Some(user) = &ids.user else {
            let device = ids.device.unwrap_or_default();
            return self.anonymous_rows(project, &device);
        };
        let hash = self.user_hash(project, user);
        let rows: Vec<KeyRow> = self
            .connection
            .prepare_cached("SELECT id FROM keys WHERE project = ? AND user = ? AND kind = 0 ORDER BY id")?
            .query_map(params![project, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut found = rows.into_iter().map(|row| self.ids_of_row(row)).collect::<Result<Vec<_>, _>>()?;
        if id_merge == IdMerge::Simplified {
            let mut devices: Vec<String> = found.iter().filter_map(|(_, ids)| ids.device.clone()).collect();
            devices.sort_unstable();
            devices.dedup();
            for device in devices {
                if self.first_user_of(project, &device)?.as_ref() == Some(user) {
                    found.append(&mut self.anonymous_rows(project, &device)?);
                }
            }
        }
        Ok(found)
    }

    /// What a device did without a user.
    fn anonymous_rows(&self, project: ProjectRow, device: &str) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        let hash = self.device_hash(project, device);
        let rows: Vec<KeyRow> = self
            .connection
            .prepare_cached(
                "SELECT id FROM keys WHERE project = ? AND device = ? AND user IS NULL AND kind = 0",
            )?
            .query_map(params![project, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        rows.into_iter().map(|row| self.ids_of_row(row)).collect()
    }

    fn ids_of_row(&self, row: KeyRow) -> Result<(KeyRow, Ids), StoreError> {
        let (slot, sealed): (Slot, Vec<u8>) = self
            .connection
            .prepare_cached("SELECT slot, generation, ids FROM keys WHERE id = ?")?
            .query_row([row], |found| Ok((slot_of(found, 0)?, found.get(2)?)))?;
        let text = OpenKey { row, key: self.vault.key(slot)? }.open("ids", &sealed)?;
        Ok((row, ids_from(&text).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Map, json};

    use super::*;
    use crate::domain::profile::Subject;
    use crate::store::{Erasure, NewEvent, NewTask, Store, TaskKind, TaskState};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("refrain-erase-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Folder(path)
        }

        fn open(&self) -> SqliteStore {
            SqliteStore::open(&self.0).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn event(user: &str) -> NewEvent {
        NewEvent {
            ids: Ids { device: None, user: Some(user.into()) },
            name: "A".into(),
            distinct_id: Some(user.into()),
            time: 1,
            received: 1,
            properties: Map::new(),
            dedupe: None,
        }
    }

    /// Two persons, and the decision to erase one of them.
    fn decided(store: &mut SqliteStore) {
        store.begin().unwrap();
        let project = store.project("T", true).unwrap().unwrap();
        for user in ["gone", "kept", "gone"] {
            store.put_event(project, &event(user)).unwrap();
        }
        store.put_profile(project, &Subject::Person("gone".into()), 1, &Map::new()).unwrap();
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
        let task = store.task(project, TaskKind::Deletion, "task").unwrap().unwrap();
        let keys = store.keys_of(project, IdMerge::Simplified, "gone").unwrap();
        store.begin().unwrap();
        store
            .erase(&Erasure {
                project,
                task: task.row,
                keys: keys.into_iter().map(|(key, _)| key).collect(),
                ids: task.ids,
                barred_before: 1,
                barred_until: None,
            })
            .unwrap();
        store.commit().unwrap();
    }

    fn assert_done(store: &mut SqliteStore) {
        let task = store.task(1, TaskKind::Deletion, "task").unwrap().unwrap();
        assert_eq!((task.state, task.events, task.profiles), (TaskState::Done, 2, 1));
        assert!(task.ids.is_empty());
        let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM events"), 1);
        assert_eq!(count("SELECT count(*) FROM profiles"), 0);
        assert_eq!(count("SELECT count(*) FROM keys"), 1);
        assert_eq!(store.live_slots().unwrap().len(), 1);
    }

    #[test]
    fn it_ends_the_same_wherever_it_was_cut_off() {
        for cut in ["after the decision", "after the keys", "not at all"] {
            let folder = Folder::new("cut");
            let mut store = folder.open();
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
                "not at all" => assert_eq!(store.shred().unwrap(), Shredded { events: 2, profiles: 1 }),
                _ => {}
            }
            drop(store);
            assert_done(&mut folder.open());
            assert_done(&mut folder.open());
        }
    }

    #[test]
    fn nothing_finds_a_person_from_the_decision_on() {
        let folder = Folder::new("hidden");
        let mut store = folder.open();
        decided(&mut store);
        assert!(store.keys_of(1, IdMerge::Simplified, "gone").unwrap().is_empty());
        assert!(store.profile(1, &Subject::Person("gone".into())).unwrap().is_none());
        store.begin().unwrap();
        store.put_event(1, &event("gone")).unwrap();
        store.commit().unwrap();
        store.shred().unwrap();
        assert_eq!(
            store.keys_of(1, IdMerge::Simplified, "gone").unwrap().len(),
            1,
            "new data has a key of its own"
        );
    }

    #[test]
    fn keys_of_a_transaction_that_is_given_up_are_destroyed() {
        let folder = Folder::new("rollback");
        let mut store = folder.open();
        store.begin().unwrap();
        let project = store.project("T", true).unwrap().unwrap();
        store.put_event(project, &event("a")).unwrap();
        store.savepoint().unwrap();
        store.put_event(project, &event("b")).unwrap();
        store.undo().unwrap();
        store.commit().unwrap();
        store.begin().unwrap();
        store.put_event(project, &event("c")).unwrap();
        store.rollback();
        let vault = std::fs::read(folder.0.join("vault.keys")).unwrap();
        let live = vault[4096..].chunks_exact(64).filter(|slot| slot[8..16] != [0; 8]).count();
        assert_eq!((live, store.live_slots().unwrap().len()), (1, 1));
    }
}
