//! A scenario and the world that it is played in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use refrain_tests::mock_server::MockServer;
use refrain_tests::raw_http::Request;
use serde_json::{Map, Value, json};

use crate::client::Process;
use crate::pattern::{self, Members, Remembered, whole};
use crate::store;

const HOST: &str = "native";
const TOKEN: &str = "scenario";
/// How long `soon` may take; only a broken client ever uses it up.
const SOON: Duration = Duration::from_secs(20);

/// One file.
pub struct Scenario {
    not_on: Option<String>,
    fails_at: Vec<u64>,
    steps: Vec<Value>,
}

impl Scenario {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = Members::of("a scenario", &serde_json::from_slice(&fs::read(path)?)?)?;
        file.take_text("name")?.filter(|name| !name.is_empty()).context("it has no name")?;
        let rules = file.take("rules").context("it names no rules")?;
        let known: Vec<String> = (1..=15).map(|number| format!("C{number}")).collect();
        for rule in rules.as_array().context("rules are a list")? {
            ensure!(known.iter().any(|one| rule == one), "there is no rule {rule}");
        }
        let hosts: BTreeMap<String, String> = match file.take("not_on") {
            None => BTreeMap::new(),
            Some(hosts) => serde_json::from_value(hosts).context("not_on is an object of texts")?,
        };
        for host in hosts.keys() {
            let hosts = ["native", "browser", "node", "python", "kotlin", "swift"];
            ensure!(hosts.contains(&host.as_str()), "there is no host {host}");
        }
        let fails_at = file.take("fails_at").unwrap_or_else(|| json!([]));
        let fails_at: Vec<u64> = serde_json::from_value(fails_at).context("fails_at is a list of places")?;
        let steps =
            file.take("steps").and_then(|steps| steps.as_array().cloned()).context("it has no steps")?;
        file.end()?;
        ensure!(
            fails_at.iter().all(|at| *at < steps.len() as u64),
            "fails_at {fails_at:?}: there is no such step"
        );
        Ok(Self { not_on: hosts.get(HOST).cloned(), fails_at, steps })
    }

    /// Why this host does not play it.
    pub fn not_here(&self) -> Option<&str> {
        self.not_on.as_deref()
    }

    /// Plays it in a folder of its own.
    pub fn play(&self, folder: PathBuf) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let mut world = World {
            server: MockServer::in_memory()?,
            folder,
            clients: BTreeMap::new(),
            remembered: Remembered::new(),
        };
        for (at, step) in (0..).zip(&self.steps) {
            let ended = world.step(step).and_then(|()| world.check_books());
            match (ended, self.fails_at.contains(&at)) {
                (Ok(()), false) | (Err(_), true) => {}
                (Ok(()), true) => bail!("step {at} must fail, and did not: {step}"),
                (Err(error), false) => return Err(error.context(format!("step {at}: {step}"))),
            }
        }
        Ok(())
    }
}

const VERBS: [&str; 22] = [
    "start",
    "stop",
    "shutdown",
    "call",
    "opt_in",
    "opt_out",
    "signals",
    "flush",
    "server",
    "damage",
    "remove",
    "remember",
    "consent",
    "ids",
    "stats",
    "outbox",
    "kept",
    "kept_with",
    "kept_without",
    "arrived",
    "profiles",
    "groups",
];
const SETTINGS: [&str; 9] = [
    "default_consent",
    "honor_gpc",
    "honor_dnt",
    "flush_interval",
    "batch_size",
    "queue_limit_bytes",
    "queue_limit_age",
    "id_merge",
    "deny_list",
];

struct World {
    server: MockServer,
    folder: PathBuf,
    clients: BTreeMap<String, Client>,
    remembered: Remembered,
}

/// One that has run; without a process it is stopped.
struct Client {
    process: Option<Process>,
    device: String,
    settings: Map<String, Value>,
    signals: Value,
}

impl World {
    fn step(&mut self, step: &Value) -> Result<()> {
        // `signals` is a modifier of `start`, too.
        let is_verb = |name: &&String| {
            VERBS.contains(&name.as_str()) && !(*name == "signals" && step["start"].is_object())
        };
        let verbs: Vec<&String> =
            step.as_object().context("a step is an object")?.keys().filter(is_verb).collect();
        let [verb] = verbs.as_slice() else { bail!("a step has one verb, not {verbs:?}") };
        let mut with = Members::of("a step", step)?;
        let argument = with.take(verb).unwrap_or_default();
        match verb.as_str() {
            "start" => self.start(&argument, with),
            "stop" => self.stop(&argument, with),
            "shutdown" => self.decide("shutdown", &argument, &[], with),
            "call" => self.call(&argument, with),
            "opt_in" => self.decide("opt_in", &argument, &[], with),
            "opt_out" => self.decide("opt_out", &argument, &["erase", "delete_profile"], with),
            "signals" => self.signals(&argument, with),
            "flush" => self.flush(&argument, with),
            "server" => self.ask_server(&argument, with),
            "damage" => self.hurt(&argument, with, store::damage),
            "remove" => self.hurt(&argument, with, |slot| Ok(fs::remove_file(slot)?)),
            "remember" => self.remember(&argument, with),
            "consent" | "ids" | "stats" | "outbox" => self.check_state(verb, &argument, with),
            "kept" => self.check_kept(&argument, with),
            "kept_with" => self.search(&argument, with, true),
            "kept_without" => self.search(&argument, with, false),
            "arrived" => self.check_arrived(&argument, with),
            which => self.check_profiles(which, &argument, with),
        }
    }

