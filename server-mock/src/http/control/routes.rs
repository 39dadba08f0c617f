//! The routes of the control API: one table, by which calls are dispatched, and which the description is checked
//! against.

use crate::domain::wire::percent_decoded;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Health,
    OpenApi,
    ShowConfig,
    PutConfig,
    Reset,
    ShowClock,
    PutClock,
    Events,
    Profiles,
    Groups,
    Replays,
    People,
    Person,
    Rejected,
    Requests,
    Stats,
    Wait,
    ShowFaults,
    AddFaults,
    ClearFaults,
    Sweep,
    Projects,
    DeleteProject,
    ResetProject,
    RestoreProject,
    ShowSuppressed,
    PutSuppressed,
    AddSuppressed,
    RemoveSuppressed,
    Tasks,
    TaskArchive,
    CancelTask,
    Audit,
    Stream,
    PortalRequest,
    Accounts,
    Account,
    SetRecording,
    EraseUsage,
    RecordUse,
}

/// Method, path below `/mock` (a part in braces is any text), and what it does.
const ROUTES: [(&str, &str, Action); 40] = [
    ("GET", "/health", Action::Health),
    ("GET", "/openapi.json", Action::OpenApi),
    ("GET", "/config", Action::ShowConfig),
    ("PUT", "/config", Action::PutConfig),
    ("POST", "/reset", Action::Reset),
    ("GET", "/clock", Action::ShowClock),
    ("PUT", "/clock", Action::PutClock),
    ("GET", "/events", Action::Events),
    ("GET", "/profiles", Action::Profiles),
    ("GET", "/groups", Action::Groups),
    ("GET", "/replays", Action::Replays),
    ("GET", "/people", Action::People),
    ("GET", "/person", Action::Person),
    ("GET", "/rejected", Action::Rejected),
    ("GET", "/requests", Action::Requests),
    ("GET", "/stats", Action::Stats),
    ("POST", "/wait", Action::Wait),
    ("GET", "/faults", Action::ShowFaults),
    ("POST", "/faults", Action::AddFaults),
    ("DELETE", "/faults", Action::ClearFaults),
    ("POST", "/sweep", Action::Sweep),
    ("GET", "/projects", Action::Projects),
    ("POST", "/projects/{token}/delete", Action::DeleteProject),
    ("POST", "/projects/{token}/reset", Action::ResetProject),
    ("POST", "/projects/{token}/restore", Action::RestoreProject),
    ("GET", "/projects/{token}/suppressed", Action::ShowSuppressed),
    ("PUT", "/projects/{token}/suppressed", Action::PutSuppressed),
    ("POST", "/projects/{token}/suppressed", Action::AddSuppressed),
    ("DELETE", "/projects/{token}/suppressed", Action::RemoveSuppressed),
    ("GET", "/tasks", Action::Tasks),
    ("GET", "/tasks/{id}/archive", Action::TaskArchive),
    ("POST", "/tasks/{id}/cancel", Action::CancelTask),
    ("GET", "/audit", Action::Audit),
    ("GET", "/stream", Action::Stream),
    ("POST", "/portal/requests", Action::PortalRequest),
    ("GET", "/portal/accounts", Action::Accounts),
    ("GET", "/portal/account", Action::Account),
    ("PUT", "/portal/account/recording", Action::SetRecording),
    ("DELETE", "/portal/account/usage", Action::EraseUsage),
    ("POST", "/portal/account/usage", Action::RecordUse),
];

/// What a method and a path lead to.
pub enum Found {
    /// A route, and what stands in the place of its braces.
    Route(Action, Option<String>),
    /// The path is one, with these methods.
    OtherMethod(String),
    /// Nothing.
    Nothing,
}

/// Looks a path below `/mock` up, without the slash at its end. HEAD is GET without the body.
pub fn find(method: &str, path: &str) -> Found {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut methods = Vec::new();
    for (known, template, action) in ROUTES {
        let Some(part) = matched(template, path) else { continue };
        if known == method {
            return Found::Route(action, part.map(percent_decoded));
        }
        methods.push(known);
    }
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethod(methods.join(", ")) }
}

/// Whether a path has a shape; what stands for the braces, if it has any.
fn matched<'a>(template: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut part = None;
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(part),
            (Some(one), Some(text)) if one.starts_with('{') && !text.is_empty() => part = Some(text),
            (Some(one), Some(text)) if one == text => {}
            _ => return None,
        }
    }
}

/// All routes, as a person reads them.
pub fn list() -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut last = "";
    for (method, path, _) in ROUTES {
        match lines.last_mut().filter(|_| path == last) {
            Some(line) => {
                if let Some((methods, rest)) = line.clone().split_once(' ') {
                    *line = format!("{methods}|{method} {rest}");
                }
            }
            None => lines.push(format!("{method} /mock{path}")),
        }
        last = path;
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn paths_are_matched_whole() {
        let action = |method: &str, path: &str| match find(method, path) {
            Found::Route(action, part) => Some((action, part)),
            _ => None,
        };
        assert_eq!(action("GET", "/events"), Some((Action::Events, None)));
        assert_eq!(action("HEAD", "/events"), Some((Action::Events, None)));
        assert_eq!(
            action("POST", "/projects/a%2Fb/reset"),
            Some((Action::ResetProject, Some("a/b".to_owned())))
        );
        for nothing in ["", "/", "/event", "/projects//reset", "/projects/a/b/reset", "/events/"] {
            assert!(matches!(find("GET", nothing), Found::Nothing), "{nothing}");
        }
        assert!(matches!(find("DELETE", "/clock"), Found::OtherMethod(methods) if methods == "GET, PUT"));
        assert!(list().contains(&"GET|PUT|POST|DELETE /mock/projects/{token}/suppressed".to_owned()));
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(super::super::OPENAPI).unwrap();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            if let Some(below) = path.strip_prefix("/mock") {
                let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
                described.extend(methods.map(|method| (method.to_uppercase(), below.to_owned())));
            }
        }
        let there: BTreeSet<_> =
            ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, there);
    }
}
