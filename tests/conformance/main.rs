//! Replays the wire vectors (SPEC §22) against the real `refrain-mock` program, over a real socket.
//!
//! Vectors that the server does not yet pass stand in `pending.txt`, by id. The list is exact: a vector that fails
//! and is not in it fails the test, and so does one that passes and still is. `REFRAIN_PENDING=write` rewrites it.

mod matching;
mod stored;
mod vector;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use refrain_tests::mock_server::MockServer;
use serde_json::{Map, Value, json};

use vector::{Captures, Vector, Vectors};

/// Those of the specification, and those of its boundaries that it has no vector for.
const VECTORS: &str = concat!(include_str!("vectors.jsonl"), include_str!("boundaries.jsonl"));

/// The entries of `state` that only a human can check, by vector. One that is misspelt would be among them.
const PROSE: [(&str, &str); 1] = [("br-engage-batch", "profile u-42")];

#[test]
fn the_server_answers_every_vector_as_specified() {
    let vectors = Vectors::parse(VECTORS).expect("the vectors");
    let server = MockServer::in_memory().expect("a running server");
    let mut kinds: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut failures: BTreeMap<&str, String> = BTreeMap::new();
    let mut prose = Vec::new();
    for vector in &vectors.all {
        let counts = kinds.entry(&vector.kind).or_default();
        counts.1 += 1;
        match replay(&server, &vectors, vector) {
            Ok(left) => {
                counts.0 += 1;
                prose.extend(left);
            }
            Err(error) => {
                failures.insert(&vector.id, format!("{error:#}"));
            }
        }
    }

    println!("\nvectors passed, by kind:");
    for (kind, (passed, all)) in &kinds {
        println!("  {kind:22} {passed:3} of {all:3}");
    }
    let all = vectors.all.len();
    println!(
        "  {:22} {:3} of {all:3}; {} entries of `state` are prose",
        "all",
        all - failures.len(),
        prose.len()
    );

    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/pending.txt");
    if std::env::var("REFRAIN_PENDING").is_ok_and(|it| it == "write") {
        let ids: String = failures.keys().map(|id| format!("{id}\n")).collect();
        std::fs::write(&file, ids).expect("pending.txt can be written");
    }
    let listed = std::fs::read_to_string(&file).expect("pending.txt");
    let pending: BTreeSet<&str> = listed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut wrong = Vec::new();
    for (id, why) in &failures {
        if !pending.contains(id) {
            wrong.push(format!("{id} fails: {why}"));
        }
    }
    let by_id = vectors.by_id();
    for id in &pending {
        if !by_id.contains_key(id) {
            wrong.push(format!("{id} is pending, but there is no such vector"));
        } else if !failures.contains_key(id) {
            wrong.push(format!("{id} passes: take it off conformance/pending.txt"));
        }
    }
    if prose != PROSE {
        wrong.push(format!("other entries of `state` are left to a human than stand in PROSE: {prose:?}"));
    }
    assert!(wrong.is_empty(), "{} vectors are not as they should be:\n{}", wrong.len(), wrong.join("\n"));
}

/// Replays one vector on an empty store; returns which entries of its `state` only a human can check.
fn replay<'a>(server: &MockServer, vectors: &Vectors, vector: &'a Vector) -> Result<Vec<(&'a str, &'a str)>> {
    let (settings, sent_before) = preparation(vector);
    server.control("PUT", "/mock/config", Some(&vectors.config(&settings)))?;
    server.control("POST", "/mock/reset", Some(&json!({})))?;
    let mut captures = Captures::new();
    let by_id = vectors.by_id();
    for id in &vector.after {
        let earlier = by_id[id.as_str()];
        set_clock(server, earlier.clock_s)?;
        exchange(server, earlier, &mut captures).with_context(|| format!("precondition {id}"))?;
    }
    set_clock(server, vector.clock_s + vector.advance_s)?;
    for _ in 0..sent_before {
        server.send(&vector.request(&captures)?)?;
    }
    exchange(server, vector, &mut captures)?;
    if let Some(records) = &vector.decoded {
        stored::check_decoded(server, vector, records)?;
    }
    stored::check_state(server, vector)
}

/// What the harness adds where a vector's notes ask for it: settings, and how often the request goes out before.
fn preparation(vector: &Vector) -> (Map<String, Value>, usize) {
    let mut settings = vector.settings.clone();
    if vector.id == "import-429" {
        // The limiter's window is a minute: at one event a minute the second request is over it.
        settings.insert("import_rate_limit".to_owned(), json!(1.0 / 60.0));
        return (settings, 2);
    }
    (settings, 0)
}

fn set_clock(server: &MockServer, now_s: i64) -> Result<()> {
    server.control("PUT", "/mock/clock", Some(&json!({"now_s": now_s, "frozen": true})))?;
    Ok(())
}

fn exchange(server: &MockServer, vector: &Vector, captures: &mut Captures) -> Result<()> {
    let response = server.send(&vector.request(captures)?)?;
    matching::check(&vector.response(captures)?, &response, captures)
}
