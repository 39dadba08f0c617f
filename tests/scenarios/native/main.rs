//! The scenarios of `tests/scenarios`, played by the client for Rust programs. Takes what `cargo test` passes on: a
//! part of a file's name, `--skip` with one, `--list`. Other options mean nothing here.

mod client;
mod pattern;
mod scenario;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};

use scenario::Scenario;

fn main() -> ExitCode {
    if client::was_played() {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went as they should.
fn run() -> Result<bool> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files = files(&here)?;
    files.extend(files_below(&here, "must-fail")?);
    let (wanted, skipped, listed) = arguments();
    let chosen = |name: &str| {
        wanted.iter().all(|part| name.contains(part.as_str()))
            && !skipped.iter().any(|part| name.contains(part.as_str()))
    };
    files.retain(|(name, _)| chosen(name));
    if listed {
        files.iter().for_each(|(name, _)| println!("{name}: test"));
        return Ok(true);
    }
    let (queue, failed) = (Mutex::new(files.into_iter()), Mutex::new(0));
    let next = || queue.lock().expect("no panic under the lock").next();
    let work = || {
        while let Some((name, path)) = next() {
            match play(&name, &path) {
                Ok(None) => println!("scenario {name} ... ok"),
                Ok(Some(reason)) => println!("scenario {name} ... not on this host: {reason}"),
                Err(error) => {
                    println!("scenario {name} ... FAILED\n    {error:#}");
                    *failed.lock().expect("no panic under the lock") += 1;
                }
            }
        }
    };
    // Most of a scenario is waiting for processes to start.
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no panic under the lock");
    println!("scenarios: {failed} failed");
    Ok(failed == 0)
}

/// The reason, if it is not for this host.
fn play(name: &str, path: &Path) -> Result<Option<String>> {
    let scenario = Scenario::read(path)?;
    if let Some(reason) = scenario.not_here() {
        return Ok(Some(reason.to_owned()));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios").join(name.replace('/', "-"));
    scenario.play(folder).map(|()| None)
}

/// The scenarios of a folder, by name.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    ensure!(!found.is_empty(), "there is no scenario in {}", folder.display());
    found.sort();
    Ok(found)
}

fn files_below(folder: &Path, name: &str) -> Result<Vec<(String, PathBuf)>> {
    Ok(files(&folder.join(name))?.into_iter().map(|(file, path)| (format!("{name}/{file}"), path)).collect())
}

/// Parts of names that are wanted, that are not, and whether names are to be listed only.
fn arguments() -> (Vec<String>, Vec<String>, bool) {
    let (mut wanted, mut skipped, mut listed) = (Vec::new(), Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--skip" => skipped.extend(arguments.next()),
            "--list" => listed = true,
            // Options of the usual harness that bring a value.
            "--test-threads" | "--format" | "--color" | "-Z" => drop(arguments.next()),
            option if option.starts_with('-') => {}
            _ => wanted.push(argument),
        }
    }
    (wanted, skipped, listed)
}
