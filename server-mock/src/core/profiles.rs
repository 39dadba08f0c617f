//! Profiles: updates, and reading them.

use std::collections::HashSet;

use serde_json::Map;

use super::{Core, Resolver, View, profiles_expired_until};
use crate::domain::config::{IdMerge, Project};
use crate::domain::profile::{Subject, Update};
use crate::store::{ProfileRange, Space, StoreError, StoredProfile};

impl Core {
    /// Applies one update. Answers how many profiles it deleted.
    pub(super) fn update_profile(
        &mut self,
        space: Space,
        project: &Project,
        resolver: &mut Resolver,
        update: &Update,
        now: i64,
    ) -> Result<usize, StoreError> {
        let subject = self.resolve_subject(space, resolver, update)?;
        if update.delete {
            return Ok(usize::from(self.store.delete_profile(space, &subject)?));
        }
        let live = self
            .store
            .profile(space, &subject)?
            .filter(|profile| profile.last_seen > profiles_expired_until(&project.settings, now));
        let (mut properties, before) =
            live.map_or((Map::new(), now), |profile| (profile.properties, profile.last_seen));
        update.apply(&mut properties);
        self.store.put_profile(space, &subject, update.seen.unwrap_or(before), &properties)?;
        Ok(0)
    }

    /// The profile that an update is about: of the person behind the id, unless the literal id is meant.
    fn resolve_subject(
        &mut self,
        space: Space,
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
            if self.store.profile(space, &subject)?.is_some() {
                return Ok(subject);
            }
        }
        Ok(Subject::Person(names.into_iter().next().unwrap_or_else(|| id.clone())))
    }

    /// Visits the profiles of a project. On projects with original merge the profile to which updates of a person go is
    /// shown under the id that the person's cluster is shown by (SPEC §16.2), and a duplicate under its own.
    pub fn profiles(
        &mut self,
        view: &View,
        groups: bool,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<(), StoreError> {
        let settings = &view.project.settings;
        let expired_until = if groups { i64::MIN } else { profiles_expired_until(settings, view.now) };
        let range = ProfileRange { space: view.space, groups, expired_until };
        if groups || view.project.id_merge != IdMerge::Original {
            return self.store.visit_profiles(range, visitor);
        }
        let (mut all, mut literal) = (Vec::new(), HashSet::new());
        self.store.visit_profiles(range, &mut |profile| {
            if let Subject::Person(id) = &profile.subject {
                literal.insert(id.clone());
            }
            all.push(profile);
            true
        })?;
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        for mut profile in all {
            if let Subject::Person(id) = &profile.subject {
                let names = resolver.profile_names(self.store.as_mut(), id)?;
                if names.iter().find(|name| literal.contains(*name)) == Some(id) {
                    profile.subject = Subject::Person(names[0].clone());
                }
            }
            if !visitor(profile) {
                break;
            }
        }
        Ok(())
    }

    /// The names under which the profiles of these distinct ids may lie.
    pub fn profile_names(&mut self, view: &View, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        let mut names = Vec::new();
        for id in ids {
            names.append(&mut resolver.profile_names(self.store.as_mut(), id)?);
            names.push(id.clone());
        }
        Ok(names)
    }
}
