//! An archive that is being made, in steps of bounded size: clients are served in between, and what they change then is
//! seen by the next step.
//!
//! Each step is durable by itself, and what is known between two of them is in memory only. Whoever takes something out of
//! archives gives up the key that the pieces are sealed under; the making ends with it, as with the process, and is begun
//! anew for as long as the task is `STARTED`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::LIFE;
use super::writer::Writer;
use crate::core::closure::Closure;
use crate::core::device::base64;
use crate::core::read::{PIECE, PIECE_BYTES, about_bytes_of};
use crate::core::{Core, Gathered, Gathering, Reading, View, event_expiry};
use crate::domain::identity::strip;
use crate::domain::profile::{Subject, texts_of};
use crate::domain::time::{self, DAY, SECOND};
use crate::store::{Counts, KeyRow, StoreError};

/// CCPA: the last year only.
const CCPA_PERIOD: i64 = 365 * DAY;

/// An archive that is being made.
pub struct Making {
    task: i64,
    token: String,
    /// Since when, in milliseconds. Events that are received later are not in it.
    pub at: i64,
    /// The same by the machine's clock, which nobody moves.
    begun: Instant,
    /// What expires until then is not in it.
    visible_at: i64,
    /// What is older is not in it either.
    from: Option<i64>,
    /// The combinations whose data is in it.
    keys: Arc<Vec<KeyRow>>,
    /// All ids of its persons.
    ids: BTreeSet<String>,
    content: Content,
    writer: Writer,
    stage: Stage,
    counts: Counts,
    found: BTreeSet<String>,
    /// Some group names one of its persons.
    has_groups: bool,
    /// When the first thing in it expires; `None` is never.
    outdated: Option<i64>,
}

/// What is disclosed.
enum Content {
    /// Everything, in a file for each kind.
    Data,
    /// The names of properties.
    Categories(BTreeSet<String>),
    /// How it was collected.
    Sources(BTreeSet<String>),
}

/// What comes next.
enum Stage {
    /// To find the events.
    Search(Gathering),
    Events(Reading),
    /// Those of these ids.
    Profiles(std::vec::IntoIter<String>),
    /// Those behind this row.
    Replays(i64),
    /// Those that name these ids; of the first one, those behind this key.
    Groups(std::vec::IntoIter<String>, KeyRow),
    /// What is known only at the end.
    Rest,
}

impl Making {
    /// Begins the archive of a task as of an instant.
    pub fn begin(core: &mut Core, task: i64, at: i64) -> Result<Making, StoreError> {
        Making::begin_for(core, task, at, at)
    }

    /// Begins one in which all is visible until another instant.
    fn begin_for(core: &mut Core, task: i64, at: i64, visible_at: i64) -> Result<Making, StoreError> {
        let mut task = core.store.task_of_row(task)?;
        task.archive_until = task.archive_until.or(Some(at + LIFE));
        let token = core.token_of(task.project)?;
        let from = (task.about["compliance"] == "CCPA").then(|| task.requested - CCPA_PERIOD);
        let content = match task.about["disclosure"].as_str() {
            Some("CATEGORIES") => Content::Categories(BTreeSet::new()),
            Some("SOURCES") => Content::Sources(BTreeSet::new()),
            _ => Content::Data,
        };
        let view = core.view_at(&token, at)?;
        let mut closure = Closure { keys: BTreeSet::new(), ids: task.ids.iter().cloned().collect() };
        if let Some(view) = &view {
            closure = core.closure(view.space, view.project.id_merge, &task.ids)?;
            // What an erasure would take can be seen before.
            core.add_mentions(view.space, view.project.id_merge, &mut closure)?;
        }
        let keys: Vec<KeyRow> = closure.keys.into_iter().collect();
        let ids: Vec<String> = closure.ids.iter().cloned().collect();
        let mut making = Making {
            task: task.row,
            token,
            at,
            begun: Instant::now(),
            visible_at,
            from,
            // Noted from the first step on, so that whoever erases one of them finds the archive.
            writer: Writer::new(core.store.begin_archive(&task, &keys, &ids)?),
            keys: Arc::new(keys),
            ids: closure.ids,
            content,
            stage: Stage::Rest,
            counts: Counts::default(),
            found: BTreeSet::new(),
            has_groups: false,
            outdated: None,
        };
        making.open("events.jsonl");
        match view {
            Some(view) => {
                making.stage = Stage::Search(core.begin_gathering(&view, &making.keys, from)?);
            }
            // A file for each of them, empty where nothing is known.
            None => {
                making.close(core)?;
                making.open("profiles.jsonl");
                making.close(core)?;
                making.identities(core)?;
            }
        }
        Ok(making)
    }

