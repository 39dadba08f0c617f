//! The servers that are measured, as processes of their own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::batches::message;
use crate::connection::Connection;

/// A running server; ended with its handle.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
    /// From the start of the process until it can be called.
    pub ready_after: Duration,
}

impl Server {
    /// Ours, on a folder.
    pub fn ours(program: &Path, folder: &Path) -> Result<Server> {
        let begun = Instant::now();
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let ready_after = begun.elapsed();
        let address =
            line.trim().rsplit("http://").next().and_then(|it| it.trim_end_matches('/').parse().ok());
        let address = address.with_context(|| format!("the server said {line:?}"))?;
        Ok(Server { process, address, ready_after })
    }

    /// WireMock, that answers `/track` and remembers nothing. It makes folders of its own in the one given.
    pub fn wiremock(jar: &Path, folder: &Path) -> Result<Server> {
        let server = Server::java(|port| {
            let mut command = Command::new("java");
            command.arg("-jar").arg(jar).args(["--port", &port, "--bind-address", "127.0.0.1"]);
            command.arg("--root-dir").arg(folder);
            command.args(["--no-request-journal", "--disable-banner", "--container-threads", "32"]);
            command
        })?;
        let stub = r#"{"request":{"method":"POST","urlPath":"/track"},"response":{"status":200,"body":"1"}}"#;
        server.tell("POST", "/__admin/mappings", stub)?;
        Ok(server)
    }

    /// MockServer, that answers `/track` and remembers as little as it can.
    pub fn mockserver(jar: &Path) -> Result<Server> {
        let server = Server::java(|port| {
            let mut command = Command::new("java");
            command.args([
                "-Dmockserver.logLevel=OFF",
                "-Dmockserver.maxLogEntries=1",
                "-Dmockserver.disableLogging=true",
            ]);
            command.arg("-jar").arg(jar).args(["-serverPort", &port]);
            command
        })?;
        let expectation = r#"{"httpRequest":{"method":"POST","path":"/track"},"httpResponse":{"statusCode":200,"body":"1"}}"#;
        server.tell("PUT", "/mockserver/expectation", expectation)?;
        Ok(server)
    }

    fn java(command: impl Fn(String) -> Command) -> Result<Server> {
        // They cannot say which port they chose, so one that is free now is named to them.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let begun = Instant::now();
        let process = command(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start java")?;
        let mut server = Server { process, address, ready_after: Duration::ZERO };
        loop {
            let request = message(address, "GET", "/", "");
            if Connection::open(address).and_then(|mut connection| connection.send(&request)).is_ok() {
                server.ready_after = begun.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.process.try_wait()? {
                bail!("java ended with {status}");
            }
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("java does not answer");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// One call that has to succeed.
    pub fn tell(&self, method: &str, target: &str, body: &str) -> Result<Vec<u8>> {
        let mut connection = Connection::open(self.address)?;
        connection.send_well(&message(self.address, method, target, body))?;
        Ok(connection.body().to_vec())
    }

    /// Its number in the system.
    pub fn process_id(&self) -> String {
        self.process.id().to_string()
    }

    /// What it holds in memory, where the system tells (Linux).
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processor time that a process has used: its number, or `self`. Where the system tells (Linux).
pub fn processor_time(process: &str) -> Option<Duration> {
    // In ticks of a hundredth of a second, whatever the machine; the name before may have spaces in it.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = |field: Option<&str>| field?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(fields.next())? + ticks(fields.next())?) * 10))
}

/// The jar in a folder whose name begins so.
pub fn jar(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(name) && file.ends_with(".jar")
    })
}
