//! Work that falls due: retention and privacy tasks, in order of due time.

use super::privacy::ARCHIVE_LIFE;
use super::profiles::profiles_expired_until;
use super::{Core, Stats, window};
use crate::domain::time::DAY;
use crate::store::StoreError;

/// Retention looks for expired rows this often while the clock runs; what is expired is invisible at once anyway.
const SWEEP_EVERY: i64 = DAY / 24;
/// Due work that failed is tried again after this time.
const RETRY_AFTER: i64 = 5_000;

/// When something has to be done next.
#[derive(Debug)]
pub(super) struct Schedule {
    next_sweep: i64,
    next_task: Option<i64>,
    not_before: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { next_sweep: i64::MIN, next_task: None, not_before: i64::MIN }
    }
}

/// What a run of due work did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Events deleted by retention.
    pub events: usize,
    /// Profiles deleted by retention.
    pub profiles: usize,
    /// Privacy tasks carried out.
    pub tasks: usize,
}

impl Core {
    /// Reads from the store what is to be done when.
    pub fn reschedule(&mut self) -> Result<(), StoreError> {
        self.due.next_task = self.store.next_task()?.map(|(_, due)| due);
        Ok(())
    }

    /// When something falls due next.
    pub fn next_due(&self) -> i64 {
        let next = self.due.next_task.map_or(self.due.next_sweep, |task| task.min(self.due.next_sweep));
        next.max(self.due.not_before)
    }

    /// Does what is due now.
    pub fn run_due_now(&mut self) -> Result<Swept, StoreError> {
        let now = self.shared.now();
        if self.next_due() > now { Ok(Swept::default()) } else { self.run_due(now) }
    }

    /// Does what is due until an instant, in order of due time.
    pub fn run_due(&mut self, now: i64) -> Result<Swept, StoreError> {
        self.shred()?;
        let mut done = Swept::default();
        while let Some((task, due)) = self.store.next_task()?.filter(|(_, due)| *due <= now) {
            self.sweep(due, &mut done)?;
            self.carry_out(task, due)?;
            done.tasks += 1;
        }
        self.sweep(now, &mut done)?;
        self.due.next_sweep = now + SWEEP_EVERY;
        self.due.not_before = i64::MIN;
        self.reschedule()?;
        Ok(done)
    }

    /// Tries again later.
    pub fn put_off_due_work(&mut self) {
        self.due.not_before = self.shared.now() + RETRY_AFTER;
    }

    /// Forgets when things are due, after the clock or the data changed under them.
    pub(super) fn restart_schedule(&mut self) -> Result<(), StoreError> {
        self.due.next_sweep = self.shared.now() + SWEEP_EVERY;
        self.due.not_before = i64::MIN;
        self.reschedule()
    }

    /// Lets retention look at once: a server that is restarted often must not put it off for ever.
    pub(super) fn sweep_soon(&mut self) {
        self.due.next_sweep = self.shared.now();
    }

    /// Deletes what is expired at an instant.
    fn sweep(&mut self, now: i64, done: &mut Swept) -> Result<(), StoreError> {
        self.store.begin()?;
        let swept = match self.try_sweep(now) {
            Ok(swept) => swept,
            Err(error) => {
                self.store.rollback();
                return Err(error);
            }
        };
        self.store.commit()?;
        self.shred()?;
        done.events += swept.events;
        done.profiles += swept.profiles;
        Stats::add(&self.shared.stats.expired, swept.events + swept.profiles);
        Ok(())
    }

    fn try_sweep(&mut self, now: i64) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for (row, token) in self.store.projects()? {
            let settings = self.project_of(&token).settings;
            swept.events += self.store.delete_expired(row, window(&settings, now))?;
            swept.profiles +=
                self.store.delete_expired_profiles(row, profiles_expired_until(&settings, now))?;
        }
        if swept.events > 0 {
            self.store.delete_unused()?;
        }
        self.store.delete_outdated(now, now - ARCHIVE_LIFE)?;
        Ok(swept)
    }
}
