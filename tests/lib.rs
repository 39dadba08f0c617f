//! Cross-crate tests of Refrain: what they share.
//!
//! They talk to the real programs, over real sockets, with nothing in between that could tidy up what is sent.

pub mod mock_server;
pub mod raw_http;
