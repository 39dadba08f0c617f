//! Refrain for Kotlin, Swift and Python.
//!
//! The face that UniFFI shows of the native client, and no rule of its own: the decisions are made in `refrain`.
//! The idiomatic packages in `kotlin/`, `swift/` and `python/` stand on the generated bindings.
//!
//! * Properties cross as one JSON text, never as a map of enums.
//! * Calls that record return the number of an [`Outcome`] and never throw; [`Client::opt_in`], [`Client::opt_out`] and the
//!   constructor return errors.
//! * HTTP is the host's: it implements [`HttpTransport`], which is called without a lock held.

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

/// The library's version.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// For a host whose runtime ends before the process does, as Python's, when that end begins: no thread of any client's
/// enters the host's code any more. Waits until none is in it, two seconds at most. Clients are shut down before; of
/// others nothing is sent from now on.
#[uniffi::export]
pub fn detach() {
    host::detach();
}
