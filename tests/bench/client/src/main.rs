//! `bench-client`: what a call costs its caller, how fast records become safe, and what outlives a kill.
//!
//! Every figure is of a process of its own, started again for each round; the clients take turns within a round, so
//! that a machine that is busy for a while is busy for all of them.

mod client;
mod collector;
mod play;

use client::CLIENTS;
use collector::Collector;
use play::{Figures, Play};
use std::process::ExitCode;

const USAGE: &str = "\
bench-client [--rounds N]   5 rounds
";
/// Calls of a burst; calls of a paced run.
const BURST: usize = 20_000;
const PACED: usize = 2_000;
/// Records that are to be safe from a kill.
const DURABLE: usize = 200_000;
/// Records of which a kill may cost some.
const KILLED: usize = 30;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["play", ..] => {
            play::perform(&words[1..]);
            ExitCode::SUCCESS
        }
        [] => bench(5),
        ["--rounds", rounds] if rounds.parse::<usize>().is_ok_and(|rounds| rounds > 0) => {
            bench(rounds.parse().unwrap_or(1))
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn bench(rounds: usize) -> ExitCode {
    let collector = Collector::start();
    let run = |play: Play| play::start(&play, &collector);
    println!("a call in its caller's thread, microseconds; medians of {rounds} rounds that took turns");
    println!("{:28} {:>9} {:>9} {:>9} {:>9}", "", "burst p50", "p99", "paced p50", "p99");
    for (name, burst, paced) in
        turns(rounds, |client| (run(Play::calls(client, BURST, 0)), run(Play::calls(client, PACED, 200))))
    {
        println!(
            "{name:28} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            burst.median(|f| f.p50_us),
            burst.median(|f| f.p99_us),
            paced.median(|f| f.p50_us),
            paced.median(|f| f.p99_us)
        );
    }
    println!(
        "\n{DURABLE} records from the first call until all are written down, a second; per second of processor"
    );
    for (name, wall, _) in turns(rounds, |client| {
        let figures = if client.keeps { run(Play::durable(client, DURABLE)) } else { Figures::default() };
        (figures, Figures::default())
    }) {
        let per = |seconds: f64| if seconds > 0.0 { DURABLE as f64 / seconds } else { 0.0 };
        let (wall_s, cpu_s) = (wall.median(|f| f.wall_s), wall.median(|f| f.cpu_s));
        match wall_s > 0.0 {
            true => println!("{name:28} {:>9.0} {:>9.0}", per(wall_s), per(cpu_s)),
            false => println!("{name:28} it writes nothing down"),
        }
    }
    println!("\nof {KILLED} records, killed 0.3 s after the last call and started again: how many arrive");
    for client in &CLIENTS {
        let arrived = play::kill(client, KILLED, &collector);
        println!("{:28} {arrived}", client.name);
    }
    ExitCode::SUCCESS
}

/// Rounds in which every client has its turn: the name, and two sets of figures.
fn turns(
    rounds: usize,
    mut turn: impl FnMut(&'static client::Client) -> (Figures, Figures),
) -> Vec<(&'static str, Rounds, Rounds)> {
    let mut all: Vec<_> =
        CLIENTS.iter().map(|client| (client.name, Rounds::default(), Rounds::default())).collect();
    for _ in 0..rounds {
        for (client, (_, first, second)) in CLIENTS.iter().zip(&mut all) {
            let (one, other) = turn(client);
            first.0.push(one);
            second.0.push(other);
        }
    }
    all
}

/// The figures of one client's rounds.
#[derive(Default)]
struct Rounds(Vec<Figures>);

impl Rounds {
    fn median(&self, of: fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }
}
