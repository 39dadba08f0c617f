//! The native client on real files, real sockets and real processes. Tests are named after the rule
//! of `sdk-core/src/engine/rules.md` that they prove.

mod damage;
mod diary;
mod dice;
mod input;
mod journey;
mod killing;
#[cfg(feature = "personal-data")]
mod personal_data;
mod player;
mod processes;
mod records;
mod restless;
mod sharing;
mod stopping;
mod support;
mod versions;
mod withdrawal;
