//! What a retrieval yields: a ZIP with everything about some persons (SPEC §15.5). It is made when the task falls due,
//! sealed under the task's own key, and gone when it expires or one of its persons is erased. Where something in it may not
//! be shown any more it is emptied, and made anew when it is fetched.
//!
//! A person may have more events than fit into memory, so it is written, kept and handed out in pieces.

mod zip;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::device::base64;
use super::{Core, EventQuery, Sorting, event_expiry, profiles_expired_until};
use crate::domain::config::IdMerge;
use crate::domain::identity::strip;
use crate::domain::profile::{Subject, texts_of};
use crate::domain::time::{self, DAY};
use crate::store::{Counts, KeyRow, ProjectRow, Store, StoreError, StoredArchive, StoredTask};
use zip::Zip;

/// For how long an archive is handed out, in milliseconds.
pub const LIFE: i64 = 7 * DAY;

/// CCPA: the last year only.
const CCPA_PERIOD: i64 = 365 * DAY;
/// About how many bytes of an archive are sealed, and handed out, at a time.
const PIECE: usize = 128 * 1024;

/// What is in an archive.
pub(super) struct Archive {
    pub counts: Counts,
    /// The combinations whose data is in it.
    pub keys: Vec<KeyRow>,
    /// When the first thing in it expires; `None` is never.
    pub outdated: Option<i64>,
}

/// Until when the archive of a task can be fetched; `None`: not yet, or not any more.
pub fn fetchable(task: &StoredTask, now: i64) -> Option<i64> {
    task.archive_until.filter(|until| now < *until && !task.ids.is_empty() && !task.is_hidden)
}

impl Core {
    /// An archive to be handed out, noted in the audit. One that was emptied is made anew, and so is one that due work should
    /// have emptied, and will when it comes to it.
    pub fn fetch_archive(&mut self, task: &StoredTask) -> Result<Option<StoredArchive>, StoreError> {
        let now = self.shared.now();
        if fetchable(task, now).is_none() {
            return Ok(None);
        }
        let mut archive = self.store.archive(task.row)?;
        let is_outdated = |archive: StoredArchive| archive.outdated.is_some_and(|at| at <= now);
        if archive.is_some_and(|archive| archive.bytes == 0 || is_outdated(archive)) {
            let token = self.token_of(task.project)?;
            self.answer_retrieval(&token, task.clone(), now)?;
            archive = self.store.archive(task.row)?;
        }
        if archive.is_some() {
            let task = self.store.task_of_row(task.row)?;
            let counts = Counts { events: task.events, profiles: task.profiles, replays: task.replays };
            let action = "user_data_retrieval.downloaded";
            self.note(now, Some(task.project), action, "the archive's link", Some(&task.id), counts)?;
        }
        Ok(archive)
    }

    /// Takes out of archives what may not be shown any more, or not for now. They are made anew when they are fetched, of
    /// what is visible then.
    pub(super) fn empty_archives(&mut self, retrievals: &[i64]) -> Result<(), StoreError> {
        for row in retrievals {
            let task = self.store.task_of_row(*row)?;
            if task.archive_until.is_some() {
                self.store.begin_archive(&task)?;
                self.store.end_archive(&task, &[], None)?;
            }
        }
        Ok(())
    }

    /// Empties the archives that the person behind an id may be in.
    pub(super) fn empty_archives_of(
        &mut self,
        project: ProjectRow,
        id_merge: IdMerge,
        id: &str,
    ) -> Result<(), StoreError> {
        if self.store.next_archive_expiry()?.is_none() {
            return Ok(());
        }
        let (mut ids, mut keys) = (vec![id.to_owned()], Vec::new());
        for space in self.store.spaces(project)? {
            let closure = self.closure(space, id_merge, &ids[..1])?;
            ids.extend(closure.ids);
            keys.extend(closure.keys);
        }
        let retrievals = self.store.retrievals_about(project, &ids, &keys)?;
        self.empty_archives(&retrievals)
    }
}

