//! `cargo xtask test`: every test of the project, one row per step. A step that fails does not stop the others.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::browser;
use crate::command::{self, cargo};
use crate::demo;
use crate::kotlin;
use crate::machine::{self, Need};
use crate::project;
use crate::python;
use crate::report::{self, Outcome, Row};
use crate::simulate;
use crate::swift;
use crate::wasm;

/// What the person asked for.
pub struct Options {
    all: bool,
    only: Vec<String>,
}

impl Options {
    /// Reads the command line after `test`.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { all: false, only: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all" => options.all = true,
                "--only" => match arguments.next() {
                    Some(name) => options.only.push(name.clone()),
                    None => bail!("--only wants a part of a row's name, such as `--only clippy`"),
                },
                unknown => bail!("`test` has no option `{unknown}`; it has --all and --only ROW"),
            }
        }
        for wanted in &options.only {
            ensure!(
                STEPS.iter().any(|step| step.name.contains(wanted.as_str())),
                "no row's name contains `{wanted}`; the rows are: {}",
                STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(options)
    }

    fn wants(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            return self.all || !step.only_with_all;
        }
        self.only.iter().any(|wanted| step.name.contains(wanted.as_str()))
    }
}

struct Step {
    name: &'static str,
    /// Left out unless asked for: it needs gigabytes that most machines lack.
    only_with_all: bool,
    run: fn() -> Result<Outcome>,
}

const fn step(name: &'static str, run: fn() -> Result<Outcome>) -> Step {
    Step { name, only_with_all: false, run }
}

/// In this order: what is quick to fail comes first, and `rust tests` builds what the later rows start.
const STEPS: [Step; 18] = [
    step("format", format),
    step("clippy", clippy),
    step("clippy for the browser", clippy_for_the_browser),
    step("check for Android", check_for_android),
    step("rust tests", rust_tests),
    step("simulation", simulation),
    step("docs", docs),
    step("conformance vectors", conformance),
    step("published client: Python", published_python),
    step("published client: Node", published_node),
    step("published client: Chromium", published_browser),
    step("server pages: Chromium", server_pages),
    step("browser package", browser_package),
    step("demo", the_demo),
    step("Python package", python_package),
    step("Kotlin package", kotlin_package),
    Step { name: "Swift package", only_with_all: true, run: swift_package },
    Step { name: "pages in WebKit", only_with_all: true, run: pages_in_webkit },
];

/// The packages that have tests. The two generators have none, and are built where they are used, by themselves and so with
/// other features: here they would be built once more.
const WITH_TESTS: [&str; 5] = ["--workspace", "--exclude", "refrain-bindgen", "--exclude", "xtask-glue"];

/// The Rust test that replays the vectors, by its full path: a row of its own, so the row before leaves it out.
const VECTORS_TEST: &str = "the_server_answers_every_vector_as_specified";

/// The command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let skips_fail = std::env::var("CI").is_ok_and(|it| it == "true");
    let mut rows = Vec::new();
    for step in STEPS.iter().filter(|step| options.wants(step)) {
        println!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let outcome = if skips_fail && !step.only_with_all { without_skips(outcome) } else { outcome };
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => println!("failed: {why}"),
            Outcome::Skipped(why) => println!("skipped: {why}"),
        }
        rows.push(Row { name: step.name, outcome, took: start.elapsed() });
    }
    print!("\n{}", report::render(&rows));
    Ok(if report::any_failed(&rows) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// On a machine that is meant to have everything, a step that could not run has failed.
fn without_skips(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Skipped(why) if why != NOT_YET => {
            Outcome::Failed(format!("skipped although CI=true: {why}"))
        }
        other => other,
    }
}

/// The reason of a row whose folder is not in the project.
const NOT_YET: &str = "not part of this version yet";

fn passed(command: &mut Command) -> Result<Outcome> {
    command::run(command)?;
    Ok(Outcome::Passed)
}

/// Unwraps a need, or ends the step with `Skipped`.
macro_rules! need {
    ($need:expr) => {
        match $need {
            Need::Met(it) => it,
            Need::Missing(why) => return Ok(Outcome::Skipped(why)),
        }
    };
}

