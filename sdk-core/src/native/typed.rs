//! The client for Rust programs: properties are whatever serialises to a JSON object.

use super::builder::Builder;
use super::client::Client;
use super::filter::Subject;
use super::finite::holds_no_number;
use super::profile::Profile;
use crate::engine::{CallKind, Outcome, Rejection};
use crate::json::{JsonError, Object};
use serde::Serialize;
use serde_json::{Map, Value};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl Client {
    /// Records an event. Properties are anything that serialises to a JSON object; `()` means none.
    pub fn track(&self, name: &str, properties: impl Serialize) -> Outcome {
        self.serialised(properties, |text| self.track_json(name, if text == "null" { "{}" } else { text }))
    }

    /// Sets properties that are added to every later event.
    pub fn register(&self, properties: impl Serialize) -> Outcome {
        self.serialised(properties, |text| self.register_json(CallKind::Register, text))
    }

    /// Sets those properties that are not set yet.
    pub fn register_once(&self, properties: impl Serialize) -> Outcome {
        self.serialised(properties, |text| self.register_json(CallKind::RegisterOnce, text))
    }

    /// Sets properties that are added to every later event of this process. They are kept in memory only, and stored
    /// nowhere except in events.
    pub fn register_for_session(&self, properties: impl Serialize) -> Outcome {
        self.serialised(properties, |text| self.register_json(CallKind::RegisterForSession, text))
    }

    /// The profile of the current person.
    pub fn profile(&self) -> Profile<'_> {
        Profile::new(self, None)
    }

    /// The profile of a group, such as `group("company", "acme")`.
    pub fn group<'c>(&'c self, key: &'c str, id: &'c str) -> Profile<'c> {
        Profile::new(self, Some((key, id)))
    }

    /// Makes a call with a value as JSON text; the host's `Serialize` may fail or panic.
    pub(super) fn serialised(&self, value: impl Serialize, call: impl FnOnce(&str) -> Outcome) -> Outcome {
        let text = || {
            let text = serde_json::to_string(&value).ok()?;
            // What is no number has become `null`, too.
            let finite = !text.contains("null") || !holds_no_number(&value);
            Some(finite.then_some(text))
        };
        match catch_unwind(AssertUnwindSafe(text)) {
            Ok(Some(Some(text))) => call(&text),
            Ok(Some(None)) => self.refuse(Rejection::NotFinite),
            _ => self.refuse(Rejection::InvalidProperties(JsonError::Syntax)),
        }
    }
}

impl Builder {
    /// Properties that the host adds to every event, such as its version or the operating system. Any other property of
    /// the same name takes precedence. Anything that serialises to a JSON object.
    pub fn automatic_properties(self, properties: impl Serialize) -> Self {
        self.automatic_properties_json(serde_json::to_string(&properties).unwrap_or_default())
    }

    /// Sets a filter that sees properties just before they are recorded. It may change them, and returns whether they
    /// may be recorded: those of events, those that are registered, and those written to profiles, but not the names of
    /// events, users and groups. It is called on the thread that records, also for calls that are held until the person
    /// decides. A call that it declines is rejected as [`Rejection::Filtered`], and so is every call for which it
    /// panics. For a profile or a group's profile it sees the operators, with the properties inside them.
    ///
    /// ```
    /// # use refrain::{Client, native::Subject};
    /// let builder = Client::builder("T").filter(|subject, properties| {
    ///     properties.remove("street");
    ///     if subject == Subject::Profile {
    ///         // Such as {"$set": {"street": "Elm Street 9"}}.
    ///         for operand in properties.values_mut().filter_map(|operand| operand.as_object_mut()) {
    ///             operand.remove("street");
    ///         }
    ///     }
    ///     subject != Subject::Event("Debug")
    /// });
    /// ```
    pub fn filter(
        self,
        filter: impl Fn(Subject<'_>, &mut Map<String, Value>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter_json(Arc::new(move |subject, text| {
            let Ok(mut properties) = serde_json::from_str::<Map<_, _>>(text) else {
                // What is no object is for the engine to refuse; what only the engine can read is not seen, and not kept.
                return Object::parse(text).is_err().then(|| text.into());
            };
            // Whose profile it is, is not for it to see or say.
            let group = match subject {
                Subject::Profile => ["$group_key", "$group_id"].map(|name| properties.remove_entry(name)),
                _ => [None, None],
            };
            let keeps = filter(subject, &mut properties);
            properties.extend(group.into_iter().flatten());
            serde_json::to_string(&properties).ok().filter(|_| keeps)
        }))
    }
}
