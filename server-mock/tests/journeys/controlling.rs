//! The control API.

use refrain_mock::{Config, MockServer, Options, StorePlace};
use serde_json::json;

use crate::support::{Server, config, server};

#[test]
fn the_clock_is_set_moved_stopped_and_let_go() {
    let server = server(StorePlace::Memory);
    let put = |document| server.control("PUT", "/mock/clock", document);
    let frozen = put(json!({"now": "2026-09-01T00:00:00Z", "frozen": true}));
    assert_eq!(frozen, json!({"now": "2026-09-01T00:00:00Z", "now_s": 1_788_220_800, "frozen": true}));
    assert_eq!(put(json!({"advance": "P5Y"}))["now"], "2031-09-01T00:00:00Z");
    assert_eq!(put(json!({"advance_s": 60}))["now"], "2031-09-01T00:01:00Z");
    assert_eq!(put(json!({"now_s": 1_788_220_800}))["frozen"], true);
    assert_eq!(server.get("/mock/clock")["now_s"], 1_788_220_800);
    assert_eq!(put(json!({"frozen": false}))["frozen"], false);
    assert!(put(json!({"real": true}))["now_s"].as_i64().unwrap() > 1_790_000_000);
    for wrong in [
        json!({}),
        json!({"advance": "5 years"}),
        json!({"now": 5}),
        json!({"advance_s": 1, "now_s": 2}),
        json!({"then": 1}),
    ] {
        let answer = server.send("PUT", "/mock/clock", &[], wrong.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].as_str().unwrap().len() > 10);
    }
}

#[test]
fn a_clock_that_would_go_beyond_all_calendars_stays_where_it_is() {
    let server = server(StorePlace::Memory);
    let before = server.control("PUT", "/mock/clock", json!({"now": "2026-09-01T00:00:00Z", "frozen": true}));
    // The last is within the calendar when it is counted from 1970, and not from today.
    for far in ["P9223372036854775807Y", "P9223372036854775807M1M", "P8000Y", "-P20000Y", "P98000Y"] {
        let answer = server.send("PUT", "/mock/clock", &[], json!({"advance": far}).to_string().as_bytes());
        assert_eq!(answer.status, 400, "{far}: {}", answer.text());
        assert!(answer.json()["error"].is_string() && answer.json()["hint"].is_string(), "{}", answer.text());
        assert_eq!(server.get("/mock/clock"), before, "{far}");
    }
}

#[test]
fn client_times_move_along_with_a_clock_that_was_only_advanced() {
    let server = server(StorePlace::Memory);
    let now = server.get("/mock/clock")["now_s"].as_i64().unwrap();
    let event = || json!([{"event": "A", "properties": {"token": "T", "time": now - 10, "$insert_id": "i"}}]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 864_000}));
    assert_eq!(server.track(event()), "1", "ten days on, a client in real time is not ten days late");
    let seen = server.get("/mock/events");
    assert_eq!(seen["events"][0]["properties"]["time"], now - 10 + 864_000);
    server.control("PUT", "/mock/clock", json!({"frozen": true}));
    assert_eq!(server.track(event()), "0", "on a stopped clock times are taken as sent");
}

