//! Erasure by the account holder: what is gone, what stays, and that no byte can bring it back.

use refrain_mock::{MockServer, StorePlace};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::forensics::{self, all_keys, destroyed, everything, holds, live_keys, readable, search_raw};
use crate::support::{Folder, Server, config, secret_text, server};

const JSON: (&str, &str) = ("content-type", "application/json");

fn erase(server: &MockServer, ids: &[&str]) -> String {
    let answer = server.gdpr("POST", "", &json!({"distinct_ids": ids}).to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["results"]["task_id"].as_str().unwrap().to_owned()
}

fn check(server: &MockServer, task: &str) -> Value {
    server.gdpr("GET", task, "").json()["results"].clone()
}

#[test]
fn nothing_of_an_erased_person_is_left_in_the_folder() {
    let folder = Folder::new("forensic");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let planted: Vec<String> = (0..6).map(|_| secret_text()).collect();
    let [user, device, name, property, value, mail] = &planted[..] else { panic!() };
    let track = |records: Vec<Value>| assert_eq!(server.track(records.into()), "1");
    for round in 0..60 {
        let mut batch: Vec<Value> = (0..50)
            .map(|n| json!({"event": "Other", "properties": {"token": "T", "distinct_id": format!("other-{}", n % 7), "n": round}}))
            .collect();
        batch.push(json!({"event": name, "properties": {"token": "T", "$device_id": device, property.as_str(): value}}));
        if round > 30 {
            batch.push(json!({"event": name, "properties": {"token": "T", "$device_id": device, "$user_id": user, "m": mail}}));
        }
        track(batch);
        let profile =
            json!({"$token": "T", "$distinct_id": user, "$set": {"mail": mail, property.as_str(): round}});
        assert_eq!(server.send("POST", "/engage", &[JSON], profile.to_string().as_bytes()).text(), "1");
    }
    track(vec![
        json!({"event": "Shared", "properties": {"token": "T", "$device_id": device, "$user_id": "second"}}),
    ]);
    assert_eq!(server.total(&format!("distinct_id={user}")), 89);
    for text in &planted {
        assert_eq!(search_raw(&data, text.as_bytes()), Vec::<String>::new(), "in the clear before erasure");
    }
    let keys_before = live_keys(&data);
    let texts = everything(&data);
    assert!(planted.iter().all(|text| holds(&texts, text)), "the test can read what is there");

    let reader = Connection::open(data.join("events.sqlite")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let open: i64 = reader.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(open, 60 * 51 + 29 + 1);
    let copy = folder.path().join("backup");
    std::fs::create_dir(&copy).unwrap();
    for file in ["events.sqlite", "events.sqlite-wal"] {
        forensics::copy(&data.join(file), &copy.join(file));
    }

    let task = erase(&server, &[user]);
    assert_eq!(check(&server, &task)["status"], "PENDING");
    server.control("PUT", "/mock/clock", json!({"advance_s": 40}));
    assert_eq!(check(&server, &task)["status"], "STAGING");
    server.control("PUT", "/mock/clock", json!({"advance_s": 20}));
    let done = check(&server, &task);
    // Told for a grace, from memory; the files are searched for them below.
    assert_eq!((&done["status"], &done["distinct_ids"]), (&json!("SUCCESS"), &json!([user])));
    assert_eq!(done["erased"], json!({"events": 89, "profiles": 1, "replays": 0}));

    assert_eq!(server.total(&format!("distinct_id={user}")), 0);
    assert_eq!((server.total("event=Other"), server.total("distinct_id=second")), (3000, 1));
    assert_eq!(server.get("/mock/profiles")["total"], 0);
    for text in &planted {
        assert_eq!(search_raw(&data, text.as_bytes()), Vec::<String>::new());
    }
    assert_eq!(destroyed(&data, &keys_before), 3, "the device alone, the device with the user, the profile");
    let texts = readable(&data, &all_keys(&data));
    for text in planted.iter().filter(|text| *text != device) {
        assert!(!holds(&texts, text));
    }
    let backup = readable(&copy, &all_keys(&data));
    assert!(backup.len() > 3000, "the copy made before can still be read for the others");
    for text in planted.iter().filter(|text| *text != device) {
        assert!(!holds(&backup, text), "and not for the erased");
    }
    drop(reader);
}

#[test]
fn the_closure_takes_the_devices_of_a_user_and_leaves_other_users_alone() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "$device_id": "D1"}},
        {"event": "B", "properties": {"token": "T", "$device_id": "D1", "$user_id": "U1"}},
        {"event": "C", "properties": {"token": "T", "$device_id": "D1", "$user_id": "U2"}},
        {"event": "D", "properties": {"token": "T", "$device_id": "D2", "$user_id": "U1"}},
        {"event": "E", "properties": {"token": "T", "distinct_id": "$device:D2"}},
        {"event": "F", "properties": {"token": "O", "distinct_id": "U1"}},
    ]));
    erase(&server, &["$device:D2"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let left = server.get("/mock/events");
    let names: Vec<&str> =
        left["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["C", "F"]);
}

#[test]
fn a_profile_from_before_the_link_goes_with_its_user() {
    let server = server(StorePlace::Memory);
    let engage = |id: &str| {
        let record = json!({"$token": "T", "$distinct_id": id, "$set": {"a": 1}});
        assert_eq!(server.send("POST", "/engage", &[JSON], record.to_string().as_bytes()).text(), "1");
    };
    engage("$device:D");
    engage("$device:E");
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "$device_id": "D", "$user_id": "U"}},
        {"event": "B", "properties": {"token": "T", "$device_id": "E", "$user_id": "V"}},
        {"event": "C", "properties": {"token": "T", "$device_id": "E", "$user_id": "U"}},
    ]));
    erase(&server, &["U"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let left = server.get("/mock/profiles");
    assert_eq!((&left["total"], &left["profiles"][0]["distinct_id"]), (&json!(1), &json!("$device:E")));
    assert_eq!((server.total(""), server.total("distinct_id=V")), (1, 1));
}

#[test]
fn late_copies_are_barred_and_new_data_is_not() {
    let server = server(StorePlace::Memory);
    server.control("PUT", "/mock/clock", json!({"now_s": 1_788_220_800, "frozen": true}));
    let event = |time: i64| json!([{"event": "A", "properties": {"token": "T", "distinct_id": "u", "time": time, "$insert_id": "i"}}]);
    server.track(event(1_788_220_700));
    erase(&server, &["u"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 100}));
    assert_eq!(server.track(event(1_788_220_700)), "1", "a late copy is accepted and dropped");
    assert_eq!(server.track(event(1_788_220_800)), "1");
    assert_eq!(server.total(""), 0);
    assert_eq!(server.track(event(1_788_220_801)), "1");
    assert_eq!(server.total(""), 1);
}

