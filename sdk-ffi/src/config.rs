//! The settings of a client.

use std::fmt;

/// What applies until the person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DefaultConsent {
    /// Collect until the person objects.
    Granted,
    /// Collect nothing until the person agrees.
    Denied,
    /// Keep a bounded number of calls in memory until the person decides.
    Pending,
}

impl From<DefaultConsent> for refrain::engine::DefaultConsent {
    fn from(default: DefaultConsent) -> Self {
        match default {
            DefaultConsent::Granted => Self::Granted,
            DefaultConsent::Denied => Self::Denied,
            DefaultConsent::Pending => Self::Pending,
        }
    }
}

/// How the project at the collector merges ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum IdMerge {
    /// Records carry the device's and the user's id.
    Simplified,
    /// A separate event joins an anonymous id to a user.
    Original,
}

impl From<IdMerge> for refrain::engine::IdMerge {
    fn from(merge: IdMerge) -> Self {
        match merge {
            IdMerge::Simplified => Self::Simplified,
            IdMerge::Original => Self::Original,
        }
    }
}

/// What to do about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum PersonalDataMode {
    /// Nothing; they are not looked for.
    Off,
    /// They are counted.
    Observe,
    /// They are counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in their place.
    Redact,
    /// They are counted, and the call is rejected.
    Reject,
}

impl From<PersonalDataMode> for refrain::engine::PersonalDataMode {
    fn from(mode: PersonalDataMode) -> Self {
        match mode {
            PersonalDataMode::Off => Self::Off,
            PersonalDataMode::Observe => Self::Observe,
            PersonalDataMode::Redact => Self::Redact,
            PersonalDataMode::Reject => Self::Reject,
        }
    }
}

/// What the environment says. `true` means "do not track".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, uniffi::Record)]
pub struct Signals {
    /// Global Privacy Control.
    #[uniffi(default = false)]
    pub gpc: bool,
    /// Do Not Track.
    #[uniffi(default = false)]
    pub dnt: bool,
    /// The app's own setting.
    #[uniffi(default = false)]
    pub host: bool,
}

impl From<Signals> for refrain::engine::Signals {
    fn from(Signals { gpc, dnt, host }: Signals) -> Self {
        Self { gpc, dnt, host }
    }
}

/// The client's configuration. Settings that are absent have the core's defaults.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Config {
    /// The project's token.
    pub token: String,
    /// Where the collector is: `https://host` or `http://host:port`.
    #[uniffi(default = None)]
    pub endpoint: Option<String>,
    /// The folder that stores the person's choice and undelivered records. Without one nothing is remembered, nothing
    /// is collected until the person agrees in this process, and no erasure can be asked for.
    #[uniffi(default = None)]
    pub data_dir: Option<String>,
    /// What applies until the person decides.
    #[uniffi(default = None)]
    pub default_consent: Option<DefaultConsent>,
    /// Whether Global Privacy Control counts as a "no" until the person decides.
    #[uniffi(default = true)]
    pub honor_gpc: bool,
    /// Whether Do Not Track counts as a "no" until the person decides.
    #[uniffi(default = true)]
    pub honor_dnt: bool,
    /// How long records are gathered before they are sent, in seconds.
    #[uniffi(default = None)]
    pub flush_interval: Option<f64>,
    /// The maximum number of records in one request.
    #[uniffi(default = None)]
    pub batch_size: Option<u32>,
    /// The maximum size of the queue in bytes. Beyond it the oldest records are dropped, and counted.
    #[uniffi(default = None)]
    pub queue_limit_bytes: Option<u64>,
    /// The maximum age of queued records, in seconds.
    #[uniffi(default = None)]
    pub queue_limit_age: Option<f64>,
    /// How ids are merged.
    #[uniffi(default = None)]
    pub id_merge: Option<IdMerge>,
    /// What every event carries, as a JSON object. Any other property of the same name takes precedence.
    #[uniffi(default = None)]
    pub automatic_properties: Option<String>,
    /// Names of properties that are never recorded, no matter who sets them.
    #[uniffi(default = [])]
    pub deny_list: Vec<String>,
    /// The name of the host's package that records carry.
    #[uniffi(default = None)]
    pub library: Option<String>,
    /// What to do about personal data in what is recorded.
    #[uniffi(default = None)]
    pub personal_data: Option<PersonalDataMode>,
    /// Names of properties and kinds of groups that may contain personal data on purpose.
    #[uniffi(default = [])]
    pub personal_data_allow: Vec<String>,
    /// Signals that are known at the start, before anything is read or written. For later ones, see
    /// [`Client::signals`](crate::Client::signals).
    #[uniffi(default = None)]
    pub signals: Option<Signals>,
}

