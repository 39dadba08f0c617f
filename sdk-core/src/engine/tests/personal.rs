//! The detector for personal data: what it finds, what it does about it, and that it leaves nothing behind.

use super::world::*;
use crate::engine::personal::Hits;
use crate::engine::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};

/// What is found in a text, each with its kind.
fn found(text: &str) -> Vec<(PersonalDataKind, &str)> {
    Hits::new(text).map(|(kind, range)| (kind, &text[range])).collect()
}

#[derive(Default, Debug, PartialEq)]
struct Score {
    found: usize,
    missed: usize,
    mistaken: usize,
}

/// Something that a labelled string holds.
struct Label {
    kind: PersonalDataKind,
    what: String,
    /// `?` is missed, `!` mistaken for it.
    how: Option<char>,
}

/// A labelled string without its labels, and these.
fn labelled(line: &str) -> (String, Vec<Label>) {
    let (mut text, mut labels) = (String::new(), Vec::new());
    for part in line.split('⟦') {
        let Some((label, rest)) = part.split_once('⟧') else {
            text.push_str(part);
            continue;
        };
        let (kind, what) = label.split_once(':').unwrap();
        let how = kind.chars().next().filter(|c| !c.is_alphabetic());
        let kind = kind.trim_start_matches(['?', '!']);
        let kind = PersonalDataKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
        labels.push(Label { kind, what: what.into(), how });
        text.push_str(what);
        text.push_str(rest);
    }
    (text, labels)
}

fn corpus() -> Vec<(String, Vec<Label>)> {
    let lines = include_str!("../../../tests/data/personal-data.tsv").lines();
    let strings = lines.filter(|line| !line.starts_with('#')).map(|line| line.split_once('\t').unwrap());
    strings.map(|(_, text)| labelled(text)).collect()
}

