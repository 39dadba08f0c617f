//! Until when the host's code may be entered.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked whether everybody has left.
const LOOK: Duration = Duration::from_millis(1);
const CLOSED: usize = 1;
const ONE: usize = 2;

/// Counts the threads that are in the host's code, and lets none in any more once it is closed.
///
/// One number and no lock: a forked child would inherit a lock that somebody holds.
#[derive(Default)]
pub(crate) struct Gate(AtomicUsize);

/// A thread that is in the host's code.
pub(crate) struct Visit<G: Deref<Target = Gate>>(G);

impl Gate {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn enter<G: Deref<Target = Self>>(gate: G) -> Option<Visit<G>> {
        let before = gate.0.fetch_add(ONE, SeqCst);
        let visit = Visit(gate);
        (before & CLOSED == 0).then_some(visit)
    }

    /// Nobody gets in from now on.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, SeqCst);
    }

    /// Waits until nobody is in any more; `false` if that takes longer.
    pub(crate) fn wait_empty(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while self.0.load(SeqCst) >= ONE {
            if start.elapsed() >= timeout {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }
}

impl<G: Deref<Target = Gate>> Drop for Visit<G> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(ONE, SeqCst);
    }
}
