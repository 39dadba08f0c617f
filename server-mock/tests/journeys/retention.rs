//! What expires, when, and that nothing shows it any more.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::forensics::{destroyed, everything, holds, is_gone, live_keys};
use crate::support::{Folder, Server, config, secret_text, server};

const START: i64 = 1_788_220_800;
const DAY: i64 = 86_400;
const JSON: (&str, &str) = ("content-type", "application/json");

fn at(server: &MockServer, second: i64) {
    server.control("PUT", "/mock/clock", json!({"now_s": second, "frozen": true}));
}

fn with_settings(server: &MockServer, settings: Value) {
    let mut document = config();
    document["settings"].as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.control("PUT", "/mock/config", document);
}

fn import(server: &MockServer, time: i64) {
    let body = json!([{"event": "A", "properties": {"time": time, "distinct_id": "u", "$insert_id": format!("i-{time}")}}]);
    let headers = [JSON, ("authorization", "Basic c2E6cHc=")];
    let answer = server.send("POST", "/import?strict=1&project_id=1", &headers, body.to_string().as_bytes());
    assert_eq!(answer.json()["num_records_imported"], 1);
}

#[test]
fn five_years_after_receipt_events_are_gone_to_the_second() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    import(&server, START - 400 * DAY);
    at(&server, START + 1825 * DAY - 1);
    assert_eq!(server.total(""), 1);
    at(&server, START + 1825 * DAY);
    assert_eq!(server.total(""), 0);
    assert_eq!(server.get("/mock/stats")["expired"], 1);
    at(&server, START);
    assert_eq!(server.total(""), 0, "moving back revives nothing");
}

#[test]
fn by_event_date_the_window_counts_from_the_day_of_the_event() {
    let server = server(StorePlace::Memory);
    with_settings(&server, json!({"preset": "mixpanel-2025"}));
    at(&server, START);
    import(&server, START - 729 * DAY + 5_000);
    import(&server, START - 730 * DAY + 5_000);
    assert_eq!(server.total(""), 1, "outside of the window: accepted, never stored");
    at(&server, START + DAY - 1);
    assert_eq!(server.total(""), 1);
    at(&server, START + DAY);
    assert_eq!(server.total(""), 0);
}

#[test]
fn a_shorter_window_holds_from_its_first_moment_on() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    import(&server, START - DAY);
    at(&server, START + 10 * DAY);
    with_settings(&server, json!({"retention_events_days": 11}));
    assert_eq!(server.total(""), 1);
    with_settings(&server, json!({"retention_events_days": 10}));
    assert_eq!(server.total(""), 0);
    with_settings(&server, json!({"retention_events_days": "off"}));
    assert_eq!(server.total(""), 0, "deleted is deleted");
}

#[test]
fn profiles_stay_unless_a_window_is_set() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    let body = br#"{"$token":"T","$distinct_id":"u","$set":{"a":1}}"#;
    server.send("POST", "/engage", &[JSON], body);
    at(&server, START + 4000 * DAY);
    assert_eq!(server.get("/mock/profiles")["total"], 1);
    with_settings(&server, json!({"retention_profiles_days": 4000}));
    assert_eq!(server.get("/mock/profiles")["total"], 0);
}

/// The key goes with the last event, whoever has a copy of the rows.
#[test]
fn nothing_of_an_expired_event_is_left_in_the_folder() {
    let folder = Folder::new("expired-event");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let [person, first, second] = [secret_text(), secret_text(), secret_text()];
    let track = |text: &String| {
        server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": person, "text": text}}))
    };
    at(&server, START);
    track(&first);
    at(&server, START + DAY);
    track(&second);
    let keys = live_keys(&data);
    at(&server, START + 1825 * DAY - 1);
    let texts = everything(&data);
    assert!([&person, &first, &second].iter().all(|text| holds(&texts, text)));

    at(&server, START + 1825 * DAY);
    assert!(is_gone(&data, &first));
    assert!(holds(&everything(&data), &second), "it has another day");
    assert_eq!(destroyed(&data, &keys), 0);

    at(&server, START + 1826 * DAY);
    assert_eq!((keys.len(), destroyed(&data, &keys)), (1, 1));
    assert!(is_gone(&data, &second) && is_gone(&data, &person));
}

/// Who has only a profile leaves no combination behind: the profile's key is its own.
#[test]
fn the_key_of_a_profile_goes_with_it() {
    let folder = Folder::new("profile-key");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    with_settings(&server, json!({"retention_profiles_days": 10}));
    at(&server, START);
    let secret = secret_text();
    let profile = json!({"$token": "T", "$distinct_id": "u", "$device_id": "D", "$user_id": "u", "$set": {"a": secret}});
    server.send("POST", "/engage", &[JSON], profile.to_string().as_bytes());
    let keys = live_keys(&data);
    assert_eq!((keys.len(), holds(&everything(&data), &secret)), (1, true));
    at(&server, START + 10 * DAY);
    assert_eq!((live_keys(&data).len(), destroyed(&data, &keys)), (0, 1));
    assert!(is_gone(&data, &secret));
}

