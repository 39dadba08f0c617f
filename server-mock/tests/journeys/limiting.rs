//! Rate limits (SPEC §18): windows that slide on the server's clock, places that are given back, and the shapes in which
//! the three families of routes refuse.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Unread, config, encoded, fill_with_10_mb, gzip, server};

const START: i64 = 1_788_220_800;
const GOOD: (&str, &str) = ("authorization", "Basic c2E6cHc=");
const BAD: (&str, &str) = ("authorization", "Basic c2E6bm8=");
const JSON: (&str, &str) = ("content-type", "application/json");
const EXPORT: &str = "/api/2.0/export?from_date=2026-09-01&to_date=2026-09-01";

const EVENTS: &str = "/api/query/stream/query?project_id=1&from_date=2026-09-01&to_date=2026-09-01";

/// A server whose clock stands at the start, with more settings.
fn limited(settings: Value) -> MockServer {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"].as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.control("PUT", "/mock/config", document);
    at(&server, 0);
    server
}

/// Moves the clock to so many seconds after the start.
fn at(server: &MockServer, second: i64) {
    server.control("PUT", "/mock/clock", json!({"now_s": START + second, "frozen": true}));
}

fn export(server: &MockServer, project: i64) -> Answer {
    server.send("GET", &format!("{EXPORT}&project_id={project}"), &[GOOD], b"")
}

fn profiles(server: &MockServer, project: i64) -> Answer {
    server.send("POST", &format!("/api/query/engage?project_id={project}"), &[GOOD], b"")
}

/// Status and `Retry-After`.
fn told(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.header("retry-after"))
}

fn refused(seconds: i64) -> (u16, Option<String>) {
    (429, Some(seconds.to_string()))
}

const FINE: (u16, Option<String>) = (200, None);

#[test]
fn nothing_is_limited_unless_it_is_asked_for() {
    let server = limited(json!({}));
    for _ in 0..70 {
        assert_eq!((told(&export(&server, 1)), told(&profiles(&server, 1))), (FINE, FINE));
    }
}

