//! The client for Rust programs: threads, files and clocks around the [engine](crate::engine).
//!
//! [`Client`] is the handle. A call enters the engine on the calling thread, under a lock that is never held across
//! I/O; what the engine asks for goes into two queues, in order. One thread works through the storage queue, a few
//! milliseconds' worth at a time, and keeps track of time; a second one sends requests; a third exists only while the
//! app is told something. The steps of a person's choice take precedence over everything else that is to be stored.
//! Nothing here decides what may be recorded or sent.
//!
//! Files and their locks are described in `store/layout.rs`. A kill can cost what the storage thread had not taken yet
//! (a few milliseconds' worth), and a power cut also what had not been synced. [`Client::sync`] waits for both.

mod audit;
mod build_error;
mod builder;
mod calls;
mod client;
mod clock;
mod entropy;
mod filter;
#[cfg(feature = "typed")]
mod finite;
#[cfg(feature = "flight-recorder")]
pub mod flight;
#[cfg(feature = "http")]
mod gzip;
#[cfg(feature = "http")]
mod http;
mod notice_thread;
mod per_process;
/// For the project's own bindings; not part of the interface.
#[doc(hidden)]
pub mod process;
#[cfg(feature = "typed")]
mod profile;
#[cfg(feature = "http")]
mod proxy;
mod registry;
mod request_thread;
#[cfg(feature = "http")]
mod retry_after;
mod settings;
mod shared;
mod storage_thread;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
#[cfg(feature = "typed")]
mod typed;

pub use audit::{Audit, AuditedErasure, AuditedFile};
pub use build_error::BuildError;
pub use builder::Builder;
pub use client::{Client, OptOut};
pub use filter::Subject;
#[cfg(feature = "http")]
pub use http::HttpTransport;
/// For the project's own bindings; not part of the interface.
#[doc(hidden)]
pub use per_process::PerProcess;
#[cfg(feature = "typed")]
pub use profile::Profile;
#[cfg(feature = "http")]
pub use proxy::InvalidProxy;
pub use settings::Settings;
/// The store and what it stands on, for the project's own simulation; not part of the interface.
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation {
    pub use super::shared::is_choice;
    pub use super::store::{Disk, DiskFile, Hold, Layout, Ledger, Mode, Store};
}
pub use transport::{OpenRequest, PendingRequest, Sending, Transport};
