//! Texts of the same length in the place of others.
//!
//! The engine looks at lengths, at equality and at the shape of JSON; it goes the same way if these stay. Each text is
//! put through a permutation of all texts of its shape (a Feistel network over SipHash), so that different texts stay
//! different, however short, and it depends on nothing but the text and the key. The key comes from the operating system
//! and is gone with the recording.
//!
//! A secret in a record and the same one as an input have the same in their place, so the device ids that an engine
//! derives in a replay follow from the secrets of the recording. Device ids that were read are texts like others: the
//! engine compares them with each other only.

use crate::engine::ConsentRecord;
use crate::json::{Object, write};
use std::hash::{BuildHasher, Hasher, RandomState};

use super::super::entropy::draw_array;

/// Names of properties that the protocol and the engine's own records have; they stay, as do those that begin with `$`.
const PROTOCOL: [&str; 7] = ["event", "properties", "token", "distinct_id", "time", "mp_lib", "alias"];
/// Names in answers that the engine looks at.
const ANSWER: [&str; 5] = ["status", "error", "code", "id", "state"];
/// Words in answers that the engine understands.
const ANSWER_WORDS: [&str; 6] =
    ["OK", "a temporary failure occurred", "requested", "accepted", "completed", "refused"];
const DEVICE: &str = "$device:";
const ROUNDS: u8 = 6;

/// The permutations of one recording.
pub(super) struct Redactor {
    keys: RandomState,
    salt: [u8; 32],
}

/// Which names and words of a text of JSON stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    Properties,
    /// Properties in a record of the queue, whose moment says how long it has waited.
    Queued,
    Answers,
}

impl Vocabulary {
    fn keeps_name(self, name: &str) -> bool {
        keeps_name(name) || self == Self::Answers && ANSWER.contains(&name)
    }

    fn keeps_word(self, name: &str, word: &str) -> bool {
        self == Self::Answers && matches!(name, "status" | "error" | "state") && ANSWER_WORDS.contains(&word)
    }

    fn keeps_number(self, name: &str, number: &str) -> bool {
        match self {
            Self::Properties => false,
            Self::Queued => matches!(name, "time" | "$time"),
            Self::Answers => matches!(name, "status" | "code") && number.len() <= 3,
        }
    }
}

fn keeps_name(name: &str) -> bool {
    name.starts_with('$') || PROTOCOL.contains(&name)
}

impl Redactor {
    pub(super) fn new() -> Self {
        Self { keys: RandomState::new(), salt: draw_array() }
    }

    /// A value: a user, the name of an event, an id.
    pub(super) fn text(&self, text: &str) -> String {
        // What is empty, and what is taken for a device, is refused by the engine.
        if text.trim_ascii().is_empty() {
            return text.into();
        }
        let mut rest = text;
        while let Some(shorter) = [DEVICE, "$"].into_iter().find_map(|prefix| rest.strip_prefix(prefix)) {
            rest = shorter;
        }
        if rest.len() < text.len() {
            // What is left begins with neither, so this goes no deeper.
            return [text.strip_suffix(rest).unwrap_or_default(), &self.text(rest)].concat();
        }
        if let Some(bits) = bits_of(text) {
            return hex(&self.bits(bits));
        }
        let plain = is_plain(text);
        let mut drawn: Vec<char> = text.chars().collect();
        loop {
            self.permute_text(&mut drawn, plain);
            let text: String = drawn.iter().collect();
            // Texts that mean something to the engine are not among those that are permuted; a cycle that leads through
            // one is walked on.
            let means = text.trim_ascii().is_empty() || text.starts_with('$') || bits_of(&text).is_some();
            if !means && is_plain(&text) == plain {
                return text;
            }
        }
    }

    /// The name of a property.
    pub(super) fn name(&self, name: &str) -> String {
        if keeps_name(name) { name.into() } else { self.text(name) }
    }

