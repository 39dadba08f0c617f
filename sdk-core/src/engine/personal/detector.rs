//! Looks through what a call records: counts what is found and, where that is the mode, replaces it.

use super::hits::{DIGIT, ESCAPE, Hits, POINT, QUOTE, SIGN, run, sort};
use super::{PersonalDataKind, PersonalDataMode};
use crate::engine::books::Stats;
use crate::engine::config::Config;
use crate::json::{unescape, write};
use alloc::borrow::Cow;
use alloc::string::String;
use core::ops::Range;

/// Finds, counts and, where that is the mode, replaces.
pub(super) struct Detector<'c> {
    config: &'c Config,
    /// Whether the group that a call is about may have any id.
    pub(super) any_group: bool,
    found: [u64; PersonalDataKind::ALL.len()],
}

impl<'c> Detector<'c> {
    pub(super) fn new(config: &'c Config) -> Self {
        Self { config, any_group: false, found: Default::default() }
    }

    /// Writes into the books what was found; whether that is anything.
    pub(super) fn enter(&self, books: &mut Stats) -> bool {
        for (sum, found) in books.personal_data.iter_mut().zip(self.found) {
            *sum += found;
        }
        self.found.iter().any(|found| *found > 0)
    }

    fn count(&mut self, kind: PersonalDataKind) {
        if let Some(found) = self.found.get_mut(kind as usize) {
            *found += 1;
        }
    }

    fn redacts(&self) -> bool {
        self.config.personal_data == PersonalDataMode::Redact
    }

    pub(super) fn allows(&self, name: &str) -> bool {
        self.config.personal_data_allow.iter().any(|allowed| allowed == name)
            || self.any_group && name == "$group_id"
    }

    /// A text with what is found replaced, if anything is to be.
    pub(super) fn string(&mut self, text: &str) -> Option<String> {
        let mut out = None;
        let mut copied = 0;
        for (kind, range) in Hits::new(text) {
            self.count(kind);
            if self.redacts() {
                let out: &mut String = out.get_or_insert_default();
                out.push_str(text.get(copied..range.start).unwrap_or_default());
                out.push_str(kind.placeholder());
                copied = range.end;
            }
        }
        let mut out = out?;
        out.push_str(text.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// The same for the text of an object that has passed the grammar: its strings, its names and what could be a
    /// card's number. Where it holds `sums`, the numbers under `$add` are none.
    pub(super) fn object(&mut self, text: &str, sums: bool) -> Option<String> {
        let bytes = text.as_bytes();
        let mut out = None;
        let mut copied = 0;
        let mut replace = |range: Range<usize>, with: &str| {
            let out: &mut String = out.get_or_insert_default();
            out.push_str(text.get(copied..range.start).unwrap_or_default());
            write::string(out, with);
            copied = range.end;
        };
        let mut at = 0;
        let mut depth = 0u32;
        // The depth of a name under which nothing is looked at.
        let mut allowed = None;
        let mut adding = false;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    allowed = allowed.filter(|outer| *outer <= depth);
                }
                b',' => allowed = allowed.filter(|outer| *outer != depth),
                b'"' => {
                    let (raw, holds) = raw_string(text, at);
                    at += raw.len() + 1;
                    if allowed.is_some() {
                        continue;
                    }
                    let string =
                        if holds & ESCAPE == 0 { Cow::Borrowed(raw) } else { Cow::Owned(unescape(raw)) };
                    if is_name(bytes, at) {
                        if depth == 1 {
                            adding = sums && raw == "$add";
                        }
                        if self.allows(&string) {
                            allowed = Some(depth);
                            continue;
                        }
                    }
                    if holds & (SIGN | DIGIT | POINT | ESCAPE) != 0
                        && let Some(clean) = self.string(&string)
                    {
                        replace(start..at, &clean);
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let number = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                    at = start + run(bytes, start, number);
                    if allowed.is_some() || adding || at - start < 14 {
                        continue;
                    }
                    let digits = text.get(start..at).unwrap_or_default();
                    if let Some((kind, range)) = Hits::new(digits).next()
                        && range.len() == digits.len()
                    {
                        self.count(kind);
                        if self.redacts() {
                            replace(start..at, kind.placeholder());
                        }
                    }
                }
                _ => {}
            }
        }
        let mut out = out?;
        out.push_str(text.get(copied..).unwrap_or_default());
        Some(out)
    }
}

/// What stands between the quotes of a string that begins here, and the sorts of bytes in it.
fn raw_string(text: &str, start: usize) -> (&str, u8) {
    let bytes = text.as_bytes();
    let (mut at, mut holds) = (start, 0);
    loop {
        at += run(bytes, at, |byte| {
            let sort = sort(*byte);
            holds |= sort;
            sort & (QUOTE | ESCAPE) == 0
        });
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            _ => return (text.get(start..at).unwrap_or_default(), holds),
        }
    }
}

/// Whether the string that has ended here is the name of a member.
fn is_name(bytes: &[u8], at: usize) -> bool {
    bytes.get(at + run(bytes, at, u8::is_ascii_whitespace)) == Some(&b':')
}