/// Writes files into an archive, piece by piece.
struct Writer {
    key: KeyRow,
    zip: Zip,
    /// The number of the next piece.
    next: usize,
    /// Bytes of the file that is open, which are no piece yet.
    waiting: Vec<u8>,
    open: Option<Open>,
    /// What the manifest says about the files.
    sums: Map<String, Value>,
}

/// A file that is being written.
struct Open {
    name: &'static str,
    /// The number of the piece for its head, which is known at its end.
    head: usize,
    sum: Sha256,
    crc: flate2::Crc,
    bytes: u64,
}

impl Writer {
    fn new(key: KeyRow) -> Writer {
        let (zip, sums) = (Zip::default(), Map::new());
        Writer { key, zip, next: 0, waiting: Vec::new(), open: None, sums }
    }

    fn open(&mut self, name: &'static str) {
        let (sum, crc) = (Sha256::new(), flate2::Crc::new());
        self.open = Some(Open { name, head: self.next, sum, crc, bytes: 0 });
        self.next += 1;
    }

    fn write(&mut self, store: &mut dyn Store, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.sum.update(bytes);
        open.crc.update(bytes);
        open.bytes += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE { self.put_waiting(store) } else { Ok(()) }
    }

    fn put_waiting(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        for piece in self.waiting.chunks(PIECE) {
            store.put_archive_piece(self.key, self.next, piece)?;
            self.next += 1;
        }
        self.waiting.clear();
        Ok(())
    }

    fn close(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.put_waiting(store)?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let head = self.zip.head(open.name, open.crc.sum(), open.bytes);
        store.put_archive_piece(self.key, open.head, &head)?;
        let sum: String = open.sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.sums.insert(open.name.to_owned(), json!({"bytes": open.bytes, "sha256": sum}));
        Ok(())
    }

