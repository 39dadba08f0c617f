//! By which way the built-in transport leads outside.

use std::ffi::OsString;
use std::fmt;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// Where a proxy may be named, the most general first.
const VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
const EXEMPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The way outside.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Direct,
    By(Proxy),
    /// The environment names a proxy, and none that can be used. To send past it would tell whoever is on the way what
    /// the proxy was to keep from them.
    Blocked {
        /// Where it is named.
        variable: &'static str,
        /// Leads nowhere, and knows who is exempt.
        exempt: Option<Proxy>,
    },
}

impl Route {
    /// What the environment says: the first proxy that can be used.
    pub(super) fn of_environment() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let exempt = EXEMPT.iter().find_map(|name| variable(name)).unwrap_or_default();
        let exempt: Vec<_> = exempt.to_string_lossy().split(',').map(|host| host.trim().to_owned()).collect();
        let mut blocked = None;
        // In a CGI program it is what the peer has sent as its header `Proxy` (httpoxy). Windows knows no difference of case.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let is_the_peers = |name: &str| {
            is_cgi && (name == "HTTP_PROXY" || cfg!(windows) && name.eq_ignore_ascii_case("HTTP_PROXY"))
        };
        for name in VARIABLES.into_iter().filter(|name| !is_the_peers(name)) {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
            let proxy = value.to_str().and_then(|url| named(url).ok());
            match proxy.and_then(|proxy| with_exempt(&proxy, &exempt)) {
                Some(proxy) => return Self::By(proxy),
                None => blocked = blocked.or(Some(name)),
            }
        }
        let Some(variable) = blocked else { return Self::Direct };
        let nowhere = named("http://unusable.invalid").ok();
        Self::Blocked { variable, exempt: nowhere.and_then(|proxy| with_exempt(&proxy, &exempt)) }
    }

    /// The proxy for the HTTP client, which knows who is exempt from it.
    pub(super) fn proxy(&self) -> Option<Proxy> {
        match self {
            Self::Direct => None,
            Self::By(proxy) => Some(proxy.clone()),
            Self::Blocked { exempt, .. } => exempt.clone(),
        }
    }

    /// Whether there is a way to this address.
    pub(super) fn leads_to(&self, url: &str) -> bool {
        match self {
            Self::Blocked { exempt, .. } => exempt
                .as_ref()
                .zip(url.parse::<Uri>().ok())
                .is_some_and(|(exempt, url)| exempt.is_no_proxy(&url)),
            Self::Direct | Self::By(_) => true,
        }
    }
}

/// The proxy with this address, if it is one that can be used.
pub(super) fn named(url: &str) -> Result<Proxy, InvalidProxy> {
    let usable = |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    Proxy::new(url).ok().filter(usable).ok_or(InvalidProxy)
}

/// The same one, but not for these hosts.
fn with_exempt(proxy: &Proxy, exempt: &[String]) -> Option<Proxy> {
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(username) = proxy.username() {
        builder = builder.username(username);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    exempt.iter().fold(builder, |builder, host| builder.no_proxy(host)).build().ok()
}

/// This is not the address of a proxy that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidProxy;

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not the address of an HTTP proxy: pass scheme (http or https), host and port, as in \
             http://proxy.example:3128",
        )
    }
}

impl std::error::Error for InvalidProxy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(variables: &[(&str, &str)]) -> Route {
        Route::of(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
    }

    fn by(variables: &[(&str, &str)]) -> String {
        match route(variables) {
            Route::By(proxy) => format!("{}:{}", proxy.host(), proxy.port()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_proxy_that_can_be_used_is() {
        assert_eq!(by(&[("https_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:2")]), "a:1");
        assert_eq!(by(&[("ALL_PROXY", "a"), ("HTTP_PROXY", "http://b:2")]), "a:80");
        assert_eq!(by(&[("ALL_PROXY", "socks5://a:1"), ("http_proxy", "https://[::1]:2")]), "[::1]:2");
        let Route::By(proxy) = route(&[("ALL_PROXY", "http://u%40:p%3A@a:1")]) else { panic!() };
        assert_eq!((proxy.username(), proxy.password()), (Some("u@"), Some("p:")));
    }

    #[test]
    fn a_program_that_serves_a_request_goes_by_no_proxy_of_the_peers() {
        let (cgi, peers) = (("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil:1"));
        assert!(matches!(route(&[cgi, peers]), Route::Direct));
        assert_eq!(by(&[cgi, peers, ("HTTPS_PROXY", "http://a:1")]), "a:1");
        #[cfg(not(windows))]
        assert_eq!(by(&[cgi, peers, ("http_proxy", "http://b:2")]), "b:2");
        assert_eq!(by(&[peers]), "evil:1");
    }

    #[test]
    fn where_none_is_named_nothing_is_in_the_way() {
        for variables in [&[][..], &[("ALL_PROXY", "")], &[("NO_PROXY", "*")]] {
            let route = route(variables);
            assert!(route.proxy().is_none() && route.leads_to("http://a/"), "{variables:?}");
        }
    }

    #[test]
    fn nothing_goes_past_a_proxy_that_cannot_be_used() {
        for url in ["socks5://a:1", "socks4://a", "socks5h://a:1", "garbage:::", "ftp://a:1", " "] {
            let exempt = ("NO_PROXY", "b.example, .c.example");
            let route = route(&[("HTTP_PROXY", url), exempt]);
            assert!(matches!(route, Route::Blocked { variable: "HTTP_PROXY", .. }), "{url}");
            assert!(!route.leads_to("https://api.mixpanel.com/track"), "{url}");
            assert!(route.leads_to("http://b.example:80/track") && route.leads_to("http://d.c.example/"));
            assert_eq!(named(url).err(), Some(InvalidProxy));
        }
    }
}
