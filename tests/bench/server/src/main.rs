//! Measures the server: ingestion beside a plain insert and beside other mock servers, latency at a fixed rate, memory,
//! start-up, erasure and sweep. `cargo xtask bench server` builds what is needed and starts it.

mod batches;
mod connection;
mod erasure;
mod figures;
mod load;
mod plain;
mod servers;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::batches::BATCH;
use crate::figures::{line, median, millis, percentile, thousands};
use crate::plain::Rows;
use crate::servers::Server;

const USAGE: &str = "bench-server --server PROGRAM --folder FOLDER [--jars FOLDER] [--only PART] [--large]";
const PARTS: [&str; 4] = ["start-up", "ingestion", "latency", "erasure"];

/// Batches of one round.
const ROUND: u64 = 4_000;
/// Batches before a round, so that nobody is measured cold.
const WARMING: u64 = 1_000;
const ROUNDS: usize = 5;
/// Requests a second, and how many of them.
const RATE: u32 = 200;
const RATED: u64 = 2_000;
const STARTS: usize = 21;

struct Options {
    server: PathBuf,
    folder: PathBuf,
    jars: Option<PathBuf>,
    only: Option<String>,
    is_large: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
        let (mut server, mut folder, mut jars, mut only, mut is_large) = (None, None, None, None, false);
        while let Some(argument) = arguments.next() {
            let mut path =
                || arguments.next().map(PathBuf::from).with_context(|| format!("{argument} wants a path"));
            match argument.as_str() {
                "--server" => server = Some(path()?),
                "--folder" => folder = Some(path()?),
                "--jars" => jars = Some(path()?),
                "--only" => {
                    let part = arguments.next().unwrap_or_default();
                    ensure!(PARTS.contains(&part.as_str()), "--only wants one of {}", PARTS.join(", "));
                    only = Some(part);
                }
                "--large" => is_large = true,
                _ => bail!("unknown option {argument}; usage: {USAGE}"),
            }
        }
        Ok(Options { server: server.context(USAGE)?, folder: folder.context(USAGE)?, jars, only, is_large })
    }

    /// A folder that is empty.
    fn empty(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let parts: [fn(&Options) -> Result<()>; 4] = [start_up, ingestion, latency, erasure];
    for (part, name) in parts.iter().zip(PARTS) {
        if options.only.as_deref().is_none_or(|only| only == name) {
            part(&options)?;
        }
    }
    std::fs::remove_dir_all(&options.folder)?;
    Ok(())
}

fn start_up(options: &Options) -> Result<()> {
    println!("\nStart-up and memory at rest, on an empty folder, median of {STARTS}");
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let server = Server::ours(&options.server, &options.empty("start")?)?;
        server.tell("GET", "/mock/stats", "")?;
        ready.push(server.ready_after);
        memory.extend(server.resident_bytes());
    }
    line("ready from start (budget: 50 ms)", &millis(median(&ready)));
    if !memory.is_empty() {
        line("memory at rest (budget: 30 MB)", &format!("{:.1} MB", median(&memory) as f64 / 1e6));
    }
    Ok(())
}

/// Who takes requests.
struct Contender {
    name: &'static str,
    rates: Vec<f64>,
    /// Processor time for an event.
    work: Vec<Duration>,
}

impl Contender {
    fn new(name: &'static str) -> Contender {
        Contender { name, rates: Vec::new(), work: Vec::new() }
    }

    fn add(&mut self, round: Round) {
        self.rates.push(round.events as f64 / round.time.as_secs_f64());
        self.work.extend(round.work.map(|work| work / round.events as u32));
    }
}

/// What a round took.
struct Round {
    events: u64,
    time: Duration,
    work: Option<Duration>,
}

