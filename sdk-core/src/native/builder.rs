//! Builds clients: settings, and what a configuration file cannot hold, such as hooks and transports.

use super::build_error::BuildError;
use super::client::Client;
use super::filter::Filter;
#[cfg(feature = "flight-recorder")]
use super::flight::{Contents, Flight};
use super::settings::Settings;
#[cfg(feature = "testing")]
use super::testing::World;
use super::transport::Transport;
#[cfg(feature = "personal-data")]
use crate::engine::PersonalDataMode;
use crate::engine::{DefaultConsent, IdMerge, Notice, Signals};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Builds a [`Client`].
#[must_use = "call build()"]
pub struct Builder {
    pub(super) settings: Settings,
    pub(super) signals: Signals,
    pub(super) transport: Option<Box<dyn Transport>>,
    /// Whether the transport of a client that is open already is as good.
    pub(super) transport_yields: bool,
    library: Option<String>,
    automatic_properties: Option<String>,
    pub(super) filter: Option<Filter>,
    pub(super) on_notice: Option<NoticeHook>,
    pub(super) on_end: Option<EndHook>,
    #[cfg(feature = "testing")]
    pub(super) world: Option<World>,
    #[cfg(feature = "flight-recorder")]
    pub(super) flight: Option<Flight>,
}

