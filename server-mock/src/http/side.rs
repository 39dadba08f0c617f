//! Routes that the SDKs call on the side (SPEC §14), and `/api/app/me`. Replay bodies are not kept.

use serde_json::{Value, json};

use super::App;
use super::auth;
use super::call::{Call, Reply};
use super::cors;

pub fn answer(call: &Call, path: &str) -> Reply {
    if call.method == "OPTIONS" {
        return cors::preflight(call);
    }
    let (methods, good) = match path {
        "/settings" => ("GET", json!({"sdk_config": {"config": {}}})),
        "/decide" => ("GET", json!({"notifications": [], "config": {}, "automatic_events": false})),
        "/flags" => ("GET, POST", json!({"flags": {}, "pending_first_time_events": []})),
        "/flags/definitions" => ("GET", json!({"flags": []})),
        "/record" => ("POST", json!({"code": 200, "status": "OK"})),
        _ if path.ends_with("/first-time-events") => ("POST", json!({})),
        _ => return Reply::error(404, "there is no such route"),
    };
    if !methods.split(", ").any(|method| method == call.method) {
        return Reply::method_not_allowed(methods);
    }
    if call.oversize {
        return super::collect::too_large();
    }
    if path == "/record" && auth::basic(call).is_none_or(|(token, _)| token.is_empty()) {
        return Reply::json(
            401,
            &json!({"code": 401, "error": "Invalid credentials", "status": "Unauthorized"}),
        );
    }
    let reply = Reply::json(200, &good);
    if path.ends_with("/first-time-events") { reply.routed("/flags/{id}/first-time-events") } else { reply }
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
