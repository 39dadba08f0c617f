//! Storing what arrives.

use std::collections::HashMap;

use super::gate::Gate;
use super::{Core, Dropped, random_hex, window};
use crate::domain::clock::Moment;
use crate::domain::config::{IdMerge, Project, RetentionBasis};
use crate::domain::event::Event;
use crate::domain::identity::{self, Ids, Verb};
use crate::domain::profile::Update;
use crate::store::{EventText, Home, NewEvent, NewReplay, ProjectRow, Put, StoreError};

/// Most ids in a cluster (SPEC §16.2).
const CLUSTER_LIMIT: usize = 500;
/// How often ids of what one request had refused are looked for where it names no project.
const LOOKS: usize = 50_000;

/// An event with its text, made in the request's own task: the thread that owns the store has enough to do.
#[derive(Debug, Clone)]
pub struct Packed {
    event: NewEvent,
    verb: Option<Verb>,
}

impl From<Event> for Packed {
    fn from(event: Event) -> Packed {
        let text = EventText::of(&event);
        let Event { ids, distinct_id, time, dedupe, verb, .. } = event;
        Packed { event: NewEvent { ids, distinct_id, time, dedupe, text }, verb }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct Ingested {
    /// New events, or updates.
    pub stored: usize,
    /// Events that replaced an equal one.
    pub duplicates: usize,
    /// What was dropped, and why.
    pub dropped: Vec<(Dropped, usize)>,
}

impl Ingested {
    fn drop(&mut self, reason: Dropped, count: usize) {
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known += count,
            None => self.dropped.push((reason, count)),
        }
    }
}

impl Core {
    /// Stores events of one project. They are lent, so that it is not the thread that owns the store which has to free
    /// them.
    pub fn ingest(
        &mut self,
        project: &Project,
        events: &mut [Packed],
        at: Moment,
    ) -> Result<Ingested, StoreError> {
        let received = at.now;
        let mut done = Ingested::default();
        let home = self.open_project(&project.token)?;
        let Some(space) = home.space else {
            done.drop(Dropped::DeletedProject, events.len());
            return Ok(done);
        };
        let mut gate = Gate::new(self, home, space, project, at);
        let window = window(&project.settings, received);
        for Packed { event, verb } in events {
            if let Some(reason) = gate.refuses(self, &event.ids, event.time)? {
                if reason == Dropped::SuppressionList {
                    gate.remember_link(self, &event.ids, verb.as_ref())?;
                }
                done.drop(reason, 1);
                continue;
            }
            if window.basis == RetentionBasis::EventDate && event.time <= window.expired_until {
                // Outside of the window on arrival: accepted, never stored (SPEC §19).
                done.drop(Dropped::OutOfWindow, 1);
                continue;
            }
            if event.dedupe.is_none() {
                // One is made up, so that the event is told from all others (SPEC §20.4).
                event.text.add("$insert_id", &random_hex(16)?);
            }
            let refused = match verb {
                Some(verb) if project.id_merge == IdMerge::Original => self.merge(&mut gate, verb)?,
                _ => None,
            };
            if let Some((reason, description)) = refused {
                event.text.add("$failure_reason", reason);
                event.text.add("$failure_description", description);
            }
            gate.resolver.linked(&event.ids);
            match self.store.put_event(space, event, received)? {
                Put::Stored => done.stored += 1,
                Put::Duplicate => {
                    // A new row takes the old one's place, so that who counts by rows has to count again.
                    self.era += 1;
                    done.duplicates += 1;
                }
            }
        }
        Ok(done)
    }

    /// Carries out an identity verb of the original merge; answers why not, where it is refused: reason and description.
    fn merge(
        &mut self,
        gate: &mut Gate,
        verb: &Verb,
    ) -> Result<Option<(&'static str, &'static str)>, StoreError> {
        let (first, second, identified) = match verb {
            Verb::Identify { user, anonymous } => {
                if !identity::is_uuid4(anonymous) {
                    return Ok(Some((
                        "anon_id_not_uuid4",
                        "the anonymous id is not a UUID of version 4, so it was not merged",
                    )));
                }
                (user, anonymous, true)
            }
            Verb::Alias { id, alias } => (id, alias, false),
            Verb::Merge(first, second) => (first, second, false),
            Verb::Incomplete => {
                return Ok(Some(("missing_ids", "the event does not name the ids that it is about")));
            }
        };
        let (store, resolver) = (self.store.as_mut(), &mut gate.resolver);
        let left = &resolver.cluster(store, first)?.nodes;
        if first == second || left.iter().any(|node| node.id == *second) {
            return Ok(None);
        }
        let left = left.len();
        let right = resolver.cluster(store, second)?.nodes.len();
        if !matches!(verb, Verb::Merge(..)) && (right > 1 || gate.is_suppressed(self, second)) {
            return Ok(Some(("already_merged", "the id belongs to another cluster already")));
        }
        if left.max(1) + right.max(1) > CLUSTER_LIMIT {
            return Ok(Some(("cluster_limit", "the cluster would have more than 500 ids")));
        }
        gate.join(self, first, second, identified)?;
        self.era += 1;
        Ok(None)
    }