/// What it was made of is still there, and is all that can be read.
#[test]
fn nothing_of_an_expired_archive_is_left_in_the_folder() {
    let folder = Folder::new("expired-archive");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    at(&server, START);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    let events = live_keys(&data);
    server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#);
    at(&server, START + 60);
    let keys = live_keys(&data);
    assert_eq!((events.len(), keys.len()), (1, 2));
    let asked = r#""ids_asked":["u"]"#;
    at(&server, START + 60 + 7 * DAY - 1);
    assert!(holds(&everything(&data), asked));
    assert_eq!(destroyed(&data, &keys), 0);
    at(&server, START + 60 + 7 * DAY);
    assert_eq!((live_keys(&data), destroyed(&data, &keys)), (events, 1));
    assert!(is_gone(&data, asked));
    assert!(holds(&everything(&data), "\"A\""));
}

/// What account holders did in the portal is kept for a year, and not for longer because of what they did since.
#[test]
fn the_portals_usage_log_expires_after_365_days() {
    let folder = Folder::new("expired-use");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let [first, second] = [secret_text(), secret_text()];
    let record = |action: &str| {
        let target = "/mock/portal/account/usage?account=sa";
        let action = json!({"action": action}).to_string();
        assert_eq!(server.send("POST", target, &[], action.as_bytes()).status, 204);
    };
    let recorded = || {
        let account = server.get("/mock/portal/account?account=sa");
        let usage = account["usage"].as_array().unwrap().iter();
        usage.map(|one| one["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    at(&server, START);
    record(&first);
    at(&server, START + DAY);
    record(&second);
    at(&server, START + 365 * DAY - 1);
    assert_eq!(recorded(), [&*first, &*second]);
    let texts = everything(&data);
    assert!(holds(&texts, &first) && holds(&texts, &second));
    at(&server, START + 365 * DAY);
    assert_eq!(recorded(), [&*second]);
    assert!(is_gone(&data, &first));

    let keys = live_keys(&data);
    assert_eq!((keys.len(), holds(&everything(&data), &second)), (1, true));
    server.control("DELETE", "/mock/portal/account/usage?account=sa", json!({}));
    assert_eq!(destroyed(&data, &keys), 1, "whoever does not want to wait takes the key along");
    assert!(is_gone(&data, &second));
}

#[test]
fn a_link_lasts_as_long_as_events_depend_on_it() {
    let server = server(StorePlace::Memory);
    with_settings(&server, json!({"retention_events_days": 10}));
    at(&server, START);
    server
        .track(json!({"event": "Linked", "properties": {"token": "T", "$device_id": "D", "$user_id": "U"}}));
    at(&server, START + 5 * DAY);
    server.track(json!({"event": "Anonymous", "properties": {"token": "T", "$device_id": "D"}}));
    at(&server, START + 11 * DAY);
    assert_eq!((server.total(""), server.total("distinct_id=U")), (1, 1));
}

/// Replays and the profile from before a link are found by it, after its own event is gone.
#[test]
fn a_link_lasts_as_long_as_a_replay_or_a_profile_depends_on_it() {
    for (depending, of_erasure) in [
        ("replay", json!({"events": 0, "profiles": 0, "replays": 1})),
        ("profile", json!({"events": 0, "profiles": 1, "replays": 0})),
    ] {
        let folder = Folder::new("link");
        let data = folder.data();
        let server = server(StorePlace::Folder(data.clone()));
        with_settings(
            &server,
            json!({
                "retention_events_days": 10, "retention_replays_days": 30, "retention_profiles_days": 30,
                "store_replays": true,
            }),
        );
        at(&server, START);
        let secret = secret_text();
        let depend = || match depending {
            "replay" => {
                let authorized = [("authorization", "Basic VDo=")];
                server.send("POST", "/record?$device_id=D", &authorized, secret.as_bytes())
            }
            _ => {
                let profile = json!({"$token": "T", "$distinct_id": "$device:D", "$set": {"a": secret}});
                server.send("POST", "/engage", &[JSON], profile.to_string().as_bytes())
            }
        };
        let link = json!({"event": "A", "properties": {"token": "T", "$device_id": "D", "$user_id": "U"}});
        assert_eq!(depend().status, 200);
        server.track(link.clone());
        at(&server, START + 11 * DAY);
        assert_eq!(server.total(""), 0);
        let keys = live_keys(&data);
        assert_eq!((keys.len(), holds(&everything(&data), &secret)), (2, true), "{depending}");
        let asked = server.gdpr("POST", "", r#"{"distinct_ids":["U"]}"#).json();
        at(&server, START + 11 * DAY + 60);
        let task = asked["results"]["task_id"].as_str().unwrap().to_owned();
        assert_eq!(server.gdpr("GET", &task, "").json()["results"]["erased"], of_erasure);
        assert!(live_keys(&data).is_empty(), "{depending}");
        assert_eq!((destroyed(&data, &keys), is_gone(&data, &secret)), (2, true), "{depending}");

        at(&server, START + 12 * DAY);
        assert_eq!(depend().status, 200);
        server.track(link);
        at(&server, START + 30 * DAY);
        let keys = live_keys(&data);
        assert_eq!((server.total(""), keys.len()), (0, 2), "{depending}");
        assert!(holds(&everything(&data), &secret), "{depending}");
        at(&server, START + 50 * DAY);
        assert!(live_keys(&data).is_empty(), "{depending}: it lasts no longer");
        assert_eq!((destroyed(&data, &keys), is_gone(&data, &secret)), (2, true), "{depending}");
    }
}
