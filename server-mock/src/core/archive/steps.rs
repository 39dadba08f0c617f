//! What comes between two steps of an archive that is being made.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Fetched;
use crate::core::due::Pace;
use crate::core::read::PIECE_BYTES;
use crate::core::{Core, EventQuery, Packed, Shared, Sorting};
use crate::domain::clock::Moment;
use crate::domain::config::Config;
use crate::domain::event::Event;
use crate::domain::identity::Ids;
use crate::domain::profile::Subject;
use crate::domain::time::{self, DAY};
use crate::scratch::ScratchFolder;
use crate::store::sqlite::SqliteStore;
use crate::store::{HideCause, NewReplay, NewTask, StoredTask, TaskKind, TaskState};

/// More events than are read in a few steps.
const MANY: usize = 3_000;

fn core_in(folder: &ScratchFolder) -> Core {
    core_on(SqliteStore::open(folder.path()).unwrap())
}

/// A clock that stands still, always at the same instant, and a project whose events are kept for a day.
fn core_on(store: SqliteStore) -> Core {
    let config = json!({"projects": [{"token": "T", "project_id": 1, "retention_events_days": 1, "id_merge": "simplified"}]});
    let shared = Arc::new(Shared::new(Config::from_json(&config).unwrap(), None));
    shared.clock().set(1_800_000_000_000);
    shared.clock().freeze(true);
    Core::new(Box::new(store), shared).unwrap()
}

/// With many events of `u`, and some of `v`, who is asked about with `u`.
fn filled(mut core: Core) -> Core {
    send_all(&mut core, (0..MANY).map(|n| ("u", "D", n)));
    send_all(&mut core, (0..10).map(|n| ("v", "E", n)));
    core
}

fn in_memory() -> Core {
    filled(core_on(SqliteStore::in_memory().unwrap()))
}

fn send(core: &mut Core, user: &str, device: &str, number: usize) {
    send_all(core, [(user, device, number)]);
}

/// Stores events of these users and devices; those with the same number are the same.
fn send_all<'a>(core: &mut Core, events: impl IntoIterator<Item = (&'a str, &'a str, usize)>) {
    let now = core.shared.now();
    send_all_at(core, now, events);
}

/// The same, of requests that were received at another instant.
fn send_all_at<'a>(
    core: &mut Core,
    received: i64,
    events: impl IntoIterator<Item = (&'a str, &'a str, usize)>,
) {
    let now = core.shared.now();
    // Out of order, and some at the same time.
    let event = |(user, device, number)| event(user, device, number, now - 1 - (number * 7 % 1_000) as i64);
    let events = events.into_iter().map(event).collect();
    store(core, received, events);
}

fn event(user: &str, device: &str, number: usize, time: i64) -> Event {
    Event {
        name: format!("of {user}"),
        distinct_id: Some(user.into()),
        ids: Ids { user: Some(user.into()), device: Some(device.into()), also: Vec::new() },
        time,
        sent_time: None,
        properties: Map::from_iter([("device".to_owned(), json!(device)), ("n".to_owned(), json!(number))]),
        dedupe: Some(number.to_le_bytes().to_vec()),
        verb: None,
    }
}

fn store(core: &mut Core, received: i64, events: Vec<Event>) {
    let project = core.project_of("T");
    let mut events: Vec<Packed> = events.into_iter().map(Packed::from).collect();
    let sent = core.in_transaction(|core| core.ingest(&project, &mut events, Moment::as_sent(received)));
    assert_eq!(sent.unwrap().dropped, []);
}

fn ask(core: &mut Core, kind: TaskKind, ids: &[&str]) {
    ask_under(core, kind, ids, json!({}));
}

fn ask_under(core: &mut Core, kind: TaskKind, ids: &[&str], about: Value) {
    let now = core.shared.now();
    let project = core.store.find_project("T").unwrap().unwrap().project;
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let task = NewTask { kind, id: format!("{kind:?}"), ids, requested: now, due: now, about };
    core.in_transaction(|core| core.store.put_task(project, &task)).unwrap();
    core.reschedule().unwrap();
}

fn task(core: &mut Core, kind: TaskKind) -> StoredTask {
    core.store.task(&format!("{kind:?}")).unwrap().unwrap()
}

/// One step of due work, as it is done while clients are served.
fn step(core: &mut Core) -> bool {
    let now = core.shared.now();
    core.step(now, Pace::GivingWay).unwrap()
}

/// Asks for an archive, and does what is due until pieces of it are there, and more is to come.
fn ask_and_stop_in_the_middle(core: &mut Core) {
    ask(core, TaskKind::Retrieval, &["u", "v"]);
    loop {
        assert!(step(core));
        let task = task(core, TaskKind::Retrieval);
        if core.store.archive(task.row).unwrap().is_some_and(|archive| archive.bytes > 0) {
            assert_eq!(task.state, TaskState::Started);
            return;
        }
    }
}

