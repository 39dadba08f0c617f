//! Programs of the system that the tests need beside Rust.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::process::Command;

/// What a program of the system's prints. The tests need few beside Rust, and say which one is missing.
pub fn tool(name: &str, arguments: &[impl AsRef<OsStr> + Debug]) -> Vec<u8> {
    let output = Command::new(name).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs `{name}`: {error}"));
    assert!(output.status.success(), "`{name}` has failed with {arguments:?}");
    output.stdout
}
