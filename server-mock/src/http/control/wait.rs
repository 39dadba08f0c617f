//! Waiting until enough events are there. Ends sleeping tests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::look::{PAGE, Wanted, find};
use super::{Failure, document};
use crate::core::{Core, EventQuery};
use crate::http::App;
use crate::http::call::{Call, Reply};
use crate::store::StoreError;

/// Nobody waits longer than this, in milliseconds.
const LONGEST: u64 = 600_000;

/// How many were there when it was counted last, so that only what came since has to be looked at.
#[derive(Debug, Clone, Default)]
struct Counted {
    /// In which era; another one may have taken something away.
    era: Option<u64>,
    total: usize,
    /// The last row that was counted, of each project.
    last: Vec<(String, i64)>,
}

/// Answers as soon as enough events are there, or 408 with those that are.
pub async fn answer(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let document =
        document(call, &["event", "project", "distinct_id", "insert_id", "min", "timeout_ms", "limit"])?;
    let text = |name: &str| match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Reply::error(400, &format!("{name} is a text"))),
    };
    let number = |name: &str, default: u64| match document.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            value.as_u64().ok_or_else(|| Reply::error(400, &format!("{name} is a whole number, 0 or more")))
        }
    };
    let (min, timeout_ms) = (number("min", 1)? as usize, number("timeout_ms", 5000)?.min(LONGEST));
    let wanted = Wanted {
        project: text("project")?,
        query: EventQuery {
            names: text("event")?.map(|name| vec![name]),
            distinct_ids: text("distinct_id")?.map(|id| vec![id]),
            insert_id: text("insert_id")?,
            ..EventQuery::default()
        },
        limit: (number("limit", PAGE as u64)? as usize).min(usize::MAX / 2),
    };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout_ms);
    let (mut changes, mut stopping) = (app.shared.changes(), app.stopping.subscribe());
    let mut counted = Counted::default();
    loop {
        changes.borrow_and_update();
        let (asked, before) = (wanted.clone(), counted.clone());
        counted = app.worker.read(move |core| count(core, &asked, before)).await?;
        let met = counted.total >= min;
        let goes_on = !met
            && tokio::select! {
                changed = tokio::time::timeout_at(deadline, changes.changed()) => changed.is_ok(),
                _ = stopping.wait_for(|stopping| *stopping) => false,
            };
        if !goes_on {
            let asked = wanted.clone();
            let found = app.worker.read(move |core| find(core, &asked)).await?;
            let shown = json!({"total": found.total, "events": found.events, "min": min});
            return Ok(Reply::json(if found.total >= min { 200 } else { 408 }, &shown));
        }
    }
}

/// Counts on from before.
fn count(core: &mut Core, wanted: &Wanted, mut before: Counted) -> Result<Counted, StoreError> {
    // Whose an event is can change with any event that comes later.
    if before.era != Some(core.era) || wanted.query.distinct_ids.is_some() {
        before = Counted { era: Some(core.era), ..Counted::default() };
    }
    for token in core.tokens(wanted.project.as_deref())? {
        let Some(view) = core.view(&token)? else { continue };
        let known = before.last.iter().position(|(known, _)| *known == token);
        let after = known.map_or(0, |index| before.last[index].1);
        let query = EventQuery { after: Some(after), ..wanted.query.clone() };
        let mut last = after;
        core.events(&view, &query, &mut |event, _| {
            last = event.row;
            before.total += 1;
            true
        })?;
        match known {
            Some(index) => before.last[index].1 = last,
            None => before.last.push((token, last)),
        }
    }
    Ok(before)
}
