//! Reading back: raw export, events of given users, profiles (SPEC §12, §13).

mod export;
mod profiles;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::auth;
use super::call::{Call, Reply};
use super::limit::Slot;
use crate::domain::config::Project;
use crate::domain::expression::{self, Expression, Term};
use crate::domain::json::{self, JsonError};
use crate::domain::time::{self, DAY};
use crate::domain::wire::{BODY_LIMIT, DecodeError, Params, VALUE_LIMIT, media_type};
use crate::store::StoreError;

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
    let config = app.shared.config();
    let reader = match auth::reader(&config, call) {
        Ok(reader) => reader,
        Err(reply) => return reply,
    };
    if call.oversize {
        return Reply::too_large(BODY_LIMIT);
    }
    let params = match params_of(call) {
        Ok(params) => params,
        Err(text) => return Reply::json(400, &json!({"error": text, "status": "error"})),
    };
    let project = match reader.project(&config, &params) {
        Ok(project) => project,
        Err(reply) => return reply,
    };
    let slot = match admit(app, route, &project) {
        Ok(slot) => slot,
        Err(reply) => return reply,
    };
    let done = match route {
        Route::Export => export::answer(app, call, &params, project).await,
        Route::Stream => export::of_users(app, &params, project).await,
        Route::Engage => profiles::answer(app, &params, project).await,
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

/// The parameters of the query and, over them, those of the body: a form, or a JSON object with the same names. Bodies that
/// are neither would answer more than was asked for.
fn params_of(call: &Call) -> Result<Params, &'static str> {
    let body = call.body.trim_ascii();
    let is_json = media_type(call.header("content-type")) == "application/json" || body.starts_with(b"{");
    if call.method != "POST" || body.is_empty() {
        return Ok(call.query_params());
    }
    if !is_json {
        return Params::of_form(&[call.query.as_bytes(), b"&", &call.body].concat())
            .map_err(DecodeError::text);
    }
    let map = match json::bounded(body, VALUE_LIMIT) {
        Ok(Value::Object(map)) => map,
        Err(JsonError::TooMany) => return Err("the body has more than 100000 values"),
        _ => return Err("the body is neither a form nor a JSON object"),
    };
    let mut params = call.query_params();
    for (name, value) in map {
        match value {
            Value::Null => {}
            Value::String(text) => params.set(&name, &text),
            // Lists and objects stand in a form as their JSON text.
            other => params.set(&name, &other.to_string()),
        }
    }
    Ok(params)
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
    let list = match json::bounded(text.as_bytes(), VALUE_LIMIT) {
        Err(JsonError::TooMany) => return bad(format!("{name} has more than 100000 values")),
        list => list.ok(),
    };
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
