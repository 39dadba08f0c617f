//! Several clients in one process.

use crate::support::{Collector, Folder, PATIENCE, accepted, delivered, quiet, ready};
use refrain::engine::{FlushState, Outcome, Rejection, Signals};
use refrain::native::{BuildError, Client, HttpTransport, OptOut};
use serde_json::json;
use std::time::Duration;

#[test]
fn two_clients_on_a_folder_are_one() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let one = quiet(&folder, &collector).build().unwrap();
    ready(&one);
    let two = quiet(&folder, &collector).data_dir(folder.data().join(".")).build().unwrap();
    assert_eq!(two.device_id(), one.device_id());
    accepted(&one, "a");
    accepted(&two, "b");
    assert_eq!((one.stats().tracked, two.stats().tracked), (2, 2));

    let other = quiet(&folder, &collector).flush_interval(Duration::from_secs(1)).build();
    assert_eq!(other.map(drop), Err(BuildError::Conflict { setting: "flush_interval" }));
    let set_up = || quiet(&folder, &collector);
    for (other, setting) in [
        (set_up().automatic_properties(json!({"app": "other"})), "automatic_properties"),
        (set_up().library("refrain-other"), "library"),
        (set_up().on_notice(|_| ()), "on_notice"),
        (set_up().transport(HttpTransport::new()), "transport"),
    ] {
        assert_eq!(other.build().map(drop), Err(BuildError::Conflict { setting }));
    }

    assert_eq!(one.shutdown(PATIENCE), FlushState::Done);
    assert_eq!(one.track("c", ()), Outcome::Rejected(Rejection::Closed));
    accepted(&two, "d");
    delivered(&two);
    assert_eq!(collector.names(), ["a", "b", "d"]);
    assert_eq!(two.opt_out(OptOut::default()), Ok(()));
    drop(two);
    assert!(quiet(&folder, &collector).flush_interval(Duration::from_secs(1)).build().is_ok());
}

#[test]
fn projects_share_a_folder_and_nothing_else() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let one = quiet(&folder, &collector).build().unwrap();
    let two = Client::builder("another")
        .data_dir(folder.data())
        .endpoint(collector.url())
        .default_consent(refrain::engine::DefaultConsent::Granted)
        .flush_interval(Duration::from_secs(3_600))
        .build()
        .unwrap();
    ready(&one);
    ready(&two);
    assert_ne!(one.device_id(), two.device_id());
    accepted(&one, "a");
    accepted(&two, "b");
    assert_eq!(one.opt_out(OptOut::default()), Ok(()));
    assert!(!two.has_opted_out());
    drop(two);
    let two = Client::builder("another").data_dir(folder.data()).endpoint(collector.url());
    let two = two.default_consent(refrain::engine::DefaultConsent::Granted).build().unwrap();
    ready(&two);
    assert_eq!(two.stats().recovered, 1);
}

#[test]
fn a_signal_that_one_part_of_the_app_has_heard_holds_for_all() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let gpc = Signals { gpc: true, ..Signals::default() };
    let one = quiet(&folder, &collector).signals(gpc).build().unwrap();
    let host = Signals { host: true, ..Signals::default() };
    let _two = quiet(&folder, &collector).signals(host).build().unwrap();
    assert_eq!(one.consent().reason(), "gpc");
    assert_eq!(one.track("e", ()), Outcome::Rejected(Rejection::Denied));
}

#[test]
fn many_threads_record_at_once() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = client.clone();
            scope.spawn(move || (0..500).for_each(|index| accepted(&client, &format!("{thread}/{index}"))));
        }
    });
    delivered(&client);
    let mut names = collector.names();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2_000);
    assert!(client.stats().balance());
}
