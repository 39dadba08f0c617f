//! The SDK's own erasure: a device that withdraws proves itself by its secret, and has what it sent erased (C12).

use std::sync::Arc;

use serde_json::{Value, json};

use super::App;
use super::call::{Call, Reply};
use super::cors;
use super::room::SMALL;
use crate::domain::device::Secret;
use crate::domain::json as text;
use crate::store::{StoredTask, TaskState};

/// `POST /refrain/v1/erasures`.
pub async fn create(app: &Arc<App>, call: &Call) -> Reply {
    match call.method.as_str() {
        "OPTIONS" => return cors::preflight(call),
        "POST" => {}
        _ => return Reply::method_not_allowed("POST, OPTIONS"),
    }
    if call.oversize {
        return Reply::too_large(SMALL);
    }
    let (token, device_id, secret) = match read(&call.body) {
        Ok(read) => read,
        Err(wrong) => {
            let hint = "send {\"token\":\"<project>\",\"device_id\":\"<uuid>\",\"secret\":\"<32 hexadecimal digits>\"}";
            return Reply::hinted(400, wrong, hint);
        }
    };
    if !secret.is_some_and(|secret| secret.proves(&device_id)) {
        return Reply::hinted(
            403,
            "the secret is not that of the device",
            "a device's id is made from the first 128 bits of its secret's SHA-256; only the device itself knows the secret",
        );
    }
    let asked = app.worker.write(move |core| match core.erase_device(&token, &device_id)? {
        Some(task) => core.device_erasure(&task.id),
        None => Ok(None),
    });
    match asked.await {
        // One that asks again because the first answer was lost may find it completed: then this is the last answer that
        // it waits for.
        Ok(Some((task, receipt))) => Reply::json(202, &shown(&task, receipt)),
        Ok(None) => Reply::error(404, "there is no such project"),
        Err(_) => Reply::unavailable(Reply::error),
    }
}

/// `GET /refrain/v1/erasures/{id}`.
pub async fn check(app: &Arc<App>, call: &Call, id: &str) -> Reply {
    match call.method.as_str() {
        "OPTIONS" => return cors::preflight(call),
        "GET" => {}
        _ => return Reply::method_not_allowed("GET, OPTIONS"),
    }
    let id = id.to_owned();
    let found = app.worker.read(move |core| core.device_erasure(&id)).await;
    match found {
        Ok(Some((task, receipt))) => Reply::json(200, &shown(&task, receipt)),
        Ok(None) => Reply::error(404, "there is no such erasure"),
        Err(_) => Reply::unavailable(Reply::error),
    }
}

/// A request, its state by the names that the SDK's outbox uses, and at the end its receipt.
fn shown(task: &StoredTask, receipt: Option<Value>) -> Value {
    let state = if task.state == TaskState::Done { "completed" } else { "accepted" };
    let mut shown = json!({"id": task.id, "state": state});
    if let Some(receipt) = receipt {
        shown["receipt"] = receipt;
    }
    shown
}

/// Whether a body is a device's proven request, and says nothing beside.
pub fn is_request(body: &[u8]) -> bool {
    let fields = text::value(body).ok().and_then(|document| document.as_object().map(|fields| fields.len()));
    let is_proven = |(_, device_id, secret): (String, String, Option<Secret>)| {
        secret.is_some_and(|secret| secret.proves(&device_id))
    };
    fields == Some(3) && read(body).is_ok_and(is_proven)
}

/// Project, device and secret; what is not one of 128 bits is nobody's.
fn read(body: &[u8]) -> Result<(String, String, Option<Secret>), &'static str> {
    let document = text::value(body).map_err(|_| "the body is not JSON")?;
    let field = |name: &str| {
        document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let token = field("token").ok_or("token, missing or empty")?;
    let device_id = field("device_id").ok_or("device_id, missing or empty")?;
    let secret = field("secret").ok_or("secret, missing or empty")?;
    Ok((token, device_id, Secret::parse(&secret)))
}