    /// Does the next step, of what is visible at an instant. Answers what is left of the making: nothing when the archive
    /// is there, or was given up.
    pub fn step(mut self, core: &mut Core, now: i64) -> Result<Option<Making>, StoreError> {
        // Somebody in it was erased since the last step, or something in it may not be shown any more, or not for now.
        if !core.store.is_archive_there(self.writer.key)? {
            return Ok(None);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Rest);
        self.stage = match (stage, core.view_at(&self.token, now.max(self.visible_at))?) {
            (Stage::Search(gathering), Some(view)) => match core.gather(&view, gathering)? {
                Gathered::Some(gathering) => Stage::Search(gathering),
                Gathered::All(reading) => Stage::Events(reading),
            },
            (Stage::Events(reading), Some(view)) => self.events(core, &view, reading)?,
            (Stage::Profiles(ids), Some(view)) => self.profiles(core, &view, ids)?,
            (Stage::Replays(after), Some(view)) => self.replays(core, &view, after)?,
            (Stage::Groups(ids, after), Some(view)) => self.groups(core, &view, ids, after)?,
            (Stage::Rest, _) => {
                if self.outdated.is_some_and(|at| at <= now) {
                    return self.begin_anew(core, now).map(Some);
                }
                self.end(core, now)?;
                return Ok(None);
            }
            // Its project was hidden.
            (_, None) => return Ok(None),
        };
        Ok(Some(self))
    }

    /// Begins anew what is outdated before it is there. Where something expires all the time that would never end, so what
    /// expires while it is made and fetched is left out.
    fn begin_anew(self, core: &mut Core, now: i64) -> Result<Making, StoreError> {
        let ahead = (2 * self.begun.elapsed().as_millis() as i64).max(SECOND);
        Making::begin_for(core, self.task, now, now + ahead)
    }

    fn events(&mut self, core: &mut Core, view: &View, mut reading: Reading) -> Result<Stage, StoreError> {
        let settings = &view.project.settings;
        let mut lines = Vec::new();
        core.resume_reading(view, &mut reading);
        let is_more = core.read_on(&mut reading, &mut |event, rendered| {
            // A copy that came since then under another combination has taken the place of the one that was found, and
            // whoever erases that combination would not find the archive.
            if self.keys.binary_search(&event.key).is_err() {
                return true;
            }
            self.found.extend(rendered.distinct_id.filter(|id| self.ids.contains(id)));
            self.counts.events += 1;
            self.outdated = earlier(self.outdated, event_expiry(settings, event.received, event.time));
            match &mut self.content {
                Content::Data => {
                    let name = Value::from(event.name.as_str());
                    put_line(&mut lines, [("event", name), ("properties", rendered.properties.into())]);
                }
                Content::Categories(names) => take_names(names, &rendered.properties),
                Content::Sources(sources) => {
                    let source = |name: &str| rendered.properties.get(name).cloned().unwrap_or_default();
                    let source = json!({"mp_lib": source("mp_lib"), "$import": source("$import"), "endpoint": source("$mp_api_endpoint")});
                    sources.insert(source.to_string());
                }
            }
            true
        })?;
        self.write(core, &lines)?;
        if is_more {
            return Ok(Stage::Events(reading));
        }
        self.close(core)?;
        self.open("profiles.jsonl");
        Ok(Stage::Profiles(self.each_id()))
    }

    fn each_id(&self) -> std::vec::IntoIter<String> {
        self.ids.iter().cloned().collect::<Vec<_>>().into_iter()
    }

    fn profiles(
        &mut self,
        core: &mut Core,
        view: &View,
        mut ids: std::vec::IntoIter<String>,
    ) -> Result<Stage, StoreError> {
        let settings = &view.project.settings;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for id in ids.by_ref().take(PIECE) {
            if let Some(profile) = core.live_profile(view, &Subject::Person(id.clone()))? {
                bytes += about_bytes_of(&profile.properties);
                self.counts.profiles += 1;
                let expires = settings.retention_profiles_days.map(|days| profile.last_seen + days * DAY);
                self.outdated = earlier(self.outdated, expires);
                match &mut self.content {
                    Content::Data => {
                        let name = Value::from(id.as_str());
                        put_line(
                            &mut lines,
                            [("$distinct_id", name), ("$properties", profile.properties.into())],
                        );
                    }
                    Content::Categories(names) => take_names(names, &profile.properties),
                    Content::Sources(_) => {}
                }
                self.found.insert(id.clone());
            }
            if bytes >= PIECE_BYTES {
                break;
            }
        }
        self.write(core, &lines)?;
        if ids.len() > 0 {
            return Ok(Stage::Profiles(ids));
        }
        self.close(core)?;
        self.identities(core)?;
        Ok(Stage::Replays(0))
    }

