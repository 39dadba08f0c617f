//! One person: everything that is linked, and what is known.

use serde_json::{Value, json};

use super::{Core, EventQuery, Resolver, Sorting};
use crate::domain::profile::Subject;
use crate::domain::time;
use crate::store::StoreError;

impl Core {
    /// The person behind an id of a project, with the identity cluster; `None` when nothing is known of it.
    pub fn person(&mut self, token: &str, id: &str) -> Result<Option<Value>, StoreError> {
        let Some(view) = self.view(token)? else { return Ok(None) };
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        let canonical = resolver.of_distinct_id(self.store.as_mut(), id)?;
        let closure = self.closure(view.space, view.project.id_merge, &[id.to_owned()])?;
        let mut combinations = Vec::new();
        for (_, ids) in self.store.keys_of(view.space, view.project.id_merge, &canonical)? {
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
            if let Some(profile) = self.store.profile(view.space, &Subject::Person(name.clone()))? {
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
        if events == 0 && profiles.is_empty() && combinations.is_empty() {
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
}
