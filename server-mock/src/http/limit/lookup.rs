//! Replacements of lookup tables (SPEC §11).

use std::collections::HashMap;
use std::sync::Mutex;

use super::window::Window;
use super::{RetryAfter, lock};
use crate::domain::config::Project;
use crate::domain::time::DAY;

/// Replacements in a day.
const REPLACEMENTS: f64 = 100.0;

/// Replacements per project over a rolling day.
#[derive(Default)]
pub struct LookupLimiter(Mutex<HashMap<String, Window>>);

impl LookupLimiter {
    /// Forgets what was counted.
    pub fn reset(&self) {
        lock(&self.0).clear();
    }

    /// Takes one more.
    pub fn admit(&self, project: &Project, clock: impl FnOnce() -> i64) -> Result<(), RetryAfter> {
        let mut all = lock(&self.0);
        let now = clock();
        let window = all.entry(project.token.clone()).or_insert_with(|| Window::new(DAY));
        match window.wait(1, REPLACEMENTS, now) {
            0 => {
                window.take(1, now);
                Ok(())
            }
            wait => Err(RetryAfter::of_ms(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Config;

    #[test]
    fn lookup_tables_are_replaced_a_hundred_times_a_day() {
        let (project, other) = (Config::default().unlisted("T"), Config::default().unlisted("O"));
        let limiter = LookupLimiter::default();
        assert!((0..100).all(|at| limiter.admit(&project, || at).is_ok()));
        assert_eq!(limiter.admit(&project, || DAY - 1), Err(RetryAfter(1)));
        assert!(limiter.admit(&other, || DAY - 1).is_ok());
        assert!(limiter.admit(&project, || DAY).is_ok());
    }
}
