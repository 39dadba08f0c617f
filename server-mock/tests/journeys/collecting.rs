//! What clients send and what they are told.

use std::io::Write;

use refrain_mock::{MockServer, StorePlace};
use serde_json::json;

use crate::support::{Server, gzip, server};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn any_token_makes_its_project_while_none_is_configured() {
    let server = MockServer::start().unwrap();
    assert_eq!(
        server.track(json!({"event": "A", "properties": {"token": "new", "distinct_id": 7, "time": 1}})),
        "0"
    );
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "new", "distinct_id": 7}})), "1");
    let seen = server.get("/mock/events?project=new&distinct_id=7");
    assert_eq!(seen["total"], 1);
    assert_eq!(seen["events"][0]["properties"]["distinct_id"], "7");
    assert!(seen["events"][0]["properties"].get("token").is_none());
}

#[test]
fn a_resend_replaces_and_is_counted() {
    let server = server(StorePlace::Memory);
    let event = |x: i32| json!([{"event": "A", "properties": {"token": "T", "distinct_id": "u", "$insert_id": "i", "x": x}}]);
    assert_eq!((server.track(event(1)), server.track(event(2))), ("1".into(), "1".into()));
    let seen = server.get("/mock/events");
    assert_eq!((&seen["total"], &seen["events"][0]["properties"]["x"]), (&json!(1), &json!(2)));
    let stats = server.get("/mock/stats");
    assert_eq!(
        (&stats["stored"], &stats["duplicates"], &stats["received"]),
        (&json!(1), &json!(1), &json!(2))
    );
}

/// SPEC §20.4: what makes two events equal names the distinct id, and not the device.
#[test]
fn a_copy_that_names_another_device_replaces() {
    for (token, count) in [("T", 3), ("O", 3), ("T", 20)] {
        let server = server(StorePlace::Memory);
        let now = server.get("/mock/clock")["now_s"].as_f64().unwrap().floor();
        let event = |device: usize| {
            let (user, device) = ("u", format!("D{device}"));
            json!({"event": "A", "properties": {"token": token, "distinct_id": user, "$user_id": user, "$device_id": device,
                "time": now, "$insert_id": "i"}})
        };
        for device in (0..count).chain((0..count).rev()) {
            assert_eq!(server.track(event(device)), "1");
            let seen = server.get("/mock/events");
            assert_eq!(seen["total"], 1, "{token}, the device {device} of {count}");
            assert_eq!(
                seen["events"][0]["properties"]["$device_id"],
                format!("D{device}"),
                "the newest stays"
            );
        }
        let mut others = [event(0), event(0), event(0), event(0)];
        others[0]["event"] = json!("B");
        others[1]["properties"]["distinct_id"] = json!("v");
        others[2]["properties"]["time"] = json!(now - 1.0);
        others[3]["properties"]["$insert_id"] = json!("j");
        server.track(json!(others));
        assert_eq!(server.total(""), 5, "{token}");
        let stats = server.get("/mock/stats");
        assert_eq!((&stats["stored"], &stats["duplicates"]), (&json!(5), &json!(2 * count - 1)));
    }
}

/// Without a distinct id it is the resolved one that tells.
#[test]
fn events_of_two_devices_without_a_distinct_id_are_two() {
    let server = server(StorePlace::Memory);
    let event = |device: &str| json!({"event": "A", "properties": {"token": "T", "$device_id": device, "time": 5, "$insert_id": "i"}});
    let import = |events: serde_json::Value| {
        let headers = [JSON, ("authorization", "Basic VDo=")];
        server.send("POST", "/import", &headers, events.to_string().as_bytes()).text()
    };
    assert_eq!(import(json!([event("a"), event("b"), event("a")])), "1");
    assert_eq!(server.total(""), 2);
    let of_user = |device: &str| {
        let mut event = event(device);
        event["properties"]["$user_id"] = json!("u");
        event
    };
    assert_eq!(import(json!([of_user("a"), of_user("b")])), "1");
    assert_eq!(server.total(""), 3);
}

#[test]
fn methods_in_any_case_and_paths_with_or_without_a_slash() {
    let server = server(StorePlace::Memory);
    let body = br#"{"event":"A","properties":{"token":"T"}}"#;
    for (method, path) in [("post", "/track"), ("Post", "/track/"), ("POST", "/track/?ip=1")] {
        let answer = server.send(method, path, &[JSON], body);
        assert_eq!((answer.status, answer.text().as_str()), (200, "1"), "{method} {path}");
    }
    assert_eq!(server.send("PUT", "/track", &[JSON], body).status, 405);
    assert_eq!(server.total(""), 3);
}

