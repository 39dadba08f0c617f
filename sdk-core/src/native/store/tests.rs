//! The store with an engine in front, on short segments: what stands in the folder while a collector answers so or so.

use super::guarded::{Guarded, Touch, out_of_descriptors};
use super::layout::{QueueFile, queue_files};
use super::*;
use crate::engine::{
    Also, Answer, Call, CallKind, Config, DefaultConsent, Effect, Engine, EventId, Input, Item, ItemKind,
    Now, Op, Secret,
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::rc::Rc;

struct Process {
    engine: Engine,
    store: Store,
    now: Now,
    jobs: VecDeque<Effect>,
    /// Requests under way, and where they go.
    requests: VecDeque<(Op, String)>,
    drawn: u8,
}

impl Process {
    fn start(folder: &Path, id: u8) -> Self {
        Self::start_with(folder, id, u64::MAX)
    }

    /// One that takes over so many bytes.
    fn start_with(folder: &Path, id: u8, room: u64) -> Self {
        let mut config = Config::new("T");
        config.default_consent = DefaultConsent::Granted;
        let ledger = Ledger::new(Some(Layout::on(Files, folder.to_path_buf(), "T")));
        let mut process = Self {
            engine: Engine::new(config).unwrap(),
            store: Store::new(ledger, [id; 8]).with_room(room),
            now: Now { wall_ms: 1_788_220_800_000, mono_ms: 0 },
            jobs: VecDeque::new(),
            requests: VecDeque::new(),
            drawn: id,
        };
        process.input(Input::Start { secret: Secret([id; 16]) });
        process.work();
        process
    }

    fn input(&mut self, input: Input<'_>) {
        for effect in self.engine.handle(self.now, input) {
            match effect {
                Effect::Send { op, permit } => self.requests.push_back((op, permit.path().into())),
                Effect::Notify(_) | Effect::Cancel { .. } | Effect::SendErasure { .. } => {}
                effect => self.jobs.push_back(effect),
            }
        }
    }

    fn work(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            let (op, result) = match job {
                Effect::Open { op } => (op, self.store.open()),
                Effect::Recover { op, epoch } => (op, self.store.recover(epoch)),
                Effect::Amend { op, amendment } => (op, self.store.amend(amendment)),
                Effect::Acknowledge { op, records } => (op, self.store.acknowledge(&records)),
                Effect::Sync { op } => (op, self.store.sync()),
                Effect::Append { op, permit } => (op, self.store.append(vec![permit]).remove(0)),
                other => panic!("nobody withdraws here: {other:?}"),
            };
            self.input(Input::Done { op, result });
        }
    }

    fn call(&mut self, kind: CallKind, name: &str, text: &str) {
        self.drawn = self.drawn.wrapping_add(1);
        let mut bits = [self.drawn; 16];
        bits[..8].copy_from_slice(&self.engine.stats().tracked.to_le_bytes());
        self.input(Input::Call(Call::new(kind, name, text, bits)));
        self.work();
    }

    /// Time passes, and every request that starts is answered.
    fn pass(&mut self, ms: u64, answer: impl Fn(&str) -> Answer) {
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
        self.input(Input::Tick { secret: Secret([7; 16]) });
        self.work();
        while let Some((op, path)) = self.requests.pop_front() {
            self.input(Input::Done { op, result: Done::Answered(answer(&path)) });
            self.work();
        }
    }
}

fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
    Answer::Response { status, retry_after: retry_after.map(Into::into), body: body.into() }
}

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("refrain-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The bytes of all segments.
    fn segments(&self) -> u64 {
        let layout = Layout::on(Files, self.0.clone(), "T");
        let folders = layout.instances().unwrap().into_iter();
        let files = folders.flat_map(|folder| queue_files(&Files, &folder).unwrap());
        files.filter(|(_, kind)| matches!(kind, QueueFile::Segment(_))).map(|(path, _)| len(&path)).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_record_that_waits_keeps_nothing_that_is_delivered() {
    let folder = Folder::new("waits");
    let mut process = Process::start(&folder.0, 1);
    process.call(CallKind::Profile, "", r#"{"$set":{"plan":"pro"}}"#);
    // Profiles are not to be had there: their lane pauses.
    let events_only = |path: &str| match path.starts_with("/track") {
        true => answer(200, None, "1"),
        false => answer(404, None, ""),
    };
    let mut most = 0;
    for _ in 0..40 {
        (0..20).for_each(|_| process.call(CallKind::Track, "Bought", r#"{"item":"umbrella"}"#));
        process.pass(5_000, events_only);
        most = most.max(folder.segments());
    }
    assert_eq!((process.engine.stats().delivered, process.engine.stats().queued), (800, 1));
    assert!(most < 20 << 10, "{most} bytes, for one record");

    drop(process);
    let mut process = Process::start(&folder.0, 2);
    assert_eq!(process.engine.stats().recovered, 1);
    process.pass(5_000, |_| answer(200, None, "1"));
    assert_eq!((process.engine.stats().delivered, folder.segments()), (1, 0));
}

#[test]
fn a_server_that_asks_for_patience_does_not_fill_the_disk() {
    let folder = Folder::new("patience");
    let mut process = Process::start(&folder.0, 1);
    process.call(CallKind::Track, "Bought", "{}");
    let mut most = 0;
    for _ in 0..1_000 {
        process.pass(5_000, |_| answer(503, Some("5"), ""));
        most = most.max(folder.segments());
    }
    assert!(most < 8 << 10, "{most} bytes, for one record");
    process.call(CallKind::Track, "Sold", "{}");
    process.pass(60_000, |_| answer(503, Some("3600"), ""));
    let now = process.now;

    drop(process);
    let mut process = Process::start(&folder.0, 2);
    assert_eq!(process.engine.stats().recovered, 2);
    process.now.wall_ms = now.wall_ms + 1_000;
    process.pass(10_000, |_| answer(200, None, "1"));
    assert_eq!(process.engine.stats().delivered, 0, "a restart does not make it impatient");
}

/// So many queues without an owner, with a record in each.
fn orphans(folder: &Folder, count: u64) {
    let mut process = Process::start(&folder.0, 1);
    process.call(CallKind::Track, "Bought", "{}");
    drop(process);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let [first] = &layout.instances().unwrap()[..] else { panic!("one queue") };
    for id in 2..=count {
        let other = layout.instance(id.to_be_bytes());
        fs::create_dir(&other).unwrap();
        for (path, _) in queue_files(&Files, first).unwrap() {
            fs::copy(&path, other.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn many_orphans_are_adopted_some_at_a_time() {
    let folder = Folder::new("orphans");
    orphans(&folder, 100);
    let mut left = 100;
    for id in 1.. {
        let mut process = Process::start(&folder.0, id);
        let stats = process.engine.stats();
        let (found, here) = (stats.recovered + stats.adopted, process.store.instances().count());
        assert!(found > 0 && here <= 65, "{found} records in {here} queues");
        (0..3).for_each(|_| process.pass(60_000, |_| answer(200, None, "1")));
        assert_eq!(process.engine.stats().delivered, found);
        left -= found;
        if left == 0 {
            break;
        }
    }
    assert_eq!(folder.segments(), 0);
}

#[test]
fn what_does_not_fit_into_the_queue_waits_with_its_folder() {
    let folder = Folder::new("large");
    orphans(&folder, 10);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let stock = instance::stock(&Files, &layout.instances().unwrap()[0]);
    // One is taken over however large it is, or it would never be.
    for (id, room, expected) in [(21, stock * 3, 3), (22, 1, 1), (23, stock * 4 - 1, 3), (24, u64::MAX, 3)] {
        let mut process = Process::start_with(&folder.0, id, room);
        let stats = process.engine.stats();
        assert_eq!(stats.recovered + stats.adopted, expected, "{id}");
        (0..3).for_each(|_| process.pass(60_000, |_| answer(200, None, "1")));
        assert_eq!(process.engine.stats().delivered, expected);
    }
    assert_eq!(folder.segments(), 0);
}

#[test]
fn folders_in_which_nothing_is_to_be_taken_over_keep_nobody_from_the_others() {
    let folder = Folder::new("starved");
    orphans(&folder, 1);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    // They are listed before it.
    for id in 1..=200_u64 {
        let other = layout.instance(id.to_be_bytes());
        fs::create_dir(&other).unwrap();
        fs::write(layout::owner(&other), "").unwrap();
        match id % 3 {
            0 => fs::write(layout::aside(&layout::segment(&other, 1)), "damaged").unwrap(),
            1 => fs::write(other.join("somebody else's"), "").unwrap(),
            _ => {}
        }
    }
    let process = Process::start(&folder.0, 9);
    let stats = process.engine.stats();
    assert_eq!(stats.recovered + stats.adopted, 1);
    // Those of the first kind, those of the second, and the one with the record.
    assert_eq!(layout.instances().unwrap().len(), 66 + 67 + 1);
}

#[test]
fn an_orphan_that_cannot_be_taken_over_keeps_nobody_from_the_others() {
    let folder = Folder::new("stubborn");
    orphans(&folder, 5);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let folders = layout.instances().unwrap();
    for queue in [&folders[0], &folders[3]] {
        fs::remove_file(layout::owner(queue)).unwrap();
        fs::create_dir(layout::owner(queue)).unwrap();
    }
    // That of this one can be taken over, and not be read.
    let path = layout::segment(&folders[2], 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();

    let mut process = Process::start(&folder.0, 9);
    let stats = process.engine.stats();
    assert_eq!(stats.recovered + stats.adopted, 2);
    process.call(CallKind::Track, "Sold", "{}");
    process.pass(60_000, |_| answer(200, None, "1"));
    assert_eq!(process.engine.stats().delivered, 3);
}

#[test]
fn an_orphan_of_which_a_part_cannot_be_read_keeps_nobody_from_recording() {
    let folder = Folder::new("half-read");
    orphans(&folder, 3);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    // That of the first one, whose place a process takes that has none of its own.
    let path = layout::segment(&layout.instances().unwrap()[0], 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();

    let mut process = Process::start(&folder.0, 9);
    assert_eq!(process.engine.stats().adopted, 2);
    process.call(CallKind::Track, "Sold", "{}");
    drop(process);
    let stats = Process::start(&folder.0, 10).engine.stats();
    assert_eq!(stats.recovered + stats.adopted, 3);
}

#[test]
fn c9_who_is_here_now_is_not_missed_by_another_look() {
    let folder = Folder::new("look");
    let mut process = Process::start(&folder.0, 1);
    process.call(CallKind::Track, "Bought", "{}");
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let mut watcher = Store::new(Ledger::new(Some(layout)), [9; 8]);
    watcher.open();
    process.call(CallKind::Identify, "u1", "{}");
    watcher.open();
    let changes = watcher.changes();
    assert!(matches!(changes[..], [(RecordName::Identity, _)]), "{changes:?}");
}

#[test]
fn of_several_queues_what_was_captured_first_goes_first() {
    let folder = Folder::new("order");
    // Folders are listed by the number in their names, here against time.
    let mut processes = [9, 5, 1].map(|id| Process::start(&folder.0, id));
    for round in 0..2 {
        for (at, process) in processes.iter_mut().enumerate() {
            process.now.wall_ms += 3_000 * round + 1_000 * at as u64;
            let plan = 3 * round + at as u64;
            process.call(CallKind::Profile, "", &format!(r#"{{"$set":{{"plan":{plan}}}}}"#));
        }
    }
    drop(processes);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let Done::Recovered(found) = Store::new(Ledger::new(Some(layout)), [7; 8]).recover(1) else { panic!() };
    let plans =
        found.records.iter().map(|record| record.text.split_once("\"plan\":").unwrap().1.as_bytes()[0]);
    assert_eq!(plans.collect::<Vec<_>>(), b"012345");
}

/// A disk on which nobody can look into this file or folder.
fn blind(hidden: PathBuf) -> Guarded<impl Fn(Touch<'_>) -> io::Result<()> + Clone> {
    Guarded(move |touch: Touch<'_>| match touch {
        Touch::Look(path) if path == hidden => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Ok(()),
    })
}

/// Wipes a folder with three queues as after a refusal, where one place cannot be looked into: what is left.
fn left(folder: &Folder, hidden: &Path, before: u64) -> (Done, Vec<String>) {
    let layout = Layout::on(blind(hidden.to_path_buf()), folder.0.clone(), "T");
    let ledger = Ledger::new(Some(layout));
    let mut store = Store::new(ledger.clone(), [9; 8]);
    let wiped = store.wipe(Some(before), WipeScope::Store);
    let Done::Listed(items) = store.list() else { panic!("no list") };
    let data = |item: &Item| matches!(item.kind, ItemKind::Data(_));
    let left: Vec<_> = items.into_iter().filter(data).map(|item| item.name).collect();
    let Listing { items, unlisted } = ledger.listing();
    let listed = items.into_iter().filter(data).map(|item| item.name).chain(unlisted);
    assert_eq!(listed.collect::<Vec<_>>(), left);
    (wiped, left)
}

#[test]
fn c4_one_place_that_nobody_can_look_into_keeps_nothing_else_from_going() {
    for hidden in ["queue", "a queue", "a segment"] {
        let folder = Folder::new("blind");
        orphans(&folder, 3);
        let layout = Layout::on(Files, folder.0.clone(), "T");
        let queues = layout.instances().unwrap();
        let segment = layout::segment(&queues[1], 1);
        let path = match hidden {
            "queue" => layout.queues(),
            "a queue" => queues[1].clone(),
            _ => segment,
        };
        // Of a segment that cannot be read nobody knows of which epoch it is, and no record says that all of them go.
        layout.slots(RecordName::Consent).iter().for_each(|slot| fs::remove_file(slot).unwrap());
        let (done, names) = left(&folder, &path, 2);
        assert!(matches!(done, Done::Failed(_)), "{hidden}: {done:?}");
        assert_eq!(names, [layout.name(&path)], "{hidden}");
        let there = |queue: &PathBuf| layout::segment(queue, 1).exists();
        match hidden {
            "queue" => assert!(queues.iter().all(there)),
            _ => assert_eq!(queues.iter().map(there).collect::<Vec<_>>(), [false, true, false], "{hidden}"),
        }
        assert!(layout.slots(RecordName::Identity).iter().all(|slot| !slot.exists()), "{hidden}");
    }
}

#[test]
fn c3_where_nothing_may_stay_nobody_has_to_read_what_goes() {
    let folder = Folder::new("unread");
    orphans(&folder, 1);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let segment = layout::segment(&layout.instances().unwrap()[0], 1);
    let (done, names) = left(&folder, &segment, u64::MAX);
    assert!(matches!(done, Done::Wiped { .. }), "{done:?}");
    assert!(names.is_empty() && !segment.exists());
}

#[test]
fn c9_who_cannot_tell_whether_others_live_leaves_them_their_device() {
    let folder = Folder::new("shared");
    orphans(&folder, 1);
    let layout = Layout::on(blind(folder.0.join("queue")), folder.0.clone(), "T");
    let mut store = Store::new(Ledger::new(Some(layout.clone())), [9; 8]);
    assert!(matches!(store.wipe(Some(2), WipeScope::Own), Done::Failed(_)));
    assert!(layout.slots(RecordName::Identity).iter().all(|slot| slot.exists()));
}

#[test]
fn c9_who_is_allowed_and_has_recorded_nothing_yet_keeps_the_device_when_another_one_purges_its_own() {
    let folder = Folder::new("quiet");
    let living = Process::start(&folder.0, 1);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let mut other = Store::new(Ledger::new(Some(layout.clone())), [9; 8]);
    let mut purge = || {
        assert!(matches!(other.wipe(Some(2), WipeScope::Own), Done::Wiped { .. }));
        let Done::Listed(left) = other.list() else { panic!("it can be listed") };
        assert!(!left.iter().any(|item| matches!(item.kind, ItemKind::Data(_))), "{left:?}");
        layout.slots(RecordName::Identity).iter().all(|slot| slot.exists())
    };
    assert!(purge());
    drop(living);
    assert!(!purge());
}

#[test]
fn c4_no_withdrawal_passes_while_a_damaged_queue_is_repaired_and_after_one_nothing_is() {
    let folder = Folder::new("repaired");
    orphans(&folder, 1);
    let layout = Layout::on(Files, folder.0.clone(), "T");
    let segment = layout::segment(&layout.instances().unwrap()[0], 1);
    let mut damaged = fs::read(&segment).unwrap();
    *damaged.last_mut().unwrap() ^= 1;

    let withdrawals = Rc::new(Cell::new((0, 0)));
    let seen = Rc::clone(&withdrawals);
    let fence = layout.clone();
    let guarded = Guarded(move |touch: Touch<'_>| {
        if let Touch::Change = touch {
            let passes =
                fence.disk.lock(&fence.sending_lock(), Hold::Exclusive, false, Duration::ZERO).is_ok();
            let (kept_out, passed) = seen.get();
            seen.set(if passes { (kept_out, passed + 1) } else { (kept_out + 1, passed) });
        }
        Ok(())
    });
    let recover = || {
        fs::write(&segment, &damaged).unwrap();
        let layout = Layout::on(guarded.clone(), folder.0.clone(), "T");
        let mut store = Store::new(Ledger::new(Some(layout)), [9; 8]);
        withdrawals.take();
        let Done::Recovered(found) = store.recover(1) else { panic!("it can be read") };
        (found.damaged, found.wiped, withdrawals.take())
    };
    let (damage, _, (kept_out, passed)) = recover();
    assert!(damage == 1 && kept_out > 0 && passed == 0, "{kept_out} kept out, {passed} passed");

    let mut process = Process::start(&folder.0, 2);
    process.input(Input::OptOut { also: Also::default(), id: EventId([3; 16]) });
    let Some(Effect::Amend { amendment, .. }) = process.jobs.pop_front() else {
        panic!("it is to be written")
    };
    assert!(matches!(process.store.amend(amendment), Done::Amended { changed: true, .. }));
    drop(process);
    assert_eq!(recover(), (0, 0, (0, 0)));
}

#[test]
fn c5_nobody_sends_without_a_lock_that_is_there() {
    let anothers = || io::Error::from(io::ErrorKind::PermissionDenied);
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let read_only = || io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(together(Ok).unwrap(), Some(true));
    assert_eq!(together(|make| if make { Err(read_only()) } else { Ok(make) }).unwrap(), Some(false));
    assert_eq!(together::<()>(|_| Err(read_only())).unwrap(), None);
    for passing in [out_of_descriptors, late, anothers] {
        assert!(together::<()>(|_| Err(passing())).is_err());
        assert!(together::<()>(|make| Err(if make { read_only() } else { passing() })).is_err());
    }
}

#[test]
fn c12_a_refusal_names_the_device_that_stands_in_the_folder_as_it_is_written() {
    let folder = Folder::new("names");
    let mut one = Process::start(&folder.0, 1);
    let mut two = Process::start(&folder.0, 2);
    two.call(CallKind::SwitchUser, "bob", "");
    one.input(Input::OptOut { also: Also { erase: true, delete_profile: true }, id: EventId([3; 16]) });
    let Some(Effect::Amend { amendment, .. }) = one.jobs.pop_front() else { panic!("it is to be written") };
    let Done::Amended { read, .. } = one.store.amend(amendment) else { panic!("it can be written") };
    let state = ConsentState::of(&read);
    let [device, profile] = state.record().unwrap().outbox.as_slice() else { panic!("two were asked for") };
    assert_eq!(Some(&device.device_id), two.engine.device_id().as_ref());
    assert_eq!((&profile.device_id, profile.user.as_deref()), (&device.device_id, Some("bob")));
}
