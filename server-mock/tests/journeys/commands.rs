//! The command line, as a person or a CI script meets it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use refrain_mock::{MockServer, Options, StorePlace};
use serde_json::{Value, json};

use crate::support::{Folder, Process, Server, config, gzip, server, try_send};
use crate::tool::tool;

/// A device and its proof: the first 128 bits of the secret's SHA-256, as a UUID of version 4.
const SECRET: &str = "07070707070707070707070707070707";
const DEVICE: &str = "d761d406-af2a-4a5a-95f6-7c924378ed88";

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refrain-mock")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that sends events: this very test program, told to run only [`sends_what_it_is_told`].
fn sending(name: &str, times: usize) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let told = format!("REFRAIN_SENDS={times} {name}");
    ["env", &told, &program, "--exact", "commands::sends_what_it_is_told", "--quiet"]
        .map(str::to_owned)
        .to_vec()
}

/// A command that sends these requests: method, target, body. Who reads the answers is nobody.
fn asking(requests: &[(&str, &str, Value)]) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let told = format!("REFRAIN_ASKS={}", json!(requests));
    ["env", &told, &program, "--exact", "commands::sends_what_it_is_told", "--quiet"]
        .map(str::to_owned)
        .to_vec()
}

/// A command that ends before something of its own sends: that waits until the shell has let go of a pipe.
fn leaving_behind(folder: &Folder, command: &[String]) -> Vec<String> {
    let pipe = folder.path().join("alive");
    let script = r#"mkfifo "$0" && { { cat "$0"; "$@"; } & } && exec 9>"$0""#;
    let mut all = ["sh", "-c", script, pipe.to_str().unwrap()].map(str::to_owned).to_vec();
    all.extend_from_slice(command);
    all
}

/// Not a test by itself: the client of the checks below.
#[test]
fn sends_what_it_is_told() {
    let Ok(url) = std::env::var("REFRAIN_MOCK_URL") else { return };
    let address = url.strip_prefix("http://").unwrap();
    if let Ok(what) = std::env::var("REFRAIN_SENDS") {
        let (times, name) = what.split_once(' ').unwrap();
        for n in 0..times.parse().unwrap() {
            let body = json!({"event": name, "properties": {"token": "T", "n": n}}).to_string();
            try_send(address, "POST", "/track", &[], body.as_bytes()).unwrap();
        }
    }
    if let Ok(what) = std::env::var("REFRAIN_ASKS") {
        let requests: Vec<(String, String, Value)> = serde_json::from_str(&what).unwrap();
        for (method, target, body) in requests {
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let headers = [("authorization", "Basic VDo=")];
            // Where a fault cuts the connection, there is no answer.
            let _ = try_send(address, &method, &target, &headers, body.as_bytes());
        }
    }
}

fn check(options: &[&str], command: &[String]) -> Output {
    let arguments: Vec<&str> = std::iter::once("check")
        .chain(options.iter().copied())
        .chain(["--"])
        .chain(command.iter().map(String::as_str))
        .collect();
    run(&arguments)
}

#[test]
fn a_check_passes_when_what_arrived_is_what_was_asked() {
    let output = check(
        &["--min", "2", "--max", "3", "--event", "A=2", "--no-rejected", "--no-duplicates"],
        &sending("A", 2),
    );
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("2 events") && said(&output).contains("as asked"));
    let url = check(&["--max", "0"], &["sh".into(), "-c".into(), "test {url} = $REFRAIN_MOCK_URL".into()]);
    assert_eq!(code(&url), 0, "{}", said(&url));
}

#[test]
fn a_check_fails_and_says_why() {
    for (options, reason) in [
        (&["--min", "3"][..], "expected any event, at least 3 times, found 2"),
        (&["--max", "0"], "expected any event, never, found 2"),
        (&["--event", "B"], "expected event \"B\", at least once, found 0"),
        (&["--event", "A=1"], "expected event \"A\", once, found 2"),
        (&["--min", "1", "--project", "other"], "of project \"other\", at least once, found 0"),
    ] {
        let output = check(options, &sending("A", 2));
        assert_eq!(code(&output), 1, "{}", said(&output));
        assert!(said(&output).contains(reason), "{}", said(&output));
    }
    let output = check(&["--no-rejected"], &sending("", 1));
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("on /track: event, missing"), "{}", said(&output));
}

