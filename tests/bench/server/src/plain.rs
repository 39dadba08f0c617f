//! The plain insert: the rows that the server wrote, written again into the same tables and indexes under the same
//! pragmas, 1,000 rows a transaction, by one thread that does nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use refrain_mock::store::sqlite::{FILE_NAME, PRAGMAS, SqliteStore};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Rows in a transaction.
const TRANSACTION: usize = 1_000;

/// The rows of a data folder that came from ingestion, in the order in which they were written: each event after its key.
pub struct Rows(Vec<(Table, Vec<Value>)>);

#[derive(Clone, Copy)]
enum Table {
    Keys,
    Events,
}

const KEYS: &str =
    "id, space, kind, lookup, slot, generation, device, user, identified, dying, destroyed, ids";
const EVENTS: &str = "id, space, key, time, received, dedupe, body";

impl Rows {
    /// Reads them.
    pub fn of(folder: &Path) -> Result<Rows> {
        let connection = Connection::open(folder.join(FILE_NAME))?;
        let all = |table: &str, columns: &str| -> Result<Vec<Vec<Value>>> {
            let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY id"))?;
            let count = statement.column_count();
            let rows = statement.query_map([], |row| (0..count).map(|column| row.get(column)).collect())?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let mut keys = all("keys", KEYS)?.into_iter().peekable();
        let mut rows = Vec::new();
        for event in all("events", EVENTS)? {
            while let Some(key) = keys.next_if(|key| number(&key[0]) <= number(&event[2])) {
                rows.push((Table::Keys, key));
            }
            rows.push((Table::Events, event));
        }
        Ok(Rows(rows))
    }

    /// Writes them into an empty folder. Answers how long that took.
    pub fn write(&self, folder: &Path) -> Result<Duration> {
        // The server's own store makes the tables.
        drop(SqliteStore::open(folder)?);
        let connection = Connection::open(folder.join(FILE_NAME))?;
        connection.execute_batch(PRAGMAS)?;
        let insert = |table: &str, columns: &str| {
            let places = vec!["?"; columns.split(',').count()].join(", ");
            connection.prepare(&format!("INSERT INTO {table}({columns}) VALUES ({places})"))
        };
        let (mut keys, mut events) = (insert("keys", KEYS)?, insert("events", EVENTS)?);
        let begun = Instant::now();
        for rows in self.0.chunks(TRANSACTION) {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for (table, row) in rows {
                let statement = match table {
                    Table::Keys => &mut keys,
                    Table::Events => &mut events,
                };
                statement.execute(params_from_iter(row))?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(begun.elapsed())
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => 0,
    }
}
