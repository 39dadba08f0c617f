//! What a retrieval yields: a ZIP with everything about some persons (SPEC §15.5). It is made when the task falls due,
//! sealed under the task's own key, and gone when it expires or one of its persons is erased.

mod zip;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::device::base64;
use super::{Core, EventQuery, Sorting};
use crate::domain::identity::strip;
use crate::domain::profile::{Subject, texts_of};
use crate::domain::time::{self, DAY};
use crate::store::{Counts, KeyRow, StoreError, StoredTask};

/// For how long an archive is handed out, in milliseconds.
pub const LIFE: i64 = 7 * DAY;

/// CCPA: the last year only.
const CCPA_PERIOD: i64 = 365 * DAY;

/// An archive, and what is in it.
pub(super) struct Archive {
    pub bytes: Vec<u8>,
    pub counts: Counts,
    /// The combinations whose data is in it.
    pub keys: Vec<KeyRow>,
}

/// Until when the archive of a task can be fetched; `None`: not yet, or not any more.
pub fn fetchable(task: &StoredTask, now: i64) -> Option<i64> {
    task.archive_until.filter(|until| now < *until && !task.ids.is_empty())
}

impl Core {
    /// The bytes of an archive, noted in the audit.
    pub fn fetch_archive(&mut self, task: &StoredTask) -> Result<Option<Vec<u8>>, StoreError> {
        let now = self.shared.now();
        if fetchable(task, now).is_none() {
            return Ok(None);
        }
        let bytes = self.store.archive(task.row)?;
        if bytes.is_some() {
            let counts = Counts { events: task.events, profiles: task.profiles, replays: task.replays };
            let action = "user_data_retrieval.downloaded";
            self.note(now, Some(task.project), action, "the archive's link", Some(&task.id), counts)?;
        }
        Ok(bytes)
    }
}

/// Everything that was collected about the persons of a task.
#[derive(Default)]
struct Collected {
    events: Vec<Value>,
    profiles: Vec<Value>,
    replays: Vec<Value>,
    groups: Vec<Value>,
    names: BTreeSet<String>,
    sources: BTreeSet<String>,
    found: BTreeSet<String>,
    keys: BTreeSet<KeyRow>,
    ids: Vec<String>,
}

/// Makes the archive of a task as of an instant.
pub(super) fn make(core: &mut Core, token: &str, task: &StoredTask, now: i64) -> Result<Archive, StoreError> {
    let from = (task.about["compliance"] == "CCPA").then(|| task.requested - CCPA_PERIOD);
    let collected = collect(core, token, task, from, now)?;
    let mut files: Vec<(&str, Vec<u8>)> = match task.about["disclosure"].as_str() {
        Some("CATEGORIES") => {
            vec![("categories.json", json!({"properties": collected.names}).to_string().into_bytes())]
        }
        Some("SOURCES") => {
            let sources: Vec<Value> =
                collected.sources.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            vec![("sources.json", json!({"sources": sources}).to_string().into_bytes())]
        }
        _ => {
            let identities: Vec<Value> = collected.ids.iter().map(|id| json!({"id": id})).collect();
            let mut files = vec![
                ("events.jsonl", lines(&collected.events)),
                ("profiles.jsonl", lines(&collected.profiles)),
                ("identities.jsonl", lines(&identities)),
            ];
            for (name, values) in [("replays.jsonl", &collected.replays), ("groups.jsonl", &collected.groups)]
            {
                if !values.is_empty() {
                    files.push((name, lines(values)));
                }
            }
            files
        }
    };
    let sums: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, bytes)| {
            let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            ((*name).to_owned(), json!({"bytes": bytes.len(), "sha256": sum}))
        })
        .collect();
    let counts = Counts {
        events: collected.events.len(),
        profiles: collected.profiles.len(),
        replays: collected.replays.len(),
    };
    let manifest = json!({
        "ids_asked": task.ids,
        "ids_found": collected.found,
        "from": from.map(time::format_iso),
        "to": time::format_iso(now),
        "events": counts.events,
        "profiles": counts.profiles,
        "replays": counts.replays,
        "files": sums,
    });
    files.push(("manifest.json", manifest.to_string().into_bytes()));
    Ok(Archive { bytes: zip::pack(&files), counts, keys: collected.keys.into_iter().collect() })
}

fn collect(
    core: &mut Core,
    token: &str,
    task: &StoredTask,
    from: Option<i64>,
    now: i64,
) -> Result<Collected, StoreError> {
    let mut all = Collected { ids: task.ids.clone(), ..Collected::default() };
    let Some(view) = core.view_at(token, now)? else { return Ok(all) };
    let closure = core.closure(view.space, view.project.id_merge, &task.ids)?;
    all.ids = closure.ids.iter().cloned().collect();
    all.keys = closure.keys.clone();
    let query = EventQuery {
        from,
        distinct_ids: Some(closure.canonical.iter().cloned().collect()),
        sorting: Sorting::Time,
        ..EventQuery::default()
    };
    core.events(&view, &query, &mut |event, rendered| {
        all.names.extend(rendered.properties.keys().cloned());
        let source = |name: &str| rendered.properties.get(name).cloned().unwrap_or_default();
        let source = json!({"mp_lib": source("mp_lib"), "$import": source("$import"), "endpoint": source("$mp_api_endpoint")});
        all.sources.insert(source.to_string());
        all.found.extend(rendered.distinct_id);
        all.events.push(json!({"event": event.name, "properties": rendered.properties}));
        true
    })?;
    for id in &closure.ids {
        let subject = Subject::Person(id.clone());
        let expired = super::profiles_expired_until(&view.project.settings, now);
        let profile = core.store.profile(view.space, &subject)?;
        if let Some(profile) = profile.filter(|profile| profile.last_seen > expired) {
            all.names.extend(profile.properties.keys().cloned());
            all.profiles.push(json!({"$distinct_id": id, "$properties": profile.properties}));
            all.found.insert(id.clone());
        }
        for subject in core.store.groups_naming(view.space, id)? {
            let Some(group) = core.store.profile(view.space, &subject)? else { continue };
            let Subject::Group(key, name) = subject else { continue };
            // Only that and where the person is named; the rest is not about the person.
            let named = group.properties.into_iter().filter(|(name, value)| {
                let one = serde_json::Map::from_iter([(name.clone(), value.clone())]);
                texts_of(&one).iter().any(|text| strip(text) == strip(id))
            });
            let named: Vec<String> = named.map(|(name, _)| name).collect();
            all.groups.push(json!({"$group_key": key, "$group_id": name, "named_in": named, "id": id}));
        }
    }
    core.store.visit_replays(view.space, now, &mut |replay| {
        if closure.keys.contains(&replay.key) && from.is_none_or(|from| replay.received >= from) {
            all.replays.push(json!({
                "received_at": time::format_iso(replay.received),
                "parameters": replay.about,
                "body_base64": base64(&replay.body),
            }));
        }
        true
    })?;
    Ok(all)
}

fn lines(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(|value| (value.to_string() + "\n").into_bytes()).collect()
}
