//! A search through all short histories: consent, the queue, crashes and a second process, in every order, from several
//! beginnings. Histories that end in the same state are gone on with once.

use crate::action::Action;
use crate::collector::Mood;
use crate::dice::Dice;
use crate::disk::ConsentError;
use crate::mishap::Mishap;
use crate::process::Process;
use crate::world::{Laws, World};
use refrain::engine::{Also, Config, DefaultConsent, Lane, Signals};
use std::collections::HashSet;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

/// One of them asks for everything that can be asked for.
const EVERYTHING: Also = Also { erase: true, delete_profile: true };
/// Of so many histories that begin with nothing one is calmed down in the end; all others always are.
const CALM: usize = 4;

/// What a search has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Different states.
    pub states: usize,
    /// Of these, those in which a withdrawal has ended well that found data, while another process was open.
    pub withdrawals: usize,
    /// Steps from a state to another one, or back to one that was known.
    pub steps: usize,
    /// States from which the world was calmed down to its end.
    pub endings: usize,
}

/// The settings of the worlds that are searched.
pub fn laws(default: DefaultConsent) -> Laws {
    let mut config = Config::new("T");
    config.default_consent = default;
    config.batch_size = 1;
    Laws {
        config,
        segment_bytes: 128,
        flips: false,
        signals: true,
        settings: false,
        poison: 0,
        jumps: false,
        loses: false,
    }
}

/// What has happened before a search begins.
fn beginnings() -> [Vec<Action>; 6] {
    let (first, second) = (0, 1);
    let started = [Action::Start(first), Action::Run(first)];
    let durable = [
        Action::Agree(first),
        Action::Run(first),
        Action::Record(first, Lane::Events),
        Action::Run(first),
        Action::Flush(first),
        Action::Run(first),
    ];
    let beside = [Action::Start(second), Action::Run(second)];
    let both = [Action::Record(second, Lane::Events), Action::Run(second)];
    let halfway = [Action::Refuse(second, EVERYTHING), Action::Step(second)];
    [
        // Nothing.
        [&started[..], &[Action::Start(second)]].concat(),
        // Data stands in the queue, and is durable.
        [&started[..], &durable].concat(),
        // A request is under way, and somebody else is there.
        [&started[..], &durable, &beside, &[Action::Depart(first)]].concat(),
        // Both have data.
        [&started[..], &durable, &beside, &both].concat(),
        // Both have data, and a refusal is recorded and no more.
        [&started[..], &durable, &beside, &both, &halfway].concat(),
        // Both had data, and a withdrawal is over.
        [&started[..], &durable, &beside, &both, &halfway, &[Action::Run(second)]].concat(),
    ]
}

/// A history, by the beginning and what was chosen after it: `pending/2/0.5.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    default: DefaultConsent,
    beginning: usize,
    choices: Vec<usize>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = match self.default {
            DefaultConsent::Granted => "granted",
            DefaultConsent::Denied => "denied",
            DefaultConsent::Pending => "pending",
        };
        write!(f, "{default}/{}/", self.beginning)?;
        let choices: Vec<_> = self.choices.iter().map(usize::to_string).collect();
        f.write_str(&choices.join("."))
    }
}

impl History {
    /// Reads what a search has printed.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let default = match parts.next()? {
            "granted" => DefaultConsent::Granted,
            "denied" => DefaultConsent::Denied,
            "pending" => DefaultConsent::Pending,
            _ => return None,
        };
        let beginning = parts.next()?.parse().ok().filter(|at| *at < beginnings().len())?;
        let choices = parts.next()?.split('.').filter(|choice| !choice.is_empty());
        let choices = choices.map(|choice| choice.parse().ok()).collect::<Option<_>>()?;
        Some(Self { default, beginning, choices })
    }

    /// Plays it once more to its good end, told step by step if `trace`.
    ///
    /// # Panics
    /// A rule is broken, or there was no such choice.
    pub fn play(&self, trace: bool) {
        let mut world = World::new(laws(self.default), Dice::new(1));
        world.collector.mood = Some(Mood::Well);
        world.trace = trace;
        beginnings()[self.beginning].iter().for_each(|action| world.act(*action));
        for choice in &self.choices {
            let action = *possible(&world).get(*choice).expect("a history that a search has printed");
            world.act(action);
        }
        world.calm_down();
    }
}

