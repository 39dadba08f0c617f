//! `refrain-mock import`: what was exported elsewhere, into a data folder.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use refrain_mock::offline;

use super::{FAILED, Place, configuration, fail, is_watched, say};

/// Some lines were refused; the others are stored.
const SOME_REFUSED: u8 = 3;

/// Import exported events into a data folder.
///
/// FILE has one event a line, as the raw export gives them (`{"event":…,"properties":{…}}`), zipped or not. Lines that
/// are no events are refused and named; the others are stored. Importing the same file twice stores nothing twice, except
/// events without `$insert_id`, which cannot be told from others.
///
/// Exit codes: 0 all lines stored, 1 could not be done, 2 wrong usage or configuration, 3 some lines were refused.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  refrain-mock import export.ndjson --store ./data --project TOKEN\n  \
    curl -u SECRET: 'https://data.mixpanel.com/api/2.0/export?from_date=…&to_date=…' \\\n    \
    | refrain-mock import - --store ./data --project TOKEN\n  refrain-mock serve --store ./data")]
pub struct Arguments {
    /// The file, or `-` for standard input.
    file: PathBuf,
    /// Token of the project that the events are for.
    #[arg(long, value_name = "TOKEN")]
    project: String,
    #[command(flatten)]
    place: Place,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let config = match configuration(arguments.place.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (input, length): (Box<dyn Read>, Option<u64>) = if arguments.file.as_os_str() == "-" {
        (Box::new(std::io::stdin().lock()), None)
    } else {
        match File::open(&arguments.file) {
            Ok(file) => {
                let length = file.metadata().ok().map(|data| data.len());
                (Box::new(file), length)
            }
            Err(error) => {
                return fail(FAILED, &format!("cannot open {}: {error}", arguments.file.display()));
            }
        }
    };
    let bar = bar(length);
    let imported = offline::import(&arguments.place.store, config, &arguments.project, bar.wrap_read(input));
    bar.finish_and_clear();
    let done = match imported {
        Ok(done) => done,
        Err(error) => return fail(FAILED, &error.to_string()),
    };
    for (line, why) in &done.faults {
        say(&format!("line {line}: {why}"));
    }
    if done.refused > done.faults.len() {
        say(&format!("and {} more", done.refused - done.faults.len()));
    }
    say(&format!(
        "{} stored, {} replaced an equal one, {} dropped, {} refused",
        done.stored, done.duplicates, done.dropped, done.refused
    ));
    if done.refused > 0 { ExitCode::from(SOME_REFUSED) } else { ExitCode::SUCCESS }
}

/// Bytes read, for whoever watches.
fn bar(length: Option<u64>) -> ProgressBar {
    if !is_watched() {
        return ProgressBar::hidden();
    }
    let shape = match length {
        Some(_) => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{spinner} {bytes}, {bytes_per_sec}",
    };
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    // A shape that cannot be read leaves the plain one.
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
