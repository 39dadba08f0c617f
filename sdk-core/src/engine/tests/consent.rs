use super::world::*;
use crate::engine::*;

#[test]
fn pending_holds_in_memory_and_a_grant_releases_in_order() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    assert_eq!(app.track("before"), Outcome::Held);
    app.input(Input::Call(Call::register(CallKind::Register, r#"{"plan":"pro"}"#)));
    assert_eq!(app.track("after"), Outcome::Held);
    app.run(&mut store);
    assert_eq!((store.writes, app.engine.device_id()), (0, None), "C3: nothing is written, no id is made");

    let ticket = app.opt_in();
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    assert_eq!(app.track("now"), Outcome::Accepted);
    app.input(Input::Flush);
    let body = app.exchange(&mut store, ok());
    let events: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<_> = events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["before", "after", "$opt_in", "now"]);
    assert_eq!(events[0]["properties"]["plan"], serde_json::Value::Null);
    assert_eq!(events[1]["properties"]["plan"], "pro");
    assert_eq!(events[0]["properties"]["time"], 1_788_220_800_000u64);
}

#[test]
fn a_denial_drops_what_was_held_and_leaves_only_the_record() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    app.track("held");
    let ticket = app.opt_out(false);
    assert_eq!(app.track("refused"), Outcome::Rejected(Rejection::Denied));
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    assert_eq!((store.decision(), store.has_data()), (Decision::Denied, false));
    let state = store.state();
    let evidence = state.record().map(|record| (record.at_ms, record.source.as_str()));
    assert_eq!(evidence, Some((1_788_220_800_000, "refrain")));
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 1);
    assert_eq!(app.engine.consent().sentence(), "Not collecting: you have objected.");
}

#[test]
fn c4_a_withdrawal_ends_in_the_same_state_wherever_it_is_cut() {
    // The number of storage steps of a whole withdrawal, then every cut.
    for cut in 0..8 {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.track("a");
        app.run(&mut store);
        assert!(store.has_data());
        app.opt_out(false);
        for _ in 0..cut {
            app.step(&mut store);
        }
        let recorded = store.decision() == Decision::Denied;
        // The process dies; another one starts.
        let mut next = Driver::started(1, granted(), &mut store);
        if recorded {
            assert_eq!(next.track("b"), Outcome::Rejected(Rejection::Denied), "cut after {cut}");
            assert!(!store.has_data(), "cut after {cut}");
            assert!(next.requests.is_empty());
        } else {
            assert_eq!(cut, 0, "only a withdrawal that was never written is forgotten");
        }
    }
}

#[test]
fn c5_a_refusal_elsewhere_is_heard_whatever_was_to_be_written() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.run(&mut store);
    assert!(app.depart(&store));
    other.opt_out(false);
    other.run(&mut store);
    // What is asked of the store next is only the time before which nothing may be sent.
    app.answer(Answer::Response { status: 503, retry_after: Some("60".into()), body: "".into() });
    app.run(&mut store);
    assert_eq!(app.engine.consent().decision, Decision::Denied);
}

#[test]
fn c5_a_permit_given_out_before_is_dead_after_and_requests_are_cancelled() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.run(&mut store);
    let (_, permit) = app.requests.pop_front().unwrap();
    app.opt_out(false);
    // Not even the record is written yet: the fence alone refuses.
    assert_eq!(permit.redeem(&store.state()).err(), Some(Refused));
    app.run(&mut store);
    assert_eq!(app.engine.in_flight(), 0);
}

#[test]
fn c5_c9_another_process_obeys_before_its_next_write_and_its_next_send() {
    let mut store = Store::default();
    let mut one = Driver::started(0, granted(), &mut store);
    let mut two = Driver::started(1, granted(), &mut store);
    assert_eq!(one.engine.device_id(), two.engine.device_id(), "C9: one device, the first made wins");
    two.track("queued");
    two.run(&mut store);
    two.input(Input::Flush);
    one.opt_out(false);
    one.run(&mut store);
    assert!(!store.has_data());
    two.track("late");
    assert!(!two.depart(&store), "C5: the sender reads the record");
    two.run(&mut store);
    assert!(!store.has_data(), "C1: the writer reads the record");
    assert_eq!(two.track("b"), Outcome::Rejected(Rejection::Denied));
    assert_eq!(two.engine.stats().dropped_for(Dropped::Withdrawn), 2);
    assert_eq!(two.engine.next_wakeup(), None, "C14: not even a timer is left");
}

#[test]
fn c6_c11_a_later_grant_is_announced_once_with_a_new_device_and_nothing_old() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("old");
    app.run(&mut store);
    let device = app.engine.device_id().unwrap();
    app.opt_out(false);
    app.run(&mut store);
    assert_eq!(app.engine.device_id(), None);
    for _ in 0..2 {
        app.opt_in();
        app.run(&mut store);
    }
    assert_ne!(app.engine.device_id().unwrap(), device);
    app.input(Input::Flush);
    let body = app.exchange(&mut store, ok());
    assert_eq!(body.matches("\"event\":\"$opt_in\"").count(), 1);
    assert!(!body.contains("old") && !body.contains(&device));
}

#[test]
fn c7_reset_leaves_the_choice() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    app.opt_in();
    app.run(&mut store);
    let (before, device) = (store.consent.clone(), app.engine.device_id());
    let secret = Secret(app.bits());
    app.input(Input::Call(Call::reset(secret)));
    app.run(&mut store);
    assert!(store.consent == before && app.engine.device_id() != device);
}

#[test]
fn c8_an_unreadable_record_is_a_refusal_and_a_grant_lasts_in_memory() {
    let mut store = Store { consent: RecordRead::Unreadable, ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    assert_eq!(app.track("a"), Outcome::Rejected(Rejection::Denied));
    assert_eq!(app.engine.consent().reason(), "store_unavailable");
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.track("b"), Outcome::Accepted);
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("\"b\""));
    assert_eq!(store.writes, 0);
    assert!(matches!(store.consent, RecordRead::Unreadable));
    let mut next = Driver::started(1, granted(), &mut store);
    assert_eq!(next.track("c"), Outcome::Rejected(Rejection::Denied));
}

#[test]
fn c8_a_refusal_replaces_an_unreadable_record() {
    let mut store = Store { consent: RecordRead::Unreadable, ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    let ticket = app.opt_out(false);
    app.run(&mut store);
    assert_eq!((app.result(ticket), store.decision()), (Some(&Ok(())), Decision::Denied));
}

#[test]
fn c12_a_refusal_over_what_cannot_be_read_keeps_what_an_earlier_one_has_asked_for() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    app.run(&mut store);
    assert_eq!(store.state().record().map(|record| record.outbox.len()), Some(1));
    store.consent = RecordRead::Unreadable;
    app.opt_out(false);
    while store.consent == RecordRead::Unreadable && app.step(&mut store) {}
    assert_eq!(store.state().record().map(|record| record.outbox.len()), Some(1));
}

#[test]
fn c8_data_without_a_record_is_wiped_before_anything_else() {
    let mut store = Store::default();
    store.records.push((7, 3, 1, "{}".into()));
    let mut app = Driver::started(0, granted(), &mut store);
    assert_eq!(store.records.len(), 0);
    assert_eq!(app.engine.stats().wiped, 1);
    assert_eq!(app.track("a"), Outcome::Accepted);
}

