//! Whatever an app may pass: each wrong thing gets its reason, and costs nothing else.

use crate::support::{Collector, Folder, accepted, delivered, quiet, ready};
use refrain::engine::{Outcome, Rejection};
use refrain::json::JsonError;
use refrain::native::Client;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn invalid(error: JsonError) -> Outcome {
    Outcome::Rejected(Rejection::InvalidProperties(error))
}

fn nested(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

/// Says that it was refused for this reason, and that a hint is given.
fn refused(outcome: Outcome, reason: &str) {
    let Outcome::Rejected(rejection) = outcome else { panic!("{reason}: {outcome:?}") };
    assert_eq!(rejection.as_str(), reason);
    assert!(!rejection.hint().is_empty());
}

#[test]
fn properties_that_are_none_are_refused_with_a_reason() {
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("the host's own code")
        }
    }
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.track("e", 7), invalid(JsonError::NotAnObject));
    assert_eq!(client.track("e", [1]), invalid(JsonError::NotAnObject));
    assert_eq!(client.track("e", "text"), invalid(JsonError::NotAnObject));
    assert_eq!(client.track("e", Panics), invalid(JsonError::Syntax));
    assert_eq!(client.register(Panics), invalid(JsonError::Syntax));
    // A key that JSON cannot hold.
    assert_eq!(client.track("e", BTreeMap::from([((1, 2), 3)])), invalid(JsonError::Syntax));
    for text in [
        "",
        " ",
        "null",
        "{\"a\":",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{'a':1}",
        "{\"a\":1}x",
        "{\"a\":\"\u{1}\"}",
    ] {
        let Outcome::Rejected(Rejection::InvalidProperties(_)) = client.track_json("e", text) else {
            panic!("{text:?} was taken")
        };
    }
    refused(client.track_json("e", "{\"a\":\"\\ud800\"}"), "lone_surrogate");
    refused(client.track_json("e", "{\"\\udc00\":1}"), "lone_surrogate");
    refused(client.track_json("e", &nested(5)), "nested_too_deep");
    refused(client.track_json("e", &nested(100_000)), "nested_too_deep");
    refused(client.track_json("e", &format!("{{\"{}\":1}}", "k".repeat(256))), "key_too_long");
    let many: BTreeMap<_, _> = (0..256).map(|n| (format!("p{n}"), n)).collect();
    refused(client.track("e", &many), "too_many");
    refused(client.track("e", json!({"text": "x".repeat(2_000_000)})), "too_large");
    let stats = client.stats();
    assert_eq!((stats.rejected, stats.tracked, stats.queued), (22, 0, 0));
    still_works(&client, &collector);
}

#[test]
fn names_that_are_none_are_refused_with_a_reason() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    for name in ["", " ", "\t\n"] {
        refused(client.track(name, ()), "empty_name");
        refused(client.time_event(name), "empty_name");
    }
    refused(client.track(&"é".repeat(256), ()), "name_too_long");
    refused(client.identify(""), "empty_user");
    refused(client.identify("$device:somebody"), "reserved_user");
    refused(client.alias(""), "empty_user");
    refused(client.switch_user(""), "empty_user");
    refused(client.set_group("", "acme"), "empty_group");
    refused(client.set_group("company", ""), "empty_group");
    refused(client.track("x", BTreeMap::from([("price", f64::NAN)])), "not_finite");
    refused(client.register(BTreeMap::from([("price", [Some(f64::INFINITY), None])])), "not_finite");
    refused(client.profile().add(BTreeMap::from([("price", f32::NAN)])), "not_finite");
    assert_eq!(client.stats().tracked, 0);
    still_works(&client, &collector);
}

#[test]
fn odd_values_arrive_as_json_has_them() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let longest = "é".repeat(255);
    // A value of serde_json's holds `null` for what is no number before anybody sees it.
    let numbers = json!({"nan": f64::NAN, "tiny": 5e-324, "big": u64::MAX, "minus": i64::MIN});
    assert_eq!(client.track(&longest, &numbers), Outcome::Accepted);
    let text = "\u{0}\u{7f}\u{2028}\u{feff}\u{10ffff}\"\\/<script>";
    assert_eq!(
        client.track("texts", json!({"": 1, "text": text, "__proto__": [], "constructor": {}})),
        Outcome::Accepted
    );
    delivered(&client);
    let events = collector.events();
    let properties = |name: &str| events.iter().find(|e| e["event"] == name).unwrap()["properties"].clone();
    let first = properties(&longest);
    assert_eq!((&first["nan"], &first["tiny"]), (&Value::Null, &json!(5e-324)));
    assert_eq!((&first["big"], &first["minus"]), (&json!(u64::MAX), &json!(i64::MIN)));
    let second = properties("texts");
    assert_eq!((&second[""], &second["text"], &second["__proto__"]), (&json!(1), &json!(text), &json!([])));
}

/// One that is right still arrives, alone.
fn still_works(client: &Client, collector: &Collector) {
    accepted(client, "right");
    delivered(client);
    assert_eq!(collector.names(), ["right"]);
    assert!(client.stats().balance());
}

#[test]
fn what_was_refused_takes_nobody_s_place_on_the_way_to_the_store() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let huge = json!({"text": "x".repeat(40 << 20)});
    assert_eq!(client.track("huge", &huge), Outcome::Rejected(Rejection::TooLarge));
    accepted(&client, "small");
}
