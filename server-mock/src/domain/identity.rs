//! Whose record is it? The literal ids that a record carries, and the identity verbs (SPEC §16).

use serde_json::{Map, Value};

use super::config::IdMerge;

/// What a device id is prefixed with where it serves as a distinct id.
pub const DEVICE_PREFIX: &str = "$device:";

/// The combination of literal ids under which a record is kept. Every combination has its own key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The device, without prefix.
    pub device: Option<String>,
    /// The user. On projects with original merge, the distinct id (a node of the cluster graph).
    pub user: Option<String>,
    /// Further ids that the record names in its identity properties (SPEC §20.6), sorted. They decide nothing about whose
    /// it is; an erasure finds the record by them.
    pub also: Vec<String>,
}

/// Identity properties of events (SPEC §20.3, §20.6), beside `$distinct_ids`, which is a list.
const NAMING: [&str; 10] = [
    "distinct_id",
    "$user_id",
    "$device_id",
    "$anon_id",
    "$anon_distinct_id",
    "$identified_id",
    "alias",
    "$distinct_id_before_identity",
    "$preshuffle_distinct_id",
    "mp_original_distinct_id",
];
/// Ids of a `$distinct_ids` that are looked at: lists longer than this are cut anyway.
const LISTED: usize = 255;

impl Ids {
    /// The distinct id of the combination itself, before any link.
    pub fn own(&self) -> Option<String> {
        self.user.clone().or_else(|| self.device.as_ref().map(|device| format!("{DEVICE_PREFIX}{device}")))
    }

    /// The combination that a bare distinct id stands for: of an erasure, a profile, a filter.
    pub fn of_distinct_id(mode: IdMerge, id: &str) -> Ids {
        match (mode, id.strip_prefix(DEVICE_PREFIX)) {
            (IdMerge::Simplified, Some(device)) => Ids { device: Some(device.to_owned()), ..Ids::default() },
            (IdMerge::Original, Some(device)) => Ids { user: Some(device.to_owned()), ..Ids::default() },
            _ => Ids { user: Some(id.to_owned()), ..Ids::default() },
        }
    }

    /// All literal ids of the combination.
    pub fn literal(&self) -> impl Iterator<Item = &str> {
        self.device.iter().chain(&self.user).chain(&self.also).map(String::as_str)
    }

    /// Whether an id is the device of a record that is of a user as well. Several users may share a device, so that what
    /// is known of it need not hold for each of them.
    pub fn is_device_of_a_user(&self, id: &str) -> bool {
        self.device.as_deref() == Some(id) && self.user.as_deref().is_some_and(|user| strip(user) != id)
    }

    /// Names further ids.
    fn naming(mut self, properties: &Map<String, Value>) -> Ids {
        let listed = properties.get("$distinct_ids").and_then(Value::as_array).into_iter().flatten();
        let named = properties.iter().filter(|(name, _)| NAMING.contains(&name.as_str()));
        let named = named.map(|(_, value)| value).chain(listed.take(LISTED));
        let is_own = |id: &str| {
            [&self.device, &self.user].into_iter().flatten().any(|known| strip(known) == strip(id))
        };
        // Most are the combination's own ids, which need not be copied for that to be seen.
        let named = named.filter(|value| !value.as_str().is_some_and(is_own));
        let mut also: Vec<String> = named.filter_map(|value| id_text(Some(value))).collect();
        also.retain(|id| !is_own(id));
        also.sort_unstable();
        also.dedup();
        self.also = also;
        self
    }
}

/// An identity verb of the original merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `$identify`: the anonymous id joins the user's cluster, once, and only if it is a UUIDv4.
    Identify {
        /// The user.
        user: String,
        /// The anonymous id, without prefix.
        anonymous: String,
    },
    /// `$create_alias`: the alias joins the cluster of the id, once.
    Alias {
        /// An id of the cluster.
        id: String,
        /// The new name.
        alias: String,
    },
    /// `$merge`: two clusters become one.
    Merge(String, String),
    /// One of them that does not name the ids which it needs: nothing comes of it.
    Incomplete,
}

/// Whether an event name is an identity verb.
pub fn is_verb(name: &str) -> bool {
    matches!(name, "$identify" | "$create_alias" | "$merge")
}

/// An id as text: numbers and booleans are coerced, nothing and empty texts are no id.
pub fn id_text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// An id without the prefix of devices.
pub fn strip(id: &str) -> &str {
    id.strip_prefix(DEVICE_PREFIX).unwrap_or(id)
}

/// The ids of a record, by the rules of its project.
pub fn ids_of(mode: IdMerge, name: &str, properties: &Map<String, Value>) -> Ids {
    resolved(mode, name, properties).naming(properties)
}

