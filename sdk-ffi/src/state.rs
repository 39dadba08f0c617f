//! The state of a client, as bindings see it.

use refrain::{engine, native};
use std::collections::HashMap;

/// Where consent stands.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Consent {
    /// What the person chose: `granted`, `denied` or `unset`.
    pub decision: String,
    /// What may be done now: `allow`, `hold` or `deny`.
    pub verdict: String,
    /// Why: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`.
    pub reason: String,
    /// One sentence to show to the person.
    pub sentence: String,
}

impl From<engine::Consent> for Consent {
    fn from(consent: engine::Consent) -> Self {
        Self {
            decision: consent.decision.as_str().into(),
            verdict: consent.verdict.as_str().into(),
            reason: consent.reason().into(),
            sentence: consent.sentence().into(),
        }
    }
}

/// What became of every record since the client was made. At all times `tracked + recovered + adopted` =
/// `delivered + queued + held + dropped + given_up`.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Stats {
    /// Records made here.
    pub tracked: u64,
    /// Records found in the client's own queue at the start.
    pub recovered: u64,
    /// Records found in queues whose owner is gone.
    pub adopted: u64,
    /// Records that the collector has accepted.
    pub delivered: u64,
    /// Records waiting to be delivered.
    pub queued: u64,
    /// Calls waiting for a decision.
    pub held: u64,
    /// Records that were dropped, by reason. Every reason is present.
    pub dropped: HashMap<String, u64>,
    /// Records that were handed over to another owner, which delivers them.
    pub given_up: u64,
    /// Bytes waiting to be delivered.
    pub queued_bytes: u64,
    /// Stored records that could not be read back. Not part of the balance.
    pub damaged: u64,
    /// Files deleted unread because consent was withdrawn. Not part of the balance.
    pub wiped: u64,
    /// Calls that were rejected, so that nothing was recorded.
    pub rejected: u64,
    /// Personal data found in calls, whether recorded or rejected, by kind. Every kind is present. Not part of the
    /// balance.
    pub personal_data: HashMap<String, u64>,
}

impl From<engine::Stats> for Stats {
    fn from(stats: engine::Stats) -> Self {
        let dropped =
            engine::Dropped::ALL.map(|reason| (reason.as_str().to_owned(), stats.dropped_for(reason)));
        let personal_data = engine::PersonalDataKind::ALL
            .map(|kind| (kind.as_str().to_owned(), stats.personal_data_of(kind)));
        Self {
            tracked: stats.tracked,
            recovered: stats.recovered,
            adopted: stats.adopted,
            delivered: stats.delivered,
            queued: stats.queued,
            held: stats.held,
            dropped: dropped.into(),
            given_up: stats.given_up,
            queued_bytes: stats.queued_bytes,
            damaged: stats.damaged,
            wiped: stats.wiped,
            rejected: stats.rejected,
            personal_data: personal_data.into(),
        }
    }
}

/// Everything that the client holds now, in memory and in its folder. After an objection that is the consent record,
/// any erasures that were asked for, and nothing else.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Audit {
    /// The files of this project in the folder, except for empty ones that only serve as locks.
    pub files: Vec<AuditedFile>,
    /// The device id.
    pub device_id: Option<String>,
    /// The `distinct_id` that records carry.
    pub distinct_id: Option<String>,
    /// The names of the super properties.
    pub super_properties: Vec<String>,
    /// Events that are being timed.
    pub timers: u64,
    /// Records waiting to be delivered.
    pub queued_records: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Calls waiting for a decision.
    pub held_records: u64,
    /// Requests in progress.
    pub requests_in_flight: u64,
    /// The number of seconds until the client next acts on its own.
    pub next_action_in: Option<f64>,
    /// Erasures that were asked for.
    pub outbox: Vec<AuditedErasure>,
}

impl From<native::Audit> for Audit {
    fn from(audit: native::Audit) -> Self {
        Self {
            files: audit.files.into_iter().map(Into::into).collect(),
            device_id: audit.device_id,
            distinct_id: audit.distinct_id,
            super_properties: audit.super_properties,
            timers: audit.timers as u64,
            queued_records: audit.queued_records,
            queued_bytes: audit.queued_bytes,
            held_records: audit.held_records,
            requests_in_flight: audit.requests_in_flight as u64,
            next_action_in: audit.next_action_in.map(|duration| duration.as_secs_f64()),
            outbox: audit.outbox.into_iter().map(Into::into).collect(),
        }
    }
}

/// A file in the folder.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AuditedFile {
    /// Its path in the folder.
    pub name: String,
    /// What it holds: `consent` or `data`. `unlisted` is a file or folder that could not be inspected; it may hold
    /// anything.
    pub kind: String,
    /// Its length; 0 if that is unknown.
    pub bytes: u64,
}

impl From<native::AuditedFile> for AuditedFile {
    fn from(file: native::AuditedFile) -> Self {
        Self { name: file.name, kind: file.kind.into(), bytes: file.bytes }
    }
}

/// A request to the server to erase what this device has sent. The proof that accompanies it is not shown.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AuditedErasure {
    /// Its id.
    pub id: String,
    /// What it asks for: `device` or `profile`.
    pub kind: String,
    /// The withdrawn device.
    pub device_id: String,
    /// How far it has come: `requested`, `accepted`, `completed` or `refused`.
    pub state: String,
    /// The server's last response, if it was a JSON object: its text, with the receipt at the end.
    pub answer: Option<String>,
}

impl From<native::AuditedErasure> for AuditedErasure {
    fn from(erasure: native::AuditedErasure) -> Self {
        Self {
            id: erasure.id,
            kind: erasure.kind.into(),
            device_id: erasure.device_id,
            state: erasure.state.into(),
            answer: erasure.answer,
        }
    }
}