#[test]
fn a_late_copy_is_known_however_far_the_clock_was_advanced() {
    let server = server(StorePlace::Memory);
    let real = || server.get("/mock/clock")["now_s"].as_f64().unwrap();
    let event = |time: f64| json!([{"event": "A", "properties": {"token": "T", "distinct_id": "u", "time": time, "$insert_id": "i"}}]);
    let update = |time: f64| json!({"$token": "T", "$distinct_id": "u", "$time": time, "$set": {"a": 1}});
    let engage = |time: f64| {
        assert_eq!(server.send("POST", "/engage", &[JSON], update(time).to_string().as_bytes()).text(), "1");
    };
    let sent = real();
    server.track(event(sent));
    engage(sent);
    erase(&server, &["u"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 61}));
    server.track(event(sent));
    engage(sent);
    assert_eq!((server.total(""), &server.get("/mock/profiles")["total"]), (0, &json!(0)));
    assert_eq!(server.get("/mock/stats")["suppressed_by"]["erased"], 2);
    server.control("PUT", "/mock/clock", json!({"advance": "P1D"}));
    server.track(event(sent));
    assert_eq!(server.total(""), 0);
    // The clients' clock stands where it would without the advance, and is later than that of the request.
    let offset = 61.0 + 86_400.0;
    let asked = server.get("/mock/tasks")["tasks"][0]["requested_at"].as_str().unwrap().to_owned();
    let asked = refrain_mock::domain::time::parse_iso(&asked).unwrap() as f64 / 1000.0;
    while real() - offset <= asked + 0.002 {}
    server.track(event(real() - offset));
    assert_eq!(server.total(""), 1, "what is new comes in");
}

