//! What all threads share: configuration, clock, counters, faults, and what is remembered in memory only.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use tokio::sync::watch;

use super::{random_hex, window};
use crate::domain::clock::Clock;
use crate::domain::config::Config;
use crate::domain::fault::Faults;
use crate::domain::identity::strip;
use crate::domain::time::DAY;

/// Requests that the log remembers.
const LOG_LENGTH: usize = 10_000;
/// Pairs of route and token that arrivals are counted under; what comes under more of them is counted without a token.
const ARRIVAL_PAIRS: usize = 10_000;
/// Refused records that are remembered.
const REJECTED_LENGTH: usize = 1_000;
/// Room that they take, except where the newest alone takes more.
const REJECTED_BYTES: usize = 32 * 1024 * 1024;

type TokenHash = [u8; 32];

/// What all threads share. No lock is held across I/O.
pub struct Shared {
    config: RwLock<Arc<Config>>,
    clock: Mutex<Clock>,
    faults: Mutex<Faults>,
    /// Counters since the start or the last reset.
    pub stats: Stats,
    log: Mutex<Ring<Logged>>,
    rejected: Mutex<Ring<Rejected>>,
    /// What arrived, by route and token, since the start: whoever wants to prove a silence cannot have it reset.
    /// By hashes, because anybody may send tokens of any length.
    arrived: Mutex<BTreeMap<(&'static str, Option<TokenHash>), u64>>,
    changes: watch::Sender<u64>,
    public_key: OnceLock<[u8; 32]>,
    /// The day for which addresses are hashed with a key, and the key.
    address_key: Mutex<Option<(i64, String)>>,
    /// What has to be shown to use the control API; `None` for nothing.
    pub control_token: Option<String>,
}

/// The last of many, numbered from 1.
struct Ring<T> {
    entries: VecDeque<(u64, T)>,
    last: u64,
    length: usize,
    /// Bytes that they take, and may take where there is more than one.
    bytes: usize,
    most_bytes: usize,
    size_of: fn(&T) -> usize,
}

impl<T: Clone> Ring<T> {
    fn new(length: usize, most_bytes: usize, size_of: fn(&T) -> usize) -> Ring<T> {
        Ring { entries: VecDeque::new(), last: 0, length, bytes: 0, most_bytes, size_of }
    }