/// The archive as it is handed out, made anew where it has to be.
fn fetched(core: &mut Core) -> Option<String> {
    loop {
        let task = task(core, TaskKind::Retrieval);
        match core.in_transaction(|core| core.fetch_archive(&task)).unwrap() {
            Fetched::There(archive) => {
                let pieces = (0..).map_while(|number| core.store.archive_piece(archive.key, number).unwrap());
                return Some(String::from_utf8_lossy(&pieces.collect::<Vec<_>>().concat()).into_owned());
            }
            Fetched::Making => assert!(step(core)),
            Fetched::Nothing => return None,
        }
    }
}

/// The same, once nothing is to be done any more.
fn fetched_at_the_end(core: &mut Core) -> Option<String> {
    while step(core) {}
    fetched(core)
}

fn lines_of(archive: &str, user: &str) -> usize {
    archive.matches(&format!("\"event\":\"of {user}\"")).count()
}

#[test]
fn whoever_comes_between_two_steps_is_served() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    send(&mut core, "w", "F", 0);
    send(&mut core, "u", "D", MANY);
    let view = core.view("T").unwrap().unwrap();
    assert_eq!(core.count_events(&view, &EventQuery::default()).unwrap(), MANY + 12);
    ask(&mut core, TaskKind::Deletion, &["v"]);
    while task(&mut core, TaskKind::Deletion).state != TaskState::Done {
        assert!(step(&mut core));
    }
    let retrieval = task(&mut core, TaskKind::Retrieval);
    assert_eq!((retrieval.state, retrieval.ids), (TaskState::Started, vec!["u".to_owned()]));
    let archive = fetched(&mut core).unwrap();
    // It was begun anew after the erasure, of what was there then.
    assert_eq!((lines_of(&archive, "u"), lines_of(&archive, "v")), (MANY + 1, 0));
    assert!(!archive.contains("\"v\""));
}

#[test]
fn whoever_is_erased_between_two_steps_can_be_read_in_no_piece() {
    let folder = ScratchFolder::new("archive-erased");
    let mut core = filled(core_in(&folder));
    ask_and_stop_in_the_middle(&mut core);
    let row = task(&mut core, TaskKind::Retrieval).row;
    let key = core.store.archive(row).unwrap().unwrap().key;
    ask(&mut core, TaskKind::Deletion, &["v"]);
    while task(&mut core, TaskKind::Deletion).state != TaskState::Done {
        assert!(step(&mut core));
    }
    assert_eq!(core.store.archive_piece(key, 1).unwrap(), None);
    drop(core);
    let database = rusqlite::Connection::open(folder.path().join("events.sqlite")).unwrap();
    let left = "SELECT count(*) FROM archive_pieces WHERE key = ?";
    assert_eq!(database.query_row(left, [key], |row| row.get::<_, i64>(0)).unwrap(), 0);
    drop(database);
    let archive = fetched(&mut core_in(&folder)).unwrap();
    assert_eq!((lines_of(&archive, "u"), lines_of(&archive, "v")), (MANY, 0));
}

#[test]
fn one_that_is_cut_off_is_begun_anew_by_the_next_start() {
    let folder = ScratchFolder::new("archive-cut-off");
    let mut core = filled(core_in(&folder));
    ask_and_stop_in_the_middle(&mut core);
    let whole = {
        let mut undisturbed = in_memory();
        ask(&mut undisturbed, TaskKind::Retrieval, &["u", "v"]);
        fetched_when_due(&mut undisturbed)
    };
    drop(core);
    let mut core = core_in(&folder);
    assert_eq!(task(&mut core, TaskKind::Retrieval).state, TaskState::Started);
    // Nobody has to ask for it.
    while step(&mut core) {}
    assert_eq!(task(&mut core, TaskKind::Retrieval).state, TaskState::Done);
    assert!(fetched(&mut core).unwrap() == whole);
}

/// Made in one go, as it is when somebody moves the clock.
fn fetched_when_due(core: &mut Core) -> String {
    let now = core.shared.now();
    assert_eq!(core.run_due(now).unwrap().tasks, 1);
    fetched(core).unwrap()
}

