//! The state that callers and threads share: the engine under its lock, and what it has asked for.

use super::builder::{EndHook, NoticeHook};
use super::clock::{self, Clock};
use super::entropy::Entropy;
#[cfg(feature = "flight-recorder")]
use super::flight::{Ended, Recording};
use super::notice_thread;
use super::process;
use super::store::FileLock;
use super::transport::{OnItsWay, Sendable};
use crate::engine::{
    ConsentError, Decision, Effect, Engine, FlushMark, FlushState, Input, Lifecycle, Notice, Now, Op,
    Outcome, RecordName, Rejection, Signals, Ticket, Verdict,
};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Storage effects that may wait. A storage thread that is stuck costs records, never memory without bound.
const BACKLOG: usize = 100_000;
const BACKLOG_BYTES: usize = 32 << 20;
/// Notices that may wait for an app whose hook does not come back. Of more the oldest go: what holds now is the later one.
const NOTICES: usize = 64;
/// How often is looked for what other processes have changed, so that whose records are about is not older than that
/// (C9), nor what the app shows of the person's choice. While the app is in the background and has nothing to do, only when
/// somebody asks.
pub(super) const WATCH_MS: u64 = 1_000;

/// One engine, entered by any thread, never while anything is read, written or sent.
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Wakes the storage thread.
    pub(super) storage_wake: Condvar,
    /// Wakes the request thread.
    pub(super) request_wake: Condvar,
    /// Wakes callers that wait for something to be over.
    progress: Condvar,
    pub(super) clock: Clock,
    pub(super) on_notice: Option<NoticeHook>,
    pub(super) on_end: Option<EndHook>,
    pub(super) on_its_way: Arc<OnItsWay>,
    /// Held by who breaks a request off. No other one begins meanwhile, which would be broken off in its place.
    breaking_off: Mutex<()>,
    /// Held by who does the work of threads that have ended.
    carrying_out: Mutex<()>,
    /// Its threads have begun to; see [`Shared::finish_call`].
    #[cfg(feature = "testing")]
    serves: std::sync::atomic::AtomicBool,
    /// The process that made it. In a forked child there are no threads to serve it.
    pid: u32,
}

/// What the lock protects.
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) entropy: Entropy,
    pub(super) storage: VecDeque<StorageJob>,
    /// Steps of the person's choice, in order: they go before everything in `storage`. See [`is_choice`].
    pub(super) choices: VecDeque<Effect>,
    /// Bytes of properties that wait in `storage`, roughly.
    pub(super) storage_bytes: usize,
    pub(super) requests: VecDeque<RequestJob>,
    /// The outbox's lock, from an answer until what the collector has said stands in the record.
    pub(super) asking: Option<FileLock>,
    /// The request that the transport has.
    under_way: Option<Op>,
    /// Requests under way that are to be broken off.
    cancelled: Vec<Op>,
    pub(super) notices: VecDeque<Notice>,
    /// A thread is in the app's hook, or about to be.
    pub(super) telling: bool,
    pub(super) state: State,
    /// Open handles. At none the threads end.
    pub(super) handles: usize,
    /// Whether the storage thread sleeps until it is woken, or looks again in a moment anyway.
    pub(super) parked_until: Option<u64>,
    /// Something is to be done without waiting for the next look.
    pub(super) urgent: bool,
    /// When the records were last read again, on the monotonic clock.
    pub(super) watched_ms: u64,
    /// How often they were.
    pub(super) looks: u64,
    /// A call was refused or held, or is the first for a while; somebody asks, or the app has come back. Perhaps another
    /// process has heard otherwise.
    pub(super) watch_wanted: bool,
    /// The app is in the background: nobody sees what other processes change.
    pub(super) background: bool,
    /// Ends that nobody has asked for yet; few, so that they are lists.
    settled: Vec<(Ticket, Result<(), ConsentError>)>,
    next_barrier: u64,
    /// Those that somebody waits for, and how they have ended.
    barriers: Vec<(u64, Option<bool>)>,
    /// Calls that were refused before they reached the engine.
    lost: u64,
    #[cfg(feature = "flight-recorder")]
    pub(super) flight: Option<Recording>,
    /// The recordings of clients before this one; `None` without a data folder.
    #[cfg(feature = "flight-recorder")]
    pub(super) ended_flights: Option<Ended>,
}

/// Whether the threads serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// What is written down is still stored, then the threads end.
    Stopping,
    Ended,
    /// A thread has panicked. Nothing is recorded any more.
    Dead,
}

