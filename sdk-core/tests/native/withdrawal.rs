//! A person says no, or nothing, or yes again.

use crate::support::{
    Collector, Folder, PATIENCE, TOKEN, accepted, delivered, files, holds, names, quiet, ready,
};
use refrain::engine::{
    Answer, ConsentError, Decision, DefaultConsent, FlushState, Outcome, Rejection, Signals, StoreFault,
    Verdict,
};
use refrain::native::{Client, HttpTransport, OptOut, PendingRequest, Transport};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

const DENIED: Outcome = Outcome::Rejected(Rejection::Denied);

/// Waits between the engine and the network.
struct Dawdles(HttpTransport, mpsc::Sender<()>, mpsc::Receiver<()>);
impl Transport for Dawdles {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        self.1.send(()).unwrap();
        self.2.recv().unwrap();
        self.0.send(request)
    }
}

/// A client whose requests say that they are about to leave, and wait until they may.
fn dawdling(folder: &Folder, collector: &Collector) -> (Client, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (about_to, on_the_way) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let dawdles = Dawdles(HttpTransport::new(), about_to, goes);
    let client = quiet(folder, collector).batch_size(1).transport(dawdles).build().unwrap();
    ready(&client);
    (client, on_the_way, go)
}

/// Nothing but the consent record and empty lock files, and nothing of the person in them.
fn only_consent(folder: &Folder, planted: &[&str]) {
    let names = names(&folder.data());
    assert!(names.iter().all(|name| name.contains(".consent.")), "{names:?}");
    assert_eq!(names.len(), 2);
    for needle in planted {
        assert!(!holds(&folder.data(), needle), "{needle}");
    }
}

#[test]
fn c3_c4_a_withdrawal_leaves_the_refusal_and_it_is_remembered() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let device = client.device_id().unwrap();
    client.register(json!({"super": "planted-super"}));
    client.identify("planted-user");
    client.track("e", json!({"secret": "planted-value"}));
    assert!(client.sync(PATIENCE));
    let planted = [device.as_str(), "planted-super", "planted-user", "planted-value", TOKEN, "secret"];
    for needle in &planted[1..5] {
        assert!(holds(&folder.data(), needle), "the search finds {needle} while it is there");
    }

    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    only_consent(&folder, &planted);
    assert!(client.has_opted_out());
    for outcome in
        [client.track("e", ()), client.identify("u"), client.register(json!({"a": 1})), client.reset()]
    {
        assert_eq!(outcome, DENIED);
    }
    assert!(client.sync(PATIENCE));
    only_consent(&folder, &planted);
    let audit = client.audit();
    assert!(audit.files.iter().all(|file| file.kind == "consent") && audit.files.len() == 2, "{audit:?}");
    assert_eq!((audit.queued_records, audit.held_records, audit.requests_in_flight), (0, 0, 0));
    assert_eq!((audit.device_id, audit.distinct_id, audit.super_properties.len()), (None, None, 0));
    assert_eq!((audit.outbox.len(), audit.next_action_in), (0, None));
    assert!(client.stats().balance());
    client.shutdown(PATIENCE);

    let before = files(&folder.data());
    let client = quiet(&folder, &collector).build().unwrap();
    assert!(client.has_opted_out(), "at the first question");
    assert_eq!(client.consent().reason(), "person");
    assert_eq!(client.track("e", ()), DENIED);
    assert_eq!(client.flush(PATIENCE), FlushState::Done);
    client.shutdown(PATIENCE);
    assert_eq!(files(&folder.data()), before);
    assert_eq!(collector.connections(), 0);
}

#[test]
fn c5_a_client_that_was_shut_down_takes_a_refusal_for_all_on_its_folder() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let (one, two) =
        (quiet(&folder, &collector).build().unwrap(), quiet(&folder, &collector).build().unwrap());
    ready(&two);
    one.shutdown(PATIENCE);
    accepted(&two, "planted-event");
    assert_eq!(one.opt_in(), Err(ConsentError::NotRecorded(StoreFault::Closed)));
    assert_eq!(one.opt_out(OptOut::default()), Ok(()));
    assert_eq!(two.track("after", ()), DENIED);
    only_consent(&folder, &["planted-event"]);
}

