//! A checked object and its members.

use super::scan::{JsonError, Scanner, Survey};
use alloc::string::String;

/// The text of a JSON object that has passed the grammar.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a>(&'a str);

impl<'a> Object<'a> {
    /// The object without members.
    pub const EMPTY: Object<'static> = Object("{}");

    /// Checks a text that must be one JSON object and nothing else. White space around it is allowed.
    ///
    /// # Errors
    /// What is wrong with it, see [`JsonError`].
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        Self::read(text, None)
    }

    /// A text that has passed the grammar already.
    pub(crate) fn trust(text: &'a str) -> Self {
        Self(text.trim_ascii())
    }

    /// [`Object::parse`], taking the measure of the text on the way.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn survey(text: &'a str, survey: &mut Survey) -> Result<Self, JsonError> {
        Self::read(text, Some(survey))
    }

    fn read(text: &'a str, survey: Option<&mut Survey>) -> Result<Self, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.space();
        if scanner.peek() != Some(b'{') {
            return Err(JsonError::NotAnObject);
        }
        let start = scanner.at;
        scanner.value(survey)?;
        let object = text.get(start..scanner.at).ok_or(JsonError::Syntax)?;
        scanner.space();
        if scanner.peek().is_some() {
            return Err(JsonError::Syntax);
        }
        Ok(Self(object))
    }

    /// Reads an object; text that is none has no members.
    pub(crate) fn or_empty(text: &'a str) -> Self {
        Self::parse(text).unwrap_or(Self::EMPTY)
    }

    /// The members in the order of the text, repeated keys included.
    pub fn members(self) -> Members<'a> {
        let mut scanner = Scanner::new(self.0);
        scanner.at = 1;
        Members { text: self.0, scanner }
    }

    /// The value of a key; of the last one, where a key is repeated.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.members().filter(|(k, _)| k.is(key)).last().map(|(_, value)| value)
    }

    /// The string that a key has, if it has one.
    pub fn string(self, key: &str) -> Option<String> {
        self.get(key)?.string()
    }

    /// The whole number that a key has, if it has one that fits.
    pub fn integer(self, key: &str) -> Option<u64> {
        self.get(key)?.integer()
    }

    /// The text of the object, from `{` to `}`.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The text between the braces.
    pub fn inner(self) -> &'a str {
        self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default().trim_ascii()
    }
}

/// The members of an [`Object`]; see [`Object::members`].
#[derive(Clone)]
pub struct Members<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

impl Members<'_> {
    /// Whether the members from here on name this key.
    pub fn name(mut self, key: Key<'_>) -> bool {
        self.any(|(other, _)| other.same(key))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Key<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // The text has passed the grammar: `None` here is its closing brace and nothing else.
        self.scanner.space();
        if matches!(self.scanner.peek(), None | Some(b'}')) {
            return None;
        }
        if self.scanner.peek() == Some(b',') {
            self.scanner.at += 1;
        }
        let (key_start, key_end, _) = self.scanner.key().ok()?;
        self.scanner.space();
        let value_start = self.scanner.at;
        self.scanner.value(None).ok()?;
        let key = Key(self.text.get(key_start..key_end)?);
        Some((key, Value(self.text.get(value_start..self.scanner.at)?)))
    }
}

/// A member's name as it stands in the text, without quotes, escapes not yet resolved.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// The raw text between the quotes.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// The name that it means.
    pub fn text(self) -> String {
        unescape(self.0)
    }

    /// Whether this key means the given (plain) name, however it is escaped.
    pub fn is(self, name: &str) -> bool {
        if escaped(self.0) { unescape(self.0) == name } else { self.0 == name }
    }

    /// Whether two keys mean the same name, however each is escaped.
    pub fn same(self, other: Key<'_>) -> bool {
        match (escaped(self.0), escaped(other.0)) {
            (false, false) => self.0 == other.0,
            (false, true) => unescape(other.0) == self.0,
            (true, _) => other.is(&unescape(self.0)),
        }
    }
}

/// A member's value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// The raw text.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// The string, if the value is one.
    pub fn string(self) -> Option<String> {
        Some(unescape(self.0.strip_prefix("\"")?.strip_suffix("\"")?))
    }

    fn first(self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    /// Whether the value is a number.
    pub fn is_number(self) -> bool {
        matches!(self.first(), Some(b'-' | b'0'..=b'9'))
    }

    /// Whether the value is a string.
    pub fn is_string(self) -> bool {
        self.first() == Some(b'"')
    }

    /// Whether the value is an array.
    pub fn is_array(self) -> bool {
        self.first() == Some(b'[')
    }

    /// The whole number, if the value is one that fits.
    pub fn integer(self) -> Option<u64> {
        whole(self.0.as_bytes())
    }

    /// The object, if the value is one.
    pub fn object(self) -> Option<Object<'a>> {
        (self.first() == Some(b'{')).then_some(Object(self.0))
    }

    /// The elements, if the value is an array.
    pub fn elements(self) -> Elements<'a> {
        let mut scanner = Scanner::new(self.0);
        // Behind the end there is nothing.
        scanner.at = if self.is_array() { 1 } else { self.0.len() };
        Elements { text: self.0, scanner }
    }
}

