//! JSON as text: checked once, merged by splicing, never turned into a tree.
//!
//! Properties arrive as the text of an object. [`Object::parse`] checks the whole text against the grammar of
//! RFC 8259; everything after that may rely on it. [`write`](mod@write) puts text together again.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod object;
mod scan;
pub mod write;

#[cfg(feature = "personal-data")]
pub(crate) use object::unescape;
pub(crate) use object::whole;
pub use object::{Elements, Key, Members, Object, Value};
pub use scan::{JsonError, MAX_DEPTH, Survey, key_hash};
