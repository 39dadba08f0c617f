//! Reading back: raw export, events of given users, profiles (SPEC §12, §13).

mod export;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::auth;
use super::call::{Call, Reply};
use super::limit::Slot;
use crate::core::{Core, EventQuery, Session, Sorting, View};
use crate::domain::config::Project;
use crate::domain::expression::{self, Expression, Scope, Term};
use crate::domain::profile::Subject;
use crate::domain::time::{self, DAY};
use crate::domain::wire::{Params, media_type};
use crate::store::{Counts, StoreError, StoredProfile};

/// Profiles of a page, unless the call says otherwise.
const PAGE: usize = 1000;
/// How long a snapshot of profiles is remembered, in milliseconds.
const SESSION_LIFE: i64 = 600_000;
/// Snapshots remembered at most.
const SESSIONS: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Export,
    Stream,
    Engage,
}

pub async fn answer(app: &Arc<App>, call: &Call, path: &str) -> Reply {
    let (methods, route) = match path {
        "/api/2.0/export" => ("GET", Route::Export),
        "/api/query/stream/query" | "/api/2.0/stream/query" => ("GET", Route::Stream),
        "/api/query/engage" | "/api/2.0/engage" => ("GET, POST", Route::Engage),
        _ => return Reply::error(404, "not implemented"),
    };
    if !methods.split(", ").any(|method| method == call.method) {
        return Reply::method_not_allowed(methods);
    }
    if call.oversize {
        return super::collect::too_large();
    }
    let mut params = call.query_params();
    if call.method == "POST" && media_type(call.header("content-type")) != "application/json" {
        params = Params::parse(&[call.query.as_bytes(), b"&", &call.body].concat());
    }
    let config = app.shared.config();
    let project = match auth::query(&config, call, &params) {
        Ok(project) => project,
        Err(reply) => return reply,
    };
    let slot = match admit(app, route, &project) {
        Ok(slot) => slot,
        Err(reply) => return reply,
    };
    let done = match route {
        Route::Export => export::answer(app, call, &params, project).await,
        Route::Stream => stream(app, &params, project).await,
        Route::Engage => engage(app, &params, project).await,
    };
    let reply = match done {
        Ok(reply) => reply,
        Err(Failure::Bad(text)) => Reply::json(400, &json!({"error": text, "status": "error"})),
        Err(Failure::Store) => Reply::unavailable(Reply::error),
    };
    match slot {
        Some(slot) => Reply { body: reply.body.held(slot), ..reply },
        None => reply,
    }
}

/// Counts a call with good credentials; the error is the answer to one too many (SPEC §18).
fn admit(app: &App, route: Route, project: &Project) -> Result<Option<Slot>, Reply> {
    let (limiter, limit) = match route {
        Route::Export => (&app.limits.export, project.settings.export_rate_limit),
        Route::Stream | Route::Engage => (&app.limits.query, project.settings.query_rate_limit),
    };
    limiter.admit(&project.token, limit, || app.shared.now()).map_err(|retry| {
        let allowed = limit.map(|limit| limit.to_string()).unwrap_or_default();
        let text = format!("rate limit exceeded: a project allows {allowed}");
        let reply = match route {
            Route::Export => Reply::new(429, "text/plain", text),
            Route::Stream | Route::Engage => Reply::json(429, &json!({"error": text, "status": "error"})),
        };
        reply.with("retry-after", retry.header())
    })
}

/// Why there is no answer.
enum Failure {
    Bad(String),
    Store,
}

impl From<StoreError> for Failure {
    fn from(_: StoreError) -> Failure {
        Failure::Store
    }
}

fn bad<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Bad(text.into()))
}

