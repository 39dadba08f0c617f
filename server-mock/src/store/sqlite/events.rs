//! Event rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::SqliteStore;
use super::keys::{OpenKey, ids_from, slot_of};
use crate::domain::config::RetentionBasis;
use crate::domain::identity::Ids;
use crate::store::{EventRange, KeyRow, NewEvent, ProjectRow, Put, StoreError, StoredEvent, Window};

impl SqliteStore {
    pub(super) fn insert_event(&mut self, project: ProjectRow, event: &NewEvent) -> Result<Put, StoreError> {
        let key = self.events_key(project, &event.ids)?;
        let body = json!([event.name, event.distinct_id, event.properties]).to_string();
        let sealed = key.seal("event", body.as_bytes())?;
        // Hashed with the person's own key, so that nothing can be told from it once that key is destroyed.
        let dedupe = event.dedupe.as_ref().map(|text| key.key.hash("dedupe", &[text]));
        if let Some(dedupe) = dedupe {
            let same: Option<i64> = self
                .connection
                .prepare_cached("SELECT id FROM events WHERE key = ? AND dedupe = ?")?
                .query_row(params![key.row, dedupe], |row| row.get(0))
                .optional()?;
            if let Some(row) = same {
                self.connection
                    .prepare_cached("UPDATE events SET time = ?, received = ?, body = ? WHERE id = ?")?
                    .execute(params![event.time, event.received, sealed, row])?;
                return Ok(Put::Duplicate);
            }
        }
        self.connection
            .prepare_cached(
                "INSERT INTO events(project, key, time, received, dedupe, body) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![project, key.row, event.time, event.received, dedupe, sealed])?;
        Ok(Put::Stored)
    }

    pub(super) fn delete_expired_events(
        &mut self,
        project: ProjectRow,
        window: Window,
    ) -> Result<usize, StoreError> {
        let column = match window.basis {
            RetentionBasis::Received => "received",
            RetentionBasis::EventDate => "time",
        };
        let mut statement = self
            .connection
            .prepare_cached(&format!("DELETE FROM events WHERE project = ? AND {column} <= ?"))?;
        Ok(statement.execute([project, window.expired_until])?)
    }

    pub(super) fn scan_events(
        &mut self,
        range: EventRange,
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<(), StoreError> {
        let expiry = match range.window.basis {
            RetentionBasis::Received => "e.received",
            RetentionBasis::EventDate => "e.time",
        };
        let (after, order) = match range.by_time_after {
            Some(_) => ("(e.time > ?4 OR (e.time = ?4 AND e.id > ?5))", "e.time, e.id"),
            None => ("(?4 IS NULL AND e.id > ?5)", "e.id"),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT e.id, e.key, e.time, e.received, e.body, k.slot, k.generation, k.ids
             FROM events e JOIN keys k ON k.id = e.key
             WHERE e.project = ?1 AND e.time >= ?2 AND e.time < ?3 AND {after} AND {expiry} > ?6 AND k.dying IS NULL
             ORDER BY {order}"
        ))?;
        let bounds = params![
            range.project,
            range.from,
            range.until,
            range.by_time_after,
            range.after_row,
            range.window.expired_until
        ];
        let mut rows = statement.query(bounds)?;
        let mut keys: HashMap<KeyRow, (OpenKey, Ids)> = HashMap::new();
        while let Some(row) = rows.next()? {
            let key_row: KeyRow = row.get(1)?;
            let (key, ids) = match keys.entry(key_row) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let key = OpenKey { row: key_row, key: self.vault.key(slot_of(row, 5)?)? };
                    let ids = ids_from(&key.open("ids", &row.get::<_, Vec<u8>>(7)?)?).unwrap_or_default();
                    new.insert((key, ids))
                }
            };
            let body = key.open("event", &row.get::<_, Vec<u8>>(4)?)?;
            let (name, distinct_id, properties): (String, Option<String>, Map<String, Value>) =
                serde_json::from_slice(&body)
                    .map_err(|_| StoreError::damaged("a stored event cannot be read"))?;
            let event = StoredEvent {
                row: row.get(0)?,
                key: key_row,
                ids: ids.clone(),
                name,
                distinct_id,
                time: row.get(2)?,
                received: row.get(3)?,
                properties,
            };
            if !visitor(event) {
                break;
            }
        }
        Ok(())
    }
}
