//! SIGKILL at random moments: what was acknowledged is there, once; what was erased stays erased.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::forensics::{all_keys, destroyed, holds, live_keys, readable, search_raw};
use crate::retrieving::unzip;
use crate::support::{Folder, Process, Server, config, fill_with_10_mb, random, secret_text, try_send};

const LOAD_KILLS: usize = 200;
const ERASURE_KILLS: usize = 60;
const ARCHIVE_KILLS: usize = 4;

/// A moment of the test's life that nobody chose; nothing waits for anything in it.
fn let_it_run(micros: u64) {
    std::thread::sleep(Duration::from_micros(random(micros)));
}

fn send_batch(address: &str, batch: &[Value]) -> bool {
    let body = Value::from(batch.to_vec()).to_string();
    let sent = try_send(address, "POST", "/track", &[("content-type", "application/json")], body.as_bytes());
    sent.is_ok_and(|answer| answer.status == 200 && answer.body == b"1")
}

#[test]
fn acknowledged_events_survive_any_kill_exactly_once() {
    let folder = Folder::new("kill");
    let mut document = config();
    document["settings"]["track_max_age_days"] = json!("off");
    let configuration = folder.configuration(&document);
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let mut unanswered: Vec<Vec<Vec<Value>>> = vec![Vec::new(); 3];
    for round in 0..LOAD_KILLS {
        let mut server = Process::start(&folder.data(), &configuration);
        let (answered, answers) = mpsc::channel();
        let clients: Vec<_> = unanswered
            .iter_mut()
            .enumerate()
            .map(|(client, waiting)| {
                let (address, acknowledged, answered) = (server.address(), acknowledged.clone(), answered.clone());
                let mut queue = std::mem::take(waiting);
                std::thread::spawn(move || {
                    for number in 0.. {
                        // What was not answered before the last kill is sent again, as clients do.
                        let batch = queue.pop().unwrap_or_else(|| {
                            let one = |n| {
                                let id = format!("{round}-{client}-{number}-{n}");
                                let person = format!("u{}", random(40));
                                json!({"event": "E", "properties": {"token": "T", "distinct_id": person, "$insert_id": id, "time": 1_795_000_000}})
                            };
                            (0..3).map(one).collect()
                        });
                        if !send_batch(&address, &batch) {
                            queue.push(batch);
                            break;
                        }
                        let ids = batch.iter().map(|event| event["properties"]["$insert_id"].to_string());
                        acknowledged.lock().unwrap().extend(ids);
                        // Nobody listens any more once the kill is near.
                        let _ = answered.send(());
                    }
                    queue
                })
            })
            .collect();
        // Somewhere in the load: after a random number of answers, and then a random moment later.
        for () in answers.iter().take(random(8) as usize) {}
        let_it_run(6_000);
        server.kill();
        for (client, waiting) in clients.into_iter().zip(&mut unanswered) {
            *waiting = client.join().unwrap();
        }
    }
    let server = Process::start(&folder.data(), &configuration);
    let seen = server.get("/mock/events?limit=10000000");
    let ids: Vec<String> = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["properties"]["$insert_id"].to_string())
        .collect();
    let unique: HashSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an event is there twice");
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > LOAD_KILLS, "the load was real: {}", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|id| !unique.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are lost, such as {:?}",
        lost.len(),
        acknowledged.len(),
        lost[0]
    );
}

#[test]
fn an_erasure_ends_in_the_same_state_whenever_it_is_killed() {
    let folder = Folder::new("kill-erasure");
    let data = folder.data();
    let mut document = config();
    document["settings"]["gdpr_staging_seconds"] = json!(0);
    document["settings"]["track_max_age_days"] = json!("off");
    let configuration = folder.configuration(&document);
    let person = |number: usize, n: usize| {
        let id = format!("{number}-{n}");
        json!({"event": "E", "properties": {"token": "T", "distinct_id": format!("p{number}"), "$insert_id": id, "time": 1_795_000_000}})
    };
    let mut kept = 0;
    for round in 0..ERASURE_KILLS {
        let secret = secret_text();
        let mut server = Process::start(&data, &configuration);
        let mut batch: Vec<Value> = (0..20).map(|n| person(round, n)).collect();
        batch.iter_mut().for_each(|event| event["properties"]["secret"] = json!(secret));
        batch.push(json!({"event": "Kept", "properties": {"token": "T", "distinct_id": "kept", "$insert_id": round.to_string()}}));
        assert!(send_batch(&server.address(), &batch));
        kept += 1;
        let keys = live_keys(&data);
        let address = server.address();
        let asking = std::thread::spawn(move || {
            let body = json!({"distinct_ids": [format!("p{round}")]}).to_string();
            let headers = [("authorization", "Bearer OWNER")];
            let answer = try_send(
                &address,
                "POST",
                "/api/app/data-deletions/v3.0/?token=T",
                &headers,
                body.as_bytes(),
            );
            answer
                .ok()
                .filter(|answer| answer.status == 201)
                .map(|answer| answer.json()["results"]["task_id"].clone())
        });
        let_it_run(5_000);
        server.kill();
        let task = asking.join().unwrap();
        let server = Process::start(&data, &configuration);
        let mine = format!("distinct_id=p{round}");
        let mut left = server.total(&mine);
        match task {
            Some(task) => {
                let state =
                    server.gdpr("GET", task.as_str().unwrap(), "").json()["results"]["status"].clone();
                assert_eq!((state, left), (json!("SUCCESS"), 0), "round {round}");
            }
            // Not acknowledged: done or not begun, never half.
            None => assert!(left == 0 || left == 20, "round {round}: {left} events are left"),
        }
        if left > 0 {
            // It may be due, and go while it is looked for.
            server.control("POST", "/mock/sweep", json!({}));
            left = server.total(&mine);
        }
        assert_eq!(search_raw(&data, secret.as_bytes()), [] as [String; 0], "round {round}");
        let texts = readable(&data, &all_keys(&data));
        assert_eq!(holds(&texts, &secret), left > 0, "round {round}: {left} events are left");
        assert_eq!(destroyed(&data, &keys), usize::from(left == 0), "round {round}: the person's key");
        assert_eq!(server.total("distinct_id=kept"), kept, "round {round}");
    }
}

#[test]
fn an_archive_is_whole_whenever_its_making_is_killed() {
    let folder = Folder::new("kill-archive");
    let mut document = config();
    document["settings"]["gdpr_staging_seconds"] = json!(0);
    let configuration = folder.configuration(&document);
    let mut server = Process::start(&folder.data(), &configuration);
    let all = fill_with_10_mb(&server);
    let mut tasks = Vec::new();
    for round in 0..ARCHIVE_KILLS {
        let created = server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#).json();
        tasks.push(created["results"]["task_id"].as_str().unwrap().to_owned());
        // Its first steps are done before the answer. The first one is killed among them, the others wherever it is.
        let_it_run(if round == 0 { 1 } else { 300_000 });
        server.kill();
        server = Process::start(&folder.data(), &configuration);
    }
    for task in tasks {
        let archive = server.retrieval("GET", &format!("{task}/archive"), "");
        assert_eq!(archive.status, 200);
        let files = unzip(&archive.body);
        let (name, events) = &files[0];
        let lines = events.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((name.as_str(), lines), ("events.jsonl", all));
        let manifest: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
        let sum: String = Sha256::digest(events).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manifest["files"]["events.jsonl"]["sha256"], sum.as_str());
        let checked = server.retrieval("GET", &task, "").json()["results"]["status"].clone();
        assert_eq!(checked, "SUCCESS");
    }
}
