//! Numbers of payment cards.

use super::hits::{Hits, at_sign, separator};

impl Hits<'_> {
    /// Where a card's number that begins here ends.
    pub(super) fn card(&self, start: usize) -> Option<usize> {
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
}

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
