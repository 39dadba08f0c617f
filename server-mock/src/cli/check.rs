//! `refrain-mock check`: runs a command against a server of its own, and fails if what arrived is not what was asked.

mod running;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use refrain_mock::{Expectation, MockServer, Options, Times};
use serde_json::{Value, json};

use super::{FAILED, USAGE, configuration, fail, say};
use running::Ended;

/// The command could not be started; what shells answer then.
const NOT_STARTED: u8 = 127;
/// What the places are that the server does not know.
const LOST: &str = "  (unknown) is a path on which nothing is collected, such as /v1/track: \
    look at the address that the client was given";
/// Refusals that are shown.
const SHOWN: usize = 5;

/// Run a command against a fresh server, and fail if what arrived is not what was asked for.
///
/// The command finds the server's address in the environment variable REFRAIN_MOCK_URL, and in the place of `{url}` in
/// its own arguments.
///
/// SIGTERM and Ctrl-C are passed on to the command, and without a terminal to all that it has started; it is waited for,
/// and then nothing is judged.
///
/// Exit codes: 0 all as asked, 1 something else arrived, 2 wrong usage or configuration, 127 the command could not be
/// started, 143 and 130 stopped by SIGTERM and Ctrl-C; and the command's own code if that is not 0.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  refrain-mock check --min 10 --no-rejected -- npm test\n  \
    refrain-mock check --event 'Signed up=1' --event 'Bought=2..' -- ./journey.sh {url}\n  \
    refrain-mock check --max 0 -- python test_opted_out.py")]
pub struct Arguments {
    /// At least so many events.
    #[arg(long, value_name = "N")]
    min: Option<usize>,
    /// At most so many events. 0 proves a silence, unless events are named: nothing may arrive, also no profile, replay or
    /// settings fetch, nothing that is refused, dropped or gone again, and nothing on a path that the server does not know.
    /// Only what looks at the server (/mock, the pages, the account holder's own requests below /api with good
    /// credentials), preflights without a query and a withdrawn device's erasure do not count.
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// An event of this name, at least once, or so often: NAME=3, NAME=1.., NAME=2..5, NAME=0. May be repeated. A name that
    /// has an equals sign needs a number behind another one.
    #[arg(long = "event", value_name = "NAME[=TIMES]", value_parser = named)]
    events: Vec<(String, Times)>,
    /// No record was refused.
    #[arg(long)]
    no_rejected: bool,
    /// No event was sent twice.
    #[arg(long)]
    no_duplicates: bool,
    /// Only events of the project with this token count.
    #[arg(long, value_name = "TOKEN")]
    project: Option<String>,
    /// Seconds in which events may still come after the command has ended. What must not come, or not more often, is waited
    /// for until the last of them.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    within: f64,
    /// JSON file with projects and settings, as for `serve`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The command, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds, such as 2.5".to_owned())?;
    if (0.0..=600.0).contains(&number) { Ok(number) } else { Err("from 0 to 600 seconds".to_owned()) }
}

