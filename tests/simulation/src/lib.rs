//! Seeded worlds around the engine, the journal and the store that ship, and a search through all short histories.
//!
//! A [`World`](world::World) has a disk that fails, a network that loses, delays and repeats, a collector with moods, a
//! clock that jumps, and several processes on one data folder that are killed, stopped, cut off and started again.
//! After every step the promises about delivery and the rules C2 to C9, C11, C12 and C15 are checked by an
//! [`Oracle`](oracle::Oracle), which knows what was called and nothing of how it works; C1, C10, C13 and C14 are about what
//! a real client does beyond its store and its requests, and are proven there. A seed that fails repeats.
//!
//! What a real client has recorded is replayed by [`flight`].

pub mod action;
pub mod chance;
pub mod collector;
pub mod damage;
pub mod dice;
pub mod disk;
pub mod flight;
pub mod garbage;
pub mod guest;
pub mod mishap;
pub mod oracle;
pub mod process;
pub mod search;
pub mod world;
