//! Tricks: with paths, headers, methods, sizes, and with patience.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use refrain_mock::{Config, MockServer, Options, Patience, StorePlace};
use serde_json::{Value, json};

use crate::support::{Folder, Process, Server, config, gzip, secret_text, server};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends bytes as they are and reads until the connection ends.
fn raw(server: &impl Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // A server that refuses early may have closed already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen);
    String::from_utf8_lossy(&seen).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn line(server: &impl Server, request_line: &str) -> u16 {
    status(&raw(
        server,
        format!("{request_line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address())
            .as_bytes(),
    ))
}

#[test]
fn paths_lead_where_they_say_and_nowhere_else() {
    let server = server(StorePlace::Memory);
    for path in [
        "/mock/../track",
        "/track/../mock/events",
        "/./mock/events",
        "//mock/events",
        "/mock//events",
        "/mock/events//",
        "/%6dock/events",
        "/mock%2fevents",
        "/mock/events%00",
        "/mock/events;a=b",
        "/MOCK/events",
        "/mock/events.json",
        "/ui/../../etc/passwd",
        "/ui/%2e%2e/%2e%2e/etc/passwd",
        "/mock/projects/../events",
        "/api/app/data-deletions/v3.0/a/b",
        "/api/app/data-deletions/v9.0/",
        "/refrain/v1/erasures/../../../mock/events",
    ] {
        let found = line(&server, &format!("GET {path}"));
        assert_eq!(found, 404, "{path}");
    }
    // The target's own host counts for nothing: the header does.
    assert_eq!(line(&server, &format!("GET http://{}/mock/health", Server::address(&server))), 200);
    for wrong in ["GET  /mock/health", "GET mock/health", "GET /a b", "GET \t"] {
        assert_eq!(line(&server, wrong), 400, "{wrong}");
    }
    let log = server.get("/mock/requests").to_string();
    assert!(!log.contains("passwd") && !log.contains("..") && !log.contains('%'), "{log}");
}

#[test]
fn methods_are_those_of_the_route() {
    let server = server(StorePlace::Memory);
    for (method, path) in [
        ("DELETE", "/track"),
        ("PATCH", "/engage"),
        ("HEAD", "/groups"),
        ("OPTIONS", "/import"),
        ("POST", "/settings"),
        ("GET", "/record"),
        ("POST", "/api/2.0/export"),
        ("PUT", "/api/query/engage"),
        ("POST", "/mock/events"),
        ("DELETE", "/mock/clock"),
        ("OPTIONS", "/mock/reset"),
        ("TRACE", "/mock/health"),
        ("POST", "/"),
        ("DELETE", "/refrain/v1/erasures"),
        ("PUT", "/lookup-tables"),
        ("BREW", "/track"),
    ] {
        assert_eq!(line(&server, &format!("{method} {path}")), 405, "{method} {path}");
    }
    let body = br#"{"event":"A","properties":{"token":"T"}}"#;
    let overriding = [JSON, ("x-http-method-override", "DELETE")];
    assert_eq!(server.send("POST", "/track", &overriding, body).text(), "1");
    assert_eq!(server.send("put", "/mock/clock", &[], br#"{"advance_s":0}"#).status, 200);
}

#[test]
fn headers_carry_nothing_over() {
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    // Two lengths, or a length and chunks, are two requests for somebody who counts otherwise.
    for smuggled in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "content-length: 5, 5x",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: gzip",
    ] {
        let request = format!(
            "POST /track HTTP/1.1\r\nhost: {address}\r\n{smuggled}\r\n\r\n0\r\n\r\nGET /settings HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let answer = raw(&server, request.as_bytes());
        assert_eq!(status(&answer), 400, "{smuggled}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{smuggled}: {answer}");
    }
    for broken in ["bad header: x", "x: a\0b", ": x", "x : y"] {
        let request =
            format!("GET /settings HTTP/1.1\r\nhost: {address}\r\n{broken}\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&raw(&server, request.as_bytes())), 400, "{broken:?}");
    }
    let request = format!("GET /settings HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "y".repeat(600_000));
    assert_eq!(status(&raw(&server, request.as_bytes())), 431);
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(status(&raw(&server, format!("GET /settings HTTP/1.1\r\n{many}\r\n").as_bytes())), 431);
    // What is echoed cannot begin a header of its own.
    let asked = [("origin", "https://a.test"), ("access-control-request-headers", "x-a, \u{e9}")];
    let answer = server.send("OPTIONS", "/track", &asked, b"");
    assert_eq!(answer.status, 204);
    assert!(!answer.head.contains('\u{e9}'), "{}", answer.head);
    let forwarded =
        [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-host", "evil.test"), ("forwarded", "for=1")];
    assert_eq!(server.send("GET", "/mock/health", &forwarded, b"").status, 200);
    assert_eq!(server.send("GET", "/mock/health", &[("host", "evil.test")], b"").status, 403);
}

#[test]
fn a_body_whose_framing_is_broken_is_not_one_that_is_late() {
    let server = server(StorePlace::Memory);
    for broken in
        ["zz\r\n[]\r\n0\r\n\r\n", "2\r\n[]0\r\n\r\n", "-1\r\n", "fffffffffffffffff\r\n", "2;\0\r\n[]\rX"]
    {
        for path in ["/track", "/import", "/mock/wait"] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n{broken}"
            );
            let answer = raw(&server, request.as_bytes());
            assert_eq!(status(&answer), 400, "{path} {broken:?}: {answer}");
        }
    }
    assert_eq!(server.total(""), 0);
}

#[test]
fn what_is_over_the_limit_is_refused_in_every_encoding() {
    let server = server(StorePlace::Memory);
    let limit = 10 * 1024 * 1024;
    let record = br#"{"event":"A","properties":{"token":"T","pad":""#;
    let large = [&record[..], &vec![b'x'; limit], br#""}}"#].concat();
    let form = [b"data=".as_slice(), &large].concat();
    let encoded = {
        use base64::Engine as _;
        format!("data={}", base64::engine::general_purpose::STANDARD.encode(&large)).into_bytes()
    };
    let plain = ("content-type", "text/plain;charset=UTF-8");
    let url = ("content-type", "application/x-www-form-urlencoded");
    for (name, headers, body) in [
        ("JSON", vec![JSON], &large),
        ("form", vec![url], &form),
        ("base64", vec![url], &encoded),
        ("beacon", vec![plain], &encoded),
        ("lines", vec![("content-type", "application/x-ndjson")], &large),
        ("claimed gzip", vec![JSON, ("content-encoding", "gzip")], &large),
    ] {
        for path in ["/track", "/engage", "/groups", "/import"] {
            let answer = server.send("POST", path, &headers, body);
            assert_eq!(answer.status, 413, "{name} to {path}");
        }
    }
    let mut chunks = String::from("POST /track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in large.chunks(1 << 20) {
        chunks.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunks.extend_from_slice(piece);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(status(&raw(&server, &chunks)), 413);
    // Small when it arrives, large when it is opened: once, twice, and as a form.
    let bomb = gzip(&vec![b' '; 4 * limit]);
    for (encoding, body) in [("gzip", &bomb), ("gzip, gzip", &gzip(&bomb))] {
        let headers = [JSON, ("content-encoding", encoding)];
        let answer = server.send("POST", "/track?verbose=1", &headers, body);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(0)), "{encoding}");
        let authorized = [JSON, ("content-encoding", encoding), ("authorization", "Basic c2E6cHc=")];
        assert_eq!(server.send("POST", "/import?project_id=1", &authorized, body).status, 413);
    }
    for (path, known) in [
        ("/api/app/data-deletions/v3.0/?token=T", "Bearer OWNER"),
        ("/api/app/data-retrievals/v3.0/?token=T", "Bearer OWNER"),
        ("/api/query/engage?project_id=1", "Basic c2E6cHc="),
    ] {
        let answer = server.send("POST", path, &[JSON, ("authorization", known)], &large);
        let error = json!({"status": "error", "error": "request exceeds max limit of 10485760 bytes"});
        assert_eq!((answer.status, answer.json()), (413, error), "{path}");
    }
    let query = format!("GET /track?data={}", "A".repeat(400_000));
    assert!(matches!(line(&server, &query), 414 | 431));
    let mut document = config();
    document["note"] = json!("x".repeat(limit));
    assert_eq!(server.send("PUT", "/mock/config", &[], document.to_string().as_bytes()).status, 413);
    assert_eq!(server.total(""), 0);
}

#[test]
fn nesting_and_numbers_break_nothing() {
    let server = server(StorePlace::Memory);
    for (body, answer) in [
        ("[".repeat(200_000), "0"),
        (format!("[{}]", r#"{"a":"#.repeat(100_000)), "0"),
        (r#"{"event":"A","properties":{"token":"T","time":1e999}}"#.to_owned(), "0"),
        (r#"{"event":"A","properties":{"token":"T","time":-1e18}}"#.to_owned(), "0"),
        (format!(r#"{{"event":"A","properties":{{"token":"T","n":{}}}}}"#, "9".repeat(5000)), "1"),
        (r#"{"event":"A","properties":{"token":"T","time":9223372036854775807}}"#.to_owned(), "1"),
        (r#"{"event":"A","properties":{"token":"T","time":true}}"#.to_owned(), "0"),
        (r#"{"event":"\u0000","properties":{"token":"T","\ud800":"\udfff"}}"#.to_owned(), "1"),
    ] {
        assert_eq!(server.send("POST", "/track", &[JSON], body.as_bytes()).text(), answer, "{}", &body[..40]);
    }
    for (target, status) in [
        ("/mock/events?limit=99999999999999999999", 400),
        ("/mock/events?limit=9223372036854775807", 200),
        ("/mock/events?after=-1", 400),
        ("/mock/events?limi=1", 400),
        ("/mock/audit?limit=18446744073709551615", 400),
    ] {
        assert_eq!(server.send("GET", target, &[], b"").status, status, "{target}");
    }
    for wrong in [
        r#"{"now_s":1e300}"#,
        r#"{"advance":"P99999999999Y"}"#,
        r#"{"advance_s":-9e18}"#,
        r#"{"now":"99999-01-01"}"#,
    ] {
        assert_eq!(server.send("PUT", "/mock/clock", &[], wrong.as_bytes()).status, 400, "{wrong}");
    }
    assert_eq!(server.get("/mock/health")["status"], "ok");
}

/// Nobody waits so long for anything here.
const EVER: Duration = Duration::from_secs(100_000);
const SHORT: Duration = Duration::from_millis(100);

fn patient(patience: Patience) -> MockServer {
    let config = Config::from_json(&config()).unwrap();
    MockServer::start_with(Options { config, patience, ..Options::default() }).unwrap()
}

fn ended(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen);
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn who_is_too_slow_is_given_up_and_told_so() {
    let server = patient(Patience { head: SHORT, piece: SHORT, body: EVER });
    let mut head = TcpStream::connect(Server::address(&server)).unwrap();
    head.write_all(b"POST /track HT").unwrap();
    let mut body = TcpStream::connect(Server::address(&server)).unwrap();
    body.write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[").unwrap();
    assert_eq!(server.track(json!({"event": "A", "properties": {"token": "T"}})), "1", "others are served");
    // Of what is no request yet nobody is told anything.
    assert_eq!(ended(&mut head), "");
    assert_eq!(status(&ended(&mut body)), 408);
    assert_eq!(server.get("/mock/stats")["requests"]["408"], 1);
    assert_eq!(server.total(""), 1);
}

#[test]
fn who_sends_a_body_drop_by_drop_is_given_up_and_told_so() {
    // Every drop is in time: only the time for the whole body ends this.
    let server = patient(Patience { head: EVER, piece: EVER, body: SHORT });
    let mut dripping = TcpStream::connect(Server::address(&server)).unwrap();
    dripping.write_all(b"POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n").unwrap();
    let mut writer = dripping.try_clone().unwrap();
    let drops = std::thread::spawn(move || {
        while writer.write_all(b" ").is_ok() {
            std::thread::yield_now();
        }
    });
    assert_eq!(status(&ended(&mut dripping)), 408);
    drops.join().unwrap();
    assert_eq!(server.get("/mock/stats")["requests"]["408"], 1);
    assert_eq!(server.total(""), 0);
}

/// Everything that could make the server say something, and what it says then.
#[test]
fn no_line_of_the_log_carries_a_token_an_id_a_body_or_a_query() {
    let folder = Folder::new("log");
    let secret = secret_text();
    let mut document = config();
    document["settings"]["unknown_token"] = json!("accept_and_count");
    document["projects"][0][secret.as_str()] = json!("a field that is not known");
    document["projects"][0].as_object_mut().unwrap().remove(&secret);
    document["projects"][0]["retention_event_days"] = json!(secret);
    let configuration = folder.configuration(&document);
    let log = folder.path().join("log");
    let mut command = std::process::Command::new("sh");
    command.env("REFRAIN_MOCK_CONTROL_TOKEN", "");
    let script = format!("ulimit -S -f 800; exec \"$0\" \"$@\" 2>\"{}\"", log.display());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_refrain-mock")]);
    let mut server = Process::start_through(command, &folder.data(), &configuration);
    let secretly = |text: &str| text.replace("SECRET", &secret);
    for (method, target, body) in [
        ("POST", "/track", r#"{"event":"SECRET","properties":{"token":"SECRET","distinct_id":"SECRET"}}"#),
        (
            "POST",
            "/track",
            r#"{"event":"SECRET","properties":{"token":"T","distinct_id":"SECRET","SECRET":"SECRET"}}"#,
        ),
        ("POST", "/track?verbose=1&SECRET=SECRET", r#"[{"SECRET":"#),
        ("GET", "/track?data=SECRET", ""),
        ("GET", "/SECRET?SECRET", ""),
        ("POST", "/mock/SECRET", "SECRET"),
        ("PUT", "/mock/config", r#"{"settings":{"SECRET":1}}"#),
        ("POST", "/refrain/v1/erasures", r#"{"token":"SECRET","device_id":"SECRET","secret":"SECRET"}"#),
        ("GET", "/refrain/v1/erasures/SECRET", ""),
        ("POST", "/api/app/data-deletions/v3.0/?token=SECRET", r#"{"distinct_ids":["SECRET"]}"#),
        ("PUT", "/mock/projects/SECRET/suppressed", r#"["SECRET"]"#),
    ] {
        let authorization = format!("Bearer {secret}");
        let headers = [JSON, ("authorization", authorization.as_str()), ("cookie", secret.as_str())];
        server.send(method, &secretly(target), &headers, secretly(body).as_bytes());
    }
    // Until the disk is full, and the server has to say so.
    let mut refused = 0;
    while refused == 0 {
        let events: Vec<Value> = (0..50)
            .map(|_| json!({"event": secret, "properties": {"token": "T", "distinct_id": secret_text(), "x": secret}}))
            .collect();
        let answer = server.send("POST", "/track", &[JSON], Value::from(events).to_string().as_bytes());
        refused += u32::from(answer.status == 503);
    }
    server.terminate();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("unknown project") && said.contains("storage fails"), "{said}");
    assert!(said.contains("retention_event_days"), "{said}");
    assert!(!said.contains(&secret), "{said}");
}

/// Anybody may send records of unknown projects; the operator is told of them, and not of each.
#[test]
fn unknown_projects_are_told_of_once_however_many_there_are() {
    let folder = Folder::new("told");
    let mut document = config();
    document["settings"]["unknown_token"] = json!("accept_and_count");
    let configuration = folder.configuration(&document);
    let log = folder.path().join("log");
    let mut command = std::process::Command::new("sh");
    let script = format!("exec \"$0\" \"$@\" 2>\"{}\"", log.display());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_refrain-mock")]);
    let mut server = Process::start_through(command, &folder.data(), &configuration);
    for n in 0..5 {
        assert_eq!(server.track(json!({"event": "A", "properties": {"token": format!("X{n}")}})), "1");
    }
    assert_eq!(server.get("/mock/stats")["suppressed_by"]["unknown_project"], 5);
    assert_eq!(server.terminate(), Some(0));
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!((said.matches("unknown project").count(), said.lines().count()), (1, 1), "{said}");
}

/// Tables may be ten times as large as other bodies, so whose they are is asked before they are read.
#[test]
fn a_table_of_nobody_is_not_kept() {
    let server = server(StorePlace::Memory);
    let table = [b"id,a\n".as_slice(), &b"1,2\n".repeat(100_000)].concat();
    let put = |headers: &[(&str, &str)], path: &str| {
        let answer = server.send("PUT", path, headers, &table);
        let log = server.get("/mock/requests");
        let kept = log["requests"].as_array().unwrap().last().unwrap()["decoded_bytes"].clone();
        (answer.status, kept)
    };
    let project = ("authorization", "Basic U0VDUkVUOg==");
    assert_eq!(put(&[], "/lookup-tables/x"), (401, json!(0)));
    assert_eq!(put(&[("authorization", "Basic Tk9CT0RZOg==")], "/lookup-tables/x"), (401, json!(0)));
    assert_eq!(put(&[project], "/lookup-tables/x?project_id=2"), (401, json!(0)));
    assert_eq!(put(&[project], "/lookup-tables/x"), (404, json!(table.len())));
}

/// Whose they are is asked before they are kept, and looked into. A device has little to say.
#[test]
fn a_large_body_of_somebody_unknown_is_not_kept() {
    let server = server(StorePlace::Memory);
    let ids = format!(r#"{{"distinct_ids":[{}1]}}"#, "1,".repeat(2_000_000));
    for (path, authorization, status, kept) in [
        ("/api/app/data-deletions/v3.0/?token=T", "", 401, 0),
        ("/api/app/data-deletions/v3.0/?token=T", "Bearer NOBODY", 401, 0),
        ("/api/app/data-retrievals/v3.0/?token=T", "Basic c2E6cHc=", 401, ids.len()),
        ("/api/query/engage?project_id=1", "", 401, 0),
        ("/api/query/engage?project_id=1", "Basic Tk9CT0RZOg==", 401, 0),
        ("/refrain/v1/erasures", "", 413, 0),
        ("/mock/config", "", 401, 0),
        // More than anybody may ask about.
        ("/api/app/data-deletions/v3.0/?token=T", "Bearer OWNER", 400, ids.len()),
        ("/api/query/engage?project_id=1", "Basic c2E6cHc=", 400, ids.len()),
    ] {
        let server = if path == "/mock/config" {
            let options = Options { control_token: Some("C".into()), ..Options::default() };
            &MockServer::start_with(options).unwrap()
        } else {
            &server
        };
        let method = if path == "/mock/config" { "PUT" } else { "POST" };
        let answer = server.send(method, path, &[JSON, ("authorization", authorization)], ids.as_bytes());
        assert_eq!(answer.status, status, "{path} {authorization}: {}", answer.text());
        if path != "/mock/config" {
            let log = server.get("/mock/requests");
            let last = log["requests"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["decoded_bytes"], kept, "{path} {authorization}");
        }
    }
    let refused = server.send("POST", "/refrain/v1/erasures", &[], &[b' '; 64 * 1024 + 1]);
    assert_eq!(refused.json()["error"], "request exceeds max limit of 65536 bytes");
    assert_eq!(server.send("POST", "/refrain/v1/erasures", &[], &[b' '; 64 * 1024]).status, 400);
}

/// As values, these are fifty times as large as they are as a text: they wait for each other.
#[test]
fn large_batches_at_once_are_all_taken_or_told_to_come_again() {
    const SENDERS: usize = 4;
    let folder = Folder::new("large");
    let mut server = Process::start(&folder.data(), &folder.configuration(&config()));
    let ones = "1,".repeat(489_000);
    let record = |n: usize| {
        format!(r#"{{"event":"A","properties":{{"token":"T","$insert_id":"{n}","ones":[{ones}1]}}}}"#)
    };
    let batch = |sender: usize| {
        let records: Vec<String> = (0..10).map(|n| record(10 * sender + n)).collect();
        format!("[{}]", records.join(",")).into_bytes()
    };
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (server, batch) = (&server, batch(sender));
            scope.spawn(move || {
                let zipped = [JSON, ("content-encoding", "gzip")];
                let answer = match sender % 2 {
                    0 => server.send("POST", "/track", &[JSON], &batch),
                    _ => server.send("POST", "/track", &zipped, &gzip(&batch)),
                };
                // Whoever has waited for very long is told to come again.
                let later = answer.header("retry-after").is_some();
                assert!((answer.status, answer.text().as_str()) == (200, "1") || later, "{}", answer.text());
            });
        }
    });
    let (total, answered) = (server.total(""), server.get("/mock/stats")["requests"]["200"].as_u64());
    assert!(total >= 10 && answered.is_some_and(|answered| total == 10 * answered), "{total} {answered:?}");
    server.terminate();
}

#[test]
fn a_form_of_very_many_fields_is_refused() {
    let server = server(StorePlace::Memory);
    let form = "a&".repeat(1_000_000) + "verbose=1&data=[]";
    let secret =
        [("authorization", "Basic U0VDUkVUOg=="), ("content-type", "application/x-www-form-urlencoded")];
    for path in ["/track?verbose=1", "/engage?verbose=1", "/groups?verbose=1"] {
        let answer = server.send("POST", path, &secret, form.as_bytes());
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.json(),
            json!({"error": "request exceeds max limit of 1000 form fields", "status": 0})
        );
    }
    for path in ["/import", "/api/query/engage"] {
        let answer = server.send("POST", path, &secret, form.as_bytes());
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("1000 form fields"), "{}", answer.text());
    }
}

/// SPEC §2.2: a bad record is refused alone. What is as deep as may be is stored, and can be read again.
#[test]
fn a_record_nested_without_end_is_refused_alone() {
    const DEEPEST: usize = 127;
    let server = server(StorePlace::Memory);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let now = server.get("/mock/clock")["now_s"].as_f64().unwrap().floor();
    let event = |name: &str, depth: usize| {
        format!(
            r#"{{"event":"{name}","properties":{{"token":"T","distinct_id":"u","$insert_id":"{name}","time":{now},"deep":{}}}}}"#,
            nested(depth)
        )
    };
    let json = ("content-type", "application/json");
    let secret = ("authorization", "Basic U0VDUkVUOg==");
    let track = |batch: &str| server.send("POST", "/track?verbose=1", &[json], batch.as_bytes()).json();
    let batch = |n: usize, depth: usize| {
        format!(
            "[{},{},{}]",
            event(&format!("a{n}"), 1),
            event(&format!("deep{n}"), depth),
            event(&format!("b{n}"), 1)
        )
    };
    assert_eq!(track(&batch(0, DEEPEST))["status"], 1);
    assert_eq!(server.total(""), 3);
    for (n, depth) in [DEEPEST + 1, 3_000_000].into_iter().enumerate() {
        let n = n + 1;
        assert_eq!(track(&batch(n, depth))["status"], 1, "{depth}");
        assert_eq!(server.total(""), 3 + 2 * n as u64, "{depth}");
    }
    let refused = track(&event("alone", DEEPEST + 1));
    assert_eq!(refused, serde_json::json!({"error": "event, nested more than 128 levels deep", "status": 0}));

    let import = |target: &str, batch: &str| server.send("POST", target, &[json, secret], batch.as_bytes());
    let strict = import("/import?strict=1", &batch(9, DEEPEST + 1));
    assert_eq!(strict.status, 400);
    let strict = strict.json();
    assert_eq!(strict["num_records_imported"], 2);
    assert_eq!(
        strict["failed_records"],
        serde_json::json!([{
            "index": 1, "insert_id": "deep9", "$insert_id": "deep9", "field": "properties.deep",
            "message": "'properties.deep' is invalid: must not be nested more than 128 levels deep",
        }])
    );
    assert_eq!(import("/import", &batch(8, DEEPEST + 1)).text(), "1");
    assert_eq!(server.total("event=deep8"), 0);

    for (depth, status) in [(DEEPEST, 1), (DEEPEST + 1, 0)] {
        let update = format!(r#"{{"$token":"T","$distinct_id":"u","$append":{{"deep":{}}}}}"#, nested(depth));
        let answer = server.send("POST", "/engage?verbose=1", &[json], update.as_bytes()).json();
        assert_eq!(answer["status"], status, "{answer}");
    }
    // Read as text: most readers of JSON stop at this depth.
    let whole = |target: &str| server.send("GET", target, &[secret], b"").text();
    let clock = server.get("/mock/clock");
    let day = &clock["now"].as_str().unwrap()[..10];
    let exported = whole(&format!("/api/2.0/export?from_date={day}&to_date={day}"));
    assert!(exported.contains(&nested(DEEPEST)), "what is as deep as may be is whole");
    assert!(whole("/api/query/engage").contains(&nested(DEEPEST)));
    assert_eq!(server.get("/mock/rejected")["total"], 6);
}

#[test]
fn odd_bytes_of_a_target_mean_what_their_codes_mean() {
    let server = server(StorePlace::Memory);
    let target = |name: &str, id: &str| {
        let data = format!(r#"{{"event":"{name}","properties":{{"token":"T","distinct_id":"{id}"}}}}"#);
        format!("GET /track?verbose=1&data={data} HTTP/1.1\r\nhost: localhost\r\n")
    };
    // Over one connection, each when the one before is answered.
    let mut stream = TcpStream::connect(Server::address(&server)).unwrap();
    for name in ["first", "second", "third"] {
        stream.write_all((target(name, "<u|\u{e4} \\u00e4>`^") + "\r\n").as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(br#"{"error":null,"status":1}"#) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&seen)));
            seen.push(byte[0]);
        }
    }
    let events = server.get("/mock/events");
    assert_eq!(events["total"], 3);
    assert_eq!(events["events"][2]["properties"]["distinct_id"], "<u|\u{e4} \u{e4}>`^");
    // In bytes that are no text, and in a body that looks like the line of a request.
    let odd = [b"GET /track?data=\"\xff\x01 HTTP/1.1\r\nhost: x\r\n\r\n".as_slice()].concat();
    assert!(raw(&server, &odd).ends_with("\r\n\r\n0"));
    let body = b"POST /\" {\"event\":\"in the body\",\"properties\":{\"token\":\"T\"}}";
    let head = format!("POST /track HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    assert!(raw(&server, &[head.as_bytes(), body].concat()).ends_with("\r\n\r\n0"));
    assert_eq!(server.get("/mock/rejected")["rejected"][1]["bytes"], body.len());
}

#[test]
fn what_is_no_request_is_told_so() {
    let server = server(StorePlace::Memory);
    let many = "a: b\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
    let long = format!("GET /track?data={} HTTP/1.1\r\n\r\n", "A".repeat(70_000));
    for (request, expected) in [
        ("G{T / HTTP/1.1\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        (&many, 431),
        (&long, 414),
    ] {
        let answer = raw(&server, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(status(head), expected, "{head}");
        let document: Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["status"], "error", "{body}");
        assert!(document["error"].is_string() && document["hint"].is_string(), "{body}");
        assert!(head.contains("content-type: application/json") && head.contains("nosniff"), "{head}");
    }
}

/// SPEC §5: a page that may collect is told of errors too, also of those that come before there is a request.
#[test]
fn what_is_no_request_is_told_so_in_a_way_that_pages_can_read() {
    let mut document = config();
    document["settings"]["cors_origins"] = json!(["https://a.test"]);
    let options = Options { config: Config::from_json(&document).unwrap(), ..Options::default() };
    let server = MockServer::start_with(options).unwrap();
    let long = "A".repeat(70_000);
    let many = "a: b\r\n".repeat(101);
    for (path, origin, is_told) in [
        ("/track", "https://a.test", true),
        ("/engage/", "https://a.test", true),
        ("/track", "https://b.test", false),
        ("/import", "https://a.test", false),
        ("/mock/events", "https://a.test", false),
    ] {
        for (request, expected) in [
            (format!("GET {path}?data={long} HTTP/1.1\r\nOrigin: {origin}\r\n\r\n"), 414),
            (format!("POST {path} HTTP/1.1\r\norigin:{origin}\r\n{many}\r\n"), 431),
            (format!("POST {path} HTTP/1.1\r\norigin: {origin}\r\na b: c\r\n\r\n"), 400),
        ] {
            let answer = raw(&server, request.as_bytes());
            assert_eq!(status(&answer), expected, "{answer}");
            let allowed = format!("access-control-allow-origin: {origin}\r\n");
            let has = [allowed.as_str(), "access-control-allow-credentials: true\r\n"];
            assert_eq!(has.map(|header| answer.contains(header)), [is_told; 2], "{path}: {answer}");
        }
    }
}
