//! Event rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::SqliteStore;
use super::keys::{OpenKey, ids_from, slot_of};
use crate::domain::config::RetentionBasis;
use crate::domain::identity::Ids;
use crate::store::vault::Vault;
use crate::store::{
    Behind, EventParts, EventPlace, EventRange, Events, KeyRow, NewEvent, Order, Put, Space, StoreError,
    StoredEvent, Window,
};

/// The column that a retention window is compared with.
fn basis_column(basis: RetentionBasis) -> &'static str {
    match basis {
        RetentionBasis::Received => "received",
        RetentionBasis::EventDate => "time",
    }
}

/// The rows of a range; parameters 1 to 4 are the space, the two times and the bound of expiry, 5 the keys.
fn range_sql(range: &EventRange) -> String {
    let expiry = basis_column(range.window.basis);
    // The index is named, or one person's events would be looked for among those of all.
    let (index, keys) = match range.keys {
        Some(_) => ("INDEXED BY events_key", "AND e.key IN rarray(?5)"),
        None => ("", "AND ?5 IS NULL"),
    };
    format!(
        "FROM events e {index} JOIN keys k ON k.id = e.key
         WHERE e.space = ?1 AND e.time >= ?2 AND e.time < ?3 AND e.{expiry} > ?4 AND k.dying IS NULL {keys}"
    )
}

/// What is read of an event: its row joined with that of its key.
const EVENT: &str = "e.id, e.key, e.time, e.received, e.body, k.slot, k.generation, k.ids";

/// Where an order starts and how it goes; parameters 6 and 7 are its bounds.
fn order_sql(order: Order) -> (&'static str, &'static str, (i64, Option<i64>)) {
    match order {
        Order::Receipt(after) => ("e.id > ?6 AND ?7 IS NULL", "e.id", (after, None)),
        Order::Newest(before) => ("e.id < ?6 AND ?7 IS NULL", "e.id DESC", (before, None)),
        Order::Time(time, row) => {
            ("(e.time > ?6 OR (e.time = ?6 AND e.id > ?7))", "e.time, e.id", (time, Some(row)))
        }
    }
}

/// Opens events; remembers the keys that they came under.
#[derive(Default)]
struct Opener(HashMap<KeyRow, (OpenKey, Ids)>);

impl Opener {
    fn open(&mut self, vault: &Vault, row: &Row<'_>) -> Result<StoredEvent, StoreError> {
        let key_row: KeyRow = row.get(1)?;
        let (key, ids) = match self.0.entry(key_row) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let key = OpenKey { row: key_row, key: vault.key(slot_of(row, 5)?)? };
                let ids = ids_from(&key.open("ids", row.get_ref(7)?.as_blob()?)?).unwrap_or_default();
                new.insert((key, ids))
            }
        };
        let parts = EventParts::read(&key.open("event", row.get_ref(4)?.as_blob()?)?)?;
        Ok(StoredEvent {
            row: row.get(0)?,
            key: key_row,
            ids: ids.clone(),
            name: parts.name,
            distinct_id: parts.distinct_id,
            time: row.get(2)?,
            received: row.get(3)?,
            properties: parts.properties,
        })
    }
}

/// The keys of a range as a parameter.
type KeyList = Option<Rc<Vec<Sql>>>;

fn key_list(range: &EventRange) -> KeyList {
    range.keys.as_ref().map(|keys| Rc::new(keys.iter().map(|key| Sql::Integer(*key)).collect()))
}

/// What [`range_sql`] and the start of [`order_sql`] name by `?1` to `?7`.
fn bound<'a>(range: &'a EventRange, keys: &'a KeyList, bounds: &'a (i64, Option<i64>)) -> [&'a dyn ToSql; 7] {
    [&range.space.row, &range.from, &range.until, &range.window.expired_until, keys, &bounds.0, &bounds.1]
}

