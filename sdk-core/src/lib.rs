//! A client-side tracking SDK that takes no for an answer.
//!
//! ```no_run
//! use refrain::Client;
//! use refrain::engine::DefaultConsent;
//! use serde_json::json;
//! use std::time::Duration;
//!
//! let client = Client::builder("project-token")
//!     .endpoint("http://127.0.0.1:8787")
//!     .data_dir("data")
//!     .default_consent(DefaultConsent::Pending)
//!     .build()?;
//! client.track("Opened the shop", json!({ "language": "en" })); // held in memory: nobody has decided yet
//! client.opt_in()?;
//! client.track("Bought", json!({ "item": "umbrella", "price": 12.5 }));
//! client.flush(Duration::from_secs(5));
//! client.opt_out(OptOut::default())?; // when it returns, nothing is kept and nothing is sent any more
//! # use refrain::OptOut;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`engine`] decides everything and does nothing: it is `no_std`, without clocks, threads, files or sockets, and the
//! same for every platform. The feature `native` (on by default) adds the client for Rust programs.
//!
//! # Features
//!
//! * `typed`: properties from any `Serialize`, settings from JSON; what Rust programs want.
//! * `native`: the client, with properties as JSON text; needs `std`.
//! * `http`: its built-in transport. Without it the host brings one.
//! * `personal-data`: the detector for personal data in what is recorded. Off until a mode is chosen, see
//!   `Config::personal_data`.
//! * `testing`: the test kit for apps, as a dev-dependency; changes nothing for clients made without it.
//! * `flight-recorder` (off by default): `Builder::record_flight` writes what the engine is told to a file that can be
//!   replayed. For diagnosis.

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
#[cfg(feature = "native")]
pub use native::{Builder, Client, OptOut};
