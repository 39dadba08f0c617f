//! The command line of the mock collection server.

mod cli;

use std::process::ExitCode;

/// Records are parsed in one thread and let go in another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
