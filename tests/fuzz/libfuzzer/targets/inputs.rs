//! The target `inputs`, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| refrain_fuzz::targets::run("inputs", data));
