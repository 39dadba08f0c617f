//! Erasure by a device (C12): its proof, its bar, its receipt, and that nobody can use it against somebody else.

use ed25519_dalek::{Signature, VerifyingKey};
use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::forensics::{destroyed, live_keys, search_raw};
use crate::support::{Answer, Folder, Server, random, server};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A device as the SDKs make them: a secret, and the id that follows from it.
struct Device {
    secret: String,
    id: String,
}

impl Device {
    fn new() -> Device {
        let secret: Vec<u8> = (0..16).map(|_| random(256) as u8).collect();
        let mut id = Sha256::digest(&secret)[..16].to_vec();
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let id = hex(&id);
        let id = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        Device { secret: hex(&secret), id }
    }

    fn erase(&self, server: &impl Server, token: &str) -> Answer {
        let body = json!({"token": token, "device_id": self.id, "secret": self.secret}).to_string();
        server.send("POST", "/refrain/v1/erasures", &[JSON], body.as_bytes())
    }
}

fn erased(server: &impl Server, device: &Device, token: &str) -> Value {
    let answer = device.erase(server, token);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let checked = server.get(&format!("/refrain/v1/erasures/{id}"));
    assert_eq!(checked["state"], "completed");
    checked
}

fn engage(server: &impl Server, path: &str, record: Value) {
    assert_eq!(server.send("POST", path, &[JSON], record.to_string().as_bytes()).text(), "1");
}

fn event(name: &str, token: &str, properties: Value) -> Value {
    let mut event = json!({"event": name, "properties": {"token": token}});
    event["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    event
}

#[test]
fn a_device_erases_what_it_sent_and_gets_a_receipt_that_verifies() {
    let server = server(StorePlace::Memory);
    let (device, other) = (Device::new(), Device::new());
    server.track(json!([
        event("Anonymous", "T", json!({"$device_id": device.id})),
        event("Prefixed", "T", json!({"distinct_id": format!("$device:{}", device.id)})),
        event("Known", "T", json!({"$device_id": device.id, "$user_id": "u"})),
        event("Elsewhere", "T", json!({"$device_id": other.id, "$user_id": "u"})),
        event("Other project", "O", json!({"$device_id": device.id})),
    ]));
    let checked = erased(&server, &device, "T");
    let left = server.get("/mock/events");
    let names: Vec<&str> =
        left["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["Elsewhere", "Other project"]);

    let receipt = &checked["receipt"];
    assert_eq!(receipt["counts"], json!({"events": 3, "profiles": 0, "replays": 0}));
    let fingerprint: String = Sha256::digest(&device.id).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(receipt["device_id_sha256"], fingerprint);
    let bytes = |value: &Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
    };
    let health = server.get("/mock/health");
    assert_eq!(health["public_key"], receipt["public_key"]);
    let key = VerifyingKey::from_bytes(&bytes(&health["public_key"]).try_into().unwrap()).unwrap();
    let signature = Signature::from_bytes(&bytes(&receipt["signature"]).try_into().unwrap());
    let signed = receipt["signed"].as_str().unwrap();
    key.verify_strict(signed.as_bytes(), &signature).unwrap();
    assert!(key.verify_strict(signed.replace(":3,", ":4,").as_bytes(), &signature).is_err());
    let said: Value = serde_json::from_str(signed).unwrap();
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(value, &receipt[name], "{name}");
    }

    let again = device.erase(&server, "T");
    assert_eq!((again.status, &again.json()["id"]), (202, &checked["id"]), "asked again it is the same");
    assert_eq!(again.json()["state"], "completed");
    assert_eq!(
        again.json()["receipt"],
        checked["receipt"],
        "whose first answer was lost has the receipt, too"
    );
}

#[test]
fn without_the_proof_nothing_is_erased() {
    let server = server(StorePlace::Memory);
    let (device, other) = (Device::new(), Device::new());
    server.track(json!([event("A", "T", json!({"$device_id": device.id}))]));
    let ask = |document: Value| {
        let answer = server.send("POST", "/refrain/v1/erasures", &[JSON], document.to_string().as_bytes());
        assert!(answer.json()["error"].as_str().unwrap().len() > 5);
        answer.status
    };
    let wrong = Device { secret: other.secret.clone(), id: device.id.clone() };
    assert_eq!(wrong.erase(&server, "T").status, 403);
    assert_eq!(ask(json!({"token": "T", "device_id": device.id})), 400);
    assert_eq!(ask(json!({"token": "T", "device_id": device.id, "secret": ""})), 400);
    assert_eq!(ask(json!({"token": "T", "device_id": device.id, "secret": "short"})), 403);
    let shouted = Device { id: device.id.to_uppercase(), secret: device.secret.clone() };
    assert_eq!(
        shouted.erase(&server, "T").status,
        403,
        "records under another spelling are not this device's"
    );
    assert_eq!(ask(json!({"token": "T", "device_id": "u", "secret": device.secret})), 403);
    assert_eq!(ask(json!({"device_id": device.id, "secret": device.secret})), 400);
    assert_eq!(ask(json!([])), 400);
    assert_eq!(device.erase(&server, "nobody").status, 404);
    let unknown = server.send("GET", "/refrain/v1/erasures/5f0c9a52-0000-4000-8000-000000000000", &[], b"");
    assert_eq!(unknown.status, 404);
    assert_eq!(server.total(""), 1);
    let preflight = [("origin", "https://shop.test"), ("access-control-request-headers", "content-type")];
    let answer = server.send("OPTIONS", "/refrain/v1/erasures", &preflight, b"");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin").as_deref()),
        (204, Some("https://shop.test"))
    );
}

