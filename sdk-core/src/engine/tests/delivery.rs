use super::world::*;
use crate::engine::*;

fn names(body: &str) -> Vec<String> {
    let events: serde_json::Value = serde_json::from_str(body).unwrap();
    events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap().to_string()).collect()
}

#[test]
fn records_gather_for_the_interval_and_a_full_batch_leaves_at_once() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.advance(4_999);
    assert!(app.requests.is_empty());
    assert_eq!(app.engine.next_wakeup(), Some(app.now.mono_ms + 1));
    app.advance(1);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
    assert!(store.records.is_empty());
    for _ in 0..120 {
        app.track("b");
    }
    assert_eq!(app.requests.len(), 1, "one request at a time");
    for expected in [50, 50, 20] {
        assert_eq!(names(&app.exchange(&mut store, ok())).len(), expected);
    }
    assert_eq!((app.engine.stats().delivered, app.engine.stats().queued), (121, 0));
}

#[test]
fn the_leading_edge_leaves_at_once_after_quiet() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { leading_edge: true, ..granted() }, &mut store);
    app.track("a");
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
    app.track("b");
    assert!(app.requests.is_empty());
    app.advance(5_000);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["b"]);
}

#[test]
fn failures_are_retried_with_backoff_and_nothing_is_lost() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    for failure in [Answer::Unreachable, answer(500, ""), Answer::TimedOut, answer(200, "<html>")] {
        app.exchange(&mut store, failure);
        assert!(app.requests.is_empty(), "not at once");
        let due = app.engine.next_wakeup().unwrap();
        assert!((250..600_000).contains(&(due - app.now.mono_ms)));
        app.advance(due - app.now.mono_ms);
    }
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
}

#[test]
fn retry_after_is_kept_across_a_restart_and_a_flush_does_not_override_it() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    let wait = Answer::Response { status: 429, retry_after: Some("60".into()), body: "".into() };
    app.exchange(&mut store, wait);
    app.input(Input::Flush);
    assert!(app.requests.is_empty());
    let mut next = Driver::started(0, granted(), &mut store);
    assert_eq!(next.engine.stats().recovered, 1);
    next.input(Input::Flush);
    next.advance(59_999);
    assert!(next.requests.is_empty());
    next.advance(1);
    assert_eq!(names(&next.exchange(&mut store, ok())), ["a"]);
}

#[test]
fn what_a_server_asks_for_is_not_cut_short_by_a_permit_that_is_refused() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.track("b");
    app.input(Input::Lifecycle(Lifecycle::Leaving));
    app.run(&mut store);
    assert!(app.depart(&store));
    app.answer(Answer::Response { status: 429, retry_after: Some("60".into()), body: "".into() });
    let unreadable = Store { consent: RecordRead::Unreadable, ..Store::default() };
    assert!(!app.depart(&unreadable), "the leaving page's");
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.input(Input::Flush);
    app.advance(59_999);
    assert!(app.requests.is_empty());
    app.advance(1);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a", "b"]);
}

#[test]
fn what_failed_while_there_was_no_network_leaves_when_it_is_back() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    for _ in 0..8 {
        app.advance(app.engine.next_wakeup().unwrap() - app.now.mono_ms);
        app.exchange(&mut store, Answer::Unreachable);
    }
    app.input(Input::Lifecycle(Lifecycle::Online));
    // What a collector asks for holds all the same.
    let wait = Answer::Response { status: 503, retry_after: Some("60".into()), body: "".into() };
    app.exchange(&mut store, wait);
    app.input(Input::Lifecycle(Lifecycle::Online));
    app.advance(59_999);
    assert!(app.requests.is_empty());
    app.advance(1);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
}

#[test]
fn the_longest_wait_of_all_lanes_is_what_a_restart_knows() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Call(Call::profile(r#"{"$set":{"plan":"pro"}}"#)));
    app.input(Input::Flush);
    for seconds in ["60", "1"] {
        let wait = Answer::Response { status: 429, retry_after: Some(seconds.into()), body: "".into() };
        app.exchange(&mut store, wait);
    }
    assert_eq!(store.not_before.map(|(_, at)| at), Some(app.now.wall_ms + 60_000));
}

#[test]
fn poison_is_found_by_halving_and_only_it_is_dropped() {
    for poison in 0..7 {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        for index in 0..7 {
            app.track(if index == poison { "poison" } else { "good" });
        }
        app.input(Input::Flush);
        app.run(&mut store);
        let mut requests = 0;
        while app.depart(&store) {
            let bad = app.open[0].1.body.contains("poison");
            app.answer(if bad { answer(400, "") } else { ok() });
            app.run(&mut store);
            requests += 1;
            assert!(requests < 20);
        }
        let stats = app.engine.stats();
        assert_eq!((stats.delivered, stats.dropped_for(Dropped::Refused), stats.queued), (6, 1, 0));
    }
}

#[test]
fn too_large_is_split_by_bytes_and_a_single_one_goes() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    for name in ["a", "b", "c", "d"] {
        app.track(name);
    }
    app.input(Input::Flush);
    app.run(&mut store);
    let one = store.records[0].3.len() + 2;
    let mut sizes = Vec::new();
    while app.depart(&store) {
        let size = app.open[0].1.body.len();
        sizes.push(names(&app.open[0].1.body).len());
        app.answer(if size > 2 * one { answer(413, "") } else { ok() });
        app.run(&mut store);
    }
    assert_eq!(sizes[0], 4);
    assert_eq!(app.engine.stats().delivered, 4);

    app.track("huge");
    app.input(Input::Flush);
    app.exchange(&mut store, answer(413, ""));
    assert_eq!(app.engine.stats().dropped_for(Dropped::Oversize), 1);
}

