//! Tables and pragmas.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::store::StoreError;

const VERSION: i64 = 1;

/// In the clear are only: numbers, times of events and receipt, states, counts, and hashes under the vault's keys.
const TABLES: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE projects(id INTEGER PRIMARY KEY, token_hash BLOB NOT NULL UNIQUE, token BLOB NOT NULL);
-- One row for each key: a combination of ids (0), a profile (1), a group (2), a task (3).
-- A row with `dying` is an erasure that is decided and not finished; nothing finds it any more.
CREATE TABLE keys(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  lookup BLOB UNIQUE,
  slot INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  device BLOB,
  user BLOB,
  identified INTEGER NOT NULL DEFAULT 0,
  dying INTEGER,
  ids BLOB NOT NULL
);
CREATE INDEX keys_device ON keys(project, device) WHERE device IS NOT NULL;
CREATE INDEX keys_user ON keys(project, user) WHERE user IS NOT NULL;
CREATE INDEX keys_dying ON keys(dying) WHERE dying IS NOT NULL;
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL,
  key INTEGER NOT NULL,
  time INTEGER NOT NULL,
  received INTEGER NOT NULL,
  dedupe BLOB,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX events_dedupe ON events(key, dedupe) WHERE dedupe IS NOT NULL;
CREATE INDEX events_key ON events(key);
CREATE INDEX events_received ON events(project, received);
CREATE INDEX events_time ON events(project, time);
CREATE TABLE profiles(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  key INTEGER NOT NULL UNIQUE,
  last_seen INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX profiles_project ON profiles(project, kind);
CREATE TABLE edges(first INTEGER NOT NULL, second INTEGER NOT NULL);
CREATE INDEX edges_first ON edges(first);
CREATE INDEX edges_second ON edges(second);
CREATE TABLE tasks(
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  project INTEGER NOT NULL,
  state TEXT NOT NULL,
  requested INTEGER NOT NULL,
  due INTEGER NOT NULL,
  finished INTEGER,
  key INTEGER,
  id_count INTEGER NOT NULL,
  events INTEGER NOT NULL DEFAULT 0,
  profiles INTEGER NOT NULL DEFAULT 0,
  about BLOB NOT NULL
);
CREATE INDEX tasks_state ON tasks(state, due);
CREATE TABLE task_ids(task INTEGER NOT NULL, project INTEGER NOT NULL, id BLOB NOT NULL);
CREATE INDEX task_ids_id ON task_ids(project, id);
CREATE INDEX task_ids_task ON task_ids(task);
CREATE TABLE barriers(project INTEGER NOT NULL, id BLOB NOT NULL, before INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX barriers_id ON barriers(project, id);
";

/// The id of the vault that a database was made with; `None` for one that was never finished.
pub(super) fn vault_id(database: &Path) -> Result<Option<[u8; 16]>, StoreError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let tables: i64 =
        connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let id = connection.query_row("SELECT value FROM meta WHERE name = 'vault'", [], |row| row.get(0));
    id.optional()?
        .map_or_else(|| Err(StoreError::damaged("events.sqlite does not name its vault")), |id| Ok(Some(id)))
}

/// Sets the connection up and makes the tables of a new database, all or none.
pub(super) fn prepare(connection: &Connection, vault: [u8; 16]) -> Result<(), StoreError> {
    // FULL: a commit is on the disk when it returns. The checkpoint keeps the log from growing without end.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
         PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 4194304;
         PRAGMA cache_size = -4096;",
    )?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(()),
        0 => {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            connection.execute_batch(TABLES)?;
            connection.execute("INSERT INTO meta(name, value) VALUES ('vault', ?)", params![vault])?;
            connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT"))?;
            Ok(())
        }
        other => Err(StoreError::damaged(format!(
            "events.sqlite has format {other}, this program knows {VERSION}; use the version that wrote it"
        ))),
    }
}
