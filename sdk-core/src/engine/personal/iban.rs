//! International bank account numbers.

use super::hits::{at_sign, separator};

/// The countries of the SWIFT registry (release 101) with the length of their IBANs.
const COUNTRIES: &str = "\
    AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22\
    GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20\
    MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26\
    UA29VA22VG24XK20YE30";
/// The longest of them.
const LONGEST_IBAN: usize = 33;

/// Where an IBAN that begins here ends.
pub(super) fn iban(bytes: &[u8], start: usize) -> Option<usize> {
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