impl Config {
    pub(crate) fn builder(self) -> refrain::native::Builder {
        let mut settings = refrain::native::Settings::new(self.token);
        settings.endpoint = self.endpoint.unwrap_or(settings.endpoint);
        settings.data_dir = self.data_dir.map(Into::into);
        settings.default_consent = self.default_consent.map_or(settings.default_consent, Into::into);
        settings.honor_gpc = self.honor_gpc;
        settings.honor_dnt = self.honor_dnt;
        settings.flush_interval = self.flush_interval;
        settings.batch_size = self.batch_size.map(|records| records as usize);
        settings.queue_limit_bytes = self.queue_limit_bytes;
        settings.queue_limit_age = self.queue_limit_age;
        settings.id_merge = self.id_merge.map_or(settings.id_merge, Into::into);
        settings.deny_list = self.deny_list;
        settings.personal_data = self.personal_data.map_or(settings.personal_data, Into::into);
        settings.personal_data_allow = self.personal_data_allow;
        let signals = self.signals.unwrap_or_default();
        let mut builder = refrain::native::Client::builder_from(settings).signals(signals.into());
        if let Some(properties) = self.automatic_properties {
            builder = builder.automatic_properties_json(properties);
        }
        match self.library {
            Some(library) => builder.library(library),
            None => builder,
        }
    }
}

/// A setting has a value that cannot work.
#[derive(Debug, uniffi::Error)]
pub enum ConfigError {
    /// The reason names the setting.
    Unusable {
        /// Which, and what to do about it.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unusable { reason } = self;
        f.write_str(reason)
    }
}

impl std::error::Error for ConfigError {}

impl From<refrain::native::BuildError> for ConfigError {
    fn from(error: refrain::native::BuildError) -> Self {
        Self::Unusable { reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;
    use crate::door::tests::{Nobody, config};
    use std::sync::Arc;

    #[test]
    fn automatic_properties_are_an_object_with_room_beside_it() {
        let client = |properties: &str| {
            let automatic_properties = Some(properties.to_owned());
            Client::new(Config { automatic_properties, ..config() }, Arc::new(Nobody)).map(drop)
        };
        client(r#"{"app":"1.0"}"#).unwrap();
        let many: Vec<_> = (0..201).map(|n| format!(r#""p{n}":{n}"#)).collect();
        for unusable in ["", "[]", "{", "null", &format!("{{{}}}", many.join(","))] {
            let ConfigError::Unusable { reason } = client(unusable).unwrap_err();
            assert!(reason.starts_with("automatic_properties must be an object"), "{reason}");
        }
    }

    #[test]
    fn personal_data_among_automatic_properties_is_named() {
        let config = Config {
            automatic_properties: Some(r#"{"owner":"alice@example.com"}"#.into()),
            personal_data: Some(PersonalDataMode::Reject),
            ..config()
        };
        let error = Client::new(config, Arc::new(Nobody)).map(drop).unwrap_err().to_string();
        assert!(error.contains("automatic_properties") && !error.contains("alice"), "{error}");
    }
}
