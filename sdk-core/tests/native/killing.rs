//! Processes are killed at any moment of their lives: while they start, recover, record, send, change who is known,
//! agree, object in every way, and shut down; one alone on its folder, or two.
//!
//! The moment is chance alone. The diary tells what it fell into, and the test demands that it has fallen into everything
//! that lasts.

use crate::diary::{Diary, Line};
use crate::dice::Dice;
use crate::player::{Player, hear};
use crate::support::{Arrived, Collector, Folder, PATIENCE, delivered, files, quiet};
use crate::{records, restless};
use refrain::engine::{ConsentRecord, Decision, ErasureState, FlushState};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

const FOLDERS: u64 = 8;
const ROUNDS: u64 = 250;
/// In one round of so many, two processes share the folder.
const SHARED: u64 = 4;
/// What kills have to fall into; "recovery of" says what it finds to do. The start is over too soon to be hit every time.
const PHASES: [&str; 13] = [
    "recovery",
    "recovery of records",
    "recovery of a withdrawal",
    "track",
    "flush",
    "identify",
    "reset",
    "opt_in",
    "opt_out",
    "opt_out_erase",
    "opt_out_delete",
    "opt_out_both",
    "shutdown",
];

/// The same while another process lives on the folder, objections of all kinds taken together: there are fewer such kills.
const BESIDE: [&str; 5] = ["recovery", "track", "opt_in", "opt_out", "shutdown"];

