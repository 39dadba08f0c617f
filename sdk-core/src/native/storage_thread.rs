//! The thread that does what the engine asks of the store, and keeps its time.

#[cfg(test)]
mod tests;

use super::entropy::draw_pool;
#[cfg(feature = "flight-recorder")]
use super::flight::{ConsentNow, Ended, FlightFile, Portion, Recording};
use super::notice_thread;
use super::shared::{Core, Shared, State, StorageJob, WATCH_MS};
use super::store::Store;
use crate::engine::{Done, Effect, Entry, Input, Notice, Op, Permit, RecordId, RecordRead, StoreFault};
#[cfg(feature = "flight-recorder")]
use crate::engine::{Item, ItemKind};
use std::collections::VecDeque;
#[cfg(feature = "flight-recorder")]
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it looks while records come: a push costs their caller nothing then.
const LOOK: Duration = Duration::from_millis(2);
/// After so many looks at nothing it sleeps until it is woken.
const LOOKS: u32 = 10;
/// How many places the queue keeps while it is empty.
const SPARE: usize = 256;
/// How many ends of effects are reported under one lock.
const REPORTS: usize = 64;
/// How many jobs are done before it is looked whether the person has chosen meanwhile. One reading of the record and one
/// write for so many cost each of them next to nothing.
const PORTION: usize = 1_000;
/// How long a client waits for the threads of the one that had its folder before.
const PREDECESSOR: Duration = Duration::from_secs(5);

pub(super) struct StorageThread {
    shared: Arc<Shared>,
    store: Store,
    breaker: Option<Box<dyn Fn() + Send + Sync>>,
    /// Looks at nothing since there was something.
    idle: u32,
    /// Whether the consent record could not be read when it was last looked at.
    unreadable: bool,
    /// Taken from the queue and to be done, in order. Takes the queue's place when it is worked off: callers shall not
    /// have to make room in it each time.
    jobs: VecDeque<StorageJob>,
    #[cfg(feature = "flight-recorder")]
    flight: Option<FlightFile>,
    #[cfg(feature = "flight-recorder")]
    ended_flights: Option<Ended>,
}

impl StorageThread {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Store,
        breaker: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> Self {
        #[cfg(feature = "flight-recorder")]
        let (flight, ended_flights) = {
            let core = shared.lock();
            // What has ended is recorded no more: a file that is begun takes the place of the one that is finished.
            let ended = matches!(core.state, State::Ended | State::Dead);
            let flight = core.flight.as_ref().filter(|_| !ended).map(Recording::file);
            (flight, core.ended_flights.clone())
        };
        Self {
            shared,
            store,
            breaker,
            idle: 0,
            unreadable: false,
            jobs: VecDeque::new(),
            #[cfg(feature = "flight-recorder")]
            flight,
            #[cfg(feature = "flight-recorder")]
            ended_flights,
        }
    }

    /// Serves until the last handle is gone and everything is stored.
    pub(super) fn run(self, predecessor: Option<Arc<Shared>>) {
        #[cfg(feature = "testing")]
        self.shared.begin();
        if let Some(predecessor) = predecessor {
            predecessor.wait(PREDECESSOR, |_| false);
        }
        let pool = draw_pool();
        let mut core = self.shared.lock();
        core.entropy.add(&pool);
        let secret = core.entropy.secret();
        self.shared.handle(&mut core, self.shared.clock.now(), Input::Start { secret });
        drop(core);
        let shared = Arc::clone(&self.shared);
        // Gives up the queue's folder, the host's transport and the outbox's lock before anybody hears that this is over: whoever
        // opens the folder next may ask at once.
        self.work_off();
        shared.lock().asking = None;
        shared.enter_state(State::Ended);
    }

    /// Does what is to be done until the client is to end and nothing is left.
    pub(super) fn work_off(mut self) {
        while self.turn() {}
    }

