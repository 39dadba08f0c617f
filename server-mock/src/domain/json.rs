//! Reads JSON from bytes, so that a bad string spoils its own record and not the batch (SPEC §2.2).
//!
//! Strict JSON, except that invalid UTF-8 and lone surrogates inside a string are replaced and reported by
//! path. Duplicate keys: the last one wins, in its first place. Numbers keep their text. Of a record that is refused for
//! its size no more is kept than one that is taken could have.

use serde_json::{Map, Number, Value};

use super::wire::RECORD_BYTES_LIMIT;

/// A record with containers deeper than this is refused, so that hostile input cannot exhaust the stack.
const DEPTH_LIMIT: usize = 128;
/// What is stored is a record, or something within one, in a few containers more.
const STORED_DEPTH_LIMIT: usize = DEPTH_LIMIT + 8;
/// Members that room is made for in advance, at most.
const MEMBERS: usize = 64;

/// One value of a payload, with what is known about its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The value itself.
    pub value: Value,
    /// Length of its JSON text in bytes (SPEC §2.4: one record is below 1 MB). Of one that is not, what stands behind the
    /// first MB is checked and left out of the value: as values it would take a hundred times its room.
    pub bytes: usize,
    /// The path (object keys, outermost first) of the first string that was not valid UTF-8. Paths may be as long as the
    /// record, so that one is as much as is kept.
    pub bad_utf8: Option<Vec<String>>,
    /// The path of the first container that is too deep to be read; it stands as null in the value.
    pub too_deep: Option<Vec<String>>,
}

impl Record {
    /// Whether it is too large, so that not all of it is in the value.
    pub fn is_too_large(&self) -> bool {
        self.bytes >= RECORD_BYTES_LIMIT
    }
}

/// What is wrong with a record in which a container is too deep.
pub const TOO_DEEP: &str = "must not be nested more than 128 levels deep";

/// Why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// A complete value, followed by something else.
    TrailingData,
    /// More records, or values, than were asked for. What comes after them was not read.
    TooMany,
    /// Anything else.
    Invalid,
}

/// Reads one value: the elements of an array, at most so many, or the single value itself. The flag says which.
pub fn records(text: &[u8], most: usize) -> Result<(Vec<Record>, bool), JsonError> {
    let mut parser = Parser::new(text);
    parser.white_space();
    let mut found = Vec::new();
    let is_array = parser.peek() == Some(b'[');
    if is_array {
        parser.at += 1;
        parser.white_space();
        if parser.peek() == Some(b']') {
            parser.at += 1;
        } else {
            loop {
                if found.len() == most {
                    return Err(JsonError::TooMany);
                }
                found.push(parser.sent_record()?);
                parser.white_space();
                match parser.next() {
                    Some(b',') => {}
                    Some(b']') => break,
                    _ => return Err(JsonError::Invalid),
                }
            }
        }
    } else {
        found.push(parser.sent_record()?);
    }
    parser.white_space();
    if parser.at == text.len() { Ok((found, is_array)) } else { Err(JsonError::TrailingData) }
}

/// Reads one value and nothing else. One that is too deep is invalid.
pub fn value(text: &[u8]) -> Result<Value, JsonError> {
    whole(Parser::new(text))
}

/// The same, of at most so many values, for who does not want to keep all that can be sent.
pub fn bounded(text: &[u8], most: usize) -> Result<Value, JsonError> {
    whole(Parser { room: most, ..Parser::new(text) })
}

/// Reads a value that was stored. Whatever could be read on its arrival can be read again.
pub fn stored(text: &[u8]) -> Result<Value, JsonError> {
    whole(Parser { limit: STORED_DEPTH_LIMIT, ..Parser::new(text) })
}

