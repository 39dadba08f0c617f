//! Expectations of a test, and what the test is told when they are not met.

use super::client::TestClient;
use super::collector::{Received, Record, RecordKind};
use super::time::HANG;
use crate::engine::{Dropped, Verdict};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// Long enough for every interval and retry of the client.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl TestClient {
    /// Every event that the collector has taken so far, in order, as it was sent: `event` and `properties`.
    pub fn events(&self) -> Vec<Value> {
        let received = self.collector.lock();
        received.of(RecordKind::Event).map(|record| record.value.clone()).collect()
    }

    /// Expects an event of this name, and returns the first one that the collector has taken and no earlier expectation
    /// has matched. If there is none yet, queued records are sent first.
    ///
    /// # Panics
    /// If there is none. The message lists what has arrived, and describes the state of consent and of the queue.
    #[track_caller]
    pub fn expect_event(&self, name: &str) -> Value {
        match self.expect(RecordKind::Event, |value| value["event"] == name) {
            Some(event) => event,
            None => panic!("no event {name:?} has arrived\n{}", self.situation()),
        }
    }

    /// Like [`expect_event`](Self::expect_event), for an event that carries at least these properties. Objects in them
    /// may have additional members too; everything else has to be equal.
    ///
    /// # Panics
    /// If there is none. The message also says how the events of this name differ.
    #[track_caller]
    pub fn expect_event_with(&self, name: &str, properties: impl Serialize) -> Value {
        let wanted = to_json(properties);
        let fits = |value: &Value| value["event"] == name && contains(&value["properties"], &wanted);
        if let Some(event) = self.expect(RecordKind::Event, fits) {
            return event;
        }
        let mut message = format!("no event {name:?} with {wanted} has arrived\n");
        for record in self.collector.lock().of(RecordKind::Event).filter(|it| it.value["event"] == name) {
            let _ = match differences(&record.value["properties"], &wanted) {
                text if text.is_empty() => writeln!(message, "  one was the same, and expected before"),
                text => writeln!(message, "  one differed: {text}"),
            };
        }
        panic!("{message}{}", self.situation());
    }

    /// Expects an update of a person's or a group's profile that has at least these members, such as
    /// `json!({"$set": {"plan": "pro"}})`. Otherwise like [`expect_event`](Self::expect_event).
    ///
    /// # Panics
    /// If there is none. The message lists the updates that have arrived.
    #[track_caller]
    pub fn expect_profile(&self, members: impl Serialize) -> Value {
        let wanted = to_json(members);
        if let Some(update) = self.expect(RecordKind::Profile, |value| contains(value, &wanted)) {
            return update;
        }
        let mut message = format!("no profile update with {wanted} has arrived\n");
        for record in self.collector.lock().of(RecordKind::Profile) {
            let _ = writeln!(message, "  update: {}{}", record.value, record.note());
        }
        panic!("{message}{}", self.situation());
    }

    /// Expects that nothing has been sent since the last expectation (or the beginning), and that nothing is sent
    /// during the next 24 hours, which pass in the process. Requests of the erasure outbox, for erasures and deletions,
    /// do not count.
    ///
    /// # Panics
    /// If something was sent. The message lists it.
    #[track_caller]
    pub fn expect_nothing_sent(&self) {
        self.flush(HANG);
        self.advance(DAY);
        let mut received = self.collector.lock();
        let sent = received.requests.iter().skip(received.seen).filter(|request| !request.erasure);
        let list: String = sent.map(|request| format!("  {}: {}\n", request.url, request.body)).collect();
        received.seen = received.requests.len();
        drop(received);
        assert!(list.is_empty(), "something has left\n{list}{}", self.situation());
    }

    /// Expects that the client holds nothing but the record of the person's choice and the erasure outbox: no ids, no
    /// properties and no records, in memory or on disk.
    ///
    /// # Panics
    /// If it holds more. The message lists it.
    #[track_caller]
    pub fn expect_nothing_kept(&self) {
        self.settle();
        let audit = self.audit();
        let mut kept = String::new();
        for file in audit.files.iter().filter(|file| file.kind != "consent") {
            let _ = writeln!(kept, "  the file {}, {} bytes", file.name, file.bytes);
        }
        for (what, id) in [("device id", &audit.device_id), ("distinct_id", &audit.distinct_id)] {
            if let Some(id) = id {
                let _ = writeln!(kept, "  the {what} {id}");
            }
        }
        for name in &audit.super_properties {
            let _ = writeln!(kept, "  the super property {name:?}");
        }
        let counts = [
            (audit.timers as u64, "running timers"),
            (audit.held_records, "calls that wait for a decision"),
            (audit.queued_records, "records that wait to be delivered"),
            (audit.requests_in_flight as u64, "requests under way"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(kept, "  {count} {what}");
        }
        assert!(kept.is_empty(), "something is kept\n{kept}{}", self.situation());
    }

    /// Takes the first record that fits; what is queued is sent if there is none.
    #[track_caller]
    fn expect(&self, kind: RecordKind, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.settle();
        let arrived = self.collector.lock().expect(kind, &fits);
        if arrived.is_some() {
            return arrived;
        }
        self.flush(HANG);
        self.settle();
        self.collector.lock().expect(kind, &fits)
    }

    /// Where everything stands, for somebody who wonders why.
    fn situation(&self) -> String {
        let (consent, stats, audit) = (self.consent(), self.stats(), self.audit());
        let received = self.collector.lock();
        let name = |record: &Record| format!("{}{}", record.value["event"], record.note());
        let names: Vec<_> = received.of(RecordKind::Event).map(name).collect();
        let arrived = if names.is_empty() { "no event".into() } else { names.join(", ") };
        let mut text = format!("  arrived: {arrived}\n  consent: {}\n", consent.sentence());
        let _ = write!(
            text,
            "  records: {} made, {} delivered, {} queued, {} held, {} refused",
            stats.tracked, stats.delivered, stats.queued, stats.held, stats.rejected
        );
        for reason in Dropped::ALL {
            let count = stats.dropped_for(reason);
            if count > 0 {
                let _ = write!(text, ", {count} dropped ({})", reason.as_str());
            }
        }
        text.push('\n');
        if let Some(request) = received.requests.last() {
            let _ = writeln!(text, "  last answer of the collector: {:?}", request.answer);
        }
        if received.away {
            text.push_str("  the collector is away: collector_away(false) brings it back\n");
        }
        if let Some(next) = audit.next_action_in {
            let _ = writeln!(text, "  the client next acts in {next:?}: advance() lets time pass");
        }
        match consent.verdict {
            Verdict::Hold => text.push_str("  what is held leaves after opt_in()\n"),
            Verdict::Deny(_) => text.push_str("  nothing is recorded before opt_in()\n"),
            Verdict::Allow => {}
        }
        text
    }
}

