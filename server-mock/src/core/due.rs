//! Work that falls due: retention, privacy tasks, the end of archives and of hidden data, in order of due time.
//!
//! It is done in steps of bounded size, each of which is durable by itself: a crash loses nothing of it, and while the
//! clock runs, clients are served in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Core, Stats, profiles_expired_until, window};
use crate::domain::config::{RetentionBasis, Settings};
use crate::domain::time::DAY;
use crate::store::{Counts, KeyRow, Space, StoreError};

/// Retention looks for expired rows this often while the clock runs; what is expired is invisible at once anyway.
const SWEEP_EVERY: i64 = DAY / 24;
/// Due work that failed is tried again after this time, which is real: storage recovers although the clock stands still.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Rows of one step.
const STEP: usize = 5_000;
/// For how long due work is done before clients are served again.
const TURN: Duration = Duration::from_millis(25);
/// Days that the portal's usage log is kept.
const USAGE_DAYS: i64 = 365;

/// When something has to be done next.
#[derive(Debug)]
pub(super) struct Schedule {
    next_sweep: i64,
    next_task: Option<i64>,
    not_before: Option<Instant>,
    sweep: Option<Sweep>,
    /// The instant at which something was decided whose rows are still to go, where the clock was moved past it. While it
    /// runs, they go when they go, be it long after that.
    decided: Option<i64>,
    done: Swept,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            next_sweep: i64::MIN,
            next_task: None,
            not_before: None,
            sweep: None,
            decided: None,
            done: Swept::default(),
        }
    }
}

/// A sweep under way.
#[derive(Debug)]
struct Sweep {
    at: i64,
    spaces: VecDeque<(Space, Settings)>,
    deleted: bool,
    unused_after: Option<KeyRow>,
}

/// What a run of due work did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// What retention deleted.
    pub expired: Counts,
    /// Privacy tasks carried out.
    pub tasks: usize,
    /// Archives that expired.
    pub archives: usize,
    /// Hidden spaces of projects that were purged.
    pub purged: usize,
}

/// What falls due next.
enum Due {
    Task(i64),
    Archives,
    Purge,
    BeginArchive(i64),
    MakeArchive,
}

/// Who waits while due work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nobody for long: what falls due while an archive is being made comes before the rest of it.
    GivingWay,
    /// Somebody who asked for all of it, in order of due time.
    Through,
}

impl Core {
    /// Reads from the store what is to be done when.
    pub fn reschedule(&mut self) -> Result<(), StoreError> {
        // An archive that is to be made has been due since its task has started.
        self.due.next_task = self.first_due(i64::MIN, Pace::GivingWay)?.map(|(at, _)| at);
        Ok(())
    }

    fn first_due(&mut self, now: i64, pace: Pace) -> Result<Option<(i64, Due)>, StoreError> {
        let task = self.store.next_task()?.map(|(row, due)| (due, Due::Task(row)));
        let expiry = self.store.next_archive_expiry()?.map(|due| (due, Due::Archives));
        let purge = self.store.next_purge()?.map(|hidden| (hidden.due, Due::Purge));
        let archive = self.next_archive(now, pace)?;
        let all = match pace {
            Pace::GivingWay => [task, expiry, purge, archive],
            Pace::Through => [archive, task, expiry, purge],
        };
        Ok(all.into_iter().flatten().min_by_key(|(due, _)| *due))
    }

    /// What is to be made, and as of when.
    fn next_archive(&mut self, now: i64, pace: Pace) -> Result<Option<(i64, Due)>, StoreError> {
        if let Some(making) = &self.making {
            let at = if pace == Pace::Through { making.at } else { now };
            return Ok(Some((at, Due::MakeArchive)));
        }
        Ok(self.store.started_retrieval()?.map(|task| {
            // One that is made anew shows what is visible when that is done, not what was when the task fell due.
            let is_first = task.finished.is_none();
            let at = if pace == Pace::Through && is_first { task.due } else { now };
            (at, Due::BeginArchive(task.row))
        }))
    }

    /// When something falls due next.
    fn next_due(&self) -> i64 {
        match (&self.due.sweep, self.store.is_shredding()) {
            (None, false) => {
                self.due.next_task.map_or(self.due.next_sweep, |task| task.min(self.due.next_sweep))
            }
            // Something is under way.
            _ => i64::MIN,
        }
    }

