//! What an app calls, by name; properties are JSON text.

use super::client::Client;
use crate::engine::{CallKind, Outcome};
use crate::json::Object;

impl Client {
    /// Records an event whose properties are the text of a JSON object already.
    pub fn track_json(&self, name: &str, properties: &str) -> Outcome {
        self.call(CallKind::Track, name, properties)
    }

    /// The next event of this name carries `$duration`: how many seconds it came after this call.
    pub fn time_event(&self, name: &str) -> Outcome {
        self.call(CallKind::TimeEvent, name, "")
    }

    /// The person is known as this user from now on. What the device has sent so far belongs to the first user that it
    /// is joined to.
    pub fn identify(&self, user: &str) -> Outcome {
        self.call(CallKind::Identify, user, "")
    }

    /// Another known person uses this device from now on: a new device id, so that the two are never joined, no super
    /// properties, and this user. The choice about collection stays (C7).
    pub fn switch_user(&self, user: &str) -> Outcome {
        self.call(CallKind::SwitchUser, user, "")
    }

    /// A second name for whoever is known now. Means something to collectors with [`IdMerge::Original`] only.
    ///
    /// [`IdMerge::Original`]: crate::engine::IdMerge::Original
    pub fn alias(&self, alias: &str) -> Outcome {
        self.call(CallKind::Alias, alias, "")
    }

    /// Another person from now on, as after a logout: a new device id, no user, no super properties. The choice
    /// about collection stays (C7).
    pub fn reset(&self) -> Outcome {
        self.call(CallKind::Reset, "", "")
    }

    /// Sets properties that go with every later event: the text of a JSON object. `kind` is one of the `Register`s.
    pub fn register_json(&self, kind: CallKind, properties: &str) -> Outcome {
        self.call(kind, "", properties)
    }

    /// Forgets a super property.
    pub fn unregister(&self, name: &str) -> Outcome {
        self.call(CallKind::Unregister, name, "")
    }

    /// Operators on a profile as the text of a JSON object, such as `{"$set":{"plan":"pro"}}`; with `$group_key` and
    /// `$group_id` among them, on a group's (SPEC §9, §10).
    pub fn update_json(&self, operators: &str) -> Outcome {
        let group = Object::parse(operators).is_ok_and(|object| object.get("$group_key").is_some());
        self.call(if group { CallKind::Group } else { CallKind::Profile }, "", operators)
    }

    /// Later events are about this member of a group, and no other one of the same kind.
    pub fn set_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::SetGroup, key, id)
    }

    /// Later events are about this member of a group, too.
    pub fn add_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::AddGroup, key, id)
    }

    /// Later events are no longer about this member of a group.
    pub fn remove_group(&self, key: &str, id: &str) -> Outcome {
        self.call(CallKind::RemoveGroup, key, id)
    }
}