#[test]
fn signals_refuse_without_writing_and_end_what_was_allowed() {
    let mut store = Store::default();
    let mut app = Driver::new(0, granted());
    app.input(Input::Signals(Signals { gpc: true, ..Signals::default() }));
    app.input(Input::Start { secret: Secret([1; 16]) });
    app.run(&mut store);
    assert_eq!(app.track("a"), Outcome::Rejected(Rejection::Denied));
    assert_eq!((store.writes, app.engine.consent().reason()), (0, "gpc"));

    app.input(Input::Signals(Signals::default()));
    app.run(&mut store);
    assert_eq!(app.track("b"), Outcome::Accepted);
    app.run(&mut store);
    let device = app.engine.device_id();
    app.input(Input::Signals(Signals { host: true, ..Signals::default() }));
    app.run(&mut store);
    assert!(!store.has_data(), "C4: any change from allow to deny purges");
    assert_eq!(store.decision(), Decision::Unset);
    app.input(Input::Signals(Signals::default()));
    app.run(&mut store);
    assert_eq!(app.engine.next_wakeup(), Some(app.now.mono_ms), "a fresh secret is asked for");
    app.advance(0);
    app.run(&mut store);
    assert_ne!(app.engine.device_id(), device);
    assert_eq!(app.track("c"), Outcome::Accepted);
}

#[test]
fn a_refusal_that_cannot_be_written_holds_here_and_is_written_later() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    let ticket = app.opt_out(false);
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Err(ConsentError::NotRecorded(StoreFault::Full))));
    assert_eq!(app.track("b"), Outcome::Rejected(Rejection::Denied));
    assert!(app.requests.is_empty() && store.decision() == Decision::Unset);
    store.fault = None;
    let due = app.engine.next_wakeup().unwrap();
    app.advance(due - app.now.mono_ms);
    app.run(&mut store);
    assert_eq!((store.decision(), store.has_data()), (Decision::Denied, false));
}

#[test]
fn calls_before_the_store_is_open_are_kept_and_a_refusal_then_counts() {
    let mut store = Store::default();
    let mut app = Driver::new(0, granted());
    assert_eq!(app.track("early"), Outcome::Held);
    app.input(Input::Start { secret: Secret([1; 16]) });
    let ticket = app.opt_out(false);
    assert_eq!(app.track("late"), Outcome::Rejected(Rejection::Denied));
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    assert_eq!((store.decision(), store.has_data()), (Decision::Denied, false));
}

#[test]
fn c5_a_signal_calls_back_what_waits_also_while_the_record_cannot_be_read() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.run(&mut store);
    app.input(Input::Flush);
    app.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Unreadable });
    let signals = |gpc| Input::Signals(Signals { gpc, ..Signals::default() });
    app.input(signals(true));
    // By now the record can be read again, and nobody has decided.
    assert!(!app.depart(&store), "C5: a request leaves although a signal says no");
    // Nothing is lost by it: the signal ends before anybody has looked.
    app.input(signals(false));
    let read = store.consent.clone();
    app.input(Input::RecordChanged { name: RecordName::Consent, read });
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("\"a\""));
}

#[test]
fn a_signal_that_calls_back_what_waits_forgets_no_wait() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    let wait = Answer::Response { status: 429, retry_after: Some("60".into()), body: "".into() };
    app.exchange(&mut store, wait);
    let update = r#"{"$set":{"plan":1}}"#;
    calls(&mut app, Call::new(CallKind::Profile, "", update, [9; 16]));
    app.input(Input::Flush);
    app.run(&mut store);
    assert_eq!(app.requests.len(), 1, "the profile's");
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Unreadable });
    app.input(host_says_no(true));
    assert!(app.requests.is_empty());
    app.input(host_says_no(false));
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("plan"));
    app.advance(59_999);
    assert!(app.requests.is_empty(), "Retry-After holds");
    app.advance(1);
    assert!(app.exchange(&mut store, ok()).contains("\"a\""));
}

#[test]
fn c3_a_signal_takes_what_was_written_under_a_record_that_a_power_cut_has_undone() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let durable = store.consent.clone();
    app.opt_out(false);
    app.run(&mut store);
    app.opt_in();
    app.run(&mut store);
    assert!(store.has_data());
    // What was written of the person's choice was not durable, and all else was.
    store.consent = durable;
    let mut next = Driver::starting(1, granted());
    next.input(host_says_no(true));
    next.run(&mut store);
    assert_eq!(next.engine.consent().verdict, Verdict::Deny(DenyReason::Host));
    assert!(!store.has_data());
}

#[test]
fn a_store_that_takes_nothing_leaves_memory() {
    let mut store = Store { fault: Some(StoreFault::ReadOnly), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    assert_eq!(app.track("a"), Outcome::Accepted);
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("\"a\""));
    assert_eq!(app.engine.stats().delivered, 1);
}