/// `NAME`, `NAME=3`, `NAME=1..`, `NAME=2..5`.
fn named(text: &str) -> Result<(String, Times), String> {
    let Some((name, times)) = text.rsplit_once('=') else {
        return Ok((text.to_owned(), Times::within(1..)));
    };
    let wrong = || {
        format!(
            "{times:?} is not how often; that is 3, 1.., ..2 or 2..5. \
             If it is part of the name, say how often behind it: {text}=1.."
        )
    };
    let number = |text: &str| text.parse::<usize>().ok();
    let times = match times.split_once("..") {
        None => number(times).map(Times::from),
        Some((least, "")) => number(least).map(|least| Times::within(least..)),
        Some(("", most)) => number(most).map(|most| Times::within(..=most)),
        Some((least, most)) => {
            number(least).zip(number(most)).map(|(least, most)| Times::within(least..=most))
        }
    };
    match times {
        _ if name.is_empty() => Err("the name of the event is missing".to_owned()),
        Some(times) if times.is_possible() => Ok((name.to_owned(), times)),
        Some(_) => Err("the least is more than the most".to_owned()),
        None => Err(wrong()),
    }
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let config = match configuration(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let expectations = arguments.expectations();
    if expectations.is_empty() && !arguments.no_rejected && !arguments.no_duplicates {
        return fail(
            USAGE,
            "nothing is asked for; say what should arrive with --min, --max, --event, --no-rejected or --no-duplicates",
        );
    }
    if let (Some(min), Some(max)) = (arguments.min, arguments.max)
        && min > max
    {
        return fail(USAGE, &format!("--min {min} and --max {max} cannot both be"));
    }
    let server = match MockServer::start_with(Options { config, ..Options::default() }) {
        Ok(server) => server,
        Err(error) => return fail(FAILED, &error.to_string()),
    };
    let Ended { status, stopped } = match running::run(arguments.command(&server.url())) {
        Ok(ended) => ended,
        Err(error) => {
            let name = arguments.command[0].to_string_lossy();
            return fail(NOT_STARTED, &format!("cannot start `{name}`: {error}"));
        }
    };
    if let Some(signal) = stopped {
        say(&format!("stopped, and nothing is judged; the command ended with {status}"));
        let code = code_of(status);
        return ExitCode::from(if code == 0 { running::code_of_signal(signal) } else { code });
    }
    let wrong = arguments.wrong(&server, &expectations);
    for text in &wrong {
        say(text);
    }
    let stats = stats(&server);
    say(&format!(
        "{} events, {} duplicates, {} rejected, {} suppressed: {}",
        server.events().len(),
        stats["duplicates"],
        stats["rejected"],
        stats["suppressed"],
        if wrong.is_empty() { "as asked" } else { "not as asked" },
    ));
    match code_of(status) {
        0 if wrong.is_empty() => ExitCode::SUCCESS,
        0 => ExitCode::from(FAILED),
        code => {
            say(&format!("the command ended with {status}"));
            ExitCode::from(code)
        }
    }
}

impl Arguments {
    fn expectations(&self) -> Vec<Expectation> {
        let ours = |expectation: Expectation| match &self.project {
            Some(token) => expectation.project(token),
            None => expectation,
        };
        let mut all = Vec::new();
        if let Some(min) = self.min {
            all.push(ours(Expectation::any_event().times(min..)));
        }
        if let Some(max) = self.max {
            all.push(ours(Expectation::any_event().times(..=max)));
        }
        all.extend(self.events.iter().map(|(name, times)| ours(Expectation::event(name).times(*times))));
        all
    }

    fn command(&self, url: &str) -> Command {
        let filled = |text: &OsString| match text.to_str() {
            Some(text) => OsString::from(text.replace("{url}", url)),
            None => text.clone(),
        };
        let mut command = Command::new(filled(&self.command[0]));
        command.args(self.command[1..].iter().map(filled)).env("REFRAIN_MOCK_URL", url);
        command
    }

    /// What is not as asked.
    fn wrong(&self, server: &MockServer, expectations: &[Expectation]) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs_f64(self.within);
        let left = || deadline.saturating_duration_since(Instant::now());
        // What must not come may come until the end.
        let forbids = self.no_duplicates || self.no_rejected || self.is_silence();
        let patience = if forbids { left() } else { Duration::ZERO };
        let found =
            server.wait_until(patience, || Some(self.forbidden(server)).filter(|found| !found.is_empty()));
        let mut wrong = found.unwrap_or_default();
        for expectation in expectations {
            let patience = if wrong.is_empty() { left() } else { Duration::ZERO };
            wrong.extend(server.wait_for(expectation, patience).err());
        }
        wrong
    }

    /// What came although it must not.
    fn forbidden(&self, server: &MockServer) -> Vec<String> {
        let mut found = Vec::new();
        let stats = stats(server);
        let count = |name: &str| stats[name].as_u64().unwrap_or_default();
        let arrived = server.arrived(self.project.as_deref());
        if self.is_silence() && !arrived.is_empty() {
            let list: Vec<String> =
                arrived.iter().map(|(route, count)| format!("{count} on {route}")).collect();
            found.push(format!("expected a silence, but there came {}", list.join(", ")));
            if arrived.keys().any(|place| place.starts_with("(unknown)")) {
                found.push(LOST.to_owned());
            }
        }
        if self.no_duplicates && count("duplicates") > 0 {
            found.push(format!("expected no duplicates, found {}", count("duplicates")));
        }
        if self.no_rejected && count("rejected") > 0 {
            found.push(format!("expected no rejected records, found {}", count("rejected")));
            let target = format!("/mock/rejected?limit={SHOWN}");
            let list = server.control_api("GET", &target, &json!(null)).1;
            found.extend(list["rejected"].as_array().into_iter().flatten().map(|one| {
                let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                format!("  on {}: {}", text("route"), text("reason"))
            }));
        }
        found
    }

    /// Whether nothing at all may arrive.
    fn is_silence(&self) -> bool {
        self.max == Some(0) && self.events.is_empty()
    }
}

/// The server's counts. No answer is not a count of none.
fn stats(server: &MockServer) -> Value {
    let (status, stats) = server.control_api("GET", "/mock/stats", &Value::Null);
    assert_eq!(status, 200, "the server cannot show its counts: {}", stats["error"]);
    stats
}

/// The code that a shell would show.
fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().map(|signal| 128 + signal);
    u8::try_from(status.code().or(signal).unwrap_or(1)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_say_how_often() {
        assert_eq!(named("Signed up"), Ok(("Signed up".to_owned(), Times::within(1..))));
        assert_eq!(named("A=3"), Ok(("A".to_owned(), Times::from(3))));
        assert_eq!(named("A=1.."), Ok(("A".to_owned(), Times::within(1..))));
        assert_eq!(named("A=..2"), Ok(("A".to_owned(), Times::within(..=2))));
        assert_eq!(named("A=2..5"), Ok(("A".to_owned(), Times::within(2..=5))));
        assert_eq!(named("a=b=1.."), Ok(("a=b".to_owned(), Times::within(1..))));
        for wrong in ["=3", "a=b", "A=", "A=-1", "A=3x", "A=1...2", "A=5..2", "A=.."] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        assert!(named("a=b").unwrap_err().contains("a=b=1.."));
        assert!(seconds("-1").is_err() && seconds("x").is_err() && seconds("2.5") == Ok(2.5));
    }
}
