//! The library that Kotlin, Swift and Python load, and what UniFFI generates for one of these languages.

use std::env::consts;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::{self, cargo};
use crate::project;

/// What ships is built so; the generator reads symbols that are stripped from it, so it gets one from `debug`.
pub const PROFILE: &str = "ffi";

/// Builds the library as it ships, and writes a language's bindings into a folder.
pub fn build(language: &str, out: &Path) -> Result<()> {
    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "-p", "refrain-bindgen"]))?;
    let mut generate = command::program(
        project::program("debug", "refrain-bindgen"),
        &project::root(),
        ["generate", "--no-format", "--language", language, "--out-dir"],
    );
    // It tells where it looked for settings.
    command::read(generate.arg(out).arg(project::target().join("debug").join(library_name())))?;
    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "--profile", PROFILE]))
}

/// A file of the library as it ships, once it is built.
pub fn shipped(name: &str) -> PathBuf {
    project::target().join(PROFILE).join(name)
}

/// The library's file on this platform.
pub fn library_name() -> String {
    format!("{}refrain_ffi{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}
