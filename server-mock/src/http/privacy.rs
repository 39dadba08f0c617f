//! The GDPR API: deletions and retrievals (SPEC §15).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::archive::hand_out;
use super::auth;
use super::call::{Call, Reply};
use crate::core::archive::fetchable;
use crate::core::random_uuid;
use crate::core::tasks::{Cancelled, due_time, state_name};
use crate::domain::config::{OauthToken, Project};
use crate::domain::json::{self, JsonError};
use crate::domain::time;
use crate::domain::wire::{BODY_LIMIT, VALUE_LIMIT, percent_encoded};
use crate::store::{NewTask, StoreError, TaskKind};

/// Most ids of one deletion.
const IDS: usize = 2000;

/// Answers a call below `/api/app/data-retrievals/`: `rest` is `v3.0`, `v3.0/{id}` or `v3.0/{id}/archive`.
pub async fn retrievals(app: &Arc<App>, call: &Call, rest: &str) -> Reply {
    let parts: Vec<&str> = rest.split('/').collect();
    let methods = match parts[..] {
        ["v3.0" | "v2.0"] => "POST",
        ["v3.0" | "v2.0", _] | ["v3.0" | "v2.0", _, "archive"] => "GET",
        _ => return Reply::error(404, "there is no such route"),
    };
    if call.method != methods {
        return Reply::method_not_allowed(methods);
    }
    let (bearer, project) = match admitted(app, call).await {
        Ok(found) => found,
        Err(reply) => return reply,
    };
    let done = match parts[..] {
        [_] => create(app, call, bearer, project, TaskKind::Retrieval).await,
        [_, id] => check_retrieval(app, call, &project, id).await,
        _ => {
            let (token, id) = (project.token, parts[1].to_owned());
            hand_out(app, move |core| core.task(&token, TaskKind::Retrieval, &id)).await
        }
    };
    done.unwrap_or_else(|_| Reply::unavailable(Reply::error))
}

/// Who asks about which project, if the call is good and not too many came before it.
async fn admitted(app: &App, call: &Call) -> Result<(OauthToken, Project), Reply> {
    let bearer = auth::gdpr_bearer(&app.shared.config(), call, app.shared.now())?;
    if call.oversize {
        return Err(Reply::too_large(BODY_LIMIT));
    }
    let project = auth::gdpr_project(app, call, &bearer).await?;
    // On a clock that stands still no second ever passes: there the limit holds only where somebody asked for it.
    let holds = project.settings.gdpr_rate_limit_asked || !app.shared.clock().is_frozen();
    let per_second = project.settings.gdpr_rate_limit_per_s.filter(|_| holds);
    match app.limits.gdpr.admit(&bearer.token, per_second, || app.shared.now()) {
        Ok(()) => Ok((bearer, project)),
        Err(retry) => {
            let text = "Too Many Requests, this API is limited to 1 req/s";
            Err(Reply::error(429, text).with("retry-after", retry.header()))
        }
    }
}

/// Answers a call below `/api/app/data-deletions/`: `rest` is `v3.0` or `v3.0/{id}`.
pub async fn deletions(app: &Arc<App>, call: &Call, rest: &str) -> Reply {
    let (version, id) = rest.split_once('/').map_or((rest, None), |(version, id)| (version, Some(id)));
    if !matches!(version, "v3.0" | "v2.0") || id.is_some_and(|id| id.contains('/')) {
        return Reply::error(404, "there is no such route");
    }
    let methods = if id.is_some() { "GET, DELETE" } else { "POST, DELETE" };
    if !methods.split(", ").any(|method| method == call.method) {
        return Reply::method_not_allowed(methods);
    }
    let (bearer, project) = match admitted(app, call).await {
        Ok(found) => found,
        Err(reply) => return reply,
    };
    let done = match (call.method.as_str(), id) {
        ("GET", Some(id)) => check(app, &project, id).await,
        (_, Some(id)) => cancel(app, project, id).await,
        ("POST", None) => create(app, call, bearer, project, TaskKind::Deletion).await,
        (_, None) => cancel_by_ids(app, call, project).await,
    };
    done.unwrap_or_else(|_| Reply::unavailable(Reply::error))
}

