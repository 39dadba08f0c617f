//! Rows of the suppression lists. They are held in memory as well: every arrival asks.

use std::rc::Rc;

use rusqlite::params;
use rusqlite::types::Value as Sql;

use super::SqliteStore;
use crate::domain::identity::strip;
use crate::store::{Objections, ProjectRow, StoreError};

impl Objections for SqliteStore {
    fn has_objections(&self, project: ProjectRow) -> bool {
        self.objections.contains_key(&project)
    }

    fn objection(&self, project: ProjectRow, id: &str) -> Option<[u8; 16]> {
        self.objections.get(&project)?.get(&self.objection_hash(project, id)).copied()
    }

    fn is_listed(&self, project: ProjectRow, id: &str) -> bool {
        self.objection(project, id) == Some(self.objection_hash(project, id))
    }

    fn objections(&mut self, project: ProjectRow) -> Result<Vec<[u8; 16]>, StoreError> {
        let rows = self
            .connection
            .prepare_cached("SELECT id FROM objections WHERE project = ? AND id = entry ORDER BY id")?
            .query_map([project], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn add_objection(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError> {
        let hash = self.objection_hash(project, id);
        let is_new = self.objections.get(&project).and_then(|list| list.get(&hash)) != Some(&hash);
        self.put_objection(project, hash, hash)?;
        Ok(is_new)
    }

    fn extend_objection(&mut self, project: ProjectRow, id: &str, entry: [u8; 16]) -> Result<(), StoreError> {
        let hash = self.objection_hash(project, id);
        if self.objections.get(&project).is_some_and(|list| list.contains_key(&hash)) {
            return Ok(());
        }
        self.put_objection(project, hash, entry)
    }

    fn remove_objection(&mut self, project: ProjectRow, id: &str) -> Result<bool, StoreError> {
        let hash = self.objection_hash(project, id);
        let removed = self
            .connection
            .execute("DELETE FROM objections WHERE project = ? AND entry = ?", params![project, hash])?;
        self.read_objections()?;
        Ok(removed > 0)
    }

    fn keep_objections(&mut self, project: ProjectRow, ids: &[String]) -> Result<(), StoreError> {
        let kept = ids.iter().map(|id| Sql::Blob(self.objection_hash(project, id).to_vec()));
        let kept: Rc<Vec<Sql>> = Rc::new(kept.collect());
        self.connection.execute(
            "DELETE FROM objections WHERE project = ? AND entry NOT IN rarray(?)",
            params![project, kept],
        )?;
        self.read_objections()
    }
}

impl SqliteStore {
    fn objection_hash(&self, project: ProjectRow, id: &str) -> [u8; 16] {
        self.vault.hash("objection", &[&project.to_le_bytes(), strip(id).as_bytes()])
    }

    fn put_objection(
        &mut self,
        project: ProjectRow,
        id: [u8; 16],
        entry: [u8; 16],
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO objections(project, id, entry) VALUES (?, ?, ?)
                 ON CONFLICT(project, id) DO UPDATE SET entry = excluded.entry",
            )?
            .execute(params![project, id, entry])?;
        self.objections.entry(project).or_default().insert(id, entry);
        Ok(())
    }

    pub(super) fn read_objections(&mut self) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT project, id, entry FROM objections")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut all = std::collections::HashMap::new();
        for row in rows {
            let (project, id, entry): (ProjectRow, [u8; 16], [u8; 16]) = row?;
            all.entry(project).or_insert_with(std::collections::HashMap::new).insert(id, entry);
        }
        drop(statement);
        self.objections = all;
        Ok(())
    }
}
