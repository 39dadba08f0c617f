//! The detector for personal data, from the call to the folder and the collector.

use crate::support::{Collector, Folder, PATIENCE, accepted, delivered, holds, quiet, ready};
use refrain::engine::{DefaultConsent, Outcome, PersonalDataKind, PersonalDataMode, Rejection};
use refrain::native::Client;
use serde_json::{Value, json};

const ADDRESS: &str = "alice@example.com";
const CARD: &str = "4111 1111 1111 1111";
const IBAN: &str = "DE89370400440532013000";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";

fn properties() -> Value {
    json!({
        "note": format!("mail {ADDRESS}, pay {CARD}"),
        "to": [{"iban": IBAN}],
        "token": JWT,
        "card": 4_111_111_111_111_111_u64,
        "plan": "pro",
    })
}

fn redacted() -> Value {
    json!({
        "note": "mail [email], pay [card]",
        "to": [{"iban": "[iban]"}],
        "token": "[jwt]",
        "card": "[card]",
        "plan": "pro",
    })
}

/// One of each call that records properties.
fn record(client: &Client) {
    client.register(json!({"sale": properties()}));
    client.identify("u1");
    client.add_group("team", ADDRESS);
    client.track("Paid", properties());
    client.profile().set(properties());
}

fn found(client: &Client) -> [u64; 4] {
    let stats = client.stats();
    PersonalDataKind::ALL.map(|kind| stats.personal_data_of(kind))
}

/// What the collector has of them: the registered property, the event, the profile, the group.
fn arrived(collector: &Collector) -> [Value; 4] {
    let events = collector.events();
    let event = &events.iter().find(|event| event["event"] == "Paid").expect("the event")["properties"];
    let requests = collector.requests();
    let profiles = requests.iter().filter(|request| request.path.starts_with("/engage"));
    let profile = profiles.flat_map(|request| request.body.as_array().expect("a list"));
    let profile = profile.map(|update| &update["$set"]).find(|set| set.is_object()).expect("the profile");
    let own = |all: &Value| -> Value {
        let expected = properties();
        let names = expected.as_object().expect("an object").keys();
        // `token` is the project's in an event, whatever the app says.
        names.filter(|name| *name != "token").map(|name| (name.clone(), all[name].clone())).collect()
    };
    [event["sale"].clone(), own(event), profile.clone(), event["team"].clone()]
}

/// Parts of what must not be left anywhere.
const PARTS: [&str; 5] = ["alice", "4111 1111", "41111111", "DE8937", "eyJzdWIi"];

fn leaks(text: &str) -> bool {
    PARTS.iter().any(|part| text.contains(part))
}

fn leaves_behind(folder: &Folder) -> bool {
    PARTS.iter().any(|part| holds(&folder.data(), part))
}

fn without_token(mut value: Value) -> Value {
    value.as_object_mut().expect("an object").remove("token");
    value
}

#[test]
fn off_and_observe_let_everything_through_and_only_one_of_them_counts() {
    let counted = [4, 6, 3, 3];
    for (mode, counts) in
        [(None, [0; 4]), (Some(PersonalDataMode::Off), [0; 4]), (Some(PersonalDataMode::Observe), counted)]
    {
        let (folder, collector) = (Folder::new(), Collector::start());
        let builder = quiet(&folder, &collector);
        let builder = match mode {
            Some(mode) => builder.personal_data(mode),
            None => builder,
        };
        let client = builder.build().unwrap();
        ready(&client);
        record(&client);
        delivered(&client);
        assert_eq!(
            arrived(&collector),
            [properties(), without_token(properties()), properties(), json!([ADDRESS])],
            "{mode:?}"
        );
        assert_eq!(found(&client), counts, "{mode:?}");
    }
}

#[test]
fn redact_keeps_it_off_the_disk_and_the_wire() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).personal_data(PersonalDataMode::Redact).build().unwrap();
    ready(&client);
    record(&client);
    assert!(client.sync(PATIENCE));
    assert!(holds(&folder.data(), "[email]") && !leaves_behind(&folder), "before it is sent");
    delivered(&client);
    assert_eq!(arrived(&collector), [redacted(), without_token(redacted()), redacted(), json!(["[email]"])]);
    assert_eq!(found(&client), [4, 6, 3, 3]);
    for request in collector.requests() {
        assert!(!leaks(&request.body.to_string()), "{}", request.body);
    }
    assert!(!leaves_behind(&folder), "after it was sent");
    assert!(!leaks(&format!("{:?} {:?}", client.stats(), client.audit())));
    assert!(client.stats().balance());
}

#[test]
fn what_is_held_until_the_person_decides_is_redacted_already() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let builder = quiet(&folder, &collector).default_consent(DefaultConsent::Pending);
    let client = builder.personal_data(PersonalDataMode::Redact).build().unwrap();
    assert!(client.sync(PATIENCE));
    assert_eq!(client.track("Paid", properties()), Outcome::Held);
    assert_eq!(found(&client), [1, 2, 1, 1]);
    client.opt_in().unwrap();
    delivered(&client);
    assert_eq!(found(&client), [1, 2, 1, 1], "once");
    let events = collector.events();
    let event = events.iter().find(|event| event["event"] == "Paid").expect("the event");
    assert_eq!(event["properties"]["note"], redacted()["note"]);
    assert!(!leaks(&Value::from(events).to_string()) && !leaves_behind(&folder));
}

#[test]
fn reject_records_nothing_of_the_call_and_says_why() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let client = quiet(&folder, &collector).personal_data(PersonalDataMode::Reject).build().unwrap();
    ready(&client);
    let rejected = Outcome::Rejected(Rejection::PersonalData);
    let outcomes = [
        client.track("Paid", properties()),
        client.register(json!({"sale": properties()})),
        client.profile().set(properties()),
        client.add_group("team", ADDRESS),
    ];
    assert_eq!(outcomes, [rejected; 4]);
    assert!(!leaks(&format!("{outcomes:?} {}", Rejection::PersonalData.hint())));
    accepted(&client, "Viewed");
    delivered(&client);
    assert_eq!(collector.names(), ["Viewed"]);
    assert_eq!(found(&client), [4, 6, 3, 3]);
    assert_eq!((client.stats().tracked, client.stats().rejected), (1, 4));
    assert!(!leaks(&Value::from(collector.events()).to_string()) && !leaves_behind(&folder));
}

#[test]
fn what_the_settings_allow_by_name_arrives() {
    let (folder, collector) = (Folder::new(), Collector::start());
    let settings = json!({
        "token": "T", "endpoint": collector.url(), "data_dir": folder.data(), "default_consent": "granted",
        "personal_data": "redact", "personal_data_allow": ["note", "team"],
    });
    let client = Client::builder_from(serde_json::from_value(settings).unwrap()).build().unwrap();
    ready(&client);
    client.add_group("team", ADDRESS);
    client.track("Paid", properties());
    delivered(&client);
    let events = collector.events();
    let event = &events.iter().find(|event| event["event"] == "Paid").expect("the event")["properties"];
    assert_eq!((&event["note"], &event["team"]), (&properties()["note"], &json!([ADDRESS])));
    assert_eq!((&event["card"], &event["to"]), (&redacted()["card"], &redacted()["to"]));
    assert_eq!(found(&client), [0, 1, 1, 1]);
}
