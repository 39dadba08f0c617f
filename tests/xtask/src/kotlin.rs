//! The Kotlin package: its native library and its bindings by this program, the rest by Maven, which calls it.

use std::env::consts;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::bindings;
use crate::command;
use crate::machine::Need;
use crate::project;

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

    let library = bindings::build("kotlin", &sources)?;
    let folder = resources.join(jna_platform()?);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::copy(&library, folder.join(library.file_name().unwrap_or_default()))?;
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
