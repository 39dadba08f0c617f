//! The server as a library: in this process, isolated, with expectations.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::domain;
use crate::expectation::Expectation;
use crate::http::{self, App};
use crate::server::{Options, StartError, run};

/// A server that runs in this process, on threads of its own, until it is dropped. Each has its own data, clock and
/// port. Expectations that are not met make dropping it panic, as [`MockServer::verify`] does.
pub struct MockServer {
    address: SocketAddr,
    app: Arc<App>,
    runtime: Handle,
    expectations: Mutex<Vec<Expectation>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// An event that arrived, as the raw export shows it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Token of its project.
    pub project: String,
    /// The canonical id; `None` for an event of nobody.
    pub distinct_id: Option<String>,
    /// Its properties.
    pub properties: Map<String, Value>,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: i64,
}

impl MockServer {
    /// Starts an in-memory server on a free port of the loopback interface.
    pub fn start() -> Result<MockServer, StartError> {
        MockServer::start_with(Options::default())
    }

    /// Starts a server. When this returns it answers.
    pub fn start_with(options: Options) -> Result<MockServer, StartError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("refrain-mock".into()).spawn(move || {
            let report = ready.clone();
            let announce = move |address, app| drop(report.send(Ok((address, app, Handle::current()))));
            let result = run(options, announce, || async {
                // Stops also when the handle is gone.
                let _ = stopped.await;
            });
            if let Err(error) = result {
                drop(ready.send(Err(error)));
            }
        });
        let thread = thread.map_err(StartError::System)?;
        match started.recv() {
            Ok(Ok((address, app, runtime))) => Ok(MockServer {
                address,
                app,
                runtime,
                expectations: Mutex::default(),
                stop: Some(stop),
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::System(std::io::Error::other("the server's thread ended"))),
        }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the control API, without a socket: everything that `/mock/openapi.json` describes. Answers status and
    /// body; a body that is not JSON is null.
    ///
    /// ```
    /// # let server = refrain_mock::MockServer::start().unwrap();
    /// let (status, clock) = server.control_api("PUT", "/mock/clock", &serde_json::json!({"advance": "P5Y"}));
    /// assert_eq!(status, 200);
    /// ```
    pub fn control_api(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let (answer, answered) = mpsc::channel();
        let (app, method, target) = (self.app.clone(), method.to_owned(), target.to_owned());
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        // A task and a channel: so this may be called from within another runtime.
        self.runtime.spawn(async move {
            let (status, body) = http::ask(app, &method, &target, body).await;
            // Records may be nested deeper than other readers of JSON allow. Whoever asked may be gone.
            let _ = answer.send((status, domain::json::stored(&body).unwrap_or_default()));
        });
        answered.recv().unwrap_or((500, Value::Null))
    }

    /// The events that are there, in the order of receipt.
    ///
    /// # Panics
    ///
    /// When the server cannot show them: that is not the same as none.
    pub fn events(&self) -> Vec<Event> {
        let (status, found) = self.control_api("GET", "/mock/events?limit=1000000", &Value::Null);
        let Some(events) = found["events"].as_array().filter(|_| status == 200) else {
            panic!("the server cannot show its events: it answered {status}, {}", found["error"]);
        };
        events
            .iter()
            .map(|event| {
                let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                Event {
                    name: text("event"),
                    project: text("project"),
                    distinct_id: event["distinct_id"].as_str().map(str::to_owned),
                    properties: event["properties"].as_object().cloned().unwrap_or_default(),
                    time_ms: event["time_ms"].as_i64().unwrap_or_default(),
                }
            })
            .collect()
    }

    /// Waits until what is expected is there, and answers it; `Err` has the text of what is missing when the time is
    /// up.
    ///
    /// Where too many would be wrong (`times(2)`, `times(..=5)`, `never()`), it waits until the time is up, or until there
    /// are too many: before that, nobody knows. With `times(2..)` it answers at the second.
    pub fn wait_for(&self, wanted: &Expectation, patience: Duration) -> Result<Vec<Event>, String> {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let events = self.events();
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match wanted.unmet(&events) {
                None if left.is_zero() || !wanted.is_bounded() => {
                    return Ok(events.into_iter().filter(|event| wanted.matches(event)).collect());
                }
                Some(wrong) if left.is_zero() || wanted.is_exceeded(&events) => return Err(wrong),
                _ => {}
            }
            // Answers when there is one more event, or when the time is up.
            let more = json!({"min": events.len() + 1, "timeout_ms": left.as_millis() as u64, "limit": 0});
            self.control_api("POST", "/mock/wait", &more);
        }
    }

    /// Looks until a look finds something, and answers that; looks again after each change at the server. `None` when the
    /// time is up.
    pub fn wait_until<T>(&self, patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = std::time::Instant::now() + patience;
        let mut changes = self.app.shared.changes();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look() {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return None;
            }
            let (tell, told) = mpsc::channel();
            let mut next = changes.clone();
            self.runtime.spawn(async move {
                // A change, the end of the time or of the server: each is a reason to look.
                let _ = tokio::time::timeout(left, next.changed()).await;
                let _ = tell.send(());
            });
            if told.recv().is_err() {
                return look();
            }
        }
    }

    /// How much arrived since the start, by place: records, and requests in which none could be read. Also what was
    /// refused, dropped, met by a fault, or is gone again, by whatever means, and what came where the server has no route
    /// (`(unknown)`) or was no request at all; so an empty map is a silence. Of one project that is what names it, or no
    /// project at all.
    ///
    /// Not counted are calls of the control API and of the pages, preflights without a query, erasures that a device asks
    /// for (`/refrain/v1/erasures`), and what the account holder asks below `/api/` with good credentials.
    ///
    /// ```
    /// # let server = refrain_mock::MockServer::start().unwrap();
    /// // … let the client under test do what has to stay unheard …
    /// assert!(server.arrived(None).is_empty());
    /// ```
    pub fn arrived(&self, project: Option<&str>) -> BTreeMap<&'static str, u64> {
        self.app.shared.arrived(project)
    }

    /// Expects something until the end of the test.
    pub fn expect(&self, expectation: Expectation) {
        self.expectations.lock().unwrap_or_else(PoisonError::into_inner).push(expectation);
    }

    /// What is not as expected now; empty when all is.
    pub fn unmet(&self) -> Vec<String> {
        let expectations = self.expectations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if expectations.is_empty() {
            return Vec::new();
        }
        let events = self.events();
        expectations.iter().filter_map(|expectation| expectation.unmet(&events)).collect()
    }

    /// Ends the expectations.
    ///
    /// # Panics
    ///
    /// When one is not met, with a list of those and of what the server refused.
    pub fn verify(&self) {
        let unmet = self.unmet();
        self.expectations.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if unmet.is_empty() {
            return;
        }
        let (_, rejected) = self.control_api("GET", "/mock/rejected?limit=5", &Value::Null);
        let refused = rejected["rejected"].as_array().into_iter().flatten().map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            format!("\n  refused on {}: {}", text("route"), text("reason"))
        });
        panic!("{}{}", unmet.join("\n"), refused.collect::<String>());
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        let unmet = if std::thread::panicking() { Vec::new() } else { self.unmet() };
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
        assert!(unmet.is_empty(), "{}", unmet.join("\n"));
    }
}
