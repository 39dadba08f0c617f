//! Who the records are about: one record per store, with the super properties (C9).

use super::effect::{Amended, RecordRead};
use super::sha256;
use super::time::Secret;
use crate::json::{Key, Object, write};
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

impl Identity {
    fn fresh(epoch: u64, secret: Secret) -> Self {
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
        write::key(&mut out, "revision");
        write::integer(&mut out, self.revision);
        write::key(&mut out, "epoch");
        write::integer(&mut out, self.epoch);
        out.push_str(",\"secret\":\"");
        write::hex(&mut out, &self.secret.0);
        out.push('"');
        if let Some(user) = &self.user {
            write::key(&mut out, "user");
            write::string(&mut out, user);
        }
        write::key(&mut out, "super");
        out.push_str(&self.super_properties);
        out.push('}');
        out
    }

    /// Reads a record. Damage is no identity: a new one is made.
    pub(super) fn of(read: &RecordRead) -> Option<Self> {
        let RecordRead::Content(bytes) = read else { return None };
        let object = Object::parse(core::str::from_utf8(bytes).ok()?).ok()?;
        if object.get("v")?.integer()? != 1 {
            return None;
        }
        let secret = secret_of(&object.get("secret")?.string()?)?;
        Some(Self {
            revision: object.get("revision")?.integer()?,
            epoch: object.get("epoch")?.integer()?,
            secret,
            device_id: device_id(secret),
            user: object.get("user").and_then(|user| user.string()),
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
    /// Make a device exist; the first made wins (C9).
    Ensure { secret: Secret },
    /// The person is known as this user.
    Identify { user: String },
    /// A new device, no user, no super properties.
    Reset { secret: Secret },
    /// Super properties to set: the text of an object. `once`: only those that are not there yet.
    Register { properties: String, once: bool },
    /// A super property to forget.
    Unregister { name: String },
}

impl IdentityChange {
    pub(super) fn apply(&self, epoch: u64, read: &RecordRead) -> Amended {
        let changed = match Identity::of(read) {
            Some(old) if old.epoch > epoch => return Amended::Refuse,
            Some(mut identity) if identity.epoch == epoch => self.change(&mut identity).then_some(identity),
            _ => self.create(epoch),
        };
        changed.map_or(Amended::Keep, |identity| Amended::Write(identity.encode().into_bytes()))
    }

    /// The identity that this makes where there is none; the other changes need one.
    pub(super) fn create(&self, epoch: u64) -> Option<Identity> {
        match self {
            Self::Ensure { secret } | Self::Reset { secret } => Some(Identity::fresh(epoch, *secret)),
            _ => None,
        }
    }

    /// Changes an identity; whether anything is different.
    pub(super) fn change(&self, identity: &mut Identity) -> bool {
        let revision = identity.revision.saturating_add(1);
        match self {
            Self::Ensure { .. } => return false,
            Self::Identify { user } if identity.user.as_ref() == Some(user) => return false,
            Self::Identify { user } => identity.user = Some(user.clone()),
            Self::Reset { secret } => *identity = Identity::fresh(identity.epoch, *secret),
            Self::Register { properties, once } => {
                let old = &identity.super_properties;
                let (strong, weak) = if *once { (old, properties) } else { (properties, old) };
                let merged = merged([strong, weak], |_| false);
                if merged == *old {
                    return false;
                }
                identity.super_properties = merged;
            }
            Self::Unregister { name } => {
                let merged = merged([&identity.super_properties, ""], |key| key.is(name));
                if merged == identity.super_properties {
                    return false;
                }
                identity.super_properties = merged;
            }
        }
        identity.revision = revision;
        true
    }
}

/// Two objects as one; the first is the stronger.
fn merged(texts: [&str; 2], refuse: impl Fn(Key<'_>) -> bool) -> String {
    let mut out = String::from("{");
    write::merge(&mut out, &texts.map(|text| Object::parse(text).unwrap_or(Object::EMPTY)), refuse);
    out.push('}');
    out
}

/// The device id that belongs to a secret.
fn device_id(secret: Secret) -> String {
    let digest = sha256::short(&secret.0);
    let mut id = String::with_capacity(36);
    for (index, byte) in digest.iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        let byte = match index {
            6 => byte & 0x0F | 0x40,
            8 => byte & 0x3F | 0x80,
            _ => *byte,
        };
        write::hex(&mut id, &[byte]);
    }
    id
}

fn secret_of(hex: &str) -> Option<Secret> {
    let mut secret = [0u8; 16];
    if hex.len() != 32 {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([7; 16]);

    fn apply(change: &IdentityChange, epoch: u64, read: &RecordRead) -> Option<RecordRead> {
        match change.apply(epoch, read) {
            Amended::Write(bytes) => Some(RecordRead::Content(bytes)),
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
    fn c9_the_first_device_wins() {
        let first = apply(&IdentityChange::Ensure { secret: SECRET }, 1, &RecordRead::Absent).unwrap();
        assert_eq!(apply(&IdentityChange::Ensure { secret: Secret([8; 16]) }, 1, &first), None);
        assert_eq!(Identity::of(&first).unwrap().secret, SECRET);
    }

    #[test]
    fn c6_an_identity_of_an_older_epoch_is_replaced() {
        let old = apply(&IdentityChange::Ensure { secret: SECRET }, 1, &RecordRead::Absent).unwrap();
        assert!(identity_is_before(&old, 2) && !identity_is_before(&old, 1));
        let new = apply(&IdentityChange::Ensure { secret: Secret([8; 16]) }, 2, &old).unwrap();
        assert_eq!(Identity::of(&new).unwrap().secret, Secret([8; 16]));
        assert!(matches!(IdentityChange::Ensure { secret: SECRET }.apply(1, &new), Amended::Refuse));
    }

    #[test]
    fn super_properties_merge_and_leave() {
        let mut read = apply(&IdentityChange::Ensure { secret: SECRET }, 1, &RecordRead::Absent).unwrap();
        let register = |text: &str, once| IdentityChange::Register { properties: text.into(), once };
        read = apply(&register(r#"{"a":1,"b":2}"#, false), 1, &read).unwrap();
        read = apply(&register(r#"{"b":3}"#, false), 1, &read).unwrap();
        read = apply(&register(r#"{"b":4,"c":5}"#, true), 1, &read).unwrap();
        read = apply(&IdentityChange::Unregister { name: "a".into() }, 1, &read).unwrap();
        assert_eq!(Identity::of(&read).unwrap().super_properties, r#"{"b":3,"c":5}"#);
        assert_eq!(apply(&IdentityChange::Unregister { name: "a".into() }, 1, &read), None);
    }
}