    /// How long due work that failed has to wait.
    fn put_off_for(&self) -> Duration {
        let now = Instant::now();
        self.due.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// How long until something has to be done; `None` while the clock stands still before that.
    pub fn wait(&self) -> Option<Duration> {
        let until = self.shared.clock().until(self.next_due())?;
        Some(until.max(self.put_off_for()))
    }

    /// Does some of what is due now, and leaves the rest for the next turn. Answers whether anything was due.
    pub fn run_due_now(&mut self) -> Result<bool, StoreError> {
        if !self.put_off_for().is_zero() {
            return Ok(false);
        }
        let now = self.shared.now();
        let begun = Instant::now();
        let mut worked = false;
        while self.next_due() <= now && self.step(now, Pace::GivingWay)? {
            worked = true;
            if begun.elapsed() >= TURN {
                break;
            }
        }
        Ok(worked)
    }

    /// Does all that is due until an instant, in order of due time. Answers what was done since this was answered last.
    pub fn run_due(&mut self, now: i64) -> Result<Swept, StoreError> {
        self.run_due_telling(now, || {})
    }

    /// The same; `told` is called after each step.
    pub fn run_due_telling(&mut self, now: i64, mut told: impl FnMut()) -> Result<Swept, StoreError> {
        self.due.next_sweep = self.due.next_sweep.min(now);
        while self.step(now, Pace::Through)? {
            told();
        }
        Ok(std::mem::take(&mut self.due.done))
    }

    /// Deletes the rows of what is decided to go.
    pub(super) fn finish_shredding(&mut self) -> Result<(), StoreError> {
        while self.store.is_shredding() {
            self.shred_step()?;
        }
        Ok(())
    }

    /// One step; answers whether there is more to do.
    pub(super) fn step(&mut self, now: i64, pace: Pace) -> Result<bool, StoreError> {
        if self.store.is_shredding() {
            self.shred_step()?;
            return Ok(true);
        }
        if self.due.sweep.is_some() {
            self.sweep_step()?;
            return Ok(true);
        }
        match self.first_due(now, pace)?.filter(|(due, _)| *due <= now) {
            // What is expired at that instant goes first.
            Some((due, what)) if self.due.next_sweep > due => {
                // Of an archive there may be more at the same instant.
                let is_over = !matches!(what, Due::BeginArchive(_) | Due::MakeArchive);
                match what {
                    Due::Task(row) => {
                        self.carry_out(row, due)?;
                        self.due.done.tasks += 1;
                    }
                    Due::Archives => {
                        self.due.done.archives += self.expire_archives(due)?;
                    }
                    Due::Purge => self.due.done.purged += self.purge_hidden(due)?,
                    Due::BeginArchive(row) => self.begin_making(row, due)?,
                    Due::MakeArchive => self.make_on(due)?,
                }
                if self.store.is_shredding() && pace == Pace::Through {
                    self.due.decided = Some(due);
                }
                if is_over {
                    // The next one may be of a later instant, at which something more is expired.
                    self.due.next_sweep = due.saturating_add(1);
                }
                self.reschedule()?;
                Ok(true)
            }
            Some((due, _)) => {
                self.begin_sweep(due)?;
                Ok(true)
            }
            None if self.due.next_sweep <= now => {
                self.begin_sweep(now)?;
                Ok(true)
            }
            None => {
                self.due.not_before = None;
                self.reschedule()?;
                Ok(false)
            }
        }
    }

    /// Tries again later.
    pub fn put_off_due_work(&mut self) {
        self.due.not_before = Some(Instant::now() + RETRY_AFTER);
    }

    /// Forgets when things are due, after the clock or the data changed under them.
    pub(super) fn restart_schedule(&mut self) -> Result<(), StoreError> {
        self.due = Schedule { next_sweep: self.shared.now() + SWEEP_EVERY, ..Schedule::default() };
        self.reschedule()
    }

    /// Lets due work begin at once.
    pub(super) fn look_soon(&mut self) -> Result<(), StoreError> {
        self.due.next_sweep = self.shared.now();
        self.reschedule()
    }

    fn shred_step(&mut self) -> Result<(), StoreError> {
        let at = self.due.decided.unwrap_or_else(|| self.shared.now());
        let shredded = self.store.shred(STEP, at)?;
        if !shredded.more {
            self.due.decided = None;
            self.told.ended(at);
        }
        let rows = shredded.events + shredded.profiles + shredded.replays;
        Stats::add(&self.shared.stats.erased, rows);
        if rows > 0 {
            self.era += 1;
        }
        Ok(())
    }

    fn begin_sweep(&mut self, at: i64) -> Result<(), StoreError> {
        let mut spaces = VecDeque::new();
        for (home, token) in self.store.projects()? {
            let settings = self.project_of(&token).settings;
            for space in self.store.spaces(home.project)? {
                spaces.push_back((space, settings.clone()));
            }
        }
        self.due.sweep = Some(Sweep { at, spaces, deleted: false, unused_after: Some(0) });
        Ok(())
    }

    fn sweep_step(&mut self) -> Result<(), StoreError> {
        let Some(mut sweep) = self.due.sweep.take() else { return Ok(()) };
        let done = self.in_transaction(|core| core.try_sweep_step(&mut sweep));
        match done {
            Ok(None) => {
                self.due.sweep = Some(sweep);
                Ok(())
            }
            Ok(Some(counts)) => {
                // An instant at which nothing is expired any more; the next look is due after it.
                self.due.next_sweep = sweep.at.saturating_add(SWEEP_EVERY);
                self.due.done.expired.add(counts);
                if !counts.is_empty() {
                    self.era += 1;
                }
                Stats::add(&self.shared.stats.expired, counts.events + counts.profiles + counts.replays);
                Ok(())
            }
            Err(error) => {
                // From the start, next time: what is deleted stays deleted and counted.
                Err(error)
            }
        }
    }

    /// Deletes some of what is expired. Answers the sum at the end.
    fn try_sweep_step(&mut self, sweep: &mut Sweep) -> Result<Option<Counts>, StoreError> {
        if let Some((space, settings)) = sweep.spaces.front().cloned() {
            let mut counts = Counts::default();
            let until = window(&settings, sweep.at);
            counts.events = self.store.delete_expired_events(space, until, STEP)?;
            self.note_swept(space, &events_rule(&settings), counts)?;
            let seen = profiles_expired_until(&settings, sweep.at);
            let profiles = self.store.delete_expired_profiles(space, seen, STEP)?;
            self.note_swept(space, &profiles_rule(&settings), Counts { profiles, ..Counts::default() })?;
            let replays = self.store.delete_expired_replays(space, sweep.at, STEP)?;
            self.note_swept(space, "replays, by their own expiry", Counts { replays, ..Counts::default() })?;
            sweep.deleted |= counts.events + profiles + replays > 0;
            if counts.events < STEP && profiles < STEP && replays < STEP {
                sweep.spaces.pop_front();
            }
            return Ok(None);
        }
        if let (true, Some(after)) = (sweep.deleted, sweep.unused_after) {
            sweep.unused_after = self.store.delete_unused_keys(after, STEP)?;
            return Ok(None);
        }
        self.shared.expire_rejected(sweep.at);
        self.told.forget(sweep.at);
        self.store.forget_barriers(sweep.at)?;
        self.store.delete_outdated_uses(sweep.at - USAGE_DAYS * DAY)?;
        self.store.end_sweep(sweep.at).map(Some)
    }

    fn note_swept(&mut self, space: Space, rule: &str, counts: Counts) -> Result<(), StoreError> {
        if counts.is_empty() { Ok(()) } else { self.store.note_sweep(space.project, rule, counts) }
    }

    fn expire_archives(&mut self, now: i64) -> Result<usize, StoreError> {
        self.in_transaction(|core| {
            let expired = core.store.expire_archives(now)?;
            if expired > 0 {
                let rule = format!("{expired} archives, 7 days after they were made");
                core.note(now, None, "user_data_retrieval.expired", &rule, None, Counts::default())?;
            }
            let outdated = core.store.outdated_archives(now)?;
            core.empty_archives(&outdated)?;
            Ok(expired)
        })
    }

    fn purge_hidden(&mut self, now: i64) -> Result<usize, StoreError> {
        self.in_transaction(|core| {
            let Some(hidden) = core.store.next_purge()?.filter(|hidden| hidden.due <= now) else {
                return Ok(0);
            };
            let counts = core.store.purge(hidden.space)?;
            let project = Some(hidden.space.project);
            core.note(now, project, "project.purged", "the grace is over", None, counts)?;
            Ok(1)
        })
    }
}

fn events_rule(settings: &Settings) -> String {
    let basis = match settings.retention_basis {
        RetentionBasis::Received => "receipt",
        RetentionBasis::EventDate => "the event's date",
    };
    settings
        .retention_events_days
        .map_or_else(String::new, |days| format!("events, {days} days after {basis}"))
}

fn profiles_rule(settings: &Settings) -> String {
    settings
        .retention_profiles_days
        .map_or_else(String::new, |days| format!("profiles, {days} days after they were last seen"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::core::Shared;
    use crate::core::tests::{core_with_an_event, put_event};
    use crate::domain::config::Config;
    use crate::scratch::ScratchFolder;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{NewTask, TaskKind, TaskState};

    #[test]
    fn nothing_ends_before_it_was_asked_for() {
        for pace in [Pace::GivingWay, Pace::Through] {
            let mut core = core_with_an_event();
            let (requested, project) = (core.shared.now(), core.project_of("T"));
            let (due, late) = (requested + DAY, requested + 10 * DAY);
            let (kind, id, ids) = (TaskKind::Deletion, "deletion".to_owned(), vec!["u".to_owned()]);
            let task = NewTask { kind, id, ids, requested, due, about: json!({}) };
            core.request_task(&project, &task).unwrap().unwrap();
            // The server was down when it fell due.
            core.shared.clock().set(late);
            while core.store.task("deletion").unwrap().unwrap().state != TaskState::Started {
                assert!(core.step(late, pace).unwrap());
            }
            let device = core.in_transaction(|core| core.erase_device("T", "D")).unwrap().unwrap();
            while core.step(late, pace).unwrap() {}
            let mut finished = |id: &str| core.store.task(id).unwrap().unwrap().finished;
            let deleted = if pace == Pace::Through { due } else { late };
            assert_eq!((finished(&device.id), finished("deletion")), (Some(late), Some(deleted)));
            let audit = core.store.audit_rows(None, 100).unwrap();
            let at = |action: &str| audit.iter().find(|entry| entry.action == action).unwrap().at;
            assert_eq!(at("device_erasure.completed"), at("device_erasure.created"));
            assert_eq!(at("user_data_deletion.completed"), deleted);
        }
    }

    /// Each step is durable, with what it counts: cut off after any of them, a sweep goes on from there.
    #[test]
    fn a_sweep_ends_the_same_after_whichever_step_it_was_cut_off() {
        let config = json!({"settings": {"retention_events_days": 1}});
        for cut in 0.. {
            let folder = ScratchFolder::new("sweep-cut");
            let open = |now: Option<i64>| {
                let shared = Arc::new(Shared::new(Config::from_json(&config).unwrap(), None));
                shared.clock().freeze(true);
                now.inspect(|now| shared.clock().set(*now));
                Core::new(Box::new(SqliteStore::open(folder.path()).unwrap()), shared).unwrap()
            };
            let mut core = open(None);
            let now = core.shared.now() + 2 * DAY;
            for token in ["A", "B", "C"] {
                put_event(&mut core, token);
            }
            core.shared.clock().set(now);
            core.look_soon().unwrap();
            let steps = (0..cut).take_while(|_| core.step(now, Pace::Through).unwrap()).count();
            if steps < cut {
                assert!(cut > 6, "a step for each project, the keys, their rows and the end: {cut}");
                break;
            }
            drop(core);
            let mut core = open(Some(now));
            core.run_due(now).unwrap();
            let audit = core.store.audit_rows(None, 100).unwrap();
            let swept = audit.iter().filter(|entry| entry.action == "retention.swept");
            assert_eq!(swept.map(|entry| entry.counts.events).collect::<Vec<_>>(), [1, 1, 1], "{cut}");
        }
    }

    #[test]
    fn what_failed_is_tried_again_although_the_clock_stands_still() {
        let mut core = core_with_an_event();
        core.look_soon().unwrap();
        assert_eq!(core.wait(), Some(Duration::ZERO));
        core.put_off_due_work();
        let wait = core.wait().unwrap();
        assert!(!wait.is_zero() && wait <= Duration::from_secs(5), "{wait:?}");
        assert!(!core.run_due_now().unwrap());
        core.due.not_before = Some(Instant::now());
        assert!(core.run_due_now().unwrap());
    }
}
