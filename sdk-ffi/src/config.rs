//! What a host may set.

use std::fmt;

/// What holds while the person has not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DefaultConsent {
    /// Collect until the person objects.
    Granted,
    /// Collect nothing until the person agrees.
    Denied,
    /// Keep calls in memory, bounded, until the person decides.
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

/// How the project at the collector joins ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum IdMerge {
    /// Records carry the device's and the user's id.
    Simplified,
    /// An event of its own joins an anonymous id to a user.
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

/// What is done about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum PersonalDataMode {
    /// Nothing: they are not looked for.
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

/// What the environment says; `true` means "do not track".
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

/// The client's configuration. What is absent has the core's default.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Config {
    /// The project's token.
    pub token: String,
    /// Where the collector is: `https://host` or `http://host:port`.
    #[uniffi(default = None)]
    pub endpoint: Option<String>,
    /// The folder for the person's choice and for what waits to be sent. Without one nothing is kept, nothing
    /// collected until the person agrees in this process, and no erasure can be asked for.
    #[uniffi(default = None)]
    pub data_dir: Option<String>,
    /// What holds while the person has not decided.
    #[uniffi(default = None)]
    pub default_consent: Option<DefaultConsent>,
    /// Whether Global Privacy Control counts as a "no" while the person has not decided.
    #[uniffi(default = true)]
    pub honor_gpc: bool,
    /// Whether Do Not Track counts as a "no" while the person has not decided.
    #[uniffi(default = true)]
    pub honor_dnt: bool,
    /// How long records are gathered before they are sent, in seconds.
    #[uniffi(default = None)]
    pub flush_interval: Option<f64>,
    /// Records in one request at most.
    #[uniffi(default = None)]
    pub batch_size: Option<u32>,
    /// Bytes that may wait to be sent; above it the oldest records go, counted.
    #[uniffi(default = None)]
    pub queue_limit_bytes: Option<u64>,
    /// How long a record may wait to be sent, in seconds.
    #[uniffi(default = None)]
    pub queue_limit_age: Option<f64>,
    /// How ids are joined.
    #[uniffi(default = None)]
    pub id_merge: Option<IdMerge>,
    /// Names of properties that are never recorded, whoever sets them.
    #[uniffi(default = [])]
    pub deny_list: Vec<String>,
    /// The name of the host's package, as records carry it.
    #[uniffi(default = None)]
    pub library: Option<String>,
    /// What is done about personal data in what is recorded.
    #[uniffi(default = None)]
    pub personal_data: Option<PersonalDataMode>,
    /// Names of properties and kinds of groups that may hold personal data on purpose.
    #[uniffi(default = [])]
    pub personal_data_allow: Vec<String>,
    /// What the environment says already, before anything is read or written; later, see
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
        let builder = refrain::native::Client::builder_from(settings).signals(signals.into());
        match self.library {
            Some(library) => builder.library(library),
            None => builder,
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, uniffi::Error)]
pub enum ConfigError {
    /// It is named in the reason.
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
