//! Rows of session replays. A piece is sealed whole: the length of what is known about it, that, and its bytes.

use std::rc::Rc;
use std::sync::Arc;

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::keys::{OpenKey, ids_from, slot_of};
use crate::store::{KeyRow, NewReplay, Replays, Space, StoreError, StoredReplay};

impl Replays for SqliteStore {
    fn put_replay(&mut self, space: Space, replay: &NewReplay) -> Result<(), StoreError> {
        let key = self.events_key(space, &replay.ids)?;
        let about = replay.about.to_string();
        let mut text = (about.len() as u32).to_le_bytes().to_vec();
        text.extend_from_slice(about.as_bytes());
        text.extend_from_slice(&replay.body);
        self.connection
            .prepare_cached(
                "INSERT INTO replays(space, key, received, expires, body) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![
                space.row,
                key.row,
                replay.received,
                replay.expires,
                key.seal("replay", &text)?
            ])?;
        Ok(())
    }

    fn visit_replays(
        &mut self,
        space: Space,
        now: i64,
        after: i64,
        keys: Option<Arc<Vec<KeyRow>>>,
        visitor: &mut dyn FnMut(StoredReplay) -> bool,
    ) -> Result<(), StoreError> {
        // The index is named, or one person's replays would be looked for among those of all.
        let (index, of) = match keys {
            Some(_) => ("INDEXED BY replays_key", "r.key IN rarray(?4)"),
            None => ("", "?4 IS NULL"),
        };
        let keys = keys.map(|keys| Rc::new(keys.iter().map(|key| Sql::Integer(*key)).collect::<Vec<_>>()));
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT r.id, r.received, r.body, k.id, k.slot, k.generation, k.ids, r.expires
             FROM replays r {index} JOIN keys k ON k.id = r.key
             WHERE r.space = ?1 AND (r.expires IS NULL OR r.expires > ?2) AND r.id > ?3 AND {of}
               AND k.dying IS NULL ORDER BY r.id"
        ))?;
        let mut rows = statement.query(params![space.row, now, after, keys])?;
        while let Some(row) = rows.next()? {
            let key = OpenKey { row: row.get(3)?, key: self.vault.key(slot_of(row, 4)?)? };
            let ids = ids_from(&key.open("ids", row.get_ref(6)?.as_blob()?)?).unwrap_or_default();
            let text = key.open("replay", row.get_ref(2)?.as_blob()?)?;
            let damaged = || StoreError::damaged("a stored replay cannot be read");
            let (length, rest) = text.split_first_chunk::<4>().ok_or_else(damaged)?;
            let (about, body) =
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
            let replay = StoredReplay {
                row: row.get(0)?,
                key: key.row,
                ids,
                about: serde_json::from_slice(about).map_err(|_| damaged())?,
                body: body.to_vec(),
                received: row.get(1)?,
                expires: row.get(7)?,
            };
            if !visitor(replay) {
                break;
            }
        }
        Ok(())
    }

    fn next_replay_expiry(&mut self, space: Space) -> Result<Option<i64>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT min(expires) FROM replays WHERE space = ?")?;
        Ok(statement.query_row([space.row], |row| row.get(0)).optional()?.flatten())
    }

    fn delete_expired_replays(&mut self, space: Space, now: i64, limit: usize) -> Result<usize, StoreError> {
        let deleted = self
            .connection
            .prepare_cached(
                "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE space = ? AND expires <= ? LIMIT ?)",
            )?
            .execute(params![space.row, now, limit as i64])?;
        Ok(deleted)
    }
}
