//! The control API: everything a test needs to arrange, look at and wait for. All JSON, all under `/mock`.

mod look;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::call::{Call, Reply};
use crate::domain::config::Config;
use crate::domain::json as text;
use crate::domain::time;
use crate::store::StoreError;

/// What there is, for the answer to an unknown path.
const ROUTES: [&str; 11] = [
    "GET /mock/health",
    "GET|PUT /mock/config",
    "POST /mock/reset",
    "GET|PUT /mock/clock",
    "GET /mock/events",
    "GET /mock/profiles",
    "GET /mock/groups",
    "GET /mock/requests",
    "GET /mock/stats",
    "POST /mock/wait",
    "POST /mock/sweep",
];

/// Answers a call below `/mock`.
pub async fn answer(app: &Arc<App>, call: &Call, path: &str) -> Reply {
    if call.oversize {
        return Reply::error(413, "the document is larger than 10 MiB");
    }
    let methods = match path {
        "/health" | "/events" | "/profiles" | "/groups" | "/requests" | "/stats" => "GET",
        "/config" | "/clock" => "GET, PUT",
        "/reset" | "/wait" | "/sweep" => "POST",
        _ => {
            let list = json!({"status": "error", "error": "there is no such route", "routes": ROUTES});
            return Reply::json(404, &list);
        }
    };
    if !methods.split(", ").any(|method| method == call.method) {
        return Reply::method_not_allowed(methods);
    }
    let done = match (call.method.as_str(), path) {
        (_, "/health") => {
            Ok(Reply::json(200, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})))
        }
        ("GET", "/config") => Ok(Reply::json(200, &app.shared.config().to_json())),
        (_, "/config") => put_config(app, call).await,
        (_, "/reset") => reset(app).await,
        ("GET", "/clock") => Ok(clock(app)),
        (_, "/clock") => put_clock(app, call).await,
        (_, "/events") => look::events(app, call).await,
        (_, "/profiles") => look::profiles(app, call, false).await,
        (_, "/groups") => look::profiles(app, call, true).await,
        (_, "/requests") => Ok(look::requests(app)),
        (_, "/stats") => look::stats(app).await,
        (_, "/wait") => look::wait(app, call).await,
        _ => sweep(app).await,
    };
    done.unwrap_or_else(|error| {
        let hint = "storage is in trouble; look at disk space and permissions of the data folder";
        Reply::json(503, &json!({"status": "error", "error": error.to_string(), "hint": hint}))
            .with("retry-after", "5")
    })
}

/// The JSON object that a call carries; an empty body is an empty one.
fn document(call: &Call) -> Result<Map<String, Value>, Reply> {
    if call.body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match text::value(&call.body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Reply::error(400, "the body must be a JSON object")),
        Err(_) => Err(Reply::error(400, "the body is not JSON")),
    }
}

async fn put_config(app: &Arc<App>, call: &Call) -> Result<Reply, StoreError> {
    let document = match document(call) {
        Ok(map) => Value::Object(map),
        Err(reply) => return Ok(reply),
    };
    match Config::from_json(&document) {
        Ok(config) => {
            app.worker.alone(move |core| core.change_config(config)).await?;
            Ok(Reply::json(200, &app.shared.config().to_json()))
        }
        Err(error) => Ok(Reply::error(400, &error.to_string())),
    }
}

async fn reset(app: &Arc<App>) -> Result<Reply, StoreError> {
    app.worker.alone(|core| core.reset()).await?;
    Ok(Reply::json(200, &json!({"status": "ok"})))
}

fn clock(app: &App) -> Reply {
    let clock = app.shared.clock();
    let now = clock.now();
    Reply::json(
        200,
        &json!({"now": time::format_iso(now), "now_s": now.div_euclid(1000), "frozen": clock.is_frozen()}),
    )
}

/// What a `PUT /mock/clock` asks for.
enum Move {
    Stay,
    Set(i64),
    By(i64),
    Duration(String),
}

async fn put_clock(app: &Arc<App>, call: &Call) -> Result<Reply, StoreError> {
    let document = match document(call) {
        Ok(map) => map,
        Err(reply) => return Ok(reply),
    };
    let wrong = |text: &str| Ok(Reply::error(400, text));
    const NAMES: [&str; 6] = ["now", "now_s", "advance", "advance_s", "frozen", "real"];
    if document.is_empty() || document.keys().any(|key| !NAMES.contains(&key.as_str())) {
        return wrong("the clock understands now, now_s, advance, advance_s, frozen and real");
    }
    let seconds =
        |value: &Value| value.as_f64().filter(|s| s.abs() < 1e12).map(|s| (s * 1000.0).round() as i64);
    let mut moves = Vec::new();
    if let Some(value) = document.get("now") {
        match value.as_str().and_then(time::parse_iso) {
            Some(at) => moves.push(Move::Set(at)),
            None => return wrong("now is a text such as \"2026-09-01T00:00:00Z\""),
        }
    }
    if let Some(value) = document.get("now_s") {
        match seconds(value) {
            Some(at) => moves.push(Move::Set(at)),
            None => return wrong("now_s is a number of seconds since 1970"),
        }
    }
    if let Some(value) = document.get("advance") {
        match value.as_str().filter(|text| time::add_duration(0, text).is_some()) {
            Some(duration) => moves.push(Move::Duration(duration.to_owned())),
            None => return wrong("advance is an ISO 8601 duration such as \"P5Y\", \"P30D\" or \"PT90S\""),
        }
    }
    if let Some(value) = document.get("advance_s") {
        match seconds(value) {
            Some(by) => moves.push(Move::By(by)),
            None => return wrong("advance_s is a number of seconds"),
        }
    }
    let switch = |name: &str| match document.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Reply::error(400, &format!("{name} is true or false"))),
    };
    let (frozen, real) = match (switch("frozen"), switch("real")) {
        (Ok(frozen), Ok(real)) => (frozen, real == Some(true)),
        (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
    };
    if moves.len() > 1 || (real && (!moves.is_empty() || frozen == Some(true))) {
        return wrong("say one of now, now_s, advance, advance_s, real");
    }
    let wanted = moves.pop().unwrap_or(Move::Stay);
    app.worker
        .alone(move |core| {
            {
                let mut clock = core.shared.clock();
                if real {
                    clock.reset();
                }
                match wanted {
                    Move::Stay => {}
                    Move::Set(at) => clock.set(at),
                    Move::By(by) => clock.advance(by),
                    Move::Duration(duration) => {
                        let now = clock.now();
                        clock.advance(time::add_duration(now, &duration).map_or(0, |target| target - now));
                    }
                }
                if let Some(frozen) = frozen {
                    clock.freeze(frozen);
                }
            }
            let now = core.shared.now();
            core.run_due(now).map(|_| ())
        })
        .await?;
    Ok(clock(app))
}

async fn sweep(app: &Arc<App>) -> Result<Reply, StoreError> {
    let swept = app
        .worker
        .alone(|core| {
            let now = core.shared.now();
            core.run_due(now)
        })
        .await?;
    Ok(Reply::json(
        200,
        &json!({
            "status": "ok",
            "expired": {"events": swept.events, "profiles": swept.profiles},
            "tasks": swept.tasks,
        }),
    ))
}
