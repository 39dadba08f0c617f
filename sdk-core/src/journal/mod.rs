//! What the durable queue looks like in bytes. No files here: a driver reads and writes them.
//!
//! A queue is a row of [`segment`]s, append-only, each with the consent epoch of all its records in its header;
//! the small records (consent, identity) are kept in two [`slot`]s each. Every stretch of bytes carries a
//! checksum, so that what a crash tore or a disk changed is told from what was written.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod crc;
pub mod segment;
pub mod slot;

#[cfg(feature = "http")]
pub(crate) use crc::Crc;
