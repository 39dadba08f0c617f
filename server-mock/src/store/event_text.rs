//! The text of an event that is sealed: a JSON list of its name, its distinct id as sent, the time as sent where that
//! is another one, and its properties.

use serde_json::{Map, Value, json};

use super::StoreError;
use crate::domain::event::Event;
use crate::domain::json;

/// What stands in the text.
pub struct EventParts {
    /// The event's name.
    pub name: String,
    /// The distinct id as sent.
    pub distinct_id: Option<String>,
    /// The time as sent: null where it is the event's time, false where none was sent.
    sent: Value,
    /// Everything else.
    pub properties: Map<String, Value>,
}

/// The text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText(Vec<u8>);

impl EventText {
    /// Of an event.
    pub fn of(event: &Event) -> EventText {
        let sent = match event.sent_time {
            Some(time) if time == event.time => Value::Null,
            Some(time) => time.into(),
            None => false.into(),
        };
        // A map of JSON values can always be written.
        let parts = (&event.name, &event.distinct_id, sent, &event.properties);
        EventText(serde_json::to_vec(&parts).unwrap_or_default())
    }

    /// Adds a property; one of that name that is there already gives way.
    pub fn add(&mut self, name: &str, value: &str) {
        let end = self.0.len().saturating_sub(b"}]".len());
        self.0.truncate(end);
        if self.0.last().is_some_and(|last| *last != b'{') {
            self.0.push(b',');
        }
        self.0.extend_from_slice(format!("{}:{}}}]", json!(name), json!(value)).as_bytes());
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl EventParts {
    /// Reads a text.
    pub fn read(text: &[u8]) -> Result<EventParts, StoreError> {
        let damaged = || StoreError::damaged("a stored event cannot be read");
        let parts = match json::stored(text) {
            Ok(Value::Array(parts)) => <[Value; 4]>::try_from(parts).map_err(|_| damaged())?,
            _ => return Err(damaged()),
        };
        match parts {
            [Value::String(name), distinct_id, sent, Value::Object(properties)] => {
                let distinct_id = match distinct_id {
                    Value::String(id) => Some(id),
                    _ => None,
                };
                Ok(EventParts { name, distinct_id, sent, properties })
            }
            _ => Err(damaged()),
        }
    }

    /// The time as sent, of an event that happened at `time`.
    pub fn sent_time(&self, time: i64) -> Option<i64> {
        match &self.sent {
            Value::Null => Some(time),
            other => other.as_i64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Ids;

    fn event(sent_time: Option<i64>, properties: Value) -> Event {
        Event {
            name: "A \"b\"".into(),
            ids: Ids::default(),
            distinct_id: None,
            time: 5,
            sent_time,
            properties: properties.as_object().unwrap().clone(),
            dedupe: None,
            verb: None,
        }
    }

    #[test]
    fn what_was_written_is_read_with_what_was_added() {
        for properties in [json!({}), json!({"x": {"y": [1.50]}, "$insert_id": ""})] {
            let mut text = EventText::of(&event(Some(5), properties.clone()));
            text.add("$insert_id", "a\"b");
            text.add("more", "");
            let read = EventParts::read(text.as_bytes()).unwrap();
            let mut expected = properties;
            expected["$insert_id"] = json!("a\"b");
            expected["more"] = json!("");
            assert_eq!(Value::Object(read.properties), expected);
            assert_eq!((read.name.as_str(), read.distinct_id), ("A \"b\"", None));
        }
    }

    #[test]
    fn the_time_as_sent_is_known() {
        for sent in [None, Some(5), Some(7)] {
            let text = EventText::of(&event(sent, json!({})));
            assert_eq!(EventParts::read(text.as_bytes()).unwrap().sent_time(5), sent);
        }
    }
}
