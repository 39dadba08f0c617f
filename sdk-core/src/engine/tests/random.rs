//! Random histories: two drivers on one store, crashes, store failures, lost answers, changes of mind; and one whose
//! store fails now and then under what is said of a person.

use super::world::*;
use crate::engine::*;
use alloc::collections::BTreeSet;
use alloc::string::String;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn whatever_happens_a_refusal_holds_and_nothing_durable_is_lost() {
    let worlds = std::env::var("REFRAIN_WORLDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for seed in 1..=worlds {
        if let Err(panic) = std::panic::catch_unwind(|| live(seed)) {
            eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

fn live(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let settings = if dice.roll(2) == 0 { config() } else { granted() };
    let mut store = Store::default();
    let mut drivers = [0, 1].map(|n| Driver::started(n, settings.clone(), &mut store));
    let mut arrived: BTreeSet<String> = BTreeSet::new();
    // Names of events that must never arrive: recorded before a withdrawal that was durable.
    let mut withdrawn: BTreeSet<String> = BTreeSet::new();
    let mut alive: BTreeSet<String> = BTreeSet::new();
    let mut tickets = [None, None];

    for step in 0..120 {
        let who = dice.roll(2) as usize;
        match dice.roll(20) {
            0..=5 => {
                let name = alloc::format!("e{seed}-{step}");
                if drivers[who].track(&name) != Outcome::Rejected(Rejection::Denied) {
                    alive.insert(name);
                }
            }
            6..=10 => {
                drivers[who].step(&mut store);
            }
            11 => drivers[who].run(&mut store),
            12 => drivers[who].advance(dice.roll(20_000)),
            13 => {
                if drivers[who].depart(&store) {
                    let body = &drivers[who].open.back().unwrap().1.body;
                    assert_ne!(
                        store.decision(),
                        Decision::Denied,
                        "C5: a request has started after a refusal"
                    );
                    for name in &withdrawn {
                        assert!(!body.contains(&alloc::format!("\"{name}\"")), "C6: {name} was withdrawn");
                    }
                }
            }
            14 => {
                if !drivers[who].open.is_empty() {
                    let answer = match dice.roll(5) {
                        0 => Answer::Unreachable,
                        1 => answer(503, ""),
                        _ => ok(),
                    };
                    // Stored, whether or not the answer says so.
                    let stored = answer == ok() || dice.roll(2) == 0;
                    let body = drivers[who].answer(answer);
                    if stored {
                        let events: serde_json::Value = serde_json::from_str(&body).unwrap();
                        arrived.extend(
                            events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap().into()),
                        );
                    }
                }
            }
            15 => {
                drivers[who].input(Input::Flush);
            }
            16 => {
                tickets[who] = Some((drivers[who].opt_out(dice.roll(2) == 0), alive.clone()));
            }
            17 => {
                drivers[who].opt_in();
            }
            18 => store.fault = [None, Some(StoreFault::Full)][dice.roll(2) as usize],
            _ => {
                // Killed. What it had open stays unanswered.
                drivers[who] = Driver::started(who, settings.clone(), &mut store);
                tickets[who] = None;
            }
        }
        // C4: once the call has ended well, what was recorded before is withdrawn for ever.
        for (driver, ticket) in drivers.iter().zip(&mut tickets) {
            let ended = |(t, _): &(Ticket, _)| matches!(driver.result(*t), Some(Ok(())));
            if ticket.as_ref().is_some_and(ended) {
                let (_, before) = ticket.take().unwrap();
                let under_way = |name: &String| {
                    let quoted = alloc::format!("\"{name}\"");
                    drivers.iter().any(|d| d.open.iter().any(|(_, request)| request.body.contains(&quoted)))
                };
                withdrawn
                    .extend(before.into_iter().filter(|name| !arrived.contains(name) && !under_way(name)));
            }
        }
        if store.decision() == Decision::Denied && drivers.iter().all(|d| d.storage.is_empty()) {
            for driver in &mut drivers {
                let read = store.consent.clone();
                driver.input(Input::RecordChanged { name: RecordName::Consent, read });
            }
            if store.fault.is_none() && drivers.iter().all(|d| d.storage.is_empty() && d.engine.is_settled())
            {
                assert!(!store.has_data() || store.fault.is_some(), "C3: data stands beside a refusal");
            }
        }
    }

    // The world calms down: the store works, everybody comes to rest, what is left is delivered.
    store.fault = None;
    for _ in 0..50 {
        for driver in &mut drivers {
            let read = store.consent.clone();
            driver.input(Input::RecordChanged { name: RecordName::Consent, read });
            driver.advance(700_000);
            driver.run(&mut store);
            while driver.depart(&store) || !driver.open.is_empty() {
                let body = driver.answer(ok());
                let events: serde_json::Value = serde_json::from_str(&body).unwrap();
                arrived
                    .extend(events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap().into()));
                driver.run(&mut store);
            }
        }
    }
    for driver in &drivers {
        assert_eq!(driver.engine.stats().queued, 0, "liveness: {:?}", driver.engine.stats());
        assert!(driver.engine.is_settled());
    }
    if store.decision() == Decision::Denied {
        assert!(!store.has_data(), "C3: data stands beside a refusal at the end");
    }
    for name in withdrawn {
        assert!(!arrived.contains(&name), "C6: {name} was withdrawn and has arrived");
    }
}

#[test]
fn c9_whatever_the_store_fails_to_take_who_was_said_to_be_here_is() {
    for seed in 1..=400 {
        if let Err(panic) = std::panic::catch_unwind(|| name(seed)) {
            eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Nobody else writes here: between two calls who is known does not change, and in the end the store says the same.
fn name(seed: u64) {
    let who = |app: &Driver| {
        let engine = &app.engine;
        (engine.distinct_id(), engine.device_id(), String::from(engine.super_properties()))
    };
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut said = who(&app);
    for _ in 0..40 {
        match dice.roll(12) {
            0..=5 => {
                let bits = app.bits();
                let user = alloc::format!("u{}", dice.roll(3));
                let text = alloc::format!("{{\"a{}\":{}}}", dice.roll(2), dice.roll(3));
                app.input(Input::Call(match dice.roll(9) {
                    0 => Call::reset(Secret(bits)),
                    1 => Call::switch_user(&user, Secret(bits)),
                    2 | 3 => Call::identify(&user, EventId(bits)),
                    4 | 5 => Call::register(CallKind::Register, &text),
                    6 => Call::register(CallKind::RegisterOnce, &text),
                    7 => Call::unregister("a0"),
                    _ => Call::membership(CallKind::AddGroup, "a1", &user),
                }));
                said = who(&app);
            }
            6 => store.fault = None,
            7 => store.fault = Some(StoreFault::Other),
            8 => app.advance(dice.roll(3_000)),
            9 | 10 => drop(app.step(&mut store)),
            _ => app.run(&mut store),
        }
        assert_eq!(who(&app), said);
    }
    store.fault = None;
    for _ in 0..3 {
        app.run(&mut store);
        app.advance(60_000);
    }
    app.run(&mut store);
    assert_eq!(who(&app), said);
    assert_eq!(who(&Driver::started(1, granted(), &mut store)), said);
}
