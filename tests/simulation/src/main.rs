//! `simulate`: worlds of chance, one world again, all short histories, or what a client has recorded. `--help` says how.

use refrain::engine::{Config, DefaultConsent};
use refrain_simulation::chance;
use refrain_simulation::flight::replay;
use refrain_simulation::oracle::Tally;
use refrain_simulation::search::search;
use refrain_simulation::world::Laws;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

const USAGE: &str = "\
simulate [--worlds N] [--from SEED]   worlds of chance, 2,000 of them from seed 1
simulate --seed SEED [--trace]        one world again, told step by step with --trace
simulate --search DEPTH               all histories of so many actions of two processes
simulate --replay FILE [--trace]      what a client's flight recorder has written, step by step with --trace
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Order::read(&arguments) {
        Ok(Order::Worlds { from, count, trace }) => worlds(from, count, trace),
        Ok(Order::Search { depth }) => all_histories(depth),
        Ok(Order::Replay { file, trace }) => recording(&file, trace),
        Err(why) => {
            eprint!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

enum Order {
    Worlds { from: u64, count: u64, trace: bool },
    Search { depth: usize },
    Replay { file: String, trace: bool },
}

impl Order {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (mut from, mut count, mut trace) = (1, 2_000, false);
        let mut file = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--replay" {
                file = Some(arguments.next().ok_or("--replay wants a file")?.clone());
                continue;
            }
            let mut number = || {
                let number = arguments.next().and_then(|number| number.replace(['_', ','], "").parse().ok());
                number.ok_or_else(|| format!("{argument} wants a number"))
            };
            match argument.as_str() {
                "--worlds" => count = number()?,
                "--from" => from = number()?,
                "--seed" => (from, count) = (number()?, 1),
                "--search" => return Ok(Self::Search { depth: number()? as usize }),
                "--trace" => trace = true,
                other => return Err(format!("there is no {other}")),
            }
        }
        Ok(match file {
            Some(file) => Self::Replay { file, trace },
            None => Self::Worlds { from, count, trace },
        })
    }
}

fn worlds(from: u64, count: u64, trace: bool) -> ExitCode {
    let start = Instant::now();
    let mut tally = Tally::default();
    for seed in from..from + count {
        match catch_unwind(|| chance::live(seed, trace)) {
            Ok(world) => tally.add(&world.oracle.tally),
            Err(_) => {
                eprintln!("seed {seed} breaks a rule; again: cargo xtask simulate --seed {seed} --trace");
                return ExitCode::FAILURE;
            }
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    print!("{tally}");
    let records = tally.made;
    println!("{count} worlds with {records} records, {rate:.0} worlds a second; no rule was broken");
    ExitCode::SUCCESS
}

fn all_histories(depth: usize) -> ExitCode {
    let searches = [DefaultConsent::Granted, DefaultConsent::Pending].map(|default| {
        let search = thread::spawn(move || {
            let mut config = Config::new("T");
            config.default_consent = default;
            config.batch_size = 1;
            let laws = Laws {
                config,
                flips: false,
                signals: false,
                settings: false,
                poison: 0,
                jumps: false,
                loses: false,
            };
            let start = Instant::now();
            (search(&laws, depth, 16), start.elapsed().as_secs_f64())
        });
        (default, search)
    });
    let mut code = ExitCode::SUCCESS;
    for (default, search) in searches {
        match search.join() {
            Ok((seen, took)) => println!(
                "default {default:?}, depth {depth}: {} states, {} steps, {} endings, {took:.1} s; no rule was broken",
                seen.states, seen.steps, seen.endings,
            ),
            Err(_) => code = ExitCode::FAILURE,
        }
    }
    code
}

fn recording(file: &str, trace: bool) -> ExitCode {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{file}: {error}");
            return ExitCode::from(2);
        }
    };
    let tell = |line: usize, step: &str| {
        if trace {
            println!("{line:>6}  {step}");
        }
    };
    match replay(&bytes, tell) {
        Ok(replayed) => {
            let end = match (replayed.end.as_deref(), replayed.torn) {
                (Some(end), _) => format!("it ends because: {end}"),
                (None, true) => "it stops in the middle of a line".into(),
                (None, false) => "it stops without an end".into(),
            };
            println!(
                "{} inputs led to the same {} effects; no rule was broken; {end}",
                replayed.inputs, replayed.effects
            );
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{file}, {fault}");
            ExitCode::FAILURE
        }
    }
}