impl Received {
    pub(super) fn of(&self, kind: RecordKind) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    fn expect(&mut self, kind: RecordKind, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let open = |record: &&mut Record| record.kind == kind && !record.expected && fits(&record.value);
        let record = self.records.iter_mut().find(open)?;
        record.expected = true;
        self.seen = self.requests.len();
        Some(record.value.clone())
    }
}

impl Record {
    fn note(&self) -> &'static str {
        if self.expected { " (expected before)" } else { "" }
    }
}

#[track_caller]
fn to_json(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(value @ Value::Object(_)) => value,
        Ok(value) => {
            panic!("what is expected has to be an object, as in json!({{\"plan\": \"pro\"}}), not {value}")
        }
        Err(error) => panic!("what is expected cannot be written as JSON: {error}"),
    }
}

/// Whether a value is what is wanted; an object may hold more.
fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| value.get(name).is_some_and(|value| contains(value, wanted)))
        }
        _ => value == wanted,
    }
}

fn differences(value: &Value, wanted: &Value) -> String {
    let wanted = wanted.as_object().into_iter().flatten();
    let differing = wanted.filter_map(|(name, wanted)| match value.get(name) {
        None => Some(format!("{name:?} is missing")),
        Some(value) if !contains(value, wanted) => Some(format!("{name:?} is {value}, not {wanted}")),
        Some(_) => None,
    });
    differing.collect::<Vec<_>>().join(", ")
}