/// Devices had a combination of their own while the project merged ids by the simplified rules.
#[test]
fn what_came_before_the_rules_of_merging_changed_is_erased_by_its_device() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "distinct_id": "$device:D"}},
        {"event": "B", "properties": {"token": "T", "distinct_id": "v"}},
    ]));
    let mut document = config();
    document["projects"][0]["id_merge"] = json!("original");
    server.control("PUT", "/mock/config", document);
    erase(&server, &["$device:D"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!((server.total(""), server.total("event=B")), (1, 1));
}

#[test]
fn members_go_from_the_profiles_of_groups_where_they_are_names_too() {
    let server = server(StorePlace::Memory);
    let group = json!({"$token": "T", "$group_key": "company", "$group_id": "acme", "$set": {
        "members": {"u": {"role": "admin"}, "v": {"role": "guest"}}, "list": ["u", "v"], "u": "owner",
    }});
    let send =
        || assert_eq!(server.send("POST", "/groups", &[JSON], group.to_string().as_bytes()).text(), "1");
    let properties = || {
        let mut properties = server.get("/mock/groups")["groups"][0]["properties"].clone();
        properties.as_object_mut().unwrap().remove("$last_seen");
        properties
    };
    let left = json!({"members": {"v": {"role": "guest"}}, "list": ["v"]});
    send();
    erase(&server, &["u"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(properties(), left);
}

#[test]
fn the_ids_of_a_deletion_are_told_until_its_grace_ends() {
    let server = server(StorePlace::Memory);
    server.control("PUT", "/mock/clock", json!({"frozen": true}));
    let task = erase(&server, &["u", "v"]);
    let after = |seconds: u64| {
        server.control("PUT", "/mock/clock", json!({"advance_s": seconds}));
        let task = check(&server, &task);
        (task["status"].as_str().unwrap().to_owned(), task["distinct_ids"].clone())
    };
    let success = |ids| ("SUCCESS".to_owned(), ids);
    assert_eq!(after(60), success(json!(["u", "v"])));
    assert_eq!(after(59), success(json!(["u", "v"])));
    assert_eq!(after(1), success(json!([])));
    server.control("PUT", "/mock/clock", json!({"advance_s": -1}));
    assert_eq!(check(&server, &task)["distinct_ids"], json!([]), "going back revives nothing");
}

#[test]
fn deletions_conflict_are_cancelled_once_and_belong_to_their_project() {
    let server = server(StorePlace::Memory);
    server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}}));
    let task = erase(&server, &["u", "v"]);
    let answer = server.gdpr("POST", "", r#"{"distinct_ids":["w","v"]}"#);
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["error"]["conflicting_distinct_ids"], json!(["v"]));
    assert_eq!(answer.json()["error"]["conflicting_task_ids"], json!([task]));
    assert_eq!(server.gdpr("DELETE", &task, "").status, 204);
    assert_eq!(server.gdpr("DELETE", &task, "").status, 405);
    assert_eq!(server.gdpr("DELETE", "unknown", "").status, 404);
    assert_eq!(check(&server, &task)["status"], "REVOKED");
    let cancel = |id: &str| server.gdpr("DELETE", "", &json!({"distinct_ids": [id]}).to_string()).status;
    assert_eq!((cancel("v"), cancel("w")), (405, 404), "cancelled before, and not known");
    server.control("PUT", "/mock/clock", json!({"advance": "P40D"}));
    assert_eq!(server.total(""), 1);
    erase(&server, &["u"]);
    assert_eq!(cancel("u"), 204);
    let again = erase(&server, &["u"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(cancel("u"), 405, "carried out");
    assert_eq!(check(&server, &again)["status"], "SUCCESS");
    assert_eq!(check(&server, &task)["distinct_ids"], json!([]), "no other task shows an erased id");
    assert_eq!(server.total(""), 0);
}

#[test]
fn a_session_of_a_profile_query_outlives_an_erasure_and_leaves_the_erased_out() {
    let server = server(StorePlace::Memory);
    server.control("PUT", "/mock/clock", json!({"now_s": 1_788_220_800, "frozen": true}));
    let profiles: Vec<Value> = ["u", "v", "w"]
        .iter()
        .map(|id| json!({"$token": "T", "$distinct_id": id, "$set": {"a": 1}}))
        .collect();
    server.send("POST", "/engage", &[JSON], Value::from(profiles).to_string().as_bytes());
    let page = |query: &str| {
        let target = format!("/api/query/engage?project_id=1&page_size=1{query}");
        server.send("GET", &target, &[("authorization", "Basic c2E6cHc=")], b"")
    };
    let session = page("").json()["session_id"].as_str().unwrap().to_owned();
    erase(&server, &["v"]);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let later = |number: u8| page(&format!("&page={number}&session_id={session}"));
    assert_eq!((later(1).status, later(1).json()["results"].clone()), (200, json!([])));
    assert_eq!(later(2).json()["results"][0]["$distinct_id"], "w");
    server.control("PUT", "/mock/clock", json!({"advance_s": 540}));
    assert_eq!(later(2).status, 400, "ten minutes are over");
}

#[test]
fn merged_ids_are_erased_together_on_an_original_project() {
    let server = server(StorePlace::Memory);
    let anonymous = "6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111";
    server.track(json!([
        {"event": "Before", "properties": {"token": "O", "distinct_id": anonymous}},
        {"event": "$identify", "properties": {"token": "O", "$identified_id": "U", "$anon_id": anonymous}},
        {"event": "$create_alias", "properties": {"token": "O", "distinct_id": "U", "alias": "mail"}},
        {"event": "Mailed", "properties": {"token": "O", "distinct_id": "mail"}},
        {"event": "Other", "properties": {"token": "O", "distinct_id": "V"}},
    ]));
    assert_eq!(server.total("distinct_id=U"), 4);
    let target = "/api/app/data-deletions/v3.0/?token=O";
    let answer =
        server.send("POST", target, &[("authorization", "Bearer OWNER")], br#"{"distinct_ids":["mail"]}"#);
    assert_eq!(answer.status, 201);
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!((server.total(""), server.total("distinct_id=V")), (1, 1));
}

#[test]
fn a_deleted_profile_leaves_no_key() {
    let folder = Folder::new("profile");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let engage = |record: Value| {
        assert_eq!(server.send("POST", "/engage", &[JSON], record.to_string().as_bytes()).text(), "1");
    };
    engage(json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}}));
    let before = live_keys(&data);
    assert_eq!(before.len(), 1);
    engage(json!({"$token": "T", "$distinct_id": "u", "$delete": null}));
    assert_eq!((live_keys(&data).len(), destroyed(&data, &before)), (0, 1));
}

