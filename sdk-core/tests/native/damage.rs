//! Folders that a crash, a disk or a person has hurt.

use crate::player::Player;
use crate::support::{
    Collector, Folder, PATIENCE, accepted, delivered, file_ending, files, holds, quiet, ready, tool,
};
use refrain::engine::{ConsentError, FlushState, Outcome, Rejection, StoreFault};
use refrain::native::OptOut;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// A folder in which these were recorded and not delivered.
fn recorded(folder: &Folder, collector: &Collector, names: &[&str]) {
    let client = quiet(folder, collector).build().unwrap();
    ready(&client);
    names.iter().for_each(|name| accepted(&client, name));
    assert!(client.sync(PATIENCE));
}

#[test]
fn c8_a_damaged_record_is_a_no_and_stays_untouched() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["before"]);
    for slot in [".consent.a", ".consent.b"] {
        flip(&file_ending(&folder.data(), slot), 30);
    }
    let consent = |path: &Path| path.to_string_lossy().contains(".consent.");
    let records = || files(&folder.data()).into_iter().filter(|(path, _)| consent(path)).collect::<Vec<_>>();
    let hurt = records();

    let client = quiet(&folder, &collector).build().unwrap();
    client.sync(PATIENCE);
    assert_eq!(client.consent().reason(), "store_unavailable");
    assert_eq!(client.track("e", ()), Outcome::Rejected(Rejection::Denied));
    client.flush(PATIENCE);
    assert_eq!(records(), hurt);
    assert_eq!(collector.connections(), 0);
    client.opt_in().unwrap();
    accepted(&client, "in this process only");
    delivered(&client);
    assert_eq!(records(), hurt);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    client.shutdown(PATIENCE);
    let client = quiet(&folder, &collector).build().unwrap();
    client.sync(PATIENCE);
    assert!(client.has_opted_out(), "a refusal replaces what cannot be read");
}

/// What a kill leaves between the making of the first identity's file and its first byte. A consent record is never written
/// like that: an empty one may have been a refusal.
#[test]
fn c8_an_identity_of_which_nothing_was_written_is_none_and_an_empty_choice_is_a_refusal() {
    for (name, remembered) in [("identity", "person"), ("consent", "store_unavailable")] {
        let (folder, collector) = (Folder::new(), Collector::start());
        recorded(&folder, &collector, &[]);
        for slot in ["a", "b"] {
            fs::remove_file(file_ending(&folder.data(), &format!(".{name}.{slot}"))).ok();
        }
        let other = file_ending(&folder.data(), ".send.lock").to_string_lossy().into_owned();
        fs::write(other.replace("send.lock", &format!("{name}.a")), "").unwrap();
        let client = quiet(&folder, &collector).build().unwrap();
        assert!(client.sync(PATIENCE));
        assert_eq!(client.device_id().is_some(), name == "identity");
        assert_eq!(client.opt_in(), Ok(()));
        client.shutdown(PATIENCE);
        let client = quiet(&folder, &collector).build().unwrap();
        assert!(client.sync(PATIENCE));
        assert_eq!(client.consent().reason(), remembered, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn c8_a_pipe_in_the_place_of_a_record_holds_up_nobody() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["before"]);
    for slot in [".consent.a", ".consent.b"].map(|slot| file_ending(&folder.data(), slot)) {
        fs::remove_file(&slot).unwrap();
        tool("mkfifo", &[&slot]);
    }
    let client = quiet(&folder, &collector).build().unwrap();
    assert!(client.sync(PATIENCE));
    assert_eq!(client.consent().reason(), "store_unavailable");
    assert_eq!(client.opt_out(OptOut::default()), Err(ConsentError::NotRecorded(StoreFault::Other)));
    assert!(client.has_opted_out());
    client.shutdown(PATIENCE);
    assert_eq!(collector.connections(), 0);
}

#[test]
fn damage_to_one_slot_costs_nothing() {
    let (folder, collector) = (Folder::new(), Collector::start());
    for slot in [".consent.a", ".consent.b"] {
        let client = quiet(&folder, &collector).build().unwrap();
        client.sync(PATIENCE);
        assert_eq!(client.opt_out(OptOut::default()), Ok(()));
        client.shutdown(PATIENCE);
        flip(&file_ending(&folder.data(), slot), 30);
        let client = quiet(&folder, &collector).build().unwrap();
        client.sync(PATIENCE);
        assert!(client.has_opted_out(), "{slot}");
        assert_eq!(client.opt_in(), Ok(()));
        client.shutdown(PATIENCE);
    }
}

#[test]
fn a_torn_tail_costs_what_was_torn() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a", "b", "c"]);
    let segment = file_ending(&folder.data(), ".log");
    let length = fs::metadata(&segment).unwrap().len();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(length - 7).unwrap();

    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().damaged), (2, 0));
    accepted(&client, "d");
    drop(client);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    delivered(&client);
    assert_eq!(collector.names(), ["a", "b", "d"]);
}