pub(super) enum StorageJob {
    Effect(Effect),
    /// Sync, and say how everything before has ended.
    Barrier(u64),
}

impl StorageJob {
    pub(super) fn is_append(&self) -> bool {
        matches!(self, Self::Effect(Effect::Append { .. }))
    }
}

/// Whether an effect is a step of the person's choice (C4). It does not wait behind what is to be stored: with a full
/// queue that would keep a refusal from the disk for seconds, in which the process may be killed.
///
/// What it overtakes is none the worse for it. What is to be written has a permit, which a withdrawal has killed and a
/// grant leaves alone; what need no longer be kept may be gone; a look, a sync and a barrier are as good a moment later.
/// These steps keep their order among themselves, and no queue is taken over while one of them is to be done.
pub fn is_choice(effect: &Effect) -> bool {
    match effect {
        Effect::Amend { amendment, .. } => amendment.record() == RecordName::Consent,
        Effect::Fence { .. } | Effect::Wipe { .. } | Effect::List { .. } => true,
        _ => false,
    }
}

pub(super) struct RequestJob {
    pub(super) op: Op,
    pub(super) job: Sendable,
}

impl Shared {
    pub(super) fn new(
        engine: Engine,
        clock: Clock,
        entropy: Entropy,
        on_notice: Option<NoticeHook>,
        on_end: Option<EndHook>,
    ) -> Self {
        Self {
            core: Mutex::new(Core {
                engine,
                entropy,
                storage: VecDeque::new(),
                choices: VecDeque::new(),
                storage_bytes: 0,
                requests: VecDeque::new(),
                asking: None,
                under_way: None,
                cancelled: Vec::new(),
                notices: VecDeque::new(),
                telling: false,
                state: State::Running,
                handles: 1,
                parked_until: None,
                urgent: false,
                watched_ms: 0,
                looks: 0,
                watch_wanted: false,
                background: false,
                settled: Vec::new(),
                next_barrier: 0,
                barriers: Vec::new(),
                lost: 0,
                #[cfg(feature = "flight-recorder")]
                flight: None,
                #[cfg(feature = "flight-recorder")]
                ended_flights: None,
            }),
            storage_wake: Condvar::new(),
            request_wake: Condvar::new(),
            progress: Condvar::new(),
            clock,
            on_notice,
            on_end,
            on_its_way: Arc::default(),
            breaking_off: Mutex::default(),
            carrying_out: Mutex::default(),
            #[cfg(feature = "testing")]
            serves: false.into(),
            pid: process::id(),
        }
    }

    /// Enters. A thread that panicked inside has left the engine between two inputs at worst.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a forked child of the process that made the client.
    pub(super) fn is_forked(&self) -> bool {
        process::id() != self.pid
    }

    /// Takes what a client has heard beside what others of this engine have: what one part of the app has heard holds,
    /// although another one has not.
    pub(super) fn hear(&self, signals: Signals) {
        self.enter(|core| Input::Signals(signals.or(core.engine.signals())));
    }

