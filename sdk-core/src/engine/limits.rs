//! What a call may contain: the protocol's limits (SPEC §9.2, §10, §20.2), checked before anything is stored.
//!
//! Overlong strings are not an error: the collector truncates them to 255 characters.

use super::call::{Call, CallKind};
use super::outcome::Rejection;
use crate::json::{JsonError, MAX_DEPTH, Object, Survey, Value};

/// The largest event or profile update that a collector accepts (SPEC §2.4).
pub(super) const RECORD_BYTES: usize = 1_000_000;
/// The maximum number of properties of an event, members of an object and elements of a list.
pub(super) const COUNT: usize = 255;
/// The maximum depth of objects below a property.
const DEPTH: u32 = 3;
/// The maximum nesting of arrays and objects in a text that becomes part of a record. The record has a few levels of
/// its own and must be readable as a whole.
pub(super) const LEVELS: u32 = MAX_DEPTH - 4;
/// The maximum length of an event's name, in Unicode scalar values.
const NAME_CHARS: usize = 255;

/// Checks a call; the survey covers its properties.
pub(super) fn check(call: &Call<'_>, survey: &mut Survey) -> Result<(), Rejection> {
    survey.clear();
    match call.kind {
        CallKind::Track => {
            check_name(call.name)?;
            check_properties(call.text, survey)
        }
        CallKind::TimeEvent => check_name(call.name),
        CallKind::Identify | CallKind::SwitchUser | CallKind::Alias => check_user(call.name),
        CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession => {
            check_properties(call.text, survey)
        }
        CallKind::Profile | CallKind::Group => check_operators(call, survey),
        CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => {
            if call.name.is_empty() || call.text.is_empty() {
                return Err(Rejection::EmptyGroup);
            }
            // It is the name of a property.
            if is_long(call.name) { Err(Rejection::KeyTooLong) } else { Ok(()) }
        }
        CallKind::Unregister | CallKind::Reset => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Rejection> {
    if name.trim_ascii().is_empty() {
        return Err(Rejection::EmptyName);
    }
    if is_long(name) { Err(Rejection::NameTooLong) } else { Ok(()) }
}

fn is_long(name: &str) -> bool {
    name.len() > NAME_CHARS && name.chars().count() > NAME_CHARS
}

fn check_user(user: &str) -> Result<(), Rejection> {
    if user.is_empty() {
        return Err(Rejection::EmptyUser);
    }
    // They would be taken for devices (SPEC §16.1).
    if user.starts_with("$device:") { Err(Rejection::ReservedUser) } else { Ok(()) }
}

pub(super) fn check_properties(text: &str, survey: &mut Survey) -> Result<(), Rejection> {
    measure(text, survey)?;
    if survey.objects > DEPTH { Err(Rejection::NestedTooDeep) } else { Ok(()) }
}

fn measure<'a>(text: &'a str, survey: &mut Survey) -> Result<Object<'a>, Rejection> {
    if text.len() > RECORD_BYTES {
        return Err(Rejection::TooLarge);
    }
    let object = Object::survey(text, survey).map_err(Rejection::InvalidProperties)?;
    if survey.depth > LEVELS {
        return Err(Rejection::InvalidProperties(JsonError::TooDeep));
    }
    if survey.longest > COUNT {
        return Err(Rejection::TooMany);
    }
    if survey.long_key { Err(Rejection::KeyTooLong) } else { Ok(object) }
}

/// A profile update contains at least one operator, each with a value of its kind.
fn check_operators(call: &Call<'_>, survey: &mut Survey) -> Result<(), Rejection> {
    let object = measure(call.text, survey)?;
    // An operator is an object already.
    if survey.objects > DEPTH + 1 {
        return Err(Rejection::NestedTooDeep);
    }
    let mut operators = 0;
    for (key, value) in object.members() {
        let sound = match key.text().as_str() {
            "$set" | "$set_once" | "$append" | "$remove" | "$merge" => members_are(value, |_| true),
            "$add" => members_are(value, Value::is_number),
            "$union" => members_are(value, Value::is_array),
            "$unset" => value.is_array() && value.elements().all(Value::is_string),
            "$delete" => true,
            // Whose profile, and modifiers.
            _ => continue,
        };
        if !sound {
            return Err(Rejection::InvalidOperator);
        }
        operators += 1;
    }
    if operators == 0 {
        return Err(Rejection::InvalidOperator);
    }
    let named = |key| object.get(key).and_then(Value::string).is_some_and(|id| !id.is_empty());
    if call.kind == CallKind::Group && !(named("$group_key") && named("$group_id")) {
        return Err(Rejection::EmptyGroup);
    }
    Ok(())
}

fn members_are<'a>(value: Value<'a>, sound: impl Fn(Value<'a>) -> bool) -> bool {
    value.object().is_some_and(|object| object.members().all(|(_, value)| sound(value)))
}

