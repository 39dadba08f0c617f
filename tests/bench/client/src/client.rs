//! The clients, each behind the same few words: make it, call it, and write down or send what it holds.

use refrain::engine::{DefaultConsent, Outcome, Rejection};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// One client, as users of it would set it up.
pub struct Client {
    pub name: &'static str,
    /// Whether it writes down what it has not sent yet.
    pub keeps: bool,
    pub make: fn(&Path, &str) -> Box<dyn Made>,
}

/// A client that runs.
pub trait Made {
    /// Prepares the call of a number, outside of what is measured.
    fn prepare(&mut self, number: usize);
    /// The call that was prepared.
    fn call(&mut self);
    /// Waits until everything is written down, or sent where nothing ever is.
    fn finish(&mut self);
}

pub const CLIENTS: [Client; 4] = [
    Client {
        name: "refrain, any Serialize",
        keeps: true,
        make: |folder, url| Box::new(Refrain::new(folder, url, false)),
    },
    Client {
        name: "refrain, JSON text",
        keeps: true,
        make: |folder, url| Box::new(Refrain::new(folder, url, true)),
    },
    Client { name: "glean", keeps: true, make: |folder, url| Box::new(Glean::new(folder, url)) },
    Client { name: "posthog-rs", keeps: false, make: |_, url| Box::new(Posthog::new(url)) },
];

/// What every record carries: eight properties.
#[derive(Serialize, Clone)]
struct Properties {
    bench_number: usize,
    run: &'static str,
    page: &'static str,
    plan: &'static str,
    price: f64,
    currency: &'static str,
    items: u32,
    first: bool,
}

fn properties(number: usize) -> Properties {
    let (run, page, plan, currency) = ("r", "/pricing", "pro", "EUR");
    Properties { bench_number: number, run, page, plan, price: 19.99, currency, items: 3, first: true }
}

fn map(number: usize) -> HashMap<String, Value> {
    match json!(properties(number)) {
        Value::Object(map) => map.into_iter().collect(),
        _ => HashMap::new(),
    }
}

struct Refrain {
    client: refrain::Client,
    built: Option<Properties>,
    text: Option<String>,
    as_text: bool,
}

impl Refrain {
    fn new(folder: &Path, url: &str, as_text: bool) -> Self {
        let client = refrain::Client::builder("bench")
            .endpoint(url)
            .data_dir(folder)
            .default_consent(DefaultConsent::Granted)
            .queue_limit_bytes(1 << 30)
            .build()
            .expect("it starts");
        client.ready(Duration::from_secs(10));
        Self { client, built: None, text: None, as_text }
    }
}

impl Made for Refrain {
    fn prepare(&mut self, number: usize) {
        let properties = properties(number);
        self.text = self.as_text.then(|| serde_json::to_string(&properties).expect("JSON"));
        self.built = Some(properties);
    }

    fn call(&mut self) {
        loop {
            let outcome = match &self.text {
                Some(text) => self.client.track_json("Viewed", text),
                None => self.client.track("Viewed", self.built.as_ref()),
            };
            match outcome {
                Outcome::Accepted => return,
                // Faster than any disk: an app would lose the record, which is counted; here all are to be stored.
                Outcome::Rejected(Rejection::Overloaded) => self.finish(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn finish(&mut self) {
        assert!(self.client.sync(Duration::from_secs(60)), "it is stored");
    }
}

struct Glean {
    metric: glean::private::EventMetric<Extra>,
    next: Option<Extra>,
}

struct Extra(HashMap<String, String>);

impl glean::traits::ExtraKeys for Extra {
    const ALLOWED_KEYS: &'static [&'static str] =
        &["bench_number", "run", "page", "plan", "price", "currency", "items", "first"];

    fn into_ffi_extra(self) -> HashMap<String, String> {
        self.0
    }
}

impl Glean {
    fn new(folder: &Path, url: &str) -> Self {
        let configuration = glean::ConfigurationBuilder::new(true, folder, "bench-app")
            .with_server_endpoint(url)
            .with_uploader(Plain)
            .build();
        let info = glean::ClientInfoMetrics {
            app_build: "1".into(),
            app_display_version: "1".into(),
            channel: None,
            locale: None,
            os_version: None,
        };
        glean::initialize(configuration, info);
        let metric = glean::private::EventMetric::new(glean::CommonMetricData {
            name: "viewed".into(),
            category: "bench".into(),
            send_in_pings: vec!["events".into()],
            lifetime: glean::Lifetime::Ping,
            disabled: false,
            ..Default::default()
        });
        // It starts on a thread of its own and queues what comes before.
        std::thread::sleep(Duration::from_millis(500));
        Self { metric, next: None }
    }
}

impl Made for Glean {
    fn prepare(&mut self, number: usize) {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.next = Some(Extra(map(number).into_iter().map(|(key, value)| (key, text(value))).collect()));
    }

    fn call(&mut self) {
        if let Some(extra) = self.next.take() {
            self.metric.record(extra);
        }
    }

    fn finish(&mut self) {
        glean::shutdown();
    }
}

/// Glean brings no HTTP for plain addresses.
#[derive(Debug)]
struct Plain;

impl glean::net::PingUploader for Plain {
    fn upload(&self, request: glean::net::CapablePingUploadRequest) -> glean::net::UploadResult {
        let sent = request.capable(|_| true).and_then(|request| {
            post(&request.url, &request.headers.into_iter().collect::<Vec<_>>(), &request.body).ok()
        });
        match sent {
            Some(status) => glean::net::UploadResult::http_status(status),
            None => glean::net::UploadResult::recoverable_failure(),
        }
    }
}

fn post(url: &str, headers: &[(String, String)], body: &[u8]) -> std::io::Result<i32> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap_or((url, ""));
    let mut stream = TcpStream::connect(host)?;
    let mut head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

struct Posthog {
    runtime: tokio::runtime::Runtime,
    client: Option<posthog_rs::Client>,
    next: Option<HashMap<String, Value>>,
}

impl Posthog {
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = posthog_rs::ClientOptionsBuilder::default()
            .api_key("phc_bench".to_owned())
            .host(url.to_owned())
            .build()
            .expect("options");
        let client = Some(runtime.block_on(posthog_rs::client(options)));
        Self { runtime, client, next: None }
    }
}

impl Made for Posthog {
    fn prepare(&mut self, number: usize) {
        self.next = Some(map(number));
    }

    fn call(&mut self) {
        let mut event = posthog_rs::Event::new("Viewed", "u1");
        for (key, value) in self.next.take().into_iter().flatten() {
            event.insert_prop(key, value).expect("a property");
        }
        let _guard = self.runtime.enter();
        if let Some(client) = &self.client {
            client.capture(event);
        }
    }

    fn finish(&mut self) {
        if let Some(client) = self.client.take() {
            self.runtime.block_on(client.shutdown());
        }
    }
}
