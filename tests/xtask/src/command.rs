//! Running other programs: shown before they run, with an error that names them.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::project;

/// Cargo, in the project's top folder, with the toolchain that runs this program.
pub fn cargo<I, S>(arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = program(cargo, &project::root(), arguments);
    if std::env::var_os("CI").is_some() {
        // There everything is built once: to keep what a second time would need costs a fifth of the time.
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Any program, in the given folder.
pub fn program<I, S>(name: impl AsRef<OsStr>, folder: &Path, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(name);
    command.current_dir(folder).args(arguments);
    command
}

thread_local! {
    /// Where what this thread shows goes instead of to the terminal.
    static KEPT: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Runs `work`, and what it and the programs that it runs say goes into this file instead of being shown: for work that goes
/// on beside other work. Not through a pipe, whose end would wait for every process that has inherited it.
///
/// # Errors
/// The file could not be made.
pub fn keeping<T>(file: &Path, work: impl FnOnce() -> T) -> Result<T> {
    let kept = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    KEPT.set(Some(kept));
    let result = work();
    KEPT.set(None);
    Ok(result)
}

/// Shows a line.
pub fn say(line: &str) {
    KEPT.with_borrow_mut(|kept| match kept {
        // What is only told is no reason to stop.
        Some(kept) => drop(writeln!(kept, "{line}")),
        None => println!("{line}"),
    });
}

/// Runs with output to the terminal; a status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    say(&format!("$ {shown}"));
    let status = status(command).with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn status(command: &mut Command) -> std::io::Result<ExitStatus> {
    KEPT.with_borrow(|kept| match kept {
        // A copy of one descriptor writes where the other one has stopped.
        Some(kept) => {
            command.stdin(Stdio::null()).stdout(kept.try_clone()?).stderr(kept.try_clone()?).status()
        }
        None => command.status(),
    })
}

/// Runs silently and returns what it wrote to its standard output, trimmed.
pub fn read(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output =
        command.stderr(Stdio::piped()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program can be started and answers with status 0.
pub fn answers(name: &str, argument: &str) -> bool {
    Command::new(name)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn show(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(all(test, unix))]
#[test]
fn what_is_kept_is_in_the_order_in_which_it_was_said() -> Result<()> {
    let file = std::env::temp_dir().join(format!("refrain-kept-{}.txt", std::process::id()));
    let result = keeping(&file, || {
        say("before");
        run(&mut program("sh", &project::root(), ["-c", "echo out; echo err >&2; exit 3"]))
    })?;
    assert!(result.expect_err("status 3").to_string().ends_with("exit status: 3"));
    let kept = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    assert_eq!(kept, "before\n$ sh -c echo out; echo err >&2; exit 3\nout\nerr\n");
    Ok(())
}
