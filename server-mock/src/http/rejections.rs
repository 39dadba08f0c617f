//! Remembering what was refused, so that a developer sees why: reason, sizes, names of fields. Contents only where the
//! configuration asks for them, in memory, and never of a person who objected or was erased.

use std::sync::Arc;

use serde_json::Value;

use super::App;
use crate::core::{Rejected, Shared, Stats};
use crate::domain::config::{Config, IdMerge, Project};
use crate::domain::identity::{self, Ids};
use crate::domain::json::Record;
use crate::domain::profile;

/// Names that are remembered of a record.
const FIELDS: usize = 300;
/// Longest name that is remembered.
const FIELD: usize = 100;
/// Texts by which a record's contents are forgotten. With more of them they are not remembered.
const TEXTS: usize = 300;

/// What one request had refused.
pub struct Rejections {
    route: String,
    at: i64,
    entries: Vec<Rejected>,
    /// Whose they are: project, where it is known, and ids.
    persons: Vec<(Option<String>, Ids)>,
    keeps_contents: bool,
}

impl Rejections {
    /// Of a request on a route.
    pub fn new(config: &Config, route: &str, at: i64) -> Rejections {
        Rejections {
            route: route.to_owned(),
            at,
            entries: Vec::new(),
            persons: Vec::new(),
            keeps_contents: config.server.keep_rejected,
        }
    }

    /// A record, for a reason. The project is the one that it was meant for, where that is known.
    pub fn record(&mut self, index: usize, record: &Record, project: Option<&Project>, reason: &str) {
        // Whose it is may stand in the part that is left out.
        let left_out = Value::Null;
        let value = if record.is_too_large() { &left_out } else { &record.value };
        let mut ids = ids_of(value, project.map_or(IdMerge::Simplified, |project| project.id_merge));
        // Nobody knows where an id stands in a record that is wrong: each of its texts may be one.
        let mut texts = if self.keeps_contents { profile::texts_in(value) } else { Vec::new() };
        let keeps_content = self.keeps_contents && texts.len() <= TEXTS && !record.is_too_large();
        if keeps_content {
            ids.also.append(&mut texts);
        }
        let entry = Rejected {
            at: self.at,
            route: self.route.clone(),
            project: project.map(|project| project.token.clone()),
            reason: reason.to_owned(),
            index,
            bytes: record.bytes,
            fields: fields_of(value),
            content: keeps_content.then(|| value.to_string()),
            ids: ids.literal().map(Shared::rejected_id).collect(),
        };
        self.persons.push((entry.project.clone(), ids));
        self.entries.push(entry);
    }

    /// A whole request, of which nobody knows what is in it.
    pub fn request(app: &App, route: &str, bytes: usize, reason: &str) {
        Stats::add(&app.shared.stats.received, 1);
        Stats::add(&app.shared.stats.rejected, 1);
        app.shared.reject(vec![Rejected {
            at: app.shared.now(),
            route: route.to_owned(),
            project: None,
            reason: reason.to_owned(),
            index: 0,
            bytes,
            fields: Vec::new(),
            content: None,
            ids: Vec::new(),
        }]);
    }

    /// Counts them, and remembers those that may be.
    pub async fn finish(self, app: &Arc<App>) {
        if self.entries.is_empty() {
            return;
        }
        Stats::add(&app.shared.stats.rejected, self.entries.len());
        let Rejections { entries, persons, at, .. } = self;
        // A store that cannot say whether somebody objected lets nothing be remembered.
        let _ = app
            .worker
            .alone(move |core| {
                let may = core.may_remember(&persons, at)?;
                let kept = entries.into_iter().zip(may).filter_map(|(entry, may)| may.then_some(entry));
                core.shared.reject(kept.collect());
                Ok(())
            })
            .await;
    }
}

/// The ids that a record of any route names.
fn ids_of(record: &Value, mode: IdMerge) -> Ids {
    if let Some(properties) = record.get("properties").and_then(Value::as_object) {
        return identity::ids_of(mode, "", properties);
    }
    let id = |name: &str| identity::id_text(record.get(name));
    let Some(named) = id("$distinct_id") else {
        // The properties may stand where the record should have been.
        return record.as_object().map(|map| identity::ids_of(mode, "", map)).unwrap_or_default();
    };
    let mut ids = Ids::of_distinct_id(mode, &named);
    ids.also = ["$device_id", "$user_id"].into_iter().filter_map(id).collect();
    ids
}

/// Names of the fields of a record, and of what lies in its objects.
fn fields_of(record: &Value) -> Vec<String> {
    let cut = |name: &str| name.chars().take(FIELD).collect::<String>();
    let mut names = Vec::new();
    for (name, value) in record.as_object().into_iter().flatten() {
        names.push(cut(name));
        let inner = value.as_object().into_iter().flatten();
        names.extend(inner.map(|(inner, _)| format!("{}.{}", cut(name), cut(inner))));
    }
    names.truncate(FIELDS);
    names
}
