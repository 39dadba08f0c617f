//! Settings of the engine, and their defaults.

use super::limits;
#[cfg(feature = "personal-data")]
use super::personal::PersonalDataMode;
use crate::json::Survey;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The maximum number of automatic properties, and of their bytes together with token and library name: an event needs
/// room for its own.
const AUTOMATIC_COUNT: usize = 200;
const AUTOMATIC_BYTES: usize = 400_000;

/// What applies until the person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultConsent {
    /// Collect until the person objects.
    Granted,
    /// Collect nothing until the person agrees.
    Denied,
    /// Keep a bounded number of calls in memory until the person decides; the default.
    #[default]
    Pending,
}

/// How the project at the collector joins ids (SPEC §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdMerge {
    /// Records carry `$device_id` and `$user_id`; the default.
    #[default]
    Simplified,
    /// `$identify` joins an anonymous id to a user.
    Original,
}

/// The engine's configuration. Start from [`Config::new`] and change fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The project's token, part of every record.
    pub token: String,
    /// What applies until somebody decides.
    pub default_consent: DefaultConsent,
    /// Whether Global Privacy Control counts as a "no" until somebody decides. Default: yes.
    pub honor_gpc: bool,
    /// Whether Do Not Track counts as a "no" until somebody decides. Default: yes.
    pub honor_dnt: bool,
    /// How long records are gathered before they are sent, in milliseconds. Default: 5,000.
    pub flush_interval_ms: u64,
    /// Whether the first record after a quiet interval is sent at once (for browsers). Default: no.
    pub leading_edge: bool,
    /// The maximum number of records in one request. Default: 50.
    pub batch_size: usize,
    /// The maximum size of one request in bytes, before compression. Default: 1 MiB.
    pub batch_bytes: usize,
    /// The maximum size in bytes of one request from a page that is being left. Default: 60 KiB, below the browsers' 64
    /// KiB.
    pub leaving_bytes: usize,
    /// The maximum size of the queue in bytes. Beyond it the oldest records are dropped, and counted. Default: 10 MiB.
    pub queue_limit_bytes: u64,
    /// The maximum age of queued records in milliseconds. Older ones are dropped, and counted. Default: 5 days, after
    /// which the collector refuses them anyway (SPEC §6.3).
    pub queue_limit_age_ms: u64,
    /// The maximum number of calls kept in memory while a decision is pending. Default: 1,000.
    pub hold_limit: usize,
    /// The maximum size in bytes of the calls kept in memory while a decision is pending. Default: 256 KiB.
    pub hold_limit_bytes: usize,
    /// How long a call waits for a decision, in milliseconds. Default: 30 minutes.
    pub hold_limit_age_ms: u64,
    /// How ids are joined.
    pub id_merge: IdMerge,
    /// Properties that the host adds to every event: the text of a JSON object within the limits of an event, with at
    /// most 200 members and 400 kB. Any other property of the same name takes precedence.
    pub automatic_properties: String,
    /// Names of properties that are never recorded, no matter who sets them: in events, registered, as groups or in
    /// profiles. Names nested inside other values are not inspected.
    pub deny_list: Vec<String>,
    /// The name of this library on the wire (`mp_lib`).
    pub library: String,
    /// What to do about personal data in what the host records. Default: nothing.
    #[cfg(feature = "personal-data")]
    pub personal_data: PersonalDataMode,
    /// Names of properties and kinds of groups that may contain personal data on purpose, such as a profile's `$email`;
    /// nothing under them is inspected, at any depth. Default: none.
    #[cfg(feature = "personal-data")]
    pub personal_data_allow: Vec<String>,
}

impl Config {
    /// The defaults, for one project.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            default_consent: DefaultConsent::default(),
            honor_gpc: true,
            honor_dnt: true,
            flush_interval_ms: 5_000,
            leading_edge: false,
            batch_size: 50,
            batch_bytes: 1 << 20,
            leaving_bytes: 60 << 10,
            queue_limit_bytes: 10 << 20,
            queue_limit_age_ms: 5 * DAY_MS,
            hold_limit: 1_000,
            hold_limit_bytes: 256 << 10,
            hold_limit_age_ms: 30 * 60 * 1_000,
            id_merge: IdMerge::default(),
            automatic_properties: String::from("{}"),
            deny_list: Vec::new(),
            library: String::from("refrain"),
            #[cfg(feature = "personal-data")]
            personal_data: PersonalDataMode::default(),
            #[cfg(feature = "personal-data")]
            personal_data_allow: Vec::new(),
        }
    }

    /// Checks what the types cannot express.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.token.trim_ascii().is_empty() {
            return Err(ConfigError::EmptyToken);
        }
        if self.batch_size == 0 || self.batch_size > 2_000 {
            return Err(ConfigError::BatchSize);
        }
        let mut survey = Survey::default();
        let sound = limits::check_properties(&self.automatic_properties, &mut survey).is_ok();
        // They go with every event: otherwise each would be refused.
        let text = self.automatic_properties.len() + self.token.len() + self.library.len();
        if !sound || survey.keys.len() > AUTOMATIC_COUNT || text > AUTOMATIC_BYTES {
            return Err(ConfigError::AutomaticProperties);
        }
        Ok(())
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The project's token is missing.
    EmptyToken,
    /// A request takes 1 to 2,000 records (SPEC §2.4).
    BatchSize,
    /// The automatic properties are not the text of a JSON object, exceed the limits of an event's properties, or leave
    /// an event no room for its own.
    AutomaticProperties,
    /// The automatic properties contain personal data, and the detector is set to reject that.
    #[cfg(feature = "personal-data")]
    PersonalData,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyToken => "token is empty: pass the project's token",
            Self::BatchSize => "batch_size must be between 1 and 2000",
            Self::AutomaticProperties => {
                "automatic_properties must be an object of 200 members, 400 kB and 3 levels at most"
            }
            #[cfg(feature = "personal-data")]
            Self::PersonalData => "something in automatic_properties looks like personal data: leave it out",
        })
    }
}

impl core::error::Error for ConfigError {}
