//! Time that a test moves, and randomness that repeats.

use crate::engine::Now;
use crate::native::clock::Clock;
use crate::native::entropy::Entropy;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so long in real time a client that does not come to rest hangs. Nothing waits for it to pass.
pub(in crate::native) const HANG: Duration = Duration::from_secs(60);

/// 2026-01-01T00:00:00Z: where the wall clock of a test begins.
const BEGINNING_MS: u64 = 1_767_225_600_000;

/// Both clocks of a test. Clones are the same clocks.
#[derive(Debug, Clone)]
pub(in crate::native) struct VirtualTime(Arc<Mutex<Now>>);

impl VirtualTime {
    pub(super) fn new() -> Self {
        Self::starting_at(BEGINNING_MS)
    }

    /// As a process finds it that starts at this wall time.
    pub(super) fn starting_at(wall_ms: u64) -> Self {
        Self(Arc::new(Mutex::new(Now { wall_ms, mono_ms: 0 })))
    }

    pub(in crate::native) fn now(&self) -> Now {
        *self.lock()
    }

    /// Lets time pass until a moment of the monotonic clock.
    pub(super) fn pass_until(&self, mono_ms: u64) {
        let mut now = self.lock();
        let passed = mono_ms.saturating_sub(now.mono_ms);
        now.mono_ms += passed;
        now.wall_ms = now.wall_ms.saturating_add(passed);
    }

    /// Moves the wall clock only.
    pub(super) fn set_wall(&self, wall_ms: u64) {
        self.lock().wall_ms = wall_ms;
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client of a test has in place of the machine's clocks and randomness.
pub(in crate::native) struct World {
    pub(super) time: VirtualTime,
    /// Another one for every start, so that ids do not come twice.
    pub(super) seed: u64,
}

impl World {
    pub(in crate::native) fn clock(&self) -> Clock {
        Clock::Virtual(self.time.clone())
    }

    pub(in crate::native) fn entropy(&self) -> Entropy {
        Entropy::seeded(self.seed)
    }
}