    /// An event's id, or a secret. The engine makes a second id of one by turning its bits round; so are those that stand
    /// in their places.
    pub(super) fn bits(&self, bits: [u8; 16]) -> [u8; 16] {
        let is_turned = |bits: [u8; 16]| bits[0] >= 0x80;
        let turned = |bits: [u8; 16]| bits.map(|byte| !byte);
        if is_turned(bits) {
            return turned(self.bits(turned(bits)));
        }
        let mut digits = bits.map(u32::from);
        loop {
            self.permute(b'b', &mut digits, &[256; 16]);
            let drawn = digits.map(|digit| digit as u8);
            // As above: a cycle that leads through the other half is walked on.
            if !is_turned(drawn) {
                return drawn;
            }
        }
    }

    /// Properties, or operators on a profile.
    pub(super) fn object(&self, text: &str) -> String {
        match Object::parse(text) {
            Ok(_) => self.json(text, Vocabulary::Properties),
            Err(_) => filler(text),
        }
    }

    /// A record of the queue. What it begins with says where it goes.
    pub(super) fn queued(&self, text: &str) -> String {
        if Object::parse(text).is_ok() {
            return self.json(text, Vocabulary::Queued);
        }
        let lanes = ["{\"event\"", "{\"$group_key\""];
        let prefix = lanes.into_iter().find(|lane| text.starts_with(lane)).unwrap_or_default();
        [prefix, &filler(text.get(prefix.len()..).unwrap_or_default())].concat()
    }

    /// The record of consent, or of the identity. What cannot be understood stays so.
    pub(super) fn record(&self, text: &str) -> String {
        if let Some(mut record) = ConsentRecord::decode(text) {
            for entry in &mut record.outbox {
                for text in [&mut entry.id, &mut entry.device_id, &mut entry.secret] {
                    *text = self.text(text);
                }
                entry.user = entry.user.as_deref().map(|user| self.text(user));
                entry.answer = entry.answer.as_deref().map(|answer| self.json(answer, Vocabulary::Answers));
            }
            return record.encode();
        }
        let Ok(object) = Object::parse(text) else { return filler(text) };
        let mut out = String::from("{");
        for (key, value) in object.members() {
            let own =
                ["v", "revision", "epoch", "secret", "user", "super"].into_iter().find(|own| key.is(own));
            write::comma(&mut out);
            let name = self.string(
                key.raw(),
                |redactor, name| {
                    if own.is_some() { name.into() } else { redactor.name(name) }
                },
            );
            out.extend(["\"", &name, "\":"]);
            if matches!(own, Some("v" | "revision" | "epoch")) && value.is_number() {
                out.push_str(value.raw());
            } else {
                out.push_str(&self.json(value.raw(), Vocabulary::Properties));
            }
        }
        out.push('}');
        out
    }

    /// The body of an answer.
    pub(super) fn answer(&self, body: &str) -> String {
        match (body.trim_ascii(), Object::parse(body)) {
            ("0" | "1", _) => body.into(),
            (_, Ok(_)) => self.json(body, Vocabulary::Answers),
            (_, Err(_)) => filler(body),
        }
    }