#[test]
fn c12_an_erasure_is_written_with_the_refusal_and_sent_whatever_the_verdict() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.run(&mut store);
    let device = app.engine.device_id().unwrap();
    app.opt_out(true);
    app.step(&mut store);
    let outbox = store.state().record().unwrap().outbox.clone();
    assert_eq!((outbox.len(), &outbox[0].device_id), (1, &device));
    // The process dies here; the next one sends it.
    let mut next = Driver::started(1, granted(), &mut store);
    let (op, permit) = next.erasures.pop_front().unwrap();
    let request = permit.redeem(&store.state()).unwrap();
    assert!(request.body.contains(&device) && request.path == "/refrain/v1/erasures");
    next.input(Input::Done { op, result: Done::Answered(answer(503, "")) });
    assert!(next.erasures.is_empty());
    let due = next.engine.next_wakeup().unwrap();
    next.advance(due - next.now.mono_ms);
    let (op, _) = next.erasures.pop_front().unwrap();
    next.input(Input::Done { op, result: Done::Answered(answer(202, r#"{"id":"e1","state":"accepted"}"#)) });
    next.run(&mut store);
    let entry = |store: &Store| store.state().record().unwrap().outbox[0].clone();
    assert_eq!((entry(&store).state, entry(&store).secret.as_str()), (ErasureState::Accepted, ""));
    // The server is asked until it has done it, and its receipt is kept.
    let due = next.engine.next_wakeup().unwrap();
    next.advance(due - next.now.mono_ms);
    let (op, permit) = next.erasures.pop_front().unwrap();
    let request = permit.redeem(&store.state()).unwrap();
    assert_eq!((request.path.as_str(), request.body.as_str()), ("/refrain/v1/erasures/e1", ""));
    let receipt = r#"{"id":"e1","state":"completed","receipt":{"events":1}}"#;
    next.input(Input::Done { op, result: Done::Answered(answer(200, receipt)) });
    next.run(&mut store);
    assert_eq!(entry(&store).state, ErasureState::Completed);
    assert_eq!(entry(&store).answer.as_deref(), Some(receipt));
    assert_eq!(next.engine.next_wakeup(), None);
}

#[test]
fn c12_a_wrong_proof_is_refused_for_good_and_a_captive_portal_is_not_believed() {
    for (first, state) in [
        (answer(403, r#"{"error":"the secret is not this device's"}"#), ErasureState::Refused),
        (answer(403, ""), ErasureState::Requested),
        (answer(403, "<html>blocked by your administrator"), ErasureState::Requested),
        (answer(400, "<html>"), ErasureState::Requested),
        (answer(200, "<html>"), ErasureState::Requested),
        (answer(200, "{}"), ErasureState::Requested),
        (answer(202, r#"{"id":"a/b","state":"accepted"}"#), ErasureState::Requested),
        (answer(404, ""), ErasureState::Requested),
        (Answer::Unreachable, ErasureState::Requested),
    ] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.opt_out(true);
        app.run(&mut store);
        let (op, _) = app.erasures.pop_front().unwrap();
        app.input(Input::Done { op, result: Done::Answered(first.clone()) });
        app.run(&mut store);
        assert_eq!(app.engine.erasure_outbox()[0].state, state, "{first:?}");
        assert_eq!(app.engine.next_wakeup().is_some(), state == ErasureState::Requested);
    }
}

#[test]
fn c12_a_deletion_is_refused_by_a_collector_only() {
    for (first, state) in [
        (answer(400, r#"{"error":"$distinct_id, invalid","status":0}"#), ErasureState::Refused),
        (answer(200, "0"), ErasureState::Refused),
        (answer(400, "<html>"), ErasureState::Requested),
        (answer(451, ""), ErasureState::Requested),
        (answer(413, ""), ErasureState::Requested),
    ] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.opt_out_also(Also { erase: false, delete_profile: true });
        app.run(&mut store);
        let (op, _) = app.erasures.pop_front().unwrap();
        app.input(Input::Done { op, result: Done::Answered(first.clone()) });
        app.run(&mut store);
        assert_eq!(app.engine.erasure_outbox()[0].state, state, "{first:?}");
        assert_eq!(app.engine.next_wakeup().is_some(), state == ErasureState::Requested);
    }
}

#[test]
fn c12_of_an_answer_that_is_too_long_or_too_deep_the_word_to_ask_by_is_kept() {
    let deep = ["[".repeat(61), "]".repeat(61)].concat();
    for more in ["1".repeat(5_000), deep.replace("[]", "[1]")] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.opt_out(true);
        app.run(&mut store);
        let (op, _) = app.erasures.pop_front().unwrap();
        let body = ["{\"id\":\"e1\",\"state\":\"accepted\",\"more\":", &more, "}"].concat();
        app.input(Input::Done { op, result: Done::Answered(answer(202, &body)) });
        app.run(&mut store);
        let entry = store.state().record().expect("it is readable").outbox[0].clone();
        assert_eq!((entry.state, entry.answer.as_deref()), (ErasureState::Accepted, Some(r#"{"id":"e1"}"#)));
        assert!(app.engine.next_wakeup().is_some(), "the server is asked until it has done it");
    }
}

#[test]
fn c12_later_records_of_the_user_wait_behind_the_deletion_of_the_profile() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let id = EventId(app.bits());
    app.input(Input::Call(Call::identify("u1", id)));
    let device = app.engine.device_id().unwrap();
    app.opt_out_also(Also { erase: false, delete_profile: true });
    app.run(&mut store);
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Call(Call::identify("u1", id)));
    app.input(Input::Call(Call::profile(r#"{"$set":{"plan":"pro"}}"#)));
    app.input(Input::Flush);
    // What does not name the user leaves: the announcement of the grant.
    let body = app.exchange(&mut store, ok());
    assert!(body.contains("$opt_in") && !body.contains("u1"), "{body}");
    assert!(app.requests.is_empty());
    let (op, permit) = app.erasures.pop_front().unwrap();
    let request = permit.redeem(&store.state()).unwrap();
    assert_eq!(request.path, "/engage/?verbose=1&ip=0");
    let records: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let deleted: Vec<_> = records.as_array().unwrap().iter().map(|r| r["$distinct_id"].clone()).collect();
    assert_eq!(deleted, ["u1".to_string(), ["$device:", &device].concat()]);
    assert!(records[0].get("$delete").is_some());
    // A collector that has linked the device to somebody else must not take that one's profile for the device's.
    let literal: Vec<_> =
        records.as_array().unwrap().iter().map(|r| r.get("$ignore_alias").is_some()).collect();
    assert_eq!(literal, [false, true]);
    app.input(Input::Done { op, result: Done::Answered(ok()) });
    app.run(&mut store);
    assert_eq!(app.engine.erasure_outbox()[0].state, ErasureState::Completed);
    let bodies = [app.exchange(&mut store, ok()), app.exchange(&mut store, ok())];
    assert!(bodies[0].contains("$identify") && bodies[1].contains("\"plan\":\"pro\""), "{bodies:?}");
    assert_eq!(app.engine.stats().queued, 0);
}

#[test]
fn quick_changes_of_mind_end_with_the_last_word() {
    for (out_last, decision) in [(true, Decision::Denied), (false, Decision::Granted)] {
        let mut store = Store::default();
        let mut app = Driver::started(0, config(), &mut store);
        app.opt_in();
        app.step(&mut store);
        let out = app.opt_out(false);
        app.opt_in();
        assert_eq!(app.track("held"), Outcome::Held);
        if out_last {
            app.opt_out(false);
            assert_eq!(app.track("no"), Outcome::Rejected(Rejection::Denied));
        }
        app.run(&mut store);
        assert_eq!((store.decision(), app.engine.consent().decision), (decision, decision));
        assert_eq!(app.result(out), Some(&Ok(())));
        assert_eq!(store.has_data(), !out_last);
    }
}

#[test]
fn c6_what_was_held_goes_with_a_refusal_that_is_taken_back_before_the_store_is_open() {
    let mut store = Store::default();
    let mut app = Driver::starting(0, config());
    assert_eq!(app.track("before"), Outcome::Held);
    app.opt_out(false);
    assert_eq!((app.engine.stats().held, app.engine.stats().dropped_for(Dropped::Withdrawn)), (0, 1));
    app.opt_in();
    assert_eq!(app.track("after"), Outcome::Held);
    app.run(&mut store);
    app.input(Input::Flush);
    let body = app.exchange(&mut store, ok());
    assert!(body.contains("after") && !body.contains("before"), "{body}");
}

#[test]
fn c6_what_was_held_goes_where_others_refuse_and_agree_before_the_store_is_open() {
    let mut store = Store::default();
    let mut app = Driver::new(0, granted());
    let mut other = Driver::started(1, granted(), &mut store);
    app.input(Input::Start { secret: Secret([1; 16]) });
    assert_eq!(app.track("before"), Outcome::Held);
    other.advance(1);
    other.opt_out(false);
    other.run(&mut store);
    other.opt_in();
    other.run(&mut store);
    app.advance(2);
    assert_eq!(app.track("after"), Outcome::Held);
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 2);

    // A choice made before says nothing against what is recorded in the moments of a start.
    let mut next = Driver::new(2, granted());
    next.now = other.now;
    next.input(Input::Start { secret: Secret([2; 16]) });
    assert_eq!(next.track("early"), Outcome::Held);
    next.advance(1);
    next.run(&mut store);
    assert_eq!(next.engine.stats().dropped_for(Dropped::Withdrawn), 0);
}

#[test]
fn c6_what_was_held_goes_where_others_refuse_and_agree_also_if_the_clock_jumps_back() {
    let mut store = Store::default();
    let mut app = Driver::starting(0, granted());
    let mut other = Driver::started(1, granted(), &mut store);
    assert_eq!(app.track("before"), Outcome::Held);
    other.advance(1);
    other.opt_out(false);
    other.run(&mut store);
    other.opt_in();
    other.run(&mut store);
    app.advance(2);
    app.now.wall_ms -= 86_400_000;
    app.run(&mut store);
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 1);
}

#[test]
fn c6_what_was_held_stays_where_others_agree_for_the_first_time_before_the_store_is_open() {
    let mut store = Store::default();
    let mut app = Driver::new(0, config());
    let mut other = Driver::started(1, config(), &mut store);
    app.input(Input::Start { secret: Secret([1; 16]) });
    assert_eq!(app.track("before"), Outcome::Held);
    other.advance(1);
    other.opt_in();
    other.run(&mut store);
    app.advance(2);
    app.run(&mut store);
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 0);
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("before"));
}

#[test]
fn c9_a_refusal_that_was_never_written_and_taken_back_does_not_outlive_the_one_on_record() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_out(false);
    app.run(&mut store);
    store.fault = None;
    other.opt_out(false);
    other.run(&mut store);
    app.advance(1);
    store.fault = Some(StoreFault::Full);
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Deny(DenyReason::Person));
    store.fault = None;
    app.advance(60_000);
    app.run(&mut store);
    assert_eq!((store.decision(), app.engine.next_wakeup()), (Decision::Denied, None));
    other.opt_in();
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
}

#[test]
fn c9_a_look_that_comes_after_later_news_says_nothing() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    let established = store.consent.clone();
    other.opt_out(false);
    other.run(&mut store);
    let refusal = store.consent.clone();
    let changed = |read| Input::RecordChanged { name: RecordName::Consent, read };
    app.input(changed(refusal.clone()));
    app.run(&mut store);
    // Read before the refusal, and told after it.
    app.input(changed(established));
    let Some(Effect::Open { op }) = app.storage.pop_front() else { panic!("another look") };
    let identity = store.identity.clone();
    let looked = Done::Opened { consent: refusal, identity, data: false };
    other.opt_in();
    other.run(&mut store);
    app.input(changed(store.consent.clone()));
    app.input(Input::Done { op, result: looked });
    app.run(&mut store);
    app.advance(0);
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    assert_eq!(app.engine.device_id(), other.engine.device_id());
    assert!(store.has_data() && app.engine.device_id().is_some());
}

#[test]
fn c9_who_lived_in_memory_becomes_the_device_that_the_store_knows() {
    for damaged in [false, true] {
        let mut store = Store { fault: Some(StoreFault::Full), ..Store::default() };
        if damaged {
            store.consent = RecordRead::Unreadable;
        }
        let mut app = Driver::started(0, config(), &mut store);
        app.opt_in();
        app.run(&mut store);
        assert_eq!(app.track("in memory"), Outcome::Accepted);
        store.fault = None;
        store.consent = RecordRead::Absent;
        let mut other = Driver::started(1, config(), &mut store);
        other.opt_in();
        other.run(&mut store);
        app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
        app.run(&mut store);
        for _ in 0..3 {
            app.advance(60_000);
            app.run(&mut store);
        }
        assert_eq!(app.engine.consent().verdict, Verdict::Allow);
        assert!(other.engine.device_id().is_some());
        assert_eq!(app.engine.device_id(), other.engine.device_id(), "damaged: {damaged}");
    }
}

#[test]
fn c11_a_grant_that_is_taken_back_before_it_is_recorded_is_not_announced() {
    for fault in [None, Some(StoreFault::Full)] {
        let mut store = Store { fault, ..Store::default() };
        let mut app = Driver::new(0, config());
        app.opt_in();
        app.opt_out(false);
        app.opt_in();
        app.input(Input::Start { secret: Secret([1; 16]) });
        app.run(&mut store);
        app.advance(0);
        app.run(&mut store);
        assert_eq!(app.engine.consent().verdict, Verdict::Allow);
        app.input(Input::Flush);
        assert_eq!(app.exchange(&mut store, ok()).matches("$opt_in").count(), 1);
    }
}

#[test]
fn c7_a_refusal_outlives_a_store_that_is_emptied_underneath() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(false);
    app.run(&mut store);
    store.consent = RecordRead::Absent;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Absent });
    app.run(&mut store);
    assert_eq!(app.track("a"), Outcome::Rejected(Rejection::Denied));
    app.advance(1_000);
    app.run(&mut store);
    assert_eq!((store.decision(), store.has_data()), (Decision::Denied, false));
}

