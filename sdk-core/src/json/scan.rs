//! The grammar: one pass over the bytes, no recursion, no allocation.

use alloc::vec::Vec;
use core::fmt;

/// How deep arrays and objects may nest; an innermost one without content does not count. Deeper text is refused rather
/// than cut.
pub const MAX_DEPTH: u32 = 64;

/// Why a text is not the JSON that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not an object (`{…}`).
    NotAnObject,
    /// The text breaks the grammar, or ends too early.
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A `\ud800`-style escape stands without its partner, so the string has no meaning in Unicode.
    LoneSurrogate,
}

impl JsonError {
    /// A stable word for logs and bindings.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Syntax => "invalid_json",
            Self::TooDeep => "nested_too_deep",
            Self::LoneSurrogate => "lone_surrogate",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "properties must be a JSON object",
            Self::Syntax => "the text is not valid JSON",
            Self::TooDeep => "the value is nested too deeply",
            Self::LoneSurrogate => "a string holds half of a surrogate pair",
        })
    }
}

impl core::error::Error for JsonError {}

/// What a text holds, measured while its grammar is checked.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Most members or elements in one object or array.
    pub longest: usize,
    /// Deepest nesting of arrays and objects, as [`MAX_DEPTH`] counts it.
    pub depth: u32,
    /// Deepest nesting of objects below the outermost container; arrays do not count.
    pub objects: u32,
    /// Whether a key is longer than [`Survey::KEY_CHARS`].
    pub long_key: bool,
    /// Whether a key of the outermost object is written with escapes, so that its hash says nothing.
    pub escaped: bool,
    /// [`key_hash`] of each key of the outermost object, in order.
    pub keys: Vec<u32>,
}

impl Survey {
    /// How long a key may be, in Unicode scalar values (SPEC §20.2).
    pub const KEY_CHARS: usize = 255;

    /// Forgets what was measured, and keeps the room that it took.
    pub fn clear(&mut self) {
        let keys = core::mem::take(&mut self.keys);
        *self = Self { keys, ..Self::default() };
        self.keys.clear();
    }

    fn key(&mut self, raw: &[u8], escaped: bool, outermost: bool) {
        if outermost {
            self.escaped |= escaped;
            self.keys.push(key_hash(raw));
        }
        if raw.len() > Self::KEY_CHARS {
            // Bytes that continue a character do not count; of an escape, which is rare, the whole text does.
            self.long_key |= raw.iter().filter(|byte| **byte & 0xC0 != 0x80).count() > Self::KEY_CHARS;
        }
    }
}

/// A number that differs, as a rule, where two keys differ, as they stand in the text (FNV-1a).
pub fn key_hash(raw: &[u8]) -> u32 {
    raw.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A reading position in a text.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or(JsonError::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.take()? == wanted { Ok(()) } else { Err(JsonError::Syntax) }
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// `"key" :` with the space around it; where the key's text begins and ends between its quotes, and whether it is
    /// written with escapes.
    pub(super) fn key(&mut self) -> Result<(usize, usize, bool), JsonError> {
        self.space();
        let start = self.at + 1;
        let escaped = self.string()?;
        let end = self.at - 1;
        self.space();
        self.expect(b':')?;
        Ok((start, end, escaped))
    }

    /// Passes one value of any kind, and takes its measure if that is asked for. Open containers are bits of a word: 1
    /// an object, 0 an array.
    pub(super) fn value(&mut self, mut survey: Option<&mut Survey>) -> Result<(), JsonError> {
        let mut open = 0u64;
        let mut depth = 0usize;
        let mut counts = [0u32; MAX_DEPTH as usize];
        loop {
            self.space();
            match self.peek().ok_or(JsonError::Syntax)? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(first + 2) {
                        self.at += 1;
                        if let (b'{', Some(survey)) = (first, &mut survey) {
                            survey.objects = survey.objects.max(open.count_ones());
                        }
                    } else {
                        let Some(count) = counts.get_mut(depth) else { return Err(JsonError::TooDeep) };
                        *count = 1;
                        depth += 1;
                        open = open << 1 | u64::from(first == b'{');
                        if let Some(survey) = &mut survey {
                            survey.depth = survey.depth.max(depth as u32);
                            survey.objects = survey.objects.max(open.count_ones().saturating_sub(1));
                        }
                        if first == b'{' {
                            self.surveyed_key(&mut survey, depth)?;
                        }
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return Err(JsonError::Syntax),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = open & 1 == 1;
                self.space();
                let count = counts.get_mut(depth - 1).ok_or(JsonError::TooDeep)?;
                match self.take()? {
                    b',' => {
                        *count += 1;
                        if in_object {
                            self.surveyed_key(&mut survey, depth)?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(JsonError::Syntax),
                }
                if let Some(survey) = &mut survey {
                    survey.longest = survey.longest.max(*count as usize);
                }
                open >>= 1;
                depth -= 1;
            }
        }
    }

    fn surveyed_key(&mut self, survey: &mut Option<&mut Survey>, depth: usize) -> Result<(), JsonError> {
        let (start, end, escaped) = self.key()?;
        if let Some(survey) = survey {
            survey.key(self.text.get(start..end).unwrap_or_default(), escaped, depth == 1);
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        for &byte in word {
            self.expect(byte)?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.take()?.is_ascii_digit() {
            return Err(JsonError::Syntax);
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Passes a string; whether it is written with escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let clean = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
            self.at += clean.ok_or(JsonError::Syntax)?;
            match self.take()? {
                b'"' => return Ok(escaped),
                b'\\' => self.escape()?,
                _ => return Err(JsonError::Syntax),
            }
            escaped = true;
        }
    }

    /// What follows a backslash. Most strings have none, so what it takes stays out of the way.
    #[cold]
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => match self.hex4()? {
                0xD800..=0xDBFF => {
                    if self.take() != Ok(b'\\') || self.take() != Ok(b'u') {
                        return Err(JsonError::LoneSurrogate);
                    }
                    if !(0xDC00..=0xDFFF).contains(&self.hex4()?) {
                        return Err(JsonError::LoneSurrogate);
                    }
                }
                0xDC00..=0xDFFF => return Err(JsonError::LoneSurrogate),
                _ => {}
            },
            _ => return Err(JsonError::Syntax),
        }
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            code = code << 4 | (self.take()? as char).to_digit(16).ok_or(JsonError::Syntax)?;
        }
        Ok(code)
    }
}
