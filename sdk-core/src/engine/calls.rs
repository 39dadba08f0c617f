//! The calls that record something: all of them ask the gate first.

use super::books::Dropped;
use super::call::{Call, CallKind, Kept};
use super::config::IdMerge;
use super::consent::Decision;
use super::effect::{Effect, Entry, Lane, Op};
use super::hold::Room;
use super::identity::{Identity, IdentityChange};
use super::limits::{self, RECORD_BYTES};
use super::message::{self, Event};
use super::outcome::{Outcome, Rejection};
use super::queue::Missing;
use super::store::Pending;
use super::time::{EventId, Now};
use super::{Engine, Phase, Verdict};
use crate::json::{Object, Survey, write};
use alloc::string::String;

/// Bytes of events that room is kept for; most take less.
const DRAFT: usize = 4 << 10;

impl Engine {
    pub(super) fn call(&mut self, call: Call<'_>) {
        let verdict = self.gate();
        if let Verdict::Deny(_) = verdict {
            return self.reject(Rejection::Denied);
        }
        if let Err(rejection) = limits::check(&call, &mut self.survey) {
            return self.reject(rejection);
        }
        #[cfg(feature = "personal-data")]
        let redacted = match self.inspect(&call) {
            Ok(redacted) => redacted,
            Err(rejection) => return self.reject(rejection),
        };
        #[cfg(feature = "personal-data")]
        let call = redacted.as_ref().map_or(call, Kept::call);
        if verdict == Verdict::Hold {
            let records = u64::from(call.kind.is_record());
            if !self.hold(Kept::new(self.now, call)) {
                return self.reject(Rejection::HoldFull);
            }
            self.books.tracked += records;
            self.outcome = Outcome::Held;
            return;
        }
        match self.apply(self.now, &call) {
            Outcome::Rejected(rejection) => self.reject(rejection),
            outcome => self.outcome = outcome,
        }
    }

    /// Makes the calls that were held, in their order, each with its own moment.
    pub(super) fn replay_ring(&mut self) {
        for held in self.ring.drain() {
            let call = held.call();
            let records = u64::from(held.kind.is_record());
            // The books have it already, as held; what cannot be recorded now has been dropped.
            self.books.tracked -= records;
            let sound = limits::check(&call, &mut self.survey).is_ok();
            if !sound || matches!(self.apply(held.at, &call), Outcome::Rejected(_)) {
                self.books.tracked += records;
                self.books.drop_records(Dropped::Unrecordable, records);
                self.books.rejected += 1 - records;
            }
        }
    }

    /// Makes a call that has passed the limits; [`Engine::survey`] is of its properties.
    fn apply(&mut self, at: Now, call: &Call<'_>) -> Outcome {
        match call.kind {
            CallKind::Track => {
                let duration_ms = self.subject.stop_timer(call.name, at);
                return self.record_event(at, call.name, call.text, EventId(call.bits), duration_ms);
            }
            CallKind::Identify => return self.identify(at, call),
            CallKind::Alias => {
                let mut properties = String::from("{");
                write::member(&mut properties, "alias", call.name);
                return self.record_own(at, "$create_alias", properties, EventId(call.bits));
            }
            CallKind::TimeEvent => self.subject.start_timer(call.name, at),
            CallKind::Profile => return self.record_update(at, call.text, Lane::Profiles),
            CallKind::Group => {
                let key = Object::trust(call.text).string("$group_key");
                if key.is_some_and(|key| message::is_denied(&key, &self.config)) {
                    return Outcome::Rejected(Rejection::EmptyGroup);
                }
                return self.record_update(at, call.text, Lane::Groups);
            }
            CallKind::SetGroup => return self.change_membership(at, call, "$set"),
            CallKind::AddGroup => return self.change_membership(at, call, "$union"),
            CallKind::RemoveGroup => return self.change_membership(at, call, "$remove"),
            CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession => {
                let mut text = String::from("{");
                write::merge(&mut text, &[Object::trust(call.text)], &[], &self.config.deny_list);
                text.push('}');
                return self.change_identity(at, &Call { text: &text, ..*call });
            }
            CallKind::Reset | CallKind::SwitchUser | CallKind::Unregister => {
                return self.change_identity(at, call);
            }
        }
        Outcome::Accepted
    }

    /// The first user after an anonymous time is announced, so that the collector can join the two; a second known
    /// user is not, so that two known people are never joined. A collector with simplified merging joins by the device
    /// and the user that stand in every event (SPEC §16.1); one with original merging is told whom to join (§16.2).
    fn identify(&mut self, at: Now, call: &Call<'_>) -> Outcome {
        let old = self.subject.identity();
        if old.is_some_and(|old| old.device_id == call.name) {
            return Outcome::Rejected(Rejection::ReservedUser);
        }
        let anonymous = old.filter(|old| old.user.is_none()).map(Identity::distinct_id);
        let outcome = self.change_identity(at, call);
        if let (Some(anonymous), Outcome::Accepted) = (anonymous, outcome) {
            let mut properties = String::from("{");
            if self.config.id_merge == IdMerge::Original {
                write::member(&mut properties, "$anon_distinct_id", &anonymous);
            }
            let announced = self.record_own(at, "$identify", properties, EventId(call.bits));
            self.unannounced(announced);
        }
        outcome
    }

