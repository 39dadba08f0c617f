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

/// The oldest JDK on which the test frameworks run. The package itself asks for less.
const JDK: u32 = 17;

/// A JDK with Maven.
pub fn maven() -> Need<()> {
    let Ok(version) = command::read(&mut command::program("javac", &project::root(), ["-version"])) else {
        return Need::Missing("a JDK is not installed".to_owned());
    };
    if jdk_major(&version).is_none_or(|major| major < JDK) {
        return Need::Missing(format!("JDK {JDK} or later is needed, this one is {version}"));
    }
    if command::answers("mvn", "--version") {
        Need::Met(())
    } else {
        Need::Missing("Maven is not installed".to_owned())
    }
}

/// `javac 17.0.15` is 17; up to 8 they said `javac 1.8.0_292`.
fn jdk_major(version: &str) -> Option<u32> {
    version.strip_prefix("javac ")?.split(['.', '-', '+']).next()?.parse().ok()
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

#[test]
fn reads_the_version_of_a_jdk() {
    assert_eq!(jdk_major("javac 17.0.15"), Some(17));
    assert_eq!(jdk_major("javac 25-ea"), Some(25));
    assert_eq!(jdk_major("javac 1.8.0_292"), Some(1));
    assert_eq!(jdk_major("17.0.15"), None);
}
