//! What is left of persons and groups when what was kept of them has expired.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::forensics::live_keys;
use crate::support::{Folder, Server, config, encoded, server};

const JSON: (&str, &str) = ("content-type", "application/json");
const START: i64 = 1_788_220_800;
const DAY: i64 = 86_400;
const UUID: &str = "6f1c1b1e-5a53-4f7c-9a54-0f5d3c0c7a11";
const USER: &str = "alice@example.test";

/// At a standing clock, with both windows of so many days.
fn lasting(store: StorePlace, days: i64) -> MockServer {
    let server = server(store);
    let mut document = config();
    document["settings"]["retention_events_days"] = json!(days);
    document["settings"]["retention_profiles_days"] = json!(days);
    server.control("PUT", "/mock/config", document);
    at(&server, 0);
    server
}

/// So many days after the start.
fn at(server: &MockServer, days: i64) {
    server.control("PUT", "/mock/clock", json!({"now_s": START + days * DAY, "frozen": true}));
}

fn track(server: &MockServer, token: &str, name: &str, properties: Value) {
    let mut event = json!({"event": name, "properties": properties});
    event["properties"]["token"] = token.into();
    assert_eq!(server.track(event), "1");
}

fn engage(server: &MockServer, path: &str, record: Value) {
    assert_eq!(server.send("POST", path, &[JSON], record.to_string().as_bytes()).text(), "1");
}

fn person(server: &MockServer, token: &str, id: &str) -> Option<Value> {
    let target = format!("/mock/person?project={token}&distinct_id={}", encoded(id));
    let answer = server.send("GET", &target, &[], b"");
    assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
    (answer.status == 200).then(|| answer.json())
}

/// SPEC §19: the window is that of persons.
#[test]
fn the_profile_of_a_group_keeps_what_it_has_however_long_nobody_changed_it() {
    let server = lasting(StorePlace::Memory, 30);
    let set = |properties: Value| {
        let record = json!({"$token": "T", "$group_key": "company", "$group_id": "acme", "$set": properties});
        engage(&server, "/groups", record);
    };
    set(json!({"plan": "pro"}));
    at(&server, 40);
    set(json!({"seats": 5}));
    let groups = server.get("/mock/groups");
    let properties = &groups["groups"][0]["properties"];
    assert_eq!((&properties["plan"], &properties["seats"]), (&json!("pro"), &json!(5)), "{groups}");
}

/// The SDK's own order of things: an anonymous visitor who is identified.
fn identify(server: &MockServer) {
    track(server, "O", "Anonymous", json!({"distinct_id": UUID}));
    track(server, "O", "$identify", json!({"$identified_id": USER, "$anon_id": UUID}));
    track(server, "O", "Known", json!({"distinct_id": USER}));
}

#[test]
fn merged_ids_last_as_long_as_anything_is_kept_under_one_of_them() {
    let folder = Folder::new("merged");
    let server = lasting(StorePlace::Folder(folder.data()), 30);
    identify(&server);
    engage(&server, "/engage", json!({"$token": "O", "$distinct_id": USER, "$set": {"a": 1}}));
    at(&server, 20);
    track(&server, "O", "Late", json!({"distinct_id": UUID}));
    at(&server, 40);
    assert_eq!((server.total(""), server.total(&format!("distinct_id={}", encoded(USER)))), (1, 1));
    assert_eq!(person(&server, "O", UUID).unwrap()["distinct_id"], USER);

    // A profile alone, under another of the names.
    engage(&server, "/engage", json!({"$token": "O", "$distinct_id": UUID, "$set": {"b": 2}}));
    at(&server, 60);
    assert_eq!(server.total(""), 0);
    assert_eq!(person(&server, "O", USER).unwrap()["profiles"][0]["properties"]["b"], 2);
    assert_eq!(person(&server, "O", UUID).unwrap()["distinct_id"], USER);

    at(&server, 80);
    assert_eq!((person(&server, "O", UUID), person(&server, "O", USER)), (None, None));
    assert_eq!(live_keys(&folder.data()).len(), 0, "no key says who was who");
    track(&server, "O", "Anew", json!({"distinct_id": UUID}));
    assert_eq!(server.get("/mock/events")["events"][0]["properties"]["distinct_id"], UUID);
}

/// More of them than one step looks at, in clusters of two and of very many, with one that somebody is left of.
#[test]
fn merged_ids_of_very_many_persons_go_with_what_was_kept_of_them() {
    let folder = Folder::new("many-merged");
    let server = lasting(StorePlace::Folder(folder.data()), 30);
    let merge = |first: String, second: String| json!({"event": "$merge", "properties": {"$distinct_ids": [first, second]}});
    let pairs = (0..3_000).map(|n| merge(format!("a-{n}"), format!("b-{n}")));
    let hub = (0..499).map(|n| merge("hub".into(), format!("c-{n}")));
    let merges: Vec<Value> = pairs.chain(hub).collect();
    for batch in merges.chunks(2_000) {
        let headers = [JSON, ("authorization", "Basic c2E6cHc=")];
        let body = Value::from(batch.to_vec()).to_string();
        let answer = server.send("POST", "/import?strict=1&project_id=2", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    at(&server, 20);
    track(&server, "O", "Left", json!({"distinct_id": "c-7"}));
    at(&server, 40);
    assert_eq!(
        person(&server, "O", "c-498").unwrap()["distinct_id"],
        person(&server, "O", "c-7").unwrap()["distinct_id"]
    );
    assert_eq!((person(&server, "O", "a-0"), person(&server, "O", "b-2999")), (None, None));
    assert_eq!(live_keys(&folder.data()).len(), 500, "one for each id of the cluster");
    at(&server, 60);
    assert_eq!(live_keys(&folder.data()).len(), 0);
}