    fn push(&mut self, entry: T) {
        self.last += 1;
        self.bytes += (self.size_of)(&entry);
        self.entries.push_back((self.last, entry));
        while self.entries.len() > 1 && (self.entries.len() > self.length || self.bytes > self.most_bytes) {
            if let Some((_, oldest)) = self.entries.pop_front() {
                self.bytes -= (self.size_of)(&oldest);
            }
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        self.entries.retain(|(_, entry)| is_kept(entry));
        self.bytes = self.entries.iter().map(|(_, entry)| (self.size_of)(entry)).sum();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.last = 0;
    }

    fn all(&self) -> Vec<(u64, T)> {
        self.entries.iter().cloned().collect()
    }
}

/// Why a record was dropped on arrival although nothing was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Somebody on the suppression list.
    SuppressionList,
    /// `Sec-GPC: 1`, where the project honours it.
    Gpc,
    /// `DNT: 1`, where the project honours it.
    Dnt,
    /// A cookie `mp_optout`, where the project honours it.
    OptOutCookie,
    /// A late copy of what was erased.
    Erased,
    /// `$ignore`.
    Ignored,
    /// A project that is not known.
    UnknownProject,
    /// A project that was deleted.
    DeletedProject,
    /// Already outside of the retention window.
    OutOfWindow,
    /// An identity verb that the project's merge does not know.
    IdentityVerb,
}

impl Dropped {
    const ALL: [(Dropped, &'static str); 10] = [
        (Dropped::SuppressionList, "suppression_list"),
        (Dropped::Gpc, "gpc"),
        (Dropped::Dnt, "dnt"),
        (Dropped::OptOutCookie, "optout_cookie"),
        (Dropped::Erased, "erased"),
        (Dropped::Ignored, "ignored"),
        (Dropped::UnknownProject, "unknown_project"),
        (Dropped::DeletedProject, "deleted_project"),
        (Dropped::OutOfWindow, "out_of_window"),
        (Dropped::IdentityVerb, "identity_verb"),
    ];
}

/// Counters. At rest: received = stored + duplicates + rejected + suppressed.
#[derive(Default)]
pub struct Stats {
    /// Records that arrived.
    pub received: AtomicU64,
    /// Events, profile updates and pieces of replays that were stored.
    pub stored: AtomicU64,
    /// Events that replaced an equal one.
    pub duplicates: AtomicU64,
    /// Records that were refused. A request that cannot be decoded counts as one.
    pub rejected: AtomicU64,
    /// Rows that retention deleted.
    pub expired: AtomicU64,
    /// Rows that erasure deleted.
    pub erased: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    by_status: Mutex<BTreeMap<Option<u16>, u64>>,
}

/// A request that arrived: no query, no body, no address.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Method as sent, in upper case.
    pub method: String,
    /// Path of a known route; ids in it are replaced.
    pub path: String,
    /// Answered status; `None` where a fault cut the connection instead.
    pub status: Option<u16>,
    /// Size of the body after decompression.
    pub decoded_bytes: usize,
    /// The `Content-Encoding`, or an empty text.
    pub encoding: String,
    /// Records in it.
    pub records: usize,
    /// Client library, as the records or the query name it.
    pub library: Option<Box<str>>,
    /// Whether a fault met it.
    pub fault: bool,
    /// When, by the server's clock.
    pub at: i64,
}

/// A record that was refused, or a request that could not be decoded.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// When, by the server's clock.
    pub at: i64,
    /// Path of the route.
    pub route: String,
    /// The project that it names, if it is one.
    pub project: Option<String>,
    /// Why.
    pub reason: String,
    /// Its place in the request.
    pub index: usize,
    /// Size of its JSON text, or of the request.
    pub bytes: usize,
    /// Names of its fields and properties.
    pub fields: Vec<String>,
    /// The record itself as JSON, where the configuration asks for it. A text takes far less room than what is read from it.
    pub content: Option<String>,
    /// Hashes of the ids that it names, by which it is forgotten.
    pub ids: Vec<[u8; 32]>,
}

impl Rejected {
    /// Bytes that it takes, nearly.
    fn size(&self) -> usize {
        let texts = [Some(&self.route), self.project.as_ref(), Some(&self.reason), self.content.as_ref()];
        let texts =
            texts.into_iter().flatten().chain(&self.fields).map(|text| size_of::<String>() + text.len());
        size_of::<Rejected>() + texts.sum::<usize>() + size_of_val(self.ids.as_slice())
    }
}

impl Shared {
    /// Real time, no data.
    pub fn new(config: Config, control_token: Option<String>) -> Shared {
        Shared {
            config: RwLock::new(Arc::new(config)),
            clock: Mutex::default(),
            faults: Mutex::default(),
            stats: Stats::default(),
            log: Mutex::new(Ring::new(LOG_LENGTH, usize::MAX, |_| 0)),
            rejected: Mutex::new(Ring::new(REJECTED_LENGTH, REJECTED_BYTES, Rejected::size)),
            arrived: Mutex::default(),
            changes: watch::Sender::new(0),
            public_key: OnceLock::new(),
            address_key: Mutex::default(),
            control_token,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another configuration in force.
    pub fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The clock; hold it only for a moment.
    pub fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    /// Now, in milliseconds.
    pub fn now(&self) -> i64 {
        self.clock().now()
    }

    /// The rules of faults; hold them only for a moment.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// The key that verifies receipts.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key.get().copied().unwrap_or_default()
    }

    pub(super) fn set_public_key(&self, key: [u8; 32]) {
        // It is set once, before anybody asks.
        let _ = self.public_key.set(key);
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
        lock(&self.log).push(entry);
        self.changed();
    }

    /// The requests remembered, oldest first, with their numbers.
    pub fn logged(&self) -> Vec<(u64, Logged)> {
        lock(&self.log).all()
    }

    /// Counts what arrived in a place, by token where one is known.
    pub fn arrive(&self, route: &'static str, projects: Vec<(Option<String>, usize)>) {
        let mut arrived = lock(&self.arrived);
        for (token, count) in projects {
            let is_full = arrived.len() >= ARRIVAL_PAIRS;
            let key = (route, token.as_deref().map(token_hash));
            let key = if is_full && !arrived.contains_key(&key) { (route, None) } else { key };
            *arrived.entry(key).or_default() += count as u64;
        }
        drop(arrived);
        self.changed();
    }

    /// What arrived since the start, by route: of one project, with what may have been for it, or of all.
    pub fn arrived(&self, token: Option<&str>) -> BTreeMap<&'static str, u64> {
        let token = token.map(token_hash);
        let mut counts = BTreeMap::new();
        for ((route, of), count) in &*lock(&self.arrived) {
            if token.is_none() || of.is_none() || *of == token {
                *counts.entry(*route).or_default() += count;
            }
        }
        counts
    }

