//! Fuzzing of everything that reads bytes which somebody else may have written: JSON texts, the journal, the consent
//! record, HTTP answers, and the inputs of the engine.
//!
//! Each [target](targets) is a function from bytes to nothing that panics when a promise is broken. The inputs in
//! `corpus/<target>/` are replayed by `cargo test -p refrain-fuzz`, together with a fixed number of mutations of them.
//! Three ways to run more:
//!
//! * `cargo xtask fuzz json --seconds 60` mutates the corpus, on stable and without other tools. An input that fails is
//!   made small and written to the corpus, so that the next `cargo test` replays it.
//! * `cargo xtask fuzz json --replay tests/fuzz/corpus/json/0123456789abcdef` runs one input.
//! * With `cargo install cargo-fuzz`, guided by coverage: `cargo +nightly fuzz run --fuzz-dir tests/fuzz/libfuzzer json
//!   tests/fuzz/corpus/json`; `fuzz cmin` in place of `fuzz run` makes the corpus small again.

pub mod bytes;
pub mod corpus;
pub mod host;
pub mod minimize;
pub mod mutate;
pub mod run;
pub mod segment;
pub mod targets;
pub mod tree;
