//! Tables and pragmas.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::store::StoreError;

const VERSION: i64 = 4;

/// In the clear are only: numbers, times of events and receipt, states, counts, and hashes under the vault's keys.
const TABLES: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE projects(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  token_hash BLOB NOT NULL UNIQUE,
  token BLOB NOT NULL,
  deleted INTEGER,
  id_merge TEXT
);
-- What a project collected between two resets; `hidden` is when it was reset or deleted, `due` when it is purged.
CREATE TABLE spaces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL,
  hidden INTEGER,
  cause TEXT,
  due INTEGER
);
CREATE INDEX spaces_project ON spaces(project);
CREATE INDEX spaces_due ON spaces(due) WHERE due IS NOT NULL;
-- One row for each key: a combination of ids (0), a profile (1), a group (2), a task (3), an account's usage log (4), a
-- crowd (5).
-- A row with `dying` is an erasure that is decided and not finished; nothing finds it any more. With `destroyed` the
-- key itself is gone, and only rows are left to delete.
CREATE TABLE keys(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  lookup BLOB,
  slot INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  device BLOB,
  user BLOB,
  identified INTEGER NOT NULL DEFAULT 0,
  dying INTEGER,
  destroyed INTEGER NOT NULL DEFAULT 0,
  ids BLOB NOT NULL
);
CREATE UNIQUE INDEX keys_lookup ON keys(space, lookup);
CREATE INDEX keys_device ON keys(space, device) WHERE device IS NOT NULL;
CREATE INDEX keys_user ON keys(space, user) WHERE user IS NOT NULL;
CREATE INDEX keys_dying ON keys(dying) WHERE dying IS NOT NULL;
-- Ids that a combination names besides its own, and texts in the profile of a group.
CREATE TABLE key_ids(id BLOB NOT NULL, key INTEGER NOT NULL, PRIMARY KEY(id, key)) WITHOUT ROWID;
CREATE INDEX key_ids_key ON key_ids(key);
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space INTEGER NOT NULL,
  key INTEGER NOT NULL,
  time INTEGER NOT NULL,
  received INTEGER NOT NULL,
  dedupe BLOB,
  body BLOB NOT NULL,
  crowd INTEGER
);
CREATE UNIQUE INDEX events_key ON events(key, dedupe);
CREATE INDEX events_received ON events(space, received);
CREATE INDEX events_time ON events(space, time);
CREATE TABLE profiles(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  key INTEGER NOT NULL UNIQUE,
  last_seen INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX profiles_seen ON profiles(space, kind, last_seen);
CREATE TABLE replays(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space INTEGER NOT NULL,
  key INTEGER NOT NULL,
  received INTEGER NOT NULL,
  expires INTEGER,
  body BLOB NOT NULL
);
CREATE INDEX replays_key ON replays(key);
CREATE INDEX replays_expires ON replays(space, expires);
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
  device BLOB,
  id_count INTEGER NOT NULL,
  events INTEGER NOT NULL DEFAULT 0,
  profiles INTEGER NOT NULL DEFAULT 0,
  replays INTEGER NOT NULL DEFAULT 0,
  about BLOB NOT NULL
);
CREATE INDEX tasks_state ON tasks(state, due);
CREATE INDEX tasks_key ON tasks(key);
CREATE UNIQUE INDEX tasks_device ON tasks(project, device) WHERE device IS NOT NULL;
CREATE TABLE task_ids(task INTEGER NOT NULL, project INTEGER NOT NULL, id BLOB NOT NULL);
CREATE INDEX task_ids_id ON task_ids(project, id);
CREATE INDEX task_ids_task ON task_ids(task);
-- `outdated` is when the first thing in it expires; it has to be made anew then.
CREATE TABLE archives(
  task INTEGER PRIMARY KEY,
  key INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  body BLOB NOT NULL,
  outdated INTEGER
);
CREATE INDEX archives_key ON archives(key);
CREATE TABLE archive_keys(key INTEGER NOT NULL, task INTEGER NOT NULL, PRIMARY KEY(key, task)) WITHOUT ROWID;
CREATE INDEX archive_keys_task ON archive_keys(task);
-- `before` NULL: whatever its time is; `until` NULL: for ever. `sent_before` is the same instant as `before` by the clients'
-- clocks.
CREATE TABLE barriers(
  project INTEGER NOT NULL,
  id BLOB NOT NULL,
  before INTEGER,
  until INTEGER,
  sent_before INTEGER
);
CREATE INDEX barriers_id ON barriers(project, id);
-- `entry` is the hash of the listed id that a row is there for: its own, or that of the person it belongs to.
CREATE TABLE objections(
  project INTEGER NOT NULL,
  id BLOB NOT NULL,
  entry BLOB NOT NULL,
  PRIMARY KEY(project, id)
) WITHOUT ROWID;
CREATE TABLE audit(
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  project INTEGER,
  action TEXT NOT NULL,
  rule TEXT NOT NULL,
  task TEXT,
  events INTEGER NOT NULL,
  profiles INTEGER NOT NULL,
  replays INTEGER NOT NULL
);
-- What a sweep has deleted before it came to its end.
CREATE TABLE sweeps(
  project INTEGER NOT NULL,
  rule TEXT NOT NULL,
  events INTEGER NOT NULL,
  profiles INTEGER NOT NULL,
  replays INTEGER NOT NULL,
  PRIMARY KEY(project, rule)
) WITHOUT ROWID;
CREATE TABLE accounts(hash BLOB PRIMARY KEY, recorded INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX uses_key ON uses(key);
";

/// What format 3 has and format 2 had not: what rows of many combinations with the same distinct id are found by,
/// profiles by their rows, and archives in pieces.
const SINCE_3: &str = "
CREATE INDEX profiles_rows ON profiles(space, kind);
CREATE INDEX events_crowd ON events(crowd, dedupe) WHERE crowd IS NOT NULL;
CREATE TABLE crowd_members(key INTEGER NOT NULL, crowd INTEGER NOT NULL, PRIMARY KEY(key, crowd)) WITHOUT ROWID;
CREATE INDEX crowd_members_crowd ON crowd_members(crowd);
CREATE TABLE archive_pieces(id INTEGER PRIMARY KEY, key INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX archive_pieces_key ON archive_pieces(key, number);
";

/// What makes format 4 of format 3: how a project merges ids, barriers by the clients' clocks, and archives that are made
/// anew. Edges are of original projects only; what is in an archive may be expired or hidden.
const TO_4: &str = "
ALTER TABLE projects ADD COLUMN id_merge TEXT;
UPDATE projects SET id_merge = 'original' WHERE id IN (
  SELECT s.project FROM edges e JOIN keys k ON k.id = e.first JOIN spaces s ON s.id = k.space);
ALTER TABLE barriers ADD COLUMN sent_before INTEGER;
ALTER TABLE archives ADD COLUMN outdated INTEGER;
UPDATE archives SET outdated = 0;
";

/// The audit can be added to and nothing else; only dropping all data drops it.
pub(super) const AUDIT_GUARD: &str = "
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
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

/// How a connection to the database is set up. FULL: a commit is on the disk when it returns. The checkpoint keeps the
/// log from growing without end.
pub const PRAGMAS: &str = "
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 4194304;
PRAGMA cache_size = -4096;
";

/// Changes something within a transaction, though nothing that anybody reads.
pub(super) fn touch(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?)
}

/// Sets the connection up and makes the tables of a new database, all or none.
pub(super) fn prepare(connection: &Connection, vault: [u8; 16]) -> Result<(), StoreError> {
    connection.execute_batch(PRAGMAS)?;
    // Without it each statement that could use a partial index is planned anew for each value that is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    rusqlite::vtab::array::load_module(connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(()),
        2 | 3 => {
            let to_3 = match version {
                2 => format!("ALTER TABLE events ADD COLUMN crowd INTEGER; {SINCE_3}"),
                _ => String::new(),
            };
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {to_3} {TO_4} PRAGMA user_version = {VERSION}; COMMIT"
            ))?;
            Ok(())
        }
        0 => {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            connection.execute_batch(TABLES)?;
            connection.execute_batch(SINCE_3)?;
            connection.execute_batch(AUDIT_GUARD)?;
            connection.execute("INSERT INTO meta(name, value) VALUES ('vault', ?)", params![vault])?;
            connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT"))?;
            Ok(())
        }
        other => Err(StoreError::damaged(format!(
            "events.sqlite has format {other}, this program knows {VERSION}; use the version that wrote it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use crate::domain::config::IdMerge;
    use crate::scratch::ScratchFolder;
    use crate::store::{Identities, Projects, Transactions};

    #[test]
    fn an_open_store_syncs_each_commit_and_overwrites_what_it_deletes() {
        let folder = ScratchFolder::new("schema-pragmas");
        let store = SqliteStore::open(folder.path()).unwrap();
        let setting =
            |name: &str| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        // FULL, and ON.
        assert_eq!((setting("synchronous"), setting("secure_delete")), (2, 1));
    }

    #[test]
    fn projects_of_format_3_whose_ids_were_merged_are_original_ones() {
        let folder = ScratchFolder::new("schema-format-3");
        let mut store = SqliteStore::open(folder.path()).unwrap();
        store.begin().unwrap();
        store.open_project("T").unwrap();
        let space = store.open_project("O").unwrap().space.unwrap();
        store.join(space, "u", "a", true).unwrap();
        store.commit().unwrap();
        let back = "ALTER TABLE projects DROP COLUMN id_merge; ALTER TABLE barriers DROP COLUMN sent_before;
            ALTER TABLE archives DROP COLUMN outdated; PRAGMA user_version = 3";
        store.connection.execute_batch(back).unwrap();
        drop(store);
        let mut store = SqliteStore::open(folder.path()).unwrap();
        let mut merge = |token: &str| store.find_project(token).unwrap().unwrap().id_merge;
        assert_eq!((merge("T"), merge("O")), (None, Some(IdMerge::Original)));
    }
}
