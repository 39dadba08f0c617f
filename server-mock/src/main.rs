//! The command line of the mock collection server.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
