//! Who the records are about: one record per store, with the super properties (C9).

use super::call::{Call, CallKind, Kept};
use super::effect::{Amended, RecordRead};
use super::sha256;
use super::time::Secret;
use crate::json::{Key, Object, Value, write};
use alloc::string::String;

/// The device, the user and the super properties.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) revision: u64,
    /// The consent epoch it was made under; one of an older epoch is never used (C6).
    pub(super) epoch: u64,
    pub(super) secret: Secret,
    /// The device id: the first 128 bits of the secret's SHA-256 as a UUID of version 4 (C12).
    pub(super) device_id: String,
    pub(super) user: Option<String>,
    /// The text of an object.
    pub(super) super_properties: String,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn fresh(epoch: u64, secret: Secret) -> Self {
        let super_properties = String::from("{}");
        Self { revision: 1, epoch, secret, device_id: device_id(secret), user: None, super_properties }
    }

    /// What goes as `distinct_id`: the user, or the device while nobody is known.
    pub(super) fn distinct_id(&self) -> String {
        match &self.user {
            Some(user) => user.clone(),
            None => {
                let mut id = String::from("$device:");
                id.push_str(&self.device_id);
                id
            }
        }
    }

    pub(super) fn encode(&self) -> String {
        let mut out = String::from("{\"v\":1");
        write::number(&mut out, "revision", self.revision);
        write::number(&mut out, "epoch", self.epoch);
        out.push_str(",\"secret\":\"");
        write::hex(&mut out, &self.secret.0);
        out.push('"');
        if let Some(user) = &self.user {
            write::member(&mut out, "user", user);
        }
        write::key(&mut out, "super");
        out.push_str(&self.super_properties);
        out.push('}');
        out
    }

    /// Reads a record. Damage is no identity: a new one is made.
    pub(super) fn of(read: &RecordRead) -> Option<Self> {
        let RecordRead::Content(text) = read else { return None };
        let object = Object::parse(text).ok()?;
        if object.integer("v")? != 1 {
            return None;
        }
        let secret = secret_of(&object.string("secret")?)?;
        Some(Self {
            revision: object.integer("revision")?,
            epoch: object.integer("epoch")?,
            secret,
            device_id: device_id(secret),
            user: object.string("user"),
            super_properties: String::from(object.get("super")?.object()?.as_str()),
        })
    }
}

/// Whether a stored identity record is older than an epoch, or beyond reading, so that a wipe takes it.
pub fn identity_is_before(read: &RecordRead, epoch: u64) -> bool {
    !matches!(read, RecordRead::Absent) && Identity::of(read).is_none_or(|identity| identity.epoch < epoch)
}

/// A change of the identity record, applied by the driver to what it reads under the store's lock.
#[derive(Debug, Clone)]
pub(super) enum IdentityChange {
    /// Make an identity exist; the first made wins (C9).
    Ensure(Identity),
    /// What an app has called.
    Call(Kept),
    /// The identity in memory, of which the store holds a part at most: it did not take something. It goes over the one
    /// that the store was known to hold. If that of another device stands there, somebody else has made it since, and that
    /// counts; what others have said of this one meanwhile counts where nothing else was said here.
    Save(Identity, Option<Identity>),
}

impl IdentityChange {
    /// Whether another device may stand in the store once it is made.
    pub(super) fn may_be_another_device(&self) -> bool {
        !matches!(self, Self::Call(call) if !call.is_another_person())
    }

    /// Whether it says who is here.
    pub(super) fn names_somebody(&self) -> bool {
        !matches!(self, Self::Call(call) if !call.names_somebody())
    }

    pub(super) fn apply(&self, epoch: u64, read: &RecordRead) -> Amended {
        let changed = match Identity::of(read) {
            Some(old) if old.epoch > epoch => return Amended::Refuse,
            Some(mut identity) if identity.epoch == epoch => match self {
                Self::Ensure(_) => None,
                Self::Save(ours, known) => identity.save(ours, known.as_ref()).then_some(identity),
                Self::Call(kept) => identity.change(&kept.call()).then_some(identity),
            },
            _ => self.create(epoch),
        };
        changed.map_or(Amended::Keep, |identity| Amended::Write(identity.encode()))
    }

