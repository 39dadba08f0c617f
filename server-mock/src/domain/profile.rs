//! What `/engage` and `/groups` do to a profile (SPEC §9, §10).

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::clock::Moment;
use super::config::IdMerge;
use super::identity::{self, Ids};
use super::json::Record;
use super::limits;
use super::time;

/// Most properties of a profile; adding beyond is without effect.
const PROPERTIES: usize = 2000;

/// Operators, in the order in which several of one record are applied.
const OPERATORS: [&str; 9] =
    ["$delete", "$set", "$set_once", "$merge", "$add", "$append", "$union", "$remove", "$unset"];

/// Whose profile it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A person, by distinct id.
    Person(String),
    /// A group, by key and id.
    Group(String, String),
}

/// A valid update.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Whose profile.
    pub subject: Subject,
    /// `$ignore_alias`: the literal id is meant, not the one that it maps to.
    pub ignore_alias: bool,
    /// The ids that the record carries.
    pub ids: Ids,
    /// When the client made the update, in milliseconds, where it says so.
    pub time: Option<i64>,
    /// What `$last_seen` becomes, in milliseconds; `None` leaves it alone.
    pub seen: Option<i64>,
    /// `$delete` stands alone: nothing after it is applied.
    pub delete: bool,
    operations: Map<String, Value>,
}

/// The circumstances of an `/engage` or `/groups` request for one project.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Whether it is about groups.
    pub groups: bool,
    /// When it came.
    pub at: Moment,
    /// How the project merges ids.
    pub id_merge: IdMerge,
}

/// What is wrong with an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// The text for the answer.
    pub text: &'static str,
}

const fn fault(field: &'static str, text: &'static str) -> Fault {
    Fault { field, text }
}

/// Reads one record of `/engage` (or of `/groups`). The operands of a valid one are taken out of it.
pub fn read(record: &mut Record, arrival: Arrival) -> Result<Update, Fault> {
    // Before what may stand in the part that is left out.
    if record.is_too_large() {
        return Err(fault("update", "update, larger than 1 MB"));
    }
    let empty = Map::new();
    let map = record.value.as_object().unwrap_or(&empty);
    token_of(&record.value).ok_or(fault("$token", "$token, missing or empty"))?;
    let id = |name: &str| identity::id_text(map.get(name));
    let (subject, mut ids) = if arrival.groups {
        let key = id("$group_key").ok_or(fault("$group_key", "$group_key, missing or empty"))?;
        let name = id("$group_id").ok_or(fault("$group_id", "$group_id, missing or empty"))?;
        (Subject::Group(key, name), Ids::default())
    } else {
        let name = id("$distinct_id").ok_or(fault("$distinct_id", "$distinct_id, missing or empty"))?;
        let ids = Ids::of_distinct_id(arrival.id_merge, &name);
        (Subject::Person(name), ids)
    };
    let device = id("$device_id").map(|id| identity::strip(&id).to_owned());
    match arrival.groups {
        true => ids.user = id("$user_id"),
        false => ids.also.extend(id("$user_id")),
    }
    match &ids.device {
        None => ids.device = device,
        Some(_) => ids.also.extend(device),
    }
    if record.too_deep.is_some() {
        return Err(fault("update", "update, nested more than 128 levels deep"));
    }
    let delete = is_deletion(&record.value);
    let mut operators = OPERATORS.to_vec();
    operators.retain(|operator| !delete && map.contains_key(*operator));
    for operator in &operators {
        let value = &map[*operator];
        let fits = match *operator {
            "$unset" => value.is_array() || value.is_string(),
            _ => value.is_object(),
        };
        if !fits {
            return Err(fault(operator, "operator, its value has the wrong type"));
        }
    }
    if operators.is_empty() && !delete {
        return Err(fault("operator", "operator, missing"));
    }
    let ignores_time =
        map.get("$ignore_time").is_some_and(|value| *value == Value::Bool(true) || value == "true");
    let client_time = map.get("$time").and_then(time::client_time).map(|time| arrival.at.on_clock(time));
    let ignore_alias =
        map.get("$ignore_alias").is_some_and(|value| *value == Value::Bool(true) || value == "true");
    let seen = (!ignores_time).then(|| client_time.unwrap_or(arrival.at.now));
    let operand = |operator: &str| (operator.to_owned(), record.value[operator].take());
    let operations = operators.into_iter().map(operand).collect();
    Ok(Update { subject, ids, time: client_time, ignore_alias, seen, delete, operations })
}

/// Whether an update deletes its profile: that the key is there decides, whatever its value is (SPEC §9.2).
pub fn is_deletion(record: &Value) -> bool {
    record.get("$delete").is_some()
}

