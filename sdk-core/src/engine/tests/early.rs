//! What is said before the store is open counts as it would a moment later.

use super::world::*;
use crate::engine::*;

#[test]
fn c6_what_was_called_under_a_recorded_no_does_not_leave_after_a_grant_of_the_same_moment() {
    let denied = Config { default_consent: DefaultConsent::Denied, ..Config::new("T") };
    for (recorded, signals, config) in [
        (true, Signals::default(), granted()),
        (false, Signals::default(), denied),
        (false, Signals { host: true, ..Signals::default() }, granted()),
    ] {
        let mut store = Store::default();
        if recorded {
            let mut before = Driver::started(1, config.clone(), &mut store);
            before.opt_out(false);
            before.run(&mut store);
        }
        let mut app = Driver::starting(0, config);
        app.advance(1_000);
        app.input(Input::Signals(signals));
        assert_eq!(app.track("before"), Outcome::Held);
        app.input(Input::Call(Call::identify("u1", EventId([9; 16]))));
        app.opt_in();
        assert_eq!(app.track("after"), Outcome::Held);
        app.run(&mut store);
        assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 1);
        assert!(!app.engine.distinct_id().unwrap().contains("u1"));
        app.input(Input::Flush);
        let body = app.exchange(&mut store, ok());
        assert!(body.contains("after") && body.contains("$opt_in") && !body.contains("before"), "{body}");
    }
}

#[test]
fn c3_what_waited_for_a_decision_leaves_after_a_grant_before_the_store_is_open() {
    let mut store = Store::default();
    let mut app = Driver::starting(0, config());
    app.track("before");
    app.opt_in();
    app.run(&mut store);
    app.input(Input::Flush);
    assert!(app.exchange(&mut store, ok()).contains("before"));
}

#[test]
fn c6_a_refusal_before_the_store_is_open_is_told_by_its_epoch_to_who_sees_only_what_follows() {
    let mut store = Store::default();
    let mut app = Driver::started(0, config(), &mut store);
    assert_eq!(app.track("before"), Outcome::Held);
    let mut other = Driver::starting(1, config());
    other.opt_out(false);
    other.run(&mut store);
    other.opt_in();
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 1);
}

#[test]
fn c6_a_grant_before_the_store_is_open_does_not_cover_what_came_before_a_later_refusal_elsewhere() {
    let mut store = Store::default();
    let mut app = Driver::starting(0, config());
    app.opt_in();
    assert_eq!(app.track("before"), Outcome::Held);
    let mut other = Driver::started(1, config(), &mut store);
    other.advance(1_000);
    other.opt_out(false);
    other.run(&mut store);
    app.advance(2_000);
    app.opt_in();
    app.run(&mut store);
    assert_eq!(app.engine.consent().verdict, Verdict::Allow);
    assert_eq!(app.engine.stats().dropped_for(Dropped::Withdrawn), 1);
}

#[test]
fn c8_data_without_a_record_is_wiped_before_a_grant_from_before_the_store_is_open() {
    let mut store = Store::default();
    let mut before = Driver::started(1, granted(), &mut store);
    before.track("stray");
    before.run(&mut store);
    let device = before.engine.device_id();
    store.consent = RecordRead::Absent;
    let mut app = Driver::starting(0, config());
    let ticket = app.opt_in();
    while store.decision() != Decision::Granted {
        assert!(app.step(&mut store));
    }
    assert!(!store.has_data());
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
    assert_ne!(app.engine.device_id(), device);
    assert_eq!((app.engine.stats().adopted, app.engine.stats().wiped), (0, 1));
}

#[test]
fn c4_a_withdrawal_that_was_cut_off_is_gone_on_with_before_a_grant_from_before_the_store_is_open() {
    let mut store = Store::default();
    let mut before = Driver::started(1, granted(), &mut store);
    before.track("old");
    before.run(&mut store);
    before.opt_out(false);
    before.step(&mut store);
    assert!(store.decision() == Decision::Denied && store.has_data());
    let mut app = Driver::starting(0, config());
    app.advance(1_000);
    let ticket = app.opt_in();
    while store.decision() != Decision::Granted {
        assert!(app.step(&mut store));
    }
    assert!(!store.has_data());
    app.run(&mut store);
    assert_eq!(app.result(ticket), Some(&Ok(())));
}

#[test]
fn c1_what_is_called_while_a_signal_says_no_counts_as_such_though_the_store_is_not_open() {
    for (agreed, honored, kept) in [
        (false, true, &["after"][..]),
        (true, true, &["under", "after"]),
        (false, false, &["under", "after"]),
    ] {
        let mut store = Store::default();
        if agreed {
            let mut before = Driver::started(1, config(), &mut store);
            before.opt_in();
            before.run(&mut store);
            store.records.clear();
        }
        let mut app = Driver::starting(0, Config { honor_gpc: honored, ..granted() });
        app.input(Input::Signals(Signals { gpc: true, ..Signals::default() }));
        assert_eq!(app.track("under"), Outcome::Held);
        app.input(Input::Call(Call::register(CallKind::Register, r#"{"under":1}"#)));
        app.input(Input::Signals(Signals::default()));
        assert_eq!(app.track("after"), Outcome::Held);
        app.run(&mut store);
        let dropped = app.engine.stats().dropped_for(Dropped::Withdrawn);
        assert_eq!(dropped as usize, 2 - kept.len(), "{agreed} {honored}");
        assert_eq!(app.engine.super_properties() == "{}", kept.len() == 1);
        assert_eq!(store.records.len(), kept.len());
    }
}

#[test]
fn c5_a_refusal_that_is_told_while_the_store_is_being_opened_is_heard() {
    let mut store = Store::default();
    let mut other = Driver::started(1, granted(), &mut store);
    let mut app = Driver::starting(0, granted());
    let Some(Effect::Open { op }) = app.storage.pop_front() else { panic!("{:?}", app.storage) };
    let (consent, identity) = (store.consent.clone(), store.identity.clone());
    other.opt_out(false);
    other.run(&mut store);
    app.input(Input::RecordChanged { name: RecordName::Consent, read: store.consent.clone() });
    app.input(Input::Done { op, result: Done::Opened { consent, identity, data: false } });
    app.run(&mut store);
    assert_eq!(app.engine.consent().decision, Decision::Denied);
}
