//! A person withdraws with `erase` and `delete_profile`: the proof is taken, the receipt comes back to the client's
//! outbox, the bytes are gone from the server's folder, and nobody else loses anything (C12).

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use ed25519_dalek::{Signature, VerifyingKey};
use refrain::engine::{DefaultConsent, FlushState, Outcome};
use refrain::native::AuditedErasure;
use refrain::{Client, OptOut};
use refrain_tests::mock_server::MockServer;
use refrain_tests::raw_http::Request;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::folders::{Folders, holds};
use crate::forensics::{self, destroyed, everything, is_gone, live_keys};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "journey";

#[test]
fn what_a_device_sent_is_gone_and_the_receipt_comes_back() {
    let folders = Folders::fresh("withdrawal");
    let server = MockServer::in_folder(&folders.server).expect("a running server");
    let client = granted(&server, &folders.client);
    track(&client, "Before7c1e", json!({"note": "planted-a94b"}));
    accepted(client.identify("person-51d0@example.test"));
    accepted(client.profile().set(json!({"plan": "planted-profile-77e2"})));
    track(&client, "After7c1e", json!({"note": "planted-e0f3"}));
    deliver(&client);
    bystander(&server);
    let device = client.device_id().expect("it has recorded");
    assert_eq!((total(&server, "event=Before7c1e"), total(&server, "event=After7c1e")), (1, 1));
    assert_eq!(profiles(&server), ["bystander", "person-51d0@example.test"]);

    let keys = live_keys(&folders.server);
    let texts = everything(&folders.server);
    let undashed = device.replace('-', "");
    let traces = [
        "person-51d0",
        "7c1e",
        "planted-a94b",
        "planted-e0f3",
        "planted-profile-77e2",
        device.as_str(),
        undashed.as_str(),
    ];
    for trace in &traces[..6] {
        assert!(forensics::holds(&texts, trace), "{trace} is sealed in the server's folder");
    }

    client.opt_out(OptOut::default().erase(true).delete_profile(true)).expect("the folder is writable");
    let outbox = finished(&client);
    assert_eq!(states(&outbox), [("device", "completed"), ("profile", "completed")]);
    let receipt = receipt(&server, &outbox[0], &device);
    // `$opt_in`, the two events, and `$identify`.
    assert_eq!(receipt["counts"]["events"], 4);

    for trace in traces {
        assert!(is_gone(&folders.server, trace), "{trace} is in the server's folder");
    }
    assert_eq!(
        destroyed(&folders.server, &keys),
        3,
        "the device alone, the device with the user, the profile"
    );
    assert_eq!((total(&server, ""), profiles(&server)), (1, vec!["bystander".to_owned()]));
    for trace in &traces[..5] {
        assert!(!holds(&folders.client, trace.as_bytes()), "{trace} is in the client's folder");
    }

    // Late copies of what the device had sent are dropped for ever; the person comes back as another device.
    let late = json!([{"event": "Late", "properties": {"token": TOKEN, "$device_id": device}}]);
    post(&server, "/track", &late);
    assert_eq!(total(&server, "event=Late"), 0);
    client.opt_in().expect("the folder is writable");
    track(&client, "Again", json!({}));
    deliver(&client);
    assert_ne!(client.device_id(), Some(device));
    assert_eq!(total(&server, "event=Again"), 1);
}

#[test]
fn an_erasure_waits_for_the_server_and_outlives_both_sides() {
    let folders = Folders::fresh("withdrawal-while-away");
    let server = MockServer::in_folder(&folders.server).expect("a running server");
    let address = server.address();
    let client = granted(&server, &folders.client);
    track(&client, "Sent", json!({"note": "planted-38bd"}));
    deliver(&client);
    let device = client.device_id().expect("it has recorded");
    server.kill().expect("it was running");
    client.opt_out(OptOut::default().erase(true)).expect("the folder is writable");
    client.shutdown(PATIENCE);
    assert_eq!(states(&client.audit().outbox), [("device", "requested")]);
    drop(client);

    let server = MockServer::again(address, &folders.server).expect("the server starts again");
    assert_eq!(total(&server, "event=Sent"), 1);
    let keys = live_keys(&folders.server);
    let texts = everything(&folders.server);
    assert!(forensics::holds(&texts, "planted-38bd") && forensics::holds(&texts, &device));
    // The server takes the request, and its answer is lost: asked again, it is the same request.
    let lost =
        json!({"match": {"path": "/refrain/v1/erasures", "count": 1}, "act": {"close": "after_store"}});
    server.control("POST", "/mock/faults", Some(&lost)).expect("a rule");
    let client = client_of(&server, &folders.client);
    let outbox = finished(&client);
    assert_eq!(states(&outbox), [("device", "completed")]);
    receipt(&server, &outbox[0], &device);
    let tasks = server.control("GET", "/mock/tasks", None).expect("the tasks");
    assert_eq!(tasks["total"], 1, "{tasks}");
    assert_eq!(total(&server, ""), 0);
    assert!(is_gone(&folders.server, "planted-38bd") && is_gone(&folders.server, &device));
    assert_eq!((live_keys(&folders.server).len(), destroyed(&folders.server, &keys)), (0, 1));
    assert!(client.has_opted_out());
}

