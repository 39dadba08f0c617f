//! The library that Kotlin, Swift and Python load, and what UniFFI generates for one of these languages.

use std::env::consts;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::command::{self, cargo};
use crate::project;
use crate::small_std;

/// What ships is built so; the generator reads symbols that are stripped from it, so it gets one from `debug`.
const PROFILE: &str = "ffi";

/// Builds the library as it ships, and writes a language's bindings into a folder; the library's path. Beside it stands
/// the one to link statically.
pub fn build(language: &str, out: &Path) -> Result<PathBuf> {
    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "-p", "refrain-bindgen"]))?;
    let mut generate = command::program(
        project::program("debug", "refrain-bindgen"),
        &project::root(),
        ["generate", "--no-format", "--language", language, "--out-dir"],
    );
    // It tells where it looked for settings.
    command::read(generate.arg(out).arg(project::target().join("debug").join(library_name())))?;
    library(&[])
}

/// Functions that are the same are there once: nothing asks for one by its address. 1 % of the library.
const FOLD: &str = "-Clink-arg=-Wl,--icf=all";

/// The library as it ships: stripped, built together with a standard library for size, and without the places in the
/// source that a panic would name, which the host never gets to see. `flags` go to its own compilation.
pub fn library(flags: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(["rustc", "--quiet", "--package", "refrain-ffi", "--lib", "--profile", PROFILE]);
    let mut folder = project::target();
    let mut flags = flags.to_vec();
    let features = "panic-unwind,optimize_for_size";
    if small_std::build_along(&mut build, "std,panic_unwind", features, "the mobile library") {
        let host = small_std::host()?;
        build.args(["--target", &host]).env("RUSTFLAGS", "-Zlocation-detail=none");
        if small_std::links_with_lld(&host)? {
            flags.push(FOLD);
        }
        folder.push(host);
    }
    command::run(build.arg("--").args(flags))?;
    let library = folder.join(PROFILE).join(library_name());
    ensure!(library.is_file(), "{} was not built", library.display());
    Ok(library)
}

/// The library's file on this platform.
fn library_name() -> String {
    format!("{}refrain_ffi{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}
