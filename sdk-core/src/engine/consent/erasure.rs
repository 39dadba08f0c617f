//! Entries of the erasure outbox (C12).

use crate::json::Object;
use alloc::string::String;

/// What an entry of the erasure outbox asks for (C12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureKind {
    /// To erase everything that carries the withdrawn device's id.
    Device,
    /// To delete the profiles of the withdrawn device and its user. This erases no events.
    Profile,
}

impl ErasureKind {
    /// The word in records and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Profile => "profile",
        }
    }
}

/// The state of an entry in the erasure outbox (C12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureState {
    /// Not yet accepted by the server.
    Requested,
    /// Accepted by the server, which is working on it.
    Accepted,
    /// Completed, according to the server.
    Completed,
    /// Refused by the server for good.
    Refused,
}

impl ErasureState {
    /// The word in records and bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Completed => "completed",
            Self::Refused => "refused",
        }
    }

    /// Whether there is nothing more to come.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Refused)
    }

    pub(in crate::engine) fn from_word(word: &str) -> Option<Self> {
        [Self::Requested, Self::Accepted, Self::Completed, Self::Refused]
            .iter()
            .find(|s| s.as_str() == word)
            .copied()
    }
}

/// An entry of the erasure outbox, written with the withdrawal that asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The entry's own id, 32 hexadecimal digits.
    pub id: String,
    /// What it asks for.
    pub kind: ErasureKind,
    /// The withdrawn device.
    pub device_id: String,
    /// The withdrawn user, if a profile is to be deleted and a user was known.
    pub user: Option<String>,
    /// The device's secret in hexadecimal digits. Revealing it proves that the device itself is asking. Empty once the
    /// server has accepted the request.
    pub secret: String,
    /// Its state.
    pub state: ErasureState,
    /// The server's last response, if it was a JSON object: its text, with the receipt at the end.
    pub answer: Option<String>,
}

impl Erasure {
    pub(super) fn decode(entry: Object<'_>) -> Option<Self> {
        let state = ErasureState::from_word(&entry.string("state")?)?;
        let kind = match entry.string("kind").as_deref() {
            Some("profile") => ErasureKind::Profile,
            _ => ErasureKind::Device,
        };
        Some(Self {
            id: entry.string("id")?,
            kind,
            device_id: entry.string("device_id")?,
            user: entry.string("user").filter(|user| !user.is_empty()),
            secret: entry.string("secret").unwrap_or_default(),
            state,
            answer: entry.get("answer").map(|answer| answer.raw().into()),
        })
    }
}

impl core::fmt::Debug for Erasure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Erasure")
            .field("kind", &self.kind)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry in which everything stands.
    pub(in crate::engine::consent) fn erasure(id: &str, state: ErasureState) -> Erasure {
        Erasure {
            id: id.into(),
            kind: ErasureKind::Profile,
            device_id: "d".into(),
            user: Some("u".into()),
            secret: "s".into(),
            state,
            answer: Some("{\"id\":\"x\"}".into()),
        }
    }
}
