//! `/track`, `/engage` and `/groups`: whatever the payload is, the answer is 200 with `1` or `0` (SPEC §0.3).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Once};

use serde_json::{Value, json};

use super::App;
use super::brought::Brought;
use super::call::{Call, Reply};
use super::limit::{Load, RetryAfter};
use super::rejections::Rejections;
use super::signals::Signals;
use super::{cors, render};
use crate::core::{Dropped, Ingested, Packed, Stats};
use crate::domain::config::{Config, Project, Settings, UnknownToken};
use crate::domain::event::{self, Arrival, Event, Verdict};
use crate::domain::identity::Ids;
use crate::domain::json::Record;
use crate::domain::profile::{self, Fault, Update};
use crate::domain::wire::{self, BODY_LIMIT, DecodeError, Params};
use crate::store::StoreError;

/// Answers a call on one of the three routes.
pub async fn answer(app: &Arc<App>, call: &Call, path: &str) -> Reply {
    match call.method.as_str() {
        "OPTIONS" => return cors::preflight(call),
        "GET" | "POST" => {}
        _ => return Reply::method_not_allowed("GET, POST, OPTIONS"),
    }
    if call.oversize {
        Rejections::request(app, path, BODY_LIMIT, "request, larger than the limit");
        return too_large();
    }
    let mut decoded = wire::decode(call.raw());
    let brought = Brought::decoded(path, call, &decoded);
    let redirects = app.shared.config().server.redirect;
    let strict = path != "/track" && decoded.params.is_on("strict");
    let render = |error: Option<&str>| render::collected(&decoded.params, error, redirects);
    let records = match &mut decoded.records {
        Ok(records) if !records.is_empty() => records,
        Ok(_) if strict => return render::strict(0, &[]).after(brought),
        Ok(_) => return render(Some(DecodeError::Missing.text())).after(brought),
        Err(error) => {
            Rejections::request(app, path, brought.decoded_bytes, error.text());
            let reply =
                if strict { render::bad_request(error.text(), 0, None) } else { render(Some(error.text())) };
            return reply.after(brought);
        }
    };
    let count = records.len();
    let reply = match admit(app, path, records) {
        Err(retry) => rate_limited().with("retry-after", retry.header()),
        Ok(()) if path == "/track" => match track(app, call, &decoded.params, records).await {
            Ok(error) => render(error),
            Err(_) => Reply::unavailable(Reply::zero),
        },
        Ok(()) => match engage(app, call, records, path).await {
            Ok(faults) if strict => render::strict(count, &faults),
            Ok(faults) => render(all_failed(count, &faults)),
            Err(_) => Reply::unavailable(Reply::zero),
        },
    };
    reply.after(brought)
}

/// Counts what the records bring for each of their projects against what those may send. Records of no project count
/// nowhere.
fn admit(app: &App, path: &str, records: &[Record]) -> Result<(), RetryAfter> {
    let config = app.shared.config();
    let is_limited = |settings: &Settings| settings.import_rate_limit.is_some();
    if !is_limited(&config.settings) && !config.projects.iter().any(|project| is_limited(&project.settings)) {
        return Ok(());
    }
    let token_of = if path == "/track" { event::token_of } else { profile::token_of };
    let mut loads: Vec<(&str, Load)> = Vec::new();
    for record in records {
        let token = token_of(&record.value).unwrap_or_default();
        match loads.iter_mut().find(|(known, _)| *known == token) {
            Some((_, load)) => load.add(record),
            None => loads.push((token, Load::of(std::slice::from_ref(record)))),
        }
    }
    let loads: Vec<(Project, Load)> =
        loads.into_iter().filter_map(|(token, load)| Some((config.project_or_new(token)?, load))).collect();
    let loads: Vec<(&Project, Load)> = loads.iter().map(|(project, load)| (project, *load)).collect();
    app.limits.ingestion.admit(&loads, || app.shared.now())
}

/// 413: browsers halve their batch and send again.
pub fn too_large() -> Reply {
    larger_than(BODY_LIMIT)
}

/// 413 with the limit in bytes.
pub fn larger_than(limit: usize) -> Reply {
    Reply::json(
        413,
        &json!({
            "code": 413,
            "error": format!("request exceeds max limit of {limit} bytes"),
            "status": "Request Entity Too Large",
        }),
    )
}

/// 429 of the collection routes (SPEC §18).
pub fn rate_limited() -> Reply {
    Reply::coded(429, "Project exceeded rate limits. Please retry the request with exponential backoff.")
}