    /// The identity that this makes where there is none; most changes need one.
    fn create(&self, epoch: u64) -> Option<Identity> {
        match self {
            // What has lived in memory may have been made under an epoch that was not recorded.
            Self::Ensure(identity) | Self::Save(identity, _) => Some(Identity { epoch, ..identity.clone() }),
            Self::Call(kept) if kept.is_another_person() => {
                let mut identity = Identity::fresh(epoch, Secret(kept.bits));
                identity.change(&kept.call());
                Some(identity)
            }
            Self::Call(_) => None,
        }
    }
}

impl Identity {
    /// Makes a call that changes it; whether anything is different.
    pub(super) fn change(&mut self, call: &Call<'_>) -> bool {
        let revision = self.revision.saturating_add(1);
        let properties = &self.super_properties;
        let properties = match call.kind {
            CallKind::Identify | CallKind::SwitchUser => {
                if self.user.as_deref() == Some(call.name) {
                    return false;
                }
                if call.kind == CallKind::SwitchUser {
                    *self = Self::fresh(self.epoch, Secret(call.bits));
                }
                self.user = Some(call.name.into());
                self.revision = revision;
                return true;
            }
            CallKind::Reset => {
                *self = Self::fresh(self.epoch, Secret(call.bits));
                self.revision = revision;
                return true;
            }
            // The same again is no change, in whatever order.
            CallKind::Register if holds(properties, call.text) => return false,
            CallKind::Register => merged(call.text, properties, ""),
            CallKind::RegisterOnce => merged(properties, call.text, ""),
            CallKind::Unregister => merged("", properties, call.name),
            CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => membership(call, properties),
            _ => return false,
        };
        if properties == self.super_properties {
            return false;
        }
        self.super_properties = properties;
        self.revision = revision;
        true
    }

    /// Takes what was said of the person in memory; whether anything is different.
    fn save(&mut self, ours: &Self, known: Option<&Self>) -> bool {
        let before = self.clone();
        let known_here = known.filter(|known| known.secret == self.secret);
        if self.secret == ours.secret {
            let base = known_here.unwrap_or(&before);
            if ours.user != base.user {
                self.user.clone_from(&ours.user);
            }
            self.super_properties = if self.super_properties == base.super_properties {
                ours.super_properties.clone()
            } else {
                joined(&ours.super_properties, &base.super_properties, &self.super_properties)
            };
        } else if known_here.is_some() {
            *self = Self { epoch: self.epoch, ..ours.clone() };
        } else if known.is_none() {
            // The first device wins; what was said of the person holds for it.
            self.user = ours.user.clone().or(self.user.take());
            self.super_properties = merged(&ours.super_properties, &self.super_properties, "");
        }
        self.revision = before.revision;
        let changed = *self != before;
        self.revision = before.revision.max(ours.revision).saturating_add(1);
        changed
    }

    /// How many members of a group of this kind the records are about.
    pub(super) fn members(&self, key: &str) -> usize {
        let list = Object::parse(&self.super_properties).ok().and_then(|properties| properties.get(key));
        list.map_or(0, |list| list.elements().count())
    }
}

/// Whether all members of an object stand in another one as they are.
fn holds(properties: &str, text: &str) -> bool {
    let properties = Object::or_empty(properties);
    Object::or_empty(text).members().all(|(key, value)| at(properties, key) == Some(value))
}

/// The members of an object that have changed since `base`, and of the other one all else.
fn joined(ours: &str, base: &str, theirs: &str) -> String {
    let (ours, base, theirs) = (Object::or_empty(ours), Object::or_empty(base), Object::or_empty(theirs));
    let changed = |key| at(ours, key) != at(base, key);
    let mut out = String::from("{");
    let kept = theirs.members().filter(|(key, _)| !changed(*key));
    for (key, value) in ours.members().filter(|(key, _)| changed(*key)).chain(kept) {
        write::raw_key(&mut out, key);
        out.push_str(value.raw());
    }
    out.push('}');
    out
}

/// The value that stands at a key.
fn at<'a>(object: Object<'a>, key: Key<'_>) -> Option<Value<'a>> {
    object.members().find(|(other, _)| other.same(key)).map(|(_, value)| value)
}

/// Two objects as one without a member; the first is the stronger.
pub(super) fn merged(strong: &str, weak: &str, without: &str) -> String {
    let mut out = String::from("{");
    let without = if without.is_empty() { &[][..] } else { &[without] };
    write::merge(&mut out, &[Object::or_empty(strong), Object::or_empty(weak)], without, &[]);
    out.push('}');
    out
}

