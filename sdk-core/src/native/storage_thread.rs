//! The thread that does what the engine asks of the store, and keeps its time.

use super::entropy::draw_pool;
#[cfg(feature = "flight-recorder")]
use super::flight::{FlightFile, Recording};
use super::notice_thread;
use super::shared::{Core, Shared, State, StorageJob, WATCH_MS};
use super::store::Store;
use crate::engine::{Done, Effect, Entry, Input, Op, Permit};
#[cfg(feature = "flight-recorder")]
use crate::engine::{Item, ItemKind};
use std::collections::VecDeque;
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
/// How long a client waits for the threads of the one that had its folder before.
const PREDECESSOR: Duration = Duration::from_secs(5);

pub(super) struct StorageThread {
    shared: Arc<Shared>,
    store: Store,
    breaker: Option<Box<dyn Fn() + Send + Sync>>,
    /// Looks at nothing since there was something.
    idle: u32,
    /// Takes the place of the queue when that is worked off: callers shall not have to make room in it each time.
    spare: VecDeque<StorageJob>,
    #[cfg(feature = "flight-recorder")]
    flight: Option<FlightFile>,
}

impl StorageThread {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Store,
        breaker: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> Self {
        #[cfg(feature = "flight-recorder")]
        let flight = shared.lock().flight.as_ref().map(Recording::file);
        Self {
            shared,
            store,
            breaker,
            idle: 0,
            spare: VecDeque::new(),
            #[cfg(feature = "flight-recorder")]
            flight,
        }
    }

    /// Serves until the last handle is gone and everything is stored.
    pub(super) fn run(mut self, predecessor: Option<Arc<Shared>>) {
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
        while self.turn() {}
        // Gives up the queue's folder and the host's transport before anybody hears that this is over.
        let Self { shared, store, breaker, .. } = self;
        drop((store, breaker));
        shared.enter_state(State::Ended);
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
        let mut jobs = std::mem::replace(&mut core.storage, std::mem::take(&mut self.spare));
        core.storage_bytes = 0;
        let tell = !core.notices.is_empty() && !std::mem::replace(&mut core.telling, true);
        let refill = core.entropy.is_low();
        let watch = std::mem::take(&mut core.watch_wanted) || watched(&core) && core.watch_is_due(now);
        if watch || !jobs.is_empty() {
            core.watched_ms = now.mono_ms;
        }
        let end = core.state != State::Running && jobs.is_empty();
        #[cfg(feature = "flight-recorder")]
        let portion = core.flight.as_mut().map(|flight| flight.take(end));
        drop(core);
        if tell {
            notice_thread::start(&shared);
        }
        // Before the jobs: what a withdrawal takes from a recording is gone before the withdrawal can be over.
        #[cfg(feature = "flight-recorder")]
        if let (Some(file), Some(portion)) = (&mut self.flight, portion) {
            file.write(portion);
        }
        if end {
            return false;
        }
        self.idle = if jobs.is_empty() { self.idle.saturating_add(1) } else { 0 };

        self.break_off();
        if refill {
            let pool = draw_pool();
            shared.lock().entropy.add(&pool);
        }
        if watch || !jobs.is_empty() {
            self.watch();
        }
        self.execute(&mut jobs);
        // After a burst it would be too much to keep.
        jobs.shrink_to(SPARE);
        self.spare = jobs;
        true
    }

    /// Sleeps: a moment while records come, else until it is woken or something falls due.
    fn wait<'s>(&self, shared: &'s Shared) -> MutexGuard<'s, Core> {
        let mut core = shared.lock();
        if core.state != State::Running {
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
        let watch = watched(&core).then(|| now.saturating_add(WATCH_MS));
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
        let cancelled = std::mem::take(&mut self.shared.lock().cancelled);
        if let (false, Some(breaker)) = (cancelled.is_empty(), &self.breaker) {
            breaker();
        }
    }

    /// Tells the engine what other processes have changed.
    fn watch(&mut self) {
        for (name, read) in self.store.changes() {
            self.report([Input::RecordChanged { name, read }]);
        }
    }

    /// Does everything in order. Appends that stand side by side share a reading of the record and a write.
    fn execute(&mut self, jobs: &mut VecDeque<StorageJob>) {
        while let Some(job) = jobs.pop_front() {
            match job {
                StorageJob::Effect(Effect::Append { op, permit }) => {
                    let (mut ops, mut permits): (Vec<Op>, Vec<Permit<Entry>>) = (vec![op], vec![permit]);
                    while let Some(StorageJob::Effect(Effect::Append { .. })) = jobs.front() {
                        if let Some(StorageJob::Effect(Effect::Append { op, permit })) = jobs.pop_front() {
                            ops.push(op);
                            permits.push(permit);
                        }
                    }
                    let results = self.store.append(permits);
                    self.report(ops.into_iter().zip(results).map(|(op, result)| Input::Done { op, result }));
                }
                StorageJob::Effect(effect) => {
                    if let Some((op, result)) = self.execute_one(effect) {
                        self.report([Input::Done { op, result }]);
                    }
                }
                StorageJob::Barrier(barrier) => {
                    let synced = matches!(self.store.sync(), Done::Stored);
                    let later = jobs.iter().filter(|job| job.is_append()).count();
                    self.shared.pass_barrier(barrier, self.store.kept() + later, synced);
                }
            }
        }
    }

    fn execute_one(&mut self, effect: Effect) -> Option<(Op, Done)> {
        Some(match effect {
            Effect::Open { op } => (op, self.store.open()),
            Effect::Recover { op, epoch } => (op, self.store.recover(epoch)),
            Effect::Amend { op, amendment } => (op, self.store.amend(amendment)),
            Effect::Acknowledge { op, records } => (op, self.store.acknowledge(&records)),
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
            | Effect::Send { .. }
            | Effect::SendErasure { .. }
            | Effect::Cancel { .. }
            | Effect::Notify(_) => return None,
        })
    }

    /// What the store holds, and what a recording beside it still holds against the person's will.
    fn list(&mut self) -> Done {
        let listed = self.store.list();
        #[cfg(feature = "flight-recorder")]
        let listed = match (listed, self.flight.as_mut().and_then(FlightFile::stuck)) {
            (Done::Listed(mut items), Some(path)) => {
                items.push(Item { name: path.display().to_string(), kind: ItemKind::Data(None), bytes: 0 });
                Done::Listed(items)
            }
            (listed, _) => listed,
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

/// Whether what other processes decide matters here before the next call.
fn watched(core: &Core) -> bool {
    let stats = core.engine.stats();
    !core.background
        || stats.queued > 0
        || stats.held > 0
        || core.engine.in_flight() > 0
        || core.engine.next_wakeup().is_some()
}
