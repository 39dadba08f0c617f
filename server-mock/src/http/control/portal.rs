//! The privacy portal's own calls: requests of end users, and the account holder's data.

use std::sync::Arc;

use serde_json::{Value, json};

use super::projects::unknown;
use super::{Failure, document, only, param};
use crate::core::random_uuid;
use crate::core::tasks::due_time;
use crate::http::App;
use crate::http::call::{Call, Reply};
use crate::store::{NewTask, TaskKind};

/// Who works with the portal where the configuration names nobody.
const LOCAL: &str = "local operator";
/// Longest note on what was done.
const ACTION: usize = 100;

/// A request of an end user: access, erasure or objection.
pub async fn request(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let document = document(call, &["kind", "project", "distinct_ids", "compliance_type", "account"])?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = text("project").ok_or_else(|| Reply::error(400, "project, missing or empty"))?.to_owned();
    let ids: Option<Vec<String>> = document.get("distinct_ids").and_then(Value::as_array).and_then(|list| {
        list.iter().map(|one| one.as_str().filter(|id| !id.is_empty()).map(str::to_owned)).collect()
    });
    let ids = ids
        .filter(|ids| !ids.is_empty())
        .ok_or_else(|| Reply::error(400, "distinct_ids is a list of texts, none of them empty"))?;
    let compliance = match text("compliance_type").unwrap_or("GDPR").to_ascii_uppercase() {
        known if matches!(known.as_str(), "GDPR" | "CCPA") => known,
        _ => return Err(Reply::error(400, "compliance_type is GDPR or CCPA").into()),
    };
    let account = text("account").unwrap_or(LOCAL).to_owned();
    let kind = match text("kind") {
        Some("access") => TaskKind::Retrieval,
        Some("erasure") => TaskKind::Deletion,
        Some("objection") => {
            let change = app.worker.write(move |core| core.suppress(&token, &ids)).await?;
            let change = change.ok_or_else(unknown)?;
            return Ok(Reply::json(
                201,
                &json!({"status": "ok", "kind": "objection", "added": change.added}),
            ));
        }
        _ => return Err(Reply::error(400, "kind is access, erasure or objection").into()),
    };
    let project = app.worker.read(move |core| core.answerable(&token)).await?.ok_or_else(unknown)?;
    let at = app.shared.clock().moment();
    let task = NewTask {
        kind,
        id: random_uuid()?,
        ids,
        requested: at.now,
        due: due_time(&project, at.now),
        about: json!({
            "user": account,
            "compliance": compliance,
            "disclosure": "DATA",
            "client_offset": at.client_offset,
        }),
    };
    let id = task.id.clone();
    match app.worker.alone(move |core| core.request_task(&project, &task)).await? {
        Ok(()) => Ok(Reply::json(201, &json!({"status": "ok", "id": id}))),
        Err(conflict) => Err(Reply::json(
            409,
            &json!({
                "status": "error",
                "error": "some of these ids have an unfinished deletion",
                "conflicting_distinct_ids": conflict.ids,
                "conflicting_task_ids": conflict.tasks,
            }),
        )
        .into()),
    }
}

/// Who there is.
pub fn accounts(app: &App) -> Reply {
    let config = app.shared.config();
    let mut names: Vec<&str> = config
        .gdpr_oauth
        .iter()
        .map(|oauth| oauth.user.as_str())
        .chain(config.service_accounts.iter().map(|account| account.username.as_str()))
        .filter(|name| !name.is_empty())
        .collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    if names.is_empty() {
        names.push(LOCAL);
    }
    Reply::json(200, &json!({"total": names.len(), "accounts": names}))
}

/// The account that a call is about.
fn account_of(call: &Call) -> Result<String, Reply> {
    let params = call.query_params();
    only(&params, &["account"])?;
    param(&params, "account").ok_or_else(|| Reply::error(400, "account, missing or empty"))
}

pub async fn account(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let account = account_of(call)?;
    let data = app.worker.alone(move |core| core.account_data(&account)).await?;
    Ok(Reply::json(200, &data))
}

pub async fn set_recording(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let account = account_of(call)?;
    let document = document(call, &["record_usage"])?;
    let Some(recorded) = document.get("record_usage").and_then(Value::as_bool) else {
        return Err(Reply::error(400, "record_usage is true or false").into());
    };
    let asked = account.clone();
    app.worker.write(move |core| core.set_recording(&asked, recorded)).await?;
    Ok(Reply::json(200, &json!({"account": account, "record_usage": recorded})))
}

pub async fn erase_usage(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let account = account_of(call)?;
    let erased = app.worker.write(move |core| core.erase_usage(&account)).await?;
    Ok(Reply::json(200, &json!({"erased": erased})))
}

/// Notes what an account holder did, unless they said no.
pub async fn record_use(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let account = account_of(call)?;
    let document = document(call, &["action"])?;
    let action = document.get("action").and_then(Value::as_str).unwrap_or_default();
    if action.is_empty() || action.len() > ACTION {
        return Err(Reply::error(400, "action is a short text").into());
    }
    let action = action.to_owned();
    app.worker.write(move |core| core.record_use(&account, &action)).await?;
    Ok(Reply::empty(204))
}