#[test]
fn the_id_is_barred_for_ever_on_every_route_and_a_deletion_still_gets_through() {
    let server = server(StorePlace::Memory);
    let mut document = crate::support::config();
    document["settings"]["store_replays"] = json!(true);
    server.control("PUT", "/mock/config", document);
    let device = Device::new();
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}}));
    erased(&server, &device, "T");
    server.control("PUT", "/mock/clock", json!({"advance": "P20Y"}));
    let prefixed = format!("$device:{}", device.id);
    assert_eq!(
        server.track(json!([
            event("A", "T", json!({"$device_id": device.id})),
            event("B", "T", json!({"$device_id": device.id.to_uppercase(), "$user_id": "u"})),
            event("C", "T", json!({"distinct_id": prefixed})),
            event("D", "T", json!({"distinct_id": device.id})),
            event("E", "T", json!({"$user_id": "u", "$anon_distinct_id": prefixed})),
        ])),
        "1"
    );
    // Ids are compared as they are written: nobody makes them in upper case.
    assert_eq!((server.total(""), server.total("event=B")), (1, 1));
    let import = json!([{"event": "F", "properties": {"time": 1_788_220_800, "$insert_id": "i", "$device_id": device.id}}]);
    let authorized = [JSON, ("authorization", "Basic c2E6cHc=")];
    let answer =
        server.send("POST", "/import?strict=1&project_id=1", &authorized, import.to_string().as_bytes());
    assert_eq!((answer.status, server.total("event=F")), (200, 0));
    engage(&server, "/engage", json!({"$token": "T", "$distinct_id": prefixed, "$set": {"a": 1}}));
    engage(
        &server,
        "/engage",
        json!({"$token": "T", "$distinct_id": "u", "$device_id": device.id, "$set": {"late": 1}}),
    );
    let replay = format!("/record/?distinct_id={}&$device_id={}&seq=1", device.id, device.id);
    server.send("POST", &replay, &[("authorization", "Basic VDo=")], b"x");
    assert_eq!(server.get("/mock/replays")["total"], 0);
    let profiles = server.get("/mock/profiles");
    assert_eq!(
        (&profiles["total"], &profiles["profiles"][0]["properties"]["late"]),
        (&json!(1), &json!(null))
    );
    assert_eq!(server.get("/mock/stats")["suppressed_by"]["erased"], 8);
    engage(
        &server,
        "/engage",
        json!({"$token": "T", "$distinct_id": "u", "$device_id": device.id, "$delete": ""}),
    );
    assert_eq!(server.get("/mock/profiles")["total"], 0);
}

