//! Where things are in this project.

use std::path::{Path, PathBuf};

/// The project's top folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A path inside the project.
pub fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Cargo's output folder, shared by all steps so that nothing is built twice.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(chosen) => root().join(chosen),
        None => path("target"),
    }
}

/// A program that cargo built in the profile `debug`, `release`, ….
pub fn program(profile: &str, name: &str) -> PathBuf {
    target().join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
