//! Profiles, page by page (SPEC §13.1). Which ones is found out once, in pieces between which others are served; what is
//! remembered of them is their rows, and a page reads its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Failure, bad, filter, look_up, text_list};
use crate::core::{Core, Resolver, Session, View};
use crate::domain::config::Project;
use crate::domain::expression::{Expression, Scope, Term};
use crate::domain::profile::Subject;
use crate::domain::wire::Params;
use crate::http::App;
use crate::http::call::Reply;
use crate::store::{Counts, StoreError, StoredProfile};

/// Profiles of a page, unless the call asks for fewer.
const PAGE: usize = 1000;
/// How long a snapshot of profiles is remembered, in milliseconds.
const SESSION_LIFE: i64 = 600_000;
/// Snapshots remembered at most.
const SESSIONS: usize = 1000;
/// Rows in all of them, beside those of the newest.
const SESSION_ROWS: usize = 1_000_000;
/// Rows that are found at a time where nothing has to be opened for that.
const ROWS: usize = 50_000;

/// What a profile query asks for.
struct ProfileQuery {
    token: String,
    ids: Option<Vec<String>>,
    group: Option<String>,
    filter: Option<Expression>,
    output: Option<Vec<String>>,
    page: usize,
    page_size: usize,
    session: Option<String>,
}

pub async fn answer(app: &Arc<App>, params: &Params, project: Project) -> Result<Reply, Failure> {
    for unsupported in ["filter_by_cohort", "behaviors"] {
        if params.text(unsupported).is_some_and(|text| !text.is_empty()) {
            return bad(format!("{unsupported} is not supported"));
        }
    }
    let number = |name: &str, default: usize| match params.text(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().or_else(|_| bad(format!("{name} is a whole number, 0 or more"))),
    };
    let text = |name: &str| params.text(name).filter(|text| !text.is_empty());
    let ids = match (text("distinct_id"), text_list(params, "distinct_ids")?) {
        (Some(id), Some(mut ids)) => {
            ids.push(id);
            Some(ids)
        }
        (Some(id), None) => Some(vec![id]),
        (None, ids) => ids,
    };
    let query = ProfileQuery {
        token: project.token,
        ids,
        group: text("data_group_id"),
        filter: filter(params)?,
        output: text_list(params, "output_properties")?,
        page: number("page", 0)?,
        page_size: number("page_size", PAGE)?.min(PAGE),
        session: text("session_id"),
    };
    if query.page_size == 0 {
        return bad("page_size is 1 or more");
    }
    let mut selection = Selection { query, rows: Vec::new(), begun: None, after: 0 };
    // A later page is one of a selection that was made before.
    let mut is_over = selection.query.page > 0 || selection.query.session.is_some();
    while !is_over {
        let read = app.worker.read(move |core| {
            let read = selection.read_on(core)?;
            Ok(read.map(|is_over| (selection, is_over)))
        });
        (selection, is_over) = read.await?.map_err(Failure::Bad)?;
    }
    let done = app.worker.write(move |core| page(core, selection)).await?;
    done.map(|answer| Reply::json(200, &answer)).map_err(Failure::Bad)
}

/// Finding out which profiles a query is about.
struct Selection {
    query: ProfileQuery,
    rows: Vec<i64>,
    begun: Option<View>,
    /// The row behind which it goes on.
    after: i64,
}

impl Selection {
    /// Finds some more; answers whether there is nothing left. The inner error is about the query.
    fn read_on(&mut self, core: &mut Core) -> Result<Result<bool, String>, StoreError> {
        let Some(view) = core.view(&self.query.token)? else { return Ok(Ok(true)) };
        if self.begun.as_ref().is_some_and(|begun| begun.space != view.space) {
            // The project was reset meanwhile.
            self.rows.clear();
            self.after = 0;
        }
        let (groups, after) = (self.query.group.is_some(), self.after);
        self.begun = Some(view.clone());
        let mut fault = None;
        if self.query.ids.is_some() {
            for profile in self.named(core, &view)? {
                fault = fault.or(self.consider(&profile).err());
            }
            self.rows.sort_unstable();
            return Ok(fault.map_or(Ok(true), Err));
        }
        let last = if groups || self.query.filter.is_some() {
            core.some_profiles(&view, groups, after, &mut |profile| {
                fault = self.consider(&profile).err();
                fault.is_none()
            })?
        } else {
            self.rows.extend(core.profile_rows(&view, groups, after, ROWS)?);
            self.rows.last().copied().filter(|last| *last > after)
        };
        self.after = last.unwrap_or(after);
        Ok(fault.map_or(Ok(last.is_none()), Err))
    }