#[test]
fn waiting_ends_when_it_is_true_or_when_time_is_up() {
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    let waiting = std::thread::spawn(move || {
        let body = json!({"event": "Late", "project": "T", "min": 2, "timeout_ms": 60_000}).to_string();
        crate::support::try_send(&address, "POST", "/mock/wait", &[], body.as_bytes()).unwrap()
    });
    for _ in 0..2 {
        server.track(json!({"event": "Late", "properties": {"token": "T"}}));
    }
    let met = waiting.join().unwrap();
    assert_eq!((met.status, &met.json()["total"]), (200, &json!(2)));
    let missed = server.send("POST", "/mock/wait", &[], br#"{"event":"Never","timeout_ms":10}"#);
    assert_eq!((missed.status, &missed.json()["total"]), (408, &json!(0)));
}

#[test]
fn pages_of_events_follow_each_other() {
    let server = server(StorePlace::Memory);
    for (number, name) in ["A", "B", "A"].into_iter().enumerate() {
        server.track(json!({"event": name, "properties": {"token": "T", "$insert_id": number.to_string()}}));
        server.track(json!({"event": name, "properties": {"token": "O"}}));
    }
    let first = server.get("/mock/events?event=A&limit=2");
    assert_eq!((&first["total"], first["events"].as_array().unwrap().len()), (&json!(4), 2));
    let after = first["next"].as_i64().unwrap();
    let second = server.get(&format!("/mock/events?event=A&limit=2&after={after}"));
    assert_eq!((second["events"].as_array().unwrap().len(), &second["next"]), (2, &json!(null)));
    assert_eq!(server.get("/mock/events?insert_id=1")["total"], 1);
    assert_eq!(server.send("GET", "/mock/events?limit=x", &[], b"").status, 400);
}

#[test]
fn many_events_are_read_in_pieces_and_none_twice() {
    let server = server(StorePlace::Memory);
    let now = server.get("/mock/clock")["now_s"].as_i64().unwrap();
    let events: Vec<serde_json::Value> = (0..1700)
        .map(|n| json!({"event": "A", "properties": {"token": "T", "distinct_id": "u", "time": now - n % 3, "n": n}}))
        .collect();
    assert_eq!(server.track(events.into()), "1");
    let seen = server.get("/mock/events?limit=5000");
    let numbers: Vec<i64> = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["properties"]["n"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (0..1700).collect::<Vec<_>>());
    assert_eq!(server.get("/mock/events?limit=1")["total"], 1700);
    let day = |second: i64| {
        let now = server.control("PUT", "/mock/clock", json!({"now_s": second, "frozen": true}));
        now["now"].as_str().unwrap()[..10].to_owned()
    };
    let (from, to) = (day(now - 86_400), day(now));
    let target = format!("/api/2.0/export?project_id=1&from_date={from}&to_date={to}");
    let export = server.send("GET", &target, &[("authorization", "Basic c2E6cHc=")], b"").text();
    let times: Vec<i64> = export
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["properties"]["time"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(times.len(), 1700);
    assert!(times.is_sorted());
}

#[test]
fn the_request_log_holds_no_query_no_body_and_no_unknown_path() {
    let server = server(StorePlace::Memory);
    server.send("GET", "/track?data=eyJzZWNyZXQiOjF9&ip=1", &[], b"");
    server.send("GET", "/somebody@example.test", &[], b"");
    server.send("GET", "/flags/somebody@example.test/first-time-events", &[], b"");
    server.gdpr("GET", "somebody@example.test", "");
    let log = server.get("/mock/requests");
    assert_eq!(log["total"], 4);
    assert_eq!(log["requests"][0]["path"], "/track");
    let text = log.to_string();
    assert!(!text.contains("eyJ") && !text.contains("example.test") && !text.contains('?'), "{text}");
}

#[test]
fn reset_drops_data_and_keeps_the_configuration() {
    let server = server(StorePlace::Memory);
    server.track(json!({"event": "A", "properties": {"token": "T"}}));
    server.control("PUT", "/mock/clock", json!({"now_s": 5, "frozen": true}));
    server.control("POST", "/mock/reset", json!({}));
    assert_eq!((server.total(""), &server.get("/mock/requests")["total"]), (0, &json!(0)));
    assert_eq!(server.get("/mock/clock")["frozen"], false);
    assert_eq!(server.get("/mock/config"), config());
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "unknown"}})), "1");
    assert_eq!(server.total(""), 0, "accepted and dropped: projects are configured");
}

#[test]
fn a_wrong_configuration_is_refused_and_the_old_one_stays() {
    let server = server(StorePlace::Memory);
    let answer = server.send("PUT", "/mock/config", &[], br#"{"settings":{"retention_days":3}}"#);
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("retention_events_days"));
    assert_eq!(server.get("/mock/config"), config());
}

#[test]
fn unknown_paths_answer_with_the_list() {
    let server = server(StorePlace::Memory);
    let answer = server.send("GET", "/mock/nope", &[], b"");
    assert_eq!(answer.status, 404);
    assert!(answer.json()["routes"].as_array().unwrap().contains(&json!("GET /mock/stats")));
    assert_eq!(server.send("DELETE", "/mock/stats", &[], b"").status, 405);
}

#[test]
fn foreign_pages_cannot_drive_it() {
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    let reset = |headers: &[(&str, &str)]| server.send("POST", "/mock/reset", headers, b"").status;
    assert_eq!(reset(&[]), 200);
    assert_eq!(reset(&[("origin", &format!("http://{address}"))]), 200);
    assert_eq!(reset(&[("origin", "https://evil.test")]), 403);
    assert_eq!(reset(&[("origin", "null")]), 403);
    assert_eq!(reset(&[("host", "evil.test")]), 403);
    assert_eq!(reset(&[("sec-fetch-site", "cross-site")]), 403);
}

#[test]
fn a_control_token_is_asked_for_where_one_is_set() {
    let options =
        Options { control_token: Some("key".into()), config: Config::default(), ..Options::default() };
    let server = MockServer::start_with(options).unwrap();
    let stats = |headers: &[(&str, &str)]| server.send("GET", "/mock/stats", headers, b"").status;
    assert_eq!(stats(&[]), 401);
    assert_eq!(stats(&[("authorization", "Bearer nope")]), 401);
    assert_eq!(stats(&[("authorization", "Bearer key"), ("origin", "https://evil.test")]), 200);
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "T"}})), "1");
}

#[test]
fn groups_are_found_by_their_own_id_under_both_names() {
    let server = server(StorePlace::Memory);
    for id in ["acme", "other"] {
        let group = json!({"$token": "T", "$group_key": "company", "$group_id": id, "$set": {"of": "acme"}});
        server.send("POST", "/groups", &[], group.to_string().as_bytes());
    }
    for name in ["group_id", "distinct_id"] {
        let found = server.get(&format!("/mock/groups?{name}=acme"));
        assert_eq!((&found["total"], &found["groups"][0]["group_id"]), (&json!(1), &json!("acme")), "{name}");
    }
    assert_eq!(server.send("GET", "/mock/groups?user_id=acme", &[], b"").status, 400);
}
