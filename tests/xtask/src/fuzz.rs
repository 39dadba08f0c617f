//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, built for speed.

use std::process::ExitCode;

use anyhow::Result;

use crate::command::cargo;

/// The command; target and options are the program's own.
pub fn run(options: &[String]) -> Result<ExitCode> {
    let mut fuzz =
        cargo(["run", "--quiet", "--profile", "fuzz", "--package", "refrain-fuzz", "--bin", "fuzz", "--"]);
    let status = fuzz.args(options).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