/// Reads the body as JSON whatever its content type is: the documented `curl -d` sends a form's.
fn body(call: &Call) -> Result<Map<String, Value>, Reply> {
    match json::bounded(&call.body, VALUE_LIMIT) {
        Ok(Value::Object(map)) => Ok(lower_keys(map)),
        Err(JsonError::TooMany) => Err(Reply::error(400, "the body has far more in it than 2000 ids")),
        _ => Err(Reply::error(400, "the body is not a JSON object such as {\"distinct_ids\":[\"a\"]}")),
    }
}

fn ids(body: &Map<String, Value>) -> Result<Vec<String>, Reply> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let found = match (body.get("distinct_ids"), body.get("distinct_id")) {
        (Some(Value::Array(list)), _) => list.iter().map(text).collect::<Option<Vec<_>>>(),
        (Some(value), _) | (None, Some(value)) => text(value).map(|id| vec![id]),
        (None, None) => None,
    };
    match found {
        Some(ids) if ids.len() > IDS => Err(Reply::error(400, "distinct_ids has more than 2000 ids")),
        Some(mut ids) if !ids.is_empty() => {
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(id.clone()));
            Ok(ids)
        }
        _ => Err(Reply::error(400, "distinct_ids is a list of 1 to 2000 texts, none of them empty")),
    }
}

/// How many ids a request about persons names; none where it is another request.
pub(super) fn ids_in(path: &str, bytes: &[u8]) -> usize {
    let is_about_persons =
        path.starts_with("/api/app/data-deletions/") || path.starts_with("/api/app/data-retrievals/");
    if !is_about_persons {
        return 0;
    }
    match json::bounded(bytes, VALUE_LIMIT) {
        Ok(Value::Object(map)) => ids(&lower_keys(map)).map_or(0, |ids| ids.len()),
        _ => 0,
    }
}

fn lower_keys(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect()
}

async fn create(
    app: &Arc<App>,
    call: &Call,
    bearer: OauthToken,
    project: Project,
    kind: TaskKind,
) -> Result<Reply, StoreError> {
    let body = match body(call) {
        Ok(body) => body,
        Err(reply) => return Ok(reply),
    };
    let ids = match ids(&body) {
        Ok(ids) => ids,
        Err(reply) => return Ok(reply),
    };
    let compliance = body.get("compliance_type").map_or(Some("GDPR".to_owned()), |value| {
        value.as_str().map(str::to_ascii_uppercase).filter(|text| matches!(text.as_str(), "GDPR" | "CCPA"))
    });
    let Some(compliance) = compliance else {
        return Ok(Reply::error(400, "compliance_type is GDPR or CCPA"));
    };
    let disclosure = body.get("disclosure_type").map_or(Some("DATA".to_owned()), |value| {
        let known = |text: &String| matches!(text.as_str(), "DATA" | "CATEGORIES" | "SOURCES");
        value.as_str().map(str::to_ascii_uppercase).filter(known)
    });
    let Some(disclosure) = disclosure else {
        return Ok(Reply::error(400, "disclosure_type is Data, Categories or Sources"));
    };
    if disclosure != "DATA" && compliance != "CCPA" {
        return Ok(Reply::error(400, "disclosure_type Categories and Sources need compliance_type CCPA"));
    }
    let at = app.shared.clock().moment();
    let now = at.now;
    let task = NewTask {
        kind,
        id: random_uuid()?,
        requested: now,
        due: due_time(&project, now),
        about: json!({
            "user": bearer.user,
            "compliance": compliance,
            "disclosure": disclosure,
            "client_offset": at.client_offset,
        }),
        ids,
    };
    let mut shown = json!({
        "task_id": task.id,
        "tracking_id": task.id,
        "status": "PENDING",
        "disclosure_type": disclosure,
        "date_requested": time::format_seconds(now) + &format!(".{:06}", now.rem_euclid(1000) * 1000),
        "project_id": project.project_id,
        "compliance_type": compliance.to_ascii_lowercase(),
        "destination_url": null,
        "requesting_user": bearer.user,
        "distinct_id_count": task.ids.len(),
    });
    if app.shared.config().server.gdpr_results_list {
        shown = json!([shown]);
    }
    match app.worker.alone(move |core| core.request_task(&project, &task)).await? {
        Ok(()) => Ok(Reply::json(201, &json!({"status": "ok", "results": shown}))),
        Err(conflict) => Ok(Reply::json(
            409,
            &json!({
                "status": "error",
                "error": {
                    "conflicting_distinct_ids": conflict.ids,
                    "conflicting_task_ids": conflict.tasks,
                    "error": "some ids have an unfinished deletion: leave them out and send the rest",
                },
            }),
        )),
    }
}