fn format() -> Result<Outcome> {
    need!(machine::rust_component("rustfmt", "fmt"));
    passed(&mut cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<Outcome> {
    need!(machine::rust_component("clippy", "clippy"));
    passed(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn clippy_for_the_browser() -> Result<Outcome> {
    need!(machine::rust_component("clippy", "clippy"));
    need!(machine::rust_target(wasm::TARGET));
    // Also with what the default build does without: nothing else compiles that.
    for features in [wasm::PERSONAL_DATA, ""] {
        let mut lint = cargo(["clippy", "--quiet", "--package", "refrain-wasm", "--lib"]);
        lint.args(["--target", wasm::TARGET, "--features", features]);
        command::run(lint.args(["--", "-D", "warnings"]))?;
    }
    Ok(Outcome::Passed)
}

/// What the Android package ships. It is only checked: to link it takes Android's own tools. Without clippy, to which every
/// thread-local is one that ought to be constant there, also one that is.
fn check_for_android() -> Result<Outcome> {
    need!(machine::rust_target(ANDROID));
    passed(&mut cargo(["check", "--quiet", "--package", "refrain-ffi", "--lib", "--target", ANDROID]))
}

fn rust_tests() -> Result<Outcome> {
    // Told which server there is, tests do not build another one, of the one package: dependencies have other features then.
    let server = server()?;
    let mut test = cargo(["test", "--quiet", "--no-fail-fast"]);
    test.args(WITH_TESTS).args(["--", "--skip", VECTORS_TEST]);
    passed(test.env("REFRAIN_MOCK_BIN", server))
}

fn simulation() -> Result<Outcome> {
    for arguments in [["--worlds", "2000"], ["--search", "3"]] {
        command::run(&mut simulate::command(arguments))?;
    }
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    // With the examples their dependencies come along, so that all have the features that clippy checked them with.
    let mut doc = cargo(["doc", "--quiet", "--workspace", "--no-deps", "--lib", "--bins", "--examples"]);
    passed(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn conformance() -> Result<Outcome> {
    let server = server()?;
    let vectors = |arguments: &[&str]| {
        let mut test = cargo(["test", "--quiet", "--test", "conformance"]);
        test.args(WITH_TESTS).args(["--", VECTORS_TEST, "--exact"]).args(arguments);
        test.env("REFRAIN_MOCK_BIN", &server);
        test
    };
    // With another name it would be a run of no test at all, which passes.
    let listed = command::read(&mut vectors(&["--list"]))?;
    ensure!(is_one_test(&listed, VECTORS_TEST), "there is no test {VECTORS_TEST}: {listed}");
    passed(&mut vectors(&["--nocapture"]))
}

/// What an Android device of today runs.
const ANDROID: &str = "aarch64-linux-android";

/// Whether what a test program lists is this one test.
fn is_one_test(listed: &str, name: &str) -> bool {
    let mut tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    tests.next() == Some(name) && tests.next().is_none()
}

fn published_python() -> Result<Outcome> {
    let folder = project::path("tests/e2e/python");
    let python = need!(machine::python("e2e", Some(&folder.join("requirements.txt")))?);
    let mut test = command::program(python, &folder, ["-m", "unittest", "-v", "test_published_client"]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?))
}

fn published_node() -> Result<Outcome> {
    let folder = project::path("tests/e2e/node");
    need!(machine::node());
    machine::npm_packages(&folder)?;
    let mut test =
        command::program("node", &folder, ["--test", "--test-reporter=spec", "node_client.test.mjs"]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?))
}

fn published_browser() -> Result<Outcome> {
    in_chromium("browser_client.test.mjs")
}

fn server_pages() -> Result<Outcome> {
    in_chromium("pages.test.mjs")
}

fn in_chromium(file: &str) -> Result<Outcome> {
    let folder = project::path("tests/e2e/node");
    need!(machine::node());
    let chromium = need!(machine::chromium());
    machine::npm_packages(&folder)?;
    let mut test = command::program("node", &folder, ["--test", "--test-reporter=spec", file]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?).env("CHROMIUM", chromium))
}

fn browser_package() -> Result<Outcome> {
    let folder = need!(browser::build()?);
    let chromium = need!(machine::chromium());
    let mut test = command::program("npm", &folder, ["test"]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?).env("CHROMIUM", chromium))
}

fn pages_in_webkit() -> Result<Outcome> {
    let folder = need!(browser::build()?);
    need!(machine::webkit());
    let test = ["-a", "node", "--test", "--test-reporter=spec", "test/webkit/webkit.test.mjs"];
    passed(&mut command::program("xvfb-run", &folder, test))
}

fn the_demo() -> Result<Outcome> {
    let chromium = need!(machine::chromium());
    // The shop's programs come along.
    server()?;
    if need!(demo::play(Some(chromium))?) {
        Ok(Outcome::Passed)
    } else {
        Ok(Outcome::Failed("the demo did not go as it should".to_owned()))
    }
}

fn python_package() -> Result<Outcome> {
    let folder = project::path("sdk-ffi/python");
    let python = need!(python::package()?);
    let mut test = command::program(&python, &folder, ["-m", "unittest", "discover", "-s", "tests"]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?))
}

fn kotlin_package() -> Result<Outcome> {
    need!(kotlin::maven());
    // The package, and as a stranger to it the example, which has its jar and nothing else of it.
    let folder = project::path("tests/e2e/kotlin");
    let mut test = command::program("mvn", &folder, ["--quiet", "--batch-mode", "verify"]);
    passed(test.env("REFRAIN_MOCK_BIN", server()?))
}

fn swift_package() -> Result<Outcome> {
    let swift = need!(swift::toolchain()?);
    swift::run()?;
    let mut test = swift.command("test", &project::path("sdk-ffi/swift"), "package");
    command::run(test.arg("--disable-xctest").env("REFRAIN_MOCK_BIN", server()?))?;
    // A stranger to the package, which has its product and nothing else of it.
    passed(&mut swift.command("build", &project::path("examples/swift/quickstart"), "quickstart"))
}

/// The mock server's program, and beside it the workspace's others. Built with the same selection of packages as the Rust
/// tests, so that cargo does not build their dependencies a second time; by itself where another package does not compile.
fn server() -> Result<PathBuf> {
    if command::run(cargo(["build", "--quiet", "--bins", "--tests"]).args(WITH_TESTS)).is_err() {
        command::run(&mut cargo(["build", "--quiet", "--package", "refrain-mock"]))?;
    }
    let program = project::program("debug", "refrain-mock");
    ensure!(program.is_file(), "{} was not built", program.display());
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &[&str]) -> Result<Options> {
        Options::parse(&line.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    fn rows(line: &[&str]) -> Vec<&'static str> {
        let options = options(line).expect("valid options");
        STEPS.iter().filter(|step| options.wants(step)).map(|step| step.name).collect()
    }

    #[test]
    fn what_is_large_runs_with_all_or_by_name() {
        let usual = rows(&[]);
        assert_eq!(usual.len(), STEPS.len() - 2);
        assert!(["Swift package", "pages in WebKit"].iter().all(|large| !usual.contains(large)));
        assert_eq!(rows(&["--all"]).len(), STEPS.len());
        assert_eq!(rows(&["--only", "Swift", "--only", "docs"]), ["docs", "Swift package"]);
    }

    #[test]
    fn an_option_that_means_nothing_is_an_error() {
        for line in [&["--only"][..], &["--only", "no such row"], &["--fast"]] {
            assert!(options(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_list_without_the_test_that_is_meant_is_noticed() {
        assert!(is_one_test("it: test\n\n1 test, 0 benchmarks\n", "it"));
        for wrong in ["\n0 tests, 0 benchmarks\n", "a::it: test\n", "it: test\nother: test\n", ""] {
            assert!(!is_one_test(wrong, "it"), "{wrong:?}");
        }
    }

    #[test]
    fn ci_forgives_only_what_the_project_does_not_have() {
        assert!(matches!(without_skips(Outcome::Skipped("no JDK".to_owned())), Outcome::Failed(_)));
        assert!(matches!(without_skips(Outcome::Skipped(NOT_YET.to_owned())), Outcome::Skipped(_)));
        assert!(matches!(without_skips(Outcome::Passed), Outcome::Passed));
    }
}