    /// Applies updates to the profiles of one project, in order.
    pub fn update_profiles(
        &mut self,
        project: &Project,
        updates: &mut [Update],
        at: Moment,
    ) -> Result<Ingested, StoreError> {
        let now = at.now;
        let mut done = Ingested::default();
        let home = self.open_project(&project.token)?;
        let mut live = home.space.map(|space| (space, Gate::new(self, home, space, project, at)));
        let mut deleted = 0;
        for update in updates {
            // A deletion is in the interest of whoever objected or withdrew: it always gets through.
            if update.delete {
                deleted += self.delete_profiles(home, project.id_merge, update)?;
                done.stored += 1;
                continue;
            }
            let Some((space, gate)) = &mut live else {
                done.drop(Dropped::DeletedProject, 1);
                continue;
            };
            if let Some(reason) = gate.refuses(self, &update.ids, update.time.unwrap_or(now + 1))? {
                done.drop(reason, 1);
                continue;
            }
            gate.scrub(self, update)?;
            self.update_profile(*space, project, &mut gate.resolver, update, now)?;
            done.stored += 1;
        }
        if deleted > 0 {
            let counts = crate::store::Counts { profiles: deleted, ..Default::default() };
            self.note(now, Some(home.project), "profile.deleted", "$delete", None, counts)?;
        }
        Ok(done)
    }

    /// Stores a piece of a session replay that began at some time.
    pub fn store_replay(
        &mut self,
        project: &Project,
        replay: NewReplay,
        began: i64,
        at: Moment,
    ) -> Result<Ingested, StoreError> {
        let mut done = Ingested::default();
        let home = self.open_project(&project.token)?;
        let Some(space) = home.space else {
            done.drop(Dropped::DeletedProject, 1);
            return Ok(done);
        };
        let mut gate = Gate::new(self, home, space, project, at);
        match gate.refuses(self, &replay.ids, began)? {
            Some(reason) => done.drop(reason, 1),
            None => {
                self.store.put_replay(space, &replay)?;
                done.stored += 1;
            }
        }
        Ok(done)
    }

    /// Which refused records may be remembered: not those of persons who objected or were erased. One that names no
    /// project may be meant for any, so what holds in one holds for it; where that takes too many looks, it is not remembered.
    pub fn may_remember(
        &mut self,
        persons: &[(Option<String>, Ids)],
        now: i64,
    ) -> Result<Vec<bool>, StoreError> {
        let has_barriers = self.store.has_barriers(now);
        let mut anywhere = self.store.projects()?;
        anywhere.retain(|(home, _)| has_barriers || self.store.has_objections(home.project));
        let mut answers = Vec::with_capacity(persons.len());
        let (mut gates, mut looks) = (HashMap::new(), 0);
        for (token, ids) in persons {
            answers.push(match token {
                Some(token) => match self.store.find_project(token)? {
                    Some(home) => {
                        home.deleted.is_none() && !self.is_refused(&mut gates, home, token, ids, now)?
                    }
                    None => true,
                },
                None if ids.literal().next().is_none() => true,
                None => {
                    looks += anywhere.len() * ids.literal().count();
                    let mut may = looks <= LOOKS;
                    for (home, token) in &anywhere {
                        may = may && !self.is_refused(&mut gates, *home, token, ids, now)?;
                    }
                    may
                }
            });
        }
        Ok(answers)
    }

    fn is_refused(
        &mut self,
        gates: &mut HashMap<ProjectRow, Gate>,
        home: Home,
        token: &str,
        ids: &Ids,
        now: i64,
    ) -> Result<bool, StoreError> {
        // Without data nothing is linked; the list stands by itself.
        let Some(space) = home.space else {
            return Ok(ids.literal().any(|id| self.store.objection(home.project, id).is_some()));
        };
        let new = || Gate::new(self, home, space, &self.project_of(token), Moment::as_sent(now));
        let gate = gates.entry(home.project).or_insert_with(new);
        Ok(gate.refuses(self, ids, i64::MIN)?.is_some())
    }
}
