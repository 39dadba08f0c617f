//! Keys: one for each combination of ids, profile, task and usage log.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::SqliteStore;
use crate::domain::identity::{Ids, strip};
use crate::store::vault::{Key, Slot};
use crate::store::{KeyRow, ProjectRow, Space, StoreError};

/// Keys that are remembered at most.
const KNOWN: usize = 50_000;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events and replays under a combination of ids.
    Events = 0,
    /// A person's profile.
    Profile = 1,
    /// A group's profile.
    Group = 2,
    /// The ids and the archive of a privacy task.
    Task = 3,
    /// The usage log of an account.
    Account = 4,
    /// What the rows of many combinations with the same distinct id are found by.
    Crowd = 5,
}

/// The place of keys that belong to no space.
pub(super) const NO_SPACE: Space = Space { row: 0, project: 0 };

/// Keys of combinations that were looked up lately. Emptied whenever a key may have gone.
#[derive(Default)]
pub(super) struct KnownKeys {
    by_lookup: HashMap<(i64, [u8; 16]), OpenKey>,
    /// The last one, which is mostly the next one, too: a batch comes from one device.
    last: Option<(Space, Ids, OpenKey)>,
}

impl KnownKeys {
    pub fn clear(&mut self) {
        *self = KnownKeys::default();
    }

    fn insert(&mut self, space: Space, lookup: [u8; 16], key: &OpenKey) {
        if self.by_lookup.len() >= KNOWN {
            self.by_lookup.clear();
        }
        self.by_lookup.insert((space.row, lookup), key.clone());
    }
}

/// A usable key of a row.
#[derive(Clone)]
pub(super) struct OpenKey {
    pub row: KeyRow,
    pub key: Key,
}

impl OpenKey {
    /// Binds a ciphertext to its purpose and its row.
    pub fn seal(&self, purpose: &str, text: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.seal(&context(purpose, self.row), text)
    }

    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.open(&context(purpose, self.row), sealed).ok_or_else(|| {
            StoreError::damaged(format!(
                "a stored {purpose} does not match its key: the data folder is damaged"
            ))
        })
    }
}

fn context(purpose: &str, row: KeyRow) -> Vec<u8> {
    let mut context = purpose.as_bytes().to_vec();
    context.extend_from_slice(&row.to_le_bytes());
    context
}

pub(super) fn slot_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Slot> {
    Ok(Slot { index: row.get(first)?, generation: row.get::<_, i64>(first + 1)? as u64 })
}

fn ids_json(ids: &Ids) -> Value {
    json!([ids.device, ids.user, ids.also])
}

pub(super) fn ids_from(text: &[u8]) -> Option<Ids> {
    let (device, user, also): (Option<String>, Option<String>, Vec<String>) =
        serde_json::from_slice(text).ok()?;
    Some(Ids { device, user, also })
}

/// What a new key is for.
pub(super) struct NewKey<'a> {
    pub kind: Kind,
    pub space: Space,
    pub lookup: [u8; 16],
    /// The ids that it is found by.
    pub ids: &'a Ids,
    /// What is sealed beside it.
    pub about: &'a Value,
}

impl SqliteStore {
    fn id_hash(&self, domain: &str, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash(domain, &[&project.to_le_bytes(), id.as_bytes()])
    }

    pub(super) fn user_hash(&self, space: Space, user: &str) -> [u8; 16] {
        self.id_hash("user", space.project, user)
    }

    pub(super) fn device_hash(&self, space: Space, device: &str) -> [u8; 16] {
        self.id_hash("device", space.project, device)
    }

    /// The hash of an id that is named somewhere; with and without the prefix of devices it is the same.
    pub(super) fn naming_hash(&self, space: Space, id: &str) -> [u8; 16] {
        self.id_hash("named", space.project, strip(id))
    }

    pub(super) fn lookup_hash(&self, kind: Kind, project: ProjectRow, parts: &[Option<&str>]) -> [u8; 16] {
        let project = project.to_le_bytes();
        let mut bytes: Vec<&[u8]> = vec![&project];
        for part in parts {
            // An absent id and an empty one are different.
            bytes.push(if part.is_some() { b"1" } else { b"0" });
            bytes.push(part.unwrap_or_default().as_bytes());
        }
        let domain = ["events", "profile", "group", "task", "account", "crowd"][kind as usize];
        self.vault.hash(domain, &bytes)
    }