#[test]
fn labelled_strings() {
    let mut scores = [const { Score { found: 0, missed: 0, mistaken: 0 } }; 4];
    let (strings, mut clean, mut wrong) = (corpus(), 0, Vec::new());
    for (text, labels) in &strings {
        let found = found(text);
        let expected = labels.iter().filter(|label| label.how != Some('?'));
        if found != expected.map(|label| (label.kind, label.what.as_str())).collect::<Vec<_>>() {
            wrong.push((text, found));
        }
        clean += usize::from(labels.is_empty());
        for label in labels {
            let score = &mut scores[label.kind as usize];
            match label.how {
                Some('?') => score.missed += 1,
                Some(_) => score.mistaken += 1,
                None => score.found += 1,
            }
        }
    }
    println!("{} strings, {clean} without personal data", strings.len());
    println!("       found  missed  mistaken  precision  recall");
    for (kind, Score { found, missed, mistaken }) in PersonalDataKind::ALL.iter().zip(&scores) {
        let share = |of: usize| *found as f64 / (found + of) as f64;
        let (precision, recall) = (share(*mistaken), share(*missed));
        println!("{:6} {found:5} {missed:7} {mistaken:9} {precision:10.3} {recall:7.3}", kind.as_str());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((strings.len(), clean), (339, 149));
    let score = |found, missed, mistaken| Score { found, missed, mistaken };
    assert_eq!(scores, [score(67, 13, 10), score(42, 8, 3), score(31, 4, 0), score(16, 3, 0)]);
}

/// The examples of the SWIFT registry, each with its country's length.
const IBANS: &str = "AD1200012030200359100100 AE070331234567890123456 AL47212110090000000235698741 AT611904300234573201 \
    AZ21NABZ00000000137010001944 BA391290079401028494 BE68539007547034 BG80BNBG96611020345678 BH67BMAG00001299123456 \
    BI4210000100010000332045181 BR1800360305000010009795493C1 BY13NBRB3600900000002Z00AB00 CH9300762011623852957 \
    CR05015202001026284066 CY17002001280000001200527600 CZ6508000000192000145399 DE89370400440532013000 \
    DK5000400440116243 DO28BAGR00000001212453611324 EE382200221020145685 EG380019000500000000263180002 \
    ES9121000418450200051332 FI2112345600000785 FO6264600001631634 FR1420041010050500013M02606 GB29NWBK60161331926819 \
    GE29NB0000000101904917 GI75NWBK000000007099453 GL8964710001000206 GR1601101250000000012300695 \
    GT82TRAJ01020000001210029690 HR1210010051863000160 HU42117730161111101800000000 IE29AIBK93115212345678 \
    IL620108000000099999999 IQ98NBIQ850123456789012 IS140159260076545510730339 IT60X0542811101000000123456 \
    JO94CBJO0010000000000131000302 KW81CBKU0000000000001234560101 KZ86125KZT5004100100 LB62099900000001001901229114 \
    LC55HEMM000100010012001200023015 LI21088100002324013AA LT121000011101001000 LU280019400644750000 \
    LV80BANK0000435195001 MC5811222000010123456789030 MD24AG000225100013104168 ME25505000012345678951 \
    MK07250120000058984 MR1300020001010000123456753 MT84MALT011000012345MTLCAST001S MU17BOMM0101101030300200000MUR \
    NL91ABNA0417164300 NO9386011117947 PK36SCBL0000001123456702 PL61109010140000071219812874 \
    PS92PALS000000000400123456702 PT50000201231234567890154 QA58DOHB00001234567890ABCDEFG RO49AAAA1B31007593840000 \
    RS35260005601001611379 SA0380000000608010167519 SC18SSCB11010000000000001497USD SE4550000000058398257466 \
    SI56263300012039086 SK3112000000198742637541 SM86U0322509800000000270100 ST23000100010051845310146 \
    SV62CENR00000000000000700025 TL380080012345678910157 TN5910006035183598478831 TR330006100519786457841326 \
    UA213223130000026007233566001 VA59001123000012345678 VG96VPVG0000012345678901 XK051212012345678906";

#[test]
fn every_example_of_the_registry_is_found_as_it_is_and_as_it_is_printed() {
    for iban in IBANS.split_whitespace() {
        assert_eq!(found(iban), [(PersonalDataKind::Iban, iban)]);
        let groups: Vec<_> =
            iban.as_bytes().chunks(4).map(|group| core::str::from_utf8(group).unwrap()).collect();
        let printed = groups.join(" ");
        assert_eq!(found(&format!("to {printed} by")), [(PersonalDataKind::Iban, printed.as_str())]);
        // Any single wrong digit is noticed.
        for at in (2..iban.len()).filter(|at| iban.as_bytes()[*at].is_ascii_digit()) {
            let mut wrong = iban.to_string().into_bytes();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(found(core::str::from_utf8(&wrong).unwrap()), [], "{at} of {iban}");
        }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// Pieces of what is looked for, and what stands around it.
    fn text(&mut self) -> String {
        const PIECES: [&str; 40] = [
            "alice@example.com",
            "bob%40example.org",
            "4111111111111111",
            "4111 1111 1111 1111",
            "378282246310005",
            "DE89370400440532013000",
            "GB29 NWBK 6016 1331 9268 19",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
            "eyJhbGciOiJIUzI1NiJ9",
            "@",
            "%40",
            "%",
            ".",
            "-",
            "_",
            "+",
            " ",
            "\u{a0}",
            "%20",
            "1111",
            "4",
            "com",
            "a",
            "e",
            "DE89",
            "3704",
            "ü",
            "联",
            "\"",
            "\\",
            "\n",
            "[",
            "]",
            "'",
            "=",
            ":",
            "/",
            "x--",
            "git@",
            "\u{1f600}",
        ];
        (0..self.roll(9)).map(|_| PIECES[self.roll(PIECES.len())]).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.roll(if depth == 0 { 3 } else { 5 }) {
            0 => [json!(4111111111111111u64), json!(4111111111111112u64), json!(-41.5), json!(null)]
                [self.roll(4)]
            .clone(),
            1 | 2 => self.text().into(),
            3 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let key = |dice: &mut Self, n| {
            format!("{n}{}", if dice.roll(4) == 0 { dice.text() } else { String::new() })
        };
        (0..self.roll(4)).map(|n| (key(self, n), self.value(depth))).collect::<serde_json::Map<_, _>>().into()
    }

    /// JSON text with escapes that say what could be said without them, and white space.
    fn written(&mut self, value: &Value) -> String {
        let mut out = String::new();
        for c in serde_json::to_string(value).unwrap().chars() {
            match c {
                '@' | 'e' | '4' | '.' if self.roll(3) == 0 && out.contains('"') && within_string(&out) => {
                    out.push_str(&format!("\\u{:04x}", c as u32));
                }
                '/' => out.push_str("\\/"),
                ':' | ',' if !within_string(&out) => out.push_str(&format!("{c} ")),
                c => out.push(c),
            }
        }
        out
    }
}

/// Whether what comes next belongs to a string, and to no escape.
fn within_string(text: &str) -> bool {
    let mut within = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => within = !within,
            _ => {}
        }
    }
    within && !escaped
}

/// What redaction makes of a text, by the hits alone.
fn redacted(text: &str) -> String {
    let mut out = text.to_string();
    for (kind, range) in Hits::new(text).collect::<Vec<_>>().into_iter().rev() {
        out.replace_range(range, &format!("[{}]", kind.as_str()));
    }
    out
}

#[test]
fn what_is_redacted_holds_nothing_more() {
    let mut dice = Dice(1);
    let random: Vec<_> = (0..20_000).map(|_| dice.text()).collect();
    for text in corpus().into_iter().map(|(text, _)| text).chain(random) {
        let once = redacted(&text);
        assert_eq!(found(&once), [], "{text:?}, {once:?}");
    }
}

fn with_mode(mode: PersonalDataMode) -> Config {
    Config { personal_data: mode, ..granted() }
}

/// A driver in one mode, with its store.
fn started(config: Config) -> (Driver, Store) {
    let mut store = Store::default();
    (Driver::started(0, config, &mut store), store)
}

impl Driver {
    fn make(&mut self, call: impl Fn(EventId) -> Call<'static>) -> Outcome {
        let id = EventId(self.bits());
        self.input(Input::Call(call(id)))
    }

    fn record(&mut self, properties: &str) -> Outcome {
        let id = EventId(self.bits());
        self.input(Input::Call(Call::track("x", properties, id)))
    }

    fn found(&self) -> [u64; 4] {
        self.engine.stats().personal_data
    }
}

/// The last record that was stored.
fn last(store: &Store) -> Value {
    serde_json::from_str(&store.records.last().unwrap().3).unwrap()
}

/// The properties of the last event, without the engine's own.
fn last_properties(store: &Store) -> Value {
    let own =
        ["token", "distinct_id", "$device_id", "$user_id", "mp_lib", "$lib_version", "$insert_id", "time"];
    let mut properties = last(store)["properties"].take();
    properties.as_object_mut().unwrap().retain(|key, _| !own.contains(&key.as_str()));
    properties
}

#[test]
fn any_object_is_redacted_as_its_strings_are_and_counted_alike_in_every_mode() {
    fn expected(value: Value) -> Value {
        match value {
            Value::String(text) => redacted(&text).into(),
            Value::Number(number) if number.to_string() == "4111111111111111" => "[card]".into(),
            Value::Array(values) => values.into_iter().map(expected).collect(),
            Value::Object(members) => {
                let members = members.into_iter().map(|(key, value)| (redacted(&key), expected(value)));
                members.collect::<serde_json::Map<_, _>>().into()
            }
            value => value,
        }
    }
    let mut dice = Dice(7);
    let (mut observer, mut observed) = started(with_mode(PersonalDataMode::Observe));
    let (mut refuser, mut refused) = started(with_mode(PersonalDataMode::Reject));
    for _ in 0..2_000 {
        let value = dice.object(3);
        let text = dice.written(&value);
        let (mut redactor, mut store) = started(with_mode(PersonalDataMode::Redact));
        assert_eq!(redactor.record(&text), Outcome::Accepted, "{text}");
        redactor.run(&mut store);
        assert_eq!(last_properties(&store), expected(value), "{text}");
        let (before, rejected) = (observer.found(), refuser.engine.stats().rejected);
        observer.record(&text);
        observer.run(&mut observed);
        let count: u64 = observer.found().iter().zip(before).map(|(after, before)| after - before).sum();
        assert_eq!(redactor.found().iter().sum::<u64>(), count, "{text}");
        refuser.record(&text);
        refuser.run(&mut refused);
        assert_eq!(refuser.engine.stats().rejected - rejected, u64::from(count > 0), "{text}");
        assert_eq!(refuser.found(), observer.found());
        // Once more, nothing is found, and the text stays as it is.
        let again = last_properties(&store).to_string();
        let found = redactor.found();
        redactor.record(&again);
        redactor.run(&mut store);
        assert_eq!((last_properties(&store).to_string(), redactor.found()), (again, found));
    }
}

const ALL: &str = r#"{"mail":"alice@example.com","deep":[{"a":["x 4111 1111 1111 1111"]}],"n":4111111111111111,
    "iban":"DE89370400440532013000","jwt":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"}"#;

/// Whether anything of [`ALL`] stands in a text.
fn leaks(text: &str) -> bool {
    ["alice", "4111", "DE89", "c2ln"].iter().any(|part| text.contains(part))
}

#[test]
fn off_is_the_default_and_looks_at_nothing() {
    let (mut driver, mut store) = started(granted());
    assert_eq!(driver.record(ALL), Outcome::Accepted);
    driver.run(&mut store);
    assert_eq!(driver.found(), [0; 4]);
    assert_eq!(last_properties(&store), serde_json::from_str::<Value>(ALL).unwrap());
}

#[test]
fn the_mode_can_change_from_one_call_to_the_next() {
    let (mut driver, mut store) = started(granted());
    driver.engine.set_personal_data(PersonalDataMode::Redact, ["deep".into()].into());
    driver.record(r#"{"mail":"alice@example.com","deep":"alice@example.com"}"#);
    driver.run(&mut store);
    assert_eq!(last_properties(&store), json!({"mail": "[email]", "deep": "alice@example.com"}));
    driver.engine.set_personal_data(PersonalDataMode::Off, Vec::new());
    driver.record(r#"{"mail":"alice@example.com"}"#);
    assert_eq!(driver.found(), [1, 0, 0, 0]);
}

#[test]
fn observe_counts_and_changes_nothing() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Observe));
    assert_eq!(driver.record(ALL), Outcome::Accepted);
    driver.run(&mut store);
    assert_eq!(driver.found(), [1, 2, 1, 1]);
    assert_eq!(driver.engine.stats().personal_data_of(PersonalDataKind::Card), 2);
    assert_eq!(last_properties(&store), serde_json::from_str::<Value>(ALL).unwrap());
}

