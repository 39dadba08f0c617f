//! Rows of projects and of the spaces that hold their data.

use rusqlite::{OptionalExtension, Row, params};

use super::SqliteStore;
use super::dedupe::own_hash;
use super::keys::{OpenKey, slot_of};
use crate::domain::config::IdMerge;
use crate::store::{
    Counts, Hidden, HideCause, Home, KeyRow, Profiles, ProjectRow, Projects, Space, StoreError,
};

const HOME: &str = "SELECT p.id, s.id, p.deleted, p.id_merge FROM projects p
    LEFT JOIN spaces s ON s.project = p.id AND s.hidden IS NULL";

fn home_of(row: &Row<'_>) -> rusqlite::Result<Home> {
    let project: ProjectRow = row.get(0)?;
    let space: Option<i64> = row.get(1)?;
    let space = space.map(|row| Space { row, project });
    let id_merge = row.get_ref(3)?.as_str_or_null()?.and_then(IdMerge::of_name);
    Ok(Home { project, space, deleted: row.get(2)?, id_merge })
}

const HIDDEN: &str = "SELECT id, project, hidden, cause, due FROM spaces WHERE hidden IS NOT NULL";

fn hidden_of(row: &Row<'_>) -> rusqlite::Result<Hidden> {
    Ok(Hidden {
        space: Space { row: row.get(0)?, project: row.get(1)? },
        since: row.get(2)?,
        cause: if row.get_ref(3)?.as_str()? == "delete" { HideCause::Delete } else { HideCause::Reset },
        due: row.get(4)?,
    })
}

impl Projects for SqliteStore {
    fn find_project(&mut self, token: &str) -> Result<Option<Home>, StoreError> {
        let hash = self.vault.hash("project", &[token.as_bytes()]);
        let found = self
            .connection
            .prepare_cached(&format!("{HOME} WHERE p.token_hash = ?"))?
            .query_row([hash], home_of)
            .optional()?;
        Ok(found)
    }

    fn open_project(&mut self, token: &str) -> Result<Home, StoreError> {
        let mut home = match self.find_project(token)? {
            Some(home) => home,
            None => {
                let hash = self.vault.hash("project", &[token.as_bytes()]);
                let sealed = self.vault.common_key().seal(b"project", token.as_bytes())?;
                self.connection
                    .prepare_cached("INSERT INTO projects(token_hash, token) VALUES (?, ?)")?
                    .execute(params![hash, sealed])?;
                let project = self.connection.last_insert_rowid();
                Home { project, space: None, deleted: None, id_merge: None }
            }
        };
        if home.space.is_none() && home.deleted.is_none() {
            self.connection
                .prepare_cached("INSERT INTO spaces(project) VALUES (?)")?
                .execute([home.project])?;
            home.space = Some(Space { row: self.connection.last_insert_rowid(), project: home.project });
        }
        Ok(home)
    }

    fn set_id_merge(&mut self, project: ProjectRow, id_merge: IdMerge) -> Result<(), StoreError> {
        self.connection
            .execute("UPDATE projects SET id_merge = ? WHERE id = ?", params![id_merge.name(), project])?;
        Ok(())
    }