#[test]
fn damage_in_the_middle_is_set_aside_and_counted() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a", "b", "c"]);
    let segment = file_ending(&folder.data(), ".log");
    let whole = fs::read(&segment).unwrap();
    flip(&segment, whole.len() / 2);

    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().damaged), (2, 1));
    assert_eq!(
        fs::metadata(file_ending(&folder.data(), ".log.bad")).unwrap().len() as usize,
        whole.len() / 3 - 8
    );
    drop(client);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().damaged), (2, 0), "counted once");
    delivered(&client);
    assert_eq!(collector.names(), ["a", "c"]);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    assert!(files(&folder.data()).iter().all(|(path, _)| !path.to_string_lossy().contains("bad")));
}

#[test]
fn a_damaged_header_costs_its_segment() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a"]);
    flip(&file_ending(&folder.data(), ".log"), 6);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().damaged), (0, 1));
    accepted(&client, "b");
    delivered(&client);
    assert_eq!(collector.names(), ["b"]);
}

#[test]
fn c8_data_without_a_record_is_wiped() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["orphan"]);
    for slot in [".consent.a", ".consent.b"] {
        fs::remove_file(file_ending(&folder.data(), slot)).unwrap();
    }
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.stats().recovered, 0);
    assert!(client.stats().wiped > 0);
    delivered(&client);
    assert_eq!(collector.connections(), 0);
}

/// The device's secret stands in one of them, and whoever can open a lock can hold it against an objection.
#[cfg(unix)]
#[test]
fn c12_in_a_folder_that_everybody_may_look_into_files_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, collector) = (Folder::new(), Collector::start());
    std::fs::create_dir_all(folder.data()).unwrap();
    std::fs::set_permissions(folder.data(), PermissionsExt::from_mode(0o755)).unwrap();
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "a");
    assert!(client.sync(PATIENCE));
    let files = files(&folder.data());
    assert!(files.len() >= 5, "records, a segment and locks: {files:?}");
    for (path, _) in files {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o} {}", path.display());
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a"]);
    let queue = file_ending(&folder.data(), ".log").parent().unwrap().to_owned();
    let foreign =
        [folder.data().join("notes.txt"), queue.join("notes.txt"), queue.join("0000000000000001.log.orig")];
    foreign.iter().for_each(|path| fs::write(path, "theirs").unwrap());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    client.shutdown(PATIENCE);
    foreign.iter().for_each(|path| assert_eq!(fs::read(path).unwrap(), b"theirs"));
}

#[test]
fn a_file_in_place_of_the_folder_is_a_no() {
    let (folder, collector) = (Folder::new(), Collector::start());
    fs::create_dir_all(folder.data().parent().unwrap()).unwrap();
    fs::write(folder.data(), "theirs").unwrap();
    for path in [folder.data(), folder.data().join("below")] {
        let client = quiet(&folder, &collector).data_dir(path).build().unwrap();
        client.sync(PATIENCE);
        assert_eq!(client.track("e", ()), Outcome::Rejected(Rejection::Denied));
        assert_eq!(client.consent().reason(), "store_unavailable");
        client.opt_in().unwrap();
        accepted(&client, "chosen");
        delivered(&client);
        let error = client.opt_out(OptOut::default()).unwrap_err();
        assert_eq!(error, ConsentError::NotRecorded(StoreFault::ReadOnly));
        assert!(error.to_string().contains("the data folder cannot be written"), "{error}");
        assert_eq!(client.track("e", ()), Outcome::Rejected(Rejection::Denied));
        client.shutdown(PATIENCE);
    }
    assert_eq!(fs::read(folder.data()).unwrap(), b"theirs");
}

#[test]
fn c14_what_cannot_be_looked_at_is_not_passed_over() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let kinds = || client.audit().files.iter().map(|file| file.kind).collect::<Vec<_>>();
    assert!(!kinds().contains(&"unlisted"));
    fs::remove_dir_all(folder.data().join("queue")).unwrap();
    fs::write(folder.data().join("queue"), "not ours").unwrap();
    let audit = client.audit();
    let unlisted: Vec<_> = audit.files.iter().filter(|file| file.kind == "unlisted").collect();
    assert_eq!(unlisted.iter().map(|file| (&*file.name, file.bytes)).collect::<Vec<_>>(), [("queue", 0)]);
    assert!(audit.files.iter().any(|file| file.kind == "consent"), "what can be listed is");

    // Nobody can say that nothing is left; the rest has gone.
    assert_eq!(client.opt_out(OptOut::default()), Err(ConsentError::NotPurged(vec!["queue".into()])));
    assert!(client.has_opted_out());
    assert_eq!(kinds().iter().filter(|kind| **kind == "data").count(), 0);
    fs::remove_file(folder.data().join("queue")).unwrap();
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    assert!(!kinds().contains(&"unlisted"));
}

