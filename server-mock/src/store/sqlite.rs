//! Rows in SQLite, in memory or in a folder. What came from a person is only there as ciphertext.

mod erase;
mod events;
mod keys;
mod profiles;
mod schema;
mod tasks;

use std::fs::{self, File};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use serde_json::{Map, Value};

use super::vault::{self, Vault};
use super::{
    ClusterNode, Erasure, EventRange, KeyRow, NewEvent, NewTask, ProfileRange, ProjectRow, Put, Shredded,
    StoreError, StoredEvent, StoredProfile, StoredTask, TaskKind, Window,
};
use crate::domain::config::IdMerge;
use crate::domain::identity::Ids;
use crate::domain::profile::Subject;

/// Name of the database in the data folder.
pub const FILE_NAME: &str = "events.sqlite";

/// A store in SQLite.
pub struct SqliteStore {
    connection: Connection,
    vault: Vault,
    /// Keys made since the last commit; destroyed when the transaction is given up.
    fresh: Vec<vault::Slot>,
    /// How many of them there were at the savepoint.
    fresh_at_savepoint: usize,
    /// Something is decided to go and is still there.
    has_dying: bool,
    /// Until when any barrier holds, so that arrivals are not looked up while there is none.
    barred_until: i64,
    /// Held for as long as the store is open: one process per folder.
    _lock: Option<File>,
}

impl SqliteStore {
    /// A store that ends with the process.
    pub fn in_memory() -> Result<SqliteStore, StoreError> {
        let connection = Connection::open_in_memory()?;
        SqliteStore::prepare(connection, Vault::in_memory()?, None)
    }

    /// Opens the store in a folder, which is made if it is not there. Finishes what a crash interrupted.
    pub fn open(folder: &Path) -> Result<SqliteStore, StoreError> {
        fs::create_dir_all(folder).map_err(|error| {
            StoreError::io(&format!("the data folder {} cannot be made", folder.display()), error)
        })?;
        let lock = lock(folder)?;
        let database = folder.join(FILE_NAME);
        let has_vault = folder.join(vault::FILE_NAME).exists();
        let known_vault = if database.exists() { schema::vault_id(&database)? } else { None };
        let vault = match (known_vault, has_vault) {
            (Some(id), true) => {
                let vault = Vault::open(folder)?;
                if vault.id() != id {
                    return Err(StoreError::damaged(
                        "vault.keys belongs to another database; restore both from the same backup",
                    ));
                }
                vault
            }
            (Some(_), false) => {
                return Err(StoreError::damaged(
                    "vault.keys is missing, and without its keys the database cannot be read; restore it from a backup, \
                     or choose an empty folder to start anew",
                ));
            }
            (None, true) => {
                let vault = Vault::open(folder)?;
                if !vault.is_unused() {
                    return Err(StoreError::damaged(
                        "events.sqlite is missing although vault.keys holds keys; restore it from a backup, \
                         or choose an empty folder to start anew",
                    ));
                }
                vault
            }
            (None, false) => Vault::create(folder)?,
        };
        let store = SqliteStore::prepare(Connection::open(&database)?, vault, Some(lock))?;
        // The names of new files are durable too.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| StoreError::io("the data folder cannot be synced", error))?;
        Ok(store)
    }

    fn prepare(connection: Connection, vault: Vault, lock: Option<File>) -> Result<SqliteStore, StoreError> {
        schema::prepare(&connection, vault.id())?;
        connection.set_prepared_statement_cache_capacity(64);
        let mut store = SqliteStore {
            connection,
            vault,
            fresh: Vec::new(),
            fresh_at_savepoint: 0,
            has_dying: false,
            barred_until: 0,
            _lock: lock,
        };
        store.resume_shredding()?;
        store.read_barriers()?;
        let live = store.live_slots()?;
        store.vault.reconcile(live)?;
        Ok(store)
    }

    fn discard_fresh_from(&mut self, start: usize) {
        let orphans = self.fresh.split_off(start.min(self.fresh.len()));
        // A key that cannot be destroyed now seals nothing that was committed; the next start destroys it.
        if !orphans.is_empty() && self.vault.destroy(&orphans).is_ok() {
            self.vault.release(&orphans);
        }
    }
}

impl super::Store for SqliteStore {
    fn begin(&mut self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.rollback();
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.vault.sync()?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.fresh.clear();
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            // SQLite may have rolled back on its own; then there is nothing left to do.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.discard_fresh_from(0);
        // A barrier that was given up is looked for in vain; that costs time only.
    }

    fn savepoint(&mut self) -> Result<(), StoreError> {
        self.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
        self.fresh_at_savepoint = self.fresh.len();
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        self.connection.prepare_cached("RELEASE job")?.execute([])?;
        Ok(())
    }

    fn undo(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("ROLLBACK TO job; RELEASE job")?;
        self.discard_fresh_from(self.fresh_at_savepoint);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.clear_all()
    }

