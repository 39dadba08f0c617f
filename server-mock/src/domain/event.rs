//! What `/track` makes of a record (SPEC §6.3, §20), and the parts that `/import` shares.

use serde_json::{Map, Value};

use super::clock::Moment;
use super::config::IdMerge;
use super::identity::{self, Ids, Verb};
use super::json::Record;
use super::limits;
use super::time;

/// Properties that are used up on arrival and never stored (SPEC §20.3).
const CONSUMED: [&str; 3] = ["token", "ip", "$ignore"];

/// An event, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub ids: Ids,
    /// The distinct id as it was sent, coerced to text.
    pub distinct_id: Option<String>,
    /// When it happened, in milliseconds.
    pub time: i64,
    /// The time that was sent, which may be another one.
    pub sent_time: Option<i64>,
    /// Everything that was sent except what is consumed, the time and the distinct id.
    pub properties: Map<String, Value>,
    /// What makes two events the same (SPEC §20.4); `None` for an event without `$insert_id`.
    pub dedupe: Option<Vec<u8>>,
    /// The identity verb that it is.
    pub verb: Option<Verb>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Valid, to be stored.
    Store(Box<Event>),
    /// Valid, dropped on purpose: `$ignore`.
    Ignore,
    /// Invalid, with the text for the answer.
    Invalid(&'static str),
}

/// The circumstances of a `/track` request for one project.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When it came.
    pub at: Moment,
    /// Oldest time that is taken, in days.
    pub max_age_days: Option<i64>,
    /// How the project merges ids.
    pub id_merge: IdMerge,
}

/// The token of a record, if it is a text that is not empty.
pub fn token_of(record: &Value) -> Option<&str> {
    record.get("properties")?.get("token")?.as_str().filter(|token| !token.is_empty())
}

/// The name of an event, if it is a text that is not blank.
pub fn name_of(record: &Value) -> Option<&str> {
    record.get("event")?.as_str().filter(|name| !name.trim().is_empty())
}

/// What is wrong with a record whatever its project is, checked in the order of the table in SPEC §6.3.
pub fn basic_fault(record: &Value) -> Option<&'static str> {
    if name_of(record).is_none() {
        Some("event, missing")
    } else if token_of(record).is_none() {
        Some("token, missing or empty")
    } else {
        None
    }
}

/// Judges one record of `/track`. The properties of one that is to be stored are taken out of it.
pub fn judge(record: &mut Record, arrival: Arrival) -> Verdict {
    // Before what may stand in the part that is left out.
    if record.is_too_large() {
        return Verdict::Invalid("event, larger than 1 MB");
    }
    if let Some(fault) = basic_fault(&record.value) {
        return Verdict::Invalid(fault);
    }
    if record.too_deep.is_some() {
        return Verdict::Invalid("event, nested more than 128 levels deep");
    }
    let empty = Map::new();
    let sent = record.value.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let sent_time = match sent_time(sent) {
        Ok(time) => time,
        Err(NoTime) => {
            return Verdict::Invalid(
                "properties.time is invalid: must be seconds or milliseconds since epoch",
            );
        }
    };
    let time = sent_time.map_or(arrival.at.now, |time| arrival.at.on_clock(time));
    if arrival.max_age_days.is_some_and(|days| time < arrival.at.now - days * time::DAY) {
        return Verdict::Invalid("properties.time is invalid: too far in the past, use /import");
    }
    if is_ignored(sent) {
        return Verdict::Ignore;
    }
    let mut event = build(&mut record.value, arrival.id_merge, sent_time, time);
    if let Some(metadata) = record.value.get_mut("$mp_metadata") {
        event.properties.insert("$mp_metadata".to_owned(), metadata.take());
    }
    // `$merge` is for `/import` only (SPEC §16.2).
    event.verb = event.verb.filter(|verb| !matches!(verb, identity::Verb::Merge(..)));
    limits::fit(&mut event.properties);
    Verdict::Store(Box::new(event))
}

