//! What was refused, and why: enough to find the mistake, nothing of who said no.

use refrain_mock::StorePlace;
use serde_json::{Value, json};

use crate::support::{Server, config, server};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_refused_record_is_shown_with_reason_sizes_and_names_of_fields() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "time": "yesterday", "plan": "pro"}},
        {"event": "", "properties": {"token": "T"}},
        {"event": "A", "properties": {"token": "T"}},
    ]));
    server.send("POST", "/track", &[JSON], b"[{");
    server.send("POST", "/engage", &[JSON], br#"{"$token":"T","$set":{"a":1}}"#);
    let authorized = [JSON, ("authorization", "Basic c2E6cHc=")];
    server.send("POST", "/import?strict=1&project_id=1", &authorized, br#"[{"event":"A","properties":{}}]"#);
    let list = server.get("/mock/rejected");
    assert_eq!(list["total"], 5);
    let all = list["rejected"].as_array().unwrap();
    let reasons: Vec<(&str, &str)> =
        all.iter().map(|one| (one["route"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect();
    assert_eq!(
        reasons,
        [
            ("/track", "properties.time is invalid: must be seconds or milliseconds since epoch"),
            ("/track", "event, missing"),
            ("/track", "data, invalid json"),
            ("/engage", "$distinct_id, missing or empty"),
            ("/import", "'properties.time' is invalid: must not be missing"),
        ]
    );
    assert_eq!(
        all[0]["fields"],
        json!(["event", "properties", "properties.token", "properties.time", "properties.plan"])
    );
    assert_eq!((&all[0]["index"], &all[1]["index"], &all[0]["project"]), (&json!(0), &json!(1), &json!("T")));
    assert!(all.iter().all(|one| one.get("content").is_none()), "contents are not kept unless asked for");
    assert_eq!(server.get("/mock/rejected?project=T&limit=1&after=1")["rejected"][0]["index"], 1);
    assert_eq!(server.get("/mock/stats")["rejected"], 5);
    server.control("POST", "/mock/reset", json!({}));
    assert_eq!(server.get("/mock/rejected")["total"], 0);
}

#[test]
fn contents_are_kept_in_memory_where_asked_for_and_not_of_who_objected_or_was_erased() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"]["keep_rejected"] = json!(true);
    document["settings"]["gdpr_staging_seconds"] = json!(0);
    server.control("PUT", "/mock/config", document);
    server.control("PUT", "/mock/projects/T/suppressed", json!({"distinct_ids": ["no"]}));
    let wrong =
        |id: &str| json!({"event": "A", "properties": {"token": "T", "distinct_id": id, "time": "x"}});
    server.track(json!([wrong("u"), wrong("no"), wrong("gone")]));
    let ids = || {
        let list = server.get("/mock/rejected");
        let ids = list["rejected"].as_array().unwrap().iter();
        ids.map(|one| one["content"]["properties"]["distinct_id"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(ids(), ["u", "gone"]);
    assert_eq!(server.gdpr("POST", "", r#"{"distinct_ids":["gone"]}"#).status, 201);
    assert_eq!(ids(), ["u"]);
    server.track(json!([wrong("gone")]));
    assert_eq!(ids(), ["u"], "a late copy is not remembered either");
    assert_eq!(server.get("/mock/stats")["rejected"], 4);
}