/// With a third project, on which nothing is merged.
fn with_unmerged() -> MockServer {
    let server = server(StorePlace::Memory);
    let mut document = crate::support::config();
    let unmerged = json!({"token": "N", "project_id": 3, "id_merge": "none"});
    document["projects"].as_array_mut().unwrap().push(unmerged);
    document["gdpr_oauth"][0]["projects"] = json!([1, 2, 3]);
    server.control("PUT", "/mock/config", document);
    server
}

/// Erases persons of a project, and answers what was counted.
fn erased(server: &MockServer, token: &str, ids: &[&str]) -> Value {
    let target = |rest: &str| format!("/api/app/data-deletions/v3.0/{rest}?token={token}");
    let ask = |method: &str, rest: &str, body: &str| {
        server.send(method, &target(rest), &[("authorization", "Bearer OWNER")], body.as_bytes())
    };
    let created = ask("POST", "", &json!({"distinct_ids": ids}).to_string());
    assert_eq!(created.status, 201, "{}", created.text());
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    let task = created.json()["results"]["task_id"].as_str().unwrap().to_owned();
    let done = ask("GET", &task, "").json()["results"].clone();
    assert_eq!(done["status"], "SUCCESS");
    done["erased"].clone()
}

fn engage(server: &MockServer, token: &str, id: &str) {
    let record = json!({"$token": token, "$distinct_id": id, "$set": {"a": 1}});
    assert_eq!(server.send("POST", "/engage", &[JSON], record.to_string().as_bytes()).text(), "1");
}

