//! A collector: it answers as told, keeps what it has taken, and does not trust anybody to send a record once.

use refrain::engine::{Answer, Request};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How the collector behaves for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes what it gets, but for poison.
    Well,
    /// 503, perhaps asking for a wait in seconds.
    Busy(Option<u32>),
    /// 429 with a wait in seconds.
    Limited(u32),
    /// 413 above so many records.
    Small(usize),
    /// A page that is not the collector's.
    Portal,
    /// 404 for everything.
    Missing,
    /// Nobody answers, in either direction.
    Away,
}

/// What it has taken: markers, with the bytes of the record that carried each.
#[derive(Debug, Default)]
pub struct Collector {
    /// Every record by its marker.
    pub records: BTreeMap<u64, String>,
    /// Announcements of a grant.
    pub opt_ins: BTreeMap<String, u32>,
    /// Device ids whose erasure was asked for, in order, each with its proof.
    pub erasures: Vec<String>,
    /// Requests to delete profiles, each with the ids that it names.
    pub deletions: Vec<String>,
    /// The mood.
    pub mood: Option<Mood>,
}

impl Collector {
    /// Takes a request, if the mood allows, and answers it.
    pub fn take(&mut self, request: &Request, poison: &dyn Fn(u64) -> bool) -> (Answer, bool) {
        let answer = |status: u16, retry_after: Option<u32>, body: &str| Answer::Response {
            status,
            retry_after: retry_after.map(|seconds| seconds.to_string()),
            body: body.into(),
        };
        match self.mood.unwrap_or(Mood::Well) {
            Mood::Well => {}
            Mood::Busy(wait) => return (answer(503, wait, ""), false),
            Mood::Limited(wait) => return (answer(429, Some(wait), ""), false),
            Mood::Small(most) if request.records > most => return (answer(413, None, ""), false),
            Mood::Small(_) => {}
            Mood::Portal => return (answer(200, None, "<html>log in</html>"), false),
            Mood::Missing => return (answer(404, None, ""), false),
            Mood::Away => return (Answer::TimedOut, false),
        }
        if request.path.starts_with("/refrain/v1/erasures") {
            return (self.erase(request), true);
        }
        if request.body.contains("\"$delete\"") {
            self.deletions.push(request.body.clone());
        }
        let records = split(&request.body);
        if records.iter().any(|record| markers(record).any(poison)) {
            return (answer(400, None, ""), false);
        }
        for record in records {
            self.keep(record);
        }
        (answer(200, None, "1"), true)
    }

    /// Every other erasure takes a while, and asks for it.
    fn erase(&mut self, request: &Request) -> Answer {
        let (body, retry_after) = if request.body.is_empty() {
            let ticket = request.path.rsplit('/').next().unwrap_or_default();
            let known = ticket.strip_prefix('e').and_then(|number| number.parse::<usize>().ok());
            assert!(known.is_some_and(|n| n < self.erasures.len()), "C12: nobody was told of {ticket}");
            (format!(r#"{{"id":"{ticket}","state":"completed","receipt":{{}}}}"#), None)
        } else {
            let device = text_of(&request.body, "device_id").unwrap_or_default();
            let secret = text_of(&request.body, "secret").unwrap_or_default();
            assert_eq!(device_of(secret), device, "C12: the proof is another device's");
            self.erasures.push(device.into());
            let number = self.erasures.len() - 1;
            let wait = (number % 2 == 1).then(|| "2".into());
            (format!(r#"{{"id":"e{number}","state":"accepted"}}"#), wait)
        };
        Answer::Response { status: 202, retry_after, body }
    }

    fn keep(&mut self, record: &str) {
        if record.starts_with("{\"event\":\"$opt_in\"") {
            let id = text_of(record, "$insert_id").unwrap_or_default();
            *self.opt_ins.entry(id.into()).or_default() += 1;
        }
        for marker in markers(record) {
            let known = self.records.entry(marker).or_insert_with(|| record.into());
            assert_eq!(known, record, "a record is the same whenever it is sent");
        }
    }
}

/// The device whose secret this is, in hexadecimal digits: the first 128 bits of its SHA-256, as a UUID of version 4
/// (C12).
fn device_of(secret: &str) -> String {
    let byte = |at: usize| secret.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Vec<u8> = (0..secret.len()).step_by(2).filter_map(byte).collect();
    let mut digest = Sha256::digest(&bytes);
    digest[6] = digest[6] & 0x0F | 0x40;
    digest[8] = digest[8] & 0x3F | 0x80;
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The records of a body.
pub fn split(body: &str) -> Vec<&str> {
    let (mut depth, mut start, mut quoted, mut escaped) = (0, 0, false, false);
    let mut records = Vec::new();
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    records.push(&body[start..=at]);
                }
            }
            _ => {}
        }
    }
    records
}

/// The text of a member, wherever it stands.
pub fn text_of<'a>(record: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = record.split_once(&format!("\"{key}\":\""))?;
    rest.split('"').next()
}

/// A marker as a record carries it: `"m17"`.
pub fn marker_text(marker: u64) -> String {
    format!("m{marker}")
}

/// The markers in a text.
pub fn markers(text: &str) -> impl Iterator<Item = u64> {
    text.split("\"m").skip(1).filter_map(|rest| {
        let digits = rest.split('"').next()?;
        digits.parse().ok()
    })
}
