//! Profiles: updates, and reading them.

use serde_json::Map;

use super::{Core, Resolver};
use crate::domain::config::{Project, Settings};
use crate::domain::profile::{Subject, Update};
use crate::domain::time::DAY;
use crate::store::{ProfileRange, ProjectRow, StoreError, StoredProfile};

/// Profiles last seen at or before this instant are expired.
pub fn profiles_expired_until(settings: &Settings, now: i64) -> i64 {
    settings.retention_profiles_days.map_or(i64::MIN, |days| now - days * DAY)
}

impl Core {
    /// Applies updates to the profiles of one project, in order.
    pub fn update_profiles(
        &mut self,
        project: &Project,
        updates: &[Update],
        now: i64,
    ) -> Result<(), StoreError> {
        let Some(row) = self.store.project(&project.token, true)? else { return Ok(()) };
        let mut resolver = Resolver::new(row, project.id_merge);
        for update in updates {
            let subject = self.resolve_subject(row, &mut resolver, update)?;
            if update.delete {
                self.store.delete_profile(row, &subject)?;
                continue;
            }
            let live = self
                .store
                .profile(row, &subject)?
                .filter(|profile| profile.last_seen > profiles_expired_until(&project.settings, now));
            let (mut properties, before) =
                live.map_or((Map::new(), now), |profile| (profile.properties, profile.last_seen));
            update.apply(&mut properties);
            self.store.put_profile(row, &subject, update.seen.unwrap_or(before), &properties)?;
        }
        Ok(())
    }

    /// The profile that an update is about: of the person behind the id, unless the literal id is meant.
    fn resolve_subject(
        &mut self,
        project: ProjectRow,
        resolver: &mut Resolver,
        update: &Update,
    ) -> Result<Subject, StoreError> {
        let Subject::Person(id) = &update.subject else { return Ok(update.subject.clone()) };
        if update.ignore_alias {
            return Ok(update.subject.clone());
        }
        let names = resolver.profile_names(self.store.as_mut(), id)?;
        for name in &names {
            let subject = Subject::Person(name.clone());
            if self.store.profile(project, &subject)?.is_some() {
                return Ok(subject);
            }
        }
        Ok(Subject::Person(names.into_iter().next().unwrap_or_else(|| id.clone())))
    }

    /// Visits the profiles of a project.
    pub fn profiles(
        &mut self,
        token: &str,
        groups: bool,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError> {
        let Some(row) = self.store.project(token, false)? else { return Ok(()) };
        let project = self.project_of(token);
        let now = self.shared.now();
        let expired_until = if groups { i64::MIN } else { profiles_expired_until(&project.settings, now) };
        self.store.visit_profiles(ProfileRange { project: row, groups, expired_until }, visitor)
    }

    /// The names under which the profiles of these distinct ids may lie.
    pub fn profile_names(&mut self, token: &str, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let Some(row) = self.store.project(token, false)? else { return Ok(Vec::new()) };
        let mut resolver = Resolver::new(row, self.project_of(token).id_merge);
        let mut names = Vec::new();
        for id in ids {
            names.append(&mut resolver.profile_names(self.store.as_mut(), id)?);
            names.push(id.clone());
        }
        Ok(names)
    }
}
