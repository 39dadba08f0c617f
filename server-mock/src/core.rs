//! What a job may do on the worker's thread: the store, under the rules of the domain.

mod due;
pub mod privacy;
mod profiles;
mod resolve;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use tokio::sync::watch;

use crate::domain::clock::Clock;
use crate::domain::config::{Config, Project, RetentionBasis, Settings};
use crate::domain::event::Event;
use crate::domain::export::{self, Rendered};
use crate::domain::identity::{self, Verb};
use crate::domain::time::DAY;
use crate::store::{EventRange, NewEvent, ProjectRow, Put, Store, StoreError, StoredEvent, Window};
pub use resolve::Resolver;

/// Requests that the log remembers.
const LOG_LENGTH: usize = 10_000;

/// What all threads share. No lock is held across I/O.
pub struct Shared {
    config: RwLock<Arc<Config>>,
    clock: Mutex<Clock>,
    /// Counters since the start or the last reset.
    pub stats: Stats,
    log: Mutex<VecDeque<Logged>>,
    changes: watch::Sender<u64>,
    /// What has to be shown to use the control API; `None` for nothing.
    pub control_token: Option<String>,
}

/// Counters.
#[derive(Default)]
pub struct Stats {
    /// Records that arrived.
    pub received: AtomicU64,
    /// Events and profile updates that were stored.
    pub stored: AtomicU64,
    /// Events that replaced an equal one.
    pub duplicates: AtomicU64,
    /// Records that were refused.
    pub rejected: AtomicU64,
    /// Records that were dropped on arrival: ignored, unknown project, GPC, barred after an erasure.
    pub suppressed: AtomicU64,
    /// Rows that retention deleted.
    pub expired: AtomicU64,
    /// Rows that erasure deleted.
    pub erased: AtomicU64,
    by_status: Mutex<std::collections::BTreeMap<u16, u64>>,
}

/// A request that arrived: no query, no body, no address.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Method as sent, in upper case.
    pub method: String,
    /// Path of a known route; ids in it are replaced.
    pub path: String,
    /// Answered status.
    pub status: u16,
    /// Size of the body after decompression.
    pub decoded_bytes: usize,
    /// The `Content-Encoding`, or an empty text.
    pub encoding: String,
    /// Records in it.
    pub records: usize,
    /// Client library, from the first record's `mp_lib`.
    pub library: Option<String>,
    /// When, by the server's clock.
    pub at: i64,
}

