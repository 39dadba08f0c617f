//! The audit, privacy tasks, and running now what is due.

use refrain_mock::{MockServer, StorePlace};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Folder, Process, Server, config, secret_text, server};

const START: i64 = 1_788_220_800;
const DAY: i64 = 86_400;

fn at(server: &impl Server, second: i64) {
    server.control("PUT", "/mock/clock", json!({"now_s": second, "frozen": true}));
}

fn actions(server: &impl Server) -> Vec<(String, u64)> {
    let audit = server.get("/mock/audit");
    let rows = audit["audit"].as_array().unwrap().iter();
    rows.map(|row| (row["action"].as_str().unwrap().to_owned(), row["counts"]["events"].as_u64().unwrap()))
        .collect()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(action, events)| ((*action).to_owned(), *events)).collect()
}

#[test]
fn what_was_erased_expired_and_exported_is_noted_without_personal_data() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    let secret = secret_text();
    for n in 0..3 {
        server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": secret, "n": n}}));
    }
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "v"}}));
    let document = json!({"distinct_ids": [secret]}).to_string();
    let retrieval = server.retrieval("POST", "", &document).json()["results"]["task_id"].clone();
    let deletion = server.gdpr("POST", "", &document).json()["results"]["task_id"].clone();
    let listed = server.get("/mock/tasks");
    assert_eq!((&listed["total"], &listed["tasks"][0]["id"]), (&json!(2), &deletion));
    assert_eq!(
        (&listed["tasks"][0]["status"], &listed["tasks"][0]["cancelable"]),
        (&json!("PENDING"), &json!(true))
    );
    assert!(!listed.to_string().contains(&secret));
    at(&server, START + 60);
    let task = retrieval.as_str().unwrap();
    let gone = server.retrieval("GET", &format!("{task}/archive"), "").status;
    assert_eq!(gone, 404, "the archive went with its person");
    let target = "/api/2.0/export?project_id=1&from_date=2026-08-31&to_date=2026-09-01";
    server.send("GET", target, &[("authorization", "Basic c2E6cHc=")], b"");
    at(&server, START + 1825 * DAY);
    assert_eq!(
        actions(&server),
        expected(&[
            ("user_data_retrieval.created", 0),
            ("user_data_deletion.created", 0),
            ("user_data_retrieval.completed", 3),
            ("user_data_deletion.completed", 3),
            ("export", 1),
            ("retention.swept", 1),
        ])
    );
    let audit = server.get("/mock/audit");
    assert!(!audit.to_string().contains(&secret));
    let last = &audit["audit"][5];
    assert_eq!((&last["rule"], &last["project"]), (&json!("events, 1825 days after receipt"), &json!("T")));
    assert_eq!(last["day"], "2031-08-31");
    assert_eq!(audit["audit"][3]["task"], deletion);
    let newest = server.get("/mock/audit?order=newest&limit=1");
    assert_eq!((&newest["total"], &newest["audit"][0]["action"]), (&json!(6), &json!("retention.swept")));
    let page = server.get("/mock/audit?limit=2");
    let rest = server.get(&format!("/mock/audit?after={}", page["next"]));
    assert_eq!(rest["audit"].as_array().unwrap().len(), 4);
}

#[test]
fn an_archive_is_made_when_it_falls_due_and_not_when_the_clock_stops() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"]["retention_events_days"] = json!(3);
    server.control("PUT", "/mock/config", document);
    at(&server, START);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    let task = server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#).json()["results"]["task_id"].clone();
    at(&server, START + 5 * DAY);
    assert_eq!(server.total(""), 0);
    let shown = server.get("/mock/tasks")["tasks"][0].clone();
    assert_eq!((&shown["status"], &shown["counts"]["events"]), (&json!("SUCCESS"), &json!(1)));
    assert_eq!(shown["archive_until"], "2026-09-08T00:01:00Z");
    // What has expired since is in it no more.
    let archive = server.send("GET", &format!("/mock/tasks/{}/archive", task.as_str().unwrap()), &[], b"");
    assert!(archive.text().contains("\"ids_asked\":[\"u\"]") && !archive.text().contains("\"event\":\"A\""));
    at(&server, START + 7 * DAY + 60);
    assert_eq!(server.get("/mock/tasks")["tasks"][0]["archive_until"], Value::Null);
    assert!(actions(&server).contains(&("user_data_retrieval.expired".to_owned(), 0)));
}

#[test]
fn a_sweep_says_what_it_did() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    let swept = server.control("POST", "/mock/sweep", json!({}));
    assert_eq!(swept["expired"], json!({"events": 0, "profiles": 0, "replays": 0}));
    assert!(actions(&server).is_empty(), "nothing happened, nothing is noted");
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#);
    server.control("PUT", "/mock/clock", json!({"advance_s": 59}));
    assert_eq!(server.control("POST", "/mock/sweep", json!({}))["tasks"], 0);
    assert_eq!(server.total(""), 1);
}

