//! The target `consent`, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| refrain_fuzz::targets::run("consent", data));
