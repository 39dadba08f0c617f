//! From the bytes of a request to its records: the algorithm of SPEC §2.2, with the limits of §2.4.

use std::io::Read;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::json::{self, JsonError, Record};

/// Largest body, received or decoded.
pub const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Largest lookup table, received or decoded.
pub const TABLE_LIMIT: usize = 100 * 1024 * 1024;
/// Most records in one request.
pub const RECORD_LIMIT: usize = 2000;
/// Most fields of a form.
pub const FIELD_LIMIT: usize = 1000;
/// A single event or profile update stays below this many bytes of JSON.
pub const RECORD_BYTES_LIMIT: usize = 1_000_000;

/// Most values in a document of the account holder, such as ids in a list.
pub const VALUE_LIMIT: usize = 100_000;

/// How often a body may be zipped: more is an attack and no client.
const GZIP_LAYERS: usize = 2;

/// Padding may be there or not, and unused bits of the last character are ignored.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What of a request matters for decoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<'a> {
    /// The method is GET, so that the records stand in the query.
    pub is_get: bool,
    /// The `Content-Type` header, or an empty text.
    pub content_type: &'a str,
    /// The `Content-Encoding` header, or an empty text.
    pub content_encoding: &'a str,
    /// The raw query text.
    pub query: &'a str,
    /// The body as received.
    pub body: &'a [u8],
}

/// Parameters of the query and the form: the last of a name wins, the query over the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Vec<u8>)>);

/// Why a request has no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// No `data`, or an empty one.
    Missing,
    /// `Content-Encoding` is not gzip, or the gzip is damaged.
    Encoding,
    /// The text is not base64 of JSON, or not JSON.
    Json,
    /// More than [`BODY_LIMIT`] bytes after decompression.
    TooLarge,
    /// More than [`RECORD_LIMIT`] records.
    TooMany,
    /// More than [`FIELD_LIMIT`] fields in a form.
    TooManyFields,
}

impl DecodeError {
    /// The text for the answer.
    pub fn text(self) -> &'static str {
        match self {
            DecodeError::Missing => "data, missing or empty",
            DecodeError::Encoding => "data, invalid content encoding: only gzip is supported",
            DecodeError::Json => "data, invalid json",
            DecodeError::TooLarge => "request exceeds max limit of 10485760 bytes",
            DecodeError::TooMany => "request exceeds max limit of 2000 records",
            DecodeError::TooManyFields => "request exceeds max limit of 1000 form fields",
        }
    }
}

/// A decoded request.
#[derive(Debug)]
pub struct Decoded {
    /// Parameters of query and form.
    pub params: Params,
    /// The records, or why there are none.
    pub records: Result<Vec<Record>, DecodeError>,
    /// Size of the body after decompression.
    pub decoded_bytes: usize,
}

impl Params {
    /// Reads a form from a body, where there may be far more fields than anybody needs.
    pub fn of_form(text: &[u8]) -> Result<Params, DecodeError> {
        match pairs(text).nth(FIELD_LIMIT) {
            None => Ok(Params::parse(text)),
            Some(_) => Err(DecodeError::TooManyFields),
        }
    }

    /// Reads a query or a form; `+` is a space.
    pub fn parse(text: &[u8]) -> Params {
        let pairs = pairs(text).map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            (String::from_utf8_lossy(&percent_decode(name)).into_owned(), percent_decode(value))
        });
        Params(pairs.collect())
    }

    /// The raw value of a parameter.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a parameter as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The names, in the order in which they were sent.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a switch is on: anything except absent, empty and `0` (SPEC §4).
    pub fn is_on(&self, name: &str) -> bool {
        self.bytes(name).is_some_and(|value| !value.is_empty() && value != b"0")
    }

    /// Sets a parameter, over those of that name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    /// Adds the fields of a form, which yield to those of the query.
    fn fold_form(&mut self, form: Params) {
        let mut all = form.0;
        all.retain(|(name, _)| name != "data");
        all.append(&mut self.0);
        self.0 = all;
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty())
}

