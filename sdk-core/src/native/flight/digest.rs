//! Effects and outcomes in words.

use crate::engine::{ConsentError, Effect, Notice, Outcome, RecordName, Rejection, WipeScope};
use std::borrow::Cow;

/// What an effect is, with its number and what can be told of it without its contents. Two engines that go the same way
/// say the same.
pub fn digest(effect: &Effect) -> String {
    match effect {
        Effect::Open { op } => format!("open {}", op.0),
        Effect::Recover { op, epoch } => format!("recover {} epoch {epoch}", op.0),
        Effect::Amend { op, amendment } => {
            let record = match amendment.record() {
                RecordName::Consent => "consent",
                RecordName::Identity => "identity",
            };
            format!("amend {} {record}", op.0)
        }
        Effect::Append { op, permit } => format!("append {} epoch {}", op.0, permit.epoch()),
        Effect::Acknowledge { op, records } => format!("acknowledge {} records {}", op.0, records.len()),
        Effect::Sync { op } => format!("sync {}", op.0),
        Effect::Fence { op } => format!("fence {}", op.0),
        Effect::Wipe { op, before, scope } => {
            let before = before.map_or("none".into(), |epoch| epoch.to_string());
            let scope = match scope {
                WipeScope::Store => "store",
                WipeScope::Own => "own",
            };
            format!("wipe {} before {before} {scope}", op.0)
        }
        Effect::List { op } => format!("list {}", op.0),
        Effect::Send { op, permit } => {
            let lane = permit.path().split(['/', '?']).nth(1).unwrap_or_default();
            format!("send {} epoch {} {lane} bytes {}", op.0, permit.epoch(), permit.body_len())
        }
        // The path may hold what the server knows the request by.
        Effect::SendErasure { op, permit } => {
            format!("send_erasure {} path {} bytes {}", op.0, permit.path().len(), permit.body_len())
        }
        Effect::Cancel { op } => format!("cancel {}", op.0),
        Effect::Notify(Notice::Settled { ticket, result }) => {
            let how = match result {
                Ok(()) => "well",
                Err(ConsentError::NotRecorded(fault)) => fault.as_str(),
                Err(ConsentError::Overruled) => "overruled",
                Err(ConsentError::NotFenced(_)) => "not_fenced",
                Err(ConsentError::NotPurged(_)) => "not_purged",
            };
            format!("settled {} {how}", ticket.0)
        }
        Effect::Notify(Notice::Paused { status }) => format!("paused {status}"),
        Effect::Notify(Notice::StoreTrouble(fault)) => format!("store_trouble {}", fault.as_str()),
        Effect::Notify(Notice::ConsentChanged(consent)) => {
            format!("consent {} {}", consent.verdict.as_str(), consent.reason())
        }
        Effect::Notify(Notice::QueueFull) => "queue_full".into(),
        // Never of the engine's.
        Effect::Notify(Notice::UnusableProxy { variable }) => format!("unusable_proxy {variable}"),
        #[cfg(feature = "http")]
        Effect::Notify(Notice::UntrustedCertificate { .. }) => "untrusted_certificate".into(),
    }
}

/// An outcome in words.
pub fn said(outcome: Outcome) -> Cow<'static, str> {
    Cow::Borrowed(match outcome {
        Outcome::Nothing => "nothing",
        Outcome::Accepted => "accepted",
        Outcome::Held => "held",
        // Of a text that is none, its replacement is none for another reason.
        Outcome::Rejected(Rejection::InvalidProperties(_)) => "invalid_properties",
        Outcome::Rejected(rejection) => rejection.as_str(),
        Outcome::Pending(ticket) => return Cow::Owned(format!("pending {}", ticket.0)),
        Outcome::Flushing(_) => "flushing",
    })
}
