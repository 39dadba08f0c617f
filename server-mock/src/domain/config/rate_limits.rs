//! Rate limits as settings (SPEC §18). All are off unless asked for: a test suite asks more often than the real service
//! allows.

use serde_json::{Map, Value};

use super::{ConfigError, error};

/// `import_rate_limit`: what a project may send within a rolling minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IngestionLimit {
    /// Events and updates a second, on average over the minute.
    pub events_per_s: f64,
    /// Bytes of JSON in the minute, after decompression.
    pub bytes_per_minute: u64,
}

/// `query_rate_limit` and `export_rate_limit`: how often a project may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimit {
    /// Requests within a rolling hour.
    pub per_hour: u64,
    /// Requests within a rolling second, if that is limited too.
    pub per_s: Option<u64>,
    /// Requests that are being answered at the same time.
    pub concurrent: u64,
}

impl IngestionLimit {
    /// That of the real service.
    const ON: IngestionLimit = IngestionLimit { events_per_s: 30_000.0, bytes_per_minute: 2_000_000_000 };

    /// `"off"`, `"on"`, a number of events a second, or an object with some of the fields.
    pub(super) fn read(name: &str, value: &Value) -> Result<Option<IngestionLimit>, ConfigError> {
        let wrong = || {
            error(format!(
                "{name} is \"off\", \"on\" (30000 events a second, 2 GB a minute), a number of events a second, \
                 or an object such as {{\"events_per_s\":100,\"bytes_per_minute\":1000000}}"
            ))
        };
        let rate = |number: &Value| number.as_f64().filter(|rate| *rate >= 0.0).ok_or_else(wrong);
        let mut limit = IngestionLimit::ON;
        match Asked::read(value).ok_or_else(wrong)? {
            Asked::Off => return Ok(None),
            Asked::On => {}
            Asked::Number => limit.events_per_s = rate(value)?,
            Asked::Fields(fields) => {
                for (field, value) in fields {
                    match field.as_str() {
                        "events_per_s" => limit.events_per_s = rate(value)?,
                        "bytes_per_minute" => limit.bytes_per_minute = value.as_u64().ok_or_else(wrong)?,
                        _ => return Err(wrong()),
                    }
                }
            }
        }
        Ok(Some(limit))
    }
}

impl RequestLimit {
    /// That of the real service's queries.
    pub(super) const QUERY: RequestLimit = RequestLimit { per_hour: 60, per_s: None, concurrent: 5 };
    /// That of its raw export.
    pub(super) const EXPORT: RequestLimit = RequestLimit { per_hour: 60, per_s: Some(3), concurrent: 100 };

    /// `"off"`, `"on"`, a number of requests an hour, or an object with some of the fields; `on` says what is meant by
    /// the second, and what counts where nothing is said.
    pub(super) fn read(
        name: &str,
        value: &Value,
        on: RequestLimit,
    ) -> Result<Option<RequestLimit>, ConfigError> {
        let wrong = || {
            error(format!(
                "{name} is \"off\", \"on\" ({on}), a number of requests an hour, or an object such as \
                 {{\"per_hour\":10,\"per_s\":2,\"concurrent\":1}}, all of them 1 or more"
            ))
        };
        let count = |number: &Value| number.as_u64().filter(|count| *count > 0).ok_or_else(wrong);
        let mut limit = on;
        match Asked::read(value).ok_or_else(wrong)? {
            Asked::Off => return Ok(None),
            Asked::On => {}
            Asked::Number => limit.per_hour = count(value)?,
            Asked::Fields(fields) => {
                for (field, value) in fields {
                    match field.as_str() {
                        "per_hour" => limit.per_hour = count(value)?,
                        "per_s" => limit.per_s = Some(count(value)?),
                        "concurrent" => limit.concurrent = count(value)?,
                        _ => return Err(wrong()),
                    }
                }
            }
        }
        Ok(Some(limit))
    }
}

impl std::fmt::Display for RequestLimit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} an hour, ", self.per_hour)?;
        if let Some(per_s) = self.per_s {
            write!(formatter, "{per_s} a second, ")?;
        }
        write!(formatter, "{} at a time", self.concurrent)
    }
}

/// The forms that a limit may have.
enum Asked<'a> {
    Off,
    On,
    Number,
    Fields(&'a Map<String, Value>),
}

impl Asked<'_> {
    fn read(value: &Value) -> Option<Asked<'_>> {
        match value {
            Value::String(text) if text == "off" => Some(Asked::Off),
            Value::String(text) if text == "on" => Some(Asked::On),
            Value::Number(_) => Some(Asked::Number),
            Value::Object(fields) => Some(Asked::Fields(fields)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_is_off_on_a_number_or_some_of_its_fields() {
        let query = |value: Value| RequestLimit::read("q", &value, RequestLimit::QUERY).unwrap();
        assert_eq!(query(json!("off")), None);
        assert_eq!(query(json!("on")), Some(RequestLimit::QUERY));
        assert_eq!(query(json!(3)).map(|limit| (limit.per_hour, limit.concurrent)), Some((3, 5)));
        let fields = json!({"per_s": 2, "concurrent": 1});
        assert_eq!(query(fields), Some(RequestLimit { per_hour: 60, per_s: Some(2), concurrent: 1 }));
        let ingestion = |value: Value| IngestionLimit::read("i", &value).unwrap();
        assert_eq!(ingestion(json!("on")), Some(IngestionLimit::ON));
        assert_eq!(ingestion(json!(0.5)), Some(IngestionLimit { events_per_s: 0.5, ..IngestionLimit::ON }));
        let fields = json!({"bytes_per_minute": 7});
        assert_eq!(ingestion(fields), Some(IngestionLimit { bytes_per_minute: 7, ..IngestionLimit::ON }));
    }

    #[test]
    fn what_is_no_limit_is_refused_with_the_forms_that_are() {
        for value in
            [json!("yes"), json!(true), json!(0), json!(1.5), json!({"per_day": 1}), json!({"per_s": 0})]
        {
            let text = RequestLimit::read("q", &value, RequestLimit::EXPORT).unwrap_err().to_string();
            assert!(text.contains("60 an hour, 3 a second, 100 at a time"), "{value}: {text}");
        }
        for value in [json!("yes"), json!(-1), json!({"bytes_per_minute": 0.5}), json!({"per_s": 1})] {
            let text = IngestionLimit::read("i", &value).unwrap_err().to_string();
            assert!(text.contains("bytes_per_minute"), "{value}: {text}");
        }
    }
}