fn host_says_no(no: bool) -> Input<'static> {
    Input::Signals(Signals { host: no, ..Signals::default() })
}

#[test]
fn c5_a_signal_ends_what_was_allowed_also_while_other_work_is_under_way() {
    let mut store = Store { fault: Some(StoreFault::ReadOnly), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("in memory");
    app.run(&mut store);
    let device = app.engine.device_id();
    store.fault = None;
    let due = app.engine.next_wakeup().unwrap();
    app.advance(due - app.now.mono_ms);
    while !matches!(app.storage.front(), None | Some(Effect::Amend { .. })) {
        app.step(&mut store);
    }
    assert!(device.is_some() && !app.storage.is_empty(), "the record is about to be written");
    app.input(host_says_no(true));
    assert_eq!((app.engine.device_id(), app.engine.stats().queued), (None, 0));
    app.input(host_says_no(false));
    app.run(&mut store);
    app.advance(0);
    app.run(&mut store);
    assert!(app.engine.device_id() != device && store.records.is_empty());
}

#[test]
fn c6_a_change_that_was_not_stored_before_a_refusal_is_not_tried_again_after_it() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.input(Input::Call(Call::register(CallKind::Register, r#"{"plan":"old"}"#)));
    let Some(Effect::Amend { op, .. }) = app.storage.pop_front() else { panic!("it is to be stored") };
    app.input(host_says_no(true));
    app.input(Input::Done { op, result: Done::Failed(StoreFault::Full) });
    app.run(&mut store);
    app.input(host_says_no(false));
    app.run(&mut store);
    for ms in [0, 60_000] {
        app.advance(ms);
        app.run(&mut store);
    }
    assert!(app.engine.device_id().is_some());
    assert_eq!(app.engine.super_properties(), "{}");
}

#[test]
fn c9_a_refusal_that_was_numbered_anew_ends_what_is_open_here() {
    let record =
        |decision, revision, epoch| ConsentRecord { decision, revision, epoch, ..Default::default() };
    let read = |record: &ConsentRecord| RecordRead::Content(record.encode());
    let open = record(Decision::Granted, 9, 7);
    let mut store = Store { consent: read(&open), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    app.run(&mut store);
    let (_, permit) = app.requests.pop_front().unwrap();
    store.consent = read(&record(Decision::Denied, 1, 7));
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    assert_eq!(permit.redeem(&ConsentState::Found(open)).err(), Some(Refused));
    assert!(!store.has_data());
}

#[test]
fn c9_a_refusal_that_is_told_late_does_not_end_a_newer_grant() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(false);
    app.run(&mut store);
    let refusal = store.consent.clone();
    app.opt_in();
    app.run(&mut store);
    app.track("a");
    app.run(&mut store);
    let device = app.engine.device_id();
    app.input(Input::RecordChanged { name: RecordName::Consent, read: refusal });
    app.track("b");
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    assert_eq!((app.engine.device_id(), store.records.len()), (device, 3), "with $opt_in");
}

#[test]
fn c6_what_was_captured_under_a_record_that_was_deleted_is_not_sent_under_the_next_one() {
    let record = |revision, epoch| {
        let record = ConsentRecord { decision: Decision::Granted, revision, epoch, ..Default::default() };
        RecordRead::Content(record.encode())
    };
    let mut store = Store { consent: record(9, 7), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("before");
    app.run(&mut store);
    // Deleted, refused and granted again by others, unseen here.
    store.consent = record(3, 2);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    app.advance(0);
    app.run(&mut store);
    assert_eq!((app.engine.consent().verdict, app.engine.stats().queued), (Verdict::Allow, 0));
}

#[test]
fn a_record_made_under_a_grant_that_could_not_be_written_is_stored_once_one_stands() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("stored");
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_in();
    app.run(&mut store);
    app.track("in memory");
    app.run(&mut store);
    store.fault = None;
    let mut other = Driver::started(1, granted(), &mut store);
    other.opt_in();
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.advance(60_000);
    app.run(&mut store);
    let stored = |name: &str| store.records.iter().filter(|(_, _, _, text)| text.contains(name)).count();
    assert_eq!((stored("\"stored\""), stored("\"in memory\"")), (1, 1));
}

#[test]
fn c12_what_was_asked_for_outlives_a_record_that_is_deleted_after_a_later_grant() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    app.run(&mut store);
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.erasure_outbox().len(), 1);
    store.consent = RecordRead::Absent;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Absent });
    assert_eq!(app.engine.erasure_outbox().len(), 1, "it can still be seen");
    assert!(store.state().record().is_none());
    store.fault = Some(StoreFault::Full);
    app.run(&mut store);
    store.fault = None;
    for ms in [60_000, 60_000] {
        app.advance(ms);
        app.run(&mut store);
    }
    let ids = |record: &ConsentRecord| record.outbox.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    assert_eq!(store.state().record().map(ids).map(|ids| ids.len()), Some(1));
    assert_eq!(app.engine.erasure_outbox().len(), 1);
}

