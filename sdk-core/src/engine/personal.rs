//! The detector for personal data in what a host records. Off unless the host chooses a [`PersonalDataMode`].
//!
//! It is a net under an app that means to record nothing of the kind, not a proof that it does not: it knows four
//! kinds of data, by their written form. Names, postal addresses and telephone numbers pass, and so does whatever is
//! hidden, misspelt or written in words.
//!
//! | kind | is a hit | is none |
//! |---|---|---|
//! | e-mail address | a local part of letters, digits and `. _ + - '` (RFC 5321's 64 characters at most), `@` or the `%40` of URLs, and a domain with a top label of letters; letters up to U+1FFF count, in the domain too | `@handle`, `user@localhost`, `user@192.0.2.1`, `name@1.2.3`, `icon@2x.png`; `git@…`, where no person is; quoted local parts; scripts beyond U+1FFF |
//! | card number | 14 to 19 digits, in one run or in groups of 4 to 6 with one sort of separator (13 digits in groups only), that begin as an issuer's do, are as long as its cards and pass Luhn's check; also as a number of JSON | digits that go on a longer run, a fraction, a word or a `+` of a telephone number; 13 digits in one run, which are article numbers far oftener |
//! | IBAN | a country of the SWIFT registry, as long as its IBANs, with a remainder of 1 modulo 97 (ISO 13616); in any case, in one run or in groups of 4 | part of a longer word |
//! | JWT | base64url parts between points of which the first is a JSON object with `alg` or `typ` (RFC 7515); all five parts of an encrypted one | a header alone |
//!
//! A separator is a space, a hyphen, a no-break space, or the `+` or `%20` of URLs. What reads like an address is taken for
//! one, whatever it is for: the user and password of a URL, a `Message-ID`, the account on a machine. One in ten of all
//! numbers passes Luhn's check, so an order number that is as long as a card's and begins like one can be a hit:
//! of random numbers of 16 digits one in 25 is.
//!
//! Looked at are property names and values, in events, registered or for the session, at any depth; operators on
//! profiles, except for the numbers that `$add` adds; the keys and ids of groups; and automatic properties. Escapes of
//! JSON are resolved first. Not looked at: the names of events and timers, which are the app's own words, the ids of
//! users, which are often addresses on purpose, and what stands under an allowed name, see
//! [`Config::personal_data_allow`].
//!
//! A call is looked at once, after the gate and the limits and before it is held, queued or written, so that neither
//! memory nor disk keeps what was found; [`Stats::personal_data`] counts it by kind. What was registered, held or
//! queued before the mode was chosen stays as it is. The time is proportional to the length of the text.
//!
//! On the labelled strings of `tests/data/personal-data.tsv`, which were written by hand to be tricky:
//!
//! ```text
//! cargo test -p refrain --lib labelled_strings -- --nocapture
//!
//! 339 strings, 149 without personal data
//!        found  missed  mistaken  precision  recall
//! email     67      13        10      0.870   0.838
//! card      42       8         3      0.933   0.840
//! iban      31       4         0      1.000   0.886
//! jwt       16       3         0      1.000   0.842
//! ```

use super::books::Stats;
use super::call::{Call, CallKind, Kept};
use super::config::{Config, ConfigError};
use super::outcome::Rejection;
use super::{Engine, limits};
use crate::json::{Object, Value, unescape, write};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// What is done about personal data in what the host records: e-mail addresses, card numbers, IBANs and JSON web
/// tokens, known by their written form. A net under an app that means to record none, and no proof that it does not:
/// names, postal addresses and telephone numbers pass, and some order numbers are taken for a card's.
///
/// Looked at are the names and values of properties, the operators on profiles, and the keys and ids of groups; not
/// the names of events and timers, not the ids of users, and nothing under a name of [`Config::personal_data_allow`].
/// What was registered or queued before the mode was chosen stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PersonalDataMode {
    /// Nothing: it is not looked for; the default.
    #[default]
    Off,
    /// It is counted.
    Observe,
    /// It is counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in its place. Names that become one
    /// stand for one property, of which the last value counts.
    Redact,
    /// It is counted, and the call is refused with [`Rejection::PersonalData`].
    Reject,
}

/// What the detector knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PersonalDataKind {
    /// An e-mail address.
    Email,
    /// The number of a payment card.
    Card,
    /// An international bank account number (ISO 13616).
    Iban,
    /// A JSON Web Token (RFC 7519), or another object in the compact form of RFC 7515 or RFC 7516.
    Jwt,
}

impl PersonalDataKind {
    /// All kinds, in the order of [`Stats::personal_data`].
    pub const ALL: [Self; 4] = [Self::Email, Self::Card, Self::Iban, Self::Jwt];

