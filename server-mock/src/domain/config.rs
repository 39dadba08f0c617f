//! The configuration: one document for `--config`, `PUT /mock/config` and the fixtures of the wire vectors.

mod rate_limits;
mod settings;

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::time;
pub use rate_limits::{IngestionLimit, RequestLimit};
pub use settings::{RetentionBasis, ServerSettings, Settings, UnknownToken};

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Known projects. With none, any token makes its project unless `unknown_token` says otherwise.
    pub projects: Vec<Project>,
    /// Service accounts for `/import`, export and queries.
    pub service_accounts: Vec<ServiceAccount>,
    /// Bearer tokens for the GDPR API.
    pub gdpr_oauth: Vec<OauthToken>,
    /// Settings of all projects.
    pub settings: Settings,
    /// Settings of the server.
    pub server: ServerSettings,
    warnings: Vec<String>,
    document: Map<String, Value>,
    remembered: HashMap<String, IdMerge>,
}

/// A configured project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The token that clients put into their records.
    pub token: String,
    /// The number that tools put into queries.
    pub project_id: i64,
    /// How ids are merged.
    pub id_merge: IdMerge,
    /// The legacy secret, where one is configured.
    pub project_secret: Option<String>,
    /// Legacy keys for `/import`.
    pub api_keys: Vec<String>,
    /// Lookup tables that exist: id and name.
    pub lookup_tables: Vec<(String, String)>,
    /// Settings, with the global ones filled in.
    pub settings: Settings,
}

/// A service account.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Name, the first half of the Basic credentials.
    pub username: String,
    /// Secret, the second half.
    pub secret: String,
    /// `owner`, `admin`, or less.
    pub role: String,
    /// Numbers of its projects; `None` is all.
    pub projects: Option<Vec<i64>>,
}

/// A bearer token of the GDPR API.
#[derive(Debug, Clone)]
pub struct OauthToken {
    /// The token.
    pub token: String,
    /// Who asks, shown in tasks.
    pub user: String,
    /// When it ends, in milliseconds; `None` is never.
    pub expires: Option<i64>,
    /// Numbers of its projects; `None` is all.
    pub projects: Option<Vec<i64>>,
}

/// How ids of a project are merged (SPEC §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdMerge {
    /// A device belongs to its first user.
    #[default]
    Simplified,
    /// Clusters from `$identify`, `$create_alias`, `$merge`.
    Original,
    /// Every id stands for itself.
    None,
}

impl IdMerge {
    const NAMES: [(IdMerge, &str); 3] =
        [(IdMerge::Simplified, "simplified"), (IdMerge::Original, "original"), (IdMerge::None, "none")];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        IdMerge::NAMES.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }

    /// The one that the configuration names so.
    pub fn of_name(name: &str) -> Option<IdMerge> {
        IdMerge::NAMES.iter().find(|(_, one)| *one == name).map(|(one, _)| *one)
    }
}

/// What is wrong with a configuration, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a configuration. Names that it does not know are ignored with a warning, and refused in `settings`, where a
    /// typing error would silently change a promise.
    pub fn from_json(document: &Value) -> Result<Config, ConfigError> {
        let top = object(document, "the configuration")?;
        let mut warnings = Vec::new();
        for name in top.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            warnings.push(format!(
                "{name} is not known in the configuration and is ignored; known are {}",
                FIELDS[..SECTIONS].join(", ")
            ));
        }
        let (mut settings, mut server) = (Settings::default(), ServerSettings::default());
        if let Some(value) = top.get("settings") {
            let map = object(value, "settings")?;
            settings.apply(map)?;
            server.apply(map)?;
            if let Some(name) = map.keys().find(|name| !settings::is_setting(name)) {
                return Err(error(format!(
                    "settings.{name} is not a setting; known are {}",
                    settings::names().join(", ")
                )));
            }
        }
        let projects = list(top, "projects")?
            .iter()
            .map(|value| Project::read(value, &settings, &mut warnings))
            .collect::<Result<_, _>>()?;
        let service_accounts = list(top, "service_accounts")?
            .iter()
            .map(|value| ServiceAccount::read(value, &mut warnings))
            .collect::<Result<_, _>>()?;
        let gdpr_oauth = list(top, "gdpr_oauth")?
            .iter()
            .map(|value| OauthToken::read(value, &mut warnings))
            .collect::<Result<_, _>>()?;
        let config = Config {
            projects,
            service_accounts,
            gdpr_oauth,
            settings,
            server,
            warnings,
            document: top.clone(),
            remembered: HashMap::new(),
        };
        for (index, project) in config.projects.iter().enumerate() {
            let double =
                |other: &Project| other.token == project.token || other.project_id == project.project_id;
            if config.projects[..index].iter().any(double) {
                return Err(error(format!("projects[{index}] repeats a token or a project_id")));
            }
        }
        Ok(config)
    }

    /// The document as it was given, with the four sections always there.
    pub fn to_json(&self) -> Value {
        let mut document = self.document.clone();
        for section in ["projects", "service_accounts", "gdpr_oauth"] {
            document.entry(section).or_insert_with(|| json!([]));
        }
        document.entry("settings").or_insert_with(|| json!({}));
        Value::Object(document)
    }

    /// What was ignored and looks like a mistake.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What happens to records of an unknown project.
    pub fn unknown_token(&self) -> UnknownToken {
        self.server.unknown_token.unwrap_or(if self.projects.is_empty() {
            UnknownToken::Create
        } else {
            UnknownToken::AcceptAndDrop
        })
    }

    /// The configured project of a token.
    pub fn project(&self, token: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.token == token)
    }

    /// The project of a token: the configured one, or the one that the token makes where that is allowed.
    pub fn project_or_new(&self, token: &str) -> Option<Project> {
        self.project(token).cloned().or_else(|| {
            (self.unknown_token() == UnknownToken::Create && !token.is_empty()).then(|| self.unlisted(token))
        })
    }

    /// Fills in how projects merge ids that are not listed and have data: by those rules it was stored.
    pub(crate) fn remember(&mut self, merges: HashMap<String, IdMerge>) {
        self.remembered = merges;
    }

    /// How a project that is not listed is treated.
    pub fn unlisted(&self, token: &str) -> Project {
        Project {
            token: token.to_owned(),
            project_id: 0,
            id_merge: self.remembered.get(token).copied().unwrap_or_default(),
            project_secret: None,
            api_keys: Vec::new(),
            lookup_tables: Vec::new(),
            settings: self.settings.clone(),
        }
    }
}