#[test]
fn redact_leaves_the_rest_of_the_record() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Redact));
    assert_eq!(driver.record(ALL), Outcome::Accepted);
    driver.run(&mut store);
    assert_eq!(driver.found(), [1, 2, 1, 1]);
    let expected = json!({"mail": "[email]", "deep": [{"a": ["x [card]"]}], "n": "[card]", "iban": "[iban]", "jwt": "[jwt]"});
    assert_eq!(last_properties(&store), expected);
    assert!(!leaks(&store.records[0].3));
}

#[test]
fn reject_records_nothing_and_says_why() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Reject));
    for call in [
        Call::track("x", ALL, EventId([0; 16])),
        Call::register(CallKind::Register, ALL),
        Call::register(CallKind::RegisterOnce, ALL),
        Call::register(CallKind::RegisterForSession, ALL),
        Call::profile(r#"{"$set":{"a":"alice@example.com"}}"#),
        Call::group(r#"{"$group_key":"k","$group_id":"alice@example.com","$set":{}}"#),
        Call::membership(CallKind::SetGroup, "k", "alice@example.com"),
        Call::membership(CallKind::AddGroup, "alice@example.com", "i"),
        Call::membership(CallKind::RemoveGroup, "k", "alice@example.com"),
    ] {
        assert_eq!(driver.input(Input::Call(call)), Outcome::Rejected(Rejection::PersonalData), "{call:?}");
    }
    driver.run(&mut store);
    let stats = driver.engine.stats();
    assert_eq!((stats.tracked, stats.queued, stats.held, stats.rejected), (0, 0, 0, 9));
    assert_eq!(stats.personal_data, [9, 8, 4, 4]);
    assert!(store.records.is_empty());
    assert_eq!((driver.engine.super_properties(), driver.engine.session_properties()), ("{}", ""));
    let RecordRead::Content(identity) = &store.identity else { panic!("a device exists") };
    assert!(!leaks(identity));
    // What holds nothing of the kind is recorded as ever.
    assert_eq!(driver.record(r#"{"a":"b"}"#), Outcome::Accepted);
}

#[test]
fn a_call_is_redacted_before_it_is_held_and_counted_once() {
    let (mut driver, mut store) = started(Config { personal_data: PersonalDataMode::Redact, ..config() });
    assert_eq!(driver.record(ALL), Outcome::Held);
    assert_eq!(driver.input(Input::Call(Call::register(CallKind::Register, ALL))), Outcome::Held);
    let membership = Call::membership(CallKind::AddGroup, "team", "alice@example.com");
    assert_eq!(driver.input(Input::Call(membership)), Outcome::Held);
    assert_eq!(driver.input(Input::Call(Call::unregister("alice@example.com"))), Outcome::Held);
    let held = driver.engine.ring.drain();
    assert_eq!(held.len(), 4);
    for kept in held {
        assert!(!leaks(&kept.name) && !leaks(&kept.text), "{}", kept.text);
        assert!(driver.engine.hold(kept));
    }
    let counted = driver.found();
    assert_eq!(counted, [3, 4, 2, 2]);
    driver.opt_in();
    driver.run(&mut store);
    assert_eq!(driver.found(), counted, "not once more when its turn comes");
    let mut texts: Vec<_> = store.records.iter().map(|record| record.3.as_str()).collect();
    assert_eq!(texts.len(), 2, "and the grant's own");
    let RecordRead::Content(identity) = &store.identity else { panic!("a device exists") };
    texts.push(identity);
    assert!(texts.iter().all(|text| !leaks(text)), "{texts:?}");
    assert!(driver.engine.super_properties().contains("\"mail\":\"[email]\""));
}

#[test]
fn a_refused_call_is_not_looked_at() {
    let (mut driver, _) =
        started(Config { default_consent: DefaultConsent::Denied, ..with_mode(PersonalDataMode::Observe) });
    assert_eq!(driver.record(ALL), Outcome::Rejected(Rejection::Denied));
    let (mut other, _) = started(with_mode(PersonalDataMode::Observe));
    let unsound = Rejection::InvalidProperties(crate::json::JsonError::Syntax);
    assert_eq!(other.record("{\"alice@example.com\":"), Outcome::Rejected(unsound));
    assert_eq!((driver.found(), other.found()), ([0; 4], [0; 4]));
}

#[test]
fn names_of_events_and_ids_of_users_are_the_apps_own() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Reject));
    let mut accepted = |call: fn(EventId) -> Call<'static>| assert_eq!(driver.make(call), Outcome::Accepted);
    accepted(|_| Call::time_event("Mail to alice@example.com"));
    accepted(|id| Call::track("Mail to alice@example.com", "{}", id));
    accepted(|id| Call::identify("alice@example.com", id));
    accepted(|id| Call::alias("alice@example.org", id));
    accepted(|id| Call::switch_user("bob@example.com", Secret(id.0)));
    accepted(|_| Call::profile(r#"{"$set":{"plan":"pro"}}"#));
    driver.run(&mut store);
    assert_eq!(driver.found(), [0; 4]);
    assert_eq!(last(&store)["$distinct_id"], "bob@example.com");
}

#[test]
fn what_is_allowed_by_name_is_not_looked_at_with_all_below_it() {
    let allow = ["$email", "contact", "team", "\u{fc}"].map(String::from).into();
    let (mut driver, mut store) =
        started(Config { personal_data_allow: allow, ..with_mode(PersonalDataMode::Redact) });
    let text = r#"{"contact":{"a":["alice@example.com",[{"b":"alice@example.com"}]],"alice@example.com":4111111111111111},
        "\u0063ontact":"alice@example.com","\u00fc":"alice@example.com","other":"alice@example.com",
        "deep":{"contact":"alice@example.com","x":"alice@example.com"},"list":["contact","alice@example.com"]}"#;
    driver.record(text);
    driver.run(&mut store);
    let address = "alice@example.com";
    assert_eq!(
        last_properties(&store),
        json!({"contact": address, "\u{fc}": address, "other": "[email]", "deep": {"contact": address, "x": "[email]"},
            "list": ["contact", "[email]"]})
    );
    assert_eq!(driver.found(), [3, 0, 0, 0]);
    driver.make(|id| Call::identify("u1", id));
    driver.make(|_| Call::profile(r#"{"$set":{"$email":"alice@example.com","mail":"alice@example.com"}}"#));
    driver.run(&mut store);
    assert_eq!(last(&store)["$set"], json!({"$email": address, "mail": "[email]"}));
    // A kind of group: its ids are looked at neither as a member's nor as a profile's.
    driver.make(|_| Call::membership(CallKind::SetGroup, "team", "alice@example.com"));
    driver.make(|_| {
        Call::group(r#"{"$group_key":"team","$group_id":"alice@example.com","$set":{"a":"b@example.com"}}"#)
    });
    driver.run(&mut store);
    assert_eq!(
        (&last(&store)["$group_id"], &last(&store)["$set"]["a"]),
        (&json!(address), &json!("[email]"))
    );
    driver.record("{}");
    driver.run(&mut store);
    assert_eq!(last_properties(&store)["team"], json!([address]));
}

#[test]
fn groups_go_by_the_same_name_everywhere() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Redact));
    driver.make(|id| Call::identify("u1", id));
    driver.make(|_| Call::membership(CallKind::AddGroup, "team", "alice@example.com"));
    driver.make(|_| Call::membership(CallKind::AddGroup, "team", "b"));
    driver.run(&mut store);
    assert_eq!(driver.engine.super_properties(), r#"{"team":["[email]","b"]}"#);
    assert!(store.records.iter().all(|record| !leaks(&record.3)));
    driver.make(|_| Call::group(r#"{"$group_key":"team","$group_id":"alice@example.com","$set":{}}"#));
    driver.run(&mut store);
    assert_eq!(last(&store)["$group_id"], "[email]");
    driver.make(|_| Call::membership(CallKind::RemoveGroup, "team", "alice@example.com"));
    assert_eq!(driver.engine.super_properties(), r#"{"team":["b"]}"#);
    assert_eq!(driver.found(), [3, 0, 0, 0]);
}

#[test]
fn a_registered_name_can_be_forgotten_by_the_name_that_the_app_knows() {
    for mode in [PersonalDataMode::Redact, PersonalDataMode::Reject] {
        let (mut driver, _) = started(with_mode(mode));
        driver.make(|_| Call::register(CallKind::Register, r#"{"alice@example.com":1,"x":2}"#));
        let found = driver.found();
        assert_eq!(driver.make(|_| Call::unregister("alice@example.com")), Outcome::Accepted);
        assert_eq!(driver.found(), found, "it records nothing");
        assert!(!driver.engine.super_properties().contains("mail"));
    }
}

#[test]
fn what_is_added_up_is_no_card() {
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Redact));
    let operators = r#"{"$add":{"a":4111111111111111,"b@example.com":1},"$set":{"a":4111111111111111}}"#;
    assert_eq!(driver.make(|_| Call::profile(operators)), Outcome::Accepted);
    driver.run(&mut store);
    let record = last(&store);
    assert_eq!(record["$add"], json!({"a": 4111111111111111u64, "[email]": 1}));
    assert_eq!(record["$set"], json!({"a": "[card]"}));
    // In an event it is a name like any other.
    driver.record(r#"{"$add":{"a":4111111111111111}}"#);
    driver.run(&mut store);
    assert_eq!(last_properties(&store), json!({"$add": {"a": "[card]"}}));
}

#[test]
fn numbers_of_json_are_cards_only_as_they_stand() {
    let (mut driver, _) = started(with_mode(PersonalDataMode::Observe));
    for number in
        ["-4111111111111111", "4111111111111111.0", "4111111111111111e0", "41111111111111110", "6011e11"]
    {
        driver.record(&format!("{{\"a\":{number}}}"));
    }
    assert_eq!(driver.found(), [0; 4]);
    driver.record(r#"{"a":[4111111111111111,378282246310005]}"#);
    assert_eq!(driver.found(), [0, 2, 0, 0]);
}

#[test]
fn a_redacted_call_meets_the_limits_again() {
    let (mut driver, _) = started(with_mode(PersonalDataMode::Redact));
    // As long as a name may be; its placeholder is a character longer.
    let name = format!("{}a@b.co", " ".repeat(249));
    assert_eq!(driver.record(&format!("{{\"{name}\":1}}")), Outcome::Rejected(Rejection::KeyTooLong));
    assert_eq!(driver.engine.stats().queued, 0);
    // Two names that become one are one property.
    let (mut driver, mut store) = started(with_mode(PersonalDataMode::Redact));
    driver.record(r#"{"alice@example.com":1,"bob@example.com":2}"#);
    driver.run(&mut store);
    assert_eq!(last_properties(&store), json!({"[email]": 2}));
    assert_eq!(store.records.last().unwrap().3.matches("[email]").count(), 1);
}

#[test]
fn automatic_properties_are_looked_at_when_the_client_is_made() {
    let config =
        |mode| Config { automatic_properties: r#"{"host":"alice@example.com"}"#.into(), ..with_mode(mode) };
    assert_eq!(Engine::new(config(PersonalDataMode::Reject)).err(), Some(ConfigError::PersonalData));
    for (mode, host) in
        [(PersonalDataMode::Observe, "alice@example.com"), (PersonalDataMode::Redact, "[email]")]
    {
        let (mut driver, mut store) = started(config(mode));
        assert_eq!(driver.found(), [1, 0, 0, 0]);
        driver.record("{}");
        driver.run(&mut store);
        assert_eq!(last_properties(&store), json!({ "host": host }));
        assert_eq!(driver.found(), [1, 0, 0, 0]);
    }
}

#[test]
fn one_in_twenty_five_random_numbers_of_sixteen_digits_is_taken_for_a_card() {
    let mut dice = Dice(3);
    let count = 100_000;
    let cards = (0..count).filter(|_| {
        let id = 1_000_000_000_000_000 + dice.roll(9_000_000_000_000_000);
        !found(&id.to_string()).is_empty()
    });
    let share = cards.count() as f64 / f64::from(count);
    assert!((0.038..0.042).contains(&share), "{share}");
}

/// Quadratic work on any of these would take minutes.
#[test]
fn a_megabyte_takes_time_in_proportion_whatever_it_holds() {
    for pattern in [
        "a",
        "1",
        "@",
        "%40",
        "a@",
        "a%40",
        "@a.",
        "a.",
        "4111 1111 1111 ",
        "4111-",
        "DE89 ",
        "DE89 3704 ",
        "eyJ-",
        "ey.",
        "eyJhbGci.",
        "ü@",
        "@ü.ü",
        "+1",
        "a@b.c-",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9..",
        "%25",
        "\u{a0}4111",
        "a@example.com ",
    ] {
        let text = pattern.repeat(1_000_000 / pattern.len());
        let text = format!("{text}@example.com");
        assert!(Hits::new(&text).count() <= text.len() / 6, "{pattern}");
    }
    // The same within a call, where it is also a string of JSON.
    let (mut driver, _) = started(with_mode(PersonalDataMode::Redact));
    for pattern in ["\\u0040a.co", "a@b.co ", "[", "\\\\", "4111111111111111,"] {
        let text = format!("{{\"a\":\"{}\"}}", pattern.repeat(600_000 / pattern.len()));
        assert_eq!(driver.record(&text), Outcome::Accepted, "{pattern}");
    }
}

#[test]
fn hits_are_cut_between_characters() {
    let mut dice = Dice(11);
    for _ in 0..50_000 {
        let text = dice.text();
        let mut end = 0;
        for (_, range) in Hits::new(&text) {
            assert!(
                end <= range.start && range.start < range.end && text.get(range.clone()).is_some(),
                "{text:?}"
            );
            end = range.end;
        }
    }
}