pub(super) type NoticeHook = Arc<dyn Fn(&Notice) + Send + Sync>;
pub(super) type EndHook = Box<dyn Fn() + Send + Sync>;

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
            on_end: None,
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

    /// Where the collector is, for example `https://collector.example`. Default: `https://api.mixpanel.com`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.settings.endpoint = url.into();
        self
    }

    /// The folder that stores the person's choice and undelivered records. It is created when needed, accessible to its
    /// owner only. Several projects, clients and processes may share one. Without a folder nothing is remembered,
    /// nothing is collected before the person decides in this process, and [`OptOut::erase`](super::OptOut::erase)
    /// cannot be asked for.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.data_dir = Some(path.into());
        self
    }

    /// What applies until somebody decides. Default: [`DefaultConsent::Pending`].
    pub fn default_consent(mut self, default: DefaultConsent) -> Self {
        self.settings.default_consent = default;
        self
    }

    /// Whether Global Privacy Control counts as a "no" until somebody decides. Default: yes.
    pub fn honor_gpc(mut self, honor: bool) -> Self {
        self.settings.honor_gpc = honor;
        self
    }

    /// Whether Do Not Track counts as a "no" until somebody decides. Default: yes.
    pub fn honor_dnt(mut self, honor: bool) -> Self {
        self.settings.honor_dnt = honor;
        self
    }

    /// Signals that are known at the start, before anything is read or written. See [`Client::signals`].
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = signals;
        self
    }

    /// How long records are gathered before they are sent. Default: 5 seconds.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval = Some(interval.as_secs_f64());
        self
    }

    /// The maximum number of records in one request, 1 to 2,000. Default: 50.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.settings.batch_size = Some(records);
        self
    }

    /// The maximum size of the queue in bytes. Beyond it the oldest records are dropped, and counted. Default: 10 MiB.
    pub fn queue_limit_bytes(mut self, bytes: u64) -> Self {
        self.settings.queue_limit_bytes = Some(bytes);
        self
    }

    /// The maximum age of queued records. Older ones are dropped, and counted. Default: 5 days.
    pub fn queue_limit_age(mut self, age: Duration) -> Self {
        self.settings.queue_limit_age = Some(age.as_secs_f64());
        self
    }

    /// How the collector joins ids. Default: [`IdMerge::Simplified`].
    pub fn id_merge(mut self, id_merge: IdMerge) -> Self {
        self.settings.id_merge = id_merge;
        self
    }

    /// Names of properties that are never recorded, no matter who sets them: in events, registered, as groups or in
    /// profiles.
    pub fn deny_list<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings.deny_list = names.into_iter().map(Into::into).collect();
        self
    }

    /// What to do about e-mail addresses, card numbers, IBANs and tokens in what is recorded. Default:
    /// [`PersonalDataMode::Off`]. Findings are counted, see [`Stats::personal_data`](crate::engine::Stats).
    #[cfg(feature = "personal-data")]
    pub fn personal_data(mut self, mode: PersonalDataMode) -> Self {
        self.settings.personal_data = mode;
        self
    }

    /// Names of properties and kinds of groups that may contain such data on purpose, such as a profile's `$email`;
    /// nothing under them is inspected. Default: none.
    #[cfg(feature = "personal-data")]
    pub fn personal_data_allow<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.settings.personal_data_allow = names.into_iter().map(Into::into).collect();
        self
    }

    /// Properties that the host adds to every event: the text of a JSON object with at most 200 members and 400 kB.
    pub fn automatic_properties_json(mut self, properties: impl Into<String>) -> Self {
        self.automatic_properties = Some(properties.into());
        self
    }

    #[cfg(feature = "typed")]
    pub(super) fn filter_json(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Sends requests with this transport instead of the built-in HTTP one.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Like [`transport`](Self::transport), except that a client already open on the folder keeps its own transport,
    /// and its own [`on_notice`](Self::on_notice). This is for bindings, where every client brings both and all of them
    /// are alike.
    pub fn transport_if_first(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Box::new(transport));
        self.transport_yields = true;
        self
    }

    /// The library name that records carry; for bindings. Default: `refrain-rust`.
    pub fn library(mut self, name: impl Into<String>) -> Self {
        self.library = Some(name.into());
        self
    }

    /// Calls this hook when the collector refuses the client or cannot prove that it is the collector, when the store
    /// fails, when the queue is full, and when consent has changed. Displayed as text, a notice is a sentence for a log.
    /// The hook runs on a thread of its own, for one notice at a time, and may call the client.
    /// [`shutdown`](super::Client::shutdown) waits for it, within its timeout. Only the client that opens a folder can
    /// have a hook, see [`build`](Self::build).
    pub fn on_notice(mut self, hook: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Arc::new(hook));
        self
    }

    /// Calls this hook when the last client on a folder has been shut down, on that client's thread. The hook called is
    /// the one of the client that opened the folder, whose [`transport_if_first`](Self::transport_if_first) all of them
    /// have used. For the project's own bindings.
    #[doc(hidden)]
    pub fn on_end(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_end = Some(Box::new(hook));
        self
    }

    /// Records everything that the engine is told, and what it asks for in return, in a file that
    /// `cargo xtask simulate --replay` plays back step by step. For diagnosis; the format is described in
    /// [`flight`](super::flight). An existing file at the path is replaced. Keep it outside of the data folder.
    ///
    /// Use [`Contents::Redacted`]: the recording replays the same way without revealing what was recorded. A recording
    /// with [`Contents::Kept`] **is personal data** and includes the secrets of the device; see there for what happens
    /// to it at a withdrawal.
    ///
    /// The file is accessible to its owner only, and is written by the client's storage thread. If it cannot be created
    /// or written, or that thread cannot keep up, the recording ends and the client carries on. A client that joins an
    /// open one makes no recording of its own.
    #[cfg(feature = "flight-recorder")]
    pub fn record_flight(mut self, path: impl Into<PathBuf>, contents: Contents) -> Self {
        self.flight = Some(Flight { path: path.into(), contents });
        self
    }

    /// Builds the client. Returns at once: no file is read or written and nothing is sent on the calling thread.
    ///
    /// A second client for the same token and folder shares the first one's engine and threads. So it must have the
    /// same settings, and cannot have a transport or [`on_notice`](Self::on_notice) of its own. Folders are compared as
    /// absolute paths; a folder reached through a symbolic link or `..` is shared as between two processes.
    ///
    /// # Errors
    /// A setting that cannot work, or that differs from an open client's on the same folder.
    pub fn build(mut self) -> Result<Client, BuildError> {
        let mut config = self.settings.config()?;
        if let Some(properties) = self.automatic_properties.take() {
            config.automatic_properties = properties;
            config.check().map_err(BuildError::Config)?;
        }
        config.library = self.library.take().unwrap_or(config.library);
        let endpoint = self.settings.check_endpoint()?;
        self.settings.check_data_dir()?;
        // It would refuse or drop every record.
        if config.queue_limit_bytes == 0 {
            return Err(BuildError::NoRoom { setting: "queue_limit_bytes" });
        }
        if config.queue_limit_age_ms == 0 {
            return Err(BuildError::NoRoom { setting: "queue_limit_age" });
        }
        if self.transport.is_none() && !cfg!(feature = "http") {
            return Err(BuildError::NoTransport);
        }
        Client::open(self, config, endpoint)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ConfigError;

    #[test]
    fn bad_settings_say_what_is_wrong() {
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
        assert!(error.starts_with("queue_limit_age") && error.ends_with("10^16 seconds"), "{error}");
        assert_eq!(ages(Duration::from_secs(10_u64.pow(16))), Ok(()));
        for (path, fault) in [("", "is empty"), ("a\0b", "holds a zero byte")] {
            let error = Builder::new(Settings::new("T")).data_dir(path).build().map(drop).unwrap_err();
            assert_eq!(error, BuildError::DataDir { fault }, "{path}");
            assert!(error.to_string().starts_with(&format!("data_dir {fault}")));
        }
        let error = Builder::new(Settings::new(" ")).build().map(drop);
        assert_eq!(error, Err(BuildError::Config(ConfigError::EmptyToken)));
        assert!(Builder::new(Settings::new("T")).batch_size(0).build().is_err());
        let error = Builder::new(Settings::new("T")).queue_limit_bytes(0).build().map(drop);
        assert_eq!(error, Err(BuildError::NoRoom { setting: "queue_limit_bytes" }));
        assert_eq!(ages(Duration::ZERO), Err(BuildError::NoRoom { setting: "queue_limit_age" }));
    }

    #[cfg(feature = "personal-data")]
    #[test]
    fn the_detector_for_personal_data_is_set_in_code_too() {
        use PersonalDataMode as Mode;
        let built =
            Builder::new(Settings::new("T")).personal_data(Mode::Redact).personal_data_allow(["$email"]);
        assert_eq!(built.settings.personal_data, Mode::Redact);
        assert_eq!(built.settings.personal_data_allow, ["$email"]);
        let error = built
            .personal_data(Mode::Reject)
            .automatic_properties_json(r#"{"by":"alice@example.com"}"#)
            .build();
        assert_eq!(error.map(drop), Err(BuildError::Config(ConfigError::PersonalData)));
    }
}
