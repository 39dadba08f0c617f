//! Whether a record may come in: late copies of what was erased do not, and records of suppressed persons do not.

use std::collections::{HashMap, HashSet};

use super::{Core, Dropped, Resolver};
use crate::domain::clock::Moment;
use crate::domain::config::{IdMerge, Project};
use crate::domain::identity::{Ids, Verb, strip};
use crate::domain::profile::{Subject, Update};
use crate::store::{Dated, Home, Space, StoreError};

/// Asks for the records of one request and project; remembers what it found.
pub(super) struct Gate {
    home: Home,
    space: Space,
    id_merge: IdMerge,
    at: Moment,
    has_barriers: bool,
    has_objections: bool,
    /// Entries by combination, and by the person behind it.
    known: HashMap<Ids, Option<[u8; 16]>>,
    persons: HashMap<String, Option<[u8; 16]>>,
    /// Whose records these are, kept up with what the request itself links.
    pub resolver: Resolver,
}

impl Gate {
    /// For one project at one instant.
    pub fn new(core: &Core, home: Home, space: Space, project: &Project, at: Moment) -> Gate {
        Gate {
            home,
            space,
            id_merge: project.id_merge,
            at,
            has_barriers: core.store.has_barriers(at.now),
            has_objections: core.store.has_objections(home.project),
            known: HashMap::new(),
            persons: HashMap::new(),
            resolver: Resolver::new(space, project.id_merge),
        }
    }

    /// Why a record that carries these ids, and this time, is dropped.
    pub fn refuses(&mut self, core: &mut Core, ids: &Ids, time: i64) -> Result<Option<Dropped>, StoreError> {
        if self.has_barriers {
            let dated = self.dated(time);
            for id in ids.literal() {
                // Another user of an erased person's device keeps theirs; a device that was erased itself is barred
                // whoever uses it, and whatever the time is.
                let dated = if ids.is_device_of_a_user(id) { Dated::UNDATED } else { dated };
                if core.store.is_barred(self.home.project, id, dated, self.at.now)? {
                    return Ok(Some(Dropped::Erased));
                }
            }
        }
        if self.has_objections && self.objection(core, ids)?.is_some() {
            return Ok(Some(Dropped::SuppressionList));
        }
        Ok(None)
    }

    fn dated(&self, time: i64) -> Dated {
        Dated { time, sent: time.saturating_sub(self.at.client_offset) }
    }

    /// Takes out of an update of a group the members that were erased, as the erasure has done (C12).
    pub fn scrub(&mut self, core: &mut Core, update: &mut Update) -> Result<(), StoreError> {
        if !self.has_barriers || !matches!(update.subject, Subject::Group(..)) {
            return Ok(());
        }
        let time = self.dated(update.time.unwrap_or(self.at.now + 1));
        let mut erased = HashSet::new();
        for text in update.texts() {
            if core.store.is_barred(self.home.project, strip(&text), time, self.at.now)? {
                erased.insert(text);
            }
        }
        if !erased.is_empty() {
            update.leave_out(&|text| erased.contains(text));
        }
        Ok(())
    }

    /// Joins the clusters of two nodes (original merge). If one of them falls under the list, both do from now on.
    pub fn join(
        &mut self,
        core: &mut Core,
        first: &str,
        second: &str,
        identified: bool,
    ) -> Result<(), StoreError> {
        if !self.has_objections {
            return self.resolver.join(core.store.as_mut(), first, second, identified);
        }
        let mut entry = None;
        for node in [first, second] {
            let node = Ids { user: Some(node.to_owned()), ..Ids::default() };
            entry = entry.or(self.objection(core, &node)?);
        }
        self.resolver.join(core.store.as_mut(), first, second, identified)?;
        self.known.clear();
        let person = self.resolver.of_distinct_id(core.store.as_mut(), first)?;
        self.persons.insert(person, entry);
        Ok(())
    }

    /// The entry of the suppression list that a combination falls under, by any of the linked ids.
    fn objection(&mut self, core: &mut Core, ids: &Ids) -> Result<Option<[u8; 16]>, StoreError> {
        if let Some(known) = self.known.get(ids) {
            return Ok(*known);
        }
        let project = self.home.project;
        let mut entry = ids.literal().find_map(|id| {
            // A device that is there because of a user says nothing about another one.
            let counts = !ids.is_device_of_a_user(id) || core.store.is_listed(project, id);
            core.store.objection(project, id).filter(|_| counts)
        });
        if let (None, Some(own)) = (entry, ids.own()) {
            let person = self.resolver.of_distinct_id(core.store.as_mut(), &own)?;
            entry = match self.persons.get(&person) {
                Some(known) => *known,
                // A person may have very many devices: once is enough.
                None => {
                    let linked = core.closure(self.space, self.id_merge, std::slice::from_ref(&person))?;
                    let found = core.objection_of(project, self.id_merge, &linked.ids);
                    self.persons.insert(person, found);
                    found
                }
            };
        }
        self.known.insert(ids.clone(), entry);
        Ok(entry)
    }

    /// Whether an id is that of a person who objected: it stays theirs, even where nothing else of them is left.
    pub fn is_suppressed(&self, core: &Core, id: &str) -> bool {
        self.has_objections && core.store.objection(self.home.project, id).is_some()
    }

    /// A dropped record may have been the one that told whose a device or an alias is: it is suppressed with its user,
    /// unless it belongs to somebody else already. Whole clusters are merged whoever they belong to.
    pub fn remember_link(
        &mut self,
        core: &mut Core,
        ids: &Ids,
        verb: Option<&Verb>,
    ) -> Result<(), StoreError> {
        let project = self.home.project;
        let links: Vec<(&String, &String)> = match (verb, &ids.user, &ids.device) {
            (Some(Verb::Identify { user: id, anonymous: other } | Verb::Alias { id, alias: other }), ..)
                if self.id_merge == IdMerge::Original =>
            {
                if self.resolver.cluster(core.store.as_mut(), other)?.nodes.len() > 1 {
                    return Ok(());
                }
                vec![(id, other)]
            }
            (Some(Verb::Merge(first, second)), ..) if self.id_merge == IdMerge::Original => {
                vec![(first, second), (second, first)]
            }
            (_, Some(user), Some(device)) if self.id_merge == IdMerge::Simplified => {
                let first = core.store.first_user(self.space, device)?;
                if first.is_some_and(|first| first != *user) {
                    return Ok(());
                }
                vec![(user, device)]
            }
            _ => return Ok(()),
        };
        for (user, other) in links {
            // Only what is suppressed as the user: a device that was suppressed says nothing about other persons.
            let as_user = Ids { user: Some(user.clone()), ..Ids::default() };
            let Some(entry) = self.objection(core, &as_user)? else { continue };
            let mut joining = vec![other.clone()];
            if self.id_merge == IdMerge::Original {
                let cluster = self.resolver.cluster(core.store.as_mut(), other)?;
                joining.extend(cluster.nodes.iter().map(|node| node.id.clone()));
            }
            joining.retain(|id| core.store.objection(project, id).is_none());
            if joining.is_empty() {
                continue;
            }
            self.known.clear();
            self.persons.clear();
            core.shared.forget_rejected(&joining);
            for id in &joining {
                core.store.extend_objection(project, id, entry)?;
            }
        }
        Ok(())
    }
}
