//! Projects are deleted and reset softly: hidden at once, gone after the grace, restored in between.

use refrain_mock::{MockServer, Options, StorePlace};
use serde_json::{Value, json};

use crate::forensics::{destroyed, everything, holds, is_gone, live_keys};
use crate::support::{Folder, Server, config, secret_text, server};

const JSON: (&str, &str) = ("content-type", "application/json");
const START: i64 = 1_788_220_800;
const DAY: i64 = 86_400;

fn at(server: &MockServer, second: i64) {
    server.control("PUT", "/mock/clock", json!({"now_s": second, "frozen": true}));
}

fn track(server: &MockServer, name: &str, properties: Value) {
    let mut event = json!({"event": name, "properties": {"token": "T"}});
    event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    assert_eq!(server.track(event), "1");
}

fn engage(server: &MockServer, path: &str, record: Value) {
    assert_eq!(server.send("POST", path, &[JSON], record.to_string().as_bytes()).text(), "1");
}

fn act(server: &MockServer, what: &str) -> Value {
    server.control("POST", &format!("/mock/projects/T/{what}"), json!({}))
}

fn refused(server: &MockServer, token: &str, what: &str) -> u16 {
    let answer = server.send("POST", &format!("/mock/projects/{token}/{what}"), &[], b"");
    assert!(answer.json()["error"].as_str().unwrap().len() > 5);
    answer.status
}

#[test]
fn a_deleted_project_is_hidden_at_once_and_comes_back_whole() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    track(&server, "A", json!({"$device_id": "D", "$user_id": "u"}));
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}}));
    let shown = act(&server, "delete");
    assert_eq!((&shown["state"], &shown["events"]), (&json!("deleted"), &json!(0)));
    assert_eq!(shown["hidden"][0]["purged_at"], "2026-10-31T00:00:00Z");
    assert_eq!((server.total(""), &server.get("/mock/profiles")["total"]), (0, &json!(0)));
    track(&server, "B", json!({}));
    assert_eq!(server.get("/mock/stats")["suppressed_by"]["deleted_project"], 1);
    assert_eq!((refused(&server, "T", "delete"), refused(&server, "T", "reset")), (409, 409));
    at(&server, START + 60 * DAY - 1);
    assert_eq!(act(&server, "restore")["state"], "live");
    assert_eq!((server.total("distinct_id=u"), &server.get("/mock/profiles")["total"]), (1, &json!(1)));
    assert_eq!(refused(&server, "T", "restore"), 409);
    assert_eq!(refused(&server, "nobody", "delete"), 404);
    track(&server, "C", json!({"$device_id": "D"}));
    assert_eq!(server.total("distinct_id=u"), 2, "links are back too");
}

#[test]
fn nothing_is_said_to_be_imported_into_a_deleted_project() {
    let server = server(StorePlace::Memory);
    let now = server.get("/mock/clock")["now_s"].as_i64().unwrap();
    let properties = json!({"time": now - 5, "distinct_id": "u", "$insert_id": "i"});
    let event = json!([{"event": "A", "properties": properties}]).to_string();
    let import = |query: &str| {
        let headers = [JSON, ("authorization", "Basic VDo=")];
        server.send("POST", &format!("/import?{query}"), &headers, event.as_bytes())
    };
    assert_eq!(import("strict=1").json()["num_records_imported"], 1);
    act(&server, "delete");
    assert_eq!(import("strict=1").json()["num_records_imported"], 0);
    let told = import("verbose=1").json();
    assert_eq!((&told["num_records_imported"], &told["status"]), (&json!(0), &json!(0)));
    assert_eq!(import("").text(), "0");
    assert_eq!(server.get("/mock/stats")["suppressed_by"]["deleted_project"], 3);
}

#[test]
fn after_the_grace_it_is_gone_for_good_with_its_keys() {
    let folder = Folder::new("purge");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    at(&server, START);
    let secret = secret_text();
    track(&server, &secret, json!({"distinct_id": "u"}));
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}}));
    let before = live_keys(&data);
    act(&server, "delete");
    at(&server, START + 60 * DAY - 1);
    assert!(holds(&everything(&data), &secret), "it could still be restored");
    at(&server, START + 60 * DAY);
    assert_eq!(refused(&server, "T", "restore"), 410);
    assert_eq!(destroyed(&data, &before), before.len());
    assert!(is_gone(&data, &secret));
    let audit = server.get("/mock/audit");
    let actions: Vec<&str> =
        audit["audit"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["project.deleted", "project.purged"]);
    assert_eq!(audit["audit"][1]["counts"], json!({"events": 1, "profiles": 1, "replays": 0}));
}