    /// A file of values, a line each.
    fn lines(
        &mut self,
        store: &mut dyn Store,
        name: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<(), StoreError> {
        self.open(name);
        for value in values {
            self.write(store, (value.to_string() + "\n").as_bytes())?;
        }
        self.close(store)
    }

    fn whole(&mut self, store: &mut dyn Store, name: &'static str, value: &Value) -> Result<(), StoreError> {
        self.open(name);
        self.write(store, value.to_string().as_bytes())?;
        self.close(store)
    }

    fn end(self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.put_archive_piece(self.key, self.next, &self.zip.end())
    }
}

/// What was collected about the persons of a task, beside what is written already.
#[derive(Default)]
struct Collected {
    counts: Counts,
    names: BTreeSet<String>,
    sources: BTreeSet<String>,
    found: BTreeSet<String>,
    keys: BTreeSet<KeyRow>,
    outdated: Option<i64>,
}

impl Collected {
    fn expires(&mut self, at: Option<i64>) {
        self.outdated = [self.outdated, at].into_iter().flatten().min();
    }
}

/// Makes the archive of a task as of an instant.
pub(super) fn make(core: &mut Core, token: &str, task: &StoredTask, now: i64) -> Result<Archive, StoreError> {
    let from = (task.about["compliance"] == "CCPA").then(|| task.requested - CCPA_PERIOD);
    let mut writer = Writer::new(core.store.begin_archive(task)?);
    let disclosure = task.about["disclosure"].as_str();
    let is_data = !matches!(disclosure, Some("CATEGORIES" | "SOURCES"));
    let collected = collect(core, token, task, from, now, is_data.then_some(&mut writer))?;
    let store = core.store.as_mut();
    match disclosure {
        Some("CATEGORIES") => {
            writer.whole(store, "categories.json", &json!({"properties": collected.names}))?;
        }
        Some("SOURCES") => {
            let sources: Vec<Value> =
                collected.sources.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            writer.whole(store, "sources.json", &json!({"sources": sources}))?;
        }
        _ => {}
    }
    let counts = collected.counts;
    let manifest = json!({
        "ids_asked": task.ids,
        "ids_found": collected.found,
        "from": from.map(time::format_iso),
        "to": time::format_iso(now),
        "events": counts.events,
        "profiles": counts.profiles,
        "replays": counts.replays,
        "files": writer.sums,
    });
    writer.whole(store, "manifest.json", &manifest)?;
    writer.end(store)?;
    Ok(Archive { counts, keys: collected.keys.into_iter().collect(), outdated: collected.outdated })
}

/// Goes through everything about the persons of a task, and writes it where that is asked for.
fn collect(
    core: &mut Core,
    token: &str,
    task: &StoredTask,
    from: Option<i64>,
    now: i64,
    mut writer: Option<&mut Writer>,
) -> Result<Collected, StoreError> {
    let mut all = Collected::default();
    // A file for each of them, empty where nothing is known.
    let Some(view) = core.view_at(token, now)? else {
        if let Some(writer) = writer {
            let store = core.store.as_mut();
            writer.lines(store, "events.jsonl", [])?;
            writer.lines(store, "profiles.jsonl", [])?;
            writer.lines(store, "identities.jsonl", task.ids.iter().map(|id| json!({"id": id})))?;
        }
        return Ok(all);
    };
    let mut closure = core.closure(view.space, view.project.id_merge, &task.ids)?;
    // What an erasure would take can be seen before.
    core.add_mentions(view.space, view.project.id_merge, &mut closure)?;
    all.keys = closure.keys.clone();
    let query = EventQuery {
        from,
        keys: Some(closure.keys.iter().copied().collect()),
        sorting: Sorting::Time,
        ..EventQuery::default()
    };
    let begin = |writer: &mut Option<&mut Writer>, name| {
        if let Some(writer) = writer {
            writer.open(name);
        }
    };
    let settings = &view.project.settings;
    begin(&mut writer, "events.jsonl");
    let mut reading = core.begin_reading(&view, query)?;
    loop {
        let mut lines = Vec::new();
        let is_more = core.read_on(&mut reading, &mut |event, rendered| {
            for name in rendered.properties.keys() {
                if !all.names.contains(name) {
                    all.names.insert(name.clone());
                }
            }
            let source = |name: &str| rendered.properties.get(name).cloned().unwrap_or_default();
            let source = json!({"mp_lib": source("mp_lib"), "$import": source("$import"), "endpoint": source("$mp_api_endpoint")});
            all.sources.insert(source.to_string());
            all.found.extend(rendered.distinct_id.filter(|id| closure.ids.contains(id)));
            all.counts.events += 1;
            all.expires(event_expiry(settings, event.received, event.time));
            let line = json!({"event": event.name, "properties": rendered.properties});
            lines.extend_from_slice((line.to_string() + "\n").as_bytes());
            true
        })?;
        if let Some(writer) = &mut writer {
            writer.write(core.store.as_mut(), &lines)?;
        }
        if !is_more {
            break;
        }
    }
    finish(core, &mut writer)?;
    begin(&mut writer, "profiles.jsonl");
    let mut groups = Vec::new();
    for id in &closure.ids {
        let subject = Subject::Person(id.clone());
        let expired = profiles_expired_until(settings, now);
        let profile = core.store.profile(view.space, &subject)?;
        if let Some(profile) = profile.filter(|profile| profile.last_seen > expired) {
            all.names.extend(profile.properties.keys().cloned());
            all.found.insert(id.clone());
            all.counts.profiles += 1;
            all.expires(settings.retention_profiles_days.map(|days| profile.last_seen + days * DAY));
            if let Some(writer) = &mut writer {
                let line = json!({"$distinct_id": id, "$properties": profile.properties});
                writer.write(core.store.as_mut(), (line.to_string() + "\n").as_bytes())?;
            }
        }
        for subject in core.store.groups_naming(view.space, id)? {
            let Some(group) = core.store.profile(view.space, &subject)? else { continue };
            let Subject::Group(key, name) = subject else { continue };
            // Only that and where the person is named; the rest is not about the person.
            let named = group.properties.into_iter().filter(|(name, value)| {
                let one = Map::from_iter([(name.clone(), value.clone())]);
                texts_of(&one).iter().any(|text| strip(text) == strip(id))
            });
            let named: Vec<String> = named.map(|(name, _)| name).collect();
            groups.push(json!({"$group_key": key, "$group_id": name, "named_in": named, "id": id}));
        }
    }
    finish(core, &mut writer)?;
    if let Some(writer) = &mut writer {
        let identities = closure.ids.iter().map(|id| json!({"id": id}));
        writer.lines(core.store.as_mut(), "identities.jsonl", identities)?;
    }
    replays(core, &view, from, &mut all, &mut writer)?;
    if let (Some(writer), false) = (writer, groups.is_empty()) {
        writer.lines(core.store.as_mut(), "groups.jsonl", groups)?;
    }
    Ok(all)
}

fn finish(core: &mut Core, writer: &mut Option<&mut Writer>) -> Result<(), StoreError> {
    match writer {
        Some(writer) => writer.close(core.store.as_mut()),
        None => Ok(()),
    }
}

/// The pieces of replays, a file of their own where there are any.
fn replays(
    core: &mut Core,
    view: &super::View,
    from: Option<i64>,
    all: &mut Collected,
    writer: &mut Option<&mut Writer>,
) -> Result<(), StoreError> {
    let keys = Arc::new(all.keys.iter().copied().collect::<Vec<_>>());
    let (mut after, mut begun) = (0, false);
    loop {
        let (mut lines, mut is_full) = (Vec::new(), false);
        core.store.visit_replays(view.space, view.now, after, Some(keys.clone()), &mut |replay| {
            after = replay.row;
            if from.is_none_or(|from| replay.received >= from) {
                all.counts.replays += 1;
                let line = json!({
                    "received_at": time::format_iso(replay.received),
                    "parameters": replay.about,
                    "body_base64": base64(&replay.body),
                });
                lines.extend_from_slice((line.to_string() + "\n").as_bytes());
            }
            is_full = lines.len() >= PIECE;
            !is_full
        })?;
        if let (Some(writer), false) = (writer.as_mut(), lines.is_empty()) {
            if !begun {
                writer.open("replays.jsonl");
                begun = true;
            }
            writer.write(core.store.as_mut(), &lines)?;
        }
        if !is_full {
            break;
        }
    }
    if all.counts.replays > 0 {
        // Of whomever: to make it anew too soon does no harm.
        all.expires(core.store.next_replay_expiry(view.space)?);
    }
    if begun { finish(core, writer) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::core_with_an_event;
    use crate::store::{NewTask, TaskKind};

    /// A sweep of many rows may be under way when somebody asks.
    #[test]
    fn what_has_expired_is_not_handed_out_although_due_work_has_not_come_to_it() {
        let mut core = core_with_an_event();
        let (now, project) = (core.shared.now(), core.project_of("T"));
        let (kind, id) = (TaskKind::Retrieval, "task".to_owned());
        let task = NewTask { kind, id, ids: vec!["u".into()], requested: now, due: now, about: json!({}) };
        core.request_task(&project, &task).unwrap().unwrap();
        core.run_due(now).unwrap();
        let events_of = |core: &mut Core| {
            let task = core.store.task("task").unwrap().unwrap();
            core.in_transaction(|core| core.fetch_archive(&task)).unwrap().unwrap();
            core.store.task("task").unwrap().unwrap().events
        };
        core.shared.clock().advance(DAY - 1);
        assert_eq!(events_of(&mut core), 1);
        core.shared.clock().advance(1);
        assert_eq!(events_of(&mut core), 0);
    }
}