/// The attack that C12 names: identify as a victim on an own device, then withdraw with an erasure.
#[test]
fn who_identifies_as_a_victim_and_withdraws_takes_nothing_from_the_victim() {
    let folders = Folders::fresh("withdrawal-as-victim");
    let server = MockServer::in_folder(&folders.server).expect("a running server");
    let victim = granted(&server, &folders.client.join("victim"));
    track(&victim, "Before", json!({}));
    accepted(victim.identify("victim"));
    accepted(victim.profile().set(json!({"plan": "gold"})));
    track(&victim, "After", json!({}));
    deliver(&victim);
    let victims_own = |server: &MockServer| {
        let found = server.control("GET", "/mock/events?distinct_id=victim", None).expect("the events");
        let events = found["events"].as_array().expect("a list");
        let device = json!(victim.device_id());
        let mut own: Vec<String> = events
            .iter()
            .filter(|event| event["properties"]["$device_id"] == device)
            .map(ToString::to_string)
            .collect();
        own.sort_unstable();
        own
    };
    let before = victims_own(&server);
    assert_eq!(before.len(), 4, "{before:?}");

    let attacker = granted(&server, &folders.client.join("attacker"));
    accepted(attacker.identify("victim"));
    track(&attacker, "Pretending", json!({}));
    deliver(&attacker);
    assert_eq!(total(&server, "distinct_id=victim&event=Pretending"), 1, "it came under the victim's name");
    let device = attacker.device_id().expect("it has recorded");
    attacker.opt_out(OptOut::default().erase(true)).expect("the folder is writable");
    let outbox = finished(&attacker);
    receipt(&server, &outbox[0], &device);

    assert_eq!(victims_own(&server), before);
    assert_eq!(total(&server, "distinct_id=victim"), 4, "and nothing of the attacker is left under the name");
    let shown = server.control("GET", "/mock/profiles?distinct_id=victim", None).expect("the profile");
    assert_eq!(shown["profiles"][0]["properties"]["plan"], "gold");
    // The victim goes on as before.
    track(&victim, "Later", json!({}));
    deliver(&victim);
    assert_eq!(total(&server, "distinct_id=victim"), 5);
}

fn client_of(server: &MockServer, folder: &Path) -> Client {
    Client::builder(TOKEN)
        .endpoint(server.url())
        .data_dir(folder)
        .default_consent(DefaultConsent::Denied)
        .flush_interval(Duration::from_millis(1))
        .build()
        .expect("a valid configuration")
}

fn granted(server: &MockServer, folder: &Path) -> Client {
    let client = client_of(server, folder);
    client.opt_in().expect("the folder is writable");
    client
}

fn accepted(outcome: Outcome) {
    assert_eq!(outcome, Outcome::Accepted);
}

fn track(client: &Client, name: &str, properties: Value) {
    accepted(client.track(name, properties));
}

fn deliver(client: &Client) {
    assert_eq!(client.flush(PATIENCE), FlushState::Done, "{:?}", client.stats());
}

/// The outbox, once no entry of it waits for anything.
fn finished(client: &Client) -> Vec<AuditedErasure> {
    let begun = Instant::now();
    loop {
        let outbox = client.audit().outbox;
        if outbox.iter().all(|entry| matches!(entry.state, "completed" | "refused")) {
            return outbox;
        }
        assert!(begun.elapsed() < PATIENCE, "{outbox:?}");
        client.sync(PATIENCE);
    }
}

fn states(outbox: &[AuditedErasure]) -> Vec<(&str, &str)> {
    outbox.iter().map(|entry| (entry.kind, entry.state)).collect()
}

/// The receipt that an entry holds, after everything that it says of itself has been checked.
fn receipt(server: &MockServer, entry: &AuditedErasure, device: &str) -> Value {
    let answer = entry.answer.as_deref().expect("the server has said something");
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    let receipt = answer["receipt"].clone();
    let bytes = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{answer}"));
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    };
    let health = server.control("GET", "/mock/health", None).expect("it is there");
    assert_eq!(health["public_key"], receipt["public_key"]);
    let key = bytes(&receipt["public_key"]).try_into().expect("32 bytes");
    let key = VerifyingKey::from_bytes(&key).expect("a key");
    let signature = Signature::from_slice(&bytes(&receipt["signature"])).expect("a signature");
    let signed = receipt["signed"].as_str().expect("a text");
    key.verify_strict(signed.as_bytes(), &signature).expect("signed by the server");
    let said: Value = serde_json::from_str(signed).expect("JSON");
    let fingerprint: String = Sha256::digest(device).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(said["device_id_sha256"], fingerprint);
    assert_eq!((&said["erasure"], &said["counts"]), (&answer["id"], &receipt["counts"]));
    receipt
}

fn total(server: &MockServer, filter: &str) -> u64 {
    let found = server.control("GET", &format!("/mock/events?limit=0&{filter}"), None).expect("the events");
    found["total"].as_u64().expect("a number")
}

/// Whose profiles there are, in order.
fn profiles(server: &MockServer) -> Vec<String> {
    let found = server.control("GET", "/mock/profiles", None).expect("the profiles");
    let profiles = found["profiles"].as_array().expect("a list");
    let mut ids: Vec<String> =
        profiles.iter().filter_map(|one| one["distinct_id"].as_str().map(str::to_owned)).collect();
    ids.sort_unstable();
    ids
}

fn post(server: &MockServer, target: &str, records: &Value) {
    let answer = server.send(&Request {
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(records.to_string().into_bytes()),
    });
    assert_eq!(answer.expect("an answer").body, b"1");
}

/// Somebody else, who loses nothing.
fn bystander(server: &MockServer) {
    post(
        server,
        "/track",
        &json!([{"event": "E", "properties": {"token": TOKEN, "distinct_id": "bystander"}}]),
    );
    post(server, "/engage", &json!([{"$token": TOKEN, "$distinct_id": "bystander", "$set": {"a": 1}}]));
}