    fn start(&mut self, settings: &Value, mut with: Members) -> Result<()> {
        let (name, device) = (on(&mut with)?, with.take_text("device")?);
        let signals = with.take("signals").map(|signals| checked_signals(&signals)).transpose()?;
        with.end()?;
        let endpoint = self.server.url();
        let client = self.clients.entry(name).or_insert_with(|| {
            let defaults = json!({"token": TOKEN, "endpoint": endpoint, "flush_interval": 3600});
            let settings = defaults.as_object().cloned().unwrap_or_default();
            let device = device.clone().unwrap_or_else(|| "device".to_owned());
            Client { process: None, device, settings, signals: json!({}) }
        });
        ensure!(client.process.is_none(), "it is running already");
        ensure!(device.is_none_or(|device| device == client.device), "it was on another device");
        client.signals = signals.unwrap_or_else(|| client.signals.clone());
        for (name, value) in settings.as_object().context("settings are an object")? {
            ensure!(SETTINGS.contains(&name.as_str()), "there is no setting {name}");
            client.settings.insert(name.clone(), value.clone());
        }
        client.settings.insert("data_dir".to_owned(), json!(self.folder.join(&client.device)));
        let mut process = Process::start()?;
        process.ask(json!({"do": "start", "settings": client.settings, "signals": client.signals}))?;
        client.process = Some(process);
        Ok(())
    }

    fn stop(&mut self, how: &Value, mut with: Members) -> Result<()> {
        let name = on(&mut with)?;
        with.end()?;
        let ways = ["close", "kill"];
        ensure!(ways.iter().any(|way| how == way), "a client is stopped by one of {ways:?}");
        let process = self.clients.get_mut(&name).and_then(|client| client.process.take());
        let mut process = process.context("it is not running")?;
        if how == "kill" {
            return process.kill();
        }
        process.ask(json!({"do": "shutdown"}))?;
        process.wait()
    }

    fn call(&mut self, method: &Value, mut with: Members) -> Result<()> {
        let name = on(&mut with)?;
        let gives = with.take("gives").unwrap_or_else(|| json!("accepted"));
        let rejected = gives["rejected"].is_string() && gives.as_object().is_some_and(|one| one.len() == 1);
        ensure!(rejected || gives == "accepted" || gives == "held", "a call cannot give {gives}");
        let times = with.take("times").map_or(Ok(1), |times| whole(&times))?;
        let arguments = with.take("with").unwrap_or_else(|| json!([]));
        with.end()?;
        for index in 0..times {
            let arguments = pattern::value(&arguments, index, &self.remembered)?;
            let given =
                self.running(&name)?.ask(json!({"do": "call", "method": method, "with": arguments}))?;
            ensure!(given == gives, "it gave {given}");
        }
        Ok(())
    }

    fn decide(&mut self, what: &str, how: &Value, flags: &[&str], mut with: Members) -> Result<()> {
        let name = on(&mut with)?;
        with.end()?;
        let mut said = json!({"do": what});
        let mut how = Members::of(what, how)?;
        for flag in flags {
            said[*flag] = json!(how.take_flag(flag)?);
        }
        how.end()?;
        self.running(&name)?.ask(said)?;
        Ok(())
    }

    fn signals(&mut self, signals: &Value, mut with: Members) -> Result<()> {
        let name = on(&mut with)?;
        with.end()?;
        let signals = checked_signals(signals)?;
        self.running(&name)?.ask(json!({"do": "signals", "signals": signals}))?;
        if let Some(client) = self.clients.get_mut(&name) {
            client.signals = signals;
        }
        Ok(())
    }

    fn flush(&mut self, wanted: &Value, mut with: Members) -> Result<()> {
        let (name, soon) = (on(&mut with)?, with.take_flag("soon")?);
        with.end()?;
        ensure!(wanted.is_boolean(), "a flush answers true or false");
        attempt(soon, || {
            let answer = self.running(&name)?.ask(json!({"do": "flush"}))?;
            ensure!(answer == *wanted, "it answered {answer}");
            Ok(())
        })
    }

