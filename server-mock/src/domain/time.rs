//! Instants as milliseconds since 1970 in UTC; calendar dates and ISO 8601 texts.

use serde_json::Value;

/// Milliseconds of one second.
pub const SECOND: i64 = 1_000;
/// Milliseconds of one day.
pub const DAY: i64 = 86_400 * SECOND;

/// Below this magnitude a client's number is seconds, from it on milliseconds (SPEC §20.1).
const SECONDS_BELOW: f64 = 1e11;

/// A time farther away, in milliseconds, is taken for this one: up to here a number of its kind is exact.
const FARTHEST: f64 = 9e15;

/// A client's `time` in milliseconds: seconds or milliseconds, as a number or a numeric text.
/// `None`: not a time.
pub fn client_time(value: &Value) -> Option<i64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let ms = if number.abs() < SECONDS_BELOW { number * 1000.0 } else { number };
    // Nanoseconds, say, are a time in the future like any other.
    Some(ms.round().clamp(-FARTHEST, FARTHEST) as i64)
}

/// Days since 1970-01-01 of a calendar date.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The calendar date of a day counted from 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Day number of a `yyyy-mm-dd` text.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let (year, month, day) = (i64::from(number(year)?), number(month)?, number(day)?);
    ((1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month))
        .then(|| days_from_civil(year, month, day))
}

/// Whether a text is a date as headers write it: `Tue, 01 Sep 2026 00:00:00 GMT`.
pub fn is_http_date(text: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split(' ').collect();
    let ["Mon," | "Tue," | "Wed," | "Thu," | "Fri," | "Sat," | "Sun,", day, month, year, clock, "GMT"] =
        parts[..]
    else {
        return false;
    };
    let month = MONTHS.iter().position(|known| *known == month).map_or(0, |index| index + 1);
    clock.len() == 8 && parse_iso(&format!("{year}-{month:02}-{day}T{clock}Z")).is_some()
}

/// Reads `yyyy-mm-dd`, optionally followed by `Thh:mm[:ss[.fff]]` and `Z` or an offset `±hh:mm`.
pub fn parse_iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let day = parse_date(text.get(..10)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(day * DAY);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], zone(&rest[at..])?),
        None => (rest, 0),
    };
    let mut parts = clock.split(':');
    let two = |part: Option<&str>| part.filter(|p| p.len() == 2).and_then(|p| p.parse::<i64>().ok());
    let (hour, minute) = (two(parts.next())?, two(parts.next())?);
    let seconds = match parts.next() {
        None => 0,
        Some(part) => {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
            if !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let ms: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
            two(Some(whole)).filter(|s| *s < 60)? * SECOND + ms
        }
    };
    if parts.next().is_some() || hour > 23 || minute > 59 {
        return None;
    }
    Some(day * DAY + (hour * 60 + minute - offset) * 60 * SECOND + seconds)
}

/// Minutes east of UTC.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (digits[..2].parse::<i64>().ok()?, digits[2..].parse::<i64>().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// `2026-09-01T00:00:00Z`, with milliseconds only where there are some.
pub fn format_iso(ms: i64) -> String {
    let fraction = ms.rem_euclid(SECOND);
    let suffix = if fraction == 0 { "Z".to_owned() } else { format!(".{fraction:03}Z") };
    format_seconds(ms) + &suffix
}

/// `2026-09-01T00:00:00`, in UTC and without a zone (SPEC §9.2, `$last_seen`).
pub fn format_seconds(ms: i64) -> String {
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY));
    let second = ms.rem_euclid(DAY) / SECOND;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Moves an instant by an ISO 8601 duration such as `P5Y`, `P1M2DT3H`, `PT0.5S`, `P2W` or `-P1D`. Years and months
