//! Refrain for Kotlin, Swift and Python.
//!
//! The interface of the native client that UniFFI exports. It contains no rules of its own: decisions are made in
//! `refrain`. The idiomatic packages in `kotlin/`, `swift/` and `python/` build on the generated bindings.
//!
//! * Properties cross as one JSON text, never as a map of enums.
//! * Calls that record return the number of an [`Outcome`] and never throw; [`Client::opt_in`], [`Client::opt_out`] and the
//!   constructor return errors.
//! * HTTP belongs to the host, which implements [`HttpTransport`]. It is called without a lock held.

mod client;
mod config;
mod door;
mod exchange;
mod gate;
mod host;
mod outcome;
mod state;
mod transport;

pub use client::Client;
pub use config::{Config, ConfigError, DefaultConsent, IdMerge, PersonalDataMode, Signals};
pub use door::refrain_call;
pub use outcome::{ConsentError, Outcome, outcome};
pub use state::{Audit, AuditedErasure, AuditedFile, Consent, Stats};
pub use transport::{HttpAnswer, HttpRequest, HttpTransport, TransportError};

uniffi::setup_scaffolding!();

/// The version of the library.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// For a host whose runtime ends before the process does, such as Python. Call it when that end begins: from then on no
/// thread of any client enters the host's code. Waits until none is in it, for two seconds at most. Shut clients down
/// before; nothing of the others is sent from now on.
#[uniffi::export]
pub fn detach() {
    host::detach();
}
