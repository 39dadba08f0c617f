//! Processes are stopped, while others object, and go on: whatever they were in the middle of, they wake up to a no.

use crate::diary::Diary;
use crate::dice::Dice;
use crate::player::Player;
use crate::restless::{self, left};
use crate::support::{Collector, Folder, PATIENCE, accepted, holds, quiet, ready};
use refrain::engine::{ConsentError, StoreFault};
use refrain::native::OptOut;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// What a process that records and sends without a rest has to be stopped in.
const MOMENTS: [&str; 4] = ["track", "flush", "while it held the lock", "while it held nothing"];
/// So often at most.
const MANY: u64 = 300;

#[test]
fn c5_a_sender_that_was_stopped_is_named_and_goes_on_to_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut player = Player::start("hold", &folder, &collector);
    player.expect("ready");
    player.say("track 1 x");
    player.expect("true");
    player.say("send");
    player.expect("holding");
    player.stop();
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let Err(ConsentError::NotFenced(who)) = client.opt_out(OptOut::default()) else {
        panic!("it cannot be fenced")
    };
    assert!(who.contains(&player.child.id().to_string()), "{who}");
    assert!(client.has_opted_out());
    player.signal("-CONT");
    player.say("verdict");
    while player.hear().unwrap() != "deny" {
        player.say("verdict");
    }
    player.say("release");
    player.expect("released");
    // A second request would say that it holds again.
    player.say("track 1 late");
    player.hear().unwrap();
    player.say("flush");
    player.expect("Done");
    player.say("stats");
    player.expect("0 queued, balanced");
    assert!(!holds(&folder.data(), "late"));
    assert_eq!(client.opt_in(), Ok(()));
    assert_eq!(client.opt_out(OptOut::default()), Ok(()), "it does not hold for ever");
}

#[test]
fn c5_a_process_that_was_stopped_wakes_up_to_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut player = Player::start("obey", &folder, &collector);
    player.expect("ready");
    player.say("track 5 theirs");
    player.expect("true");
    player.stop();
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
fn c5_a_process_that_was_stopped_at_work_wakes_up_to_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    std::fs::create_dir_all(folder.data()).unwrap();
    let path = folder.data().with_file_name("diary");
    let diary = Diary::at(path.clone());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let mut dice = Dice::new(1);
    let mut stopped: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..MANY {
        if MOMENTS.iter().all(|moment| stopped.contains_key(*moment)) {
            break;
        }
        diary.clear();
        accepted(&client, "ours");
        assert!(client.sync(PATIENCE));
        let life = round.to_string();
        let variables = [(restless::NAME, life.as_str()), (restless::DIARY, path.to_str().unwrap())];
        let mut player = Player::start_where(&variables, "busy", &folder, &collector);
        player.expect("ready");
        // The moment of the stop; nothing is waited for.
        thread::sleep(Duration::from_micros(dice.below(100_000)));
        player.stop();
        let lines = diary.lines();
        let at = lines
            .last()
            .map_or("nothing", |line| if line.words[0] == "begin" { &line.words[1] } else { "between" });
        *stopped.entry(at.to_owned()).or_default() += 1;
        match client.opt_out(OptOut::default()) {
            Ok(()) => {
                assert_eq!(left(&folder.data()), "", "its queue is gone while it sleeps");
                *stopped.entry("while it held nothing".to_owned()).or_default() += 1;
            }
            Err(ConsentError::NotFenced(who)) => {
                assert!(who.contains(&player.child.id().to_string()), "{who}");
                *stopped.entry("while it held the lock".to_owned()).or_default() += 1;
            }
            // It was changing a record itself, for which there is a lock of its own.
            Err(ConsentError::NotRecorded(StoreFault::Other)) => {
                *stopped.entry("while it changed a record".to_owned()).or_default() += 1;
                player.signal("-CONT");
                assert_eq!(client.opt_out(OptOut::default()), Ok(()));
            }
            Err(trouble) => panic!("{trouble}"),
        }
        // What it had sent until then is read to the end, and what it was sending meets a closed door.
        let mark = collector.drain();
        player.signal("-CONT");
        player.expect("denied, 0 queued, balanced");
        player.expect("ready");
        player.say("verdict");
        player.expect("deny");
        player.say("end");
        player.hear().unwrap();
        drop(player);
        assert_eq!(
            collector.drain(),
            mark,
            "round {round}: something left after a no: {:?}",
            collector.requests().last()
        );
        assert_eq!(left(&folder.data()), "", "round {round}: what it wrote when it woke up");
        assert_eq!(client.opt_in(), Ok(()));
    }
    println!("{stopped:?}");
    for moment in MOMENTS {
        assert!(stopped.contains_key(moment), "never stopped in {moment}: {stopped:?}");
    }
}
