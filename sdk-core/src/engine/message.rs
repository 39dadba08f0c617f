//! The text of an event, ready to be sent (SPEC §6.1).

use super::config::Config;
use super::identity::Identity;
use super::time::{EventId, Now};
use crate::json::{Object, write};
use alloc::string::String;

/// What the engine says itself; an app cannot say otherwise.
const RESERVED: [&str; 8] =
    ["token", "time", "distinct_id", "$device_id", "$user_id", "$insert_id", "mp_lib", "$lib_version"];

/// An event about to be written down.
pub(super) struct Message<'a> {
    pub(super) name: &'a str,
    /// The event's own properties; they win over all others.
    pub(super) properties: Object<'a>,
    pub(super) id: EventId,
    pub(super) at: Now,
}

impl Message<'_> {
    pub(super) fn encode(&self, identity: &Identity, config: &Config) -> String {
        let objects = [
            self.properties,
            Object::parse(&identity.super_properties).unwrap_or(Object::EMPTY),
            Object::parse(&config.automatic_properties).unwrap_or(Object::EMPTY),
        ];
        let size: usize = objects.iter().map(|object| object.as_str().len()).sum();
        let mut out = String::with_capacity(320 + self.name.len() + size);
        out.push_str("{\"event\":");
        write::string(&mut out, self.name);
        out.push_str(",\"properties\":{");
        let mut text = |key: &str, value: &str| {
            write::key(&mut out, key);
            write::string(&mut out, value);
        };
        text("token", &config.token);
        text("distinct_id", &identity.distinct_id());
        text("$device_id", &identity.device_id);
        if let Some(user) = &identity.user {
            text("$user_id", user);
        }
        text("$insert_id", &self.id.to_hex());
        text("mp_lib", &config.library);
        text("$lib_version", env!("CARGO_PKG_VERSION"));
        write::key(&mut out, "time");
        write::integer(&mut out, self.at.wall_ms);
        write::merge(&mut out, &objects, |key| RESERVED.iter().any(|reserved| key.is(reserved)));
        out.push_str("}}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::IdentityChange;
    use super::super::time::Secret;
    use super::*;

    #[test]
    fn event_over_super_over_automatic_and_nothing_over_the_engine() {
        let mut config = Config::new("T\"");
        config.automatic_properties = r#"{"os":"x","screen":1,"plan":"auto"}"#.into();
        let mut identity = IdentityChange::Ensure { secret: Secret([1; 16]) }.create(1).unwrap();
        let change =
            IdentityChange::Register { properties: r#"{"plan":"super","screen":2}"#.into(), once: false };
        assert!(change.change(&mut identity));
        identity.user = Some("u1".into());
        let text = Message {
            name: "Signed \"up\"",
            properties: Object::parse(r#"{"plan":"pro","token":"theirs","$user_id":"u2"}"#).unwrap(),
            id: EventId([0xAB; 16]),
            at: Now { wall_ms: 1_788_220_800_123, mono_ms: 0 },
        }
        .encode(&identity, &config);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        let properties = event["properties"].as_object().unwrap();
        assert_eq!(event["event"], "Signed \"up\"");
        for (key, value) in [
            ("token", serde_json::json!("T\"")),
            ("distinct_id", serde_json::json!("u1")),
            ("$user_id", serde_json::json!("u1")),
            ("plan", serde_json::json!("pro")),
            ("screen", serde_json::json!(2)),
            ("os", serde_json::json!("x")),
            ("time", serde_json::json!(1_788_220_800_123u64)),
            ("$insert_id", serde_json::json!("ab".repeat(16))),
        ] {
            assert_eq!(properties[key], value, "{key}");
        }
        assert_eq!(text.matches("\"token\"").count(), 1);
    }
}
