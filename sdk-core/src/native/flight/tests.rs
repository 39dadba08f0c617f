use super::redact::Redactor;
use super::{BUFFER_BYTES, Contents, Flight, Recording};
use crate::engine::{Config, ConsentRecord, DefaultConsent, Engine, Input, Now, Secret};
use crate::json::{Object, Survey};
use std::collections::BTreeSet;

#[test]
fn other_texts_are_as_long_and_as_different() {
    let redactor = Redactor::new();
    let texts =
        ["a", "b", "9", "é", "ü", "日本", "😀x", "two words", "a\"b\\c\nd/", "$foo", "u1", "x@y.example"];
    let mut drawn = BTreeSet::new();
    for text in texts {
        let other = redactor.text(text);
        assert_eq!(other.len(), text.len(), "{text} {other}");
        assert_eq!(other.chars().count(), text.chars().count());
        assert_eq!(redactor.text(text), other);
        assert!(drawn.insert(other));
    }
    let letters: BTreeSet<_> =
        (b' ' + 1..127).map(|byte| redactor.text(&char::from(byte).to_string())).collect();
    assert_eq!(letters.len(), 94, "however short");
    let pairs: BTreeSet<_> = (0..10_000).map(|n| redactor.text(&format!("{n:04}"))).collect();
    assert_eq!(pairs.len(), 10_000);
    assert_eq!((redactor.text(" \t"), redactor.text("")), (" \t".into(), String::new()));
    assert_ne!(Redactor::new().text("somebody"), redactor.text("somebody"), "each recording has its own key");
    let dollars = "$".repeat(1_000_000);
    assert_eq!(redactor.text(&dollars), dollars, "nobody's stack is as deep as a text may be long");
}

#[test]
fn json_keeps_its_shape() {
    let redactor = Redactor::new();
    let text = r#" {"plan":"pr\u006f","$os":"x","n":[-10.50e+3,0,7],"t":true,"\u0070lan2":{"a b":"\ud83d\ude00\n"},"token":"T"} "#;
    let other = redactor.object(text);
    assert_eq!(other.len(), text.len(), "{other}");
    let (mut before, mut after) = (Survey::default(), Survey::default());
    let object = Object::survey(&other, &mut after).unwrap();
    Object::survey(text, &mut before).unwrap();
    assert_eq!(
        (before.longest, before.objects, before.escaped),
        (after.longest, after.objects, after.escaped)
    );
    assert!(object.get("$os").is_some() && object.get("token").is_some() && object.get("plan").is_none());
    assert_eq!(object.get(&redactor.text("t")).unwrap().raw(), "true");
    let plan = redactor.text("plan");
    assert_eq!(object.get(&plan).unwrap().string().unwrap(), redactor.text("pro"), "however it is escaped");
    assert!(object.get(&redactor.text("plan2")).is_some());
    assert_eq!(redactor.object("{nothing"), "xxxxxxxx");
}

#[test]
fn what_the_engine_understands_it_still_understands() {
    let redactor = Redactor::new();
    for body in ["1", "0\n", r#"{"status":1,"error":null}"#, r#"{"code":200,"status":"OK"}"#] {
        assert_eq!(redactor.answer(body), body);
    }
    let accepted = redactor.answer(r#"{"id":"er-12_x","state":"accepted","note":"to Ann"}"#);
    assert!(
        accepted.contains(r#""state":"accepted""#)
            && !accepted.contains("Ann")
            && !accepted.contains("er-12")
    );
    assert_eq!(redactor.retry_after("120"), "120");
    assert!(!redactor.answer("<p>Ann</p>").contains("Ann"));
}

#[test]
fn records_are_as_good_as_before() {
    let redactor = Redactor::new();
    let secret = [7; 16];
    let identity = format!(
        r#"{{"v":1,"revision":3,"epoch":2,"secret":"{}","user":"ann","super":{{"plan":"pro"}}}}"#,
        "07".repeat(16)
    );
    let other = redactor.record(&identity);
    assert_eq!(other.len(), identity.len());
    let object = Object::parse(&other).unwrap();
    assert_eq!(object.get("revision").unwrap().integer(), Some(3));
    let drawn = redactor.bits(secret);
    assert!(other.contains(&drawn.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    assert_eq!(redactor.text("$device:u1"), ["$device:", &redactor.text("u1")].concat());
    let consent = r#"{"v":1,"decision":"denied","revision":5,"epoch":2,"at":9,"outbox":[{"id":"x","device_id":"d","user":"ann","state":"requested"}]}"#;
    let other = redactor.record(consent);
    let (before, after) = (ConsentRecord::decode(consent).unwrap(), ConsentRecord::decode(&other).unwrap());
    assert_eq!(
        (before.decision, before.revision, before.epoch, before.at_ms),
        (after.decision, after.revision, after.epoch, after.at_ms)
    );
    assert_eq!(after.outbox[0].user.as_deref(), Some(&*redactor.text("ann")));
    assert!(ConsentRecord::decode(&redactor.record("{\"v\":2}")).is_none());
    assert_eq!(redactor.record("garbled"), "xxxxxxx");
}

/// A recording of an engine that has been started, with contents, under this default.
fn recording(default_consent: DefaultConsent) -> (Recording, Engine) {
    let config = Config { default_consent, ..Config::new("T") };
    let flight = Flight { path: "".into(), contents: Contents::Kept };
    (Recording::begin(flight, &config, 1), Engine::new(config).unwrap())
}

fn tell(recording: &mut Recording, engine: &mut Engine, input: Input<'_>) {
    recording.input(Now::default(), &input);
    engine.handle(Now::default(), input).for_each(|effect| recording.effect(&effect));
    recording.end(engine);
}

#[test]
fn a_recording_ends_once() {
    for (portions, fills, end) in [(1, false, "closed"), (1, true, "full"), (2, true, "full")] {
        let (mut recording, mut engine) = recording(DefaultConsent::Granted);
        tell(&mut recording, &mut engine, Input::Start { secret: Secret([1; 16]) });
        // The storage thread has written something already.
        recording.kept.as_mut().unwrap().allowed = recording.kept.as_ref().unwrap().text.len();
        let mut kept = recording.take(false).kept;
        if fills {
            recording.redacted = "x".repeat(BUFFER_BYTES + 1);
            tell(&mut recording, &mut engine, Input::Flush);
        }
        if portions == 2 {
            recording.kept.as_mut().unwrap().allowed = recording.kept.as_ref().unwrap().text.len();
            kept += &recording.take(false).kept;
        }
        let last = recording.take(true);
        kept += &last.kept;
        let line = format!("{{\"end\":\"{end}\"}}\n");
        assert!(kept.ends_with(&line) && last.redacted.matches("{\"end\":").count() <= 1, "{kept}");
        assert_eq!(kept.matches("{\"end\":").count(), 1, "{kept}");
    }
}
