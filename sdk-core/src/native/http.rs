//! The built-in transport: HTTP/1.1 over TCP or TLS.
//!
//! A request is redeemed at the last possible moment. [`Gate`] stands between the HTTP client and an established
//! connection: it keeps the head back until the body is asked for, which is when the consent record is read and
//! the permit redeemed, under the sending lock; and it lets go of the lock when the client turns to reading. So
//! neither name resolution nor connecting nor the wait for the answer ever holds up a withdrawal.

use super::gzip::gzip;
use super::proxy::{self, InvalidProxy, Route};
use super::retry_after;
use super::transport::{PendingRequest, Sending, Transport};
use crate::engine::Answer;
use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use ureq::http::Response;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    self as lower, Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout,
};
use ureq::{Agent, Body, SendBody};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// Of more than a century the HTTP client can count no end, and panics.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);
/// Shorter bodies are not worth compressing.
const GZIP_BYTES: usize = 1 << 10;
/// The collector's answers are shorter. Of a longer one the rest is not read, and what was is no JSON: it is taken as
/// any answer that is not the collector's.
const BODY_BYTES: u64 = 64 << 10;

/// Sends with `ureq`: rustls with Mozilla's root certificates, no redirects.
///
/// ```
/// use refrain::native::HttpTransport;
/// use std::time::Duration;
///
/// let transport = HttpTransport::new().timeout(Duration::from_secs(20)).proxy("http://proxy.example:3128")?;
/// let builder = refrain::Client::builder("T").transport(transport);
/// # Ok::<(), refrain::native::InvalidProxy>(())
/// ```
pub struct HttpTransport {
    agent: Arc<Mutex<Option<Agent>>>,
    gate: Arc<Mutex<Gate>>,
    connect_timeout: Duration,
    timeout: Duration,
    route: Route,
    gzip: bool,
    distrust: Option<String>,
}

impl HttpTransport {
    /// Creates a transport. It opens no connection before the first request.
    pub fn new() -> Self {
        Self {
            agent: Arc::default(),
            gate: Arc::default(),
            connect_timeout: CONNECT,
            timeout: WHOLE,
            route: Route::of_environment(),
            gzip: true,
            distrust: None,
        }
    }

    /// How long connecting may take. Default: 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(LONGEST);
        self
    }

    /// How long a whole request may take, from resolving the name to the end of the response. Default: 60 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// Sends through this proxy: `http://user:password@host:port`. Default: the first usable one of those named by the
    /// environment variables `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY`, except for the hosts in `NO_PROXY`
    /// (`host.example,.domain.example`, or `*` for all). If they name only proxies that cannot be used, such as SOCKS
    /// proxies, the proxy is not bypassed: records wait, and a notice says why. If `REQUEST_METHOD` is set, only
    /// `http_proxy` in small letters is read: the other one is what the peer of a CGI program says.
    ///
    /// # Errors
    /// The address is not that of an HTTP proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self, InvalidProxy> {
        self.route = Route::By(proxy::named(url)?);
        Ok(self)
    }

    /// Uses no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.route = Route::Direct;
        self
    }

    /// Whether bodies are compressed. Default: yes, until a server answers that it does not accept compression (415),
    /// or does not accept bodies whose length is not declared beforehand (411, 501).
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    fn agent(&self) -> Agent {
        let new = || {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_connect(Some(self.connect_timeout))
                .timeout_global(Some(self.timeout))
                .proxy(self.route.proxy())
                .max_idle_connections(1)
                .user_agent(concat!("refrain/", env!("CARGO_PKG_VERSION")))
                .build();
            let gate = GateConnector { gate: Arc::clone(&self.gate), proxied: config.proxy().is_some() };
            Agent::with_parts(config, DefaultConnector::default().chain(gate), DefaultResolver::default())
        };
        lock(&self.agent).get_or_insert_with(new).clone()
    }

    /// Sends a request whose body is redeemed when it is asked for.
    fn post(&self, request: PendingRequest<'_>, gzip: bool) -> Result<Response<Body>, ureq::Error> {
        let (url, length) = (request.url().to_owned(), request.body_len());
        let post = self.agent().post(&url).header("Content-Type", "application/json");
        // How long the body is when it is compressed is not known before it is redeemed: it goes in chunks.
        let post = if gzip {
            post.header("Content-Encoding", "gzip")
        } else {
            post.header("Content-Length", length.to_string())
        };
        let mut body = LateBody { state: State::Pending(request), gate: &self.gate, gzip };
        post.send(SendBody::from_reader(&mut body))
    }

    /// Sends a request that has no body, and nothing of the person in it.
    fn get(&self, request: PendingRequest<'_>) -> Result<Response<Body>, ureq::Error> {
        let url = request.url().to_owned();
        let (_, sending) = request.open().map_err(|_| ureq::Error::Io(refused()))?.into_parts();
        *lock(&self.gate) = Gate::Open { head: Vec::new(), sending: None };
        drop(sending);
        self.agent().get(&url).call()
    }
}