    fn projects(&mut self) -> Result<Vec<(Home, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT h.*, p.token FROM ({HOME}) h JOIN projects p ON p.id = h.id ORDER BY p.id"
        ))?;
        let rows = statement.query_map([], |row| Ok((home_of(row)?, row.get::<_, Vec<u8>>(4)?)))?;
        let mut projects = Vec::new();
        for row in rows {
            let (home, sealed) = row?;
            let token = self.vault.common_key().open(b"project", &sealed);
            let token = token.ok_or_else(|| StoreError::damaged("a project's token cannot be read"))?;
            projects.push((home, String::from_utf8_lossy(&token).into_owned()));
        }
        Ok(projects)
    }

    fn spaces(&mut self, project: ProjectRow) -> Result<Vec<Space>, StoreError> {
        let rows = self
            .connection
            .prepare_cached("SELECT id FROM spaces WHERE project = ? ORDER BY id")?
            .query_map([project], |row| Ok(Space { row: row.get(0)?, project }))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn hidden(&mut self, project: ProjectRow) -> Result<Vec<Hidden>, StoreError> {
        let rows = self
            .connection
            // What is hidden later is of a later row: only the last one is restored, and a new space comes after all.
            .prepare_cached(&format!("{HIDDEN} AND project = ? ORDER BY id"))?
            .query_map([project], hidden_of)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    fn hide(&mut self, project: ProjectRow, cause: HideCause, at: i64, due: i64) -> Result<(), StoreError> {
        let word = match cause {
            HideCause::Delete => "delete",
            HideCause::Reset => "reset",
        };
        let hidden = self.connection.execute(
            "UPDATE spaces SET hidden = ?, cause = ?, due = ? WHERE project = ? AND hidden IS NULL",
            params![at, word, due, project],
        )?;
        if hidden == 0 {
            // There is nothing in it; it can be restored all the same.
            self.connection.execute(
                "INSERT INTO spaces(project, hidden, cause, due) VALUES (?, ?, ?, ?)",
                params![project, at, word, due],
            )?;
        }
        if cause == HideCause::Delete {
            self.connection.execute("UPDATE projects SET deleted = ? WHERE id = ?", [at, project])?;
        }
        Ok(())
    }

    fn restore(&mut self, hidden: Hidden) -> Result<(), StoreError> {
        let later: Option<i64> = self
            .connection
            .query_row(
                "SELECT id FROM spaces WHERE project = ? AND hidden IS NULL",
                [hidden.space.project],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(row) = later {
            self.move_into(Space { row, project: hidden.space.project }, hidden.space)?;
        }
        self.connection.execute(
            "UPDATE spaces SET hidden = NULL, cause = NULL, due = NULL WHERE id = ?",
            [hidden.space.row],
        )?;
        if hidden.cause == HideCause::Delete {
            self.connection
                .execute("UPDATE projects SET deleted = NULL WHERE id = ?", [hidden.space.project])?;
        }
        Ok(())
    }

    fn next_purge(&mut self) -> Result<Option<Hidden>, StoreError> {
        let found = self
            .connection
            .prepare_cached(&format!("{HIDDEN} ORDER BY due, id LIMIT 1"))?
            .query_row([], hidden_of)
            .optional()?;
        Ok(found)
    }

    fn purge(&mut self, space: Space) -> Result<Counts, StoreError> {
        let count = |sql: &str| {
            let count = self.connection.query_row(sql, [space.row], |row| row.get::<_, i64>(0))?;
            Ok::<_, StoreError>(count as usize)
        };
        let counts = Counts {
            events: count("SELECT count(*) FROM events WHERE space = ?")?,
            profiles: count("SELECT count(*) FROM profiles WHERE space = ?")?,
            replays: count("SELECT count(*) FROM replays WHERE space = ?")?,
        };
        let marked = self.connection.execute(
            "UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL WHERE space = ? AND dying IS NULL",
            [space.row],
        )?;
        self.connection.execute("DELETE FROM spaces WHERE id = ?", [space.row])?;
        self.marked_dying(marked);
        Ok(counts)
    }
}

/// A key of a space that is given up, with that of the same combination in the other one.
struct Twin {
    old: OpenKey,
    new: OpenKey,
    kind: i64,
}

impl SqliteStore {
    /// Puts everything of one space into another one, where the newer of two equal things stays.
    fn move_into(&mut self, from: Space, into: Space) -> Result<(), StoreError> {
        self.forget_known();
        let mut moved: Vec<KeyRow> = self
            .connection
            .prepare("SELECT id FROM keys WHERE space = ? AND kind = 0 AND dying IS NULL")?
            .query_map([from.row], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for twin in self.twins(from, into)? {
            match twin.kind {
                0 => {
                    self.move_rows(&twin)?;
                    moved.retain(|key| *key != twin.old.row);
                    moved.push(twin.new.row);
                }
                // Its rows are found by the other one.
                5 => {}
                _ => self.move_profile(&twin, into)?,
            }
            self.connection.execute("DELETE FROM key_ids WHERE key = ?", [twin.old.row])?;
            let marked = self.connection.execute(
                "UPDATE keys SET dying = 0, lookup = NULL, device = NULL, user = NULL WHERE id = ?",
                [twin.old.row],
            )?;
            self.marked_dying(marked);
        }
        for table in ["keys", "events", "profiles", "replays"] {
            let sql = format!("UPDATE {table} SET space = ? WHERE space = ?");
            self.connection.execute(&sql, [into.row, from.row])?;
        }
        self.connection.execute("DELETE FROM spaces WHERE id = ?", [from.row])?;
        moved.into_iter().try_for_each(|key| self.place_again(into, key))
    }

    fn twins(&self, from: Space, into: Space) -> Result<Vec<Twin>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT a.kind, a.id, a.slot, a.generation, b.id, b.slot, b.generation
             FROM keys a JOIN keys b ON b.space = ?2 AND b.lookup = a.lookup
             WHERE a.space = ?1 AND a.dying IS NULL",
        )?;
        let rows = statement.query_map([from.row, into.row], |row| {
            let key = |first: usize| Ok::<_, rusqlite::Error>((row.get(first)?, slot_of(row, first + 1)?));
            Ok((row.get::<_, i64>(0)?, key(1)?, key(4)?))
        })?;
        rows.map(|row| {
            let (kind, old, new): (i64, (KeyRow, _), (KeyRow, _)) = row?;
            let open = |(row, slot)| Ok::<_, StoreError>(OpenKey { row, key: self.vault.key(slot)? });
            Ok(Twin { old: open(old)?, new: open(new)?, kind })
        })
        .collect()
    }

    /// Seals the events and replays of one key under the other.
    fn move_rows(&mut self, twin: &Twin) -> Result<(), StoreError> {
        let (old, new) = (&twin.old, &twin.new);
        let rows: Vec<(i64, i64, bool, Vec<u8>)> = self
            .connection
            .prepare("SELECT id, time, dedupe IS NOT NULL, body FROM events WHERE key = ? ORDER BY id")?
            .query_map([old.row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (row, time, is_deduped, body) in rows {
            let text = old.open("event", &body)?;
            let dedupe = if is_deduped { own_hash(&text, new, time)? } else { None };
            self.connection
                .execute("DELETE FROM events WHERE key = ? AND dedupe = ?", params![new.row, dedupe])?;
            self.connection.execute(
                "UPDATE events SET key = ?, dedupe = ?, crowd = NULL, body = ? WHERE id = ?",
                params![new.row, dedupe, new.seal("event", &text)?, row],
            )?;
        }
        let rows: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare("SELECT id, body FROM replays WHERE key = ?")?
            .query_map([old.row], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (row, body) in rows {
            let sealed = new.seal("replay", &old.open("replay", &body)?)?;
            self.connection.execute(
                "UPDATE replays SET key = ?, body = ? WHERE id = ?",
                params![new.row, sealed, row],
            )?;
        }
        for column in ["first", "second"] {
            let sql = format!("UPDATE edges SET {column} = ? WHERE {column} = ?");
            self.connection.execute(&sql, [new.row, old.row])?;
        }
        self.connection.execute(
            "UPDATE keys SET identified = max(identified, (SELECT identified FROM keys WHERE id = ?2)) WHERE id = ?1",
            [new.row, old.row],
        )?;
        Ok(())
    }

    /// What was set later wins, name by name.
    fn move_profile(&mut self, twin: &Twin, into: Space) -> Result<(), StoreError> {
        if let (Some(newer), Some(mut older)) =
            (self.profile_of_key(&twin.old)?, self.profile_of_key(&twin.new)?)
        {
            older.properties.extend(newer.properties);
            let seen = older.last_seen.max(newer.last_seen);
            self.put_profile(into, &older.subject, seen, &older.properties)?;
        }
        Ok(())
    }
}