    fn project(&mut self, token: &str, make: bool) -> Result<Option<ProjectRow>, StoreError> {
        let hash = self.vault.hash("project", &[token.as_bytes()]);
        let found = self
            .connection
            .prepare_cached("SELECT id FROM projects WHERE token_hash = ?")?
            .query_row([hash], |row| row.get(0))
            .optional()?;
        if found.is_some() || !make {
            return Ok(found);
        }
        let sealed = self.vault.common_key().seal(b"project", token.as_bytes())?;
        self.connection
            .prepare_cached("INSERT INTO projects(token_hash, token) VALUES (?, ?)")?
            .execute(params![hash, sealed])?;
        Ok(Some(self.connection.last_insert_rowid()))
    }

    fn projects(&mut self) -> Result<Vec<(ProjectRow, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, token FROM projects ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut projects = Vec::new();
        for row in rows {
            let (id, sealed) = row?;
            let token = self.vault.common_key().open(b"project", &sealed);
            let token = token.ok_or_else(|| StoreError::damaged("a project's token cannot be read"))?;
            projects.push((id, String::from_utf8_lossy(&token).into_owned()));
        }
        Ok(projects)
    }

    fn put_event(&mut self, project: ProjectRow, event: &NewEvent) -> Result<Put, StoreError> {
        self.insert_event(project, event)
    }

    fn visit_events(
        &mut self,
        range: EventRange,
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<(), StoreError> {
        self.scan_events(range, visitor)
    }

    fn delete_expired(&mut self, project: ProjectRow, window: Window) -> Result<usize, StoreError> {
        self.delete_expired_events(project, window)
    }

    fn profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
    ) -> Result<Option<StoredProfile>, StoreError> {
        self.find_profile(project, subject)
    }

    fn put_profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
        last_seen: i64,
        properties: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        self.write_profile(project, subject, last_seen, properties)
    }

    fn delete_profile(&mut self, project: ProjectRow, subject: &Subject) -> Result<bool, StoreError> {
        self.drop_profile(project, subject)
    }

    fn visit_profiles(
        &mut self,
        range: ProfileRange,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError> {
        self.scan_profiles(range, visitor)
    }

    fn delete_expired_profiles(
        &mut self,
        project: ProjectRow,
        expired_until: i64,
    ) -> Result<usize, StoreError> {
        self.drop_expired_profiles(project, expired_until)
    }

    fn delete_unused(&mut self) -> Result<(), StoreError> {
        self.drop_unused()
    }

    fn delete_outdated(&mut self, now: i64, retrievals_until: i64) -> Result<(), StoreError> {
        self.drop_outdated(now, retrievals_until)
    }

    fn shred(&mut self) -> Result<Shredded, StoreError> {
        self.shred_dying()
    }

    fn put_task(&mut self, project: ProjectRow, task: &NewTask) -> Result<(), StoreError> {
        self.insert_task(project, task)
    }

    fn task(
        &mut self,
        project: ProjectRow,
        kind: TaskKind,
        id: &str,
    ) -> Result<Option<StoredTask>, StoreError> {
        self.find_task(project, kind, id)
    }

    fn finish_task(&mut self, row: i64) -> Result<(), StoreError> {
        self.finish(row)
    }

    fn task_of_row(&mut self, row: i64) -> Result<StoredTask, StoreError> {
        self.read_task(row)
    }

    fn conflicts(
        &mut self,
        project: ProjectRow,
        ids: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.tasks_in_conflict(project, ids)
    }

    fn cancel_task(&mut self, row: i64) -> Result<bool, StoreError> {
        self.cancel(row)
    }

    fn next_task(&mut self) -> Result<Option<(i64, i64)>, StoreError> {
        self.first_waiting_task()
    }

    fn keys_of(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        canonical: &str,
    ) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        self.person_keys(project, id_merge, canonical)
    }

    fn erase(&mut self, erasure: &Erasure) -> Result<(), StoreError> {
        self.decide_erasure(erasure)
    }

    fn is_barred(&mut self, project: ProjectRow, id: &str, time: i64, now: i64) -> Result<bool, StoreError> {
        self.barred(project, id, time, now)
    }

    fn first_user(&mut self, project: ProjectRow, device: &str) -> Result<Option<String>, StoreError> {
        self.first_user_of(project, device)
    }

    fn cluster(&mut self, project: ProjectRow, node: &str) -> Result<Vec<ClusterNode>, StoreError> {
        self.cluster_nodes(project, node)
    }

    fn join(
        &mut self,
        project: ProjectRow,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError> {
        self.join_nodes(project, first, second, identified)
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let failed =
        |error| StoreError::io(&format!("the data folder {} cannot be written", folder.display()), error);
    let file = File::create(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::damaged(format!(
            "the data folder {} is in use by another server; stop it or choose another folder",
            folder.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        // The code and SQLite's own words only: never a value that was bound.
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => StoreError::io("the database", failure),
            other => StoreError::io("the database", other),
        }
    }
}