    /// Takes a profile in, if it is asked for.
    fn consider(&mut self, profile: &StoredProfile) -> Result<(), String> {
        let in_group = match &profile.subject {
            Subject::Person(_) => true,
            Subject::Group(group, _) => self.query.group.as_ref() == Some(group),
        };
        let look = |scope, name: &str| match scope {
            Scope::Properties | Scope::User => look_up(&profile.properties, name),
            Scope::Event => Term::Undefined,
        };
        let matches = self.query.filter.as_ref().map_or(Ok(true), |filter| filter.matches(&look));
        if in_group && matches.map_err(|error| format!("where: {error}"))? {
            self.rows.push(profile.row);
        }
        Ok(())
    }

    /// The profiles of the ids that are asked for, under whichever of their names.
    fn named(&self, core: &mut Core, view: &View) -> Result<Vec<StoredProfile>, StoreError> {
        let ids = self.query.ids.as_deref().unwrap_or_default();
        let subjects: BTreeSet<(Option<&String>, String)> = match &self.query.group {
            Some(group) => ids.iter().map(|id| (Some(group), id.clone())).collect(),
            None => core.profile_names(view, ids)?.into_iter().map(|name| (None, name)).collect(),
        };
        let mut found = Vec::new();
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        for (group, id) in subjects {
            let subject = match group {
                Some(group) => Subject::Group(group.clone(), id),
                None => Subject::Person(id),
            };
            if let Some(profile) = core.store.profile(view.space, &subject)? {
                found.extend(core.profile_of_row(view, &mut resolver, profile.row)?);
            }
        }
        Ok(found)
    }
}

/// One page; the inner error is about the query.
fn page(core: &mut Core, selection: Selection) -> Result<Result<Value, String>, StoreError> {
    let Selection { query, rows, .. } = selection;
    let (now, groups) = (core.shared.now(), query.group.is_some());
    core.sessions.retain(|_, session| (0..SESSION_LIFE).contains(&(now - session.made)));
    let (session, rows) = if query.page > 0 || query.session.is_some() {
        let known = query.session.and_then(|id| core.sessions.get(&id).map(|known| (id, known)));
        match known.filter(|(_, known)| known.token == query.token && known.groups == groups) {
            Some((id, known)) => (id, known.rows.clone()),
            None => return Ok(Err("request for page in uncached query for params".into())),
        }
    } else {
        let rows: Arc<[i64]> = rows.into();
        (remember(core, Session { made: now, token: query.token.clone(), groups, rows: rows.clone() })?, rows)
    };
    let view = core.view(&query.token)?;
    let mut results = Vec::new();
    if let Some(view) = &view {
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        let first = query.page.saturating_mul(query.page_size);
        for row in rows.iter().skip(first).take(query.page_size) {
            // Those that are gone meanwhile are left out.
            if let Some(profile) = core.profile_of_row(view, &mut resolver, *row)? {
                results.push(render(&profile, query.output.as_deref()));
            }
        }
        let counts = Counts { profiles: results.len(), ..Counts::default() };
        core.note_export(view, "profile query", None, counts)?;
    }
    Ok(Ok(json!({
        "page": query.page,
        "page_size": query.page_size,
        "results": results,
        "session_id": session,
        "status": "ok",
        "total": rows.len(),
    })))
}

/// Remembers a selection, in the place of the oldest where there are too many; answers its id.
fn remember(core: &mut Core, session: Session) -> Result<String, StoreError> {
    let rows = |core: &Core| core.sessions.values().map(|known| known.rows.len()).sum::<usize>();
    while core.sessions.len() >= SESSIONS || rows(core) > SESSION_ROWS {
        let oldest = core.sessions.iter().min_by_key(|(_, known)| known.made).map(|(id, _)| id.clone());
        let Some(oldest) = oldest else { break };
        core.sessions.remove(&oldest);
    }
    let id = crate::core::random_hex(16)?;
    core.sessions.insert(id.clone(), session);
    Ok(id)
}

fn render(profile: &StoredProfile, output: Option<&[String]>) -> Value {
    let id = match &profile.subject {
        Subject::Person(id) | Subject::Group(_, id) => id,
    };
    let wanted = |name: &String| output.is_none_or(|names| names.contains(name));
    let properties: Map<String, Value> = profile
        .properties
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({"$distinct_id": id, "$properties": properties})
}
