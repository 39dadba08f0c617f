//! `GET /`: what this is.

use super::call::{Call, Reply};

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>refrain-mock</title>
<style>body{font:16px/1.5 system-ui;max-width:44rem;margin:3rem auto;padding:0 1rem}code{background:#8882;padding:0 .2em}</style>
<h1>refrain-mock</h1>
<p>A mock collection server: it speaks Mixpanel's wire protocol, and keeps what it promises about privacy.</p>
<h2>Collection</h2>
<p><code>/track</code> <code>/engage</code> <code>/groups</code> <code>/import</code> <code>/record</code> <code>/settings</code>
<code>/flags</code> <code>/decide</code></p>
<h2>Reading and erasing</h2>
<p><code>/api/2.0/export</code> <code>/api/query/engage</code> <code>/api/query/stream/query</code> <code>/api/app/me</code>
<code>/api/app/data-deletions/v3.0</code> <code>/api/app/data-retrievals/v3.0</code></p>
<h2>Control</h2>
<p>All JSON, all under <code>/mock</code>; an unknown path answers with the list. Start with
<a href=\"/mock/health\"><code>/mock/health</code></a>, <a href=\"/mock/stats\"><code>/mock/stats</code></a>,
<a href=\"/mock/events\"><code>/mock/events</code></a>.</p></html>";

/// The page.
pub fn answer(call: &Call) -> Reply {
    if call.method != "GET" && call.method != "HEAD" {
        return Reply::method_not_allowed("GET");
    }
    Reply::new(200, "text/html; charset=utf-8", PAGE)
        .with("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
}