impl Events for SqliteStore {
    fn put_event(&mut self, space: Space, event: &NewEvent, received: i64) -> Result<Put, StoreError> {
        let key = self.events_key(space, &event.ids)?;
        let sealed = key.seal("event", event.text.as_bytes())?;
        let place = match &event.dedupe {
            Some(text) => Some(self.place(space, &key, &event.ids, event.distinct_id.as_deref(), text)?),
            None => None,
        };
        let (dedupe, crowd) = place.as_ref().map_or((None, None), |place| (Some(place.hash), place.crowd));
        if let Some(row) = place.and_then(|place| place.copy_of) {
            // Two equal rows that were written before copies were looked for under other combinations become one.
            self.connection
                .prepare_cached(
                    "UPDATE OR REPLACE events SET key = ?, time = ?, received = ?, dedupe = ?, crowd = ?, body = ?
                     WHERE id = ?",
                )?
                .execute(params![key.row, event.time, received, dedupe, crowd, sealed, row])?;
            return Ok(Put::Duplicate);
        }
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO events(space, key, time, received, dedupe, crowd, body) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT(key, dedupe) DO NOTHING",
            )?
            .execute(params![space.row, key.row, event.time, received, dedupe, crowd, sealed])?;
        if added > 0 {
            return Ok(Put::Stored);
        }
        self.connection
            .prepare_cached(
                "UPDATE events SET time = ?, received = ?, body = ? WHERE key = ? AND dedupe = ?",
            )?
            .execute(params![event.time, received, sealed, key.row, dedupe])?;
        Ok(Put::Duplicate)
    }

    fn visit_events(
        &mut self,
        range: &EventRange,
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<(), StoreError> {
        let (start, order, bounds) = order_sql(range.order);
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {EVENT} {} AND {start} ORDER BY {order}", range_sql(range)))?;
        let keys = key_list(range);
        let mut rows = statement.query(&bound(range, &keys, &bounds)[..])?;
        let mut opener = Opener::default();
        while let Some(row) = rows.next()? {
            if !visitor(opener.open(&self.vault, row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Put in order here: the database would have several times as much in memory for it.
    fn event_rows(&mut self, range: &EventRange) -> Result<Vec<i64>, StoreError> {
        let (start, _, bounds) = order_sql(range.order);
        let sql = format!("SELECT e.time, e.id {} AND {start}", range_sql(range));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let keys = key_list(range);
        let found =
            statement.query_map(&bound(range, &keys, &bounds)[..], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut found: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
        match range.order {
            Order::Receipt(_) => found.sort_unstable_by_key(|(_, row)| *row),
            Order::Newest(_) => found.sort_unstable_by_key(|(_, row)| std::cmp::Reverse(*row)),
            Order::Time(..) => found.sort_unstable(),
        }
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }

    fn last_event(&mut self) -> Result<i64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT ifnull(max(id), 0) FROM events")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn visit_event_places(
        &mut self,
        key: KeyRow,
        behind: &mut Behind,
        limit: usize,
        visitor: &mut dyn FnMut(EventPlace),
    ) -> Result<bool, StoreError> {
        let (rest, bound): (_, &dyn ToSql) = match behind {
            Behind::Row(row) => ("dedupe IS NULL AND id > ?2 ORDER BY id", row),
            Behind::Dedupe(hash) => ("dedupe > ?2 ORDER BY dedupe", hash),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, time, dedupe FROM events INDEXED BY events_key WHERE key = ?1 AND {rest} LIMIT ?3"
        ))?;
        let mut rows = statement.query(params![key, bound, limit.min(i64::MAX as usize) as i64])?;
        let (mut seen, mut last) = (0, None);
        while let Some(row) = rows.next()? {
            let place = EventPlace { row: row.get(0)?, time: row.get(1)? };
            visitor(place);
            let dedupe: Option<Vec<u8>> = row.get(2)?;
            (seen, last) = (seen + 1, Some(dedupe.map_or(Behind::Row(place.row), Behind::Dedupe)));
        }
        let is_last = matches!(behind, Behind::Dedupe(_));
        match last {
            Some(last) if seen == limit => *behind = last,
            _ if !is_last => *behind = Behind::Dedupe(Vec::new()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn visit_rewritten_events(
        &mut self,
        space: Space,
        since: i64,
        last: i64,
        visitor: &mut dyn FnMut(KeyRow, EventPlace),
    ) -> Result<(), StoreError> {
        // The index is named, or all events up to that row would be looked at.
        let mut statement = self.connection.prepare_cached(
            "SELECT key, id, time FROM events INDEXED BY events_received WHERE space = ? AND received >= ? AND id <= ?",
        )?;
        let mut rows = statement.query([space.row, since, last])?;
        while let Some(row) = rows.next()? {
            visitor(row.get(0)?, EventPlace { row: row.get(1)?, time: row.get(2)? });
        }
        Ok(())
    }

    fn visit_event_rows(
        &mut self,
        range: &EventRange,
        rows: &[i64],
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {EVENT} FROM events e JOIN keys k ON k.id = e.key
             WHERE e.id = ? AND e.space = ? AND k.dying IS NULL"
        ))?;
        let mut opener = Opener::default();
        for (gone_through, id) in rows.iter().enumerate() {
            let mut found = statement.query([*id, range.space.row])?;
            if let Some(row) = found.next()?
                && !visitor(opener.open(&self.vault, row)?)
            {
                return Ok(gone_through + 1);
            }
        }
        Ok(rows.len())
    }

    fn count_events(&mut self, range: &EventRange) -> Result<usize, StoreError> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT count(*) {}", range_sql(range)))?;
        let count: i64 = statement.query_row(
            params![range.space.row, range.from, range.until, range.window.expired_until, key_list(range)],
            |row| row.get(0),
        )?;
        Ok(count as usize)
    }

    fn oldest_event(&mut self, space: Space, basis: RetentionBasis) -> Result<Option<i64>, StoreError> {
        let column = basis_column(basis);
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT min({column}) FROM events WHERE space = ?"))?;
        Ok(statement.query_row([space.row], |row| row.get(0)).optional()?.flatten())
    }

    fn delete_expired_events(
        &mut self,
        space: Space,
        window: Window,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let column = basis_column(window.basis);
        let mut statement = self.connection.prepare_cached(&format!(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE space = ? AND {column} <= ? LIMIT ?)"
        ))?;
        Ok(statement.execute([space.row, window.expired_until, limit.min(i64::MAX as usize) as i64])?)
    }
}
