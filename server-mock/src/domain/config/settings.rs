//! Settings by name (SPEC §19.1 and the switches that other sections speak of).

use serde_json::{Map, Value};

use super::rate_limits::{IngestionLimit, RequestLimit};
use super::{ConfigError, error};

/// What happens to records of an unknown project (SPEC §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownToken {
    /// The token makes its project.
    Create,
    /// Answered as success, dropped.
    AcceptAndDrop,
    /// The same, with a log line.
    AcceptAndCount,
    /// Answered as a rejection.
    Reject,
}

/// From when the retention window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionBasis {
    /// The instant of receipt.
    Received,
    /// The UTC day of the event's own time.
    EventDate,
}

/// Settings that may stand globally or in a project. `None` is `off`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `track_max_age_days`: oldest `time` that `/track` takes.
    pub track_max_age_days: Option<i64>,
    /// `retention_events_days`: days that events are kept.
    pub retention_events_days: Option<i64>,
    /// `retention_basis`: from when they count.
    pub retention_basis: RetentionBasis,
    /// `retention_profiles_days`: days that profiles are kept after `$last_seen`.
    pub retention_profiles_days: Option<i64>,
    /// `retention_replays_days`: days that replays are kept after receipt. A change concerns later ones only.
    pub retention_replays_days: Option<i64>,
    /// `store_replays`: whether replay bodies are kept at all (SPEC §14).
    pub store_replays: bool,
    /// `soft_delete_days`: days after which what a deletion or reset hid is deleted, 60 to 90.
    pub soft_delete_days: i64,
    /// `gdpr_staging_seconds`: seconds during which a deletion can be cancelled.
    pub gdpr_staging_seconds: i64,
    /// `gdpr_rate_limit_per_s`: requests a second to the GDPR API.
    pub gdpr_rate_limit_per_s: Option<f64>,
    /// Whether that was asked for: unlike the other limits it is on by default.
    pub gdpr_rate_limit_asked: bool,
    /// `import_rate_limit`: what is taken from a project by `/track`, `/engage`, `/groups` and `/import` together.
    pub import_rate_limit: Option<IngestionLimit>,
    /// `query_rate_limit`: how often `/api/query/` may be asked about a project.
    pub query_rate_limit: Option<RequestLimit>,
    /// `export_rate_limit`: how often a project may be exported.
    pub export_rate_limit: Option<RequestLimit>,
    /// `erasure_barrier_days`: days that late resends of erased ids are dropped.
    pub erasure_barrier_days: Option<i64>,
    /// `honor_gpc`: records sent with `Sec-GPC: 1` are dropped.
    pub honor_gpc: bool,
    /// `honor_dnt`: records sent with `DNT: 1` are dropped.
    pub honor_dnt: bool,
    /// `honor_optout_cookie`: records sent with a cookie `mp_optout` are dropped (SPEC §17).
    pub honor_optout_cookie: bool,
    /// `ip_hash_ids`: an event without an id that asks for it (`ip=1`) gets a hash of its address as one (SPEC §6.3).
    /// The hash's key is made anew each day and never stored.
    pub ip_hash_ids: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            track_max_age_days: Some(5),
            retention_events_days: Some(1825),
            retention_basis: RetentionBasis::Received,
            retention_profiles_days: None,
            retention_replays_days: Some(30),
            store_replays: false,
            soft_delete_days: 60,
            gdpr_staging_seconds: 60,
            gdpr_rate_limit_per_s: Some(1.0),
            gdpr_rate_limit_asked: false,
            import_rate_limit: None,
            query_rate_limit: None,
            export_rate_limit: None,
            erasure_barrier_days: Some(30),
            honor_gpc: false,
            honor_dnt: false,
            honor_optout_cookie: false,
            ip_hash_ids: true,
        }
    }
}

/// Settings of the whole server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerSettings {
    /// `unknown_token`: what happens to records of an unknown project.
    pub unknown_token: Option<UnknownToken>,
    /// `redirect`: whether the parameter `redirect` is honoured (SPEC §4).
    pub redirect: bool,
    /// `cors_origins`: origins whose pages may collect; `None` is all (SPEC §5).
    pub cors_origins: Option<Vec<String>>,
    /// `keep_rejected`: whether the contents of refused records are shown, from memory.
    pub keep_rejected: bool,
    /// `gdpr_results_list`: whether the answer to a new task has a list with it instead of an object (SPEC §15.3).
    pub gdpr_results_list: bool,
}

/// Names that may stand in `settings` and in a project.
const OF_PROJECTS: [&str; 19] = [
    "preset",
    "track_max_age_days",
    "retention_events_days",
    "retention_basis",
    "retention_profiles_days",
    "retention_replays_days",
    "store_replays",
    "soft_delete_days",
    "gdpr_staging_seconds",
    "gdpr_rate_limit_per_s",
    "import_rate_limit",
    "query_rate_limit",
    "export_rate_limit",
    "erasure_barrier_days",
    "honor_gpc",
    "honor_dnt",
    "honor_dnt_header",
    "honor_optout_cookie",
    "ip_hash_ids",
];
/// Names that may stand in `settings` only.
const OF_SERVER: [&str; 5] =
    ["unknown_token", "redirect", "cors_origins", "keep_rejected", "gdpr_results_list"];

/// All names.
pub(super) fn names() -> Vec<&'static str> {
    OF_SERVER.into_iter().chain(OF_PROJECTS).collect()
}

/// Whether a name is a setting.
pub(super) fn is_setting(name: &str) -> bool {
    OF_SERVER.contains(&name) || of_project(name)
}

