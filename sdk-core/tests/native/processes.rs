//! Several processes on one folder.

use crate::player::Player;
use crate::support::{Collector, Folder, PATIENCE, accepted, delivered, files, names, quiet, ready};
use refrain::engine::{FlushState, Lifecycle, Outcome};
use refrain::native::OptOut;
use std::time::Instant;

#[test]
fn c5_c9_one_process_withdraws_and_the_other_stops() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let mut player = Player::start("obey", &folder, &collector);
    player.expect("ready");
    player.say("device");
    player.expect(&client.device_id().unwrap());
    player.say("identify u9");
    player.expect("Accepted");
    player.say("track 3 theirs");
    player.expect("true");
    assert!(client.sync(PATIENCE));
    assert_eq!(client.distinct_id().as_deref(), Some("u9"), "C9: one identity for all");
    accepted(&client, "ours");

    player.say("out");
    player.expect("out");
    client.flush(PATIENCE);
    assert!(client.has_opted_out());
    assert!(matches!(client.track("late", ()), Outcome::Rejected(_)));
    assert!(client.stats().balance());
    client.shutdown(PATIENCE);
    let client = quiet(&folder, &collector).build().unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    player.say("track 1 again");
    player.expect("true");
    player.say("verdict");
    player.expect("allow");

    accepted(&client, "ours");
    assert!(client.sync(PATIENCE));
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    player.say("flush");
    player.hear().unwrap();
    player.say("verdict");
    player.expect("deny");
    player.say("stats");
    player.expect("0 queued, balanced");
    drop(player);
    client.shutdown(PATIENCE);
    assert_eq!(collector.connections(), 0);
    let names = names(&folder.data());
    assert!(names.iter().all(|name| name.contains(".consent.") || name == "owner"), "{names:?}");
}

#[test]
fn c9_who_is_known_elsewhere_is_known_to_a_process_that_does_nothing() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let mut player = Player::start("obey", &folder, &collector);
    player.expect("ready");
    player.say("identify u9");
    player.expect("Accepted");
    let start = Instant::now();
    while client.distinct_id().as_deref() != Some("u9") && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    client.lifecycle(Lifecycle::Background);
    assert!(client.sync(PATIENCE));
    player.say("out");
    player.expect("out");
    // Whether or not it has looked meanwhile.
    client.lifecycle(Lifecycle::Foreground);
    while !client.has_opted_out() && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn c9_who_asks_in_the_background_hears_of_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    client.lifecycle(Lifecycle::Background);
    assert!(client.sync(PATIENCE));
    let mut player = Player::start("obey", &folder, &collector);
    player.expect("ready");
    player.say("out");
    player.expect("out");
    let start = Instant::now();
    while client.device_id().is_some() && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert!(start.elapsed() < PATIENCE);
    assert!(client.has_opted_out() && client.audit().device_id.is_none());
}

#[test]
fn c12_what_the_outbox_holds_is_asked_for_by_one_process() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.identify("u9"), Outcome::Accepted);
    assert!(client.sync(PATIENCE));
    let mut players: Vec<_> = (0..3).map(|_| Player::start("obey", &folder, &collector)).collect();
    for player in &mut players {
        player.expect("ready");
        player.say("id");
        player.expect("u9");
    }

    collector.set_silent(true);
    assert_eq!(client.opt_out(OptOut::default().delete_profile(true)), Ok(()));
    collector.wait_requests(1);
    for player in &mut players {
        player.say("verdict");
        while player.hear().unwrap() != "deny" {
            player.say("verdict");
        }
        // Its end waits for what it has on its way.
        player.say("end");
        player.expect("Done");
    }
    assert_eq!(collector.requests().len(), 1);

    collector.set_silent(false);
    assert_eq!(client.shutdown(PATIENCE), FlushState::Done);
    let mut next = Player::start("obey", &folder, &collector);
    next.expect("ready");
    next.say("end");
    next.expect("Done");
    assert_eq!(collector.requests().len(), 1);
}

#[test]
fn queues_without_an_owner_are_adopted() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut players: Vec<_> = (0..3).map(|_| Player::start("obey", &folder, &collector)).collect();
    for (index, player) in players.iter_mut().enumerate() {
        player.expect("ready");
        player.say(&format!("track 10 {index}"));
        player.expect("true");
    }
    let living = players.pop().unwrap();
    drop(players);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().adopted), (10, 10));
    delivered(&client);
    assert!(client.sync(PATIENCE));
    let mut names = collector.names();
    names.sort();
    assert_eq!(names, [["0"; 10], ["1"; 10]].concat());
    assert!(client.stats().balance());
    let segments =
        files(&folder.data()).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log"));
    assert_eq!(segments.count(), 1, "what has been delivered is gone, what has an owner is not");
    drop(living);
}
