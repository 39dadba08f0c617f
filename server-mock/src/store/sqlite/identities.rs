//! Links: who belongs to whom, from the combinations themselves (simplified merge) or from edges between them
//! (original merge).

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::keys::{Kind, OpenKey, ids_from, slot_of};
use crate::domain::config::IdMerge;
use crate::domain::identity::{DEVICE_PREFIX, Ids, strip};
use crate::store::{ClusterNode, Identities, KeyRow, Space, StoreError};

/// The nodes of a cluster, oldest first: the rows of all combinations whose user is that node, and whether each was named
/// as the user by a `$identify`.
type Cluster = Vec<Vec<(KeyRow, bool)>>;

impl Identities for SqliteStore {
    fn first_user(&mut self, space: Space, device: &str) -> Result<Option<String>, StoreError> {
        let hash = self.device_hash(space, device);
        let found = self
            .connection
            .prepare_cached(
                "SELECT id, slot, generation, ids FROM keys
                 WHERE space = ? AND device = ? AND user IS NOT NULL AND kind = 0 ORDER BY id LIMIT 1",
            )?
            .query_row(params![space.row, hash], |row| {
                Ok((row.get(0)?, slot_of(row, 1)?, row.get::<_, Vec<u8>>(3)?))
            })
            .optional()?;
        let Some((row, slot, sealed)) = found else { return Ok(None) };
        let text = OpenKey { row, key: self.vault.key(slot)? }.open("ids", &sealed)?;
        Ok(ids_from(&text).and_then(|ids| ids.user))
    }

    fn cluster(&mut self, space: Space, node: &str) -> Result<Vec<ClusterNode>, StoreError> {
        let mut nodes = Vec::new();
        for rows in self.cluster_rows(space, node)? {
            // All of them name the same node.
            let Some((row, _)) = rows.first() else { continue };
            if let Some(id) = self.ids_of_row(*row)?.1.user {
                nodes.push(ClusterNode { id, identified: rows.iter().any(|(_, identified)| *identified) });
            }
        }
        Ok(nodes)
    }

    fn join(&mut self, space: Space, first: &str, second: &str, identified: bool) -> Result<(), StoreError> {
        let node = |id: &str| Ids { user: Some(id.to_owned()), ..Ids::default() };
        let first = self.events_key(space, &node(first))?.row;
        let second = self.events_key(space, &node(second))?.row;
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

    /// Another user of a device keeps theirs.
    fn keys_of(
        &mut self,
        space: Space,
        id_merge: IdMerge,
        canonical: &str,
    ) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        // What looks like the id of a device may be that of a user, too: as whose it was sent decides.
        let device = canonical.strip_prefix(DEVICE_PREFIX);
        if id_merge == IdMerge::Original {
            let mut rows = self.cluster_rows(space, strip(canonical))?;
            if device.is_some() {
                rows.append(&mut self.cluster_rows(space, canonical)?);
            }
            return rows.into_iter().flatten().map(|(row, _)| self.ids_of_row(row)).collect();
        }
        let mut found = self.keys_of_user(space, canonical)?;
        let mut devices: Vec<String> = found.iter().filter_map(|(_, ids)| ids.device.clone()).collect();
        if let Some(device) = device {
            found.append(&mut self.anonymous_keys(space, device)?);
        }
        if id_merge == IdMerge::Simplified {
            devices.retain(|of_user| Some(of_user.as_str()) != device);
            devices.sort_unstable();
            devices.dedup();
            for device in devices {
                if self.first_user(space, &device)?.as_deref() == Some(canonical) {
                    found.append(&mut self.anonymous_keys(space, &device)?);
                }
            }
        }
        Ok(found)
    }