#[test]
fn what_is_too_large_or_undecodable_gets_the_answer_that_loses_least() {
    let server = server(StorePlace::Memory);
    let limit = 10 * 1024 * 1024;
    let large = vec![b' '; limit + 1];
    for path in ["/track", "/engage", "/groups", "/import"] {
        let answer = server.send("POST", path, &[JSON], &large);
        assert_eq!(answer.status, 413, "{path}");
        assert_eq!(answer.json()["error"], "request exceeds max limit of 10485760 bytes");
    }
    let mut fits = br#"[{"event":"A","properties":{"token":"T"}}]"#.to_vec();
    fits.resize(limit, b' ');
    assert_eq!(server.send("POST", "/track", &[JSON], &fits).text(), "1");

    let bomb = gzip(&vec![b' '; 20 * limit]);
    assert!(bomb.len() < limit);
    let zipped = [JSON, ("content-encoding", "gzip")];
    let answer = server.send("POST", "/track", &zipped, &bomb);
    assert_eq!((answer.status, answer.text().as_str()), (200, "0"));
    let authorized = [JSON, ("content-encoding", "gzip"), ("authorization", "Basic c2E6cHc=")];
    assert_eq!(server.send("POST", "/import?project_id=1", &authorized, &bomb).status, 413);

    for (headers, body) in
        [(&[JSON][..], &b"[{"[..]), (&zipped[..], b"not gzip"), (&[JSON, ("content-encoding", "zstd")], b"x")]
    {
        let answer = server.send("POST", "/track?verbose=1", headers, body);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(0)));
    }
    let answer =
        server.send("POST", "/import?project_id=1", &[JSON, ("authorization", "Basic c2E6cHc=")], b"[{");
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(400)));
    assert_eq!(server.total(""), 1);
}

#[test]
fn a_slow_or_broken_client_does_not_hold_up_others() {
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    let mut stalled = std::net::TcpStream::connect(&address).unwrap();
    stalled.write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[{").unwrap();
    let mut garbage = std::net::TcpStream::connect(&address).unwrap();
    garbage.write_all(b"\x16\x03\x01 not http\r\n\r\n").unwrap();
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "T"}})), "1");
    drop(stalled);
    assert_eq!(server.total(""), 1);
}

#[test]
fn one_bad_record_does_not_cost_the_others() {
    let server = server(StorePlace::Memory);
    let batch = json!([{"event": "A", "properties": {"token": "T"}}, {"event": ""}, 5, {"event": "B", "properties": {"token": "O"}}]);
    assert_eq!(server.track(batch), "1");
    assert_eq!((server.total("project=T"), server.total("project=O")), (1, 1));
    assert_eq!(server.get("/mock/stats")["rejected"], 2);
}

#[test]
fn browsers_of_any_origin_may_collect_and_none_may_import() {
    let server = server(StorePlace::Memory);
    let origin = ("origin", "https://shop.test");
    let answer = server.send("POST", "/track", &[JSON, origin], b"[");
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("https://shop.test"));
    assert_eq!(answer.header("access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(answer.header("vary").as_deref(), Some("Origin"));
    assert_eq!(server.send("OPTIONS", "/track/", &[origin], b"").status, 204);
    assert!(server.send("POST", "/track", &[JSON], b"[").header("access-control-allow-origin").is_none());
    for path in ["/import", "/api/2.0/export", "/mock/health"] {
        assert!(
            server.send("GET", path, &[origin], b"").header("access-control-allow-origin").is_none(),
            "{path}"
        );
    }
}

#[test]
fn profiles_of_linked_devices_are_those_of_their_user() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "$device_id": "D"}},
        {"event": "B", "properties": {"token": "T", "$device_id": "D", "$user_id": "U"}},
    ]));
    let engage = |record: serde_json::Value| {
        assert_eq!(server.send("POST", "/engage", &[JSON], record.to_string().as_bytes()).text(), "1");
    };
    engage(json!({"$token": "T", "$distinct_id": "$device:D", "$set": {"a": 1}}));
    engage(json!({"$token": "T", "$distinct_id": "U", "$add": {"a": 1}}));
    let seen = server.get("/mock/profiles?project=T");
    assert_eq!((&seen["total"], &seen["profiles"][0]["distinct_id"]), (&json!(1), &json!("U")));
    assert_eq!(seen["profiles"][0]["properties"]["a"], 2);
    assert_eq!(server.total("distinct_id=U"), 2);
    engage(json!({"$token": "T", "$distinct_id": "U", "$delete": ""}));
    assert_eq!(server.get("/mock/profiles")["total"], 0);
    assert_eq!(server.total("distinct_id=U"), 2, "deleting a profile keeps the events");
}