#[test]
fn tasks_are_cancelled_and_listed_by_kind() {
    let server = server(StorePlace::Memory);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    let task = server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#).json()["results"]["task_id"].clone();
    server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#);
    assert_eq!(server.get("/mock/tasks?kind=deletion")["total"], 1);
    assert_eq!(server.get("/mock/tasks?kind=retrieval&project=O")["total"], 0);
    let target = format!("/mock/tasks/{}/cancel", task.as_str().unwrap());
    assert_eq!(server.control("POST", &target, json!({}))["status"], "REVOKED");
    assert_eq!(server.send("POST", &target, &[], b"").status, 409);
    assert_eq!(server.send("POST", "/mock/tasks/nope/cancel", &[], b"").status, 404);
    assert_eq!(server.get("/mock/tasks?status=REVOKED")["total"], 1);
}

/// A sweep that is cut off goes on at the next start, and its entry counts everything. Between which steps it is cut off is
/// the machine's business; that it may be any is shown where the steps are made.
#[test]
fn a_sweep_that_was_cut_off_is_finished_and_counted_once() {
    let folder = Folder::new("sweep");
    let mut document = config();
    document["settings"]["retention_events_days"] = json!(1);
    document["settings"]["track_max_age_days"] = json!("off");
    let configuration = folder.configuration(&document);
    const EVENTS: u64 = 24_000;
    let mut server = Process::start(&folder.data(), &configuration);
    for batch in 0..EVENTS / 2000 {
        let events: Vec<Value> = (0..2000)
            .map(|n| json!({"event": "A", "properties": {"token": "T", "distinct_id": format!("u{}", n % 50), "b": batch}}))
            .collect();
        assert_eq!(server.track(events.into()), "1");
    }
    // The clock is not kept: each start begins in real time, and what is not swept yet is there again.
    let address = server.address();
    let moving = std::thread::spawn(move || {
        let body = br#"{"advance":"P2D"}"#;
        // It may be killed before it answers.
        drop(crate::support::try_send(&address, "PUT", "/mock/clock", &[], body));
    });
    let database = Connection::open(folder.data().join("events.sqlite")).unwrap();
    let left = || -> i64 { database.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap() };
    // As soon as some of it is gone.
    while left() == EVENTS as i64 && !moving.is_finished() {}
    server.kill();
    moving.join().unwrap();
    assert!(left() < EVENTS as i64, "it had begun");
    drop(database);
    let server = Process::start(&folder.data(), &configuration);
    server.control("PUT", "/mock/clock", json!({"advance": "P2D"}));
    assert_eq!(server.total(""), 0);
    let counted: u64 = actions(&server)
        .iter()
        .filter(|(action, _)| action == "retention.swept")
        .map(|(_, events)| events)
        .sum();
    assert_eq!(counted, EVENTS);
}

#[test]
fn the_portal_records_use_unless_somebody_says_no() {
    let server = server(StorePlace::Memory);
    let account = "/mock/portal/account?account=owner@example.test";
    let record = |action: &str| {
        let body = json!({"action": action}).to_string();
        let target = "/mock/portal/account/usage?account=owner@example.test";
        assert_eq!(server.send("POST", target, &[], body.as_bytes()).status, 204);
    };
    record("opened the portal");
    let data = server.get(account);
    assert_eq!(
        (&data["record_usage"], &data["usage"][0]["action"]),
        (&json!(true), &json!("opened the portal"))
    );
    assert_eq!(data["access"][0]["kind"], "oauth");
    let switch = "/mock/portal/account/recording?account=owner@example.test";
    server.control("PUT", switch, json!({"record_usage": false}));
    record("asked for access");
    assert_eq!(server.get(account)["usage"].as_array().unwrap().len(), 1);
    let erase = "/mock/portal/account/usage?account=owner@example.test";
    assert_eq!(server.control("DELETE", erase, json!({}))["erased"], 1);
    assert_eq!(server.get(account)["usage"], json!([]));
    let mut document = config();
    document["settings"]["gdpr_staging_seconds"] = json!(0);
    server.control("PUT", "/mock/config", document);
    server.control("PUT", switch, json!({"record_usage": true}));
    let names: Vec<String> = actions(&server).into_iter().map(|(action, _)| action).collect();
    assert_eq!(names, ["usage_recording.changed", "usage_log.erased", "usage_recording.changed"]);
    assert!(!server.get("/mock/audit").to_string().contains("owner@"));
    assert_eq!(server.get("/mock/portal/accounts")["accounts"], json!(["owner@example.test", "sa"]));
}

#[test]
fn the_portal_takes_the_three_requests_of_an_end_user() {
    let server: MockServer = server(StorePlace::Memory);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    let ask = |kind: &str, account: &str| {
        let body = json!({"kind": kind, "project": "T", "distinct_ids": ["u"], "account": account});
        server.send("POST", "/mock/portal/requests", &[], body.to_string().as_bytes())
    };
    assert_eq!(ask("access", "owner@example.test").status, 201);
    assert_eq!(ask("erasure", "owner@example.test").status, 201);
    assert_eq!(ask("erasure", "owner@example.test").status, 409);
    assert_eq!(ask("objection", "owner@example.test").json()["added"], 1);
    assert_eq!(ask("oblivion", "").status, 400);
    let own = server.get("/mock/portal/account?account=owner@example.test")["tasks"].clone();
    assert_eq!(own.as_array().unwrap().len(), 2);
    server.track(json!({"event": "B", "properties": {"token": "T", "distinct_id": "u"}}));
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(server.total(""), 0);
}