#[test]
fn a_driver_that_wiped_more_than_anybody_counts_breaks_nothing() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    for _ in 0..2 {
        app.opt_out(false);
        while let Some(effect) = app.storage.front() {
            if let Effect::Wipe { op, .. } = *effect {
                app.storage.pop_front();
                app.input(Input::Done { op, result: Done::Wiped { items: u64::MAX, before: u64::MAX } });
            } else {
                app.step(&mut store);
            }
        }
    }
    assert_eq!(app.engine.stats().wiped, u64::MAX);
}

#[test]
fn a_store_that_has_counted_to_the_end_leaves_room_for_what_lived_in_memory() {
    let mut store = Store { fault: Some(StoreFault::ReadOnly), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = None;
    for name in ["a", "b"] {
        app.track(name);
    }
    app.advance(60_000);
    while let Some(effect) = app.storage.front() {
        if let Effect::Recover { op, .. } = *effect {
            app.storage.pop_front();
            let most =
                Recovered { next_seq: u64::MAX, damaged: u64::MAX, wiped: u64::MAX, ..Default::default() };
            app.input(Input::Done { op, result: Done::Recovered(most) });
        } else {
            app.step(&mut store);
        }
    }
    app.track("c");
    app.run(&mut store);
    assert_eq!(app.engine.stats().queued, 3);
}

#[test]
fn whom_held_records_would_be_about_is_still_known_when_they_have_expired() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    let id = EventId(app.bits());
    assert_eq!(app.input(Input::Call(Call::identify("u1", id))), Outcome::Held);
    assert_eq!(app.track("old"), Outcome::Held);
    app.advance(30 * 60 * 1_000);
    assert_eq!((app.engine.stats().held, app.engine.stats().dropped_for(Dropped::HoldExpired)), (0, 1));
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.distinct_id().as_deref(), Some("u1"));
}

#[test]
fn what_comes_before_the_store_is_open_has_as_much_room_as_the_queue() {
    for (config, kept) in [(granted(), 3_000), (config(), 1_000)] {
        let mut store = Store::default();
        let mut app = Driver::new(0, config);
        for _ in 0..3_000 {
            assert_eq!(app.track("a"), Outcome::Held);
        }
        app.input(Input::Start { secret: Secret([1; 16]) });
        while let Some(Effect::Open { .. } | Effect::Amend { .. } | Effect::Recover { .. }) =
            app.storage.front()
        {
            app.step(&mut store);
        }
        let stats = app.engine.stats();
        assert_eq!(stats.held + stats.queued, kept);
        assert_eq!(stats.dropped_for(Dropped::HoldFull), 3_000 - kept);
    }
}

#[test]
fn c12_what_a_refusal_asks_for_that_could_not_be_written_outlives_another_one_that_is_lost() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_out(true);
    app.run(&mut store);
    store.fault = None;
    other.opt_out(false);
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    store.consent = RecordRead::Absent;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Absent });
    for ms in [60_000, 60_000] {
        app.run(&mut store);
        app.advance(ms);
    }
    app.run(&mut store);
    assert_eq!((store.decision(), app.engine.erasure_outbox().len()), (Decision::Denied, 1));
    assert_eq!(store.state().record().map(|record| record.outbox.len()), Some(1));
}

#[test]
fn the_same_call_again_takes_no_more_room() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    for n in 0..1_500 {
        let outcome = app.input(Input::Call(Call::time_event(if n % 2 == 0 { "a" } else { "b" })));
        assert_eq!(outcome, Outcome::Held, "{n}");
    }
}

#[test]
fn c12_what_a_refusal_asks_for_that_could_not_be_written_outlives_every_later_word() {
    for agrees in [false, true] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        app.track("a");
        app.run(&mut store);
        let device = app.engine.device_id().unwrap();
        store.fault = Some(StoreFault::Full);
        let first = app.opt_out(true);
        app.run(&mut store);
        assert_eq!(app.result(first), Some(&Err(ConsentError::NotRecorded(StoreFault::Full))));
        if agrees {
            store.fault = None;
            app.opt_in();
        } else {
            // There is no device any more that another refusal could name.
            app.opt_out(true);
        }
        app.run(&mut store);
        store.fault = None;
        for _ in 0..4 {
            let due = app.engine.next_wakeup().unwrap_or(app.now.mono_ms);
            app.advance(due.saturating_sub(app.now.mono_ms));
            app.run(&mut store);
        }
        let record = store.state().record().unwrap().clone();
        assert_eq!(record.decision == Decision::Granted, agrees);
        assert_eq!(record.outbox.iter().map(|entry| &entry.device_id).collect::<Vec<_>>(), [&device]);
        assert!(!app.erasures.is_empty());
    }
}

#[test]
fn c12_while_no_note_can_be_made_of_its_answer_a_collector_is_asked_ever_more_rarely() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    let begin = app.now.mono_ms;
    let mut asked = 0;
    while app.now.mono_ms < begin + 3_600_000 {
        while let Some((op, _)) = app.erasures.pop_front() {
            asked += 1;
            let taken = answer(202, r#"{"id":"e1","state":"accepted"}"#);
            app.input(Input::Done { op, result: Done::Answered(taken) });
            // Not again before it is known whether that stands in the record.
            app.advance(1_000);
            assert!(app.erasures.is_empty());
            app.run(&mut store);
        }
        let due = app.engine.next_wakeup().unwrap();
        app.advance(due.saturating_sub(app.now.mono_ms));
        app.run(&mut store);
    }
    assert!((2..40).contains(&asked), "{asked}");
}

#[test]
fn c12_a_collector_that_answers_while_the_record_cannot_be_read_is_heard() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    app.run(&mut store);
    let (op, permit) = app.erasures.pop_front().unwrap();
    assert!(permit.redeem(&store.state()).is_ok());
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Unreadable });
    let wait = Answer::Response { status: 429, retry_after: Some("60".into()), body: "".into() };
    app.input(Input::Done { op, result: Done::Answered(wait) });
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.advance(59_999);
    app.run(&mut store);
    assert!(app.erasures.is_empty(), "Retry-After holds");
    app.advance(1);
    assert_eq!(app.erasures.len(), 1);
}