/// The period of a query in milliseconds: both dates inclusive, in UTC.
fn period(app: &App, params: &Params) -> Result<(i64, i64), Failure> {
    let day = |name: &str| match params.text(name) {
        None => bad(format!("{name} is missing: a date such as 2026-09-01")),
        Some(text) => time::parse_date(&text)
            .map_or_else(|| bad(format!("{name} is not a date such as 2026-09-01")), Ok),
    };
    let (from, to) = (day("from_date")?, day("to_date")?);
    if to > app.shared.now().div_euclid(DAY) {
        return bad("to_date cannot be later than today");
    }
    if from > to {
        return bad("from_date cannot be later than to_date");
    }
    Ok((from * DAY, (to + 1) * DAY))
}

fn text_list(params: &Params, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = params.text(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let list = crate::domain::json::value(text.as_bytes()).ok();
    let list = list.as_ref().and_then(Value::as_array).map(|list| {
        list.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
    });
    list.map_or_else(|| bad(format!("{name} is a JSON list such as [\"a\"]")), |list| Ok(Some(list)))
}

fn filter(params: &Params) -> Result<Option<Expression>, Failure> {
    match params.text("where").filter(|text| !text.trim().is_empty()) {
        None => Ok(None),
        Some(text) => expression::parse(&text).map(Some).or_else(|error| bad(format!("where: {error}"))),
    }
}

fn look_up(map: &Map<String, Value>, name: &str) -> Term {
    map.get(name).map_or(Term::Undefined, Term::from)
}

async fn stream(app: &Arc<App>, params: &Params, project: Project) -> Result<Reply, Failure> {
    let (from, until) = period(app, params)?;
    let Some(ids) = text_list(params, "distinct_ids")? else {
        return bad("distinct_ids is missing: a JSON list such as [\"a\"]");
    };
    let events = app
        .worker
        .write(move |core| {
            let Some(view) = core.view(&project.token)? else { return Ok(Vec::new()) };
            let query = EventQuery {
                from: Some(from),
                until: Some(until),
                distinct_ids: Some(core.profile_names(&view, &ids)?),
                sorting: Sorting::Time,
                ..EventQuery::default()
            };
            let mut events = Vec::new();
            core.events(&view, &query, &mut |event, rendered| {
                events.push(json!({"event": event.name, "properties": rendered.properties}));
                true
            })?;
            let counts = Counts { events: events.len(), ..Counts::default() };
            core.note_export(&view, "events of given users", None, counts)?;
            Ok(events)
        })
        .await?;
    Ok(Reply::json(200, &json!({"status": "ok", "results": {"events": events}})))
}

/// What a profile query asks for.
struct ProfileQuery {
    ids: Option<Vec<String>>,
    group: Option<String>,
    filter: Option<Expression>,
    output: Option<Vec<String>>,
    page: usize,
    page_size: usize,
    session: Option<String>,
}

async fn engage(app: &Arc<App>, params: &Params, project: Project) -> Result<Reply, Failure> {
    for unsupported in ["filter_by_cohort", "behaviors"] {
        if params.text(unsupported).is_some_and(|text| !text.is_empty()) {
            return bad(format!("{unsupported} is not supported"));
        }
    }
    let number = |name: &str, default: usize| match params.text(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().or_else(|_| bad(format!("{name} is a whole number, 0 or more"))),
    };
    let text = |name: &str| params.text(name).filter(|text| !text.is_empty());
    let ids = match (text("distinct_id"), text_list(params, "distinct_ids")?) {
        (Some(id), Some(mut ids)) => {
            ids.push(id);
            Some(ids)
        }
        (Some(id), None) => Some(vec![id]),
        (None, ids) => ids,
    };
    let query = ProfileQuery {
        ids,
        group: text("data_group_id"),
        filter: filter(params)?,
        output: text_list(params, "output_properties")?,
        page: number("page", 0)?,
        page_size: number("page_size", PAGE)?,
        session: text("session_id"),
    };
    if query.page_size == 0 {
        return bad("page_size is 1 or more");
    }
    let done = app.worker.write(move |core| profiles(core, &project.token, &query)).await?;
    done.map(|answer| Reply::json(200, &answer)).map_err(Failure::Bad)
}

/// One page; the inner error is about the query.
fn profiles(core: &mut Core, token: &str, query: &ProfileQuery) -> Result<Result<Value, String>, StoreError> {
    let now = core.shared.now();
    core.sessions.retain(|_, session| (0..SESSION_LIFE).contains(&(now - session.made)));
    let groups = query.group.is_some();
    let known = query
        .session
        .as_ref()
        .and_then(|id| core.sessions.get(id).map(|session| (id.clone(), session.clone())));
    let known = known.filter(|(_, session)| session.token == token && session.groups == groups);
    if known.is_none() && (query.page > 0 || query.session.is_some()) {
        return Ok(Err("request for page in uncached query for params".into()));
    }
    let mut all: Vec<StoredProfile> = Vec::new();
    let view = core.view(token)?;
    if let Some(view) = &view {
        core.profiles(view, groups, &mut |profile| {
            all.push(profile);
            true
        })?;
    }
    let (session, rows) = match known {
        Some((id, session)) => (id, session.rows),
        None => {
            let rows =
                match view.as_ref().map_or(Ok(Ok(Vec::new())), |view| select(core, view, query, &all))? {
                    Ok(rows) => rows,
                    Err(text) => return Ok(Err(text)),
                };
            if core.sessions.len() >= SESSIONS {
                core.sessions.clear();
            }
            let id = crate::core::random_hex(16)?;
            let session = Session { made: now, token: token.to_owned(), groups, rows: rows.clone() };
            core.sessions.insert(id.clone(), session);
            (id, rows)
        }
    };
    let by_row: HashMap<i64, &StoredProfile> = all.iter().map(|profile| (profile.row, profile)).collect();
    let first = query.page.saturating_mul(query.page_size);
    let shown = rows.iter().skip(first).take(query.page_size).filter_map(|row| by_row.get(row));
    let results: Vec<Value> = shown.map(|profile| render(profile, query.output.as_deref())).collect();
    if let Some(view) = &view {
        let counts = Counts { profiles: results.len(), ..Counts::default() };
        core.note_export(view, "profile query", None, counts)?;
    }
    Ok(Ok(json!({
        "page": query.page,
        "page_size": query.page_size,
        "results": results,
        "session_id": session,
        "status": "ok",
        "total": rows.len(),
    })))
}

fn select(
    core: &mut Core,
    view: &View,
    query: &ProfileQuery,
    all: &[StoredProfile],
) -> Result<Result<Vec<i64>, String>, StoreError> {
    let names = query.ids.as_ref().map(|ids| core.profile_names(view, ids)).transpose()?;
    let mut rows = Vec::new();
    for profile in all {
        let (id, in_group) = match &profile.subject {
            Subject::Person(id) => (id, true),
            Subject::Group(group, id) => (id, query.group.as_ref() == Some(group)),
        };
        let named = match (&names, &query.ids, query.group.is_some()) {
            (Some(names), _, false) => names.contains(id),
            (_, Some(ids), true) => ids.contains(id),
            _ => true,
        };
        if !in_group || !named {
            continue;
        }
        let look = |scope, name: &str| match scope {
            Scope::Properties | Scope::User => look_up(&profile.properties, name),
            Scope::Event => Term::Undefined,
        };
        match query.filter.as_ref().map_or(Ok(true), |filter| filter.matches(&look)) {
            Ok(true) => rows.push(profile.row),
            Ok(false) => {}
            Err(error) => return Ok(Err(format!("where: {error}"))),
        }
    }
    Ok(Ok(rows))
}

fn render(profile: &StoredProfile, output: Option<&[String]>) -> Value {
    let id = match &profile.subject {
        Subject::Person(id) | Subject::Group(_, id) => id,
    };
    let wanted = |name: &String| output.is_none_or(|names| names.contains(name));
    let properties: Map<String, Value> = profile
        .properties
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({"$distinct_id": id, "$properties": properties})
}
