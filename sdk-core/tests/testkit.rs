//! The test kit for apps, as an app's tests use it.

use refrain::engine::{Decision, DefaultConsent, Dropped, FlushState, Notice, Outcome, Rejection};
use refrain::testing::{Answer, TestClient};
use refrain::{Client, OptOut};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What an app under test may look like.
struct Shop {
    tracking: Client,
}

impl Shop {
    fn sell(&self, item: &str, price: f64) -> Outcome {
        self.tracking.track("Bought", json!({"item": item, "price": price}))
    }
}

fn granted() -> TestClient {
    TestClient::with(|builder| builder.default_consent(DefaultConsent::Granted))
}

/// The message of the panic that an expectation ends in.
fn message_of<T>(expectation: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(expectation)).map(drop).expect_err("nothing was missed");
    *panic.downcast::<String>().expect("a formatted message")
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

#[test]
fn what_was_held_is_delivered_after_a_yes() {
    let test = TestClient::new();
    let shop = Shop { tracking: test.client() };
    assert_eq!(shop.sell("umbrella", 12.5), Outcome::Held);
    test.advance(MINUTE);
    assert!(test.requests().is_empty());
    test.opt_in().unwrap();
    let event = test.expect_event("Bought");
    assert_eq!(event["properties"]["item"], "umbrella");
    // It carries the time of the call, not of the answer.
    assert_eq!(event["properties"]["time"].as_u64(), Some(1_767_225_600_000));
    test.expect_event("$opt_in");
}

#[test]
fn after_a_no_nothing_leaves_and_nothing_is_kept() {
    let test = granted();
    let shop = Shop { tracking: test.client() };
    test.register(json!({"plan": "pro"}));
    shop.sell("umbrella", 12.5);
    test.expect_event("Bought");
    shop.sell("hat", 20.0);
    test.opt_out(OptOut::default()).unwrap();
    assert_eq!(shop.sell("scarf", 9.0), Outcome::Rejected(Rejection::Denied));
    test.expect_nothing_sent();
    test.expect_nothing_kept();
    assert_eq!(test.stats().dropped_for(Dropped::Withdrawn), 1);
}

