//! Profile rows. Each profile has a key of its own, so that deleting one destroys it.

use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::SqliteStore;
use super::keys::{Kind, OpenKey, slot_of};
use crate::domain::identity::Ids;
use crate::domain::profile::Subject;
use crate::store::vault::Slot;
use crate::store::{ProfileRange, ProjectRow, StoreError, StoredProfile};

/// A row as it lies there: number, key row, slot, time last seen, sealed body.
type Sealed = (i64, i64, Slot, i64, Vec<u8>);

impl SqliteStore {
    fn profile_lookup(&self, project: ProjectRow, subject: &Subject) -> (Kind, [u8; 16]) {
        match subject {
            Subject::Person(id) => (Kind::Profile, self.lookup_hash(Kind::Profile, project, &[Some(id)])),
            Subject::Group(key, id) => {
                (Kind::Group, self.lookup_hash(Kind::Group, project, &[Some(key), Some(id)]))
            }
        }
    }

    pub(super) fn find_profile(
        &self,
        project: ProjectRow,
        subject: &Subject,
    ) -> Result<Option<StoredProfile>, StoreError> {
        let (_, lookup) = self.profile_lookup(project, subject);
        let found = self
            .connection
            .prepare_cached(
                "SELECT p.id, p.key, k.slot, k.generation, p.last_seen, p.body
                 FROM keys k JOIN profiles p ON p.key = k.id WHERE k.lookup = ?",
            )?
            .query_row([lookup], sealed_row)
            .optional()?;
        found.map(|sealed| self.open_profile(sealed)).transpose()
    }

    fn open_profile(
        &self,
        (row, key_row, slot, last_seen, body): Sealed,
    ) -> Result<StoredProfile, StoreError> {
        let key = OpenKey { row: key_row, key: self.vault.key(slot)? };
        let text = key.open("profile", &body)?;
        let (subject, properties): (Vec<String>, Map<String, Value>) = serde_json::from_slice(&text)
            .map_err(|_| StoreError::damaged("a stored profile cannot be read"))?;
        let subject = match <[String; 2]>::try_from(subject) {
            Ok([key, id]) => Subject::Group(key, id),
            Err(mut one) => Subject::Person(one.pop().unwrap_or_default()),
        };
        Ok(StoredProfile { row, subject, last_seen, properties })
    }

    pub(super) fn write_profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
        last_seen: i64,
        properties: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        let (kind, lookup) = self.profile_lookup(project, subject);
        let name = match subject {
            Subject::Person(id) => json!([id]),
            Subject::Group(key, id) => json!([key, id]),
        };
        let key = match self.find_key(lookup)? {
            Some(key) => key,
            None => self.make_key(kind, project, lookup, &Ids::default(), &name)?,
        };
        let body = key.seal("profile", json!([name, properties]).to_string().as_bytes())?;
        self.connection
            .prepare_cached(
                "INSERT INTO profiles(project, kind, key, last_seen, body) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT(key) DO UPDATE SET last_seen = excluded.last_seen, body = excluded.body",
            )?
            .execute(params![project, kind as i64, key.row, last_seen, body])?;
        Ok(())
    }

    /// Decides that a profile goes; its key is destroyed after the commit.
    pub(super) fn drop_profile(
        &mut self,
        project: ProjectRow,
        subject: &Subject,
    ) -> Result<bool, StoreError> {
        let (_, lookup) = self.profile_lookup(project, subject);
        let marked = self
            .connection
            .prepare_cached("UPDATE keys SET dying = 0, lookup = NULL WHERE lookup = ?")?
            .execute([lookup])?;
        self.has_dying |= marked > 0;
        Ok(marked > 0)
    }

    pub(super) fn scan_profiles(
        &mut self,
        range: ProfileRange,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError> {
        let kind = if range.groups { Kind::Group } else { Kind::Profile };
        let mut statement = self.connection.prepare_cached(
            "SELECT p.id, p.key, k.slot, k.generation, p.last_seen, p.body
             FROM profiles p JOIN keys k ON k.id = p.key
             WHERE p.project = ? AND p.kind = ? AND p.last_seen > ? AND k.dying IS NULL ORDER BY p.id",
        )?;
        let mut rows = statement.query(params![range.project, kind as i64, range.expired_until])?;
        while let Some(row) = rows.next()? {
            if !visitor(self.open_profile(sealed_row(row)?)?) {
                break;
            }
        }
        Ok(())
    }

    /// Decides that expired profiles go.
    pub(super) fn drop_expired_profiles(
        &mut self,
        project: ProjectRow,
        expired_until: i64,
    ) -> Result<usize, StoreError> {
        let marked = self
            .connection
            .prepare_cached(
                "UPDATE keys SET dying = 0, lookup = NULL WHERE dying IS NULL AND id IN
                   (SELECT key FROM profiles WHERE project = ? AND kind = 1 AND last_seen <= ?)",
            )?
            .execute(params![project, expired_until])?;
        self.has_dying |= marked > 0;
        Ok(marked)
    }
}

fn sealed_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Sealed> {
    Ok((row.get(0)?, row.get(1)?, slot_of(row, 2)?, row.get(4)?, row.get(5)?))
}
