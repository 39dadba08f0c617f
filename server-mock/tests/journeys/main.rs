//! Journeys over a socket: clients, tests, privacy work and operators against the server as they meet it.

mod collecting;
mod controlling;
mod damage;
mod erasing;
mod killing;
mod retention;
mod retrieving;
mod support;
