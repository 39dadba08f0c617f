//! The engine against a small world: one store, several drivers, a collector that the test plays.

mod consent;
mod delivery;
#[cfg(feature = "personal-data")]
mod personal;
mod random;
mod world;
