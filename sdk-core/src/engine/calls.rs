//! The calls that record something: all of them ask the gate first.

use super::books::Dropped;
use super::effect::{Effect, Entry, Op};
use super::hold::Call;
use super::identity::IdentityChange;
use super::message::Message;
use super::outcome::{Outcome, Rejection};
use super::time::{EventId, Now, Secret};
use super::{Engine, Verdict};
use crate::json::{Object, write};
use alloc::string::String;
use alloc::sync::Arc;

/// The largest event that a collector takes (SPEC §2.4).
const EVENT_BYTES: usize = 1_000_000;

impl Engine {
    pub(super) fn track(&mut self, name: &str, properties: &str, id: EventId) {
        let properties = match check_event(name, properties) {
            Ok(properties) => properties,
            Err(rejection) => return self.reject(rejection),
        };
        match self.gate() {
            Verdict::Deny(_) => self.reject(Rejection::Denied),
            Verdict::Hold => {
                let call = Call::Track { name: name.into(), properties: properties.as_str().into(), id };
                if self.hold(call) {
                    self.books.tracked += 1;
                }
            }
            Verdict::Allow => self.outcome = self.record(Message { name, properties, id, at: self.now }),
        }
    }

    pub(super) fn identify(&mut self, user: &str, id: EventId) {
        if user.is_empty() {
            return self.reject(Rejection::EmptyUser);
        }
        if user.starts_with("$device:") {
            return self.reject(Rejection::ReservedUser);
        }
        self.call(Call::Identify { user: user.into(), id });
    }

    pub(super) fn reset(&mut self, secret: Secret) {
        self.call(Call::Reset { secret });
    }

    pub(super) fn register(&mut self, properties: &str, once: bool) {
        match Object::parse(properties) {
            Ok(object) => self.call(Call::Register { properties: object.as_str().into(), once }),
            Err(error) => self.reject(Rejection::InvalidProperties(error)),
        }
    }

    pub(super) fn unregister(&mut self, name: &str) {
        self.call(Call::Unregister { name: name.into() });
    }

    fn call(&mut self, call: Call) {
        match self.gate() {
            Verdict::Deny(_) => self.reject(Rejection::Denied),
            Verdict::Hold => {
                self.hold(call);
            }
            Verdict::Allow => self.apply(self.now, call),
        }
    }

    /// Makes the calls that were held, in their order, each with its own moment.
    pub(super) fn replay_ring(&mut self) {
        for held in self.ring.drain() {
            self.apply(held.at, held.call);
        }
        self.outcome = Outcome::Nothing;
    }

    fn apply(&mut self, at: Now, call: Call) {
        self.outcome = Outcome::Accepted;
        match call {
            Call::Track { name, properties, id } => {
                let properties = Object::parse(&properties).unwrap_or(Object::EMPTY);
                // The books have it already, as held; what cannot be recorded now has been dropped.
                self.books.tracked -= 1;
                if let Outcome::Rejected(_) = self.record(Message { name: &name, properties, id, at }) {
                    self.books.tracked += 1;
                    self.books.drop_records(Dropped::NoIdentity, 1);
                }
            }
            Call::Identify { user, id } => self.apply_identify(at, user, id),
            Call::Reset { secret } => self.amend_identity(IdentityChange::Reset { secret }),
            Call::Register { properties, once } => {
                self.amend_identity(IdentityChange::Register { properties, once })
            }
            Call::Unregister { name } => self.amend_identity(IdentityChange::Unregister { name }),
        }
    }

    /// The first user after an anonymous time is announced, so that the collector can join the two; a second known
    /// user is not, so that two known people are never joined.
    fn apply_identify(&mut self, at: Now, user: String, id: EventId) {
        let Some(old) = &self.identity else { return };
        let anonymous = old.user.is_none().then(|| old.distinct_id());
        self.amend_identity(IdentityChange::Identify { user });
        if let Some(anonymous) = anonymous {
            let mut properties = String::from("{");
            write::key(&mut properties, "$anon_distinct_id");
            write::string(&mut properties, &anonymous);
            properties.push('}');
            let properties = Object::parse(&properties).unwrap_or(Object::EMPTY);
            self.record(Message { name: "$identify", properties, id, at });
        }
    }

    /// Writes an event down: into the queue in memory, and to the store.
    fn record(&mut self, message: Message<'_>) -> Outcome {
        let Some(identity) = &self.identity else { return Outcome::Rejected(Rejection::Denied) };
        let text = message.encode(identity, &self.config);
        if text.len() > EVENT_BYTES {
            return Outcome::Rejected(Rejection::TooLarge);
        }
        let text: Arc<str> = text.into();
        let seq = self.queue.push(text.clone(), self.now);
        self.books.tracked += 1;
        if self.durable() {
            self.append(seq, text);
        }
        let evicted = self.queue.evict(self.config.queue_limit_bytes);
        self.give_up(&evicted, Dropped::Evicted);
        self.lane.record_queued(self.now, &self.config, self.queue.waiting());
        Outcome::Accepted
    }

    pub(super) fn append(&mut self, seq: u64, text: Arc<str>) {
        let permit = self.permit(Entry::Event { seq, text });
        let op = Op::append(seq);
        self.effects.push_back(Effect::Append { op, permit });
    }

    /// Changes the identity here at once, so that the caller reads its own writes, and then in the store.
    pub(super) fn amend_identity(&mut self, change: IdentityChange) {
        let changed = self.identity.as_mut().is_some_and(|identity| change.change(identity));
        if changed && self.durable() {
            self.store_identity(change);
        }
    }

    /// Keeps a call until the gate opens.
    pub(super) fn hold(&mut self, call: Call) -> bool {
        let held = self.ring.push(self.now, call, &self.config, &mut self.books);
        if held {
            self.outcome = Outcome::Held;
        } else {
            self.reject(Rejection::HoldFull);
        }
        held
    }

    fn reject(&mut self, rejection: Rejection) {
        self.books.rejected += 1;
        self.outcome = Outcome::Rejected(rejection);
    }
}

fn check_event<'a>(name: &str, properties: &'a str) -> Result<Object<'a>, Rejection> {
    if name.trim_ascii().is_empty() {
        return Err(Rejection::EmptyName);
    }
    if name.len() > 255 && name.chars().count() > 255 {
        return Err(Rejection::NameTooLong);
    }
    if properties.len() > EVENT_BYTES {
        return Err(Rejection::TooLarge);
    }
    Object::parse(properties).map_err(Rejection::InvalidProperties)
}