    fn ask_server(&mut self, request: &Value, mut with: Members) -> Result<()> {
        let (gives, soon) = (with.take("gives"), with.take_flag("soon")?);
        with.end()?;
        let parts = request.as_array().context("a request is a list")?;
        let (method, path, body) = match parts.as_slice() {
            [Value::String(method), Value::String(path)] => (method, path, None),
            [Value::String(method), Value::String(path), body] => {
                (method, path, Some(pattern::value(body, 0, &self.remembered)?))
            }
            _ => bail!("a request is a method, a path and perhaps a body"),
        };
        attempt(soon, || {
            let answer = self.server.control(method, path, body.as_ref())?;
            gives.iter().try_for_each(|gives| pattern::check(gives, Some(&answer), 0, &self.remembered))
        })
    }

    fn hurt(&mut self, what: &Value, mut with: Members, hurt: impl Fn(&Path) -> Result<()>) -> Result<()> {
        let device = device(&mut with)?;
        with.end()?;
        ensure!(what == "consent", "only \"consent\" can be hurt");
        let runs = |client: &Client| client.device == device && client.process.is_some();
        ensure!(!self.clients.values().any(runs), "a client of the device runs");
        store::hurt_consent(&self.folder.join(device), hurt)
    }

    fn remember(&mut self, what: &Value, mut with: Members) -> Result<()> {
        let name = on(&mut with)?;
        with.end()?;
        let state = self.state(&name)?;
        for (key, id) in what.as_object().context("an object of names")? {
            let id =
                id.as_str().filter(|id| ["device_id", "distinct_id"].contains(id)).context("no such id")?;
            let said = state["ids"][id].as_str().with_context(|| format!("it has no {id}"))?;
            self.remembered.insert(key.clone(), said.to_owned());
        }
        Ok(())
    }

    fn check_state(&mut self, part: &str, pattern: &Value, mut with: Members) -> Result<()> {
        let (name, soon) = (on(&mut with)?, with.take_flag("soon")?);
        with.end()?;
        attempt(soon, || {
            let state = self.state(&name)?;
            pattern::check(pattern, Some(&state[part]), 0, &self.remembered)?;
            if part == "consent" { check_consent(&state) } else { Ok(()) }
        })
    }

    fn check_kept(&mut self, word: &Value, mut with: Members) -> Result<()> {
        let (device, soon) = (device(&mut with)?, with.take_flag("soon")?);
        with.end()?;
        let word = word.as_str().context("a word")?;
        attempt(soon, || {
            let mut audits = Vec::new();
            for client in self.clients.values_mut().filter(|client| client.device == device) {
                if let Some(process) = &mut client.process {
                    audits.push(process.ask(json!({"do": "state"}))?["audit"].take());
                }
            }
            store::check(word, &self.folder.join(&device), &audits)
        })
    }

    fn search(&mut self, texts: &Value, mut with: Members, wanted: bool) -> Result<()> {
        let folder = self.folder.join(device(&mut with)?);
        let soon = wanted && with.take_flag("soon")?;
        with.end()?;
        let texts = pattern::value(texts, 0, &self.remembered)?;
        let texts = texts.as_array().filter(|list| !list.is_empty()).context("a list of texts")?;
        attempt(soon, || {
            for text in texts {
                let text = text.as_str().filter(|text| !text.is_empty()).context("a text")?;
                let not = if wanted { "not " } else { "" };
                ensure!(store::holds(&folder, text)? == wanted, "{text:?} is {not}there");
            }
            Ok(())
        })
    }

    fn check_arrived(&mut self, records: &Value, mut with: Members) -> Result<()> {
        let any_order = with.take_flag("any_order")?;
        with.end()?;
        let mut wanted = Vec::new();
        for record in records.as_array().context("a list of records")? {
            let record = if record.is_string() { json!({"event": record}) } else { record.clone() };
            let mut members = Members::of("a record", &record)?;
            let event = members.take_text("event")?.context("a record has an event")?;
            let times = members.take("times").map_or(Ok(1), |times| whole(&times))?;
            let properties = members.take("properties").unwrap_or_else(|| json!({}));
            members.end()?;
            let pattern = json!({"event": event, "properties": properties});
            wanted.extend((0..times).map(|index| (pattern.clone(), index)));
        }
        let events = self.arrived(wanted.len())?;
        let names: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
        ensure!(events.len() == wanted.len(), "{} events have arrived: {names:?}", events.len());
        check_form(&events)?;
        for event in &events {
            let meets = |(wanted, index): &(Value, u64)| {
                pattern::check(wanted, Some(event), *index, &self.remembered)
            };
            let place = if any_order { wanted.iter().position(|one| meets(one).is_ok()) } else { Some(0) };
            let place = place.with_context(|| format!("nobody waits for {event}; there are {names:?}"))?;
            meets(&wanted.remove(place)).with_context(|| format!("among {names:?}"))?;
        }
        Ok(())
    }

