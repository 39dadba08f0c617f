//! Every input of the corpora again, and the same mutations of them every time.

use refrain_fuzz::corpus;
use refrain_fuzz::run::{attempt, fuzz};
use refrain_fuzz::targets::{TARGETS, Target};

/// Of the mutations.
const SEED: u64 = 1;

fn replay(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut seeds = Vec::new();
    for (path, data) in corpus::read(name).unwrap() {
        if let Err(failure) = attempt(target, &data) {
            panic!("{} breaks it: {}: {}", path.display(), failure.place, failure.message);
        }
        seeds.push(data);
    }
    assert!(!seeds.is_empty(), "the corpus of {name} is empty");
    let inputs = target.mutations;
    if let Err(finding) = fuzz(target, &seeds, SEED, |count| count < inputs) {
        panic!(
            "\"{}\" breaks it: {}: {}\nmade small and kept: cargo xtask fuzz {name} --inputs {inputs} --seed {SEED}",
            finding.data.escape_ascii(),
            finding.failure.place,
            finding.failure.message,
        );
    }
}

#[test]
fn json() {
    replay("json");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn consent() {
    replay("consent");
}

#[test]
fn answers() {
    replay("answers");
}

#[test]
fn inputs() {
    replay("inputs");
}
