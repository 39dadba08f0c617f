//! The server is killed again and again while the native client sends: what the client took arrives once, and
//! nothing that it took before a refusal arrives after it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use refrain::Client;
use refrain::engine::{DefaultConsent, FlushState, Outcome};
use refrain_tests::mock_server::MockServer;
use serde_json::json;

use crate::folders::{self, Folders};

const ROUNDS: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_was_taken_arrives_once_however_often_the_server_dies() {
    let folders = Folders::fresh("killed-server");
    let mut server = MockServer::in_folder(&folders.server).expect("a running server");
    let address = server.address();
    let client = client(&server, &folders.client);
    client.opt_in().expect("the folder is writable");

    let mut taken = BTreeSet::new();
    let mut next = 0;
    let mut record = |how_many: u64| {
        for _ in 0..how_many {
            if client.track("Numbered", json!({"n": next})) == Outcome::Accepted {
                taken.insert(next);
            }
            next += 1;
        }
    };
    for round in 0..ROUNDS {
        // The counts differ from round to round, so that the server dies in different moments of its work.
        record(1 + round * 37 % 101);
        if round % 3 == 0 {
            client.flush(Duration::from_millis(round));
        }
        server.kill().expect("it was running");
        record(1 + round * 53 % 71);
        server = MockServer::again(address, &folders.server).expect("the server starts on what was left");
    }
    deliver(&client);
    assert_eq!(taken.len() as u64, next, "every call was accepted");
    assert_eq!(numbers(&server), taken.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_refusal_while_the_server_is_away_is_the_last_word() {
    let folders = Folders::fresh("refused-while-away");
    let server = MockServer::in_folder(&folders.server).expect("a running server");
    let address = server.address();
    let client = client(&server, &folders.client);
    client.opt_in().expect("the folder is writable");
    client.track("Numbered", json!({"n": 0}));
    deliver(&client);
    server.kill().expect("it was running");
    for n in 1..100 {
        assert_eq!(client.track("Numbered", json!({ "n": n })), Outcome::Accepted);
    }
    assert!(client.sync(PATIENCE), "the queue is on disk");
    assert!(folders::holds(&folders.client, b"Numbered"), "what waits for the server is in the folder");

    client.opt_out(refrain::OptOut::default()).expect("nothing is in the way of the refusal");
    assert!(!folders::holds(&folders.client, b"Numbered"), "nothing that was recorded is left in the folder");
    let server = MockServer::again(address, &folders.server).expect("the server starts again");
    assert!(matches!(client.track("Numbered", json!({"n": 100})), Outcome::Rejected(_)));
    client.shutdown(PATIENCE);
    assert_eq!(numbers(&server), [0]);
}

fn client(server: &MockServer, folder: &Path) -> Client {
    Client::builder("journey")
        .endpoint(server.url())
        .data_dir(folder)
        .default_consent(DefaultConsent::Denied)
        .flush_interval(Duration::from_millis(1))
        .build()
        .expect("a valid configuration")
}

/// Flushes until all has arrived; a request that met a dying server is tried again.
fn deliver(client: &Client) {
    let delivered = (0..1000).any(|_| client.flush(PATIENCE) == FlushState::Done);
    assert!(delivered, "the server is there, and yet: {:?}", client.stats());
}

/// The numbers that the server holds, in order, each as often as it is there.
fn numbers(server: &MockServer) -> Vec<u64> {
    let found = server.control("GET", "/mock/events?event=Numbered&limit=100000", None).expect("the events");
    let events = found["events"].as_array().expect("a list");
    let mut numbers: Vec<u64> = events.iter().filter_map(|event| event["properties"]["n"].as_u64()).collect();
    numbers.sort_unstable();
    numbers
}