async fn check(app: &Arc<App>, project: &Project, id: &str) -> Result<Reply, StoreError> {
    let (token, asked) = (project.token.clone(), id.to_owned());
    let task = app.worker.read(move |core| core.task(&token, TaskKind::Deletion, &asked)).await?;
    let Some(task) = task else {
        let none = json!({"tracking_id": id, "status": "NOT_FOUND", "result": "", "distinct_ids": []});
        return Ok(Reply::json(200, &json!({"status": "ok", "results": none})));
    };
    Ok(Reply::json(
        200,
        &json!({
            "status": "ok",
            "results": {
                "tracking_id": task.id,
                "task_id": task.id,
                "status": state_name(&task, app.shared.now()),
                "requesting_user": task.about["user"],
                "compliance_type": task.about["compliance"],
                "project_id": project.project_id,
                "date_requested": time::format_seconds(task.requested),
                "distinct_ids": task.ids,
                "distinct_id_count": task.id_count,
                "result": "",
                "erased": {"events": task.events, "profiles": task.profiles, "replays": task.replays},
            },
        }),
    ))
}

async fn check_retrieval(
    app: &Arc<App>,
    call: &Call,
    project: &Project,
    id: &str,
) -> Result<Reply, StoreError> {
    let (token, asked) = (project.token.clone(), id.to_owned());
    let task = app.worker.read(move |core| core.task(&token, TaskKind::Retrieval, &asked)).await?;
    let now = app.shared.now();
    let shown = match task {
        None => {
            json!({"tracking_id": id, "status": "NOT_FOUND", "result": "", "results": "", "distinct_ids": []})
        }
        Some(task) => {
            let link = if fetchable(&task, now).is_some() {
                let token = percent_encoded(&project.token);
                let host = call.header("host");
                format!("http://{host}/api/app/data-retrievals/v3.0/{}/archive/?token={token}", task.id)
            } else {
                String::new()
            };
            json!({
                "tracking_id": task.id,
                "task_id": task.id,
                "status": state_name(&task, now),
                "result": link,
                "results": link,
                "distinct_ids": task.ids,
                "distinct_id_count": task.id_count,
                "requesting_user": task.about["user"],
                "compliance_type": task.about["compliance"],
                "disclosure_type": task.about["disclosure"],
                "project_id": project.project_id,
                "date_requested": time::format_seconds(task.requested),
            })
        }
    };
    Ok(Reply::json(200, &json!({"status": "ok", "results": shown})))
}

async fn cancel(app: &Arc<App>, project: Project, id: &str) -> Result<Reply, StoreError> {
    let id = id.to_owned();
    Ok(cancelled(app.worker.alone(move |core| core.cancel_deletion(&project.token, &id)).await?))
}

async fn cancel_by_ids(app: &Arc<App>, call: &Call, project: Project) -> Result<Reply, StoreError> {
    let ids = match body(call).and_then(|body| ids(&body)) {
        Ok(ids) => ids,
        Err(reply) => return Ok(reply),
    };
    Ok(cancelled(app.worker.alone(move |core| core.cancel_deletions_of(&project.token, &ids)).await?))
}

fn cancelled(outcome: Cancelled) -> Reply {
    match outcome {
        Cancelled::Yes => Reply::empty(204),
        Cancelled::TooLate => {
            Reply::error(405, "the deletion can no longer be cancelled").with("allow", "GET")
        }
        Cancelled::Unknown => Reply::error(404, "there is no such deletion"),
    }
}
