//! What happens when the dice choose.

use crate::action::{Action, Honoured};
use crate::collector::Mood;
use crate::dice::Dice;
use crate::disk::ConsentError;
use crate::garbage::KINDS;
use crate::mishap::{Failure, Mishap};
use crate::process::Process;
use crate::world::{Laws, PLACES, World};
use refrain::engine::{Also, CallKind, Config, DefaultConsent, IdMerge, Lane, Lifecycle, Signals};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A world of chance: its laws and its history, told as it goes if `trace`.
pub fn live(seed: u64, trace: bool) -> World {
    let mut dice = Dice::new(seed);
    let mut world = World::new(laws(&mut dice), Dice::new(!seed));
    world.trace = trace;
    // Only some: it takes its time.
    world.recorded = seed.is_multiple_of(8);
    let processes = 1 + dice.below(PLACES as u64) as usize;
    let steps = 60 + dice.below(120);
    for place in 0..processes {
        if world.laws.signals && dice.once_in(2) {
            world.act(Action::Signal(place, signals(&mut dice)));
        }
        world.act(Action::Start(place));
        // A change of mind before the store is open.
        if dice.once_in(12) {
            world.act(Action::Record(place, Lane::Events));
            world.act(Action::Refuse(place, Also::default()));
            world.act(Action::Agree(place));
        }
        if dice.once_in(2) {
            world.act(Action::Run(place));
        }
    }
    for _ in 0..steps {
        let action = choose(&mut dice, processes, &world.laws);
        world.act(action);
    }
    world.calm_down();
    world.processes.iter().flatten().for_each(Process::replays);
    world
}

/// The last one least often: nothing happens there before somebody agrees.
const DEFAULTS: [DefaultConsent; 5] = [
    DefaultConsent::Granted,
    DefaultConsent::Granted,
    DefaultConsent::Pending,
    DefaultConsent::Pending,
    DefaultConsent::Denied,
];

fn laws(dice: &mut Dice) -> Laws {
    let mut config = Config::new("T");
    config.default_consent = *dice.pick(&DEFAULTS);
    config.id_merge = *dice.pick(&[IdMerge::Simplified, IdMerge::Original]);
    config.batch_size = *dice.pick(&[1, 2, 3, 7, 50]);
    config.leading_edge = dice.once_in(3);
    config.flush_interval_ms = *dice.pick(&[0, 1_000, 5_000]);
    if dice.once_in(4) {
        limit(&mut config, dice);
    }
    Laws {
        config,
        segment_bytes: *dice.pick(&[128, 1 << 10, 256 << 10]),
        flips: dice.once_in(6),
        signals: dice.once_in(3),
        settings: dice.once_in(4),
        poison: *dice.pick(&[0, 0, 5]),
        jumps: dice.once_in(6),
        loses: dice.once_in(8),
    }
}

fn signals(dice: &mut Dice) -> Signals {
    Signals { gpc: dice.once_in(3), dnt: dice.once_in(3), host: dice.once_in(5) }
}

fn choose(dice: &mut Dice, processes: usize, laws: &Laws) -> Action {
    let place = dice.below(processes as u64) as usize;
    match dice.below(108) {
        0..=21 => {
            let lane = *dice.pick(&[Lane::Events, Lane::Events, Lane::Events, Lane::Profiles, Lane::Groups]);
            Action::Record(place, lane)
        }
        22..=23 => Action::Call(place, CallKind::Identify),
        24..=26 => Action::Call(place, *dice.pick(&CallKind::ALL)),
        27..=39 => Action::Step(place),
        40..=42 => {
            let other = dice.below(processes as u64) as usize;
            Action::Meanwhile(place, dice.below(16) as u32, other, 1 + dice.below(6) as u32)
        }
        43..=44 => Action::AtCall(place, dice.below(20) as u32, mishap(dice)),
        45..=48 => Action::Run(place),
        49..=52 => Action::Watch(place),
        53..=60 => Action::Depart(place),
        61..=62 => Action::Sent(place),
        63..=68 => Action::Answer(place),
        69 => Action::LoseAnswer(place),
        70 => Action::LoseRequest(place),
        71 => match dice.below(8) {
            0..=3 => Action::Repeat(place),
            4 => Action::TurnAway(place),
            _ => Action::Garbage(place, dice.below(KINDS as u64) as usize),
        },
        72..=77 => Action::Wait(*dice.pick(&[1, 100, 1_000, 5_000, 30_000, 700_000])),
        78..=80 => Action::Flush(place),
        81 => Action::Lifecycle(
            place,
            *dice.pick(&[
                Lifecycle::Background,
                Lifecycle::Leaving,
                Lifecycle::Online,
                Lifecycle::Foreground,
                Lifecycle::Resumed,
            ]),
        ),
        82..=84 => Action::Agree(place),
        85..=87 => Action::Refuse(place, Also { erase: dice.once_in(3), delete_profile: dice.once_in(3) }),
        88 => Action::Kill(place),
        89 => Action::End(place),
        90..=92 => Action::Start(place),
        93 => Action::Stop(place),
        94 => Action::PowerCut,
        95 => {
            let used = 400 + dice.below(3_000);
            let trouble = *dice.pick(&[
                None,
                Some(ConsentError::Full(used)),
                Some(ConsentError::ReadOnly),
                Some(ConsentError::Unreadable),
            ]);
            Action::Disk(trouble)
        }
        96 => Action::Disk(None),
        97 if laws.flips => Action::Flip,
        98 if laws.loses => Action::LoseRecord(dice.once_in(2)),
        99..=100 if laws.signals => Action::Signal(place, signals(dice)),
        101 if laws.settings => {
            let honoured = Honoured { gpc: !dice.once_in(3), dnt: !dice.once_in(3) };
            Action::Settings(place, *dice.pick(&DEFAULTS), honoured)
        }
        102 if laws.jumps => {
            Action::Jump(place, *dice.pick(&[-3 * DAY_MS, -60_000, 60_000, 9 * DAY_MS]) / 60_000)
        }
        97..=102 => Action::Step(place),
        _ => Action::Mood(*dice.pick(&[
            Mood::Well,
            Mood::Well,
            Mood::Busy(None),
            Mood::Busy(Some(3)),
            Mood::Busy(Some(0)),
            Mood::Limited(60),
            Mood::Small(1),
            Mood::Small(1),
            Mood::Portal,
            Mood::Missing,
            Mood::Away,
        ])),
    }
}

/// Little room: of an ordinary record some hundred bytes are kept.
fn limit(config: &mut Config, dice: &mut Dice) {
    config.queue_limit_bytes = *dice.pick(&[200, 1_000, 3_000, 10 << 20]);
    config.batch_bytes = *dice.pick(&[1, 1_000, 1 << 20]);
    config.leaving_bytes = *dice.pick(&[1, 1_000, 60 << 10]);
    config.hold_limit = *dice.pick(&[1, 3, 1_000]);
    config.hold_limit_bytes = *dice.pick(&[300, 1_000, 256 << 10]);
    config.hold_limit_age_ms = *dice.pick(&[5_000, 30 * 60 * 1_000]);
}

fn mishap(dice: &mut Dice) -> Mishap {
    let failure = *dice.pick(&[Failure::Broken, Failure::Full, Failure::Descriptors]);
    *dice.pick(&[Mishap::Kill, Mishap::Kill, Mishap::PowerCut, Mishap::Fail(failure)])
}
