//! The texts of records, ready to be sent: events (SPEC §6.1), profile updates (§9.1) and group updates (§10).

use super::config::Config;
use super::effect::Lane;
use super::identity::Identity;
use super::limits::{COUNT, RECORD_BYTES};
use super::outcome::Rejection;
use super::time::{EventId, Now};
use crate::json::{Object, Survey, key_hash, write};
use alloc::string::String;
use alloc::vec::Vec;

/// What the engine says itself in an event that was timed; an app cannot say otherwise.
const RESERVED_WHEN_TIMED: &[&str] = &[
    "token",
    "distinct_id",
    "$device_id",
    "$user_id",
    "mp_lib",
    "$lib_version",
    "$insert_id",
    "time",
    DURATION,
];
/// The same in any other event.
const RESERVED: &[&str] = RESERVED_WHEN_TIMED.split_at(RESERVED_WHEN_TIMED.len() - 1).0;
/// The same in a profile or group update.
const RESERVED_IN_UPDATES: [&str; 7] =
    ["$token", "$distinct_id", "$device_id", "$user_id", "$time", "$group_key", "$group_id"];

/// Properties that an event has room for beside what is registered, at least: the engine's own need some.
const ROOM: usize = 8;

/// What a timer has measured.
const DURATION: &str = "$duration";

/// A clock that shows an earlier time, in wall milliseconds (2020), was never set. The collector, which would refuse such
/// a time, stamps what comes without one (SPEC §6.3).
const EARLIEST_MS: u64 = 1_577_836_800_000;

/// What all events of a person begin with, until anything of it changes.
pub(super) struct Head {
    text: String,
    /// Where the properties of session, store and host begin in the text.
    registered: usize,
    /// [`key_hash`] of every key in the text, and of what an event must not bring along.
    keys: Vec<u32>,
    /// Whether a key in the text is written with escapes, so that its hash says nothing.
    escaped: bool,
    /// How many keys the text holds.
    count: usize,
}

impl Head {
    pub(super) fn new(identity: &Identity, session: Object<'_>, config: &Config) -> Self {
        let mut text = String::from("{");
        let mut add = |key: &str, value: &str| write::member(&mut text, key, value);
        add("token", &config.token);
        add("distinct_id", &identity.distinct_id());
        add("$device_id", &identity.device_id);
        if let Some(user) = &identity.user {
            add("$user_id", user);
        }
        add("mp_lib", &config.library);
        add("$lib_version", env!("CARGO_PKG_VERSION"));
        let registered = text.len();
        let objects = objects(Object::EMPTY, identity, session, config);
        write::merge(&mut text, &objects, RESERVED, &config.deny_list);
        let mut survey = Survey::default();
        text.push('}');
        let _ = Object::survey(&text, &mut survey);
        text.truncate(text.len() - 1);
        let (count, escaped) = (survey.keys.len(), survey.escaped);
        let mut keys = survey.keys;
        for name in RESERVED {
            keys.push(key_hash(name.as_bytes()));
        }
        for name in &config.deny_list {
            keys.push(key_hash(name.as_bytes()));
        }
        Self { text, registered, keys, escaped, count }
    }

    /// Whether an event finds room behind it, also once the person is known, which is a property more.
    pub(super) fn check_room(&self, identity: &Identity) -> Result<(), Rejection> {
        if self.count + usize::from(identity.user.is_none()) + ROOM > COUNT {
            return Err(Rejection::TooMany);
        }
        if self.text.len() > RECORD_BYTES / 2 { Err(Rejection::TooLarge) } else { Ok(()) }
    }

    /// Whether an event's own properties can simply follow: no key of them means one that is here, or another one.
    fn may_precede(&self, survey: &Survey) -> bool {
        let mut own = survey.keys.as_slice();
        while let Some((key, rest)) = own.split_first() {
            if holds(&self.keys, *key) || holds(rest, *key) {
                return false;
            }
            own = rest;
        }
        !survey.escaped && !self.escaped
    }
}

/// Without a way out in the middle, so that several keys are compared at once.
fn holds(keys: &[u32], key: u32) -> bool {
    keys.iter().fold(false, |any, other| any | (*other == key))
}

