//! A collector in memory. It keeps what it takes, and answers as a real one would or as it is told.

use crate::engine::Answer;
use crate::native::transport::{PendingRequest, Sendable, Transport};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const TAKEN: &str = r#"{"error":null,"status":1}"#;
const NOT_TAKEN: &str = r#"{"error":"as told by the test","status":0}"#;

/// A request whose body has left the client, whether or not the collector took it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SentRequest {
    /// Where it went.
    pub url: String,
    /// Its body; [`Value::Null`] if it had none.
    pub body: Value,
    /// What the collector answered.
    pub answer: Answer,
    /// Whether it is of the erasure outbox: a person's wish, not something collected.
    pub(super) erasure: bool,
}

/// Answers for the collector of a [`TestClient`](super::TestClient).
impl Answer {
    /// An answer with this HTTP status and a matching body. The collector takes the records if the status is 2xx.
    pub fn with_status(status: u16) -> Self {
        let body = if (200..300).contains(&status) { TAKEN } else { NOT_TAKEN };
        Self::Response { status, retry_after: None, body: body.into() }
    }

    /// The same answer with a `Retry-After` of this many whole seconds. An answer that is not a response stays as it
    /// is.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let Self::Response { retry_after, .. } = &mut self {
            *retry_after = Some(wait.as_secs().to_string());
        }
        self
    }
}

/// Clones are the same collector.
#[derive(Clone, Default)]
pub(super) struct Collector(Arc<Mutex<Received>>);

#[derive(Default)]
pub(super) struct Received {
    pub(super) requests: Vec<SentRequest>,
    /// In the order in which they came.
    pub(super) records: Vec<Record>,
    /// Requests that were there at the last expectation.
    pub(super) seen: usize,
    pub(super) away: bool,
    pub(super) next_answers: VecDeque<Answer>,
    /// Device ids whose erasure was asked for.
    erasures: Vec<String>,
}

/// Something that the collector has taken.
pub(super) struct Record {
    pub(super) kind: RecordKind,
    pub(super) value: Value,
    /// A test has expected it already.
    pub(super) expected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    Event,
    /// Of a person's profile or a group's.
    Profile,
}

impl Collector {
    pub(super) fn lock(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Collector {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        if self.lock().away {
            return Answer::Unreachable;
        }
        let url = request.url().to_owned();
        let erasure = matches!(request.job, Sendable::Erasure(_));
        // Nothing has left where the permit is refused.
        let Ok(open) = request.open() else { return Answer::Unreachable };
        let body = serde_json::from_str(open.body()).unwrap_or(Value::Null);
        // Noted before the guard goes: a withdrawal that waits for it finds the request in the list.
        self.lock().take(SentRequest { url, body, answer: Answer::Unreachable, erasure })
    }
}

impl Received {
    fn take(&mut self, mut request: SentRequest) -> Answer {
        request.answer = match self.next_answers.pop_front() {
            Some(answer) => answer,
            None => self.answer_well(&request),
        };
        let path = request.url.split('?').next().unwrap_or_default();
        let kind = if path.ends_with("/track/") { RecordKind::Event } else { RecordKind::Profile };
        if let (Value::Array(records), true) = (&request.body, takes(&request.answer)) {
            let record = |value: &Value| Record { kind, value: value.clone(), expected: false };
            self.records.extend(records.iter().map(record));
        }
        let answer = request.answer.clone();
        self.requests.push(request);
        answer
    }

    fn answer_well(&mut self, request: &SentRequest) -> Answer {
        let respond = |status, body| Answer::Response { status, retry_after: None, body };
        let Some((_, path)) = request.url.split_once("/refrain/v1/erasures") else {
            return respond(200, TAKEN.into());
        };
        let number = |ticket: &str| ticket.strip_prefix("/erasure-")?.parse::<usize>().ok();
        let answer = match number(path) {
            None => {
                let device = request.body["device_id"].as_str().unwrap_or_default();
                self.erasures.push(device.into());
                json!({"id": format!("erasure-{}", self.erasures.len()), "state": "accepted"})
            }
            Some(number) => {
                let device = number.checked_sub(1).and_then(|index| self.erasures.get(index));
                let Some(device) = device else { return Answer::with_status(404) };
                let of_device =
                    |record: &&Record| record.value["properties"]["$device_id"] == device.as_str();
                let events = self.records.iter().filter(of_device).count();
                let id = format!("erasure-{number}");
                json!({"id": id, "state": "completed", "receipt": {"events": events}})
            }
        };
        respond(202, answer.to_string())
    }
}

/// Whether an answer says that the records are taken. What a client makes of the others is its own affair.
fn takes(answer: &Answer) -> bool {
    let Answer::Response { status: 200..=299, body, .. } = answer else { return false };
    serde_json::from_str::<Value>(body)
        .is_ok_and(|body| body == 1 || body["status"] == 1 || body["status"] == "OK")
}
