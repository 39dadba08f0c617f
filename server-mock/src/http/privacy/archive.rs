//! What a retrieval yields: a ZIP, put together when it is fetched and never stored (SPEC §15.5).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::App;
use super::super::call::Reply;
use crate::core::privacy::ARCHIVE_LIFE;
use crate::core::{Core, EventQuery};
use crate::domain::config::Project;
use crate::domain::profile::Subject;
use crate::domain::time::{self, DAY};
use crate::store::{StoreError, StoredTask, TaskKind, TaskState};

/// CCPA: the last year only.
const CCPA_PERIOD: i64 = 365 * DAY;

/// Whether a retrieval's archive can be fetched: once it is done, until it expires or its persons are erased.
pub fn is_there(task: &StoredTask, now: i64) -> bool {
    task.state == TaskState::Done && !task.ids.is_empty() && now < task.due + ARCHIVE_LIFE
}

pub async fn answer(app: &Arc<App>, project: &Project, id: &str) -> Result<Reply, StoreError> {
    let (token, id) = (project.token.clone(), id.to_owned());
    let made = app
        .worker
        .alone(move |core| {
            let task = core.task(&token, TaskKind::Retrieval, &id)?;
            let now = core.shared.now();
            task.filter(|task| is_there(task, now)).map(|task| files(core, &token, &task)).transpose()
        })
        .await?;
    Ok(match made {
        Some(files) => Reply::new(200, "application/zip", zip(&files)).with("cache-control", "no-store"),
        None => Reply::error(404, "there is no such archive, or not yet, or not any more"),
    })
}

type File = (&'static str, Vec<u8>);

fn files(core: &mut Core, token: &str, task: &StoredTask) -> Result<Vec<File>, StoreError> {
    let ids = core.linked_ids(token, &task.ids)?;
    let from = (task.about["compliance"] == "CCPA").then(|| task.requested - CCPA_PERIOD);
    let query = EventQuery { from, distinct_ids: Some(ids.clone()), by_time: true, ..EventQuery::default() };
    let mut events = Vec::new();
    let (mut names, mut sources, mut found) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    core.events(token, &query, &mut |event, rendered| {
        names.extend(rendered.properties.keys().cloned());
        let source = |name: &str| rendered.properties.get(name).cloned().unwrap_or_default();
        let source = json!({"mp_lib": source("mp_lib"), "$import": source("$import"), "endpoint": source("$mp_api_endpoint")});
        sources.insert(source.to_string());
        found.extend(rendered.distinct_id);
        events.push(json!({"event": event.name, "properties": rendered.properties}));
        true
    })?;
    let mut profiles = Vec::new();
    core.profiles(token, false, &mut |profile| {
        if let Subject::Person(id) = profile.subject
            && ids.contains(&id)
        {
            names.extend(profile.properties.keys().cloned());
            profiles.push(json!({"$distinct_id": id, "$properties": profile.properties}));
            found.insert(id);
        }
        true
    })?;
    let mut files: Vec<File> = match task.about["disclosure"].as_str() {
        Some("CATEGORIES") => {
            vec![("categories.json", json!({"properties": names}).to_string().into_bytes())]
        }
        Some("SOURCES") => {
            let sources: Vec<Value> =
                sources.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            vec![("sources.json", json!({"sources": sources}).to_string().into_bytes())]
        }
        _ => vec![
            ("events.jsonl", lines(&events)),
            ("profiles.jsonl", lines(&profiles)),
            ("identities.jsonl", lines(&ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>())),
        ],
    };
    let sums: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, bytes)| {
            let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            ((*name).to_owned(), json!({"bytes": bytes.len(), "sha256": sum}))
        })
        .collect();
    let manifest = json!({
        "ids_asked": task.ids,
        "ids_found": found,
        "from": from.map(time::format_iso),
        "to": time::format_iso(core.shared.now()),
        "events": events.len(),
        "profiles": profiles.len(),
        "files": sums,
    });
    files.push(("manifest.json", manifest.to_string().into_bytes()));
    Ok(files)
}

fn lines(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(|value| (value.to_string() + "\n").into_bytes()).collect()
}

/// A ZIP of files that are stored without compression; dated 1980-01-01, so that equal data makes equal archives.
fn zip(files: &[File]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size = (bytes.len() as u32).to_le_bytes();
        // Version 2.0, UTF-8 names, stored, time and date, then what both headers share.
        let mut shared = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        shared.extend_from_slice(&crc.sum().to_le_bytes());
        shared.extend_from_slice(&size);
        shared.extend_from_slice(&size);
        shared.extend_from_slice(&(name.len() as u16).to_le_bytes());
        shared.extend_from_slice(&[0, 0]);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&shared);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&(out.len() as u32).to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&shared);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(bytes);
    }
    let start = (out.len() as u32).to_le_bytes();
    let count = (files.len() as u16).to_le_bytes();
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&[count, count].concat());
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&start);
    out.extend_from_slice(&[0, 0]);
    out
}
