//! Putting JSON text together.

use super::{Key, Object};
use alloc::string::String;
use alloc::vec::Vec;

/// Appends a string with its quotes, escaped as RFC 8259 asks.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(text.get(clean..at).unwrap_or_default());
        clean = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            _ => {
                out.push_str("\\u00");
                hex(out, &[byte]);
            }
        }
    }
    out.push_str(text.get(clean..).unwrap_or_default());
    out.push('"');
}

/// Appends a whole number.
pub fn integer(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        len += 1;
        if number == 0 {
            break;
        }
    }
    digits.iter().skip(20 - len).for_each(|digit| out.push(char::from(*digit)));
}

/// Appends bytes as lower-case hexadecimal digits.
pub fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(nibble + if nibble < 10 { b'0' } else { b'a' - 10 }));
        }
    }
}

/// Appends thousandths of a second as a number of seconds.
pub fn seconds(out: &mut String, ms: u64) {
    integer(out, ms / 1_000);
    let mut rest = ms % 1_000;
    if rest > 0 {
        out.push('.');
        while rest > 0 {
            integer(out, rest / 100);
            rest = rest % 100 * 10;
        }
    }
}

/// Appends `"key":` after a comma, where one is due.
pub fn key(out: &mut String, key: &str) {
    comma(out);
    string(out, key);
    out.push(':');
}

/// [`key`](fn@key), for one that stands in another text.
pub fn raw_key(out: &mut String, key: Key<'_>) {
    comma(out);
    out.push('"');
    out.push_str(key.raw());
    out.push_str("\":");
}

/// Appends a member whose value is a string.
pub fn member(out: &mut String, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

/// Appends a member whose value is a whole number.
pub fn number(out: &mut String, name: &str, value: u64) {
    key(out, name);
    integer(out, value);
}

/// Appends a comma, where one is due.
pub fn comma(out: &mut String) {
    if !matches!(out.as_bytes().last(), Some(b'{' | b'[')) {
        out.push(',');
    }
}

/// Appends the members of several objects to an object that is being written: each key once. Earlier objects
/// win over later ones, the last of a repeated key within one object, and what is reserved or denied is left out.
pub fn merge(out: &mut String, objects: &[Object<'_>], reserved: &[&str], denied: &[String]) {
    // Keys are compared with keys: every text is read twice, however many and however long its values are.
    let mut keys = Vec::new();
    for object in objects {
        let own = keys.len();
        for (key, _) in object.members() {
            keys.push(key);
        }
        for (at, (key, value)) in object.members().enumerate() {
            let refused = reserved.iter().any(|name| key.is(name)) || denied.iter().any(|name| key.is(name));
            // Those of stronger objects stand before the own ones, and later own ones behind this one.
            let beats =
                |(other, name): (usize, &Key<'_>)| (other < own || other > own + at) && name.same(key);
            if refused || keys.iter().enumerate().any(beats) {
                continue;
            }
            raw_key(out, key);
            out.push_str(value.raw());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_once_and_the_stronger_wins() {
        let objects =
            [r#"{"a":1,"b":2,"a":3}"#, r#"{"\u0062":9,"c":4,"token":0}"#].map(|t| Object::parse(t).unwrap());
        let mut out = String::from("{");
        merge(&mut out, &objects, &["token"], &[]);
        assert_eq!(out, r#"{"b":2,"a":3,"c":4"#);
    }

    #[test]
    fn text_survives_escaping() {
        let text = "a\"\\\n\u{1}\u{e9}\u{1f600}";
        let mut out = String::new();
        string(&mut out, text);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        out.clear();
        integer(&mut out, u64::MAX);
        integer(&mut out, 0);
        assert_eq!(out, "184467440737095516150");
        for (ms, text) in [(0, "0"), (7, "0.007"), (1_050, "1.05"), (61_200, "61.2")] {
            out.clear();
            seconds(&mut out, ms);
            assert_eq!(out, text);
        }
    }
}
