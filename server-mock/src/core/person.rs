//! One person: everything that is linked, and what is known.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Core, EventQuery, Resolver, Sorting, View};
use crate::domain::profile::Subject;
use crate::domain::time;
use crate::store::{KeyRow, StoreError};

impl Core {
    /// The person behind an id of a project, with the identity cluster; `None` when nothing is known of it.
    pub fn person(&mut self, token: &str, id: &str) -> Result<Option<Value>, StoreError> {
        let Some(view) = self.view(token)? else { return Ok(None) };
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        let canonical = resolver.of_distinct_id(self.store.as_mut(), id)?;
        let closure = self.closure(view.space, view.project.id_merge, &[id.to_owned()])?;
        let (mut combinations, mut keys) = (Vec::new(), Vec::new());
        for (key, ids) in self.store.keys_of(view.space, view.project.id_merge, &canonical)? {
            keys.push(key);
            combinations.push(json!({"device_id": ids.device, "user_id": ids.user, "also": ids.also}));
        }
        let query = EventQuery {
            distinct_ids: Some(vec![canonical.clone()]),
            sorting: Sorting::Time,
            ..EventQuery::default()
        };
        let (mut events, mut first, mut last) = (0_usize, None, None);
        self.events(&view, &query, &mut |event, _| {
            events += 1;
            first.get_or_insert(event.time);
            last = Some(event.time);
            true
        })?;
        let (mut profiles, mut groups) = (Vec::new(), Vec::new());
        for name in &closure.ids {
            if let Some(profile) = self.live_profile(&view, &Subject::Person(name.clone()))? {
                profiles.push(json!({
                    "distinct_id": name, "properties": profile.properties,
                    "last_seen": time::format_iso(profile.last_seen),
                }));
            }
            for subject in self.store.groups_naming(view.space, name)? {
                if let Subject::Group(key, group) = subject {
                    groups.push(json!({"group_key": key, "group_id": group}));
                }
            }
        }
        // Combinations outlast what was kept under them until the next sweep.
        if events == 0 && profiles.is_empty() && !self.has_replay(&view, keys)? {
            return Ok(None);
        }
        let project = view.space.project;
        let suppressed = self.store.objection(project, &canonical).is_some()
            || self.objection_of(project, view.project.id_merge, &closure.ids).is_some();
        Ok(Some(json!({
            "project": token,
            "distinct_id": canonical,
            "ids": closure.ids,
            "combinations": combinations,
            "events": events,
            "first_event": first.map(time::format_iso),
            "last_event": last.map(time::format_iso),
            "profiles": profiles,
            "groups": groups,
            "suppressed": suppressed,
        })))
    }

    fn has_replay(&mut self, view: &View, mut keys: Vec<KeyRow>) -> Result<bool, StoreError> {
        keys.sort_unstable();
        let mut found = false;
        self.store.visit_replays(view.space, view.now, 0, Some(Arc::new(keys)), &mut |_| {
            found = true;
            false
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::core::tests::core_with_an_event;
    use crate::domain::identity::Ids;
    use crate::domain::time::DAY;
    use crate::store::NewReplay;

    /// Sweeps come once an hour.
    #[test]
    fn nothing_that_has_expired_is_shown_of_a_person_swept_or_not() {
        let mut core = core_with_an_event();
        let (now, space) = (core.shared.now(), core.view("T").unwrap().unwrap().space);
        core.in_transaction(|core| {
            let replay = NewReplay {
                ids: Ids { user: Some("u".into()), ..Ids::default() },
                about: json!({}),
                body: Vec::new(),
                received: now,
                expires: Some(now + 3 * DAY),
            };
            core.store.put_replay(space, &replay)?;
            core.store.put_profile(space, &Subject::Person("u".into()), now, &Map::new())
        })
        .unwrap();
        let mut shown = || {
            let person = core.person("T", "u").unwrap();
            core.shared.clock().advance(DAY);
            person.map(|person| (person["events"].clone(), person["profiles"].as_array().unwrap().len()))
        };
        assert_eq!(shown(), Some((json!(1), 1)));
        assert_eq!(shown(), Some((json!(0), 1)));
        assert_eq!(shown(), Some((json!(0), 0)), "a replay is left");
        assert_eq!(shown(), None);
    }
}
