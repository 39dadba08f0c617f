//! Large exports: sent while they are read, and honest about an end that is none.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::support::{
    Answer, Folder, Process, Server, Unread, config, encoded, fill_with_10_mb, gunzip, server,
};

const START: i64 = 1_788_220_800;
const GOOD: (&str, &str) = ("authorization", "Basic c2E6cHc=");
const GZIP: (&str, &str) = ("accept-encoding", "gzip");
const EXPORT: &str = "/api/2.0/export?project_id=1&from_date=2026-08-31&to_date=2026-09-01";
/// Events whose lines are more than what is answered whole, and more than one piece.
const MANY: usize = 4000;
const END: &str = "terminated early";

fn stop_the_clock(server: &impl Server) {
    server.control("PUT", "/mock/clock", json!({"now_s": START, "frozen": true}));
}

/// Stores events with ascending times.
fn fill(server: &impl Server, count: usize) {
    stop_the_clock(server);
    for batch in (0..count).collect::<Vec<_>>().chunks(1000) {
        let one = |n: &usize| {
            json!({"event": "A", "properties": {"token": "T", "distinct_id": format!("u{}", n % 7), "$insert_id": format!("i{n}"),
                "time": START - (count - n) as i64, "n": n, "pad": "x".repeat(100)}})
        };
        assert_eq!(server.track(batch.iter().map(one).collect()), "1");
    }
}

fn export(server: &impl Server, more: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = vec![GOOD];
    all.extend(headers);
    server.send("GET", &format!("{EXPORT}{more}"), &all, b"")
}

fn where_(filter: &str) -> String {
    format!("&where={}", encoded(filter))
}

/// The numbers of the events, and whether the line for an early end is the last one.
fn numbers(text: &str) -> (Vec<i64>, bool) {
    assert!(text.is_empty() || text.ends_with('\n'), "{:?}", &text[text.len() - 50..]);
    let is_early = text.lines().last() == Some(END);
    let lines = text.lines().take(text.lines().count() - usize::from(is_early));
    let number = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not an event: {line}"));
        event["properties"]["n"].as_i64().unwrap()
    };
    (lines.map(number).collect(), is_early)
}

fn exported(server: &impl Server) -> Value {
    server.get("/mock/audit?order=newest&limit=1")["audit"][0]["counts"]["events"].clone()
}

fn first(count: usize) -> Vec<i64> {
    (0..count as i64).collect()
}

