//! `cargo xtask bench WHAT`: figures beside budgets and beside others. A benchmark builds what it measures in release,
//! gets what it compares with by ordinary means, and says what it had to leave out. No figure fails it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::browser as package;
use crate::command::{self, cargo};
use crate::kotlin;
use crate::machine::{self, Need};
use crate::project;
use crate::python;
use crate::swift;

/// A benchmark: its name on the command line, and what runs it with the options that follow.
struct Bench {
    name: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const BENCHES: [Bench; 3] = [
    Bench { name: "client", run: client },
    Bench { name: "browser", run: browser },
    Bench { name: "server", run: server },
];

/// The command.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let names = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    let Some((name, options)) = arguments.split_first() else {
        bail!("`bench` wants one of: {}", names());
    };
    match BENCHES.iter().find(|bench| bench.name == name) {
        Some(bench) => (bench.run)(options),
        None => bail!("no benchmark `{name}`; there are: {}", names()),
    }
}

/// The native client beside other published ones, then the Python, Kotlin and Swift packages. The options are those of
/// the program.
fn client(options: &[String]) -> Result<ExitCode> {
    let manifest = project::path("tests/bench/client/Cargo.toml");
    let target = project::target().join("bench-client");
    println!("building: the clients that are compared, which are not part of the workspace");
    let mut build = cargo(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    command::run(build.arg(&manifest).env("CARGO_TARGET_DIR", &target))?;
    let program =
        target.join("release").join(format!("refrain-bench-client{}", std::env::consts::EXE_SUFFIX));
    command::run(&mut command::program(program, &project::root(), options))?;
    match python::package()? {
        Need::Met(python) => {
            let script = project::path("tests/bench/client/track.py");
            command::run(command::program(python, &project::root(), [script]).arg("20000"))?;
        }
        Need::Missing(why) => println!("the Python package is left out: {why}"),
    }
    match kotlin::maven() {
        Need::Met(()) => {
            let goals = ["--quiet", "--batch-mode", "test-compile", "exec:exec@track", "-Dcalls=20000"];
            command::run(&mut command::program("mvn", &project::path("sdk-ffi/kotlin"), goals))?;
        }
        Need::Missing(why) => println!("the Kotlin package is left out: {why}"),
    }
    match swift::installed() {
        Some(swift) => {
            swift::run()?;
            let folder = project::path("tests/bench/client/track");
            command::run(swift.command("build", &folder, "bench").args([
                "--quiet",
                "--configuration",
                "release",
            ]))?;
            command::run(swift.built("bench", "track").arg("20000"))?;
        }
        None => println!(
            "the Swift package is left out: `cargo xtask test --only Swift` installs Swift where it can"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// The browser package beside other published ones. The options are those of the program.
fn browser(options: &[String]) -> Result<ExitCode> {
    let folder = project::path("tests/bench/browser");
    package::build()?.met()?;
    machine::npm_packages(&folder)?;
    let chromium = machine::chromium().met()?;
    let mut bench = command::program("node", &folder, ["bench.mjs"]);
    command::run(bench.args(options).env("CHROMIUM", chromium))?;
    Ok(ExitCode::SUCCESS)
}

/// The server beside a plain insert and beside other mock servers. The options are those of the program.
fn server(options: &[String]) -> Result<ExitCode> {
    let packages = ["--package", "refrain-mock", "--package", "refrain-bench-server"];
    command::run(cargo(["build", "--quiet", "--release"]).args(packages))?;
    let mut bench =
        command::program(project::program("release", "bench-server"), &project::root(), ["--server"]);
    bench.arg(project::program("release", "refrain-mock"));
    bench.arg("--folder").arg(project::target().join("bench-server"));
    match other_servers()? {
        Need::Met(jars) => {
            bench.arg("--jars").arg(jars);
        }
        Need::Missing(why) => println!("the other mock servers are left out: {why}"),
    }
    command::run(bench.args(options))?;
    Ok(ExitCode::SUCCESS)
}

/// The folder with the jars of the other mock servers, which Maven fetches once.
fn other_servers() -> Result<Need<PathBuf>> {
    let pom = project::path("tests/bench/server/pom.xml");
    let folder = project::target().join("bench-server-jars");
    if is_newer(&folder, &pom) {
        return Ok(Need::Met(folder));
    }
    if !command::answers("java", "-version") || !command::answers("mvn", "--version") {
        return Ok(Need::Missing("a Java runtime with Maven is not installed".to_owned()));
    }
    println!("fetching: other mock servers, by Maven");
    let mut maven = command::program("mvn", &project::root(), ["--quiet", "--batch-mode", "--file"]);
    maven.arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    if let Err(error) = command::run(&mut maven) {
        return Ok(Need::Missing(format!("Maven could not fetch them ({error:#})")));
    }
    // Maven keeps a folder's time where nothing in it is new.
    std::fs::File::open(&folder)?.set_modified(std::time::SystemTime::now())?;
    Ok(Need::Met(folder))
}

fn is_newer(path: &Path, than: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    matches!((changed(path), changed(than)), (Some(one), Some(other)) if one > other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_benchmark_is_told_which_there_are() {
        for arguments in [&[][..], &["nothing".to_owned()]] {
            let told = run(arguments).expect_err("an error").to_string();
            assert!(told.contains("server"), "{told}");
        }
    }
}