/// An event about to be written down.
pub(super) struct Event<'a> {
    pub(super) name: &'a str,
    /// The event's own properties; they win over all others.
    pub(super) properties: Object<'a>,
    pub(super) survey: &'a Survey,
    pub(super) id: EventId,
    pub(super) at: Now,
    /// How long it took, in milliseconds, if it was timed.
    pub(super) duration_ms: Option<u64>,
}

impl Event<'_> {
    /// Appends the text; `false` if there are more properties than a collector takes.
    pub(super) fn encode(
        &self,
        out: &mut String,
        identity: &Identity,
        head: &Head,
        session: Object<'_>,
        config: &Config,
    ) -> bool {
        // A timer yields to the event's own word, and goes before what is registered.
        let timed = self
            .duration_ms
            .filter(|_| self.properties.get(DURATION).is_none() && !is_denied(DURATION, config));
        let simple = head.may_precede(self.survey)
            && (timed.is_none() || !head.keys.contains(&key_hash(DURATION.as_bytes())));
        out.reserve(128 + head.text.len() + self.name.len() + self.properties.as_str().len());
        out.push_str("{\"event\":");
        write::string(out, self.name);
        out.push_str(",\"properties\":");
        let shared = if simple { head.text.len() } else { head.registered };
        out.push_str(head.text.get(..shared).unwrap_or_default());
        out.push_str(",\"$insert_id\":\"");
        write::hex(out, &self.id.0);
        out.push('"');
        if self.at.wall_ms >= EARLIEST_MS {
            write::number(out, "time", self.at.wall_ms);
        }
        if let Some(ms) = timed {
            write::key(out, DURATION);
            write::seconds(out, ms);
        }
        let own = self.properties.inner();
        if !simple {
            let objects = objects(self.properties, identity, session, config);
            let reserved = if timed.is_some() { RESERVED_WHEN_TIMED } else { RESERVED };
            write::merge(out, &objects, reserved, &config.deny_list);
        } else if !own.is_empty() {
            out.push(',');
            out.push_str(own);
        }
        out.push_str("}}");
        // The head's and the own, id, time and perhaps the duration; the token does not count. Where some stand for
        // others, only the text tells how many are left.
        let most = head.count + self.survey.keys.len() + 2 + usize::from(timed.is_some());
        let fits = |out: &str| {
            let members = |text: Object<'_>| Some(text.get("properties")?.object()?.members().count());
            !simple && Object::parse(out).ok().and_then(members).is_some_and(|count| count <= COUNT + 1)
        };
        most <= COUNT + 1 || fits(out)
    }
}

/// When a record was captured, in wall milliseconds.
pub(crate) fn captured_ms(text: &str) -> Option<u64> {
    let record = Object::parse(text).ok()?;
    match record.get("properties") {
        Some(properties) => properties.object()?.integer("time"),
        None => record.integer("$time"),
    }
}

/// The text of a profile or group update; the operators have passed the limits.
pub(super) fn update(
    operators: Object<'_>,
    identity: &Identity,
    at: Now,
    config: &Config,
    lane: Lane,
) -> String {
    let mut out = String::from("{");
    if lane == Lane::Groups {
        for key in ["$group_key", "$group_id"] {
            write::key(&mut out, key);
            out.push_str(operators.get(key).map_or("\"\"", |value| value.raw()));
        }
    }
    write::member(&mut out, "$token", &config.token);
    if lane == Lane::Profiles {
        write::member(&mut out, "$distinct_id", &identity.distinct_id());
        write::member(&mut out, "$device_id", &identity.device_id);
        if let Some(user) = &identity.user {
            write::member(&mut out, "$user_id", user);
        }
    }
    if at.wall_ms >= EARLIEST_MS {
        write::number(&mut out, "$time", at.wall_ms);
    }
    let mut members = operators.members();
    while let Some((key, value)) = members.next() {
        if members.clone().name(key) || RESERVED_IN_UPDATES.iter().any(|reserved| key.is(reserved)) {
            continue;
        }
        write::raw_key(&mut out, key);
        match value.object() {
            Some(object) => {
                out.push('{');
                write::merge(&mut out, &[object], &[], &config.deny_list);
                out.push('}');
            }
            None => out.push_str(value.raw()),
        }
    }
    out.push('}');
    out
}

