//! `simulate`: worlds of chance, one world again, all short histories, or what a client has recorded. `--help` says how.

use refrain::engine::DefaultConsent;
use refrain_simulation::chance;
use refrain_simulation::flight::replay;
use refrain_simulation::oracle::Tally;
use refrain_simulation::search::{History, laws, search};
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

const USAGE: &str = "\
simulate [--worlds N] [--from SEED]   worlds of chance, 2,000 of them from seed 1
simulate --seed SEED [--trace]        one world again, told step by step with --trace
simulate --search DEPTH               all histories of so many actions of two processes
simulate --history HISTORY [--trace]  one of them again, told step by step with --trace
simulate --replay FILE [--trace]      what a client's flight recorder has written, step by step with --trace
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Order::read(&arguments) {
        Ok(Order::Worlds { from, count, trace }) => worlds(from, count, trace),
        Ok(Order::Search { depth }) => all_histories(depth),
        Ok(Order::History { history, trace }) => {
            history.play(trace);
            println!("no rule was broken");
            ExitCode::SUCCESS
        }
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
    History { history: History, trace: bool },
    Replay { file: String, trace: bool },
}

impl Order {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (mut from, mut count, mut trace) = (1, 2_000, false);
        let (mut file, mut history) = (None, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--replay" {
                file = Some(arguments.next().ok_or("--replay wants a file")?.clone());
                continue;
            }
            if argument == "--history" {
                let read = arguments.next().and_then(|text| History::read(text));
                history = Some(read.ok_or("--history wants what a search has printed")?);
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
        Ok(match (file, history) {
            (Some(file), _) => Self::Replay { file, trace },
            (None, Some(history)) => Self::History { history, trace },
            (None, None) => Self::Worlds { from, count, trace },
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
            let start = Instant::now();
            (search(&laws(default), depth), start.elapsed().as_secs_f64())
        });
        (default, search)
    });
    let mut code = ExitCode::SUCCESS;
    for (default, search) in searches {
        match search.join() {
            Ok((seen, took)) => println!(
                "default {default:?}, depth {depth}: {} states, {} of them after a withdrawal that found data beside \
                 another process; {} steps, {} endings, {took:.1} s; no rule was broken",
                seen.states, seen.withdrawals, seen.steps, seen.endings,
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