impl Default for HttpTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpTransport")
    }
}

impl Transport for HttpTransport {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        if !self.route.leads_to(request.url()) {
            return Answer::Unreachable;
        }
        let gzip = self.gzip && request.body_len() >= GZIP_BYTES;
        let passing = Passing::begin(&self.gate);
        let result = if request.is_get() { self.get(request) } else { self.post(request, gzip) };
        drop(passing);
        self.distrust = result.as_ref().err().and_then(distrust);
        if result.as_ref().map_or(true, |response| response.headers().contains_key("Set-Cookie")) {
            // Where another crate of the program has the HTTP client keep cookies, the collector's would join the device before
            // a withdrawal to the one after it. The next request makes a new one. After a failure, too: of an answer that
            // is taken for one nothing is known.
            lock(&self.agent).take();
        }
        match result {
            Ok(response) if gzip && matches!(response.status().as_u16(), 411 | 415 | 501) => {
                // It is the form that is refused, not what stands in it. The records are sent again, in the clear.
                self.gzip = false;
                Answer::Unreachable
            }
            Ok(mut response) => {
                let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
                let seconds = |value| retry_after::in_seconds(value, header("Date"), SystemTime::now());
                let retry_after = header("Retry-After").map(seconds);
                let status = response.status().as_u16();
                let mut text = Vec::new();
                // Half of an answer says nothing but its status: what begins with a `1` or a `0` may go on otherwise.
                if response.body_mut().as_reader().take(BODY_BYTES).read_to_end(&mut text).is_err() {
                    text.clear();
                }
                Answer::Response { status, retry_after, body: String::from_utf8_lossy(&text).into_owned() }
            }
            Err(ureq::Error::Timeout(_)) => Answer::TimedOut,
            Err(_) => Answer::Unreachable,
        }
    }

    fn unusable_proxy(&self) -> Option<&'static str> {
        match self.route {
            Route::Blocked { variable, .. } => Some(variable),
            Route::Direct | Route::By(_) => None,
        }
    }

    fn distrust(&self) -> Option<String> {
        self.distrust.clone()
    }

    fn breaker(&self) -> Option<Box<dyn Fn() + Send + Sync>> {
        let agent = Arc::clone(&self.agent);
        Some(Box::new(move || {
            // The next request makes a new one.
            if let Some(agent) = lock(&agent).take() {
                agent.shutdown();
            }
        }))
    }
}

/// What may pass from the HTTP client to the connection.
#[derive(Debug)]
enum Gate {
    /// Nothing: the request is not redeemed. What was written so far.
    Closed(Vec<u8>),
    /// Everything. The sending lock is held until the client reads.
    Open { head: Vec<u8>, sending: Option<Sending> },
}

impl Default for Gate {
    fn default() -> Self {
        Self::Closed(Vec::new())
    }
}

/// A request passes. Afterwards the gate is closed, and the sending lock free, also where the HTTP client has panicked.
struct Passing<'a>(&'a Mutex<Gate>);

impl<'a> Passing<'a> {
    fn begin(gate: &'a Mutex<Gate>) -> Self {
        *lock(gate) = Gate::default();
        Self(gate)
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        *lock(self.0) = Gate::default();
    }
}

