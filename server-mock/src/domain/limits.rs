//! Sizes of properties (SPEC §6.3, §20.2): `/track` cuts to them, strict `/import` refuses what is beyond.

use serde_json::{Map, Value, json};

/// Most properties of an event, keys of an object and elements of a list.
pub const COUNT: usize = 255;
/// Longest text and property name, in Unicode scalar values.
const TEXT: usize = 255;
/// Deepest object below a property.
const DEPTH: usize = 3;
/// Largest list or object of an event, as JSON text in bytes.
const EVENT_VALUE: usize = 8 * 1024;
/// Largest list or object of a profile.
pub const PROFILE_VALUE: usize = 256 * 1024;

/// A text, cut to its limit.
pub fn cut(text: &str) -> &str {
    if text.len() <= TEXT {
        return text;
    }
    text.char_indices().nth(TEXT).map_or(text, |(end, _)| &text[..end])
}

/// Cuts properties to the limits: the first 255 in document order stay, deeper objects go, and so does the end of what
/// is too large as a whole.
pub fn fit(properties: &mut Map<String, Value>) {
    fit_object(properties, 0);
    for value in properties.values_mut().filter(|value| value.is_array() || value.is_object()) {
        shorten(value, EVENT_VALUE);
    }
}

/// Drops elements from the end of a list or object until its text is within so many bytes.
fn shorten(value: &mut Value, limit: usize) {
    // Two brackets, and a comma behind each element but the last.
    let mut used = 1;
    let mut fits = |size: usize| {
        used += size + 1;
        used <= limit
    };
    match value {
        Value::Array(list) => {
            let kept = list.iter().take_while(|one| fits(size_of(one))).count();
            list.truncate(kept);
        }
        Value::Object(map) => {
            let entry = |(key, one): &(&String, &Value)| json!(key).to_string().len() + 1 + size_of(one);
            let kept = map.iter().take_while(|one| fits(entry(one))).count();
            if kept < map.len() {
                *map = std::mem::take(map).into_iter().take(kept).collect();
            }
        }
        _ => {}
    }
}

/// Bytes of a value's JSON text.
pub fn size_of(value: &Value) -> usize {
    value.to_string().len()
}

/// Cuts a value of a profile: texts and objects like those of an event, lists in full length.
pub fn fit_profile_value(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(fit_profile_value),
        other => fit_value(other, 0),
    }
}

fn fit_object(object: &mut Map<String, Value>, depth: usize) {
    if object.len() > COUNT || object.keys().any(|key| key.len() > TEXT) {
        let whole = std::mem::take(object);
        for (key, value) in whole.into_iter().take(COUNT) {
            object.insert(cut(&key).to_owned(), value);
        }
    }
    for value in object.values_mut() {
        fit_value(value, depth);
    }
}

fn fit_value(value: &mut Value, depth: usize) {
    match value {
        Value::String(text) => text.truncate(cut(text).len()),
        Value::Array(list) => {
            list.truncate(COUNT);
            list.iter_mut().for_each(|value| fit_value(value, depth));
        }
        Value::Object(_) if depth == DEPTH => *value = Value::Null,
        Value::Object(object) => fit_object(object, depth + 1),
        _ => {}
    }
}

/// The first property (its path below `properties`) that is beyond a limit, and how. Texts are no fault: they are cut.
pub fn fault(properties: &Map<String, Value>) -> Option<(String, &'static str)> {
    let counted = properties.keys().filter(|key| !matches!(key.as_str(), "token" | "ip" | "$ignore")).count();
    if counted > COUNT {
        return Some(("properties".to_owned(), "must not have more than 255 properties"));
    }
    properties
        .iter()
        .find_map(|(key, value)| value_fault(value, 0).map(|text| (format!("properties.{key}"), text)))
}

fn value_fault(value: &Value, depth: usize) -> Option<&'static str> {
    match value {
        Value::Array(list) if list.len() > COUNT => Some("must not have more than 255 elements"),
        Value::Array(list) => list.iter().find_map(|value| value_fault(value, depth)),
        Value::Object(_) if depth == DEPTH => Some("must not be nested more than 3 levels deep"),
        Value::Object(object) if object.len() > COUNT => Some("must not have more than 255 keys"),
        Value::Object(object) => object.values().find_map(|value| value_fault(value, depth + 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> Map<String, Value> {
        (0..count).map(|n| (format!("p{n}"), json!(n))).collect()
    }

    #[test]
    fn two_hundred_and_fifty_five_fit() {
        let mut properties = numbered(256);
        assert!(fault(&properties).is_some());
        fit(&mut properties);
        assert_eq!(properties, numbered(255));
        assert_eq!(fault(&properties), None);
    }

    #[test]
    fn texts_are_cut_by_characters() {
        let mut properties =
            json!({"x": "ü".repeat(300), "l": ["y".repeat(256)]}).as_object().unwrap().clone();
        fit(&mut properties);
        assert_eq!(properties["x"], "ü".repeat(255));
        assert_eq!(properties["l"][0], "y".repeat(255));
    }

    #[test]
    fn lists_and_objects_end_at_8_kb() {
        let mut properties = json!({
            "list": vec!["x".repeat(200); 100],
            "object": (0..200).map(|n| (format!("k{n}"), json!("y".repeat(100)))).collect::<Map<_, _>>(),
            "small": [1, 2],
        });
        fit(properties.as_object_mut().unwrap());
        for name in ["list", "object"] {
            let size = size_of(&properties[name]);
            assert!((7900..=8192).contains(&size), "{name}: {size}");
        }
        assert_eq!(
            (&properties["object"]["k0"], &properties["small"]),
            (&json!("y".repeat(100)), &json!([1, 2]))
        );
    }

    #[test]
    fn three_levels_of_objects_stay() {
        let mut deep =
            json!({"a": {"b": {"c": {"d": 1}}}, "e": {"f": {"g": 1}}}).as_object().unwrap().clone();
        assert_eq!(fault(&deep), None);
        deep.insert("h".into(), json!({"a": {"b": {"c": {"d": 1}}}}));
        assert!(fault(&deep).is_some());
        fit(&mut deep);
        assert_eq!(deep["a"]["b"]["c"], json!({"d": 1}));
        assert_eq!(deep["h"]["a"]["b"]["c"], Value::Null);
    }
}
