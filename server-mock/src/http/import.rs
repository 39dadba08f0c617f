//! `/import` and its three kinds of answer (SPEC §7.4).

use std::sync::Arc;

use serde_json::{Value, json};

use super::App;
use super::auth;
use super::brought::Brought;
use super::call::{Call, Reply};
use super::collect::{self, rate_limited, too_large};
use super::limit::Load;
use super::rejections::Rejections;
use super::render::{FAILED, bad_request};
use super::signals::Signals;
use crate::core::{Dropped, Stats};
use crate::domain::clock::Moment;
use crate::domain::config::Project;
use crate::domain::import::{self, Fault, Import};
use crate::domain::json::Record;
use crate::domain::wire::{self, BODY_LIMIT, DecodeError, Params};

const NOT_ALLOWED: &str =
    "identity events are not allowed when project is using simplified identity management";

pub async fn answer(app: &Arc<App>, call: &Call) -> Reply {
    if call.method != "GET" && call.method != "POST" {
        return Reply::method_not_allowed("GET, POST");
    }
    if call.oversize {
        Rejections::request(app, "/import", BODY_LIMIT, "request, larger than the limit");
        return too_large();
    }
    let decoded = wire::decode(call.raw());
    let brought = Brought::decoded("/import", call, &decoded);
    let config = app.shared.config();
    let now = app.shared.now();
    let project = match auth::import(&config, call, &decoded.params, now) {
        Ok(project) => project,
        Err(text) => return Reply::coded(401, text).after(brought),
    };
    let records = match decoded.records {
        Ok(records) => records,
        Err(error) => {
            Rejections::request(app, "/import", brought.decoded_bytes, error.text());
            let reply = match error {
                DecodeError::TooLarge => too_large(),
                _ => bad_request(error.text(), 0, None),
            };
            return reply.after(brought);
        }
    };
    let brought = brought.of_project(&project.token);
    let load = Load::of(&records);
    let reply = match app.limits.ingestion.admit(&[(&project, load)], || app.shared.now()) {
        Ok(()) => store(app, call, &decoded.params, project, records, now).await,
        Err(retry) => rate_limited().with("retry-after", retry.header()),
    };
    reply.after(brought)
}

async fn store(
    app: &Arc<App>,
    call: &Call,
    params: &Params,
    project: Project,
    mut records: Vec<Record>,
    now: i64,
) -> Reply {
    let strict = params.is_on("strict");
    let config = app.shared.config();
    let mut rejections = Rejections::new(&config, "/import", now);
    let verbs = records.iter().filter(|record| import::is_refused_verb(record, project.id_merge)).count();
    if strict && verbs > 0 {
        Stats::add(&app.shared.stats.received, records.len());
        for (index, record) in records.iter().enumerate() {
            rejections.record(index, record, Some(&project), NOT_ALLOWED);
        }
        rejections.finish(app).await;
        return bad_request(FAILED, 0, Some(vec![NOT_ALLOWED.into()]));
    }
    let host = call.header("host");
    let endpoint = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let circumstances = Import { strict, now, id_merge: project.id_merge, endpoint };
    let refused = Signals::of(call).refuse(&project.settings);
    let (mut events, mut faults, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    for (index, record) in records.iter_mut().enumerate() {
        if import::is_refused_verb(record, project.id_merge) {
            dropped.push(Dropped::IdentityVerb);
            continue;
        }
        match (import::judge(record, circumstances), refused) {
            (Ok(Some(event)), None) => events.push(event.into()),
            (Ok(None), _) => dropped.push(Dropped::Ignored),
            (Ok(Some(_)), Some(reason)) => dropped.push(reason),
            (Err(fault), _) => {
                rejections.record(index, record, Some(&project), &fault.message);
                faults.push((index, fault));
            }
        }
    }
    let mut imported = records.len() - verbs - faults.len();
    if !events.is_empty() {
        let stored = app
            .worker
            .write(move |core| Ok((core.ingest(&project, &mut events, Moment::as_sent(now))?, events)));
        match stored.await {
            Ok((done, _)) => {
                collect::count(app, &done);
                // There is nowhere that they could have been imported to.
                let homeless = done.dropped.iter().filter(|(reason, _)| *reason == Dropped::DeletedProject);
                imported -= homeless.map(|(_, count)| count).sum::<usize>();
            }
            Err(_) => return Reply::unavailable(Reply::coded),
        }
    }
    Stats::add(&app.shared.stats.received, records.len());
    dropped.into_iter().for_each(|reason| app.shared.stats.drop_records(reason, 1));
    rejections.finish(app).await;
    render(params, strict, imported, records.len(), &faults)
}

fn render(params: &Params, strict: bool, imported: usize, count: usize, faults: &[(usize, Fault)]) -> Reply {
    if strict && !faults.is_empty() {
        let failed = faults.iter().map(|(index, fault)| {
            let id = fault.insert_id.clone().unwrap_or_default();
            json!({"index": index, "insert_id": id, "$insert_id": id, "field": fault.field, "message": fault.message})
        });
        return bad_request(FAILED, imported, Some(failed.collect()));
    }
    if params.is_on("verbose") {
        let good = imported > 0 || (strict && count == 0);
        let error = if good { Value::Null } else { FAILED.into() };
        let status = u8::from(good);
        let answer = json!({"code": 200, "error": error, "num_records_imported": imported, "status": status});
        return Reply::json(200, &answer);
    }
    if strict {
        return Reply::json(200, &json!({"code": 200, "num_records_imported": imported, "status": "OK"}));
    }
    Reply::new(200, "text/plain", if imported > 0 { "1" } else { "0" })
}
