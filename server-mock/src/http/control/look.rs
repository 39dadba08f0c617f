//! Looking at what the server holds, and waiting for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::document;
use crate::core::{Core, EventQuery};
use crate::domain::profile::Subject;
use crate::domain::time;
use crate::domain::wire::Params;
use crate::http::App;
use crate::http::call::{Call, Reply};
use crate::store::StoreError;

/// Events in an answer, unless the call says otherwise.
const PAGE: usize = 1000;
/// More than this is all.
const MOST: i64 = i64::MAX / 2;

/// Which events a call wants to see.
#[derive(Clone)]
struct Wanted {
    project: Option<String>,
    query: EventQuery,
    limit: usize,
}

struct Found {
    total: usize,
    events: Vec<Value>,
    next: Option<i64>,
}

fn number(params: &Params, name: &str) -> Result<Option<i64>, Reply> {
    let Some(text) = params.text(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
    number.map(Some).ok_or_else(|| Reply::error(400, &format!("{name} is a whole number, 0 or more")))
}

pub async fn events(app: &Arc<App>, call: &Call) -> Result<Reply, StoreError> {
    let params = call.query_params();
    let text = |name: &str| params.text(name).filter(|value| !value.is_empty());
    let (limit, after) = match (number(&params, "limit"), number(&params, "after")) {
        (Ok(limit), Ok(after)) => (limit, after),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    let wanted = Wanted {
        project: text("project"),
        query: EventQuery {
            after,
            names: text("event").map(|name| vec![name]),
            distinct_ids: text("distinct_id").map(|id| vec![id]),
            insert_id: text("insert_id"),
            ..EventQuery::default()
        },
        limit: limit.map_or(PAGE, |limit| limit.min(MOST) as usize),
    };
    let found = app.worker.alone(move |core| find(core, &wanted)).await?;
    Ok(Reply::json(200, &json!({"total": found.total, "events": found.events, "next": found.next})))
}

fn find(core: &mut Core, wanted: &Wanted) -> Result<Found, StoreError> {
    let tokens = match &wanted.project {
        Some(token) => vec![token.clone()],
        None => core.store.projects()?.into_iter().map(|(_, token)| token).collect(),
    };
    let (mut rows, mut total) = (Vec::new(), 0);
    for token in tokens {
        // Rows come in order, so that no more than these of a project can be among the first of all.
        let mut room = wanted.limit + 1;
        core.events(&token, &wanted.query, &mut |event, rendered| {
            total += 1;
            if room == 0 {
                return true;
            }
            room -= 1;
            let shown = json!({
                "event": event.name,
                "properties": rendered.properties,
                "project": token,
                "distinct_id": rendered.distinct_id,
                "time": time::format_iso(event.time),
                "time_ms": event.time,
                "received_at": time::format_iso(event.received),
                "id": event.row,
            });
            rows.push((event.row, shown));
            true
        })?;
    }
    rows.sort_by_key(|(row, _)| *row);
    let last = rows.get(wanted.limit.wrapping_sub(1)).map(|(row, _)| *row);
    rows.truncate(wanted.limit);
    Ok(Found {
        next: last.filter(|_| total > wanted.limit),
        total,
        events: rows.into_iter().map(|(_, shown)| shown).collect(),
    })
}

pub async fn profiles(app: &Arc<App>, call: &Call, groups: bool) -> Result<Reply, StoreError> {
    let params = call.query_params();
    let text = |name: &str| params.text(name).filter(|value| !value.is_empty());
    let (project, id, key) = (text("project"), text("distinct_id").or(text("group_id")), text("group_key"));
    let (limit, after) = match (number(&params, "limit"), number(&params, "after")) {
        (Ok(limit), Ok(after)) => (limit.map_or(PAGE, |limit| limit.min(MOST) as usize), after.unwrap_or(0)),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    let mut found = app
        .worker
        .alone(move |core| {
            let tokens = match project {
                Some(token) => vec![token],
                None => core.store.projects()?.into_iter().map(|(_, token)| token).collect(),
            };
            let mut shown = Vec::new();
            for token in tokens {
                let names = id.as_ref().map(|id| core.profile_names(&token, std::slice::from_ref(id))).transpose()?;
                core.profiles(&token, groups, &mut |profile| {
                    let seen = time::format_iso(profile.last_seen);
                    let (wanted, one) = match profile.subject {
                        Subject::Person(id) => (
                            names.as_ref().is_none_or(|names| names.contains(&id)),
                            json!({"distinct_id": id, "project": token, "last_seen": seen, "properties": profile.properties}),
                        ),
                        Subject::Group(group, name) => (
                            id.as_ref().is_none_or(|id| *id == name) && key.as_ref().is_none_or(|key| *key == group),
                            json!({"group_key": group, "group_id": name, "project": token, "last_seen": seen,
                                "properties": profile.properties}),
                        ),
                    };
                    if wanted && profile.row > after {
                        shown.push((profile.row, one));
                    }
                    true
                })?;
            }
            Ok(shown)
        })
        .await?;
    found.sort_by_key(|(row, _)| *row);
    let total = found.len();
    let next = found.get(limit.wrapping_sub(1)).map(|(row, _)| *row).filter(|_| total > limit);
    found.truncate(limit);
    let found: Vec<Value> = found.into_iter().map(|(_, one)| one).collect();
    Ok(Reply::json(
        200,
        &json!({"total": total, if groups { "groups" } else { "profiles" }: found, "next": next}),
    ))
}

pub fn requests(app: &App) -> Reply {
    let shown = app.shared.logged().into_iter().map(|request| {
        json!({
            "method": request.method,
            "path": request.path,
            "status": request.status,
            "decoded_bytes": request.decoded_bytes,
            "encoding": request.encoding,
            "records": request.records,
            "library": request.library,
            "time": time::format_iso(request.at),
        })
    });
    let requests: Vec<Value> = shown.collect();
    Reply::json(200, &json!({"total": requests.len(), "requests": requests}))
}

pub async fn stats(app: &Arc<App>) -> Result<Reply, StoreError> {
    let stats = &app.shared.stats;
    let mut shown = Map::new();
    for (name, counter) in stats.all() {
        shown.insert(name.into(), counter.load(Ordering::Relaxed).into());
    }
    let by_status: Map<String, Value> =
        stats.by_status().into_iter().map(|(status, count)| (status.to_string(), count.into())).collect();
    shown.insert("requests".into(), by_status.into());
    Ok(Reply::json(200, &Value::Object(shown)))
}

/// Answers as soon as enough events are there, or 408 with those that are.
pub async fn wait(app: &Arc<App>, call: &Call) -> Result<Reply, StoreError> {
    let document = match document(call) {
        Ok(map) => map,
        Err(reply) => return Ok(reply),
    };
    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str, default: u64| match document.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            value.as_u64().ok_or_else(|| Reply::error(400, &format!("{name} is a whole number, 0 or more")))
        }
    };
    let (min, timeout_ms) = match (number("min", 1), number("timeout_ms", 5000)) {
        (Ok(min), Ok(timeout)) => (min as usize, timeout.min(600_000)),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    let wanted = Wanted {
        project: text("project"),
        query: EventQuery {
            names: text("event").map(|name| vec![name]),
            distinct_ids: text("distinct_id").map(|id| vec![id]),
            insert_id: text("insert_id"),
            ..EventQuery::default()
        },
        limit: PAGE,
    };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout_ms);
    let mut changes = app.shared.changes();
    loop {
        changes.borrow_and_update();
        let asked = wanted.clone();
        let found = app.worker.alone(move |core| find(core, &asked)).await?;
        let met = found.total >= min;
        if met || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            let status = if met { 200 } else { 408 };
            return Ok(Reply::json(
                status,
                &json!({"total": found.total, "events": found.events, "min": min}),
            ));
        }
    }
}
