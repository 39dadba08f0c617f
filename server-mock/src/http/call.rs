//! A request, read in full, and its answer.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Body;
use super::brought::Brought;
use crate::domain::wire::{Params, Raw, decompress};

/// A request.
pub struct Call {
    /// In upper case: some clients send it in lower case.
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// The raw query.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as received; empty when it was too large.
    pub body: Vec<u8>,
    /// More than the limit was received.
    pub oversize: bool,
    /// The address that it came from. It is never stored.
    pub peer: IpAddr,
    /// Whether that is this machine.
    pub is_local: bool,
    /// A fault: after so many events an export fails.
    pub terminate_after: Option<usize>,
    /// The body is not in its content encoding any more.
    pub is_unzipped: bool,
}

impl Call {
    /// One with a body whose sender is this machine.
    pub fn asking(method: &str, target: &str, body: Vec<u8>) -> Call {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Call {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body,
            oversize: false,
            peer: IpAddr::from([127, 0, 0, 1]),
            is_local: true,
            terminate_after: None,
            is_unzipped: false,
        }
    }

    /// Takes the body out of its content encoding, if it is within so many bytes then.
    pub fn unzip(&mut self, limit: usize) -> bool {
        match decompress(self.raw(), limit) {
            Ok(body) => {
                (self.body, self.is_unzipped) = (body, true);
                true
            }
            Err(_) => false,
        }
    }

    /// A header as text; absent is empty.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What decoding needs.
    pub fn raw(&self) -> Raw<'_> {
        Raw {
            is_get: self.method == "GET",
            content_type: self.header("content-type"),
            content_encoding: if self.is_unzipped { "" } else { self.header("content-encoding") },
            query: &self.query,
            body: &self.body,
        }
    }

    /// The parameters of the query.
    pub fn query_params(&self) -> Params {
        Params::parse(self.query.as_bytes())
    }
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// What the request brought, where the handler has looked.
    pub brought: Option<Box<Brought>>,
}

impl Reply {
    /// A body of a media type.
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            headers: vec![("content-type", media_type.to_owned())],
            body: Body::full(body.into()),
            brought: None,
        }
    }

    /// A JSON body.
    pub fn json(status: u16, value: &Value) -> Reply {
        Reply::new(status, "application/json", value.to_string())
    }

    /// No body.
    pub fn empty(status: u16) -> Reply {
        Reply { headers: Vec::new(), ..Reply::new(status, "", "") }
    }

    /// The error shape of the app, query and control APIs.
    pub fn error(status: u16, text: &str) -> Reply {
        Reply::json(status, &json!({"status": "error", "error": text}))
    }

    /// The same, with what to do about it.
    pub fn hinted(status: u16, text: &str, hint: &str) -> Reply {
        Reply::json(status, &json!({"status": "error", "error": text, "hint": hint}))
    }

    /// The error shape of imports and lookup tables.
    pub fn coded(status: u16, text: &str) -> Reply {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Reply::json(status, &json!({"code": status, "error": text, "status": reason.unwrap_or_default()}))
    }

    /// The error shape of collection.
    pub fn zero(status: u16, text: &str) -> Reply {
        Reply::json(status, &json!({"error": text, "status": 0}))
    }

    /// Storage is in trouble: try again later (SPEC §23), said in the shape of the route's errors. Never a bare `0`, which
    /// clients take for a refusal.
    pub fn unavailable(shape: fn(u16, &str) -> Reply) -> Reply {
        shape(503, "a temporary failure occurred").with("retry-after", "5")
    }

    /// The body is over a limit, in the error shape of the app and query APIs.
    pub fn too_large(limit: usize) -> Reply {
        Reply::error(413, &format!("request exceeds max limit of {limit} bytes"))
    }

    /// The method is not one of the route's.
    pub fn method_not_allowed(allowed: &str) -> Reply {
        Reply::error(405, &format!("method not allowed, use {allowed}")).with("allow", allowed)
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// Says what the request brought.
    pub fn after(mut self, brought: Brought) -> Reply {
        self.brought = Some(Box::new(brought));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            // A value that cannot stand in a header (an Origin cannot be one) is left out.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert("x-content-type-options", nosniff);
        response
    }
}