#[test]
fn made_in_steps_it_is_what_it_is_when_made_in_one_go() {
    let mut core = in_memory();
    let view = core.view("T").unwrap().unwrap();
    let mut lines = String::new();
    let query = EventQuery { sorting: Sorting::Time, ..EventQuery::default() };
    core.events(&view, &query, &mut |event, rendered| {
        let line: Value = json!({"event": event.name, "properties": rendered.properties});
        lines += &(line.to_string() + "\n");
        true
    })
    .unwrap();
    ask(&mut core, TaskKind::Retrieval, &["u", "v"]);
    let whole = fetched_when_due(&mut core);
    assert!(whole.contains(&lines), "all events, in the order of time");

    let mut core = in_memory();
    ask(&mut core, TaskKind::Retrieval, &["u", "v"]);
    let mut steps = 0;
    while step(&mut core) {
        if core.making.is_some() {
            // What comes meanwhile is not in it, nor does a copy of what is there move it.
            send_all(&mut core, [("u", "D", steps), ("u", "D", MANY + steps)]);
            steps += 1;
        }
    }
    assert!(steps > 5, "{steps}");
    assert!(fetched(&mut core).unwrap() == whole);
}

/// Two combinations of one person; copies of the events of one come under the other while the events are looked for.
#[test]
fn an_event_that_moves_while_it_is_looked_for_is_there_once() {
    // A request is received some time before its events are stored.
    for late in [0, 5_000] {
        let mut core = core_on(SqliteStore::in_memory().unwrap());
        send_all(&mut core, (0..2 * MANY).map(|n| ("u", ["D", "E"][n % 2], n)));
        ask(&mut core, TaskKind::Retrieval, &["u"]);
        let received = core.shared.now() - late;
        let mut moved = 0;
        while step(&mut core) {
            send_all_at(&mut core, received, (moved..moved + 100).map(|n| ("u", ["E", "D"][n % 2], n)));
            moved += 100;
        }
        let archive = fetched(&mut core).unwrap();
        assert_eq!(lines_of(&archive, "u"), 2 * MANY, "{late}");
        for n in 0..moved {
            assert_eq!(archive.matches(&format!("\"n\":{n}}}")).count(), 1, "{n}");
        }
    }
}

/// It stands in the place of the event that was found, and whoever erases the other device does not know of the archive.
#[test]
fn a_copy_from_another_device_is_not_in_it() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    // The last one by time.
    send(&mut core, "u", "OTHER", 0);
    while step(&mut core) {}
    core.in_transaction(|core| core.erase_device("T", "OTHER")).unwrap();
    let archive = fetched_at_the_end(&mut core).unwrap();
    assert_eq!((archive.contains("OTHER"), lines_of(&archive, "u")), (false, MANY - 1));
}

#[test]
fn what_a_device_takes_back_between_two_steps_is_not_in_it() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    core.in_transaction(|core| core.erase_device("T", "D")).unwrap();
    let archive = fetched_at_the_end(&mut core).unwrap();
    assert_eq!((lines_of(&archive, "u"), lines_of(&archive, "v")), (0, 10));
}

#[test]
fn what_expires_between_two_steps_is_not_handed_out() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    core.shared.clock().advance(DAY);
    send(&mut core, "u", "D", MANY);
    let archive = fetched_at_the_end(&mut core).unwrap();
    assert_eq!((lines_of(&archive, "u"), lines_of(&archive, "v")), (1, 0));
}

/// The combination that led to the person is gone by then, with its last event.
#[test]
fn whoever_is_erased_is_not_in_an_archive_that_was_asked_for_by_a_device() {
    let mut core = core_on(SqliteStore::in_memory().unwrap());
    let now = core.shared.now();
    // Received now and kept for a day, and too old for an archive under the CCPA.
    store(&mut core, now, vec![event("u", "D", 0, now - 400 * DAY)]);
    let space = core.view("T").unwrap().unwrap().space;
    let profile = Map::from_iter([("about".to_owned(), json!("the profile of u"))]);
    let person = Subject::Person("u".into());
    core.in_transaction(|core| core.store.put_profile(space, &person, now, &profile)).unwrap();
    ask_under(&mut core, TaskKind::Retrieval, &["$device:D"], json!({"compliance": "CCPA"}));
    let archive = fetched_when_due(&mut core);
    assert_eq!((archive.contains("the profile of u"), lines_of(&archive, "u")), (true, 0));
    core.shared.clock().advance(DAY);
    let now = core.shared.now();
    assert_eq!(core.run_due(now).unwrap().expired.events, 1);
    ask(&mut core, TaskKind::Deletion, &["u"]);
    core.run_due(now).unwrap();
    assert_eq!(task(&mut core, TaskKind::Deletion).state, TaskState::Done);
    assert!(!fetched(&mut core).unwrap().contains("the profile of u"));
}

/// Steps until the archive is there, and answers when the first thing in it expires.
fn made(core: &mut Core, mut between: impl FnMut(&mut Core)) -> Option<i64> {
    for _ in 0..1_000 {
        let task = task(core, TaskKind::Retrieval);
        if task.state == TaskState::Done {
            return core.store.archive(task.row).unwrap().unwrap().outdated;
        }
        between(core);
        assert!(step(core));
    }
    panic!("it is made for ever");
}

