//! The rules: no HTTP, no SQL, no clock, no randomness of their own.

pub mod clock;
pub mod config;
pub mod device;
pub mod event;
pub mod export;
pub mod expression;
pub mod fault;
pub mod identity;
pub mod import;
pub mod json;
pub mod limits;
pub mod profile;
pub mod time;
pub mod wire;
