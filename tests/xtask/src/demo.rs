//! `cargo xtask demo`: builds what the demo in `examples/web-shop` needs, and starts it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::browser;
use crate::command::{self, cargo};
use crate::machine::{self, Need};
use crate::project;

/// The command. With `once` the demo tells its story without waiting for anybody, checks it, and ends.
pub fn run(once: bool) -> Result<ExitCode> {
    command::run(&mut cargo(["build", "--quiet", "--package", "refrain-mock", "--package", "shop-traffic"]))?;
    let told = if once { play(on_this_machine())? } else { start(&[], None)? };
    Ok(if told.met()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For somebody who wants to see what can be seen here: the story leaves out the shop in Chromium where there is none, and
/// says so.
fn on_this_machine() -> Option<PathBuf> {
    match machine::chromium() {
        Need::Met(chromium) => Some(chromium),
        Need::Missing(why) => {
            println!("{why}");
            None
        }
    }
}

/// Has the demo, whose programs are built, tell its story; says whether all was as it should be.
pub fn play(chromium: Option<PathBuf>) -> Result<Need<bool>> {
    if chromium.is_some() {
        machine::npm_packages(&project::path("tests/e2e/node"))?;
    }
    start(&["--once"], chromium)
}

/// Starts it and waits for its end.
fn start(options: &[&str], chromium: Option<PathBuf>) -> Result<Need<bool>> {
    if let Need::Missing(why) = browser::build()? {
        return Ok(Need::Missing(format!("the demo needs the browser package: {why}")));
    }

    let shop = project::path("examples/web-shop");
    let mut demo = command::program("node", &shop, ["demo.mjs"]);
    demo.arg(project::target().join("demo")).args(options);
    demo.env("REFRAIN_MOCK_BIN", project::program("debug", "refrain-mock"));
    demo.env("SHOP_TRAFFIC_BIN", project::program("debug", "shop-traffic"));
    match chromium {
        Some(chromium) => demo.env("CHROMIUM", chromium),
        None => demo.env_remove("CHROMIUM"),
    };
    Ok(Need::Met(demo.status()?.success()))
}
