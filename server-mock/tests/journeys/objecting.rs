//! Objection: the suppression list, and the signals of browsers.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::forensics::search_raw;
use crate::support::{Folder, Server, config, secret_text, server};

const JSON: (&str, &str) = ("content-type", "application/json");

fn event(name: &str, properties: Value) -> Value {
    let mut event = json!({"event": name, "properties": {"token": "T"}});
    event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    event
}

fn suppress(server: &MockServer, ids: &[&str]) -> Value {
    server.control("PUT", "/mock/projects/T/suppressed", json!({"distinct_ids": ids}))
}

#[test]
fn who_joins_a_suppressed_person_is_suppressed_from_there_on() {
    let server = server(StorePlace::Memory);
    let import = |events: Value| {
        let account = ("authorization", "Basic c2E6cHc=");
        let events = events.to_string().replace("\"T\"", "\"O\"");
        let answer =
            server.send("POST", "/import?strict=0&project_id=2", &[JSON, account], events.as_bytes());
        assert_eq!(answer.text(), "1");
    };
    let merge = |ids: [&str; 2]| event("$merge", json!({ "$distinct_ids": ids }));
    import(json!([merge(["S", "x"])]));
    server.control("PUT", "/mock/projects/O/suppressed", json!({"distinct_ids": ["S"]}));
    import(json!([
        event("First", json!({"distinct_id": "a", "time": 1_788_220_800})),
        merge(["a", "x"]),
        event("Late", json!({"distinct_id": "x", "time": 1_788_220_800})),
        event("Late", json!({"distinct_id": "a", "time": 1_788_220_800})),
    ]));
    assert_eq!((server.total("event=First"), server.total("event=Late")), (1, 0));
}

#[test]
fn records_of_a_suppressed_person_are_dropped_under_any_linked_id() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        event("Old", json!({"$device_id": "D1", "$user_id": "u"})),
        event("Old", json!({"$device_id": "D1", "$user_id": "v"})),
    ]));
    let list = suppress(&server, &["u"]);
    assert_eq!((&list["total"], &list["added"]), (&json!(1), &json!(1)));
    assert!(!list.to_string().contains("\"u\""), "the list shows hashes");
    assert_eq!(
        server.track(json!([
            event("New", json!({"distinct_id": "u"})),
            event("New", json!({"$device_id": "D1"})),
            event("New", json!({"distinct_id": "$device:D1"})),
            event("New", json!({"$device_id": "D2", "$user_id": "u"})),
            event("New", json!({"$device_id": "D2"})),
            event("New", json!({"$device_id": "D3", "$user_id": "v"})),
        ])),
        "1"
    );
    let left = server.get("/mock/events?event=New");
    assert_eq!((&left["total"], &left["events"][0]["distinct_id"]), (&json!(1), &json!("v")));
    assert_eq!(server.total("event=Old"), 2, "an objection is no erasure");
    let stats = server.get("/mock/stats");
    assert_eq!((&stats["suppressed"], &stats["suppressed_by"]["suppression_list"]), (&json!(5), &json!(5)));
    let engage = |record: Value| {
        server.send("POST", "/engage", &[JSON], record.to_string().as_bytes());
        server.get("/mock/profiles")["total"].clone()
    };
    assert_eq!(engage(json!({"$token": "T", "$distinct_id": "$device:D1", "$set": {"a": 1}})), 0);
    assert_eq!(engage(json!({"$token": "T", "$distinct_id": "v", "$set": {"a": 1}})), 1);

    let list = suppress(&server, &[]);
    assert_eq!((&list["total"], &list["removed"]), (&json!(0), &json!(1)));
    server.track(json!([event("Later", json!({"$device_id": "D2"}))]));
    assert_eq!(
        server.total("event=Later"),
        1,
        "what was put on the list because of somebody leaves with them"
    );
}

