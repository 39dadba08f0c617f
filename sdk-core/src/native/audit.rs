//! What a client holds, for the host to show and to check (C14).

use super::store::Listing;
use crate::engine::{Consent, Engine, Erasure, Item, ItemKind};
use crate::json::Object;
use std::time::Duration;

/// Everything that a client holds now, in memory and in its data folder. After a withdrawal: the consent record
/// and the erasure outbox, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typed", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Audit {
    /// What the person chose: `unset`, `granted` or `denied`.
    pub decision: &'static str,
    /// What may be done: `allow`, `hold` or `deny`.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The files of this project in the data folder, including those of other processes. Empty files that only serve as
    /// locks are left out.
    pub files: Vec<AuditedFile>,
    /// The device id.
    pub device_id: Option<String>,
    /// The `distinct_id` that records carry.
    pub distinct_id: Option<String>,
    /// The names of the super properties, including those of this session.
    pub super_properties: Vec<String>,
    /// Events that are being timed.
    pub timers: usize,
    /// Records waiting to be delivered.
    pub queued_records: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Calls waiting for a decision.
    pub held_records: u64,
    /// Requests in progress.
    pub requests_in_flight: usize,
    /// When the client next acts by itself.
    pub next_action_in: Option<Duration>,
    /// The erasure outbox.
    pub outbox: Vec<AuditedErasure>,
}

/// A file of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typed", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditedFile {
    /// Its path below the data folder; a flight recording's whole path.
    pub name: String,
    /// What it holds: `consent`, `data`, or `recording` for what a flight recorder writes. `unlisted` is a file or
    /// folder that could not be inspected, for lack of permissions or file descriptors, or because something else is in
    /// its place: it may hold anything.
    pub kind: &'static str,
    /// Its length; 0 if that is unknown.
    pub bytes: u64,
}

impl AuditedFile {
    fn unlisted(name: String) -> Self {
        Self { name, kind: "unlisted", bytes: 0 }
    }
}

/// A request in the erasure outbox. The proof that accompanies it is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typed", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditedErasure {
    /// Its id.
    pub id: String,
    /// What it asks for: `device` erases everything that carries the device's id, `profile` deletes the profiles of the
    /// device and its user.
    pub kind: &'static str,
    /// The withdrawn device.
    pub device_id: String,
    /// How far it has come: `requested`, `accepted`, `completed` or `refused`.
    pub state: &'static str,
    /// The server's last response, if it was a JSON object: its text, with the receipt at the end.
    pub answer: Option<String>,
}

impl Audit {
    pub(super) fn new(consent: Consent) -> Self {
        Self {
            decision: consent.decision.as_str(),
            verdict: consent.verdict.as_str(),
            reason: consent.reason(),
            files: Vec::new(),
            device_id: None,
            distinct_id: None,
            super_properties: Vec::new(),
            timers: 0,
            queued_records: 0,
            queued_bytes: 0,
            held_records: 0,
            requests_in_flight: 0,
            next_action_in: None,
            outbox: Vec::new(),
        }
    }

    pub(super) fn add_memory(&mut self, engine: &Engine, now_ms: u64) {
        let stats = engine.stats();
        self.device_id = engine.device_id();
        self.distinct_id = engine.distinct_id();
        self.super_properties = [engine.super_properties(), engine.session_properties()]
            .into_iter()
            .filter_map(|text| Object::parse(text).ok())
            .flat_map(|object| object.members().map(|(name, _)| name.text()))
            .collect();
        self.timers = engine.timers();
        self.queued_records = stats.queued;
        self.queued_bytes = stats.queued_bytes;
        self.held_records = engine.held_calls() as u64;
        self.requests_in_flight = engine.in_flight();
        self.next_action_in = engine.next_wakeup().map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
        self.outbox = engine.erasure_outbox().into_iter().map(AuditedErasure::of).collect();
    }

    pub(super) fn add_files(&mut self, Listing { items, unlisted }: Listing) {
        for Item { name, kind, bytes } in items {
            let kind = match kind {
                ItemKind::Consent => "consent",
                ItemKind::Data(_) => "data",
                ItemKind::Lock => continue,
            };
            self.files.push(AuditedFile { name, kind, bytes });
        }
        self.files.extend(unlisted.into_iter().map(AuditedFile::unlisted));
    }
}

/// What stands there now of these recordings.
#[cfg(feature = "flight-recorder")]
pub(super) fn recordings(paths: Vec<std::path::PathBuf>) -> impl Iterator<Item = AuditedFile> {
    paths.into_iter().filter_map(|path| {
        let name = path.display().to_string();
        match std::fs::metadata(&path) {
            Ok(metadata) => Some(AuditedFile { name, kind: "recording", bytes: metadata.len() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) => Some(AuditedFile::unlisted(name)),
        }
    })
}

impl AuditedErasure {
    fn of(erasure: &Erasure) -> Self {
        Self {
            id: erasure.id.clone(),
            kind: erasure.kind.as_str(),
            device_id: erasure.device_id.clone(),
            state: erasure.state.as_str(),
            answer: erasure.answer.clone(),
        }
    }
}