#[test]
fn a_silence_is_one_on_every_route_that_takes_something_about_persons() {
    let event = |properties: Value| json!([{"event": "A", "properties": properties}]);
    let folder = Folder::new("silence");
    let configuration = folder.configuration(&config());
    let configured = &["--config", configuration.to_str().unwrap()][..];
    let track = ("POST", "/track", event(json!({"token": "T"})));
    for (options, requests, said_of) in [
        (
            &[][..],
            vec![("POST", "/engage/", json!({"$token": "T", "$distinct_id": "u", "$set": {}}))],
            "1 on /engage",
        ),
        (&[], vec![("POST", "/groups", json!([{"$token": "T"}, {"$token": "T"}]))], "2 on /groups"),
        (&[], vec![("POST", "/record?distinct_id=u", json!("x"))], "1 on /record"),
        (&[], vec![("POST", "/import", event(json!({"time": 1})))], "1 on /import"),
        (&[], vec![("GET", "/flags/?context=%7B%22distinct_id%22%3A%22u%22%7D", json!(""))], "1 on /flags"),
        (&[], vec![("POST", "/track", json!([{"event": ""}]))], "1 on /track"),
        (&[], vec![("POST", "/track", json!("data=nonsense"))], "1 on /track"),
        (&[], vec![("POST", "/track", event(json!({"token": "T", "$ignore": true})))], "1 on /track"),
        (configured, vec![("POST", "/track", event(json!({"token": "nobody's"})))], "1 on /track"),
        (
            configured,
            vec![
                ("PUT", "/mock/projects/T/suppressed", json!({"distinct_ids": ["u"]})),
                ("POST", "/track", event(json!({"token": "T", "distinct_id": "u"}))),
            ],
            "1 on /track",
        ),
        (&[], vec![track.clone(), ("POST", "/mock/reset", json!({}))], "1 on /track"),
        (&[], vec![track.clone(), ("PUT", "/mock/clock", json!({"advance": "P6Y"}))], "1 on /track"),
        (&[], vec![("POST", "/mock/faults", json!({"act": {"status": 503}})), track.clone()], "1 on /track"),
        (
            &["--project", "T"],
            vec![("POST", "/engage", json!({"$token": "T"})), track.clone()],
            "1 on /engage, 1 on /track",
        ),
    ] {
        let options = [&["--max", "0"], options].concat();
        let output = check(&options, &asking(&requests));
        let text = said(&output);
        assert_eq!(code(&output), 1, "{requests:?}: {text}");
        assert!(text.contains(&format!("there came {said_of}")), "{requests:?}: {text}");
    }
    // Of a device that has withdrawn: the id is made from the secret.
    let erasure = json!({"token": "T", "device_id": DEVICE, "secret": SECRET});
    let silent = [
        ("GET", "/", json!("")),
        ("GET", "/mock/events?event=A", json!("")),
        ("GET", "/mock/events/?event=A", json!("")),
        ("PUT", "/mock/projects/T/suppressed", json!({"distinct_ids": ["u"]})),
        ("OPTIONS", "/track", json!("")),
        ("POST", "/refrain/v1/erasures", erasure),
        ("GET", "/refrain/v1/erasures/1", json!("")),
        ("GET", "/api/2.0/export?from_date=2026-09-01&to_date=2026-09-01", json!("")),
    ];
    let mut document = config();
    // What all of these requests show is "T:".
    document["projects"][0]["project_secret"] = json!("T");
    let configuration = folder.configuration(&document);
    let options = ["--max", "0", "--config", configuration.to_str().unwrap()];
    let output = check(&options, &asking(&silent));
    assert_eq!(code(&output), 0, "{}", said(&output));
    let other = check(&["--max", "0", "--project", "other"], &asking(&[track]));
    assert_eq!(code(&other), 0, "{}", said(&other));
}

