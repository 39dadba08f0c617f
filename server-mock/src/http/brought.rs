//! What a request brought: for the request log, and for the count of what arrived where.

use serde_json::Value;

use super::auth;
use super::call::Call;
use super::collect::library_of;
use super::erasures;
use super::pattern;
use super::privacy;
use crate::core::Shared;
use crate::domain::json::Record;
use crate::domain::wire::{self, DecodeError, Decoded};
use crate::domain::{event, profile};

/// What a request brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Records in it; ids, in a request about persons.
    pub records: usize,
    /// Size of the body after decompression.
    pub decoded_bytes: usize,
    /// Client library, as the records or the query name it.
    pub library: Option<Box<str>>,
    /// How much of it is for which project, by token; `None` where that cannot be told.
    pub projects: Vec<(Option<String>, usize)>,
}

impl Brought {
    /// By a request whose records were decoded, or could not be.
    pub fn decoded(path: &str, call: &Call, decoded: &Decoded) -> Brought {
        let mut brought =
            Brought { decoded_bytes: decoded.decoded_bytes.max(call.body.len()), ..Brought::default() };
        match &decoded.records {
            Ok(records) => {
                brought.records = records.len();
                brought.decoded_bytes = decoded.decoded_bytes;
                brought.library = library_of(records, &decoded.params);
                brought.projects = by_project(path, records);
            }
            Err(DecodeError::Missing) => {}
            // Something was there, and might have been about anybody.
            Err(_) => brought.projects.push((None, 1)),
        }
        brought
    }

    /// By a request that no handler has looked into.
    pub fn of(call: &Call) -> Brought {
        let path = bare(&call.path);
        if is_decoded(path) {
            return Brought::decoded(path, call, &wire::decode(call.raw()));
        }
        let params = call.query_params();
        let named = || {
            let token = auth::basic(call).map(|(token, _)| token).or_else(|| params.text("token"));
            token.filter(|token| !token.is_empty())
        };
        // What stands in the place of a token elsewhere may be anything.
        let projects = match place(path) {
            "/record" | "/settings" | "/flags" | "/decide" => vec![(named(), 1)],
            _ => Vec::new(),
        };
        let records = match path {
            "/record" if call.method == "POST" => 1,
            _ => privacy::ids_in(path, &call.body),
        };
        let library = library_of(&[], &params);
        Brought { records, decoded_bytes: call.body.len(), library, projects }
    }

    /// Says whose the records are that carry no token because the credentials name the project.
    pub fn of_project(mut self, token: &str) -> Brought {
        self.projects = vec![(Some(token.to_owned()), self.records)];
        self
    }
}

/// A request that is counted when it ends, however it ends: also one whose client goes away meanwhile. What is not known
/// of it may be about anybody.
pub struct Arrival<'a> {
    shared: &'a Shared,
    place: &'static str,
    projects: Vec<(Option<String>, usize)>,
    is_silent: bool,
}

impl<'a> Arrival<'a> {
    /// One on this path, of which no more is known yet.
    pub fn on(shared: &'a Shared, path: &str) -> Arrival<'a> {
        Arrival { shared, place: place(path), projects: vec![(None, 1)], is_silent: false }
    }

    /// How much of it is for which project.
    pub fn of(&mut self, projects: Vec<(Option<String>, usize)>) {
        if !projects.is_empty() {
            self.projects = projects;
        }
    }

    /// It is none of those that break a silence.
    pub fn pass_over(&mut self) {
        self.is_silent = true;
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.is_silent {
            self.shared.arrive(self.place, std::mem::take(&mut self.projects));
        }
    }
}

/// The names under which arrivals are counted on paths that lead somewhere.
const PLACES: [&str; 11] = [
    "/track",
    "/engage",
    "/groups",
    "/import",
    "/record",
    "/settings",
    "/decide",
    "/flags",
    "/lookup-tables",
    "/refrain/v1/erasures",
    "/api",
];

/// Words of paths that lead nowhere, by which one sees what was meant.
const MEANT: [(&str, &str); 8] = [
    ("track", "(unknown)/track"),
    ("engage", "(unknown)/engage"),
    ("groups", "(unknown)/groups"),
    ("import", "(unknown)/import"),
    ("record", "(unknown)/record"),
    ("settings", "(unknown)/settings"),
    ("decide", "(unknown)/decide"),
    ("flags", "(unknown)/flags"),
];

/// The name under which arrivals on a path are counted. What else stands in one that leads nowhere may be anything, and is
/// not remembered.
fn place(path: &str) -> &'static str {
    let leads_to = |place: &&&str| {
        path.strip_prefix(**place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if path == "/" {
        return "/";
    }
    if let Some(place) = PLACES.iter().find(leads_to).filter(|_| pattern::is_known(path)) {
        return place;
    }
    let meant = |part: &str| MEANT.iter().find(|(word, _)| part.eq_ignore_ascii_case(word));
    path.split('/').find_map(meant).map_or(pattern::UNKNOWN, |(_, place)| place)
}

/// Whether a request breaks no silence, whatever comes of it: one that asks what it may send, and the erasure of a device
/// that has withdrawn (C5). Nothing else may be in them.
pub fn is_silent(call: &Call) -> bool {
    let says_nothing = call.query.is_empty() && call.body.is_empty() && !call.oversize;
    match (call.method.as_str(), bare(&call.path)) {
        ("OPTIONS", _) => says_nothing,
        ("POST", "/refrain/v1/erasures") => call.query.is_empty() && erasures::is_request(&call.body),
        ("GET", path) => says_nothing && pattern::of(path) == "/refrain/v1/erasures/{id}",
        _ => false,
    }
}

/// Whether it is the account holder who asks, and no client that is observed: on a route of theirs, with an answer that
/// comes after the credentials were found good.
pub fn is_account_holders(path: &str, status: u16) -> bool {
    path.starts_with("/api/")
        && pattern::is_known(path)
        && matches!(status, 200..=299 | 404 | 409 | 429 | 503)
}

/// Whether requests on a path carry records in one of the forms of SPEC §2.
pub fn is_decoded(path: &str) -> bool {
    matches!(bare(path), "/track" | "/engage" | "/groups" | "/import")
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Counts records by the token that they carry: nearly always the one of the record before.
fn by_project(path: &str, records: &[Record]) -> Vec<(Option<String>, usize)> {
    let token_of: fn(&Value) -> Option<&str> =
        if matches!(path, "/engage" | "/groups") { profile::token_of } else { event::token_of };
    let mut counts: Vec<(Option<String>, usize)> = Vec::new();
    for record in records {
        let token = token_of(&record.value);
        match counts.iter_mut().rev().find(|(known, _)| known.as_deref() == token) {
            Some((_, count)) => *count += 1,
            None => counts.push((token.map(str::to_owned), 1)),
        }
    }
    counts
}