/// Super properties with a changed list of the members of a group (SPEC §10).
fn membership(call: &Call<'_>, properties: &str) -> String {
    let mut id = String::new();
    write::string(&mut id, call.text);
    let mut change = String::from("{");
    write::key(&mut change, call.name);
    change.push('[');
    let empty = change.len();
    let old = Object::or_empty(properties).get(call.name);
    if call.kind != CallKind::SetGroup
        && let Some(old) = old
    {
        let mut keep = |member: Value<'_>| {
            if member.raw() != id {
                write::comma(&mut change);
                change.push_str(member.raw());
            }
        };
        if old.is_array() {
            old.elements().for_each(keep);
        } else {
            // One alone may stand there without a list.
            keep(old);
        }
    }
    if call.kind != CallKind::RemoveGroup {
        write::comma(&mut change);
        change.push_str(&id);
    } else if change.len() == empty {
        return merged("", properties, call.name);
    }
    change.push_str("]}");
    merged(&change, properties, "")
}

/// The device id that belongs to a secret.
fn device_id(secret: Secret) -> String {
    let [first, second, third, fourth, ..] = sha256::short(&secret.0);
    let second = second & !0xF000 | 0x4000;
    let third = third & !0xC000_0000 | 0x8000_0000;
    let mut id = String::with_capacity(36);
    for word in [first, second, third, fourth] {
        for byte in word.to_be_bytes() {
            if matches!(id.len(), 8 | 13 | 18 | 23) {
                id.push('-');
            }
            write::hex(&mut id, &[byte]);
        }
    }
    id
}

