//! What a real client has recorded is replayed, says no more than it should, and shows where it was changed.

use refrain::engine::{Answer, CallKind, FlushState, Outcome, PersonalDataMode, Rejection};
use refrain::native::flight::Contents;
use refrain::native::{PendingRequest, Transport};
use refrain::{Builder, Client, OptOut};
use refrain_simulation::flight::replay;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// What nobody could have guessed, in all the places where a person's data can stand.
const PLANTED: [&str; 16] = [
    "tokenQ7xw",
    "eventQ7xw",
    "heldQ7xw",
    "keyQ7xw",
    "valueQ7xw \"quoted\\\"",
    "userQ7xw@example.org",
    "superQ7xw",
    "groupQ7xw",
    "memberQ7xw",
    "profileQ7xw",
    "deniedQ7xw",
    "ticketQ7xw",
    "automaticQ7xw",
    "denylistQ7xw",
    "timerQ7xwéß",
    "Q7xw",
];

/// A folder of the system's temporary ones, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("refrain-flight-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap_or_default()
    }

    /// The secrets that stand in the data folder.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for entry in std::fs::read_dir(self.at("data")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            secrets.extend(text.split("\"secret\":\"").skip(1).map(|rest| rest[..32].to_owned()));
        }
        assert!(!secrets.is_empty());
        secrets
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A collector in the process: the first requests fail, erasures are taken and then completed.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

