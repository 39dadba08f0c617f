//! Cross-origin answers of the routes that browsers call (SPEC §5).

use hyper::header::HeaderValue;

use super::call::{Call, Reply};

/// Whether browsers call a route from other origins. `/import`, `/api` and `/mock` are none of them.
fn is_browser_route(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(first, "track" | "engage" | "groups" | "record" | "flags" | "settings" | "decide" | "refrain")
}

/// The headers of an answer on a path, errors included. `allowed` lists the origins whose pages may collect; `None` is all.
pub fn headers(
    path: &str,
    origin: Option<&HeaderValue>,
    allowed: Option<&[String]>,
) -> Vec<(&'static str, String)> {
    if !is_browser_route(path) {
        return Vec::new();
    }
    let mut headers = vec![("vary", "Origin".into()), ("cache-control", "no-cache, no-store".into())];
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let may = |origin: &&str| allowed.is_none_or(|list| list.iter().any(|one| one == origin));
    if let Some(origin) = origin.filter(may) {
        headers.push(("access-control-allow-origin", origin.to_owned()));
        headers.push(("access-control-allow-credentials", "true".into()));
        headers.push(("access-control-expose-headers", "Retry-After".into()));
    }
    headers
}

/// Answers a preflight.
pub fn preflight(call: &Call) -> Reply {
    let asked = call.header("access-control-request-headers");
    let allowed = if asked.is_empty() {
        "authorization, content-type, content-encoding, traceparent, x-requested-with"
    } else {
        asked
    };
    Reply::empty(204)
        .with("access-control-allow-methods", "GET, POST, OPTIONS")
        .with("access-control-allow-headers", allowed)
        .with("access-control-max-age", "86400")
}
