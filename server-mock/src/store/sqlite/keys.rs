//! Combinations of ids: their keys, and the links that they make.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::SqliteStore;
use crate::domain::identity::Ids;
use crate::store::vault::{Key, Slot};
use crate::store::{ClusterNode, KeyRow, ProjectRow, StoreError};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events under a combination of ids.
    Events = 0,
    /// A person's profile.
    Profile = 1,
    /// A group's profile.
    Group = 2,
    /// The ids of a privacy task.
    Task = 3,
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

pub(super) fn context(purpose: &str, row: KeyRow) -> Vec<u8> {
    let mut context = purpose.as_bytes().to_vec();
    context.extend_from_slice(&row.to_le_bytes());
    context
}

pub(super) fn slot_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Slot> {
    Ok(Slot { index: row.get(first)?, generation: row.get::<_, i64>(first + 1)? as u64 })
}

pub(super) fn ids_json(ids: &Ids) -> Value {
    json!([ids.device, ids.user])
}

pub(super) fn ids_from(text: &[u8]) -> Option<Ids> {
    let (device, user): (Option<String>, Option<String>) = serde_json::from_slice(text).ok()?;
    Some(Ids { device, user })
}

impl SqliteStore {
    fn id_hash(&self, domain: &str, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash(domain, &[&project.to_le_bytes(), id.as_bytes()])
    }

    pub(super) fn user_hash(&self, project: ProjectRow, user: &str) -> [u8; 16] {
        self.id_hash("user", project, user)
    }

    pub(super) fn device_hash(&self, project: ProjectRow, device: &str) -> [u8; 16] {
        self.id_hash("device", project, device)
    }

    pub(super) fn lookup_hash(&self, kind: Kind, project: ProjectRow, parts: &[Option<&str>]) -> [u8; 16] {
        let project = project.to_le_bytes();
        let mut bytes: Vec<&[u8]> = vec![&project];
        for part in parts {
            // An absent id and an empty one are different.
            bytes.push(if part.is_some() { b"1" } else { b"0" });
            bytes.push(part.unwrap_or_default().as_bytes());
        }
        let domain = ["events", "profile", "group", "task"][kind as usize];
        self.vault.hash(domain, &bytes)
    }

