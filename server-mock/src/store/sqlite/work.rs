//! What is done for one person costs the same however many others there are, and no more than in proportion to the
//! person's own ids. Counted in instructions of the database's
//! machine, so that a plan which goes through everybody shows.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, json};

use super::SqliteStore;
use crate::core::{Core, EventQuery, Packed, Resolver, Shared, Sorting};
use crate::domain::clock::Moment;
use crate::domain::config::{Config, IdMerge, RetentionBasis};
use crate::domain::event::Event;
use crate::domain::identity::{Ids, Verb};
use crate::domain::profile::Subject;
use crate::store::{
    Barrier, Erasing, Erasure, EventRange, EventText, Events, Identities, KeyRow, NewEvent, NewReplay,
    NewTask, Order, Profiles, Projects, Replays, Space, TaskKind, Tasks, Transactions, Window,
};

const FEW: usize = 60;
const MANY: usize = 3_000;
/// Trees grow by a level.
const TOLERATED: usize = 3;

struct Counted {
    store: SqliteStore,
    space: Space,
    instructions: Arc<AtomicUsize>,
}

impl Counted {
    /// With so many persons, who have two events, a profile, a group, a replay, an edge and a retrieval with its archive
    /// each.
    fn with(persons: usize) -> Counted {
        let mut store = SqliteStore::in_memory().unwrap();
        store.begin().unwrap();
        let space = store.open_project("T").unwrap().space.unwrap();
        for n in 0..persons {
            for sent in 0..2 {
                store.put_event(space, &event(n, sent), sent).unwrap();
            }
            let replay = NewReplay {
                ids: ids(n),
                about: json!({}),
                body: Vec::new(),
                received: n as i64,
                expires: Some(1_000_000),
            };
            store.put_replay(space, &replay).unwrap();
            let about = Map::from_iter([("members".to_owned(), json!([user(n)]))]);
            store.put_profile(space, &Subject::Person(user(n)), 1, &Map::new()).unwrap();
            store.put_profile(space, &Subject::Group("team".into(), user(n)), 1, &about).unwrap();
            store.join(space, &user(n), &format!("other-{n}"), true).unwrap();
            store.put_task(space.project, &task(TaskKind::Retrieval, n)).unwrap();
            let mut stored = store.task(&format!("{:?}-{n}", TaskKind::Retrieval)).unwrap().unwrap();
            stored.archive_until = Some(1_000_000);
            let keys = rows(&mut store, space, n);
            let key = store.begin_archive(&stored, &keys, &[]).unwrap();
            store.put_archive_piece(key, 0, b"archive").unwrap();
            store.end_archive(&stored, None).unwrap();
        }
        store.commit().unwrap();
        // An archive takes the place of the key that its task had.
        while store.is_shredding() {
            store.shred(usize::MAX, 1).unwrap();
        }
        let instructions = counting(&mut store);
        Counted { store, space, instructions }
    }

    fn count(&mut self, work: &Work) -> usize {
        self.instructions.store(0, Ordering::Relaxed);
        work(&mut self.store, self.space);
        self.instructions.load(Ordering::Relaxed)
    }
}

/// Counts what the database does from now on.
fn counting(store: &mut SqliteStore) -> Arc<AtomicUsize> {
    let instructions = Arc::new(AtomicUsize::new(0));
    let counter = instructions.clone();
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    store.connection.progress_handler(1, Some(count)).unwrap();
    instructions
}

type Work = fn(&mut SqliteStore, Space);

/// The person in question.
const N: usize = 40;