/// What a configuration may have; behind the sections, what the fixtures line of the wire vectors has beside them.
const FIELDS: [&str; 8] =
    ["projects", "service_accounts", "gdpr_oauth", "settings", "type", "clock_s", "clock", "note"];
/// How many of those are sections.
const SECTIONS: usize = 4;
/// What an account may have.
const ACCOUNT_FIELDS: [&str; 4] = ["username", "secret", "role", "projects"];
/// What a bearer token may have.
const OAUTH_FIELDS: [&str; 4] = ["token", "user", "expires", "projects"];
/// What a project's entry may have beside settings.
const PROJECT_FIELDS: [&str; 7] =
    ["token", "project_id", "name", "id_merge", "project_secret", "api_keys", "lookup_tables"];

impl Project {
    fn read(value: &Value, global: &Settings, warnings: &mut Vec<String>) -> Result<Project, ConfigError> {
        let map = object(value, "projects[]")?;
        let mut settings = global.clone();
        settings.apply(map)?;
        let known = |name: &str| PROJECT_FIELDS.contains(&name) || settings::of_project(name);
        warn_of_others(map, "projects[]", known, warnings);
        let id_merge = match map.get("id_merge") {
            None => IdMerge::default(),
            Some(value) => value
                .as_str()
                .and_then(IdMerge::of_name)
                .ok_or_else(|| error("id_merge is one of simplified, original, none"))?,
        };
        let tables = list(map, "lookup_tables")?.iter().map(|table| {
            let what = "projects[].lookup_tables[]";
            let table = object(table, what)?;
            let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
            Ok((text(table, "id", what)?, name.to_owned()))
        });
        // An empty one would be shown by whoever shows none.
        let keys = list(map, "api_keys")?.iter().map(|key| {
            let key = key.as_str().filter(|key| !key.is_empty()).map(str::to_owned);
            key.ok_or_else(|| error("projects[].api_keys is a list of texts, none of them empty"))
        });
        let project_secret = match map.get("project_secret") {
            None | Some(Value::Null) => None,
            Some(_) => Some(text(map, "project_secret", "projects[], where it has one,")?),
        };
        Ok(Project {
            token: text(map, "token", "projects[]")?,
            project_id: map
                .get("project_id")
                .and_then(Value::as_i64)
                .ok_or_else(|| error("projects[] needs a project_id: an integer such as 12345"))?,
            id_merge,
            project_secret,
            api_keys: keys.collect::<Result<_, _>>()?,
            lookup_tables: tables.collect::<Result<_, ConfigError>>()?,
            settings,
        })
    }
}

impl ServiceAccount {
    fn read(value: &Value, warnings: &mut Vec<String>) -> Result<ServiceAccount, ConfigError> {
        let map = object(value, "service_accounts[]")?;
        warn_of_others(map, "service_accounts[]", |name| ACCOUNT_FIELDS.contains(&name), warnings);
        let role = match map.get("role") {
            None | Some(Value::Null) => "owner".to_owned(),
            Some(_) => text(map, "role", "service_accounts[], where it has one,")?,
        };
        Ok(ServiceAccount {
            username: text(map, "username", "service_accounts[]")?,
            secret: text(map, "secret", "service_accounts[]")?,
            role: role.to_ascii_lowercase(),
            projects: project_ids(map)?,
        })
    }
}

impl OauthToken {
    /// Whether it has not ended.
    pub fn is_valid(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn read(value: &Value, warnings: &mut Vec<String>) -> Result<OauthToken, ConfigError> {
        let map = object(value, "gdpr_oauth[]")?;
        warn_of_others(map, "gdpr_oauth[]", |name| OAUTH_FIELDS.contains(&name), warnings);
        let expires = match map.get("expires") {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                value
                    .as_str()
                    .and_then(time::parse_iso)
                    .ok_or_else(|| error("gdpr_oauth[].expires is a date such as \"2027-08-01\""))?,
            ),
        };
        Ok(OauthToken {
            token: text(map, "token", "gdpr_oauth[]")?,
            user: map.get("user").and_then(Value::as_str).unwrap_or_default().to_owned(),
            expires,
            projects: project_ids(map)?,
        })
    }
}