/// The token of an update, if it is a text that is not empty.
pub fn token_of(record: &Value) -> Option<&str> {
    record.get("$token")?.as_str().filter(|token| !token.is_empty())
}

impl Update {
    /// The texts that it would bring into a profile.
    pub fn texts(&self) -> Vec<String> {
        texts_of(&self.operations)
    }

    /// Takes texts out of what it would bring into a profile.
    pub fn leave_out(&mut self, is_gone: &dyn Fn(&str) -> bool) {
        without_texts(&mut self.operations, is_gone);
    }

    /// Applies the operators to the properties of a profile.
    pub fn apply(&self, properties: &mut Map<String, Value>) {
        for (operator, operand) in &self.operations {
            if let ("$unset", Some(names)) = (operator.as_str(), unset_names(operand)) {
                names.iter().for_each(|name| drop(properties.shift_remove(*name)));
                continue;
            }
            for (name, value) in operand.as_object().into_iter().flatten() {
                let name = limits::cut(name);
                let is_there = properties.contains_key(name);
                // A null is kept and counts as not set (SPEC §20.2).
                let before = properties.get(name).filter(|value| !value.is_null());
                let after = match operator.as_str() {
                    "$set" => Some(value.clone()),
                    "$set_once" => (before.is_none() && !value.is_null()).then(|| value.clone()),
                    "$merge" => merged(before, value),
                    "$add" => sum(before, value),
                    "$append" => appended(before, value),
                    "$union" => united(before, value),
                    "$remove" => removed(before, value),
                    _ => None,
                };
                // What the server keeps itself takes no room.
                let kept = properties.len() - usize::from(properties.contains_key("$last_seen"));
                if let Some(mut after) = after
                    && (is_there || kept < PROPERTIES)
                {
                    limits::fit_profile_value(&mut after);
                    let is_large = (after.is_array() || after.is_object())
                        && limits::size_of(&after) > limits::PROFILE_VALUE;
                    if !is_large {
                        properties.insert(name.to_owned(), after);
                    }
                }
            }
        }
        if let Some(seen) = self.seen {
            properties.insert("$last_seen".to_owned(), time::format_seconds(seen).into());
        }
    }
}

/// The texts in a profile, names and values at any depth: ids of members may be among them.
pub fn texts_of(properties: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    properties.iter().filter(|(name, _)| *name != "$last_seen").for_each(|named| collect(named, &mut found));
    sorted(found)
}

/// The texts in any value, names among them.
pub fn texts_in(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_value(value, &mut found);
    sorted(found)
}

fn collect((name, value): (&String, &Value), found: &mut Vec<String>) {
    if !name.is_empty() {
        found.push(name.clone());
    }
    collect_value(value, found);
}

fn collect_value(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| collect_value(value, found)),
        Value::Object(map) => map.iter().for_each(|named| collect(named, found)),
        _ => {}
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Takes texts out of a profile, at any depth: out of lists, and a property or key with them where one is its name or
/// its whole value.
pub fn without_texts(properties: &mut Map<String, Value>, is_gone: &dyn Fn(&str) -> bool) {
    properties.retain(|name, value| !is_gone(name) && keeps(value, is_gone));
}

fn keeps(value: &mut Value, is_gone: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => !is_gone(text),
        Value::Number(number) => !is_gone(&number.to_string()),
        Value::Array(list) => {
            list.retain_mut(|value| keeps(value, is_gone));
            true
        }
        Value::Object(map) => {
            map.retain(|name, value| !is_gone(name) && keeps(value, is_gone));
            true
        }
        _ => true,
    }
}