#[test]
fn what_was_done_last_is_undone_first_wherever_the_clock_was() {
    let server = server(StorePlace::Memory);
    at(&server, START + 5 * DAY);
    track(&server, "1", json!({"distinct_id": "u"}));
    act(&server, "reset");
    at(&server, START);
    track(&server, "2", json!({"distinct_id": "u"}));
    act(&server, "delete");
    assert_eq!(act(&server, "restore")["state"], "live");
    assert_eq!((server.total("event=1"), server.total("event=2")), (0, 1));
    track(&server, "3", json!({"distinct_id": "u"}));
    act(&server, "restore");
    assert_eq!(server.total(""), 3);
}

#[test]
fn a_deleted_profile_does_not_come_back_with_what_is_restored() {
    let server = server(StorePlace::Memory);
    let set =
        |id: &str| engage(&server, "/engage", json!({"$token": "T", "$distinct_id": id, "$set": {"a": 1}}));
    let delete =
        |id: &str| engage(&server, "/engage", json!({"$token": "T", "$distinct_id": id, "$delete": ""}));
    for hide in ["reset", "delete"] {
        ["u", "v"].into_iter().for_each(set);
        track(&server, "A", json!({"$device_id": "D", "$user_id": "w"}));
        set("w");
        act(&server, hide);
        ["u", "$device:D"].into_iter().for_each(delete);
        act(&server, "restore");
        let left = server.get("/mock/profiles");
        assert_eq!((&left["total"], &left["profiles"][0]["distinct_id"]), (&json!(1), &json!("v")), "{hide}");
    }
}

#[test]
fn a_profile_under_a_device_that_was_linked_later_can_be_deleted() {
    let server = server(StorePlace::Memory);
    let ids = || {
        let profiles = server.get("/mock/profiles");
        let ids = profiles["profiles"].as_array().unwrap().iter().map(|one| one["distinct_id"].clone());
        ids.collect::<Vec<Value>>()
    };
    let set =
        |id: &str| engage(&server, "/engage", json!({"$token": "T", "$distinct_id": id, "$set": {"a": 1}}));
    ["$device:D", "$device:E"].into_iter().for_each(set);
    for (device, user) in [("D", "u"), ("E", "u"), ("E", "other")] {
        track(&server, "A", json!({"$device_id": device, "$user_id": user}));
    }
    ["u", "other"].into_iter().for_each(set);
    let delete = json!({"$token": "T", "$distinct_id": "$device:D", "$delete": ""});
    let mut literal = delete.clone();
    literal["$ignore_alias"] = json!(true);
    engage(&server, "/engage", literal);
    assert_eq!(ids(), ["$device:E", "u", "other"], "the literal one only");
    set("$device:D");
    engage(&server, "/engage", delete);
    assert_eq!(ids(), ["$device:E", "other"], "nobody else's");
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "$device:E", "$delete": ""}));
    assert_eq!(ids(), ["other"]);
}

#[test]
fn how_ids_are_merged_is_known_without_a_configuration_and_as_the_last_one_said() {
    let folder = Folder::new("merges");
    let bare = || {
        let store = StorePlace::Folder(folder.data());
        MockServer::start_with(Options { store, ..Options::default() }).unwrap()
    };
    let merges = |server: &MockServer| {
        let shown = server.get("/mock/projects");
        let all = shown["projects"].as_array().unwrap().iter();
        all.map(|one| (one["project"].clone(), one["id_merge"].clone())).collect::<Vec<_>>()
    };
    let of = |first: &str, second: &str| vec![(json!("T"), json!(first)), (json!("O"), json!(second))];
    {
        let server = server(StorePlace::Folder(folder.data()));
        track(&server, "A", json!({}));
        server.track(json!({"event": "A", "properties": {"token": "O"}}));
    }
    let server = bare();
    assert_eq!(merges(&server), of("simplified", "original"));
    let mut document = config();
    document["projects"][0]["id_merge"] = json!("none");
    document["projects"][1]["id_merge"] = json!("simplified");
    server.control("PUT", "/mock/config", document);
    server.control("PUT", "/mock/config", json!({}));
    assert_eq!(merges(&server), of("none", "simplified"), "no longer listed");
    drop(server);
    let server = bare();
    assert_eq!(merges(&server), of("none", "simplified"));
    server.control("POST", "/mock/reset", json!({}));
    track(&server, "A", json!({}));
    assert_eq!(merges(&server), [(json!("T"), json!("simplified"))], "nothing is known of what is dropped");
}