    /// `Retry-After`: seconds, or a date that nobody reads.
    pub(super) fn retry_after(&self, text: &str) -> String {
        let seconds = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b' ');
        if seconds { text.into() } else { filler(text) }
    }

    /// Text of JSON that has passed the grammar.
    fn json(&self, text: &str, vocabulary: Vocabulary) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut name = String::new();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => string_length(rest),
                '-' | '0'..='9' => rest.find(|c| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')),
                _ => Some(first.len_utf8()),
            };
            let (token, after) = rest.split_at(length.unwrap_or(rest.len()));
            rest = after;
            match first {
                '"' => {
                    let raw = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
                    let is_name = after.trim_ascii_start().starts_with(':');
                    let drawn = if is_name {
                        name = unescaped(raw);
                        let keeps = vocabulary.keeps_name(&name);
                        self.string(
                            raw,
                            |redactor, text| if keeps { text.into() } else { redactor.text(text) },
                        )
                    } else {
                        let keeps = vocabulary.keeps_word(&name, &unescaped(raw));
                        name.clear();
                        self.string(
                            raw,
                            |redactor, text| if keeps { text.into() } else { redactor.text(text) },
                        )
                    };
                    out.extend(["\"", &drawn, "\""]);
                }
                '-' | '0'..='9' => {
                    let keeps = vocabulary.keeps_number(&name, token);
                    name.clear();
                    out.push_str(&if keeps { token.into() } else { self.number(token) });
                }
                '{' | '[' => {
                    name.clear();
                    out.push(first);
                }
                other => out.push(other),
            }
        }
        out
    }

    /// A string as it stands between its quotes; what is escaped in it stays escaped, in as many bytes.
    fn string(&self, raw: &str, draw: impl FnOnce(&Self, &str) -> String) -> String {
        let drawn = draw(self, &unescaped(raw));
        let mut out = String::with_capacity(raw.len());
        for ((piece, meant), drawn) in pieces(raw).zip(drawn.chars()) {
            if drawn == meant {
                out.push_str(piece);
            } else if piece.starts_with('\\') {
                for unit in drawn.encode_utf16(&mut [0; 2]) {
                    out.push_str("\\u");
                    write::hex(&mut out, &unit.to_be_bytes());
                }
            } else {
                out.push(drawn);
            }
        }
        out
    }

    fn number(&self, token: &str) -> String {
        let bytes = token.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let (mut digits, mut radix) = (Vec::new(), Vec::new());
        let mut leads = true;
        for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            // A number of several digits does not begin with 0.
            let least = u8::from(leads && digit(at + 1));
            leads = false;
            digits.push(u32::from(byte - b'0' - least));
            radix.push(u32::from(10 - least));
        }
        self.permute(b'n', &mut digits, &radix);
        let mut drawn = digits.iter().zip(radix).map(|(digit, radix)| digit + 10 - radix);
        let replace = |c: char| {
            let next = c.is_ascii_digit().then(|| drawn.next()).flatten();
            next.and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
        };
        token.chars().map(replace).collect()
    }

    fn permute_text(&self, text: &mut [char], plain: bool) {
        let alphabet = |c: &char| if plain { Alphabet::of_plain(*c) } else { Alphabet::of(*c) };
        let found: Vec<_> = text.iter().map(alphabet).collect();
        let mut digits: Vec<u32> = found.iter().flatten().map(|(_, digit)| *digit).collect();
        let radix: Vec<u32> = found.iter().flatten().map(|(alphabet, _)| alphabet.size()).collect();
        self.permute(b't' + u8::from(plain), &mut digits, &radix);
        let places = text.iter_mut().zip(&found).filter_map(|(c, found)| Some((c, found.as_ref()?)));
        for ((c, (alphabet, _)), digit) in places.zip(digits) {
            *c = alphabet.at(digit).unwrap_or(*c);
        }
    }

    /// Puts digits, each below its radix, in the place of others.
    fn permute(&self, kind: u8, digits: &mut [u32], radix: &[u32]) {
        if let ([digit], [radix]) = (&mut *digits, radix) {
            *digit = self.permute_one(kind, *digit, *radix);
            return;
        }
        let (front, back) = digits.split_at_mut(digits.len() / 2);
        let (front_radix, back_radix) = radix.split_at(front.len());
        for round in 0..ROUNDS {
            let (from, to, to_radix) = if round % 2 == 0 {
                (&*front, &mut *back, back_radix)
            } else {
                (&*back, &mut *front, front_radix)
            };
            let seed = self.hash(&[kind, round], from.iter().chain(radix));
            for (at, (digit, radix)) in to.iter_mut().zip(to_radix).enumerate() {
                let add = self.keyed(seed, at as u64) % u64::from(*radix);
                *digit = ((u64::from(*digit) + add) % u64::from(*radix)) as u32;
            }
        }
    }

    /// "Swap or not": a network needs two halves.
    fn permute_one(&self, kind: u8, mut digit: u32, radix: u32) -> u32 {
        for round in 0..32 {
            let sum = self.hash(&[kind, b'1', round], [radix].iter()) % u64::from(radix);
            let other = ((sum + u64::from(radix) - u64::from(digit)) % u64::from(radix)) as u32;
            if self.hash(&[kind, b'2', round], [radix, digit.max(other)].iter()) & 1 == 1 {
                digit = other;
            }
        }
        digit
    }

    fn hash<'n>(&self, kind: &[u8], numbers: impl Iterator<Item = &'n u32>) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write(&self.salt);
        hasher.write(kind);
        numbers.for_each(|number| hasher.write_u32(*number));
        hasher.finish()
    }

    fn keyed(&self, seed: u64, at: u64) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(seed);
        hasher.write_u64(at);
        hasher.finish()
    }
}

