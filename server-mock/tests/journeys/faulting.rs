//! Faults that a test asks for, as a client meets them on the socket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::support::{Server, server, try_send};

const JSON: (&str, &str) = ("content-type", "application/json");

fn fault(server: &MockServer, rules: Value) -> Value {
    server.control("POST", "/mock/faults", rules)
}

fn batch(records: usize) -> String {
    let one =
        |n| json!({"event": "A", "properties": {"token": "T", "$insert_id": format!("i{n}"), "time": 1}});
    let mut batch: Vec<Value> = (0..records).map(one).collect();
    batch.iter_mut().for_each(|event| {
        event["properties"].as_object_mut().unwrap().remove("time");
    });
    Value::from(batch).to_string()
}

/// What a raw client reads until the connection ends, and how it ends.
fn raw(server: &MockServer, request: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(Server::address(server)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let end = stream.read_to_end(&mut seen).err().map(|error| error.kind());
    (seen, end)
}

fn request(body: &str) -> String {
    format!(
        "POST /track?verbose=1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_status_is_answered_so_many_times_and_nothing_is_stored() {
    let server = server(StorePlace::Memory);
    fault(
        &server,
        json!({"match": {"method": "post", "path": "/track", "count": 2}, "act": {"status": 429, "retry_after": 2}}),
    );
    for _ in 0..2 {
        let origin = ("origin", "https://shop.test");
        let answer = server.send("POST", "/track/", &[JSON, origin], batch(1).as_bytes());
        assert_eq!((answer.status, answer.header("retry-after").as_deref()), (429, Some("2")));
        assert_eq!(answer.json()["code"], 429);
        assert!(answer.header("access-control-allow-origin").is_some(), "browsers may read faults too");
    }
    assert_eq!(server.total(""), 0);
    assert_eq!(server.send("POST", "/track", &[JSON], batch(1).as_bytes()).text(), "1");
    let list = server.get("/mock/faults");
    assert_eq!((&list["faults"][0]["hits"], &list["faults"][0]["seen"]), (&json!(2), &json!(3)));
    let log = server.get("/mock/requests");
    let faults: Vec<&Value> = log["requests"].as_array().unwrap().iter().map(|one| &one["fault"]).collect();
    assert_eq!(faults, [true, true, false]);
    assert_eq!(server.control("DELETE", "/mock/faults", json!({}))["total"], 0);
}

#[test]
fn a_batch_above_a_size_is_413_and_smaller_ones_get_through() {
    let server = server(StorePlace::Memory);
    fault(&server, json!([{"match": {"path": "/track", "min_records": 11}, "act": {"status": 413}}]));
    let send = |records| server.send("POST", "/track", &[JSON], batch(records).as_bytes()).status;
    assert_eq!((send(20), send(11), send(10)), (413, 413, 200));
    assert_eq!(server.total(""), 10);
}

#[test]
fn a_body_may_be_garbage() {
    let server = server(StorePlace::Memory);
    let page = "<html>Welcome to the airport's Wi-Fi</html>";
    fault(&server, json!({"act": {"status": 200, "body": page}, "match": {"count": 1}}));
    let answer = server.send("POST", "/track", &[JSON], batch(1).as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, page));
    assert_eq!(answer.header("content-type").as_deref(), Some("text/html"));
    assert_eq!(server.total(""), 0);
}

#[test]
fn a_connection_is_reset_before_or_after_what_came_is_stored() {
    let server = server(StorePlace::Memory);
    fault(
        &server,
        json!([
            {"match": {"count": 1}, "act": {"close": "before_store"}},
            {"match": {"count": 1}, "act": {"close": "after_store"}},
        ]),
    );
    for stored in [0, 1] {
        let (seen, end) = raw(&server, &request(&batch(1)));
        assert!(seen.is_empty(), "{}", String::from_utf8_lossy(&seen));
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
        assert_eq!(server.total(""), stored);
    }
    assert_eq!(server.send("POST", "/track", &[JSON], batch(1).as_bytes()).text(), "1");
    assert_eq!(server.total(""), 1, "the client's resend is the same event");
    let stats = server.get("/mock/stats");
    assert_eq!((&stats["requests"]["cut"], &stats["duplicates"]), (&json!(2), &json!(1)));
    assert_eq!(server.get("/mock/requests")["requests"][0]["status"], Value::Null);
}

#[test]
fn stored_and_yet_answered_with_an_error() {
    let server = server(StorePlace::Memory);
    fault(&server, json!({"match": {"count": 1}, "act": {"status": 500, "close": "after_store"}}));
    let answer = server.send("POST", "/track", &[JSON], batch(1).as_bytes());
    assert_eq!((answer.status, server.total("")), (500, 1));
}

#[test]
fn an_answer_is_cut_off_in_the_middle_of_its_body() {
    let server = server(StorePlace::Memory);
    fault(&server, json!({"match": {"count": 1}, "act": {"truncate": 5}}));
    let (seen, _) = raw(&server, &request(&batch(1)));
    let text = String::from_utf8(seen).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 25"), "{head}");
    assert_eq!(body, "{\"err");
    assert_eq!(server.total(""), 1);
    assert!(try_send(&Server::address(&server), "GET", "/settings", &[], b"").is_ok());
}

/// For how long, the tests beside the code say, in virtual time.
#[test]
fn slow_answers_and_slow_reading_end_in_the_usual_answer() {
    let server = server(StorePlace::Memory);
    fault(
        &server,
        json!([
            {"match": {"count": 1}, "act": {"delay_ms": 1}},
            {"match": {"count": 1}, "act": {"read_bytes_per_s": 100_000}},
        ]),
    );
    for hits in [[1, 0], [1, 1]] {
        assert_eq!(server.send("POST", "/track", &[JSON], batch(2).as_bytes()).text(), "1");
        let list = server.get("/mock/faults");
        assert_eq!(
            [&list["faults"][0]["hits"], &list["faults"][1]["hits"]],
            hits.map(Value::from).each_ref()
        );
    }
    assert_eq!(server.total(""), 2);
}

#[test]
fn the_same_seed_plays_the_same_failures() {
    let played = |seed: u64| {
        let server = server(StorePlace::Memory);
        fault(&server, json!({"match": {"probability": 0.5, "seed": seed}, "act": {"status": 503}}));
        (0..40)
            .map(|_| server.send("POST", "/track", &[JSON], batch(1).as_bytes()).status)
            .collect::<Vec<u16>>()
    };
    let first = played(7);
    assert_eq!(first, played(7));
    assert_ne!(first, played(8));
    assert!(first.contains(&503) && first.contains(&200));
}

#[test]
fn the_control_api_and_the_pages_are_never_met() {
    let server = server(StorePlace::Memory);
    fault(&server, json!({"act": {"close": "before_store"}}));
    assert_eq!(server.get("/mock/health")["status"], "ok");
    assert_eq!(server.send("GET", "/", &[], b"").status, 200);
    assert!(try_send(&Server::address(&server), "GET", "/settings", &[], b"").is_err());
    server.control("POST", "/mock/reset", json!({}));
    assert_eq!(server.send("GET", "/settings", &[], b"").status, 200, "a reset drops faults");
}

#[test]
fn a_wrong_rule_is_refused_with_a_hint() {
    let server = server(StorePlace::Memory);
    for wrong in [json!({"act": {"statsu": 500}}), json!({"match": {"from": "x"}}), json!([1])] {
        let answer = server.send("POST", "/mock/faults", &[], wrong.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("act"));
    }
    assert_eq!(server.get("/mock/faults")["total"], 0);
}

#[test]
fn every_route_says_in_its_own_shape_that_it_cannot() {
    let server = server(StorePlace::Memory);
    fault(&server, json!({"act": {"status": 503}, "match": {"method": "POST"}}));
    let refused = |path: &str| {
        let answer = server.send("POST", path, &[JSON], b"[]");
        assert_eq!(answer.status, 503);
        answer.json()
    };
    assert_eq!(refused("/track")["status"], 0);
    assert_eq!(refused("/import")["status"], "Service Unavailable");
    assert_eq!(refused("/api/2.0/engage")["status"], "error");
    server.control("DELETE", "/mock/faults", json!({}));
    fault(&server, json!({"act": {"status": 413}}));
    let too_large = |path: &str| server.send("POST", path, &[JSON], b"[]").json()["status"].clone();
    assert_eq!(too_large("/track"), "Request Entity Too Large");
    assert_eq!(too_large("/api/app/data-deletions/v3.0/?token=T"), "error");
    assert_eq!(too_large("/refrain/v1/erasures"), "error");
    server.control("DELETE", "/mock/faults", json!({}));
    fault(&server, json!({"act": {"status": 429}}));
    let too_many = |path: &str| server.send("PUT", path, &[], b"").json()["status"].clone();
    assert_eq!(too_many("/lookup-tables/table?project_id=1"), "Too Many Requests");
    assert_eq!(too_many("/api/query/engage"), "error");
}

#[test]
fn the_request_log_says_what_a_request_brought_that_a_fault_met() {
    let server = server(StorePlace::Memory);
    let sent = [
        ("/track", r#"[{"event":"A","properties":{"mp_lib":"web"}},{}]"#, 2, json!("web")),
        ("/import/", "[{}]", 1, Value::Null),
        ("/record?mp_lib=web", "xyz", 1, json!("web")),
        ("/api/app/data-deletions/v3.0/?token=T", r#"{"distinct_ids":["a","b"]}"#, 2, Value::Null),
    ];
    let log = |what: &str| {
        for (target, body, records, library) in &sent {
            // A connection that is cut has no answer.
            let _ = try_send(&Server::address(&server), "POST", target, &[], body.as_bytes());
            let shown = server.get("/mock/requests")["requests"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(
                (&shown["records"], &shown["decoded_bytes"], &shown["library"]),
                (&json!(records), &json!(body.len()), library),
                "{what}: {target}: {shown}"
            );
            assert!(!shown["path"].as_str().unwrap().contains("unknown"), "{shown}");
        }
    };
    log("no fault");
    for act in [
        json!({"status": 503}),
        json!({"close": "before_store"}),
        json!({"close": "after_store"}),
        json!({"delay_ms": 1}),
    ] {
        server.control("DELETE", "/mock/faults", json!({}));
        fault(&server, json!({ "act": act }));
        log(&act.to_string());
    }
}

#[test]
fn what_says_nothing_about_the_answer_lets_the_request_through() {
    let server = server(StorePlace::Memory);
    for act in [json!({}), json!({"body": "x"}), json!({"retry_after": 2}), json!({"delay_ms": 1})] {
        fault(&server, json!({ "act": act }));
    }
    assert_eq!(server.send("POST", "/track", &[JSON], batch(1).as_bytes()).text(), "1");
    assert_eq!(server.total(""), 1);
}
