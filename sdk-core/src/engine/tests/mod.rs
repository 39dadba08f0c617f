//! The engine against a small world: one store, several drivers, a collector that the test plays.

mod consent;
mod delivery;
mod random;
mod world;