    /// Events name the groups as a property of every event (SPEC §10); the profile of a known person lists them, too.
    fn change_membership(&mut self, at: Now, call: &Call<'_>, operator: &str) -> Outcome {
        let list = operator != "$remove";
        let denied = message::is_denied(call.name, &self.config);
        if denied && list {
            return Outcome::Accepted;
        }
        let outcome = self.change_identity(at, call);
        let known = self.subject.identity().is_some_and(|identity| identity.user.is_some());
        if !known || denied || outcome != Outcome::Accepted {
            return outcome;
        }
        let mut operators = String::from("{");
        write::key(&mut operators, operator);
        operators.push('{');
        write::key(&mut operators, call.name);
        operators.push_str(if list { "[" } else { "" });
        write::string(&mut operators, call.text);
        operators.push_str(if list { "]}}" } else { "}}" });
        let announced = self.record_update(at, &operators, Lane::Profiles);
        self.unannounced(announced);
        outcome
    }

    /// What a call has changed holds, also where the record that tells the collector of it was too large: that is counted.
    fn unannounced(&mut self, announced: Outcome) {
        if let Outcome::Rejected(_) = announced {
            self.books.tracked += 1;
            self.books.drop_records(Dropped::Unrecordable, 1);
        }
    }

    /// An event of the engine's own; its properties lack the closing brace.
    fn record_own(&mut self, at: Now, name: &str, mut properties: String, id: EventId) -> Outcome {
        properties.push('}');
        self.survey.clear();
        let _ = Object::survey(&properties, &mut self.survey);
        self.record_event(at, name, &properties, id, None)
    }

    fn record_event(
        &mut self,
        at: Now,
        name: &str,
        properties: &str,
        id: EventId,
        duration_ms: Option<u64>,
    ) -> Outcome {
        let survey: &Survey = &self.survey;
        let Some((identity, head, session)) = self.subject.head(&self.config) else {
            return Outcome::Rejected(Rejection::Denied);
        };
        let properties = Object::trust(properties);
        let event = Event { name, properties, survey, id, at, duration_ms };
        let mut draft = core::mem::take(&mut self.draft);
        let outcome = match event.encode(&mut draft, identity, head, session, &self.config) {
            true => self.record(&draft),
            false => Outcome::Rejected(Rejection::TooMany),
        };
        if draft.capacity() <= DRAFT {
            draft.clear();
            self.draft = draft;
        }
        outcome
    }

    fn record_update(&mut self, at: Now, operators: &str, lane: Lane) -> Outcome {
        let Some(identity) = self.subject.identity() else { return Outcome::Rejected(Rejection::Denied) };
        let operators = Object::trust(operators);
        let text = message::update(operators, identity, at, &self.config, lane);
        self.record(&text)
    }

    /// Writes a record down: into the queue in memory, and to the store.
    fn record(&mut self, text: &str) -> Outcome {
        // One that the queue has no room for must not cost all others their place.
        if text.len() > RECORD_BYTES || text.len() as u64 > self.config.queue_limit_bytes {
            return Outcome::Rejected(Rejection::TooLarge);
        }
        let durable = self.durable();
        let (record, lane) = self.queue.push(text, self.now, durable);
        self.books.tracked += 1;
        if durable {
            self.append(record);
        }
        self.evict();
        self.record_queued(lane);
        Outcome::Accepted
    }

    pub(super) fn append(&mut self, record: Missing) {
        let Missing { number, seq, text } = record;
        let permit = self.permit(Entry::Record { seq, text });
        self.effects.push_back(Effect::Append { op: Op::append(number), permit });
    }

    /// Changes the identity here at once, so that the caller reads its own writes, and then in the store: also where
    /// nothing seems to change, because the record may say something else by now (C9).
    fn change_identity(&mut self, at: Now, call: &Call<'_>) -> Outcome {
        if let Err(rejection) = self.subject.change(call, &self.config) {
            return Outcome::Rejected(rejection);
        }
        if call.kind != CallKind::RegisterForSession {
            if self.is_under_way(call) {
                // A program may register the same again with every event.
            } else if self.durable() && !self.retries.identity_missing {
                self.store_identity(IdentityChange::Call(Kept::new(at, *call)));
            } else {
                // The store holds less already; once it takes something again, it gets all of it at once.
                self.retries.identity_missing = true;
            }
        }
        Outcome::Accepted
    }

    /// Whether the same properties are what went on its way into the store last.
    fn is_under_way(&self, call: &Call<'_>) -> bool {
        match self.pending.last() {
            Some((_, Pending::Identity(IdentityChange::Call(kept)))) => {
                call.kind == CallKind::Register && kept.kind == call.kind && *kept.text == *call.text
            }
            _ => false,
        }
    }

    /// Keeps a call until the gate opens, where there is room for it.
    pub(super) fn hold(&mut self, mut call: Kept) -> bool {
        call.agreed = self.choosing() == Some(Decision::Granted);
        call.signalled = self.signals.refusal(&self.config).is_some();
        let decision = self.phase == Phase::Ready && self.verdict() == Verdict::Hold;
        let room = if decision { Room::for_decision } else { Room::for_store };
        self.ring.push(call, room(&self.config), &mut self.books)
    }

    fn reject(&mut self, rejection: Rejection) {
        self.books.rejected += 1;
        self.outcome = Outcome::Rejected(rejection);
    }
}
