//! The detector for personal data in what a host records. Off unless the host chooses a [`PersonalDataMode`].
//!
//! It is a safety net for an app that means to record nothing of the kind, not a proof that it does not: it knows four
//! kinds of data, by their written form. Names, postal addresses and telephone numbers pass, and so does anything that
//! is hidden, misspelt or written in words.
//!
//! | kind | a hit | not a hit |
//! |---|---|---|
//! | e-mail address | a local part of letters, digits and `. _ + - '` (RFC 5321's 64 characters at most), `@` or the `%40` of URLs, and a domain with a top label of letters; letters up to U+1FFF count, in the domain too | `@handle`, `user@localhost`, `user@192.0.2.1`, `name@1.2.3`, `icon@2x.png`; `git@…`, where no person is; quoted local parts; scripts beyond U+1FFF |
//! | card number | 14 to 19 digits, in one run or in groups of 4 to 6 with one sort of separator (13 digits in groups only), that begin as an issuer's do, are as long as its cards and pass Luhn's check; also as a number of JSON | digits that go on a longer run, a fraction, a word or a `+` of a telephone number; 13 digits in one run, which are article numbers far oftener |
//! | IBAN | a country of the SWIFT registry, as long as its IBANs, with a remainder of 1 modulo 97 (ISO 13616); in any case, in one run or in groups of 4 | part of a longer word |
//! | JWT | base64url parts between points of which the first is a JSON object with `alg` or `typ` (RFC 7515); all five parts of an encrypted one | a header alone |
//!
//! A separator is a space, a hyphen, a no-break space, or the `+` or `%20` of URLs. Anything that reads like an address
//! is taken for one, whatever its purpose: the user and password of a URL, a `Message-ID`, the account on a machine.
//! One in ten of all numbers passes Luhn's check, so an order number that is as long as a card's and begins like one
//! can be a hit: of random numbers of 16 digits, one in 25 is.
//!
//! These are inspected: property names and values, in events, registered or for the session, at any depth; operators on
//! profiles, except for the numbers that `$add` adds; the keys and ids of groups; and automatic properties. JSON
//! escapes are resolved first. These are not: the names of events and timers, which are the app's own words; the ids of
//! users, which are often addresses on purpose; and what is under an allowed name, see [`Config::personal_data_allow`].
//!
//! A call is inspected once, after the gate and the limits and before it is held, queued or written, so that neither
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

mod card;
mod detector;
mod email;
mod hits;
mod iban;
mod jwt;

use super::books::Stats;
use super::call::{Call, CallKind, Kept};
use super::config::{Config, ConfigError};
use super::outcome::Rejection;
use super::{Engine, limits};
use crate::json::{Object, Value};
use alloc::string::String;
use alloc::vec::Vec;
use detector::Detector;
#[cfg(test)]
pub(super) use hits::Hits;

/// What to do about personal data in what the host records: e-mail addresses, card numbers, IBANs and JSON web tokens,
/// recognised by their written form. This is a safety net for an app that means to record none, and no proof that it
/// does not: names, postal addresses and telephone numbers pass, and some order numbers are taken for card numbers.
///
/// The names and values of properties, the operators on profiles, and the keys and ids of groups are inspected. The
/// names of events and timers, the ids of users, and anything under a name of [`Config::personal_data_allow`] are not.
/// What was registered or queued before the mode was chosen stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PersonalDataMode {
    /// Nothing; it is not looked for. The default.
    #[default]
    Off,
    /// It is counted.
    Observe,
    /// It is counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in its place. If several names become
    /// the same, they stand for one property, and the last value counts.
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
