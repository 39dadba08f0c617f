//! Whom the records are about, in memory: the identity, what holds for this session only, and running timers.
//! A withdrawal forgets all of it at once.

use super::call::{Call, CallKind};
use super::config::Config;
use super::identity::{self, Identity};
use super::limits::COUNT;
use super::message::Head;
use super::outcome::Rejection;
use super::time::Now;
use crate::json::Object;
use alloc::string::String;
use alloc::vec::Vec;

/// Timers that may run at once; the oldest goes.
const TIMERS: usize = 100;

#[derive(Default)]
pub(super) struct Subject {
    identity: Option<Identity>,
    /// Properties for this session: the text of an object, or nothing.
    session: String,
    timers: Vec<Timer>,
    /// The beginning that all events share; made anew when it is stale.
    head: Option<Head>,
}

struct Timer {
    name: String,
    mono_ms: u64,
}

impl Subject {
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Takes an identity that was made here or read.
    pub(super) fn set(&mut self, identity: Option<Identity>) {
        self.identity = identity;
        self.head = None;
    }

    /// Takes the identity that the store holds. Where that is of another device it is of another person, whose events
    /// must not say what was noted of the one before.
    pub(super) fn adopt(&mut self, identity: Option<Identity>) {
        let secret = |identity: &Option<Identity>| identity.as_ref().map(|identity| identity.secret);
        if secret(&identity) != secret(&self.identity) {
            self.forget();
        }
        self.set(identity);
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Makes a call that changes whom records are about.
    ///
    /// # Errors
    /// With it there would be no room for an event's own properties, or a collector would cut it.
    pub(super) fn change(&mut self, call: &Call<'_>, config: &Config) -> Result<(), Rejection> {
        let Some(mut identity) = self.identity.clone() else { return Ok(()) };
        let is_other = identity.change(call);
        if call.kind == CallKind::AddGroup && identity.members(call.name) > COUNT {
            return Err(Rejection::TooMany);
        }
        let (session, anew) = match call.kind {
            CallKind::RegisterForSession => (identity::merged(call.text, &self.session, ""), false),
            CallKind::Unregister => (identity::merged("", &self.session, call.name), false),
            CallKind::Reset | CallKind::SwitchUser if is_other => (String::new(), true),
            _ => (self.session.clone(), false),
        };
        let head = Head::new(&identity, Object::or_empty(&session), config);
        if !matches!(call.kind, CallKind::Reset | CallKind::Unregister | CallKind::RemoveGroup) {
            head.check_room(&identity)?;
        }
        if anew {
            self.timers.clear();
        }
        (self.identity, self.session, self.head) = (Some(identity), session, Some(head));
        Ok(())
    }

    /// Starts a timer, or starts it again.
    pub(super) fn start_timer(&mut self, name: &str, at: Now) {
        let _ = self.stop_timer(name, at);
        if self.timers.len() >= TIMERS {
            self.timers.remove(0);
        }
        self.timers.push(Timer { name: name.into(), mono_ms: at.mono_ms });
    }

    /// Stops the timer of an event: how long it ran, in milliseconds.
    pub(super) fn stop_timer(&mut self, name: &str, at: Now) -> Option<u64> {
        let running = self.timers.iter().position(|timer| timer.name == name)?;
        Some(at.mono_ms.saturating_sub(self.timers.remove(running).mono_ms))
    }

    /// Running timers.
    pub(super) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// The properties of this session: the text of an object, or nothing.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The identity, the beginning of its events, and the properties of this session.
    pub(super) fn head(&mut self, config: &Config) -> Option<(&Identity, &Head, Object<'_>)> {
        let identity = self.identity.as_ref()?;
        let session = Object::or_empty(&self.session);
        let head = self.head.get_or_insert_with(|| Head::new(identity, session, config));
        Some((identity, head, session))
    }
}
