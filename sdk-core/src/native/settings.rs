//! Settings of a client, in code or as JSON.

use super::build_error::BuildError;
#[cfg(feature = "personal-data")]
use crate::engine::PersonalDataMode;
use crate::engine::{Config, DefaultConsent, IdMerge};
use std::path::PathBuf;
use std::time::Duration;

const ENDPOINT: &str = "https://api.mixpanel.com";

/// The settings of a client, as a JSON document gives them. The keys are the same on every host, and all but `token`
/// are optional. Durations are in seconds and may have decimals.
///
/// ```
/// # #[cfg(feature = "typed")] {
/// let settings: refrain::native::Settings = serde_json::from_str(
///     r#"{"token": "T", "endpoint": "http://127.0.0.1:8787", "default_consent": "granted", "flush_interval": 0.5}"#,
/// ).unwrap();
/// assert_eq!(settings.endpoint, "http://127.0.0.1:8787");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "typed", derive(serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Settings {
    /// The project's token.
    pub token: String,
    /// Where the collector is: scheme, host, perhaps a port and a path. Default: `https://api.mixpanel.com`.
    #[cfg_attr(feature = "typed", serde(default = "default_endpoint"))]
    pub endpoint: String,
    /// The folder that stores the person's choice and undelivered records. Without one nothing is remembered, nothing
    /// is collected before the person decides in this process, and a withdrawal cannot ask for erasure.
    #[cfg_attr(feature = "typed", serde(default))]
    pub data_dir: Option<PathBuf>,
    /// What applies until somebody decides: `granted`, `denied` or `pending` (the default).
    #[cfg_attr(feature = "typed", serde(default, with = "DefaultConsentWord"))]
    pub default_consent: DefaultConsent,
    /// Whether Global Privacy Control counts as a "no" until somebody decides. Default: yes.
    #[cfg_attr(feature = "typed", serde(default = "yes"))]
    pub honor_gpc: bool,
    /// Whether Do Not Track counts as a "no" until somebody decides. Default: yes.
    #[cfg_attr(feature = "typed", serde(default = "yes"))]
    pub honor_dnt: bool,
    /// How long records are gathered before they are sent, in seconds.
    #[cfg_attr(feature = "typed", serde(default))]
    pub flush_interval: Option<f64>,
    /// The maximum number of records in one request.
    #[cfg_attr(feature = "typed", serde(default))]
    pub batch_size: Option<usize>,
    /// The maximum size of the queue in bytes. Beyond it the oldest records are dropped.
    #[cfg_attr(feature = "typed", serde(default))]
    pub queue_limit_bytes: Option<u64>,
    /// The maximum age of queued records in seconds. Older ones are dropped.
    #[cfg_attr(feature = "typed", serde(default))]
    pub queue_limit_age: Option<f64>,
    /// How the collector joins ids: `simplified` (the default) or `original`.
    #[cfg_attr(feature = "typed", serde(default, with = "IdMergeWord"))]
    pub id_merge: IdMerge,
    /// Names of properties that are never recorded, no matter who sets them: in events, registered, as groups or in
    /// profiles. Names nested inside other values are not inspected.
    #[cfg_attr(feature = "typed", serde(default))]
    pub deny_list: Vec<String>,
    /// What to do about e-mail addresses, card numbers, IBANs and tokens in what is recorded: `off` (the default),
    /// `observe`, `redact` or `reject`. See [`PersonalDataMode`].
    #[cfg(feature = "personal-data")]
    #[cfg_attr(feature = "typed", serde(default, with = "PersonalDataWord"))]
    pub personal_data: PersonalDataMode,
    /// Names of properties and kinds of groups that may contain such data on purpose, such as a profile's `$email`.
    #[cfg(feature = "personal-data")]
    #[cfg_attr(feature = "typed", serde(default))]
    pub personal_data_allow: Vec<String>,
}

#[cfg(feature = "typed")]
#[derive(serde::Deserialize)]
#[serde(remote = "DefaultConsent", rename_all = "lowercase")]
enum DefaultConsentWord {
    Granted,
    Denied,
    Pending,
}

#[cfg(feature = "typed")]
#[derive(serde::Deserialize)]
#[serde(remote = "IdMerge", rename_all = "lowercase")]
enum IdMergeWord {
    Simplified,
    Original,
}

#[cfg(all(feature = "typed", feature = "personal-data"))]
#[derive(serde::Deserialize)]
#[serde(remote = "PersonalDataMode", rename_all = "lowercase")]
enum PersonalDataWord {
    Off,
    Observe,
    Redact,
    Reject,
}

fn default_endpoint() -> String {
    ENDPOINT.into()
}

#[cfg(feature = "typed")]
fn yes() -> bool {
    true
}

