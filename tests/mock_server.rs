//! The real `refrain-mock` program, started on a free port and ended with its handle.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::raw_http::{self, Request, Response};

/// A running server.
#[derive(Debug)]
pub struct MockServer {
    process: Child,
    address: SocketAddr,
}

impl MockServer {
    /// Starts a server that keeps its data in memory.
    pub fn in_memory() -> Result<Self> {
        Self::start("127.0.0.1:0", "memory".as_ref())
    }

    /// Starts a server that keeps its data in a folder.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::start("127.0.0.1:0", folder)
    }

    /// Starts a server where another one has listened before, on that one's folder.
    pub fn again(address: SocketAddr, folder: &Path) -> Result<Self> {
        Self::start(&address.to_string(), folder)
    }

    fn start(listen: &str, store: &Path) -> Result<Self> {
        let program = program()?;
        let mut process = Command::new(program)
            .args(["serve", "--listen", listen, "--store"])
            .arg(store)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().context("the server has no standard output")?;
        match ready_line(BufReader::new(stdout)) {
            Ok(address) => Ok(Self { process, address }),
            Err(error) => {
                let _already_gone = process.kill();
                let status = process.wait()?;
                Err(error.context(format!("the server ended with {status}")))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request to it.
    pub fn send(&self, request: &Request) -> Result<Response> {
        raw_http::send(self.address, request)
    }

    /// Calls the control API; a status other than 200 is an error that shows the answer.
    pub fn control(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.send(&Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.map(|it| it.to_string().into_bytes()),
        })?;
        let text = String::from_utf8_lossy(&response.body);
        ensure!(response.status == 200, "{method} {target} was answered {}: {text}", response.status);
        serde_json::from_str(&text)
            .with_context(|| format!("{method} {target} was answered with no JSON: {text}"))
    }

    /// Ends the process as SIGKILL does, and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_waited = self.process.wait();
    }
}

fn ready_line(mut output: impl BufRead) -> Result<SocketAddr> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    let Some(url) = line.trim().strip_prefix("refrain-mock ready http://") else {
        bail!("the server did not say that it is ready, but {line:?}");
    };
    url.trim_end_matches('/').parse().with_context(|| format!("the server's address {url:?}"))
}

/// The program: `REFRAIN_MOCK_BIN` where it is set, else built now, so that it is never older than its source.
fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| match std::env::var_os("REFRAIN_MOCK_BIN") {
        Some(chosen) => Ok(PathBuf::from(chosen)),
        None => build().map_err(|error| format!("{error:#}")),
    });
    found.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
}

fn build() -> Result<PathBuf> {
    // This test stands in TARGET/PROFILE/deps.
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("the test is not in cargo's output folder")?;
    let target = profile.parent().context("the profile's folder has no parent")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "refrain-mock", "--bin", "refrain-mock", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(status.success(), "building refrain-mock ended with {status}");
    Ok(target.join("debug").join(format!("refrain-mock{}", std::env::consts::EXE_SUFFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_the_ready_line_and_nothing_else() {
        let address = ready_line(&b"refrain-mock ready http://127.0.0.1:8787\n"[..]).expect("a ready line");
        assert_eq!(address, SocketAddr::from(([127, 0, 0, 1], 8787)));
        for wrong in ["", "listening on http://127.0.0.1:8787\n", "refrain-mock ready http://somewhere\n"] {
            assert!(ready_line(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