#[test]
fn queries_are_sixty_in_any_hour() {
    let server = limited(json!({"query_rate_limit": "on"}));
    let events = &format!("{EVENTS}&distinct_ids={}", encoded("[\"u\"]"));
    let mistaken = "/api/query/engage?project_id=1&page=x";
    for _ in 0..70 {
        let stranger = server.send("POST", "/api/query/engage?project_id=1", &[BAD], b"");
        assert_eq!(stranger.status, 401);
    }
    // All routes of the family count together, and so does what is asked wrongly.
    assert_eq!(server.send("GET", events, &[GOOD], b"").status, 200);
    assert_eq!(server.send("GET", mistaken, &[GOOD], b"").status, 400);
    for _ in 0..28 {
        assert_eq!(told(&profiles(&server, 1)), FINE);
    }
    at(&server, 3000);
    for _ in 0..30 {
        assert_eq!(told(&profiles(&server, 1)), FINE);
    }
    // The hour has changed, and yet there were sixty in the last one.
    for second in [3000, 3599] {
        at(&server, second);
        for _ in 0..40 {
            assert_eq!(told(&profiles(&server, 1)), refused(3600 - second));
        }
        assert_eq!(told(&server.send("GET", events, &[GOOD], b"")), refused(3600 - second));
    }
    let answer = profiles(&server, 1);
    let body = answer.json();
    assert_eq!(body["status"], "error");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert!(body["error"].as_str().unwrap().contains("60 an hour, 5 at a time"), "{body}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert!(!answer.head.to_ascii_lowercase().contains("ratelimit"), "{}", answer.head);
    assert_eq!(told(&profiles(&server, 2)), FINE, "another project's");
    assert_eq!(told(&export(&server, 1)), FINE, "another limit's");
    // The first thirty have left; what was refused did not count.
    at(&server, 3600);
    for _ in 0..30 {
        assert_eq!(told(&profiles(&server, 1)), FINE);
    }
    assert_eq!(told(&profiles(&server, 1)), refused(3000));
    server.control("POST", "/mock/reset", json!({}));
    assert_eq!(told(&profiles(&server, 1)), FINE, "a reset forgets");
}

#[test]
fn the_gdpr_api_is_asked_once_a_second_unless_no_second_passes() {
    let asked = limited(json!({"gdpr_rate_limit_per_s": 1}));
    assert_eq!(told(&asked.gdpr("GET", "x", "")), FINE);
    assert_eq!(told(&asked.gdpr("GET", "x", "")), refused(1));
    at(&asked, 1);
    assert_eq!(told(&asked.gdpr("GET", "x", "")), FINE);
    // By default it is on, but on a clock that stands still the wait that it asks for would never end.
    let by_default = server(StorePlace::Memory);
    let mut document = config();
    document["settings"].as_object_mut().unwrap().remove("gdpr_rate_limit_per_s");
    by_default.control("PUT", "/mock/config", document);
    at(&by_default, 0);
    for _ in 0..3 {
        assert_eq!(told(&by_default.gdpr("GET", "x", "")), FINE);
    }
}

#[test]
fn exports_are_three_a_second_and_sixty_an_hour() {
    let server = limited(json!({"export_rate_limit": "on"}));
    for second in 0..20 {
        at(&server, second);
        for _ in 0..3 {
            assert_eq!(server.send("GET", EXPORT, &[BAD], b"").status, 401);
            assert_eq!(told(&export(&server, 1)), FINE);
        }
        let wait = if second < 19 { 1 } else { 3600 - 19 };
        assert_eq!(told(&export(&server, 1)), refused(wait), "second {second}");
    }
    let answer = export(&server, 1);
    assert_eq!(answer.header("content-type").as_deref(), Some("text/plain"));
    assert!(answer.text().contains("60 an hour, 3 a second, 100 at a time"), "{}", answer.text());
    assert_eq!((told(&export(&server, 2)), told(&profiles(&server, 1))), (FINE, FINE));
    at(&server, 3599);
    assert_eq!(told(&export(&server, 1)), refused(1));
    at(&server, 3600);
    assert_eq!(told(&export(&server, 1)), FINE);
}

/// Each takes its place until its answer has ended: read to its end, or given up by its client.
#[test]
fn a_place_is_taken_until_the_answer_ends_or_its_client_goes_away() {
    let one = json!({"per_hour": 1_000_000, "per_s": 1_000_000, "concurrent": 1});
    let server = limited(json!({"export_rate_limit": one, "query_rate_limit": one}));
    fill_with_10_mb(&server);
    let ids = |id: &str| format!("{EVENTS}&distinct_ids={}", encoded(&json!([id]).to_string()));
    let exports =
        |event: &str| format!("{EXPORT}&project_id=1&event={}", encoded(&json!([event]).to_string()));
    for (large, small) in [(exports("Wide"), exports("None")), (ids("u"), ids("nobody"))] {
        let ask = || told(&server.send("GET", &small, &[GOOD], b""));
        // The server notices a moment after its client that an answer has ended; asked so often, it has.
        let wait_until_free = || assert!((0..20_000).any(|_| ask() == FINE), "{large}");
        wait_until_free();
        wait_until_free();
        let unread = std::iter::repeat_with(|| Unread::ask(&Server::address(&server), &large, &[GOOD]))
            .find(|unread| unread.status == 200);
        assert_eq!((ask(), ask()), (refused(1), refused(1)), "{large}");
        drop(unread);
        wait_until_free();
    }
}

fn import(server: &MockServer, events: Value) -> Answer {
    server.send("POST", "/import?strict=1&project_id=1", &[GOOD, JSON], events.to_string().as_bytes())
}

fn event(token: &str, id: usize) -> Value {
    json!({"event": "A", "properties": {"token": token, "distinct_id": "u", "$insert_id": format!("i{id}"), "time": START}})
}

fn send(server: &MockServer, path: &str, records: &Value) -> Answer {
    server.send("POST", path, &[JSON, ("origin", "https://shop.test")], records.to_string().as_bytes())
}

#[test]
fn what_a_project_sends_is_counted_over_all_collection_routes() {
    // Ten in a minute.
    let server = limited(json!({"import_rate_limit": 10.0 / 60.0}));
    let update = json!([{"$token": "T", "$distinct_id": "u", "$set": {"a": 1}}]);
    assert_eq!(import(&server, (0..3).map(|n| event("T", n)).collect()).status, 200);
    at(&server, 20);
    assert_eq!(send(&server, "/track", &json!([event("T", 3), event("T", 4)])).text(), "1");
    // What is refused for what it is counts all the same.
    assert_eq!(send(&server, "/track", &json!([{"event": "", "properties": {"token": "T"}}])).text(), "0");
    assert_eq!(send(&server, "/engage", &update).text(), "1");
    assert_eq!(send(&server, "/groups", &update).text(), "0");
    at(&server, 50);
    let two = json!([event("T", 5), event("T", 6)]);
    assert_eq!(send(&server, "/track", &two).text(), "1");
    for (path, records) in
        [("/track", json!([event("T", 7)])), ("/engage", update.clone()), ("/groups", update)]
    {
        let answer = send(&server, path, &records);
        assert_eq!(told(&answer), refused(10), "{path}");
        assert_eq!(
            answer.json(),
            json!({"code": 429, "error": "Project exceeded rate limits. Please retry the request with exponential backoff.",
                   "status": "Too Many Requests"})
        );
        assert!(answer.header("access-control-allow-origin").is_some(), "{path}: browsers may read it");
        assert!(!answer.head.to_ascii_lowercase().contains("ratelimit"), "{}", answer.head);
    }
    // Four more do not fit before the ones of the twentieth second have gone too.
    let four: Value = (7..11).map(|n| event("T", n)).collect();
    assert_eq!(told(&import(&server, four.clone())), refused(30));
    assert_eq!(import(&server, four.clone()).json()["code"], 429);
    assert_eq!(send(&server, "/track", &json!([event("O", 1)])).text(), "1", "another project's");
    at(&server, 79);
    assert_eq!(told(&import(&server, four.clone())), refused(1));
    at(&server, 80);
    assert_eq!(import(&server, four).status, 200);
    assert_eq!(server.total("project=T"), 11);
    let stats = server.get("/mock/stats");
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(
        count("received"),
        count("stored") + count("duplicates") + count("rejected") + count("suppressed")
    );
}

#[test]
fn bytes_are_counted_too_and_strangers_are_not() {
    let limit = json!({"events_per_s": 1000, "bytes_per_minute": 2000});
    let server = limited(json!({"import_rate_limit": limit}));
    let wide = |id: usize| {
        let mut event = event("T", id);
        event["properties"]["pad"] = json!(["x".repeat(200), "y".repeat(200), "z".repeat(200)]);
        event
    };
    for _ in 0..5 {
        let body = json!([wide(0), wide(1)]).to_string();
        assert_eq!(server.send("POST", "/import?project_id=1", &[BAD, JSON], body.as_bytes()).status, 401);
    }
    assert_eq!(send(&server, "/track", &json!([wide(0), wide(1)])).text(), "1");
    assert_eq!(told(&send(&server, "/track", &json!([wide(2)]))), refused(60));
    assert_eq!(send(&server, "/track", &json!([event("T", 3)])).text(), "1", "a small one fits");
}

/// Half of a request is never stored: its client sends all of it again.
#[test]
fn a_request_for_two_projects_is_taken_whole_or_not_at_all() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["projects"][0]["import_rate_limit"] = json!(1.0 / 60.0);
    server.control("PUT", "/mock/config", document);
    at(&server, 0);
    let both = |id: usize| json!([event("O", id), event("T", id)]);
    assert_eq!(send(&server, "/track", &both(1)).text(), "1");
    assert_eq!(told(&send(&server, "/track", &both(2))), refused(60));
    assert_eq!((server.total("project=O"), server.total("project=T")), (1, 1));
    assert_eq!(send(&server, "/track", &json!([event("O", 2)])).text(), "1");
}

