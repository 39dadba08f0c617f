//! `fuzz`: mutates the corpus of a target until something breaks, or replays inputs. Without arguments it says how.

use refrain_fuzz::corpus;
use refrain_fuzz::run::{Failure, Finding, attempt, fuzz, smaller};
use refrain_fuzz::targets::{TARGETS, Target};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
fuzz TARGET [--seconds N | --inputs N] [--seed S]   mutations of corpus/TARGET; 100,000 of them from seed 1
fuzz TARGET --replay FILE...                        these inputs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Order::read(&arguments).and_then(|order| order.carry_out()) {
        Ok(code) => code,
        Err(why) => {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            eprint!("{why}\n{USAGE}targets: {}\n", names.join(", "));
            ExitCode::from(2)
        }
    }
}

struct Order {
    target: &'static Target,
    seed: u64,
    inputs: Option<u64>,
    time: Option<Duration>,
    replay: Vec<PathBuf>,
}

impl Order {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (name, options) = arguments.split_first().ok_or("which target?")?;
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.ok_or_else(|| format!("there is no target {name}"))?;
        let mut order = Self { target, seed: 1, inputs: None, time: None, replay: Vec::new() };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            if option == "--replay" {
                order.replay = options.by_ref().map(PathBuf::from).collect();
                break;
            }
            let number = options.next().and_then(|number| number.replace(['_', ','], "").parse().ok());
            let number = number.ok_or_else(|| format!("{option} wants a number"))?;
            match option.as_str() {
                "--seconds" => order.time = Some(Duration::from_secs(number)),
                "--inputs" => order.inputs = Some(number),
                "--seed" => order.seed = number,
                other => return Err(format!("there is no {other}")),
            }
        }
        Ok(order)
    }

    fn carry_out(&self) -> Result<ExitCode, String> {
        if self.replay.is_empty() { self.fuzz() } else { self.replay() }
    }

    fn replay(&self) -> Result<ExitCode, String> {
        let mut code = ExitCode::SUCCESS;
        for path in &self.replay {
            let data = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            match attempt(self.target, &data) {
                Ok(()) => println!("{}: passes", path.display()),
                Err(Failure { place, message }) => {
                    println!("{}: {place}: {message}", path.display());
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }

    fn fuzz(&self) -> Result<ExitCode, String> {
        let target = self.target;
        let files = corpus::read(target.name).map_err(|error| format!("the corpus: {error}"))?;
        let seeds: Vec<_> = files.into_iter().map(|(_, data)| data).collect();
        for data in &seeds {
            if let Err(failure) = attempt(target, data) {
                return Ok(self.report(&Finding { data: data.clone(), failure }));
            }
        }
        let start = Instant::now();
        let most = self.inputs.unwrap_or(if self.time.is_some() { u64::MAX } else { 100_000 });
        let in_time =
            |inputs: u64| !inputs.is_multiple_of(64) || self.time.is_none_or(|time| start.elapsed() < time);
        match fuzz(target, &seeds, self.seed, |inputs| inputs < most && in_time(inputs)) {
            Ok(inputs) => {
                let rate = inputs as f64 / start.elapsed().as_secs_f64();
                println!("{}: {inputs} inputs, {rate:.0} a second; nothing broke", target.name);
                Ok(ExitCode::SUCCESS)
            }
            Err(finding) => Ok(self.report(&finding)),
        }
    }

    fn report(&self, finding: &Finding) -> ExitCode {
        let name = self.target.name;
        let small = smaller(self.target, finding);
        println!("{name}: {}: {}", small.failure.place, small.failure.message);
        println!(
            "  {} bytes, before {}: {}",
            small.data.len(),
            finding.data.len(),
            small.data.escape_ascii()
        );
        match corpus::write(name, &small.data) {
            Ok(path) => println!("again: cargo xtask fuzz {name} --replay {}", path.display()),
            Err(error) => println!("could not be written to the corpus: {error}"),
        }
        ExitCode::FAILURE
    }
}
