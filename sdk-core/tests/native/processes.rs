//! Several processes on one folder, and processes that die.

use crate::player::Player;
use crate::support::{Collector, Folder, PATIENCE, accepted, delivered, files, holds, names, quiet, ready};
use refrain::engine::{ConsentRecord, Decision, FlushState, Lifecycle, Outcome, Trouble};
use refrain::journal::slot::{self, Slots};
use refrain::native::OptOut;
use std::collections::BTreeSet;
use std::ops::Range;
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
    // Meanwhile the client goes to sleep.
    for _ in 0..500 {
        player.say("verdict");
        player.expect("deny");
    }
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

#[test]
fn c5_a_sender_that_was_stopped_is_named() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut player = Player::start("hold", &folder, &collector);
    player.expect("ready");
    player.say("track 1 x");
    player.expect("true");
    player.say("send");
    player.expect("holding");
    player.signal("-STOP");
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let Err(Trouble::NotFenced(who)) = client.opt_out(OptOut::default()) else {
        panic!("it cannot be fenced")
    };
    assert!(who.contains(&player.child.id().to_string()), "{who}");
    assert!(client.has_opted_out());
    player.signal("-KILL");
    player.child.wait().unwrap();
    assert_eq!(client.opt_in(), Ok(()));
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
}

#[test]
fn c5_a_process_that_was_stopped_wakes_up_to_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut player = Player::start("obey", &folder, &collector);
    player.expect("ready");
    player.say("track 5 theirs");
    player.expect("true");
    player.signal("-STOP");
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "ours");
    assert_eq!(client.opt_out(OptOut::default()), Ok(()), "it holds nothing that has to be waited for");
    assert!(!holds(&folder.data(), "theirs"), "its queue is gone while it sleeps");
    // What it does first when it wakes up was asked before.
    player.say("track 2 late");
    player.say("flush");
    player.say("verdict");
    player.signal("-CONT");
    player.hear().unwrap();
    player.hear().unwrap();
    player.expect("deny");
    player.say("stats");
    player.expect("0 queued, balanced");
    drop(player);
    client.shutdown(PATIENCE);
    assert_eq!(collector.connections(), 0);
    assert!(!holds(&folder.data(), "late") && !holds(&folder.data(), "theirs"));
}

#[test]
fn c4_c5_a_kill_at_any_moment_loses_nothing_and_sends_nothing_after_a_no() {
    // 2,000 kills in four folders at once: they wait for the disk, not for the processor.
    std::thread::scope(|scope| {
        for folder in 0..4 {
            scope.spawn(move || kill(folder * 500..(folder + 1) * 500));
        }
    });
}

fn kill(rounds: Range<u64>) {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut withdrawn: BTreeSet<String> = BTreeSet::new();
    // The number of requests that had arrived when the last withdrawal was over.
    let mut mark = 0;
    let mut withdrawals = 0;
    for round in rounds {
        let mut player = Player::start("run", &folder, &collector);
        player.say(&round.to_string());
        // Some die before they have said a word, some after a while.
        let words = round * 7_919 % 23;
        let mut heard = 0;
        while heard < words {
            match player.hear().expect("it lives").split_once("took ") {
                Some((_, name)) => {
                    taken.insert(name.to_owned());
                    heard += 1;
                }
                None => {
                    withdrawals += 1;
                    check(&collector, mark, &withdrawn);
                    mark = collector.drain();
                    withdrawn.append(&mut taken);
                    player.say("go");
                }
            }
        }
        // Not always at the same step.
        (0..round * 131 % 97).for_each(|_| std::thread::yield_now());
        player.signal("-KILL");
        // What it still had to say.
        while let Some(word) = player.hear() {
            if let Some((_, name)) = word.split_once("took ") {
                taken.insert(name.to_owned());
            }
        }
        player.child.wait().unwrap();
        let arrived = collector.drain();
        check(&collector, mark, &withdrawn);
        if is_denied(&folder) {
            // It died in a withdrawal or after one. The first step is on disk: the rest follows at the next start.
            mark = arrived;
            withdrawn.append(&mut taken);
        }
    }
    let client = quiet(&folder, &collector).build().unwrap();
    client.sync(PATIENCE);
    if client.has_opted_out() {
        withdrawn.append(&mut taken);
    }
    delivered(&client);
    check(&collector, mark, &withdrawn);
    let arrived: BTreeSet<String> = collector.names().into_iter().collect();
    let lost: Vec<_> = taken.difference(&arrived).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(withdrawals > 20 && arrived.len() > 100, "{withdrawals} withdrawals, {} events", arrived.len());
    assert_eq!(client.stats().damaged, 0);
}

/// What the next start will read.
fn is_denied(folder: &Folder) -> bool {
    let files = files(&folder.data());
    let slot =
        |end: &str| files.iter().find(|(path, _)| path.to_string_lossy().ends_with(end)).map(|(_, b)| &b[..]);
    let Slots::Content { payload, .. } = slot::newest(slot(".consent.a"), slot(".consent.b")) else {
        return false;
    };
    ConsentRecord::decode(std::str::from_utf8(payload).unwrap()).unwrap().decision == Decision::Denied
}

/// Nothing of before a withdrawal has arrived after it.
fn check(collector: &Collector, mark: usize, withdrawn: &BTreeSet<String>) {
    for request in collector.requests().iter().skip(mark) {
        for event in request.body.as_array().unwrap() {
            let name = event["event"].as_str().unwrap();
            assert!(!withdrawn.contains(name), "{name} was sent after its withdrawal, in {:?}", request.body);
        }
    }
}
