//! A test kit for apps: checks that the right events leave, and that after a "no" nothing does.
//!
//! [`TestClient`] is a real [`Client`](crate::Client): the engine, the store on disk and the threads are the ones that
//! ship. Three things differ. The collector is in memory and answers as it is told. Time is virtual: it moves when a
//! test says so, and a day passes in milliseconds. Random numbers, and thus ids and the jitter of retries, are the same
//! in every run. An app takes the client as usual, from [`TestClient::client`].
//!
//! ```toml
//! [dev-dependencies]
//! refrain = { path = "…/sdk-core", features = ["testing"] }
//! ```
//!
//! ```
//! use refrain::testing::TestClient;
//! use refrain::{Client, OptOut};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! /// The app.
//! struct Shop {
//!     tracking: Client,
//! }
//!
//! impl Shop {
//!     fn sell(&self, item: &str, price: f64) {
//!         self.tracking.track("Bought", json!({"item": item, "price": price}));
//!     }
//! }
//!
//! let test = TestClient::new();
//! let shop = Shop { tracking: test.client() };
//!
//! shop.sell("umbrella", 12.5);
//! test.advance(Duration::from_secs(60));
//! assert!(test.requests().is_empty()); // Nobody has decided yet.
//!
//! test.opt_in()?;
//! let event = test.expect_event_with("Bought", json!({"item": "umbrella"}));
//! assert_eq!(event["properties"]["price"], 12.5);
//!
//! test.opt_out(OptOut::default())?;
//! shop.sell("scarf", 9.0);
//! test.expect_nothing_sent();
//! test.expect_nothing_kept();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two test clients have the same ids, since each starts from the same random numbers. Restarts continue with numbers
//! of their own, which are also the same in every run.
//!
//! A call returns once everything it leads to at that moment is done, so nothing depends on the speed of the machine.
//! This is also true of calls that wait, such as [`Client::flush`](crate::Client::flush), whatever timeout they are
//! given; they do not wait for a clock. It is true of the app's own hook as well: if the hook waits for something that
//! its caller holds, such as a lock held during a call, the test waits in vain, for a minute.

mod client;
mod collector;
mod expect;
mod folder;
mod time;

pub use crate::engine::Answer;
pub use client::TestClient;
pub use collector::SentRequest;
pub(super) use time::{HANG, VirtualTime, World};