#[test]
fn a_large_export_comes_in_pieces_and_whole() {
    let server = server(StorePlace::Memory);
    fill(&server, MANY);
    let plain = export(&server, "", &[]);
    assert_eq!(plain.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(plain.header("content-type").as_deref(), Some("text/plain"));
    assert_eq!(numbers(&plain.text()), (first(MANY), false));
    assert_eq!(exported(&server), MANY);
    let zipped = export(&server, "", &[GZIP]);
    assert_eq!(zipped.header("content-encoding").as_deref(), Some("gzip"));
    assert!(zipped.body.len() < plain.body.len() / 2);
    assert_eq!(gunzip(&zipped.body), plain.body);
    let limited = export(&server, "&limit=3500", &[]);
    assert_eq!(numbers(&limited.text()), (first(3500), false));
    assert_eq!(exported(&server), 3500);
    // Where the one that is asked for lies behind many others.
    let last = export(&server, &where_("properties[\"n\"] == 3999"), &[]);
    assert_eq!(numbers(&last.text()), (vec![3999], false));
    assert!(last.header("content-length").is_some(), "what is small has a length");
    let none = export(&server, &format!("&event={}", encoded("[\"B\"]")), &[]);
    assert_eq!((none.status, none.header("content-length").as_deref()), (200, Some("0")));
}

#[test]
fn events_of_one_instant_are_each_exported_once() {
    let server = server(StorePlace::Memory);
    stop_the_clock(&server);
    for batch in 0..3 {
        let one = |n: i64| {
            json!({"event": "A", "properties": {"token": "T", "distinct_id": "u", "$insert_id": format!("i{batch}-{n}"),
                "time": START - 5, "n": batch * 1000 + n, "pad": "x".repeat(100)}})
        };
        assert_eq!(server.track((0..1000).map(one).collect()), "1");
    }
    assert_eq!(numbers(&export(&server, "", &[]).text()), (first(3000), false));
}

#[test]
fn an_export_can_be_made_to_end_early() {
    let server = server(StorePlace::Memory);
    fill(&server, MANY);
    let fails_after = |events: usize| {
        let rule =
            json!({"match": {"path": "/api/2.0/export", "count": 1}, "act": {"terminate_after": events}});
        server.control("DELETE", "/mock/faults", json!({}));
        server.control("POST", "/mock/faults", rule);
    };
    for events in [0, 1, 700, 3999, MANY] {
        fails_after(events);
        let answer = export(&server, "", &[]);
        assert_eq!(answer.status, 200);
        assert_eq!(numbers(&answer.text()), (first(events), true));
        fails_after(events);
        let zipped = export(&server, "", &[GZIP]);
        assert_eq!(gunzip(&zipped.body), answer.body);
        if events > 0 {
            assert_eq!(exported(&server), events, "what was handed out is in the audit");
        }
    }
    fails_after(MANY + 1);
    assert_eq!(numbers(&export(&server, "", &[]).text()), (first(MANY), false), "it ended before");
    assert_eq!(numbers(&export(&server, "", &[]).text()), (first(MANY), false), "the rule has acted");
}

/// Damages the ciphertext of one event in the file.
fn damage(folder: &Folder, receipt: usize) {
    let database = rusqlite::Connection::open(folder.data().join("events.sqlite")).unwrap();
    let changed = database.execute(
        "UPDATE events SET body = zeroblob(length(body))
         WHERE id = (SELECT id FROM events ORDER BY id LIMIT 1 OFFSET ?)",
        [receipt as i64],
    );
    assert_eq!(changed.unwrap(), 1);
}

#[test]
fn storage_that_fails_before_the_first_byte_is_503_and_after_it_terminated_early() {
    let folder = Folder::new("early");
    let configuration = folder.configuration(&config());
    let server = Process::start(&folder.data(), &configuration);
    fill(&server, MANY);
    damage(&folder, 3500);
    for headers in [vec![], vec![GZIP]] {
        let answer = export(&server, "", &headers);
        assert_eq!(answer.status, 200);
        let body = if headers.is_empty() { answer.body } else { gunzip(&answer.body) };
        let (seen, is_early) = numbers(std::str::from_utf8(&body).unwrap());
        assert!(is_early);
        assert!(seen.len() > 1000 && seen.len() <= 3500, "{}", seen.len());
        assert_eq!(seen, first(seen.len()));
        assert_eq!(exported(&server), seen.len());
    }
    assert_eq!(numbers(&export(&server, "&limit=3000", &[]).text()), (first(3000), false));
    damage(&folder, 10);
    let answer = export(&server, "", &[]);
    assert_eq!((answer.status, answer.header("retry-after").as_deref()), (503, Some("5")));
}

#[test]
fn an_export_that_the_server_did_not_survive_is_in_the_audit() {
    let folder = Folder::new("unfinished");
    let configuration = folder.configuration(&config());
    let mut server = Process::start(&folder.data(), &configuration);
    stop_the_clock(&server);
    let all = fill_with_10_mb(&server);
    let newest = |server: &Process, count: usize| {
        let seen = server.get(&format!("/mock/audit?order=newest&limit={count}"))["audit"].clone();
        seen.as_array().unwrap().clone()
    };
    let unread = Unread::ask(&server.address(), EXPORT, &[GOOD]);
    let begun = newest(&server, 1)[0].clone();
    assert_eq!((&begun["action"], &begun["rule"]), (&json!("export.begun"), &json!("raw export")));
    server.kill();
    drop(unread);
    let server = Process::start(&folder.data(), &configuration);
    assert_eq!(newest(&server, 1), std::slice::from_ref(&begun), "nothing says that it came to its end");
    // One that does is noted twice, under one id.
    stop_the_clock(&server);
    assert_eq!(export(&server, "", &[]).status, 200);
    let noted = newest(&server, 2);
    assert_eq!((&noted[0]["action"], &noted[1]["action"]), (&json!("export"), &json!("export.begun")));
    assert_eq!(noted[0]["counts"]["events"], all);
    assert!(noted[0]["task"].is_string() && noted[0]["task"] == noted[1]["task"], "{noted:?}");
    assert_ne!(noted[0]["task"], begun["task"]);
    // What is small is noted once, before it is answered.
    export(&server, "&limit=1", &[]);
    let noted = newest(&server, 2);
    assert_eq!((&noted[0]["action"], &noted[0]["task"]), (&json!("export"), &Value::Null));
    assert_eq!(noted[1]["action"], "export");
}

#[test]
fn a_filter_that_fails_late_is_no_clean_end_either() {
    let server = server(StorePlace::Memory);
    fill(&server, MANY);
    // What is divided by zero is undefined, which counts as false; from there on it is a number, which is no truth.
    let filter = |n: usize| where_(&format!("true or 1 / floor(properties[\"n\"] / {n})"));
    let (seen, is_early) = numbers(&export(&server, &filter(3990), &[]).text());
    assert!(is_early && seen.len() > 1000 && seen.len() <= 3990, "{}", seen.len());
    assert_eq!(export(&server, &filter(10), &[]).status, 400, "what fails before the first byte says so");
}

#[test]
fn who_reads_slowly_holds_up_nobody_and_sees_no_more_of_what_has_gone() {
    let server = server(StorePlace::Memory);
    stop_the_clock(&server);
    let all = fill_with_10_mb(&server);
    let ask = || Unread::ask(&Server::address(&server), EXPORT, &[GOOD]);
    let (read, cut_off) = (ask(), ask());
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "T"}})), "1");
    assert_eq!(server.total(""), all as u64 + 1);
    let text = String::from_utf8(read.read_on()).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("Wide")).count(), all);
    server.control("POST", "/mock/projects/T/delete", json!({}));
    let text = String::from_utf8(cut_off.read_on()).unwrap();
    assert_eq!(text.lines().last(), Some(END));
    assert!(text.lines().count() < all, "{}", text.lines().count());
}

