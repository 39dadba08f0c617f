//! The native client on real files, real sockets and real processes. Tests are named after the rule
//! of `sdk-core/src/engine/rules.md` that they prove.

mod damage;
mod input;
mod journey;
#[cfg(feature = "personal-data")]
mod personal_data;
mod player;
mod processes;
mod sharing;
mod support;
mod versions;
mod withdrawal;
