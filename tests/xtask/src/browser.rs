//! The npm package `@refrain/web`: its WebAssembly module by this program, the rest by its own build.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;

use crate::command;
use crate::machine::{self, Need};
use crate::project;
use crate::wasm;

/// Builds the package and returns its folder; what a page loads is in `dist/` below it. Once in a run: to make the module
/// small takes its time, whether anything has changed or not.
pub fn build() -> Result<Need<PathBuf>> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = BUILT.get() {
        return Ok(Need::Met(folder.clone()));
    }
    if let Need::Missing(why) = wasm::build("")? {
        return Ok(Need::Missing(why));
    }
    let folder = project::path("sdk-wasm/npm");
    machine::npm_packages(&folder)?;
    command::run(&mut command::program("npm", &folder, ["run", "--silent", "build"]))?;
    Ok(Need::Met(BUILT.get_or_init(|| folder).clone()))
}