#[test]
fn a_large_export_is_truncated_by_a_fault_too() {
    use std::io::{Read, Write};
    let server: MockServer = server(StorePlace::Memory);
    fill(&server, MANY);
    server.control("POST", "/mock/faults", json!({"act": {"truncate": 300_000}}));
    let mut stream = std::net::TcpStream::connect(Server::address(&server)).unwrap();
    write!(stream, "GET {EXPORT} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n", GOOD.1).unwrap();
    let mut seen = Vec::new();
    // The connection breaks: how that looks is the system's business.
    let _ = stream.read_to_end(&mut seen);
    let end = seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    assert!(crate::support::unchunked(&seen[end + 4..]).is_none(), "the last chunk never comes");
    assert!((300_000..301_000).contains(&(seen.len() - end)), "{}", seen.len());
}

#[test]
fn the_events_of_a_user_come_in_pieces_and_no_more_of_what_has_gone() {
    let server = server(StorePlace::Memory);
    stop_the_clock(&server);
    let all = fill_with_10_mb(&server);
    let target = "/api/query/stream/query?project_id=1&from_date=2026-08-31&to_date=2026-09-01&distinct_ids=";
    let target = target.to_owned() + &encoded("[\"u\"]");
    let ask = || Unread::ask(&Server::address(&server), &target, &[GOOD]);
    let (read, cut_off) = (ask(), ask());
    let count = |body: Vec<u8>| {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["status"], "ok");
        answer["results"]["events"].as_array().unwrap().len()
    };
    // Sent again, the last one says that it is somebody else's.
    let moved = json!({"event": "Wide", "properties": {"token": "T", "distinct_id": "u", "$user_id": "v",
        "time": START, "$insert_id": "9-19"}});
    assert_eq!(server.track(moved), "1");
    assert_eq!((server.total("distinct_id=u"), server.total("distinct_id=v")), (all as u64 - 1, 1));
    assert_eq!(count(read.read_on()), all - 1);
    assert_eq!(exported(&server), all - 1);
    server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let shown = count(cut_off.read_on());
    assert!(shown < all - 1, "{shown}");
    let none = server.send("GET", &target, &[GOOD], b"");
    assert_eq!(none.text(), r#"{"status":"ok","results":{"events":[]}}"#);
}