/// By the id that it is shown under, every event can be found and erased.
#[test]
fn what_is_shown_under_an_id_goes_with_it() {
    let doubled = "$device:$device:D";
    for (token, id, properties) in [
        ("N", "$device:D", json!({"$device_id": "D"})),
        ("N", "$device:D", json!({"$device_id": "D", "distinct_id": "$device:D"})),
        ("T", "$device:D", json!({"$device_id": "D"})),
        ("T", "$device:D", json!({"$user_id": "$device:D"})),
        ("T", doubled, json!({"$user_id": doubled})),
        ("O", "$device:D", json!({"$device_id": "D", "distinct_id": "$device:D"})),
        ("O", doubled, json!({"distinct_id": doubled})),
    ] {
        let server = with_unmerged();
        let mut event = json!({"event": "A", "properties": {"token": token}});
        event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        server.track(
            json!([event, {"event": "Other", "properties": {"token": token, "distinct_id": "other"}}]),
        );
        let shown = server.get("/mock/events?event=A")["events"][0]["distinct_id"].clone();
        assert_eq!(shown, id, "{event}");
        let encoded = crate::support::encoded(id);
        assert_eq!(server.total(&format!("project={token}&distinct_id={encoded}")), 1, "{event}");
        assert_eq!(erased(&server, token, &[id])["events"], 1, "{event}");
        assert_eq!((server.total("event=A"), server.total("event=Other")), (0, 1), "{event}");
    }
}

#[test]
fn a_user_who_is_named_like_a_device_goes_with_the_id_although_the_device_is_linked() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "Linked", "properties": {"token": "T", "$device_id": "D", "$user_id": "u"}},
        {"event": "Named", "properties": {"token": "T", "$user_id": "$device:D"}},
    ]));
    assert_eq!(erased(&server, "T", &["$device:D"])["events"], 2);
    assert_eq!(server.total(""), 0);
}

/// What a restore would put together is erased together, in whichever of the parts the link is.
#[test]
fn links_are_followed_through_hidden_data() {
    let anonymous = "6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111";
    let on = |token: &str, link: bool| match (token, link) {
        ("T", false) => json!({"event": "Anonymous", "properties": {"token": "T", "$device_id": anonymous}}),
        ("T", true) => {
            json!({"event": "Link", "properties": {"token": "T", "$device_id": anonymous, "$user_id": "u"}})
        }
        (_, false) => json!({"event": "Anonymous", "properties": {"token": "O", "distinct_id": anonymous}}),
        (_, true) => {
            json!({"event": "$identify", "properties": {"token": "O", "$identified_id": "u", "$anon_id": anonymous}})
        }
    };
    for token in ["T", "O"] {
        for link_is_hidden in [false, true] {
            let server = server(StorePlace::Memory);
            server.track(on(token, link_is_hidden));
            server.control("POST", &format!("/mock/projects/{token}/reset"), json!({}));
            server.track(on(token, !link_is_hidden));
            assert_eq!(erased(&server, token, &["u"])["events"], 2, "{token} {link_is_hidden}");
            server.control("POST", &format!("/mock/projects/{token}/restore"), json!({}));
            assert_eq!(server.total(""), 0, "{token} {link_is_hidden}");
        }
    }
}

