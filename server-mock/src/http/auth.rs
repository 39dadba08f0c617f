//! Credentials (SPEC §3).

use base64::Engine as _;

use super::App;
use super::call::{Call, Reply};
use crate::domain::config::{Config, OauthToken, Project, ServiceAccount};
use crate::domain::wire::Params;

const MISMATCH: &str = "Credentials in request did not match project_id URL parameter";
const BAD_SECRET: &str = "Unauthorized, invalid project secret. See docs for more information: \
https://developer.mixpanel.com/reference/authentication#project-secret";

/// Name and password of Basic credentials: a missing `:` means an empty password, and credentials that are no base64
/// of text are taken as they stand.
pub fn basic(call: &Call) -> Option<(String, String)> {
    let (scheme, rest) = call.header("authorization").trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let rest = rest.trim();
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let decoded =
        engine.decode(rest.trim_end_matches('=')).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.filter(|text| !text.chars().any(char::is_control)).unwrap_or_else(|| rest.to_owned());
    Some(match text.split_once(':') {
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => (text, String::new()),
    })
}

/// The token of a Bearer header.
pub fn bearer(call: &Call) -> Option<&str> {
    let (scheme, token) = call.header("authorization").trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Compares secrets by their hashes, so that the time taken says nothing.
fn same(left: &str, right: &str) -> bool {
    blake3::hash(left.as_bytes()) == blake3::hash(right.as_bytes())
}

fn wanted_project(params: &Params) -> Option<String> {
    params.text("project_id").filter(|id| !id.is_empty())
}

/// The project that an account may use; the error is the text of a 401.
fn of_account(
    config: &Config,
    account: &ServiceAccount,
    wanted: Option<&str>,
) -> Result<Project, &'static str> {
    let id: Option<i64> = wanted.and_then(|id| id.parse().ok());
    let project = config.projects.iter().find(|project| Some(project.project_id) == id);
    project
        .filter(|project| account.projects.as_ref().is_none_or(|ids| ids.contains(&project.project_id)))
        .cloned()
        .ok_or("not a project member")
}

fn matches_wanted(project: &Project, wanted: Option<&str>) -> Result<Project, &'static str> {
    match wanted {
        Some(id) if id.parse() != Ok(project.project_id) => Err(MISMATCH),
        _ => Ok(project.clone()),
    }
}

/// The project that an import is for; the error is the text of the 401.
pub fn import(config: &Config, call: &Call, params: &Params, now: i64) -> Result<Project, &'static str> {
    let wanted = wanted_project(params);
    let wanted = wanted.as_deref();
    if bearer(call).is_some() {
        let known = known_bearer(config, call, now).ok_or("Invalid credentials")?;
        let id: Option<i64> = wanted.and_then(|id| id.parse().ok());
        let project = config.projects.iter().find(|project| Some(project.project_id) == id);
        let allowed =
            |project: &&Project| known.projects.as_ref().is_none_or(|ids| ids.contains(&project.project_id));
        return project.filter(allowed).cloned().ok_or("not a project member");
    }
    if let Some((name, password)) = basic(call) {
        if let Some(account) = config.service_accounts.iter().find(|account| account.username == name) {
            if !same(&account.secret, &password) {
                return Err("Invalid credentials");
            }
            if !matches!(account.role.as_str(), "owner" | "admin") {
                return Err("the service account needs the role owner or admin");
            }
            return of_account(config, account, wanted);
        }
        if !password.is_empty() {
            return Err("Not a valid service account username");
        }
        let secret =
            |project: &&Project| project.project_secret.as_ref().is_some_and(|secret| same(secret, &name));
        if let Some(project) = config.projects.iter().find(secret) {
            return matches_wanted(project, wanted);
        }
        return match config.project_or_new(&name) {
            Some(project) if config.project(&name).is_some() => matches_wanted(&project, wanted),
            Some(project) => Ok(project),
            None => Err(BAD_SECRET),
        };
    }
    let key = params.text("api_key").filter(|key| !key.is_empty()).ok_or("Invalid credentials")?;
    let holder =
        config.projects.iter().find(|project| project.api_keys.iter().any(|known| same(known, &key)));
    holder.map_or(Err("Invalid credentials"), |project| matches_wanted(project, wanted))
}

