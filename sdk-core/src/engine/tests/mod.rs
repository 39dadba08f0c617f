//! The engine against a small world: one store, several drivers, a collector that the test plays.

mod consent;
mod delivery;
mod early;
#[cfg(feature = "personal-data")]
mod personal;
mod random;
mod world;
