//! Session replays, where a project asks for them to be kept.

use refrain_mock::{MockServer, StorePlace};
use serde_json::json;

use crate::forensics::{everything, holds, is_gone, search_raw};
use crate::support::{Folder, Server, config, secret_text, server};

const START: i64 = 1_788_220_800;
const DAY: i64 = 86_400;

fn record(server: &MockServer, id: &str, body: &[u8]) {
    let target = format!("/record/?distinct_id={id}&$user_id={id}&$device_id=D&seq=0&replay_id=r");
    let answer = server.send("POST", &target, &[("authorization", "Basic VDo=")], body);
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(200)));
}

fn with_replays(server: &MockServer, days: serde_json::Value) {
    let mut document = config();
    document["projects"][0]["store_replays"] = json!(true);
    document["settings"]["retention_replays_days"] = days;
    server.control("PUT", "/mock/config", document);
}

#[test]
fn replays_are_kept_only_where_asked_for_and_30_days() {
    let server = server(StorePlace::Memory);
    server.control("PUT", "/mock/clock", json!({"now_s": START, "frozen": true}));
    record(&server, "u", b"first");
    assert_eq!(server.get("/mock/replays")["total"], 0);
    with_replays(&server, json!(30));
    record(&server, "u", b"second");
    let list = server.get("/mock/replays");
    assert_eq!((&list["total"], &list["replays"][0]["bytes"]), (&json!(1), &json!(6)));
    assert_eq!(list["replays"][0]["parameters"]["replay_id"], "r");
    with_replays(&server, json!(60));
    assert_eq!(server.get("/mock/replays")["total"], 1);
    server.control("PUT", "/mock/clock", json!({"now_s": START + 30 * DAY - 1, "frozen": true}));
    assert_eq!(server.get("/mock/replays")["total"], 1);
    server.control("PUT", "/mock/clock", json!({"now_s": START + 30 * DAY, "frozen": true}));
    assert_eq!(server.get("/mock/replays")["total"], 0, "a longer window concerns later replays only");
    assert_eq!(server.get("/mock/stats")["expired"], 1);
}

#[test]
fn replays_are_in_the_archive_and_go_with_their_person() {
    let folder = Folder::new("replay");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    with_replays(&server, json!(30));
    let (id, secret) = (secret_text(), secret_text());
    record(&server, &id, secret.as_bytes());
    record(&server, "other", b"stays");
    let document = json!({"distinct_ids": [id]}).to_string();
    let task = server.retrieval("POST", "", &document).json()["results"]["task_id"].clone();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let archive = server.retrieval("GET", &format!("{}/archive", task.as_str().unwrap()), "");
    assert!(archive.text().contains("replays.jsonl") && archive.text().contains(&id));
    assert!(search_raw(&data, secret.as_bytes()).is_empty());
    assert!(holds(&everything(&data), &secret));
    server.gdpr("POST", "", &document);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(server.get("/mock/replays")["total"], 1);
    assert_eq!(server.get("/mock/tasks")["tasks"][0]["counts"]["replays"], 1);
    assert!(is_gone(&data, &secret) && is_gone(&data, &id));
}

/// Clients live in real time: on a clock that was only advanced, what they recorded after an erasure is not a late copy.
#[test]
fn what_is_recorded_after_an_erasure_is_kept_on_an_advanced_clock_too() {
    let server = server(StorePlace::Memory);
    with_replays(&server, json!(30));
    let clock = || server.get("/mock/clock")["now_s"].as_f64().unwrap();
    let day = || server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    day();
    assert_eq!(server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#).status, 201);
    // By the clients' clock, too, it is recorded after.
    let asked = clock();
    while clock() <= asked + 0.002 {}
    day();
    let client_time = clock() - 2.0 * DAY as f64;
    let target = format!("/record/?distinct_id=u&seq=0&replay_id=r&batch_start_time={client_time}");
    assert_eq!(server.send("POST", &target, &[("authorization", "Basic VDo=")], b"later").status, 200);
    assert_eq!(server.get("/mock/replays")["total"], 1);
}
