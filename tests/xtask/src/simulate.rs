//! `cargo xtask simulate`: the simulation of `tests/simulation`, built for speed.

use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::command::cargo;

/// The command; the options are the program's own.
pub fn run(options: &[String]) -> Result<ExitCode> {
    let mut options = options.to_vec();
    // The program runs in the project's top folder; a file is meant from here.
    if let Some(file) = options.iter().position(|it| it == "--replay").and_then(|at| options.get_mut(at + 1))
    {
        *file = std::path::absolute(&*file)?.display().to_string();
    }
    let status = command(options).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program with these options.
pub fn command<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Command {
    let mut simulate =
        cargo(["run", "--quiet", "--release", "--package", "refrain-simulation", "--bin", "simulate", "--"]);
    simulate.args(options);
    simulate
}
