//! Routes. One file per family; each decodes, asks the core, renders.

mod auth;
mod call;
mod collect;
mod control;
mod cors;
mod guard;
mod import;
mod limit;
mod lookup;
mod page;
mod privacy;
mod query;
mod render;
mod side;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use crate::core::{Logged, Shared};
use crate::domain::wire::BODY_LIMIT;
use crate::worker::Worker;
use call::{Call, Reply};

/// A client that sends nothing for so long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// And one that has not sent its whole body in this time, however often it sends a byte.
const BODY_TIMEOUT: Duration = Duration::from_secs(300);
/// How much of an oversize body is read and thrown away, so that the client sees the answer and not a reset.
const DRAIN_LIMIT: usize = 64 * 1024 * 1024;

/// What handlers work with.
pub struct App {
    pub shared: Arc<Shared>,
    pub worker: Worker,
    import_limit: limit::ImportLimit,
    gdpr_limit: limit::GdprLimit,
}

impl App {
    pub fn new(shared: Arc<Shared>, worker: Worker) -> App {
        App { shared, worker, import_limit: Default::default(), gdpr_limit: Default::default() }
    }
}

/// Answers one request. The work is a task of its own: it goes on when the client goes away, and when it panics only
/// this request fails.
pub async fn serve(app: Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let mut call = Call {
        method: parts.method.as_str().to_ascii_uppercase(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: Vec::new(),
        oversize: false,
    };
    let (method, path) = (call.method.clone(), call.path.clone());
    let encoding: String = call.header("content-encoding").chars().take(32).collect();
    let origin = cors::is_browser_route(&path).then(|| call.headers.get("origin").cloned()).flatten();
    let body = tokio::time::timeout(BODY_TIMEOUT, read_body(body)).await.unwrap_or(None);
    let mut reply = match body {
        Some((body, oversize)) => {
            (call.body, call.oversize) = (body, oversize);
            let app = app.clone();
            let work = tokio::spawn(async move { route(&app, &call).await });
            work.await.unwrap_or_else(|_| Reply::error(500, "the server failed on this request"))
        }
        None => Reply::error(408, "the request body did not arrive in time").with("connection", "close"),
    };
    if cors::is_browser_route(&path) {
        cors::apply(&mut reply, origin.as_ref());
    }
    if path.starts_with("/mock/") {
        // Looking is not arriving: tests count what clients sent.
        return reply.into_response();
    }
    app.shared.log(Logged {
        path: match reply.route {
            Some(route) => route.to_owned(),
            None if is_plain_route(&path) => path,
            None => "(unknown)".to_owned(),
        },
        method: method.chars().take(16).collect(),
        status: reply.status,
        decoded_bytes: reply.decoded_bytes,
        encoding,
        records: reply.records,
        library: reply.library.take(),
        at: app.shared.now(),
    });
    reply.into_response()
}

async fn route(app: &Arc<App>, call: &Call) -> Reply {
    let path = call.path.strip_suffix('/').unwrap_or(&call.path);
    match path {
        "/track" | "/engage" | "/groups" => collect::answer(app, call, path).await,
        "/import" => import::answer(app, call).await,
        "/record" | "/settings" | "/decide" | "/flags" => side::answer(call, path),
        "/api/2.0/export" | "/api/2.0/engage" | "/api/2.0/stream/query" => {
            query::answer(app, call, path).await
        }
        "/lookup-tables" => lookup::answer(app, call, None),
        "/api/app/me" => side::me(app, call),
        "" => page::answer(call),
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
        _ if path == "/mock" || path.starts_with("/mock/") => match guard::refusal(app, call) {
            Some(reply) => reply,
            None => control::answer(app, call, path.strip_prefix("/mock").unwrap_or_default()).await,
        },
        // The path is not remembered: it is not one of ours, and may hold anything.
        _ => {
            Reply::error(404, "there is no such route; GET / lists those that are there").routed("(unknown)")
        }
    }
}

/// Whether a path is a route without parts of the client's choice. Others may hold anything and are not remembered.
fn is_plain_route(path: &str) -> bool {
    matches!(
        path.strip_suffix('/').unwrap_or(path),
        "" | "/track"
            | "/engage"
            | "/groups"
            | "/import"
            | "/record"
            | "/settings"
            | "/decide"
            | "/flags"
            | "/flags/definitions"
            | "/api/2.0/export"
            | "/api/2.0/engage"
            | "/api/2.0/stream/query"
            | "/api/query/engage"
            | "/api/query/stream/query"
            | "/api/app/me"
    )
}

/// Reads a body up to the limit. `None`: it did not arrive.
async fn read_body(mut body: Incoming) -> Option<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let mut dropped = 0;
    loop {
        match tokio::time::timeout(READ_TIMEOUT, body.frame()).await {
            Err(_) | Ok(Some(Err(_))) => return None,
            Ok(None) => return Some((bytes, dropped > 0)),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if dropped == 0 && bytes.len() + data.len() <= BODY_LIMIT {
                    bytes.extend_from_slice(&data);
                } else {
                    dropped += bytes.len() + data.len();
                    bytes = Vec::new();
                    if dropped > DRAIN_LIMIT {
                        return Some((bytes, true));
                    }
                }
            }
        }
    }
}
