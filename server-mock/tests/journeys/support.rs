//! A plain HTTP client, the real binary as a child process, and folders that clean up after themselves.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use refrain_mock::{Config, MockServer, Options, StorePlace};
use serde_json::{Value, json};

use crate::tool::tool;

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// Sends one request; an error is a broken connection.
pub fn try_send(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat())?;
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole)?;
    let end =
        whole.windows(4).position(|four| four == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&whole[..end]).into_owned();
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    let mut answer = Answer { status, head, body: whole[end + 4..].to_vec() };
    if answer.header("transfer-encoding").as_deref() == Some("chunked") {
        answer.body = unchunked(&answer.body).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        return Ok(answer);
    }
    let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if answer.body.len() == length { Ok(answer) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// A body that came in chunks, if its last one did.
pub fn unchunked(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).ok()?, 16).ok()?;
        let chunk = chunks.get(end + 2..end + 2 + size)?;
        body.extend_from_slice(chunk);
        chunks = chunks.get(end + 2 + size..)?.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some(body);
        }
    }
}

/// What all servers of the tests are asked in the same way.
pub trait Server {
    fn address(&self) -> String;

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        try_send(&self.address(), method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    fn get(&self, target: &str) -> Value {
        let answer = self.send("GET", target, &[], b"");
        assert_eq!(answer.status, 200, "GET {target}: {}", answer.text());
        answer.json()
    }

    fn control(&self, method: &str, target: &str, document: Value) -> Value {
        let answer = self.send(method, target, &[], document.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        answer.json()
    }

    fn track(&self, events: Value) -> String {
        let answer = self.send(
            "POST",
            "/track",
            &[("content-type", "application/json")],
            events.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200);
        answer.text()
    }

    fn total(&self, filter: &str) -> u64 {
        self.get(&format!("/mock/events?limit=0&{filter}"))["total"].as_u64().unwrap()
    }

    /// Asks the GDPR API.
    fn gdpr(&self, method: &str, rest: &str, body: &str) -> Answer {
        let target = format!("/api/app/data-deletions/v3.0/{rest}?token=T");
        self.send(method, &target, &[("authorization", "Bearer OWNER")], body.as_bytes())
    }

    /// Asks the GDPR API for what is known.
    fn retrieval(&self, method: &str, rest: &str, body: &str) -> Answer {
        let target = format!("/api/app/data-retrievals/v3.0/{rest}?token=T");
        self.send(method, &target, &[("authorization", "Bearer OWNER")], body.as_bytes())
    }
}

impl Server for MockServer {
    fn address(&self) -> String {
        MockServer::address(self).to_string()
    }
}

/// Two projects, an account, an owner.
pub fn config() -> Value {
    json!({
        "projects": [
            {"token": "T", "project_id": 1, "id_merge": "simplified", "project_secret": "SECRET"},
            {"token": "O", "project_id": 2, "id_merge": "original"},
        ],
        "service_accounts": [{"username": "sa", "secret": "pw", "role": "owner", "projects": [1, 2]}],
        "gdpr_oauth": [{"token": "OWNER", "user": "owner@example.test", "projects": [1, 2]}],
        "settings": {"gdpr_rate_limit_per_s": "off"},
    })
}

/// A server in this process with those projects.
pub fn server(store: StorePlace) -> MockServer {
    let config = Config::from_json(&config()).unwrap();
    MockServer::start_with(Options { store, config, ..Options::default() }).unwrap()
}

/// The real binary.
pub struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts it on a folder; `configuration` is the file for `--config`.
    pub fn start(folder: &Path, configuration: &Path) -> Process {
        Process::start_through(Command::new(env!("CARGO_BIN_EXE_refrain-mock")), folder, configuration)
    }

    /// Starts it through a command that ends in running it.
    pub fn start_through(mut command: Command, folder: &Path, configuration: &Path) -> Process {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder)
            .arg("--config")
            .arg(configuration)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("refrain-mock ready http://");
        let address = address.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned();
        Process { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        tool("kill", &[signal, &self.id().to_string()]);
    }

    /// Lifts the limit of the size of files: there is room again.
    #[cfg(target_os = "linux")]
    pub fn make_room(&self) {
        tool("prlimit", &["--pid", &self.id().to_string(), "--fsize=unlimited"]);
    }

    /// SIGTERM; answers the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Server for Process {
    fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of one test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("refrain-mock-{name}-{}-{number}", std::process::id()));
        // Left over from an earlier process of the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Writes a configuration file.
    pub fn configuration(&self, document: &Value) -> PathBuf {
        let path = self.0.join("config.json");
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As a value in a query.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Zipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Not zipped any more; panics where the end of the zip is missing.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

/// A request that is answered with more than the sockets' buffers hold, of which only the head is read: the answer is
/// under way until this is dropped or read on.
pub struct Unread {
    stream: TcpStream,
    pub status: u16,
}

impl Unread {
    pub fn ask(address: &str, target: &str, headers: &[(&str, &str)]) -> Unread {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut head = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0; 1]);
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        let status = String::from_utf8_lossy(&seen).split(' ').nth(1).unwrap().parse().unwrap();
        Unread { stream, status }
    }

    /// The rest of a body that comes in chunks.
    pub fn read_on(self) -> Vec<u8> {
        unchunked(&self.rest()).unwrap()
    }

    /// What else comes before the connection ends.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // How one that breaks off ends is the system's business.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

/// More of one person's events, on the day of the server's clock, than the sockets' buffers hold.
pub fn fill_with_10_mb(server: &impl Server) -> usize {
    let wide: serde_json::Map<String, Value> =
        (0..200).map(|n| (format!("p{n}"), json!("x".repeat(250)))).collect();
    let now = server.get("/mock/clock")["now_s"].as_f64().unwrap();
    for batch in 0..10 {
        let events = (0..20).map(|n| {
            let mut event = json!({"event": "Wide", "properties": wide});
            let properties = event["properties"].as_object_mut().unwrap();
            properties.insert("token".into(), "T".into());
            properties.insert("distinct_id".into(), "u".into());
            properties.insert("time".into(), json!(now));
            properties.insert("$insert_id".into(), format!("{batch}-{n}").into());
            event
        });
        assert_eq!(server.track(events.collect()), "1");
    }
    10 * 20
}

/// The seed of this run, from the environment or drawn. Whatever fails from then on says which it is.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let chosen = std::env::var("REFRAIN_SEED").ok();
        let seed = chosen.map_or_else(drawn, |text| text.parse().expect("REFRAIN_SEED is a number"));
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            told(panic);
            eprintln!("REFRAIN_SEED={seed}");
        }));
        seed
    })
}

fn drawn() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// A number below a bound: the tests that use it must hold for every number. Each test has a sequence of its own, which the
/// seed and its name decide.
pub fn random(bound: u64) -> u64 {
    /// Threads without a name are told apart in the order in which they ask first.
    static NAMELESS: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static SEQUENCE: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let begun = SEQUENCE.get().unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        seed().hash(&mut hasher);
        match std::thread::current().name() {
            Some(name) => name.hash(&mut hasher),
            None => NAMELESS.fetch_add(1, Ordering::Relaxed).hash(&mut hasher),
        }
        hasher.finish()
    });
    let next = begun.wrapping_add(0x9e37_79b9_7f4a_7c15);
    SEQUENCE.set(Some(next));
    // SplitMix64.
    let mut bits = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) % bound
}

/// A text that nobody can guess.
pub fn secret_text() -> String {
    (0..4).map(|_| format!("{:016x}", random(u64::MAX))).collect()
}