const WORKS: [(&str, Work); 14] = [
    ("event", |store, space| {
        store.begin().unwrap();
        store.put_event(space, &event(N, 7), 7).unwrap();
        store.commit().unwrap();
    }),
    ("first user", |store, space| {
        store.first_user(space, &device(N)).unwrap().unwrap();
    }),
    ("cluster", |store, space| assert!(store.cluster(space, &user(N)).unwrap().len() > 1)),
    ("keys of a person", |store, space| {
        for id_merge in [IdMerge::Simplified, IdMerge::Original] {
            assert!(!store.keys_of(space, id_merge, &user(N)).unwrap().is_empty());
        }
    }),
    ("keys of a device", |store, space| {
        assert!(!store.keys_of_device(space, &device(N)).unwrap().is_empty());
    }),
    ("keys naming", |store, space| {
        assert!(!store.keys_naming(space, &format!("alias-{N}")).unwrap().is_empty())
    }),
    ("groups naming", |store, space| assert_eq!(store.groups_naming(space, &user(N)).unwrap().len(), 1)),
    ("events of a person", |store, space| {
        let keys = Arc::new(rows(store, space, N));
        for order in [Order::Receipt(0), Order::Newest(i64::MAX), Order::Time(i64::MIN, 0)] {
            let range = EventRange {
                space,
                window: Window { basis: RetentionBasis::Received, expired_until: -1 },
                from: i64::MIN,
                until: i64::MAX,
                order,
                keys: Some(keys.clone()),
            };
            let mut found = 0;
            store
                .visit_events(&range, &mut |_| {
                    found += 1;
                    true
                })
                .unwrap();
            assert_eq!(found, store.count_events(&range).unwrap());
            assert!(found >= 2);
        }
    }),
    ("retrievals", |store, space| {
        let keys = rows(store, space, N);
        assert_eq!(store.retrievals_about(space.project, &[user(N)], &keys).unwrap().len(), 1);
    }),
    ("conflicts", |store, space| assert!(store.conflicts(space.project, &[user(N)]).unwrap().is_empty())),
    ("task", |store, space| {
        store.begin().unwrap();
        store.put_task(space.project, &task(TaskKind::Deletion, N)).unwrap();
        store.commit().unwrap();
    }),
    ("decision", |store, space| {
        let task = store.task(&format!("{:?}-{N}", TaskKind::Deletion)).unwrap().unwrap();
        let keys = rows(store, space, N);
        store.begin().unwrap();
        let barrier = Some(Barrier { before: None, sent_before: None, until: None });
        let ids = vec![user(N)];
        let spaces = vec![space];
        store.erase(&Erasure { project: space.project, task: task.row, spaces, keys, ids, barrier }).unwrap();
        store.commit().unwrap();
    }),
    ("keys", |store, _| store.destroy_keys().unwrap()),
    ("rows", |store, _| assert!(store.shred(1_000, 5).unwrap().events >= 3)),
];

#[test]
fn one_person_costs_the_same_among_many() {
    let (mut few, mut many) = (Counted::with(FEW), Counted::with(MANY));
    let counts = WORKS.map(|(name, work)| (name, few.count(&work), many.count(&work)));
    let grown: Vec<_> = counts.iter().filter(|(_, few, many)| *many > TOLERATED * few).collect();
    assert!(grown.is_empty(), "among {FEW} and among {MANY} persons: {grown:?}, of {counts:?}");
}

/// A page of profiles, and what is known of the person of an event, cost the same among many profiles.
#[test]
fn a_page_of_profiles_costs_the_same_among_many() {
    for id_merge in [IdMerge::Simplified, IdMerge::Original] {
        let counts = [FEW, MANY].map(|persons| {
            let (mut core, instructions) = core_of(id_merge);
            core.store.begin().unwrap();
            let space = core.store.open_project("T").unwrap().space.unwrap();
            for n in 0..persons {
                core.store.put_profile(space, &Subject::Person(user(n)), 1, &Map::new()).unwrap();
            }
            core.store.commit().unwrap();
            let view = core.view_at("T", 2).unwrap().unwrap();
            let rows = core.profile_rows(&view, false, 0, usize::MAX).unwrap();
            assert_eq!(rows.len(), persons);
            let mut resolver = Resolver::new(space, id_merge);
            instructions.store(0, Ordering::Relaxed);
            for row in &rows[10..20] {
                assert!(core.profile_of_row(&view, &mut resolver, *row).unwrap().is_some());
            }
            assert!(core.profile_of(&view, &mut resolver, &user(N)).unwrap().is_some());
            assert_eq!(core.profile_rows(&view, false, FEW as i64 - 10, 10).unwrap().len(), 10);
            instructions.load(Ordering::Relaxed)
        });
        assert!(counts[1] <= TOLERATED * counts[0], "{id_merge:?}: {counts:?}");
    }
}