#[test]
fn c5_a_client_that_has_ended_takes_a_refusal() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let (client, on_the_way, go) = dawdling(&folder, &collector);
    accepted(&client, "planted-event");
    on_the_way.recv().unwrap();
    assert_ne!(client.shutdown(Duration::ZERO), FlushState::Done);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    only_consent(&folder, &["planted-event"]);
    go.send(()).unwrap();
    assert!(on_the_way.recv().is_err(), "its threads have ended");
    collector.drain();
    assert_eq!(collector.begun(), 0, "not a byte, though it was allowed to connect");
    assert!(quiet(&folder, &collector).build().unwrap().has_opted_out());
}

#[test]
fn c4_of_two_refusals_at_once_to_a_client_that_has_ended_none_is_said_to_have_failed() {
    for _ in 0..50 {
        let (folder, collector) = (Folder::new(), Collector::start());
        let client = quiet(&folder, &collector).build().unwrap();
        client.shutdown(PATIENCE);
        let both = Barrier::new(2);
        let refuse = || {
            both.wait();
            client.opt_out(OptOut::default())
        };
        let said = thread::scope(|scope| {
            let other = scope.spawn(refuse);
            (refuse(), other.join().unwrap())
        });
        assert_eq!(said, (Ok(()), Ok(())));
    }
}

#[test]
fn c5_without_a_folder_a_refusal_waits_for_the_body_that_is_on_its_way() {
    struct Writes(mpsc::Sender<()>, mpsc::Receiver<()>, Arc<AtomicBool>);
    impl Transport for Writes {
        fn send(&mut self, request: PendingRequest<'_>) -> Answer {
            let Ok(open) = request.open() else { return Answer::Unreachable };
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            self.2.store(true, Ordering::SeqCst);
            drop(open);
            Answer::Response { status: 200, retry_after: None, body: String::new() }
        }
    }
    let (opened, open) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let is_out = Arc::new(AtomicBool::new(false));
    let writes = Writes(opened, goes, Arc::clone(&is_out));
    let client = Client::builder("T").transport(writes).batch_size(1).build().unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    open.recv().unwrap();
    let refusing = client.clone();
    let refused = thread::spawn(move || (refusing.opt_out(OptOut::default()), is_out.load(Ordering::SeqCst)));
    while client.track("after", ()) != DENIED {
        thread::yield_now();
    }
    go.send(()).unwrap();
    assert_eq!(refused.join().unwrap(), (Err(ConsentError::NotRecorded(StoreFault::Absent)), true));
}

#[test]
fn c5_c6_nothing_of_before_is_ever_sent() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let device = client.device_id();
    accepted(&client, "before");
    assert!(client.sync(PATIENCE));
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    assert_eq!(client.flush(PATIENCE), FlushState::Done);
    assert_eq!(collector.connections(), 0);

    assert_eq!(client.opt_in(), Ok(()));
    assert_eq!(client.opt_in(), Ok(()));
    accepted(&client, "after");
    delivered(&client);
    assert_eq!(collector.names(), ["$opt_in", "after"], "C11: once");
    assert!(client.device_id().is_some() && client.device_id() != device);
    client.shutdown(PATIENCE);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    delivered(&client);
    assert_eq!(collector.names(), ["$opt_in", "after"]);
    assert!(client.stats().balance());
}

#[test]
fn c5_an_answer_that_does_not_come_holds_nobody_up() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).batch_size(1).build().unwrap();
    ready(&client);
    collector.set_silent(true);
    accepted(&client, "under way");
    accepted(&client, "behind it");
    collector.wait_requests(1);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()), "not even unfenced");
    assert_eq!(client.audit().requests_in_flight, 0);
    collector.set_silent(false);
    assert_eq!(client.opt_in(), Ok(()));
    delivered(&client);
    assert_eq!(collector.names(), ["under way", "$opt_in"]);
}

