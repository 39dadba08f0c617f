//! Access: a person's data as an archive, and no longer than it may be had.

use refrain_mock::{Config, MockServer, Options, StorePlace};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Server, Unread, config, encoded, fill_with_10_mb, server};

/// The files of a ZIP whose entries are stored, read by its central directory.
pub fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = bytes.len() - 22;
    assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
    let mut at = u32_at(end + 16);
    (0..u16_at(end + 10))
        .map(|_| {
            assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
            let (size, name, local) = (u32_at(at + 24), u16_at(at + 28), u32_at(at + 42));
            let title = String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap();
            let start = local + 30 + u16_at(local + 26);
            let data = bytes[start..start + size].to_vec();
            let mut crc = flate2::Crc::new();
            crc.update(&data);
            assert_eq!(crc.sum() as usize, u32_at(at + 16), "{title}");
            at += 46 + name;
            (title, data)
        })
        .collect()
}

#[test]
fn everything_about_a_person_is_in_the_archive_and_nothing_about_others() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "Anonymous", "properties": {"token": "T", "$device_id": "D"}},
        {"event": "Known", "properties": {"token": "T", "$device_id": "D", "$user_id": "U", "mp_lib": "web"}},
        {"event": "Stranger", "properties": {"token": "T", "distinct_id": "V"}},
    ]));
    server.send(
        "POST",
        "/engage",
        &[("content-type", "application/json")],
        br#"{"$token":"T","$distinct_id":"U","$set":{"a":1}}"#,
    );
    let created = server.retrieval("POST", "", r#"{"distinct_ids":["U"]}"#);
    assert_eq!(created.status, 201);
    let task = created.json()["results"]["task_id"].as_str().unwrap().to_owned();
    assert_eq!(server.retrieval("GET", &task, "").json()["results"]["result"], "");
    assert_eq!(server.retrieval("GET", &format!("{task}/archive"), "").status, 404);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let checked = server.retrieval("GET", &task, "").json()["results"].clone();
    assert_eq!((&checked["status"], &checked["result"]), (&json!("SUCCESS"), &checked["results"]));
    let link = checked["result"].as_str().unwrap();
    let target = &link[link.find("/api/").unwrap()..];
    assert_eq!(server.send("GET", target, &[], b"").status, 401, "the link alone is not enough");
    let archive = server.send("GET", target, &[("authorization", "Bearer OWNER")], b"");
    assert_eq!(archive.header("content-type").as_deref(), Some("application/zip"));
    let files = unzip(&archive.body);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["events.jsonl", "profiles.jsonl", "identities.jsonl", "manifest.json"]);
    let lines = |file: usize| {
        let text = String::from_utf8(files[file].1.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let events: Vec<Value> = lines(0).into_iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events, ["Anonymous", "Known"]);
    assert_eq!(lines(1)[0]["$properties"]["a"], 1);
    assert_eq!(lines(2), [json!({"id": "$device:D"}), json!({"id": "U"})]);
    assert_eq!((&lines(3)[0]["ids_found"], &lines(3)[0]["events"]), (&json!(["U"]), &json!(2)));
}

