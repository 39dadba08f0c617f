//! What can go wrong with storage.

use std::fmt;

/// What went wrong with storage, in words that an operator can use. Never holds a value that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    text: String,
}

impl StoreError {
    pub(crate) fn io(what: &str, error: impl fmt::Display) -> StoreError {
        StoreError { text: format!("{what}: {error}") }
    }

    pub(crate) fn damaged(text: impl Into<String>) -> StoreError {
        StoreError { text: text.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}
