//! Looking at what the server holds.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Failure, number, only, param};
use crate::core::{Core, EventQuery, Sorting};
use crate::domain::json;
use crate::domain::profile::Subject;
use crate::domain::time;
use crate::http::App;
use crate::http::call::{Call, Reply};
use crate::store::StoreError;

/// Entries in an answer, unless the call says otherwise.
pub const PAGE: usize = 1000;

/// Which events a call wants to see.
#[derive(Clone, Default)]
pub struct Wanted {
    pub project: Option<String>,
    pub query: EventQuery,
    pub limit: usize,
}

/// Events that were found.
pub struct FoundEvents {
    pub total: usize,
    pub events: Vec<Value>,
    pub next: Option<i64>,
}

/// How many entries a call wants.
fn limit(call: &Call) -> Result<usize, Reply> {
    let limit = number(&call.query_params(), "limit")?;
    Ok(limit.map_or(PAGE, |limit| limit.min(i64::MAX / 2) as usize))
}

pub async fn events(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "event", "distinct_id", "insert_id", "limit", "after", "order"])?;
    let sorting = match param(&params, "order").as_deref() {
        None | Some("received") => Sorting::Receipt,
        Some("newest") => Sorting::Newest,
        Some(_) => return Err(Reply::error(400, "order is received or newest").into()),
    };
    let wanted = Wanted {
        project: param(&params, "project"),
        query: EventQuery {
            after: number(&params, "after")?,
            names: param(&params, "event").map(|name| vec![name]),
            distinct_ids: param(&params, "distinct_id").map(|id| vec![id]),
            insert_id: param(&params, "insert_id"),
            sorting,
            ..EventQuery::default()
        },
        limit: limit(call)?,
    };
    let found = app.worker.read(move |core| find(core, &wanted)).await?;
    Ok(Reply::json(200, &json!({"total": found.total, "events": found.events, "next": found.next})))
}

/// The events that a call asks for. The total is of all that match, whatever page is shown.
pub fn find(core: &mut Core, wanted: &Wanted) -> Result<FoundEvents, StoreError> {
    let (mut rows, mut total) = (Vec::new(), 0);
    for token in core.tokens(wanted.project.as_deref())? {
        let Some(view) = core.view(&token)? else { continue };
        total += core.count_events(&view, &EventQuery { after: None, ..wanted.query.clone() })?;
        // Rows come in order, so that no more than these of a project can be among the first of all.
        let mut room = wanted.limit + 1;
        if wanted.limit == 0 {
            continue;
        }
        core.events(&view, &wanted.query, &mut |event, rendered| {
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
            room -= 1;
            room > 0
        })?;
    }
    match wanted.query.sorting {
        Sorting::Newest => rows.sort_by_key(|(row, _)| std::cmp::Reverse(*row)),
        _ => rows.sort_by_key(|(row, _)| *row),
    }
    let more = rows.len() > wanted.limit;
    rows.truncate(wanted.limit);
    Ok(FoundEvents {
        next: rows.last().map(|(row, _)| *row).filter(|_| more),
        total,
        events: rows.into_iter().map(|(_, shown)| shown).collect(),
    })
}

pub async fn profiles(app: &Arc<App>, call: &Call, groups: bool) -> Result<Reply, Failure> {
    let params = call.query_params();
    let known: &[&str] = if groups {
        &["project", "group_key", "group_id", "distinct_id", "limit", "after"]
    } else {
        &["project", "distinct_id", "limit", "after"]
    };
    only(&params, known)?;
    let (project, key) = (param(&params, "project"), param(&params, "group_key"));
    // Of a group, both are its own id.
    let id = param(&params, "group_id").or_else(|| param(&params, "distinct_id"));
    let (limit, after) = (limit(call)?, number(&params, "after")?.unwrap_or(0));
    let (mut found, total) = app
        .worker
        .read(move |core| {
            let (mut shown, mut total) = (Vec::new(), 0);
            for token in core.tokens(project.as_deref())? {
                let Some(view) = core.view(&token)? else { continue };
                let names = match &id {
                    Some(id) if !groups => Some(core.profile_names(&view, std::slice::from_ref(id))?),
                    _ => None,
                };
                // No more of each project than the page can show, and one that says that there are more.
                let mut room = limit.saturating_add(1);
                core.profiles(&view, groups, &mut |profile| {
                    let seen = time::format_iso(profile.last_seen);
                    let (wanted, one) = match profile.subject {
                        Subject::Person(name) => (
                            names.as_ref().is_none_or(|names| names.contains(&name)),
                            json!({
                                "distinct_id": name, "project": token, "last_seen": seen,
                                "properties": profile.properties, "id": profile.row,
                            }),
                        ),
                        Subject::Group(group, name) => (
                            id.as_ref().is_none_or(|id| *id == name)
                                && key.as_ref().is_none_or(|key| *key == group),
                            json!({
                                "group_key": group, "group_id": name, "project": token, "last_seen": seen,
                                "properties": profile.properties, "id": profile.row,
                            }),
                        ),
                    };
                    total += usize::from(wanted);
                    if wanted && profile.row > after && room > 0 {
                        room -= 1;
                        shown.push((profile.row, one));
                    }
                    true
                })?;
            }
            Ok((shown, total))
        })
        .await?;
    found.sort_by_key(|(row, _)| *row);
    let (found, next) = page(found, limit);
    let name = if groups { "groups" } else { "profiles" };
    Ok(Reply::json(200, &json!({"total": total, name: found, "next": next})))
}

