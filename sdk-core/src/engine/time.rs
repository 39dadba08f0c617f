//! Time and randomness, brought by the driver.

use crate::json::write;
use alloc::string::String;
use core::fmt;

/// The moment of a call. The engine has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since 1970 in UTC; may jump either way.
    pub wall_ms: u64,
    /// Milliseconds of a clock that never goes back; only differences mean something.
    pub mono_ms: u64,
}

/// The identity of one event: 128 random bits, drawn when it is recorded. Never derived from a counter, which
/// would repeat after a crash and let the collector's dedupe delete a different event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// The 32 hexadecimal digits that travel as `$insert_id`.
    pub fn to_hex(self) -> String {
        let mut out = String::with_capacity(32);
        write::hex(&mut out, &self.0);
        out
    }
}

/// 128 random bits that stay on the device. A device id is derived from them (C12), so they must come from the
/// operating system and never be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
