//! Some worlds, some short histories, and histories that once went wrong. `cargo xtask simulate` plays many more.

use refrain::engine::{Also, Config, DefaultConsent, Lane, Verdict};
use refrain_simulation::action::Action;
use refrain_simulation::chance::live;
use refrain_simulation::dice::Dice;
use refrain_simulation::disk::Trouble;
use refrain_simulation::oracle::Tally;
use refrain_simulation::search::search;
use refrain_simulation::world::{Laws, World};

fn laws(default: DefaultConsent) -> Laws {
    let mut config = Config::new("T");
    config.default_consent = default;
    config.batch_size = 1;
    Laws { config, flips: false, signals: false, settings: false, poison: 0, jumps: false, loses: false }
}

/// A world in which this has happened.
fn world(default: DefaultConsent, history: &[Action]) -> World {
    let mut world = World::new(laws(default), Dice::new(1));
    for action in history {
        world.act(*action);
    }
    world
}

fn allows(world: &World, place: usize) -> bool {
    world.processes[place].as_ref().unwrap().engine.consent().verdict == Verdict::Allow
}

/// In the 2,000 worlds that `cargo xtask simulate` plays, every promise is put to the test: one that never is protects
/// nobody.
#[test]
fn worlds_of_chance_keep_the_rules_and_test_them_all() {
    let mut tally = Tally::default();
    for seed in 1..=2_000 {
        tally.add(&live(seed, false).oracle.tally);
        // Mostly they all are within the first few hundred.
        if seed >= 300 && tally.vacuous().is_empty() {
            break;
        }
    }
    assert_eq!(tally.vacuous(), [], "{tally}");
    assert!(tally.demanded * 15 > tally.made, "{tally}");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let [one, other] = [live(7, false), live(7, false)];
    assert_eq!(one.oracle.fingerprint(), other.oracle.fingerprint());
    assert_eq!(one.disk.files(), other.disk.files());
}

#[test]
fn all_short_histories_keep_the_rules() {
    for default in [DefaultConsent::Granted, DefaultConsent::Pending] {
        let seen = search(&laws(default), 4, 16);
        assert!(seen.states > 1_000 && seen.endings > 50, "{seen:?}");
    }
}

#[test]
fn c9_a_grant_on_its_way_does_not_take_back_a_refusal_of_after_it() {
    let (first, second) = (0, 1);
    let started = [Action::Start(first), Action::Run(first), Action::Start(second), Action::Run(second)];
    let crossing = [Action::Agree(first), Action::Refuse(second, Also::default()), Action::Run(second)];
    let mut world = world(DefaultConsent::Pending, &[&started[..], &crossing[..]].concat());
    world.act(Action::Run(first));
    world.act(Action::Watch(second));
    assert!(!allows(&world, first) && !allows(&world, second));
    // Whoever agrees again is heard.
    world.act(Action::Agree(first));
    world.act(Action::Run(first));
    assert!(allows(&world, first));
    world.calm_down();
}

#[test]
fn c8_a_store_that_can_be_read_again_is_looked_at_again() {
    let mut world = world(
        DefaultConsent::Granted,
        &[
            Action::Start(0),
            Action::Run(0),
            Action::Record(0, Lane::Events),
            Action::Run(0),
            Action::Disk(Some(Trouble::Unreadable)),
            Action::Flush(0),
            Action::Depart(0),
            Action::Run(0),
        ],
    );
    assert!(!allows(&world, 0), "what cannot be read is a refusal");
    world.act(Action::Disk(None));
    world.calm_down();
    assert!(allows(&world, 0));
    assert_eq!(world.collector.records.len(), 1);
}

#[test]
fn a_store_that_failed_at_the_start_is_used_when_it_works() {
    let mut world = world(
        DefaultConsent::Granted,
        &[
            Action::Disk(Some(Trouble::ReadOnly)),
            Action::Start(0),
            Action::Run(0),
            Action::Record(0, Lane::Events),
            Action::Run(0),
            Action::Disk(None),
            Action::Wait(2_000),
            Action::Run(0),
            Action::Wait(2_000),
            Action::Run(0),
        ],
    );
    // It is on disk now: another process finds it.
    world.act(Action::Kill(0));
    world.act(Action::Start(1));
    world.act(Action::Run(1));
    assert_eq!(world.processes[1].as_ref().unwrap().engine.stats().recovered, 1);
    world.calm_down();
}

#[test]
fn what_was_synced_outlives_a_power_cut_also_where_a_later_write_failed() {
    let mut world = world(
        DefaultConsent::Granted,
        &[Action::Start(0), Action::Run(0), Action::Record(0, Lane::Events), Action::Run(0)],
    );
    world.act(Action::Disk(Some(Trouble::Full(world.disk.used() + 40))));
    for action in [Action::Record(0, Lane::Events), Action::Run(0), Action::Flush(0), Action::Run(0)] {
        world.act(action);
    }
    world.act(Action::PowerCut);
    world.calm_down();
    assert_eq!(world.collector.records.len(), 1);
}
