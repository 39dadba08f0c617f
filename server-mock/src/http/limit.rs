//! Rate limits, on the server's clock. Windows slide: a use counts until it is as old as the window is long, whatever
//! the hour. What is refused does not count.

mod gdpr;
mod ingestion;
mod lookup;
mod requests;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use gdpr::GdprLimiter;
pub use ingestion::{IngestionLimiter, Load};
pub use lookup::LookupLimiter;
pub use requests::{RequestLimiter, Slot};

/// What was used of all limits.
#[derive(Default)]
pub struct Limits {
    /// `/track`, `/engage`, `/groups`, `/import`.
    pub ingestion: IngestionLimiter,
    /// Queries.
    pub query: RequestLimiter,
    /// Raw exports.
    pub export: RequestLimiter,
    /// The GDPR API.
    pub gdpr: GdprLimiter,
    /// Lookup tables.
    pub lookup: LookupLimiter,
}

impl Limits {
    /// Forgets what was counted.
    pub fn reset(&self) {
        self.ingestion.reset();
        self.query.reset();
        self.export.reset();
        self.gdpr.reset();
        self.lookup.reset();
    }
}

/// Whole seconds after which a call may be tried again: the value of `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(i64);

impl RetryAfter {
    /// Rounded up, so that who waits so long is not too early.
    fn of_ms(wait: i64) -> RetryAfter {
        RetryAfter((wait.max(1) - 1) / 1000 + 1)
    }

    /// As the header's value.
    pub fn header(self) -> String {
        self.0.to_string()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