#[test]
fn a_device_that_is_another_users_in_the_hidden_data_stays_theirs() {
    let server = server(StorePlace::Memory);
    let event = |name: &str, user: Option<&str>| {
        let mut event = json!({"event": name, "properties": {"token": "T", "$device_id": "D"}});
        if let Some(user) = user {
            event["properties"]["$user_id"] = json!(user);
        }
        event
    };
    server.track(json!([event("Anonymous, v", None), event("V", Some("v"))]));
    server.control("POST", "/mock/projects/T/reset", json!({}));
    server.track(json!([event("Anonymous, u", None), event("U", Some("u"))]));
    assert_eq!(erased(&server, "T", &["u"])["events"], 2);
    server.control("POST", "/mock/projects/T/restore", json!({}));
    let left = server.get("/mock/events?distinct_id=v");
    let names: Vec<&str> =
        left["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["Anonymous, v", "V"]);
}

#[test]
fn a_profile_goes_whichever_spelling_of_a_device_was_asked_for() {
    for (under, asked) in [("$device:D", "D"), ("D", "$device:D")] {
        let server = server(StorePlace::Memory);
        engage(&server, "O", under);
        engage(&server, "O", "other");
        assert_eq!(erased(&server, "O", &[asked])["profiles"], 1, "{under}");
        assert_eq!(server.get("/mock/profiles")["profiles"][0]["distinct_id"], "other", "{under}");
    }
}

/// On a device that several share, who is not erased keeps what arrives late.
#[test]
fn another_user_of_an_erased_persons_device_is_not_barred() {
    for token in ["T", "O"] {
        let server = server(StorePlace::Memory);
        server.control("PUT", "/mock/clock", json!({"now_s": 1_788_220_800, "frozen": true}));
        let event = |name: &str, properties: Value| {
            let mut event = json!({"event": name, "properties": {"token": token, "time": 1_788_220_700}});
            event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
            event
        };
        let device = "6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111";
        let of = |user: &str| json!({"distinct_id": user, "$user_id": user, "$device_id": device});
        let anonymous = json!({"distinct_id": format!("$device:{device}"), "$device_id": device});
        let mut identify = of("u");
        identify["$anon_distinct_id"] = anonymous["distinct_id"].clone();
        server.track(json!([event("$identify", identify)]));
        erased(&server, token, &["u"]);
        server.track(json!([
            event("Late", of("u")),
            event("Late", anonymous),
            event("Late", json!({"distinct_id": device})),
            event("Late", of("other")),
        ]));
        let late = server.get("/mock/events?event=Late");
        assert_eq!(
            (&late["total"], &late["events"][0]["distinct_id"]),
            (&json!(1), &json!("other")),
            "{token}"
        );
        for user in ["u", "other"] {
            let profile = json!({
                "$token": token, "$distinct_id": user, "$device_id": device, "$set": {"a": 1}, "$time": 1_788_220_700,
            });
            server.send("POST", "/engage", &[JSON], profile.to_string().as_bytes());
        }
        let profiles = server.get("/mock/profiles");
        let shown = (&profiles["total"], &profiles["profiles"][0]["distinct_id"]);
        assert_eq!(shown, (&json!(1), &json!("other")), "{token}");
    }
}

#[test]
fn to_cancel_for_one_id_leaves_the_others_in() {
    let server = server(StorePlace::Memory);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "distinct_id": "u"}},
        {"event": "B", "properties": {"token": "T", "distinct_id": "v"}},
    ]));
    let task = erase(&server, &["u", "v", "w"]);
    let cancel = |ids: &[&str]| server.gdpr("DELETE", "", &json!({"distinct_ids": ids}).to_string()).status;
    assert_eq!(cancel(&["u", "x"]), 204);
    let checked = check(&server, &task);
    assert_eq!((&checked["status"], &checked["distinct_ids"]), (&json!("PENDING"), &json!(["v", "w"])));
    assert_eq!((&checked["distinct_id_count"], cancel(&["u"])), (&json!(2), 404));
    let again = erase(&server, &["u"]);
    assert_eq!(cancel(&["u"]), 204, "its only id");
    assert_eq!(check(&server, &again)["status"], "REVOKED");
    server.control("PUT", "/mock/clock", json!({"advance_s": 60}));
    assert_eq!(check(&server, &task)["status"], "SUCCESS");
    assert_eq!((server.total("event=A"), server.total("event=B")), (1, 0));
}