    /// Waits for work and does it; `false` at the end.
    fn turn(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut core = self.wait(&shared);
        let now = shared.clock.now();
        if core.engine.next_wakeup().is_some_and(|wakeup| wakeup <= now.mono_ms) {
            let secret = core.entropy.secret();
            shared.handle(&mut core, now, Input::Tick { secret });
            shared.announce_progress();
        }
        core.urgent = false;
        let choices = std::mem::take(&mut core.choices);
        if self.jobs.is_empty() {
            std::mem::swap(&mut core.storage, &mut self.jobs);
            core.storage_bytes = 0;
        }
        let nothing = choices.is_empty() && self.jobs.is_empty();
        let tell = !core.notices.is_empty() && !std::mem::replace(&mut core.telling, true);
        let refill = core.entropy.is_low();
        let watch = std::mem::take(&mut core.watch_wanted) || core.is_watched() && core.watch_is_due(now);
        if watch || !nothing {
            core.watched_ms = now.mono_ms;
        }
        let end = core.state != State::Running && nothing;
        #[cfg(feature = "flight-recorder")]
        let (portion, consent) = {
            let portion = core.flight.as_mut().map(|flight| (flight.take(end), flight.epoch()));
            (portion, ConsentNow::of(&core.engine))
        };
        drop(core);
        if tell {
            notice_thread::start(&shared);
        }
        // Before the jobs: what a withdrawal takes from a recording is gone before the withdrawal can be over.
        #[cfg(feature = "flight-recorder")]
        self.record(portion, consent);
        if end {
            return false;
        }
        self.idle = if nothing { self.idle.saturating_add(1) } else { 0 };

        if refill {
            let pool = draw_pool();
            shared.lock().entropy.add(&pool);
        }
        if watch || !nothing {
            self.watch();
        }
        let chosen = !choices.is_empty();
        // The step after this one is to come next.
        choices.into_iter().for_each(|effect| self.execute_one(effect));
        // After them: the app's code may take its time, and the process may end in it.
        self.break_off();
        if !chosen {
            self.execute();
        }
        true
    }