/// Characters that stand for each other: as long in UTF-8, and in an escape. Quotes, slashes and control characters
/// stay, because they are escaped in their own ways.
struct Alphabet {
    first: u32,
    size: u32,
}

const PLAIN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Of ASCII, what is not escaped.
const ASCII: Alphabet = Alphabet { first: 0x20, size: 93 };
/// The place that [`PLAIN`] has among the alphabets; it begins nowhere.
const NOWHERE: u32 = u32::MAX;

impl Alphabet {
    fn of_plain(c: char) -> Option<(Self, u32)> {
        let digit = PLAIN.iter().position(|plain| char::from(*plain) == c)?;
        Some((Self { first: NOWHERE, size: 64 }, digit as u32))
    }

    fn of(c: char) -> Option<(Self, u32)> {
        let code = u32::from(c);
        let surrogates = if code > 0xDFFF { 0x800 } else { 0 };
        Some(match code {
            0..0x20 | 0x22 | 0x2F | 0x5C => return None,
            0x20..0x80 => {
                let escaped = [0x22, 0x2F, 0x5C].iter().filter(|escaped| code > **escaped).count() as u32;
                (ASCII, code - 0x20 - escaped)
            }
            0x80..0x800 => (Self { first: 0x80, size: 0x780 }, code - 0x80),
            0x800..0x1_0000 => (Self { first: 0x800, size: 0xF000 }, code - 0x800 - surrogates),
            _ => (Self { first: 0x1_0000, size: 0x10_0000 }, code - 0x1_0000),
        })
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn at(&self, digit: u32) -> Option<char> {
        match self.first {
            NOWHERE => PLAIN.get(digit as usize).map(|plain| char::from(*plain)),
            0x20 => {
                let mut code = digit + 0x20;
                for escaped in [0x22, 0x2F, 0x5C] {
                    code += u32::from(code >= escaped);
                }
                char::from_u32(code)
            }
            0x800 => char::from_u32(digit + 0x800 + if digit >= 0xD000 { 0x800 } else { 0 }),
            first => char::from_u32(digit + first),
        }
    }
}

/// Whether a text could stand in a path, which the engine asks of the ids that servers give.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| PLAIN.contains(&byte))
}

/// A text that is none, as long.
fn filler(text: &str) -> String {
    "x".repeat(text.len())
}

fn hex(bits: &[u8; 16]) -> String {
    let mut out = String::with_capacity(32);
    write::hex(&mut out, bits);
    out
}

/// The bits that a text of 32 hexadecimal digits stands for.
fn bits_of(text: &str) -> Option<[u8; 16]> {
    let mut bits = [0; 16];
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bits.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bits)
}

/// The length of the string that a text begins with, with its quotes.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// The characters of a string as they stand between its quotes, and what they mean.
fn pieces(raw: &str) -> impl Iterator<Item = (&str, char)> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let unit = |at: usize| {
            let digits = rest.get(at..at + 4);
            digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default()
        };
        let (length, meant) = match (first, rest.as_bytes().get(1)) {
            ('\\', Some(b'u')) => {
                let (high, low) = (unit(2), unit(8));
                let pair = (0xD800..0xDC00).contains(&high);
                let units = if pair { vec![high, low] } else { vec![high] };
                let meant = char::decode_utf16(units).next()?.unwrap_or(char::REPLACEMENT_CHARACTER);
                (if pair { 12 } else { 6 }, meant)
            }
            ('\\', Some(escape)) => {
                let meant = match escape {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    other => char::from(*other),
                };
                (2, meant)
            }
            _ => (first.len_utf8(), first),
        };
        let (piece, after) = rest.split_at_checked(length)?;
        rest = after;
        Some((piece, meant))
    })
}

fn unescaped(raw: &str) -> String {
    pieces(raw).map(|(_, meant)| meant).collect()
}
