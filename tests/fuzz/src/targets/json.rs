//! JSON texts: what is accepted and what it means, with `serde_json` as the second opinion; and the records that the
//! engine makes of them.
//!
//! An input is up to eight texts with a zero byte between them: an event's properties, super properties, session
//! properties, automatic properties, the event's name, names that are never recorded (with commas), a user, and
//! anything at all if the event is to be timed.
//!
//! Where the two opinions differ, on purpose:
//!
//! * More than 64 arrays and objects inside each other are refused ([`JsonError::TooDeep`]), where an innermost one
//!   without content does not count; `serde_json` takes 127.
//! * Half of a surrogate pair in an escape is refused ([`JsonError::LoneSurrogate`]), as `serde_json` does where it
//!   reads a string, but not where it skips one.
//! * A number too large for a float, such as `1e999`, is a number by the grammar and travels as it stands; `serde_json`
//!   refuses it once it makes a number of it.
//! * Repeated keys are accepted by both, and the last value counts.

use crate::host::Host;
use crate::tree::Tree;
use refrain::engine::{
    Call, CallKind, Config, DefaultConsent, EventId, Input, Outcome, RecordRead, Rejection,
};
use refrain::json::{JsonError, MAX_DEPTH, Object, Survey, Value, key_hash, write};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

pub(super) const DICTIONARY: &[&str] = &[
    "\0",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\":",
    "\"a\"",
    "{}",
    "[]",
    "[[[[[[[[",
    "]]]]]]]]",
    "{\"a\":{\"b\":{\"c\":",
    "}}}",
    "null",
    "true",
    "false",
    "-0",
    "1e999",
    "-1.5E+3",
    "18446744073709551616",
    "\\u0061",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\udc00",
    "\\\"",
    "\\/",
    "\u{e9}",
    "\u{1f600}",
    "\u{feff}",
    "\"token\":",
    "\"$duration\":",
    "\"$insert_id\":",
    "\"\\u0074oken\":",
    "\"$set\":{",
    "\"\\u0024set\":",
    "\"$add\":{\"n\":1}",
    "\"$union\":{\"l\":[1]}",
    "\"$unset\":[\"a\"]",
    "\"$delete\":\"\"",
    "\"$group_key\":\"g\",\"$group_id\":\"1\",",
];

/// Longer inputs tell nothing new, and what is quadratic in them takes long.
const MOST: usize = 32 << 10;
/// What the engine says itself (SPEC §6.1).
const RESERVED: [&str; 8] =
    ["token", "distinct_id", "$device_id", "$user_id", "mp_lib", "$lib_version", "$insert_id", "time"];
/// The same in updates of profiles and groups (SPEC §9.1).
const RESERVED_IN_UPDATES: [&str; 7] =
    ["$token", "$distinct_id", "$device_id", "$user_id", "$time", "$group_key", "$group_id"];
/// Properties of an event, members of an object, elements of a list (SPEC §20.2).
const COUNT: usize = 255;

pub(super) fn run(data: &[u8]) {
    if data.len() > MOST {
        return;
    }
    let mut parts = data.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut part = || parts.next().unwrap_or_default().into_owned();
    let [own, super_properties, session, automatic, name, denied, user, timed] =
        std::array::from_fn(|_| part());
    let texts = [&own, &super_properties, &session, &automatic];
    for text in texts {
        check_text(text);
    }
    for text in [&name, &user, &own] {
        check_writing(text);
    }
    let denied: Vec<String> = denied.split(',').filter(|name| !name.is_empty()).map(String::from).collect();
    check_merge(&texts.map(String::as_str), &denied);
    // A number that is too large for it leaves `serde_json` without an opinion.
    if texts.iter().all(|text| Object::parse(text).is_err() || Tree::parse(text).is_some()) {
        let app =
            App { own, super_properties, session, automatic, name, denied, user, timed: !timed.is_empty() };
        app.check();
    }
}

/// Whether a text is accepted, and what it means.
fn check_text(text: &str) {
    let mut survey = Survey::default();
    let object = Object::survey(text, &mut survey);
    let parsed = Object::parse(text);
    assert_eq!(parsed.map(Object::as_str), object.map(Object::as_str));
    // Skipping checks the grammar and nothing else.
    let grammar = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    let object = match object {
        Ok(object) => object,
        Err(JsonError::NotAnObject) => return assert!(!is_object),
        Err(JsonError::Syntax) => return assert!(is_object && !grammar, "refused: {text}"),
        Err(JsonError::LoneSurrogate) => return assert!(Tree::parse(text).is_none(), "not alone: {text}"),
        Err(JsonError::TooDeep) => return assert!(depth(text) > MAX_DEPTH as usize, "not deep: {text}"),
        Err(error) => panic!("an error nobody knows: {error:?}"),
    };
    assert!(is_object && grammar, "accepted: {text}");
    let tree = match serde_json::from_str::<Tree>(text) {
        Ok(tree) => tree,
        Err(error) => return assert!(error.to_string().contains("number out of range"), "{error}: {text}"),
    };
    check_members(object, &tree);
    check_survey(object, &survey, &tree);
    assert_eq!(Tree::parse(&["{", object.inner(), "}"].concat()), Some(tree));
}