#[test]
fn c4_c5_c12_a_kill_at_any_moment_loses_nothing_and_sends_nothing_after_a_no() {
    // In several folders at once: they wait for the disk, not for the processor.
    let all = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for folder in 0..FOLDERS {
            let all = &all;
            scope.spawn(move || {
                let mut story = Story::new(folder);
                for round in 0..ROUNDS {
                    story.round(folder * ROUNDS + round);
                }
                for (what, count) in story.end() {
                    *all.lock().unwrap().entry(what).or_insert(0) += count;
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    println!("{all:?}");
    let count = |what: &str| all.get(what).copied().unwrap_or(0);
    for phase in PHASES {
        assert!(count(phase) > 0, "no kill fell into {phase}: {all:?}");
    }
    for phase in BESIDE {
        let hit = |what: &&String| what.starts_with(phase) && what.ends_with("beside another");
        assert!(all.keys().any(|what| hit(&what)), "no kill fell into {phase} beside another: {all:?}");
    }
    for what in ["withdrawals", "withdrawals finished by a restart", "events", "erasures", "deletions"] {
        assert!(count(what) > 0, "{what}: {all:?}");
    }
}

/// What is known of an event.
struct Event {
    /// It belongs to this epoch or an earlier one.
    epoch: u64,
    /// It stood on disk, and belongs to exactly that epoch.
    stored: bool,
}

/// What one folder has been through.
struct Story {
    folder: Folder,
    collector: Collector,
    diary: Diary,
    dice: Dice,
    /// How long a life lasts that is not cut short; learnt on the way, so that kills fall into all of it on any machine.
    reach: Duration,
    events: BTreeMap<String, Event>,
    /// Since when, in numbers of requests, an event may not leave any more.
    withdrawn: BTreeMap<String, usize>,
    /// So many requests have been looked at.
    checked: usize,
    arrived: BTreeSet<String>,
    /// The secrets whose erasure was asked for, and the ids whose profiles were to be deleted.
    erased: BTreeSet<String>,
    deleted: BTreeSet<String>,
    counts: BTreeMap<String, u64>,
}

/// What a withdrawal has said, and how many requests had arrived when it was over.
type Mark = (String, usize);

impl Story {
    fn new(seed: u64) -> Self {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.data()).unwrap();
        Self {
            diary: Diary::at(folder.data().with_file_name("diary")),
            folder,
            collector: Collector::start(),
            dice: Dice::new(seed),
            reach: Duration::from_millis(50),
            events: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            checked: 0,
            arrived: BTreeSet::new(),
            erased: BTreeSet::new(),
            deleted: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn round(&mut self, round: u64) {
        let before = Remains::of(&self.folder.data());
        let alone = self.dice.below(SHARED) > 0;
        let lives: Vec<String> = (0..if alone { 1 } else { 2 }).map(|n| format!("{round}.{n}")).collect();
        self.diary.clear();
        let marks = self.live_and_die(&lives);
        let lines = self.diary.lines();
        let after = Remains::of(&self.folder.data());

        for life in &lives {
            self.count_phase(life, &lines, &before, alone);
        }
        self.learn_events(&lines, &marks);
        // They are dead, and what they have sent is read to the end.
        let arrived = self.collector.drain();
        for (name, event) in &self.events {
            if event.epoch < after.consent.epoch || after.is_denied() {
                self.withdrawn.entry(name.clone()).or_insert(arrived);
            }
        }
        self.check_arrived();
        self.check_stored(&after);
        if alone {
            self.check_beginning(&lines, &before);
            self.check_identity(&lines, &after);
        }
        self.learn_erasures(&lines, &after, alone);
    }

    /// Kills each of them after a while that is chance. What the withdrawals of the meantime were.
    fn live_and_die(&mut self, lives: &[String]) -> Vec<Mark> {
        let diary = self.folder.data().with_file_name("diary");
        let marks = Mutex::new(Vec::new());
        let waits: Vec<_> = lives.iter().map(|_| self.reach.mul_f64(self.dice.share())).collect();
        let ended: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = lives
                .iter()
                .zip(waits)
                .map(|(life, wait)| {
                    let variables =
                        [(restless::NAME, life.as_str()), (restless::DIARY, diary.to_str().unwrap())];
                    let mut player =
                        Player::start_where(&variables, "restless", &self.folder, &self.collector);
                    let (collector, marks) = (&self.collector, &marks);
                    scope.spawn(move || {
                        let (child, input, output) = player.apart();
                        thread::scope(|scope| {
                            scope.spawn(|| {
                                while let Some(said) = hear(output) {
                                    let (_, withdrawal) = said.split_once(' ').unwrap();
                                    marks.lock().unwrap().push((withdrawal.to_owned(), collector.drain()));
                                    // It may be dead by now.
                                    let _ = input.write_all(b"go\n");
                                }
                            });
                            // The moment of the kill; nothing is waited for.
                            thread::sleep(wait);
                            let ended = child.try_wait().unwrap();
                            child.kill().unwrap();
                            child.wait().unwrap();
                            ended.is_some_and(|status| {
                                assert!(status.success(), "{life} has failed: {status}");
                                true
                            })
                        })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for ended in ended {
            self.reach = self.reach.mul_f64(if ended { 0.9 } else { 1.02 });
        }
        marks.into_inner().unwrap()
    }

    /// Where in its life the kill met it.
    fn count_phase(&mut self, life: &str, lines: &[Line], before: &Remains, alone: bool) {
        let mut phase = Some("birth");
        for line in lines.iter().filter(|line| line.life == life) {
            match line.words()[..] {
                ["begin", begun, ..] => phase = Some(begun),
                ["over"] => return self.count("survivors"),
                ["end", ..] => phase = None,
                _ => {}
            }
        }
        let phase = phase.unwrap_or("nothing");
        if alone {
            self.count(phase);
            match phase {
                "recovery" if before.is_denied() && before.data => self.count("recovery of a withdrawal"),
                "recovery" if before.data => self.count("recovery of records"),
                _ => {}
            }
        } else {
            self.count(format!("{phase}, beside another"));
        }
    }

    /// What was recorded, and what a withdrawal that is over has put an end to.
    fn learn_events(&mut self, lines: &[Line], marks: &[Mark]) {
        for line in lines {
            match line.words()[..] {
                ["tracked", name, epoch] => {
                    let event = Event { epoch: epoch.parse().unwrap(), stored: false };
                    self.events.insert(name.to_owned(), event);
                }
                ["took", name, epoch] => {
                    let event = Event { epoch: epoch.parse().unwrap(), stored: true };
                    self.events.insert(name.to_owned(), event);
                }
                ["begin", how, id, ..] if how.starts_with("opt_out") => {
                    if let Some((_, mark)) = marks.iter().find(|(of, _)| of == id) {
                        for name in self.events.keys() {
                            self.withdrawn.entry(name.clone()).or_insert(*mark);
                        }
                        self.count("withdrawals");
                    }
                }
                ["damaged", count] => assert_eq!(count, "0", "{}: a kill damages nothing", line.life),
                _ => {}
            }
        }
    }

    /// C5: nothing of before a withdrawal has arrived after it.
    fn check_arrived(&mut self) {
        let requests = self.collector.requests();
        for (at, request) in requests.iter().enumerate().skip(self.checked) {
            for name in event_names(request) {
                let withdrawn = self.withdrawn.get(name).is_some_and(|mark| at >= *mark);
                assert!(!withdrawn, "{name} was sent after its withdrawal, in {:?}", request.body);
                self.arrived.insert(name.to_owned());
            }
        }
        self.checked = requests.len();
    }

    /// What stood on disk, and is not withdrawn, stands there still, or has arrived.
    fn check_stored(&self, after: &Remains) {
        if after.is_denied() {
            return;
        }
        let kept = Remains::queued(&self.folder.data());
        let lost: Vec<_> = self
            .events
            .iter()
            .filter(|(_, event)| event.stored && event.epoch == after.consent.epoch)
            .map(|(name, _)| name)
            .filter(|name| !self.arrived.contains(*name) && !kept.contains(name.as_str()))
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }

    /// C4: a restart finishes what was begun. C9: who was known is known again.
    fn check_beginning(&mut self, lines: &[Line], before: &Remains) {
        for line in lines {
            match line.words()[..] {
                ["left", what] => {
                    assert!(before.is_denied());
                    assert_eq!(what, "", "{}: data beside a refusal", line.life);
                    if before.data {
                        self.count("withdrawals finished by a restart");
                    }
                }
                ["found", _, user] => {
                    assert!(!before.is_denied(), "{}: a refusal is forgotten", line.life);
                    if let Some((_, known)) = &before.identity {
                        assert_eq!(user, known.as_deref().unwrap_or("-"), "{}", line.life);
                    }
                }
                _ => {}
            }
        }
    }

    /// Who was known when the last change of it was over is known on disk, where no other change has begun since.
    fn check_identity(&self, lines: &[Line], after: &Remains) {
        let mut known = None;
        for line in lines {
            match line.words()[..] {
                ["begin", "identify" | "reset" | "opt_in", ..] => known = None,
                ["begin", how, ..] if how.starts_with("opt_out") => known = None,
                ["end", "identify", user] => known = Some(Some(user.to_owned())),
                ["end", "reset"] => known = Some(None),
                _ => {}
            }
        }
        if let Some(user) = known {
            assert_eq!(after.identity.clone().map(|(_, user)| user), Some(user), "C9");
        }
    }

    /// C4, C12: a withdrawal that is recorded has its erasure recorded with it.
    fn learn_erasures(&mut self, lines: &[Line], after: &Remains, alone: bool) {
        for (at, line) in lines.iter().enumerate() {
            let ["begin", how, id, device, secret, user] = line.words()[..] else { continue };
            let end = lines.iter().position(|other| other.words().get(..3) == Some(&["end", how, id]));
            let recorded = match end {
                Some(_) => alone || is_undisturbed(lines, at, end.unwrap()),
                // Nobody else can have refused; before it could begin there was none.
                None => alone && after.is_denied(),
            };
            if !recorded || secret == "-" {
                continue;
            }
            if matches!(how, "opt_out_erase" | "opt_out_both") {
                self.erased.insert(secret.to_owned());
            }
            if matches!(how, "opt_out_delete" | "opt_out_both") {
                self.deleted.extend((user != "-").then(|| user.to_owned()));
                self.deleted.extend(alone.then(|| format!("$device:{device}")));
            }
        }
        for entry in after.consent.outbox.iter().filter(|entry| entry.state == ErasureState::Requested) {
            self.erased.extend((!entry.secret.is_empty()).then(|| entry.secret.clone()));
        }
    }

    /// The next process delivers what is left, and asks for what is owed.
    fn end(mut self) -> BTreeMap<String, u64> {
        let client = quiet(&self.folder, &self.collector).build().unwrap();
        assert!(client.sync(PATIENCE));
        delivered(&client);
        assert_eq!(client.stats().damaged, 0);
        assert!(client.stats().balance());
        let after = Remains::of(&self.folder.data());
        assert_eq!(client.shutdown(PATIENCE), FlushState::Done);
        self.collector.drain();
        self.check_arrived();
        if !after.is_denied() {
            let due = |event: &Event| event.stored && event.epoch == after.consent.epoch;
            let lost: Vec<_> = self.events.iter().filter(|(_, event)| due(event)).collect::<Vec<_>>();
            let lost: Vec<_> =
                lost.iter().map(|(name, _)| *name).filter(|n| !self.arrived.contains(*n)).collect();
            assert!(lost.is_empty(), "never delivered: {lost:?}");
        }
        let (erasures, deletions) = asked_for(&self.collector);
        let (erased, deleted) = (&self.erased, &self.deleted);
        let missing: Vec<_> = erased.difference(&erasures).chain(deleted.difference(&deletions)).collect();
        assert!(missing.is_empty(), "never asked for: {missing:?}");
        for (what, count) in
            [("events", self.arrived.len()), ("erasures", erased.len()), ("deletions", deleted.len())]
        {
            self.counts.insert(what.into(), count as u64);
        }
        self.counts
    }
}

/// What the dead have left behind.
struct Remains {
    consent: ConsentRecord,
    identity: Option<(String, Option<String>)>,
    /// Whether there is anything that a refusal does not allow.
    data: bool,
}

impl Remains {
    fn of(folder: &Path) -> Self {
        let (consent, identity) = (records::consent(folder), records::identity(folder));
        let data = identity.is_some() || !Self::queued(folder).is_empty();
        Self { consent, identity, data }
    }

    fn is_denied(&self) -> bool {
        self.consent.decision == Decision::Denied
    }

    /// All that stands in the queues.
    fn queued(folder: &Path) -> String {
        let segment = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
        let segments = files(&folder.join("queue")).into_iter().filter(|(path, _)| segment(path));
        segments.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

/// Whether no other process has changed anything from the look before a withdrawal to its end.
fn is_undisturbed(lines: &[Line], begin: usize, end: usize) -> bool {
    let life = &lines[begin].life;
    let look = (0..begin).rev().find(|at| lines[*at].life == *life && lines[*at].words == ["looks"]).unwrap();
    let changes = |line: &&Line| {
        let words = line.words();
        line.life != *life
            && words.get(1).is_some_and(|what| {
                matches!(*what, "recovery" | "identify" | "reset" | "opt_in") || what.starts_with("opt_out")
            })
    };
    let begun = lines[..look].iter().rev().find(changes).is_some_and(|line| line.words[0] == "begin");
    !begun && !lines[look..end].iter().any(|line| changes(&line))
}

fn event_names(request: &Arrived) -> impl Iterator<Item = &str> {
    let events = if request.path.starts_with("/track") { request.body.as_array() } else { None };
    events.into_iter().flatten().filter_map(|event| event["event"].as_str())
}

/// The secrets that were shown, and the ids whose profiles were to be deleted.
fn asked_for(collector: &Collector) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut erasures, mut deletions) = (BTreeSet::new(), BTreeSet::new());
    for request in collector.requests() {
        erasures.extend(request.body["secret"].as_str().map(str::to_owned));
        let updates = if request.path.starts_with("/engage") { request.body.as_array() } else { None };
        let deleted = updates.into_iter().flatten().filter(|update| !update["$delete"].is_null());
        deletions.extend(deleted.filter_map(|update| update["$distinct_id"].as_str().map(str::to_owned)));
    }
    (erasures, deletions)
}