/// Whether a name is a setting that a project may have.
pub(super) fn of_project(name: &str) -> bool {
    OF_PROJECTS.contains(&name)
}

impl Settings {
    /// Takes over what a map says; other names are none of its business.
    pub(super) fn apply(&mut self, map: &Map<String, Value>) -> Result<(), ConfigError> {
        if let Some(preset) = map.get("preset") {
            let (days, basis) = match preset.as_str() {
                Some("gdpr-page") => (1825, RetentionBasis::Received),
                Some("mixpanel-2025") => (730, RetentionBasis::EventDate),
                _ => return Err(error("preset is one of gdpr-page, mixpanel-2025")),
            };
            self.retention_events_days = Some(days);
            self.retention_basis = basis;
        }
        for (name, value) in map {
            let name = name.as_str();
            match name {
                "track_max_age_days" => self.track_max_age_days = days(name, value)?,
                "retention_events_days" => self.retention_events_days = days(name, value)?,
                "retention_profiles_days" => self.retention_profiles_days = days(name, value)?,
                "retention_replays_days" => self.retention_replays_days = days(name, value)?,
                "erasure_barrier_days" => self.erasure_barrier_days = days(name, value)?,
                "retention_basis" => {
                    self.retention_basis = match value.as_str() {
                        Some("received") => RetentionBasis::Received,
                        Some("event_date") => RetentionBasis::EventDate,
                        _ => return Err(error("retention_basis is one of received, event_date")),
                    }
                }
                "soft_delete_days" => {
                    self.soft_delete_days = value
                        .as_i64()
                        .filter(|days| (60..=90).contains(days))
                        .ok_or_else(|| error("soft_delete_days is a whole number from 60 to 90"))?;
                }
                "gdpr_staging_seconds" => {
                    self.gdpr_staging_seconds =
                        value.as_i64().filter(|seconds| (0..=LONGEST_STAGING).contains(seconds)).ok_or_else(
                            || {
                                error(
                                    "gdpr_staging_seconds is a whole number of seconds, from 0 to 30 days (2592000)",
                                )
                            },
                        )?;
                }
                "gdpr_rate_limit_per_s" => {
                    self.gdpr_rate_limit_per_s = rate(name, value)?;
                    self.gdpr_rate_limit_asked = true;
                }
                "import_rate_limit" => self.import_rate_limit = IngestionLimit::read(name, value)?,
                "query_rate_limit" => {
                    self.query_rate_limit = RequestLimit::read(name, value, RequestLimit::QUERY)?;
                }
                "export_rate_limit" => {
                    self.export_rate_limit = RequestLimit::read(name, value, RequestLimit::EXPORT)?;
                }
                "store_replays" => self.store_replays = switch(name, value)?,
                "honor_gpc" => self.honor_gpc = switch(name, value)?,
                "honor_dnt" => self.honor_dnt = switch(name, value)?,
                // Also what has taken the place of that header (SPEC §17).
                "honor_dnt_header" => {
                    self.honor_dnt = switch(name, value)?;
                    self.honor_gpc = self.honor_dnt;
                }
                "honor_optout_cookie" => self.honor_optout_cookie = switch(name, value)?,
                "ip_hash_ids" => self.ip_hash_ids = switch(name, value)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A deletion takes 30 days at most (SPEC §15.6).
const LONGEST_STAGING: i64 = 30 * 86_400;

impl ServerSettings {
    /// Takes over what a map says; other names are none of its business.
    pub(super) fn apply(&mut self, map: &Map<String, Value>) -> Result<(), ConfigError> {
        for (name, value) in map {
            let name = name.as_str();
            match name {
                "unknown_token" => self.unknown_token = Some(unknown_token(value)?),
                "redirect" => self.redirect = switch(name, value)?,
                "keep_rejected" => self.keep_rejected = switch(name, value)?,
                "gdpr_results_list" => self.gdpr_results_list = switch(name, value)?,
                "cors_origins" => {
                    let origins = value.as_array().and_then(|list| {
                        list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
                    });
                    self.cors_origins = match (origins, value.as_str()) {
                        (Some(origins), _) => Some(origins),
                        (None, Some("*")) => None,
                        _ => {
                            return Err(error(
                                "cors_origins is \"*\" or a list such as [\"https://shop.example\"]",
                            ));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn unknown_token(value: &Value) -> Result<UnknownToken, ConfigError> {
    match value.as_str() {
        Some("create") => Ok(UnknownToken::Create),
        Some("accept_and_drop") => Ok(UnknownToken::AcceptAndDrop),
        Some("accept_and_count") => Ok(UnknownToken::AcceptAndCount),
        Some("reject") => Ok(UnknownToken::Reject),
        _ => Err(error("unknown_token is one of create, accept_and_drop, accept_and_count, reject")),
    }
}

fn switch(name: &str, value: &Value) -> Result<bool, ConfigError> {
    value.as_bool().ok_or_else(|| error(format!("{name} is true or false")))
}

fn days(name: &str, value: &Value) -> Result<Option<i64>, ConfigError> {
    match value {
        Value::String(text) if text == "off" => Ok(None),
        other => other
            .as_i64()
            .filter(|days| (0..=1_000_000).contains(days))
            .map(Some)
            .ok_or_else(|| error(format!("{name} is a whole number of days, or \"off\""))),
    }
}

fn rate(name: &str, value: &Value) -> Result<Option<f64>, ConfigError> {
    match value {
        Value::String(text) if text == "off" => Ok(None),
        other => other
            .as_f64()
            .filter(|rate| *rate >= 0.0)
            .map(Some)
            .ok_or_else(|| error(format!("{name} is a number, or \"off\""))),
    }
}
