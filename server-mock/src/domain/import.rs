//! What `/import` makes of a record (SPEC §7).

use serde_json::{Map, Value};

use super::config::IdMerge;
use super::event::{self, Event, NoTime};
use super::identity;
use super::json::{self, Record};
use super::limits;

/// Strict import takes times up to an hour ahead.
const AHEAD: i64 = 3_600_000;
/// 1971-01-01, in milliseconds.
const EARLIEST: i64 = 31_536_000_000;

/// Ids that stand for nobody, in lower case.
const DENIED: [&str; 17] = [
    "00000000-0000-0000-0000-000000000000",
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "<nil>",
    "0",
    "-1",
    "true",
    "false",
    "[]",
    "{}",
];

/// Why strict import refuses a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, such as `properties.time`.
    pub field: String,
    /// The whole sentence.
    pub message: String,
    /// The record's `$insert_id`, if it has one.
    pub insert_id: Option<String>,
}

/// The circumstances of an import.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// Whether every rule counts, or only those without which there is no event.
    pub strict: bool,
    /// Now, in milliseconds.
    pub now: i64,
    /// How the project merges ids.
    pub id_merge: IdMerge,
    /// The host that was called, as exported events show it.
    pub endpoint: &'a str,
}

/// Whether a record is an identity verb that the project's mode does not know.
pub fn is_refused_verb(record: &Record, id_merge: IdMerge) -> bool {
    id_merge != IdMerge::Original && event::name_of(&record.value).is_some_and(identity::is_verb)
}

/// Judges one record. `Ok(None)`: valid, dropped on purpose. The properties of one that is to be stored are taken out of
/// it.
pub fn judge(record: &mut Record, import: Import<'_>) -> Result<Option<Event>, Fault> {
    let empty = Map::new();
    let sent = record.value.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let insert_id = identity::id_text(sent.get("$insert_id"));
    let fault =
        |field: &str, message: String| Fault { field: field.into(), message, insert_id: insert_id.clone() };
    let invalid = |field: &str, name: &str, text: &str| fault(field, format!("'{name}' is invalid: {text}"));
    if !record.value.is_object() {
        return Err(fault("event", "the record is not a JSON object".into()));
    }
    // Before what may stand in the part that is left out.
    if record.is_too_large() {
        return Err(invalid("event", "event", "must be smaller than 1 MB"));
    }
    let Some(name) = event::name_of(&record.value) else {
        return Err(fault("event", "'event' must not be missing or blank".into()));
    };
    let exempt = import.id_merge == IdMerge::Original && identity::is_verb(name);
    let time_fault = |text| invalid("properties.time", "properties.time", text);
    let sent_time = match event::sent_time(sent) {
        Ok(time) => time,
        // As if it were absent.
        Err(NoTime) if exempt => None,
        Err(NoTime) => return Err(time_fault("must be specified as seconds since epoch")),
    };
    if import.strict && !exempt {
        match sent_time {
            None => return Err(time_fault("must not be missing")),
            Some(time) if time > import.now + AHEAD => return Err(time_fault("must not be in the future")),
            Some(time) if time < EARLIEST => return Err(time_fault("must not be before 1971-01-01")),
            Some(_) => {}
        }
        if import.id_merge == IdMerge::Original && !sent.contains_key("distinct_id") {
            return Err(invalid("properties.distinct_id", "properties.distinct_id", "must not be missing"));
        }
        if identity::id_text(sent.get("distinct_id")).is_some_and(|id| is_denied(&id)) {
            return Err(invalid(
                "properties.distinct_id",
                "properties.distinct_id",
                "must not be a placeholder",
            ));
        }
        let insert_fault = |text| invalid("$insert_id", "$insert_id", text);
        match &insert_id {
            None => return Err(insert_fault("must not be missing")),
            Some(id) if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                return Err(insert_fault("must only contain alphanumeric or hyphen '-' characters"));
            }
            Some(id) if id.len() > 36 => return Err(insert_fault("must not be longer than 36 bytes")),
            Some(id) if is_denied(id) => return Err(insert_fault("must not be a placeholder")),
            Some(_) => {}
        }
    }
    if let Some(path) = &record.too_deep {
        // Down to the property; what is below it is long.
        let field = path.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(".");
        return Err(invalid(&field, &field, json::TOO_DEEP));
    }
    if import.strict {
        if let Some((field, text)) = limits::fault(sent) {
            return Err(invalid(&field, &field, text));
        }
        if let Some(path) = &record.bad_utf8 {
            let field = path.join(".");
            return Err(fault(&field, format!("{field} is invalid: string should be valid utf8")));
        }
    }
    if event::is_ignored(sent) {
        return Ok(None);
    }
    let time = sent_time.map_or(import.now, |time| time.min(import.now));
    let mut event = event::build(&mut record.value, import.id_merge, sent_time, time);
    limits::fit(&mut event.properties);
    let mut add = |name: &str, value: Value| drop(event.properties.insert(name.to_owned(), value));
    add("$import", true.into());
    add("$mp_api_endpoint", import.endpoint.into());
    add("$mp_api_timestamp_ms", import.now.into());
    add("mp_processing_time_ms", import.now.into());
    add("$mp_event_size", record.bytes.into());
    Ok(Some(event))
}

