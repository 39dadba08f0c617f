//! Journeys over a socket: clients, tests, privacy work and operators against the server as they meet it.

mod attacking;
mod auditing;
mod collecting;
mod commands;
mod controlling;
mod damage;
mod describing;
mod devices;
mod erasing;
mod expecting;
mod expiring;
mod exporting;
mod faulting;
mod forensic;
mod forensics;
mod killing;
mod limiting;
mod loading;
mod objecting;
mod projects;
mod rejecting;
mod replaying;
mod retention;
mod retrieving;
mod support;
mod tool;
