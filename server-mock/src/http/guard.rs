//! Who may use the control API: whoever has the token, or, without one, whoever is on this machine and no foreign web
//! page.

use super::auth;
use super::call::{Call, Reply};

const HINT: &str = "start the server with --control-token, and send that token";

/// Why a call to the control API is refused.
pub fn refusal(token: Option<&str>, call: &Call) -> Option<Reply> {
    if let Some(token) = token {
        let shown = auth::bearer(call).unwrap_or_else(|| call.header("x-control-token"));
        // Hashes are compared, so that the time taken says nothing about the token.
        if blake3::hash(shown.as_bytes()) == blake3::hash(token.as_bytes()) {
            return None;
        }
        let text = "the control token is missing or wrong";
        return Some(Reply::hinted(401, text, "send it as `Authorization: Bearer <token>`"));
    }
    let refused = |text: &str| Some(Reply::hinted(403, text, HINT));
    if !call.is_local {
        return refused("the control API answers this machine only");
    }
    // Of two, one side may read the first and another the last.
    if ["host", "origin"].iter().any(|name| call.headers.get_all(*name).iter().count() > 1) {
        return refused("the control API takes one Host and one Origin");
    }
    // One that cannot be read is foreign; clients of HTTP/1.0 send none.
    let host = call.headers.get("host").map_or(Some(""), |host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_own_host(host)) else {
        return refused("the control API answers only on an address or localhost, not on a domain name");
    };
    let origin = call.header("origin");
    let same_origin =
        origin.split_once("://").is_some_and(|(_, origin_host)| origin_host.eq_ignore_ascii_case(host));
    if call.headers.contains_key("origin") && !same_origin {
        return refused("the control API does not answer web pages of other origins");
    }
    if matches!(call.header("sec-fetch-site"), "cross-site" | "same-site") {
        return refused("the control API cannot be driven from another site");
    }
    None
}

/// Why a page is not shown: without a token to other machines. Links of other sites may lead to it, and with a token it
/// asks for that.
pub fn page_refusal(token: Option<&str>, call: &Call) -> Option<Reply> {
    let is_open = call.is_local || token.is_some();
    (!is_open).then(|| Reply::hinted(403, "the pages answer this machine only", HINT))
}

/// An address, or localhost. A domain name could be anybody's that points here (DNS rebinding).
fn is_own_host(host: &str) -> bool {
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    host.is_empty() || name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(headers: &[(&'static str, &str)], is_local: bool) -> Call {
        let mut map = hyper::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Call { headers: map, is_local, ..Call::asking("POST", "/mock/reset", Vec::new()) }
    }

    fn status(token: Option<&str>, call: &Call) -> Option<u16> {
        refusal(token, call).map(|reply| reply.status)
    }

    #[test]
    fn other_machines_and_other_pages_need_the_token() {
        let host = ("host", "127.0.0.1:8787");
        assert_eq!(status(None, &call(&[host], true)), None);
        assert_eq!(status(None, &call(&[host], false)), Some(403));
        assert_eq!(status(None, &call(&[("host", "evil.test")], true)), Some(403));
        for origin in ["http://127.0.0.1:3000", "http://localhost:8787", "https://evil.test", "null"] {
            assert_eq!(status(None, &call(&[host, ("origin", origin)], true)), Some(403), "{origin}");
        }
        assert_eq!(status(None, &call(&[host, ("origin", "http://127.0.0.1:8787")], true)), None);
        let own = ("origin", "http://127.0.0.1:8787");
        assert_eq!(status(None, &call(&[host, own, ("origin", "https://evil.test")], true)), Some(403));
        assert_eq!(status(None, &call(&[host, ("host", "evil.test")], true)), Some(403));
        let mut odd = call(&[], true);
        odd.headers.insert("host", hyper::header::HeaderValue::from_bytes(b"\xc3\xa9vil.test").unwrap());
        assert_eq!(status(None, &odd), Some(403), "a host that cannot be read is no own one");
        assert_eq!(status(None, &call(&[host, ("sec-fetch-site", "same-site")], true)), Some(403));
        assert_eq!(status(None, &call(&[host, ("sec-fetch-site", "same-origin")], true)), None);
        let shown = call(&[("host", "evil.test"), ("authorization", "Bearer key")], false);
        assert_eq!(status(Some("key"), &shown), None);
        assert_eq!(status(Some("other"), &shown), Some(401));
        for scheme in ["bearer", "BEARER"] {
            let shown = call(&[("authorization", &format!("{scheme} key"))], false);
            assert_eq!(status(Some("key"), &shown), None, "{scheme}");
        }
        assert_eq!(status(Some("key"), &call(&[("authorization", "key")], false)), Some(401));
        assert_eq!(status(Some("key"), &call(&[host], true)), Some(401), "also from this machine");
    }

    #[test]
    fn pages_are_for_this_machine_unless_there_is_a_token_to_ask_for() {
        let page = |token, is_local| page_refusal(token, &call(&[], is_local)).map(|reply| reply.status);
        assert_eq!((page(None, true), page(None, false)), (None, Some(403)));
        assert_eq!((page(Some("key"), true), page(Some("key"), false)), (None, None));
    }

    #[test]
    fn names_of_others_are_foreign() {
        for own in ["127.0.0.1:8787", "localhost", "localhost:1", "[::1]:80", "192.168.1.5:8787", ""] {
            assert!(is_own_host(own), "{own}");
        }
        for foreign in ["evil.test", "evil.test:8787", "localhost.evil.test", "127.0.0.1.evil.test:80"] {
            assert!(!is_own_host(foreign), "{foreign}");
        }
    }
}
