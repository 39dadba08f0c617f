//! Routes. One file per family; each decodes, asks the core, renders.

mod archive;
mod auth;
mod body;
mod brought;
mod call;
mod collect;
mod control;
pub mod cors;
mod erasures;
mod faulty;
mod guard;
mod import;
mod limit;
mod lookup;
mod pattern;
mod privacy;
mod query;
mod rejections;
mod render;
mod room;
mod side;
mod signals;
mod ui;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::runtime::Handle;
use tokio::task::JoinError;

use crate::core::{Logged, Shared};
use crate::domain::wire::BODY_LIMIT;
use crate::server::Patience;
use crate::wire::Ties;
use crate::worker::Worker;
use body::Body;
use brought::{Arrival, Brought};
use call::{Call, Reply};
use room::{Room, SMALL, is_large};

/// How much of an oversize body is read and thrown away, so that the client sees the answer and not a reset.
const DRAIN_LIMIT: usize = 256 * 1024 * 1024;

/// What handlers work with.
pub struct App {
    pub shared: Arc<Shared>,
    pub worker: Worker,
    /// How long slow clients are waited for.
    pub patience: Patience,
    limits: limit::Limits,
    room: Room,
    stopping: tokio::sync::watch::Sender<bool>,
}

impl App {
    pub fn new(shared: Arc<Shared>, worker: Worker, patience: Patience) -> App {
        App {
            shared,
            worker,
            patience,
            limits: Default::default(),
            room: Room::default(),
            stopping: tokio::sync::watch::Sender::new(false),
        }
    }

    /// Ends answers that would go on for ever.
    pub fn stop_streams(&self) {
        self.stopping.send_replace(true);
    }
}

/// Asks the control API from within this process: status and body.
pub async fn ask(app: Arc<App>, method: &str, target: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let call = Call::asking(method, target, body);
    let below = call.path.strip_prefix("/mock").unwrap_or_default();
    let reply = control::answer(&app, &call, below).await;
    let body = match reply.body {
        Body::Full(bytes) => bytes.to_vec(),
        // A stream has no end that could be waited for.
        _ => Vec::new(),
    };
    (reply.status, body)
}

/// The connection that a request came on.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address at the other end.
    pub address: IpAddr,
    /// Whether that is this machine.
    pub is_local: bool,
    /// What the connection is told.
    pub ties: Arc<Ties>,
}

/// A fault asked for the connection to be cut instead of an answer.
#[derive(Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Answers one request. The work is a task of its own: it goes on when the client goes away, and when it panics only
/// this request fails.
pub async fn serve(app: Arc<App>, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let mut call = Call {
        headers: parts.headers,
        peer: peer.address,
        is_local: peer.is_local,
        ..Call::asking(parts.method.as_str(), target, Vec::new())
    };
    let (method, path) = (call.method.clone(), call.path.clone());
    let mut arrival = Arrival::on(&app.shared, &path);
    if is_own(&path) {
        // Looking is not arriving: tests count what clients sent, and faults are for those.
        let read = read_whole(&app, &mut call, body, None).await;
        if is_looking(&call, read.is_ok()) {
            arrival.pass_over();
        }
        return match read {
            Ok(()) => Ok(worked_on(&app, call).await.into_response()),
            Err(reply) => Ok(reply.into_response()),
        };
    }
    let encoding: String = call.header("content-encoding").chars().take(32).collect();
    let origin = call.headers.get("origin").cloned();
    let throttle = app.shared.faults().throttle(&method, &path);
    let mut fault = false;
    let mut brought = Brought::default();
    let outcome = match read_whole(&app, &mut call, body, throttle).await {
        Err(reply) => faulty::Outcome::Answer(reply),
        Ok(()) => {
            if brought::is_silent(&call) {
                arrival.pass_over();
            }
            // While no rule stands, nothing is decoded twice.
            if !app.shared.faults().is_empty() || !brought::is_decoded(&path) {
                brought = look_into(&app, &call).await;
            }
            match faulty::meet(&app, &call, brought.records) {
                None => faulty::Outcome::Answer(worked_on(&app, call).await),
                Some(act) => {
                    fault = true;
                    faulty::play(&app, call, act).await
                }
            }
        }
    };
    let mut reply = match outcome {
        faulty::Outcome::Answer(reply) => Some(reply),
        faulty::Outcome::Cut => None,
    };
    if let Some(seen) = reply.as_mut().and_then(|reply| reply.brought.take()) {
        brought = *seen;
    }
    if reply.as_ref().is_some_and(|reply| !fault && brought::is_account_holders(&path, reply.status)) {
        arrival.pass_over();
    }
    arrival.of(brought.projects);
    drop(arrival);
    let mut logged = Logged {
        path: pattern::of(&path).to_owned(),
        method: method.chars().take(16).collect(),
        status: None,
        decoded_bytes: brought.decoded_bytes,
        encoding,
        records: brought.records,
        library: brought.library,
        fault,
        at: app.shared.now(),
    };
    let Some(mut reply) = reply else {
        app.shared.log(logged);
        peer.ties.reset.store(true, Ordering::Relaxed);
        return Err(Cut);
    };
    let allowed = app.shared.config();
    let allowed = allowed.server.cors_origins.as_deref();
    reply.headers.append(&mut cors::headers(&path, origin.as_ref(), allowed));
    logged.status = Some(reply.status);
    app.shared.log(logged);
    Ok(reply.into_response())
}