fn secret_of(hex: &str) -> Option<Secret> {
    let mut secret = [0u8; 16];
    if hex.len() != 32 {
        return None;
    }
    for (at, digit) in hex.chars().enumerate() {
        let byte = secret.get_mut(at / 2)?;
        *byte = *byte << 4 | digit.to_digit(16)? as u8;
    }
    Some(Secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([7; 16]);

    fn apply(change: &IdentityChange, epoch: u64, read: &RecordRead) -> Option<RecordRead> {
        match change.apply(epoch, read) {
            Amended::Write(text) => Some(RecordRead::Content(text)),
            _ => None,
        }
    }

    #[test]
    fn c12_the_device_id_is_a_uuid_that_only_the_secret_gives() {
        // printf '\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7' | sha256sum, version and variant bits set.
        let id = device_id(SECRET);
        assert_eq!(id.len(), 36);
        assert_eq!((&id[14..15], id.matches('-').count()), ("4", 4));
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(id, device_id(Secret([8; 16])));
    }

    #[test]
    fn c9_what_others_have_said_meanwhile_counts_where_nothing_else_was_said_here() {
        let identity = |user: Option<&str>, properties: &str| Identity {
            user: user.map(String::from),
            super_properties: properties.into(),
            ..Identity::fresh(1, SECRET)
        };
        let base = identity(None, r#"{"a":1,"b":1,"c":1}"#);
        let stored = |theirs: &Identity| RecordRead::Content(theirs.encode());
        let saved = |ours: Identity, theirs: Identity| {
            let change = IdentityChange::Save(ours, Some(base.clone()));
            let saved = apply(&change, 1, &stored(&theirs)).map(|saved| Identity::of(&saved).unwrap());
            saved.map(|saved| (saved.user, saved.super_properties))
        };
        let theirs = identity(Some("ada"), r#"{"a":2,"b":2,"c":1}"#);
        let text = |user: &str, properties: &str| Some((Some(user.into()), properties.into()));
        // Here `b` was changed and `c` unregistered.
        let ours = identity(None, r#"{"a":1,"b":3}"#);
        assert_eq!(saved(ours, theirs.clone()), text("ada", r#"{"b":3,"a":2}"#));
        let ours = identity(Some("grace"), r#"{"\u0061":1,"b":1,"c":1,"d":1}"#);
        assert_eq!(saved(ours, theirs.clone()), text("grace", r#"{"d":1,"a":2,"b":2,"c":1}"#));
        assert_eq!(saved(base.clone(), theirs), None);
    }

    #[test]
    fn c9_the_first_device_wins() {
        let first =
            apply(&IdentityChange::Ensure(Identity::fresh(1, SECRET)), 1, &RecordRead::Absent).unwrap();
        assert_eq!(apply(&IdentityChange::Ensure(Identity::fresh(1, Secret([8; 16]))), 1, &first), None);
        assert_eq!(Identity::of(&first).unwrap().secret, SECRET);
    }

    #[test]
    fn c6_an_identity_of_an_older_epoch_is_replaced() {
        let old = apply(&IdentityChange::Ensure(Identity::fresh(1, SECRET)), 1, &RecordRead::Absent).unwrap();
        assert!(identity_is_before(&old, 2) && !identity_is_before(&old, 1));
        let new = apply(&IdentityChange::Ensure(Identity::fresh(2, Secret([8; 16]))), 2, &old).unwrap();
        assert_eq!(Identity::of(&new).unwrap().secret, Secret([8; 16]));
        assert!(matches!(IdentityChange::Ensure(Identity::fresh(1, SECRET)).apply(1, &new), Amended::Refuse));
    }

    #[test]
    fn c9_what_has_lived_in_memory_goes_over_what_was_known_to_be_there() {
        let ours = Identity { user: Some("ada".into()), ..Identity::fresh(1, Secret([8; 16])) };
        let theirs = Identity { revision: 7, user: Some("grace".into()), ..Identity::fresh(2, SECRET) };
        let stored = RecordRead::Content(theirs.encode());
        let save = |known, read| {
            let saved = apply(&IdentityChange::Save(ours.clone(), known), 2, read);
            saved.map(|saved| Identity::of(&saved).unwrap())
        };
        let saved = save(Some(theirs.clone()), &stored).unwrap();
        assert_eq!((saved.secret, saved.epoch, saved.revision), (ours.secret, 2, 8));
        assert_eq!(
            save(Some(Identity::fresh(2, Secret([9; 16]))), &stored),
            None,
            "somebody else has made it since"
        );
        let saved = save(None, &stored).unwrap();
        assert_eq!((saved.secret, saved.user.as_deref()), (SECRET, Some("ada")), "the first device wins");
        assert_eq!(save(None, &RecordRead::Absent).unwrap().epoch, 2);
    }

    fn made(calls: &[Call<'_>]) -> Identity {
        let mut identity = Identity::fresh(1, SECRET);
        for call in calls {
            assert!(identity.change(call), "{call:?}");
        }
        identity
    }

    #[test]
    fn super_properties_merge_and_leave() {
        let register = |text| Call::register(CallKind::Register, text);
        let mut identity = made(&[
            register(r#"{"a":1,"b":2}"#),
            register(r#"{"b":3}"#),
            Call::register(CallKind::RegisterOnce, r#"{"b":4,"c":5}"#),
            Call::unregister("a"),
        ]);
        assert_eq!(identity.super_properties, r#"{"b":3,"c":5}"#);
        assert!(!identity.change(&Call::unregister("a")));
        assert_eq!(identity.revision, 5);
    }

    #[test]
    fn groups_are_lists_without_repetition() {
        let group = |kind, id| Call::membership(kind, "company", id);
        let mut identity = made(&[group(CallKind::AddGroup, "a\""), group(CallKind::AddGroup, "b")]);
        assert_eq!(identity.super_properties, r#"{"company":["a\"","b"]}"#);
        assert!(identity.change(&group(CallKind::RemoveGroup, "a\"")));
        assert!(!identity.change(&group(CallKind::RemoveGroup, "z")));
        assert_eq!(identity.super_properties, r#"{"company":["b"]}"#);
        assert!(identity.change(&group(CallKind::SetGroup, "c")));
        assert_eq!(identity.super_properties, r#"{"company":["c"]}"#);
        assert!(identity.change(&group(CallKind::RemoveGroup, "c")));
        assert_eq!(identity.super_properties, "{}");
        let alone = Call::register(CallKind::Register, r#"{"company":"a"}"#);
        let identity = made(&[alone, group(CallKind::AddGroup, "b")]);
        assert_eq!(identity.super_properties, r#"{"company":["a","b"]}"#);
    }

    #[test]
    fn another_user_of_a_device_is_another_device() {
        let first = made(&[Call::identify("u1", super::super::EventId([0; 16]))]);
        let mut second = first.clone();
        assert!(!second.change(&Call::switch_user("u1", Secret([9; 16]))), "nobody else");
        assert!(second.change(&Call::switch_user("u2", Secret([9; 16]))));
        assert_ne!(second.device_id, first.device_id);
        assert_eq!(second.user.as_deref(), Some("u2"));
        let switch = Kept::new(Default::default(), Call::switch_user("u2", Secret([9; 16])));
        let read = apply(&IdentityChange::Call(switch), 1, &RecordRead::Absent).unwrap();
        assert_eq!(Identity::of(&read).unwrap().user.as_deref(), Some("u2"));
    }
}
