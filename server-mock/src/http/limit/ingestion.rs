//! What projects may send (SPEC §18).

use std::collections::HashMap;
use std::sync::Mutex;

use super::window::Window;
use super::{RetryAfter, lock};
use crate::domain::config::{IngestionLimit, Project};
use crate::domain::json::Record;

/// The window, in milliseconds.
const MINUTE: i64 = 60_000;

/// What a request brings for a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Events and updates, those included that will be refused.
    pub records: u64,
    /// Bytes of their JSON.
    pub bytes: u64,
}

impl Load {
    /// Of some records.
    pub fn of(records: &[Record]) -> Load {
        let mut load = Load::default();
        records.iter().for_each(|record| load.add(record));
        load
    }

    /// One more.
    pub fn add(&mut self, record: &Record) {
        self.records += 1;
        self.bytes += record.bytes as u64;
    }
}

/// What projects sent to all collection routes within a rolling minute.
#[derive(Default)]
pub struct IngestionLimiter(Mutex<HashMap<String, Used>>);

struct Used {
    records: Window,
    bytes: Window,
}

impl Default for Used {
    fn default() -> Used {
        Used { records: Window::new(MINUTE), bytes: Window::new(MINUTE) }
    }
}

impl Used {
    fn wait(&mut self, load: Load, limit: IngestionLimit, now: i64) -> i64 {
        let records = self.records.wait(load.records, limit.events_per_s * 60.0, now);
        records.max(self.bytes.wait(load.bytes, limit.bytes_per_minute as f64, now))
    }
}

impl IngestionLimiter {
    /// Forgets what was counted.
    pub fn reset(&self) {
        lock(&self.0).clear();
    }

    /// Takes a request that brings something for each of some projects, or refuses it whole: who sends it again must
    /// not store half of it twice. `clock` is asked when the count stands still, so that uses are in order.
    pub fn admit(&self, loads: &[(&Project, Load)], clock: impl FnOnce() -> i64) -> Result<(), RetryAfter> {
        let limited = || {
            let limit = |(project, load): &(&'_ Project, Load)| {
                project.settings.import_rate_limit.map(|limit| (project.token.clone(), limit, *load))
            };
            loads.iter().filter_map(limit)
        };
        if limited().next().is_none() {
            return Ok(());
        }
        let mut all = lock(&self.0);
        let now = clock();
        let waits =
            limited().map(|(token, limit, load)| all.entry(token).or_default().wait(load, limit, now));
        match waits.max() {
            Some(wait) if wait > 0 => return Err(RetryAfter::of_ms(wait)),
            _ => {}
        }
        for (token, _, load) in limited() {
            let used = all.entry(token).or_default();
            used.records.take(load.records, now);
            used.bytes.take(load.bytes, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Config;

    fn project(token: &str, events_per_s: f64, bytes_per_minute: u64) -> Project {
        let mut project = Config::default().unlisted(token);
        project.settings.import_rate_limit = Some(IngestionLimit { events_per_s, bytes_per_minute });
        project
    }

    #[test]
    fn records_and_bytes_are_counted_over_a_minute() {
        let (project, limiter) = (project("T", 1.0, 1000), IngestionLimiter::default());
        let admit = |records, bytes, now| limiter.admit(&[(&project, Load { records, bytes })], || now);
        assert_eq!(admit(60, 900, 1_000), Ok(()));
        assert_eq!(admit(1, 1, 2_500), Err(RetryAfter(59)));
        assert_eq!(admit(0, 101, 60_999), Err(RetryAfter(1)));
        assert_eq!(admit(1, 1000, 61_000), Ok(()));
    }

    #[test]
    fn a_request_for_several_projects_is_taken_whole_or_not_at_all() {
        let (narrow, wide) = (project("N", 1.0 / 60.0, 1000), project("W", 2.0 / 60.0, 1000));
        let (one, limiter) = (Load { records: 1, bytes: 1 }, IngestionLimiter::default());
        assert!(limiter.admit(&[(&narrow, one), (&wide, one)], || 0).is_ok());
        assert!(limiter.admit(&[(&wide, one), (&narrow, one)], || 0).is_err());
        assert!(limiter.admit(&[(&wide, one)], || 0).is_ok(), "what was refused did not count");
        assert!(limiter.admit(&[(&wide, one)], || 0).is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let limiter = IngestionLimiter::default();
        let project = Config::default().unlisted("T");
        let load = Load { records: u64::MAX, bytes: u64::MAX };
        assert!(limiter.admit(&[(&project, load)], || unreachable!()).is_ok());
    }
}