async fn worked_on(app: &Arc<App>, call: Call) -> Reply {
    let app = app.clone();
    let work = tokio::spawn(async move {
        if is_large(&call) { worked_on_at_length(app, call).await } else { Ok(route(&app, &call).await) }
    });
    work.await.flatten().unwrap_or_else(|_| Reply::error(500, "the server failed on this request"))
}

/// The same for a large call, when there is room for it, on a thread of its own.
async fn worked_on_at_length(app: Arc<App>, mut call: Call) -> Result<Reply, JoinError> {
    let Some(mut part) = app.room.part(&call, app.patience.piece).await else {
        return Ok(Reply::unavailable(match call.path.strip_suffix('/').unwrap_or(&call.path) {
            "/track" | "/engage" | "/groups" => Reply::zero,
            "/import" | "/record" => Reply::coded,
            path if path.starts_with("/lookup-tables") => Reply::coded,
            _ => Reply::error,
        }));
    };
    let work = tokio::task::spawn_blocking(move || {
        part.unzip(&mut call);
        let reply = Handle::current().block_on(route(&app, &call));
        drop(call);
        drop(part);
        reply
    });
    work.await
}

/// What a call brought that no handler has looked into.
async fn look_into(app: &App, call: &Call) -> Brought {
    if !brought::is_decoded(&call.path) || !is_large(call) {
        return Brought::of(call);
    }
    match app.room.part(call, app.patience.piece).await {
        Some(_part) => tokio::task::block_in_place(|| Brought::of(call)),
        None => Brought::default(),
    }
}

/// Whether a path is the server's own: control API and pages.
fn is_own(path: &str) -> bool {
    below_mock(path).is_some() || ui::is_page(path)
}

/// What stands in a path behind `/mock`.
fn below_mock(path: &str) -> Option<&str> {
    path.strip_prefix("/mock").filter(|below| below.is_empty() || below.starts_with('/'))
}

