//! What the tests share: a folder that goes away, a collector on a real socket, and a second process.

use refrain::engine::{DefaultConsent, FlushState, Notice, Outcome};
use refrain::native::{Builder, Client};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Long enough for any machine; nothing waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TOKEN: &str = "planted-token";

/// A folder of one test, deleted at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("refrain-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The data folder in it, which does not exist yet.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every file below a folder, with its content.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// The files that hold anything, by name.
pub fn names(folder: &Path) -> Vec<String> {
    let named = |(path, _): (PathBuf, Vec<u8>)| path.file_name().unwrap().to_string_lossy().into_owned();
    files(folder).into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(named).collect()
}

/// Whether these bytes stand in any file below a folder, or in a name.
pub fn holds(folder: &Path, needle: &str) -> bool {
    files(folder).iter().any(|(path, bytes)| {
        path.to_string_lossy().contains(needle) || bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
    })
}

/// The only file whose path ends so.
pub fn file_ending(folder: &Path, end: &str) -> PathBuf {
    let mut found: Vec<_> = files(folder).into_iter().map(|(p, _)| p).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}

/// Runs a program of the system's. The tests need few beside Rust, and say which one is missing.
pub fn tool(name: &str, arguments: &[impl AsRef<OsStr>]) {
    let status = Command::new(name).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("this test needs `{name}`: {error}"));
    assert!(status.success(), "`{name}` has failed");
}

/// A collector that keeps what it gets, and answers what it is told to.
pub struct Collector {
    address: SocketAddr,
    state: Arc<(Mutex<Received>, Condvar)>,
    /// Held by whoever catches up: a drain ends connections, among them those that another one has made to catch up.
    catching_up: Mutex<()>,
}

#[derive(Default)]
struct Received {
    requests: Vec<Arc<Arrived>>,
    status: u16,
    /// Header lines and body of every answer, in place of the collector's own words.
    answer: Option<(String, String)>,
    /// While set, requests are read, and not answered.
    silent: bool,
    /// Connections that may still bring something.
    open: Vec<Arc<TcpStream>>,
    /// Connections that were made, whether or not they brought anything.
    connections: usize,
    /// First lines of requests, whether or not the rest followed.
    begun: usize,
}

