//! Rate limits, on the server's clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::domain::config::Project;
use crate::domain::time::DAY;

/// The window of the import limit, in milliseconds.
const MINUTE: i64 = 60_000;
/// Replacements of lookup tables in a day.
const REPLACEMENTS: usize = 100;

/// Events to `/import` per project over a rolling minute (SPEC §18).
#[derive(Default)]
pub struct ImportLimit(Mutex<HashMap<String, VecDeque<(i64, usize)>>>);

impl ImportLimit {
    /// Forgets what was counted.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether so many more events are within the limit; if so they count.
    pub fn admits(&self, project: &Project, events: usize, now: i64) -> bool {
        let Some(per_second) = project.settings.import_rate_limit else { return true };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = all.entry(project.token.clone()).or_default();
        // Entries from a future that the clock has left again do not count either.
        window.retain(|(at, _)| (now - MINUTE + 1..=now).contains(at));
        let used: usize = window.iter().map(|(_, events)| events).sum();
        let admitted = (used + events) as f64 <= per_second * 60.0;
        if admitted {
            window.push_back((now, events));
        }
        admitted
    }
}

/// Replacements of lookup tables per project over a rolling day (SPEC §11).
#[derive(Default)]
pub struct LookupLimit(Mutex<HashMap<String, VecDeque<i64>>>);

impl LookupLimit {
    /// Forgets what was counted.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether one more is within the limit; if so it counts.
    pub fn admits(&self, project: &Project, now: i64) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = all.entry(project.token.clone()).or_default();
        window.retain(|at| (now - DAY + 1..=now).contains(at));
        let admitted = window.len() < REPLACEMENTS;
        if admitted {
            window.push_back(now);
        }
        admitted
    }
}

/// Requests to the GDPR API per bearer.
#[derive(Default)]
pub struct GdprLimit(Mutex<HashMap<[u8; 32], i64>>);

impl GdprLimit {
    /// Forgets what was counted.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a bearer may ask again.
    pub fn admits(&self, token: &str, per_second: Option<f64>, now: i64) -> bool {
        let Some(per_second) = per_second else { return true };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = *blake3::hash(token.as_bytes()).as_bytes();
        let last = all.get(&key).copied();
        let admitted = last.is_none_or(|last| now < last || (now - last) as f64 * per_second >= 1000.0);
        if admitted {
            all.insert(key, now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Config;

    #[test]
    fn the_gdpr_api_takes_one_request_a_second() {
        let limit = GdprLimit::default();
        assert!(limit.admits("a", Some(1.0), 5_000));
        assert!(!limit.admits("a", Some(1.0), 5_999));
        assert!(limit.admits("b", Some(1.0), 5_999));
        assert!(limit.admits("a", Some(1.0), 6_000));
        assert!(limit.admits("a", Some(1.0), 1_000), "the clock went back");
        assert!(limit.admits("a", None, 1_000));
    }

    #[test]
    fn imports_are_counted_over_a_minute() {
        let mut project = Config::default().unlisted("T");
        let limit = ImportLimit::default();
        assert!(limit.admits(&project, 1_000_000, 0));
        project.settings.import_rate_limit = Some(1.0);
        assert!(limit.admits(&project, 60, 1_000));
        assert!(!limit.admits(&project, 1, 60_999));
        assert!(limit.admits(&project, 1, 61_000));
    }

    #[test]
    fn lookup_tables_are_replaced_a_hundred_times_a_day() {
        let (project, other) = (Config::default().unlisted("T"), Config::default().unlisted("O"));
        let limit = LookupLimit::default();
        assert!((0..100).all(|at| limit.admits(&project, at)));
        assert!(!limit.admits(&project, DAY - 1));
        assert!(limit.admits(&other, DAY - 1));
        assert!(limit.admits(&project, DAY));
    }
}
