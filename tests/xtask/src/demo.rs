//! `cargo xtask demo`: builds what the demo in `examples/web-shop` needs, and starts it.

use std::process::ExitCode;

use anyhow::Result;

use crate::browser;
use crate::command::{self, cargo};
use crate::machine::{self, Need};
use crate::project;

/// The command. With `once` the demo tells its story without waiting for anybody, checks it, and ends.
pub fn run(once: bool) -> Result<ExitCode> {
    command::run(&mut cargo(["build", "--quiet", "--package", "refrain-mock", "--package", "shop-traffic"]))?;
    Ok(if start(once)?.met()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the demo, whose programs are built, and waits for its end; says whether all was as it should be.
pub fn start(once: bool) -> Result<Need<bool>> {
    if let Need::Missing(why) = browser::build()? {
        return Ok(Need::Missing(format!("the demo needs the browser package: {why}")));
    }

    let shop = project::path("examples/web-shop");
    let mut demo = command::program("node", &shop, ["demo.mjs"]);
    demo.arg(project::target().join("demo"));
    demo.env("REFRAIN_MOCK_BIN", project::program("debug", "refrain-mock"));
    demo.env("SHOP_TRAFFIC_BIN", project::program("debug", "shop-traffic"));
    if once {
        demo.arg("--once");
        match machine::chromium() {
            Need::Met(chromium) => {
                machine::npm_packages(&project::path("tests/e2e/node"))?;
                demo.env("CHROMIUM", chromium);
            }
            Need::Missing(why) => {
                println!("{why}");
                demo.env_remove("CHROMIUM");
            }
        }
    }
    Ok(Need::Met(demo.status()?.success()))
}