/// are calendar ones; a day that the month does not have becomes its last. `None`: not a duration, or beyond all calendars.
pub fn add_duration(from: i64, text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let text = text.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    let (date, clock) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let mut months = 0_i64;
    let mut ms = 0_f64;
    for (count, unit) in units(date)? {
        match unit {
            'Y' if count.fract() == 0.0 => months = months.checked_add((count as i64).checked_mul(12)?)?,
            'M' if count.fract() == 0.0 => months = months.checked_add(count as i64)?,
            'W' => ms += 7.0 * count * DAY as f64,
            'D' => ms += count * DAY as f64,
            _ => return None,
        }
    }
    for (count, unit) in units(clock)? {
        ms += count
            * SECOND as f64
            * match unit {
                'H' => 3600.0,
                'M' => 60.0,
                'S' => 1.0,
                _ => return None,
            };
    }
    let (year, month, day) = civil_from_days(from.div_euclid(DAY));
    let total = year.checked_mul(12)?.checked_add(i64::from(month) - 1)?.checked_add(sign * months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    if !(-9999..=99_999).contains(&year) || ms.abs() > 4e15 {
        return None;
    }
    let day = days_from_civil(year, month, day.min(days_in_month(year, month)));
    Some(day * DAY + from.rem_euclid(DAY) + sign * ms.round() as i64)
}

fn units(text: &str) -> Option<Vec<(f64, char)>> {
    let mut found = Vec::new();
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() || character == '.' {
            number.push(character);
        } else {
            found.push((number.parse().ok()?, character));
            number.clear();
        }
    }
    number.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn client_times_are_read_by_magnitude() {
        assert_eq!(client_time(&json!(1_788_217_200)), Some(1_788_217_200_000));
        assert_eq!(client_time(&json!(1_788_217_200_123_i64)), Some(1_788_217_200_123));
        assert_eq!(client_time(&json!(1_788_217_200.334)), Some(1_788_217_200_334));
        assert_eq!(client_time(&json!("1788217200")), Some(1_788_217_200_000));
        assert_eq!(client_time(&json!(99_999_999_999_i64)), Some(99_999_999_999_000));
        for far in [json!(1_788_220_800_000_000_000_i64), json!(1e300), json!("9000000000000000")] {
            assert_eq!(client_time(&far), Some(9_000_000_000_000_000), "{far}");
        }
        assert_eq!(client_time(&json!(-1e300)), Some(-9_000_000_000_000_000));
        for bad in [
            json!("2026-09-01"),
            json!(""),
            json!(true),
            json!({}),
            json!("inf"),
            json!("NaN"),
            json!("1e400"),
        ] {
            assert_eq!(client_time(&bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_go_both_ways() {
        for day in [-1, 0, 58, 59, 60, 365, 18_735, 20_697, 11_016, 2_932_896] {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
        assert_eq!(parse_date("2026-09-01"), Some(1_788_220_800 / 86_400));
        for bad in ["2026-02-29", "2026-13-01", "2026-9-1", "2026-09-01x", "", "+026-09-01"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn iso_texts_are_read_and_written() {
        assert_eq!(parse_iso("2026-09-01T00:00:00Z"), Some(1_788_220_800_000));
        assert_eq!(parse_iso("2026-09-01T02:00:00.25+02:00"), Some(1_788_220_800_250));
        assert_eq!(parse_iso("2026-09-01"), Some(1_788_220_800_000));
        assert_eq!(parse_iso("2026-09-01T25:00:00Z"), None);
        assert_eq!(parse_iso("2026-09-01T00:00:00+99:99"), None);
        assert_eq!(format_iso(1_788_220_800_000), "2026-09-01T00:00:00Z");
        assert_eq!(format_iso(1_788_220_800_007), "2026-09-01T00:00:00.007Z");
    }

    #[test]
    fn durations_follow_the_calendar() {
        let at = |text| parse_iso(text).unwrap();
        let start = at("2024-02-29T12:00:00Z");
        assert_eq!(add_duration(start, "P5Y"), Some(at("2029-02-28T12:00:00Z")));
        assert_eq!(add_duration(start, "P1M1DT1H"), Some(at("2024-03-30T13:00:00Z")));
        assert_eq!(add_duration(start, "PT90S"), Some(at("2024-02-29T12:01:30Z")));
        assert_eq!(add_duration(start, "P1W"), Some(at("2024-03-07T12:00:00Z")));
        assert_eq!(add_duration(start, "-P1D"), Some(at("2024-02-28T12:00:00Z")));
        // What leads beyond all calendars is none either.
        let far = [
            "P9223372036854775807Y",
            "P9223372036854775807M1M",
            "-P99999999999999999999Y",
            "P1000000000000D",
        ];
        for bad in ["", "P", "5Y", "PT", "P5", "P5X", "PT1D", "P0.5Y"].into_iter().chain(far) {
            assert_eq!(add_duration(start, bad), None, "{bad}");
        }
    }
}