/// Decodes a request for `/track`, `/engage`, `/groups` or `/import`.
pub fn decode(raw: Raw<'_>) -> Decoded {
    let mut params = Params::parse(raw.query.as_bytes());
    let body = match decompress(raw, BODY_LIMIT) {
        Ok(body) => body,
        Err(error) => return Decoded { params, records: Err(error), decoded_bytes: 0 },
    };
    let media_type = media_type(raw.content_type);
    let decoded_bytes = body.len();
    let payload = if raw.is_get {
        params.bytes("data").map(<[u8]>::to_vec)
    } else if media_type == "application/json" || media_type == "application/x-ndjson" {
        Some(body)
    } else {
        let text = body.trim_ascii_start();
        if matches!(text.first(), Some(b'[' | b'{')) {
            Some(text.to_vec())
        } else {
            let form = match Params::of_form(text) {
                Ok(form) => form,
                Err(error) => return Decoded { params, records: Err(error), decoded_bytes },
            };
            let data = form.bytes("data").or(params.bytes("data")).map(<[u8]>::to_vec);
            params.fold_form(form);
            data
        }
    };
    let by_line = media_type == "application/x-ndjson";
    Decoded { records: payload_records(payload.as_deref(), by_line), params, decoded_bytes }
}

/// The media type of a `Content-Type`, in lower case and without parameters.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Takes a body out of its `Content-Encoding`, if it is within so many bytes then.
pub fn decompress(raw: Raw<'_>, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let encodings = raw.content_encoding.to_ascii_lowercase();
    let mut body = std::borrow::Cow::Borrowed(raw.body);
    let mut layers = 0;
    // Applied in the order in which they are named, so taken off from the last to the first.
    for encoding in encodings.split(',').map(str::trim).rev() {
        match encoding {
            "" | "identity" => {}
            "gzip" | "x-gzip" if layers < GZIP_LAYERS => {
                layers += 1;
                body = gunzip(&body, limit)?.into();
            }
            _ => return Err(DecodeError::Encoding),
        }
    }
    if body.len() > limit { Err(DecodeError::TooLarge) } else { Ok(body.into_owned()) }
}

fn gunzip(zipped: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    // No member at all: a client that names gzip on each request has its records in the query.
    if zipped.is_empty() {
        return Ok(Vec::new());
    }
    let mut limited = flate2::read::MultiGzDecoder::new(zipped).take(limit as u64 + 1);
    let mut body = Vec::new();
    limited.read_to_end(&mut body).map_err(|_| DecodeError::Encoding)?;
    if body.len() > limit { Err(DecodeError::TooLarge) } else { Ok(body) }
}

fn payload_records(payload: Option<&[u8]>, by_line: bool) -> Result<Vec<Record>, DecodeError> {
    let text = payload.unwrap_or_default().trim_ascii();
    if text.is_empty() {
        return Err(DecodeError::Missing);
    }
    let records = if matches!(text[0], b'[' | b'{') {
        json_records(text)
    } else {
        forgiving_base64(text).and_then(|json| json_records(json.trim_ascii()))
    };
    match records {
        Err(DecodeError::Json) if by_line => line_records(text),
        records => records,
    }
}