#[test]
fn c12_what_a_refusal_asks_for_that_was_written_and_could_not_be_synced_is_not_added_again() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    let Some(Effect::Amend { op, amendment }) = app.storage.pop_front() else { panic!("{:?}", app.storage) };
    let (read, state, identity) = (store.consent.clone(), store.state(), store.identity.clone());
    let Amended::Write(text) = amendment.apply(&read, &state, &identity, 0) else { panic!() };
    store.consent = RecordRead::Content(text);
    app.input(Input::Done { op, result: Done::Failed(StoreFault::Other) });
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    fail_to_grant(&mut app, &mut store);
    app.advance(60_000);
    app.run(&mut store);
    assert_eq!((store.state().record().unwrap().outbox.len(), app.engine.erasure_outbox().len()), (1, 1));
}

#[test]
fn c12_what_a_deleted_record_held_is_added_once_while_another_look_is_under_way() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(true);
    app.run(&mut store);
    app.opt_in();
    app.run(&mut store);
    // The record is deleted, and another one made, and then both once more: this one counts lower than the one known here.
    store.consent = RecordRead::Absent;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Absent });
    let adds = |effect: &Effect| format!("{effect:?}").contains("Entrust");
    while !app.storage.iter().any(adds) {
        assert!(app.step(&mut store));
    }
    store.consent = RecordRead::Content(
        ConsentRecord { decision: Decision::Granted, revision: 1, epoch: 1, ..Default::default() }.encode(),
    );
    while app.storage.iter().any(adds) {
        app.step(&mut store);
    }
    assert!(app.storage.iter().any(|effect| matches!(effect, Effect::Open { .. })), "{:?}", app.storage);
    app.run(&mut store);
    assert_eq!(store.state().record().unwrap().outbox.len(), 1);
}

#[test]
fn a_call_that_cannot_be_held_costs_no_other_its_place() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { hold_limit_bytes: 2_000, ..config() }, &mut store);
    for _ in 0..3 {
        app.track("small");
    }
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000));
    let id = EventId(app.bits());
    let outcome = app.input(Input::Call(Call::track("large", &large, id)));
    assert_eq!(outcome, Outcome::Rejected(Rejection::HoldFull));
    let stats = app.engine.stats();
    assert_eq!((stats.held, stats.dropped_for(Dropped::HoldFull), stats.rejected), (3, 0, 1));
}

#[test]
fn c7_a_refusal_can_be_copied_before_it_is_recorded_and_is_the_same_then() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.run(&mut store);
    assert_eq!(app.engine.refusal_over(&store.consent), None);
    app.opt_out(true);
    let copy = app.engine.refusal_over(&store.consent);
    app.step(&mut store);
    assert_eq!(store.consent, RecordRead::Content(copy.unwrap()));
    assert_eq!(app.engine.refusal_over(&store.consent), None);

    // Also while something else is still under way, and not when another word has followed.
    app.opt_in();
    app.opt_out(false);
    assert!(app.engine.refusal_over(&RecordRead::Absent).is_some());
    app.opt_in();
    assert_eq!(app.engine.refusal_over(&RecordRead::Absent), None);

    // Before the store has been looked at, the copy would have no erasure, and hide who asked for it.
    let mut app = Driver::new(0, granted());
    app.opt_out(true);
    assert_eq!(app.engine.refusal_over(&store.consent), None);
}

fn calls(driver: &mut Driver, call: Call<'_>) {
    assert_eq!(driver.input(Input::Call(call)), Outcome::Accepted);
}

/// Device and user of every entry of the outbox in the store.
fn asked(store: &Store) -> Vec<(String, Option<String>)> {
    let state = store.state();
    let outbox = state.record().unwrap().outbox.iter();
    outbox.map(|entry| (entry.device_id.clone(), entry.user.clone())).collect()
}

const BOTH: Also = Also { erase: true, delete_profile: true };

#[test]
fn c12_a_refusal_is_about_whom_the_store_knows_and_not_about_whom_this_process_knew() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let mut other = Driver::started(1, granted(), &mut store);
    calls(&mut app, Call::identify("alice", EventId([1; 16])));
    app.run(&mut store);
    // Nobody tells `app` of it.
    calls(&mut other, Call::switch_user("bob", Secret([8; 16])));
    other.run(&mut store);
    let device = other.engine.device_id().unwrap();
    app.opt_out_also(BOTH);
    app.run(&mut store);
    assert_eq!(asked(&store), [(device.clone(), None), (device, Some("bob".into()))]);
    let bodies = app.erasures.pop_front().unwrap().1.redeem(&store.state()).unwrap().body;
    assert!(bodies.contains(&"08".repeat(16)), "with the secret of that device");

    // What waits behind the deletion is bob's, not alice's (C12).
    let ticket = app.opt_in();
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    for user in ["alice", "bob"] {
        calls(&mut app, Call::switch_user(user, Secret([user.len() as u8 + 20; 16])));
        app.track(user);
    }
    app.input(Input::Flush);
    let body = app.exchange(&mut store, ok());
    assert!(body.contains("alice") && !body.contains("bob"), "{body}");
}

#[test]
fn c12_a_refusal_is_about_who_was_named_here_right_before_it() {
    for (call, names) in [
        (Call::switch_user("carol", Secret([9; 16])), true),
        (Call::identify("carol", EventId([9; 16])), true),
        (Call::register(CallKind::Register, r#"{"plan":"pro"}"#), false),
    ] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        let mut other = Driver::started(1, granted(), &mut store);
        calls(&mut other, Call::reset(Secret([8; 16])));
        other.run(&mut store);
        calls(&mut app, call);
        let here = app.engine.device_id().unwrap();
        app.opt_out_also(BOTH);
        // The steps of a choice may go before all others.
        app.storage.retain(|effect| {
            !matches!(effect, Effect::Amend { amendment, .. } if amendment.record() == RecordName::Identity)
        });
        app.run(&mut store);
        let device = if names { here } else { other.engine.device_id().unwrap() };
        let user = names.then(|| "carol".into());
        assert_eq!(asked(&store), [(device.clone(), None), (device, user)], "{call:?}");
    }
}

#[test]
fn c12_a_refusal_where_nobody_was_known_is_about_whom_the_store_knows() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    let mut other = Driver::started(1, config(), &mut store);
    other.opt_in();
    other.run(&mut store);
    let device = other.engine.device_id().unwrap();
    assert_eq!(app.engine.device_id(), None);
    app.opt_out(true);
    app.run(&mut store);
    assert_eq!(asked(&store), [(device, None)]);
    // Over a refusal: who was known is withdrawn already.
    app.opt_out(true);
    app.run(&mut store);
    assert_eq!(asked(&store).len(), 1);
}

#[test]
fn c12_a_refusal_is_about_the_device_that_the_store_did_not_take() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    calls(&mut app, Call::switch_user("carol", Secret([9; 16])));
    app.run(&mut store);
    let device = app.engine.device_id().unwrap();
    store.fault = None;
    app.opt_out(true);
    app.run(&mut store);
    assert_eq!(asked(&store), [(device, None)]);
}