/// A state that was reached, and what may come next.
struct Reached {
    beginning: usize,
    choices: Vec<usize>,
    actions: Vec<Action>,
    next: Vec<Action>,
}

/// Goes through all histories of so many actions of two processes, from every beginning. Every state is checked, and the
/// world calmed down from it must come to a good end.
///
/// # Panics
/// A rule is broken: with the history that breaks it.
pub fn search(laws: &Laws, depth: usize) -> Seen {
    let mut seen = Seen::default();
    let mut known = HashSet::new();
    let default = laws.config.default_consent;
    let begun = beginnings().into_iter().enumerate().map(|(beginning, actions)| {
        let next = possible(&replay(laws, &actions));
        Reached { beginning, choices: Vec::new(), actions, next }
    });
    // From all beginnings at once: whoever comes to a state first may go furthest from it.
    let mut ends: Vec<_> = begun.collect();
    for _ in 0..depth {
        let mut further = Vec::new();
        for Reached { beginning, choices, actions, next } in ends {
            for (choice, action) in next.into_iter().enumerate() {
                let choices = [choices.as_slice(), &[choice]].concat();
                let actions = [actions.as_slice(), &[action]].concat();
                let witness = Witness(History { default, beginning, choices }, &actions);
                let mut world = replay(laws, &actions);
                seen.steps += 1;
                if !known.insert(fingerprint(&world)) {
                    continue;
                }
                seen.states += 1;
                seen.withdrawals += usize::from(world.withdrawn_beside_others);
                let next = possible(&world);
                if beginning > 0 || seen.states.is_multiple_of(CALM) {
                    seen.endings += 1;
                    world.calm_down();
                }
                let choices = witness.0.choices.clone();
                drop(witness);
                further.push(Reached { beginning, choices, actions, next });
            }
        }
        ends = further;
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
struct Witness<'h>(History, &'h [Action]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the history that breaks it: {:?}", self.1);
            eprintln!("again: cargo xtask simulate --history {} --trace", self.0);
        }
    }
}

/// What makes a difference now.
fn possible(world: &World) -> Vec<Action> {
    let mut actions = vec![Action::Wait(700_000), Action::PowerCut];
    // A disk that fails makes a difference to who wants something of it.
    if world.processes.iter().flatten().any(|process| !process.storage.is_empty()) {
        actions.push(Action::Disk(world.disk.trouble().is_none().then_some(ConsentError::ReadOnly)));
    }
    for place in 0..2 {
        let Some(process) = &world.processes[place] else {
            actions.push(Action::Start(place));
            continue;
        };
        let also = if place == 1 { EVERYTHING } else { Also::default() };
        actions.extend([
            Action::Record(place, Lane::Events),
            Action::Agree(place),
            Action::Refuse(place, also),
            Action::Watch(place),
            Action::Kill(place),
        ]);
        if place == 0 {
            let gpc = !process.engine.signals().gpc;
            actions.push(Action::Signal(place, Signals { gpc, ..Signals::default() }));
        }
        if !process.storage.is_empty() {
            actions.extend([Action::Step(place), Action::Run(place)]);
            if process.mishap().is_none() {
                // Once a slot of a record is written and not durable, and in the middle of a wipe.
                actions.extend([
                    Action::AtCall(place, 9, Mishap::Kill),
                    Action::AtCall(place, 5, Mishap::PowerCut),
                ]);
            }
        }
        if process.engine.stats().queued > 0 {
            actions.push(Action::Flush(place));
        }
        if !process.waiting.is_empty() {
            actions.push(Action::Depart(place));
        }
        if process.open.last().is_some_and(|open| open.sending.is_some()) {
            actions.push(Action::Sent(place));
        }
        if !process.open.is_empty() {
            actions.extend([Action::Answer(place), Action::LoseAnswer(place)]);
        }
    }
    actions
}

/// What tells a state from others: processes with what they hold in memory, the disk with what is durable of it, the
/// collector, and what the witness expects.
fn fingerprint(world: &World) -> u64 {
    let mut state = Digest(DefaultHasher::new());
    let told = write!(
        state,
        "{:?} {} {} {:?} {}",
        world.processes.each_ref().map(|process| process.as_ref().map(Process::fingerprint)),
        world.disk.fingerprint(),
        world.oracle.fingerprint(),
        world.collector,
        world.withdrawn_beside_others,
    );
    told.expect("a digest takes everything");
    state.0.finish()
}

/// Takes text for a number.
struct Digest(DefaultHasher);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
