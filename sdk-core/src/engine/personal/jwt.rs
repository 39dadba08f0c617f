//! JSON web tokens.

use super::hits::{Hits, run};
use crate::json::Object;
use alloc::vec::Vec;

impl Hits<'_> {
    /// Where a token that begins here ends.
    pub(super) fn jwt(&self, start: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        // An object begins with a brace, and a brace with these. A run is read from its beginning only.
        if !matches!(bytes.get(start..)?, [b'e', b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_', ..])
            || self.before(start).ends_with(['-', '_'])
        {
            return None;
        }
        let part = |from| run(bytes, from, |byte| base64url(*byte).is_some());
        let mut end = start + part(start);
        if bytes.get(end) != Some(&b'.') || !is_header(bytes.get(start..end)?) {
            return None;
        }
        let (mut points, mut found) = (0, None);
        while points < 4 && bytes.get(end) == Some(&b'.') {
            let length = part(end + 1);
            points += 1;
            end += 1 + length;
            // The last part is empty in a token without a signature.
            if length > 0 {
                found = Some(end);
            }
        }
        found.filter(|_| points > 1)
    }
}

/// The six bits of a character of base64url.
fn base64url(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Whether this is the first part of a token.
fn is_header(part: &[u8]) -> bool {
    let mut text = Vec::with_capacity(part.len());
    let (mut held, mut bits) = (0u32, 0u32);
    for value in part.iter().copied().filter_map(base64url) {
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            text.push((held >> bits & 0xFF) as u8);
        }
    }
    let header = core::str::from_utf8(&text).ok().and_then(|text| Object::parse(text).ok());
    header.is_some_and(|header| header.get("alg").or(header.get("typ")).is_some())
}