#[test]
fn c2_c5_a_request_on_its_way_to_the_network_does_not_start() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let (client, on_the_way, go) = dawdling(&folder, &collector);
    accepted(&client, "first");
    on_the_way.recv().unwrap();
    go.send(()).unwrap();
    delivered(&client);
    accepted(&client, "second");
    on_the_way.recv().unwrap();
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    go.send(()).unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    accepted(&client, "third");
    // The next request is asked for when the one before is over.
    on_the_way.recv().unwrap();
    go.send(()).unwrap();
    collector.wait_requests(2);
    collector.drain();
    assert_eq!(collector.begun(), 2, "not a byte of the second");
    assert_eq!(collector.names()[..2], ["first", "$opt_in"]);
}

#[test]
fn c3_c13_while_nobody_has_decided_nothing_is_written_and_nobody_connected_to() {
    let (gpc, dnt) =
        (Signals { gpc: true, ..Default::default() }, Signals { dnt: true, ..Default::default() });
    for (default, signals, outcome) in [
        (DefaultConsent::Pending, Signals::default(), Outcome::Held),
        (DefaultConsent::Denied, Signals::default(), DENIED),
        (DefaultConsent::Granted, gpc, DENIED),
        (DefaultConsent::Pending, dnt, DENIED),
        (DefaultConsent::Granted, Signals { host: true, ..Default::default() }, DENIED),
    ] {
        let (folder, collector) = (Folder::new(), Collector::start());
        let client = quiet(&folder, &collector).default_consent(default).signals(signals).build().unwrap();
        assert!(client.sync(PATIENCE));
        assert_eq!(client.track("e", json!({"a": "planted"})), outcome, "{default:?} {signals:?}");
        client.register(json!({"b": "planted"}));
        client.identify("planted");
        client.flush(PATIENCE);
        assert_eq!((client.device_id(), client.has_opted_out()), (None, false));
        client.shutdown(PATIENCE);
        assert!(!folder.data().exists(), "{default:?} {signals:?}");
        assert_eq!(collector.connections(), 0);
    }
}

#[test]
fn a_grant_moves_what_was_held_into_the_queue() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).default_consent(DefaultConsent::Pending).build().unwrap();
    assert_eq!(client.track("held", ()), Outcome::Held);
    assert_eq!(client.consent().verdict, Verdict::Hold);
    assert_eq!(client.opt_in(), Ok(()));
    assert_eq!(client.consent().decision, Decision::Granted);
    delivered(&client);
    assert_eq!(collector.names(), ["held", "$opt_in"]);
    assert!(client.stats().balance());
}

#[test]
fn a_signal_purges_what_a_default_has_collected() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    client.track("e", json!({"a": "planted"}));
    assert!(client.sync(PATIENCE));
    client.signals(Signals { gpc: true, ..Default::default() });
    assert_eq!(client.track("e", ()), DENIED);
    client.shutdown(PATIENCE);
    only_consent(&folder, &["planted"]);

    // The choice of the person to this app outranks it.
    let client =
        quiet(&folder, &collector).signals(Signals { gpc: true, ..Default::default() }).build().unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    accepted(&client, "chosen");
    delivered(&client);
    assert_eq!(collector.names(), ["$opt_in", "chosen"]);
}

#[test]
fn c7_a_reset_changes_the_device_and_not_the_choice() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).default_consent(DefaultConsent::Denied).build().unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    client.register(json!({"a": 1}));
    let device = client.device_id();
    assert_eq!(client.reset(), Outcome::Accepted);
    assert!(client.device_id() != device && client.device_id().is_some());
    assert_eq!(client.consent().decision, Decision::Granted);
    assert!(client.audit().super_properties.is_empty());
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    client.reset();
    assert!(client.has_opted_out());
}

