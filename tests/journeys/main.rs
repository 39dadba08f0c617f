//! Journeys of the real native client to the real server, over a real socket.

mod folders;
// The server's own tests look into its folder with it too; not all of it is needed here.
#[allow(dead_code)]
#[path = "../../server-mock/tests/journeys/forensics.rs"]
mod forensics;
mod killed_server;
#[path = "../../server-mock/tests/journeys/tool.rs"]
mod tool;
mod withdrawal;
