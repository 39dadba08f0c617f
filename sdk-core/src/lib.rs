#![cfg_attr(feature = "typed", doc = include_str!("../README.md"))]
//! # Where things are
//!
//! [`engine`] decides everything and does nothing: it is without clocks, threads, files or sockets, and the same for every
//! platform. `native` is the client around it.

#![cfg_attr(not(any(feature = "native", test)), no_std)]
// Everywhere but in `native/process.rs`.
#![deny(unsafe_code)]

extern crate alloc;

#[forbid(unsafe_code)]
pub mod engine;
#[forbid(unsafe_code)]
pub mod journal;
#[forbid(unsafe_code)]
pub mod json;
#[cfg(feature = "native")]
pub mod native;

#[cfg(feature = "testing")]
#[doc(inline)]
pub use native::testing;
// What apps say to a client, and hear from it.
#[cfg(feature = "native")]
pub use engine::{
    Consent, Decision, DefaultConsent, FlushState, Notice, Outcome, Rejection, Signals, Stats, Verdict,
};
#[cfg(feature = "native")]
pub use native::{Builder, Client, OptOut};
