//! The Python package, as its users have it.

use std::path::PathBuf;

use anyhow::Result;

use crate::command;
use crate::machine::{self, Need};
use crate::project;

/// Installs it into an environment of its own; the Python of that environment.
pub fn package() -> Result<Need<PathBuf>> {
    let python = match machine::python("package", None)? {
        Need::Met(python) => python,
        missing => return Ok(missing),
    };
    let folder = project::path("sdk-ffi/python");
    let mut install =
        command::program(&python, &folder, ["-m", "pip", "install", "--quiet", "--force-reinstall"]);
    command::run(install.args(["--disable-pip-version-check", "."]))?;
    Ok(Need::Met(python))
}