fn check_members(object: Object<'_>, tree: &Tree) {
    let pairs = tree.members();
    assert_eq!(object.members().count(), pairs.len());
    for ((key, value), (name, tree)) in object.members().zip(pairs) {
        assert_eq!(key.text(), *name);
        assert!(key.is(name) && key.same(key));
        check_value(value, tree);
    }
    for (name, _) in pairs {
        let (ours, theirs) = (object.get(name).map(Value::raw), tree.get(name));
        assert_eq!(ours.and_then(Tree::parse).as_ref(), theirs, "the last value counts");
    }
}

fn check_value(value: Value<'_>, tree: &Tree) {
    assert_eq!(value.string().as_deref(), tree.as_str());
    assert_eq!(value.is_number(), matches!(tree, Tree::Number(_)));
    assert_eq!(value.is_array(), matches!(tree, Tree::Array(_)));
    assert_eq!(value.object().is_some(), matches!(tree, Tree::Object(_)));
    match tree {
        Tree::Object(_) => value.object().into_iter().for_each(|object| check_members(object, tree)),
        Tree::Array(elements) => {
            assert_eq!(value.elements().count(), elements.len());
            value.elements().zip(elements).for_each(|(value, tree)| check_value(value, tree));
        }
        Tree::Number(number) => {
            let whole = number.as_u64().filter(|_| value.raw().bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(value.integer(), whole);
        }
        _ => assert_eq!(value.elements().count(), 0),
    }
}

fn check_survey(object: Object<'_>, survey: &Survey, tree: &Tree) {
    let (mut longest, mut objects, mut long_key) = (0, 0, false);
    walk(tree, 0, &mut |tree, above| {
        longest =
            longest.max(if let Tree::Array(elements) = tree { elements.len() } else { tree.members().len() });
        objects = objects.max(if let Tree::Object(_) = tree { above } else { 0 });
        long_key |= tree.members().iter().any(|(key, _)| key.chars().count() > Survey::KEY_CHARS);
    });
    assert_eq!((survey.longest, survey.objects, survey.depth), (longest, objects, levels(tree)));
    // Of a key with escapes the text counts, which is never shorter.
    let escapes = object.as_str().contains('\\');
    assert!(survey.long_key == long_key || survey.long_key && escapes);
    let raw: Vec<_> = object.members().map(|(key, _)| key.raw()).collect();
    assert_eq!(survey.keys, raw.iter().map(|raw| key_hash(raw.as_bytes())).collect::<Vec<_>>());
    assert_eq!(survey.escaped, raw.iter().any(|raw| raw.contains('\\')));
}

/// How deep arrays and objects with content stand inside each other.
fn levels(tree: &Tree) -> u32 {
    let inside = match tree {
        Tree::Object(members) => members.iter().map(|(_, value)| levels(value)).max(),
        Tree::Array(elements) => elements.iter().map(levels).max(),
        _ => None,
    };
    inside.map_or(0, |inside| inside + 1)
}

/// Visits all values; how many objects stand above each.
fn walk(tree: &Tree, above: u32, visit: &mut impl FnMut(&Tree, u32)) {
    visit(tree, above);
    match tree {
        Tree::Object(members) => members.iter().for_each(|(_, value)| walk(value, above + 1, visit)),
        Tree::Array(elements) => elements.iter().for_each(|value| walk(value, above, visit)),
        _ => {}
    }
}

/// The deepest nesting in a text, strings left out, up to where it breaks the grammar or beyond.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What is written reads back.
fn check_writing(text: &str) {
    let mut out = String::new();
    write::string(&mut out, text);
    assert_eq!(serde_json::from_str::<String>(&out).ok().as_deref(), Some(text));
    let number = text.bytes().fold(0u64, |number, byte| number.wrapping_mul(251).wrapping_add(byte.into()));
    out.clear();
    write::integer(&mut out, number);
    assert_eq!(out, number.to_string());
    out.clear();
    write::seconds(&mut out, number);
    let exact = format!("{}.{:03}", number / 1_000, number % 1_000);
    assert_eq!(out, exact.trim_end_matches('0').trim_end_matches('.'));
    assert!(Tree::parse(&out).is_some());
}

/// Each key once; the stronger object wins, and within one the last value.
fn check_merge(texts: &[&str], denied: &[String]) {
    let (objects, trees): (Vec<_>, Vec<_>) =
        texts.iter().filter_map(|text| Some((Object::parse(text).ok()?, Tree::parse(text)?))).unzip();
    let mut out = String::from("{");
    write::merge(&mut out, &objects, &[], denied);
    out.push('}');
    let mut expected: Vec<(String, Tree)> = Vec::new();
    for tree in &trees {
        let new = tree.last_members().into_iter();
        let new =
            new.filter(|(key, _)| !denied.contains(key) && expected.iter().all(|(other, _)| other != key));
        let new: Vec<_> = new.collect();
        expected.extend(new);
    }
    assert_eq!(Tree::parse(&out), Some(Tree::Object(expected)), "{out}");
}

/// Arrays and objects inside each other, so that a record with them is read again.
const LEVELS: u32 = MAX_DEPTH - 4;

/// An app that records something.
struct App {
    own: String,
    super_properties: String,
    session: String,
    automatic: String,
    name: String,
    denied: Vec<String>,
    user: String,
    timed: bool,
}

/// How long the timer of a timed event runs.
const TIMED_MS: u64 = 1_050;

impl App {
    fn check(&self) {
        let mut config = Config::new("T\"\u{e9}");
        config.default_consent = DefaultConsent::Granted;
        config.deny_list.clone_from(&self.denied);
        config.automatic_properties.clone_from(&self.automatic);
        let mut survey = Survey::default();
        let sound = Object::survey(&self.automatic, &mut survey).is_ok() && survey.depth <= LEVELS;
        assert_eq!(config.check().is_ok(), sound);
        if config.check().is_err() {
            config.automatic_properties = "{}".into();
        }
        let automatic = config.automatic_properties.clone();
        let mut host = Host::new(config, RecordRead::Absent).start();
        let mut call = |call: Call<'_>| {
            let outcome = host.input(Input::Call(call));
            host.run();
            outcome == Outcome::Accepted
        };
        // From the strongest to the weakest, without the event's own.
        let mut registered = Vec::new();
        for (kind, text) in
            [(CallKind::RegisterForSession, &self.session), (CallKind::Register, &self.super_properties)]
        {
            registered.push(if call(Call::register(kind, text)) { text.as_str() } else { "{}" });
        }
        registered.push(&automatic);
        let user = call(Call::identify(&self.user, EventId([1; 16]))).then_some(self.user.as_str());
        let timed = self.timed && call(Call::time_event(&self.name));
        host.now.mono_ms += TIMED_MS;
        let stands = Standing { host: &host, app: self, registered: &registered, user, timed };
        let (expected, rejection) = (stands.event(), stands.rejection());
        self.check_event(&mut host, &expected, rejection);
        self.check_update(&mut host, CallKind::Profile, user);
        self.check_update(&mut host, CallKind::Group, user);
        check_restart(&host);
    }

    fn check_event(&self, host: &mut Host, expected: &BTreeMap<String, Tree>, rejection: Option<Rejection>) {
        let outcome = host.input(Input::Call(Call::track(&self.name, &self.own, EventId([0xAB; 16]))));
        let wanted = rejection.map_or(Outcome::Accepted, Outcome::Rejected);
        assert_eq!(outcome, wanted, "{} {}", self.name.escape_debug(), self.own);
        host.run();
        if rejection.is_some() {
            return;
        }
        let text = &host.records.last().expect("it is stored").2;
        let event = Tree::parse(text).unwrap_or_else(|| panic!("no JSON: {text}"));
        assert_eq!(event.members().len(), 2, "{text}");
        assert_eq!(event.get("event").and_then(Tree::as_str), Some(self.name.as_str()));
        let properties = event.get("properties").map(Tree::members).unwrap_or_default();
        let found: BTreeMap<_, _> = properties.iter().cloned().collect();
        assert_eq!(found.len(), properties.len(), "one key, once: {text}");
        assert_eq!(found, *expected, "{text}");
    }

    fn check_update(&self, host: &mut Host, kind: CallKind, user: Option<&str>) {
        let outcome = host.input(Input::Call(Call::new(kind, "", &self.own, [0; 16])));
        host.run();
        let tree = match (Tree::parse(&self.own), outcome) {
            (Some(tree), Outcome::Accepted) => tree,
            (_, Outcome::Rejected(Rejection::InvalidProperties(error))) => {
                let why = Object::parse(&self.own).err();
                return assert_eq!(why.unwrap_or(JsonError::TooDeep), error);
            }
            (_, Outcome::Rejected(_)) => return,
            other => panic!("{other:?}: {}", self.own),
        };
        let text = &host.records.last().expect("it is stored").2;
        let update = Tree::parse(text).unwrap_or_else(|| panic!("no JSON: {text}"));
        let string = |text: &str| Tree::String(text.into());
        let mut expected = vec![("$token".into(), string("T\"\u{e9}"))];
        expected.push(("$time".into(), Tree::Number(host.now.wall_ms.into())));
        if kind == CallKind::Group {
            for key in ["$group_key", "$group_id"] {
                expected.push((key.into(), tree.get(key).expect("a group is named").clone()));
            }
        } else {
            expected.push(("$distinct_id".into(), string(&host.engine.distinct_id().unwrap_or_default())));
            expected.push(("$device_id".into(), string(&host.engine.device_id().unwrap_or_default())));
            expected.extend(user.map(|user| ("$user_id".into(), string(user))));
        }
        for (key, value) in tree.last_members() {
            if RESERVED_IN_UPDATES.contains(&key.as_str()) {
                continue;
            }
            let value = match &value {
                Tree::Object(_) => {
                    let kept = value.last_members().into_iter();
                    Tree::Object(kept.filter(|(key, _)| !self.denied.contains(key)).collect())
                }
                _ => value,
            };
            expected.push((key, value));
        }
        let by_key = |members: &[(String, Tree)]| {
            let map: BTreeMap<_, _> = members.iter().cloned().collect();
            assert_eq!(map.len(), members.len(), "one key, once: {text}");
            map
        };
        assert_eq!(by_key(update.members()), by_key(&expected), "{text}");
    }
}