#[test]
fn a_reset_project_begins_anew_and_what_came_meanwhile_joins_what_is_restored() {
    let server = server(StorePlace::Memory);
    at(&server, START);
    let sent = json!({"$device_id": "D", "$user_id": "u", "$insert_id": "same", "time": START - 5, "v": 1});
    track(&server, "A", sent.clone());
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1, "b": 1}}));
    engage(&server, "/groups", json!({"$token": "T", "$group_key": "g", "$group_id": "1", "$set": {"n": 1}}));
    act(&server, "reset");
    assert_eq!((server.total(""), &server.get("/mock/groups")["total"]), (0, &json!(0)));
    at(&server, START + DAY);
    track(&server, "B", json!({"$device_id": "D"}));
    assert_eq!(server.total("distinct_id=$device:D"), 1, "the link is hidden too");
    let mut again = sent;
    again["v"] = json!(2);
    track(&server, "A", again);
    track(&server, "C", json!({"distinct_id": "w"}));
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"b": 2, "c": 2}}));
    let restored = act(&server, "restore");
    assert_eq!(restored["hidden"], json!([]));
    let seen = server.get("/mock/events?distinct_id=u");
    assert_eq!(seen["total"], 2, "{seen}");
    let a = server.get("/mock/events?event=A");
    assert_eq!((&a["total"], &a["events"][0]["properties"]["v"]), (&json!(1), &json!(2)));
    assert_eq!(server.total("distinct_id=w"), 1);
    let profile = server.get("/mock/profiles?distinct_id=u")["profiles"][0]["properties"].clone();
    assert_eq!((&profile["a"], &profile["b"], &profile["c"]), (&json!(1), &json!(2), &json!(2)));
    assert_eq!(server.get("/mock/groups")["total"], 1);
    track(
        &server,
        "A",
        json!({"$device_id": "D", "$user_id": "u", "$insert_id": "same", "time": START - 5, "v": 3}),
    );
    assert_eq!(server.total("event=A"), 1, "a resend is still told");
}

#[test]
fn a_copy_that_names_another_device_is_told_when_a_project_is_restored() {
    // In which order combinations are gone through, their hashes say: several times.
    for count in [1, 12, 12, 12, 12, 12, 12] {
        let server = server(StorePlace::Memory);
        at(&server, START);
        let send = |device: usize, value: i32| {
            let device = format!("D{device}");
            let ids = json!({"distinct_id": "u", "$user_id": "u", "$device_id": device});
            let mut properties = json!({"$insert_id": "same", "time": START - 5, "v": value});
            properties.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
            track(&server, "A", properties.clone());
            properties["$insert_id"] = device.into();
            track(&server, "B", properties);
        };
        (0..count).for_each(|device| send(device, 1));
        act(&server, "reset");
        // All of them come again from devices that come in another order, and one more.
        (0..=count).rev().for_each(|device| send(device, 2));
        act(&server, "restore");
        let a = server.get("/mock/events?event=A");
        assert_eq!((&a["total"], &a["events"][0]["properties"]["v"]), (&json!(1), &json!(2)), "{count}");
        assert_eq!(server.total("event=B"), count as u64 + 1);
        send(count + 1, 3);
        assert_eq!((server.total("event=A"), server.total("event=B")), (1, count as u64 + 2));
    }
}

#[test]
fn deletions_and_resets_are_undone_from_the_last_to_the_first() {
    let server = server(StorePlace::Memory);
    let names = || {
        let seen = server.get("/mock/events");
        let names = seen["events"].as_array().unwrap().iter().map(|event| event["event"].clone());
        names.collect::<Vec<Value>>()
    };
    track(&server, "1", json!({"distinct_id": "u"}));
    act(&server, "reset");
    track(&server, "2", json!({"distinct_id": "u"}));
    act(&server, "reset");
    act(&server, "delete");
    act(&server, "restore");
    assert_eq!(names(), Vec::<Value>::new());
    act(&server, "restore");
    assert_eq!(names(), ["2"]);
    act(&server, "restore");
    assert_eq!(names(), ["1", "2"]);
}

