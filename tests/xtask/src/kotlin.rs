//! The Kotlin package: its native library and its bindings by this program, the rest by Maven, which calls it.

use std::env::consts;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::command::{self, cargo};
use crate::machine::Need;
use crate::project;

/// What ships is built so; the generator reads symbols that are stripped from it, so that one comes from `debug`.
const PROFILE: &str = "ffi";

/// `cargo xtask kotlin`: writes the bindings and, where JNA looks for it in a jar, the library of this machine into
/// `sdk-ffi/kotlin/target/native/`.
pub fn run() -> Result<ExitCode> {
    let out = project::path("sdk-ffi/kotlin/target/native");
    let (sources, resources) = (out.join("sources"), out.join("resources"));
    for folder in [&sources, &resources] {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
    }

    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "-p", "refrain-bindgen"]))?;
    let mut generate = command::program(
        project::program("debug", "refrain-bindgen"),
        &project::root(),
        ["generate", "--no-format", "--language", "kotlin", "--out-dir"],
    );
    // It tells where it looked for settings.
    command::read(generate.arg(&sources).arg(library("debug")))?;

    command::run(&mut cargo(["build", "--quiet", "-p", "refrain-ffi", "--profile", PROFILE]))?;
    let folder = resources.join(jna_platform()?);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::copy(library(PROFILE), folder.join(library_name()))?;
    Ok(ExitCode::SUCCESS)
}

/// What Maven needs.
pub fn maven() -> Need<()> {
    if command::answers("javac", "-version") && command::answers("mvn", "--version") {
        Need::Met(())
    } else {
        Need::Missing("a JDK with Maven is not installed".to_owned())
    }
}

fn library(profile: &str) -> PathBuf {
    project::target().join(profile).join(library_name())
}

fn library_name() -> String {
    format!("{}refrain_ffi{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}

/// The folder of a jar in which JNA looks for the libraries of this platform.
fn jna_platform() -> Result<String> {
    let system = match consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        "linux" => "linux",
        other => bail!("no jar can be built on {other} yet: which folder does JNA look into there?"),
    };
    let processor = match consts::ARCH {
        "x86_64" => "x86-64",
        other => other,
    };
    Ok(format!("{system}-{processor}"))
}
