//! One part of a benchmark, in a process of its own.

use crate::client::{CLIENTS, Client};
use crate::collector::Collector;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is played.
pub struct Play {
    client: &'static Client,
    part: &'static str,
    count: usize,
    pause_us: u64,
}

impl Play {
    pub fn calls(client: &'static Client, count: usize, pause_us: u64) -> Self {
        Self { client, part: "calls", count, pause_us }
    }

    pub fn durable(client: &'static Client, count: usize) -> Self {
        Self { client, part: "durable", count, pause_us: 0 }
    }
}

/// What came of it.
#[derive(Default)]
pub struct Figures {
    pub p50_us: f64,
    pub p99_us: f64,
    pub wall_s: f64,
    pub cpu_s: f64,
}

/// Plays it in a new process and reads what it says.
pub fn start(play: &Play, collector: &Collector) -> Figures {
    let folder = folder();
    let output = command(play.client, play.part, play.count, play.pause_us, &folder, &collector.url)
        .stderr(Stdio::inherit())
        .output()
        .expect("this program can be started again");
    let _ = std::fs::remove_dir_all(folder);
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let mut numbers = last.split(' ').map(|number| number.parse().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    Figures { p50_us: next(), p99_us: next(), wall_s: next(), cpu_s: next() }
}

/// Kills a process 0.3 s after its last call, starts another one on its folder, and counts what arrives.
pub fn kill(client: &'static Client, count: usize, collector: &Collector) -> usize {
    let folder = folder();
    collector.clear();
    // An address where nobody listens: what is not written down is lost.
    let mut child =
        command(client, "killed", count, 0, &folder, "http://127.0.0.1:9").spawn().expect("it starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("its output");
    let _ = BufReader::new(output).read_line(&mut line);
    std::thread::sleep(Duration::from_millis(300));
    let _ = child.kill();
    let _ = child.wait();
    let _ = command(client, "resumed", count, 0, &folder, &collector.url).output();
    let _ = std::fs::remove_dir_all(folder);
    collector.count()
}

fn command(client: &Client, part: &str, count: usize, pause_us: u64, folder: &Path, url: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("its own path"));
    command.args(["play", client.name, part, &count.to_string(), &pause_us.to_string()]);
    command.arg(folder).arg(url).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn folder() -> PathBuf {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    std::env::temp_dir().join(format!("bench-client-{}-{}", std::process::id(), now.as_nanos()))
}

/// The part, in its own process.
pub fn perform(words: &[&str]) {
    let [name, part, count, pause_us, folder, url] = words else { panic!("a part has six words") };
    let client = CLIENTS.iter().find(|client| client.name == *name).expect("a client of this name");
    let (count, pause) = (count.parse::<usize>().expect("a number"), pause_us.parse().expect("a number"));
    let mut made = (client.make)(folder.as_ref(), url);
    match *part {
        "calls" => {
            let mut took: Vec<f64> = (0..count).map(|number| one(&mut *made, number, pause)).collect();
            took.sort_by(f64::total_cmp);
            println!("{} {}", took[count / 2], took[count * 99 / 100]);
        }
        "durable" => {
            let (start, cpu) = (Instant::now(), cpu_s());
            for number in 0..count {
                made.prepare(number);
                made.call();
            }
            made.finish();
            println!("0 0 {} {}", start.elapsed().as_secs_f64(), cpu_s() - cpu);
        }
        "killed" => {
            for number in 0..count {
                made.prepare(number);
                made.call();
            }
            println!("done");
            let _ = std::io::stdout().flush();
            std::thread::sleep(Duration::from_secs(60));
        }
        // It sends what its predecessor has left behind.
        "resumed" => {
            std::thread::sleep(Duration::from_secs(8));
            made.finish();
        }
        part => panic!("there is no part {part}"),
    }
}

/// One call, in microseconds, after a pause.
fn one(made: &mut dyn crate::client::Made, number: usize, pause_us: u64) -> f64 {
    made.prepare(number);
    if pause_us > 0 {
        spin(Duration::from_micros(pause_us));
    }
    let start = Instant::now();
    made.call();
    start.elapsed().as_nanos() as f64 / 1_000.0
}

/// A pause in which the thread has other things to do.
fn spin(pause: Duration) {
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
}

/// Processor time of this process, where the system tells.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}