#[derive(Debug)]
pub struct Arrived {
    pub path: String,
    pub head: String,
    pub body: Value,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<(Mutex<Received>, Condvar)> = Arc::default();
        state.0.lock().unwrap().status = 200;
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, stream) = (Arc::clone(&shared), Arc::new(stream));
                let mut received = shared.0.lock().unwrap();
                received.open.push(Arc::clone(&stream));
                received.connections += 1;
                drop(received);
                shared.1.notify_all();
                thread::spawn(move || {
                    serve(&stream, &shared);
                    shared.0.lock().unwrap().open.retain(|open| !Arc::ptr_eq(open, &stream));
                    shared.1.notify_all();
                });
            }
        });
        Self { address, state, catching_up: Mutex::default() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_status(&self, status: u16) {
        self.state.0.lock().unwrap().status = status;
        self.state.1.notify_all();
    }

    pub fn set_answer(&self, headers: &str, body: &str) {
        self.state.0.lock().unwrap().answer = Some((headers.into(), body.into()));
    }

    pub fn set_silent(&self, silent: bool) {
        self.state.0.lock().unwrap().silent = silent;
        self.state.1.notify_all();
    }

    /// What has been received once all connections that were made before are known.
    fn caught_up(&self) -> MutexGuard<'_, Received> {
        // They are accepted in order, so with this one all are; it counts for nothing itself.
        let connection = TcpStream::connect(self.address).unwrap();
        let probe = connection.local_addr().unwrap();
        let unknown = |received: &mut Received| {
            !received.open.iter().any(|open| open.peer_addr().is_ok_and(|a| a == probe))
        };
        let mut received = self.state.1.wait_while(self.state.0.lock().unwrap(), unknown).unwrap();
        received.connections -= 1;
        received
    }

    /// Reads to the end what has been sent so far; how many requests that makes.
    pub fn drain(&self) -> usize {
        let _alone = self.catching_up.lock().unwrap();
        let received = self.caught_up();
        // What has arrived can still be read; what comes later meets a closed door.
        received.open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Read)));
        let open: Vec<_> = received.open.clone();
        let busy =
            |received: &mut Received| received.open.iter().any(|s| open.iter().any(|o| Arc::ptr_eq(s, o)));
        self.state.1.wait_while(received, busy).unwrap().requests.len()
    }

    pub fn requests(&self) -> Vec<Arc<Arrived>> {
        self.state.0.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests have arrived.
    pub fn wait_requests(&self, count: usize) -> Vec<Arc<Arrived>> {
        let few = |received: &mut Received| received.requests.len() < count;
        let (received, timeout) =
            self.state.1.wait_timeout_while(self.state.0.lock().unwrap(), PATIENCE, few).unwrap();
        assert!(!timeout.timed_out(), "only {} requests", received.requests.len());
        received.requests.clone()
    }

    /// The events of all requests that were answered with 200, in order.
    pub fn events(&self) -> Vec<Value> {
        let requests = self.requests();
        let bodies =
            requests.iter().filter(|r| r.path.starts_with("/track")).map(|r| r.body.as_array().unwrap());
        bodies.flatten().cloned().collect()
    }

    /// Requests of which anything has arrived.
    pub fn begun(&self) -> usize {
        self.state.0.lock().unwrap().begun
    }

    /// Connections that were made until now. Where nothing may leave, nobody may even connect (C13).
    pub fn connections(&self) -> usize {
        let _alone = self.catching_up.lock().unwrap();
        self.caught_up().connections
    }

    pub fn names(&self) -> Vec<String> {
        self.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(stream: &TcpStream, shared: &(Mutex<Received>, Condvar)) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            // A TLS hello is no text.
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            shared.0.lock().unwrap().begun += usize::from(head.is_empty());
            head.push_str(&line);
        }
        let Some(body) = read_body(&mut reader, &head) else { return };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let mut received = shared.0.lock().unwrap();
        received.requests.push(Arc::new(Arrived { path: path.clone(), head, body }));
        shared.1.notify_all();
        let received = shared.1.wait_while(received, |received| received.silent).unwrap();
        let (status, own) = (received.status, received.answer.clone());
        drop(received);
        let answer = match (status, path.strip_prefix("/refrain/v1/erasures")) {
            (200, Some("")) => r#"{"id":"e1","state":"accepted"}"#,
            (200, Some(_)) => r#"{"id":"e1","state":"completed","receipt":{"events":1}}"#,
            (200, None) => "1",
            _ => "",
        };
        let (headers, answer) = own.unwrap_or_else(|| (String::new(), answer.into()));
        let length = answer.len();
        let text = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{answer}");
        if (&mut &*stream).write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The body that a head announces, as it was before it was compressed; `None` if the connection breaks.
fn read_body(reader: &mut impl BufRead, head: &str) -> Option<Vec<u8>> {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if header("transfer-encoding").as_deref() == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = header("content-length") {
        body.resize(length.parse().unwrap(), 0);
        reader.read_exact(&mut body).ok()?;
    }
    if header("content-encoding").as_deref() == Some("gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    Some(body)
}

/// A client that sends nothing by itself.
pub fn quiet(folder: &Folder, collector: &Collector) -> Builder {
    Client::builder(TOKEN)
        .data_dir(folder.data())
        .endpoint(collector.url())
        .default_consent(DefaultConsent::Granted)
        .flush_interval(Duration::from_secs(3_600))
        .batch_size(2_000)
}

/// Waits until the client has read its folder and accepts records.
/// Whether something is wrong; where consent stands is said in any case.
pub fn is_trouble(notice: &Notice) -> bool {
    !matches!(notice, Notice::ConsentChanged(_))
}

pub fn ready(client: &Client) {
    assert!(client.sync(PATIENCE));
    assert!(client.device_id().is_some(), "{:?}", client.audit());
}

pub fn accepted(client: &Client, name: &str) {
    assert_eq!(client.track(name, ()), Outcome::Accepted, "{name}");
}

pub fn delivered(client: &Client) {
    assert_eq!(client.flush(PATIENCE), FlushState::Done, "{:?}", client.stats());
}