fn unset_names(operand: &Value) -> Option<Vec<&str>> {
    match operand {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Shallow merge of an object into the object of that name; anything else is replaced.
fn merged(before: Option<&Value>, value: &Value) -> Option<Value> {
    match (before.and_then(Value::as_object), value.as_object()) {
        (Some(old), Some(new)) => {
            let mut all = old.clone();
            all.extend(new.clone());
            Some(Value::Object(all))
        }
        _ => Some(value.clone()),
    }
}

fn sum(before: Option<&Value>, value: &Value) -> Option<Value> {
    let zero = Value::from(0);
    let (left, right) = (before.unwrap_or(&zero), value);
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64())
        && let Some(sum) = left.checked_add(right)
    {
        return Some(sum.into());
    }
    let (left, right) = (left.as_number()?.as_f64()?, right.as_number()?.as_f64()?);
    Number::from_f64(left + right).map(Value::Number)
}

fn appended(before: Option<&Value>, value: &Value) -> Option<Value> {
    match before {
        None => Some(Value::Array(vec![value.clone()])),
        Some(Value::Array(list)) => {
            let mut list = list.clone();
            list.push(value.clone());
            Some(Value::Array(list))
        }
        Some(_) => None,
    }
}

fn united(before: Option<&Value>, value: &Value) -> Option<Value> {
    let mut list = match before {
        None => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(_) => return None,
    };
    let one = std::slice::from_ref(value);
    let added: Vec<Value> = {
        let mut known: HashSet<Sameness<'_>> = list.iter().map(Sameness::of).collect();
        let new = value.as_array().map_or(one, Vec::as_slice).iter();
        new.filter(|new| known.insert(Sameness::of(new))).cloned().collect()
    };
    list.extend(added);
    Some(Value::Array(list))
}

fn removed(before: Option<&Value>, value: &Value) -> Option<Value> {
    let list = before?.as_array()?;
    let gone = Sameness::of(value);
    Some(list.iter().filter(|known| Sameness::of(known) != gone).cloned().collect())
}

/// By what values in lists are told apart: numbers by value and not by text, those beyond all bounds not at all.
#[derive(PartialEq, Eq, Hash)]
enum Sameness<'a> {
    Number(Option<u64>),
    Other(&'a Value),
}

impl Sameness<'_> {
    fn of(value: &Value) -> Sameness<'_> {
        match value {
            // The sum makes one zero of both.
            Value::Number(number) => Sameness::Number(number.as_f64().map(|number| (number + 0.0).to_bits())),
            other => Sameness::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_788_220_800_000;

    const ARRIVAL: Arrival =
        Arrival { groups: false, at: Moment { now: NOW, client_offset: 0 }, id_merge: IdMerge::Simplified };

    fn update(fields: Value) -> Result<Update, Fault> {
        let mut value = json!({"$token": "T", "$distinct_id": "u", "$ignore_time": true});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read(&mut Record { value, bytes: 10, bad_utf8: None, too_deep: None }, ARRIVAL)
    }

    fn after(before: Value, fields: Value) -> Value {
        let mut properties = before.as_object().unwrap().clone();
        update(fields).unwrap().apply(&mut properties);
        Value::Object(properties)
    }

    #[test]
    fn each_operator_does_what_its_row_says() {
        assert_eq!(after(json!({"a": 1}), json!({"$set": {"a": 2, "b": null}})), json!({"a": 2, "b": null}));
        assert_eq!(
            after(json!({"a": 1}), json!({"$set_once": {"a": 2, "b": 3, "c": null}})),
            json!({"a": 1, "b": 3})
        );
        assert_eq!(
            after(json!({"a": 1, "s": "x"}), json!({"$add": {"a": 12, "b": -3, "s": 1, "n": "x"}})),
            json!({"a": 13, "s": "x", "b": -3})
        );
        assert_eq!(after(json!({"a": 1.5}), json!({"$add": {"a": 1}})), json!({"a": 2.5}));
        assert_eq!(
            after(json!({"l": [1], "s": 1}), json!({"$append": {"l": [2], "m": 3, "s": 4}})),
            json!({"l": [1, [2]], "s": 1, "m": [3]})
        );
        assert_eq!(
            after(json!({"l": [1, "a"]}), json!({"$union": {"l": ["a", 1.0, 2], "m": ["x", "x"], "n": 5}})),
            json!({"l": [1, "a", 2], "m": ["x"], "n": [5]})
        );
        assert_eq!(
            after(json!({"l": [1, 2, 1], "s": 1}), json!({"$remove": {"l": 1, "s": 1, "n": 1}})),
            json!({"l": [2], "s": 1})
        );
        assert_eq!(after(json!({"a": 1, "b": 2}), json!({"$unset": ["a", "nope"]})), json!({"b": 2}));
        assert_eq!(
            after(json!({"p": {"a": 1}}), json!({"$merge": {"p": {"b": 2}, "q": {"c": 3}}})),
            json!({"p": {"a": 1, "b": 2}, "q": {"c": 3}})
        );
    }

    #[test]
    fn a_null_counts_as_not_set() {
        let before = json!({"a": null, "b": null, "c": null, "d": null, "e": null, "f": null});
        let fields = json!({
            "$set_once": {"a": 1},
            "$add": {"b": 2},
            "$append": {"c": 3},
            "$union": {"d": [4, 4]},
            "$remove": {"e": null},
            "$merge": {"f": {"g": 5}},
        });
        assert_eq!(
            after(before, fields),
            json!({"a": 1, "b": 2, "c": [3], "d": [4], "e": null, "f": {"g": 5}})
        );
        let full: Map<String, Value> = (0..PROPERTIES).map(|n| (format!("p{n}"), Value::Null)).collect();
        let changed = after(full.into(), json!({"$set_once": {"p7": 1, "one more": 1}}));
        assert_eq!((&changed["p7"], changed.as_object().unwrap().len()), (&json!(1), PROPERTIES));
    }

    #[test]
    fn a_value_beyond_256_kb_is_not_taken() {
        let large = vec!["x".repeat(200); 1400];
        assert_eq!(
            after(json!({"l": [1]}), json!({"$set": {"l": large, "m": 2}})),
            json!({"l": [1], "m": 2})
        );
        let full = json!({"l": vec!["x".repeat(200); 1291]});
        assert_eq!(after(full.clone(), json!({"$append": {"l": "y".repeat(255)}})), full);
    }

    #[test]
    fn delete_is_decided_by_presence_and_stands_alone() {
        for value in [json!(null), json!(""), json!({}), json!("u")] {
            assert!(update(json!({"$delete": value, "$set": {"a": 1}})).unwrap().delete);
        }
    }

    #[test]
    fn texts_are_found_and_taken_out_at_any_depth() {
        let mut group = json!({
            "owner": "u", "members": ["u", "v", 7], "by": {"plan": "u", "n": 1, "u": {"role": 2}}, "u": true,
            "size": 3, "$last_seen": "x",
        });
        let properties = group.as_object_mut().unwrap();
        let values = ["1", "2", "3", "7", "u", "v"];
        let names = ["by", "members", "n", "owner", "plan", "role", "size"];
        let texts = texts_of(properties);
        assert!(texts.is_sorted() && texts.len() == values.len() + names.len(), "{texts:?}");
        assert!(values.iter().chain(&names).all(|text| texts.iter().any(|known| known == text)), "{texts:?}");
        without_texts(properties, &|text| text == "u" || text == "7");
        assert_eq!(group, json!({"members": ["v"], "by": {"n": 1}, "size": 3, "$last_seen": "x"}));
    }

    #[test]
    fn invalid_updates_say_why() {
        let fault = |value: Value| {
            read(&mut Record { value, bytes: 10, bad_utf8: None, too_deep: None }, ARRIVAL).unwrap_err().text
        };
        assert_eq!(fault(json!({"$distinct_id": "u", "$set": {}})), "$token, missing or empty");
        assert_eq!(fault(json!({"$token": "T", "$set": {}})), "$distinct_id, missing or empty");
        assert_eq!(fault(json!({"$token": "T", "$distinct_id": "u"})), "operator, missing");
        assert_eq!(fault(json!(7)), "$token, missing or empty");
        assert!(update(json!({"$set": [1]})).is_err());
    }

    #[test]
    fn last_seen_follows_the_update_unless_it_is_to_be_ignored() {
        let mut properties = Map::new();
        let mut seen = update(json!({"$set": {"a": 1}, "$ignore_time": false})).unwrap();
        seen.apply(&mut properties);
        assert_eq!(properties["$last_seen"], "2026-09-01T00:00:00");
        seen.seen = None;
        properties.insert("$last_seen".into(), "before".into());
        seen.apply(&mut properties);
        assert_eq!(properties["$last_seen"], "before");
    }

    #[test]
    fn values_in_lists_are_told_apart_by_value() {
        let lists: Value = serde_json::from_str(
            r#"{"l": [1, -0.0, 1e400, "1", null, true, {"a": 1, "b": [2]}, [1]],
                "m": [1.00, 0, -1e999, "1", null, true, {"b": [2], "a": 1}, [1],
                      2, "2", "", false, {"a": 1}, [1, 1], [], 2.0, "2"]}"#,
        )
        .unwrap();
        let united = after(json!({"l": lists["l"]}), json!({"$union": {"l": lists["m"]}}));
        let new = json!([2, "2", "", false, {"a": 1}, [1, 1], []]);
        assert_eq!(united["l"].as_array().unwrap()[8..], new.as_array().unwrap()[..]);
        assert_eq!(
            after(json!({"l": [1, 1.0, "1", 2]}), json!({"$remove": {"l": 1}})),
            json!({"l": ["1", 2]})
        );
    }

    /// It would not end if each were compared to each.
    #[test]
    fn lists_may_be_long() {
        let numbers: Vec<usize> = (0..1_000_000).collect();
        let list = united(Some(&json!(numbers[1..])), &json!(numbers)).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(numbers.len()));
    }
}