    /// Remembers what was refused.
    pub fn reject(&self, entries: Vec<Rejected>) {
        let mut ring = lock(&self.rejected);
        entries.into_iter().for_each(|entry| ring.push(entry));
    }

    /// What was refused and is not expired, oldest first, with numbers.
    pub fn rejected(&self) -> Vec<(u64, Rejected)> {
        self.expire_rejected(self.now());
        lock(&self.rejected).all()
    }

    /// Forgets what was refused when events of that age have expired.
    pub fn expire_rejected(&self, now: i64) {
        let config = self.config();
        lock(&self.rejected).retain(|entry| {
            let project = entry.project.as_deref().and_then(|token| config.project(token));
            let settings = project.map_or(&config.settings, |project| &project.settings);
            entry.at > window(settings, now).expired_until
        });
    }

    /// Forgets what was refused of a project.
    pub fn forget_rejected_by(&self, token: &str) {
        lock(&self.rejected).retain(|entry| entry.project.as_deref() != Some(token));
    }

    /// The hash by which a refused record is forgotten when one of its ids is erased.
    pub fn rejected_id(id: &str) -> [u8; 32] {
        static KEY: OnceLock<String> = OnceLock::new();
        let key = KEY.get_or_init(|| random_hex(32).unwrap_or_default());
        *blake3::hash(format!("{key}{}", strip(id)).as_bytes()).as_bytes()
    }

    /// Forgets refused records that name any of these ids.
    pub fn forget_rejected(&self, ids: &[String]) {
        let hashes: Vec<[u8; 32]> = ids.iter().map(|id| Shared::rejected_id(id)).collect();
        lock(&self.rejected).retain(|entry| !entry.ids.iter().any(|id| hashes.contains(id)));
    }

    /// A distinct id for an address: the same all day, and nothing that leads back to it after (SPEC §6.3).
    pub fn address_id(&self, address: IpAddr, now: i64) -> Option<String> {
        let day = now.div_euclid(DAY);
        let mut known = lock(&self.address_key);
        if known.as_ref().is_none_or(|(known, _)| *known != day) {
            *known = Some((day, random_hex(32).ok()?));
        }
        let (_, key) = known.as_ref()?;
        let hash =
            blake3::keyed_hash(blake3::hash(key.as_bytes()).as_bytes(), address.to_string().as_bytes());
        Some(hash.to_hex()[..32].to_owned())
    }