/// Who asks for an export or a query.
pub enum Reader<'a> {
    Account(&'a ServiceAccount),
    /// Whoever has a project's secret.
    Secret(&'a Project),
}

/// Who asks, by the headers alone.
pub fn reader<'a>(config: &'a Config, call: &Call) -> Result<Reader<'a>, Reply> {
    let Some((name, password)) = basic(call) else {
        return Err(unauthorized("Invalid credentials"));
    };
    let account = config.service_accounts.iter().find(|account| account.username == name);
    let secret = |project: &&Project| {
        password.is_empty() && project.project_secret.as_ref().is_some_and(|secret| same(secret, &name))
    };
    let known = match account {
        Some(account) => Some(Reader::Account(account)).filter(|_| same(&account.secret, &password)),
        None => config.projects.iter().find(secret).map(Reader::Secret),
    };
    known.ok_or_else(|| unauthorized("Invalid service account credentials"))
}

impl Reader<'_> {
    /// The project that an export or a query is for.
    pub fn project(&self, config: &Config, params: &Params) -> Result<Project, Reply> {
        let wanted = wanted_project(params);
        let found = match self {
            Reader::Account(account) => of_account(config, account, wanted.as_deref()),
            Reader::Secret(project) => matches_wanted(project, wanted.as_deref()),
        };
        found.map_err(unauthorized)
    }
}

/// Whether a call shows credentials of an account holder that are known, whatever they are good for.
pub fn is_known(config: &Config, call: &Call, now: i64) -> bool {
    known_bearer(config, call, now).is_some() || reader(config, call).is_ok()
}

/// The project that a lookup table belongs to; the error is the text of the 401.
pub fn lookup(config: &Config, call: &Call, params: &Params) -> Result<Project, &'static str> {
    let wanted = wanted_project(params);
    let (name, password) = basic(call).ok_or("Invalid credentials")?;
    if let Some(account) = config.service_accounts.iter().find(|account| account.username == name) {
        let known = if same(&account.secret, &password) { Some(account) } else { None };
        return of_account(config, known.ok_or("Invalid credentials")?, wanted.as_deref());
    }
    let secret =
        |project: &&Project| project.project_secret.as_ref().is_some_and(|secret| same(secret, &name));
    let project = config.projects.iter().find(secret).filter(|_| password.is_empty());
    matches_wanted(project.ok_or("Invalid credentials")?, wanted.as_deref())
}

/// The account that asks, for routes about no project.
pub fn account(config: &Config, call: &Call) -> Option<ServiceAccount> {
    let (name, password) = basic(call)?;
    let known = config.service_accounts.iter().find(|account| account.username == name)?;
    same(&known.secret, &password).then(|| known.clone())
}

/// The bearer of a call to the GDPR API, if it is one that the configuration knows.
pub fn gdpr_bearer(config: &Config, call: &Call, now: i64) -> Result<OauthToken, Reply> {
    known_bearer(config, call, now)
        .cloned()
        .ok_or_else(|| unauthorized("the OAuth token is missing, unknown or expired"))
}

fn known_bearer<'a>(config: &'a Config, call: &Call, now: i64) -> Option<&'a OauthToken> {
    let token = bearer(call)?;
    config.gdpr_oauth.iter().find(|oauth| same(&oauth.token, token)).filter(|oauth| oauth.is_valid(now))
}

/// The project that a bearer asks about. Who administers all of them administers those too that are not configured and
/// hold data all the same: they have no number by which they could be listed.
pub async fn gdpr_project(app: &App, call: &Call, bearer: &OauthToken) -> Result<Project, Reply> {
    let Some(token) = call.query_params().text("token").filter(|token| !token.is_empty()) else {
        return Err(Reply::error(400, "token, missing or empty: add ?token=<project token>"));
    };
    let configured = app.shared.config().project(&token).cloned();
    let project = match (configured, &bearer.projects) {
        (Some(project), Some(numbers)) => Some(project).filter(|it| numbers.contains(&it.project_id)),
        (None, Some(_)) => None,
        (Some(project), None) => Some(project),
        (None, None) => {
            let asked = app.worker.read(move |core| core.holding(&token));
            asked.await.map_err(|_| Reply::unavailable(Reply::error))?
        }
    };
    project.ok_or_else(|| Reply::error(403, "the OAuth token does not administer this project"))
}

/// 401 in the shape of the app and query APIs.
pub fn unauthorized(text: &str) -> Reply {
    Reply::error(401, text).with("www-authenticate", "Basic realm=\"mixpanel\"")
}
