//! What was refused, and why: enough to find the mistake, nothing of who said no.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::support::{Server, config, gzip, server};

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
fn a_request_that_is_too_large_is_shown_and_counted_on_each_route() {
    let server = server(StorePlace::Memory);
    let large = vec![b' '; 10 * 1024 * 1024 + 1];
    let zipped = gzip(&large);
    let headers = [JSON, ("authorization", "Basic c2E6cHc=")];
    let with_gzip = [&headers[..], &[("content-encoding", "gzip")]].concat();
    for (route, zipped_status) in [("/track", 200), ("/import?project_id=1", 413)] {
        assert_eq!(server.send("POST", route, &headers, &large).status, 413, "{route}");
        assert_eq!(server.send("POST", route, &with_gzip, &zipped).status, zipped_status, "{route}");
    }
    let list = server.get("/mock/rejected");
    let routes: Vec<&Value> = list["rejected"].as_array().unwrap().iter().map(|one| &one["route"]).collect();
    assert_eq!(routes, ["/track", "/track", "/import", "/import"]);
    assert_eq!(server.get("/mock/stats")["rejected"], 4);
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

/// A server that keeps contents, the records that it is sent, and the ids of those that it still shows.
fn keeping() -> (MockServer, impl Fn(&str, &str) -> Value, impl Fn(&MockServer) -> Vec<Value>) {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"]["keep_rejected"] = json!(true);
    server.control("PUT", "/mock/config", document);
    let wrong = |token: &str, id: &str| json!({"event": "A", "properties": {"token": token, "distinct_id": id, "time": "x"}});
    let shown = |server: &MockServer| {
        let list = server.get("/mock/rejected");
        let all = list["rejected"].as_array().unwrap().iter();
        all.map(|one| one["content"]["properties"]["distinct_id"].clone()).collect()
    };
    (server, wrong, shown)
}

#[test]
fn contents_go_with_an_objection_that_comes_later() {
    let (server, wrong, shown) = keeping();
    server.track(json!([{"event": "A", "properties": {"token": "T", "$device_id": "D", "$user_id": "u"}}]));
    server.track(json!([
        wrong("T", "u"),
        wrong("T", "$device:D"),
        wrong("T", "v"),
        wrong("T", "w"),
        wrong("T", "x")
    ]));
    server.control("POST", "/mock/projects/T/suppressed", json!({"distinct_ids": ["$device:D"]}));
    assert_eq!(shown(&server), ["v", "w", "x"], "under any linked id");
    server.control("PUT", "/mock/projects/T/suppressed", json!({"distinct_ids": ["u", "v"]}));
    assert_eq!(shown(&server), ["w", "x"]);
    let portal = json!({"kind": "objection", "project": "T", "distinct_ids": ["w"]});
    assert_eq!(server.send("POST", "/mock/portal/requests", &[], portal.to_string().as_bytes()).status, 201);
    assert_eq!(shown(&server), ["x"]);
    // Dropped, but it tells whose device this is.
    server.track(json!([wrong("T", "$device:late"), wrong("T", "x")]));
    server
        .track(json!([{"event": "A", "properties": {"token": "T", "$device_id": "late", "$user_id": "w"}}]));
    assert_eq!(shown(&server), ["x", "x"]);
}

/// Who forgets the properties, or names a member only, has written an id where none is looked for.
#[test]
fn contents_go_wherever_in_the_record_the_person_stands() {
    let (server, _, _) = keeping();
    let send = |id: &str| {
        server.track(json!({"event": "A", "distinct_id": id, "token": "T", "email": "x@example.test"}));
        for (route, record) in [
            ("/groups", json!({"$token": "T", "$group_key": "k", "$group_id": "g", "$union": [id]})),
            ("/groups", json!({"$token": "T", "$group_key": "k", "$group_id": "g", "$union": [{id: 1}]})),
            ("/engage", json!({"token": "T", "distinct_id": id, "$set": {"a": 1}})),
            ("/engage", json!([id])),
        ] {
            server.send("POST", route, &[JSON], record.to_string().as_bytes());
        }
    };
    let total = || server.get("/mock/rejected")["total"].as_u64().unwrap();
    ["u", "v", "w"].into_iter().for_each(send);
    assert_eq!(total(), 15);
    server.control("POST", "/mock/projects/T/suppressed", json!({"distinct_ids": ["u"]}));
    assert_eq!(total(), 10);
    assert_eq!(server.gdpr("POST", "", r#"{"distinct_ids":["v"]}"#).status, 201);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(total(), 5);
    ["u", "v"].into_iter().for_each(send);
    assert_eq!(total(), 5, "nor what comes after");
    let many: Vec<String> = (0..400).map(|n| format!("m{n}")).collect();
    server.send(
        "POST",
        "/engage",
        &[JSON],
        json!({"$token": "T", "$set": {"m": many}}).to_string().as_bytes(),
    );
    let last = server.get("/mock/rejected")["rejected"][5].clone();
    assert_eq!(
        (&last["content"], &last["fields"][0]),
        (&json!(null), &json!("$token")),
        "too many to know it by"
    );
}

#[test]
fn contents_go_with_their_project_and_with_their_time() {
    let (server, wrong, shown) = keeping();
    for verb in ["delete", "reset"] {
        server.track(json!([wrong("T", "t"), wrong("O", "o")]));
        server.control("POST", &format!("/mock/projects/T/{verb}"), json!({}));
        assert_eq!(shown(&server), ["o"], "{verb}");
        server.control("POST", "/mock/projects/T/restore", json!({}));
        assert_eq!(shown(&server), ["o"], "{verb}");
        server.control("POST", "/mock/projects/O/reset", json!({}));
    }
    let mut document = server.get("/mock/config");
    document["projects"][0]["retention_events_days"] = json!(1);
    server.control("PUT", "/mock/config", document);
    server.track(
        json!([wrong("T", "t"), wrong("O", "o"), {"event": "A", "properties": {"distinct_id": "nobody's"}}]),
    );
    server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    assert_eq!(shown(&server), ["o", "nobody's"]);
    server.control("PUT", "/mock/clock", json!({"advance": "P5Y"}));
    assert_eq!(shown(&server), [] as [Value; 0]);
    server.control("PUT", "/mock/clock", json!({"now": "2026-09-01", "frozen": true}));
    assert_eq!(shown(&server), [] as [Value; 0], "moving back revives nothing");
}

#[test]
fn a_suppressed_person_is_not_shown_by_leaving_the_project_out() {
    let (server, wrong, shown) = keeping();
    server.control("PUT", "/mock/projects/O/suppressed", json!({"distinct_ids": ["no"]}));
    let nameless = |id: &str| json!({"event": "A", "properties": {"distinct_id": id}});
    server.track(json!([nameless("no"), nameless("yes"), wrong("unknown", "no"), wrong("unknown", "maybe")]));
    let update = json!([{"$distinct_id": "no", "$set": {}}, {"$token": "unknown", "$distinct_id": "no"}]);
    server.send("POST", "/engage", &[JSON], update.to_string().as_bytes());
    assert_eq!(shown(&server), ["yes", "maybe"]);
    server.control("POST", "/mock/projects/O/delete", json!({}));
    server.track(json!([nameless("no")]));
    assert_eq!(shown(&server), ["yes", "maybe"], "an objection outlives its project's deletion");
    assert_eq!(server.get("/mock/stats")["rejected"], 7);
}