impl Shared {
    /// Real time, no data.
    pub fn new(config: Config, control_token: Option<String>) -> Shared {
        Shared {
            config: RwLock::new(Arc::new(config)),
            clock: Mutex::default(),
            stats: Stats::default(),
            log: Mutex::default(),
            changes: watch::Sender::new(0),
            control_token,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Puts another configuration in force.
    pub fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(config);
    }

    /// The clock; hold it only for a moment.
    pub fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    /// Now, in milliseconds.
    pub fn now(&self) -> i64 {
        self.clock().now()
    }

    /// Tells whoever waits that something may have changed.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// To wait for changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Remembers a request.
    pub fn log(&self, entry: Logged) {
        *lock(&self.stats.by_status).entry(entry.status).or_default() += 1;
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(entry);
    }

    /// The requests remembered, oldest first.
    pub fn logged(&self) -> Vec<Logged> {
        lock(&self.log).iter().cloned().collect()
    }

    /// Forgets requests and counters.
    pub fn forget(&self) {
        lock(&self.log).clear();
        lock(&self.stats.by_status).clear();
        for (_, counter) in self.stats.all() {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Stats {
    /// All counters by name.
    pub fn all(&self) -> [(&'static str, &AtomicU64); 7] {
        [
            ("received", &self.received),
            ("stored", &self.stored),
            ("duplicates", &self.duplicates),
            ("rejected", &self.rejected),
            ("suppressed", &self.suppressed),
            ("expired", &self.expired),
            ("erased", &self.erased),
        ]
    }

    /// Requests by status.
    pub fn by_status(&self) -> Vec<(u16, u64)> {
        lock(&self.by_status).iter().map(|(status, count)| (*status, *count)).collect()
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The worker's own state.
pub struct Core {
    /// Rows and keys.
    pub store: Box<dyn Store>,
    /// What it shares with the handlers.
    pub shared: Arc<Shared>,
    /// Snapshots of profile queries, by session id.
    pub sessions: HashMap<String, Session>,
    due: due::Schedule,
}

/// A snapshot of a profile query: later pages show the same profiles in the same order.
#[derive(Debug, Clone)]
pub struct Session {
    /// When it was made, in milliseconds.
    pub made: i64,
    /// Of which project.
    pub token: String,
    /// Whether it is about groups.
    pub groups: bool,
    /// The profiles' rows.
    pub rows: Vec<i64>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ingested {
    /// New events.
    pub stored: usize,
    /// Events that replaced an equal one.
    pub duplicates: usize,
    /// Events of an erased person that came late.
    pub barred: usize,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// From this time on, in milliseconds.
    pub from: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Only rows after this one.
    pub after: Option<i64>,
    /// Only these names.
    pub names: Option<Vec<String>>,
    /// Only these canonical ids.
    pub distinct_ids: Option<Vec<String>>,
    /// Only this `$insert_id`.
    pub insert_id: Option<String>,
    /// Sorted by time instead of receipt.
    pub by_time: bool,
    /// `time` in milliseconds.
    pub time_in_ms: bool,
}

impl Core {
    /// A core on a store that is ready.
    pub fn new(store: Box<dyn Store>, shared: Arc<Shared>) -> Result<Core, StoreError> {
        let mut core = Core { store, shared, sessions: HashMap::new(), due: due::Schedule::default() };
        core.restart_schedule()?;
        core.sweep_soon();
        Ok(core)
    }

    /// Drops all data, counters and the request log; real time again. The configuration stays.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        self.store.clear()?;
        self.sessions.clear();
        self.shared.clock().reset();
        self.shared.forget();
        self.restart_schedule()
    }

    /// The project of a token as it is configured, or as one that is not listed is treated.
    pub fn project_of(&self, token: &str) -> Project {
        let config = self.shared.config();
        config.project(token).cloned().unwrap_or_else(|| config.unlisted(token))
    }

    /// Puts another configuration in force, and does what falls due by it.
    pub fn change_config(&mut self, config: Config) -> Result<(), StoreError> {
        self.shared.set_config(config);
        let now = self.shared.now();
        self.run_due(now).map(drop)
    }

    /// Stores events of one project.
    pub fn ingest(
        &mut self,
        project: &Project,
        events: Vec<Event>,
        received: i64,
    ) -> Result<Ingested, StoreError> {
        let Some(row) = self.store.project(&project.token, true)? else { return Ok(Ingested::default()) };
        let window = window(&project.settings, received);
        let mut done = Ingested::default();
        for mut event in events {
            if self.is_barred(row, &event, received)? {
                done.barred += 1;
                continue;
            }
            if window.basis == RetentionBasis::EventDate && event.time <= window.expired_until {
                // Outside of the window on arrival: accepted, never stored (SPEC §19).
                done.stored += 1;
                continue;
            }
            if event.dedupe.is_none() {
                // One is made up, so that the event is told from all others (SPEC §20.4).
                event.properties.insert("$insert_id".into(), random_hex(16)?.into());
            }
            let refused = match &event.verb {
                Some(verb) if project.id_merge == crate::domain::config::IdMerge::Original => {
                    self.merge(row, verb)?
                }
                _ => None,
            };
            if let Some(reason) = refused {
                event.properties.insert("$failure_reason".into(), reason.into());
            }
            let new = NewEvent {
                ids: event.ids,
                name: event.name,
                distinct_id: event.distinct_id,
                time: event.time,
                received,
                properties: event.properties,
                dedupe: event.dedupe,
            };
            match self.store.put_event(row, &new)? {
                Put::Stored => done.stored += 1,
                Put::Duplicate => done.duplicates += 1,
            }
        }
        Ok(done)
    }

    /// Carries out an identity verb of the original merge; answers why not, where it is refused.
    fn merge(&mut self, project: ProjectRow, verb: &Verb) -> Result<Option<&'static str>, StoreError> {
        let (first, second, identified) = match verb {
            Verb::Identify { user, anonymous } => {
                if !identity::is_uuid4(anonymous) {
                    return Ok(Some("the anonymous id is not a UUID of version 4"));
                }
                (user, anonymous, true)
            }
            Verb::Alias { id, alias } => (id, alias, false),
            Verb::Merge(first, second) => (first, second, false),
        };
        let left = self.store.cluster(project, first)?;
        if first == second || left.iter().any(|node| node.id == *second) {
            return Ok(None);
        }
        let right = self.store.cluster(project, second)?;
        if !matches!(verb, Verb::Merge(..)) && right.len() > 1 {
            return Ok(Some("the id is already merged"));
        }
        if left.len().max(1) + right.len().max(1) > CLUSTER_LIMIT {
            return Ok(Some("the cluster would have more than 500 ids"));
        }
        self.store.join(project, first, second, identified)?;
        Ok(None)
    }

    /// Visits the events of a project that are asked for, rendered, until the visitor returns false.
    pub fn events(
        &mut self,
        token: &str,
        query: &EventQuery,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<(), StoreError> {
        let Some(row) = self.store.project(token, false)? else { return Ok(()) };
        let project = self.project_of(token);
        let mut range = EventRange {
            project: row,
            window: window(&project.settings, self.shared.now()),
            from: query.from.unwrap_or(i64::MIN),
            until: query.until.unwrap_or(i64::MAX),
            after_row: query.after.unwrap_or(0),
            by_time_after: query.by_time.then_some(i64::MIN),
        };
        let wanted = |event: &StoredEvent| {
            query.names.as_ref().is_none_or(|names| names.contains(&event.name))
                && query.insert_id.as_ref().is_none_or(|id| {
                    identity::id_text(event.properties.get("$insert_id")).as_ref() == Some(id)
                })
        };
        let mut resolver = Resolver::new(row, project.id_merge);
        // In pieces, so that a large project does not have to fit into memory.
        loop {
            let (mut piece, mut last) = (Vec::new(), None);
            self.store.visit_events(range, &mut |event| {
                last = Some((event.time, event.row));
                if wanted(&event) {
                    piece.push(event);
                }
                piece.len() < PIECE
            })?;
            let whole = piece.len() < PIECE;
            for event in piece {
                let sent = event.distinct_id.as_deref();
                let canonical = resolver.canonical(self.store.as_mut(), event.key, &event.ids, sent)?;
                if query
                    .distinct_ids
                    .as_ref()
                    .is_some_and(|ids| !canonical.as_ref().is_some_and(|id| ids.contains(id)))
                {
                    continue;
                }
                let own = resolver.own(&event.ids, sent);
                let rendered = export::render(&event, canonical.as_deref(), own.as_deref(), query.time_in_ms);
                if !visitor(&event, rendered) {
                    return Ok(());
                }
            }
            match last {
                Some((time, row)) if !whole => {
                    range.after_row = row;
                    range.by_time_after = range.by_time_after.map(|_| time);
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Events that are decrypted and shown at a time.
const PIECE: usize = 500;

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

/// Most ids in a cluster (SPEC §16.2).
const CLUSTER_LIMIT: usize = 500;

/// What is expired now, by the settings of a project. A window of N days is over when N days have passed.
pub fn window(settings: &Settings, now: i64) -> Window {
    let expired_until = match (settings.retention_events_days, settings.retention_basis) {
        (None, _) => i64::MIN,
        (Some(days), RetentionBasis::Received) => now - days * DAY,
        (Some(days), RetentionBasis::EventDate) => (now.div_euclid(DAY) - days + 1) * DAY - 1,
    };
    Window { basis: settings.retention_basis, expired_until }
}
