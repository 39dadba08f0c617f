//! Which stored event a new one is a copy of (SPEC §20.4).
//!
//! What makes events equal names the distinct id as it was sent, and not the device: a copy may have come under another
//! combination of ids. It is found by a hash, which must not outlive the person: with a key that stays, whoever has an
//! old copy of the database could ask it whether an erased person did this or that, by trying. So each row's hash is
//! under the key of its own combination, which the person's erasure destroys, and a copy is looked for under each
//! combination that the distinct id may have come with. Those are few, as a rule none but its own.
//!
//! Where they are many, as where a client gives everybody the same id, looking under each would cost every event more
//! than the one before. The rows of those that came after the first [`FEW`] have their hashes under a key that they
//! share, the crowd's. It is destroyed with the first of its members that is erased. What the others have sent by then
//! is not told from a copy that comes later: the price of leaving nothing behind at once, and only a crowd pays it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::SqliteStore;
use super::keys::{Kind, NewKey, OpenKey, slot_of};
use crate::domain::event;
use crate::domain::identity::{self, DEVICE_PREFIX, Ids, strip};
use crate::store::vault::{Key, Slot};
use crate::store::{EventParts, KeyRow, Space, StoreError};

/// Combinations of a distinct id under each of which a copy is looked for.
const FEW: usize = 8;
/// Distinct ids whose combinations are remembered at most.
const REMEMBERED: usize = 10_000;

/// The combinations that a distinct id may have come with.
pub(super) struct Holders {
    /// The first of them.
    few: Vec<OpenKey>,
    has_more: bool,
    crowd: Option<OpenKey>,
}

/// Distinct ids that were looked up lately. Emptied whenever a key may have gone.
#[derive(Default)]
pub(super) struct KnownHolders {
    by_id: HashMap<(i64, [u8; 16]), Arc<Holders>>,
    /// The last one, which is mostly the next one, too.
    last: Option<(Space, String, Arc<Holders>)>,
}

/// What an event is found by, and the row that it is a copy of.
pub(super) struct Place {
    pub hash: [u8; 16],
    pub crowd: Option<KeyRow>,
    pub copy_of: Option<i64>,
}

fn hash(key: &Key, text: &[u8]) -> [u8; 16] {
    key.hash("dedupe", &[text])
}

/// The hash of a stored event's text under a combination's own key.
pub(super) fn own_hash(text: &[u8], key: &OpenKey, time: i64) -> Result<Option<[u8; 16]>, StoreError> {
    Ok(text_of(&EventParts::read(text)?, time).map(|text| hash(&key.key, &text)))
}

/// What makes a stored event equal to others; nothing where it was sent without an `$insert_id`.
fn text_of(parts: &EventParts, time: i64) -> Option<Vec<u8>> {
    let id = identity::id_text(parts.properties.get("$insert_id"))?;
    Some(event::dedupe_key(&parts.name, parts.distinct_id.as_deref(), parts.sent_time(time), &id))
}

impl KnownHolders {
    pub fn clear(&mut self) {
        *self = KnownHolders::default();
    }

    fn forget(&mut self, space: Space, naming: [u8; 16]) {
        self.by_id.remove(&(space.row, naming));
        self.last = None;
    }

    fn insert(&mut self, space: Space, naming: [u8; 16], holders: &Arc<Holders>) {
        if self.by_id.len() >= REMEMBERED {
            self.by_id.clear();
        }
        self.by_id.insert((space.row, naming), holders.clone());
    }
}

