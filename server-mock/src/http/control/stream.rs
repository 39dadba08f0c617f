//! Server-sent events for the page: what changed, as it changes.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::look::{Wanted, find, stats_value};
use super::param;
use crate::core::{EventQuery, Sorting};
use crate::http::App;
use crate::http::body::Body;
use crate::http::call::{Call, Reply};

/// Events that are sent at a time; of more, the page is told to look for itself.
const EVENTS: usize = 200;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;
/// A comment is sent after so much silence, so that a connection that has broken is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// `event: events` with those that came since the one before, `event: stats` with the counters. `after` (or the
/// header `Last-Event-ID`) says where to begin; without it the stream begins now.
pub fn answer(app: &Arc<App>, call: &Call) -> Reply {
    let (sender, pieces) = mpsc::channel(PIECES);
    let params = call.query_params();
    let project = param(&params, "project");
    let after = call.header("last-event-id").parse().ok().or_else(|| params.text("after")?.parse().ok());
    tokio::spawn(follow(app.clone(), project, after, sender));
    let reply = Reply::new(200, "text/event-stream", "");
    Reply { body: Body::Stream(pieces), ..reply }
}

async fn follow(app: Arc<App>, project: Option<String>, after: Option<i64>, pieces: mpsc::Sender<Bytes>) {
    let mut changes = app.shared.changes();
    let mut stopping = app.stopping.subscribe();
    let mut last = match after {
        Some(after) => after,
        None => newest(&app, project.clone()).await.unwrap_or(0),
    };
    let mut told = Value::Null;
    loop {
        changes.borrow_and_update();
        let mut text = String::new();
        let wanted = Wanted {
            project: project.clone(),
            query: EventQuery { after: Some(last), ..EventQuery::default() },
            limit: EVENTS,
        };
        // Storage in trouble is no reason to end the stream; the counters show it.
        if let Ok(found) = app.worker.read(move |core| find(core, &wanted)).await
            && let Some(id) = found.events.last().and_then(|event| event["id"].as_i64())
        {
            last = id;
            let data = json!({"events": found.events, "more": found.next.is_some(), "total": found.total});
            text += &format!("event: events\nid: {last}\ndata: {data}\n\n");
        }
        let stats = stats_value(&app);
        if stats != told {
            text += &format!("event: stats\ndata: {stats}\n\n");
            told = stats;
        }
        if text.is_empty() {
            text.push_str(": still here\n\n");
        }
        if pieces.send(text.into()).await.is_err() {
            return;
        }
        tokio::select! {
            changed = tokio::time::timeout(SILENCE, changes.changed()) => {
                if matches!(changed, Ok(Err(_))) {
                    return;
                }
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = pieces.closed() => return,
        }
    }
}

/// The number of the newest event.
async fn newest(app: &Arc<App>, project: Option<String>) -> Option<i64> {
    let query = EventQuery { sorting: Sorting::Newest, ..EventQuery::default() };
    let wanted = Wanted { project, query, limit: 1 };
    let found = app.worker.read(move |core| find(core, &wanted)).await.ok()?;
    found.events.first()?["id"].as_i64()
}
