//! Until when the host's code may be entered.

use refrain::native::process;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked whether everybody has left.
const LOOK: Duration = Duration::from_millis(1);
const CLOSED: u64 = 1;
const ONE: u64 = 2;
/// Above it stands the process that counts.
const PROCESS: u32 = 32;

/// Counts the threads that are in the host's code, and lets none in any more once it is closed.
///
/// One number and no lock: a forked child would inherit a lock that somebody holds. The process is a part of the number,
/// because a child has none of the threads that were counted.
#[derive(Default)]
pub(crate) struct Gate(AtomicU64);

/// A thread that is in the host's code.
pub(crate) struct Visit<G: Deref<Target = Gate>> {
    gate: G,
    process: u32,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn enter<G: Deref<Target = Self>>(gate: G) -> Option<Visit<G>> {
        let process = process::id();
        let before = gate.change(process, |count| count + ONE);
        let visit = Visit { gate, process };
        (before & CLOSED == 0).then_some(visit)
    }

    /// Nobody gets in from now on.
    pub(crate) fn close(&self) {
        self.change(process::id(), |count| count | CLOSED);
    }

    /// Waits until nobody is in any more; `false` if that takes longer.
    pub(crate) fn wait_empty(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while self.change(process::id(), |count| count) >= ONE {
            if start.elapsed() >= timeout {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// Changes the count of a process; answers the one before.
    fn change(&self, process: u32, change: impl Fn(u64) -> u64) -> u64 {
        let own = |number: u64| match number >> PROCESS == u64::from(process) {
            true => number & u64::from(u32::MAX),
            // Who was counted by the parent is not here.
            false => number & CLOSED,
        };
        let changed = |number| Some(u64::from(process) << PROCESS | change(own(number)));
        own(self.0.fetch_update(SeqCst, SeqCst, changed).unwrap_or_default())
    }
}

impl<G: Deref<Target = Gate>> Drop for Visit<G> {
    fn drop(&mut self) {
        // A visit that went through a fork was never counted in the child.
        if self.process == process::id() {
            self.gate.change(self.process, |count| count.saturating_sub(ONE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_is_waited_for_and_nobody_gets_in_any_more() {
        let gate = Gate::new();
        let visit = Gate::enter(&gate);
        gate.close();
        assert!(visit.is_some() && Gate::enter(&gate).is_none());
        assert!(!gate.wait_empty(Duration::ZERO));
        drop(visit);
        assert!(gate.wait_empty(Duration::ZERO));
    }

    #[test]
    fn a_forked_child_waits_for_nobody_that_its_parent_has_counted() {
        let gate = Gate::new();
        let parent = process::id().wrapping_add(1);
        gate.change(parent, |count| count + ONE);
        let inherited = Visit { gate: &gate, process: parent };
        assert!(gate.wait_empty(Duration::ZERO));
        let visit = Gate::enter(&gate);
        drop(inherited);
        assert!(!gate.wait_empty(Duration::ZERO));
        drop(visit);
        assert!(gate.wait_empty(Duration::ZERO));
    }
}