#[test]
fn replays_that_are_not_in_it_do_not_outdate_it() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    let (now, space) = (core.shared.now(), core.view("T").unwrap().unwrap().space);
    for (user, device, expires) in [("u", "D", now + 1_000), ("u", "D", now - 1), ("w", "F", now + 1)] {
        let ids = Ids { user: Some(user.into()), device: Some(device.into()), also: Vec::new() };
        let (about, body) = (json!({}), Vec::new());
        let replay = NewReplay { ids, about, body, received: now, expires: Some(expires) };
        core.in_transaction(|core| core.store.put_replay(space, &replay)).unwrap();
    }
    assert_eq!(made(&mut core, |_| {}), Some(now + 1_000));
    assert_eq!(task(&mut core, TaskKind::Retrieval).replays, 1);
}

#[test]
fn it_ends_although_something_in_it_expires_with_every_step() {
    let mut core = core_on(SqliteStore::in_memory().unwrap());
    let begun = core.shared.now();
    // One half of them within the next second, the other one half a day later.
    for n in 0..50 {
        let received = begun - DAY + 1 + 20 * n as i64;
        send_all_at(&mut core, received, (0..MANY / 100).map(|m| ("u", "D", n * MANY / 100 + m)));
    }
    send_all_at(&mut core, begun - DAY / 2, (MANY / 2..MANY).map(|n| ("u", "D", n)));
    ask(&mut core, TaskKind::Retrieval, &["u"]);
    let outdated = made(&mut core, |core| core.shared.clock().advance(20));
    let now = core.shared.now();
    assert_eq!(outdated, Some(begun + DAY / 2));
    assert_eq!(task(&mut core, TaskKind::Retrieval).events, MANY / 2);
    // It says as of when it was made, not what it leaves out.
    let archive = fetched(&mut core).unwrap();
    let (_, to) = archive.split_once("\"to\":\"").unwrap();
    let to = time::parse_iso(to.split_once('"').unwrap().0).unwrap();
    assert!((begun..now).contains(&to) && now < begun + 1_000, "{to}");
}

/// An objection is about what comes; what is known can be had.
#[test]
fn an_objection_between_two_steps_takes_nothing_out() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    core.in_transaction(|core| core.suppress("T", &["u".into()])).unwrap().unwrap();
    let archive = fetched_at_the_end(&mut core).unwrap();
    assert_eq!((lines_of(&archive, "u"), lines_of(&archive, "v")), (MANY, 10));
}

#[test]
fn what_is_hidden_between_two_steps_is_in_it_when_it_is_back() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    core.hide_project("T", HideCause::Delete).unwrap().unwrap();
    assert_eq!(fetched_at_the_end(&mut core), None);
    core.restore_project("T").unwrap().unwrap();
    assert_eq!(lines_of(&fetched(&mut core).unwrap(), "u"), MANY);
}

#[test]
fn with_all_data_the_making_goes() {
    let mut core = in_memory();
    ask_and_stop_in_the_middle(&mut core);
    core.reset().unwrap();
    core.shared.clock().freeze(true);
    let now = core.shared.now();
    core.run_due(now).unwrap();
    assert!(!step(&mut core) && core.store.tasks(1).unwrap().is_empty());
}

/// A person may be a member of very many groups, which are read in as many steps as they take.
#[test]
fn the_groups_that_name_somebody_are_read_in_steps() {
    const GROUPS: usize = 1_200;
    let steps = |groups: usize| {
        let mut core = core_on(SqliteStore::in_memory().unwrap());
        send(&mut core, "u", "D", 0);
        let space = core.view("T").unwrap().unwrap().space;
        core.in_transaction(|core| {
            for n in 0..groups {
                let about = json!({"members": ["u", "v"], "notes": "x".repeat(1_000)});
                let subject = Subject::Group("team".into(), format!("g-{n}-"));
                core.store.put_profile(space, &subject, 1, about.as_object().unwrap())?;
            }
            Ok(())
        })
        .unwrap();
        ask(&mut core, TaskKind::Retrieval, &["u"]);
        let mut steps = 0;
        while step(&mut core) {
            steps += 1;
        }
        let archive = fetched(&mut core).unwrap();
        assert!((0..groups).all(|n| archive.matches(&format!("\"g-{n}-\"")).count() == 1));
        assert_eq!(archive.contains("groups.jsonl"), groups > 0);
        assert!(!archive.contains("notes"), "that is not about the person");
        steps
    };
    let (none, many) = (steps(0), steps(GROUPS));
    assert!(many >= none + GROUPS * 1_000 / PIECE_BYTES, "{none} {many}");
}