    pub(super) fn find_key(&self, lookup: [u8; 16]) -> Result<Option<OpenKey>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT id, slot, generation FROM keys WHERE lookup = ?")?
            .query_row([lookup], |row| Ok((row.get(0)?, slot_of(row, 1)?)))
            .optional()?;
        found.map(|(row, slot)| Ok(OpenKey { row, key: self.vault.key(slot)? })).transpose()
    }

    /// Makes a key; the vault syncs it before the transaction is committed.
    pub(super) fn make_key(
        &mut self,
        kind: Kind,
        project: ProjectRow,
        lookup: [u8; 16],
        ids: &Ids,
        about: &Value,
    ) -> Result<OpenKey, StoreError> {
        let (slot, key) = self.vault.allocate()?;
        self.fresh.push(slot);
        let device = ids.device.as_ref().map(|device| self.device_hash(project, device));
        let user = ids.user.as_ref().map(|user| self.user_hash(project, user));
        self.connection
            .prepare_cached(
                "INSERT INTO keys(project, kind, lookup, slot, generation, device, user, ids) VALUES (?, ?, ?, ?, ?, ?, ?, x'')",
            )?
            .execute(params![project, kind as i64, lookup, slot.index, slot.generation as i64, device, user])?;
        let open = OpenKey { row: self.connection.last_insert_rowid(), key };
        let sealed = open.seal("ids", about.to_string().as_bytes())?;
        self.connection
            .prepare_cached("UPDATE keys SET ids = ? WHERE id = ?")?
            .execute(params![sealed, open.row])?;
        Ok(open)
    }

    /// The key of a combination, made if it is new.
    pub(super) fn events_key(&mut self, project: ProjectRow, ids: &Ids) -> Result<OpenKey, StoreError> {
        let lookup = self.lookup_hash(Kind::Events, project, &[ids.device.as_deref(), ids.user.as_deref()]);
        match self.find_key(lookup)? {
            Some(key) => Ok(key),
            None => self.make_key(Kind::Events, project, lookup, ids, &ids_json(ids)),
        }
    }

    pub(super) fn first_user_of(
        &self,
        project: ProjectRow,
        device: &str,
    ) -> Result<Option<String>, StoreError> {
        let hash = self.device_hash(project, device);
        let found = self
            .connection
            .prepare_cached(
                "SELECT id, slot, generation, ids FROM keys
                 WHERE project = ? AND device = ? AND user IS NOT NULL AND kind = 0 ORDER BY id LIMIT 1",
            )?
            .query_row(params![project, hash], |row| {
                Ok((row.get(0)?, slot_of(row, 1)?, row.get::<_, Vec<u8>>(3)?))
            })
            .optional()?;
        let Some((row, slot, sealed)) = found else { return Ok(None) };
        let text = OpenKey { row, key: self.vault.key(slot)? }.open("ids", &sealed)?;
        Ok(ids_from(&text).and_then(|ids| ids.user))
    }

    /// Rows of all combinations whose user is this node, and of those joined with them; oldest first.
    pub(super) fn cluster_rows(&self, project: ProjectRow, node: &str) -> Result<Vec<KeyRow>, StoreError> {
        let of_user = "SELECT id FROM keys WHERE project = ? AND user = ? AND kind = 0";
        let hash = self.user_hash(project, node);
        let mut rows: Vec<KeyRow> = self
            .connection
            .prepare_cached(of_user)?
            .query_map(params![project, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut seen = 0;
        while seen < rows.len() {
            let mut statement = self.connection.prepare_cached(
                "SELECT second FROM edges WHERE first = ?1 UNION SELECT first FROM edges WHERE second = ?1
                 UNION SELECT other.id FROM keys this JOIN keys other
                   ON other.project = this.project AND other.user = this.user AND other.kind = 0 WHERE this.id = ?1",
            )?;
            let next = statement.query_map([rows[seen]], |row| row.get::<_, KeyRow>(0))?;
            for row in next {
                let row = row?;
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
            seen += 1;
        }
        rows.sort_unstable();
        Ok(rows)
    }

    pub(super) fn cluster_nodes(
        &self,
        project: ProjectRow,
        node: &str,
    ) -> Result<Vec<ClusterNode>, StoreError> {
        let mut nodes: Vec<ClusterNode> = Vec::new();
        for row in self.cluster_rows(project, node)? {
            let (slot, sealed, identified): (Slot, Vec<u8>, bool) = self
                .connection
                .prepare_cached("SELECT slot, generation, ids, identified FROM keys WHERE id = ?")?
                .query_row([row], |found| Ok((slot_of(found, 0)?, found.get(2)?, found.get(3)?)))?;
            let text = OpenKey { row, key: self.vault.key(slot)? }.open("ids", &sealed)?;
            let Some(id) = ids_from(&text).and_then(|ids| ids.user) else { continue };
            match nodes.iter_mut().find(|known| known.id == id) {
                Some(known) => known.identified |= identified,
                None => nodes.push(ClusterNode { id, identified }),
            }
        }
        Ok(nodes)
    }

    pub(super) fn join_nodes(
        &mut self,
        project: ProjectRow,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError> {
        let node = |id: &str| Ids { device: None, user: Some(id.to_owned()) };
        let first = self.events_key(project, &node(first))?.row;
        let second = self.events_key(project, &node(second))?.row;
        self.connection
            .prepare_cached("INSERT INTO edges(first, second) VALUES (?, ?)")?
            .execute([first, second])?;
        if identified {
            self.connection
                .prepare_cached("UPDATE keys SET identified = 1 WHERE id = ?")?
                .execute([first])?;
        }
        Ok(())
    }
}
