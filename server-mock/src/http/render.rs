//! The answer of `/track`, `/engage` and `/groups` (SPEC §4).

use serde_json::{Value, json};

use super::call::Reply;
use crate::domain::profile::Fault;
use crate::domain::wire::Params;

/// Why a strict request with invalid records is refused.
pub const FAILED: &str = "some data points in the request failed validation";
/// A transparent image of one pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// `error` is the first fault of a request in which no record was valid; `redirects`: whether that is switched on.
pub fn collected(params: &Params, error: Option<&str>, redirects: bool) -> Reply {
    let status = u8::from(error.is_none());
    if let Some(target) = params.text("redirect").filter(|target| redirects && is_web_address(target)) {
        return Reply::empty(302).with("location", encoded(&target));
    }
    if params.bytes("img") == Some(b"1") {
        return Reply::new(200, "image/gif", PIXEL);
    }
    let verbose = json!({"error": error, "status": status}).to_string();
    let body = if params.is_on("verbose") { verbose.clone() } else { status.to_string() };
    if let Some(callback) = params.text("callback").filter(|name| is_callback(name)) {
        return Reply::new(200, "text/javascript", format!("{callback}({body});"));
    }
    if params.is_on("verbose") {
        Reply::new(200, "application/json", verbose)
    } else {
        Reply::new(200, "text/plain", body)
    }
}

/// The report that tools ask for with `strict=1`.
pub fn strict(count: usize, faults: &[(usize, Fault)]) -> Reply {
    let imported = count - faults.len();
    if faults.is_empty() {
        return Reply::json(200, &json!({"code": 200, "num_records_imported": imported, "status": "OK"}));
    }
    let failed = faults.iter().map(|(index, fault)| {
        json!({"index": index, "insert_id": "", "$insert_id": "", "field": fault.field, "message": fault.text})
    });
    bad_request(FAILED, imported, Some(failed.collect()))
}

/// The refusal of a strict request (SPEC §2.3, §7.4).
pub fn bad_request(error: &str, imported: usize, failed: Option<Vec<Value>>) -> Reply {
    let mut answer =
        json!({"code": 400, "error": error, "num_records_imported": imported, "status": "Bad Request"});
    if let Some(failed) = failed {
        answer["failed_records"] = failed.into();
    }
    Reply::json(400, &answer)
}

/// Whether it begins as an address of the web does. Others run in the page (`javascript:`) or start programs.
fn is_web_address(target: &str) -> bool {
    target.split_once("://").is_some_and(|(scheme, rest)| {
        ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) && !rest.is_empty()
    })
}

/// An address as it may stand in a header: the parameter came with its percent codes undone.
fn encoded(target: &str) -> String {
    let code =
        |byte: u8| if byte.is_ascii_graphic() { char::from(byte).into() } else { format!("%{byte:02X}") };
    target.bytes().map(code).collect()
}

/// Names that may be called: anything else could be a script of somebody else's.
fn is_callback(name: &str) -> bool {
    let mut characters = name.chars();
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
    let plain = name.len() <= 128
        && characters.next().is_some_and(first)
        && characters.all(|c| first(c) || c.is_ascii_digit() || c == '.');
    plain || name == "(function(){})"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Body;

    fn body(query: &str, error: Option<&str>) -> String {
        let reply = collected(&Params::parse(query.as_bytes()), error, false);
        let Body::Full(bytes) = reply.body else { panic!() };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_plain_answer_is_one_byte() {
        assert_eq!(body("", None), "1");
        assert_eq!(body("verbose=0", Some("x")), "0");
        assert_eq!(body("verbose=", None), "1");
        assert_eq!(body("verbose=2", Some("x")), r#"{"error":"x","status":0}"#);
    }

    #[test]
    fn only_addresses_of_the_web_are_gone_to() {
        let answer = |target: &str, redirects| {
            collected(&Params::parse(format!("redirect={target}").as_bytes()), None, redirects)
        };
        for good in ["http://shop.test/", "HTTPS://shop.test/?a=b"] {
            let reply = answer(good, true);
            assert_eq!((reply.status, &reply.headers), (302, &vec![("location", good.to_owned())]));
            assert_eq!(answer(good, false).status, 200);
        }
        for bad in [
            "javascript:alert(1)//://",
            "//evil.test",
            "/path",
            "ftp://x",
            "data:text/html,x",
            "http://",
            " http://x",
            "",
        ] {
            assert_eq!(answer(bad, true).status, 200, "{bad}");
        }
    }

    #[test]
    fn an_address_that_cannot_stand_in_a_header_is_encoded() {
        let query = "redirect=http://shop.test/%C3%BC%20b%0D%0Aset-cookie:a?q=%2541%26r";
        let reply = collected(&Params::parse(query.as_bytes()), None, true);
        let location = "http://shop.test/%C3%BC%20b%0D%0Aset-cookie:a?q=%41&r".to_owned();
        assert_eq!(reply.headers, [("location", location)]);
    }

    #[test]
    fn only_names_are_called() {
        assert_eq!(body("callback=a.b$", None), "a.b$(1);");
        assert_eq!(body("callback=(function(){})", None), "(function(){})(1);");
        assert_eq!(body("callback=alert(1)//", None), "1");
        assert_eq!(body("callback=1a", None), "1");
    }
}
