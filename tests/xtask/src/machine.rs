//! What this machine has, and getting what it lacks by the ordinary means, each in one line that says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::project;

/// What a step needs: there, or absent for a reason that the closing table can state.
pub enum Need<T> {
    /// It is there.
    Met(T),
    /// It is not there and could not be got.
    Missing(String),
}

impl<T> Need<T> {
    /// What is there, for a command that can do nothing without it.
    ///
    /// # Errors
    /// It is not there; says why.
    pub fn met(self) -> Result<T> {
        match self {
            Self::Met(it) => Ok(it),
            Self::Missing(why) => bail!(why),
        }
    }
}

/// A component of the Rust toolchain, such as `clippy`.
pub fn rust_component(name: &str, subcommand: &str) -> Need<()> {
    if command::read(&mut command::cargo([subcommand, "--version"])).is_ok() {
        return Need::Met(());
    }
    got_by_rustup("component", name)
}

/// The source of the standard library, to build it for size.
pub fn rust_source() -> Need<()> {
    let there = command::read(&mut command::program("rustc", &project::root(), ["--print", "sysroot"]))
        .is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library").is_dir());
    if there { Need::Met(()) } else { got_by_rustup("component", "rust-src") }
}

/// A compilation target of the Rust toolchain.
pub fn rust_target(name: &str) -> Need<()> {
    let installed = command::read(&mut command::program("rustc", &project::root(), ["--print", "sysroot"]))
        .is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(name).join("lib").is_dir());
    if installed {
        return Need::Met(());
    }
    got_by_rustup("target", name)
}

fn got_by_rustup(kind: &str, name: &str) -> Need<()> {
    println!("installing: Rust {kind} {name}, by rustup");
    match command::run(&mut command::program("rustup", &project::root(), [kind, "add", name])) {
        Ok(()) => Need::Met(()),
        Err(error) => Need::Missing(format!("Rust {kind} {name} is missing, and {error:#}")),
    }
}

/// The oldest Node whose test runner and file functions do what the scripts here ask.
const NODE: u32 = 20;

/// Node with npm.
pub fn node() -> Need<()> {
    let Ok(version) = command::read(&mut command::program("node", &project::root(), ["--version"])) else {
        return Need::Missing("Node is not installed".to_owned());
    };
    if node_major(&version).is_none_or(|major| major < NODE) {
        return Need::Missing(format!("Node {NODE} or later is needed, this one is {version}"));
    }
    if command::answers("npm", "--version") {
        Need::Met(())
    } else {
        Need::Missing("npm is not installed".to_owned())
    }
}

/// `v20.11.1` is 20.
fn node_major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The packages that the folder's `package-lock.json` names; installed when the lock is newer than they are.
pub fn npm_packages(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let installed = folder.join("node_modules/.package-lock.json");
    let written = |path: &Path| path.metadata().and_then(|it| it.modified());
    let lock_time = written(&lock).with_context(|| format!("{} is missing", lock.display()))?;
    if written(&installed).is_ok_and(|time| time >= lock_time) {
        return Ok(());
    }
    println!("installing: npm packages of {}", shown(folder));
    command::run(&mut command::program("npm", folder, ["ci", "--no-audit", "--no-fund"]))
}

/// A Chromium to drive: `CHROMIUM`, or the system's, or installed by Debian's package manager.
pub fn chromium() -> Need<PathBuf> {
    if let Some(chosen) = std::env::var_os("CHROMIUM") {
        let chosen = PathBuf::from(chosen);
        return if chosen.is_file() {
            Need::Met(chosen)
        } else {
            Need::Missing(format!("CHROMIUM names {}, which is not a file", chosen.display()))
        };
    }
    if let Some(found) = installed_chromium() {
        return Need::Met(found);
    }
    if let Err(error) = apt_install("chromium") {
        return Need::Missing(format!("Chromium is not installed ({error:#})"));
    }
    match installed_chromium() {
        Some(found) => Need::Met(found),
        None => Need::Missing("Chromium is not on the PATH, though apt-get installed it".to_owned()),
    }
}

fn installed_chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find_map(on_path)
}

/// What drives a WebKit, and a screen for it where there is none; installed by Debian's package manager.
pub fn webkit() -> Need<()> {
    for (program, package) in
        [("WebKitWebDriver", "webkit2gtk-driver"), ("xvfb-run", "xvfb"), ("xauth", "xauth")]
    {
        if on_path(program).is_none()
            && let Err(error) = apt_install(package)
        {
            return Need::Missing(format!("{program} is not installed ({error:#})"));
        }
    }
    Need::Met(())
}

/// A package of Debian's, installed by its package manager as root.
pub fn apt_install(package: &str) -> Result<()> {
    on_path("apt-get").context("no apt-get on this machine")?;
    let id = command::read(&mut command::program("id", &project::root(), ["-u"]))?;
    let with_sudo = id != "0";
    if with_sudo {
        let asked = command::read(&mut command::program("sudo", &project::root(), ["-n", "true"]));
        asked.context("apt-get needs root, or sudo without a password")?;
    }
    println!("installing: {package}, by apt-get");
    let apt_get = |arguments: &[&str]| {
        let mut line = if with_sudo { vec!["sudo", "-n"] } else { vec![] };
        line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        line.extend(arguments);
        command::run(&mut command::program(line[0], &project::root(), &line[1..]))
    };
    apt_get(&["update", "-qq"])?;
    apt_get(&["install", "-y", "-qq", package])
}

/// A Python of this project's own (a virtual environment in cargo's output folder) with the packages that the
/// requirements file pins.
pub fn python(name: &str, requirements: Option<&Path>) -> Result<Need<PathBuf>> {
    let Some(system) = ["python3", "python"].into_iter().find(|it| command::answers(it, "--version")) else {
        return Ok(Need::Missing("Python 3 is not installed".to_owned()));
    };
    let folder = project::target().join("venv").join(name);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = folder.join("requirements.installed");
    let wanted = match requirements {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => Vec::new(),
    };
    if command::answers(&python.to_string_lossy(), "--version")
        && std::fs::read(&stamp).is_ok_and(|it| it == wanted)
    {
        return Ok(Need::Met(python));
    }
    println!("installing: a Python environment for {name}");
    let root = project::root();
    let mut create = command::program(system, &root, ["-m", "venv", "--clear"]);
    if let Err(error) = command::run(create.arg(&folder)) {
        return Ok(Need::Missing(format!("Python cannot make a virtual environment: {error:#}")));
    }
    if let Some(file) = requirements {
        let mut pip = command::program(&python, &root, ["-m", "pip", "install", "--quiet"]);
        command::run(pip.args(["--disable-pip-version-check", "--requirement"]).arg(file))?;
    }
    std::fs::write(&stamp, wanted)?;
    Ok(Need::Met(python))
}

/// The file of that name on the `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(project::root()).unwrap_or(path).display().to_string()
}

#[test]
fn reads_the_version_of_node() {
    assert_eq!(node_major("v20.11.1"), Some(20));
    assert_eq!(node_major("20.11.1"), None);
}
