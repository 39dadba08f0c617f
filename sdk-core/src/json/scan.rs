//! The grammar: one pass over the bytes, no recursion, no allocation.

use core::fmt;

/// How deep arrays and objects may nest. Deeper text is refused rather than cut.
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

    /// `"key" :` with the space around it; the key's text between its quotes.
    pub(super) fn key(&mut self) -> Result<(usize, usize), JsonError> {
        self.space();
        let start = self.at + 1;
        self.string()?;
        let end = self.at - 1;
        self.space();
        self.expect(b':')?;
        Ok((start, end))
    }

    /// Passes one value of any kind. Open containers are bits of a word: 1 an object, 0 an array.
    pub(super) fn value(&mut self) -> Result<(), JsonError> {
        let mut open = 0u64;
        let mut depth = 0u32;
        loop {
            self.space();
            match self.peek().ok_or(JsonError::Syntax)? {
                first @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(first + 2) {
                        self.at += 1;
                    } else {
                        if depth == MAX_DEPTH {
                            return Err(JsonError::TooDeep);
                        }
                        depth += 1;
                        open = open << 1 | u64::from(first == b'{');
                        if first == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
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
                match self.take()? {
                    b',' => {
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(JsonError::Syntax),
                }
                open >>= 1;
                depth -= 1;
            }
        }
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

    fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"')?;
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => match self.take()? {
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
                },
                0..=0x1F => return Err(JsonError::Syntax),
                _ => {}
            }
        }
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            code = code << 4 | (self.take()? as char).to_digit(16).ok_or(JsonError::Syntax)?;
        }
        Ok(code)
    }
}
