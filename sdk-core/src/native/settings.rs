//! What a host sets, in code or as JSON.

#[cfg(feature = "personal-data")]
use crate::engine::PersonalDataMode;
use crate::engine::{Config, ConfigError, DefaultConsent, IdMerge, Notice, Signals};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::filter::Filter;
#[cfg(feature = "flight-recorder")]
use super::flight::{Contents, Flight};
#[cfg(feature = "testing")]
use super::testing::World;
use super::transport::Transport;

const ENDPOINT: &str = "https://api.mixpanel.com";

/// The settings of a client, as a JSON document gives them. The keys are the same words on every host; all but
/// `token` may be left out. Durations are in seconds and may have decimals.
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
    /// Where the collector is: scheme, host, perhaps a port and a path.
    #[cfg_attr(feature = "typed", serde(default = "default_endpoint"))]
    pub endpoint: String,
    /// The folder that remembers the person's choice and what is not delivered yet. Without one nothing is
    /// remembered, nothing is collected before the person decides in this process, and a withdrawal can ask for no
    /// erasure.
    #[cfg_attr(feature = "typed", serde(default))]
    pub data_dir: Option<PathBuf>,
    /// What holds while nobody has decided: `granted`, `denied` or `pending` (the default).
    #[cfg_attr(feature = "typed", serde(default, with = "DefaultConsentWord"))]
    pub default_consent: DefaultConsent,
    /// Whether Global Privacy Control counts while nobody has decided. Default: yes.
    #[cfg_attr(feature = "typed", serde(default = "yes"))]
    pub honor_gpc: bool,
    /// Whether Do Not Track counts while nobody has decided. Default: yes.
    #[cfg_attr(feature = "typed", serde(default = "yes"))]
    pub honor_dnt: bool,
    /// How long records are gathered before they are sent, in seconds.
    #[cfg_attr(feature = "typed", serde(default))]
    pub flush_interval: Option<f64>,
    /// Records in one request at most.
    #[cfg_attr(feature = "typed", serde(default))]
    pub batch_size: Option<usize>,
    /// Bytes of undelivered records; over it the oldest go.
    #[cfg_attr(feature = "typed", serde(default))]
    pub queue_limit_bytes: Option<u64>,
    /// Age of undelivered records in seconds; older ones go.
    #[cfg_attr(feature = "typed", serde(default))]
    pub queue_limit_age: Option<f64>,
    /// How the collector joins ids: `simplified` (the default) or `original`.
    #[cfg_attr(feature = "typed", serde(default, with = "IdMergeWord"))]
    pub id_merge: IdMerge,
    /// Names of properties that are never recorded, whoever sets them: in events, registered, as groups or in profiles. Those inside
    /// of other values are not looked at.
    #[cfg_attr(feature = "typed", serde(default))]
    pub deny_list: Vec<String>,
    /// What is done about e-mail addresses, card numbers, IBANs and tokens in what is recorded: `off` (the default),
    /// `observe`, `redact` or `reject`. See [`PersonalDataMode`].
    #[cfg(feature = "personal-data")]
    #[cfg_attr(feature = "typed", serde(default, with = "PersonalDataWord"))]
    pub personal_data: PersonalDataMode,
    /// Names of properties and kinds of groups that may hold such data on purpose, such as a profile's `$email`.
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

    /// The first setting in which another set differs.
    fn differs_from(&self, other: &Self) -> Option<&'static str> {
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

    fn config(&self) -> Result<Config, BuildError> {
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
    fn check_data_dir(&self) -> Result<(), BuildError> {
        let path = self.data_dir.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
        match path {
            Some([]) => Err(BuildError::DataDir { fault: "is empty" }),
            Some(path) if path.contains(&0) => Err(BuildError::DataDir { fault: "holds a zero byte" }),
            _ => Ok(()),
        }
    }

    fn check_endpoint(&self) -> Result<String, BuildError> {
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

/// What the clients on one folder must agree on, because one engine serves them all.
pub(super) struct Terms {
    settings: Settings,
    library: String,
    automatic_properties: String,
}

impl Terms {
    pub(super) fn new(settings: &Settings, config: &Config) -> Self {
        let (settings, library) = (settings.clone(), config.library.clone());
        Self { settings, library, automatic_properties: config.automatic_properties.clone() }
    }

    pub(super) fn token(&self) -> &str {
        &self.settings.token
    }

    /// The first one in which others differ.
    pub(super) fn differ_from(&self, other: &Self) -> Option<&'static str> {
        let library = || (self.library != other.library).then_some("library");
        let automatic = self.automatic_properties != other.automatic_properties;
        let automatic = || automatic.then_some("automatic_properties");
        self.settings.differs_from(&other.settings).or_else(automatic).or_else(library)
    }
}

/// Makes a [`Client`].
#[must_use = "call build()"]
pub struct Builder {
    settings: Settings,
    signals: Signals,
    transport: Option<Box<dyn Transport>>,
    transport_yields: bool,
    library: Option<String>,
    automatic_properties: Option<String>,
    filter: Option<Filter>,
    on_notice: Option<NoticeHook>,
    #[cfg(feature = "testing")]
    world: Option<World>,
    #[cfg(feature = "flight-recorder")]
    flight: Option<Flight>,
}

pub(super) type NoticeHook = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Everything that a client is made of, checked.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) config: Config,
    pub(super) endpoint: String,
    pub(super) signals: Signals,
    pub(super) transport: Option<Box<dyn Transport>>,
    /// Whether the transport of a client that is open already is as good.
    pub(super) transport_yields: bool,
    pub(super) filter: Option<Filter>,
    pub(super) on_notice: Option<NoticeHook>,
    #[cfg(feature = "testing")]
    pub(super) world: Option<World>,
    #[cfg(feature = "flight-recorder")]
    pub(super) flight: Option<Flight>,
}