    /// The word in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Jwt => "jwt",
        }
    }

    /// What stands in its place.
    const fn placeholder(self) -> &'static str {
        match self {
            Self::Email => "[email]",
            Self::Card => "[card]",
            Self::Iban => "[iban]",
            Self::Jwt => "[jwt]",
        }
    }
}

impl Engine {
    /// What is done about personal data in calls from now on, in place of what the configuration says: for bindings
    /// that hand their settings over piece by piece. Automatic properties were looked at when the engine was made.
    pub fn set_personal_data(&mut self, mode: PersonalDataMode, allow: Vec<String>) {
        self.config.personal_data = mode;
        self.config.personal_data_allow = allow;
    }

    /// Looks at a call that has passed the limits, and counts what is found: the call to make in its place, where it
    /// has to be another one. [`Engine::survey`] is of that one, then.
    pub(super) fn inspect(&mut self, call: &Call<'_>) -> Result<Option<Kept>, Rejection> {
        if self.config.personal_data == PersonalDataMode::Off {
            return Ok(None);
        }
        let mut detector = Detector::new(&self.config);
        let (name, text) = match call.kind {
            CallKind::Track | CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession => {
                (None, detector.object(call.text, false))
            }
            CallKind::Profile | CallKind::Group => {
                let group = Object::trust(call.text).get("$group_key").and_then(Value::string);
                detector.any_group = group.is_some_and(|group| detector.allows(&group));
                (None, detector.object(call.text, true))
            }
            CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => {
                let looks = !detector.allows(call.name);
                let mut clean = |text| if looks { detector.string(text) } else { None };
                (clean(call.name), clean(call.text))
            }
            // Records nothing: the name is only to be the one that was registered.
            CallKind::Unregister => (Detector::new(&self.config).string(call.name), None),
            CallKind::Identify
            | CallKind::Reset
            | CallKind::SwitchUser
            | CallKind::Alias
            | CallKind::TimeEvent => return Ok(None),
        };
        if detector.enter(&mut self.books) && self.config.personal_data == PersonalDataMode::Reject {
            return Err(Rejection::PersonalData);
        }
        if name.is_none() && text.is_none() {
            return Ok(None);
        }
        let name = name.as_deref().unwrap_or(call.name);
        let text = text.as_deref().unwrap_or(call.text);
        let redacted = Kept::new(self.now, Call { name, text, ..*call });
        // A placeholder may be longer than what it stands for.
        limits::check(&redacted.call(), &mut self.survey)?;
        Ok(Some(redacted))
    }
}

/// The same for the properties that a configuration adds to every event: what goes in its place, and the first books.
///
/// # Errors
/// [`ConfigError::PersonalData`], where that is the mode and something was found.
pub(super) fn checked(mut config: Config) -> Result<(Config, Stats), ConfigError> {
    let mut books = Stats::default();
    if config.personal_data != PersonalDataMode::Off {
        let mut detector = Detector::new(&config);
        let redacted = detector.object(&config.automatic_properties, false);
        if detector.enter(&mut books) && config.personal_data == PersonalDataMode::Reject {
            return Err(ConfigError::PersonalData);
        }
        config.automatic_properties = redacted.unwrap_or(config.automatic_properties);
    }
    Ok((config, books))
}

/// Finds, counts and, where that is the mode, replaces.
struct Detector<'c> {
    config: &'c Config,
    /// Whether the group that a call is about may have any id.
    any_group: bool,
    found: [u64; PersonalDataKind::ALL.len()],
}

impl<'c> Detector<'c> {
    fn new(config: &'c Config) -> Self {
        Self { config, any_group: false, found: Default::default() }
    }

