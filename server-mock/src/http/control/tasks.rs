//! Privacy tasks, the audit, and running now what is due.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, number, only, param};
use crate::core::Core;
use crate::core::archive::fetchable;
use crate::core::tasks::{Cancelled, state_name};
use crate::domain::time;
use crate::http::App;
use crate::http::archive::hand_out;
use crate::http::call::{Call, Reply};
use crate::store::{Counts, StoreError, StoredTask, TaskKind};

/// Entries in an answer, unless the call says otherwise.
const PAGE: i64 = 1000;

fn counts(counts: Counts) -> Value {
    json!({"events": counts.events, "profiles": counts.profiles, "replays": counts.replays})
}

pub async fn sweep(app: &Arc<App>) -> Result<Reply, Failure> {
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
            "expired": counts(swept.expired),
            "tasks": swept.tasks,
            "archives": swept.archives,
            "purged": swept.purged,
        }),
    ))
}

pub async fn list(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "kind", "status", "limit"])?;
    let (project, kind, status) =
        (param(&params, "project"), param(&params, "kind"), param(&params, "status"));
    let limit = number(&params, "limit")?.unwrap_or(PAGE) as usize;
    let shown = app
        .worker
        .read(move |core| {
            let mut shown = Vec::new();
            for task in core.store.tasks(usize::MAX)? {
                let one = show(core, &task)?;
                let fits = |name: &str, wanted: &Option<String>| {
                    wanted.as_ref().is_none_or(|wanted| one[name] == wanted.as_str())
                };
                if fits("project", &project) && fits("kind", &kind) && fits("status", &status) {
                    shown.push(one);
                }
            }
            Ok(shown)
        })
        .await?;
    let total = shown.len();
    let shown: Vec<Value> = shown.into_iter().take(limit).collect();
    Ok(Reply::json(200, &json!({"total": total, "tasks": shown})))
}

/// A task without the ids that it names.
pub fn show(core: &mut Core, task: &StoredTask) -> Result<Value, StoreError> {
    let now = core.shared.now();
    let kind = match task.kind {
        TaskKind::Deletion => "deletion",
        TaskKind::Retrieval => "retrieval",
        TaskKind::Device => "device_erasure",
    };
    Ok(json!({
        "id": task.id,
        "kind": kind,
        "project": core.token_of(task.project)?,
        "status": state_name(task, now),
        "requested_at": time::format_iso(task.requested),
        "due_at": time::format_iso(task.due),
        "finished_at": task.finished.map(time::format_iso),
        "requesting_user": task.about["user"],
        "compliance_type": task.about["compliance"],
        "distinct_id_count": task.id_count,
        "counts": {"events": task.events, "profiles": task.profiles, "replays": task.replays},
        "archive_until": fetchable(task, now).map(time::format_iso),
        "cancelable": task.kind == TaskKind::Deletion && matches!(state_name(task, now), "PENDING" | "STAGING"),
    }))
}

/// The archive of a retrieval, for whoever holds the control API.
pub async fn archive(app: &Arc<App>, id: String) -> Result<Reply, Failure> {
    Ok(hand_out(app, move |core| core.store.task(&id)).await?)
}

pub async fn cancel(app: &Arc<App>, id: String) -> Result<Reply, Failure> {
    let done = app
        .worker
        .alone(move |core| match core.store.task(&id)? {
            Some(task) => {
                let token = core.token_of(task.project)?;
                let done = core.cancel_deletion(&token, &id)?;
                let task = core.store.task_of_row(task.row)?;
                Ok((done, show(core, &task)?))
            }
            None => Ok((Cancelled::Unknown, Value::Null)),
        })
        .await?;
    Ok(match done {
        (Cancelled::Yes, task) => Reply::json(200, &task),
        (Cancelled::TooLate, _) => {
            Reply::error(409, "the task can no longer be cancelled").with("allow", "GET")
        }
        (Cancelled::Unknown, _) => Reply::error(404, "there is no such deletion"),
    })
}

pub async fn audit(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["limit", "after", "order"])?;
    let newest = match param(&params, "order").as_deref() {
        None | Some("written") => false,
        Some("newest") => true,
        Some(_) => return Err(Reply::error(400, "order is written or newest").into()),
    };
    let (limit, after) = (number(&params, "limit")?.unwrap_or(PAGE) as usize, number(&params, "after")?);
    let (total, rows, tokens) = app
        .worker
        .read(move |core| {
            let after = if newest { None } else { Some(after.unwrap_or(0)) };
            let rows = core.store.audit_rows(after, limit.saturating_add(1))?;
            Ok((core.store.count_audit()?, rows, core.store.projects()?))
        })
        .await?;
    let more = rows.len() > limit;
    let next = if newest { None } else { rows.iter().take(limit).next_back().map(|row| row.row) };
    let shown: Vec<Value> = rows
        .iter()
        .take(limit)
        .map(|row| {
            let token = tokens.iter().find(|(home, _)| Some(home.project) == row.project);
            json!({
                "id": row.row,
                "at": time::format_iso(row.at),
                "day": &time::format_iso(row.at)[..10],
                "project": token.map(|(_, token)| token),
                "action": row.action,
                "rule": row.rule,
                "task": row.task,
                "counts": counts(row.counts),
            })
        })
        .collect();
    Ok(Reply::json(200, &json!({"total": total, "audit": shown, "next": next.filter(|_| more)})))
}