/// The elements of an array; see [`Value::elements`].
#[derive(Clone)]
pub struct Elements<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.scanner.space();
        if self.scanner.peek() == Some(b',') {
            self.scanner.at += 1;
            self.scanner.space();
        }
        let start = self.scanner.at;
        // The text has passed the grammar: what is no value is its closing bracket.
        self.scanner.value(None).ok()?;
        Some(Value(self.text.get(start..self.scanner.at)?))
    }
}

/// A whole number of digits alone, if it fits. Without what `str::parse` brings along for signs and other bases.
pub(crate) fn whole(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        (digit <= 9 && number <= (u64::MAX - digit) / 10).then(|| number * 10 + digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Whether a raw string holds an escape.
fn escaped(raw: &str) -> bool {
    raw.bytes().any(|byte| byte == b'\\')
}

/// Resolves the escapes of a string that has passed the grammar.
pub(crate) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let mut code = hex4(&mut rest);
                if (0xD800..0xDC00).contains(&code) {
                    rest.next();
                    rest.next();
                    code = 0x10000 + ((code - 0xD800) << 10) + (hex4(&mut rest).wrapping_sub(0xDC00) & 0x3FF);
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn hex4(rest: &mut core::str::Chars<'_>) -> u32 {
    (0..4).fold(0, |code, _| code << 4 | rest.next().and_then(|c| c.to_digit(16)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec, vec::Vec};

    #[test]
    fn members_in_order_and_the_last_of_a_repeated_key_counts() {
        let object = Object::parse(r#" {"a":1, "b":[{"x":{}},[]] ,"a" : "\u0041\ud83d\ude00"} "#).unwrap();
        let keys: Vec<_> = object.members().map(|(k, _)| k.raw()).collect();
        assert_eq!(keys, vec!["a", "b", "a"]);
        assert_eq!(object.get("a").unwrap().string().unwrap(), "A\u{1f600}");
        assert_eq!(object.get("b").unwrap().raw(), r#"[{"x":{}},[]]"#);
    }

    #[test]
    fn elements_in_order() {
        let elements = |text| Value(text).elements().map(Value::raw).collect::<Vec<_>>();
        assert_eq!(elements(r#"[1, "a,]" ,{"b":[2]},[]]"#), vec!["1", "\"a,]\"", r#"{"b":[2]}"#, "[]"]);
        assert_eq!(elements("[ ]"), Vec::<&str>::new());
        assert_eq!(elements("{}"), Vec::<&str>::new());
    }

    #[test]
    fn a_key_is_compared_by_its_meaning() {
        let object = Object::parse(r#"{"\u0074oken":1}"#).unwrap();
        let (key, _) = object.members().next().unwrap();
        assert!(key.is("token"));
        assert!(key.same(Key("token")) && Key("token").same(key) && key.same(key));
    }

    #[test]
    fn what_is_not_an_object_is_named() {
        for (text, error) in [
            ("", JsonError::NotAnObject),
            ("[]", JsonError::NotAnObject),
            ("{", JsonError::Syntax),
            ("{}x", JsonError::Syntax),
            (r#"{"a":1,}"#, JsonError::Syntax),
            (r#"{"a":01}"#, JsonError::Syntax),
            (r#"{"a":NaN}"#, JsonError::Syntax),
            (r#"{"a":[1}"#, JsonError::Syntax),
            ("{\"a\":\"\n\"}", JsonError::Syntax),
            (r#"{"a":"\ud800"}"#, JsonError::LoneSurrogate),
            (r#"{"a":"\udc00"}"#, JsonError::LoneSurrogate),
        ] {
            assert_eq!(Object::parse(text).err(), Some(error), "{text}");
        }
        let deep = |n: usize| ["{\"a\":", &"[".repeat(n), &"]".repeat(n), "}"].concat();
        // An empty array opens nothing, so it does not count.
        assert!(Object::parse(&deep(64)).is_ok());
        assert_eq!(Object::parse(&deep(65)).err(), Some(JsonError::TooDeep));
    }

    #[test]
    fn a_survey_measures_what_limits_ask_for() {
        let mut survey = Survey::default();
        let text = r#"{"a":[1,2,3],"b":{"c":[{"d":{}}],"\u0065":{"f":1}},"g":[[{"h":1}]]}"#;
        Object::survey(text, &mut survey).unwrap();
        assert_eq!((survey.longest, survey.objects, survey.depth), (3, 3, 4));
        assert_eq!(survey.keys, [b"a", b"b", b"g"].map(|key| super::super::key_hash(key)));
        assert!(!survey.long_key && !survey.escaped, "the escaped key is not one of the outermost");
        for (key, long) in [("ü".repeat(255), false), ("ü".repeat(256), true)] {
            let mut survey = Survey::default();
            Object::survey(&["{\"", &key, "\":1}"].concat(), &mut survey).unwrap();
            assert_eq!(survey.long_key, long);
        }
    }

    #[test]
    fn agrees_with_serde_json_on_small_texts() {
        // Every text of up to five tokens out of this alphabet.
        let tokens = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", "-0.5e+2", "null", " "];
        let mut texts = vec!["{".to_string()];
        for _ in 0..5 {
            texts = texts.iter().flat_map(|t| tokens.iter().map(move |s| [t.as_str(), s].concat())).collect();
            for text in &texts {
                let ours = Object::parse(text).is_ok();
                let theirs = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text).is_ok();
                assert_eq!(ours, theirs, "{text}");
            }
        }
    }
}
