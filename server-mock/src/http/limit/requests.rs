//! How often projects may be asked, and how often at the same time (SPEC §18).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::window::Window;
use super::{RetryAfter, lock};
use crate::domain::config::RequestLimit;

/// The windows, in milliseconds.
const HOUR: i64 = 3_600_000;
const SECOND: i64 = 1000;

/// Requests about projects, lately and now.
#[derive(Default)]
pub struct RequestLimiter(Mutex<HashMap<String, Used>>);

struct Used {
    hour: Window,
    second: Window,
    running: Arc<AtomicU64>,
}

impl Default for Used {
    fn default() -> Used {
        Used { hour: Window::new(HOUR), second: Window::new(SECOND), running: Arc::default() }
    }
}

/// A request that is being answered. It ends when this is dropped.
pub struct Slot(Arc<AtomicU64>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestLimiter {
    /// Forgets what was counted.
    pub fn reset(&self) {
        lock(&self.0).clear();
    }

    /// Takes a request about the project of a token; without a limit there is nothing to hold. `clock` is asked when the
    /// count stands still, so that uses are in order.
    pub fn admit(
        &self,
        token: &str,
        limit: Option<RequestLimit>,
        clock: impl FnOnce() -> i64,
    ) -> Result<Option<Slot>, RetryAfter> {
        let Some(limit) = limit else { return Ok(None) };
        let mut all = lock(&self.0);
        let now = clock();
        let used = all.entry(token.to_owned()).or_default();
        let mut wait = used.hour.wait(1, limit.per_hour as f64, now);
        if let Some(per_s) = limit.per_s {
            wait = wait.max(used.second.wait(1, per_s as f64, now));
        }
        if used.running.load(Ordering::Relaxed) >= limit.concurrent {
            // Nobody knows when one of them ends.
            wait = wait.max(SECOND);
        }
        if wait > 0 {
            return Err(RetryAfter::of_ms(wait));
        }
        used.hour.take(1, now);
        used.second.take(1, now);
        used.running.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Slot(used.running.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_hour: u64, per_s: Option<u64>, concurrent: u64) -> Option<RequestLimit> {
        Some(RequestLimit { per_hour, per_s, concurrent })
    }

    #[test]
    fn the_tightest_window_says_how_long_to_wait() {
        let limiter = RequestLimiter::default();
        let ask = |now| limiter.admit("T", limit(3, Some(2), 9), || now).err();
        assert_eq!((ask(0), ask(999), ask(999)), (None, None, Some(RetryAfter(1))));
        assert_eq!(ask(1_998), None, "only one of them is younger than a second");
        assert_eq!(ask(1_999), Some(RetryAfter(3599)));
        assert_eq!((ask(3_600_000), ask(3_600_000)), (None, Some(RetryAfter(1))));
        assert!(limiter.admit("O", limit(1, None, 1), || 1_999).is_ok(), "another project's");
    }

    #[test]
    fn a_place_is_free_again_when_its_slot_is_dropped() {
        let limiter = RequestLimiter::default();
        let ask = || limiter.admit("T", limit(3, None, 1), || 0);
        let slot = ask().ok().flatten();
        assert!(slot.is_some());
        assert_eq!(ask().err(), Some(RetryAfter(1)));
        drop(slot);
        assert!(ask().is_ok());
    }
}