    /// Writes into the books what was found; whether that is anything.
    fn enter(&self, books: &mut Stats) -> bool {
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

    fn allows(&self, name: &str) -> bool {
        self.config.personal_data_allow.iter().any(|allowed| allowed == name)
            || self.any_group && name == "$group_id"
    }

    /// A text with what is found replaced, if anything is to be.
    fn string(&mut self, text: &str) -> Option<String> {
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
    fn object(&mut self, text: &str, sums: bool) -> Option<String> {
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

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const POINT: u8 = 4;
/// The at sign, and what begins an escape of URLs.
const SIGN: u8 = 8;
const QUOTE: u8 = 16;
const ESCAPE: u8 = 32;

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

fn sort(byte: u8) -> u8 {
    SORTS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How many bytes from here on are of a sort.
fn run(bytes: &[u8], from: usize, mut sort: impl FnMut(&u8) -> bool) -> usize {
    bytes.get(from..).unwrap_or_default().iter().take_while(|byte| sort(byte)).count()
}

/// What is found in a text, from left to right; no two overlap.
///
/// What it reads beyond the place that it has come to is bounded, or is not read again. Where a hit has ended is
/// as good as a beginning, so that nothing more is found once hits have been replaced.
pub(super) struct Hits<'a> {
    text: &'a str,
    at: usize,
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
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, floor: 0 }
    }

    /// What may belong to something that begins here.
    fn before(&self, at: usize) -> &'a str {
        self.text.get(self.floor..at).unwrap_or_default()
    }

    /// An address around the at sign here, behind which this has come.
    fn email(&self, sign: usize) -> Option<Range<usize>> {
        let before = self.before(sign);
        let mut local = before.get(before.trim_end_matches(is_local).len()..)?;
        // Of a URL's escapes some mean a letter or a plus, the others end a value.
        let mut rest = local;
        while let Some(percent) = rest.find('%') {
            let code = escape(rest.as_bytes(), percent);
            rest = rest.get(percent + if code.is_some() { 3 } else { 1 }..)?;
            if !code.is_some_and(|code| !code.is_ascii() || is_local(code.into())) {
                local = rest;
            }
        }
        let local = local.trim_start_matches(['.', '-', '+', '\'']);
        if local.is_empty() || local.chars().count() > 64 || local == "git" {
            return None;
        }
        let domain = domain(self.text.get(self.at..)?)?;
        Some(sign - local.len()..self.at + domain)
    }

    /// Where a card's number that begins here ends.
    fn card(&self, start: usize) -> Option<usize> {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        match self.before(start).as_bytes() {
            [.., b'_'] => return None,
            [.., before, b'-'] if word(before) => return None,
            [.., before, b'.'] if before.is_ascii_digit() => return None,
            // Behind a word it is the space of a URL.
            [.., before, b'+'] if word(before) => {}
            [.., b'+'] => return None,
            _ => {}
        }
        let bytes = self.text.as_bytes();
        let mut digits = [0u8; 19];
        let (mut count, mut end, mut groups) = (0, start, 0);
        let mut between: Option<&[u8]> = None;
        let mut found = None;
        loop {
            let group = bytes.get(end..)?;
            let group =
                group.get(..group.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count())?;
            let Some(place) = digits.get_mut(count..count + group.len()).filter(|place| !place.is_empty())
            else {
                return found;
            };
            place.copy_from_slice(group);
            count += group.len();
            end += group.len();
            groups += 1;
            let goes_on = match bytes.get(end..)? {
                [b'.', next, ..] => next.is_ascii_digit(),
                [next, ..] => word(next) || at_sign(bytes, end).is_some(),
                [] => false,
            };
            if !goes_on && is_card(digits.get(..count)?, groups > 1) {
                found = Some(end);
            }
            let separator = separator(bytes, end);
            let same = between.is_none_or(|between| between == separator);
            if separator.is_empty() || !same || !(4..=6).contains(&group.len()) {
                return found;
            }
            between = Some(separator);
            end += separator.len();
        }
    }

    /// Where a token that begins here ends.
    fn jwt(&self, start: usize) -> Option<usize> {
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

/// The width of an at sign here, as it is or as URLs write it.
fn at_sign(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..)? {
        [b'@', ..] => Some(1),
        [b'%', b'4', b'0', ..] => Some(3),
        _ => None,
    }
}

/// The byte that an escape of a URL here means.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low, ..] = bytes.get(at..)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// What separates two groups here; empty if nothing does.
fn separator(bytes: &[u8], at: usize) -> &[u8] {
    let width = match bytes.get(at..).unwrap_or_default() {
        [b' ' | b'-' | b'+', ..] => 1,
        // A no-break space.
        [0xC2, 0xA0, ..] => 2,
        [b'%', b'2', b'0', ..] => 3,
        _ => 0,
    };
    bytes.get(at..at + width).unwrap_or_default()
}

/// Letters outside of ASCII, without the punctuation and the scripts that are written without spaces.
fn is_foreign(c: char) -> bool {
    matches!(c, '\u{C0}'..='\u{1FFF}')
}

fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '\'' | '%') || is_foreign(c)
}

/// How long the domain is that begins a text: up to its last label that can be a top-level one.
fn domain(text: &str) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.') || is_foreign(c);
    let letter = |c: char| c.is_ascii_alphabetic() || is_foreign(c);
    let text = text.get(..text.find(|c| !part(c)).unwrap_or(text.len()))?;
    let mut found = None;
    let mut at = 0;
    let mut numeric = true;
    for (index, label) in text.split('.').enumerate() {
        if label.is_empty() || label.starts_with('-') {
            break;
        }
        numeric &= label.bytes().all(|byte| byte.is_ascii_digit());
        if index == 1 && numeric {
            // A version, or an address of the internet protocol.
            return None;
        }
        let rest = label.trim_start_matches(letter);
        let top = label.get(..label.len() - rest.len())?;
        if index > 0 && label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
            found = Some(at + label.trim_end_matches('-').len());
        } else if index > 0
            && (rest.is_empty() || rest.starts_with('-'))
            && top.chars().nth(1).is_some()
            && !FILES.iter().any(|file| top.eq_ignore_ascii_case(file))
        {
            found = Some(at + top.len());
        }
        at += label.len() + 1;
    }
    found
}