#[test]
fn c12_an_erasure_outlives_the_client_and_is_sent() {
    let (folder, collector) = (Folder::new(), Collector::start());
    collector.set_status(503);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let device = client.device_id().unwrap();
    client.track("e", json!({"a": "planted"}));
    assert_eq!(client.opt_out(OptOut::default().erase(true)), Ok(()));
    collector.wait_requests(1);
    client.shutdown(PATIENCE);
    assert!(holds(&folder.data(), &device) && !holds(&folder.data(), "planted\""));

    collector.set_status(200);
    let known = collector.requests().len();
    let client = quiet(&folder, &collector).build().unwrap();
    let requests = collector.wait_requests(known + 1);
    let erasure = &requests[known];
    assert_eq!(erasure.path, "/refrain/v1/erasures");
    assert_eq!(erasure.body["device_id"], json!(device));
    assert_eq!(erasure.body["secret"].as_str().unwrap().len(), 32);
    assert!(requests.iter().all(|request| request.path != "/track/?verbose=1&ip=0"));
    // Once it is taken the server is asked for the receipt, by a request that carries nothing of the device.
    let asked = &collector.wait_requests(known + 2)[known + 1];
    assert_eq!((asked.path.as_str(), &asked.body), ("/refrain/v1/erasures/e1", &serde_json::Value::Null));
    assert!(asked.head.starts_with("GET "));
    while client.audit().outbox[0].state != "completed" {
        client.sync(PATIENCE);
    }
    assert!(client.audit().outbox[0].answer.as_ref().unwrap().contains("\"receipt\""));
    assert!(!holds(&folder.data(), erasure.body["secret"].as_str().unwrap()), "the proof is needed no more");
}

#[test]
fn c12_an_erasure_gets_there_also_from_processes_that_live_shortly() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.opt_out(OptOut::default().erase(true).delete_profile(true)), Ok(()));
    client.shutdown(PATIENCE);
    let paths: Vec<_> = collector.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths, ["/refrain/v1/erasures", "/engage/?verbose=1&ip=0"]);
    // The next one asks how far it has come, and another one knows.
    quiet(&folder, &collector).build().unwrap().shutdown(PATIENCE);
    let outbox = quiet(&folder, &collector).build().unwrap().audit().outbox;
    let paths: Vec<_> = collector.requests().iter().map(|request| request.path.clone()).collect();
    assert!(outbox.iter().all(|entry| entry.state == "completed"), "{outbox:?} {paths:?}");
}

#[test]
fn without_a_folder_nothing_is_collected_before_the_person_decides() {
    let collector = Collector::start();
    let builder = Client::builder(TOKEN).endpoint(collector.url()).default_consent(DefaultConsent::Granted);
    let client = builder.build().unwrap();
    assert!(!client.sync(PATIENCE));
    assert_eq!(client.track("e", ()), DENIED);
    assert_eq!(client.consent().reason(), "store_unavailable");
    client.opt_in().unwrap();
    accepted(&client, "chosen");
    delivered(&client);
    assert_eq!(collector.names(), ["$opt_in", "chosen"]);
    accepted(&client, "late");
    assert_eq!(client.opt_out(OptOut::default()), Err(ConsentError::NotRecorded(StoreFault::Absent)));
    assert_eq!(client.track("e", ()), DENIED);
    client.flush(PATIENCE);
    assert_eq!(collector.names(), ["$opt_in", "chosen"]);
}

#[test]
fn a_closed_client_says_what_the_folder_says() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let closed = quiet(&folder, &collector).build().unwrap();
    ready(&closed);
    assert!(!closed.is_closed());
    closed.shutdown(PATIENCE);
    assert!(closed.is_closed() && !closed.has_opted_out());

    let client = quiet(&folder, &collector).build().unwrap();
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    assert!(closed.has_opted_out() && closed.consent().reason() == "person");
    assert!(closed.audit().files.iter().all(|file| file.kind == "consent"));
}
