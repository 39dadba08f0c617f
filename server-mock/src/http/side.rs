//! Routes that the SDKs call on the side (SPEC §14), and `/api/app/me`. Replay bodies are kept only where a project
//! asks for it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::auth;
use super::call::{Call, Reply};
use super::collect::{self, Destination, destination};
use super::cors;
use super::signals::Signals;
use crate::core::Stats;
use crate::domain::identity;
use crate::domain::time::{self, DAY};
use crate::store::NewReplay;

pub fn answer(call: &Call, path: &str) -> Reply {
    if call.method == "OPTIONS" {
        return cors::preflight(call);
    }
    let (methods, good) = match path {
        "/settings" => ("GET, OPTIONS", json!({"sdk_config": {"config": {}}})),
        "/decide" => ("GET", json!({"notifications": [], "config": {}, "automatic_events": false})),
        "/flags" => ("GET, POST, OPTIONS", json!({"flags": {}, "pending_first_time_events": []})),
        "/flags/definitions" => ("GET, POST, OPTIONS", json!({"flags": []})),
        _ if path.ends_with("/first-time-events") => ("GET, POST, OPTIONS", json!({})),
        _ => return Reply::error(404, "there is no such route"),
    };
    if !methods.split(", ").any(|method| method == call.method) {
        return Reply::method_not_allowed(methods);
    }
    if call.oversize {
        return super::collect::too_large();
    }
    Reply::json(200, &good)
}

/// `/record`: a piece of a session replay.
pub async fn record(app: &Arc<App>, call: &Call) -> Reply {
    match call.method.as_str() {
        "OPTIONS" => return cors::preflight(call),
        "POST" => {}
        _ => return Reply::method_not_allowed("POST, OPTIONS"),
    }
    if call.oversize {
        return collect::too_large();
    }
    let token = auth::basic(call).map(|(token, _)| token).unwrap_or_default();
    if token.is_empty() {
        return Reply::coded(401, "Invalid credentials");
    }
    let good = Reply::json(200, &json!({"code": 200, "status": "OK"}));
    let config = app.shared.config();
    let Destination::Project(project) = destination(&config, &token) else { return good };
    if !project.settings.store_replays {
        return good;
    }
    if let Some(reason) = Signals::of(call).refuse(&project.settings) {
        Stats::add(&app.shared.stats.received, 1);
        app.shared.stats.drop_records(reason, 1);
        return good;
    }
    let params = call.query_params();
    let about: Map<String, Value> =
        params.names().filter_map(|name| Some((name.to_owned(), params.text(name)?.into()))).collect();
    let ids = identity::ids_of(project.id_merge, "", &about);
    let at = app.shared.clock().moment();
    let now = at.now;
    let began = about.get("batch_start_time").and_then(time::client_time);
    let began = began.map_or(now, |began| at.on_clock(began));
    let replay = NewReplay {
        ids,
        about: about.into(),
        body: call.body.clone(),
        received: now,
        expires: project.settings.retention_replays_days.map(|days| now + days * DAY),
    };
    match app.worker.write(move |core| core.store_replay(&project, replay, began, at)).await {
        Ok(done) => {
            Stats::add(&app.shared.stats.received, 1);
            collect::count(app, &done);
            good
        }
        Err(_) => Reply::unavailable(Reply::coded),
    }
}

pub fn me(app: &App, call: &Call) -> Reply {
    if call.method != "GET" {
        return Reply::method_not_allowed("GET");
    }
    let config = app.shared.config();
    let Some(account) = auth::account(&config, call) else {
        return auth::unauthorized("Invalid service account credentials");
    };
    let member = |id: &i64| account.projects.as_ref().is_none_or(|ids| ids.contains(id));
    let projects: serde_json::Map<String, Value> = config
        .projects
        .iter()
        .filter(|project| member(&project.project_id))
        .map(|project| {
            (project.project_id.to_string(), json!({"id": project.project_id, "role": account.role}))
        })
        .collect();
    Reply::json(
        200,
        &json!({"status": "ok", "results": {"user_name": account.username, "projects": projects}}),
    )
}