impl Builder {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            signals: Signals::default(),
            transport: None,
            transport_yields: false,
            library: None,
            automatic_properties: None,
            filter: None,
            on_notice: None,
            #[cfg(feature = "testing")]
            world: None,
            #[cfg(feature = "flight-recorder")]
            flight: None,
        }
    }

    /// Makes the client live in a test's time and by a test's randomness.
    #[cfg(feature = "testing")]
    pub(super) fn world(mut self, world: World) -> Self {
        self.world = Some(world);
        self
    }

    /// Where the collector is, for example `https://api-eu.mixpanel.com`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.settings.endpoint = url.into();
        self
    }

    /// The folder that remembers the person's choice and what is not delivered yet. It is made when it is needed,
    /// with rights for its owner only. Several projects, clients and processes may share one. Without one nothing is
    /// remembered, nothing is collected before the person decides in this process, and
    /// [`OptOut::erase`](super::OptOut::erase) cannot be asked for.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.data_dir = Some(path.into());
        self
    }

    /// What holds while nobody has decided. Default: [`DefaultConsent::Pending`].
    pub fn default_consent(mut self, default: DefaultConsent) -> Self {
        self.settings.default_consent = default;
        self
    }

    /// Whether Global Privacy Control counts as a "no" while nobody has decided. Default: yes.
    pub fn honor_gpc(mut self, honor: bool) -> Self {
        self.settings.honor_gpc = honor;
        self
    }

    /// Whether Do Not Track counts as a "no" while nobody has decided. Default: yes.
    pub fn honor_dnt(mut self, honor: bool) -> Self {
        self.settings.honor_dnt = honor;
        self
    }

    /// What the environment says already, before anything is read or written. See [`Client::signals`].
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = signals;
        self
    }

    /// How long records are gathered before they are sent. Default: 5 seconds.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval = Some(interval.as_secs_f64());
        self
    }

    /// Records in one request at most, 1 to 2,000. Default: 50.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.settings.batch_size = Some(records);
        self
    }

    /// Bytes of undelivered records; over it the oldest go, counted. Default: 10 MiB.
    pub fn queue_limit_bytes(mut self, bytes: u64) -> Self {
        self.settings.queue_limit_bytes = Some(bytes);
        self
    }

    /// Age of undelivered records; older ones go, counted. Default: 5 days.
    pub fn queue_limit_age(mut self, age: Duration) -> Self {
        self.settings.queue_limit_age = Some(age.as_secs_f64());
        self
    }

    /// How the collector joins ids. Default: [`IdMerge::Simplified`].
    pub fn id_merge(mut self, id_merge: IdMerge) -> Self {
        self.settings.id_merge = id_merge;
        self
    }

    /// Names of properties that are never recorded, whoever sets them: in events, registered or in profiles.
    pub fn deny_list<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings.deny_list = names.into_iter().map(Into::into).collect();
        self
    }

    /// What is done about e-mail addresses, card numbers, IBANs and tokens in what is recorded. Default:
    /// [`PersonalDataMode::Off`]. What was found is counted, see [`Stats::personal_data`](crate::engine::Stats).
    #[cfg(feature = "personal-data")]
    pub fn personal_data(mut self, mode: PersonalDataMode) -> Self {
        self.settings.personal_data = mode;
        self
    }

    /// Names of properties and kinds of groups that may hold such data on purpose, such as a profile's `$email`:
    /// nothing under them is looked at. Default: none.
    #[cfg(feature = "personal-data")]
    pub fn personal_data_allow<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings.personal_data_allow = names.into_iter().map(Into::into).collect();
        self
    }

    /// Properties that the host adds to every event: the text of a JSON object.
    pub fn automatic_properties_json(mut self, properties: impl Into<String>) -> Self {
        self.automatic_properties = Some(properties.into());
        self
    }

    #[cfg(feature = "typed")]
    pub(super) fn filter_json(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Carries requests in place of the built-in HTTP transport.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// As [`transport`](Self::transport), but a client that is open on the folder already keeps its own, and its own
    /// [`on_notice`](Self::on_notice): for bindings, where every client brings them and all are alike.
    pub fn transport_if_first(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Box::new(transport));
        self.transport_yields = true;
        self
    }

    /// The name of the library that records carry: for bindings. Default: `refrain-rust`.
    pub fn library(mut self, name: impl Into<String>) -> Self {
        self.library = Some(name.into());
        self
    }

    /// Is told when the collector refuses this client, or the store fails. Called on a thread of its own, for one notice
    /// after the other, and may call the client. [`shutdown`](super::Client::shutdown) waits for it, within its time. Only the client that opens a folder can have one: see
    /// [`build`](Self::build).
    pub fn on_notice(mut self, hook: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Arc::new(hook));
        self
    }

    /// Writes everything that the engine is told, and what it asks for in return, to a file that
    /// `cargo xtask simulate --replay` plays again, step by step. For diagnosis; the format is described in
    /// [`flight`](super::flight). What stood at the path before is replaced. Keep it outside of the data folder.
    ///
    /// [`Contents::Redacted`] is what to use: the recording goes the same way without saying what about. A recording
    /// with [`Contents::Kept`] **is personal data**, with the secrets of the device; see there for what becomes of it at
    /// a withdrawal.
    ///
    /// The file is made with rights for its owner only, and written by the client's storage thread. If it cannot be
    /// made or written, or that thread cannot keep up, the recording ends and the client goes on. A client that joins
    /// one that is open already records nothing of its own.
    #[cfg(feature = "flight-recorder")]
    pub fn record_flight(mut self, path: impl Into<PathBuf>, contents: Contents) -> Self {
        self.flight = Some(Flight { path: path.into(), contents });
        self
    }

    /// Makes the client. Returns at once: nothing is read, written or sent on the calling thread.
    ///
    /// A second client for the same token and folder shares the first one's engine and threads, so it must be set up
    /// alike, and brings no transport and no [`on_notice`](Self::on_notice) of its own. Folders are compared as
    /// absolute paths; one that is reached by a symbolic link is shared as two processes share it.
    ///
    /// # Errors
    /// A setting that cannot work, or one that differs from an open client's on the same folder.
    pub fn build(self) -> Result<Client, BuildError> {
        let Self {
            settings,
            signals,
            transport,
            transport_yields,
            library,
            automatic_properties,
            filter,
            on_notice,
            #[cfg(feature = "testing")]
            world,
            #[cfg(feature = "flight-recorder")]
            flight,
        } = self;
        let mut config = settings.config()?;
        if let Some(properties) = automatic_properties {
            config.automatic_properties = properties;
            config.check().map_err(BuildError::Config)?;
        }
        config.library = library.unwrap_or(config.library);
        let endpoint = settings.check_endpoint()?;
        settings.check_data_dir()?;
        if transport.is_none() && !cfg!(feature = "http") {
            return Err(BuildError::NoTransport);
        }
        Client::open(Parts {
            settings,
            config,
            endpoint,
            signals,
            transport,
            transport_yields,
            filter,
            on_notice,
            #[cfg(feature = "testing")]
            world,
            #[cfg(feature = "flight-recorder")]
            flight,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

/// Why a client could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting that cannot work.
    Config(ConfigError),
    /// The endpoint is no `http://` or `https://` address.
    Endpoint,
    /// The path of the data folder cannot be that of a folder.
    DataDir {
        /// Why.
        fault: &'static str,
    },
    /// A duration is negative, not a number, or too long.
    Duration {
        /// Its name.
        setting: &'static str,
    },
    /// A client for this token and folder is open in this process, with another value.
    Conflict {
        /// The setting that differs.
        setting: &'static str,
    },
    /// The crate was built without the feature `http`, and no transport was given.
    NoTransport,
    /// The operating system gave no thread.
    Threads,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Endpoint => f.write_str(
                "endpoint is not an address: pass scheme and host, as in https://api.mixpanel.com, without a query",
            ),
            Self::DataDir { fault } => {
                write!(f, "data_dir {fault}: pass the path of a folder, or leave it out to remember nothing")
            }
            Self::Duration { setting } => {
                write!(f, "{setting} is no duration that can be counted: pass seconds, from 0 to 10^16")
            }
            Self::Conflict { setting } => write!(
                f,
                "a client with another {setting} is open on this data folder: pass the same value, or clone that client"
            ),
            Self::NoTransport => f.write_str("no transport: pass one, or build with the feature `http`"),
            Self::Threads => f.write_str("the operating system gave no thread: raise the process's limits"),
        }
    }
}

