//! What an app may ask for. One shape for all calls: they are held, replayed and applied to the stored identity alike.

use super::time::{EventId, Now, Secret};
use alloc::string::String;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CallKind {
    /// An event.
    Track = 0,
    /// From now on the person is known as this user.
    Identify = 1,
    /// Another person from now on: a new device id, no user, no super properties. Consent stays (C7).
    Reset = 2,
    /// Properties for every later event.
    Register = 3,
    /// The same, only for properties that are not registered yet.
    RegisterOnce = 4,
    /// The same, in memory only.
    RegisterForSession = 5,
    /// A registered property to forget.
    Unregister = 6,
    /// Another known person from now on: [`Reset`](Self::Reset) and [`Identify`](Self::Identify) in one.
    SwitchUser = 7,
    /// A second name for the current person.
    Alias = 8,
    /// The next event of this name says how long it took from now.
    TimeEvent = 9,
    /// Operators on the profile of the current person (SPEC §9).
    Profile = 10,
    /// Operators on the profile of a group (SPEC §10).
    Group = 11,
    /// Later events belong to this group, and to no other of the same kind.
    SetGroup = 12,
    /// Later events belong to this group too.
    AddGroup = 13,
    /// Later events no longer belong to this group.
    RemoveGroup = 14,
}

impl CallKind {
    /// All kinds, each at the index of its number.
    pub const ALL: [Self; 15] = [
        Self::Track,
        Self::Identify,
        Self::Reset,
        Self::Register,
        Self::RegisterOnce,
        Self::RegisterForSession,
        Self::Unregister,
        Self::SwitchUser,
        Self::Alias,
        Self::TimeEvent,
        Self::Profile,
        Self::Group,
        Self::SetGroup,
        Self::AddGroup,
        Self::RemoveGroup,
    ];

    /// Whether the call makes a record; the others change whom records are about.
    pub fn is_record(self) -> bool {
        matches!(self, Self::Track | Self::Alias | Self::Profile | Self::Group)
    }
}

/// A call of the app. Make one with the function named after its kind.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub(super) kind: CallKind,
    /// An event's name, a user, an alias, a property's name or a group's key.
    pub(super) name: &'a str,
    /// The text of a JSON object, or a group's id.
    pub(super) text: &'a str,
    /// Fresh random bits: an event's id, or the secret of a device.
    pub(super) bits: [u8; 16],
}

impl<'a> Call<'a> {
    /// Any call from its parts, as bindings have them. Parts that the kind does not have are ignored.
    pub fn new(kind: CallKind, name: &'a str, text: &'a str, bits: [u8; 16]) -> Self {
        Self { kind, name, text, bits }
    }

    /// An event with its properties, the text of a JSON object.
    pub fn track(name: &'a str, properties: &'a str, id: EventId) -> Self {
        Self::new(CallKind::Track, name, properties, id.0)
    }

    /// From now on the person is known as this user; `id` is for the `$identify` event.
    pub fn identify(user: &'a str, id: EventId) -> Self {
        Self::new(CallKind::Identify, user, "", id.0)
    }

    /// Another person from now on, on a device with this secret.
    pub fn reset(secret: Secret) -> Self {
        Self::new(CallKind::Reset, "", "", secret.0)
    }

    /// Another known person from now on, on a device with this secret.
    pub fn switch_user(user: &'a str, secret: Secret) -> Self {
        Self::new(CallKind::SwitchUser, user, "", secret.0)
    }

    /// A second name for the current person; `id` is for the `$create_alias` event.
    pub fn alias(alias: &'a str, id: EventId) -> Self {
        Self::new(CallKind::Alias, alias, "", id.0)
    }

    /// Properties for every later event: the text of a JSON object. `kind` is one of the `Register`s.
    pub fn register(kind: CallKind, properties: &'a str) -> Self {
        Self::new(kind, "", properties, [0; 16])
    }

    /// A registered property to forget.
    pub fn unregister(name: &'a str) -> Self {
        Self::new(CallKind::Unregister, name, "", [0; 16])
    }

    /// The next event of this name says how long it took from now.
    pub fn time_event(name: &'a str) -> Self {
        Self::new(CallKind::TimeEvent, name, "", [0; 16])
    }

    /// Operators on the profile of the current person: the text of a JSON object such as `{"$set":{"plan":"pro"}}`.
    pub fn profile(operators: &'a str) -> Self {
        Self::new(CallKind::Profile, "", operators, [0; 16])
    }

    /// Operators on a group's profile: the text of a JSON object that also contains `$group_key` and `$group_id`.
    pub fn group(operators: &'a str) -> Self {
        Self::new(CallKind::Group, "", operators, [0; 16])
    }

    /// Membership of a group. `kind` is `SetGroup`, `AddGroup` or `RemoveGroup`.
    pub fn membership(kind: CallKind, key: &'a str, id: &'a str) -> Self {
        Self::new(kind, key, id, [0; 16])
    }

    /// What the call is about.
    pub fn kind(&self) -> CallKind {
        self.kind
    }

    /// Name, text and bits.
    #[cfg(feature = "flight-recorder")]
    pub(crate) fn parts(&self) -> (&'a str, &'a str, [u8; 16]) {
        (self.name, self.text, self.bits)
    }

    /// Length of the call's texts in bytes.
    pub fn text_len(&self) -> usize {
        self.name.len() + self.text.len()
    }
}

impl core::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Call").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A call that is kept, with its moment.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) at: Now,
    pub(super) kind: CallKind,
    pub(super) bits: [u8; 16],
    pub(super) name: String,
    pub(super) text: String,
    /// Whether the person had agreed before, in a word that was not recorded yet.
    pub(super) agreed: bool,
    /// Whether a signal said no at the call, which may have been before anybody could know what the person had decided.
    pub(super) signalled: bool,
}

impl Kept {
    pub(super) fn new(at: Now, call: Call<'_>) -> Self {
        let Call { kind, bits, name, text } = call;
        Self { at, kind, bits, name: name.into(), text: text.into(), agreed: false, signalled: false }
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call { kind: self.kind, name: &self.name, text: &self.text, bits: self.bits }
    }

    /// Whether it is about another person from then on.
    pub(super) fn is_another_person(&self) -> bool {
        matches!(self.kind, CallKind::Reset | CallKind::SwitchUser)
    }

    /// Whether it says who is here: its place among others of the kind is what it means.
    pub(super) fn names_somebody(&self) -> bool {
        self.is_another_person() || self.kind == CallKind::Identify
    }

    pub(super) fn bytes(&self) -> usize {
        64 + self.name.len() + self.text.len()
    }
}

impl core::fmt::Debug for Kept {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.call().fmt(f)
    }
}