#[test]
fn c4_a_file_that_cannot_be_deleted_keeps_no_other_one_and_is_named() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let [first, second] = [".identity.a", ".identity.b"].map(|end| file_ending(&folder.data(), end));
    fs::remove_file(&first).unwrap();
    fs::create_dir_all(first.join("in the way")).unwrap();
    let name = first.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(client.opt_out(OptOut::default()), Err(ConsentError::NotPurged(vec![name])));
    assert!(!second.exists(), "the device's secret stands in it");
}

#[test]
fn c5_what_keeps_senders_from_being_fenced_is_named() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "a");
    assert!(client.sync(PATIENCE));
    let lock = file_ending(&folder.data(), ".send.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let Err(ConsentError::NotFenced(who)) = client.opt_out(OptOut::default()) else {
        panic!("nobody is fenced")
    };
    assert!(who.contains(&*lock.file_name().unwrap().to_string_lossy()), "{who}");
    assert!(!holds(&folder.data(), "\"a\""), "it is purged all the same");
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "before");
    assert!(client.sync(PATIENCE));
    fs::remove_dir_all(folder.data()).unwrap();
    client.track("e", ());
    client.sync(PATIENCE);
    ready(&client);
    accepted(&client, "after");
    delivered(&client);
    assert!(!collector.names().contains(&"before".to_owned()), "the record of consent was gone (C8)");
    assert!(client.stats().balance());
}

#[test]
fn a_full_disk_costs_nothing_that_was_stored() {
    let (folder, collector) = (Folder::new(), Collector::start());
    // Room for the small records, not for the segment: its last write is cut short in the middle.
    let mut player = Player::start_limited(64, "obey", &folder, &collector);
    player.expect("ready");
    player.say("track 100 x");
    player.expect("true");
    player.say("track 1500 y");
    player.expect("false");
    // What was cut short does not stand in the way of what fits.
    player.say("track 1 z");
    player.expect("false");
    player.say("stats");
    let stats = player.hear().unwrap();
    assert_eq!(stats, "1601 queued, balanced", "what does not fit on disk is kept in memory");
    player.signal("-KILL");
    player.hear();

    let segment = file_ending(&folder.data(), ".log");
    let written = fs::metadata(&segment).unwrap().len();
    assert!(written <= 64 << 10);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    let stats = client.stats();
    assert!(stats.recovered >= 100 && stats.damaged == 0, "{stats:?}");
    assert_eq!(client.flush(PATIENCE), FlushState::Done);
    let names = collector.names();
    assert_eq!(names.iter().filter(|name| *name == "x").count(), 100);
    // How the thread's takes fall decides whether there is room for one more.
    let one = written / (stats.recovered + 1);
    assert!(names.contains(&"z".to_owned()) || written + 2 * one > 64 << 10, "there was room: {written}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_is_a_folder_without_a_choice() {
    let (folder, collector) = (Folder::new(), Collector::start());
    // Nobody may make a folder there, whoever they are.
    let client = quiet(&folder, &collector).data_dir("/sys/refrain-test").build().unwrap();
    client.register(json!({"plan": "pro"}));
    assert!(!client.sync(PATIENCE), "what goes with later records is not on disk");
    accepted(&client, "in memory");
    assert!(!client.sync(PATIENCE), "it is not on disk");
    delivered(&client);
    assert_eq!(collector.names(), ["in memory"]);
    accepted(&client, "late");
    assert_eq!(client.opt_out(OptOut::default()), Err(ConsentError::NotRecorded(StoreFault::ReadOnly)));
    assert_eq!(client.track("e", ()), Outcome::Rejected(Rejection::Denied));
    client.flush(PATIENCE);
    assert_eq!(collector.names(), ["in memory"]);
}

#[test]
fn a_full_disk_is_said_to_whoever_decides() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let mut player = Player::start_limited(0, "obey", &folder, &collector);
    player.expect("ready");
    player.say("out");
    player.expect(&format!("{}", ConsentError::NotRecorded(StoreFault::Full)));
    player.say("verdict");
    player.expect("deny");
}

#[test]
fn bytes_behind_the_last_record_do_not_hide_later_ones() {
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a"]);
    let segment = file_ending(&folder.data(), ".log");
    let mut file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&[0; 64]).unwrap();
    drop(file);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "b");
    drop(client);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    delivered(&client);
    assert_eq!(collector.names(), ["a", "b"]);
}

#[test]
fn a_segment_that_has_grown_beyond_reason_is_not_read_to_its_end() {
    const GROWN: u64 = 40 << 20;
    let (folder, collector) = (Folder::new(), Collector::start());
    recorded(&folder, &collector, &["a", "b"]);
    let segment = file_ending(&folder.data(), ".log");
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(GROWN).unwrap();

    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    assert_eq!((client.stats().recovered, client.stats().damaged), (2, 1));
    let aside = fs::metadata(file_ending(&folder.data(), ".bad")).unwrap().len();
    assert!(aside < GROWN / 2, "{aside} bytes were read");
    assert!(fs::metadata(&segment).unwrap().len() < 10_000, "the rest is gone");
    accepted(&client, "c");
    delivered(&client);
    assert_eq!(collector.names(), ["a", "b", "c"]);
}
