//! Reads a text once, from left to right, for all kinds.

use super::PersonalDataKind;
use super::email::is_foreign;
use super::iban::iban;
use core::ops::Range;

/// What is found in a text, from left to right; no two overlap.
///
/// What it reads beyond the place that it has come to is bounded, or is not read again. Where a hit has ended is
/// as good as a beginning, so that nothing more is found once hits have been replaced.
pub(in crate::engine) struct Hits<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Where what is looked at now can begin at the earliest: the end of the last hit or at sign.
    floor: usize,
}

impl Iterator for Hits<'_> {
    type Item = (PersonalDataKind, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        use PersonalDataKind as Kind;
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            let first = sort(*bytes.get(start)?);
            let hit = if first & (DIGIT | LETTER) != 0 {
                let length = run(bytes, start, |byte| sort(*byte) & (DIGIT | LETTER) != 0);
                self.at += length;
                // Whatever begins with a word begins with four of its characters.
                if length < 4 || self.before(start).ends_with(is_foreign) {
                    None
                } else if first == DIGIT {
                    self.card(start).map(|end| (Kind::Card, start..end))
                } else {
                    let iban = iban(bytes, start).map(|end| (Kind::Iban, start..end));
                    iban.or_else(|| Some((Kind::Jwt, start..self.jwt(start)?)))
                }
            } else if first != SIGN {
                self.at += 1;
                None
            } else if let Some(width) = at_sign(bytes, start) {
                self.at += width;
                let hit = self.email(start).map(|range| (Kind::Email, range));
                self.floor = self.at;
                hit
            } else {
                self.at += if escape(bytes, start).is_some() { 3 } else { 1 };
                None
            };
            if let Some((_, range)) = &hit {
                self.at = range.end;
                self.floor = range.end;
                return hit;
            }
        }
    }
}

impl<'a> Hits<'a> {
    pub(in crate::engine) fn new(text: &'a str) -> Self {
        Self { text, at: 0, floor: 0 }
    }

    /// What may belong to something that begins here.
    pub(super) fn before(&self, at: usize) -> &'a str {
        self.text.get(self.floor..at).unwrap_or_default()
    }
}

pub(super) const DIGIT: u8 = 1;
pub(super) const LETTER: u8 = 2;
pub(super) const POINT: u8 = 4;
/// The at sign, and what begins an escape of URLs.
pub(super) const SIGN: u8 = 8;
pub(super) const QUOTE: u8 = 16;
pub(super) const ESCAPE: u8 = 32;

/// A table, because every byte is asked.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse")]
const SORTS: [u8; 256] = {
    let mut sorts = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        sorts[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'.' => POINT,
            b'@' | b'%' => SIGN,
            b'"' => QUOTE,
            b'\\' => ESCAPE,
            _ => 0,
        };
        byte += 1;
    }
    sorts
};

pub(super) fn sort(byte: u8) -> u8 {
    SORTS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How many bytes from here on are of a sort.
pub(super) fn run(bytes: &[u8], from: usize, mut sort: impl FnMut(&u8) -> bool) -> usize {
    bytes.get(from..).unwrap_or_default().iter().take_while(|byte| sort(byte)).count()
}

/// The width of an at sign here, as it is or as URLs write it.
pub(super) fn at_sign(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..)? {
        [b'@', ..] => Some(1),
        [b'%', b'4', b'0', ..] => Some(3),
        _ => None,
    }
}

/// The byte that an escape of a URL here means.
pub(super) fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low, ..] = bytes.get(at..)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// What separates two groups here; empty if nothing does.
pub(super) fn separator(bytes: &[u8], at: usize) -> &[u8] {
    let width = match bytes.get(at..).unwrap_or_default() {
        [b' ' | b'-' | b'+', ..] => 1,
        // A no-break space.
        [0xC2, 0xA0, ..] => 2,
        [b'%', b'2', b'0', ..] => 3,
        _ => 0,
    };
    bytes.get(at..at + width).unwrap_or_default()
}
