//! What the request log calls a path: parts of the client's choice may hold anything and are not remembered.

/// A path that is not one of ours.
pub const UNKNOWN: &str = "(unknown)";

/// The path as it may be remembered.
pub fn of(path: &str) -> &str {
    let bare = path.strip_suffix('/').unwrap_or(path);
    if is_plain(bare) {
        return path;
    }
    let parts: Vec<&str> = bare.split('/').skip(1).collect();
    match parts[..] {
        ["flags", _, "first-time-events"] => "/flags/{id}/first-time-events",
        ["lookup-tables", _] => "/lookup-tables/{id}",
        ["refrain", "v1", "erasures", _] => "/refrain/v1/erasures/{id}",
        ["api", "app", "data-deletions", "v3.0" | "v2.0"] => "/api/app/data-deletions/v3.0",
        ["api", "app", "data-deletions", "v3.0" | "v2.0", _] => "/api/app/data-deletions/v3.0/{id}",
        ["api", "app", "data-retrievals", "v3.0" | "v2.0"] => "/api/app/data-retrievals/v3.0",
        ["api", "app", "data-retrievals", "v3.0" | "v2.0", _] => "/api/app/data-retrievals/v3.0/{id}",
        ["api", "app", "data-retrievals", "v3.0" | "v2.0", _, "archive"] => {
            "/api/app/data-retrievals/v3.0/{id}/archive"
        }
        _ => UNKNOWN,
    }
}

/// Whether a path is one of ours.
pub fn is_known(path: &str) -> bool {
    of(path) != UNKNOWN
}

/// Whether it is a route without parts of the client's choice.
fn is_plain(path: &str) -> bool {
    matches!(
        path,
        "/track"
            | "/engage"
            | "/groups"
            | "/import"
            | "/record"
            | "/settings"
            | "/decide"
            | "/flags"
            | "/flags/definitions"
            | "/lookup-tables"
            | "/refrain/v1/erasures"
            | "/api/2.0/export"
            | "/api/2.0/engage"
            | "/api/2.0/stream/query"
            | "/api/query/engage"
            | "/api/query/stream/query"
            | "/api/app/me"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_chose_is_not_in_it() {
        assert_eq!(of("/track/"), "/track/");
        assert_eq!(of("/flags/ada@example.test/first-time-events"), "/flags/{id}/first-time-events");
        assert_eq!(of("/api/app/data-deletions/v3.0/"), "/api/app/data-deletions/v3.0");
        assert_eq!(of("/api/app/data-deletions/v2.0/ada/"), "/api/app/data-deletions/v3.0/{id}");
        for other in [
            "",
            "/",
            "/ada",
            "/track/ada",
            "/flags/ada",
            "/api/app/data-deletions/v3.0/a/b",
            "/api/app/data-deletions/ada",
        ] {
            assert_eq!(of(other), "(unknown)", "{other}");
        }
    }
}