    pub(super) fn find_key(&self, space: Space, lookup: [u8; 16]) -> Result<Option<OpenKey>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT id, slot, generation FROM keys WHERE space = ? AND lookup = ?")?
            .query_row(params![space.row, lookup], |row| Ok((row.get(0)?, slot_of(row, 1)?)))
            .optional()?;
        found.map(|(row, slot)| Ok(OpenKey { row, key: self.vault.key(slot)? })).transpose()
    }

    /// Makes a key; the vault syncs it before the transaction is committed.
    pub(super) fn make_key(&mut self, new: &NewKey<'_>) -> Result<OpenKey, StoreError> {
        let (slot, key) = self.vault.allocate()?;
        self.fresh.push(slot);
        let device = new.ids.device.as_ref().map(|device| self.device_hash(new.space, device));
        let user = new.ids.user.as_ref().map(|user| self.user_hash(new.space, user));
        self.connection
            .prepare_cached(
                "INSERT INTO keys(space, kind, lookup, slot, generation, device, user, ids) VALUES (?, ?, ?, ?, ?, ?, ?, x'')",
            )?
            .execute(params![
                new.space.row,
                new.kind as i64,
                new.lookup,
                slot.index,
                slot.generation as i64,
                device,
                user
            ])?;
        let open = OpenKey { row: self.connection.last_insert_rowid(), key };
        let sealed = open.seal("ids", new.about.to_string().as_bytes())?;
        self.connection
            .prepare_cached("UPDATE keys SET ids = ? WHERE id = ?")?
            .execute(params![sealed, open.row])?;
        self.name_ids(new.space, open.row, &new.ids.also)?;
        Ok(open)
    }

    /// Lets a key be found by texts.
    pub(super) fn name_ids(&self, space: Space, key: KeyRow, texts: &[String]) -> Result<(), StoreError> {
        for text in texts {
            let hash = self.naming_hash(space, text);
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO key_ids(id, key) VALUES (?, ?)")?
                .execute(params![hash, key])?;
        }
        Ok(())
    }

    /// Lets a key be found by these texts and no others. A group may have very many members, of which an update changes
    /// few.
    pub(super) fn rename_ids(&self, space: Space, key: KeyRow, texts: &[String]) -> Result<(), StoreError> {
        let wanted: HashSet<[u8; 16]> = texts.iter().map(|text| self.naming_hash(space, text)).collect();
        let known: HashSet<[u8; 16]> = self
            .connection
            .prepare_cached("SELECT id FROM key_ids WHERE key = ?")?
            .query_map([key], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut remove = self.connection.prepare_cached("DELETE FROM key_ids WHERE id = ? AND key = ?")?;
        for gone in known.difference(&wanted) {
            remove.execute(params![gone, key])?;
        }
        let mut add = self.connection.prepare_cached("INSERT INTO key_ids(id, key) VALUES (?, ?)")?;
        for new in wanted.difference(&known) {
            add.execute(params![new, key])?;
        }
        Ok(())
    }

    /// The key of a combination, made if it is new.
    pub(super) fn events_key(&mut self, space: Space, ids: &Ids) -> Result<OpenKey, StoreError> {
        if let Some((last_space, last_ids, key)) = &self.known.last
            && *last_space == space
            && last_ids == ids
        {
            return Ok(key.clone());
        }
        let key = self.look_up_events_key(space, ids)?;
        self.known.last = Some((space, ids.clone(), key.clone()));
        Ok(key)
    }

    fn look_up_events_key(&mut self, space: Space, ids: &Ids) -> Result<OpenKey, StoreError> {
        let mut parts = vec![ids.device.as_deref(), ids.user.as_deref()];
        parts.extend(ids.also.iter().map(|id| Some(id.as_str())));
        let lookup = self.lookup_hash(Kind::Events, space.project, &parts);
        if let Some(key) = self.known.by_lookup.get(&(space.row, lookup)) {
            return Ok(key.clone());
        }
        let key = match self.find_key(space, lookup)? {
            Some(key) => key,
            None => {
                let about = ids_json(ids);
                let key = self.make_key(&NewKey { kind: Kind::Events, space, lookup, ids, about: &about })?;
                self.new_holder(space, ids);
                key
            }
        };
        self.known.insert(space, lookup, &key);
        Ok(key)
    }

    /// The ids of a combination, by the row of its key.
    pub(super) fn ids_of_row(&self, row: KeyRow) -> Result<(KeyRow, Ids), StoreError> {
        self.combination(row).map(|(_, ids)| (row, ids))
    }

    /// A key by its row, with the ids of its combination.
    pub(super) fn combination(&self, row: KeyRow) -> Result<(OpenKey, Ids), StoreError> {
        let (slot, sealed): (Slot, Vec<u8>) = self
            .connection
            .prepare_cached("SELECT slot, generation, ids FROM keys WHERE id = ?")?
            .query_row([row], |found| Ok((slot_of(found, 0)?, found.get(2)?)))?;
        let key = OpenKey { row, key: self.vault.key(slot)? };
        let ids = ids_from(&key.open("ids", &sealed)?).unwrap_or_default();
        Ok((key, ids))
    }
}
