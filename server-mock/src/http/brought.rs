//! What a request brought: for the request log, and for the count of what arrived where.

use serde_json::Value;

use super::auth;
use super::call::Call;
use super::collect::library_of;
use super::privacy;
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
        let (records, projects) = match path {
            "/record" if call.method == "POST" => (1, vec![(named(), 1)]),
            "/flags" | "/decide" if !call.query.is_empty() || !call.body.is_empty() => {
                (0, vec![(named(), 1)])
            }
            _ if path.starts_with("/flags/") && !call.body.is_empty() => (0, vec![(named(), 1)]),
            _ => (privacy::ids_in(path, &call.body), Vec::new()),
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

/// The routes on which something about a person may arrive, by the name under which it is counted.
pub fn collecting(path: &str) -> Option<&'static str> {
    match bare(path) {
        "/track" => Some("/track"),
        "/engage" => Some("/engage"),
        "/groups" => Some("/groups"),
        "/import" => Some("/import"),
        "/record" => Some("/record"),
        "/decide" => Some("/decide"),
        path if path == "/flags" || path.starts_with("/flags/") => Some("/flags"),
        _ => None,
    }
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