    /// Forgets requests, refusals, counters, faults.
    pub fn forget(&self) {
        lock(&self.log).clear();
        lock(&self.rejected).clear();
        self.faults().clear();
        lock(&self.stats.by_status).clear();
        for (_, counter) in self.stats.plain() {
            counter.store(0, Ordering::Relaxed);
        }
        self.stats.dropped.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

impl Stats {
    fn plain(&self) -> [(&'static str, &AtomicU64); 6] {
        [
            ("received", &self.received),
            ("stored", &self.stored),
            ("duplicates", &self.duplicates),
            ("rejected", &self.rejected),
            ("expired", &self.expired),
            ("erased", &self.erased),
        ]
    }

    /// All counters by name; `suppressed` is the sum of what was dropped.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut all: Vec<_> = self.plain().iter().map(|(name, counter)| (*name, value(counter))).collect();
        all.insert(4, ("suppressed", self.dropped.iter().map(value).sum()));
        all
    }

    /// What was dropped, by reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.dropped.iter().map(|counter| counter.load(Ordering::Relaxed));
        Dropped::ALL.iter().map(|(_, name)| *name).zip(counts)
    }

    /// Requests by status; `None` are those whose connection was cut.
    pub fn by_status(&self) -> Vec<(Option<u16>, u64)> {
        lock(&self.by_status).iter().map(|(status, count)| (*status, *count)).collect()
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts records that were dropped.
    pub fn drop_records(&self, reason: Dropped, count: usize) {
        Stats::add(&self.dropped[reason as usize], count);
    }
}

fn token_hash(token: &str) -> TokenHash {
    *blake3::hash(token.as_bytes()).as_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_where_their_counters_are() {
        for (index, (reason, _)) in Dropped::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn an_address_is_the_same_person_for_a_day_only() {
        let shared = Shared::new(Config::default(), None);
        let address = IpAddr::from([192, 0, 2, 1]);
        let morning = shared.address_id(address, 5).unwrap();
        assert_eq!(shared.address_id(address, DAY - 1).unwrap(), morning);
        assert_ne!(shared.address_id(IpAddr::from([192, 0, 2, 2]), 5).unwrap(), morning);
        assert_ne!(shared.address_id(address, DAY).unwrap(), morning);
        assert_ne!(shared.address_id(address, 5).unwrap(), morning, "the key of a day is not kept");
    }

    #[test]
    fn rings_number_on_and_forget_the_oldest() {
        let mut ring = Ring::new(2, usize::MAX, |_| 0);
        for n in 0..3 {
            ring.push(n);
        }
        assert_eq!(ring.all(), [(2, 1), (3, 2)]);
    }

    #[test]
    fn rings_have_room_for_so_many_bytes() {
        let mut ring = Ring::new(9, 10, String::len);
        let push = |ring: &mut Ring<String>, lengths: &[usize]| {
            lengths.iter().for_each(|length| ring.push("x".repeat(*length)));
            ring.all().iter().map(|(_, text)| text.len()).collect::<Vec<_>>()
        };
        assert_eq!(push(&mut ring, &[4, 3, 3]), [4, 3, 3]);
        assert_eq!(push(&mut ring, &[2]), [3, 3, 2]);
        ring.retain(|text| text.len() == 2);
        assert_eq!(push(&mut ring, &[5, 3]), [2, 5, 3]);
        assert_eq!(push(&mut ring, &[50]), [50], "the newest is there however large it is");
        assert_eq!(push(&mut ring, &[1]), [1]);
        ring.clear();
        assert_eq!(push(&mut ring, &[5, 5]), [5, 5]);
    }

    #[test]
    fn refused_records_take_bounded_room_and_the_newest_stay() {
        let shared = Shared::new(Config::default(), None);
        let now = shared.now();
        let large = |index: usize| Rejected {
            at: now,
            route: "/track".into(),
            project: None,
            reason: "too large".into(),
            index,
            bytes: 9_000_000,
            fields: vec!["x".repeat(1_000_000)],
            content: Some("y".repeat(8_000_000)),
            ids: Vec::new(),
        };
        for index in 0..10 {
            shared.reject(vec![large(index)]);
        }
        let kept: Vec<_> =
            shared.rejected().into_iter().map(|(number, entry)| (number, entry.index)).collect();
        assert_eq!(kept, [(8, 7), (9, 8), (10, 9)]);
    }

    #[test]
    fn what_arrived_is_remembered_without_its_token() {
        let shared = Shared::new(Config::default(), None);
        let token = "secret".repeat(1_000);
        shared.arrive("/track", vec![(Some(token.clone()), 2), (None, 1)]);
        shared.arrive("/track", vec![(Some("other".into()), 4)]);
        assert_eq!(shared.arrived(Some(&token)), BTreeMap::from([("/track", 3)]));
        assert_eq!(shared.arrived(None), BTreeMap::from([("/track", 7)]));
        assert!(size_of_val(lock(&shared.arrived).keys().next().unwrap()) < 100);
    }
}
