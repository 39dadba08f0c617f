//! What a job may do on the worker's thread: the store, under the rules of the domain.

pub mod archive;
mod closure;
mod clusters;
pub mod device;
mod due;
mod gate;
mod ingest;
pub mod objections;
mod person;
pub mod portal;
mod profiles;
pub mod projects;
mod read;
mod resolve;
mod shared;
pub mod tasks;

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::config::{Config, IdMerge, Project, RetentionBasis, Settings};
use crate::domain::profile::Subject;
use crate::domain::time::DAY;
use crate::store::{Counts, Home, NewAudit, ProjectRow, Space, Store, StoreError, StoredProfile, Window};

pub use ingest::{Ingested, Packed};
pub use read::{EventQuery, Gathered, Gathering, Place, Reading, Sorting};
pub use resolve::Resolver;
pub use shared::{Dropped, Logged, Rejected, Shared, Stats};
use tasks::Told;

/// The worker's own state.
pub struct Core {
    /// Rows and keys.
    pub store: Box<dyn Store>,
    /// What it shares with the handlers.
    pub shared: Arc<Shared>,
    /// Snapshots of profile queries, by session id.
    pub sessions: HashMap<String, Session>,
    /// Counts changes that may take something away or change whose it is: erasures, sweeps, resets, another
    /// configuration. Whoever counted before has to count again.
    pub era: u64,
    due: due::Schedule,
    /// One at a time: it takes memory.
    making: Option<archive::Making>,
    told: Told,
}

/// A snapshot of a profile query: later pages show the same profiles in the same order. Those that are gone meanwhile are
/// left out: numbers of rows are never given again.
#[derive(Debug, Clone)]
pub struct Session {
    /// When it was made, in milliseconds.
    pub made: i64,
    /// Of which project.
    pub token: String,
    /// Whether it is about groups.
    pub groups: bool,
    /// The profiles' rows.
    pub rows: Arc<[i64]>,
}

/// What is visible of a project at an instant.
#[derive(Debug, Clone)]
pub struct View {
    /// Where its data is.
    pub space: Space,
    /// As configured.
    pub project: Project,
    /// At which instant, in milliseconds.
    pub now: i64,
}

impl Core {
    /// A core on a store that is ready.
    pub fn new(store: Box<dyn Store>, shared: Arc<Shared>) -> Result<Core, StoreError> {
        shared.set_public_key(store.public_key());
        let due = due::Schedule::default();
        let told = Told::default();
        let mut core = Core { store, shared, sessions: HashMap::new(), era: 0, due, making: None, told };
        core.take_config(core.shared.config().as_ref().clone())?;
        // A server that is restarted often must not put retention off for ever.
        core.look_soon()?;
        Ok(core)
    }

    /// Drops all data, counters, the request log and faults; real time again. The configuration stays.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        self.store.clear()?;
        self.take_config(self.shared.config().as_ref().clone())?;
        self.sessions.clear();
        self.making = None;
        self.told = Told::default();
        self.era += 1;
        self.shared.clock().reset();
        self.shared.forget();
        self.restart_schedule()
    }

    /// The project of a token as it is configured, or as one that is not listed is treated.
    pub fn project_of(&self, token: &str) -> Project {
        let config = self.shared.config();
        config.project(token).cloned().unwrap_or_else(|| config.unlisted(token))
    }

    /// The project of a token that somebody has rights in: of one that takes records, or that holds some from before.
    /// `None` where nothing was taken, nor would be now.
    pub fn answerable(&mut self, token: &str) -> Result<Option<Project>, StoreError> {
        let project = self.shared.config().project_or_new(token);
        match project {
            Some(project) => Ok(Some(project)),
            None => self.holding(token),
        }
    }

    /// The same, where its data is. It may have none yet: an objection or an erasure may come before the first event.
    fn answerable_home(&mut self, token: &str) -> Result<Option<Home>, StoreError> {
        let project = self.answerable(token)?;
        project.map(|project| self.open_project(&project.token)).transpose()
    }

    /// The project of a token under which there is something, or was.
    pub fn holding(&mut self, token: &str) -> Result<Option<Project>, StoreError> {
        Ok(self.store.find_project(token)?.map(|_| self.project_of(token)))
    }

    /// What is visible of a project now.
    pub fn view(&mut self, token: &str) -> Result<Option<View>, StoreError> {
        let now = self.shared.now();
        self.view_at(token, now)
    }

    /// What is visible of a project at an instant.
    pub fn view_at(&mut self, token: &str, now: i64) -> Result<Option<View>, StoreError> {
        let home = self.store.find_project(token)?;
        let space = home.and_then(|home| home.space);
        Ok(space.map(|space| View { space, project: self.project_of(token), now }))
    }

    /// The tokens of all projects that the store knows, or the one that is asked for.
    pub fn tokens(&mut self, only: Option<&str>) -> Result<Vec<String>, StoreError> {
        match only {
            Some(token) => Ok(vec![token.to_owned()]),
            None => Ok(self.store.projects()?.into_iter().map(|(_, token)| token).collect()),
        }
    }

    /// The token of a project in the store.
    pub fn token_of(&mut self, project: ProjectRow) -> Result<String, StoreError> {
        let found = self.store.projects()?.into_iter().find(|(home, _)| home.project == project);
        Ok(found.map(|(_, token)| token).unwrap_or_default())
    }

    /// Puts another configuration in force. What was expired under the old one is gone before.
    pub fn change_config(&mut self, config: Config) -> Result<(), StoreError> {
        let now = self.shared.now();
        self.run_due(now)?;
        self.take_config(config)?;
        self.era += 1;
        self.run_due(now).map(drop)
    }

    /// Puts a configuration in force. How it merges the ids of its projects is noted with their data, so that work that
    /// falls due while none names them is done by the same rules.
    fn take_config(&mut self, mut config: Config) -> Result<(), StoreError> {
        let mut unlisted = HashMap::new();
        for (home, token) in self.store.projects()? {
            match (config.project(&token), home.id_merge) {
                (Some(project), known) if known != Some(project.id_merge) => {
                    self.store.set_id_merge(home.project, project.id_merge)?;
                }
                (None, Some(known)) if known != IdMerge::default() => drop(unlisted.insert(token, known)),
                _ => {}
            }
        }
        config.remember(unlisted);
        self.shared.set_config(config);
        // What is in them may be expired by these settings.
        let retrievals = self.store.retrievals(None)?;
        if retrievals.is_empty() {
            return Ok(());
        }
        self.in_transaction(|core| core.empty_archives(&retrievals))
    }

    /// A project, made if it is not there. A deleted project gets no new space.
    fn open_project(&mut self, token: &str) -> Result<Home, StoreError> {
        let home = self.store.open_project(token)?;
        if home.id_merge.is_none() {
            self.store.set_id_merge(home.project, self.project_of(token).id_merge)?;
        }
        Ok(home)
    }

    /// Writes an entry of the audit.
    fn note(
        &mut self,
        at: i64,
        project: Option<ProjectRow>,
        action: &str,
        rule: &str,
        task: Option<&str>,
        counts: Counts,
    ) -> Result<(), StoreError> {
        self.store.audit(&NewAudit { at, project, action, rule, task, counts })
    }

    /// Runs a change in a transaction of its own.
    pub fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Core) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.store.begin()?;
        match work(self).and_then(|done| self.store.commit().map(|()| done)) {
            Ok(done) => Ok(done),
            Err(error) => {
                self.store.rollback();
                Err(error)
            }
        }
    }
}

