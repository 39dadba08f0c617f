//! Profile rows. Each profile has a key of its own, so that deleting one destroys it.

use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::SqliteStore;
use super::keys::{Kind, NewKey, OpenKey, slot_of};
use crate::domain::identity::Ids;
use crate::domain::json;
use crate::domain::profile::{Subject, texts_of};
use crate::store::vault::Slot;
use crate::store::{KeyRow, ProfileRange, Profiles, ProjectRow, Space, StoreError, StoredProfile};

/// A row as it lies there: number, key row, slot, time last seen, sealed body.
type Sealed = (i64, i64, Slot, i64, Vec<u8>);

const SEALED: &str = "SELECT p.id, p.key, k.slot, k.generation, p.last_seen, p.body
    FROM profiles p JOIN keys k ON k.id = p.key";

/// The rows of a range, in order. The index is named, or those of other projects would be looked at.
const RANGE: &str = "FROM profiles p INDEXED BY profiles_rows CROSS JOIN keys k ON k.id = p.key
    WHERE p.space = ? AND p.kind = ? AND p.last_seen > ? AND p.id > ? AND k.dying IS NULL ORDER BY p.id";

fn sealed_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Sealed> {
    Ok((row.get(0)?, row.get(1)?, slot_of(row, 2)?, row.get(4)?, row.get(5)?))
}

fn kind_of(range: ProfileRange) -> Kind {
    if range.groups { Kind::Group } else { Kind::Profile }
}

impl Profiles for SqliteStore {
    fn profile(&mut self, space: Space, subject: &Subject) -> Result<Option<StoredProfile>, StoreError> {
        let (_, lookup) = self.profile_lookup(space.project, subject);
        let found = self
            .connection
            .prepare_cached(&format!("{SEALED} WHERE k.space = ? AND k.lookup = ?"))?
            .query_row(params![space.row, lookup], sealed_row)
            .optional()?;
        found.map(|sealed| self.open_profile(sealed)).transpose()
    }

