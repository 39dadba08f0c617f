//! The control API: everything a test needs to arrange, look at and wait for. All JSON, all under `/mock`.

mod clock;
mod faults;
mod look;
mod people;
mod portal;
mod projects;
mod routes;
mod stream;
mod tasks;
mod wait;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::call::{Call, Reply};
use crate::domain::config::Config;
use crate::domain::json as text;
use crate::domain::wire::Params;
use crate::store::StoreError;
use routes::{Action, Found, find};

/// The description of all this, for people and tools.
const OPENAPI: &str = include_str!("control/openapi.json");

/// Why there is no good answer: the answer itself, or trouble with storage.
pub(super) enum Failure {
    Reply(Reply),
    Store(StoreError),
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Failure {
        Failure::Reply(reply)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

/// Whether a path below `/mock` is a route, with this method or another one.
pub fn is_route(method: &str, path: &str) -> bool {
    !matches!(find(method, path), Found::Nothing)
}

/// Answers a call below `/mock`.
pub async fn answer(app: &Arc<App>, call: &Call, path: &str) -> Reply {
    if call.oversize {
        return Reply::error(413, "the document is larger than 10 MiB");
    }
    let (action, part) = match find(&call.method, path) {
        Found::Route(action, part) => (action, part),
        Found::OtherMethod(methods) => return Reply::method_not_allowed(&methods),
        Found::Nothing => {
            return Reply::json(
                404,
                &json!({
                    "status": "error",
                    "error": "there is no such route",
                    "hint": "GET /mock/openapi.json describes them all",
                    "routes": routes::list(),
                }),
            );
        }
    };
    match act(app, call, action, part).await {
        Ok(reply) | Err(Failure::Reply(reply)) => reply.with("cache-control", "no-store"),
        Err(Failure::Store(error)) => {
            let hint = "storage is in trouble; look at disk space and permissions of the data folder";
            Reply::hinted(503, &error.to_string(), hint).with("retry-after", "5")
        }
    }
}

async fn act(app: &Arc<App>, call: &Call, action: Action, part: Option<String>) -> Result<Reply, Failure> {
    let part = part.unwrap_or_default();
    match action {
        Action::Health => Ok(health(app)),
        Action::OpenApi => Ok(Reply::new(200, "application/json", OPENAPI)),
        Action::ShowConfig => Ok(Reply::json(200, &app.shared.config().to_json())),
        Action::PutConfig => put_config(app, call).await,
        Action::Reset => reset(app).await,
        Action::ShowClock => Ok(clock::show(app)),
        Action::PutClock => clock::put(app, call).await,
        Action::Events => look::events(app, call).await,
        Action::Profiles => look::profiles(app, call, false).await,
        Action::Groups => look::profiles(app, call, true).await,
        Action::Replays => look::replays(app, call).await,
        Action::People => people::list(app, call).await,
        Action::Person => people::one(app, call).await,
        Action::Rejected => look::rejected(app, call),
        Action::Requests => look::requests(app, call),
        Action::Stats => Ok(look::stats(app)),
        Action::Wait => wait::answer(app, call).await,
        Action::ShowFaults => Ok(faults::show(app)),
        Action::AddFaults => faults::add(app, call),
        Action::ClearFaults => Ok(faults::clear(app)),
        Action::Sweep => tasks::sweep(app).await,
        Action::Projects => projects::list(app).await,
        Action::DeleteProject => projects::delete(app, part).await,
        Action::ResetProject => projects::reset(app, part).await,
        Action::RestoreProject => projects::restore(app, part).await,
        Action::ShowSuppressed => projects::suppressed(app, part).await,
        Action::PutSuppressed => projects::suppress_only(app, call, part).await,
        Action::AddSuppressed => projects::suppress(app, call, part).await,
        Action::RemoveSuppressed => projects::stop_suppressing(app, call, part).await,
        Action::Tasks => tasks::list(app, call).await,
        Action::TaskArchive => tasks::archive(app, part).await,
        Action::CancelTask => tasks::cancel(app, part).await,
        Action::Audit => tasks::audit(app, call).await,
        Action::Stream => Ok(stream::answer(app, call)),
        Action::PortalRequest => portal::request(app, call).await,
        Action::Account => portal::account(app, call).await,
        Action::Accounts => Ok(portal::accounts(app)),
        Action::SetRecording => portal::set_recording(app, call).await,
        Action::EraseUsage => portal::erase_usage(app, call).await,
        Action::RecordUse => portal::record_use(app, call).await,
    }
}

fn health(app: &App) -> Reply {
    let key = crate::core::device::base64(&app.shared.public_key());
    Reply::json(
        200,
        &json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "public_key": key,
            "public_key_algorithm": "Ed25519",
        }),
    )
}

/// The JSON value that a call carries; nothing is an empty object.
fn value(call: &Call) -> Result<Value, Reply> {
    if call.body.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    text::value(&call.body).map_err(|_| Reply::error(400, "the body is not JSON"))
}

/// The JSON object that a call carries, of which only these fields are known.
fn document(call: &Call, known: &[&str]) -> Result<Map<String, Value>, Reply> {
    let Value::Object(map) = value(call)? else {
        return Err(Reply::error(400, "the body must be a JSON object"));
    };
    match map.keys().find(|key| !known.is_empty() && !known.contains(&key.as_str())) {
        Some(key) => Err(Reply::hinted(
            400,
            &format!("{key:?} is not known here"),
            &format!("known are {}", known.join(", ")),
        )),
        None => Ok(map),
    }
}

/// A text of a query that is not empty.
fn param(params: &Params, name: &str) -> Option<String> {
    params.text(name).filter(|value| !value.is_empty())
}

/// A whole number of a query.
fn number(params: &Params, name: &str) -> Result<Option<i64>, Reply> {
    let Some(text) = param(params, name) else { return Ok(None) };
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
    number.map(Some).ok_or_else(|| Reply::error(400, &format!("{name} is a whole number, 0 or more")))
}

/// Refuses names in a query that mean nothing: a typing error would answer something else than was asked.
fn only(params: &Params, known: &[&str]) -> Result<(), Reply> {
    match params.names().find(|name| !known.contains(name)) {
        Some(name) => Err(Reply::hinted(
            400,
            &format!("the query has no {:?}", name.chars().take(64).collect::<String>()),
            &format!("known are {}", known.join(", ")),
        )),
        None => Ok(()),
    }
}

async fn put_config(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let config = Config::from_json(&Value::Object(document(call, &[])?))
        .map_err(|error| Reply::error(400, &error.to_string()))?;
    config.warnings().iter().for_each(|warning| crate::notice(warning));
    app.worker.alone(move |core| core.change_config(config)).await?;
    Ok(Reply::json(200, &app.shared.config().to_json()))
}

async fn reset(app: &Arc<App>) -> Result<Reply, Failure> {
    app.worker.alone(|core| core.reset()).await?;
    app.limits.reset();
    Ok(Reply::json(200, &json!({"status": "ok"})))
}
