//! `/mock/openapi.json` against the server: every operation is called with its own example, and what comes back is what
//! the description says.

use refrain_mock::{MockServer, StorePlace};
use serde_json::{Value, json};

use crate::support::{Answer, Server, server};

/// A schema of the document, with what it refers to.
fn schema_of(document: &Value, schema: &Value) -> Value {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    whole
}

/// Whether an answer is as described for its status.
fn check(document: &Value, name: &str, operation: &Value, answer: &Answer) {
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{name}: {} is not described: {}", answer.status, answer.text());
    let Some(schema) = described.pointer("/content/application~1json/schema") else { return };
    let validator = jsonschema::validator_for(&schema_of(document, schema)).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&answer.json())
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {}", answer.text());
}

/// Something of every kind, so that answers are not empty.
fn fill(server: &MockServer) {
    let mut document = crate::support::config();
    document["settings"]["store_replays"] = json!(true);
    document["settings"]["keep_rejected"] = json!(true);
    server.control("PUT", "/mock/config", document);
    server.track(json!([
        {"event": "A", "properties": {"token": "T", "$device_id": "D", "$user_id": "u"}},
        {"event": "A", "properties": {"token": "T"}},
        {"event": ""},
    ]));
    for (path, record) in [
        ("/engage", json!({"$token": "T", "$distinct_id": "u", "$set": {"a": 1}})),
        ("/groups", json!({"$token": "T", "$group_key": "g", "$group_id": "1", "$set": {"members": ["u"]}})),
    ] {
        server.send("POST", path, &[("content-type", "application/json")], record.to_string().as_bytes());
    }
    server.send("POST", "/record/?distinct_id=u", &[("authorization", "Basic VDo=")], b"x");
    server.gdpr("POST", "", r#"{"distinct_ids":["w"]}"#);
    server.retrieval("POST", "", r#"{"distinct_ids":["u"]}"#);
}

#[test]
fn every_operation_answers_as_described() {
    let server = server(StorePlace::Memory);
    let document = server.get("/mock/openapi.json");
    let mut called = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method == "parameters" || operation["operationId"] == "stream" {
                continue;
            }
            server.control("POST", "/mock/reset", json!({}));
            fill(&server);
            let task = server.get("/mock/tasks")["tasks"][0]["id"].as_str().unwrap().to_owned();
            let mut target = path.replace("{token}", "T").replace("{id}", &task);
            let needed = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|one| one["required"] == true);
            for (index, parameter) in needed.enumerate() {
                let value = match parameter["name"].as_str().unwrap() {
                    "project" => "T",
                    "distinct_id" => "u",
                    "account" => "owner@example.test",
                    other => panic!("{other}"),
                };
                target += &format!(
                    "{}{}={value}",
                    if index == 0 { "?" } else { "&" },
                    parameter["name"].as_str().unwrap()
                );
            }
            let example = operation.pointer("/requestBody/content/application~1json/example");
            if let Some(example) = example {
                let schema = operation.pointer("/requestBody/content/application~1json/schema").unwrap();
                let validator = jsonschema::validator_for(&schema_of(&document, schema)).unwrap();
                assert!(validator.is_valid(example), "{method} {path}: the example is not as described");
            }
            let body = example.map(Value::to_string).unwrap_or_default();
            let name = format!("{} {path}", method.to_uppercase());
            let answer = server.send(&method.to_uppercase(), &target, &[], body.as_bytes());
            check(&document, &name, operation, &answer);
            if !path.contains("{id}") && !path.ends_with("/restore") {
                assert!(answer.status < 300, "{name}: {}", answer.text());
            }
            if example.is_some() {
                let wrong = server.send(&method.to_uppercase(), &target, &[], b"{");
                check(&document, &name, operation, &wrong);
                assert_eq!(wrong.status, 400, "{name}");
            }
            called += 1;
        }
    }
    assert!(called > 35, "{called}");
}

#[test]
fn the_stream_tells_what_comes_as_it_comes() {
    use std::io::{BufRead, BufReader, Write};
    let server = server(StorePlace::Memory);
    server.track(json!({"event": "Before", "properties": {"token": "T"}}));
    let mut stream = std::net::TcpStream::connect(Server::address(&server)).unwrap();
    write!(stream, "GET /mock/stream?project=T HTTP/1.1\r\nhost: {}\r\n\r\n", Server::address(&server))
        .unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "content-type: text/event-stream"));
    // The counters come first: from now on the stream is open.
    assert!(lines.any(|line| line == "event: stats"));
    server.track(json!({"event": "Now", "properties": {"token": "T"}}));
    assert!(lines.any(|line| line == "event: events"));
    let id = lines.next().unwrap();
    let data = lines.next().unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["total"], &data["events"][0]["event"]), (&json!(2), &json!("Now")));
    drop(stream);

    let after = id.strip_prefix("id: ").unwrap().parse::<i64>().unwrap() - 1;
    server.track(json!({"event": "Later", "properties": {"token": "T"}}));
    let mut again = std::net::TcpStream::connect(Server::address(&server)).unwrap();
    write!(
        again,
        "GET /mock/stream HTTP/1.1\r\nhost: {}\r\nlast-event-id: {after}\r\n\r\n",
        Server::address(&server)
    )
    .unwrap();
    let mut lines = BufReader::new(again).lines().map(Result::unwrap);
    let missed = lines.find(|line| line.starts_with("data: {\"events\"")).unwrap();
    assert!(missed.contains("\"Now\"") && missed.contains("\"Later\"") && !missed.contains("\"Before\""));
}

/// A stream that somebody listens to is ended in order, and not cut off when patience is over.
#[test]
fn an_open_stream_ends_with_the_server() {
    use std::io::{Read, Write};
    let server = server(StorePlace::Memory);
    let address = Server::address(&server);
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET /mock/stream HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    drop(server);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}
