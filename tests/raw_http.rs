//! A tiny HTTP/1.1 client that sends exactly what it is told: no normalised method, path, or header.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long to wait for a server that says nothing; only a broken server ever uses it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request. `Host`, `Content-Length` and `Connection: close` are added where the headers do not name them.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method, in the case in which it shall be sent.
    pub method: String,
    /// Path and query, raw.
    pub target: String,
    /// Header lines in the order in which they shall be sent.
    pub headers: Vec<(String, String)>,
    /// The body; `None` sends none and no length.
    pub body: Option<Vec<u8>>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, values trimmed, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, with the transfer encoding undone.
    pub body: Vec<u8>,
}

impl Response {
    /// The header's value; several lines of one name are joined with a comma.
    pub fn header(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let values: Vec<&str> =
            self.headers.iter().filter(|(it, _)| *it == name).map(|(_, value)| value.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }
}

/// Sends a request on a connection of its own and reads the whole answer.
pub fn send(server: SocketAddr, request: &Request) -> Result<Response> {
    let mut stream = TcpStream::connect(server).with_context(|| format!("cannot connect to {server}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let written = stream.write_all(&encode(server, request));
    // A server may answer and close before it has read a body that it refuses: its answer counts.
    match read(BufReader::new(stream), &request.method) {
        Ok(response) => Ok(response),
        Err(unread) => match written {
            Err(unwritten) => Err(unread.context(unwritten)),
            Ok(()) => Err(unread),
        },
    }
}

fn encode(server: SocketAddr, request: &Request) -> Vec<u8> {
    let named = |name: &str| request.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
    let mut line =
        |name: &str, value: &str| bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    if !named("host") {
        line("Host", &server.to_string());
    }
    for (name, value) in &request.headers {
        line(name, value);
    }
    if let Some(body) = &request.body
        && !named("content-length")
    {
        line("Content-Length", &body.len().to_string());
    }
    if !named("connection") {
        line("Connection", "close");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body.as_deref().unwrap_or_default());
    bytes
}

fn read(mut stream: impl BufRead, method: &str) -> Result<Response> {
    let status_line = read_line(&mut stream)?;
    let mut words = status_line.split(' ');
    ensure!(words.next().is_some_and(|it| it.starts_with("HTTP/1.")), "not an HTTP answer: {status_line:?}");
    let status: u16 =
        words.next().unwrap_or_default().parse().with_context(|| format!("in {status_line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("no header line: {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if method.eq_ignore_ascii_case("HEAD") || status == 204 || status == 304 {
        return Ok(response);
    }
    if response.header("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        response.body = read_chunks(&mut stream)?;
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().with_context(|| format!("content-length {length:?}"))?;
        response.body = vec![0; length];
        stream.read_exact(&mut response.body).context("the answer is shorter than its content-length")?;
    } else {
        stream.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).context("no answer")?;
    if line.pop() != Some(b'\n') {
        bail!("the connection ended before the answer did");
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = read_line(stream)?;
        let size = size.split(';').next().unwrap_or_default().trim().to_owned();
        let size = usize::from_str_radix(&size, 16).with_context(|| format!("chunk size {size:?}"))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        let end = read_line(stream)?;
        ensure!(end.is_empty(), "no line end after a chunk");
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_chunks_and_joins_headers() {
        let answer = b"HTTP/1.1 200 OK\r\nVary: a\r\nVARY: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        let response = read(&answer[..], "GET").expect("a valid answer");
        assert_eq!((response.status, response.body.as_slice()), (200, &b"abcd"[..]));
        assert_eq!(response.header("Vary").as_deref(), Some("a, b"));
        assert_eq!(response.header("etag"), None);
    }

    #[test]
    fn a_torn_answer_is_an_error() {
        for torn in [
            "",
            "HTTP/1.1 200 OK\r\nA: b",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "nonsense\r\n\r\n",
        ] {
            assert!(read(torn.as_bytes(), "GET").is_err(), "{torn:?}");
        }
    }

    #[test]
    fn sends_what_it_is_told() {
        let request = Request {
            method: "pOsT".to_owned(),
            target: "/a%2Fb/../?c=%20d".to_owned(),
            headers: vec![("x-Y".to_owned(), "z".to_owned()), ("content-length".to_owned(), "1".to_owned())],
            body: Some(b"1".to_vec()),
        };
        let sent = encode(SocketAddr::from(([127, 0, 0, 1], 80)), &request);
        assert_eq!(
            String::from_utf8_lossy(&sent),
            "pOsT /a%2Fb/../?c=%20d HTTP/1.1\r\nHost: 127.0.0.1:80\r\nx-Y: z\r\ncontent-length: 1\r\nConnection: close\r\n\r\n1"
        );
    }
}