    /// Which groups name its persons, a file of its own where some do. A person may be named by very many.
    fn groups(
        &mut self,
        core: &mut Core,
        view: &View,
        mut ids: std::vec::IntoIter<String>,
        mut after: KeyRow,
    ) -> Result<Stage, StoreError> {
        let (mut lines, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
        while let Some(id) = ids.as_slice().first().filter(|_| bytes < PIECE_BYTES && looked_at < PIECE) {
            looked_at += 1;
            let Some((key, group)) = core.store.next_group_naming(view.space, id, after)? else {
                ids.next();
                after = 0;
                continue;
            };
            after = key;
            let Subject::Group(key, name) = group.subject else { continue };
            bytes += about_bytes_of(&group.properties);
            // Only that and where the person is named; the rest is not about the person.
            let named = group.properties.into_iter().filter(|(name, value)| {
                let one = Map::from_iter([(name.clone(), value.clone())]);
                texts_of(&one).iter().any(|text| strip(text) == strip(id))
            });
            let named: Vec<String> = named.map(|(name, _)| name).collect();
            let line = json!({"$group_key": key, "$group_id": name, "named_in": named, "id": id});
            lines.extend_from_slice((line.to_string() + "\n").as_bytes());
        }
        if !self.has_groups && !lines.is_empty() {
            self.has_groups = true;
            self.open("groups.jsonl");
        }
        self.write(core, &lines)?;
        if ids.len() > 0 {
            return Ok(Stage::Groups(ids, after));
        }
        if self.has_groups {
            self.close(core)?;
        }
        Ok(Stage::Rest)
    }

    fn identities(&mut self, core: &mut Core) -> Result<(), StoreError> {
        let lines: String = self.ids.iter().map(|id| json!({"id": id}).to_string() + "\n").collect();
        self.open("identities.jsonl");
        self.write(core, lines.as_bytes())?;
        self.close(core)
    }

    /// The pieces of replays, a file of their own where there are any.
    fn replays(&mut self, core: &mut Core, view: &View, mut after: i64) -> Result<Stage, StoreError> {
        let (mut lines, mut count, mut is_full) = (Vec::new(), 0, false);
        let mut outdated = self.outdated;
        core.store.visit_replays(view.space, view.now, after, Some(self.keys.clone()), &mut |replay| {
            after = replay.row;
            if self.from.is_none_or(|from| replay.received >= from) {
                count += 1;
                outdated = earlier(outdated, replay.expires);
                let line = json!({
                    "received_at": time::format_iso(replay.received),
                    "parameters": replay.about,
                    "body_base64": base64(&replay.body),
                });
                lines.extend_from_slice((line.to_string() + "\n").as_bytes());
            }
            is_full = lines.len() >= PIECE_BYTES;
            !is_full
        })?;
        self.outdated = outdated;
        if self.counts.replays == 0 && count > 0 {
            self.open("replays.jsonl");
        }
        self.counts.replays += count;
        self.write(core, &lines)?;
        if is_full {
            return Ok(Stage::Replays(after));
        }
        if self.counts.replays > 0 {
            self.close(core)?;
        }
        Ok(Stage::Groups(self.each_id(), 0))
    }

    fn end(self, core: &mut Core, now: i64) -> Result<(), StoreError> {
        let Making { task, from, at, found, content, mut writer, counts, outdated, .. } = self;
        let mut task = core.store.task_of_row(task)?;
        let store = core.store.as_mut();
        match content {
            Content::Data => {}
            Content::Categories(names) => {
                writer.whole(store, "categories.json", &json!({"properties": names}))?;
            }
            Content::Sources(sources) => {
                let sources: Vec<Value> =
                    sources.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
                writer.whole(store, "sources.json", &json!({"sources": sources}))?;
            }
        }
        let manifest = json!({
            "ids_asked": task.ids,
            "ids_found": found,
            "from": from.map(time::format_iso),
            "to": time::format_iso(at),
            "events": counts.events,
            "profiles": counts.profiles,
            "replays": counts.replays,
            "files": writer.sums,
        });
        writer.whole(store, "manifest.json", &manifest)?;
        writer.end(store)?;
        if task.finished.is_none() {
            // Made anew, it lasts no longer.
            (task.finished, task.archive_until) = (Some(now), Some(now + LIFE));
        }
        (task.events, task.profiles, task.replays) = (counts.events, counts.profiles, counts.replays);
        core.store.end_archive(&task, outdated)?;
        let action = "user_data_retrieval.completed";
        core.note(now, Some(task.project), action, "data-retrievals v3.0", Some(&task.id), counts)
    }

    /// Begins a file, where everything is disclosed.
    fn open(&mut self, name: &'static str) {
        if let Content::Data = self.content {
            self.writer.open(name);
        }
    }

    fn write(&mut self, core: &mut Core, lines: &[u8]) -> Result<(), StoreError> {
        self.writer.write(core.store.as_mut(), lines)
    }

    fn close(&mut self, core: &mut Core) -> Result<(), StoreError> {
        self.writer.close(core.store.as_mut())
    }
}

/// Adds a line of JSON. What is in it is moved there: to copy a large one takes many times the room of its text.
fn put_line<const N: usize>(lines: &mut Vec<u8>, fields: [(&str, Value); N]) {
    lines.extend_from_slice(Value::from_iter(fields).to_string().as_bytes());
    lines.push(b'\n');
}

fn take_names(names: &mut BTreeSet<String>, properties: &Map<String, Value>) {
    for name in properties.keys() {
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    [one, other].into_iter().flatten().min()
}