fn whole(mut parser: Parser<'_>) -> Result<Value, JsonError> {
    let record = parser.record()?;
    parser.white_space();
    match record.too_deep {
        _ if parser.at < parser.text.len() => Err(JsonError::TrailingData),
        Some(_) => Err(JsonError::Invalid),
        None => Ok(record.value),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    path: Vec<String>,
    bad: Option<Vec<String>>,
    limit: usize,
    too_deep: Option<Vec<String>>,
    /// How many more values there may be.
    room: usize,
    /// Where in the text what is kept ends.
    kept_until: usize,
    /// How many members the last object at each depth had: the next one is mostly alike.
    members: [u8; STORED_DEPTH_LIMIT + 1],
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        Parser {
            text,
            at: 0,
            path: Vec::new(),
            bad: None,
            limit: DEPTH_LIMIT,
            too_deep: None,
            room: usize::MAX,
            kept_until: usize::MAX,
            members: [0; _],
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn sent_record(&mut self) -> Result<Record, JsonError> {
        self.white_space();
        self.kept_until = self.at + RECORD_BYTES_LIMIT;
        self.record()
    }

    fn record(&mut self) -> Result<Record, JsonError> {
        self.white_space();
        let start = self.at;
        let value = self.value(0)?;
        let (bad_utf8, too_deep) = (self.bad.take(), self.too_deep.take());
        Ok(Record { value, bytes: self.at - start, bad_utf8, too_deep })
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.room = self.room.checked_sub(1).ok_or(JsonError::TooMany)?;
        self.white_space();
        match self.peek() {
            Some(b'{' | b'[') if depth > self.limit => {
                self.too_deep.get_or_insert_with(|| self.path.clone());
                self.skip().map(|()| Value::Null)
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Value, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            _ => Err(JsonError::Invalid),
        }
    }

    /// Passes a value by, however deep it is; it has to be JSON all the same, or nobody knows where it ends.
    fn skip(&mut self) -> Result<(), JsonError> {
        // The closing brackets that are waited for.
        let mut open = Vec::new();
        loop {
            self.white_space();
            let closing = match self.peek() {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                _ => None,
            };
            match closing {
                Some(closing) => {
                    self.at += 1;
                    self.white_space();
                    open.push(closing);
                    if self.peek() != Some(closing) {
                        self.skip_key(closing)?;
                        continue;
                    }
                }
                None => drop(self.scalar()?),
            }
            // Behind a value, or before the bracket of an empty container.
            loop {
                self.white_space();
                let Some(closing) = open.last().copied() else { return Ok(()) };
                match self.next() {
                    Some(byte) if byte == closing => open.truncate(open.len() - 1),
                    Some(b',') => break self.skip_key(closing)?,
                    _ => return Err(JsonError::Invalid),
                }
            }
        }
    }

    /// Passes the name of a member by, where the container has names.
    fn skip_key(&mut self, closing: u8) -> Result<(), JsonError> {
        if closing == b']' {
            return Ok(());
        }
        self.white_space();
        if self.peek() != Some(b'"') {
            return Err(JsonError::Invalid);
        }
        self.string()?;
        self.white_space();
        if self.next() == Some(b':') { Ok(()) } else { Err(JsonError::Invalid) }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(JsonError::Invalid);
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Map::new()));
        }
        let mut map = Map::with_capacity(self.members[depth].into());
        loop {
            self.white_space();
            if self.peek() != Some(b'"') {
                return Err(JsonError::Invalid);
            }
            let key = self.string()?;
            self.white_space();
            if self.next() != Some(b':') {
                return Err(JsonError::Invalid);
            }
            if self.at < self.kept_until {
                self.path.push(key);
                let value = self.value(depth + 1);
                let key = self.path.pop().unwrap_or_default();
                map.insert(key, value?);
            } else {
                self.skip()?;
            }
            self.white_space();
            match self.next() {
                Some(b',') => {}
                Some(b'}') => {
                    self.members[depth] = map.len().min(MEMBERS) as u8;
                    return Ok(Value::Object(map));
                }
                _ => return Err(JsonError::Invalid),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut list = Vec::new();
        self.white_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(list));
        }
        loop {
            if self.at < self.kept_until {
                list.push(self.value(depth + 1)?);
            } else {
                self.skip()?;
            }
            self.white_space();
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Value::Array(list)),
                _ => return Err(JsonError::Invalid),
            }
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(JsonError::Invalid),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        Ok(Value::Number(Number::from_string_unchecked(text)))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.digits();
        if self.at > start { Ok(()) } else { Err(JsonError::Invalid) }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut bytes = Vec::new();
        let mut lone_surrogate = false;
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            bytes.extend_from_slice(&self.text[start..self.at]);
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes, &mut lone_surrogate)?,
                _ => return Err(JsonError::Invalid),
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) if !lone_surrogate => Ok(text),
            Ok(text) => {
                self.bad.get_or_insert_with(|| self.path.clone());
                Ok(text)
            }
            Err(error) => {
                self.bad.get_or_insert_with(|| self.path.clone());
                Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>, lone_surrogate: &mut bool) -> Result<(), JsonError> {
        let plain = match self.next() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let first = self.hex4()?;
                let code = match first {
                    0xd800..=0xdbff => self.low_surrogate(first)?,
                    _ => u32::from(first),
                };
                let character = char::from_u32(code).unwrap_or_else(|| {
                    *lone_surrogate = true;
                    char::REPLACEMENT_CHARACTER
                });
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(JsonError::Invalid),
        };
        bytes.push(plain);
        Ok(())
    }

    /// The code point of a surrogate pair, or the high surrogate alone when no low one follows.
    fn low_surrogate(&mut self, high: u16) -> Result<u32, JsonError> {
        if !self.text[self.at..].starts_with(b"\\u") {
            return Ok(u32::from(high));
        }
        let back = self.at;
        self.at += 2;
        let low = self.hex4()?;
        if (0xdc00..=0xdfff).contains(&low) {
            return Ok(0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(low) - 0xdc00));
        }
        self.at = back;
        Ok(u32::from(high))
    }

    fn hex4(&mut self) -> Result<u16, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit =
                self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(JsonError::Invalid)?;
            code = code << 4 | digit as u16;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_the_text_of_numbers() {
        let text = br#" {"b":1.50,"a":12345678901234567890123,"b":2} "#;
        assert_eq!(value(text).unwrap().to_string(), r#"{"b":2,"a":12345678901234567890123}"#);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in
            ["", "[1,]", "{\"a\":1,}", "01", "1.", "NaN", "[1 2]", "\"a", "{a:1}", "// x\n1", "\"\n\""]
        {
            assert!(records(text.as_bytes(), 9).is_err(), "{text}");
        }
        assert_eq!(records(b"{} {}", 9), Err(JsonError::TrailingData));
        let deep = "[".repeat(100_000);
        assert_eq!(records(deep.as_bytes(), 9), Err(JsonError::Invalid));
        for text in ["[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "{1:2}", "{\"a\":1]", "[tru]", "[01]"] {
            let deep = "[".repeat(200) + text + &"]".repeat(200);
            assert_eq!(records(deep.as_bytes(), 9), Err(JsonError::Invalid), "{text}");
        }
    }

    #[test]
    fn a_record_that_is_too_deep_spoils_itself_only() {
        let nested = |depth: usize, inner: &str| {
            let (objects, lists) = (depth / 2, depth - depth / 2);
            let open = "{\"o\": ".repeat(objects) + &"[".repeat(lists);
            open + inner + &"]".repeat(lists) + &"}".repeat(objects)
        };
        for inner in ["", "1", "1, {\"a\": [], \"b\": {\"c\": \"]\\\"\"}}, null", "{}, []"] {
            for depth in [DEPTH_LIMIT, DEPTH_LIMIT + 1, 300_000] {
                let text = format!("[{{\"a\": 1}}, {{\"p\": {}}}, 5]", nested(depth, inner));
                let (found, _) = records(text.as_bytes(), 9).unwrap();
                assert_eq!((&found[0].value["a"], &found[2].value), (&1.into(), &5.into()));
                assert_eq!((&found[0].too_deep, &found[2].too_deep), (&None, &None));
                assert_eq!(found[1].bytes, text.len() - "[{\"a\": 1}, , 5]".len());
                let is_too_deep = depth + usize::from(inner.contains('{')) > DEPTH_LIMIT;
                assert_eq!(found[1].too_deep.is_some(), is_too_deep, "{depth} {inner}");
                if is_too_deep {
                    assert_eq!(found[1].too_deep.as_ref().unwrap()[..2], ["p", "o"]);
                }
            }
        }
        assert_eq!(value(nested(DEPTH_LIMIT + 2, "").as_bytes()), Err(JsonError::Invalid));
        assert!(stored(nested(STORED_DEPTH_LIMIT, "").as_bytes()).is_ok());
    }

    #[test]
    fn a_bad_string_spoils_only_its_record() {
        let (found, is_array) =
            records(b"[{\"p\":{\"x\":\"a\xff\"}},{\"y\":\"\\ud83d\\ude00\"},\"\\ud800\"]", 9).unwrap();
        assert!(is_array);
        assert_eq!(found[0].bad_utf8, Some(vec!["p".to_owned(), "x".to_owned()]));
        assert_eq!(found[0].value["p"]["x"], "a\u{fffd}");
        assert_eq!(found[1].bad_utf8, None);
        assert_eq!(found[1].value["y"], "\u{1f600}");
        assert_eq!(found[2].bad_utf8, Some(Vec::new()));
    }

    /// With a path for each of them they would be 400 MB.
    #[test]
    fn many_bad_strings_below_a_long_name_take_no_more_room_than_one() {
        let name = "k".repeat(40_000);
        let text =
            [b"[{\"p\":{\"", name.as_bytes(), b"\":[", &b"\"\xff\",".repeat(10_000), b"0]}}]"].concat();
        let (found, _) = records(&text, 9).unwrap();
        assert_eq!(found[0].bad_utf8, Some(vec!["p".to_owned(), name]));
    }

    /// Ten million zeros would take a gigabyte.
    #[test]
    fn of_a_record_that_is_too_large_no_more_is_kept_than_of_one_that_is_not() {
        let zeros = "0,".repeat(600_000) + "[{\"b\": [1]}]";
        let text = format!("[{{\"a\": [{zeros}], \"later\": {{\"c\": [2]}}}}, {{\"a\": [3]}}]");
        let (found, _) = records(text.as_bytes(), 9).unwrap();
        assert!(found[0].is_too_large() && !found[1].is_too_large());
        assert!(found[0].value["a"].as_array().unwrap().len() <= RECORD_BYTES_LIMIT / 2);
        assert_eq!((found[0].value.get("later"), &found[1].value["a"][0]), (None, &3.into()));
        assert_eq!(found[0].bytes + found[1].bytes, text.len() - "[, ]".len());
        for broken in ["[1,]", "{\"a\"}", "[1 2]", "tru", "\"\u{1}\""] {
            let text = format!("[[{zeros}, {broken}]]");
            assert_eq!(records(text.as_bytes(), 9), Err(JsonError::Invalid), "{broken}");
        }
        let document = format!("[{zeros}]");
        assert_eq!(value(document.as_bytes()).unwrap().as_array().unwrap().len(), 600_001, "not a record");
    }

    #[test]
    fn a_bounded_text_has_no_more_values_than_it_may() {
        let text = br#"{"a": [1, "2", {}]}"#;
        assert_eq!(bounded(text, 5), value(text));
        assert_eq!(bounded(text, 4), Err(JsonError::TooMany));
    }

    #[test]
    fn counts_the_bytes_of_each_record() {
        let (found, _) = records(b"[ {\"a\": 1} , 22]", 9).unwrap();
        assert_eq!((found[0].bytes, found[1].bytes), (8, 2));
    }
}
