//! The app's calls by name, with properties as JSON text.

use super::client::Client;
use crate::engine::{CallKind, Outcome};
use crate::json::Object;

impl Client {
    /// Records an event, with properties that are already the text of a JSON object.
    pub fn track_json(&self, name: &str, properties: &str) -> Outcome {
        self.call(CallKind::Track, name, properties)
    }

    /// Starts a timer: the next event of this name carries `$duration`, the number of seconds since this call.
    pub fn time_event(&self, name: &str) -> Outcome {
        self.call(CallKind::TimeEvent, name, "")
    }

    /// From now on the person is known as this user. What the device has sent so far belongs to the first user it is
    /// joined to.
    pub fn identify(&self, user: &str) -> Outcome {
        self.call(CallKind::Identify, user, "")
    }

    /// Another known person uses this device from now on. It gets a new device id, so that the two people are never
    /// joined, no super properties, and this user. The choice about collection stays (C7).
    pub fn switch_user(&self, user: &str) -> Outcome {
        self.call(CallKind::SwitchUser, user, "")
    }

    /// Gives the current person a second name. It only has an effect with collectors that use [`IdMerge::Original`].
    ///
    /// [`IdMerge::Original`]: crate::engine::IdMerge::Original
    pub fn alias(&self, alias: &str) -> Outcome {
        self.call(CallKind::Alias, alias, "")
    }

    /// Another person from now on, as after a logout: a new device id, no user, no super properties. The choice about
    /// collection stays (C7).
    pub fn reset(&self) -> Outcome {
        self.call(CallKind::Reset, "", "")
    }

    /// Sets properties that are added to every later event: the text of a JSON object. `kind` is one of the
    /// `Register`s.
    pub fn register_json(&self, kind: CallKind, properties: &str) -> Outcome {
        self.call(kind, "", properties)
    }

    /// Forgets a super property.
    pub fn unregister(&self, name: &str) -> Outcome {
        self.call(CallKind::Unregister, name, "")
    }

    /// Updates a profile with operators, given as the text of a JSON object such as `{"$set":{"plan":"pro"}}`. If
    /// `$group_key` and `$group_id` are among its members, it updates that group's profile (SPEC §9, §10).
    pub fn update_json(&self, operators: &str) -> Outcome {
        let group = Object::parse(operators).is_ok_and(|object| object.get("$group_key").is_some());
        self.call(if group { CallKind::Group } else { CallKind::Profile }, "", operators)
    }

    /// Associates later events with this group, and with no other of the same kind.
    pub fn set_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::SetGroup, key, id)
    }

    /// Associates later events with this group too.
    pub fn add_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::AddGroup, key, id)
    }

    /// No longer associates later events with this group.
    pub fn remove_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::RemoveGroup, key, id)
    }
}
