//! Projects: what they hold, soft deletion and its way back, and the suppression list.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, value};
use crate::core::objections::ListChange;
use crate::core::projects::{Overview, Refused};
use crate::domain::config::RetentionBasis;
use crate::domain::time;
use crate::http::App;
use crate::http::call::{Call, Reply};
use crate::store::HideCause;

/// Ids that a call may name.
const IDS: usize = 100_000;

pub async fn list(app: &Arc<App>) -> Result<Reply, Failure> {
    let overviews = app.worker.read(|core| core.overviews()).await?;
    let shown: Vec<Value> = overviews.iter().map(show).collect();
    Ok(Reply::json(200, &json!({"total": shown.len(), "projects": shown})))
}

fn show(overview: &Overview) -> Value {
    let settings = &overview.project.settings;
    let iso = |at: Option<i64>| at.map(time::format_iso);
    let hidden = overview.hidden.iter().map(|hidden| {
        json!({
            "cause": if hidden.cause == HideCause::Delete { "delete" } else { "reset" },
            "since": time::format_iso(hidden.since),
            "purged_at": time::format_iso(hidden.due),
        })
    });
    let hidden: Vec<Value> = hidden.collect();
    json!({
        "project": overview.token,
        "project_id": overview.project.project_id,
        "configured": overview.configured,
        "state": if overview.deleted.is_some() { "deleted" } else { "live" },
        "deleted_at": iso(overview.deleted),
        "hidden": hidden,
        "events": overview.events,
        "suppressed": overview.suppressed,
        "id_merge": overview.project.id_merge.name(),
        "retention": {
            "events_days": settings.retention_events_days,
            "basis": match settings.retention_basis {
                RetentionBasis::Received => "received",
                RetentionBasis::EventDate => "event_date",
            },
            "profiles_days": settings.retention_profiles_days,
            "replays_days": settings.retention_replays_days,
            "soft_delete_days": settings.soft_delete_days,
        },
        "next_expiry": {
            "events": iso(overview.next_event_expiry),
            "profiles": iso(overview.next_profile_expiry),
            "replays": iso(overview.next_replay_expiry),
        },
    })
}

async fn shown(app: &Arc<App>, token: String) -> Result<Reply, Failure> {
    let overview = app.worker.read(move |core| core.overview(&token)).await?;
    Ok(Reply::json(200, &show(&overview)))
}

pub(super) fn unknown() -> Reply {
    Reply::hinted(404, "there is no such project", "GET /mock/projects lists those that are there")
}

fn refusal(refused: Refused) -> Reply {
    match refused {
        Refused::Unknown => unknown(),
        Refused::Deleted => {
            Reply::hinted(409, "the project is deleted", "POST /mock/projects/{token}/restore brings it back")
        }
        Refused::NothingHidden => Reply::error(409, "nothing of the project is hidden"),
        Refused::Purged => {
            Reply::error(410, "the grace is over: the project's data is deleted and cannot be restored")
        }
    }
}

pub async fn delete(app: &Arc<App>, token: String) -> Result<Reply, Failure> {
    hide(app, token, HideCause::Delete).await
}

pub async fn reset(app: &Arc<App>, token: String) -> Result<Reply, Failure> {
    hide(app, token, HideCause::Reset).await
}

async fn hide(app: &Arc<App>, token: String, cause: HideCause) -> Result<Reply, Failure> {
    let asked = token.clone();
    app.worker.alone(move |core| core.hide_project(&asked, cause)).await?.map_err(refusal)?;
    shown(app, token).await
}

pub async fn restore(app: &Arc<App>, token: String) -> Result<Reply, Failure> {
    let asked = token.clone();
    app.worker.alone(move |core| core.restore_project(&asked)).await?.map_err(refusal)?;
    shown(app, token).await
}

/// The ids of a body: a list, or an object with one.
fn ids(call: &Call) -> Result<Vec<String>, Reply> {
    let wrong = || {
        Reply::hinted(
            400,
            "the body names no ids",
            "send {\"distinct_ids\":[\"u1\",\"$device:…\"]}; each is a text that is not empty",
        )
    };
    let document = value(call)?;
    let list = match &document {
        Value::Array(list) => list,
        Value::Object(map) => ["distinct_ids", "ids", "suppressed"]
            .iter()
            .find_map(|name| map.get(*name))
            .and_then(Value::as_array)
            .ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    if list.len() > IDS {
        return Err(Reply::error(400, &format!("at most {IDS} ids at a time")));
    }
    let ids: Option<Vec<String>> =
        list.iter().map(|one| crate::domain::identity::id_text(Some(one))).collect();
    ids.ok_or_else(wrong)
}

pub async fn suppressed(app: &Arc<App>, token: String) -> Result<Reply, Failure> {
    list_of(app, token, None).await
}

pub async fn suppress_only(app: &Arc<App>, call: &Call, token: String) -> Result<Reply, Failure> {
    let ids = ids(call)?;
    let asked = token.clone();
    let change = app.worker.write(move |core| core.suppress_only(&asked, &ids)).await?;
    list_of(app, token, Some(change.ok_or_else(unknown)?)).await
}

pub async fn suppress(app: &Arc<App>, call: &Call, token: String) -> Result<Reply, Failure> {
    let ids = ids(call)?;
    let asked = token.clone();
    let change = app.worker.write(move |core| core.suppress(&asked, &ids)).await?;
    list_of(app, token, Some(change.ok_or_else(unknown)?)).await
}

pub async fn stop_suppressing(app: &Arc<App>, call: &Call, token: String) -> Result<Reply, Failure> {
    let ids = ids(call)?;
    let asked = token.clone();
    let change = app.worker.write(move |core| core.stop_suppressing(&asked, &ids)).await?;
    list_of(app, token, Some(change.ok_or_else(unknown)?)).await
}

/// The list, which is one of hashes: who is on it cannot be read from it.
async fn list_of(app: &Arc<App>, token: String, change: Option<ListChange>) -> Result<Reply, Failure> {
    let asked = token.clone();
    let hashes: Option<Vec<[u8; 16]>> = app.worker.read(move |core| core.suppressed(&asked)).await?;
    let hashes: Vec<Value> = hashes
        .ok_or_else(unknown)?
        .iter()
        .map(|hash| json!({"hash": hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}))
        .collect();
    let mut shown = json!({"project": token, "total": hashes.len(), "suppressed": hashes});
    if let Some(change) = change {
        shown["added"] = change.added.into();
        shown["removed"] = change.removed.into();
    }
    Ok(Reply::json(200, &shown))
}
