//! `Retry-After` as a date (RFC 9110 §10.2.3), in seconds from now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The header's value in seconds. A date counts from the answer's own `Date`, so that a clock that is wrong here does
/// not matter, or from this clock where there is none. What is no date that is to come is left as it is: not
/// understood, it does not make a client hurry.
pub(super) fn in_seconds(value: &str, date: Option<&str>, clock: SystemTime) -> String {
    let Some(until) = parse(value) else { return value.into() };
    let clock = || clock.duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    let now = date.and_then(parse).unwrap_or_else(clock);
    until
        .checked_sub(now)
        .filter(|seconds| *seconds > 0)
        .map_or_else(|| value.into(), |seconds| seconds.to_string())
}

/// The seconds since 1970 of a date in the form that servers write, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse(date: &str) -> Option<u64> {
    let (_weekday, rest) = date.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let mut next = || parts.next();
    let (day, month, year, time, zone) = (next()?, next()?, next()?, next()?, next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (hour, time) = time.split_once(':')?;
    let (minute, second) = time.split_once(':')?;
    let (day, year) = (number(day, 2)?, number(year, 4)?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    // 60 is a leap second.
    let plain = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !plain || zone != "GMT" || parts.next().is_some() {
        return None;
    }
    Some(days(year, month, day)? * DAY + hour * 3_600 + minute * 60 + second)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Counted in years that begin in March: the leap day is their last one.
    let year = if month < 3 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Wed, 25 Nov 2026 23:59:00 GMT", 1_795_651_140),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:60 GMT", 253_402_300_800),
        ] {
            assert_eq!(parse(date), Some(seconds), "{date}");
        }
        // Every day follows the one before.
        let lengths = |year: u64| {
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let all = (1970..2500).flat_map(|year| {
            (1..13)
                .zip(lengths(year))
                .flat_map(move |(month, last)| (1..=last).map(move |d| (year, month, d)))
        });
        all.enumerate().for_each(|(count, (y, m, d))| assert_eq!(days(y, m, d), Some(count as u64)));
    }

    #[test]
    fn what_is_no_date_is_left_as_it_is() {
        for text in [
            "120",
            "",
            "soon",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sat, 01 Jan 0000 00:00:00 GMT",
        ] {
            assert_eq!(in_seconds(text, None, UNIX_EPOCH), text);
        }
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let until = "Sun, 06 Nov 1994 08:49:37 GMT";
        let clock = UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (date, seconds) in [
            (Some("Sun, 06 Nov 1994 08:47:37 GMT"), "120"),
            (Some(until), until),
            (Some("Sun, 06 Nov 1994 08:49:38 GMT"), until),
            (Some("yesterday"), "30"),
            (None, "30"),
        ] {
            assert_eq!(in_seconds(until, date, clock), seconds, "{date:?}");
        }
    }
}