/// The client library that a batch or its query names, if it looks like the name of one.
pub fn library_of(records: &[Record], params: &Params) -> Option<Box<str>> {
    let in_record = records.first().and_then(|record| {
        record.value.get("properties")?.get("mp_lib").and_then(Value::as_str).map(str::to_owned)
    });
    let name = in_record.or_else(|| params.text("mp_lib"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (name.len() <= 32 && !name.is_empty() && name.chars().all(plain)).then(|| name.into_boxed_str())
}

/// What is to be done with the records of a token.
#[derive(Clone)]
pub enum Destination {
    /// They are stored.
    Project(Arc<Project>),
    /// They are accepted and dropped.
    Nowhere,
    /// They are refused.
    Refused,
}

impl Destination {
    pub fn project(&self) -> Option<&Project> {
        match self {
            Destination::Project(project) => Some(project),
            _ => None,
        }
    }
}

/// Where the records of a token go (SPEC §3.4).
pub fn destination(config: &Config, token: &str) -> Destination {
    match (config.project_or_new(token), config.unknown_token()) {
        (Some(project), _) => Destination::Project(Arc::new(project)),
        (None, UnknownToken::Reject) => Destination::Refused,
        (None, mode) => {
            if mode == UnknownToken::AcceptAndCount {
                // Anybody may send any number of them.
                static TOLD: Once = Once::new();
                TOLD.call_once(|| {
                    crate::notice(
                        "a record of an unknown project was dropped; GET /mock/stats counts how many were",
                    );
                });
            }
            Destination::Nowhere
        }
    }
}

/// Where the records of a request go: most carry the same token as the one before.
struct Destinations<'a> {
    config: &'a Config,
    last: Option<(String, Destination)>,
}

impl<'a> Destinations<'a> {
    fn new(config: &'a Config) -> Self {
        Destinations { config, last: None }
    }

    fn of(&mut self, token: &str) -> Destination {
        match &self.last {
            Some((last, known)) if last == token => known.clone(),
            _ if token.is_empty() => Destination::Nowhere,
            _ => {
                let found = destination(self.config, token);
                self.last = Some((token.to_owned(), found.clone()));
                found
            }
        }
    }
}

/// The records of a request in the order in which they were sent, cut where the project changes.
type Batches<T> = Vec<(Arc<Project>, Vec<T>)>;

fn push<T>(batches: &mut Batches<T>, project: Arc<Project>, record: T) {
    match batches.last_mut() {
        Some((last, records)) if last.token == project.token => records.push(record),
        _ => batches.push((project, vec![record])),
    }
}

/// Counts what became of a batch.
pub fn count(app: &App, done: &Ingested) {
    let stats = &app.shared.stats;
    Stats::add(&stats.stored, done.stored);
    Stats::add(&stats.duplicates, done.duplicates);
    for (reason, count) in &done.dropped {
        stats.drop_records(*reason, *count);
    }
}

async fn track(
    app: &Arc<App>,
    call: &Call,
    params: &Params,
    records: &mut [Record],
) -> Result<Option<&'static str>, StoreError> {
    let config = app.shared.config();
    let at = app.shared.clock().moment();
    let now = at.now;
    let signals = Signals::of(call);
    let mut rejections = Rejections::new(&config, "/track", now);
    let mut destinations = Destinations::new(&config);
    let mut batches: Batches<Packed> = Vec::new();
    let (mut first_fault, mut valid, mut dropped) = (None, 0, Vec::new());
    for (index, record) in records.iter_mut().enumerate() {
        let target = destinations.of(event::token_of(&record.value).unwrap_or_default());
        let settings = target.project().map_or(&config.settings, |project| &project.settings);
        let id_merge = target.project().map(|project| project.id_merge).unwrap_or_default();
        let arrival = Arrival { at, max_age_days: settings.track_max_age_days, id_merge };
        let verdict = match &target {
            // What is refused is shown as it came.
            Destination::Refused => event::judge(&mut record.clone(), arrival),
            _ => event::judge(record, arrival),
        };
        let fault = match (verdict, target) {
            (Verdict::Invalid(fault), target) => {
                rejections.record(index, record, target.project(), fault);
                fault
            }
            (_, Destination::Refused) => {
                rejections.record(index, record, None, "token, unknown project");
                "token, unknown project"
            }
            (verdict, target) => {
                valid += 1;
                match (verdict, target) {
                    (Verdict::Ignore, _) => dropped.push(Dropped::Ignored),
                    (Verdict::Store(mut event), Destination::Project(project)) => {
                        match signals.refuse(&project.settings) {
                            Some(reason) => dropped.push(reason),
                            None => {
                                identify_by_address(app, call, params, &project, &mut event, now);
                                push(&mut batches, project, Packed::from(*event));
                            }
                        }
                    }
                    _ => dropped.push(Dropped::UnknownProject),
                }
                continue;
            }
        };
        first_fault.get_or_insert(fault);
    }
    // The batch is stored before anything is counted: what fails is sent again, and counted then.
    if !batches.is_empty() {
        let done = app.worker.write(move |core| {
            let mut done = Vec::new();
            for (project, events) in &mut batches {
                done.push(core.ingest(project, events, at)?);
            }
            Ok((done, batches))
        });
        done.await?.0.iter().for_each(|done| count(app, done));
    }
    Stats::add(&app.shared.stats.received, records.len());
    dropped.into_iter().for_each(|reason| app.shared.stats.drop_records(reason, 1));
    rejections.finish(app).await;
    Ok(if valid > 0 { None } else { Some(first_fault.unwrap_or("data, missing or empty")) })
}