#[test]
fn a_collector_that_takes_more_again_gets_more() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    // So many records, of which the collector takes so many at once: the sizes of the requests.
    let mut deliver = |count: usize, most: usize| {
        (0..count).for_each(|_| assert_eq!(app.track("a"), Outcome::Accepted));
        app.input(Input::Flush);
        app.run(&mut store);
        let mut sizes = Vec::new();
        while app.depart(&store) {
            let size = names(&app.open[0].1.body).len();
            sizes.push(size);
            app.answer(if size > most { answer(413, "") } else { ok() });
            app.run(&mut store);
        }
        assert_eq!(app.engine.stats().queued, 0);
        sizes
    };
    let sizes = deliver(50, 2);
    let refused = sizes.iter().filter(|size| **size > 2).count();
    assert!(refused < 12, "asked for more than it takes again and again: {sizes:?}");
    let sizes = deliver(200, 50);
    assert!(sizes.len() < 40 && sizes.is_sorted_by_key(|size| usize::from(*size > 2)), "{sizes:?}");
}

#[test]
fn an_unwelcome_client_rests_and_keeps_everything() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.exchange(&mut store, answer(401, ""));
    assert!(app.notices.contains(&Notice::Paused { status: 401 }));
    app.advance(60_000);
    assert!(app.requests.is_empty() && store.records.len() == 1);
}

#[test]
fn what_the_store_does_not_take_is_kept_and_stored_later() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.track("a");
    app.run(&mut store);
    assert_eq!((store.records.len(), app.engine.stats().queued), (0, 1));
    store.fault = None;
    app.advance(1_000);
    app.run(&mut store);
    assert_eq!(store.records.len(), 1);
}

#[test]
fn the_oldest_make_room_counted() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { queue_limit_bytes: 2_000, ..granted() }, &mut store);
    for _ in 0..20 {
        app.track("a");
        app.run(&mut store);
    }
    let stats = app.engine.stats();
    assert!(stats.queued_bytes <= 2_000 && stats.dropped_for(Dropped::Evicted) > 1);
    assert_eq!(app.notices, [Notice::QueueFull], "said once");
    assert_eq!(store.records.len() as u64, stats.queued);
}

#[test]
fn a_dead_process_leaves_its_queue_to_the_next() {
    let mut store = Store::default();
    let mut dead = Driver::started(0, granted(), &mut store);
    dead.track("a");
    dead.run(&mut store);
    let mut next = Driver::started(1, granted(), &mut store);
    assert_eq!(next.engine.stats().adopted, 1);
    next.input(Input::Flush);
    assert_eq!(names(&next.exchange(&mut store, ok())), ["a"]);
    assert!(store.records.is_empty());
}

#[test]
fn identity_is_frozen_at_the_call() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { id_merge: IdMerge::Original, ..granted() }, &mut store);
    app.track("anonymous");
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    app.track("known");
    app.input(Input::Call(Call::identify("u2", id)));
    app.track("other");
    app.input(Input::Flush);
    let events: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
    let of = |i: usize| {
        (events[i]["event"].as_str().unwrap(), events[i]["properties"]["distinct_id"].as_str().unwrap())
    };
    let device = app.engine.device_id().unwrap();
    assert_eq!(of(0), ("anonymous", ["$device:", &device].concat().as_str()));
    assert_eq!(of(1), ("$identify", "u1"));
    assert_eq!(events[1]["properties"]["$anon_distinct_id"], ["$device:", &device].concat());
    assert_eq!((of(2), of(3)), (("known", "u1"), ("other", "u2")));
}

#[test]
fn who_was_anonymous_is_only_named_to_a_collector_that_joins_by_it() {
    for (id_merge, named) in [(IdMerge::Simplified, false), (IdMerge::Original, true)] {
        let mut store = Store::default();
        let mut app = Driver::started(0, Config { id_merge, ..granted() }, &mut store);
        let id = EventId(app.bits());
        app.input(Input::Call(Call::identify("u1", id)));
        app.input(Input::Flush);
        let events: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
        let properties = &events[0]["properties"];
        assert_eq!((&properties["$user_id"], properties["$device_id"].is_string()), (&"u1".into(), true));
        assert_eq!(properties.get("$anon_distinct_id").is_some(), named);
    }
}

#[test]
fn a_device_is_no_user() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let (id, device) = (EventId(app.bits()), app.engine.device_id().unwrap());
    let outcome = app.input(Input::Call(Call::identify(&device, id)));
    assert_eq!(outcome, Outcome::Rejected(Rejection::ReservedUser));
    assert_eq!(app.input(Input::Call(Call::identify("u1", id))), Outcome::Accepted);
    assert_eq!(app.engine.stats().queued, 1, "who was anonymous is announced");
}

