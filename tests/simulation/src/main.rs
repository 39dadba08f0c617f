//! `simulate [--worlds N] [--seed S]`.

use refrain_simulation::world;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let (first, worlds) = match number("--seed") {
        Some(seed) => (seed, 1),
        None => (number("--from").unwrap_or(1), number("--worlds").unwrap_or(2_000)),
    };
    let trace = arguments.iter().any(|argument| argument == "--trace");
    let start = Instant::now();
    let mut records = 0;
    for seed in first..first + worlds {
        match catch_unwind(|| world::live(seed, trace)) {
            Ok(world) => records += world.oracle.made_count(),
            Err(_) => {
                eprintln!(
                    "seed {seed} fails; again: cargo run --release -p refrain-simulation -- --seed {seed}"
                );
                return ExitCode::FAILURE;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("{worlds} worlds, {records} records, {:.0} worlds a second", worlds as f64 / took);
    ExitCode::SUCCESS
}