impl Transport for Collector {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        let (url, is_get) = (request.url().to_owned(), request.is_get());
        let Ok(open) = request.open() else { return Answer::Unreachable };
        let mut bodies = self.0.lock().unwrap();
        bodies.push(open.body().into());
        let response = |status, body: &str| Answer::Response { status, retry_after: None, body: body.into() };
        match bodies.len() {
            1 => response(500, "<html>valueQ7xw</html>"),
            2 => Answer::TimedOut,
            _ if url.contains("/erasures") && is_get => {
                response(200, r#"{"id":"ticketQ7xw","state":"completed","receipt":{"by":"Q7xw"}}"#)
            }
            _ if url.contains("/erasures") => response(202, r#"{"id":"ticketQ7xw","state":"accepted"}"#),
            _ => response(200, r#"{"status":1,"error":null}"#),
        }
    }
}

fn builder(folder: &Folder, collector: &Collector, name: &str, contents: Contents) -> Builder {
    unrecorded(folder, collector).record_flight(folder.at(name), contents)
}

fn unrecorded(folder: &Folder, collector: &Collector) -> Builder {
    Client::builder("tokenQ7xw")
        .data_dir(folder.at("data"))
        .flush_interval(Duration::from_millis(200))
        .deny_list(["denylistQ7xw"])
        .automatic_properties_json(r#"{"automaticQ7xw":"Q7xw","$os":"Q7xw"}"#)
        .transport_if_first(collector.clone())
}

fn flushed(client: &Client) {
    let start = Instant::now();
    while client.flush(PATIENCE) != FlushState::Done {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A first session: calls that are held, a grant, all that can be recorded, requests that fail.
fn first_session(folder: &Folder, collector: &Collector, contents: Contents) {
    let client = builder(folder, collector, "first", contents).build().unwrap();
    assert_eq!(client.call(CallKind::Track, "heldQ7xw", r#"{"keyQ7xw":"valueQ7xw"}"#), Outcome::Held);
    client.call(CallKind::TimeEvent, "timerQ7xwéß", "");
    client.call(CallKind::Register, "", r#"{"superQ7xw":1}"#);
    client.opt_in().unwrap();
    client.call(CallKind::Identify, "userQ7xw@example.org", "");
    client.call(CallKind::Register, "", r#"{"superQ7xw":2,"other":[1,2.5e3]}"#);
    for number in 0..60 {
        let text = format!(
            r#"{{"keyQ7xw":"valueQ7xw \"quoted\\\"","n":{number},"denylistQ7xw":1,"\u006beyQ7xw2":"Q7xw\u00e9"}}"#
        );
        assert_eq!(client.call(CallKind::Track, "eventQ7xw", &text), Outcome::Accepted);
    }
    client.call(CallKind::Track, "timerQ7xwéß", "{}");
    client.call(CallKind::Track, "eventQ7xw", "{ \"Q7xw");
    client.call(CallKind::Track, "", "{}");
    client.call(CallKind::Unregister, "other", "");
    client.call(CallKind::SetGroup, "groupQ7xw", "memberQ7xw");
    client.call(CallKind::Alias, "Q7xw", "");
    client.call(CallKind::Profile, "", r#"{"$set":{"profileQ7xw":{"Q7xw":[true,null]}},"$add":{"n":1}}"#);
    client.call(
        CallKind::Group,
        "",
        r#"{"$group_key":"groupQ7xw","$group_id":"memberQ7xw","$set":{"profileQ7xw":7}}"#,
    );
    client.call(CallKind::RegisterForSession, "", r#"{"Q7xw":"Q7xw"}"#);
    flushed(&client);
    client.call(CallKind::Track, "eventQ7xw", r#"{"left":"behind"}"#);
    assert!(client.sync(PATIENCE));
    client.shutdown(Duration::ZERO);
}

/// A second one: what was left behind, another handle, another person.
fn second_session(folder: &Folder, collector: &Collector, contents: Contents) -> Client {
    let client = builder(folder, collector, "second", contents).build().unwrap();
    assert!(client.ready(PATIENCE));
    let other = builder(folder, collector, "other", contents).build().unwrap();
    other.call(CallKind::Track, "eventQ7xw", "{}");
    other.call(CallKind::SwitchUser, "Q7xw2", "");
    other.call(CallKind::Track, "eventQ7xw", r#"{"keyQ7xw":"Q7xw"}"#);
    assert!(!folder.at("other").exists(), "it joins the recording of the first");
    drop(other);
    flushed(&client);
    assert!(client.sync(PATIENCE));
    client
}

fn replays(folder: &Folder, name: &str) {
    let recording = folder.read(name);
    let replayed = replay(&recording, |_, _| ()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert!(replayed.inputs > 20 && replayed.effects > 15 && !replayed.torn, "{name}: {replayed:?}");
    assert_eq!(replayed.end.as_deref(), Some("closed"), "{name}");
}

/// Fails if a text stands in a file as it is, or as hexadecimal digits.
fn says_nothing(recording: &[u8], unsaid: &[String]) {
    let text = String::from_utf8_lossy(recording);
    for unsaid in unsaid {
        let hex: String = unsaid.bytes().map(|byte| format!("{byte:02x}")).collect();
        let escaped = unsaid.replace('\\', "\\\\").replace('"', "\\\"");
        for form in [unsaid.as_str(), &hex, &escaped] {
            assert!(!text.contains(form), "{form} stands in a recording");
        }
    }
}

fn unsaid(folder: &Folder, collector: &Collector, clients: &[Option<String>]) -> Vec<String> {
    let mut unsaid: Vec<String> = PLANTED.map(str::to_owned).into();
    unsaid.extend(folder.secrets());
    unsaid.extend(clients.iter().flatten().cloned());
    let bodies = collector.0.lock().unwrap().concat();
    let ids = bodies.split("\"$insert_id\":\"").skip(1).map(|rest| rest[..32].to_owned());
    unsaid.extend(ids);
    assert!(unsaid.len() > 60);
    unsaid
}

#[test]
fn a_redacted_recording_goes_the_same_way_and_says_nothing() {
    let (folder, collector) = (Folder::new(), Collector::default());
    first_session(&folder, &collector, Contents::Redacted);
    let mut planted = unsaid(&folder, &collector, &[]);
    let client = second_session(&folder, &collector, Contents::Redacted);
    planted.extend(unsaid(&folder, &collector, &[client.device_id()]));
    client.opt_out(OptOut::default().erase(true).delete_profile(true)).unwrap();
    client.call(CallKind::Track, "deniedQ7xw", r#"{"Q7xw":"Q7xw"}"#);
    until("the outbox is worked off", || {
        let bodies = collector.0.lock().unwrap();
        bodies.iter().any(String::is_empty) && bodies.iter().any(|body| body.contains("$delete"))
    });
    client.shutdown(PATIENCE);
    for name in ["first", "second"] {
        until("the threads have ended", || folder.read(name).ends_with(b"{\"end\":\"closed\"}\n"));
        replays(&folder, name);
        says_nothing(&folder.read(name), &planted);
    }
    assert!(folder.read("first").windows(5).any(|window| window == b"\"$os\\"), "names of the protocol stay");
    assert!(!folder.at("first.redacted").exists());
}

#[test]
fn a_refusal_after_the_end_leaves_what_was_recorded_without_contents() {
    let (folder, collector) = (Folder::new(), Collector::default());
    first_session(&folder, &collector, Contents::Redacted);
    let client = second_session(&folder, &collector, Contents::Redacted);
    client.shutdown(PATIENCE);
    until("the threads have ended", || folder.read("second").ends_with(b"{\"end\":\"closed\"}\n"));
    let before = folder.read("second");
    client.opt_out(OptOut::default()).unwrap();
    assert_eq!(folder.read("second"), before);
}

#[test]
fn a_recording_with_contents_goes_the_same_way_and_a_withdrawal_takes_them() {
    let (folder, collector) = (Folder::new(), Collector::default());
    first_session(&folder, &collector, Contents::Kept);
    until("the threads have ended", || folder.read("first").ends_with(b"{\"end\":\"closed\"}\n"));
    replays(&folder, "first");
    let first = String::from_utf8(folder.read("first")).unwrap();
    for said in ["heldQ7xw", "userQ7xw@example.org", "profileQ7xw", &folder.secrets()[0]] {
        assert!(first.contains(said), "{said} is kept");
    }
    assert!(!folder.at("first.redacted").exists());

    let client = second_session(&folder, &collector, Contents::Kept);
    until("contents are written", || folder.read("second").windows(4).any(|window| window == b"Q7xw"));
    let planted = unsaid(&folder, &collector, &[client.device_id()]);
    client.opt_out(OptOut::default().erase(true).delete_profile(true)).unwrap();
    says_nothing(&folder.read("second"), &planted);
    assert!(!folder.at("second.redacted").exists());
    client.call(CallKind::Track, "deniedQ7xw", r#"{"Q7xw":"Q7xw"}"#);
    client.opt_in().unwrap();
    client.call(CallKind::Track, "eventQ7xw", r#"{"Q7xw":"Q7xw"}"#);
    client.shutdown(PATIENCE);
    until("the threads have ended", || folder.read("second").ends_with(b"{\"end\":\"closed\"}\n"));
    says_nothing(&folder.read("second"), &planted);
    replays(&folder, "second");
}

#[test]
fn c4_contents_whose_client_has_ended_go_at_the_withdrawal_of_the_next_one() {
    let (folder, collector) = (Folder::new(), Collector::default());
    first_session(&folder, &collector, Contents::Kept);
    let path = folder.at("first").display().to_string();
    let client = unrecorded(&folder, &collector).build().unwrap();
    assert!(client.sync(PATIENCE));
    assert!(folder.at("first").exists());
    let recordings = || client.audit().files.into_iter().filter(|file| file.kind == "recording");
    assert_eq!(recordings().map(|file| file.name).collect::<Vec<_>>(), [path]);
    client.opt_out(OptOut::default()).unwrap();
    assert!(!folder.at("first").exists());
    assert_eq!(recordings().count(), 0);

    // Here nobody withdraws while a client is open.
    client.opt_in().unwrap();
    client.shutdown(PATIENCE);
    let client = builder(&folder, &collector, "again", Contents::Kept).build().unwrap();
    client.call(CallKind::Track, "eventQ7xw", "{}");
    assert!(client.sync(PATIENCE));
    client.shutdown(PATIENCE);
    until("contents are written", || folder.read("again").ends_with(b"{\"end\":\"closed\"}\n"));
    let elsewhere = folder.at("elsewhere");
    std::os::unix::fs::symlink(folder.at("data"), &elsewhere).unwrap();
    let other = unrecorded(&folder, &collector).data_dir(&elsewhere).build().unwrap();
    other.opt_out(OptOut::default()).unwrap();
    other.opt_in().unwrap();
    other.shutdown(PATIENCE);
    assert!(folder.at("again").exists(), "nobody on this folder has heard of it");
    let client = unrecorded(&folder, &collector).build().unwrap();
    assert!(client.sync(PATIENCE));
    assert!(!folder.at("again").exists());
}

#[test]
fn contents_wait_in_memory_for_a_decision() {
    for grants in [false, true] {
        let (folder, collector) = (Folder::new(), Collector::default());
        let client = builder(&folder, &collector, "held", Contents::Kept).build().unwrap();
        client.call(CallKind::Track, "heldQ7xw", "{}");
        // What may be written of what was recorded before is written by then.
        assert!(client.sync(PATIENCE));
        assert!(!folder.read("held.redacted").is_empty() && folder.read("held").is_empty());
        if grants {
            client.opt_in().unwrap();
        }
        client.shutdown(Duration::ZERO);
        until("the threads have ended", || folder.read("held").ends_with(b"{\"end\":\"closed\"}\n"));
        let says = String::from_utf8(folder.read("held")).unwrap().contains("heldQ7xw");
        assert_eq!(says, grants);
        replay(&folder.read("held"), |_, _| ()).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_withdrawal_elsewhere_takes_contents_too_and_only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, collector) = (Folder::new(), Collector::default());
    std::fs::write(folder.at("here"), "of somebody else").unwrap();
    std::fs::set_permissions(folder.at("here"), PermissionsExt::from_mode(0o666)).unwrap();
    let here = builder(&folder, &collector, "here", Contents::Kept).build().unwrap();
    here.opt_in().unwrap();
    here.call(CallKind::Track, "eventQ7xw", "{}");
    until("contents are written", || folder.read("here").windows(9).any(|window| window == b"eventQ7xw"));
    for name in ["here", "here.redacted"] {
        let mode = std::fs::metadata(folder.at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // By another way to the folder it is another client, as in another process.
    std::os::unix::fs::symlink(folder.at("data"), folder.at("link")).unwrap();
    let there = Client::builder("tokenQ7xw").data_dir(folder.at("link")).transport(Collector::default());
    let there = there.build().unwrap();
    there.opt_out(OptOut::default()).unwrap();
    until("it is noticed", || here.call(CallKind::Track, "eventQ7xw", "{}") != Outcome::Accepted);
    until("contents are gone", || !folder.at("here.redacted").exists());
    says_nothing(&folder.read("here"), &PLANTED.map(str::to_owned));
    here.shutdown(PATIENCE);
    until("the threads have ended", || folder.read("here").ends_with(b"{\"end\":\"closed\"}\n"));
    replay(&folder.read("here"), |_, _| ()).unwrap();
}

fn recorded() -> Vec<u8> {
    let (folder, collector) = (Folder::new(), Collector::default());
    first_session(&folder, &collector, Contents::Redacted);
    until("the threads have ended", || folder.read("first").ends_with(b"{\"end\":\"closed\"}\n"));
    folder.read("first")
}

#[test]
fn a_recording_that_was_cut_off_is_replayed_to_its_last_whole_line() {
    let recording = recorded();
    let ends: Vec<usize> = (0..recording.len()).filter(|at| recording[*at] == b'\n').collect();
    for at in ends.iter().skip(1).step_by(7) {
        let whole = replay(&recording[..=*at], |_, _| ()).unwrap();
        assert!(!whole.torn);
        let torn = replay(&recording[..at + 10.min(recording.len() - at)], |_, _| ()).unwrap();
        assert_eq!((torn.inputs, torn.effects), (whole.inputs, whole.effects));
        assert_eq!(torn.torn, at + 10 < recording.len());
    }
    assert_eq!(replay(b"", |_, _| ()).unwrap_err().line, 1);
    assert_eq!(replay(&recording[..20], |_, _| ()).unwrap_err().line, 1);
}

#[test]
fn a_recording_that_was_changed_is_reported_with_its_line() {
    let recording = String::from_utf8(recorded()).unwrap();
    let lines: Vec<&str> = recording.lines().collect();
    let changed = |at: usize, line: String| {
        let mut lines = lines.clone();
        lines[at] = &line;
        replay((lines.join("\n") + "\n").as_bytes(), |_, _| ()).unwrap_err()
    };
    let find = |needle: &str| lines.iter().position(|line| line.contains(needle)).unwrap();
    let send = find("\"send ");
    for (needle, replacement) in [("\"send ", "\"sent "), ("bytes ", "bytes 1"), ("\"wake\":", "\"wake\":9")]
    {
        let fault = changed(send, lines[send].replace(needle, replacement));
        assert_eq!(fault.line, send + 1, "{fault}");
    }
    assert_eq!(changed(send, "{".into()).line, send + 1);
    assert_eq!(changed(send, String::new()).line, send + 1);
    let granted = find("\"in\":\"opt_in\"");
    let fault = changed(granted, lines[granted].replace("opt_in", "flush"));
    assert_eq!(fault.line, granted + 1, "{fault}");
    assert!(changed(0, lines[0].replace("{\"v\":1", "{\"v\":2")).what.contains("version 2"));
    let last = lines.len() - 1;
    assert_eq!(changed(last - 1, lines[last].into()).line, last + 1);
}

#[test]
fn a_path_that_cannot_be_written_costs_the_recording_only() {
    let (folder, collector) = (Folder::new(), Collector::default());
    let client = builder(&folder, &collector, "no/such/folder", Contents::Kept).build().unwrap();
    client.opt_in().unwrap();
    assert_eq!(client.call(CallKind::Track, "eventQ7xw", "{}"), Outcome::Accepted);
    client.opt_out(OptOut::default()).unwrap();
    assert!(!Path::new(&folder.at("no")).exists());
}

#[test]
fn the_command_replays_a_file() {
    let folder = Folder::new();
    let recording = recorded();
    let simulate = |name: &str, recording: &[u8]| {
        std::fs::write(folder.at(name), recording).unwrap();
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_simulate"));
        let output = simulate.arg("--replay").arg(folder.at(name)).arg("--trace").output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    };
    let (code, said) = simulate("sound", &recording);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("OptIn") && said.contains("append 3 epoch 1") && said.contains("closed"), "{said}");
    let changed = String::from_utf8(recording).unwrap().replacen("\"append 3 ", "\"append 5 ", 1);
    let (code, said) = simulate("changed", changed.as_bytes());
    assert_eq!(code, Some(1));
    assert!(said.contains("`append 3 epoch 1`, recorded was `append 5 epoch 1`"), "{said}");
}

#[test]
fn what_the_detector_refuses_is_left_out_of_a_redacted_recording() {
    let (folder, collector) = (Folder::new(), Collector::default());
    for (name, contents) in [("kept", Contents::Kept), ("redacted", Contents::Redacted)] {
        let detector = builder(&folder, &collector, name, contents).personal_data(PersonalDataMode::Reject);
        let client = detector.build().unwrap();
        client.opt_in().unwrap();
        let call = client.track_json("eventQ7xw", r#"{"contact":"userQ7xw@example.org"}"#);
        assert_eq!(call, Outcome::Rejected(Rejection::PersonalData));
        assert_eq!(client.track_json("eventQ7xw", "{}"), Outcome::Accepted);
        flushed(&client);
        client.shutdown(PATIENCE);
        let recording = folder.read(name);
        replay(&recording, |_, _| ()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let calls = String::from_utf8(recording).unwrap().matches("\"kind\":\"Track\"").count();
        assert_eq!(calls, if contents == Contents::Kept { 2 } else { 1 });
    }
}

#[test]
fn c14_the_audit_lists_what_is_recorded() {
    let (folder, collector) = (Folder::new(), Collector::default());
    let client = builder(&folder, &collector, "kept", Contents::Kept).build().unwrap();
    client.opt_in().unwrap();
    flushed(&client);
    let recordings = |client: &Client| {
        let files = client.audit().files.into_iter().filter(|file| file.kind == "recording");
        files.map(|file| file.name).collect::<Vec<_>>()
    };
    let path = |name: &str| folder.at(name).display().to_string();
    assert_eq!(recordings(&client), [path("kept"), path("kept.redacted")]);
    client.opt_out(OptOut::default()).unwrap();
    assert_eq!(recordings(&client), [path("kept")], "what is left is the one without contents");
}