/// A client that was given a wrong address leaks all the same, and one that only asks for its settings is not silent (C13).
#[test]
fn a_silence_is_broken_by_whatever_arrives_wherever_it_does() {
    let event = || json!({"event": "Leak", "properties": {"token": "T", "distinct_id": "ada@example.test"}});
    let data = "/?data=%7B%22event%22%3A%22Leak%22%7D";
    for (method, target, body, said_of) in [
        ("POST", "/v1/track", event(), "1 on (unknown)/track"),
        ("POST", "//track", event(), "1 on (unknown)/track"),
        ("POST", "/mp/track/", event(), "1 on (unknown)/track"),
        ("POST", "/TRACK", event(), "1 on (unknown)/track"),
        ("POST", "/track/x", event(), "1 on (unknown)/track"),
        ("POST", "/api/2.0/track", event(), "1 on (unknown)/track"),
        ("POST", "/mock/track", event(), "1 on (unknown)/track"),
        ("POST", "/ada@example.test", event(), "1 on (unknown)\n"),
        ("GET", "/ada@example.test", json!(""), "1 on (unknown)\n"),
        ("POST", "/", event(), "1 on /\n"),
        ("GET", data, json!(""), "1 on /\n"),
        ("GET", "/track", json!(""), "1 on /track\n"),
        ("PUT", "/track", event(), "1 on /track\n"),
        ("OPTIONS", "/flags/?context=ada", json!(""), "1 on /flags\n"),
        ("GET", "/settings/?mp_lib=web&distinct_id=ada", json!(""), "1 on /settings\n"),
        ("GET", "/decide", json!(""), "1 on /decide\n"),
        ("PUT", "/lookup-tables/1", json!("id,name"), "1 on /lookup-tables\n"),
        ("POST", "/api/query/engage", event(), "1 on /api\n"),
        ("POST", "/api/query/engage", json!([event()]), "1 on /api\n"),
        ("POST", "/refrain/v1/erasures", event(), "1 on /refrain/v1/erasures\n"),
    ] {
        let output = check(&["--max", "0"], &asking(&[(method, target, body)]));
        let text = said(&output);
        assert_eq!(code(&output), 1, "{method} {target}: {text}");
        assert!(text.contains(&format!("there came {said_of}")), "{method} {target}: {text}");
        assert!(!text.contains("ada"), "{method} {target}: {text}");
    }
}

