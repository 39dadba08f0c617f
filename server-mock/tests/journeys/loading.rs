//! Load: a thousand connections, and a disk that is full in the middle of it.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use refrain_mock::StorePlace;
use serde_json::{Value, json};

use crate::support::{Folder, Process, Server, config, server};
use crate::tool::tool;

const CONNECTIONS: usize = 1000;

/// Lets this process have more files than the thousand that a test needs.
fn allow_files() {
    tool("prlimit", &["--pid", &std::process::id().to_string(), "--nofile=4096:"]);
}

fn request(address: &str, connection: usize, number: usize) -> Vec<u8> {
    let id = format!("{connection}-{number}");
    let body = json!([{"event": "E", "properties": {"token": "T", "distinct_id": format!("u{connection}"), "$insert_id": id}}])
        .to_string();
    format!(
        "POST /track HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads one answer whose body is a single byte.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut byte = [0; 1];
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    stream.read_exact(&mut byte).unwrap();
    seen.push(byte[0]);
    seen
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_connections_at_once_are_all_served() {
    allow_files();
    let folder = Folder::new("thousand");
    let configuration = folder.configuration(&config());
    let server = Process::start(&folder.data(), &configuration);
    let address = server.address();
    let mut streams: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // A few of them say nothing at all, and a few stop in the middle.
    for (index, stream) in streams.iter_mut().enumerate().filter(|(index, _)| index % 20 == 0) {
        stream.write_all(&request(&address, index, 0)[..index % 40]).unwrap();
    }
    for number in 0..3 {
        for (index, stream) in streams.iter_mut().enumerate().filter(|(index, _)| index % 20 != 0) {
            stream.write_all(&request(&address, index, number)).unwrap();
        }
        for (_, stream) in streams.iter_mut().enumerate().filter(|(index, _)| index % 20 != 0) {
            let seen = answer(stream);
            assert!(
                seen.starts_with(b"HTTP/1.1 200") && seen.ends_with(b"1"),
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
    }
    assert_eq!(server.total("") as usize, 3 * (CONNECTIONS - CONNECTIONS / 20));
}

/// Half of a batch fits on the disk: none of it is acknowledged, none of it is half there, and when there is room again
/// the same batch is taken whole.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_in_the_middle_of_a_batch_loses_nothing() {
    let folder = Folder::new("middle");
    let configuration = folder.configuration(&config());
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -f 1200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_refrain-mock")]);
    let server = Process::start_through(limited, &folder.data(), &configuration);
    let batch = |number: usize| {
        let events: Vec<Value> = (0..500)
            .map(|n| {
                json!({"event": "E", "properties": {"token": "T", "distinct_id": format!("u{}", n % 9),
                "$insert_id": format!("{number}-{n}"), "time": 1_795_000_000 + n, "pad": "x".repeat(250)}})
            })
            .collect();
        Value::from(events).to_string()
    };
    server.control("PUT", "/mock/clock", json!({"now_s": 1_795_100_000, "frozen": true}));
    let send = |number: usize| {
        server
            .send("POST", "/track", &[("content-type", "application/json")], batch(number).as_bytes())
            .status
    };
    let mut acknowledged = Vec::new();
    let refused = (0..).find(|number| {
        let status = send(*number);
        match status {
            200 => acknowledged.push(*number),
            other => assert_eq!(other, 503),
        }
        status == 503
    });
    let refused = refused.unwrap();
    let numbers = || {
        let seen = server.get("/mock/events?limit=1000000");
        let ids = seen["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["properties"]["$insert_id"].to_string());
        ids.collect::<Vec<String>>()
    };
    let before = numbers();
    assert_eq!(before.len(), 500 * acknowledged.len());
    assert!(!before.iter().any(|id| id.starts_with(&format!("\"{refused}-"))), "half of a batch is there");
    // Meanwhile the rest works: reading, and saying what is wrong.
    assert_eq!(server.get("/mock/health")["status"], "ok");
    assert_eq!(send(refused), 503);
    let stats = server.get("/mock/stats");
    assert_eq!(stats["received"], stats["stored"], "what is sent again is counted then");
    server.make_room();
    assert_eq!(send(refused), 200);
    let after = numbers();
    let unique: HashSet<&String> = after.iter().collect();
    assert_eq!((after.len(), unique.len()), (500 * (acknowledged.len() + 1), after.len()));
}

/// What many clients send at once is one commit for all of them, and yet each is told only about its own.
#[test]
fn a_record_that_fails_costs_no_other_client_anything() {
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(&address).unwrap();
                for number in 0..20 {
                    let good = (client + number) % 3 != 0;
                    let body = if good {
                        json!([{"event": "E", "properties": {"token": "T", "$insert_id": format!("{client}-{number}")}}])
                    } else {
                        json!([{"event": "E", "properties": {"token": "T", "time": "never"}}])
                    };
                    let body = body.to_string();
                    write!(stream, "POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
                    let seen = answer(&mut stream);
                    assert_eq!(seen.last(), Some(if good { &b'1' } else { &b'0' }));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let bad = (0..16)
        .flat_map(|client| (0..20).map(move |number| client + number))
        .filter(|sum| sum % 3 == 0)
        .count();
    assert_eq!(server.total("") as usize, 16 * 20 - bad);
    assert_eq!(server.get("/mock/stats")["rejected"], bad);
}