/// `ip=1` gives an event without any id a hash of the address as one (SPEC §6.2, §6.3).
fn identify_by_address(
    app: &App,
    call: &Call,
    params: &Params,
    project: &Project,
    event: &mut Event,
    now: i64,
) {
    let asks = params.bytes("ip") == Some(b"1") && project.settings.ip_hash_ids;
    if asks
        && event.ids == Ids::default()
        && let Some(id) = app.shared.address_id(call.peer, now)
    {
        event.ids = Ids::of_distinct_id(project.id_merge, &id);
        event.distinct_id = Some(id);
    }
}

/// The projects that take nothing, hold data all the same, and have a profile to be deleted.
async fn held_projects(
    app: &App,
    config: &Config,
    records: &[Record],
) -> Result<HashMap<String, Arc<Project>>, StoreError> {
    let deletions = records.iter().filter(|record| profile::is_deletion(&record.value));
    let tokens: BTreeSet<&str> = deletions.filter_map(|record| profile::token_of(&record.value)).collect();
    let unlisted = tokens.into_iter().filter(|token| config.project_or_new(token).is_none());
    let asked: Vec<String> = unlisted.map(str::to_owned).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let found = app.worker.read(move |core| {
        let mut held = HashMap::new();
        for token in asked {
            if let Some(project) = core.holding(&token)? {
                held.insert(token, Arc::new(project));
            }
        }
        Ok(held)
    });
    found.await
}

/// The first fault, where no record was valid.
fn all_failed(count: usize, faults: &[(usize, Fault)]) -> Option<&'static str> {
    faults.first().filter(|_| faults.len() == count).map(|(_, fault)| fault.text)
}

/// Answers the faults, with the numbers of their records.
async fn engage(
    app: &Arc<App>,
    call: &Call,
    records: &mut [Record],
    route: &str,
) -> Result<Vec<(usize, Fault)>, StoreError> {
    let config = app.shared.config();
    let at = app.shared.clock().moment();
    let now = at.now;
    let signals = Signals::of(call);
    let mut rejections = Rejections::new(&config, route, now);
    let mut destinations = Destinations::new(&config);
    let held = held_projects(app, &config, records).await?;
    let mut batches: Batches<Update> = Vec::new();
    let (mut faults, mut dropped) = (Vec::new(), Vec::new());
    for (index, record) in records.iter_mut().enumerate() {
        let token = profile::token_of(&record.value).unwrap_or_default();
        let target = match held.get(token).filter(|_| profile::is_deletion(&record.value)) {
            Some(project) => Destination::Project(project.clone()),
            None => destinations.of(token),
        };
        let id_merge = target.project().map(|project| project.id_merge).unwrap_or_default();
        let groups = route == "/groups";
        let arrival = profile::Arrival { groups, at, id_merge };
        let read = match &target {
            // What is refused is shown as it came.
            Destination::Refused => profile::read(&mut record.clone(), arrival),
            _ => profile::read(record, arrival),
        };
        let fault = match (read, target) {
            (Err(fault), target) => {
                rejections.record(index, record, target.project(), fault.text);
                fault
            }
            (Ok(_), Destination::Refused) => {
                let fault = Fault { field: "$token", text: "$token, unknown project" };
                rejections.record(index, record, None, fault.text);
                fault
            }
            (Ok(update), Destination::Project(project)) => {
                // A deletion is what somebody who says no wants.
                match signals.refuse(&project.settings).filter(|_| !update.delete) {
                    Some(reason) => dropped.push(reason),
                    None => push(&mut batches, project, update),
                }
                continue;
            }
            (Ok(_), Destination::Nowhere) => {
                dropped.push(Dropped::UnknownProject);
                continue;
            }
        };
        faults.push((index, fault));
    }
    if !batches.is_empty() {
        let done = app.worker.write(move |core| {
            let mut done = Vec::new();
            for (project, mut updates) in batches {
                done.push(core.update_profiles(&project, &mut updates, at)?);
            }
            Ok(done)
        });
        done.await?.iter().for_each(|done| count(app, done));
    }
    Stats::add(&app.shared.stats.received, records.len());
    dropped.into_iter().for_each(|reason| app.shared.stats.drop_records(reason, 1));
    rejections.finish(app).await;
    Ok(faults)
}