    /// Sleeps: a moment while records come, else until it is woken or something falls due.
    fn wait<'s>(&self, shared: &'s Shared) -> MutexGuard<'s, Core> {
        let mut core = shared.lock();
        if core.state != State::Running || !self.jobs.is_empty() {
            return core;
        }
        let waits_for_time = !shared.clock.is_virtual();
        if self.idle < LOOKS && waits_for_time {
            let quiet = |core: &mut Core| !core.urgent && core.state == State::Running;
            return shared
                .storage_wake
                .wait_timeout_while(core, LOOK, quiet)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let now = shared.clock.now().mono_ms;
        let watch = core.is_watched().then(|| now.saturating_add(WATCH_MS));
        let until = core.engine.next_wakeup().into_iter().chain(watch).min();
        core.parked_until = Some(until.unwrap_or(u64::MAX));
        let asleep = |core: &mut Core| {
            let until = core.parked_until.unwrap_or_default();
            core.storage.is_empty()
                && !core.urgent
                && core.state == State::Running
                && core.engine.next_wakeup().is_none_or(|wakeup| wakeup >= until)
        };
        if !waits_for_time {
            shared.announce_progress();
        }
        // A virtual clock stands still meanwhile; who moves it wakes this thread.
        let timed = until.filter(|until| waits_for_time || *until <= now);
        let mut core = match timed {
            None => shared.storage_wake.wait_while(core, asleep).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                // Never a busy loop, whatever the engine says.
                let pause = Duration::from_millis(until.saturating_sub(now)).max(LOOK);
                let woken = shared.storage_wake.wait_timeout_while(core, pause, asleep);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        core.parked_until = None;
        core
    }

    /// Breaks off the request under way, if it was cancelled.
    fn break_off(&self) {
        self.shared.break_off(self.breaker.as_deref());
    }

    /// Tells the engine what other processes have changed.
    fn watch(&mut self) {
        for (name, read) in self.store.changes() {
            self.report([Input::RecordChanged { name, read }]);
        }
        self.shared.lock().looks += 1;
        self.shared.announce_progress();
    }

    /// Does the next jobs, in order; but of records that are to be stored and others that need no longer be kept,
    /// those first. So each kind shares a reading of the record and a write, also where every record drives out another
    /// one.
    fn execute(&mut self) {
        let mut records = Records::default();
        for _ in 0..PORTION {
            match self.jobs.pop_front() {
                Some(StorageJob::Effect(Effect::Append { op, permit })) => records.append(op, permit),
                Some(StorageJob::Effect(Effect::Acknowledge { op, records: gone })) => {
                    records.acknowledge(op, gone);
                }
                Some(other) => {
                    self.keep(std::mem::take(&mut records));
                    match other {
                        StorageJob::Effect(effect) => self.execute_one(effect),
                        StorageJob::Barrier(barrier) => self.pass(barrier),
                    }
                    break;
                }
                None => break,
            }
        }
        self.keep(records);
        if self.jobs.is_empty() {
            // After a burst it would be too much to keep.
            self.jobs.shrink_to(SPARE);
        }
    }

    /// Stores records, and lets go of others.
    fn keep(&mut self, records: Records) {
        let Records { appends, permits, acknowledges, gone } = records;
        if !appends.is_empty() {
            let results = self.store.append(permits);
            self.report(appends.into_iter().zip(results).map(|(op, result)| Input::Done { op, result }));
        }
        if !acknowledges.is_empty() {
            let fault = match self.store.acknowledge(&gone) {
                Done::Failed(fault) => Some(fault),
                _ => None,
            };
            let result = || fault.map_or(Done::Stored, Done::Failed);
            self.report(acknowledges.into_iter().map(|op| Input::Done { op, result: result() }));
        }
    }

    /// Syncs, and says how everything before has ended.
    fn pass(&mut self, barrier: u64) {
        let synced = matches!(self.store.sync(), Done::Stored);
        let later = self.jobs.iter().filter(|job| job.is_append()).count();
        self.shared.pass_barrier(barrier, self.store.kept() + later, synced);
    }

    fn execute_one(&mut self, effect: Effect) {
        let amends = matches!(effect, Effect::Amend { .. });
        let (op, result) = match effect {
            Effect::Open { op } => (op, self.open()),
            Effect::Recover { op, epoch } => (op, self.store.recover(epoch)),
            Effect::Amend { op, amendment } => (op, self.store.amend(amendment)),
            Effect::Sync { op } => (op, self.store.sync()),
            Effect::Fence { op } => {
                // A request that is stuck in the middle of its body would not let go.
                self.break_off();
                (op, self.store.fence())
            }
            Effect::Wipe { op, before, scope } => (op, self.store.wipe(before, scope)),
            Effect::List { op } => (op, self.list()),
            // None of these gets here: they go to other queues, or are taken together above.
            Effect::Append { .. }
            | Effect::Acknowledge { .. }
            | Effect::Send { .. }
            | Effect::SendErasure { .. }
            | Effect::Cancel { .. }
            | Effect::Notify(_) => return,
        };
        self.report([Input::Done { op, result }]);
        if amends {
            // Whoever asks for what the outbox holds waits for it.
            self.shared.request_wake.notify_one();
        }
    }

    /// Opens the store. That a folder which was given cannot be read nobody would hear of otherwise: nothing is collected,
    /// and nothing fails.
    fn open(&mut self) -> Done {
        let opened = self.store.open();
        let unreadable = matches!(&opened, Done::Opened { consent: RecordRead::Unreadable, .. });
        if !std::mem::replace(&mut self.unreadable, unreadable) && unreadable && self.store.has_folder() {
            self.shared.tell(Notice::StoreTrouble(StoreFault::Unreadable));
        }
        opened
    }

    /// Writes what was recorded, and has recordings go that may not stay.
    #[cfg(feature = "flight-recorder")]
    fn record(&mut self, portion: Option<(Portion, u64)>, consent: Option<ConsentNow>) {
        if let (Some(file), Some((portion, epoch))) = (&mut self.flight, portion) {
            let last = portion.is_last();
            file.write(portion);
            if let (true, Some(path), Some(ended)) = (last, file.kept(), &self.ended_flights) {
                ended.add(path.to_path_buf(), epoch);
            }
        }
        if let (Some(ended), Some(consent)) = (&self.ended_flights, consent) {
            ended.obey(consent);
        }
    }

    /// What the store holds, and what a recording beside it still holds against the person's will.
    fn list(&mut self) -> Done {
        let listed = self.store.list();
        #[cfg(feature = "flight-recorder")]
        let listed = match listed {
            Done::Listed(mut items) => {
                let stuck = self.flight.as_mut().and_then(FlightFile::stuck).map(Path::to_path_buf);
                let ended = self.ended_flights.iter().flat_map(|ended| ended.paths(true));
                let item = |path: PathBuf| {
                    let name = path.display().to_string();
                    Item { name, kind: ItemKind::Data(None), bytes: 0 }
                };
                items.extend(stuck.into_iter().chain(ended).map(item));
                Done::Listed(items)
            }
            listed => listed,
        };
        listed
    }

    /// Hands inputs to the engine, some at a time, so that callers get in between.
    fn report<'i>(&self, inputs: impl IntoIterator<Item = Input<'i>>) {
        let mut inputs = inputs.into_iter().peekable();
        while inputs.peek().is_some() {
            let mut core = self.shared.lock();
            let now = self.shared.clock.now();
            for input in inputs.by_ref().take(REPORTS) {
                self.shared.handle(&mut core, now, input);
            }
        }
        self.shared.announce_progress();
    }
}

/// Records that are to be stored, and others that need no longer be kept.
#[derive(Default)]
struct Records {
    appends: Vec<Op>,
    permits: Vec<Permit<Entry>>,
    acknowledges: Vec<Op>,
    gone: Vec<RecordId>,
}

impl Records {
    fn append(&mut self, op: Op, permit: Permit<Entry>) {
        self.appends.push(op);
        self.permits.push(permit);
    }

    fn acknowledge(&mut self, op: Op, mut records: Vec<RecordId>) {
        self.acknowledges.push(op);
        self.gone.append(&mut records);
    }
}