#[test]
fn whoever_stops_a_check_stops_its_command() {
    // Says that it is there, and waits for somebody who never comes: in a program of its own, since shells do not pass
    // signals on.
    let waiting = r#"echo up >"$0"; cat "$0"; true"#;
    // Starts something when it is told already.
    let starting = r#"trap 'cat "$0" & exit 1' TERM; echo up >"$0"; while :; do :; done"#;
    for (script, signal, expected) in [(waiting, "TERM", 143), (waiting, "INT", 130), (starting, "TERM", 1)] {
        let folder = Folder::new("stopped");
        let pipe = folder.path().join("alive");
        tool("mkfifo", &[&pipe]);
        let mut stopped = Command::new(env!("CARGO_BIN_EXE_refrain-mock"))
            .args(["check", "--min", "1", "--", "sh", "-c", script, pipe.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(std::fs::read_to_string(&pipe).unwrap(), "up\n");
        tool("kill", &[&format!("-{signal}"), &stopped.id().to_string()]);
        assert_eq!(stopped.wait().unwrap().code(), Some(expected), "{signal}");
        // Ends when nobody holds the other end: the command is gone, too.
        std::io::copy(&mut stopped.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    }
}

/// With the whole time of a test to wait in: it ends as soon as it is known that something is wrong.
#[test]
fn a_check_waits_for_what_must_not_come() {
    for (options, command, reason) in [
        (&["--event", "A=..0"][..], sending("A", 1), "\"A\", never, found 1"),
        (&["--max", "1", "--min", "0"], sending("A", 2), "any event, at most once, found 2"),
        (&["--max", "0"], asking(&[("POST", "/engage", json!({"$token": "T"}))]), "there came 1 on /engage"),
        (&["--no-rejected"], sending("", 1), "expected no rejected records, found 1"),
    ] {
        let folder = Folder::new("late");
        let options = [options, &["--within", "600"]].concat();
        let output = check(&options, &leaving_behind(&folder, &command));
        assert_eq!(code(&output), 1, "{options:?}: {}", said(&output));
        assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
    }
}

#[test]
fn a_check_refuses_what_cannot_be_meant() {
    for (options, reason) in [
        (&["--min", "3", "--max", "1"][..], "--min 3 and --max 1"),
        (&["--event", "A=x"], "A=x=1.."),
        (&["--event", "A=5..2"], "least"),
        (&["--event", "=2"], "name"),
    ] {
        let output = check(options, &["true".to_owned()]);
        assert_eq!(code(&output), 2, "{options:?}: {}", said(&output));
        assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
    }
}

#[test]
fn a_check_passes_on_how_its_command_ended() {
    let shell = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    assert_eq!(code(&check(&["--max", "0"], &shell("exit 42"))), 42);
    assert_eq!(code(&check(&["--max", "0"], &shell("kill -9 $$"))), 137);
    let missing = check(&["--max", "0"], &["there-is-no-such-program".into()]);
    assert_eq!(code(&missing), 127);
    assert!(said(&missing).contains("there-is-no-such-program"));
    let nothing = check(&[], &shell("exit 0"));
    assert_eq!(code(&nothing), 2);
    assert!(said(&nothing).contains("--min"));
    assert_eq!(code(&run(&["check", "--min", "1"])), 2, "a command is needed");
}

#[test]
fn exported_events_are_imported_once_however_often() {
    let folder = Folder::new("import");
    let source = server(StorePlace::Memory);
    source.control("PUT", "/mock/clock", json!({"now_s": 1_788_220_800, "frozen": true}));
    let events: Vec<Value> = (0..4500)
        .map(|n| json!({"event": "A", "properties": {"token": "T", "$device_id": format!("d{}", n % 5), "$insert_id": format!("i{n}"), "n": n}}))
        .collect();
    for batch in events.chunks(2000) {
        source.track(batch.to_vec().into());
    }
    let target = "/api/2.0/export?project_id=1&from_date=2026-08-31&to_date=2026-09-01";
    let exported = source.send("GET", target, &[("authorization", "Basic c2E6cHc=")], b"").body;
    let (plain, zipped) = (folder.path().join("export.ndjson"), folder.path().join("export.ndjson.gz"));
    std::fs::write(&plain, &exported).unwrap();
    std::fs::write(&zipped, gzip(&exported)).unwrap();
    let data = folder.data();
    let import = |file: &str| run(&["import", file, "--store", data.to_str().unwrap(), "--project", "T"]);
    let first = import(zipped.to_str().unwrap());
    assert_eq!((code(&first), said(&first).contains("4500 stored")), (0, true), "{}", said(&first));
    let again = import(plain.to_str().unwrap());
    assert!(said(&again).contains("0 stored, 4500 replaced"), "{}", said(&again));

    let broken = folder.path().join("broken.ndjson");
    std::fs::write(
        &broken,
        "{\"event\":\"B\",\"properties\":{\"time\":1788220800}}\n\nnot json\n[]\n{\"event\":\"\"}\n",
    )
    .unwrap();
    let refused = import(broken.to_str().unwrap());
    assert_eq!(code(&refused), 3);
    for line in
        ["line 3: the line is not JSON", "line 4: ", "line 5: 'event' must not be missing", "1 stored"]
    {
        assert!(said(&refused).contains(line), "{}", said(&refused));
    }
    let mut piped = Command::new(env!("CARGO_BIN_EXE_refrain-mock"))
        .args(["import", "-", "--store", data.to_str().unwrap(), "--project", "T"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"{\"event\":\"C\",\"properties\":{}}").unwrap();
    assert!(piped.wait().unwrap().success());
    assert_eq!(code(&import("nowhere.ndjson")), 1);

    let configuration = folder.configuration(&config());
    let served = Process::start(&data, &configuration);
    assert_eq!((served.total("event=A"), served.total("event=B"), served.total("event=C")), (4500, 1, 1));
    assert_eq!(served.total("distinct_id=$device:d1"), 900);
    let busy = import(plain.to_str().unwrap());
    assert_eq!(code(&busy), 1);
    assert!(said(&busy).contains("in use"), "{}", said(&busy));
}

#[test]
fn a_folder_is_swept_without_a_server() {
    let folder = Folder::new("swept");
    let data = folder.data();
    {
        let server = server(StorePlace::Folder(data.clone()));
        server.control("PUT", "/mock/clock", json!({"now": "2019-01-01", "frozen": true}));
        for name in ["A", "B"] {
            server.track(json!({"event": name, "properties": {"token": "T", "distinct_id": "u"}}));
        }
    }
    let output = run(&["sweep", "--store", data.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("expired: 2 events"), "{}", said(&output));
    let server = server(StorePlace::Folder(data));
    assert_eq!(server.get("/mock/audit")["audit"][0]["counts"]["events"], 2);
}

/// An id that `$identify` merges.
const ANONYMOUS: &str = "6f8f1c1e-2d1c-4a11-9d0e-0f1b6ad1c111";

#[test]
fn what_falls_due_while_no_configuration_names_a_project_follows_the_merges_of_its_data() {
    for how in ["sweep", "serve"] {
        let folder = Folder::new("merged");
        let data = folder.data();
        let task = {
            let server = server(StorePlace::Folder(data.clone()));
            // An hour ago, so that it is due by now.
            let now = server.get("/mock/clock")["now_s"].as_f64().unwrap() as i64;
            server.control("PUT", "/mock/clock", json!({"now_s": now - 3600, "frozen": true}));
            server.track(json!([
                {"event": "Before", "properties": {"token": "O", "distinct_id": ANONYMOUS}},
                {"event": "$identify", "properties": {"token": "O", "$identified_id": "U", "$anon_id": ANONYMOUS}},
                {"event": "Other", "properties": {"token": "O", "distinct_id": "V"}},
            ]));
            let target = "/api/app/data-deletions/v3.0/?token=O";
            let owner = [("authorization", "Bearer OWNER")];
            let answer = server.send("POST", target, &owner, br#"{"distinct_ids":["U"]}"#);
            answer.json()["results"]["task_id"].clone()
        };
        match how {
            "sweep" => {
                let output = run(&["sweep", "--store", data.to_str().unwrap()]);
                assert!(said(&output).contains("1 privacy tasks"), "{}", said(&output));
            }
            _ => {
                let store = StorePlace::Folder(data.clone());
                let server = MockServer::start_with(Options { store, ..Options::default() }).unwrap();
                server.control("POST", "/mock/sweep", json!({}));
            }
        }
        let server = server(StorePlace::Folder(data));
        let tasks = server.get("/mock/tasks");
        assert_eq!(
            (&tasks["tasks"][0]["id"], &tasks["tasks"][0]["status"]),
            (&task, &json!("SUCCESS")),
            "{how}"
        );
        assert_eq!((server.total(""), server.total("event=Other")), (1, 1), "{how}");
    }
}

#[test]
fn an_import_without_a_configuration_follows_the_merges_of_the_data_that_is_there() {
    let folder = Folder::new("merging");
    let data = folder.data();
    server(StorePlace::Folder(data.clone()))
        .track(json!({"event": "First", "properties": {"token": "O", "distinct_id": "V"}}));
    let lines = [
        json!({"event": "Before", "properties": {"time": 1_788_220_800, "distinct_id": ANONYMOUS, "$insert_id": "1"}}),
        json!({"event": "$identify", "properties": {
            "time": 1_788_220_801, "distinct_id": "U", "$identified_id": "U", "$anon_id": ANONYMOUS, "$insert_id": "2",
        }}),
    ];
    let file = folder.path().join("export.ndjson");
    std::fs::write(&file, lines.map(|line| line.to_string() + "\n").concat()).unwrap();
    let output =
        run(&["import", file.to_str().unwrap(), "--store", data.to_str().unwrap(), "--project", "O"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(server(StorePlace::Folder(data)).total("distinct_id=U"), 2);
}

#[test]
fn nothing_is_swept_where_nothing_is() {
    let folder = Folder::new("nowhere");
    for path in [folder.data(), folder.path().to_owned()] {
        let output = run(&["sweep", "--store", path.to_str().unwrap()]);
        assert_eq!(code(&output), 1, "{}", said(&output));
        assert!(said(&output).contains("serve --store"), "{}", said(&output));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    }
}

#[test]
fn every_command_explains_itself_and_shells_can_complete_them() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for command in ["serve", "check", "import", "sweep", "completions"] {
        assert!(help.contains(command), "{help}");
        let output = run(&["help", command]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.len() > 200, "{text}");
        if command != "completions" {
            assert!(text.contains("Exit codes") && text.contains("Example"), "{text}");
        }
    }
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef refrain-mock"), ("fish", "complete -c refrain-mock")]
    {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        assert!(script.contains(mark) && script.contains("no-rejected"), "{shell}");
    }
    let mistaken = run(&["serve", "--lisen", "127.0.0.1:0"]);
    assert_eq!(code(&mistaken), 2);
    assert!(said(&mistaken).contains("--listen"), "{}", said(&mistaken));
    assert_eq!(code(&run(&[])), 2);
}

/// To `serve` the word says that there is no folder: it would never read what came into one of that name.
#[test]
fn no_data_goes_into_a_folder_that_is_called_memory() {
    let folder = Folder::new("memory");
    for arguments in [&["import", "-", "--project", "T"][..], &["sweep"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_refrain-mock"))
            .args(arguments)
            .args(["--store", "memory"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains("./memory"), "{}", said(&output));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    }
}

#[test]
fn what_is_no_address_is_answered_with_one() {
    for wrong in ["8787", "localhost", "127.0.0.1:87870"] {
        let output = run(&["serve", "--listen", wrong]);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains("localhost:8787"), "{}", said(&output));
    }
}
