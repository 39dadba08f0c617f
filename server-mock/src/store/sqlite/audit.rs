//! Rows of the audit, and what a sweep under way has counted.

use rusqlite::{Row, params};

use super::SqliteStore;
use crate::store::{AuditLog, AuditRow, Counts, NewAudit, ProjectRow, StoreError};

fn counts_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    let count = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)? as usize);
    Ok(Counts { events: count(first)?, profiles: count(first + 1)?, replays: count(first + 2)? })
}

impl AuditLog for SqliteStore {
    fn audit(&mut self, entry: &NewAudit<'_>) -> Result<(), StoreError> {
        let Counts { events, profiles, replays } = entry.counts;
        self.connection
            .prepare_cached(
                "INSERT INTO audit(at, project, action, rule, task, events, profiles, replays)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                entry.at,
                entry.project,
                entry.action,
                entry.rule,
                entry.task,
                events as i64,
                profiles as i64,
                replays as i64
            ])?;
        Ok(())
    }

    fn audit_rows(&mut self, after: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let order = if after.is_some() { "row > ?1 ORDER BY row" } else { "?1 IS NULL ORDER BY row DESC" };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT row, at, project, action, rule, task, events, profiles, replays FROM audit WHERE {order} LIMIT ?2"
        ))?;
        let rows = statement.query_map(params![after, limit.min(i64::MAX as usize) as i64], |row| {
            Ok(AuditRow {
                row: row.get(0)?,
                at: row.get(1)?,
                project: row.get(2)?,
                action: row.get(3)?,
                rule: row.get(4)?,
                task: row.get(5)?,
                counts: counts_at(row, 6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_audit(&mut self) -> Result<usize, StoreError> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
        Ok(count as usize)
    }

    fn note_sweep(&mut self, project: ProjectRow, rule: &str, counts: Counts) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO sweeps(project, rule, events, profiles, replays) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT(project, rule) DO UPDATE SET events = events + excluded.events,
                   profiles = profiles + excluded.profiles, replays = replays + excluded.replays",
            )?
            .execute(params![
                project,
                rule,
                counts.events as i64,
                counts.profiles as i64,
                counts.replays as i64
            ])?;
        Ok(())
    }

    fn end_sweep(&mut self, at: i64) -> Result<Counts, StoreError> {
        let noted: Vec<(ProjectRow, String, Counts)> = self
            .connection
            .prepare_cached(
                "SELECT project, rule, events, profiles, replays FROM sweeps ORDER BY project, rule",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, counts_at(row, 2)?)))?
            .collect::<Result<_, _>>()?;
        let mut sum = Counts::default();
        for (project, rule, counts) in noted {
            sum.add(counts);
            self.audit(&NewAudit {
                at,
                project: Some(project),
                action: "retention.swept",
                rule: &rule,
                task: None,
                counts,
            })?;
        }
        self.connection.prepare_cached("DELETE FROM sweeps")?.execute([])?;
        Ok(sum)
    }
}
