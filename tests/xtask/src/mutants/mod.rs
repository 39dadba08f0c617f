//! `cargo xtask mutants`: puts one deliberate fault after the other into a copy of the sources, and shows that the
//! simulation or the search notices each.

mod list;
mod noticed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{self, cargo};
use crate::project;
use list::{Edit, MUTANTS};
use noticed::Noticed;

/// What the simulation needs of the project.
const SOURCES: [&str; 2] = ["sdk-core", "tests/simulation"];
/// In this order, until one of them notices.
const HUNTERS: [&[&str]; 3] =
    [&["--worlds", "2000"], &["--search", "3"], &["--worlds", "25000", "--from", "2001"]];

/// The command. `wanted`: parts of names; all if there are none.
pub fn run(wanted: &[String]) -> Result<ExitCode> {
    let copy = project::target().join("mutants/project");
    let mut survivors = Vec::new();
    let chosen: Vec<_> = MUTANTS
        .iter()
        .filter(|mutant| wanted.is_empty() || wanted.iter().any(|part| mutant.name.contains(part.as_str())))
        .collect();
    ensure!(!chosen.is_empty(), "no mutant's name contains {wanted:?}");
    plant(&copy, &[])?;
    ensure!(hunt(&copy)?.is_none(), "the simulation fails without any fault: see `cargo xtask simulate`");
    for mutant in &chosen {
        plant(&copy, mutant.edits)?;
        match hunt(&copy).with_context(|| mutant.name)? {
            Some((how, Noticed::Rule { rule, place })) => {
                println!("killed    {:32} {how}: {rule} ({place})", mutant.name);
            }
            Some((how, Noticed::Otherwise(what))) => {
                println!("NO RULE   {:32} {how}: {what}", mutant.name);
                survivors.push(mutant.name);
            }
            None => {
                println!("SURVIVED  {:32} {}", mutant.name, mutant.fault);
                survivors.push(mutant.name);
            }
        }
    }
    println!("{} of {} mutants were killed", chosen.len() - survivors.len(), chosen.len());
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Brings the copy up to date, with these edits. Files that are right already are not touched, so that cargo builds
/// only what has changed.
fn plant(copy: &Path, edits: &[Edit]) -> Result<()> {
    let mut files = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
    for source in SOURCES {
        files_in(Path::new(source), &mut files)?;
    }
    for edit in edits {
        ensure!(files.iter().any(|file| file == Path::new(edit.file)), "there is no {}", edit.file);
    }
    for file in files {
        let mut text = fs::read(project::path("").join(&file))?;
        if file == Path::new("Cargo.toml") {
            text = only_sources(&String::from_utf8(text)?)?.into_bytes();
        }
        for edit in edits.iter().filter(|edit| Path::new(edit.file) == file) {
            text = edit.apply(&String::from_utf8(text)?)?.into_bytes();
        }
        let to = copy.join(&file);
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::write(&to, text)?;
        }
    }
    Ok(())
}

fn files_in(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(project::path("").join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if entry.file_name() != "target" {
            files_in(&path, files)?;
        }
    }
    Ok(())
}

/// The workspace with these members alone.
fn only_sources(manifest: &str) -> Result<String> {
    let mut lines = Vec::new();
    for line in manifest.lines() {
        match line.split(' ').next() {
            Some("members") => lines.push(format!("members = {SOURCES:?}")),
            Some("default-members") => {}
            _ => lines.push(line.to_owned()),
        }
    }
    Ok(lines.join("\n"))
}

impl Edit {
    fn apply(&self, text: &str) -> Result<String> {
        match text.matches(self.find).count() {
            1 => Ok(text.replacen(self.find, self.replace, 1)),
            count => bail!("{} holds this {count} times, not once:\n{}", self.file, self.find),
        }
    }
}

/// By which hunter the fault was noticed, if it was, and what noticed it. What is no rule's word keeps nobody else from
/// having one.
fn hunt(copy: &Path) -> Result<Option<(String, Noticed)>> {
    let target = copy.with_file_name("target");
    let mut build = cargo(["build", "--quiet", "--release", "--package", "refrain-simulation"]);
    // A fault may leave something unused.
    build.current_dir(copy).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "--cap-lints allow");
    ensure!(build.status()?.success(), "does not compile");
    let simulate = target.join(format!("release/simulate{}", std::env::consts::EXE_SUFFIX));
    let mut otherwise = None;
    for arguments in HUNTERS {
        let output = command::program(&simulate, copy, arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let noticed = Noticed::read(output.status.code(), &String::from_utf8_lossy(&output.stderr));
            let found = Some((arguments.join(" "), noticed));
            if let Some((_, Noticed::Rule { .. })) = &found {
                return Ok(found);
            }
            otherwise = otherwise.or(found);
        }
    }
    Ok(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_still_finds_its_place() {
        for mutant in MUTANTS {
            for edit in mutant.edits {
                let text = fs::read_to_string(project::path(edit.file)).expect("the file is there");
                edit.apply(&text).expect(mutant.name);
            }
        }
    }
}
