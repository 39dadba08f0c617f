//! A second process: this test binary again, playing a part that a test tells it.

use crate::restless;
use crate::support::{Collector, Folder, PATIENCE, TOKEN, tool};
use refrain::engine::{Answer, DefaultConsent};
use refrain::native::{Client, OptOut, PendingRequest, Transport};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex};
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
        hear(&mut self.output)
    }

    /// The process, and what is said to it and by it: one may listen while another one kills.
    pub fn apart(&mut self) -> (&mut Child, &mut ChildStdin, &mut BufReader<ChildStdout>) {
        (&mut self.child, &mut self.input, &mut self.output)
    }

    pub fn expect(&mut self, word: &str) {
        assert_eq!(self.hear().as_deref(), Some(word));
    }

    pub fn signal(&self, signal: &str) {
        tool("kill", &[signal, &self.child.id().to_string()]);
    }

    /// Stops the process; once this returns none of its threads runs any more.
    pub fn stop(&self) {
        self.signal("-STOP");
        let id = self.child.id().to_string();
        let state = || Command::new("ps").args(["-o", "stat=", "-p", &id]).output();
        while !state().expect("this test needs `ps`").stdout.starts_with(b"T") {}
    }
}

/// The next line that a player says; `None` once it is gone.
pub fn hear(output: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap_or(0) == 0 || !line.ends_with('\n') {
            return None;
        }
        // The test harness speaks, too.
        if let Some((_, said)) = line.split_once("> ") {
            return Some(said.trim_end().to_owned());
        }
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
        "busy" => {
            let client = builder.flush_interval(Duration::from_millis(1)).build().unwrap();
            restless::work(&client);
            obey(&client);
        }
        "restless" => restless::live(builder.flush_interval(Duration::from_millis(5))),
        part => panic!("{part}"),
    }
}

pub fn say(text: &str) {
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
            ["release"] => {
                *RELEASED.0.lock().unwrap() = true;
                RELEASED.1.notify_all();
            }
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

/// Opens a request, and holds it until it is told to release it.
struct Holds;

static RELEASED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Transport for Holds {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        let Ok(open) = request.open() else { return Answer::Unreachable };
        say("holding");
        let (released, told) = &RELEASED;
        drop(told.wait_while(released.lock().unwrap(), |released| !*released));
        drop(open);
        say("released");
        Answer::Unreachable
    }
}