/// Read in pieces, four times as many events of one person may cost four times as much.
#[test]
fn the_events_of_a_person_cost_in_proportion() {
    const SOME: usize = 1_500;
    let counts = [SOME, 4 * SOME].map(|events| {
        let (mut core, instructions) = core_of(IdMerge::Simplified);
        core.store.begin().unwrap();
        let space = core.store.open_project("T").unwrap().space.unwrap();
        for n in 0..events {
            core.store.put_event(space, &event(N, n as i64), 1).unwrap();
        }
        core.store.commit().unwrap();
        let view = core.view_at("T", 2).unwrap().unwrap();
        instructions.store(0, Ordering::Relaxed);
        for sorting in [Sorting::Time, Sorting::Receipt, Sorting::Newest] {
            let query = EventQuery { distinct_ids: Some(vec![user(N)]), sorting, ..EventQuery::default() };
            let mut times = Vec::new();
            core.events(&view, &query, &mut |event, _| {
                times.push(event.time);
                true
            })
            .unwrap();
            if sorting == Sorting::Newest {
                times.reverse();
            }
            assert!(times.iter().copied().eq(0..events as i64), "{sorting:?}");
        }
        instructions.load(Ordering::Relaxed)
    });
    let [few, many] = counts;
    assert!(many < 6 * few, "{few} {many}");
}

/// Once for each id: the work for a person with four times as many of them may be four times as much.
#[test]
fn a_person_with_many_ids_costs_in_proportion() {
    const SOME: usize = 100;
    let counts = [SOME, 4 * SOME].map(|ids| {
        let merges: Vec<_> = (1..ids).map(|n| merge(&user(0), &user(n))).collect();
        let sent = |n: usize| Some(n.to_le_bytes().to_vec());
        let kiosk: Vec<_> =
            (0..ids).map(|n| Event { dedupe: sent(n), ..event_of(user(0), device(n)) }).collect();
        let anonymous: Vec<_> = (0..ids).map(|n| anonymous_event(device(n))).collect();
        let original = work_of(IdMerge::Original, &[&merges, &kiosk]);
        let refused = work_of(IdMerge::Original, &[&merges, &merges]);
        let simplified = work_of(IdMerge::Simplified, &[&kiosk, &anonymous]);
        [original, refused, simplified]
    });
    let [few, many] = counts;
    assert!(few.iter().zip(many).all(|(few, many)| many < 6 * few), "{few:?} {many:?}");
}

/// An update of a group rewrites its body, and not what the group is found by.
#[test]
fn one_more_member_of_a_large_group_is_one_more_name() {
    let mut store = SqliteStore::in_memory().unwrap();
    store.begin().unwrap();
    let space = store.open_project("T").unwrap().space.unwrap();
    let group = Subject::Group("team".into(), "large".into());
    let members = |range: std::ops::Range<usize>| {
        Map::from_iter([("members".to_owned(), range.map(|n| json!(user(n))).collect())])
    };
    store.put_profile(space, &group, 1, &members(0..MANY)).unwrap();
    let before = store.connection.total_changes();
    store.put_profile(space, &group, 2, &members(1..MANY + 1)).unwrap();
    assert_eq!(
        store.connection.total_changes() - before,
        3,
        "the body, a name that goes, and one that comes"
    );
    assert_eq!(store.groups_naming(space, &user(0)).unwrap(), []);
    for n in [1, MANY] {
        assert_eq!(store.groups_naming(space, &user(n)).unwrap().len(), 1);
    }
}

/// Refused records that name no project may be meant for any; of very many projects not all are asked for each.
#[test]
fn what_is_refused_costs_no_more_than_in_proportion() {
    let counts = [50, 800].map(|many| {
        let (mut core, instructions) = core_of(IdMerge::Simplified);
        core.store.begin().unwrap();
        let barrier = Some(Barrier { before: None, sent_before: None, until: None });
        for n in 0..many {
            let home = core.store.open_project(&format!("P{n}")).unwrap();
            core.store.put_task(home.project, &task(TaskKind::Device, n)).unwrap();
            let task = core.store.task(&format!("{:?}-{n}", TaskKind::Device)).unwrap().unwrap().row;
            let (project, spaces, ids) = (home.project, Vec::new(), vec![user(n)]);
            core.store.erase(&Erasure { project, task, spaces, keys: Vec::new(), ids, barrier }).unwrap();
        }
        core.store.commit().unwrap();
        instructions.store(0, Ordering::Relaxed);
        let persons: Vec<_> = (0..many).rev().map(|n| (None, ids(n))).collect();
        let may = core.may_remember(&persons, 2).unwrap();
        assert!(!may.contains(&true), "each is barred somewhere");
        let nobody = vec![(None, Ids::default()); many];
        assert!(!core.may_remember(&nobody, 2).unwrap().contains(&false), "who is nobody was not erased");
        instructions.load(Ordering::Relaxed)
    });
    let [few, many] = counts;
    assert!(many < 20 * few, "{few} {many}");
}