    fn keys_naming(&mut self, space: Space, id: &str) -> Result<Vec<KeyRow>, StoreError> {
        let hash = self.naming_hash(space, id);
        let rows = self
            .connection
            .prepare_cached(
                "SELECT k.id FROM key_ids i CROSS JOIN keys k ON k.id = i.key
                 WHERE i.id = ? AND k.space = ? AND k.kind = 0 AND k.dying IS NULL",
            )?
            .query_map(params![hash, space.row], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn keys_of_device(&mut self, space: Space, device: &str) -> Result<Vec<KeyRow>, StoreError> {
        let hash = self.device_hash(space, device);
        let mut rows: Vec<KeyRow> = self
            .connection
            .prepare_cached(
                "SELECT id FROM keys WHERE space = ? AND device = ? AND kind = 0 AND dying IS NULL",
            )?
            .query_map(params![space.row, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        // A device that was sent as a bare distinct id, by projects that take it for one.
        for user in [device.to_owned(), format!("{DEVICE_PREFIX}{device}")] {
            rows.extend(self.keys_of_user(space, &user)?.into_iter().map(|(row, _)| row));
        }
        rows.append(&mut self.keys_naming(space, device)?);
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// A combination stays while it links a device that still has events, replays or a profile: the link decides whose
    /// those are. One that is merged with others stays while any of them has some, or a profile.
    fn delete_unused_keys(&mut self, after: KeyRow, limit: usize) -> Result<Option<KeyRow>, StoreError> {
        let last: Option<KeyRow> = self
            .connection
            .prepare_cached("SELECT max(id) FROM (SELECT id FROM keys WHERE id > ? ORDER BY id LIMIT ?)")?
            .query_row(params![after, limit as i64], |row| row.get(0))?;
        let Some(mut last) = last else { return Ok(None) };
        let unused: Vec<Unused> = self
            .connection
            .prepare_cached(
                "SELECT k.id, s.id, s.project, k.user, k.user IS NOT NULL AND k.device IS NOT NULL,
                   EXISTS (SELECT 1 FROM edges WHERE first = k.id) OR EXISTS (SELECT 1 FROM edges WHERE second = k.id)
                 FROM keys k LEFT JOIN spaces s ON s.id = k.space
                 WHERE k.id > ?1 AND k.id <= ?2 AND k.kind = 0 AND k.dying IS NULL
                   AND NOT EXISTS (SELECT 1 FROM events WHERE key = k.id)
                   AND NOT EXISTS (SELECT 1 FROM replays WHERE key = k.id)
                   AND (k.user IS NULL OR k.device IS NULL OR NOT EXISTS (
                     SELECT 1 FROM keys other
                     WHERE other.space = k.space AND other.device = k.device AND other.id <> k.id
                       AND (EXISTS (SELECT 1 FROM events WHERE key = other.id)
                         OR EXISTS (SELECT 1 FROM replays WHERE key = other.id))))
                 ORDER BY k.id",
            )?
            .query_map([after, last], |row| {
                let space = match row.get(1)? {
                    Some(space) => Some(Space { row: space, project: row.get(2)? }),
                    None => None,
                };
                let (row, user, links, is_merged) = (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?);
                Ok(Unused { row, space, user, links, is_merged })
            })?
            .collect::<Result<_, _>>()?;
        let (mut marked, mut looked_at) = (0, 0);
        // Of the clusters that were looked at: whether anything is left.
        let mut known: HashMap<KeyRow, bool> = HashMap::new();
        for Unused { row, space, user, links, is_merged } in unused {
            let depends = match (space, user) {
                (Some(space), _) if links && self.has_profile_of_its_device(space, row)? => true,
                (Some(space), Some(user)) if is_merged => match known.get(&row) {
                    Some(is_left) => *is_left,
                    None if looked_at >= limit => {
                        last = row - 1;
                        break;
                    }
                    None => {
                        let cluster = self.cluster_of(space, user)?;
                        let is_left = self.is_left_of(space, &cluster)?;
                        known.extend(cluster.iter().flatten().map(|(row, _)| (*row, is_left)));
                        looked_at += cluster.iter().map(Vec::len).sum::<usize>();
                        is_left
                    }
                },
                _ => false,
            };
            if depends {
                continue;
            }
            marked += self
                .connection
                .prepare_cached(
                    "UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL WHERE id = ?",
                )?
                .execute([row])?;
        }
        let empty = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL WHERE id > ?1 AND id <= ?2 AND kind = 5 AND dying IS NULL
               AND NOT EXISTS (SELECT 1 FROM events WHERE crowd = keys.id)",
            [after, last],
        )?;
        self.marked_dying(marked + empty);
        Ok(Some(last))
    }
}

/// A combination under which nothing is kept.
struct Unused {
    row: KeyRow,
    space: Option<Space>,
    user: Option<Vec<u8>>,
    /// It names a device and a user.
    links: bool,
    is_merged: bool,
}

impl SqliteStore {
    /// Whether there is a profile under the device of a combination, from before its link.
    fn has_profile_of_its_device(&self, space: Space, row: KeyRow) -> Result<bool, StoreError> {
        let Some(device) = self.ids_of_row(row)?.1.device else { return Ok(false) };
        self.is_profile_there(space, &format!("{DEVICE_PREFIX}{device}"))
    }

    fn is_profile_there(&self, space: Space, id: &str) -> Result<bool, StoreError> {
        Ok(self.find_key(space, self.lookup_hash(Kind::Profile, space.project, &[Some(id)]))?.is_some())
    }

    /// Whether a cluster has an event, a replay, or a profile under one of its names.
    fn is_left_of(&self, space: Space, cluster: &Cluster) -> Result<bool, StoreError> {
        let mut is_used = self.connection.prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM events WHERE key = ?1)
               OR EXISTS (SELECT 1 FROM replays WHERE key = ?1)",
        )?;
        for (row, _) in cluster.iter().flatten() {
            if is_used.exists([row])? {
                return Ok(true);
            }
        }
        for (row, _) in cluster.iter().filter_map(|rows| rows.first()) {
            let Some(id) = self.ids_of_row(*row)?.1.user else { continue };
            let device = format!("{DEVICE_PREFIX}{id}");
            if self.is_profile_there(space, &id)? || self.is_profile_there(space, &device)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keys_of_user(&self, space: Space, user: &str) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        let hash = self.user_hash(space, user);
        let rows: Vec<KeyRow> = self
            .connection
            .prepare_cached(
                "SELECT id FROM keys WHERE space = ? AND user = ? AND kind = 0 AND dying IS NULL ORDER BY id",
            )?
            .query_map(params![space.row, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        rows.into_iter().map(|row| self.ids_of_row(row)).collect()
    }

    /// What a device did without a user.
    fn anonymous_keys(&self, space: Space, device: &str) -> Result<Vec<(KeyRow, Ids)>, StoreError> {
        let hash = self.device_hash(space, device);
        let rows: Vec<KeyRow> = self
            .connection
            .prepare_cached(
                "SELECT id FROM keys WHERE space = ? AND device = ? AND user IS NULL AND kind = 0 AND dying IS NULL",
            )?
            .query_map(params![space.row, hash], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        rows.into_iter().map(|row| self.ids_of_row(row)).collect()
    }

    fn cluster_rows(&self, space: Space, node: &str) -> Result<Cluster, StoreError> {
        self.cluster_of(space, self.user_hash(space, node).to_vec())
    }

    /// The cluster of the node with this hash. A node may have very many rows; each of them, and each edge, is read once.
    fn cluster_of(&self, space: Space, node: Vec<u8>) -> Result<Cluster, StoreError> {
        let mut rows_of = self.connection.prepare_cached(
            "SELECT id, identified FROM keys INDEXED BY keys_user
             WHERE space = ? AND user = ? AND kind = 0 AND dying IS NULL ORDER BY id",
        )?;
        let mut neighbours = self.connection.prepare_cached(
            "SELECT k.user FROM edges INDEXED BY edges_first CROSS JOIN keys k ON k.id = second
               WHERE first = ?1 AND k.dying IS NULL AND k.user IS NOT NULL
             UNION ALL
             SELECT k.user FROM edges INDEXED BY edges_second CROSS JOIN keys k ON k.id = first
               WHERE second = ?1 AND k.dying IS NULL AND k.user IS NOT NULL",
        )?;
        let mut waiting = vec![node];
        let mut known: HashSet<Vec<u8>> = waiting.iter().cloned().collect();
        let mut nodes = Vec::new();
        while let Some(user) = waiting.pop() {
            let rows: Vec<(KeyRow, bool)> = rows_of
                .query_map(params![space.row, user], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for (row, _) in &rows {
                for user in neighbours.query_map([row], |found| found.get::<_, Vec<u8>>(0))? {
                    let user = user?;
                    if known.insert(user.clone()) {
                        waiting.push(user);
                    }
                }
            }
            if !rows.is_empty() {
                nodes.push(rows);
            }
        }
        nodes.sort_unstable();
        Ok(nodes)
    }
}