impl Settings {
    /// The defaults, for one project.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            endpoint: default_endpoint(),
            data_dir: None,
            default_consent: DefaultConsent::default(),
            honor_gpc: true,
            honor_dnt: true,
            flush_interval: None,
            batch_size: None,
            queue_limit_bytes: None,
            queue_limit_age: None,
            id_merge: IdMerge::default(),
            deny_list: Vec::new(),
            #[cfg(feature = "personal-data")]
            personal_data: PersonalDataMode::default(),
            #[cfg(feature = "personal-data")]
            personal_data_allow: Vec::new(),
        }
    }

    /// The first setting that differs from another set.
    pub(super) fn differs_from(&self, other: &Self) -> Option<&'static str> {
        [
            ("endpoint", self.endpoint == other.endpoint),
            ("default_consent", self.default_consent == other.default_consent),
            ("honor_gpc", self.honor_gpc == other.honor_gpc),
            ("honor_dnt", self.honor_dnt == other.honor_dnt),
            ("flush_interval", self.flush_interval == other.flush_interval),
            ("batch_size", self.batch_size == other.batch_size),
            ("queue_limit_bytes", self.queue_limit_bytes == other.queue_limit_bytes),
            ("queue_limit_age", self.queue_limit_age == other.queue_limit_age),
            ("id_merge", self.id_merge == other.id_merge),
            ("deny_list", self.deny_list == other.deny_list),
            #[cfg(feature = "personal-data")]
            ("personal_data", self.personal_data == other.personal_data),
            #[cfg(feature = "personal-data")]
            ("personal_data_allow", self.personal_data_allow == other.personal_data_allow),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }

    pub(super) fn config(&self) -> Result<Config, BuildError> {
        let mut config = Config::new(self.token.as_str());
        config.default_consent = self.default_consent;
        config.honor_gpc = self.honor_gpc;
        config.honor_dnt = self.honor_dnt;
        config.id_merge = self.id_merge;
        config.deny_list.clone_from(&self.deny_list);
        #[cfg(feature = "personal-data")]
        {
            config.personal_data = self.personal_data;
            config.personal_data_allow.clone_from(&self.personal_data_allow);
        }
        config.library = "refrain-rust".into();
        let seconds = |name, value: Option<f64>, default: u64| match value {
            None => Ok(default),
            Some(value) => Duration::try_from_secs_f64(value)
                .ok()
                .and_then(|duration| u64::try_from(duration.as_millis()).ok())
                .ok_or(BuildError::Duration { setting: name }),
        };
        config.flush_interval_ms = seconds("flush_interval", self.flush_interval, config.flush_interval_ms)?;
        config.queue_limit_age_ms =
            seconds("queue_limit_age", self.queue_limit_age, config.queue_limit_age_ms)?;
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.queue_limit_bytes = self.queue_limit_bytes.unwrap_or(config.queue_limit_bytes);
        config.check().map_err(BuildError::Config)?;
        Ok(config)
    }

    /// What can be said of the data folder without a look at the disk; the rest is the store's to say.
    pub(super) fn check_data_dir(&self) -> Result<(), BuildError> {
        let path = self.data_dir.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
        match path {
            Some([]) => Err(BuildError::DataDir { fault: "is empty" }),
            Some(path) if path.contains(&0) => Err(BuildError::DataDir { fault: "holds a zero byte" }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_endpoint(&self) -> Result<String, BuildError> {
        let endpoint = self.endpoint.trim_end_matches('/');
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if rest.is_some_and(is_address) { Ok(endpoint.into()) } else { Err(BuildError::Endpoint) }
    }
}

/// Whether this is host, perhaps port and path. What could never be connected to would look like a network that fails.
fn is_address(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, behind) = match authority.rsplit_once(']') {
        Some((host, behind)) => (host.strip_prefix('[').unwrap_or_default(), behind),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = behind.is_empty() || behind.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\\"<>^`{|}".contains(&byte);
    !host.is_empty() && !host.contains('[') && port && rest.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[cfg(feature = "typed")]
    #[test]
    fn settings_from_json() {
        let settings = parse(
            r#"{"token":"T","endpoint":"https://e.test/","data_dir":"/d","default_consent":"denied","honor_gpc":false,
               "honor_dnt":false,"flush_interval":1.5,"batch_size":7,"queue_limit_bytes":9,"queue_limit_age":60,
               "id_merge":"original","deny_list":["ssn"]}"#,
        )
        .unwrap();
        let config = settings.config().unwrap();
        assert_eq!(settings.check_endpoint().unwrap(), "https://e.test");
        assert_eq!((config.flush_interval_ms, config.queue_limit_age_ms), (1_500, 60_000));
        assert_eq!((config.batch_size, config.queue_limit_bytes), (7, 9));
        assert_eq!((config.default_consent, config.id_merge), (DefaultConsent::Denied, IdMerge::Original));
        assert!(!config.honor_gpc && !config.honor_dnt);
        assert_eq!(config.deny_list, ["ssn"]);
        assert_eq!(parse(r#"{"token":"T"}"#).unwrap(), Settings::new("T"));
    }

    #[cfg(all(feature = "typed", feature = "personal-data"))]
    #[test]
    fn the_detector_for_personal_data_is_set_by_a_word() {
        use PersonalDataMode as Mode;
        let settings = |word| {
            parse(&format!(r#"{{"token":"T","personal_data":"{word}","personal_data_allow":["$email"]}}"#))
        };
        for (word, mode) in [
            ("off", Mode::Off),
            ("observe", Mode::Observe),
            ("redact", Mode::Redact),
            ("reject", Mode::Reject),
        ] {
            let config = settings(word).unwrap().config().unwrap();
            assert_eq!((config.personal_data, config.personal_data_allow), (mode, vec!["$email".into()]));
        }
        let error = settings("hide").unwrap_err();
        assert!(error.contains("hide") && error.contains("`observe`, `redact`"), "{error}");
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        assert!(parse(r#"{"token":"T","endpiont":"x"}"#).unwrap_err().contains("endpiont"));
        assert!(parse(r#"{"token":"T","default_consent":"yes"}"#).unwrap_err().contains("yes"));
    }
}
