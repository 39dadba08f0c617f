//! A mock collection server that speaks Mixpanel's wire protocol and keeps its privacy promises.
//!
//! # Who calls whom
//!
//! ```text
//! main.rs, mock_server.rs ──> server.rs: listener, connections, shutdown
//!                 │ one task per request
//!                 v
//!             http/: one file per family of routes. Decodes, asks, renders. No rule, no SQL.
//!                 │ pure calls                     │ jobs
//!                 v                                v
//!             domain/: rules of the protocol   core/: what a job may do, on the worker's thread
//!             and of privacy. No HTTP, no SQL,    │   (worker.rs: one thread, group commit)
//!             no clock of its own.                v
//!                                              store/: the `Store` trait; sqlite.rs (rows), vault.rs (keys)
//! ```
//!
//! *One thread writes.* Handlers send it jobs; it runs all that wait in one transaction, commits (new keys
//! are synced before, rows with the commit), and only then lets the handlers answer. A job that fails is rolled
//! back alone; a commit that fails is a 503 for everybody in the group.
//!
//! *No byte of a person reaches the disk in the clear.* Each combination of literal ids that records carry has
//! a random key in the vault, a file of fixed-size slots that is overwritten in place. Everything that came
//! under the combination, ids and names included, is sealed with that key and found by keyed hashes. To erase
//! is to overwrite the slots; the rows follow. The order is: intent (durable), keys, sync, rows, `SUCCESS`.
//! A process killed in between resumes at its next start, before it says that it is ready.
//!
//! *Large bodies are looked into one after another*, on threads of their own: as values they take up to fifty times what
//! they take as text. Small ones never wait for them, and of somebody unknown a large one is not kept where an
//! account is asked for.
//!
//! *Identity is resolved when it is read*, from the combinations themselves (simplified) or from merge edges
//! between them (original), so that links work backwards and the closure of an erasure is exact.
//!
//! *Time comes from [`domain::clock`]*, which a test can move; work that falls due runs in order of its due
//! time before the next answer.

//! # In a Rust test
//!
//! ```
//! use refrain_mock::{Expectation, MockServer};
//!
//! let server = MockServer::start().unwrap();
//! server.expect(Expectation::event("Signed up").property("plan", "pro").times(1));
//! // … let the client under test send to server.url() …
//! # use std::io::{Read, Write};
//! # let body = r#"{"event":"Signed up","properties":{"token":"T","plan":"pro"}}"#;
//! # let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
//! # write!(stream, "POST /track HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
//! # stream.read_to_string(&mut String::new()).unwrap();
//! server.verify();
//! ```

#[cfg(not(unix))]
compile_error!(
    "refrain-mock is for Linux and macOS, on Windows for WSL: it overwrites the keys of the erased at their place in a \
     file, and passes signals on, by calls that only Unix has"
);

pub mod domain;
pub mod offline;
pub mod store;

mod core;
mod expectation;
mod http;
mod mock_server;
mod notices;
#[cfg(test)]
mod scratch;
mod server;
mod wire;
mod worker;

pub use domain::config::Config;
pub use expectation::{Expectation, Times};
pub use mock_server::{Event, MockServer};
use notices::notice;
pub use server::{Options, Patience, StartError, StorePlace, serve_until_signal};