fn forgiving_base64(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let normal: Vec<u8> = text
        .iter()
        .filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\t'))
        .map(|byte| match byte {
            b' ' | b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let unpadded = normal.len() - normal.iter().rev().take_while(|byte| **byte == b'=').count();
    FORGIVING.decode(&normal[..unpadded]).map_err(|_| DecodeError::Json)
}

/// One value a line, as the content type says. Batches are not atomic (SPEC §7.1): a line that is none is a record that is
/// none, unless all are.
fn line_records(text: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut is_any_good = false;
    let records = lines(text).take(RECORD_LIMIT + 1).map(|line| match json::records(line, 1) {
        Ok((mut found, false)) => {
            is_any_good = true;
            found.swap_remove(0)
        }
        _ => Record { value: Value::Null, bytes: line.len(), bad_utf8: None, too_deep: None },
    });
    let records: Vec<Record> = records.collect();
    match records.len() {
        count if count > RECORD_LIMIT => Err(DecodeError::TooMany),
        _ if is_any_good => Ok(records),
        _ => Err(DecodeError::Json),
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// One value, or one per line where only that reads.
fn json_records(text: &[u8]) -> Result<Vec<Record>, DecodeError> {
    if !matches!(text.first(), Some(b'[' | b'{')) {
        return Err(DecodeError::Json);
    }
    match json::records(text, RECORD_LIMIT) {
        Ok((records, _)) => Ok(records),
        Err(JsonError::TrailingData) => {
            let mut records = Vec::new();
            for line in lines(text) {
                if records.len() == RECORD_LIMIT {
                    return Err(DecodeError::TooMany);
                }
                match json::records(line, 1) {
                    Ok((mut found, false)) => records.append(&mut found),
                    _ => return Err(DecodeError::Json),
                }
            }
            Ok(records)
        }
        Err(JsonError::TooMany) => Err(DecodeError::TooMany),
        Err(JsonError::Invalid) => Err(DecodeError::Json),
    }
}

/// A part of a path, with its percent signs undone.
pub fn percent_decoded(text: &str) -> String {
    // A plus sign is one, outside of forms.
    String::from_utf8_lossy(&percent_decode(text.replace('+', "%2B").as_bytes())).into_owned()
}

/// A text as a value in a query, or a part of a path.
pub fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let encoded = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encoded).collect()
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |index: usize| text.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        match (text[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            (b'+', ..) => {
                out.push(b' ');
                at += 1;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn post(content_type: &str, body: &[u8]) -> Decoded {
        decode(Raw { content_type, body, ..Raw::default() })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn texts(decoded: &Decoded) -> Vec<String> {
        decoded.records.as_ref().unwrap().iter().map(|record| record.value.to_string()).collect()
    }

    #[test]
    fn every_form_yields_the_same_record() {
        let expected = vec![r#"{"q":">>>???~~~ÿÿ"}"#.to_owned()];
        let raw = "data=eyJxIjoiPj4+Pz8/fn5+w7/DvyJ9";
        assert_eq!(texts(&post(FORM, raw.as_bytes())), expected);
        assert_eq!(texts(&post(FORM, raw.replace('+', "%2B").as_bytes())), expected);
        assert_eq!(texts(&post("text/plain;charset=UTF-8", raw.replace('+', "-").as_bytes())), expected);
        assert_eq!(texts(&post(FORM, format!("{raw}====").as_bytes())), expected);
        assert_eq!(texts(&post("", br#" [{"q":">>>???~~~\u00ff\u00ff"}]"#)), expected);
        assert_eq!(
            texts(&post("application/json; charset=utf-8", "{\"q\":\">>>???~~~ÿÿ\"}".as_bytes())),
            expected
        );
        let get = decode(Raw { is_get: true, query: raw, ..Raw::default() });
        assert_eq!(texts(&get), expected);
        let zipped = gzip(raw.as_bytes());
        let zip =
            decode(Raw { content_type: FORM, content_encoding: "GZIP", body: &zipped, ..Raw::default() });
        assert_eq!(texts(&zip), expected);
        for list in ["identity, gzip", "gzip,identity"] {
            let zip =
                decode(Raw { content_type: FORM, content_encoding: list, body: &zipped, ..Raw::default() });
            assert_eq!(texts(&zip), expected, "{list}");
        }
        let twice = gzip(&zipped);
        let zip = decode(Raw {
            content_type: FORM,
            content_encoding: "gzip, gzip",
            body: &twice,
            ..Raw::default()
        });
        assert_eq!(texts(&zip), expected);
    }

    #[test]
    fn lines_are_read_where_one_value_does_not() {
        assert_eq!(
            texts(&post("application/x-ndjson", b"{\"a\":1}\n\n{\"a\":2}\r\n")),
            ["{\"a\":1}", "{\"a\":2}"]
        );
        assert_eq!(post("application/json", b"{\"a\":1}\n{\"a\":").records, Err(DecodeError::Json));
    }

    #[test]
    fn a_broken_line_is_a_broken_record_where_lines_are_announced() {
        let ndjson = "application/x-ndjson";
        assert_eq!(
            texts(&post(ndjson, b"{\"a\":1}\n{\"a\":\n[1]\n{\"a\":2}")),
            ["{\"a\":1}", "null", "null", "{\"a\":2}"]
        );
        assert_eq!(texts(&post(ndjson, b"oops\n{\"a\":1}")), ["null", "{\"a\":1}"]);
        assert_eq!(texts(&post(ndjson, b"[{\"a\":1},\n{\"a\":2}]")), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(post(ndjson, b"oops\nand again").records, Err(DecodeError::Json));
        assert_eq!(post(ndjson, b"\n \n").records, Err(DecodeError::Missing));
        let many = "x\n".repeat(RECORD_LIMIT) + "{}";
        assert_eq!(post(ndjson, many.as_bytes()).records, Err(DecodeError::TooMany));
    }

    #[test]
    fn base64_is_base64_where_lines_are_announced_too() {
        let body = b"eyJhIjoxfQp7ImEiOjJ9";
        assert_eq!(texts(&post("application/x-ndjson", body)), ["{\"a\":1}", "{\"a\":2}"]);
        let query = "data=eyJhIjoxfQp7ImEiOjJ9";
        let get = Raw { is_get: true, content_type: "application/x-ndjson", query, ..Raw::default() };
        assert_eq!(texts(&decode(get)), ["{\"a\":1}", "{\"a\":2}"]);
    }

    #[test]
    fn gzip_of_nothing_is_nothing() {
        let raw = Raw { content_type: FORM, content_encoding: "gzip", ..Raw::default() };
        assert_eq!(decode(raw).records, Err(DecodeError::Missing));
        for is_get in [true, false] {
            assert_eq!(texts(&decode(Raw { is_get, query: "data={}", ..raw })), ["{}"]);
        }
    }

    #[test]
    fn the_query_wins_over_the_form() {
        let decoded = decode(Raw {
            content_type: FORM,
            query: "verbose=0&ip=1&ip=0",
            body: b"data=[]&verbose=1&x=y",
            ..Raw::default()
        });
        assert!(!decoded.params.is_on("verbose"));
        assert_eq!(decoded.params.text("ip").as_deref(), Some("0"));
        assert_eq!(decoded.params.text("x").as_deref(), Some("y"));
        assert_eq!(decoded.params.text("data"), None);
    }

    #[test]
    fn what_cannot_be_decoded_says_why() {
        assert_eq!(post(FORM, b"").records, Err(DecodeError::Missing));
        assert_eq!(post(FORM, b"data=").records, Err(DecodeError::Missing));
        assert_eq!(post(FORM, b"data=%%%").records, Err(DecodeError::Json));
        assert_eq!(post("application/json", b"5").records, Err(DecodeError::Json));
        assert_eq!(post("application/json", b"[{},]").records, Err(DecodeError::Json));
        let many = format!("[{}0]", "0,".repeat(RECORD_LIMIT));
        assert_eq!(post("application/json", many.as_bytes()).records, Err(DecodeError::TooMany));
        let fields = |count: usize| "a&".repeat(count) + "data=[{}]&&&";
        assert_eq!(texts(&post(FORM, fields(FIELD_LIMIT - 1).as_bytes())), ["{}"]);
        assert_eq!(post(FORM, fields(FIELD_LIMIT).as_bytes()).records, Err(DecodeError::TooManyFields));
        let encoded =
            |encoding, body| decode(Raw { content_encoding: encoding, body, ..Raw::default() }).records;
        assert_eq!(encoded("zstd", b"x"), Err(DecodeError::Encoding));
        assert_eq!(encoded("gzip", b"not gzip"), Err(DecodeError::Encoding));
        let whole = gzip(b"data=[]");
        assert_eq!(encoded("gzip", &whole[..whole.len() - 4]), Err(DecodeError::Encoding));
    }

    #[test]
    fn what_comes_after_too_many_records_is_not_read() {
        let list = format!("[{}oops", "0,".repeat(RECORD_LIMIT));
        let lines = "{}\n".repeat(RECORD_LIMIT) + "oops";
        for content_type in ["application/json", "application/x-ndjson"] {
            for text in [&list, &lines] {
                assert_eq!(
                    post(content_type, text.as_bytes()).records,
                    Err(DecodeError::TooMany),
                    "{text:.9}"
                );
            }
        }
        let full = format!("[{}0]", "0,".repeat(RECORD_LIMIT - 1));
        assert_eq!(post("application/json", full.as_bytes()).records.unwrap().len(), RECORD_LIMIT);
    }

    #[test]
    fn a_gzip_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; BODY_LIMIT + 1]);
        let decoded = decode(Raw { content_encoding: "gzip", body: &bomb, ..Raw::default() });
        assert_eq!(decoded.records, Err(DecodeError::TooLarge));
    }

    #[test]
    fn several_gzip_members_are_one_body() {
        let mut body = gzip(b"[{\"a\":1}");
        body.extend(gzip(b",{\"a\":2}]"));
        let decoded = decode(Raw { content_encoding: "gzip", body: &body, ..Raw::default() });
        assert_eq!(decoded.records.unwrap().len(), 2);
    }
}
