//! Requests to the GDPR API (SPEC §15.2).

use std::collections::HashMap;
use std::sync::Mutex;

use super::{RetryAfter, lock};

/// The last request of each bearer.
#[derive(Default)]
pub struct GdprLimiter(Mutex<HashMap<[u8; 32], i64>>);

impl GdprLimiter {
    /// Forgets what was counted.
    pub fn reset(&self) {
        lock(&self.0).clear();
    }

    /// Takes a request of a bearer, no more often than so many times a second.
    pub fn admit(
        &self,
        token: &str,
        per_second: Option<f64>,
        clock: impl FnOnce() -> i64,
    ) -> Result<(), RetryAfter> {
        let Some(per_second) = per_second else { return Ok(()) };
        let mut all = lock(&self.0);
        let now = clock();
        let key = *blake3::hash(token.as_bytes()).as_bytes();
        // Beyond all time at a rate of none.
        let next = all.get(&key).map(|last| (*last, (*last as f64 + 1000.0 / per_second).ceil() as i64));
        match next {
            Some((last, next)) if (last..next).contains(&now) => {
                Err(RetryAfter::of_ms(next.saturating_sub(now)))
            }
            _ => {
                all.insert(key, now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gdpr_api_takes_one_request_a_second() {
        let limiter = GdprLimiter::default();
        let ask = |token, per_second, now| limiter.admit(token, per_second, || now);
        assert!(ask("a", Some(1.0), 5_000).is_ok());
        assert_eq!(ask("a", Some(1.0), 5_999), Err(RetryAfter(1)));
        assert!(ask("b", Some(1.0), 5_999).is_ok());
        assert!(ask("a", Some(1.0), 6_000).is_ok());
        assert!(ask("a", Some(1.0), 1_000).is_ok(), "the clock went back");
        assert_eq!(ask("a", Some(0.1), 2_500), Err(RetryAfter(9)));
        assert!(ask("a", None, 1_000).is_ok());
    }
}