fn ingestion(options: &Options) -> Result<()> {
    println!(
        "\nIngestion: {} events in batches of {BATCH} over loopback, {} connections, median of {ROUNDS} rounds",
        thousands((ROUND * BATCH) as f64),
        load::CONNECTIONS
    );
    let jar = |name| options.jars.as_ref().and_then(|folder| servers::jar(folder, name));
    let others = [("WireMock", jar("wiremock")), ("MockServer", jar("mockserver"))];
    let mut running = Vec::new();
    for (name, jar) in &others {
        match jar {
            Some(jar) if *name == "WireMock" => {
                running.push((*name, Server::wiremock(jar, &options.empty("wiremock")?)?))
            }
            Some(jar) => running.push((*name, Server::mockserver(jar)?)),
            None => println!("  {name} is left out: its jar is not there (Java and Maven are needed)"),
        }
    }
    let mut plain = Contender::new("plain insert of the same rows, no HTTP, no sealing");
    let mut ours = Contender::new("refrain-mock, durable");
    let mut others: Vec<Contender> = running.iter().map(|(name, _)| Contender::new(name)).collect();
    for round in 0..ROUNDS {
        let folder = options.empty("ingestion")?;
        let server = Server::ours(&options.server, &folder)?;
        ours.add(rate(&server)?);
        if round == 0
            && let Some(bytes) = server.resident_bytes()
        {
            line("refrain-mock's memory after the round", &format!("{:.1} MB", bytes as f64 / 1e6));
        }
        drop(server);
        let (rows, plain_folder) = (Rows::of(&folder)?, options.empty("plain")?);
        // As many events as the server was sent, those of the warming included.
        plain.add(spent("self", (ROUND + WARMING) * BATCH, || rows.write(&plain_folder))?);
        for ((_, server), other) in running.iter().zip(&mut others) {
            other.add(rate(server)?);
        }
    }
    let us = median(&ours.rates);
    for contender in [&plain, &ours].into_iter().chain(&others) {
        let rate = median(&contender.rates);
        let beside = if std::ptr::eq(contender, &raw const ours) {
            String::new()
        } else {
            format!("   refrain-mock is {:.2} of it", us / rate)
        };
        let work = match contender.work.is_empty() {
            true => String::new(),
            false => format!(", {:>4.1} µs of a processor each", median(&contender.work).as_secs_f64() * 1e6),
        };
        line(contender.name, &format!("{:>9} events/s{work}{beside}", thousands(rate)));
    }
    println!("  (budget: at least 0.50 of the plain insert; the other servers store nothing)");
    Ok(())
}

fn rate(server: &Server) -> Result<Round> {
    let now = now()?;
    let requests = |batches: std::ops::Range<u64>| -> Vec<Vec<u8>> {
        batches.map(|batch| batches::request(server.address, batch, now)).collect()
    };
    load::as_fast_as_it_goes(server.address, &requests(0..WARMING))?;
    let requests = requests(WARMING..WARMING + ROUND);
    spent(&server.process_id(), ROUND * BATCH, || load::as_fast_as_it_goes(server.address, &requests))
}

/// What so many events took, and a process spent on them.
fn spent(process: &str, events: u64, run: impl FnOnce() -> Result<Duration>) -> Result<Round> {
    let before = servers::processor_time(process);
    let time = run()?;
    let work = servers::processor_time(process).zip(before).map(|(after, before)| after - before);
    Ok(Round { events, time, work })
}

fn latency(options: &Options) -> Result<()> {
    println!(
        "\nLatency at {RATE} requests of {BATCH} events a second, durable, counted from when each is due"
    );
    let server = Server::ours(&options.server, &options.empty("latency")?)?;
    let now = now()?;
    let requests: Vec<_> = (0..RATED).map(|batch| batches::request(server.address, batch, now)).collect();
    let times = load::at_a_rate(server.address, &requests, RATE)?;
    ensure!(times.len() == requests.len(), "not every request was answered");
    for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
        line(&format!("{percent} %"), &millis(percentile(&times, percent)));
    }
    Ok(())
}

fn erasure(options: &Options) -> Result<()> {
    println!("\nErasure and sweep among 1,000,000 events");
    let small = erasure::measure(&options.server, &options.empty("million")?, 1_000_000)?;
    if options.is_large {
        println!("\nErasure and sweep among 10,000,000 events");
        let large = erasure::measure(&options.server, &options.empty("ten-million")?, 10_000_000)?;
        let ratio =
            |of: fn(&erasure::Measured) -> Duration| of(&large).as_secs_f64() / of(&small).as_secs_f64();
        line(
            "unreadable, 10 million beside 1 million (budget: 2)",
            &format!("{:.2}", ratio(|it| it.unreadable)),
        );
        line("the disk's sync, 10 million beside 1 million", &format!("{:.2}", ratio(|it| it.sync)));
    } else {
        println!("  (--large measures 10,000,000 events, too: some minutes and 8 GB)");
    }
    Ok(())
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs())
}