/// From the strongest to the weakest.
fn objects<'a>(
    own: Object<'a>,
    identity: &'a Identity,
    session: Object<'a>,
    config: &'a Config,
) -> [Object<'a>; 4] {
    let super_properties = Object::or_empty(&identity.super_properties);
    [own, session, super_properties, Object::or_empty(&config.automatic_properties)]
}

/// Whether the host wants to hear nothing of this property.
pub(super) fn is_denied(name: &str, config: &Config) -> bool {
    config.deny_list.iter().any(|other| other == name)
}

#[cfg(test)]
mod tests {
    use super::super::call::{Call, CallKind};
    use super::super::subject::Subject;
    use super::super::time::Secret;
    use super::*;
    use alloc::format;
    use serde_json::{Value, json};

    fn subject(config: &Config, calls: &[Call<'_>]) -> Subject {
        let mut subject = Subject::default();
        subject.set(Some(Identity::fresh(1, Secret([1; 16]))));
        for call in calls {
            subject.change(call, config).unwrap();
        }
        subject
    }

    fn encode(subject: &mut Subject, config: &Config, properties: &str) -> Option<String> {
        let mut survey = Survey::default();
        let properties = Object::survey(properties, &mut survey).unwrap();
        let (identity, head, session) = subject.head(config).unwrap();
        let (id, at) = (EventId([0xAB; 16]), Now { wall_ms: 1_788_220_800_123, mono_ms: 0 });
        let event =
            Event { name: "Signed \"up\"", properties, survey: &survey, id, at, duration_ms: Some(1_050) };
        let mut out = String::new();
        event.encode(&mut out, identity, head, session, config).then_some(out)
    }

    fn register(kind: CallKind, text: &str) -> Call<'_> {
        Call::register(kind, text)
    }

    #[test]
    fn event_over_session_over_super_over_automatic_and_nothing_over_the_engine() {
        let mut config = Config::new("T\"");
        config.automatic_properties = r#"{"os":"x","screen":1,"plan":"auto","a":0}"#.into();
        config.deny_list = ["ip_address".into(), "secret".into()].into();
        let mut subject = subject(
            &config,
            &[
                register(CallKind::Register, r#"{"plan":"super","screen":2,"a":1,"secret":1}"#),
                register(CallKind::RegisterForSession, r#"{"a":2}"#),
                Call::identify("u1", EventId([0; 16])),
            ],
        );
        let text = encode(
            &mut subject,
            &config,
            r#"{"plan":"pro","token":"theirs","$user_id":"u2","ip_address":"::1","\u0073ecret":1,"x":1,"x":2}"#,
        )
        .unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["event"], "Signed \"up\"");
        assert_eq!(
            event["properties"],
            json!({
                "token": "T\"", "distinct_id": "u1", "$user_id": "u1", "plan": "pro", "screen": 2, "os": "x", "a": 2,
                "x": 2, "time": 1_788_220_800_123u64, "$insert_id": "ab".repeat(16), "$duration": 1.05,
                "mp_lib": "refrain", "$lib_version": env!("CARGO_PKG_VERSION"),
                "$device_id": event["properties"]["$device_id"],
            })
        );
        for key in ["token", "plan", "a", "x"] {
            assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key}");
        }
    }

