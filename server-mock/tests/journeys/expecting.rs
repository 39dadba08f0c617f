//! The library form: a server in a Rust test, with expectations.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use refrain_mock::{Expectation, MockServer, StorePlace};
use serde_json::json;

use crate::support::{Server, server, try_send};

fn track(server: &MockServer, name: &str, properties: serde_json::Value) {
    let mut event = json!({"event": name, "properties": {"token": "T"}});
    event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    server.track(event);
}

#[test]
fn servers_are_isolated_and_answer_without_a_socket() {
    let (one, other) = (MockServer::start().unwrap(), MockServer::start().unwrap());
    track(&one, "A", json!({"distinct_id": "u", "n": 1}));
    assert_eq!((one.events().len(), other.events().len()), (1, 0));
    let event = &one.events()[0];
    assert_eq!(
        (event.name.as_str(), event.project.as_str(), event.distinct_id.as_deref()),
        ("A", "T", Some("u"))
    );
    assert_eq!(event.properties["n"], 1);
    let (status, clock) = one.control_api("PUT", "/mock/clock", &json!({"now_s": 5, "frozen": true}));
    assert_eq!((status, &clock["now_s"]), (200, &json!(5)));
    assert_ne!(other.control_api("GET", "/mock/clock", &json!(null)).1["now_s"], 5);
    assert_eq!(one.control_api("GET", "/mock/nope", &json!(null)).0, 404);
}

#[test]
fn expectations_are_verified_on_demand_and_when_the_server_goes() {
    let server = MockServer::start().unwrap();
    server.expect(Expectation::event("A").property("plan", "pro").times(2));
    server.expect(Expectation::event("Secret").never());
    track(&server, "A", json!({"plan": "pro"}));
    assert_eq!(server.unmet(), ["expected event \"A\" with plan = \"pro\", 2 times, found 1"]);
    server.track(json!([{"event": "A", "properties": {"token": "T", "time": "x"}}]));
    let text = catch_unwind(AssertUnwindSafe(|| server.verify())).unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("found 1") && text.contains("refused on /track: properties.time"), "{text}");
    server.verify();

    let forgotten = MockServer::start().unwrap();
    forgotten.expect(Expectation::any_event());
    assert!(catch_unwind(AssertUnwindSafe(move || drop(forgotten))).is_err());
    let met = MockServer::start().unwrap();
    met.expect(Expectation::any_event().times(1..));
    track(&met, "A", json!({}));
    drop(met);
}

#[test]
fn waiting_ends_with_what_was_waited_for_or_with_what_is_missing() {
    let server = MockServer::start().unwrap();
    let wanted = Expectation::event("Late").times(2..);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.wait_for(&wanted, Duration::from_secs(60)));
        track(&server, "Early", json!({}));
        track(&server, "Late", json!({}));
        track(&server, "Late", json!({}));
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
    let missing = server.wait_for(&Expectation::event("Never"), Duration::from_millis(5)).unwrap_err();
    assert!(missing.contains("found 0"), "{missing}");
}

#[test]
fn what_must_not_come_is_waited_for_until_it_has_come_or_the_time_is_up() {
    let server = MockServer::start().unwrap();
    track(&server, "A", json!({}));
    for wanted in [Expectation::event("A").times(1), Expectation::event("B").never()] {
        assert!(server.wait_for(&wanted, Duration::from_millis(5)).is_ok(), "{wanted}");
    }
    let once = Expectation::event("A").times(..=1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.wait_for(&once, Duration::from_secs(600)));
        track(&server, "A", json!({}));
        assert!(waiting.join().unwrap().unwrap_err().contains("at most once, found 2"));
    });
}

#[test]
fn what_arrived_stays_known_whatever_became_of_it() {
    let server = server(StorePlace::Memory);
    server.send("OPTIONS", "/track", &[("origin", "https://shop.test")], b"");
    assert!(server.arrived(None).is_empty());
    // Asking for settings is an egress like any other (C13).
    server.send("GET", "/settings/?token=T", &[], b"");
    track(&server, "A", json!({}));
    server.send("POST", "/engage", &[], br#"[{"$token":"O","$distinct_id":"u","$set":{}},{}]"#);
    server.send("POST", "/record/?distinct_id=u", &[("authorization", "Basic VDo=")], b"x");
    server.send("POST", "/groups", &[], b"data=nonsense");
    server.control("POST", "/mock/faults", json!({"act": {"close": "before_store"}}));
    assert!(try_send(&Server::address(&server), "POST", "/import", &[], b"[{}]").is_err());
    server.control("POST", "/mock/reset", json!({}));
    let counts = |project| server.arrived(project).into_iter().collect::<Vec<_>>();
    assert_eq!(
        counts(None),
        [("/engage", 2), ("/groups", 1), ("/import", 1), ("/record", 1), ("/settings", 1), ("/track", 1)]
    );
    // What names no project may have been for any.
    assert_eq!(counts(Some("O")), [("/engage", 2), ("/groups", 1), ("/import", 1)]);
    assert_eq!(
        counts(Some("T")),
        [("/engage", 1), ("/groups", 1), ("/import", 1), ("/record", 1), ("/settings", 1), ("/track", 1)]
    );
}

#[test]
fn what_never_became_a_request_arrived_all_the_same() {
    let long = format!("GET /track?data={} HTTP/1.1\r\n\r\n", "A".repeat(70_000));
    let unreadable = "a connection that carried no readable request";
    for (bytes, place) in [
        (b"\x16\x03\x01 the beginning of TLS\r\n\r\n".as_slice(), unreadable),
        (long.as_bytes(), unreadable),
        (b"GET /track?data=abc HTT", unreadable),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", unreadable),
        (b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[{", "/track"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[{", "/"),
    ] {
        let server = MockServer::start().unwrap();
        let mut stream = TcpStream::connect(Server::address(&server)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let counts = || Some(server.arrived(Some("T"))).filter(|counts| !counts.is_empty());
        let counts = server.wait_until(Duration::from_secs(600), counts).unwrap();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(place, 1)]);
    }
}

#[test]
fn an_event_nested_as_deeply_as_may_be_hides_none() {
    let server = MockServer::start().unwrap();
    for levels in [1, 120, 126, 127] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let event = format!(r#"{{"event":"Deep","properties":{{"token":"T","a":{deep}}}}}"#);
        assert_eq!(server.send("POST", "/track", &[], event.as_bytes()).text(), "1", "{levels}");
    }
    track(&server, "Leaked", json!({}));
    assert_eq!(server.events().len(), 5);
    server.expect(Expectation::event("Leaked").never());
    assert!(catch_unwind(AssertUnwindSafe(|| server.verify())).is_err());
}

/// Inside of another runtime, too, where blocking on a future would panic.
#[test]
fn it_may_be_used_from_an_asynchronous_test() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = MockServer::start().unwrap();
        track(&server, "A", json!({}));
        server.expect(Expectation::event("A"));
        server.verify();
    });
}