    /// All events that the server holds, as soon as there are so many.
    fn arrived(&self, count: usize) -> Result<Vec<Value>> {
        let wait = json!({"min": count, "timeout_ms": SOON.as_millis() as u64, "limit": 0});
        // 408 says that they did not come; what did is shown.
        self.server.send(&Request {
            method: "POST".to_owned(),
            target: "/mock/wait".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Some(wait.to_string().into_bytes()),
        })?;
        let found = self.server.control("GET", "/mock/events?limit=100000", None)?;
        Ok(found["events"].as_array().context("a list")?.clone())
    }

    fn check_profiles(&mut self, which: &str, patterns: &Value, with: Members) -> Result<()> {
        with.end()?;
        let found = self.server.control("GET", &format!("/mock/{which}"), None)?;
        let found = found[which].as_array().context("a list")?;
        let mut open = patterns.as_array().context("a list of patterns")?.clone();
        ensure!(open.len() == found.len(), "there are {found:?}");
        for one in found {
            let meets = |pattern: &Value| pattern::check(pattern, Some(one), 0, &self.remembered).is_ok();
            let place = open.iter().position(meets).with_context(|| format!("nobody waits for {one}"))?;
            open.remove(place);
        }
        Ok(())
    }

    fn running(&mut self, name: &str) -> Result<&mut Process> {
        let client = self.clients.get_mut(name).with_context(|| format!("{name} was never started"))?;
        client.process.as_mut().with_context(|| format!("{name} is stopped"))
    }

    /// What a client says of itself.
    fn state(&mut self, name: &str) -> Result<Value> {
        self.running(name)?.ask(json!({"do": "state"}))
    }

    /// C15, of every client that runs.
    fn check_books(&mut self) -> Result<()> {
        let running = self.clients.iter().filter(|(_, client)| client.process.is_some());
        for name in running.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let stats = &self.state(&name)?["stats"];
            let sum = |names: &[&str]| names.iter().map(|name| whole(&stats[*name])).sum::<Result<u64>>();
            let dropped = stats["dropped"].as_object().context("drops")?.values().map(whole);
            let given = sum(&["tracked", "recovered", "adopted"])?;
            let taken = sum(&["delivered", "queued", "held", "given_up"])? + dropped.sum::<Result<u64>>()?;
            ensure!(given == taken, "C15: the books of {name} do not balance: {stats}");
        }
        Ok(())
    }
}

/// Once, or until it holds.
fn attempt(soon: bool, mut check: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let held = check();
        if held.is_ok() || !soon || begun.elapsed() > SOON {
            return held;
        }
    }
}

fn on(with: &mut Members) -> Result<String> {
    Ok(with.take_text("on")?.unwrap_or_else(|| "first".to_owned()))
}

fn device(with: &mut Members) -> Result<String> {
    Ok(with.take_text("device")?.unwrap_or_else(|| "device".to_owned()))
}

fn checked_signals(signals: &Value) -> Result<Value> {
    let mut members = Members::of("signals", signals)?;
    for name in ["gpc", "dnt", "host"] {
        members.take_flag(name)?;
    }
    members.end()?;
    Ok(signals.clone())
}

/// That `has_opted_out()` does not contradict `consent()`, and there is a sentence for the person.
fn check_consent(state: &Value) -> Result<()> {
    let (consent, has_opted_out) = (&state["consent"], &state["has_opted_out"]);
    let denied = consent["decision"] == "denied";
    ensure!(*has_opted_out == denied, "has_opted_out() is {has_opted_out}: {consent}");
    let sentence = consent["sentence"].as_str().unwrap_or_default();
    ensure!(sentence.ends_with('.'), "{sentence:?} is no sentence");
    Ok(())
}

/// What every event of a client's has.
fn check_form(events: &[Value]) -> Result<()> {
    let mut ids = BTreeSet::new();
    for event in events {
        let text = |name: &str| event["properties"][name].as_str().unwrap_or_default();
        ensure!(ids.insert(text("$insert_id")) && text("$insert_id").len() == 32, "$insert_id of {event}");
        ensure!(text("$device_id").len() == 36, "$device_id of {event}");
        ensure!(text("mp_lib").starts_with("refrain-"), "mp_lib of {event}");
        ensure!(!text("$lib_version").is_empty(), "$lib_version of {event}");
        ensure!(event["time_ms"].as_u64().is_some_and(|time| time > 0), "the time of {event}");
    }
    Ok(())
}
