//! `refrain-mock sweep`: retention and due privacy work on a data folder, without a server.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use refrain_mock::offline;

use super::{FAILED, Place, configuration, fail, is_watched, say};

/// Delete what is expired and carry out privacy work that is due, without running a server.
///
/// A running server does this by itself, and at once on `POST /mock/sweep`.
///
/// Exit codes: 0 done, 1 could not be done, 2 wrong usage or configuration.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  refrain-mock sweep --store ./data --config projects.json")]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let config = match configuration(arguments.place.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let bar = if is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_message("sweeping");
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut steps = 0_u64;
    let swept = offline::sweep(&arguments.place.store, config, || {
        steps += 1;
        bar.set_message(format!("sweeping, {steps} steps done"));
    });
    bar.finish_and_clear();
    match swept {
        Ok(done) => {
            say(&format!(
                "expired: {} events, {} profiles, {} replays; done: {} privacy tasks; purged: {} projects",
                done.events, done.profiles, done.replays, done.tasks, done.purged
            ));
            ExitCode::SUCCESS
        }
        Err(error) => fail(FAILED, &error.to_string()),
    }
}