#[test]
fn c9_another_device_made_elsewhere_is_another_person_for_whom_nothing_of_this_session_holds() {
    for (call, is_another) in [
        (Call::switch_user("bob", Secret([8; 16])), true),
        (Call::reset(Secret([8; 16])), true),
        (Call::identify("alice@work", EventId([8; 16])), false),
    ] {
        let mut store = Store::default();
        let mut app = Driver::started(0, granted(), &mut store);
        let mut other = Driver::started(1, granted(), &mut store);
        calls(&mut app, Call::identify("alice", EventId([1; 16])));
        calls(&mut app, Call::register(CallKind::RegisterForSession, r#"{"mail":"alice's"}"#));
        calls(&mut app, Call::time_event("Visit"));
        app.run(&mut store);
        calls(&mut other, call);
        other.run(&mut store);
        app.input(Input::RecordChanged { name: RecordName::Identity, read: store.identity.clone() });
        assert_eq!(app.engine.distinct_id(), other.engine.distinct_id());
        let kept = (app.engine.session_properties().contains("alice's"), app.engine.timers());
        assert_eq!(kept, if is_another { (false, 0) } else { (true, 1) }, "{call:?}");
    }
}

#[test]
fn c8_a_refusal_that_cannot_be_read_for_a_moment_is_still_one() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(false);
    app.run(&mut store);
    let reads = |app: &mut Driver, read| app.input(Input::RecordChanged { name: RecordName::Consent, read });
    reads(&mut app, RecordRead::Unreadable);
    let consent = app.engine.consent();
    assert_eq!(consent.decision, Decision::Denied);
    assert_eq!(consent.verdict, Verdict::Deny(DenyReason::StoreUnavailable));
    // Deleted meanwhile: it is written again (C7).
    store.consent = RecordRead::Absent;
    reads(&mut app, RecordRead::Absent);
    assert_eq!(app.engine.consent().decision, Decision::Denied);
    app.advance(60_000);
    app.run(&mut store);
    assert_eq!(store.decision(), Decision::Denied);
}

#[test]
fn c8_whoever_agrees_while_nothing_can_be_read_has_refused_no_more() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.opt_out(false);
    app.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Unreadable });
    app.opt_in();
    app.storage.clear();
    assert_eq!(app.engine.consent().decision, Decision::Granted);
    store.consent = RecordRead::Absent;
    app.input(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Absent });
    assert_eq!(app.engine.consent().decision, Decision::Granted);
}

#[test]
fn c9_a_grant_from_before_the_store_is_open_is_above_a_refusal_of_a_clock_that_was_ahead() {
    for (ahead_ms, agreed) in [(60_000, true), (0, false)] {
        let mut store = Store::default();
        let mut earlier = Driver::started(0, config(), &mut store);
        earlier.now.wall_ms += ahead_ms;
        earlier.opt_out(false);
        earlier.run(&mut store);
        let mut app = Driver::new(1, config());
        let ticket = app.opt_in();
        app.input(Input::Start { secret: Secret([2; 16]) });
        app.run(&mut store);
        let result = if agreed { Ok(()) } else { Err(ConsentError::Overruled) };
        assert_eq!(app.result(ticket), Some(&result), "it may have been made after the call, otherwise");
    }
}

#[test]
fn c14_what_a_refusal_asks_for_is_in_the_outbox_also_while_it_cannot_be_written() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_out(true);
    let outbox = |app: &Driver| app.engine.erasure_outbox().len();
    app.run(&mut store);
    assert_eq!(outbox(&app), 1, "it waits");
    store.fault = None;
    app.advance(60_000);
    app.run(&mut store);
    assert_eq!((outbox(&app), asked(&store).len()), (1, 1));
}

/// Not even the lock can be taken, so that nobody has looked at the record.
fn fail_to_grant(app: &mut Driver, store: &mut Store) -> Ticket {
    let ticket = app.opt_in();
    let Some(Effect::Amend { op, .. }) = app.storage.pop_front() else { panic!("{:?}", app.storage) };
    app.input(Input::Done { op, result: Done::Failed(StoreFault::Other) });
    app.run(store);
    ticket
}

#[test]
fn c11_a_grant_that_is_recorded_already_need_not_be_written_and_is_no_new_one() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Flush);
    app.exchange(&mut store, ok());
    let ticket = fail_to_grant(&mut app, &mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    assert_eq!(app.engine.stats().tracked, 1, "no second $opt_in");
    app.track("a");
    app.run(&mut store);
    assert_eq!(store.records.len(), 1, "it is stored, as before");
}

#[test]
fn c11_a_grant_that_was_written_and_could_not_be_synced_is_announced() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    let ticket = app.opt_in();
    let Some(Effect::Amend { op, amendment }) = app.storage.pop_front() else { panic!("{:?}", app.storage) };
    let (read, state) = (store.consent.clone(), store.state());
    let Amended::Write(text) = amendment.apply(&read, &state, &RecordRead::Absent, 0) else { panic!() };
    store.consent = RecordRead::Content(text);
    app.input(Input::Done { op, result: Done::Failed(StoreFault::Other) });
    app.run(&mut store);
    let fault = ConsentError::NotRecorded(StoreFault::Other);
    assert_eq!(app.result(ticket), Some(&Err(fault)), "a power cut may take it back (C7)");
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("$opt_in"));
    let again = app.opt_in();
    app.run(&mut store);
    assert_eq!(app.result(again), Some(&Ok(())));
    assert_eq!(app.engine.stats().tracked, 1);
}

#[test]
fn c11_c15_an_announcement_for_which_there_is_no_room_is_counted() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { queue_limit_bytes: 100, ..config() }, &mut store);
    app.opt_in();
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(50));
    let held = app.input(Input::Call(Call::register(CallKind::Register, &large)));
    assert_eq!(held, Outcome::Held);
    app.run(&mut store);
    let stats = app.engine.stats();
    assert_eq!((stats.tracked, stats.dropped_for(Dropped::HoldFull), stats.rejected), (1, 1, 0));
}

#[test]
fn c6_a_refusal_that_was_not_written_is_not_undone_by_the_grant_before_it() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    app.opt_in();
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_out(false);
    app.run(&mut store);
    let ticket = fail_to_grant(&mut app, &mut store);
    assert_eq!(app.result(ticket), Some(&Err(ConsentError::NotRecorded(StoreFault::Other))));
}

#[test]
fn what_the_store_holds_is_let_go_of_also_under_a_grant_that_it_did_not_take() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_in();
    app.run(&mut store);
    app.track("b");
    app.run(&mut store);
    app.input(Input::Flush);
    let body = app.exchange(&mut store, ok());
    assert!(body.contains("\"a\"") && body.contains("\"b\""), "{body}");
    assert!(store.records.is_empty());
}

