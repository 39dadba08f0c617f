//! The Swift package: its native library and its bindings by this program, the rest by Swift's package manager, which
//! comes from the `PATH` or from a Debian of its own in cargo's output folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::bindings;
use crate::command;
use crate::machine::{self, Need};
use crate::project;

/// The oldest Swift that reads the package.
const SWIFT: u32 = 6;
/// The oldest Debian that has it.
const RELEASE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";

/// `cargo xtask swift`: writes the library of this machine and its bindings into `sdk-ffi/swift/native/`.
pub fn run() -> Result<ExitCode> {
    let generated = project::target().join("swift/bindings");
    let library = bindings::build("swift", &generated)?;

    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("{} was not written", path.display()));
    let map = String::from_utf8(read(generated.join("CRefrain.modulemap"))?)?;
    let native = [
        ("RefrainFFI/RefrainFFI.swift", read(generated.join("RefrainFFI.swift"))?),
        ("CRefrain/CRefrain.h", read(generated.join("CRefrain.h"))?),
        ("CRefrain/refrain_call.h", read(project::path("sdk-ffi/refrain_call.h"))?),
        ("CRefrain/module.modulemap", linking(&map).into_bytes()),
        ("lib/librefrain_ffi.a", read(library.with_file_name("librefrain_ffi.a"))?),
    ];
    let out = project::path("sdk-ffi/swift/native");
    // All or none: the package manager does not look at the library, and links again when a source is new.
    if native.iter().any(|(name, bytes)| fs::read(out.join(name)).ok().as_ref() != Some(bytes)) {
        for (name, bytes) in native {
            let path = out.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&out))?;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The module of the library's C functions, also of the one that UniFFI does not know, which tells the linker where they
/// are.
fn linking(map: &str) -> String {
    map.trim_end().trim_end_matches('}').to_owned()
        + "    header \"refrain_call.h\"\n    link \"refrain_ffi\"\n}\n"
}

/// Where Swift runs.
pub enum Swift {
    /// On this machine.
    Here,
    /// In a Debian in this folder.
    Debian(PathBuf),
}

impl Swift {
    /// The package manager, in a folder of the project. It builds into cargo's output folder, under a name.
    pub fn command(&self, subcommand: &str, folder: &Path, build: &str) -> Command {
        let mut command = match self {
            Self::Here => command::program("swift", folder, [subcommand]),
            Self::Debian(debian) => inside(debian, &[OsStr::new("swift"), OsStr::new(subcommand)], folder),
        };
        command.arg("--scratch-path").arg(Self::products(build));
        command
    }

    /// A program that was built in release.
    pub fn built(&self, build: &str, name: &str) -> Command {
        let program = Self::products(build).join("release").join(name);
        match self {
            Self::Here => command::program::<[&str; 0], _>(program, &project::root(), []),
            Self::Debian(debian) => inside(debian, &[program.as_os_str()], &project::root()),
        }
    }

    fn products(build: &str) -> PathBuf {
        project::target().join("swift").join(build)
    }
}

/// Swift, if this machine has it or has got it before.
pub fn installed() -> Option<Swift> {
    let version = command::read(&mut command::program("swift", &project::root(), ["--version"])).ok();
    if version.is_some_and(|version| major(&version).is_some_and(|major| major >= SWIFT)) {
        return Some(Swift::Here);
    }
    let debian = debian();
    (debian.is_dir() && can_mount()).then_some(Swift::Debian(debian))
}

/// Swift, fetched where it is missing and that can be done.
pub fn toolchain() -> Result<Need<Swift>> {
    if let Some(swift) = installed() {
        return Ok(Need::Met(swift));
    }
    let missing =
        |why: &str| Ok(Need::Missing(format!("Swift {SWIFT} or later is not installed, and {why}")));
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !system.lines().any(|line| line == "ID=debian") {
        return missing("it is fetched on Debian only");
    }
    if command::read(&mut command::program("id", &project::root(), ["-u"]))? != "0" {
        return missing("to fetch it takes root");
    }
    if !can_mount() {
        return missing("nothing can be mounted here");
    }
    if machine::on_path("debootstrap").is_none()
        && let Err(error) = machine::apt_install("debootstrap")
    {
        return missing(&format!("debootstrap neither ({error:#})"));
    }
    println!("installing: Swift, in a Debian {RELEASE} of its own under cargo's output folder (3 GB)");
    let (debian, part) = (debian(), debian().with_extension("part"));
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot empty {}", part.display()))?;
    }
    fs::create_dir_all(&part)?;
    let packages = "--include=swiftlang,libc6-dev,g++";
    let mut fetch = alone(&["debootstrap", "--variant=minbase", packages, RELEASE]);
    if let Err(error) = command::run(fetch.arg(&part).arg(mirror())) {
        return missing(&format!("{error:#}"));
    }
    fs::rename(&part, &debian)?;
    Ok(Need::Met(Swift::Debian(debian)))
}

fn can_mount() -> bool {
    command::read(&mut alone(&["true"])).is_ok()
}

fn debian() -> PathBuf {
    project::target().join("swift/debian")
}

/// The number in `Swift version 6.0.3 (…)`.
fn major(version: &str) -> Option<u32> {
    version.split("Swift version ").nth(1)?.split('.').next()?.parse().ok()
}

/// A program whose mounts only itself and its children see. They end with it, and so the mounts do, however it ends.
fn alone(line: &[&str]) -> Command {
    let mut command = command::program("unshare", &project::root(), ["--mount", "--propagation", "private"]);
    command.args(["--pid", "--fork", "--kill-child"]).args(line);
    command
}

/// A program in that Debian, which sees the project where it is.
fn inside(debian: &Path, line: &[&OsStr], folder: &Path) -> Command {
    let mut command = alone(&["sh", "tests/xtask/src/in-debian.sh"]);
    command.args([debian, &project::root(), &project::target(), folder]).args(line);
    command
}

/// Where this machine's own packages come from.
fn mirror() -> String {
    let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    sources
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|sources| first_address(&sources))
        .unwrap_or_else(|| MIRROR.to_owned())
}

/// The first address in a list of package sources, of either form.
fn first_address(sources: &str) -> Option<String> {
    let lines = sources.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    lines
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|address| address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_swift() {
        assert_eq!(major("Swift version 6.0.3 (swift-6.0.3-RELEASE)\nTarget: x86_64-pc-linux-gnu"), Some(6));
        assert_eq!(major("swift-driver version: 1.90 Apple Swift version 5.10 (swiftlang-5.10)"), Some(5));
        assert_eq!(major("openstack swift 2.30"), None);
    }

    #[test]
    fn finds_the_mirror_in_either_form() {
        let new = "# URIs: http://old/\nTypes: deb\nURIs: http://deb.example.org/debian/\nSuites: bookworm\n";
        let old = "# deb http://old/ a\ndeb [arch=amd64] https://deb.example.org/debian bookworm main\n";
        assert_eq!(first_address(new).as_deref(), Some("http://deb.example.org/debian"));
        assert_eq!(first_address(old).as_deref(), Some("https://deb.example.org/debian"));
        assert_eq!(first_address("Types: deb\n"), None);
    }

    #[test]
    fn the_module_tells_what_to_link() {
        let map = "module CRefrain {\n    header \"CRefrain.h\"\n}";
        assert_eq!(
            linking(map),
            "module CRefrain {\n    header \"CRefrain.h\"\n    header \"refrain_call.h\"\n    link \"refrain_ffi\"\n}\n"
        );
    }
}
