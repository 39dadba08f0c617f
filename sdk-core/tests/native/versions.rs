//! Data folders that another version has written.

use crate::support::{Collector, Folder, PATIENCE, accepted, delivered, file_ending, files, quiet, ready};
use refrain::engine::{Outcome, Rejection};
use refrain::native::OptOut;
use std::fs;
use std::path::Path;

#[test]
fn c8_a_record_of_a_later_version_is_a_no_and_stays_untouched() {
    for (slot, text) in [(true, false), (false, true)] {
        let (folder, collector) = (Folder::new(), Collector::start());
        let client = quiet(&folder, &collector).build().unwrap();
        ready(&client);
        accepted(&client, "earlier");
        client.shutdown(PATIENCE);
        for end in [".consent.a", ".consent.b"] {
            let path = file_ending(&folder.data(), end);
            let mut bytes = fs::read(&path).unwrap();
            if slot {
                bytes[3] = b'2';
            }
            if text {
                let record =
                    br#"{"v":2,"decision":"granted","revision":9,"epoch":1,"at":5,"purposes":["x"]}"#;
                bytes = refrain::journal::slot::encode(9, record);
            }
            fs::write(path, bytes).unwrap();
        }
        let before = files(&folder.data());
        let client = quiet(&folder, &collector).build().unwrap();
        client.sync(PATIENCE);
        assert_eq!(client.consent().reason(), "store_unavailable");
        assert_eq!(client.track("e", ()), Outcome::Rejected(Rejection::Denied));
        client.shutdown(PATIENCE);
        let own = |files: Vec<(std::path::PathBuf, Vec<u8>)>| {
            files.into_iter().filter(|(path, _)| !path.ends_with("owner")).collect::<Vec<_>>()
        };
        assert_eq!(own(files(&folder.data())), own(before));
        // Their "no" can be said all the same, and takes what the later version has kept.
        let client = quiet(&folder, &collector).build().unwrap();
        assert_eq!(client.opt_out(OptOut::default()), Ok(()));
        assert!(client.has_opted_out());
    }
}

#[test]
fn a_queue_of_a_later_version_is_set_aside_and_goes_with_a_withdrawal() {
    let (folder, collector) = (Folder::new(), Collector::start());
    collector.set_status(503);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "planted-later");
    client.shutdown(PATIENCE);
    let segment = file_ending(&folder.data(), ".log");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3] = b'2';
    fs::write(segment, bytes).unwrap();
    collector.set_status(200);
    let client = quiet(&folder, &collector).build().unwrap();
    ready(&client);
    accepted(&client, "now");
    delivered(&client);
    assert_eq!(client.opt_out(OptOut::default()), Ok(()));
    assert!(!crate::support::holds(&folder.data(), "planted-later"));
}

/// The folder `data/v1` was written by the first version and is never written again.
#[test]
fn a_folder_of_the_first_version_is_understood() {
    let (folder, collector) = (Folder::new(), Collector::start());
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1"), &folder.data());
    let client = quiet(&folder, &collector).queue_limit_age(PATIENCE * 10_000_000).build().unwrap();
    ready(&client);
    assert_eq!(client.distinct_id().as_deref(), Some("first-user"));
    assert_eq!(client.consent().reason(), "person");
    delivered(&client);
    let mut names = collector.names();
    names.sort();
    assert_eq!(names, ["$identify", "$opt_in", "kept"]);
    let kept = collector.events().into_iter().find(|event| event["event"] == "kept").unwrap();
    assert_eq!((&kept["properties"]["plan"], &kept["properties"]["n"]), (&"pro".into(), &1.into()));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
