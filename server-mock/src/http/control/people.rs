//! Persons: who was seen lately, and everything that belongs to one of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, number, only, param};
use crate::core::{EventQuery, Sorting};
use crate::domain::identity::DEVICE_PREFIX;
use crate::domain::profile::Subject;
use crate::domain::time;
use crate::http::App;
use crate::http::call::{Call, Reply};

/// Persons in an answer, unless the call says otherwise.
const PAGE: usize = 200;
/// Events that are looked at for them, the newest first.
const LOOKED_AT: usize = 20_000;

pub async fn list(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "limit"])?;
    let project = param(&params, "project");
    let limit = number(&params, "limit")?.map_or(PAGE, |limit| limit as usize);
    let people = app
        .worker
        .read(move |core| {
            let mut people = Vec::new();
            for token in core.tokens(project.as_deref())? {
                let Some(view) = core.view(&token)? else { continue };
                let mut found: Vec<(String, i64, usize)> = Vec::new();
                let mut index = std::collections::HashMap::new();
                let mut looked = 0;
                let query = EventQuery { sorting: Sorting::Newest, ..EventQuery::default() };
                core.events(&view, &query, &mut |event, rendered| {
                    looked += 1;
                    if let Some(id) = rendered.distinct_id {
                        let known = *index.entry(id.clone()).or_insert_with(|| {
                            found.push((id, event.time, 0));
                            found.len() - 1
                        });
                        found[known].2 += 1;
                    }
                    looked < LOOKED_AT
                })?;
                core.profiles(&view, false, &mut |profile| {
                    if let Subject::Person(id) = profile.subject
                        && !index.contains_key(&id)
                    {
                        index.insert(id.clone(), found.len());
                        found.push((id, profile.last_seen, 0));
                    }
                    found.len() < LOOKED_AT
                })?;
                people.extend(found.into_iter().map(|(id, seen, events)| {
                    let shown = json!({
                        "project": token, "distinct_id": id, "events": events, "last_seen": time::format_iso(seen),
                        "anonymous": id.starts_with(DEVICE_PREFIX),
                    });
                    (seen, shown)
                }));
            }
            people.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
            Ok(people)
        })
        .await?;
    let total = people.len();
    let people: Vec<Value> = people.into_iter().take(limit).map(|(_, shown)| shown).collect();
    Ok(Reply::json(200, &json!({"total": total, "people": people})))
}

pub async fn one(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let params = call.query_params();
    only(&params, &["project", "distinct_id"])?;
    let (Some(token), Some(id)) = (param(&params, "project"), param(&params, "distinct_id")) else {
        return Err(Reply::error(400, "project and distinct_id are needed").into());
    };
    let shown = app.worker.read(move |core| core.person(&token, &id)).await?;
    Ok(match shown {
        Some(person) => Reply::json(200, &person),
        None => Reply::error(404, "there is no such person"),
    })
}
