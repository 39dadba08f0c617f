//! A second process: this test binary again, playing a part that a test tells it.

use crate::support::{Collector, Folder, PATIENCE, TOKEN, tool};
use refrain::engine::{Answer, DefaultConsent, Outcome};
use refrain::native::{Client, OptOut, PendingRequest, Transport};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The process, seen from the test.
pub struct Player {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    pub fn start(part: &str, folder: &Folder, collector: &Collector) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), part, folder, collector)
    }

    /// In an environment with these variables.
    pub fn start_where(
        variables: &[(&str, &str)],
        part: &str,
        folder: &Folder,
        collector: &Collector,
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.envs(variables.iter().copied());
        Self::spawn(command, part, folder, collector)
    }

    /// Under a limit of the size of files: what a full disk looks like, without a disk.
    pub fn start_limited(kibibytes: u32, part: &str, folder: &Folder, collector: &Collector) -> Self {
        let mut command = Command::new("sh");
        // It counts blocks of 512 bytes.
        let blocks = 2 * kibibytes;
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(command, part, folder, collector)
    }

    fn spawn(mut command: Command, part: &str, folder: &Folder, collector: &Collector) -> Self {
        command.args(["--exact", "player::play", "--nocapture"]);
        command.env("REFRAIN_TEST_PART", part).env("REFRAIN_TEST_DATA", folder.data());
        command.env("REFRAIN_TEST_ENDPOINT", collector.url());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Tells the player something.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// What the player says next; `None` once it is gone.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap_or(0) == 0 || !line.ends_with('\n') {
                return None;
            }
            // The test harness speaks, too.
            if let Some((_, said)) = line.split_once("> ") {
                return Some(said.trim_end().to_owned());
            }
        }
    }

    pub fn expect(&mut self, word: &str) {
        assert_eq!(self.hear().as_deref(), Some(word));
    }

    pub fn signal(&self, signal: &str) {
        tool("kill", &[signal, &self.child.id().to_string()]);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part itself. Started by the test command without one it has nothing to do.
#[test]
fn play() {
    let Ok(part) = std::env::var("REFRAIN_TEST_PART") else { return };
    let builder = Client::builder(TOKEN)
        .data_dir(std::env::var_os("REFRAIN_TEST_DATA").unwrap())
        .endpoint(std::env::var("REFRAIN_TEST_ENDPOINT").unwrap())
        .default_consent(DefaultConsent::Granted)
        .batch_size(2_000);
    match part.as_str() {
        "obey" => obey(&builder.flush_interval(Duration::from_secs(3_600)).build().unwrap()),
        "hold" => obey(&builder.flush_interval(Duration::from_secs(3_600)).transport(Holds).build().unwrap()),
        "run" => run(&builder.flush_interval(Duration::from_millis(5)).build().unwrap()),
        part => panic!("{part}"),
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {text}").unwrap();
    out.flush().unwrap();
}

/// Does what it is told, line by line, and says how it ended.
fn obey(client: &Client) {
    client.sync(PATIENCE);
    say("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["track", count, name] => {
                for _ in 0..count.parse().unwrap() {
                    client.track(name, ());
                }
                say(&client.sync(PATIENCE).to_string());
            }
            ["flush"] => say(&format!("{:?}", client.flush(PATIENCE))),
            ["send"] => {
                let client = client.clone();
                std::thread::spawn(move || client.flush(PATIENCE));
            }
            ["out"] => {
                say(&client.opt_out(OptOut::default()).map_or_else(|t| t.to_string(), |()| "out".into()))
            }
            ["in"] => say(&client.opt_in().map_or_else(|t| t.to_string(), |()| "in".into())),
            ["end"] => say(&format!("{:?}", client.shutdown(PATIENCE))),
            ["verdict"] => say(client.consent().verdict.as_str()),
            ["device"] => say(&client.device_id().unwrap_or_default()),
            ["identify", user] => say(&format!("{:?}", client.identify(user))),
            ["id"] => say(&client.distinct_id().unwrap_or_default()),
            ["stats"] => {
                let stats = client.stats();
                say(&format!(
                    "{} queued, {}",
                    stats.queued,
                    if stats.balance() { "balanced" } else { "off" }
                ));
            }
            _ => panic!("{line}"),
        }
    }
}

/// Opens a request, and never ends.
struct Holds;

impl Transport for Holds {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        let open = request.open();
        say("holding");
        loop {
            std::thread::park();
            std::hint::black_box(&open);
        }
    }
}

/// Records without end and says what stands on disk, until it is killed; changes its mind now and then, and waits
/// then for the test to have looked.
fn run(client: &Client) {
    let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
    let round: u64 = lines.next().unwrap().parse().unwrap();
    client.sync(PATIENCE);
    if client.has_opted_out() {
        say("found out");
        lines.next();
        client.opt_in().unwrap();
    }
    for index in 0.. {
        let name = format!("{round}/{index}");
        if client.track(&name, ()) == Outcome::Accepted && client.sync(PATIENCE) {
            say(&format!("took {name}"));
        }
        // Some are sent before the next change of mind, however slow the machine; others wait for the interval.
        if (index + round) % 5 == 4 {
            client.flush(PATIENCE);
        }
        if (index + round) % 11 == 10 {
            client.opt_out(OptOut::default()).unwrap();
            say("out");
            lines.next();
            client.opt_in().unwrap();
        }
    }
}