/// Names in an entry that mean nothing there: mostly typing errors.
fn warn_of_others(
    map: &Map<String, Value>,
    what: &str,
    known: impl Fn(&str) -> bool,
    warnings: &mut Vec<String>,
) {
    for name in map.keys().filter(|name| !known(name)) {
        warnings.push(format!("{what}.{name} is not known here and is ignored"));
    }
}

fn error(text: impl Into<String>) -> ConfigError {
    ConfigError(text.into())
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, ConfigError> {
    value.as_object().ok_or_else(|| error(format!("{what} must be a JSON object")))
}

fn list<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], ConfigError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(error(format!("{name} must be a list"))),
    }
}

fn text(map: &Map<String, Value>, name: &str, what: &str) -> Result<String, ConfigError> {
    let value = map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    value.map(str::to_owned).ok_or_else(|| error(format!("{what} needs a text {name:?} that is not empty")))
}

fn project_ids(map: &Map<String, Value>) -> Result<Option<Vec<i64>>, ConfigError> {
    match map.get("projects") {
        None | Some(Value::Null) => Ok(None),
        Some(_) => {
            let ids = list(map, "projects")?.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
            ids.map(Some).ok_or_else(|| error("projects of an account is a list of project_id numbers"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_overrides_the_settings_of_all() {
        let config = Config::from_json(&json!({
            "projects": [{"token": "A", "project_id": 1, "retention_events_days": 10}, {"token": "B", "project_id": 2}],
            "settings": {"preset": "mixpanel-2025", "track_max_age_days": "off"},
            "note": "ignored",
        }))
        .unwrap();
        assert_eq!(config.project("A").unwrap().settings.retention_events_days, Some(10));
        let other = &config.project("B").unwrap().settings;
        assert_eq!(
            (other.retention_events_days, other.retention_basis),
            (Some(730), RetentionBasis::EventDate)
        );
        assert_eq!(other.track_max_age_days, None);
        assert_eq!(config.unknown_token(), UnknownToken::AcceptAndDrop);
        assert_eq!(Config::default().unknown_token(), UnknownToken::Create);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |document: Value| Config::from_json(&document).unwrap_err().to_string();
        assert!(wrong(json!({"settings": {"retention_event_days": 3}})).contains("retention_event_days"));
        assert!(wrong(json!({"settings": {"unknown_token": "maybe"}})).contains("accept_and_drop"));
        assert!(wrong(json!({"projects": [{"token": "A"}]})).contains("project_id"));
        assert!(wrong(json!({"settings": {"soft_delete_days": 10}})).contains("60 to 90"));
        assert!(wrong(json!([])).contains("object"));
        let document =
            json!({"projects": [{"token": "A", "project_id": 1, "name": "Shop", "retention_event_days": 3}]});
        let config = Config::from_json(&document).unwrap();
        assert_eq!(config.warnings().len(), 1);
        assert!(config.warnings()[0].contains("retention_event_days"));
    }

    #[test]
    fn names_that_mean_nothing_are_warned_of_wherever_they_stand() {
        let warned = |document: Value| Config::from_json(&document).unwrap().warnings().join("\n");
        let top = warned(json!({"setings": {"honor_gpc": true}}));
        assert!(top.contains("setings is not known") && top.contains("known are projects"), "{top}");
        let account = json!({"username": "a", "secret": "b", "project": [1]});
        assert!(warned(json!({"service_accounts": [account]})).contains("service_accounts[].project "));
        let oauth = json!({"token": "o", "expire": "2027-08-01"});
        assert!(warned(json!({"gdpr_oauth": [oauth]})).contains("gdpr_oauth[].expire "));
        let fixtures = json!({"type": "fixtures", "clock_s": 1, "clock": "", "note": "", "settings": {}});
        assert_eq!(warned(fixtures), "", "the first line of the wire vectors is one, too");
    }

    #[test]
    fn credentials_that_anybody_could_show_are_refused() {
        let project = |name: &str, value: Value| {
            let mut project = json!({"token": "A", "project_id": 1});
            project[name] = value;
            Config::from_json(&json!({"projects": [project]}))
        };
        for (name, value) in [
            ("project_secret", json!("")),
            ("project_secret", json!(5)),
            ("api_keys", json!([""])),
            ("api_keys", json!(["k", 5])),
            ("lookup_tables", json!([{"name": "x"}])),
        ] {
            let error = project(name, value.clone()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("text"), "{name} {value}: {error}");
        }
        assert_eq!(project("project_secret", json!(null)).unwrap().projects[0].project_secret, None);
        let account = json!({"username": "a", "secret": "b", "role": ["admin"]});
        assert!(Config::from_json(&json!({"service_accounts": [account]})).is_err());
    }
}