#[test]
fn the_list_is_added_to_and_taken_from_and_survives_a_reset_of_the_project() {
    let folder = Folder::new("objection");
    let start = || server(StorePlace::Folder(folder.data()));
    let id = secret_text();
    let first = start();
    let change = |server: &MockServer, method: &str, ids: &[&str]| {
        server.control(method, "/mock/projects/T/suppressed", json!(ids))["total"].clone()
    };
    assert_eq!(change(&first, "POST", &[&id, "b"]), 2);
    assert_eq!(change(&first, "POST", &["b"]), 2);
    assert_eq!(change(&first, "DELETE", &["b", "c"]), 1);
    first.control("POST", "/mock/projects/T/reset", json!({}));
    drop(first);
    assert!(search_raw(&folder.data(), id.as_bytes()).is_empty());
    let again = start();
    assert_eq!(again.get("/mock/projects/T/suppressed")["total"], 1);
    again.track(json!([event("A", json!({"distinct_id": id})), event("B", json!({"distinct_id": "b"}))]));
    assert_eq!((again.total("event=A"), again.total("event=B")), (0, 1));
    for wrong in [json!({"distinct_ids": "u"}), json!([""]), json!([null]), json!({}), json!(5)] {
        let answer = again.send("PUT", "/mock/projects/T/suppressed", &[], wrong.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(again.get("/mock/projects/T/suppressed")["total"], 1);
}

/// A device on the list says nothing about other persons: otherwise anybody could identify as a victim on a device of
/// their own, object, and have the victim's records dropped.
#[test]
fn an_objection_does_not_reach_whom_its_device_claims_to_be_later() {
    let server = server(StorePlace::Memory);
    suppress(&server, &["$device:A"]);
    server.track(json!([
        event("Pretending", json!({"$device_id": "A", "$user_id": "victim"})),
        event("Own", json!({"$device_id": "V", "$user_id": "victim"})),
    ]));
    assert_eq!((server.total("event=Pretending"), server.total("event=Own")), (0, 1));
}

const ANONYMOUS: &str = "6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111";

/// An event of a device that nobody has named, or the one that says whose it is.
fn of_device(token: &str, name: &str, user: Option<&str>) -> Value {
    let (name, properties) = match (token, user) {
        ("T", None) => (name, json!({"$device_id": ANONYMOUS})),
        ("T", Some(user)) => (name, json!({"$device_id": ANONYMOUS, "$user_id": user})),
        (_, None) => (name, json!({"distinct_id": ANONYMOUS, "$device_id": ANONYMOUS})),
        (_, Some(user)) => ("$identify", json!({"$identified_id": user, "$anon_id": ANONYMOUS})),
    };
    let mut event = event(name, properties);
    event["properties"]["token"] = json!(token);
    event
}

/// Whatever takes the link away: the objection stays with each id.
#[test]
fn an_objection_outlives_the_links_of_its_person() {
    for token in ["T", "O"] {
        for end in ["erasure", "reset", "retention", "list", "another entry"] {
            let server = server(StorePlace::Memory);
            let list = |method: &str, ids: &[&str]| {
                let target = format!("/mock/projects/{token}/suppressed");
                server.control(method, &target, json!({ "distinct_ids": ids }));
            };
            if end == "list" {
                // The link is not stored at all.
                list("PUT", &["u"]);
            }
            server.track(of_device(token, "Link", Some("u")));
            list("PUT", &["u"]);
            match end {
                "erasure" => {
                    let target = format!("/api/app/data-deletions/v3.0/?token={token}");
                    let owner = [("authorization", "Bearer OWNER")];
                    let asked = server.send("POST", &target, &owner, br#"{"distinct_ids":["u"]}"#);
                    assert_eq!(asked.status, 201);
                    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
                }
                "reset" => drop(server.control("POST", &format!("/mock/projects/{token}/reset"), json!({}))),
                "retention" => drop(server.control("PUT", "/mock/clock", json!({"advance": "P6Y"}))),
                "list" => list("PUT", &["v", "u"]),
                _ => {
                    // It was listed under another id as well, and is no longer.
                    list("POST", &[ANONYMOUS]);
                    list("DELETE", &[ANONYMOUS]);
                    server.control("POST", &format!("/mock/projects/{token}/reset"), json!({}));
                }
            }
            server.track(of_device(token, "Later", None));
            assert_eq!(server.total("event=Later"), 0, "{token} {end}");
            list("DELETE", &["u"]);
            server.track(of_device(token, "Later", None));
            // Nobody of that person is on the list any more.
            assert_eq!(server.total("event=Later"), 1, "{token} {end}");
        }
    }
}

/// A device is suppressed with its user, and says nothing about another one.
#[test]
fn another_user_of_a_suppressed_persons_device_is_heard() {
    for token in ["T", "O"] {
        for erase in [false, true] {
            let server = server(StorePlace::Memory);
            server.track(of_device(token, "Link", Some("u")));
            server.control(
                "PUT",
                &format!("/mock/projects/{token}/suppressed"),
                json!({"distinct_ids": ["u"]}),
            );
            if erase {
                let target = format!("/api/app/data-deletions/v3.0/?token={token}");
                server.send(
                    "POST",
                    &target,
                    &[("authorization", "Bearer OWNER")],
                    br#"{"distinct_ids":["u"]}"#,
                );
                server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
            }
            let before = server.total("");
            let of = |name: &str, user: &str| {
                let mut event = event(
                    name,
                    json!({
                        "distinct_id": user, "$user_id": user, "$device_id": ANONYMOUS,
                        "$anon_distinct_id": format!("$device:{ANONYMOUS}"),
                    }),
                );
                event["properties"]["token"] = json!(token);
                event
            };
            server.track(json!([of("$identify", "other"), of("A", "other"), of("A", "u")]));
            server.track(json!([of_device(token, "Anonymous", None), of("A", "other")]));
            let update = json!({
                "$token": token, "$distinct_id": "other", "$device_id": ANONYMOUS, "$set": {"a": 1},
            });
            server.send("POST", "/engage", &[JSON], update.to_string().as_bytes());
            assert_eq!(server.total(&format!("project={token}&distinct_id=other")), 3, "{token} {erase}");
            assert_eq!(server.total(""), before + 3, "{token} {erase}");
            assert_eq!(server.get("/mock/profiles")["total"], 1, "{token} {erase}");
            let person = server.get(&format!("/mock/person?project={token}&distinct_id=other"));
            assert_eq!(person["suppressed"], false, "{token} {erase}");
        }
    }
}

/// A record that is dropped links all the same, as it would have done if it had been stored.
#[test]
fn an_alias_of_a_suppressed_person_is_suppressed_with_them() {
    let server = server(StorePlace::Memory);
    let on = |mut event: Value| {
        event["properties"]["token"] = json!("O");
        event
    };
    let alias =
        |id: &str, alias: &str| on(event("$create_alias", json!({"distinct_id": id, "alias": alias})));
    server.track(json!([alias("v", "taken")]));
    server.control("PUT", "/mock/projects/O/suppressed", json!({"distinct_ids": ["u"]}));
    server.track(json!([alias("u", "mail"), alias("mail", "phone"), alias("u", "taken")]));
    for id in ["mail", "phone", "taken", "v"] {
        server.track(on(event("A", json!({ "distinct_id": id }))));
    }
    let heard = server.get("/mock/events?event=A");
    assert_eq!(heard["total"], 2, "who belonged to somebody else before still does: {heard}");
}

#[test]
fn signals_are_honoured_where_the_project_says_so() {
    let server = server(StorePlace::Memory);
    let signals: [(&str, &str); 3] = [("sec-gpc", "1"), ("dnt", "1"), ("cookie", "a=b; mp_optout=1")];
    let send = |path: &str, record: Value, headers: &[(&str, &str)]| {
        let headers: Vec<_> = std::iter::once(JSON).chain(headers.iter().copied()).collect();
        assert_eq!(server.send("POST", path, &headers, record.to_string().as_bytes()).text(), "1");
    };
    for signal in signals {
        send("/track", event("A", json!({"distinct_id": "u"})), &[signal]);
    }
    assert_eq!(server.total(""), 3, "not unless it is asked for");
    let mut document = config();
    for name in ["honor_gpc", "honor_dnt", "honor_optout_cookie"] {
        document["projects"][0][name] = json!(true);
    }
    server.control("PUT", "/mock/config", document);
    let profile = |operation: &str| {
        let mut record = json!({"$token": "T", "$distinct_id": "u"});
        record[operation] = json!({"a": 1});
        record
    };
    send("/engage", profile("$set"), &[]);
    for signal in signals {
        send("/track", event("B", json!({"distinct_id": "u"})), &[signal]);
        send("/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 2}}), &[signal]);
        let import = json!([{"event": "B", "properties": {"time": 1_788_220_800}}]).to_string();
        let headers = [JSON, ("authorization", "Basic c2E6cHc="), signal];
        let answer = server.send("POST", "/import?project_id=1", &headers, import.as_bytes());
        assert_eq!(answer.text(), "1");
    }
    let other = json!({"event": "B", "properties": {"token": "O", "distinct_id": "u"}});
    send("/track", other, &[signals[0]]);
    assert_eq!((server.total("event=B"), server.total("event=B&project=O")), (1, 1));
    assert_eq!(server.get("/mock/profiles")["profiles"][0]["properties"]["a"], 1);
    let by = server.get("/mock/stats")["suppressed_by"].clone();
    assert_eq!((&by["gpc"], &by["dnt"], &by["optout_cookie"]), (&json!(3), &json!(3), &json!(3)));
    for (name, value) in [("sec-gpc", "0"), ("sec-gpc", "true"), ("dnt", "0"), ("cookie", "mp_optout=0")] {
        send("/track", event("C", json!({})), &[(name, value)]);
    }
    assert_eq!(server.total("event=C"), 4, "other values mean nothing");
    send("/engage", profile("$delete"), &[signals[0]]);
    assert_eq!(server.get("/mock/profiles")["total"], 0, "a deletion is what somebody who says no wants");

    let mut document = config();
    document["projects"][0]["honor_dnt_header"] = json!(true);
    server.control("PUT", "/mock/config", document);
    for signal in signals {
        send("/track", event("D", json!({})), &[signal]);
    }
    assert_eq!(server.total("event=D"), 1, "the one name stands for both headers");
}

#[test]
fn the_books_of_arrivals_balance() {
    let server = server(StorePlace::Memory);
    suppress(&server, &["gone"]);
    server.track(json!([
        event("A", json!({"distinct_id": "u", "$insert_id": "i", "time": 1})),
        event("A", json!({"distinct_id": "u", "$insert_id": "i"})),
        event("A", json!({"distinct_id": "u", "$insert_id": "i"})),
        event("A", json!({"distinct_id": "gone"})),
        event("A", json!({"$ignore": true})),
        {"event": "A", "properties": {"token": "unknown"}},
        {"event": ""},
        7,
    ]));
    server.send("POST", "/track", &[JSON], b"not json");
    server.send("POST", "/engage", &[JSON], br#"[{"$token":"T","$distinct_id":"u","$set":{"a":1}},{}]"#);
    let stats = server.get("/mock/stats");
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(count("received"), 11);
    assert_eq!(
        count("received"),
        count("stored") + count("duplicates") + count("rejected") + count("suppressed"),
        "{stats}"
    );
    assert_eq!((count("stored"), count("duplicates"), count("rejected")), (2, 1, 5));
    let reasons: u64 =
        stats["suppressed_by"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(reasons, count("suppressed"));
}

#[test]
fn an_objection_comes_before_the_first_event_but_not_to_a_project_that_takes_none() {
    let ids = json!({"distinct_ids": ["u"]});
    let portal = |token: &str| json!({"kind": "objection", "project": token, "distinct_ids": ["u"]});
    let told = |server: &MockServer, method: &str, target: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = server.send(method, target, &[], body.as_bytes());
        if answer.status == 404 {
            assert!(answer.json()["error"].is_string() && answer.json()["hint"].is_string());
        }
        answer.status
    };
    let list = |token: &str| format!("/mock/projects/{token}/suppressed");
    // Where any token makes its project, and where it is configured.
    let (open, closed) = (MockServer::start().unwrap(), server(StorePlace::Memory));
    for (server, token) in [(&open, "new"), (&closed, "T")] {
        assert_eq!(told(server, "GET", &list(token), &json!(null)), 200);
        assert_eq!(told(server, "PUT", &list(token), &ids), 200);
        assert_eq!(told(server, "POST", "/mock/portal/requests", &portal(token)), 201);
        server.track(json!({"event": "A", "properties": {"token": token, "distinct_id": "u"}}));
        assert_eq!(server.total(""), 0);
    }
    for (method, body) in [("GET", &json!(null)), ("PUT", &ids), ("POST", &ids), ("DELETE", &ids)] {
        assert_eq!(told(&closed, method, &list("mistyped"), body), 404, "{method}");
    }
    assert_eq!(told(&closed, "POST", "/mock/portal/requests", &portal("mistyped")), 404);
    // Data that is there can be objected to, whatever the configuration says now.
    open.track(json!({"event": "A", "properties": {"token": "old", "distinct_id": "u"}}));
    open.control("PUT", "/mock/config", json!({"projects": [{"token": "T", "project_id": 1}]}));
    assert_eq!(told(&open, "PUT", &list("old"), &ids), 200);
}