/// Whose record it is.
fn resolved(mode: IdMerge, name: &str, properties: &Map<String, Value>) -> Ids {
    let get = |key: &str| id_text(properties.get(key));
    let device = get("$device_id").map(|id| strip(&id).to_owned()).filter(|id| !id.is_empty());
    let distinct = get("distinct_id");
    match mode {
        IdMerge::Simplified => {
            let user = get("$user_id");
            if user.is_some() || device.is_some() {
                return Ids { device, user, also: Vec::new() };
            }
            distinct.map(|id| Ids::of_distinct_id(mode, &id)).unwrap_or_default()
        }
        IdMerge::Original => {
            let named = distinct
                .or_else(|| {
                    verb_of(name, properties).and_then(|verb| match verb {
                        Verb::Identify { user, .. } => Some(user),
                        Verb::Alias { id, .. } => Some(id),
                        Verb::Merge(first, _) => Some(first),
                        Verb::Incomplete => None,
                    })
                })
                .or_else(|| get("$user_id"))
                .or_else(|| device.clone());
            Ids { device, user: named.map(|id| strip(&id).to_owned()), also: Vec::new() }
        }
        IdMerge::None => Ids { device, user: distinct.or_else(|| get("$user_id")), also: Vec::new() },
    }
}

/// The verb that an event is.
pub fn verb_of(name: &str, properties: &Map<String, Value>) -> Option<Verb> {
    is_verb(name).then(|| complete_verb(name, properties).unwrap_or(Verb::Incomplete))
}

/// The verb, if it names the ids that it needs.
fn complete_verb(name: &str, properties: &Map<String, Value>) -> Option<Verb> {
    let get = |key: &str| id_text(properties.get(key)).map(|id| strip(&id).to_owned());
    match name {
        "$identify" => Some(Verb::Identify {
            user: get("$identified_id").or_else(|| get("distinct_id")).or_else(|| get("$user_id"))?,
            anonymous: get("$anon_id").or_else(|| get("$anon_distinct_id"))?,
        }),
        "$create_alias" => Some(Verb::Alias { id: get("distinct_id")?, alias: get("alias")? }),
        _ => match properties.get("$distinct_ids")?.as_array()?.as_slice() {
            [first, second] => Some(Verb::Merge(
                strip(&id_text(Some(first))?).to_owned(),
                strip(&id_text(Some(second))?).to_owned(),
            )),
            _ => None,
        },
    }
}

/// Whether a text is a UUID of version 4.
pub fn is_uuid4(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'4',
            19 => matches!(byte.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'),
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(mode: IdMerge, properties: Value) -> (Option<String>, Option<String>) {
        let ids = ids_of(mode, "A", properties.as_object().unwrap());
        (ids.device, ids.user)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn simplified_resolution_follows_its_five_steps() {
        let simplified = |properties| ids(IdMerge::Simplified, properties);
        assert_eq!(simplified(json!({"$user_id": "U", "distinct_id": "x"})), (None, some("U")));
        assert_eq!(simplified(json!({"$device_id": "$device:D", "distinct_id": "x"})), (some("D"), None));
        assert_eq!(simplified(json!({"distinct_id": "$device:D"})), (some("D"), None));
        assert_eq!(simplified(json!({"distinct_id": 13})), (None, some("13")));
        assert_eq!(simplified(json!({"distinct_id": ""})), (None, None));
        assert_eq!(simplified(json!({"$device_id": "D", "$user_id": "U"})), (some("D"), some("U")));
    }

    #[test]
    fn original_takes_the_distinct_id_and_remembers_the_device() {
        let original = |properties| ids(IdMerge::Original, properties);
        assert_eq!(original(json!({"distinct_id": "$device:D", "$device_id": "D"})), (some("D"), some("D")));
        assert_eq!(original(json!({"distinct_id": "u"})), (None, some("u")));
    }

    #[test]
    fn ids_that_are_only_named_are_kept_beside() {
        let also = |mode, properties: Value| ids_of(mode, "A", properties.as_object().unwrap()).also;
        let sent = json!({"distinct_id": "$device:D", "$device_id": "D", "$anon_distinct_id": "$device:D"});
        assert!(also(IdMerge::Simplified, sent.clone()).is_empty());
        assert!(also(IdMerge::Original, sent).is_empty());
        assert_eq!(
            also(
                IdMerge::Simplified,
                json!({"distinct_id": "x", "$user_id": "U", "alias": "L", "$distinct_ids": ["U", 5]})
            ),
            ["5", "L", "x"]
        );
    }

    #[test]
    fn verbs_are_read_in_the_documented_and_in_the_sent_form() {
        let verb = |name, properties: Value| verb_of(name, properties.as_object().unwrap());
        let expected = Some(Verb::Identify { user: "U".into(), anonymous: "A".into() });
        assert_eq!(verb("$identify", json!({"$identified_id": "U", "$anon_id": "A"})), expected);
        assert_eq!(
            verb("$identify", json!({"distinct_id": "U", "$anon_distinct_id": "$device:A"})),
            expected
        );
        assert_eq!(verb("$merge", json!({"$distinct_ids": ["a"]})), Some(Verb::Incomplete));
        assert_eq!(verb("$create_alias", json!({"distinct_id": "U"})), Some(Verb::Incomplete));
        assert_eq!(verb("A", json!({"distinct_id": "U"})), None);
        assert!(is_uuid4("6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111"));
        assert!(!is_uuid4("6f8f1c1e-2d1c-1a11-9d0e-0f1b6ad1c111"));
        assert!(!is_uuid4("not-a-uuid"));
    }
}
