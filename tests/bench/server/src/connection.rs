//! A kept-alive connection that sends what is given and reads one answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};

/// To one server.
pub struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(to: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::with_capacity(16 * 1024, stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// Sends a request and answers the status; the body is in [`Connection::body`].
    pub fn send(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.get_mut().write_all(request)?;
        self.read_line()?;
        let status =
            self.line.split(' ').nth(1).and_then(|text| text.parse().ok()).context("no status line")?;
        let (mut length, mut is_chunked) = (None, false);
        loop {
            self.read_line()?;
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { bail!("a header without a colon: {line}") };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        self.body.clear();
        if is_chunked {
            self.read_chunks()?;
        } else if let Some(length) = length {
            self.read_exactly(length)?;
        } else {
            ensure!(status == 204 || status == 304, "an answer of unknown length");
        }
        Ok(status)
    }

    /// Sends a request that has to succeed.
    pub fn send_well(&mut self, request: &[u8]) -> Result<()> {
        let status = self.send(request)?;
        ensure!((200..300).contains(&status), "answered {status}: {}", String::from_utf8_lossy(&self.body));
        Ok(())
    }

    /// The last answer's body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        ensure!(self.stream.read_line(&mut self.line)? > 0, "the server closed the connection");
        Ok(())
    }

    fn read_exactly(&mut self, length: usize) -> Result<()> {
        let start = self.body.len();
        self.body.resize(start + length, 0);
        self.stream.read_exact(&mut self.body[start..])?;
        Ok(())
    }

    fn read_chunks(&mut self) -> Result<()> {
        loop {
            self.read_line()?;
            let size = usize::from_str_radix(self.line.trim().split(';').next().unwrap_or_default(), 16)?;
            self.read_exactly(size)?;
            self.read_line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}