/// Random bytes in hex.
pub fn random_hex(bytes: usize) -> Result<String, StoreError> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| StoreError::io("the system's randomness", error))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A UUID of version 4.
pub fn random_uuid() -> Result<String, StoreError> {
    let mut hex = random_hex(16)?.into_bytes();
    hex[12] = b'4';
    hex[16] = b"89ab"[usize::from(hex[16] % 4)];
    let hex = String::from_utf8_lossy(&hex);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// What is expired now, by the settings of a project. A window of N days is over when N days have passed.
pub fn window(settings: &Settings, now: i64) -> Window {
    let expired_until = match (settings.retention_events_days, settings.retention_basis) {
        (None, _) => i64::MIN,
        (Some(days), RetentionBasis::Received) => now - days * DAY,
        (Some(days), RetentionBasis::EventDate) => (now.div_euclid(DAY) - days + 1) * DAY - 1,
    };
    Window { basis: settings.retention_basis, expired_until }
}

/// When an event expires that was received at one instant and happened at another; `None` is never.
pub fn event_expiry(settings: &Settings, received: i64, time: i64) -> Option<i64> {
    let days = settings.retention_events_days?;
    Some(match settings.retention_basis {
        RetentionBasis::Received => received + days * DAY,
        RetentionBasis::EventDate => (time.div_euclid(DAY) + days) * DAY,
    })
}

/// Profiles of persons last seen at or before this instant are expired. Those of groups never are.
pub fn profiles_expired_until(settings: &Settings, now: i64) -> i64 {
    settings.retention_profiles_days.map_or(i64::MIN, |days| now - days * DAY)
}

/// Whether a profile is not expired.
pub fn is_live(profile: &StoredProfile, settings: &Settings, now: i64) -> bool {
    match profile.subject {
        Subject::Person(_) => profile.last_seen > profiles_expired_until(settings, now),
        Subject::Group(..) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::domain::clock::Moment;
    use crate::domain::event::Event;
    use crate::domain::identity::Ids;
    use crate::store::sqlite::SqliteStore;

    /// A clock that stands still, and an event of the user `u` in the project `T`, which expires after a day. Profiles
    /// would after two.
    pub fn core_with_an_event() -> Core {
        let windows = json!({"retention_events_days": 1, "retention_profiles_days": 2});
        let config = json!({"projects": [{"token": "T", "project_id": 1}], "settings": windows});
        let shared = Arc::new(Shared::new(Config::from_json(&config).unwrap(), None));
        shared.clock().freeze(true);
        let mut core = Core::new(Box::new(SqliteStore::in_memory().unwrap()), shared).unwrap();
        put_event(&mut core, "T");
        core
    }

    /// An event of the user `u` in a project.
    pub fn put_event(core: &mut Core, token: &str) {
        let project = core.project_of(token);
        let now = core.shared.now();
        let event = Event {
            name: "A".into(),
            distinct_id: Some("u".into()),
            ids: Ids { user: Some("u".into()), ..Ids::default() },
            time: now,
            sent_time: None,
            properties: Map::new(),
            dedupe: None,
            verb: None,
        };
        let ingested =
            core.in_transaction(|core| core.ingest(&project, &mut [event.into()], Moment::as_sent(now)));
        assert_eq!(ingested.unwrap().stored, 1);
    }
}