fn is_denied(id: &str) -> bool {
    DENIED.contains(&id.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_788_220_800_000;

    fn judged(
        properties: Value,
        id_merge: IdMerge,
        strict: bool,
        name: &str,
    ) -> Result<Option<Event>, Fault> {
        let mut record = Record {
            value: json!({"event": name, "properties": properties}),
            bytes: 9,
            bad_utf8: None,
            too_deep: None,
        };
        judge(&mut record, Import { strict, now: NOW, id_merge, endpoint: "api.test" })
    }

    fn field(properties: Value) -> String {
        judged(properties, IdMerge::Simplified, true, "A").unwrap_err().field
    }

    #[test]
    fn strict_import_checks_time_ids_and_limits() {
        assert_eq!(field(json!({})), "properties.time");
        assert_eq!(field(json!({"time": NOW + AHEAD + 1})), "properties.time");
        assert_eq!(field(json!({"time": 31_535_999})), "properties.time");
        assert_eq!(field(json!({"time": 1_600_000_000, "distinct_id": "NULL"})), "properties.distinct_id");
        assert_eq!(field(json!({"time": 1_600_000_000})), "$insert_id");
        assert_eq!(field(json!({"time": 1_600_000_000, "$insert_id": "x".repeat(37)})), "$insert_id");
        assert_eq!(field(json!({"time": 1_600_000_000, "$insert_id": "a_b"})), "$insert_id");
        let deep = json!({"time": 1_600_000_000, "$insert_id": "i", "o": {"a": {"b": {"c": {}}}}});
        assert_eq!(field(deep), "properties.o");
    }

    #[test]
    fn only_original_projects_need_a_distinct_id_and_their_verbs_need_nothing() {
        let good = json!({"time": 1_600_000_000, "$insert_id": "i"});
        assert!(judged(good.clone(), IdMerge::Simplified, true, "A").is_ok());
        assert_eq!(judged(good, IdMerge::Original, true, "A").unwrap_err().field, "properties.distinct_id");
        for strict in [true, false] {
            for time in [json!(null), json!("yesterday"), json!({})] {
                let merge = json!({"$distinct_ids": ["a", "b"], "time": time});
                let merged = judged(merge, IdMerge::Original, strict, "$merge").unwrap().unwrap();
                assert_eq!(merged.time, NOW, "{strict} {time}");
            }
        }
    }

    #[test]
    fn without_strict_only_what_is_no_event_fails() {
        let event =
            judged(json!({"time": NOW + 1_000_000_000}), IdMerge::Simplified, false, "A").unwrap().unwrap();
        assert_eq!(event.time, NOW);
        assert_eq!(event.properties["$import"], true);
        assert!(judged(json!({"time": "x"}), IdMerge::Simplified, false, "A").is_err());
        assert!(judged(json!({}), IdMerge::Simplified, false, " ").is_err());
    }
}