#[test]
fn an_erasure_reaches_what_is_hidden() {
    let folder = Folder::new("hidden");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let secret = secret_text();
    track(&server, "A", json!({"$device_id": "D", "$user_id": "u", "s": secret}));
    track(&server, "A", json!({"distinct_id": "v"}));
    act(&server, "reset");
    assert!(holds(&everything(&data), &secret));
    assert_eq!(server.gdpr("POST", "", r#"{"distinct_ids":["u"]}"#).status, 201);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert!(is_gone(&data, &secret));
    act(&server, "restore");
    assert_eq!((server.total(""), server.total("distinct_id=v")), (1, 1));
}

#[test]
fn the_grace_is_a_setting_between_60_and_90_days() {
    let server = server(StorePlace::Memory);
    let mut document = config();
    document["settings"]["soft_delete_days"] = json!(90);
    server.control("PUT", "/mock/config", document);
    at(&server, START);
    track(&server, "A", json!({}));
    act(&server, "delete");
    at(&server, START + 90 * DAY - 1);
    act(&server, "restore");
    assert_eq!(server.total(""), 1);
    act(&server, "delete");
    at(&server, START + 180 * DAY);
    assert_eq!(refused(&server, "T", "restore"), 410);
}

/// Data of a project `OLD` that the configuration does not name any more: an event and a profile of the user `u`.
fn with_an_old_project(unknown_token: &str) -> MockServer {
    let server = MockServer::start().unwrap();
    server.track(json!({"event": "A", "properties": {"token": "OLD", "distinct_id": "u"}}));
    engage(&server, "/engage", json!({"$token": "OLD", "$distinct_id": "u", "$set": {"a": 1}}));
    let document = json!({
        "projects": [{"token": "NEW", "project_id": 1}],
        "gdpr_oauth": [
            {"token": "OWNER", "user": "owner@example.test"},
            {"token": "OTHER", "user": "other@example.test", "projects": [0, 1]},
        ],
        "settings": {"unknown_token": unknown_token, "gdpr_rate_limit_per_s": "off"},
    });
    server.control("PUT", "/mock/config", document);
    server
}

#[test]
fn persons_keep_their_rights_in_a_project_that_is_not_configured_any_more() {
    let server = with_an_old_project("accept_and_drop");
    let ask = |token: &str, kind: &str| {
        let body = json!({"kind": kind, "project": token, "distinct_ids": ["u"]}).to_string();
        server.send("POST", "/mock/portal/requests", &[JSON], body.as_bytes())
    };
    assert_eq!(ask("NOBODY", "access").status, 404);
    assert_eq!(ask("NOBODY", "erasure").status, 404);
    let access = ask("OLD", "access");
    assert_eq!(access.status, 201, "{}", access.text());
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let archive = format!("/mock/tasks/{}/archive", access.json()["id"].as_str().unwrap());
    assert_eq!(server.send("GET", &archive, &[], b"").status, 200);
    assert_eq!(ask("OLD", "erasure").status, 201);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(
        (server.total("project=OLD"), &server.get("/mock/profiles?project=OLD")["total"]),
        (0, &json!(0))
    );
}

/// SPEC §3.2: 403 where the project is unknown, or not listed for the bearer.
#[test]
fn who_administers_all_projects_administers_those_that_are_not_configured_too() {
    let server = with_an_old_project("accept_and_drop");
    let ask = |api: &str, bearer: &str, token: &str| {
        let target = format!("/api/app/{api}/v3.0/?token={token}");
        let authorization = format!("Bearer {bearer}");
        let body = br#"{"distinct_ids":["u"]}"#;
        server.send("POST", &target, &[("authorization", &authorization)], body).status
    };
    for api in ["data-retrievals", "data-deletions"] {
        assert_eq!(ask(api, "NOBODY", "OLD"), 401);
        assert_eq!(ask(api, "OWNER", "NOBODY"), 403);
        assert_eq!(ask(api, "OTHER", "OLD"), 403, "it has no number that could be listed");
        assert_eq!(ask(api, "OWNER", "OLD"), 201);
        assert_eq!(ask(api, "OTHER", "NEW"), 201);
    }
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(server.total("project=OLD"), 0);

    // Without any configured project a token makes its own with the first record, and not with a question.
    server.control(
        "PUT",
        "/mock/config",
        json!({"gdpr_oauth": [{"token": "OWNER", "user": "o@example.test"}]}),
    );
    assert_eq!(ask("data-deletions", "OWNER", "MADE"), 403);
    server.track(json!({"event": "A", "properties": {"token": "MADE", "distinct_id": "u"}}));
    assert_eq!(ask("data-deletions", "OWNER", "MADE"), 201);
}

#[test]
fn a_profile_can_be_deleted_in_a_project_that_takes_nothing_any_more() {
    for unknown_token in ["accept_and_drop", "accept_and_count", "reject"] {
        let server = with_an_old_project(unknown_token);
        let group = json!({"$token": "OLD", "$group_key": "g", "$group_id": "x", "$delete": ""});
        let send = |path: &str, record: Value| {
            server.send("POST", path, &[JSON], record.to_string().as_bytes()).text()
        };
        let taken = if unknown_token == "reject" { "0" } else { "1" };
        let of =
            |token: &str, operator: &str| json!({"$token": token, "$distinct_id": "u", operator: {"a": 2}});
        assert_eq!(send("/engage", of("OLD", "$set")), taken);
        assert_eq!(send("/engage", of("NOBODY", "$delete")), taken);
        let profiles = server.get("/mock/profiles?project=OLD");
        assert_eq!(profiles["profiles"][0]["properties"]["a"], 1, "{unknown_token}: {profiles}");
        assert_eq!((send("/engage", of("OLD", "$delete")), send("/groups", group)), ("1".into(), "1".into()));
        assert_eq!(server.get("/mock/profiles?project=OLD")["total"], 0, "{unknown_token}");
        assert_eq!(server.total("project=OLD"), 1, "events stay");
    }
}