/// What a client has come to when an event is recorded.
struct Standing<'a> {
    host: &'a Host,
    app: &'a App,
    registered: &'a [&'a str],
    user: Option<&'a str>,
    timed: bool,
}

impl Standing<'_> {
    /// Event over session over super over automatic, and nothing over what the engine says itself.
    fn event(&self) -> BTreeMap<String, Tree> {
        let App { own, denied, .. } = self.app;
        let mut properties = BTreeMap::new();
        let own = Tree::parse(own).unwrap_or(Tree::Null);
        let weakest_first = self.registered.iter().rev().filter_map(|text| Tree::parse(text));
        for tree in weakest_first {
            properties.extend(tree.members().iter().cloned());
        }
        if self.timed {
            let seconds = Tree::parse("1.05").expect("a number");
            properties.insert("$duration".into(), seconds);
        }
        properties.extend(own.members().iter().cloned());
        properties.retain(|key, _| !RESERVED.contains(&key.as_str()) && !denied.contains(key));
        let engine = &self.host.engine;
        for (key, text) in [
            ("token", Some("T\"\u{e9}")),
            ("distinct_id", engine.distinct_id().as_deref()),
            ("$device_id", engine.device_id().as_deref()),
            ("$user_id", self.user),
            ("mp_lib", Some("refrain")),
            ("$lib_version", Some(env!("CARGO_PKG_VERSION"))),
            ("$insert_id", Some("ab".repeat(16).as_str())),
        ] {
            properties.extend(text.map(|text| (key.into(), Tree::String(text.into()))));
        }
        properties.insert("time".into(), Tree::Number(self.host.now.wall_ms.into()));
        properties
    }

    /// Why the event cannot be recorded.
    fn rejection(&self) -> Option<Rejection> {
        let App { own, name, .. } = self.app;
        if name.trim_ascii().is_empty() {
            return Some(Rejection::EmptyName);
        }
        if name.chars().count() > 255 {
            return Some(Rejection::NameTooLong);
        }
        let mut survey = Survey::default();
        if let Err(error) = Object::survey(own, &mut survey) {
            return Some(Rejection::InvalidProperties(error));
        }
        if survey.depth > LEVELS {
            return Some(Rejection::InvalidProperties(JsonError::TooDeep));
        }
        if survey.longest > COUNT {
            return Some(Rejection::TooMany);
        }
        if survey.long_key {
            return Some(Rejection::KeyTooLong);
        }
        if survey.objects > 3 {
            return Some(Rejection::NestedTooDeep);
        }
        // The token does not count.
        (self.event().len() > COUNT + 1).then_some(Rejection::TooMany)
    }
}

/// What is stored means the same to the next process.
fn check_restart(host: &Host) {
    let mut config = Config::new("T\"\u{e9}");
    config.default_consent = DefaultConsent::Granted;
    let mut next = Host::new(config, host.consent.clone());
    next.identity = host.identity.clone();
    next.records.clone_from(&host.records);
    let next = next.start();
    assert_eq!(next.engine.device_id(), host.engine.device_id());
    assert_eq!(next.engine.distinct_id(), host.engine.distinct_id());
    assert_eq!(next.engine.super_properties(), host.engine.super_properties());
    assert_eq!(next.engine.stats().queued, host.engine.stats().queued);
}