#[test]
fn an_erasure_is_asked_for_until_there_is_a_receipt() {
    let test = granted();
    test.track("Bought", ());
    let device = test.expect_event("Bought")["properties"]["$device_id"].clone();
    test.opt_out(OptOut::default().erase(true).delete_profile(true)).unwrap();
    test.expect_nothing_sent();
    test.expect_nothing_kept();
    let outbox = test.audit().outbox;
    assert!(outbox.len() == 2 && outbox.iter().all(|entry| entry.state == "completed"), "{outbox:?}");
    let answer = outbox.iter().find_map(|entry| entry.answer.as_ref().filter(|_| entry.kind == "device"));
    assert!(answer.unwrap().contains(r#""receipt":{"events":1}"#), "{answer:?}");
    let requests = test.requests();
    assert!(requests.iter().any(|it| it.url.ends_with("/erasures") && it.body["device_id"] == device));
}

#[test]
fn a_batch_leaves_at_its_interval() {
    let test = TestClient::with(|builder| {
        builder.default_consent(DefaultConsent::Granted).flush_interval(30 * SECOND)
    });
    test.track("a", ());
    test.advance(29 * SECOND);
    test.track("b", ());
    assert!(test.requests().is_empty());
    test.advance(SECOND);
    assert_eq!(names(&test.events()), ["a", "b"]);
    assert_eq!(test.requests().len(), 1);
}

#[test]
fn an_hour_of_retry_after_passes_in_virtual_time() {
    for status in [429, 503] {
        let test = granted();
        test.answer_next(Answer::with_status(status).retry_after(HOUR));
        test.track("Bought", ());
        assert_eq!(test.flush(SECOND), FlushState::Failing);
        test.advance(59 * MINUTE);
        assert_eq!(test.flush(SECOND), FlushState::Underway, "a flush does not override a collector");
        assert_eq!((test.requests().len(), test.events().len()), (1, 0), "{status}");
        test.advance(MINUTE);
        assert_eq!((test.requests().len(), test.events().len()), (2, 1), "{status}");
        test.expect_event("Bought");
    }
}

#[test]
fn an_hour_of_retry_after_outlasts_a_restart() {
    let mut test = granted();
    test.answer_next(Answer::with_status(503).retry_after(HOUR));
    test.track("Bought", ());
    test.flush(SECOND);
    test.restart();
    test.advance(59 * MINUTE);
    assert_eq!(test.requests().len(), 1);
    test.advance(MINUTE);
    test.expect_event("Bought");
    assert_eq!(test.stats().recovered, 1);
}

#[test]
fn a_collector_that_is_away_gets_everything_later() {
    let test = granted();
    test.collector_away(true);
    test.track("Bought", ());
    test.advance(HOUR);
    assert!(test.requests().is_empty());
    assert_eq!(test.stats().queued, 1);
    test.collector_away(false);
    test.advance(10 * MINUTE);
    assert_eq!(names(&test.events()), ["Bought"]);
}

#[test]
fn a_lost_answer_and_a_page_of_somebody_else_are_tried_again() {
    let test = granted();
    test.answer_next(Answer::TimedOut);
    test.answer_next(Answer::Response { status: 200, retry_after: None, body: "<html>log in</html>".into() });
    test.track("Bought", ());
    test.advance(MINUTE);
    test.expect_event("Bought");
    let bodies: Vec<_> = test.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[test]
fn a_refusal_is_remembered_over_a_restart() {
    let mut test = TestClient::new();
    let before = test.client();
    test.opt_out(OptOut::default()).unwrap();
    test.restart();
    assert_eq!(before.track("Bought", ()), Outcome::Rejected(Rejection::Closed));
    assert_eq!(test.consent().decision, Decision::Denied);
    assert_eq!(test.client().track("Bought", ()), Outcome::Rejected(Rejection::Denied));
    test.expect_nothing_sent();
    test.expect_nothing_kept();
}

#[test]
fn a_restart_keeps_what_was_queued_and_follows_a_shutdown() {
    let mut test = granted();
    test.track("first", ());
    let device = test.device_id();
    test.restart();
    assert!(test.requests().is_empty());
    assert_eq!(test.device_id(), device);
    test.track("second", ());
    let (first, second) = (test.expect_event("first"), test.expect_event("second"));
    assert_ne!(first["properties"]["$insert_id"], second["properties"]["$insert_id"]);
    assert_eq!(test.shutdown(SECOND), FlushState::Done);
    test.advance(HOUR);
    test.restart();
    test.track("third", ());
    test.expect_event("third");
}

#[test]
fn a_clock_that_jumps_costs_no_record() {
    let test = granted();
    let start = test.wall_time();
    for (name, wall_ms) in
        [("past", start - 40 * 24 * 3_600_000), ("future", start + 3_600_000), ("now", start)]
    {
        test.set_wall_time(wall_ms);
        test.track(name, ());
        assert_eq!(test.wall_time(), wall_ms);
        let event = test.expect_event(name);
        assert_eq!(event["properties"]["time"].as_u64(), Some(wall_ms));
    }
    // A day passes on both clocks, and no more.
    test.advance(24 * HOUR);
    assert_eq!(test.wall_time(), start + 24 * 3_600_000);
}

#[test]
fn profiles_of_people_and_groups_are_expected() {
    let test = granted();
    test.identify("u1");
    test.profile().set(json!({"plan": "pro", "seats": 3}));
    test.group("company", "acme").set(json!({"plan": "free"}));
    let update = test.expect_profile(json!({"$set": {"plan": "pro"}}));
    assert_eq!(update["$set"]["seats"], 3);
    test.expect_profile(json!({"$group_key": "company", "$group_id": "acme"}));
    let message = message_of(|| test.expect_profile(json!({"$set": {"plan": "pro"}})));
    assert!(message.contains("(expected before)") && message.contains("acme"), "{message}");
}

/// The client that a hook for notices holds, until it is taken out.
type Hooked = Arc<Mutex<Option<Client>>>;

/// A client with consent whose notices go to a hook that holds it.
fn with_hook(hook: impl Fn(&Hooked) + Copy + Send + Sync + 'static) -> (TestClient, Hooked) {
    let hooked = Hooked::default();
    let slot = Arc::clone(&hooked);
    let test = TestClient::with(move |builder| {
        let slot = Arc::clone(&slot);
        builder.default_consent(DefaultConsent::Granted).on_notice(move |notice| {
            if !matches!(notice, Notice::ConsentChanged(_)) {
                hook(&slot);
            }
        })
    });
    *hooked.lock().unwrap() = Some(test.client());
    (test, hooked)
}

#[test]
fn what_a_hook_records_is_waited_for() {
    let (test, hooked) = with_hook(|client| {
        client.lock().unwrap().as_ref().map(|client| client.track("Paused", ()));
    });
    test.answer_next(Answer::with_status(403));
    test.track("Bought", ());
    test.advance(5 * SECOND);
    assert_eq!(test.stats().tracked, 2);
    test.advance(10 * MINUTE);
    assert_eq!(names(&test.events()), ["Bought", "Paused"]);
    *hooked.lock().unwrap() = None;
}

#[test]
fn a_hook_calls_while_there_is_more_to_say() {
    let (test, _) = with_hook(|client| {
        let client = client.lock().unwrap().take();
        if let Some(client) = client {
            client.profile().set(json!({"a": 1}));
            client.flush(SECOND);
            client.track("Heard", ());
        }
    });
    for _ in 0..3 {
        test.answer_next(Answer::with_status(403));
    }
    test.track("Bought", ());
    test.advance(5 * SECOND);
    test.advance(10 * MINUTE);
    assert_eq!(test.stats().tracked, 3);
}

#[test]
fn what_a_filter_cannot_read_is_not_recorded() {
    let test = TestClient::with(|builder| {
        builder.default_consent(DefaultConsent::Granted).filter(|_, properties| {
            properties.remove("street");
            true
        })
    });
    // Whether the filter can read that is a matter of how `serde_json` was built.
    test.track_json("Moved", r#"{"street":"Elm Street 9","n":1e999}"#);
    let broken = test.track_json("Moved", r#"{"street":"Elm Street 9","n":1e}"#);
    assert!(matches!(broken, Outcome::Rejected(Rejection::InvalidProperties(_))), "{broken:?}");
    assert_eq!(test.track_json("Moved", r#"{"street":"Elm Street 9","n":1}"#), Outcome::Accepted);
    test.advance(5 * SECOND);
    let events = test.events();
    assert!(!events.is_empty() && events.iter().all(|event| event["properties"].get("street").is_none()));
}

#[test]
fn whose_profile_it_is_is_not_for_a_filter_to_see_or_say() {
    let test = TestClient::with(|builder| {
        builder.default_consent(DefaultConsent::Granted).filter(|_, properties| {
            let known = properties.keys().all(|name| name == "$set");
            properties.insert("$group_id".into(), json!("another"));
            known
        })
    });
    let outcome = test.client().group("company", "acme").set(json!({"city": "Bonn"}));
    assert_eq!(outcome, Outcome::Accepted);
    test.advance(5 * SECOND);
    assert_eq!(test.requests()[0].body[0]["$group_id"], "acme");
}

#[test]
fn the_apps_own_settings_count_but_for_folder_and_collector() {
    let test = TestClient::with(|_| {
        let builder = Client::builder("shop").endpoint("https://collector.test").data_dir("/nowhere");
        builder.default_consent(DefaultConsent::Granted).filter(|_, properties| {
            properties.remove("street");
            true
        })
    });
    test.track("Bought", json!({"street": "Elm"}));
    let event = test.expect_event_with("Bought", json!({"token": "shop"}));
    assert!(event["properties"].get("street").is_none());
    assert!(test.requests()[0].url.starts_with("https://collector.test/track/"));
}

#[test]
fn every_run_is_the_same() {
    let run = || {
        let mut test = granted();
        test.collector_away(true);
        test.track("a", ());
        test.advance(HOUR);
        test.restart();
        test.track("b", ());
        test.collector_away(false);
        test.advance(HOUR);
        (test.events(), test.device_id())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_call_returns_when_what_it_led_to_is_done() {
    for _ in 0..50 {
        let test = TestClient::with(|builder| builder.default_consent(DefaultConsent::Granted).batch_size(1));
        test.track("Bought", ());
        test.opt_out(OptOut::default()).unwrap();
        assert_eq!(test.events().len(), 1);
    }
}

#[test]
fn an_app_may_have_threads() {
    let test = granted();
    thread::scope(|scope| {
        for _ in 0..4 {
            let shop = Shop { tracking: test.client() };
            scope.spawn(move || {
                (0..25).for_each(|_| assert_eq!(shop.sell("umbrella", 12.5), Outcome::Accepted))
            });
        }
    });
    test.advance(MINUTE);
    assert_eq!((test.events().len(), test.stats().delivered), (100, 100));
}

#[test]
fn two_clients_know_nothing_of_each_other() {
    let (one, other) = (TestClient::new(), TestClient::new());
    one.opt_out(OptOut::default()).unwrap();
    one.advance(HOUR);
    assert_eq!(other.consent().decision, Decision::Unset);
    assert_eq!(one.wall_time() - other.wall_time(), 3_600_000);
}

#[test]
fn an_event_that_is_missing_is_explained() {
    let test = TestClient::new();
    test.track("Bought", ());
    let message = message_of(|| test.expect_event("Bought"));
    for part in
        ["no event \"Bought\"", "arrived: no event", "1 held", "Waiting: nothing is stored", "opt_in()"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }

    test.opt_in().unwrap();
    test.expect_event("Bought");
    let message = message_of(|| test.expect_event("Bought"));
    assert!(message.contains("\"Bought\" (expected before)"), "{message}");

    test.answer_next(Answer::with_status(503).retry_after(HOUR));
    test.track("Sold", ());
    let message = message_of(|| test.expect_event("Sold"));
    for part in ["1 queued", "status: 503", "the client next acts in 3600s", "Collecting: you have agreed."] {
        assert!(message.contains(part), "{part} in {message}");
    }

    test.opt_out(OptOut::default()).unwrap();
    test.track("Sold", ());
    let message = message_of(|| test.expect_event("Sold"));
    for part in ["1 refused", "1 dropped (withdrawn)", "you have objected", "before opt_in()"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn properties_that_differ_are_named() {
    let test = granted();
    test.track("Bought", json!({"item": "hat", "price": 20.0, "to": {"city": "Bern", "zip": "3000"}}));
    let message = message_of(|| {
        test.expect_event_with("Bought", json!({"price": 21.0, "size": "L", "to": {"city": "Bern"}}))
    });
    assert!(
        message.contains("one differed: \"price\" is 20.0, not 21.0, \"size\" is missing\n"),
        "{message}"
    );
    test.expect_event_with("Bought", json!({"item": "hat", "to": {"zip": "3000"}}));
    let message = message_of(|| test.expect_event_with("Bought", json!({"item": "hat"})));
    assert!(message.contains("one was the same, and expected before"), "{message}");
    let message = message_of(|| test.expect_event_with("Bought", "hat"));
    assert!(message.contains("has to be an object"), "{message}");
}

#[test]
fn what_left_against_expectation_is_listed() {
    let test = granted();
    test.track("Bought", ());
    let message = message_of(|| test.expect_nothing_sent());
    assert!(message.contains("something has left") && message.contains("\"event\":\"Bought\""), "{message}");
    test.expect_nothing_sent();

    // Also what the collector did not take.
    test.answer_next(Answer::with_status(400));
    test.track("Sold", ());
    let message = message_of(|| test.expect_nothing_sent());
    assert!(message.contains("Sold") && message.contains("1 dropped (refused)"), "{message}");
}

#[test]
fn what_is_kept_against_expectation_is_listed() {
    let test = granted();
    test.register(json!({"plan": "pro"}));
    test.time_event("Bought");
    test.track("Seen", ());
    let message = message_of(|| test.expect_nothing_kept());
    for part in
        ["the file queue/", "the device id", "property \"plan\"", "1 running timers", "1 records that wait"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn whom_records_would_be_about_is_kept_too_while_nobody_has_decided() {
    let test = TestClient::new();
    test.identify("ada");
    test.register(json!({"plan": "pro"}));
    assert_eq!(test.audit().held_records, 2);
    let message = message_of(|| test.expect_nothing_kept());
    assert!(message.contains("2 calls that wait"), "{message}");
}

#[test]
fn a_panic_points_at_the_test() {
    let place = Arc::new(Mutex::new(String::new()));
    let (noted, before) = (Arc::clone(&place), take_hook());
    let this = thread::current().id();
    set_hook(Box::new(move |info| {
        if thread::current().id() == this {
            *noted.lock().unwrap() = info.location().map_or_else(String::new, |it| it.file().into());
        } else {
            before(info);
        }
    }));
    let test = TestClient::new();
    message_of(|| test.expect_event("never"));
    assert!(place.lock().unwrap().ends_with("testkit.rs"), "{place:?}");
    test.track("kept in memory", ());
    message_of(|| test.expect_nothing_kept());
    assert!(place.lock().unwrap().ends_with("testkit.rs"), "{place:?}");
    drop(take_hook());
}