/// The attack that C12 names: identify as a victim on an own device, then withdraw with an erasure.
#[test]
fn whoever_identifies_as_a_victim_and_withdraws_takes_nothing_from_the_victim() {
    for (token, project_id) in [("T", 1), ("O", 2), ("N", 3)] {
        let server = MockServer::start().unwrap();
        let mut document = crate::support::config();
        document["settings"]["store_replays"] = json!(true);
        document["settings"]["gdpr_staging_seconds"] = json!(0);
        document["projects"]
            .as_array_mut()
            .unwrap()
            .push(json!({"token": "N", "project_id": 3, "id_merge": "none"}));
        document["gdpr_oauth"][0]["projects"] = json!([1, 2, 3]);
        server.control("PUT", "/mock/config", document);
        let (victim, attacker) = (Device::new(), Device::new());
        let prefixed = |device: &Device| format!("$device:{}", device.id);
        let of = |device: &Device, user: Option<&str>| match user {
            Some(user) => json!({"distinct_id": user, "$user_id": user, "$device_id": device.id}),
            None => json!({"distinct_id": prefixed(device), "$device_id": device.id}),
        };
        let identify = |device: &Device| {
            let mut sent = of(device, Some("victim"));
            sent["$anon_distinct_id"] = json!(prefixed(device));
            event("$identify", token, sent)
        };
        server.track(json!([
            event("Before", token, of(&victim, None)),
            identify(&victim),
            event("After", token, of(&victim, Some("victim"))),
            event("Elsewhere", token, json!({"distinct_id": "victim"})),
        ]));
        let profile = json!({"$token": token, "$distinct_id": "victim", "$set": {"mail": "v@example.test"}});
        engage(&server, "/engage", profile);
        engage(
            &server,
            "/groups",
            json!({"$token": token, "$group_key": "company", "$group_id": "c", "$set": {"members": ["victim"]}}),
        );
        let replay = format!("/record/?distinct_id=victim&$user_id=victim&$device_id={}", victim.id);
        let basic = match token {
            "T" => "Basic VDo=",
            "O" => "Basic Tzo=",
            _ => "Basic Tjo=",
        };
        server.send("POST", &replay, &[("authorization", basic)], b"replay");
        let seen = |server: &MockServer| {
            let mut all = server.get(&format!("/mock/events?project={token}&distinct_id=victim"));
            all["events"].as_array_mut().unwrap().retain(|event| {
                let text = event.to_string();
                !text.contains(&attacker.id)
            });
            (
                all["events"].clone(),
                server.get("/mock/profiles")["profiles"].clone(),
                server.get("/mock/groups")["groups"].clone(),
                server.get("/mock/replays")["replays"].clone(),
            )
        };
        let before = seen(&server);
        assert!(before.0.as_array().unwrap().len() >= 3, "{token}: {}", before.0);

        // What an attacker can send: events as the victim, a profile update, a merge, a replay.
        server.track(json!([
            event("Anonymous", token, of(&attacker, None)),
            identify(&attacker),
            event("Pretending", token, of(&attacker, Some("victim"))),
            event("$create_alias", token, json!({"distinct_id": "victim", "alias": attacker.id})),
        ]));
        let merge = json!([{"event": "$merge", "properties": {"$distinct_ids": ["victim", attacker.id]}}]);
        let authorized = [JSON, ("authorization", "Basic c2E6cHc=")];
        server.send(
            "POST",
            &format!("/import?project_id={project_id}"),
            &authorized,
            merge.to_string().as_bytes(),
        );
        // An archive about the victim is there when the attacker withdraws.
        let asked = server.send(
            "POST",
            &format!("/api/app/data-retrievals/v3.0/?token={token}"),
            &[("authorization", "Bearer OWNER")],
            br#"{"distinct_ids":["victim"]}"#,
        );
        let archive = asked.json()["results"]["task_id"].as_str().unwrap().to_owned();
        let fetch = || {
            let target = format!("/api/app/data-retrievals/v3.0/{archive}/archive/?token={token}");
            server.send("GET", &target, &[("authorization", "Bearer OWNER")], b"")
        };
        assert!(
            fetch().text().contains("Pretending"),
            "{token}: the attacker's records came under the victim"
        );

        erased(&server, &attacker, token);
        assert_eq!(seen(&server), before, "{token}: the victim lost something");
        let left = server.get(&format!("/mock/events?project={token}")).to_string();
        assert!(!left.contains(&attacker.id), "{token}: {left}");
        let after = fetch();
        assert_eq!(after.status, 200, "{token}: the victim's archive is still there");
        // Without merging, what a device did before is nobody's but the device's.
        assert!(after.text().contains("Elsewhere") && (token == "N" || after.text().contains("Before")));
        let text = after.text();
        assert!(!text.contains("Pretending") && !text.contains(&attacker.id), "{token}: {text}");
        assert_eq!(
            server.total(&format!("project={token}&distinct_id=victim")),
            before.0.as_array().unwrap().len() as u64
        );
    }
}

#[test]
fn nothing_of_the_device_is_left_in_the_folder() {
    let folder = Folder::new("device");
    let data = folder.data();
    let server = server(StorePlace::Folder(data.clone()));
    let device = Device::new();
    for round in 0..20 {
        server.track(json!([
            event("A", "T", json!({"$device_id": device.id, "n": round})),
            event("B", "T", json!({"$device_id": device.id, "$user_id": "u"})),
            event("C", "T", json!({"$device_id": "other", "$user_id": "u"})),
        ]));
    }
    let before = live_keys(&data);
    erased(&server, &device, "T");
    assert_eq!(destroyed(&data, &before), 2);
    assert!(search_raw(&data, device.id.as_bytes()).is_empty());
    assert!(search_raw(&data, device.secret.as_bytes()).is_empty());
    assert_eq!(server.total(""), 20);
}

#[test]
fn an_erased_device_does_not_come_back_as_the_member_of_a_group() {
    let server = server(StorePlace::Memory);
    let (device, other) = (Device::new(), Device::new());
    server.track(json!([event("A", "T", json!({"$device_id": device.id}))]));
    erased(&server, &device, "T");
    let members = json!([format!("$device:{}", device.id), device.id, other.id, "u"]);
    let update = json!({
        "$token": "T", "$group_key": "team", "$group_id": "x",
        "$union": {"members": members}, "$set": {"lead": device.id, "name": "X"},
    });
    engage(&server, "/groups", update);
    let group = &server.get("/mock/groups")["groups"][0]["properties"];
    assert_eq!((&group["members"], &group["name"]), (&json!([other.id, "u"]), &json!("X")));
    assert_eq!(group.get("lead"), None);
}
