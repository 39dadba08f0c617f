//! `/track`, `/engage` and `/groups`: whatever the payload is, the answer is 200 with `1` or `0` (SPEC §0.3).

use std::sync::Arc;

use serde_json::json;

use super::call::{Call, Reply};
use super::{App, cors, render};
use crate::core::Stats;
use crate::domain::config::{Config, Project, UnknownToken};
use crate::domain::event::{self, Arrival, Event, Verdict};
use crate::domain::json::Record;
use crate::domain::profile::{self, Update};
use crate::domain::wire::{self, BODY_LIMIT, DecodeError};
use crate::store::StoreError;

/// Answers a call on one of the three routes.
pub async fn answer(app: &Arc<App>, call: &Call, path: &str) -> Reply {
    match call.method.as_str() {
        "OPTIONS" => return cors::preflight(call),
        "GET" | "POST" => {}
        _ => return Reply::method_not_allowed("GET, POST, OPTIONS"),
    }
    if call.oversize {
        return too_large();
    }
    let decoded = wire::decode(call.raw());
    let records = match decoded.records {
        Ok(records) if !records.is_empty() => records,
        Ok(_) => return render::collected(&decoded.params, Some(DecodeError::Missing.text())),
        Err(error) => {
            Stats::add(&app.shared.stats.rejected, 1);
            return render::collected(&decoded.params, Some(error.text()));
        }
    };
    let (count, library) = (records.len(), library_of(&records));
    Stats::add(&app.shared.stats.received, count);
    let gpc = call.header("sec-gpc") == "1";
    let strict = decoded.params.is_on("strict");
    let mut reply = match path {
        "/track" => match track(app, &records, gpc).await {
            Ok(error) => render::collected(&decoded.params, error),
            Err(_) => Reply::unavailable(),
        },
        _ => match engage(app, &records, path == "/groups", gpc).await {
            Ok(faults) if strict => render::strict(count, &faults),
            Ok(faults) => render::collected(&decoded.params, all_failed(count, &faults)),
            Err(_) => Reply::unavailable(),
        },
    };
    reply.records = count;
    reply.decoded_bytes = decoded.decoded_bytes;
    reply.library = library;
    reply
}

/// 413: browsers halve their batch and send again.
pub fn too_large() -> Reply {
    Reply::json(
        413,
        &json!({
            "code": 413,
            "error": format!("request exceeds max limit of {BODY_LIMIT} bytes"),
            "status": "Request Entity Too Large",
        }),
    )
}

/// The client library that a batch names, if it looks like the name of one.
pub fn library_of(records: &[Record]) -> Option<String> {
    let name = records.first()?.value.get("properties")?.get("mp_lib")?.as_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (name.len() <= 32 && name.chars().all(plain)).then(|| name.to_owned())
}

/// What is to be done with the records of a token.
pub enum Destination {
    /// They are stored.
    Project(Box<Project>),
    /// They are accepted and dropped.
    Nowhere,
    /// They are refused.
    Refused,
}

/// Where the records of a token go (SPEC §3.4).
pub fn destination(config: &Config, token: &str) -> Destination {
    match (config.project_or_new(token), config.unknown_token()) {
        (Some(project), _) => Destination::Project(Box::new(project)),
        (None, UnknownToken::Reject) => Destination::Refused,
        (None, mode) => {
            if mode == UnknownToken::AcceptAndCount {
                crate::notice("a record of an unknown project was dropped");
            }
            Destination::Nowhere
        }
    }
}

/// The records of a request in the order in which they were sent, cut where the project changes.
type Batches<T> = Vec<(Box<Project>, Vec<T>)>;

fn push<T>(batches: &mut Batches<T>, project: Box<Project>, record: T) {
    match batches.last_mut() {
        Some((last, records)) if last.token == project.token => records.push(record),
        _ => batches.push((project, vec![record])),
    }
}

async fn track(app: &Arc<App>, records: &[Record], gpc: bool) -> Result<Option<&'static str>, StoreError> {
    let config = app.shared.config();
    let (now, client_offset) = {
        let clock = app.shared.clock();
        (clock.now(), clock.client_offset())
    };
    let mut batches: Batches<Event> = Vec::new();
    let (mut first_fault, mut valid, mut dropped) = (None, 0, 0);
    for record in records {
        let token = event::token_of(&record.value).unwrap_or_default();
        let target = destination(&config, token);
        let settings = match &target {
            Destination::Project(project) => &project.settings,
            _ => &config.settings,
        };
        let id_merge = match &target {
            Destination::Project(project) => project.id_merge,
            _ => Default::default(),
        };
        let arrival = Arrival { now, client_offset, max_age_days: settings.track_max_age_days, id_merge };
        match (event::judge(record, arrival), target) {
            (Verdict::Invalid(fault), _) => {
                first_fault.get_or_insert(fault);
            }
            (_, Destination::Refused) => {
                first_fault.get_or_insert("token, unknown project");
            }
            (Verdict::Store(event), Destination::Project(project))
                if !(gpc && project.settings.honor_gpc) =>
            {
                valid += 1;
                push(&mut batches, project, *event);
            }
            _ => {
                valid += 1;
                dropped += 1;
            }
        }
    }
    let stats = &app.shared.stats;
    Stats::add(&stats.rejected, records.len() - valid);
    Stats::add(&stats.suppressed, dropped);
    if !batches.is_empty() {
        let done = app.worker.write(move |core| {
            let mut done = Vec::new();
            for (project, events) in batches {
                done.push(core.ingest(&project, events, now)?);
            }
            Ok(done)
        });
        for done in done.await? {
            Stats::add(&stats.stored, done.stored);
            Stats::add(&stats.duplicates, done.duplicates);
            Stats::add(&stats.suppressed, done.barred);
        }
    }
    Ok(if valid > 0 { None } else { Some(first_fault.unwrap_or("data, missing or empty")) })
}

/// The first fault, where no record was valid.
fn all_failed(count: usize, faults: &[(usize, &'static str)]) -> Option<&'static str> {
    faults.first().filter(|_| faults.len() == count).map(|(_, text)| *text)
}

/// Answers the faults: number of the record and text.
async fn engage(
    app: &Arc<App>,
    records: &[Record],
    groups: bool,
    gpc: bool,
) -> Result<Vec<(usize, &'static str)>, StoreError> {
    let config = app.shared.config();
    let now = app.shared.now();
    let mut batches: Batches<Update> = Vec::new();
    let (mut faults, mut dropped) = (Vec::new(), 0);
    for (index, record) in records.iter().enumerate() {
        let token = profile::token_of(&record.value).unwrap_or_default();
        match (profile::read(record, groups, now), destination(&config, token)) {
            (Err(fault), _) => faults.push((index, fault)),
            (Ok(_), Destination::Refused) => faults.push((index, "$token, unknown project")),
            (Ok(update), Destination::Project(project)) if !(gpc && project.settings.honor_gpc) => {
                push(&mut batches, project, update);
            }
            _ => dropped += 1,
        }
    }
    let stats = &app.shared.stats;
    Stats::add(&stats.rejected, faults.len());
    Stats::add(&stats.suppressed, dropped);
    if !batches.is_empty() {
        let count = batches.iter().map(|(_, updates)| updates.len()).sum();
        let done = app.worker.write(move |core| {
            batches
                .into_iter()
                .try_for_each(|(project, updates)| core.update_profiles(&project, &updates, now))
        });
        done.await?;
        Stats::add(&stats.stored, count);
    }
    Ok(faults)
}