impl SqliteStore {
    /// The place of an event under a combination. `text` is what makes events equal, `sent` the distinct id as sent; one
    /// that was sent without is equal to those of the same resolved id only.
    pub(super) fn place(
        &mut self,
        space: Space,
        own: &OpenKey,
        ids: &Ids,
        sent: Option<&str>,
        text: &[u8],
    ) -> Result<Place, StoreError> {
        let alone = Place { hash: hash(&own.key, text), crowd: None, copy_of: None };
        let resolved = if sent.is_none() { ids.own() } else { None };
        let Some(id) = sent.or(resolved.as_deref()) else { return Ok(alone) };
        let holders = self.holders(space, id)?;
        let is_one_of_few = !holders.has_more || holders.few.iter().any(|key| key.row == own.row);
        if is_one_of_few && holders.few.len() < 2 && holders.crowd.is_none() {
            return Ok(alone);
        }
        let mut copy_of = None;
        for other in holders.few.iter().filter(|key| key.row != own.row) {
            copy_of = self.row_under("key", other.row, &hash(&other.key, text))?;
            if copy_of.is_some() {
                break;
            }
        }
        if let (None, Some(crowd)) = (copy_of, &holders.crowd) {
            copy_of = self.row_under("crowd", crowd.row, &hash(&crowd.key, text))?;
        }
        if is_one_of_few {
            return Ok(Place { copy_of, ..alone });
        }
        let crowd = match &holders.crowd {
            Some(crowd) => crowd.clone(),
            None => self.make_crowd(space, id)?,
        };
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO crowd_members(key, crowd) VALUES (?, ?)")?
            .execute([own.row, crowd.row])?;
        Ok(Place { hash: hash(&crowd.key, text), crowd: Some(crowd.row), copy_of })
    }

    /// A combination is there that was not before, so that those of its ids have to be looked up again.
    pub(super) fn new_holder(&mut self, space: Space, ids: &Ids) {
        for id in ids.literal() {
            let naming = self.naming_hash(space, id);
            self.holders.forget(space, naming);
        }
    }