    #[test]
    fn the_quick_way_and_the_careful_way_say_the_same() {
        let config = Config::new("T");
        let mut subject = subject(&config, &[register(CallKind::Register, r#"{"plan":"pro"}"#)]);
        let quick = encode(&mut subject, &config, r#"{ "a" : [1, {"b": "}"}] }"#).unwrap();
        let careful = encode(&mut subject, &config, r#"{"\u0061":[1, {"b": "}"}] }"#).unwrap();
        let [quick, careful] = [quick, careful].map(|text| serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(quick, careful);
        assert_eq!(quick["properties"]["a"][1]["b"], "}");
        assert!(encode(&mut subject, &config, "{}").unwrap().contains("\"plan\":\"pro\""));
    }

    #[test]
    fn what_is_registered_with_escapes_is_replaced_all_the_same() {
        let config = Config::new("T");
        let mut subject = subject(&config, &[register(CallKind::Register, r#"{"\u0070lan":"super"}"#)]);
        let text = encode(&mut subject, &config, r#"{"plan":"pro"}"#).unwrap();
        assert!(text.contains("\"plan\":\"pro\"") && !text.contains("super"), "{text}");
    }

    #[test]
    fn a_timer_goes_before_what_is_registered_and_not_past_the_deny_list() {
        let mut config = Config::new("T");
        let registered = [register(CallKind::Register, r#"{"$duration":9}"#)];
        let mut timed = subject(&config, &registered);
        for (own, duration) in [("{}", "1.05"), (r#"{"$duration":2}"#, "2")] {
            let text = encode(&mut timed, &config, own).unwrap();
            assert_eq!(text.matches("\"$duration\":").count(), 1, "{text}");
            assert!(text.contains(&format!("\"$duration\":{duration}")), "{text}");
        }
        config.deny_list = ["$duration".into()].into();
        assert!(!encode(&mut subject(&config, &registered), &config, "{}").unwrap().contains("$duration"));
    }

    #[test]
    fn properties_that_stand_for_others_count_once() {
        let numbered = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"p{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let config = Config::new("T");
        let mut subject = subject(&config, &[register(CallKind::Register, &numbered(200))]);
        assert!(encode(&mut subject, &config, &numbered(200)).is_some());
        assert!(encode(&mut subject, &config, r#"{"a":1,"b":2}"#).is_some());
        let others = numbered(240).replace("p", "q");
        assert_eq!(encode(&mut subject, &config, &others), None);
    }

    #[test]
    fn a_clock_that_was_never_set_says_nothing() {
        let (config, at) = (Config::new("T"), Now { wall_ms: 5_000, mono_ms: 0 });
        let mut subject = subject(&config, &[]);
        let (identity, head, session) = subject.head(&config).unwrap();
        let (survey, id) = (Survey::default(), EventId([0; 16]));
        let properties = Object::EMPTY;
        let event = Event { name: "e", properties, survey: &survey, id, at, duration_ms: None };
        let mut text = String::new();
        assert!(event.encode(&mut text, identity, head, session, &config));
        let operators = Object::parse(r#"{"$set":{"a":1}}"#).unwrap();
        let update = update(operators, identity, at, &config, Lane::Profiles);
        assert!(!text.contains("time\"") && !update.contains("time\""), "{text} {update}");
        assert!(serde_json::from_str::<Value>(&text).is_ok() && captured_ms(&text).is_none());
    }

    #[test]
    fn an_update_names_whom_it_is_about() {
        let mut config = Config::new("T");
        config.deny_list = ["ssn".into()].into();
        let identity = Identity { user: Some("u1".into()), ..Identity::fresh(1, Secret([1; 16])) };
        let at = Now { wall_ms: 1_788_220_800_000, mono_ms: 0 };
        let operators =
            Object::parse(r#"{"$set":{"ssn":1,"plan":"pro"},"$token":"x","$add":{"n":2}}"#).unwrap();
        let text = update(operators, &identity, at, &config, Lane::Profiles);
        assert_eq!(Lane::of(&text), Lane::Profiles);
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"$token": "T", "$distinct_id": "u1", "$user_id": "u1", "$device_id": identity.device_id,
                "$time": at.wall_ms,
                "$set": {"plan": "pro"}, "$add": {"n": 2}})
        );
        let repeated = Object::parse(r#"{"$set":{"a":1},"\u0024set":{"a":2}}"#).unwrap();
        let text = update(repeated, &identity, at, &config, Lane::Profiles);
        assert!(text.contains(r#"{"a":2}"#) && !text.contains(r#"{"a":1}"#), "the last value counts: {text}");
        let operators =
            Object::parse(r#"{"$group_key":"company","$union":{"a":[1]},"$group_id":"acme"}"#).unwrap();
        let text = update(operators, &identity, at, &config, Lane::Groups);
        assert_eq!(Lane::of(&text), Lane::Groups);
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"$token": "T", "$group_key": "company", "$group_id": "acme", "$time": at.wall_ms, "$union": {"a": [1]}})
        );
    }
}
