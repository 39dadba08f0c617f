//! Whom records are about, worked out from what apps have called, one call after the other.
//!
//! Several processes share a device, and what one of them says reaches the others in its own time. What is expected of a
//! record is only said where nobody else can have said anything: as long as a device has one process.

use super::Maker;
use super::stored::{identity_on, whom_on};
use crate::collector::text_of;
use crate::disk::SimDisk;
use crate::process::Process;
use refrain::engine::CallKind;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What records say of a person.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    user: Option<String>,
    /// Registered properties, as texts hold their values.
    registered: BTreeMap<&'static str, String>,
    /// The same, for the session.
    session: BTreeMap<&'static str, String>,
    /// When timers were started, on the monotonic clock.
    timers: BTreeMap<&'static str, u64>,
}

/// A call that says whom records are about.
#[derive(Debug, Clone)]
pub struct Said {
    /// What it is about.
    pub kind: CallKind,
    /// A user, a property, a kind of group, or an event.
    pub name: &'static str,
    /// A property's value as a text holds it, or a member of a group.
    pub value: String,
}

impl Person {
    fn hear(&mut self, said: &Said, mono_ms: u64) {
        let Said { kind, name, value } = said;
        match kind {
            CallKind::Identify => self.user = Some((*name).into()),
            CallKind::SwitchUser if self.user.as_deref() != Some(name) => {
                *self = Self { user: Some((*name).into()), ..Self::default() };
            }
            CallKind::Reset => *self = Self::default(),
            CallKind::Register => _ = self.registered.insert(name, value.clone()),
            CallKind::RegisterOnce => _ = self.registered.entry(name).or_insert_with(|| value.clone()),
            CallKind::RegisterForSession => _ = self.session.insert(name, value.clone()),
            CallKind::Unregister => {
                self.registered.remove(name);
                self.session.remove(name);
            }
            CallKind::TimeEvent => _ = self.timers.insert(name, mono_ms),
            CallKind::SetGroup => _ = self.registered.insert(name, format!("[\"{value}\"]")),
            CallKind::AddGroup => {
                let mut members = self.without(name, value);
                members.push(format!("\"{value}\""));
                self.registered.insert(name, format!("[{}]", members.join(",")));
            }
            CallKind::RemoveGroup => {
                let members = self.without(name, value);
                if members.is_empty() {
                    self.registered.remove(name);
                } else {
                    self.registered.insert(name, format!("[{}]", members.join(",")));
                }
            }
            _ => {}
        }
    }

    fn without(&self, name: &str, member: &str) -> Vec<String> {
        let list = self.registered.get(name).map_or("", |list| list.trim_matches(['[', ']']));
        let members = list.split(',').filter(|other| !other.is_empty() && other.trim_matches('"') != member);
        members.map(String::from).collect()
    }
}

/// What a record must say.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// `None` where it was held: which device it is was not known then.
    device: Option<String>,
    person: Person,
    /// Milliseconds that it was timed for.
    duration_ms: Option<u64>,
}

/// What was found of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) registered: bool,
    pub(super) timed: bool,
}

impl Expected {
    /// Compares a record with what was expected of it.
    pub(super) fn compare(&self, record: &str) -> Found {
        let mut found = Found { registered: false, timed: false };
        if record.starts_with("{\"$group_key\"") {
            return found;
        }
        let person = &self.person;
        let device = text_of(record, "$device_id").unwrap_or_default();
        if let Some(expected) = &self.device {
            assert_eq!(device, expected, "C9: a record names another device: {record}");
        }
        let user = text_of(record, "$user_id");
        assert_eq!(user, person.user.as_deref(), "C9: a record names another user: {record}");
        let event = record.starts_with("{\"event\"");
        let distinct = text_of(record, if event { "distinct_id" } else { "$distinct_id" });
        let expected = person.user.clone().unwrap_or_else(|| format!("$device:{device}"));
        assert_eq!(distinct, Some(expected.as_str()), "C9: a record is about somebody else: {record}");
        if !event {
            return found;
        }
        for key in ["tier", "visit", "company"] {
            let expected = person.session.get(key).or(person.registered.get(key)).map(String::as_str);
            assert_eq!(value_of(record, key), expected, "C6, C9: `{key}` was registered otherwise: {record}");
            found.registered |= expected.is_some();
        }
        let duration = value_of(record, "$duration").and_then(|text| text.parse::<f64>().ok());
        let duration_ms = duration.map(|seconds| (seconds * 1_000.0).round() as u64);
        assert_eq!(duration_ms, self.duration_ms, "C6: an event was timed otherwise: {record}");
        found.timed = duration.is_some();
        found
    }
}

/// The value of a member, as the text holds it, wherever it stands.
fn value_of<'a>(record: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = record.split_once(&format!("\"{key}\":"))?;
    let end = match rest.as_bytes().first()? {
        b'"' => rest[1..].find('"')? + 2,
        b'[' => rest.find(']')? + 1,
        _ => rest.find([',', '}'])?,
    };
    rest.get(..end)
}

/// Something that waits for a decision.
#[derive(Debug)]
enum Held {
    Said(Said),
    Record { marker: u64, name: Option<&'static str> },
}

/// What one process was told.
#[derive(Debug, Default)]
struct Told {
    device: Option<String>,
    person: Person,
    /// Whether all that its records say was said in it.
    known: bool,
    held: Vec<(u64, Held)>,
    /// Some of what is held may go, and nobody can tell which.
    unclear: bool,
}

/// What all processes were told.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    told: BTreeMap<Maker, Told>,
    /// Who has known each device.
    owners: BTreeMap<String, BTreeSet<Maker>>,
    /// The identity on the disk as it was last looked at.
    stored: Option<Rc<str>>,
    /// Who has stored which device, without having been looked at since.
    stood: Vec<(Maker, String)>,
}