/// Ends of file names that stand behind an at sign (`icon@2x.png`) and are no top-level domains.
const FILES: [&str; 12] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "json", "html", "pdf", "csv"];

/// The first four digits of card numbers, from and to, and how many digits there are, a bit each (ISO/IEC 7812).
const ISSUERS: [(u16, u16, u32); 19] = [
    // Mir, Mastercard.
    (2200, 2204, SIXTEEN_UP),
    (2221, 2720, SIXTEEN),
    // Diners Club, American Express, JCB.
    (3000, 3059, FOURTEEN | SIXTEEN),
    (3095, 3095, FOURTEEN | SIXTEEN),
    (3400, 3499, 1 << 15),
    (3528, 3589, SIXTEEN),
    (3600, 3699, FOURTEEN | SIXTEEN),
    (3700, 3799, 1 << 15),
    (3800, 3999, FOURTEEN | SIXTEEN),
    // Visa; Maestro, RuPay, Verve and Elo; Mastercard; Maestro.
    (4000, 4999, 1 << 13 | SIXTEEN | 1 << 19),
    (5000, 5099, SIXTEEN_UP),
    (5100, 5599, SIXTEEN),
    (5600, 5899, SIXTEEN_UP),
    // Discover and RuPay; UnionPay and Maestro; Discover and RuPay; Maestro; RuPay and UnionPay; Troy.
    (6000, 6099, SIXTEEN),
    (6200, 6399, SIXTEEN_UP),
    (6440, 6599, SIXTEEN),
    (6700, 6799, SIXTEEN_UP),
    (8100, 8299, SIXTEEN),
    (9792, 9792, SIXTEEN),
];
const FOURTEEN: u32 = 1 << 14;
const SIXTEEN: u32 = 1 << 16;
const SIXTEEN_UP: u32 = 0b1111 << 16;

/// Whether these digits can be a card's.
fn is_card(digits: &[u8], grouped: bool) -> bool {
    let [a, b, c, d, ..] = digits else { return false };
    if digits.len() < 13 || digits.len() == 13 && !grouped {
        return false;
    }
    let first = [a, b, c, d].into_iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    let issued = |(from, to, lengths): &(u16, u16, u32)| {
        (*from..=*to).contains(&first) && lengths >> digits.len() & 1 == 1
    };
    ISSUERS.iter().any(issued) && luhn(digits)
}

/// Luhn's check (ISO/IEC 7812-1): every second digit from the right counts double, less 9 where that has two digits.
fn luhn(digits: &[u8]) -> bool {
    let value = |(place, digit): (usize, &u8)| match (place % 2, u32::from(digit - b'0')) {
        (0, digit) => digit,
        (_, digit) => digit * 2 - if digit > 4 { 9 } else { 0 },
    };
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

/// The countries of the SWIFT registry (release 101) with the length of their IBANs.
const COUNTRIES: &str = "\
    AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22\
    GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20\
    MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26\
    UA29VA22VG24XK20YE30";
/// The longest of them.
const LONGEST_IBAN: usize = 33;

/// Where an IBAN that begins here ends.
fn iban(bytes: &[u8], start: usize) -> Option<usize> {
    let [a, b, c, d, ..] = bytes.get(start..)? else { return None };
    if !(b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit()) {
        return None;
    }
    let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    let length = COUNTRIES.as_bytes().chunks_exact(4).find_map(|entry| match entry {
        [a, b, tens, ones] if country == [*a, *b] => Some(usize::from((tens - b'0') * 10 + ones - b'0')),
        _ => None,
    })?;
    let between = separator(bytes, start + 4);
    let mut all = [0u8; LONGEST_IBAN];
    let mut end = start;
    let text = all.get_mut(..length)?;
    for (place, slot) in text.iter_mut().enumerate() {
        if place > 0 && place % 4 == 0 && bytes.get(end..)?.starts_with(between) {
            end += between.len();
        }
        *slot = *bytes.get(end).filter(|byte| byte.is_ascii_alphanumeric())?;
        end += 1;
    }
    let goes_on = bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) || at_sign(bytes, end).is_some();
    let (head, rest) = text.split_at_checked(4)?;
    let remainder = rest.iter().chain(head).fold(0u32, |number, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        (number * if value < 10 { 10 } else { 100 } + value) % 97
    });
    (!goes_on && remainder == 1).then_some(end)
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