#[test]
fn c9_what_seems_to_change_nothing_changes_what_another_process_has_written() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    app.run(&mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    other.input(Input::Call(Call::switch_user("u2", Secret([9; 16]))));
    other.run(&mut store);
    app.input(Input::Call(Call::switch_user("u1", Secret([8; 16]))));
    app.run(&mut store);
    assert_eq!(app.engine.distinct_id().as_deref(), Some("u1"));
    assert_ne!(app.engine.device_id(), other.engine.device_id(), "two known people are never joined");
    let stored = Driver::started(2, granted(), &mut store).engine.distinct_id();
    assert_eq!(stored.as_deref(), Some("u1"));
}

#[test]
fn what_leaves_an_event_no_room_is_refused_when_it_is_registered() {
    let mut store = Store::default();
    let config = Config { deny_list: ["ssn".into()].into(), ..granted() };
    let mut app = Driver::started(0, config, &mut store);
    let many = |letter: char| {
        let members: Vec<_> = (0..200).map(|n| format!("\"{letter}{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let long = "x".repeat(600_000);
    let mut call = |call: Call<'_>| app.input(Input::Call(call));
    assert_eq!(call(Call::register(CallKind::Register, &many('a'))), Outcome::Accepted);
    assert_eq!(call(Call::register(CallKind::Register, &many('b'))), Outcome::Rejected(Rejection::TooMany));
    assert_eq!(
        call(Call::membership(CallKind::SetGroup, "company", &long)),
        Outcome::Rejected(Rejection::TooLarge)
    );
    assert_eq!(call(Call::identify(&long, EventId([0; 16]))), Outcome::Rejected(Rejection::TooLarge));
    assert_eq!(call(Call::identify("u1", EventId([0; 16]))), Outcome::Accepted);
    assert_eq!(call(Call::register(CallKind::RegisterOnce, r#"{"ssn":1,"\u0073sn":2}"#)), Outcome::Accepted);
    app.run(&mut store);
    assert_eq!(store.records.len(), 1, "$identify");
    let RecordRead::Content(identity) = &store.identity else { panic!("it is stored") };
    assert!(!identity.contains("sn\""), "what is not to be recorded is not kept either");
}

#[test]
fn with_as_many_automatic_properties_as_there_may_be_everything_can_be_recorded() {
    let members: Vec<_> = (0..200).map(|n| format!("\"p{n}\":{n}")).collect();
    let automatic_properties = format!("{{{}}}", members.join(","));
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { automatic_properties, ..granted() }, &mut store);
    let id = EventId(app.bits());
    let own = format!("{{{}}}", members[..40].join(",").replace('p', "own"));
    for call in [
        Call::identify("u1", id),
        Call::register(CallKind::Register, r#"{"plan":"pro"}"#),
        Call::time_event("Visit"),
        Call::track("Visit", &own, id),
    ] {
        assert_eq!(app.input(Input::Call(call)), Outcome::Accepted, "{call:?}");
    }
}

#[test]
fn an_announcement_of_a_user_for_which_there_is_no_room_is_counted() {
    let mut app = Driver::started(0, Config { queue_limit_bytes: 100, ..granted() }, &mut Store::default());
    assert_eq!(app.input(Input::Call(Call::identify("ada", EventId([9; 16])))), Outcome::Accepted);
    assert_eq!(app.engine.distinct_id().as_deref(), Some("ada"));
    let stats = app.engine.stats();
    assert_eq!((stats.tracked, stats.dropped_for(Dropped::Unrecordable)), (1, 1));
}

#[test]
fn what_is_registered_leaves_room_to_identify() {
    let mut app = Driver::started(0, granted(), &mut Store::default());
    let mut call = |call: Call<'_>| app.input(Input::Call(call));
    let mut register = |n: u32| call(Call::register(CallKind::Register, &format!("{{\"p{n}\":{n}}}")));
    let taken = (0..300).take_while(|n| register(*n) == Outcome::Accepted).count();
    assert!((235..255).contains(&taken), "{taken}");
    assert_eq!(call(Call::identify("u1", EventId([0; 16]))), Outcome::Accepted);
    assert_eq!(app.track("after"), Outcome::Accepted);
}

#[test]
fn a_server_that_wants_a_retry_at_once_is_not_asked_without_pause() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    let now = Answer::Response { status: 503, retry_after: Some("0".into()), body: String::new() };
    app.exchange(&mut store, now);
    let wakeup = app.engine.next_wakeup().unwrap();
    assert!(wakeup >= app.now.mono_ms + 250, "{wakeup}");
    assert_eq!(store.not_before, None);
}

#[test]
fn a_full_disk_is_given_some_records_and_the_rest_once_it_takes_them() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    for _ in 0..700 {
        app.track("a");
    }
    app.run(&mut store);
    let appends = |app: &Driver| app.storage.iter().filter(|e| matches!(e, Effect::Append { .. })).count();
    app.advance(1_000);
    assert_eq!(appends(&app), 500);
    app.run(&mut store);
    store.fault = None;
    app.advance(60_000);
    app.run(&mut store);
    assert_eq!(store.records.len(), 700);
}

#[test]
fn a_leaving_page_sends_what_no_request_carries() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.track("b");
    app.input(Input::Lifecycle(Lifecycle::Leaving));
    app.run(&mut store);
    assert!(app.depart(&store) && app.depart(&store));
    assert!(app.open[1].1.leaving && names(&app.open[1].1.body) == ["b"]);
    app.answer(ok());
    app.answer(ok());
    assert_eq!(app.engine.stats().delivered, 2);
}

#[test]
fn what_comes_during_a_request_gathers_for_the_interval() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.advance(5_000);
    app.track("b");
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
    assert!(app.requests.is_empty());
    app.advance(5_000);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["b"]);
    // A flush of nothing does not hurry what comes later.
    app.input(Input::Flush);
    app.track("c");
    assert!(app.requests.is_empty());
}

#[test]
fn each_lane_has_its_own_request() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    app.input(Input::Call(Call::profile(r#"{"$set":{"plan":"pro"}}"#)));
    app.input(Input::Call(Call::group(r#"{"$group_key":"company","$group_id":"acme","$set":{"a":1}}"#)));
    app.input(Input::Flush);
    app.run(&mut store);
    let paths: Vec<_> = app.requests.iter().map(|(_, permit)| permit.path().to_string()).collect();
    assert_eq!(paths, ["/track/?verbose=1&ip=0", "/engage/?verbose=1&ip=0", "/groups/?verbose=1&ip=0"]);
    // One that is refused for long holds up no other one.
    while app.depart(&store) {}
    app.answer(ok());
    app.answer(answer(404, ""));
    app.answer(ok());
    app.track("next");
    app.input(Input::Flush);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["next"]);
    assert_eq!((app.engine.stats().delivered, app.engine.stats().queued), (3, 1));
}

#[test]
fn a_timed_event_says_how_long_it_took_once() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.input(Input::Call(Call::time_event("Read")));
    app.advance(1_500);
    app.track("Read");
    app.track("Read");
    assert_eq!(app.engine.timers(), 0);
    app.input(Input::Flush);
    let events: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
    assert_eq!(events[0]["properties"]["$duration"], 1.5);
    assert_eq!(events[1]["properties"].get("$duration"), None);
}

#[test]
fn who_is_here_already_keeps_session_and_timers() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let switch = |app: &mut Driver, user, bits| {
        app.input(Input::Call(Call::switch_user(user, Secret(bits))));
        (app.engine.timers(), app.engine.session_properties().to_string())
    };
    switch(&mut app, "u1", [77; 16]);
    app.input(Input::Call(Call::register(CallKind::RegisterForSession, r#"{"tab":"x"}"#)));
    app.input(Input::Call(Call::time_event("Load")));
    assert_eq!(switch(&mut app, "u1", [78; 16]), (1, r#"{"tab":"x"}"#.into()));
    assert_eq!(switch(&mut app, "u2", [79; 16]), (0, "".into()));
}

#[test]
fn what_is_registered_already_is_not_written_again_in_whatever_order() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut register = |text| {
        app.input(Input::Call(Call::register(CallKind::Register, text)));
        app.run(&mut store);
        store.writes
    };
    let written = register(r#"{"a":1,"b":"2"}"#);
    for same in [r#"{"b":"2"}"#, r#"{"a":1}"#, r#"{"b":"2","\u0061":1}"#, "{}"] {
        assert_eq!(register(same), written, "{same}");
    }
    assert_eq!(register(r#"{"a":"1"}"#), written + 1);
}

#[test]
fn calls_that_were_held_are_made_in_order_with_their_own_moments() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::time_event("Read")));
    app.advance(2_000);
    assert_eq!(app.track("Read"), Outcome::Held);
    app.input(Input::Call(Call::identify("u1", id)));
    app.input(Input::Call(Call::membership(CallKind::AddGroup, "company", "acme")));
    assert_eq!(app.track("late"), Outcome::Held);
    assert!(store.writes == 0 && app.engine.device_id().is_none(), "C3: nothing is written or made");
    let wall = app.now.wall_ms;
    app.advance(60_000);
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Flush);
    let events: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
    let named = |name: &str| events.as_array().unwrap().iter().find(|e| e["event"] == name).unwrap();
    assert_eq!(named("Read")["properties"]["$duration"], 2);
    assert_eq!(named("Read")["properties"]["time"], wall);
    assert_eq!(named("late")["properties"]["company"], serde_json::json!(["acme"]));
    let profile: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
    assert_eq!(profile[0]["$union"], serde_json::json!({"company": ["acme"]}));
    assert_eq!(profile[0]["$distinct_id"], "u1");
}

#[test]
fn two_known_people_are_never_joined() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    app.input(Input::Call(Call::register(CallKind::Register, r#"{"plan":"pro"}"#)));
    app.input(Input::Call(Call::register(CallKind::RegisterForSession, r#"{"tab":1}"#)));
    let first = app.engine.device_id().unwrap();
    let secret = Secret(app.bits());
    app.input(Input::Call(Call::switch_user("u2", secret)));
    app.track("second");
    app.run(&mut store);
    assert_ne!(app.engine.device_id().unwrap(), first);
    app.input(Input::Flush);
    let events: serde_json::Value = serde_json::from_str(&app.exchange(&mut store, ok())).unwrap();
    let second = &events.as_array().unwrap().last().unwrap()["properties"];
    assert_eq!((&second["$user_id"], second.get("plan"), second.get("tab")), (&"u2".into(), None, None));
    let links: std::collections::BTreeSet<_> = events
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| {
            Some((e["properties"]["$device_id"].as_str()?, e["properties"]["$user_id"].as_str()?))
        })
        .collect();
    assert_eq!(links.len(), 2, "each device has one user: {links:?}");
    // The next process of the folder goes on as the second one.
    let next = Driver::started(1, granted(), &mut store);
    assert_eq!(next.engine.distinct_id().as_deref(), Some("u2"));
    assert_eq!(next.engine.super_properties(), "{}");
}

#[test]
fn what_waits_for_too_long_goes_counted_also_across_a_restart() {
    let mut store = Store::default();
    let limit = Config { queue_limit_age_ms: 10_000, ..granted() };
    let mut app = Driver::started(0, limit.clone(), &mut store);
    app.track("a");
    app.advance(6_000);
    app.track("b");
    app.run(&mut store);
    let mut next = Driver::new(0, limit);
    next.now.wall_ms = app.now.wall_ms;
    next.input(Input::Start { secret: Secret([9; 16]) });
    next.run(&mut store);
    assert_eq!(next.engine.stats().recovered, 2);
    next.advance(4_001);
    assert_eq!((next.engine.stats().queued, next.engine.stats().dropped_for(Dropped::Expired)), (1, 1));
    next.advance(6_000);
    assert_eq!(next.engine.stats().dropped_for(Dropped::Expired), 2);
}

#[test]
fn a_wrong_clock_costs_nothing() {
    const Y2100_MS: u64 = 4_102_444_800_000;
    const TODAY_MS: u64 = 1_788_220_800_000;
    for (wrong, right) in [(0, TODAY_MS), (Y2100_MS, TODAY_MS), (TODAY_MS, 0), (TODAY_MS, Y2100_MS)] {
        let mut store = Store::default();
        let mut app = Driver::new(0, config());
        app.now.wall_ms = wrong;
        app.input(Input::Start { secret: Secret([1; 16]) });
        app.run(&mut store);
        assert_eq!(app.track("held"), Outcome::Held);
        let granted = app.opt_in();
        app.run(&mut store);
        assert_eq!(app.result(granted), Some(&Ok(())));
        // The clock is set while records wait, and then the app is started anew.
        app.now.wall_ms = right;
        app.advance(1);
        assert_eq!(app.track("later"), Outcome::Accepted);
        app.run(&mut store);
        let mut next = Driver::new(0, config());
        next.now.wall_ms = right;
        next.input(Input::Start { secret: Secret([2; 16]) });
        next.run(&mut store);
        next.input(Input::Flush);
        let arrived = names(&next.exchange(&mut store, ok()));
        assert_eq!(arrived, ["held", "$opt_in", "later"], "{wrong} {right}");
        let refused = next.opt_out(true);
        next.run(&mut store);
        assert_eq!(next.result(refused), Some(&Ok(())));
        assert!(!store.has_data() && next.engine.consent().decision == Decision::Denied);
    }
}

#[test]
fn what_waits_for_longer_than_it_may_does_not_leave_for_want_of_a_tick() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    for _ in 0..60 {
        app.track("old");
    }
    app.run(&mut store);
    // A full batch leaves as soon as it is found; it has waited for two days.
    let limits = Config { queue_limit_age_ms: 86_400_000, ..granted() };
    let mut next = Driver::new(0, limits.clone());
    next.now.wall_ms += 2 * 86_400_000;
    next.input(Input::Start { secret: Secret([7; 16]) });
    next.run(&mut store);
    assert!(next.requests.is_empty());
    let stats = next.engine.stats();
    assert_eq!((stats.recovered, stats.dropped_for(Dropped::Expired), stats.queued), (60, 60, 0));
    assert!(store.records.is_empty());
    // Nor at a flush.
    let mut app = Driver::started(0, Config { flush_interval_ms: u64::MAX, ..limits }, &mut store);
    app.track("old");
    app.run(&mut store);
    app.now.mono_ms += 86_400_001;
    app.input(Input::Flush);
    app.run(&mut store);
    assert!(app.requests.is_empty() && store.records.is_empty());
}

#[test]
fn a_queue_of_earlier_is_cut_to_its_bytes() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    for _ in 0..10 {
        app.track("a");
    }
    app.run(&mut store);
    let bytes = app.engine.stats().queued_bytes;
    let next = Driver::started(0, Config { queue_limit_bytes: bytes / 2, ..granted() }, &mut store);
    let stats = next.engine.stats();
    assert_eq!((stats.queued, stats.dropped_for(Dropped::Evicted), store.records.len()), (5, 5, 5));
}

#[test]
fn a_record_that_the_queue_cannot_hold_takes_no_other_ones_place() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { queue_limit_bytes: 2_000, ..granted() }, &mut store);
    app.track("a");
    let large = ["{\"x\":\"", &"y".repeat(2_000), "\"}"].concat();
    let id = EventId(app.bits());
    let outcome = app.input(Input::Call(Call::track("large", &large, id)));
    assert_eq!(outcome, Outcome::Rejected(Rejection::TooLarge));
    assert_eq!((app.engine.stats().queued, app.engine.stats().dropped_total()), (1, 0));
}

#[test]
fn c9_what_the_store_did_not_take_of_a_person_is_not_said_of_the_next_one() {
    let another = |bits: [u8; 16]| {
        [Call::reset(Secret(bits)), Call::switch_user("grace", Secret(bits))].into_iter().enumerate()
    };
    for (at, call) in another([77; 16]) {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        store.fault = Some(StoreFault::Other);
        let id = EventId(app.bits());
        app.input(Input::Call(Call::register(CallKind::Register, r#"{"plan":"gold"}"#)));
        app.input(Input::Call(Call::identify("ada", id)));
        app.run(&mut store);
        store.fault = None;
        app.input(Input::Call(call));
        app.run(&mut store);
        let device = app.engine.device_id();
        app.advance(2_000);
        app.run(&mut store);
        let expected = [None, Some("grace".to_string())];
        let who = app.engine.distinct_id().filter(|id| !id.starts_with("$device:"));
        assert_eq!((who, app.engine.super_properties()), (expected[at].clone(), "{}"));
        assert_eq!(app.engine.device_id(), device);
        let next = Driver::started(0, granted(), &mut store);
        assert_eq!((next.engine.device_id(), next.engine.super_properties()), (device, "{}"));
    }
}

#[test]
fn c9_who_is_known_when_the_store_works_again_is_who_was_said_meanwhile() {
    let register = Call::register(CallKind::Register, r#"{"plan":"gold"}"#);
    for (user, call, expected, properties) in [
        (Some("ada"), Call::reset(Secret([77; 16])), None, "{}"),
        (Some("ada"), Call::switch_user("grace", Secret([77; 16])), Some("grace"), "{}"),
        (None, Call::identify("grace", EventId([3; 16])), Some("grace"), "{}"),
        (None, register, None, r#"{"plan":"gold"}"#),
    ] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        if let Some(user) = user {
            app.input(Input::Call(Call::identify(user, EventId([9; 16]))));
        }
        app.run(&mut store);
        // The queue cannot be taken over: everything lives in memory.
        let mut next = Driver::new(0, granted());
        next.input(Input::Start { secret: Secret([7; 16]) });
        next.step(&mut store);
        let Some(Effect::Recover { op, .. }) = next.storage.pop_front() else { panic!() };
        next.input(Input::Done { op, result: Done::Failed(StoreFault::Other) });
        next.run(&mut store);
        next.input(Input::Call(call));
        let device = next.engine.device_id();
        for _ in 0..8 {
            next.run(&mut store);
            next.advance(1_000);
        }
        next.run(&mut store);
        for driver in [next, Driver::started(1, granted(), &mut store)] {
            let who = driver.engine.distinct_id().filter(|id| !id.starts_with("$device:"));
            assert_eq!((who.as_deref(), driver.engine.super_properties()), (expected, properties));
            assert_eq!(driver.engine.device_id(), device);
        }
    }
}

#[test]
fn c9_a_user_who_was_named_under_a_grant_that_was_not_recorded_stays_named() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Call(Call::identify("ada", EventId([9; 16]))));
    app.run(&mut store);
    store.fault = None;
    let mut other = Driver::started(1, config(), &mut store);
    other.opt_in();
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    for _ in 0..4 {
        app.run(&mut store);
        app.advance(1_000);
    }
    app.run(&mut store);
    assert_eq!(app.engine.distinct_id().as_deref(), Some("ada"));
    assert_eq!(app.engine.device_id(), other.engine.device_id());
    let next = Driver::started(2, config(), &mut store);
    assert_eq!(next.engine.distinct_id().as_deref(), Some("ada"));
}

#[test]
fn c9_what_is_tried_again_does_not_undo_another_process_s_reset() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.input(Input::Call(Call::identify("ada", EventId([9; 16]))));
    app.run(&mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    store.fault = Some(StoreFault::Other);
    app.input(Input::Call(Call::register(CallKind::Register, r#"{"plan":"gold"}"#)));
    app.run(&mut store);
    store.fault = None;
    other.input(Input::Call(Call::reset(Secret([77; 16]))));
    other.run(&mut store);
    app.advance(1_000);
    app.run(&mut store);
    for driver in [app, Driver::started(2, granted(), &mut store)] {
        assert_eq!(driver.engine.device_id(), other.engine.device_id());
        assert_eq!(driver.engine.distinct_id(), other.engine.distinct_id());
        assert_eq!(driver.engine.super_properties(), "{}");
    }
}

#[test]
fn c9_what_is_tried_again_does_not_undo_what_another_process_has_said() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    let register = |text| Input::Call(Call::register(CallKind::Register, text));
    store.fault = Some(StoreFault::Other);
    app.input(register(r#"{"a":1}"#));
    app.run(&mut store);
    store.fault = None;
    other.input(Input::Call(Call::identify("ada", EventId([9; 16]))));
    other.input(register(r#"{"b":2}"#));
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Identity, read: store.identity.clone() });
    app.advance(2_000);
    app.run(&mut store);
    for driver in [app, Driver::started(2, granted(), &mut store)] {
        assert_eq!(driver.engine.distinct_id().as_deref(), Some("ada"));
        assert_eq!(driver.engine.super_properties(), r#"{"a":1,"b":2}"#);
    }
}

#[test]
fn c9_who_is_here_by_another_process_s_word_is_here_at_once_whatever_was_not_stored() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    store.fault = Some(StoreFault::Other);
    app.input(Input::Call(Call::register(CallKind::Register, r#"{"a":1}"#)));
    app.run(&mut store);
    store.fault = None;
    other.input(Input::Call(Call::switch_user("grace", Secret([77; 16]))));
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Identity, read: store.identity.clone() });
    assert_eq!(app.engine.distinct_id().as_deref(), Some("grace"));
    app.advance(2_000);
    app.run(&mut store);
    assert_eq!(app.engine.super_properties(), "{}");
    assert_eq!(Driver::started(2, granted(), &mut store).engine.super_properties(), "{}");
}

#[test]
fn the_last_word_about_a_person_is_not_the_one_that_was_tried_again() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let register = |text| Input::Call(Call::register(CallKind::Register, text));
    store.fault = Some(StoreFault::Other);
    app.input(register(r#"{"plan":"free","n":1}"#));
    app.run(&mut store);
    store.fault = None;
    app.input(register(r#"{"plan":"gold"}"#));
    app.run(&mut store);
    app.advance(2_000);
    app.run(&mut store);
    assert_eq!(app.engine.super_properties(), r#"{"plan":"gold","n":1}"#);
    let next = Driver::started(0, granted(), &mut store);
    assert_eq!(next.engine.super_properties(), r#"{"plan":"gold","n":1}"#);
}

#[test]
fn a_store_that_fails_for_long_costs_neither_memory_nor_a_notice_a_call() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    for n in 0..400 {
        let id = EventId(app.bits());
        let text = ["{\"page\":", &n.to_string(), "}"].concat();
        app.input(Input::Call(Call::register(CallKind::Register, &text)));
        app.input(Input::Call(Call::identify(["u1", "u2"][n % 2], id)));
        app.track("Viewed");
        app.run(&mut store);
    }
    assert_eq!(app.notices, [Notice::StoreTrouble(StoreFault::Full)]);
    app.requests.clear();
    app.advance(1_000);
    let identity = app.storage.iter().filter(|effect| matches!(effect, Effect::Amend { .. })).count();
    assert_eq!(identity, 1, "what is tried again");
    store.fault = None;
    app.run(&mut store);
    let next = Driver::started(0, granted(), &mut store);
    assert_eq!(next.engine.distinct_id().as_deref(), Some("u2"));
    assert_eq!(next.engine.super_properties(), r#"{"page":399}"#);
    assert_eq!(next.engine.stats().recovered, 401, "with the first $identify");
}

#[test]
fn what_is_registered_again_with_every_event_goes_to_the_store_once_at_a_time() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let amends = |app: &Driver| app.storage.iter().filter(|it| matches!(it, Effect::Amend { .. })).count();
    let register = |app: &mut Driver, text: &str| {
        app.input(Input::Call(Call::register(CallKind::Register, text)));
        app.track("Viewed");
    };
    (0..20).for_each(|_| register(&mut app, r#"{"shop":"a"}"#));
    assert_eq!(amends(&app), 1);
    register(&mut app, r#"{"shop":"b"}"#);
    register(&mut app, r#"{"shop":"a"}"#);
    assert_eq!(amends(&app), 3, "another one was in between");
    app.run(&mut store);
    // The record may say something else by now (C9).
    register(&mut app, r#"{"shop":"a"}"#);
    assert_eq!(amends(&app), 1);
    for reset in 0..2 {
        app.input(Input::Call(Call::reset(Secret([reset; 16]))));
    }
    assert_eq!(amends(&app), 3, "each makes a device of its own");
}

#[test]
fn groups_of_a_kind_are_no_more_than_a_list_has_elements() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let add = |id: &str, app: &mut Driver| {
        app.input(Input::Call(Call::membership(CallKind::AddGroup, "company", id)))
    };
    for n in 0..255 {
        assert_eq!(add(&n.to_string(), &mut app), Outcome::Accepted);
    }
    assert_eq!(add("another", &mut app), Outcome::Rejected(Rejection::TooMany));
    assert_eq!(add("7", &mut app), Outcome::Accepted, "it is there already");
    app.input(Input::Call(Call::membership(CallKind::RemoveGroup, "company", "7")));
    assert_eq!(add("another", &mut app), Outcome::Accepted);
    app.run(&mut store);
    assert!(!app.engine.super_properties().contains("\"7\""));
}

#[test]
fn c3_a_denied_group_is_recorded_nowhere() {
    let mut store = Store::default();
    let config = Config { deny_list: ["clinic".into()].into(), ..granted() };
    let mut before = Driver::started(0, granted(), &mut store);
    before.input(Input::Call(Call::membership(CallKind::AddGroup, "clinic", "denied-1")));
    before.run(&mut store);
    let mut app = Driver::started(0, config, &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    for (kind, member) in [
        (CallKind::RemoveGroup, "denied-1"),
        (CallKind::SetGroup, "denied-2"),
        (CallKind::AddGroup, "denied-3"),
    ] {
        app.input(Input::Call(Call::membership(kind, "clinic", member)));
    }
    let profile = r#"{"$group_key":"clinic","$group_id":"denied-4","$set":{"a":1}}"#;
    let outcome = app.input(Input::Call(Call::group(profile)));
    assert_eq!(outcome, Outcome::Rejected(Rejection::EmptyGroup));
    app.track("a");
    app.run(&mut store);
    let RecordRead::Content(identity) = &store.identity else { panic!() };
    let texts = [identity].into_iter().chain(store.records.iter().map(|record| &record.3));
    for text in texts {
        assert!(!text.contains("clinic") && !text.contains("denied"), "{text}");
    }
    assert_eq!(store.records.len(), 2, "no profile is told either");
}

#[test]
fn a_flush_means_what_is_on_its_way_into_the_queue() {
    let mark_of = |app: &mut Driver| match app.input(Input::Flush) {
        Outcome::Flushing(mark) => mark,
        other => panic!("{other:?}"),
    };
    let delivers = |mut app: Driver, mark, mut store: Store| {
        assert_eq!(app.engine.flush_end(mark, 0), None);
        app.exchange(&mut store, ok());
        assert_eq!(app.engine.flush_end(mark, 0), Some(FlushState::Done));
    };

    // Asked before the store is open: what an earlier run has left, and what is held meanwhile.
    for (left, held) in [(true, false), (false, true)] {
        let mut store = Store::default();
        if left {
            let mut earlier = Driver::started(0, granted(), &mut store);
            earlier.track("left");
            earlier.run(&mut store);
        }
        let mut app = Driver::new(0, granted());
        if held {
            app.track("held");
        }
        let mark = mark_of(&mut app);
        app.input(Input::Start { secret: Secret([7; 16]) });
        while app.engine.stats().queued == 0 {
            assert_eq!(app.engine.flush_end(mark, 0), None, "{left} {held}");
            assert!(app.step(&mut store), "{left} {held}");
        }
        app.run(&mut store);
        delivers(app, mark, store);
    }

    // Asked while an agreement is being written down.
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    app.track("held");
    app.opt_in();
    let mark = mark_of(&mut app);
    app.run(&mut store);
    delivers(app, mark, store);
}

#[test]
fn what_a_page_had_stored_is_read_again_when_it_goes_on() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    for name in ["sent by another tab", "still there"] {
        app.track(name);
    }
    app.run(&mut store);
    app.input(Input::Lifecycle(Lifecycle::Leaving));
    assert_eq!(app.requests.len(), 1);
    store.records.retain(|(_, _, _, text)| text.contains("still there"));

    app.input(Input::Lifecycle(Lifecycle::Resumed));
    assert!(app.requests.is_empty(), "its request is cancelled");
    app.track("made before it has looked");
    app.run(&mut store);
    let stats = app.engine.stats();
    assert_eq!((stats.given_up, stats.recovered, stats.queued), (2, 1, 2));
    app.input(Input::Flush);
    let mut sent = names(&app.exchange(&mut store, ok()));
    sent.sort();
    assert_eq!(sent, ["made before it has looked", "still there"]);
    assert!(store.records.is_empty());
}

#[test]
fn c9_who_has_left_stays_away_though_the_page_went_before_that_was_stored() {
    for fault in [None, Some(StoreFault::Other)] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.input(Input::Call(Call::identify("ada", EventId([9; 16]))));
        app.run(&mut store);
        app.input(Input::Call(Call::reset(Secret([77; 16]))));
        let left = app.engine.distinct_id();
        app.input(Input::Lifecycle(Lifecycle::Leaving));
        app.input(Input::Lifecycle(Lifecycle::Resumed));
        app.input(Input::RecordChanged { name: RecordName::Identity, read: store.identity.clone() });
        assert_eq!(app.engine.distinct_id(), left);
        store.fault = fault;
        app.run(&mut store);
        store.fault = None;
        app.advance(2_000);
        app.run(&mut store);
        for driver in [app, Driver::started(1, granted(), &mut store)] {
            assert_eq!(driver.engine.distinct_id(), left, "{fault:?}");
        }
    }
}

#[test]
fn what_no_store_holds_leaves_without_a_flush_when_a_page_goes_on() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_in();
    app.run(&mut store);
    app.track("in memory");
    app.input(Input::Lifecycle(Lifecycle::Resumed));
    app.run(&mut store);
    app.advance(5_000);
    assert!(names(&app.exchange(&mut store, ok())).contains(&"in memory".into()));
}

#[test]
fn what_no_store_holds_is_not_given_up() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.track("in memory");
    app.run(&mut store);
    app.input(Input::Flush);
    app.depart(&store);
    app.input(Input::Lifecycle(Lifecycle::Resumed));
    store.fault = None;
    app.run(&mut store);
    let stats = app.engine.stats();
    assert_eq!((stats.given_up, stats.queued), (0, 1));
    app.input(Input::Flush);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["in memory"]);
}

#[test]
fn what_a_page_could_not_store_is_stored_once_when_it_goes_on() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.track("a");
    app.run(&mut store);
    store.fault = None;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Unreadable });
    app.input(Input::Lifecycle(Lifecycle::Resumed));
    app.advance(60_000);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    app.input(Input::Flush);
    assert_eq!(names(&app.exchange(&mut store, ok())), ["a"]);
    assert_eq!((app.engine.stats().delivered, store.records.len()), (1, 0));
}
