//! Commands, and what they say when something is wrong.

mod check;
mod import;
mod serve;
mod sweep;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};
use refrain_mock::Config;

/// What `serve --store` is told where there is no folder.
const MEMORY: &str = "memory";

/// Something could not be done.
const FAILED: u8 = 1;
/// Wrong usage, or a wrong configuration.
const USAGE: u8 = 2;

/// A mock collection server that speaks Mixpanel's protocol and keeps privacy promises.
///
/// It takes what Mixpanel's SDKs send, stores it, and lets a test look at it, wait for it, and move the clock: retention,
/// erasure, access and objection are real, down to the bytes on the disk. Pages to look around are at the address that
/// it prints.
#[derive(Parser)]
#[command(
    name = "refrain-mock",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  refrain-mock serve\n  refrain-mock check --min 10 --no-rejected -- npm test\n  \
    refrain-mock import export.ndjson.gz --store ./data --project TOKEN\n\n\
    `refrain-mock help COMMAND` says more about a command."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Check(check::Arguments),
    Import(import::Arguments),
    Sweep(sweep::Arguments),
    /// Print a script that completes commands and options in a shell.
    ///
    /// For bash: `source <(refrain-mock completions bash)`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "refrain-mock", &mut script);
            // Whoever does not read it does not need it.
            let _ = std::io::stdout().write_all(&script);
            ExitCode::SUCCESS
        }
    }
}

/// The configuration in a file, or the default one.
fn configuration(path: Option<&Path>) -> Result<Config, ExitCode> {
    let Some(path) = path else { return Ok(Config::default()) };
    let shown = path.display();
    let text = std::fs::read(path)
        .map_err(|error| fail(USAGE, &format!("cannot read the configuration {shown}: {error}")))?;
    let document = refrain_mock::domain::json::value(&text).map_err(|_| {
        let example = r#"{"projects":[{"token":"T","project_id":1}],"settings":{}}"#;
        fail(USAGE, &format!("the configuration {shown} is not JSON; it looks like {example}"))
    })?;
    Config::from_json(&document).map_err(|error| fail(USAGE, &format!("the configuration {shown}: {error}")))
}

/// Says what is wrong, and answers the exit code.
fn fail(code: u8, text: &str) -> ExitCode {
    say(text);
    ExitCode::from(code)
}

/// Says something beside the output. A closed stderr is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "refrain-mock: {text}");
}

/// Whether somebody sits before a terminal and watches.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Options that say where data is and how it is treated, for work without a server.
#[derive(clap::Args)]
struct Place {
    /// The data folder, as `serve --store` was given it. No server may be using it.
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().try_map(lasting))]
    store: PathBuf,
    /// JSON file with projects and settings, as for `serve`. Without it the settings are the defaults, and projects merge
    /// ids as they did when their data was stored.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `serve` would never read a folder that can only be named by the word for none.
fn lasting(store: PathBuf) -> Result<PathBuf, &'static str> {
    if store.as_os_str() == MEMORY {
        return Err("what a server has in memory ends with it; a folder of this name is ./memory");
    }
    Ok(store)
}