    /// Hands a call to the engine.
    pub(super) fn call<'a>(&self, make: impl FnOnce(&mut Entropy) -> Input<'a>) -> Outcome {
        self.enter(|core| make(&mut core.entropy))
    }

    /// Hands an input to the engine that is made under its lock.
    fn enter<'a>(&self, make: impl FnOnce(&mut Core) -> Input<'a>) -> Outcome {
        if self.is_forked() {
            return Outcome::Rejected(Rejection::Closed);
        }
        let mut core = self.lock();
        let input = make(&mut core);
        // An objection is heard to the end, and after it.
        if core.state != State::Running && !matches!(input, Input::OptOut { .. }) {
            core.lost += 1;
            return Outcome::Rejected(Rejection::Closed);
        }
        let (mut text_len, waiting) = (0, core.storage.len());
        if let Input::Call(call) = &input {
            let full = core.storage.len() >= BACKLOG || core.storage_bytes >= BACKLOG_BYTES;
            if full && call.kind().is_record() {
                core.lost += 1;
                return Outcome::Rejected(Rejection::Overloaded);
            }
            text_len = call.text_len();
        }
        if let Input::Lifecycle(lifecycle) = &input {
            core.background = matches!(lifecycle, Lifecycle::Background | Lifecycle::Leaving);
            let back = matches!(lifecycle, Lifecycle::Foreground);
            core.watch_wanted |= back;
            core.urgent |= back;
        }
        let now = self.clock.now();
        let unwatched = core.is_unwatched(now);
        let outcome = self.handle(&mut core, now, input);
        if core.storage.len() > waiting {
            core.storage_bytes += text_len;
        }
        let waits = matches!(outcome, Outcome::Rejected(Rejection::Denied) | Outcome::Held);
        if unwatched || waits && core.watch_is_due(now) {
            core.watch_wanted = true;
            core.urgent = true;
        }
        self.wake(core);
        #[cfg(feature = "testing")]
        self.finish_call();
        outcome
    }

    /// On a virtual clock a call returns when everything is done that it leads to at this moment: otherwise it would
    /// depend on the machine whether a request that it starts is away before the next call.
    #[cfg(feature = "testing")]
    fn finish_call(&self) {
        if self.clock.is_virtual() && self.serves.load(std::sync::atomic::Ordering::SeqCst) {
            self.wait(super::testing::HANG, |_| false);
        }
    }

    /// From now on calls may wait.
    #[cfg(feature = "testing")]
    pub(super) fn begin(&self) {
        self.serves.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Hands an input to the engine and puts what it asks for into the queues, in order.
    pub(super) fn handle(&self, core: &mut Core, now: Now, input: Input<'_>) -> Outcome {
        #[cfg(feature = "flight-recorder")]
        if let Some(flight) = &mut core.flight {
            flight.input(now, &input);
        }
        let effects = core.engine.handle(now, input);
        let outcome = effects.outcome();
        for effect in effects {
            #[cfg(feature = "flight-recorder")]
            if let Some(flight) = &mut core.flight {
                flight.effect(&effect);
            }
            match effect {
                Effect::Send { op, permit } => {
                    core.requests.push_back(RequestJob { op, job: Sendable::Records(*permit) });
                    self.request_wake.notify_one();
                }
                Effect::SendErasure { op, permit } => {
                    core.requests.push_back(RequestJob { op, job: Sendable::Erasure(*permit) });
                    self.request_wake.notify_one();
                }
                Effect::Cancel { op } => {
                    let before = core.requests.len();
                    core.requests.retain(|job| job.op != op);
                    if core.requests.len() == before {
                        core.cancelled.push(op);
                        core.urgent = true;
                    }
                }
                Effect::Notify(Notice::Settled { ticket, result }) => {
                    core.settled.push((ticket, result));
                    self.progress.notify_all();
                }
                Effect::Notify(notice) => {
                    // At the end there is nobody who would say it.
                    if self.on_notice.is_some() && matches!(core.state, State::Running | State::Stopping) {
                        queue(&mut core.notices, notice);
                        core.urgent = true;
                    }
                }
                effect if is_choice(&effect) => {
                    core.choices.push_back(effect);
                    core.urgent = true;
                }
                effect => {
                    core.urgent |= !matches!(effect, Effect::Append { .. } | Effect::Acknowledge { .. });
                    core.storage.push_back(StorageJob::Effect(effect));
                }
            }
        }
        #[cfg(feature = "flight-recorder")]
        if let Some(flight) = &mut core.flight {
            core.urgent |= flight.end(&mut core.engine);
        }
        outcome
    }

    /// Has the app hear of something that the engine does not know of.
    pub(super) fn tell(&self, notice: Notice) {
        if self.on_notice.is_some() {
            let mut core = self.lock();
            queue(&mut core.notices, notice);
            core.urgent = true;
        }
    }

    /// Wakes the storage thread, if it would not look in time by itself.
    fn wake(&self, core: MutexGuard<'_, Core>) {
        let wanted = match core.parked_until {
            None => core.urgent,
            Some(until) => {
                core.urgent
                    || !core.storage.is_empty()
                    || core.engine.next_wakeup().is_some_and(|wakeup| wakeup < until)
            }
        };
        drop(core);
        if wanted {
            self.storage_wake.notify_one();
        }
    }

    /// Has the records read again, and waits for that.
    pub(super) fn look(&self, timeout: Duration) {
        let mut core = self.lock();
        let looks = core.looks;
        core.watch_wanted = true;
        core.urgent = true;
        drop(core);
        self.storage_wake.notify_one();
        self.wait(timeout, |core| core.looks > looks);
    }

    /// The person's choice as it was known in the parent process when this one was forked from it. `None` if it was not, or
    /// another thread was in the engine in that moment: its lock is held for ever here.
    pub(super) fn known_at_fork(&self) -> Option<Decision> {
        let core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        core.engine.is_open().then(|| core.engine.consent().decision)
    }

    /// Waits for the end of a consent call.
    pub(super) fn wait_settled(&self, ticket: Ticket) -> Option<Result<(), ConsentError>> {
        let mut core = self.lock();
        loop {
            if let Some(result) = take(&mut core.settled, ticket) {
                return Some(result);
            }
            if !matches!(core.state, State::Running | State::Stopping) {
                return None;
            }
            core = self.progress.wait(core).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until a flush has reached its mark, or cannot in that time.
    pub(super) fn wait_flushed(&self, mark: FlushMark, timeout: Duration) -> FlushState {
        let until = self.clock.now().mono_ms.saturating_add(clock::millis(timeout));
        let mut end = None;
        self.wait(timeout, |core| {
            end = core.engine.flush_end(mark, until);
            end.is_some()
        });
        end.unwrap_or(FlushState::Underway)
    }

    /// Waits until nothing of the erasure outbox is under way or about to leave. A process that lives shortly would
    /// otherwise never get it to the collector (C12).
    pub(super) fn wait_erased(&self, timeout: Duration) {
        self.wait(timeout, |core| !core.engine.is_erasing());
    }

    /// Waits until the engine has opened its store and nothing that it began is under way; then until everything
    /// asked of the store before has been tried, and what was written is synced. Whether all of it was stored;
    /// `None` if it takes longer.
    pub(super) fn wait_stored(&self, timeout: Duration) -> Option<bool> {
        let timeout = self.clock.patience(timeout);
        let start = Instant::now();
        if !self.wait(timeout, |core| core.is_settled(self.clock.now())) {
            return None;
        }
        let mut core = self.lock();
        if matches!(core.state, State::Ended | State::Dead) {
            return None;
        }
        core.next_barrier += 1;
        let barrier = core.next_barrier;
        core.storage.push_back(StorageJob::Barrier(barrier));
        core.barriers.push((barrier, None));
        core.urgent = true;
        drop(core);
        self.storage_wake.notify_one();
        let ended = |core: &Core| {
            let ended = core.barriers.iter().find(|(number, _)| *number == barrier);
            ended.and_then(|(_, stored)| *stored)
        };
        self.wait(timeout.saturating_sub(start.elapsed()), |core| ended(core).is_some());
        // One that nobody waits for any more takes no place.
        let mut core = self.lock();
        core.storage.retain(|job| !matches!(job, StorageJob::Barrier(number) if *number == barrier));
        take(&mut core.barriers, barrier).flatten()
    }

    /// Waits until the store has been opened and, where collecting is allowed, what was held meanwhile is recorded.
    pub(super) fn wait_ready(&self, timeout: Duration) -> bool {
        let mut ready = false;
        self.wait(timeout, |core| {
            let engine = &core.engine;
            let opening = || engine.distinct_id().is_none() || engine.stats().held > 0;
            ready = engine.is_settled() && (engine.consent().verdict != Verdict::Allow || !opening());
            ready
        });
        ready
    }

    /// Waits until the threads have ended, and the app has heard what it was to hear, unless it is an app's hook that
    /// waits.
    pub(super) fn wait_ended(&self, timeout: Duration) {
        let start = Instant::now();
        if self.wait(timeout, |_| false) && !notice_thread::is_this_one() {
            let left = timeout.saturating_sub(start.elapsed());
            drop(self.progress.wait_timeout_while(self.lock(), left, |core| core.telling));
        }
    }

    /// Waits until a condition holds or nothing serves any more; `false` on time-out, which on a virtual clock is when
    /// nothing more happens before the clock is moved.
    pub(super) fn wait(&self, timeout: Duration, mut until: impl FnMut(&mut Core) -> bool) -> bool {
        let timeout = self.clock.patience(timeout);
        let start = Instant::now();
        let mut core = self.lock();
        loop {
            if until(&mut core) || matches!(core.state, State::Ended | State::Dead) {
                return true;
            }
            if self.clock.is_virtual() && core.is_quiet(self.clock.now()) {
                return false;
            }
            let Some(left) = timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                return false;
            };
            core = self.progress.wait_timeout(core, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reports the end of a barrier: how many records the store keeps or is still to be asked to, and whether they
    /// are synced. If the queue holds more, the store has not taken them.
    pub(super) fn pass_barrier(&self, barrier: u64, kept: usize, synced: bool) {
        let mut core = self.lock();
        let later = core.storage.iter().filter(|job| job.is_append()).count();
        let records = core.engine.stats().queued <= (kept + later) as u64;
        let stored = synced && records && core.engine.is_identity_stored();
        if let Some((_, ended)) = core.barriers.iter_mut().find(|(number, _)| *number == barrier) {
            *ended = Some(stored);
        }
        drop(core);
        self.progress.notify_all();
    }

    /// Lets waiting callers look again.
    pub(super) fn announce_progress(&self) {
        self.progress.notify_all();
    }

    /// Changes the state of the threads and wakes everybody.
    pub(super) fn enter_state(&self, state: State) {
        self.lock().enter_state(state);
        self.announce_state();
    }

    fn announce_state(&self) {
        self.storage_wake.notify_all();
        self.request_wake.notify_all();
        self.progress.notify_all();
    }

    /// Has the storage thread look at the clock, which a test has moved.
    #[cfg(feature = "testing")]
    pub(super) fn rouse(&self) {
        self.lock().urgent = true;
        self.storage_wake.notify_one();
    }

    /// One handle less; the last one ends the threads. Whether it was the last.
    pub(super) fn release(&self) -> bool {
        if self.is_forked() {
            return false;
        }
        let last = self.lock().release();
        if last {
            self.announce_state();
        }
        last
    }

    /// One handle more, if the threads still serve.
    pub(super) fn retain(&self) -> bool {
        self.lock().retain()
    }

    /// Breaks off the request under way, if it was cancelled.
    pub(super) fn break_off(&self, breaker: Option<&(dyn Fn() + Send + Sync)>) {
        let _breaking_off = alone(&self.breaking_off);
        let mut core = self.lock();
        let cancelled = std::mem::take(&mut core.cancelled);
        let wanted = core.under_way.is_some_and(|op| cancelled.contains(&op));
        drop(core);
        if let Some(breaker) = breaker.filter(|_| wanted) {
            // The app's code may panic; the request then ends by itself.
            let _ = catch_unwind(AssertUnwindSafe(breaker));
        }
    }

    /// Waits until nobody breaks a request off that has ended.
    pub(super) fn wait_broken_off(&self) {
        drop(alone(&self.breaking_off));
    }

    /// Whether nobody does.
    #[cfg(test)]
    pub(super) fn may_begin(&self) -> bool {
        self.breaking_off.try_lock().is_ok()
    }

    /// Who holds it is the only one that does the work of threads that have ended.
    pub(super) fn carry_out_alone(&self) -> MutexGuard<'_, ()> {
        alone(&self.carrying_out)
    }
}

fn alone(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a notice until the app can hear it.
fn queue(notices: &mut VecDeque<Notice>, notice: Notice) {
    if notices.len() >= NOTICES {
        notices.pop_front();
    }
    notices.push_back(notice);
}

/// Takes out what stands under a number.
fn take<N: PartialEq, T>(list: &mut Vec<(N, T)>, wanted: N) -> Option<T> {
    let at = list.iter().position(|(number, _)| *number == wanted)?;
    Some(list.swap_remove(at).1)
}

impl Core {
    /// Changes the state of the threads.
    fn enter_state(&mut self, state: State) {
        if self.state != State::Dead {
            self.state = state;
        }
        self.urgent = true;
    }

    /// One handle less; with the last one the end has begun, under one lock: nobody joins what is about to end.
    fn release(&mut self) -> bool {
        self.handles = self.handles.saturating_sub(1);
        let last = self.handles == 0 && self.state != State::Ended;
        if last {
            self.enter_state(State::Stopping);
        }
        last
    }

    fn retain(&mut self) -> bool {
        let serves = self.state == State::Running;
        self.handles += usize::from(serves);
        serves
    }

    /// The next request, which is under way from now on.
    pub(super) fn begin_request(&mut self) -> Option<RequestJob> {
        let job = self.requests.pop_front();
        self.under_way = job.as_ref().map(|job| job.op);
        job
    }

    /// It is not any more.
    pub(super) fn end_request(&mut self) {
        if let Some(op) = self.under_way.take() {
            self.cancelled.retain(|cancelled| *cancelled != op);
        }
    }

    /// Calls that never reached the engine.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn count_lost(&mut self) {
        self.lost += 1;
    }

    /// Whether the records were not read again for a while.
    pub(super) fn watch_is_due(&self, now: Now) -> bool {
        now.mono_ms.saturating_sub(self.watched_ms) >= WATCH_MS
    }

    /// Whether what other processes decide matters here before the next call.
    pub(super) fn is_watched(&self) -> bool {
        // First what is known at once: every call asks.
        !self.background || self.engine.in_flight() > 0 || self.engine.next_wakeup().is_some() || {
            let stats = self.engine.stats();
            stats.queued > 0 || stats.held > 0
        }
    }

    /// Whether what other processes have changed is not known here, unless somebody looks.
    pub(super) fn is_unwatched(&self, now: Now) -> bool {
        self.state == State::Running && !self.is_watched() && self.watch_is_due(now)
    }

    /// Whether nothing more happens before the clock moves or somebody calls: the storage thread sleeps, and nothing
    /// is to be done, under way or due.
    pub(super) fn is_quiet(&self, now: Now) -> bool {
        self.state == State::Running
            && self.parked_until.is_some()
            && !self.urgent
            && (!self.telling && self.notices.is_empty() || notice_thread::is_this_one())
            && self.storage.is_empty()
            && self.choices.is_empty()
            && self.requests.is_empty()
            && self.engine.in_flight() == 0
            && self.engine.next_wakeup().is_none_or(|at| at > now.mono_ms)
    }

    /// Whether the store is open, and a device exists where one may, or none can be had before a later try.
    pub(super) fn is_named(&self, now: Now) -> bool {
        let unnamed = self.engine.consent().verdict == Verdict::Allow && self.engine.device_id().is_none();
        let waits =
            || self.engine.is_settled() && self.engine.next_wakeup().is_none_or(|at| at > now.mono_ms);
        self.engine.is_open() && (!unnamed || waits())
    }

    /// Whether a call made now would not be held for want of an open store.
    fn is_settled(&self, now: Now) -> bool {
        self.engine.is_settled() && self.is_named(now)
    }
}

#[cfg(test)]
mod tests {
    use super::{NOTICES, State};
    use crate::engine::{Notice, Signals};
    use crate::native::Client;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn nobody_joins_a_client_whose_last_handle_has_ended_it() {
        let client = Client::builder("T").build().unwrap();
        let mut core = client.shared().lock();
        assert!(core.retain() && !core.release() && core.release());
        assert!(!core.retain(), "it is about to end");
        core.handles = 1;
        core.state = State::Running;
    }

    #[test]
    fn an_app_that_does_not_listen_costs_little_and_hears_the_latest() {
        let ((heard, hears), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
        let (heard, goes) = (std::sync::Mutex::new(heard), std::sync::Mutex::new(goes));
        let hook = move |notice: &Notice| {
            if !matches!(notice, Notice::ConsentChanged(_)) {
                heard.lock().unwrap().send(notice.clone()).unwrap();
                let _ = goes.lock().unwrap().recv();
            }
        };
        let client = Client::builder("T").on_notice(hook).build().unwrap();
        assert!(client.ready(Duration::from_secs(30)));
        let tell = |status| client.shared().tell(Notice::Paused { status });
        tell(0);
        client.shared().storage_wake.notify_one();
        assert_eq!(hears.recv().unwrap(), Notice::Paused { status: 0 });
        let most = NOTICES as u16 * 3;
        (1..=most).for_each(tell);
        assert_eq!(client.shared().lock().notices.len(), NOTICES);
        drop(go);
        let last = std::iter::from_fn(|| hears.recv().ok()).take(NOTICES).last();
        assert_eq!(last, Some(Notice::Paused { status: most }));
    }

    #[test]
    fn what_clients_of_one_engine_have_heard_adds_up() {
        let client =
            Client::builder("T").signals(Signals { gpc: true, ..Signals::default() }).build().unwrap();
        client.shared().hear(Signals { host: true, ..Signals::default() });
        client.shared().hear(Signals::default());
        let heard = client.shared().lock().engine.signals();
        assert_eq!(heard, Signals { gpc: true, dnt: false, host: true });
    }

    #[test]
    fn what_nobody_waits_for_any_more_takes_no_place() {
        let client = Client::builder("T").build().unwrap();
        assert!(client.ready(Duration::from_secs(30)));
        for _ in 0..1_000 {
            client.sync(Duration::ZERO);
        }
        client.sync(Duration::from_secs(30));
        assert!(client.shared().lock().barriers.is_empty());
    }
}