impl Subjects {
    /// Looks at whom the store knows: also one who was here only while calls that had been held were made, and whom nobody
    /// sees in their process. Whoever comes next comes to them, and to what was said of them.
    pub(super) fn stands(&mut self, acting: Option<Maker>, disk: &SimDisk) {
        let identity = identity_on(disk);
        if identity == self.stored {
            return;
        }
        self.stored = identity;
        if let (Some(maker), Some(whom)) = (acting, whom_on(disk)) {
            self.stood.push((maker, whom.device));
        }
    }

    /// An app has said something, and was heard or has to wait.
    pub(super) fn said(&mut self, maker: Maker, process: &Process, said: Said, held: bool) {
        let told = self.told.entry(maker).or_default();
        let mono_ms = process.now.mono_ms;
        if held {
            told.unclear |= !process.engine.is_open();
            told.held.push((mono_ms, Held::Said(said)));
            return;
        }
        told.person.hear(&said, mono_ms);
        let anew = matches!(said.kind, CallKind::Reset | CallKind::SwitchUser);
        let device = process.engine.device_id();
        if anew && device != told.device {
            told.known = true;
            told.device.clone_from(&device);
        }
        if let Some(device) = device {
            self.owners.entry(device).or_default().insert(maker);
        }
    }

    /// An app has made a record: what it must say, where that can be told. `name` is that of an event.
    pub(super) fn made(
        &mut self,
        maker: Maker,
        process: &Process,
        marker: u64,
        name: Option<&'static str>,
        held: bool,
    ) -> Option<Expected> {
        let told = self.told.entry(maker).or_default();
        if held {
            told.unclear |= !process.engine.is_open();
            told.held.push((process.now.mono_ms, Held::Record { marker, name }));
            return None;
        }
        let duration_ms = name.and_then(|name| told.person.timers.remove(name));
        let duration_ms = duration_ms.map(|since| process.now.mono_ms - since);
        let alone = told.device.as_ref().is_some_and(|device| is_alone(&self.owners, device, maker));
        (told.known && alone).then(|| Expected {
            device: told.device.clone(),
            person: told.person.clone(),
            duration_ms,
        })
    }

    /// Looks at whom a process knows; what must be said by records that were held, and are made now.
    pub(super) fn look(&mut self, maker: Maker, process: &Process) -> Vec<(u64, Expected)> {
        let told = self.told.entry(maker).or_default();
        let device = process.engine.device_id();
        if device != told.device {
            // Somebody new, who has said nothing yet; unless somebody else has known them before, or they come after another
            // one: by a call that the store was late to take.
            let others = |device| self.stood.iter().any(|(of, stood)| *of != maker && stood == device);
            let known = |device| self.owners.contains_key(device) || others(device);
            let new = told.device.is_none() && device.as_ref().is_some_and(|device| !known(device));
            told.person = Person::default();
            told.known = new;
            told.device.clone_from(&device);
        }
        for (_, stood) in self.stood.extract_if(.., |(of, _)| *of == maker) {
            self.owners.entry(stood).or_default().insert(maker);
        }
        if let Some(device) = &device {
            self.owners.entry(device.clone()).or_default().insert(maker);
        }
        let alone = device.as_ref().is_some_and(|device| is_alone(&self.owners, device, maker));
        let mut expected = Vec::new();
        let waiting = process.engine.held_calls();
        if waiting < told.held.len() {
            told.unclear |= waiting > 0;
            if waiting == 0 {
                let (held, unclear) = (std::mem::take(&mut told.held), std::mem::take(&mut told.unclear));
                if device.is_some() {
                    // Who was known before somebody else came has never been seen here.
                    let anew = |held: &(u64, Held)| {
                        matches!(&held.1, Held::Said(Said { kind, .. })
                            if matches!(kind, CallKind::Reset | CallKind::SwitchUser))
                    };
                    told.known &= !unclear && !held.iter().any(anew);
                    for (mono_ms, held) in held {
                        match held {
                            Held::Said(said) => {
                                told.person.hear(&said, mono_ms);
                                told.known |= !unclear && said.kind == CallKind::Reset;
                            }
                            Held::Record { marker, name } => {
                                let since = name.and_then(|name| told.person.timers.remove(name));
                                if told.known && alone {
                                    let duration_ms = since.map(|since| mono_ms - since);
                                    let person = told.person.clone();
                                    expected.push((marker, Expected { device: None, person, duration_ms }));
                                }
                            }
                        }
                    }
                }
            }
        }
        expected
    }

    /// It cannot be told any more what a process knows: the store has failed it.
    pub(super) fn lost_track(&mut self, maker: Maker) {
        self.told.entry(maker).or_default().known = false;
    }

    /// What waits may have been dropped, and nobody can tell which.
    pub(super) fn lost_track_of_held(&mut self) {
        self.told.values_mut().for_each(|told| told.unclear |= !told.held.is_empty());
    }

    /// A process is gone.
    pub(super) fn gone(&mut self, maker: Maker) {
        self.told.remove(&maker);
    }
}

fn is_alone(owners: &BTreeMap<String, BTreeSet<Maker>>, device: &str, maker: Maker) -> bool {
    owners.get(device).is_some_and(|owners| owners.len() == 1 && owners.contains(&maker))
}
