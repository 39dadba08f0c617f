//! Full disks, damaged files, folders in use: a clear refusal, nothing lost, nothing made anew in silence.

use std::fs;
use std::process::Command;

use refrain_mock::{Config, MockServer, Options, StorePlace};
use serde_json::{Value, json};

use crate::support::{Folder, Process, Server, config, server};

fn refusal(folder: &Folder) -> String {
    let options = Options {
        store: StorePlace::Folder(folder.data()),
        config: Config::from_json(&config()).unwrap(),
        ..Options::default()
    };
    match MockServer::start_with(options) {
        Ok(_) => panic!("the server started"),
        Err(error) => error.to_string(),
    }
}

/// A folder with one event of one person.
fn used_folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let server = server(StorePlace::Folder(folder.data()));
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "T", "distinct_id": "u"}})), "1");
    folder
}

#[test]
fn what_is_stored_is_there_after_an_orderly_stop() {
    let folder = used_folder("stop");
    let server = server(StorePlace::Folder(folder.data()));
    assert_eq!((server.total(""), server.total("distinct_id=u")), (1, 1));
}

#[test]
fn what_would_not_last_is_not_taken() {
    for name in ["vault.keys", "events.sqlite", "events.sqlite-wal"] {
        for replaced in [false, true] {
            let folder = Folder::new("unlinked");
            let served = server(StorePlace::Folder(folder.data()));
            let event = |id: &str| json!({"event": "A", "properties": {"token": "T", "distinct_id": id, "$insert_id": id}});
            assert_eq!(served.track(event("before")), "1");
            let (path, aside) = (folder.data().join(name), folder.path().join("aside"));
            fs::rename(&path, &aside).unwrap();
            if replaced {
                fs::copy(&aside, &path).unwrap();
            }
            let update = json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}});
            for (route, record) in [("/track", event("after")), ("/engage", update)] {
                let answer = served.send("POST", route, &[], record.to_string().as_bytes());
                assert_eq!(answer.status, 503, "{name} {route}: {}", answer.text());
                assert!(answer.header("retry-after").is_some());
            }
            fs::rename(&aside, &path).unwrap();
            assert_eq!(served.track(event("after")), "1", "the client sends it again");
            drop(served);
            let again = server(StorePlace::Folder(folder.data()));
            assert_eq!(again.total(""), 2, "{name}");
        }
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_server_ends() {
    use std::io::{Read, Write};
    let folder = Folder::new("drain");
    let configuration = folder.configuration(&config());
    let mut server = Process::start(&folder.data(), &configuration);
    let body = br#"{"event":"A","properties":{"token":"T"}}"#;
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let head = format!(
        "POST /track HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server says that it waits for the body: the request is under way.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"));
    let ending = std::thread::spawn(move || server.terminate());
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n1"), "{answer}");
    assert_eq!(ending.join().unwrap(), Some(0));
    assert_eq!(Process::start(&folder.data(), &configuration).total(""), 1);
}

#[test]
fn a_second_signal_does_not_wait_for_what_is_under_way() {
    use std::io::{Read, Write};
    let folder = Folder::new("twice");
    let mut server = Process::start(&folder.data(), &folder.configuration(&config()));
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"POST /track HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
        .unwrap();
    // The server says that it waits for the body, and nobody sends it.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    server.signal("-INT");
    // The first one is seen when nobody is let in any more.
    while std::net::TcpStream::connect(server.address()).is_ok() {}
    assert_eq!(server.terminate(), Some(1));
}

#[test]
fn a_damaged_or_missing_vault_is_refused_and_left_as_it_is() {
    for damage in ["missing", "header", "slot", "cut", "empty"] {
        let folder = used_folder("vault");
        let vault = folder.data().join("vault.keys");
        let mut bytes = fs::read(&vault).unwrap();
        match damage {
            "header" => bytes[40] ^= 1,
            "slot" => bytes[4096 + 20] ^= 1,
            "cut" => bytes.truncate(4096 + 32),
            "empty" => bytes.clear(),
            _ => {}
        }
        if damage == "missing" {
            fs::remove_file(&vault).unwrap()
        } else {
            fs::write(&vault, &bytes).unwrap()
        }
        let text = refusal(&folder);
        assert!(text.contains("vault.keys"), "{damage}: {text}");
        if damage == "missing" {
            assert!(!vault.exists(), "a new vault would hide that all data is lost");
        } else {
            assert_eq!(fs::read(&vault).unwrap(), bytes, "{damage}");
        }
    }
}

#[test]
fn a_vault_without_its_database_and_a_foreign_vault_are_refused() {
    let folder = used_folder("database");
    let other = used_folder("other");
    fs::copy(other.data().join("vault.keys"), folder.data().join("vault.keys")).unwrap();
    assert!(refusal(&folder).contains("another database"));
    for file in ["events.sqlite", "events.sqlite-wal", "events.sqlite-shm"] {
        // The last two are gone already after an orderly stop.
        let _ = fs::remove_file(folder.data().join(file));
    }
    assert!(refusal(&folder).contains("events.sqlite is missing"));
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = used_folder("in-use");
    let _first = server(StorePlace::Folder(folder.data()));
    assert!(refusal(&folder).contains("in use"));
}

#[test]
fn a_folder_that_cannot_be_made_and_a_wrong_configuration_end_with_a_hint() {
    let folder = Folder::new("usage");
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_refrain-mock")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let inside = file.join("data");
    let (code, text) = run(&["serve", "--listen", "127.0.0.1:0", "--store", inside.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(text.contains("data folder"), "{text}");
    let wrong = folder.configuration(&json!({"settings": {"unknown_token": "perhaps"}}));
    let (code, text) = run(&["serve", "--config", wrong.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(text.contains("accept_and_drop"), "{text}");
    assert_eq!(run(&["serve", "--nonsense"]).0, Some(2));
}

/// The limit on file sizes stands for a full disk: it is lifted while the server runs.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_503_and_ends_when_there_is_room_again() {
    let folder = Folder::new("full");
    let configuration = folder.configuration(&config());
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -f 600; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_refrain-mock")]);
    let server = Process::start_through(limited, &folder.data(), &configuration);
    let send = |batch: usize| {
        let events: Vec<Value> = (0..10)
            .map(|n| json!({"event": "E", "properties": {"token": "T", "distinct_id": format!("u{batch}"), "n": n, "pad": "x".repeat(200)}}))
            .collect();
        server.send(
            "POST",
            "/track?verbose=1",
            &[("content-type", "application/json")],
            Value::from(events).to_string().as_bytes(),
        )
    };
    let (mut stored, mut refused) = (0, 0);
    for batch in 0..60 {
        let answer = send(batch);
        match answer.status {
            200 => {
                assert_eq!(answer.json(), json!({"error": null, "status": 1}));
                stored += 10;
            }
            status => {
                assert_eq!((status, answer.header("retry-after").as_deref()), (503, Some("5")));
                refused += 1;
            }
        }
    }
    assert!(stored > 0 && refused > 0, "{stored} stored, {refused} refused");
    assert_eq!(server.total(""), stored);
    server.make_room();
    assert_eq!(send(1000).status, 200);
    assert_eq!(server.total(""), stored + 10);
    drop(server);
    let again = Process::start(&folder.data(), &configuration);
    assert_eq!(again.total(""), stored + 10);
}