/// Whether somebody looks at the server, on a path of its own. Clients that were given a wrong address may send there, too:
/// to what is no route, or to a page.
fn is_looking(call: &Call, is_read: bool) -> bool {
    let says_nothing = is_read && call.query.is_empty() && call.body.is_empty() && !call.oversize;
    let only_asks = says_nothing && matches!(call.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let path = call.path.strip_suffix('/').unwrap_or(&call.path);
    only_asks || below_mock(path).is_some_and(|below| control::is_route(&call.method, below))
}

async fn route(app: &Arc<App>, call: &Call) -> Reply {
    let path = call.path.strip_suffix('/').unwrap_or(&call.path);
    match path {
        "/track" | "/engage" | "/groups" => collect::answer(app, call, path).await,
        "/import" => import::answer(app, call).await,
        "/record" => side::record(app, call).await,
        "/settings" | "/decide" | "/flags" => side::answer(call, path),
        "/refrain/v1/erasures" => erasures::create(app, call).await,
        "/api/2.0/export" | "/api/2.0/engage" | "/api/2.0/stream/query" => {
            query::answer(app, call, path).await
        }
        "/api/query" => query::answer(app, call, path).await,
        "/lookup-tables" => lookup::answer(app, call, None),
        "/api/app/me" => side::me(app, call),
        _ if ui::is_page(path) => match guard::page_refusal(app.shared.control_token.as_deref(), call) {
            Some(reply) => reply,
            None => ui::answer(call, path),
        },
        _ if path.starts_with("/refrain/v1/erasures/") => {
            erasures::check(app, call, path.strip_prefix("/refrain/v1/erasures/").unwrap_or_default()).await
        }
        _ if path.starts_with("/lookup-tables/") => {
            lookup::answer(app, call, path.strip_prefix("/lookup-tables/"))
        }
        _ if path.starts_with("/flags/") => side::answer(call, path),
        _ if path.starts_with("/api/query/") || path.starts_with("/api/2.0/") => {
            query::answer(app, call, path).await
        }
        _ if path.starts_with("/api/app/data-retrievals/") => {
            privacy::retrievals(app, call, path.strip_prefix("/api/app/data-retrievals/").unwrap_or_default())
                .await
        }
        _ if path.starts_with("/api/app/data-deletions/") => {
            privacy::deletions(app, call, path.strip_prefix("/api/app/data-deletions/").unwrap_or_default())
                .await
        }
        _ if below_mock(path).is_some() => match guard::refusal(app.shared.control_token.as_deref(), call) {
            Some(reply) => reply,
            None => control::answer(app, call, below_mock(path).unwrap_or_default()).await,
        },
        _ => Reply::hinted(
            404,
            "there is no such route",
            "the collection routes are those of Mixpanel's API, such as /track; GET / is a page, GET /mock lists the rest",
        ),
    }
}

/// Bytes that are kept of a body. From whoever is not known to a route that asks for that, they are few.
fn body_limit(app: &App, call: &Call) -> usize {
    let path = call.path.as_str();
    if path.starts_with("/lookup-tables/") {
        return lookup::body_limit(app, call);
    }
    let is_small = if path.starts_with("/api/") {
        !auth::is_known(&app.shared.config(), call, app.shared.now())
    } else if below_mock(path).is_some() {
        guard::refusal(app.shared.control_token.as_deref(), call).is_some()
    } else {
        path.starts_with("/refrain/")
    };
    if is_small { SMALL } else { BODY_LIMIT }
}

/// Reads a body into its call; the error is the answer to one that does not arrive.
async fn read_whole(app: &App, call: &mut Call, body: Incoming, throttle: Option<u64>) -> Result<(), Reply> {
    let limit = body_limit(app, call);
    let reading = read_body(body, limit, throttle, app.patience.piece);
    let read = tokio::time::timeout(app.patience.body, reading).await.unwrap_or(Err(Unread::Late));
    let reply = match read {
        Ok((body, oversize)) => {
            (call.body, call.oversize) = (body, oversize);
            if brought::is_decoded(&call.path) && call.headers.contains_key("content-encoding") {
                // What is small then is as good as sent so.
                call.unzip(SMALL);
            }
            return Ok(());
        }
        Err(Unread::Late) => Reply::error(408, "the request body did not arrive in time"),
        Err(Unread::Broken) => Reply::error(400, "the request body ends too early, or its framing is broken"),
    };
    Err(reply.with("connection", "close"))
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// It takes too long.
    Late,
    /// What came is not a body.
    Broken,
}

/// Reads a body up to a limit, no faster than so many bytes a second; says whether there was more.
async fn read_body<B: hyper::body::Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
    throttle: Option<u64>,
    patience: Duration,
) -> Result<(Vec<u8>, bool), Unread> {
    let mut bytes = Vec::new();
    let mut dropped = 0;
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => return Err(Unread::Late),
            Ok(Some(Err(_))) => return Err(Unread::Broken),
            Ok(None) => return Ok((bytes, dropped > 0)),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if let Some(per_second) = throttle {
                    tokio::time::sleep(Duration::from_secs_f64(data.len() as f64 / per_second as f64)).await;
                }
                if dropped == 0 && bytes.len() + data.len() <= limit {
                    bytes.extend_from_slice(&data);
                } else {
                    dropped += bytes.len() + data.len();
                    bytes = Vec::new();
                    if dropped > DRAIN_LIMIT {
                        return Ok((bytes, true));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::time::Instant;

    use super::*;
    use crate::core::Core;
    use crate::domain::config::Config;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn without_a_token_other_machines_see_neither_pages_nor_control_api() {
        let shared = Arc::new(Shared::new(Config::default(), None));
        let core = Core::new(Box::new(SqliteStore::in_memory().unwrap()), shared.clone()).unwrap();
        let app = Arc::new(App::new(shared, Worker::start(core).unwrap(), Patience::default()));
        for (path, own, other) in [("/", 200, 403), ("/ui/app.js", 200, 403), ("/mock/stats", 200, 403)] {
            for (is_local, expected) in [(true, own), (false, other)] {
                let peer = [192, 0, 2, 1].into();
                let call = Call { peer, is_local, ..Call::asking("GET", path, Vec::new()) };
                assert_eq!(route(&app, &call).await.status, expected, "{path} {is_local}");
            }
        }
        app.worker.stop();
    }

    /// Virtual time goes on where all only wait.
    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_no_faster_than_was_asked_for() {
        let body = || Full::new(Bytes::from(vec![b'x'; 5000]));
        let begun = Instant::now();
        let patience = Duration::from_secs(30);
        assert_eq!(read_body(body(), 5000, None, patience).await.unwrap().0.len(), 5000);
        assert_eq!(begun.elapsed().as_secs(), 0);
        assert_eq!(read_body(body(), 4000, Some(10), patience).await, Ok((Vec::new(), true)));
        assert_eq!(begun.elapsed().as_secs(), 500);
    }
}