#[test]
fn an_archive_ends_with_its_time_and_with_the_erasure_of_its_person() {
    for end in ["expired", "erased"] {
        let server = server(StorePlace::Memory);
        server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
        let created = server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#).json();
        let task = created["results"]["task_id"].as_str().unwrap().to_owned();
        server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
        assert_eq!(server.retrieval("GET", &format!("{task}/archive"), "").status, 200);
        match end {
            "expired" => drop(server.control("PUT", "/mock/clock", json!({"advance": "P7D"}))),
            _ => {
                assert_eq!(server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#).status, 201);
                server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
            }
        }
        assert_eq!(server.retrieval("GET", &format!("{task}/archive"), "").status, 404, "{end}");
        let checked = server.retrieval("GET", &task, "").json()["results"].clone();
        assert_eq!((&checked["result"], &checked["distinct_ids"]), (&json!(""), &json!([])), "{end}");
    }
}

/// The texts of an archive, if it is handed out.
fn archive(server: &MockServer, task: &str) -> Option<String> {
    let answer = server.retrieval("GET", &format!("{task}/archive"), "");
    let is_linked = server.retrieval("GET", task, "").json()["results"]["result"] != "";
    assert_eq!(answer.status == 200, is_linked, "{}", answer.status);
    is_linked.then(|| {
        let files = unzip(&answer.body).into_iter().filter(|(name, _)| name != "manifest.json");
        files.map(|(_, text)| String::from_utf8(text).unwrap()).collect()
    })
}

/// One that is there.
fn retrieved(server: &MockServer, id: &str) -> String {
    let created = server.retrieval("POST", "", &json!({"distinct_ids": [id]}).to_string()).json();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    created["results"]["task_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_archive_shows_nothing_that_has_expired_since_it_was_made() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"]["retention_events_days"] = json!(3);
    document["settings"]["retention_profiles_days"] = json!(2);
    server.control("PUT", "/mock/config", document.clone());
    server.control("PUT", "/mock/clock", json!({"now_s": 1_788_220_800, "frozen": true}));
    let engage = br#"{"$token":"T","$distinct_id":"u","$set":{"a":"known"}}"#;
    server.send("POST", "/engage", &[("content-type", "application/json")], engage);
    server.track(json!({"event": "Early", "properties": {"token": "T", "distinct_id": "u"}}));
    server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    server.track(json!({"event": "Late", "properties": {"token": "T", "distinct_id": "u"}}));
    let task = retrieved(&server, "u");
    let has = |parts: [&str; 3]| {
        let text = archive(&server, &task).unwrap();
        parts.map(|part| text.contains(part))
    };
    let parts = ["known", "Early", "Late"];
    assert_eq!(has(parts), [true; 3]);
    server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    assert_eq!(has(parts), [false, true, true]);
    server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    assert_eq!(has(parts), [false, false, true]);
    document["settings"]["retention_events_days"] = json!(1);
    server.control("PUT", "/mock/config", document);
    assert_eq!(has(parts), [false; 3], "a shorter window holds for it too");
    server.control("PUT", "/mock/clock", json!({"advance": "P5D"}));
    assert_eq!(archive(&server, &task), None, "made anew, it lasts no longer");
}

#[test]
fn an_archive_is_hidden_with_its_project() {
    let server = server(StorePlace::Memory);
    let track =
        |name: &str| server.track(json!({"event": name, "properties": {"token": "T", "distinct_id": "u"}}));
    let act = |what: &str| server.control("POST", &format!("/mock/projects/T/{what}"), json!({}));
    track("First");
    let task = retrieved(&server, "u");
    let has = || archive(&server, &task).map(|text| [text.contains("First"), text.contains("Second")]);
    act("delete");
    assert_eq!((has(), &server.get("/mock/tasks")["tasks"][0]["archive_until"]), (None, &json!(null)));
    act("restore");
    assert_eq!(has(), Some([true, false]));
    act("reset");
    track("Second");
    assert_eq!(has(), Some([false, true]));
    act("restore");
    assert_eq!(has(), Some([true, true]));
}

#[test]
fn a_deleted_profile_is_in_no_archive() {
    let server = server(StorePlace::Memory);
    let engage = |record: Value| {
        server.send(
            "POST",
            "/engage",
            &[("content-type", "application/json")],
            record.to_string().as_bytes(),
        );
    };
    server.track(json!({"event": "A", "properties": {"token": "T", "$device_id": "D", "$user_id": "u"}}));
    for id in ["u", "v"] {
        engage(json!({"$token": "T", "$distinct_id": id, "$set": {"a": format!("known of {id}")}}));
    }
    let tasks = ["$device:D", "v"].map(|id| retrieved(&server, id));
    let has = || {
        let texts = tasks.each_ref().map(|task| archive(&server, task).unwrap());
        [texts[0].contains("known of u"), texts[1].contains("known of v"), texts[0].contains("\"A\"")]
    };
    assert_eq!(has(), [true; 3]);
    engage(json!({"$token": "T", "$distinct_id": "u", "$delete": ""}));
    assert_eq!(has(), [false, true, true]);
}

#[test]
fn the_link_to_an_archive_leads_there_whatever_the_token_is() {
    let mut document = config();
    document["projects"][0]["token"] = json!("A&b c+\u{e4}");
    let options = Options { config: Config::from_json(&document).unwrap(), ..Options::default() };
    let server = MockServer::start_with(options).unwrap();
    let ask = |method: &str, target: &str, body: &str| {
        server.send(method, target, &[("authorization", "Bearer OWNER")], body.as_bytes())
    };
    let token = encoded("A&b c+\u{e4}");
    let target = |rest: &str| format!("/api/app/data-retrievals/v3.0/{rest}?token={token}");
    let created = ask("POST", &target(""), r#"{"distinct_ids":["u"]}"#).json();
    let task = created["results"]["task_id"].as_str().unwrap().to_owned();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let link = ask("GET", &target(&task), "").json()["results"]["result"].as_str().unwrap().to_owned();
    let archive = ask("GET", link.strip_prefix(&server.url()).unwrap(), "");
    assert_eq!((archive.status, archive.header("content-type").as_deref()), (200, Some("application/zip")));
}

#[test]
fn categories_and_sources_are_for_ccpa() {
    let server = server(StorePlace::Memory);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u", "mp_lib": "web", "plan": "pro"}}));
    let ask = |document: Value| server.retrieval("POST", "", &document.to_string());
    assert_eq!(ask(json!({"distinct_ids": ["u"], "disclosure_type": "Sources"})).status, 400);
    assert_eq!(
        ask(json!({"distinct_ids": ["u"], "disclosure_type": "All", "compliance_type": "CCPA"})).status,
        400
    );
    let created =
        ask(json!({"distinct_ids": ["u"], "disclosure_type": "categories", "compliance_type": "ccpa"}));
    assert_eq!(created.status, 201);
    let task = created.json()["results"]["task_id"].as_str().unwrap().to_owned();
    assert_eq!(server.retrieval("DELETE", &task, "").status, 405);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let files = unzip(&server.retrieval("GET", &format!("{task}/archive"), "").body);
    assert_eq!(files[0].0, "categories.json");
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    assert!(text.contains("\"plan\"") && !text.contains("pro\""), "{text}");
}

#[test]
fn who_is_left_in_an_archive_keeps_it() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "distinct_id": "u"}},
        {"event": "B", "properties": {"token": "T", "distinct_id": "v"}},
    ]));
    let engage = br#"{"$token":"T","$distinct_id":"u","$set":{"a":1}}"#;
    server.send("POST", "/engage", &[("content-type", "application/json")], engage);
    let created = server.retrieval("POST", "", r#"{"distinct_ids":["u","v"]}"#).json();
    let task = created["results"]["task_id"].as_str().unwrap().to_owned();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    server.gdpr("POST", "", r#"{"distinct_ids":["v"]}"#);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let files = unzip(&server.retrieval("GET", &format!("{task}/archive"), "").body);
    let text = |file: usize| String::from_utf8(files[file].1.clone()).unwrap();
    assert!(text(0).contains("\"A\"") && !text(0).contains("\"B\""));
    assert_eq!(server.retrieval("GET", &task, "").json()["results"]["distinct_ids"], json!(["u"]));
    assert_eq!((server.total("distinct_id=u"), &server.get("/mock/profiles")["total"]), (1, &json!(1)));
}

/// An archive is written and sent in pieces; this one has many.
#[test]
fn a_large_archive_comes_whole_and_breaks_off_where_its_person_is_erased() {
    let server = server(StorePlace::Memory);
    let all = fill_with_10_mb(&server);
    let created = server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#).json();
    let task = created["results"]["task_id"].as_str().unwrap().to_owned();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let archive = server.retrieval("GET", &format!("{task}/archive"), "");
    assert_eq!(archive.header("content-length"), Some(archive.body.len().to_string()));
    let files = unzip(&archive.body);
    let (name, events) = &files[0];
    assert_eq!((name.as_str(), events.iter().filter(|byte| **byte == b'\n').count()), ("events.jsonl", all));
    assert!(events.len() > 10_000_000, "{}", events.len());
    let manifest: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!(manifest["files"]["events.jsonl"]["bytes"], events.len());
    let sum: String = Sha256::digest(events).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(manifest["files"]["events.jsonl"]["sha256"], sum.as_str());
    // By the control API it is the same.
    let by_control = server.send("GET", &format!("/mock/tasks/{task}/archive"), &[], b"");
    assert_eq!(by_control.body.len(), archive.body.len());

    let target = format!("/api/app/data-retrievals/v3.0/{task}/archive?token=T");
    let unread = Unread::ask(&Server::address(&server), &target, &[("authorization", "Bearer OWNER")]);
    server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let rest = unread.rest();
    assert!(rest.len() < archive.body.len(), "what is erased is not sent any more");
    assert_eq!(server.retrieval("GET", &format!("{task}/archive"), "").status, 404);
}

#[test]
fn the_archive_has_what_an_erasure_would_take() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "Named", "properties": {"token": "T", "distinct_id": "u", "$device_id": "D"}},
        {"event": "Own", "properties": {"token": "T", "distinct_id": "u"}},
        {"event": "Of the device", "properties": {"token": "T", "$device_id": "D"}},
    ]));
    let created = server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#).json();
    let task = created["results"]["task_id"].as_str().unwrap().to_owned();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let files = unzip(&server.retrieval("GET", &format!("{task}/archive"), "").body);
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    let names = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["Named", "Own"]);
    let manifest: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!((&manifest["ids_found"], &manifest["events"]), (&json!(["u"]), &json!(2)));
    let deletion = server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#).json();
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let deletion = deletion["results"]["task_id"].as_str().unwrap().to_owned();
    assert_eq!(server.gdpr("GET", &deletion, "").json()["results"]["erased"]["events"], 2);
}
