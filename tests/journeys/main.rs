//! Journeys of the real native client to the real server, over a real socket.

mod folders;
mod killed_server;
mod withdrawal;
