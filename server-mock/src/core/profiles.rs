//! Profiles: updates, and reading them.

use serde_json::Map;

use super::read::{PIECE, PIECE_BYTES, about_bytes_of};
use super::{Core, Resolver, View, is_live, profiles_expired_until};
use crate::domain::config::{IdMerge, Project};
use crate::domain::profile::{Subject, Update};
use crate::store::{Home, ProfileRange, Space, StoreError, StoredProfile};

fn profile_range(view: &View, groups: bool, after: i64) -> ProfileRange {
    let expired_until =
        if groups { i64::MIN } else { profiles_expired_until(&view.project.settings, view.now) };
    ProfileRange { space: view.space, groups, expired_until, after }
}

impl Core {
    /// Applies one update that is no deletion.
    pub(super) fn update_profile(
        &mut self,
        space: Space,
        project: &Project,
        resolver: &mut Resolver,
        update: &Update,
        now: i64,
    ) -> Result<(), StoreError> {
        let subject = self.resolve_subject(space, resolver, update)?;
        let found = self.store.profile(space, &subject)?;
        let live = found.filter(|profile| is_live(profile, &project.settings, now));
        let (mut properties, before) =
            live.map_or((Map::new(), now), |profile| (profile.properties, profile.last_seen));
        update.apply(&mut properties);
        self.store.put_profile(space, &subject, update.seen.unwrap_or(before), &properties)
    }

    /// Deletes the profile that an update is about, and the one that lies under the literal id: it may be from before the
    /// id was linked. What is hidden could be restored, so there too. Answers how many went.
    pub(super) fn delete_profiles(
        &mut self,
        home: Home,
        id_merge: IdMerge,
        update: &Update,
    ) -> Result<usize, StoreError> {
        let mut subjects = vec![update.subject.clone()];
        if let Some(space) = home.space {
            subjects.push(self.resolve_subject(space, &mut Resolver::new(space, id_merge), update)?);
            subjects.dedup();
        }
        let mut deleted = 0;
        for space in self.store.spaces(home.project)? {
            let mut names = subjects.clone();
            // An id that is linked to nobody now may have been; one that is may have been somebody else's.
            if names.len() == 1 {
                names.push(self.resolve_subject(space, &mut Resolver::new(space, id_merge), update)?);
            }
            for subject in &names {
                deleted += usize::from(self.store.delete_profile(space, subject)?);
            }
        }
        if let (Subject::Person(id), true) = (&update.subject, deleted > 0) {
            self.empty_archives_of(home.project, id_merge, id)?;
        }
        Ok(deleted)
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
        let mut after = Some(0);
        let mut wants_more = true;
        while let (Some(row), true) = (after, wants_more) {
            after = self.some_profiles(view, groups, row, &mut |profile| {
                wants_more = visitor(profile);
                wants_more
            })?;
        }
        Ok(())
    }

    /// Visits some of the profiles behind a row, for who does not want all of them in memory, or gives way to others.
    /// Answers the row behind which the rest is, or `None` where there is no more.
    pub fn some_profiles(
        &mut self,
        view: &View,
        groups: bool,
        after: i64,
        visitor: &mut dyn FnMut(StoredProfile) -> bool,
    ) -> Result<Option<i64>, StoreError> {
        let (mut piece, mut bytes, mut is_full) = (Vec::new(), 0, false);
        self.store.visit_profiles(profile_range(view, groups, after), &mut |profile| {
            bytes += about_bytes_of(&profile.properties);
            piece.push(profile);
            is_full = piece.len() == PIECE || bytes >= PIECE_BYTES;
            !is_full
        })?;
        let last = piece.last().map(|profile| profile.row).filter(|_| is_full);
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        for profile in piece {
            if !visitor(self.shown(view, &mut resolver, profile)?) {
                break;
            }
        }
        Ok(last)
    }

    /// The rows of profiles behind a row, at most so many.
    pub fn profile_rows(
        &mut self,
        view: &View,
        groups: bool,
        after: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        self.store.profile_rows(profile_range(view, groups, after), limit)
    }

    /// The profile of a row as it is shown, if it is still there.
    pub fn profile_of_row(
        &mut self,
        view: &View,
        resolver: &mut Resolver,
        row: i64,
    ) -> Result<Option<StoredProfile>, StoreError> {
        let profile = self.store.profile_of_row(view.space, row)?;
        let live = profile.filter(|profile| is_live(profile, &view.project.settings, view.now));
        live.map(|profile| self.shown(view, resolver, profile)).transpose()
    }

    /// The profile to which updates of a distinct id go, if there is one.
    pub fn profile_of(
        &mut self,
        view: &View,
        resolver: &mut Resolver,
        id: &str,
    ) -> Result<Option<StoredProfile>, StoreError> {
        for name in resolver.profile_names(self.store.as_mut(), id)? {
            if let Some(profile) = self.live_profile(view, &Subject::Person(name))? {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// The profile under a literal id, if it is not expired.
    pub(super) fn live_profile(
        &mut self,
        view: &View,
        subject: &Subject,
    ) -> Result<Option<StoredProfile>, StoreError> {
        let found = self.store.profile(view.space, subject)?;
        Ok(found.filter(|profile| is_live(profile, &view.project.settings, view.now)))
    }

    /// A profile under the id that it is shown by.
    fn shown(
        &mut self,
        view: &View,
        resolver: &mut Resolver,
        mut profile: StoredProfile,
    ) -> Result<StoredProfile, StoreError> {
        let Subject::Person(id) = &profile.subject else { return Ok(profile) };
        if view.project.id_merge != IdMerge::Original {
            return Ok(profile);
        }
        let expired = profiles_expired_until(&view.project.settings, view.now);
        let names = resolver.profile_names(self.store.as_mut(), id)?;
        for name in &names {
            if name == id {
                // Nobody comes before it.
                profile.subject = Subject::Person(names[0].clone());
                break;
            }
            if self.store.has_profile(view.space, name, expired)? {
                break;
            }
        }
        Ok(profile)
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
