//! Rows of the portal's usage log.

use rusqlite::{OptionalExtension, params};
use serde_json::json;

use super::SqliteStore;
use super::keys::{Kind, NO_SPACE, NewKey, OpenKey};
use crate::domain::identity::Ids;
use crate::store::{StoreError, StoredUse, Usage};

impl Usage for SqliteStore {
    fn records_use(&mut self, account: &str) -> Result<bool, StoreError> {
        let recorded: Option<bool> = self
            .connection
            .prepare_cached("SELECT recorded FROM accounts WHERE hash = ?")?
            .query_row([self.account_hash(account)], |row| row.get(0))
            .optional()?;
        Ok(recorded.unwrap_or(true))
    }

    fn set_records_use(&mut self, account: &str, recorded: bool) -> Result<bool, StoreError> {
        let before = self.records_use(account)?;
        self.connection.execute(
            "INSERT INTO accounts(hash, recorded) VALUES (?, ?)
             ON CONFLICT(hash) DO UPDATE SET recorded = excluded.recorded",
            params![self.account_hash(account), recorded],
        )?;
        Ok(before != recorded)
    }

    fn put_use(&mut self, account: &str, at: i64, action: &str) -> Result<(), StoreError> {
        let key = match self.account_key(account)? {
            Some(key) => key,
            None => self.make_key(&NewKey {
                kind: Kind::Account,
                space: NO_SPACE,
                lookup: self.account_lookup(account),
                ids: &Ids::default(),
                about: &json!([account]),
            })?,
        };
        let body = key.seal("use", action.as_bytes())?;
        self.connection
            .prepare_cached("INSERT INTO uses(key, at, body) VALUES (?, ?, ?)")?
            .execute(params![key.row, at, body])?;
        Ok(())
    }

    fn uses(&mut self, account: &str) -> Result<Vec<StoredUse>, StoreError> {
        let Some(key) = self.account_key(account)? else { return Ok(Vec::new()) };
        let rows: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT at, body FROM uses WHERE key = ? ORDER BY id")?
            .query_map([key.row], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        rows.into_iter()
            .map(|(at, body)| {
                let action = String::from_utf8_lossy(&key.open("use", &body)?).into_owned();
                Ok(StoredUse { at, action })
            })
            .collect()
    }

    fn delete_uses(&mut self, account: &str) -> Result<usize, StoreError> {
        let Some(key) = self.account_key(account)? else { return Ok(0) };
        let count: i64 =
            self.connection
                .query_row("SELECT count(*) FROM uses WHERE key = ?", [key.row], |row| row.get(0))?;
        let marked =
            self.connection.execute("UPDATE keys SET dying = 0, lookup = NULL WHERE id = ?", [key.row])?;
        self.marked_dying(marked);
        Ok(count as usize)
    }

    fn delete_outdated_uses(&mut self, until: i64) -> Result<usize, StoreError> {
        Ok(self.connection.execute("DELETE FROM uses WHERE at <= ?", [until])?)
    }
}

impl SqliteStore {
    fn account_hash(&self, account: &str) -> [u8; 16] {
        self.vault.hash("account setting", &[account.as_bytes()])
    }

    fn account_lookup(&self, account: &str) -> [u8; 16] {
        self.lookup_hash(Kind::Account, NO_SPACE.project, &[Some(account)])
    }

    fn account_key(&self, account: &str) -> Result<Option<OpenKey>, StoreError> {
        self.find_key(NO_SPACE, self.account_lookup(account))
    }
}