#[test]
fn c12_what_is_said_after_a_grant_waits_for_a_deletion_that_could_not_be_written_either() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.input(Input::Call(Call::identify("u1", EventId([9; 16]))));
    app.run(&mut store);
    store.fault = Some(StoreFault::Full);
    app.opt_out_also(Also { erase: false, delete_profile: true });
    app.run(&mut store);
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Call(Call::identify("u1", EventId([8; 16]))));
    app.input(Input::Call(Call::profile(r#"{"$set":{"plan":"pro"}}"#)));
    app.input(Input::Flush);
    app.run(&mut store);
    while app.depart(&store) {
        let body = app.answer(ok());
        assert!(!body.contains("$set"), "{body}");
    }
}

#[test]
fn c6_a_grant_over_a_record_that_was_deleted_does_not_cover_what_came_before() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("before");
    app.run(&mut store);
    // A refusal that this one has not seen, and somebody who deletes it.
    let mut other = Driver::started(1, granted(), &mut store);
    other.opt_out(false);
    other.run(&mut store);
    store.consent = RecordRead::Absent;
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    app.track("after");
    app.input(Input::Flush);
    app.run(&mut store);
    assert!(app.depart(&store));
    let body = app.answer(ok());
    assert!(body.contains("after") && !body.contains("before"), "{body}");
}

#[test]
fn where_consent_stands_is_said_once_it_is_known_and_again_when_it_has_changed_here_or_elsewhere() {
    let mut store = Store::default();
    let mut app = Driver::starting(0, config());
    app.track("before");
    assert!(app.announced.is_empty(), "the store is not open: nobody knows yet");
    app.run(&mut store);
    let mut other = Driver::started(1, config(), &mut store);
    app.opt_in();
    app.run(&mut store);
    app.track("after");
    app.run(&mut store);
    other.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    other.run(&mut store);
    other.opt_out(false);
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    let said = |driver: &Driver| driver.announced.iter().map(Consent::sentence).collect::<Vec<_>>();
    let all = [
        "Waiting: nothing is stored or sent until you decide.",
        "Collecting: you have agreed.",
        "Not collecting: you have objected.",
    ];
    assert_eq!((said(&app), said(&other)), (all.into(), all.into()));
}

#[test]
fn c8_what_nobody_has_agreed_to_stops_when_the_record_cannot_be_read() {
    // The store was empty at first, and then it can be neither read nor written.
    let mut store = Store::default();
    let mut app = Driver::starting(0, granted());
    app.track("early");
    app.step(&mut store);
    store.consent = RecordRead::Unreadable;
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Deny(DenyReason::StoreUnavailable));
    assert!(app.notices.contains(&Notice::StoreTrouble(StoreFault::Unreadable)));
    assert_eq!(app.track("a"), Outcome::Rejected(Rejection::Denied));

    // It took nothing, and then cannot be read either.
    let mut store = Store { fault: Some(StoreFault::Full), ..Store::default() };
    let mut app = Driver::started(0, granted(), &mut store);
    app.track("a");
    app.input(Input::Flush);
    store.consent = RecordRead::Unreadable;
    assert!(!app.depart(&store));
    assert_eq!(app.engine.consent().verdict, Verdict::Deny(DenyReason::StoreUnavailable));
}

#[test]
fn c12_a_refusal_where_no_record_can_be_read_is_about_whom_the_store_knows() {
    for (consent, fails) in
        [(RecordRead::Absent, false), (RecordRead::Unreadable, false), (RecordRead::Unreadable, true)]
    {
        let mut store = Store::default();
        let before = Driver::started(1, granted(), &mut store);
        let device = before.engine.device_id().unwrap();
        store.consent = consent.clone();
        let mut app = Driver::starting(0, granted());
        app.opt_out(true);
        if fails {
            store.fault = Some(StoreFault::Full);
            app.run(&mut store);
            store.fault = None;
            app.advance(60_000);
        }
        app.run(&mut store);
        assert_eq!(asked(&store), [(device, None)], "{consent:?} {fails}");
        assert!(!store.has_data());
    }
}

#[test]
fn c11_a_grant_that_is_recorded_later_is_announced_once() {
    for withdrawn in [false, true] {
        let mut store = Store { fault: Some(StoreFault::Full), ..Store::default() };
        let mut app = Driver::started(0, config(), &mut store);
        let first = app.opt_in();
        app.run(&mut store);
        assert_eq!(app.result(first), Some(&Err(ConsentError::NotRecorded(StoreFault::Full))));
        app.input(Input::Flush);
        assert!(app.exchange(&mut store, ok()).contains("$opt_in"));
        store.fault = None;
        if withdrawn {
            // Nobody tells `app` of it.
            let mut other = Driver::started(1, config(), &mut store);
            other.opt_out(false);
            other.run(&mut store);
        }
        app.advance(1);
        let again = app.opt_in();
        app.run(&mut store);
        assert_eq!(app.result(again), Some(&Ok(())));
        assert_eq!(app.engine.stats().tracked, if withdrawn { 2 } else { 1 });
    }
}

#[test]
fn c9_a_record_that_cannot_be_read_for_a_moment_costs_nothing_that_was_accepted() {
    #[derive(Debug, PartialEq)]
    enum Meanwhile {
        Nothing,
        Withdrawn,
        MadeAnew,
    }
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Withdrawn, Meanwhile::MadeAnew] {
        let mut store = Store::default();
        let mut app = Driver::started(0, config(), &mut store);
        let mut other = Driver::started(1, config(), &mut store);
        for _ in 0..2 {
            app.opt_out(false);
            app.opt_in();
            app.run(&mut store);
        }
        app.track("waits");
        app.run(&mut store);
        let (device, queued) = (app.engine.device_id(), app.engine.stats().queued);
        let changed = |read| Input::RecordChanged { name: RecordName::Consent, read };
        app.input(changed(RecordRead::Unreadable));
        assert_eq!(app.track("refused"), Outcome::Rejected(Rejection::Denied));
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Withdrawn => {
                other.input(changed(store.consent.clone()));
                other.opt_out(false);
                other.opt_in();
            }
            // With the same epoch, because as many have refused since.
            Meanwhile::MadeAnew => {
                let mut record = store.state().record().unwrap().clone();
                record.revision -= 1;
                store.consent = RecordRead::Content(record.encode());
            }
        }
        other.run(&mut store);
        app.input(changed(store.consent.clone()));
        app.run(&mut store);
        let kept = app.engine.device_id() == device && app.engine.stats().queued == queued;
        assert_eq!(kept, meanwhile == Meanwhile::Nothing, "{meanwhile:?}");
    }
}

#[test]
fn c9_who_was_here_in_which_order_is_known_also_where_no_more_calls_can_be_held() {
    let mut store = Store::default();
    let mut app = Driver::started(0, Config { hold_limit: 3, ..config() }, &mut store);
    let id = EventId([9; 16]);
    let switch = Call::switch_user("carol", Secret([8; 16]));
    for call in [Call::identify("alice", id), Call::reset(Secret([7; 16])), switch] {
        assert_eq!(app.input(Input::Call(call)), Outcome::Held);
    }
    for call in [Call::identify("alice", id), Call::reset(Secret([6; 16])), switch] {
        assert_eq!(app.input(Input::Call(call)), Outcome::Rejected(Rejection::HoldFull), "{call:?}");
    }
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.distinct_id().as_deref(), Some("carol"));
}

#[test]
fn what_has_waited_for_too_long_does_not_leave_by_a_grant_for_want_of_a_tick() {
    for elsewhere in [false, true] {
        let mut store = Store::default();
        let mut app = Driver::started(0, config(), &mut store);
        app.track("old");
        app.now.mono_ms += config().hold_limit_age_ms - 1;
        app.track("new");
        app.now.mono_ms += 1;
        if elsewhere {
            let mut other = Driver::started(1, config(), &mut store);
            other.opt_in();
            other.run(&mut store);
            app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
        } else {
            app.opt_in();
        }
        assert_eq!(app.engine.stats().dropped_for(Dropped::HoldExpired), 1, "{elsewhere}");
        assert_eq!(app.engine.stats().dropped_total(), 1);
    }
}

#[test]
fn c9_an_identity_that_somebody_has_deleted_is_stored_again() {
    let mut store = Store::default();
    let mut app = Driver::started(0, granted(), &mut store);
    let device = app.engine.device_id();
    for (gone, properties) in [
        (RecordRead::Absent, r#"{"n":1}"#),
        (RecordRead::Unreadable, r#"{"n":2}"#),
        (RecordRead::Content("{".into()), r#"{"n":3}"#),
    ] {
        store.identity = gone;
        app.input(Input::Call(Call::register(CallKind::Register, properties)));
        app.run(&mut store);
        assert!(!app.engine.is_identity_stored());
        app.advance(60_000);
        app.run(&mut store);
        assert!(app.engine.is_identity_stored());
        let next = Driver::started(1, granted(), &mut store);
        assert_eq!((next.engine.device_id(), next.engine.super_properties()), (device.clone(), properties));
    }
}
