//! What is fuzzed.

mod answers;
mod consent;
mod inputs;
mod journal;
mod json;

/// One of the targets.
#[derive(Debug)]
pub struct Target {
    /// Its name, and its folder's in the corpus.
    pub name: &'static str,
    /// Runs one input, and panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Words that mutations put in.
    pub dictionary: &'static [&'static str],
    /// So many mutations run with the tests; a few seconds' worth without optimization.
    pub mutations: u64,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "json", run: json::run, dictionary: json::DICTIONARY, mutations: 4_000 },
    Target { name: "journal", run: journal::run, dictionary: journal::DICTIONARY, mutations: 1_500 },
    Target { name: "consent", run: consent::run, dictionary: consent::DICTIONARY, mutations: 6_000 },
    Target { name: "answers", run: answers::run, dictionary: answers::DICTIONARY, mutations: 2_000 },
    Target { name: "inputs", run: inputs::run, dictionary: inputs::DICTIONARY, mutations: 4_000 },
];

/// Runs one input of the target with this name.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target's name").run)(data);
}