/// A `time` that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTime;

/// The `time` as sent: absent (or null) is `Ok(None)`, unreadable is an error.
pub fn sent_time(properties: &Map<String, Value>) -> Result<Option<i64>, NoTime> {
    match properties.get("time") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => time::client_time(value).map(Some).ok_or(NoTime),
    }
}

/// Whether `$ignore` is true or a text that is not empty.
pub fn is_ignored(properties: &Map<String, Value>) -> bool {
    match properties.get("$ignore") {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    }
}

/// Puts an event together from a record that was found valid; takes the properties out of it.
pub fn build(record: &mut Value, id_merge: IdMerge, sent_time: Option<i64>, time: i64) -> Event {
    let name = name_of(record).unwrap_or_default().to_owned();
    let mut properties = match record.get_mut("properties") {
        Some(Value::Object(sent)) => std::mem::take(sent),
        _ => Map::new(),
    };
    let distinct_id = identity::id_text(properties.get("distinct_id"));
    let insert_id = identity::id_text(properties.get("$insert_id"));
    let ids = identity::ids_of(id_merge, &name, &properties);
    let verb = identity::verb_of(&name, &properties);
    // The first 255 in document order stay, and `$insert_id` wherever it stands: without it the event is another one. Ids
    // and time were read from all (SPEC §6.3).
    let mut counted = usize::from(properties.contains_key("$insert_id"));
    properties.retain(|key, _| match key.as_str() {
        "$insert_id" => true,
        key if CONSUMED.contains(&key) => false,
        key => {
            counted += 1;
            counted <= limits::COUNT && !matches!(key, "time" | "distinct_id")
        }
    });
    Event {
        dedupe: insert_id.map(|id| dedupe_key(&name, distinct_id.as_deref(), sent_time, &id)),
        name: limits::cut(&name).to_owned(),
        ids,
        time,
        sent_time,
        properties,
        distinct_id,
        verb,
    }
}

