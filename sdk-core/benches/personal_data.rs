//! What the detector for personal data costs a `track` of 300 bytes of properties, in the engine alone:
//! `cargo bench -p refrain --bench personal_data`. Without the feature, for comparison:
//! `cargo bench -p refrain --bench personal_data --no-default-features`.

use refrain::engine::{
    Amended, Call, Config, ConsentState, DefaultConsent, Done, Effect, Engine, EventId, Input, Now,
    RecordName, RecordRead, Recovered, Secret,
};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 201;
const EVENTS: u32 = 1_000;

const PLAIN: &str = r#"{"item":"Umbrella, red","price":12.5,"currency":"EUR","in_stock":true,"tags":["rain","autumn"],
    "page":{"url":"https://shop.example/products/umbrella?color=red&size=xl","title":"Umbrellas for all weathers"},
    "order":"ORD-2026-000042","session":"f47ac10b-58cc-4372-a567-0e02b2c3d479","screen":"1920x1080","at":1788220800123}"#;
const ESCAPED: &str = r#"{"item":"Umbrella, \"red\"","price":12.5,"currency":"EUR","in_stock":true,"tags":["rain","autumn"],
    "page":{"url":"https:\/\/shop.example\/products\/umbrella?color=red","title":"Umbrellas f\u00fcr all weathers"},
    "order":"ORD-2026-000042","session":"f47ac10b-58cc-4372-a567-0e02b2c3d479","screen":"1920x1080","at":1788220800123}"#;
const ADDRESS: &str = r#"{"item":"Umbrella, red","price":12.5,"currency":"EUR","in_stock":true,"tags":["rain","autumn"],
    "page":{"url":"https://shop.example/products/umbrella?mail=alice@example.com","title":"Umbrellas for rain"},
    "order":"ORD-2026-000042","session":"f47ac10b-58cc-4372-a567-0e02b2c3d479","screen":"1920x1080","at":1788220800123}"#;

fn main() {
    println!("events of {}, {} and {} bytes", PLAIN.len(), ESCAPED.len(), ADDRESS.len());
    let mut config = Config::new("T");
    config.default_consent = DefaultConsent::Granted;
    #[cfg(not(feature = "personal-data"))]
    measure("without the feature", &config);
    #[cfg(feature = "personal-data")]
    for mode in [
        refrain::engine::PersonalDataMode::Off,
        refrain::engine::PersonalDataMode::Observe,
        refrain::engine::PersonalDataMode::Redact,
        refrain::engine::PersonalDataMode::Reject,
    ] {
        config.personal_data = mode;
        measure(&format!("{mode:?}"), &config);
    }
}

/// Prints the median of each event.
fn measure(what: &str, config: &Config) {
    print!("{what:20}");
    for (name, properties) in [("plain", PLAIN), ("escaped", ESCAPED), ("address", ADDRESS)] {
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(config.clone(), properties)).collect();
        rounds.sort_by(f64::total_cmp);
        print!("  {name} {:6.0} ns", rounds[ROUNDS / 2]);
    }
    println!();
}

/// Nanoseconds for one event, of many in a new engine.
fn round(config: Config, properties: &str) -> f64 {
    let mut engine = Engine::new(config).expect("a configuration that works");
    let now = Now { wall_ms: 1_788_220_800_000, mono_ms: 1 };
    let (mut consent, mut identity) = (RecordRead::Absent, RecordRead::Absent);
    let mut inputs = vec![Input::Start { secret: Secret([1; 16]) }];
    while let Some(input) = inputs.pop() {
        for effect in engine.handle(now, input) {
            let (op, result) = match effect {
                Effect::Open { op } => (
                    op,
                    Done::Opened { consent: RecordRead::Absent, identity: RecordRead::Absent, data: false },
                ),
                Effect::Recover { op, .. } => {
                    (op, Done::Recovered(Recovered { next_seq: 1, ..Default::default() }))
                }
                Effect::Amend { op, amendment } => {
                    let state = ConsentState::of(&consent);
                    let record = match amendment.record() {
                        RecordName::Consent => &mut consent,
                        RecordName::Identity => &mut identity,
                    };
                    if let Amended::Write(text) = amendment.apply(record, &state, &RecordRead::Absent, 0) {
                        *record = RecordRead::Content(text);
                    }
                    (op, Done::Amended { read: record.clone(), changed: true })
                }
                _ => continue,
            };
            inputs.push(Input::Done { op, result });
        }
    }
    assert!(engine.distinct_id().is_some(), "the engine is ready");
    let start = Instant::now();
    for _ in 0..EVENTS {
        let call = Call::track("Viewed a product", black_box(properties), EventId([2; 16]));
        for effect in engine.handle(now, Input::Call(call)) {
            drop(black_box(effect));
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(EVENTS)
}