    /// Finds places for the events of a combination, among which are those from another space. Of two copies the one that
    /// was received later stays.
    pub(super) fn place_again(&mut self, space: Space, row: KeyRow) -> Result<(), StoreError> {
        let (own, ids) = self.combination(row)?;
        let mut is_alone = true;
        for id in ids.literal() {
            let holders = self.holders(space, id)?;
            is_alone &= holders.few.len() < 2 && holders.crowd.is_none();
        }
        if is_alone {
            return Ok(());
        }
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT id, received, time, body FROM events WHERE key = ? AND dedupe IS NOT NULL ORDER BY id",
            )?
            .query_map([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (event, received, time, body) in rows {
            let parts = EventParts::read(&own.open("event", &body)?)?;
            let Some(text) = text_of(&parts, time) else { continue };
            let place = self.place(space, &own, &ids, parts.distinct_id.as_deref(), &text)?;
            if let Some(other) = place.copy_of.filter(|other| *other != event) {
                let is_later = self
                    .connection
                    .prepare_cached("SELECT (received, id) > (?, ?) FROM events WHERE id = ?")?
                    .query_row([received, event, other], |row| row.get::<_, bool>(0))?;
                let older = if is_later { event } else { other };
                self.connection.prepare_cached("DELETE FROM events WHERE id = ?")?.execute([older])?;
                if is_later {
                    continue;
                }
            }
            self.connection
                .prepare_cached("UPDATE OR REPLACE events SET dedupe = ?, crowd = ? WHERE id = ?")?
                .execute(params![place.hash, place.crowd, event])?;
        }
        Ok(())
    }

    fn row_under(&self, column: &str, key: KeyRow, hash: &[u8; 16]) -> Result<Option<i64>, StoreError> {
        let sql = format!("SELECT id FROM events WHERE {column} = ? AND dedupe = ?");
        let found = self.connection.prepare_cached(&sql)?.query_row(params![key, hash], |row| row.get(0));
        Ok(found.optional()?)
    }

    fn make_crowd(&mut self, space: Space, id: &str) -> Result<OpenKey, StoreError> {
        let lookup = self.lookup_hash(Kind::Crowd, space.project, &[Some(strip(id))]);
        let (ids, about) = (Ids::default(), Value::Null);
        let crowd = self.make_key(&NewKey { kind: Kind::Crowd, space, lookup, ids: &ids, about: &about })?;
        let naming = self.naming_hash(space, id);
        self.holders.forget(space, naming);
        Ok(crowd)
    }

    fn holders(&mut self, space: Space, id: &str) -> Result<Arc<Holders>, StoreError> {
        if let Some((last_space, last_id, holders)) = &self.holders.last
            && *last_space == space
            && last_id == id
        {
            return Ok(holders.clone());
        }
        let naming = self.naming_hash(space, id);
        let holders = match self.holders.by_id.get(&(space.row, naming)) {
            Some(known) => known.clone(),
            None => {
                let found = Arc::new(self.look_up_holders(space, id, naming)?);
                self.holders.insert(space, naming, &found);
                found
            }
        };
        self.holders.last = Some((space, id.to_owned(), holders.clone()));
        Ok(holders)
    }

    /// With and without the prefix of devices an id is the same here: what is equal is told by the text, and one
    /// combination too many does no harm.
    fn look_up_holders(&self, space: Space, id: &str, naming: [u8; 16]) -> Result<Holders, StoreError> {
        let bare = strip(id);
        let mut found: Vec<(KeyRow, Slot)> = self
            .connection
            .prepare_cached(&holders_sql())?
            .query_map(
                params![
                    space.row,
                    self.user_hash(space, bare),
                    self.user_hash(space, &format!("{DEVICE_PREFIX}{bare}")),
                    self.device_hash(space, bare),
                    naming,
                    FEW as i64 + 1
                ],
                |row: &Row<'_>| Ok((row.get(0)?, slot_of(row, 1)?)),
            )?
            .collect::<Result<_, _>>()?;
        found.sort_unstable_by_key(|(row, _)| *row);
        found.dedup();
        let open = |(row, slot): &(KeyRow, Slot)| Ok(OpenKey { row: *row, key: self.vault.key(*slot)? });
        let few = found.iter().take(FEW).map(open).collect::<Result<_, StoreError>>()?;
        let lookup = self.lookup_hash(Kind::Crowd, space.project, &[Some(bare)]);
        Ok(Holders { few, has_more: found.len() > FEW, crowd: self.find_key(space, lookup)? })
    }
}

/// The combinations of an id in a space, by its four hashes.
fn holders_sql() -> String {
    // Each part goes by an index in which rows come in order, so that it ends with the few, however many there are.
    let part = |condition: &str| {
        format!(
            "SELECT * FROM (SELECT id, slot, generation FROM keys
             WHERE space = ?1 AND {condition} AND kind = 0 AND dying IS NULL ORDER BY id LIMIT ?6)"
        )
    };
    format!(
        "{} UNION ALL {} UNION ALL {} UNION ALL
         SELECT * FROM (SELECT k.id, k.slot, k.generation FROM key_ids i CROSS JOIN keys k ON k.id = i.key
         WHERE i.id = ?5 AND k.space = ?1 AND k.kind = 0 AND k.dying IS NULL ORDER BY i.key LIMIT ?6)",
        part("user = ?2"),
        part("user = ?3"),
        part("device = ?4"),
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use serde_json::json;

    use super::*;
    use crate::domain::event::Event;
    use crate::store::{
        Erasing, Erasure, EventText, Events, Identities, NewEvent, NewTask, Projects, Put, TaskKind, Tasks,
        Transactions,
    };

    const MANY: usize = 3 * FEW;

    /// One user's event from one of many devices.
    fn event(device: usize, insert_id: usize) -> NewEvent {
        let insert_id = insert_id.to_string();
        let user = Some("u".to_owned());
        let event = Event {
            name: "A".into(),
            ids: Ids { user: user.clone(), device: Some(format!("d{device}")), also: Vec::new() },
            distinct_id: user,
            time: 5,
            sent_time: Some(5),
            properties: json!({"$insert_id": insert_id}).as_object().unwrap().clone(),
            dedupe: Some(event::dedupe_key("A", Some("u"), Some(5), &insert_id)),
            verb: None,
        };
        let text = EventText::of(&event);
        let Event { ids, distinct_id, time, dedupe, .. } = event;
        NewEvent { ids, distinct_id, time, dedupe, text }
    }

    #[test]
    fn who_comes_next_needs_no_other_plan() {
        let store = SqliteStore::in_memory().unwrap();
        let mut statement = store.connection.prepare(&holders_sql()).unwrap();
        for n in 0..3 {
            assert!(!statement.exists([1, n, n, n, n, FEW as i64]).unwrap());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    /// A store in which each of many devices of one user has sent an event of its own.
    fn store() -> (SqliteStore, Space) {
        let mut store = SqliteStore::in_memory().unwrap();
        store.begin().unwrap();
        let space = store.open_project("T").unwrap().space.unwrap();
        for device in 0..MANY {
            assert_eq!(store.put_event(space, &event(device, device), 1).unwrap(), Put::Stored);
        }
        store.commit().unwrap();
        (store, space)
    }

    fn erase(store: &mut SqliteStore, space: Space, device: usize) {
        let keys = store.keys_of_device(space, &format!("d{device}")).unwrap();
        let (kind, id) = (TaskKind::Device, format!("task-{device}"));
        let task =
            NewTask { kind, id, ids: vec![device.to_string()], requested: 1, due: 1, about: json!({}) };
        store.begin().unwrap();
        store.put_task(space.project, &task).unwrap();
        let row = store.task(&task.id).unwrap().unwrap().row;
        let erasure = Erasure {
            project: space.project,
            task: row,
            spaces: vec![space],
            keys,
            ids: Vec::new(),
            barrier: None,
        };
        store.erase(&erasure).unwrap();
        store.commit().unwrap();
        store.destroy_keys().unwrap();
        while store.is_shredding() {
            store.shred(1, 1).unwrap();
        }
    }

    fn put(store: &mut SqliteStore, space: Space, event: &NewEvent) -> Put {
        store.begin().unwrap();
        let put = store.put_event(space, event, 2).unwrap();
        store.commit().unwrap();
        put
    }

    #[test]
    fn no_key_that_stays_tells_what_an_erased_device_sent() {
        for erased in [0, FEW - 1, FEW, MANY - 1] {
            let (mut store, space) = store();
            // What a copy of the database from before the erasure shows of the event.
            let shown: Vec<[u8; 16]> = {
                let mut statement = store.connection.prepare("SELECT dedupe FROM events").unwrap();
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            };
            let guess = event(erased, erased).dedupe.unwrap();
            let found = |store: &SqliteStore| {
                let slots = store.slots("dying IS NULL").unwrap();
                let keys = slots.into_iter().map(|slot| store.vault.key(slot).unwrap());
                let hashes = keys
                    .map(|key| hash(&key, &guess))
                    .chain([hash(store.vault.common_key(), &guess), store.vault.hash("dedupe", &[&guess])]);
                hashes.filter(|hash| shown.contains(hash)).count()
            };
            assert_eq!(found(&store), 1, "the test guesses well");
            erase(&mut store, space, erased);
            assert_eq!(found(&store), 0, "device {erased}");
        }
    }

    #[test]
    fn after_an_erasure_the_others_are_told_from_copies_unless_they_share_its_crowd() {
        for (erased, known) in [(0, MANY - 1), (FEW, FEW)] {
            let (mut store, space) = store();
            erase(&mut store, space, erased);
            let others = (0..MANY).filter(|device| *device != erased);
            let copies = others.map(|device| put(&mut store, space, &event(1, device)));
            assert_eq!(copies.filter(|put| *put == Put::Duplicate).count(), known, "device {erased}");
            // From here on all of them are known again, those of a new crowd too.
            let again = (0..MANY).map(|device| put(&mut store, space, &event(MANY - 1, device)));
            assert_eq!(again.filter(|put| *put == Put::Duplicate).count(), MANY - 1, "device {erased}");
        }
    }

    #[test]
    fn a_folder_of_the_format_before_is_taken_over() {
        let folder = std::env::temp_dir().join(format!("refrain-dedupe-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let mut store = SqliteStore::open(&folder).unwrap();
        store.begin().unwrap();
        let space = store.open_project("T").unwrap().space.unwrap();
        store.put_event(space, &event(0, 0), 1).unwrap();
        store.commit().unwrap();
        store
            .connection
            .execute_batch(
                "DROP INDEX profiles_rows; DROP INDEX events_crowd; DROP TABLE crowd_members; DROP TABLE archive_pieces; ALTER TABLE events DROP COLUMN crowd;
                 ALTER TABLE projects DROP COLUMN id_merge; ALTER TABLE barriers DROP COLUMN sent_before;
                 ALTER TABLE archives DROP COLUMN outdated;
                 PRAGMA user_version = 2",
            )
            .unwrap();
        drop(store);
        let mut store = SqliteStore::open(&folder).unwrap();
        for device in 0..MANY {
            assert_eq!(put(&mut store, space, &event(device, 0)), Put::Duplicate);
        }
        drop(store);
        drop(SqliteStore::open(&folder).unwrap());
        let _ = std::fs::remove_dir_all(&folder);
    }
}