/// The key of SPEC §20.4 on raw ids and the time as sent, with every part's length in front.
pub fn dedupe_key(name: &str, distinct_id: Option<&str>, time: Option<i64>, insert_id: &str) -> Vec<u8> {
    let mut end = insert_id.len().min(36);
    while !insert_id.is_char_boundary(end) {
        end -= 1;
    }
    let time = time.map(|time| time.to_string()).unwrap_or_default();
    let mut key = Vec::new();
    for part in [name, distinct_id.unwrap_or_default(), &time, &insert_id[..end]] {
        key.extend_from_slice(&(part.len() as u64).to_le_bytes());
        key.extend_from_slice(part.as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_788_220_800_000;

    fn arrival() -> Arrival {
        let at = Moment { now: NOW, client_offset: 0 };
        Arrival { at, max_age_days: Some(5), id_merge: IdMerge::Simplified }
    }

    fn judged(value: Value) -> Verdict {
        judge(&mut Record { value, bytes: 10, bad_utf8: None, too_deep: None }, arrival())
    }

    fn stored(properties: Value) -> Event {
        match judged(json!({"event": "A", "properties": properties})) {
            Verdict::Store(event) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn invalid_records_say_why() {
        let invalid = |value| match judged(value) {
            Verdict::Invalid(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(invalid(json!({})), "event, missing");
        assert_eq!(invalid(json!(5)), "event, missing");
        assert_eq!(invalid(json!({"event": "  ", "properties": {"token": "T"}})), "event, missing");
        assert_eq!(invalid(json!({"event": "A"})), "token, missing or empty");
        assert_eq!(invalid(json!({"event": "A", "properties": {"token": 5}})), "token, missing or empty");
        assert!(
            invalid(json!({"event": "A", "properties": {"token": "T", "time": "soon"}})).contains("time")
        );
    }

    #[test]
    fn times_are_bounded_on_both_sides() {
        let at = |ms: i64| judged(json!({"event": "A", "properties": {"token": "T", "time": ms}}));
        let limit = NOW - 5 * time::DAY;
        assert!(matches!(at(limit), Verdict::Store(_)));
        assert!(matches!(at(limit - 1), Verdict::Invalid(_)));
        assert_eq!(stored(json!({"token": "T", "time": NOW + 5_000})).time, NOW);
        assert_eq!(stored(json!({"token": "T"})).time, NOW);
        assert_eq!(stored(json!({"token": "T", "time": null})).time, NOW);
    }

    #[test]
    fn an_advanced_clock_moves_client_times_but_not_what_makes_events_equal() {
        let record = Record {
            value: json!({"event": "A", "properties": {"token": "T", "time": NOW / 1000, "$insert_id": "i"}}),
            bytes: 10,
            bad_utf8: None,
            too_deep: None,
        };
        let at = Moment { now: NOW + 90_000, client_offset: 60_000 };
        let moved = Arrival { at, ..arrival() };
        match (judge(&mut record.clone(), arrival()), judge(&mut record.clone(), moved)) {
            (Verdict::Store(before), Verdict::Store(after)) => {
                assert_eq!(after.time, NOW + 60_000);
                assert_eq!(before.dedupe, after.dedupe);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn consumed_properties_are_not_kept() {
        let event = stored(
            json!({"token": "T", "ip": "1.2.3.4", "$ignore": "", "distinct_id": 7, "time": 1788220000, "a": 1}),
        );
        assert_eq!(Value::Object(event.properties), json!({"a": 1}));
        assert_eq!(event.distinct_id.as_deref(), Some("7"));
        let ignored = json!({"event": "A", "properties": {"token": "T", "$ignore": "yes"}});
        assert_eq!(judged(ignored), Verdict::Ignore);
    }

    #[test]
    fn the_first_255_properties_stay_whatever_comes_after() {
        let mut sent = json!({"token": "T", "time": 1_788_220_000, "distinct_id": "u"});
        for n in 0..300 {
            sent[format!("p{n}")] = json!(n);
        }
        sent["$user_id"] = json!("late");
        let event = stored(sent);
        assert_eq!(event.properties.len(), 253);
        assert!(event.properties.contains_key("p252") && !event.properties.contains_key("p253"));
        assert_eq!(event.ids.user.as_deref(), Some("late"));
    }

    #[test]
    fn an_insert_id_stays_wherever_it_stands() {
        let numbered: Map<String, Value> = (0..300).map(|n| (format!("p{n}"), json!(n))).collect();
        for first in [false, true] {
            let mut sent = Map::from_iter([("token".to_owned(), json!("T"))]);
            if first {
                sent.insert("$insert_id".into(), json!("i"));
            }
            sent.extend(numbered.clone());
            sent.insert("$insert_id".into(), json!("i"));
            let mut record = json!({"event": "A", "properties": sent, "$mp_metadata": {"a": 1}});
            let record = Record { value: record.take(), bytes: 10, bad_utf8: None, too_deep: None };
            let Verdict::Store(event) = judge(&mut record.clone(), arrival()) else { panic!("{first}") };
            assert_eq!(
                (event.properties.len(), &event.properties["$insert_id"]),
                (255, &json!("i")),
                "{first}"
            );
            assert!(event.properties.contains_key("p253") && !event.properties.contains_key("p254"));
            assert!(event.dedupe.is_some());
        }
    }

    #[test]
    fn long_insert_ids_differ_in_their_first_36_bytes_only() {
        let key = |id: &str| stored(json!({"token": "T", "$insert_id": id})).dedupe;
        assert_eq!(key(&("x".repeat(36) + "a")), key(&("x".repeat(36) + "b")));
        assert_ne!(key("a"), key("b"));
        assert_eq!(stored(json!({"token": "T"})).dedupe, None);
    }
}