    fn profile_of_row(&mut self, space: Space, row: i64) -> Result<Option<StoredProfile>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!("{SEALED} WHERE p.id = ? AND p.space = ? AND k.dying IS NULL"))?
            .query_row([row, space.row], sealed_row)
            .optional()?;
        found.map(|sealed| self.open_profile(sealed)).transpose()
    }

    fn has_profile(&mut self, space: Space, id: &str, after: i64) -> Result<bool, StoreError> {
        let lookup = self.lookup_hash(Kind::Profile, space.project, &[Some(id)]);
        let found = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM keys k JOIN profiles p ON p.key = k.id
                 WHERE k.space = ? AND k.lookup = ? AND p.last_seen > ?",
            )?
            .exists(params![space.row, lookup, after])?;
        Ok(found)
    }

    fn put_profile(
        &mut self,
        space: Space,
        subject: &Subject,
        last_seen: i64,
        properties: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        let (kind, lookup) = self.profile_lookup(space.project, subject);
        let name = match subject {
            Subject::Person(id) => json!([id]),
            Subject::Group(key, id) => json!([key, id]),
        };
        let key = match self.find_key(space, lookup)? {
            Some(key) => key,
            None => self.make_key(&NewKey { kind, space, lookup, ids: &Ids::default(), about: &name })?,
        };
        let body = key.seal("profile", json!([name, properties]).to_string().as_bytes())?;
        self.connection
            .prepare_cached(
                "INSERT INTO profiles(space, kind, key, last_seen, body) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT(key) DO UPDATE SET last_seen = excluded.last_seen, body = excluded.body",
            )?
            .execute(params![space.row, kind as i64, key.row, last_seen, body])?;
        if kind == Kind::Group {
            // A group's profile may name its members, and is found when one of them is erased.
            self.rename_ids(space, key.row, &texts_of(properties))?;
        }
        Ok(())
    }

    fn delete_profile(&mut self, space: Space, subject: &Subject) -> Result<bool, StoreError> {
        let (_, lookup) = self.profile_lookup(space.project, subject);
        let marked = self
            .connection
            .prepare_cached("UPDATE keys SET dying = 0, lookup = NULL WHERE space = ? AND lookup = ?")?
            .execute(params![space.row, lookup])?;
        self.marked_dying(marked);
        Ok(marked > 0)
    }

    fn visit_profiles(
        &mut self,
        range: ProfileRange,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT p.id, p.key, k.slot, k.generation, p.last_seen, p.body {RANGE}"
        ))?;
        let mut rows = statement.query(params![
            range.space.row,
            kind_of(range) as i64,
            range.expired_until,
            range.after
        ])?;
        while let Some(row) = rows.next()? {
            if !visitor(self.open_profile(sealed_row(row)?)?) {
                break;
            }
        }
        Ok(())
    }

    fn profile_rows(&mut self, range: ProfileRange, limit: usize) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT p.id {RANGE} LIMIT ?"))?;
        let rows = statement.query_map(
            params![
                range.space.row,
                kind_of(range) as i64,
                range.expired_until,
                range.after,
                limit.min(i64::MAX as usize) as i64
            ],
            |row| row.get(0),
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn groups_naming(&mut self, space: Space, text: &str) -> Result<Vec<Subject>, StoreError> {
        let hash = self.naming_hash(space, text);
        let mut statement = self.connection.prepare_cached(&format!(
            "{SEALED} WHERE k.id IN (SELECT key FROM key_ids WHERE id = ?)
               AND +k.space = ? AND k.kind = 2 AND k.dying IS NULL"
        ))?;
        let sealed: Vec<Sealed> =
            statement.query_map(params![hash, space.row], sealed_row)?.collect::<Result<_, _>>()?;
        sealed.into_iter().map(|row| Ok(self.open_profile(row)?.subject)).collect()
    }

    fn next_group_naming(
        &mut self,
        space: Space,
        text: &str,
        after: KeyRow,
    ) -> Result<Option<(KeyRow, StoredProfile)>, StoreError> {
        let hash = self.naming_hash(space, text);
        let found = self
            .connection
            .prepare_cached(
                "SELECT p.id, p.key, k.slot, k.generation, p.last_seen, p.body
                 FROM key_ids i CROSS JOIN keys k ON k.id = i.key CROSS JOIN profiles p ON p.key = k.id
                 WHERE i.id = ? AND i.key > ? AND k.space = ? AND k.kind = 2 AND k.dying IS NULL
                 ORDER BY i.key LIMIT 1",
            )?
            .query_row(params![hash, after, space.row], sealed_row)
            .optional()?;
        found.map(|sealed| Ok((sealed.1, self.open_profile(sealed)?))).transpose()
    }

    fn oldest_profile(&mut self, space: Space) -> Result<Option<i64>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT min(last_seen) FROM profiles WHERE space = ? AND kind = 1")?;
        Ok(statement.query_row([space.row], |row| row.get(0)).optional()?.flatten())
    }

    fn delete_expired_profiles(
        &mut self,
        space: Space,
        expired_until: i64,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let marked = self
            .connection
            .prepare_cached(
                "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL AND id IN
                   (SELECT p.key FROM profiles p JOIN keys k ON k.id = p.key
                    WHERE p.space = ? AND p.kind = 1 AND p.last_seen <= ? AND k.dying IS NULL LIMIT ?)",
            )?
            .execute(params![space.row, expired_until, limit as i64])?;
        self.marked_dying(marked);
        Ok(marked)
    }
}

impl SqliteStore {
    pub(super) fn profile_lookup(&self, project: ProjectRow, subject: &Subject) -> (Kind, [u8; 16]) {
        match subject {
            Subject::Person(id) => (Kind::Profile, self.lookup_hash(Kind::Profile, project, &[Some(id)])),
            Subject::Group(key, id) => {
                (Kind::Group, self.lookup_hash(Kind::Group, project, &[Some(key), Some(id)]))
            }
        }
    }

    /// The profile that lies under a key.
    pub(super) fn profile_of_key(&self, key: &OpenKey) -> Result<Option<StoredProfile>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!("{SEALED} WHERE k.id = ?"))?
            .query_row([key.row], sealed_row)
            .optional()?;
        found.map(|sealed| self.open_profile(sealed)).transpose()
    }

    fn open_profile(
        &self,
        (row, key_row, slot, last_seen, body): Sealed,
    ) -> Result<StoredProfile, StoreError> {
        let key = OpenKey { row: key_row, key: self.vault.key(slot)? };
        let text = key.open("profile", &body)?;
        let damaged = || StoreError::damaged("a stored profile cannot be read");
        let parts = match json::stored(&text) {
            Ok(Value::Array(parts)) => <[Value; 2]>::try_from(parts).map_err(|_| damaged())?,
            _ => return Err(damaged()),
        };
        let [Value::Array(subject), Value::Object(properties)] = parts else { return Err(damaged()) };
        let name = |value| if let Value::String(name) = value { Some(name) } else { None };
        let subject: Vec<String> = subject.into_iter().filter_map(name).collect();
        let subject = match <[String; 2]>::try_from(subject) {
            Ok([key, id]) => Subject::Group(key, id),
            Err(mut one) => Subject::Person(one.pop().unwrap_or_default()),
        };
        Ok(StoredProfile { row, subject, last_seen, properties })
    }
}