#[test]
fn lookup_tables_say_when_the_next_may_be_replaced() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["projects"][0]["lookup_tables"] = json!([{"id": "table", "name": "A"}]);
    server.control("PUT", "/mock/config", document);
    let replace =
        |csv: &str| told(&server.send("PUT", "/lookup-tables/table?project_id=1", &[GOOD], csv.as_bytes()));
    for hour in 0..10 {
        at(&server, hour * 3600);
        for _ in 0..10 {
            assert_eq!(replace("id,a\n ,2\n").0, 400, "what replaces nothing does not count");
            assert_eq!(replace("id,a\n1,2\n"), FINE);
        }
    }
    assert_eq!(replace("id,a\n1,2\n"), refused(15 * 3600));
    at(&server, 24 * 3600);
    assert_eq!(replace("id,a\n1,2\n"), FINE);
}

#[test]
fn a_lookup_table_may_be_larger_than_other_bodies() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["projects"][0]["lookup_tables"] = json!([{"id": "table", "name": "A"}]);
    server.control("PUT", "/mock/config", document);
    let replace = |headers: &[(&str, &str)], csv: &[u8]| {
        server.send("PUT", "/lookup-tables/table?project_id=1", &[&[GOOD], headers].concat(), csv)
    };
    const ZIPPED: (&str, &str) = ("content-encoding", "gzip");
    let table = [b"id,a\n1,".as_slice(), &vec![b'x'; 10 * 1024 * 1024]].concat();
    assert_eq!(replace(&[], &table).status, 200);
    assert_eq!(replace(&[ZIPPED], &gzip(&table)).status, 200);
    let beyond = gzip(&vec![b'x'; 100 * 1024 * 1024 + 1]);
    let refused = replace(&[ZIPPED], &beyond);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["error"], "request exceeds max limit of 104857600 bytes");
}

#[test]
fn a_fault_refuses_in_the_shape_of_the_route() {
    let server = limited(json!({}));
    server.control("POST", "/mock/faults", json!({"act": {"status": 429, "retry_after": 7}}));
    let (exported, queried) = (export(&server, 1), profiles(&server, 1));
    assert_eq!((told(&exported), told(&queried)), (refused(7), refused(7)));
    assert_eq!(exported.header("content-type").as_deref(), Some("text/plain"));
    assert_eq!(queried.json()["status"], "error");
}

#[test]
fn a_limit_that_cannot_be_meant_is_refused_with_what_could() {
    let server = server(StorePlace::Memory);
    for (name, value, hint) in [
        ("query_rate_limit", json!("yes"), "60 an hour, 5 at a time"),
        ("export_rate_limit", json!({"per_minute": 1}), "60 an hour, 3 a second, 100 at a time"),
        ("import_rate_limit", json!({"per_hour": 1}), "bytes_per_minute"),
    ] {
        for in_project in [false, true] {
            let mut document = config();
            match in_project {
                true => document["projects"][0][name] = value.clone(),
                false => document["settings"][name] = value.clone(),
            }
            let answer = server.send("PUT", "/mock/config", &[], document.to_string().as_bytes());
            let text = answer.text();
            assert_eq!(answer.status, 400, "{text}");
            assert!(text.contains(name) && text.contains(hint), "{text}");
        }
    }
}
