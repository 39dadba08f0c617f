//! The pages, out of the program itself: no request leaves for anywhere else, and nothing that was collected can run in
//! them.

use super::call::{Call, Reply};

/// Scripts and styles from here only, none in the page itself; no frames, no forms that leave, no other origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What there is: path, media type, content.
const FILES: [(&str, &str, &str); 12] = [
    ("/", HTML, include_str!("../ui/index.html")),
    ("/ui/style.css", STYLE, include_str!("../ui/style.css")),
    ("/ui/app.js", SCRIPT, include_str!("../ui/app.js")),
    ("/ui/api.js", SCRIPT, include_str!("../ui/api.js")),
    ("/ui/dom.js", SCRIPT, include_str!("../ui/dom.js")),
    ("/ui/pages/clock.js", SCRIPT, include_str!("../ui/pages/clock.js")),
    ("/ui/pages/events.js", SCRIPT, include_str!("../ui/pages/events.js")),
    ("/ui/pages/faults.js", SCRIPT, include_str!("../ui/pages/faults.js")),
    ("/ui/pages/people.js", SCRIPT, include_str!("../ui/pages/people.js")),
    ("/ui/pages/privacy.js", SCRIPT, include_str!("../ui/pages/privacy.js")),
    ("/ui/pages/rejected.js", SCRIPT, include_str!("../ui/pages/rejected.js")),
    ("/ui/pages/requests.js", SCRIPT, include_str!("../ui/pages/requests.js")),
];

/// Whether a path is one of the pages or of their parts.
pub fn is_page(path: &str) -> bool {
    path.is_empty() || FILES.iter().any(|(known, ..)| *known == path)
}

/// Answers a call for one.
pub fn answer(call: &Call, path: &str) -> Reply {
    if call.method != "GET" && call.method != "HEAD" {
        return Reply::method_not_allowed("GET");
    }
    let path = if path.is_empty() { "/" } else { path };
    match FILES.iter().find(|(known, ..)| *known == path) {
        Some((_, media_type, content)) => Reply::new(200, media_type, *content)
            .with("content-security-policy", POLICY)
            .with("referrer-policy", "no-referrer")
            .with("cross-origin-opener-policy", "same-origin")
            .with("cache-control", "no-cache"),
        None => Reply::error(404, "there is no such page"),
    }
}