/// Why the peer's certificate is not trusted, where it is that.
fn distrust(error: &ureq::Error) -> Option<String> {
    // What has gone wrong with TLS comes through the connection, and so as a failure to read or write.
    let said = match error {
        ureq::Error::Rustls(error) => error.to_string(),
        ureq::Error::Io(error) => error.get_ref()?.to_string(),
        _ => return None,
    };
    said.strip_prefix("invalid peer certificate: ").map(str::to_owned)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that is redeemed when its first byte is asked for.
struct LateBody<'a, 'r> {
    state: State<'r>,
    gate: &'a Mutex<Gate>,
    gzip: bool,
}

fn refused() -> io::Error {
    io::Error::other("consent no longer allows this")
}

enum State<'r> {
    Pending(PendingRequest<'r>),
    Open(io::Cursor<Vec<u8>>),
    Refused,
}

impl Read for LateBody<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match std::mem::replace(&mut self.state, State::Refused) {
            State::Pending(request) => {
                let (body, sending) = request.open().map_err(|_| refused())?.into_parts();
                let mut gate = lock(self.gate);
                let head = match &mut *gate {
                    Gate::Closed(head) => std::mem::take(head),
                    Gate::Open { .. } => Vec::new(),
                };
                *gate = Gate::Open { head, sending: Some(sending) };
                let body = if self.gzip { gzip(body.as_bytes()) } else { body.into_bytes() };
                self.state = State::Open(io::Cursor::new(body));
            }
            State::Open(body) => self.state = State::Open(body),
            State::Refused => {}
        }
        match &mut self.state {
            State::Open(body) => body.read(buffer),
            _ => Err(refused()),
        }
    }
}

/// Puts a [`GatedTransport`] on every connection to the collector.
struct GateConnector {
    gate: Arc<Mutex<Gate>>,
    /// Whether a proxy is in use; connections to the proxy itself are made without it, and are not gated.
    proxied: bool,
}

impl fmt::Debug for GateConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateConnector")
    }
}

impl Connector<Box<dyn lower::Transport>> for GateConnector {
    type Out = GatedTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<Box<dyn lower::Transport>>,
    ) -> Result<Option<GatedTransport>, ureq::Error> {
        let to_proxy = self.proxied && details.config.proxy().is_none();
        let gate = (!to_proxy).then(|| Arc::clone(&self.gate));
        Ok(chained.map(|inner| GatedTransport { inner, gate }))
    }
}

struct GatedTransport {
    inner: Box<dyn lower::Transport>,
    gate: Option<Arc<Mutex<Gate>>>,
}

impl fmt::Debug for GatedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatedTransport")
    }
}

impl GatedTransport {
    /// Writes what was kept back, before the bytes that already stand in the output buffer.
    fn transmit_head(&mut self, head: &[u8], amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let waiting = self.inner.buffers().output().get(..amount).unwrap_or_default().to_vec();
        for bytes in [head, &waiting] {
            let mut rest = bytes;
            while !rest.is_empty() {
                let output = self.inner.buffers().output();
                let (now, later) = rest.split_at(rest.len().min(output.len()));
                output.iter_mut().zip(now).for_each(|(slot, byte)| *slot = *byte);
                self.inner.transmit_output(now.len(), timeout)?;
                rest = later;
            }
        }
        Ok(())
    }
}

impl lower::Transport for GatedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let Some(gate) = self.gate.clone() else { return self.inner.transmit_output(amount, timeout) };
        let head = match &mut *lock(&gate) {
            Gate::Closed(head) => {
                head.extend_from_slice(self.inner.buffers().output().get(..amount).unwrap_or_default());
                return Ok(());
            }
            Gate::Open { head, .. } => std::mem::take(head),
        };
        let sent = if head.is_empty() {
            self.inner.transmit_output(amount, timeout)
        } else {
            self.transmit_head(&head, amount, timeout)
        };
        match sent {
            // Who refuses a body closes before all of it is read. The answer may stand there to be read all the same; if
            // not, reading fails.
            Err(ureq::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if let Some(gate) = &self.gate {
            // Everything is written: whoever withdraws need not wait for the answer.
            if let Gate::Open { sending, .. } = &mut *lock(gate) {
                drop(sending.take());
            }
        }
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn the_gate_is_closed_behind_a_panic() {
        let gate = Mutex::new(Gate::default());
        let panics = || {
            let _passing = Passing::begin(&gate);
            *lock(&gate) = Gate::Open { head: vec![1], sending: None };
            panic!("a bug of the HTTP client's");
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(matches!(&*lock(&gate), Gate::Closed(head) if head.is_empty()));
    }
}
