//! The library that Kotlin, Swift and Python load, and what UniFFI generates for one of these languages.

use std::collections::BTreeSet;
use std::env::consts;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::command::{self, cargo};
use crate::project;
use crate::small_std;

/// What ships is built so; the generator reads [`METADATA`], which is left out of it, so it gets one from `debug`.
const PROFILE: &str = "ffi";
/// How the symbols begin that describe the interface to UniFFI's generator, and that nothing in the library uses.
const METADATA: &str = "UNIFFI_META_";

/// Builds the library as it ships, and writes a language's bindings into a folder; the library's path. Beside it stands
/// the one to link statically.
pub fn build(language: &str, out: &Path) -> Result<PathBuf> {
    let described = described()?;
    let mut generate = command::program(
        project::program("debug", "refrain-bindgen"),
        &project::root(),
        ["generate", "--no-format", "--language", language, "--out-dir"],
    );
    // It tells where it looked for settings.
    command::read(generate.arg(out).arg(described))?;
    library(&[])
}

/// The library with what the generator reads, and the generator, built; the library's path. Together, so that Cargo
/// builds once what both need.
fn described() -> Result<PathBuf> {
    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "-p", "refrain-bindgen"]))?;
    Ok(project::target().join("debug").join(library_name()))
}

/// Functions that are the same are there once: nothing asks for one by its address. 1 % of the library.
const FOLD: &str = "-Clink-arg=-Wl,--icf=all";

/// The library as it ships: stripped, built together with a standard library for size, without the places in the source
/// that a panic would name, and without what `{:?}` would print: the host never gets to see either. `flags` go to its own compilation.
pub fn library(flags: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(["rustc", "--quiet", "--package", "refrain-ffi", "--lib", "--profile", PROFILE]);
    let mut folder = project::target();
    let mut flags: Vec<String> = flags.iter().copied().map(String::from).collect();
    let features = "panic-unwind,optimize_for_size";
    if small_std::build_along(&mut build, "std,panic_unwind", features, "the mobile library") {
        let host = small_std::host()?;
        build.args(["--target", &host]).env("RUSTFLAGS", "-Zlocation-detail=none -Zfmt-debug=none");
        if small_std::links_with_lld(&host)? {
            flags.extend([FOLD.to_owned(), without_metadata()?]);
        }
        folder.push(host);
    }
    command::run(build.arg("--").args(flags))?;
    let library = folder.join(PROFILE).join(library_name());
    ensure!(library.is_file(), "{} was not built", library.display());
    Ok(library)
}

/// What tells the linker to export no [`METADATA`]: then it leaves that out, 3 % of the library.
fn without_metadata() -> Result<String> {
    let script = project::target().join("without-metadata.map");
    let names: String = metadata(&fs::read(described()?)?).iter().map(|name| format!("{name}; ")).collect();
    ensure!(!names.is_empty(), "no symbol of the library begins with {METADATA}");
    fs::write(&script, format!("{{ local: {names}}};\n"))?;
    Ok(format!("-Clink-arg=-Wl,--version-script={}", script.display()))
}

/// The [`METADATA`] that a library's table of symbols names.
fn metadata(library: &[u8]) -> BTreeSet<&str> {
    let texts = library.split(|byte| *byte == 0).filter_map(|text| str::from_utf8(text).ok());
    texts.filter(|text| text.starts_with(METADATA)).collect()
}

/// The library's file on this platform.
fn library_name() -> String {
    format!("{}refrain_ffi{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}