impl std::error::Error for BuildError {}

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
        let built =
            Builder::new(Settings::new("T")).personal_data(Mode::Redact).personal_data_allow(["$email"]);
        assert_eq!(built.settings, settings("redact").unwrap());
        let error = built
            .personal_data(Mode::Reject)
            .automatic_properties_json(r#"{"by":"alice@example.com"}"#)
            .build();
        assert_eq!(error.map(drop), Err(BuildError::Config(ConfigError::PersonalData)));
    }

    #[test]
    fn bad_settings_say_what_is_wrong() {
        assert!(parse(r#"{"token":"T","endpiont":"x"}"#).unwrap_err().contains("endpiont"));
        assert!(parse(r#"{"token":"T","default_consent":"yes"}"#).unwrap_err().contains("yes"));
        let bad = ["", "api.mixpanel.com", "ftp://x", "https://", "https://x/?token=T", "https://u:p@x"];
        let never =
            ["http://:80", "http://x:99999", "http://x:", "http://x:y", "http://[::1", "http://ü.example"];
        let odd = [
            "http://x\n",
            "http://x\0",
            "http://x y",
            "http://x\\y",
            "http:///x",
            "http://x/\"",
            "http://[]",
        ];
        for endpoint in bad.into_iter().chain(never).chain(odd) {
            let error = Builder::new(Settings::new("T")).endpoint(endpoint).build().map(drop);
            assert_eq!(error, Err(BuildError::Endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://x",
            "https://x.example:8443/a/b/",
            "http://[::1]:80/x",
            "http://127.0.0.1:1",
            "http://[::1]",
        ] {
            let endpoint = Settings { endpoint: endpoint.into(), ..Settings::new("T") }.check_endpoint();
            assert!(endpoint.is_ok(), "{endpoint:?}");
        }
        let error =
            Builder::new(Settings { flush_interval: Some(-1.0), ..Settings::new("T") }).build().map(drop);
        assert_eq!(error, Err(BuildError::Duration { setting: "flush_interval" }));
        let ages = |age| Builder::new(Settings::new("T")).queue_limit_age(age).build().map(drop);
        let error = ages(Duration::MAX).unwrap_err().to_string();
        assert!(error.starts_with("queue_limit_age") && error.ends_with("to 10^16"), "{error}");
        assert_eq!(ages(Duration::from_secs(10_u64.pow(16))), Ok(()));
        for (path, fault) in [("", "is empty"), ("a\0b", "holds a zero byte")] {
            let error = Builder::new(Settings::new("T")).data_dir(path).build().map(drop).unwrap_err();
            assert_eq!(error, BuildError::DataDir { fault }, "{path}");
            assert!(error.to_string().starts_with(&format!("data_dir {fault}")));
        }
        let error = Builder::new(Settings::new(" ")).build().map(drop);
        assert_eq!(error, Err(BuildError::Config(ConfigError::EmptyToken)));
        assert!(Builder::new(Settings::new("T")).batch_size(0).build().is_err());
    }
}
