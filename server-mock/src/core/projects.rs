//! Projects: soft deletion, reset and the way back; and what each holds.

use super::{Core, event_expiry, window};
use crate::domain::config::Project;
use crate::domain::time::DAY;
use crate::store::{Counts, EventRange, Hidden, HideCause, Home, Order, StoreError};

/// Why a project cannot be deleted, reset or restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such project.
    Unknown,
    /// It is deleted.
    Deleted,
    /// Nothing of it is hidden.
    NothingHidden,
    /// What was hidden is purged.
    Purged,
}

/// A project as it stands.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Its token.
    pub token: String,
    /// As configured.
    pub project: Project,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// When it was deleted, in milliseconds.
    pub deleted: Option<i64>,
    /// Hidden data, in the order in which it was hidden.
    pub hidden: Vec<Hidden>,
    /// Visible events.
    pub events: usize,
    /// When the next event expires; `None` is never.
    pub next_event_expiry: Option<i64>,
    /// When the next profile expires.
    pub next_profile_expiry: Option<i64>,
    /// When the next piece of a replay expires.
    pub next_replay_expiry: Option<i64>,
    /// Ids on the suppression list.
    pub suppressed: usize,
}

impl Core {
    fn known_project(&mut self, token: &str) -> Result<Option<Home>, StoreError> {
        let configured = self.shared.config().project(token).is_some();
        match self.store.find_project(token)? {
            Some(home) => Ok(Some(home)),
            None if configured => self.open_project(token).map(Some),
            None => Ok(None),
        }
    }

    /// Deletes a project softly, or resets it: its data is hidden at once, and deleted after the grace.
    pub fn hide_project(&mut self, token: &str, cause: HideCause) -> Result<Result<(), Refused>, StoreError> {
        let now = self.shared.now();
        let done = self.in_transaction(|core| {
            let Some(home) = core.known_project(token)? else { return Ok(Err(Refused::Unknown)) };
            if home.deleted.is_some() {
                return Ok(Err(Refused::Deleted));
            }
            let days = core.project_of(token).settings.soft_delete_days;
            core.store.hide(home.project, cause, now, now + days * DAY)?;
            let retrievals = core.store.retrievals(Some(home.project))?;
            core.empty_archives(&retrievals)?;
            let action = match cause {
                HideCause::Delete => "project.deleted",
                HideCause::Reset => "project.reset",
            };
            let rule = format!("hidden at once, purged after {days} days");
            core.note(now, Some(home.project), action, &rule, None, Counts::default())?;
            Ok(Ok(()))
        })?;
        if done.is_ok() {
            self.shared.forget_rejected_by(token);
        }
        self.sessions.clear();
        self.era += 1;
        self.reschedule()?;
        Ok(done)
    }

    /// Undoes the last deletion or reset of a project.
    pub fn restore_project(&mut self, token: &str) -> Result<Result<HideCause, Refused>, StoreError> {
        let now = self.shared.now();
        let done = self.in_transaction(|core| {
            let Some(home) = core.known_project(token)? else { return Ok(Err(Refused::Unknown)) };
            let hidden = core.store.hidden(home.project)?;
            // A deletion is undone before a reset that was made before it.
            let last = hidden.into_iter().next_back().filter(|hidden| hidden.due > now);
            let Some(last) = last else {
                let refused = if home.deleted.is_some() { Refused::Purged } else { Refused::NothingHidden };
                return Ok(Err(refused));
            };
            core.store.restore(last)?;
            let retrievals = core.store.retrievals(Some(home.project))?;
            core.empty_archives(&retrievals)?;
            core.note(
                now,
                Some(home.project),
                "project.restored",
                "within the grace",
                None,
                Counts::default(),
            )?;
            Ok(Ok(last.cause))
        })?;
        self.sessions.clear();
        self.era += 1;
        self.finish_shredding()?;
        self.reschedule()?;
        Ok(done)
    }

    /// All projects: those of the configuration, and those that tokens made.
    pub fn overviews(&mut self) -> Result<Vec<Overview>, StoreError> {
        let config = self.shared.config();
        let mut tokens: Vec<String> = config.projects.iter().map(|project| project.token.clone()).collect();
        for token in self.tokens(None)? {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens.iter().map(|token| self.overview(token)).collect()
    }

    /// One project.
    pub fn overview(&mut self, token: &str) -> Result<Overview, StoreError> {
        let project = self.project_of(token);
        let configured = self.shared.config().project(token).is_some();
        let now = self.shared.now();
        let mut overview = Overview {
            token: token.to_owned(),
            project,
            configured,
            deleted: None,
            hidden: Vec::new(),
            events: 0,
            next_event_expiry: None,
            next_profile_expiry: None,
            next_replay_expiry: None,
            suppressed: 0,
        };
        let Some(home) = self.store.find_project(token)? else { return Ok(overview) };
        overview.deleted = home.deleted;
        overview.hidden = self.store.hidden(home.project)?;
        overview.suppressed = self.store.objections(home.project)?.len();
        let Some(space) = home.space else { return Ok(overview) };
        let settings = overview.project.settings.clone();
        let window = window(&settings, now);
        overview.events = self.store.count_events(&EventRange {
            space,
            window,
            from: i64::MIN,
            until: i64::MAX,
            order: Order::Receipt(0),
            keys: None,
        })?;
        let oldest = self.store.oldest_event(space, settings.retention_basis)?;
        overview.next_event_expiry = oldest.and_then(|oldest| event_expiry(&settings, oldest, oldest));
        if let Some(days) = settings.retention_profiles_days {
            overview.next_profile_expiry = self.store.oldest_profile(space)?.map(|seen| seen + days * DAY);
        }
        overview.next_replay_expiry = self.store.next_replay_expiry(space)?;
        Ok(overview)
    }
}
