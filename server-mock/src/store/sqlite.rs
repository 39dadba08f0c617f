//! Rows in SQLite, in memory or in a folder. What came from a person is only there as ciphertext.

mod audit;
mod dedupe;
mod erasing;
mod events;
mod files;
mod identities;
mod keys;
mod objections;
mod profiles;
mod projects;
mod replays;
mod schema;
mod tasks;
mod usage;
#[cfg(test)]
mod work;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::dedupe::KnownHolders;
use self::files::Files;
use self::keys::KnownKeys;
pub use self::schema::PRAGMAS;
use super::vault::{self, Vault};
use super::{ProjectRow, StoreError, Transactions};

/// Name of the database in the data folder.
pub const FILE_NAME: &str = "events.sqlite";
/// Name of its write-ahead log, where commits are at first.
const LOG_NAME: &str = "events.sqlite-wal";

/// A store in SQLite.
pub struct SqliteStore {
    connection: Connection,
    vault: Vault,
    /// Keys made since the last commit; destroyed when the transaction is given up.
    fresh: Vec<vault::Slot>,
    /// How many of them there were at the savepoint.
    fresh_at_savepoint: usize,
    /// Keys of transactions whose commit failed. It may stand in the log all the same, where only the sync failed, and its
    /// rows come back from there after a crash: they need their keys until a later commit has taken its place.
    uncertain: Vec<vault::Slot>,
    known: KnownKeys,
    holders: KnownHolders,
    /// Something is decided to go: its keys may still be there.
    has_dying: bool,
    /// And its rows may still be there.
    has_rows_to_shred: bool,
    /// Until when any barrier holds, so that arrivals are not looked up while there is none.
    barred_until: i64,
    /// The suppression lists: hash of an id, and the entry that it is there for.
    objections: HashMap<ProjectRow, HashMap<[u8; 16], [u8; 16]>>,
    /// Where what is committed has to last.
    files: Files,
    /// Held for as long as the store is open: one process per folder.
    _lock: Option<File>,
}

impl SqliteStore {
    /// A store that ends with the process.
    pub fn in_memory() -> Result<SqliteStore, StoreError> {
        let connection = Connection::open_in_memory()?;
        SqliteStore::prepare(connection, Vault::in_memory()?, None)
    }

    /// Whether a folder holds a store, or what is left of one.
    pub fn is_there(folder: &Path) -> bool {
        [FILE_NAME, vault::FILE_NAME].iter().any(|name| folder.join(name).exists())
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
        let mut store = SqliteStore::prepare(Connection::open(&database)?, vault, Some(lock))?;
        store.files = Files::of(folder, &[vault::FILE_NAME, FILE_NAME, LOG_NAME])?;
        // The names of new files are durable too.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| StoreError::io("the data folder cannot be synced", error))?;
        Ok(store)
    }

    fn prepare(connection: Connection, vault: Vault, lock: Option<File>) -> Result<SqliteStore, StoreError> {
        schema::prepare(&connection, vault.id())?;
        connection.set_prepared_statement_cache_capacity(128);
        let mut store = SqliteStore {
            connection,
            vault,
            fresh: Vec::new(),
            fresh_at_savepoint: 0,
            uncertain: Vec::new(),
            known: KnownKeys::default(),
            holders: KnownHolders::default(),
            has_dying: true,
            has_rows_to_shred: true,
            barred_until: 0,
            objections: HashMap::new(),
            files: Files::default(),
            _lock: lock,
        };
        // What was decided before a crash is unreadable before the first answer; its rows follow.
        store.destroy_dying()?;
        store.read_barriers()?;
        store.read_objections()?;
        let (live, dying) = (store.slots("dying IS NULL")?, store.slots("dying IS NOT NULL")?);
        store.vault.reconcile(live, &dying)?;
        Ok(store)
    }

    /// Keys that were looked up may be gone.
    fn forget_known(&mut self) {
        self.known.clear();
        self.holders.clear();
    }

    fn discard_fresh_from(&mut self, start: usize) {
        let orphans = self.fresh.split_off(start.min(self.fresh.len()));
        self.discard(&orphans);
    }

    /// Destroys keys that no row names, nor can again.
    fn discard(&mut self, orphans: &[vault::Slot]) {
        if orphans.is_empty() {
            return;
        }
        self.forget_known();
        // A key that cannot be destroyed now seals nothing that was committed; the next start destroys it.
        if self.vault.destroy(orphans).is_ok() {
            self.vault.release(orphans);
        }
    }
}

impl Transactions for SqliteStore {
    fn begin(&mut self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.rollback();
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.vault.sync()?;
        self.files.check()?;
        if !self.uncertain.is_empty() {
            // A commit without a change writes nothing, and would leave in the log what failed before.
            schema::touch(&self.connection)?;
        }
        let committed = self.connection.prepare_cached("COMMIT")?.execute([]);
        if let Err(error) = committed {
            self.uncertain.append(&mut self.fresh);
            self.forget_known();
            return Err(error.into());
        }
        self.fresh.clear();
        let orphans = std::mem::take(&mut self.uncertain);
        self.discard(&orphans);
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            // SQLite may have rolled back on its own; then there is nothing left to do.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.discard_fresh_from(0);
        // A barrier that was given up is looked for in vain; that costs time only. A list that was is read again.
        if self.read_objections().is_err() {
            crate::notice("the suppression lists could not be read again after a failure");
        }
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
        self.read_objections()
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.forget_known();
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(&format!(
            "DROP TRIGGER audit_stays; DROP TRIGGER audit_is_fixed;
             UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL;
             DELETE FROM tasks; DELETE FROM task_ids; DELETE FROM barriers; DELETE FROM objections;
             DELETE FROM audit; DELETE FROM sweeps; DELETE FROM accounts; DELETE FROM spaces; DELETE FROM projects;
             {}",
            schema::AUDIT_GUARD
        ))?;
        transaction.commit()?;
        self.objections.clear();
        self.has_dying = true;
        self.destroy_dying()?;
        while self.shred_rows(usize::MAX, 0)?.more {}
        Ok(())
    }
}

/// How long a server that was dropped may seem to hold its folder still: a program that is being started at that moment has
/// a copy of every open file until it is another program.
const STARTING: Duration = Duration::from_secs(1);

fn lock(folder: &Path) -> Result<File, StoreError> {
    let failed =
        |error| StoreError::io(&format!("the data folder {} cannot be written", folder.display()), error);
    let file = File::create(folder.join("lock")).map_err(failed)?;
    let until = Instant::now() + STARTING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(STARTING / 50),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::damaged(format!(
                    "the data folder {} is in use by another server; stop it or choose another folder",
                    folder.display()
                )));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
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

/// Slots named twice would be overwritten twice; order does not matter.
type Slots = HashSet<vault::Slot>;

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(error: rusqlite::types::FromSqlError) -> StoreError {
        StoreError::io("the database", error)
    }
}
