//! A test kit for apps: that the right events leave, and that after a "no" nothing does.
//!
//! [`TestClient`] is a real [`Client`](crate::Client): the engine, the store on disk and the threads are those that
//! ship. Three things are different. The collector is in memory and answers what it is told to. Time is virtual: it
//! moves when a test says so, and a day passes in milliseconds. Random numbers, and so ids and the jitter of retries,
//! are the same in every run. An app takes the client as ever, by [`TestClient::client`].
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
//! Two of them have the same ids: random numbers are those of the first start and of the restarts after it.
//!
//! A call returns when everything is done that it leads to at this moment: nothing depends on how fast a machine is.
//! So do calls that wait, such as [`Client::flush`](crate::Client::flush), whatever time-out they were given; they wait
//! for no clock. That holds for the app's own hook, too: one that waits for what its caller holds, such as a lock that is
//! held during a call, is waited for in vain, for a minute.

mod client;
mod collector;
mod expect;
mod folder;
mod time;

pub use crate::engine::Answer;
pub use client::TestClient;
pub use collector::SentRequest;
pub(super) use time::{HANG, VirtualTime, World};