/// The first entries, and the number behind which the others are.
fn page<N: Copy>(mut numbered: Vec<(N, Value)>, limit: usize) -> (Vec<Value>, Option<N>) {
    let more = numbered.len() > limit;
    numbered.truncate(limit);
    let next = numbered.last().map(|(number, _)| *number).filter(|_| more);
    (numbered.into_iter().map(|(_, one)| one).collect(), next)
}

pub async fn replays(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "limit", "after"])?;
    let (limit, after) = (limit(call)?, number(&params, "after")?.unwrap_or(0));
    let project = param(&params, "project");
    let (found, total) = app
        .worker
        .read(move |core| {
            let (mut found, mut total) = (Vec::new(), 0);
            for token in core.tokens(project.as_deref())? {
                let Some(view) = core.view(&token)? else { continue };
                core.store.visit_replays(view.space, view.now, 0, None, &mut |replay| {
                    total += 1;
                    if replay.row > after {
                        let shown = json!({
                            "id": replay.row,
                            "project": token,
                            "distinct_id": replay.ids.own(),
                            "parameters": replay.about,
                            "bytes": replay.body.len(),
                            "received_at": time::format_iso(replay.received),
                        });
                        found.push((replay.row, shown));
                    }
                    true
                })?;
            }
            found.sort_by_key(|(row, _)| *row);
            Ok((found, total))
        })
        .await?;
    let (found, next) = page(found, limit);
    Ok(Reply::json(200, &json!({"total": total, "replays": found, "next": next})))
}

pub fn rejected(app: &App, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "limit", "after"])?;
    let (limit, after) = (limit(call)?, number(&params, "after")?.unwrap_or(0) as u64);
    let project = param(&params, "project");
    let all: Vec<_> = app
        .shared
        .rejected()
        .into_iter()
        .filter(|(_, entry)| project.is_none() || entry.project == project)
        .collect();
    let total = all.len();
    let later = all.into_iter().filter(|(number, _)| *number > after);
    let shown = later.map(|(number, entry)| {
        let mut shown = json!({
            "id": number,
            "reason": entry.reason,
            "route": entry.route,
            "project": entry.project,
            "index": entry.index,
            "bytes": entry.bytes,
            "fields": entry.fields,
            "time": time::format_iso(entry.at),
        });
        if let Some(content) = entry.content.and_then(|text| json::stored(text.as_bytes()).ok()) {
            shown["content"] = content;
        }
        (number, shown)
    });
    let (found, next) = page(shown.collect(), limit);
    Ok(Reply::json(200, &json!({"total": total, "rejected": found, "next": next})))
}

pub fn requests(app: &App, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["path", "limit", "after"])?;
    let (path, after) = (param(&params, "path"), number(&params, "after")?.unwrap_or(0) as u64);
    let limit = if param(&params, "limit").is_some() { limit(call)? } else { usize::MAX };
    let mut all = app.shared.logged();
    if let Some(path) = path {
        let plain = |path: &str| path.strip_suffix('/').unwrap_or(path).to_owned();
        all.retain(|(_, request)| plain(&request.path) == plain(&path));
    }
    let total = all.len();
    let later = all.into_iter().filter(|(number, _)| *number > after);
    let shown = later.map(|(number, request)| {
        let shown = json!({
            "id": number,
            "method": request.method,
            "path": request.path,
            "status": request.status,
            "decoded_bytes": request.decoded_bytes,
            "encoding": request.encoding,
            "records": request.records,
            "library": request.library,
            "fault": request.fault,
            "time": time::format_iso(request.at),
        });
        (number, shown)
    });
    let (found, next) = page(shown.collect(), limit);
    Ok(Reply::json(200, &json!({"total": total, "requests": found, "next": next})))
}

/// The counters.
pub fn stats_value(app: &App) -> Value {
    let stats = &app.shared.stats;
    let mut shown: Map<String, Value> =
        stats.all().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let reasons: Map<String, Value> =
        stats.by_reason().map(|(name, count)| (name.to_owned(), count.into())).collect();
    shown.insert("suppressed_by".into(), reasons.into());
    let by_status = stats.by_status().into_iter().map(|(status, count)| {
        (status.map_or("cut".to_owned(), |status| status.to_string()), Value::from(count))
    });
    shown.insert("requests".into(), by_status.collect::<Map<_, _>>().into());
    Value::Object(shown)
}

pub fn stats(app: &App) -> Reply {
    Reply::json(200, &stats_value(app))
}
