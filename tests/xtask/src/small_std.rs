//! A standard library of our own build, for what ships to pages and phones: optimised for size, as the one that comes with
//! the compiler is not.

use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::machine::{self, Need};
use crate::project;

/// Has Cargo build these crates of the standard library along, for size; whether their source can be had.
pub fn build_along(build: &mut Command, crates: &str, features: &str, what: &str) -> bool {
    match machine::rust_source() {
        Need::Met(()) => {
            build.arg(format!("-Zbuild-std={crates}")).arg(format!("-Zbuild-std-features={features}"));
            // Cargo on the stable channel takes `-Z` only with this.
            build.env("RUSTC_BOOTSTRAP", "1");
            true
        }
        Need::Missing(why) => {
            println!("{why}: {what} is built with the ordinary standard library");
            false
        }
    }
}

/// The target triple of this machine, without which Cargo builds no standard library.
pub fn host() -> Result<String> {
    rustc("host: ")
}

/// Whether rustc links for this triple with LLD of its own accord: from 1.90 on.
pub fn links_with_lld(host: &str) -> Result<bool> {
    let release = rustc("release: 1.")?;
    let minor: u32 = release.split('.').next().unwrap_or_default().parse()?;
    Ok(host == "x86_64-unknown-linux-gnu" && minor >= 90)
}

/// Whether rustc lets a panic end the program at once, without a message: 1.89, the oldest that builds this, does not.
pub fn panics_at_once() -> bool {
    let mut asked = command::program("rustc", &project::root(), ["--print=cfg"]);
    command::read(asked.args(PANIC_AT_ONCE).env("RUSTC_BOOTSTRAP", "1")).is_ok()
}

/// What rustc is told for that.
pub const PANIC_AT_ONCE: [&str; 2] = ["-Cpanic=immediate-abort", "-Zunstable-options"];

/// What rustc says of itself behind these words.
fn rustc(words: &str) -> Result<String> {
    let version = command::read(&mut command::program("rustc", &project::root(), ["-vV"]))?;
    let said = version.lines().find_map(|line| line.strip_prefix(words));
    Ok(said.with_context(|| format!("rustc -vV does not say {words:?}"))?.to_owned())
}