/// What it takes to store these batches, with somebody on the suppression list, and to read what was stored.
fn work_of(id_merge: IdMerge, batches: &[&[Event]]) -> usize {
    let (mut core, instructions) = core_of(id_merge);
    core.store.begin().unwrap();
    core.suppress("T", &["nobody".into()]).unwrap();
    let project = core.project_of("T");
    for batch in batches {
        let mut packed: Vec<_> = batch.iter().cloned().map(Packed::from).collect();
        assert_eq!(core.ingest(&project, &mut packed, Moment::as_sent(1)).unwrap().dropped, []);
    }
    core.store.commit().unwrap();
    let view = core.view_at("T", 2).unwrap().unwrap();
    let (mut owners, mut events) = (HashSet::new(), 0);
    core.events(&view, &EventQuery::default(), &mut |_, rendered| {
        owners.insert(rendered.properties["distinct_id"].to_string());
        events += 1;
        true
    })
    .unwrap();
    assert!(events >= batches[0].len() && owners.len() == 1, "{owners:?}");
    instructions.load(Ordering::Relaxed)
}

/// A core with one project, and what its database does.
fn core_of(id_merge: IdMerge) -> (Core, Arc<AtomicUsize>) {
    let mut store = SqliteStore::in_memory().unwrap();
    let instructions = counting(&mut store);
    let config = Config::from_json(&json!({"projects": [
        {"token": "T", "project_id": 1, "id_merge": if id_merge == IdMerge::Original { "original" } else { "simplified" }}
    ]}));
    let shared = Arc::new(Shared::new(config.unwrap(), None));
    (Core::new(Box::new(store), shared).unwrap(), instructions)
}

fn merge(first: &str, second: &str) -> Event {
    let verb = Verb::Merge(first.to_owned(), second.to_owned());
    let ids = Ids { user: Some(first.to_owned()), device: None, also: vec![second.to_owned()] };
    Event { name: "$merge".into(), ids, verb: Some(verb), ..event_of(first.to_owned(), String::new()) }
}

fn anonymous_event(device: String) -> Event {
    let ids = Ids { user: None, device: Some(device), also: Vec::new() };
    Event { ids, distinct_id: None, ..event_of(String::new(), String::new()) }
}

fn event_of(user: String, device: String) -> Event {
    Event {
        name: "A".into(),
        distinct_id: Some(user.clone()),
        ids: Ids { user: Some(user), device: Some(device), also: Vec::new() },
        time: 1,
        sent_time: None,
        properties: Map::new(),
        dedupe: None,
        verb: None,
    }
}

fn user(n: usize) -> String {
    format!("user-{n}")
}

fn device(n: usize) -> String {
    format!("device-{n}")
}

fn ids(n: usize) -> Ids {
    Ids { user: Some(user(n)), device: Some(device(n)), also: vec![format!("alias-{n}")] }
}

fn event(n: usize, sent: i64) -> NewEvent {
    let event = Event { ids: ids(n), time: sent, ..event_of(user(n), device(n)) };
    let text = EventText::of(&event);
    let (ids, distinct_id) = (event.ids, event.distinct_id);
    NewEvent { ids, distinct_id, time: sent, dedupe: Some(sent.to_le_bytes().to_vec()), text }
}

fn task(kind: TaskKind, n: usize) -> NewTask {
    NewTask { kind, id: format!("{kind:?}-{n}"), ids: vec![user(n)], requested: 1, due: 1, about: json!({}) }
}

fn rows(store: &mut SqliteStore, space: Space, n: usize) -> Vec<KeyRow> {
    store.keys_of(space, IdMerge::Simplified, &user(n)).unwrap().into_iter().map(|(row, _)| row).collect()
}
