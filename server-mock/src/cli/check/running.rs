//! The command of a check, and the signals that end both.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{self, SignalKind, signal};

use crate::cli::is_watched;

/// How often what a stopped command has left behind is told to end, and how soon again.
const STRAGGLERS: u32 = 100;
const AGAIN: Duration = Duration::from_millis(20);

/// How a command ended.
pub struct Ended {
    /// By itself, or by the signal that was passed on to it.
    pub status: ExitStatus,
    /// The last signal that came before.
    pub stopped: Option<Signal>,
}

/// SIGTERM and SIGINT, which end this program where nobody listens.
struct Stops {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Stops {
    fn listen() -> std::io::Result<Stops> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
        }
    }
}

/// Runs a command until it ends. Signals that come meanwhile are the command's: left behind, it would run on without a
/// server. Those that come later end this program.
pub fn run(mut command: Command) -> std::io::Result<Ended> {
    // What the command starts is told as well: a shell, or npm, does not pass signals on. At a terminal they stay in the
    // terminal's own group, or they could not read from it.
    let is_group = !std::io::stdin().is_terminal() && !is_watched();
    if is_group {
        command.process_group(0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, mut stops) = runtime.block_on(async {
        // Before there is a command, so that no signal ends this program alone.
        let mut stops = Stops::listen()?;
        let mut child = tokio::process::Command::from(command).spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // Whether there was anybody to tell.
        let tell = |stop| {
            id.is_some_and(|id| {
                let told = if is_group { kill_process_group(id, stop) } else { kill_process(id, stop) };
                told.is_ok()
            })
        };
        let mut stopped = None;
        let status = loop {
            let stop = tokio::select! {
                status = child.wait() => break status?,
                stop = stops.next() => stop,
            };
            stopped = Some(stop);
            // A terminal has told the command itself, and a second time would be taken for impatience.
            if stop != Signal::INT || !is_watched() {
                tell(stop);
            }
        };
        if let Some(stop) = stopped.filter(|_| is_group) {
            // What was just being started has not heard: a shell loses a signal between `fork` and `exec`.
            for _ in 0..STRAGGLERS {
                if !tell(stop) {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        std::io::Result::Ok((Ended { status, stopped }, stops))
    })?;
    std::thread::spawn(move || {
        let stop = runtime.block_on(stops.next());
        std::process::exit(i32::from(code_of_signal(stop)));
    });
    Ok(ended)
}

/// The code that a shell shows for what ended by a signal.
pub fn code_of_signal(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(1)
}
