//! A search through all short histories: consent, the queue, crashes and a second process, in every order. Histories
//! that end in the same state are gone on with once.

use crate::action::Action;
use crate::collector::Mood;
use crate::dice::Dice;
use crate::disk::Trouble;
use crate::world::{Laws, World};
use refrain::engine::{Also, Lane};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a search has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Different states.
    pub states: usize,
    /// Steps from a state to another one, or back to one that was known.
    pub steps: usize,
    /// States from which the world was calmed down to its end.
    pub endings: usize,
}

/// Goes through all histories of so many actions of two processes. Every state is checked, and from one in `calm`
/// states the world is calmed down, and must come to a good end.
///
/// # Panics
/// A rule is broken: with the history that breaks it.
pub fn search(laws: &Laws, depth: usize, calm: u64) -> Seen {
    let mut seen = Seen::default();
    let mut known = HashSet::new();
    let mut histories: Vec<Vec<Action>> = vec![vec![Action::Start(0), Action::Run(0), Action::Start(1)]];
    for _ in 0..depth {
        let mut longer = Vec::new();
        for history in &histories {
            for action in possible(&replay(laws, history)) {
                let history = [history.as_slice(), &[action]].concat();
                let _witness = Witness(&history);
                let mut world = replay(laws, &history);
                seen.steps += 1;
                let state = fingerprint(&world);
                if !known.insert(state) {
                    continue;
                }
                seen.states += 1;
                if state.is_multiple_of(calm) {
                    seen.endings += 1;
                    world.calm_down();
                }
                longer.push(history.clone());
            }
        }
        histories = longer;
    }
    seen
}

/// Plays a history in a new world.
pub fn replay(laws: &Laws, history: &[Action]) -> World {
    let mut world = World::new(laws.clone(), Dice::new(1));
    world.collector.mood = Some(Mood::Well);
    for action in history {
        world.act(*action);
    }
    world
}

/// Tells the history if a rule is broken in it.
struct Witness<'h>(&'h [Action]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the history that breaks it: {:?}", self.0);
        }
    }
}

/// What makes a difference now.
fn possible(world: &World) -> Vec<Action> {
    let mut actions = vec![Action::Wait(700_000)];
    // A disk that fails makes a difference to who wants something of it.
    if world.processes.iter().flatten().any(|process| !process.storage.is_empty()) {
        actions.push(Action::Disk(world.disk.trouble().is_none().then_some(Trouble::ReadOnly)));
    }
    for place in 0..2 {
        let Some(process) = &world.processes[place] else {
            actions.push(Action::Start(place));
            continue;
        };
        actions.extend([
            Action::Record(place, Lane::Events),
            Action::Agree(place),
            // One of them asks for everything.
            Action::Refuse(place, Also { erase: place == 1, delete_profile: place == 1 }),
            Action::Watch(place),
            Action::Kill(place),
        ]);
        if !process.storage.is_empty() {
            actions.push(Action::Step(place));
        }
        if process.engine.stats().queued > 0 {
            actions.push(Action::Flush(place));
        }
        if !process.waiting.is_empty() {
            actions.push(Action::Depart(place));
        }
        if !process.open.is_empty() {
            actions.extend([Action::Answer(place), Action::LoseAnswer(place)]);
        }
    }
    actions
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    for process in &world.processes {
        if let Some(process) = process {
            process.engine.fingerprint().hash(&mut hasher);
            format!("{:?} {:?} {:?}", process.storage, process.waiting, process.open).hash(&mut hasher);
        } else {
            0.hash(&mut hasher);
        }
    }
    world.disk.files().hash(&mut hasher);
    format!("{:?}", world.disk.trouble()).hash(&mut hasher);
    world.oracle.fingerprint().hash(&mut hasher);
    hasher.finish()
}