#[cfg(test)]
mod tests {
    use super::super::config::{Config, ConfigError};
    use super::super::time::EventId;
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn track(name: &str, properties: &str) -> Result<(), Rejection> {
        check(&Call::track(name, properties, EventId([0; 16])), &mut Survey::default())
    }

    fn numbered(count: usize) -> String {
        let members: alloc::vec::Vec<_> = (0..count).map(|n| format!("\"p{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn what_a_collector_would_cut_is_refused_with_a_reason() {
        assert_eq!(track(&"ü".repeat(255), &numbered(255)), Ok(()));
        assert_eq!(track(&"ü".repeat(256), "{}"), Err(Rejection::NameTooLong));
        assert_eq!(track(" \t", "{}"), Err(Rejection::EmptyName));
        assert_eq!(track("x", &numbered(256)), Err(Rejection::TooMany));
        assert_eq!(track("x", &format!("{{\"a\":{}}}", numbered(256))), Err(Rejection::TooMany));
        assert_eq!(track("x", &format!("{{\"a\":[{}1]}}", "1,".repeat(255))), Err(Rejection::TooMany));
        assert_eq!(track("x", &format!("{{\"{}\":1}}", "k".repeat(256))), Err(Rejection::KeyTooLong));
        assert_eq!(track("x", r#"{"a":{"b":{"c":{"d":1}}}}"#), Ok(()));
        assert_eq!(track("x", r#"{"a":{"b":{"c":{"d":{"e":1}}}}}"#), Err(Rejection::NestedTooDeep));
        let lists = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(track("x", &lists(59)), Ok(()));
        assert_eq!(track("x", &lists(60)), Err(Rejection::InvalidProperties(JsonError::TooDeep)));
        let automatic = |text| Config { automatic_properties: text, ..Config::new("T") }.check();
        assert_eq!(
            (automatic(lists(59)), automatic(lists(60))),
            (Ok(()), Err(ConfigError::AutomaticProperties))
        );
        for (count, sound) in [(200, Ok(())), (201, Err(ConfigError::AutomaticProperties))] {
            assert_eq!(automatic(numbered(count)), sound, "an event needs room for its own");
        }
        let long = format!("{{\"a\":\"{}\"}}", "y".repeat(400_000));
        assert_eq!(automatic(long), Err(ConfigError::AutomaticProperties));
        assert_eq!(track("x", &format!("{{\"a\":\"{}\"}}", "y".repeat(10_000))), Ok(()), "it is cut");
        assert_eq!(track("x", &format!("{{\"a\":\"{}\"}}", "y".repeat(1_000_000))), Err(Rejection::TooLarge));
    }

    #[test]
    fn operators_have_values_of_their_kind() {
        let profile = |text: &str| check(&Call::profile(text), &mut Survey::default());
        for sound in [
            r#"{"$set":{"a":{"b":{"c":{"d":1}}}}}"#,
            r#"{"$add":{"n":-1.5},"$union":{"l":[1]},"$unset":["x"]}"#,
            r#"{"$delete":""}"#,
            r#"{"$ignore_time":true,"$set_once":{}}"#,
        ] {
            assert_eq!(profile(sound), Ok(()), "{sound}");
        }
        for unsound in [
            r#"{}"#,
            r#"{"$set":1}"#,
            r#"{"$add":{"n":"1"}}"#,
            r#"{"$union":{"l":1}}"#,
            r#"{"$unset":{}}"#,
            r#"{"$unset":[["x"]]}"#,
            r#"{"$unset":["x",1]}"#,
            r#"{"$ignore_time":true}"#,
            r#"{"$set":{},"\u0024add":{"n":"1"}}"#,
        ] {
            assert_eq!(profile(unsound), Err(Rejection::InvalidOperator), "{unsound}");
        }
        let group = |text: &str| check(&Call::group(text), &mut Survey::default());
        assert_eq!(group(r#"{"$group_key":"company","$group_id":"acme","$set":{"a":1}}"#), Ok(()));
        assert_eq!(group(r#"{"$group_key":"company","$set":{"a":1}}"#), Err(Rejection::EmptyGroup));
        assert_eq!(group(r#"{"$group_key":"company","$group_id":7,"$set":{}}"#), Err(Rejection::EmptyGroup));
    }

    #[test]
    fn ids_are_not_empty_and_not_devices() {
        let identify = |user| check(&Call::identify(user, EventId([0; 16])), &mut Survey::default());
        assert_eq!(identify("u1"), Ok(()));
        assert_eq!(identify(""), Err(Rejection::EmptyUser));
        assert_eq!(identify("$device:x"), Err(Rejection::ReservedUser));
        let membership = Call::membership(CallKind::AddGroup, "company", "");
        assert_eq!(check(&membership, &mut Survey::default()), Err(Rejection::EmptyGroup));
        let key = "k".repeat(256);
        let membership = Call::membership(CallKind::SetGroup, &key, "acme");
        assert_eq!(check(&membership, &mut Survey::default()), Err(Rejection::KeyTooLong));
    }
}
