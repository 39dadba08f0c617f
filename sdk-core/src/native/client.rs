//! The handle that Rust programs hold.

#[cfg(feature = "flight-recorder")]
use super::audit;
use super::audit::Audit;
use super::build_error::BuildError;
use super::builder::Builder;
use super::clock::Clock;
use super::entropy::{Entropy, draw_array};
use super::filter::{Filter, Subject};
#[cfg(feature = "flight-recorder")]
use super::flight::{Ended, Recording};
use super::registry::Terms;
use super::registry::{self, Claim};
use super::request_thread::RequestThread;
use super::settings::Settings;
use super::shared::{Core, Shared, State};
use super::storage_thread::StorageThread;
use super::store::{FENCE, Layout, Ledger, Store};
use super::transport::Transport;
use crate::engine::{
    Also, Call, CallKind, Config, Consent, ConsentError, ConsentState, Decision, DenyReason, Engine,
    FlushState, Input, Lifecycle, Notice, Outcome, RecordName, Rejection, Signals, Stats, StoreFault, Ticket,
    Verdict,
};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long a question waits for the data folder to be read. On a disk that is slower than that the answer is what
/// is known: nothing is collected yet.
const OPENING: Duration = Duration::from_secs(10);
/// How long a question in the background waits for two small files to be read. On a disk that is slower than that the
/// answer is what was known.
const LOOKING: Duration = Duration::from_secs(1);

/// A client for one project. Cheap to clone; clones are the same client.
///
/// Calls that record something never panic and never block on disk or network; their result says what became of the
/// record. When the last clone is dropped, the client's threads still write down what was recorded, but nobody waits
/// for them: a program that is about to exit calls [`Client::shutdown`].
///
/// The client's threads do not survive a fork. In the child every call is refused, and none of the parent's random
/// numbers are used; make a new client there. [`Client::consent`] and [`Client::audit`] still read the data folder. A
/// child that lives on shares the parent's file locks (`flock`): if the parent is killed, its queue counts as owned,
/// and nobody else delivers it, until the child ends or executes another program.
///
/// ```no_run
/// use refrain::native::{Client, OptOut};
/// use serde_json::json;
/// use std::time::Duration;
///
/// let client = Client::builder("YOUR_TOKEN").data_dir("/var/lib/shop/refrain").build()?;
/// client.track("Signed up", json!({"plan": "pro"})); // Held until the person has decided.
/// client.opt_in()?;
/// client.flush(Duration::from_secs(5));
/// client.opt_out(OptOut::default().erase(true))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<Handle>);

/// What one call of `build()` has made.
struct Handle {
    shared: Arc<Shared>,
    ledger: Ledger,
    filter: Option<Filter>,
    closed: AtomicBool,
}

/// How a person objects: what else to ask the collector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "pass it to opt_out()"]
pub struct OptOut {
    also: Also,
}

impl OptOut {
    /// Also ask the collector to erase what this device has sent (C12). Default: no.
    ///
    /// This erases whatever carries this device's id, and nothing else. What the same person sent from other devices is
    /// for the collector's operator to erase. The same goes for what carries an id that the device had before a
    /// [`Client::reset`], a [`Client::switch_user`] or an earlier objection, since that id is forgotten. After an
    /// objection there is nothing left to ask for. Likewise, where a signal or a default of "no" has already purged the
    /// device, nothing is asked for and [`Client::opt_out`] succeeds.
    ///
    /// The request is part of the consent record, and stays there until it is answered. So without a
    /// [data folder](Builder::data_dir) nothing is asked for, and [`Client::opt_out`] fails.
    pub fn erase(mut self, erase: bool) -> Self {
        self.also.erase = erase;
        self
    }

    /// Also ask the collector to delete the profiles of this device and of its user (C12). Default: no. This erases no
    /// events. It also needs a data folder.
    pub fn delete_profile(mut self, delete: bool) -> Self {
        self.also.delete_profile = delete;
        self
    }
}

impl Client {
    /// Starts building a client for the project with this token.
    pub fn builder(token: impl Into<String>) -> Builder {
        Builder::new(Settings::new(token))
    }

    /// Starts building a client from settings, for example from a configuration file.
    pub fn builder_from(settings: Settings) -> Builder {
        Builder::new(settings)
    }

    /// The builder's settings have been checked, and are what `config` and `endpoint` say.
    pub(super) fn open(builder: Builder, config: Config, endpoint: String) -> Result<Self, BuildError> {
        #[cfg(feature = "flight-recorder")]
        let recording = builder.flight.map(|flight| flight.begin(&config));
        let Builder {
            settings,
            signals,
            transport,
            transport_yields,
            filter,
            on_notice,
            on_end,
            #[cfg(feature = "testing")]
            world,
            ..
        } = builder;
        let own = match (&transport, &on_notice) {
            _ if transport_yields => None,
            (Some(_), _) => Some("transport"),
            (None, Some(_)) => Some("on_notice"),
            (None, None) => None,
        };
        let terms = Terms::new(&settings, &config);
        let room = config.queue_limit_bytes;
        let folder = settings.data_dir.as_deref().map(registry::absolute);
        #[cfg(feature = "flight-recorder")]
        let store = folder.as_ref().map(|folder| registry::key(folder, &settings.token));
        let ledger = Ledger::new(folder.as_ref().map(|folder| Layout::new(folder.clone(), &settings.token)));
        let make = || {
            let engine = Engine::new(config).map_err(BuildError::Config)?;
            #[cfg(feature = "testing")]
            let (clock, entropy) = match &world {
                Some(world) => (world.clock(), world.entropy()),
                None => (Clock::system(), Entropy::new()),
            };
            #[cfg(not(feature = "testing"))]
            let (clock, entropy) = (Clock::system(), Entropy::new());
            let shared = Shared::new(engine, clock, entropy, on_notice, on_end);
            #[cfg(feature = "flight-recorder")]
            {
                let mut core = shared.lock();
                core.flight = recording;
                core.ended_flights = store.map(Ended::of);
            }
            // Before another client may join.
            shared.hear(signals);
            Ok(Arc::new(shared))
        };
        let claim = match &folder {
            Some(folder) => registry::claim(folder, terms, own, make)?,
            None => Claim::New { shared: make()?, predecessor: None },
        };
        let client = |shared| {
            let ledger = ledger.clone();
            Self(Arc::new(Handle { shared, ledger, filter, closed: AtomicBool::new(false) }))
        };
        match claim {
            Claim::Shared(shared) => {
                shared.hear(signals);
                Ok(client(shared))
            }
            Claim::New { shared, predecessor } => {
                let transport = match transport {
                    Some(transport) => transport,
                    None => built_in_transport()?,
                };
                if let Some(variable) = transport.unusable_proxy() {
                    shared.tell(Notice::UnusableProxy { variable });
                }
                let started = start(&shared, predecessor, transport, &ledger, endpoint, room);
                if started.is_err() {
                    shared.enter_state(State::Dead);
                }
                started.map(|()| client(shared)).map_err(|_| BuildError::Threads)
            }
        }
    }

    /// Makes any call of the app from its parts, as bindings do; see [`Call`] for what they are. The methods named
    /// after the kinds of call are clearer.
    pub fn call(&self, kind: CallKind, name: &str, text: &str) -> Outcome {
        let subject = match kind {
            CallKind::Track => Subject::Event(name),
            CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession => Subject::Registered,
            CallKind::Profile | CallKind::Group => Subject::Profile,
            _ => return self.make(kind, name, text),
        };
        let Some(filter) = &self.0.filter else { return self.make(kind, name, text) };
        match catch_unwind(AssertUnwindSafe(|| filter(subject, text))) {
            Ok(Some(text)) => self.make(kind, name, &text),
            _ => self.refuse(Rejection::Filtered),
        }
    }

    /// The person agrees. Returns when the choice is on disk and records are accepted.
    ///
    /// # Errors
    /// The choice could not be written; unless a refusal is on record, it holds for this process all the same. Without
    /// a data folder, or over a record that cannot be read (which is left as it is), the choice also holds for this
    /// process only, but that is not an error. A client that [is closed](Self::is_closed) or is in a forked child
    /// accepts no choice.
    pub fn opt_in(&self) -> Result<(), ConsentError> {
        match self.input(|entropy| Input::OptIn { id: entropy.event_id(), secret: entropy.secret() }) {
            Outcome::Pending(ticket) => self.settle(ticket, || ()),
            Outcome::Rejected(_) => Err(ConsentError::NotRecorded(StoreFault::Closed)),
            _ => Ok(()),
        }
    }

    /// The person objects. When this returns, nothing is collected any more, nothing that was recorded leaves any more,
    /// and everything that was kept is gone (C4, C5); only the choice remains, and the request to erase if one was
    /// asked for. It waits for the disk, and up to 5 s for a sender that was suspended in the middle of a request, but
    /// never for an answer from the network.
    ///
    /// # Errors
    /// Which part of the withdrawal could not be carried out. Collection in this process has stopped even so. Without a
    /// data folder, and in a forked child, it is always [`ConsentError::NotRecorded`]: the choice is not remembered, and any
    /// erasure or deletion that was to go with it is not asked for. A client that [is closed](Self::is_closed) still
    /// accepts a refusal.
    pub fn opt_out(&self, how: OptOut) -> Result<(), ConsentError> {
        let shared = &self.0.shared;
        let outcome = shared.call(|entropy| Input::OptOut { also: how.also, id: entropy.event_id() });
        let Outcome::Pending(ticket) = outcome else {
            return Err(ConsentError::NotRecorded(StoreFault::Closed));
        };
        let ended = self.settle(ticket, || {
            let store = Store::new(self.0.ledger.clone(), draw_array());
            let thread = StorageThread::new(Arc::clone(shared), store, None);
            let _ = catch_unwind(AssertUnwindSafe(|| thread.work_off()));
        });
        if !matches!(ended, Ok(()) | Err(ConsentError::NotFenced(_))) {
            // There may have been no fence. Where it was not passed, that is what the app hears.
            shared.on_its_way.wait_over(FENCE);
        }
        ended
    }

    /// Waits for the end of a consent call. Where there is nobody any more to carry it out, `carry_out` may.
    fn settle(&self, ticket: Ticket, carry_out: impl FnOnce()) -> Result<(), ConsentError> {
        let wait = || self.0.shared.wait_settled(ticket);
        let carried_out = || {
            // Of two that come at once one carries out what both have said.
            let _alone = self.0.shared.carry_out_alone();
            wait().or_else(|| {
                carry_out();
                wait()
            })
        };
        wait().or_else(carried_out).unwrap_or(Err(ConsentError::NotRecorded(StoreFault::Other)))
    }

    /// Waits until the data folder has been read, so that [`consent`](Self::consent) and the ids reflect what it holds.
    /// Returns `false` on timeout. Changes nothing (C10).
    pub fn ready(&self, timeout: Duration) -> bool {
        !self.0.shared.is_forked() && self.0.shared.wait_ready(timeout)
    }

    /// Where consent stands. Changes nothing (C10). Right after [`Builder::build`] it waits until the data folder has
    /// been read, which takes some milliseconds; so do the other methods that ask for remembered state. In the
    /// [background](Lifecycle::Background) they also check, at most once a second, for changes by other processes.
    ///
    /// After a shutdown, and in a forked child, nothing is collected; the decision is then the one in the data folder.
    /// If a forked child cannot find one, it is a refusal.
    pub fn consent(&self) -> Consent {
        let unavailable = Verdict::Deny(DenyReason::StoreUnavailable);
        let Some(core) = self.core_when(|core| core.engine.is_open()) else {
            let decision = self.recorded().or_else(|| self.0.shared.known_at_fork());
            let decision = decision.unwrap_or(Decision::Denied);
            return Consent { decision, verdict: denied(decision) };
        };
        let (consent, state) = (core.engine.consent(), core.state);
        drop(core);
        match state {
            State::Running => consent,
            State::Dead => Consent { verdict: unavailable, ..consent },
            State::Stopping | State::Ended => match self.recorded() {
                Some(decision) if decision != consent.decision => {
                    Consent { decision, verdict: denied(decision) }
                }
                _ => consent,
            },
        }
    }

    /// Whether the person has refused, as [`consent`](Self::consent) says it. Changes nothing (C10).
    pub fn has_opted_out(&self) -> bool {
        self.consent().decision == Decision::Denied
    }

    /// Counts what became of every record since the client was made (C15).
    pub fn stats(&self) -> Stats {
        let Some(core) = self.core() else { return Stats::default() };
        let mut stats = core.engine.stats();
        stats.rejected += core.lost();
        stats
    }

    /// Counts a call in [`Stats::rejected`] that never got this far: bindings reject what cannot be expressed as text.
    pub fn count_rejected(&self) {
        if let Some(mut core) = self.core() {
            core.count_lost();
        }
    }

    /// Lists everything that is held now, in memory and in the data folder (C14). Reads the folder on the calling
    /// thread.
    pub fn audit(&self) -> Audit {
        let mut audit = Audit::new(self.consent());
        if let Some(core) = self.core() {
            audit.add_memory(&core.engine, self.0.shared.clock.now().mono_ms);
        }
        audit.add_files(self.0.ledger.listing());
        #[cfg(feature = "flight-recorder")]
        {
            let mut paths = Vec::new();
            if let Some(core) = self.core() {
                paths.extend(core.ended_flights.iter().flat_map(|ended| ended.paths(false)));
                // It may be one of those.
                paths.extend(core.flight.iter().flat_map(Recording::paths));
                paths.sort();
                paths.dedup();
            }
            audit.files.extend(audit::recordings(paths));
        }
        audit
    }

    /// The `distinct_id` that records carry; `None` while no identifier exists.
    pub fn distinct_id(&self) -> Option<String> {
        self.core_when(|core| core.is_named(self.0.shared.clock.now()))?.engine.distinct_id()
    }

    /// The device id; `None` while none exists.
    pub fn device_id(&self) -> Option<String> {
        self.core_when(|core| core.is_named(self.0.shared.clock.now()))?.engine.device_id()
    }

    /// Sets what the environment says about tracking. This replaces all signals: one that is left out is withdrawn.
    pub fn signals(&self, signals: Signals) {
        self.input(|_| Input::Signals(signals));
    }

    /// Tells the client that the app has gone to the background or come back, or that the network has.
    pub fn lifecycle(&self, lifecycle: Lifecycle) {
        self.input(|_| Input::Lifecycle(lifecycle));
    }

    /// Sends what is queued without waiting for the interval. Waits until it is delivered, a request has failed, or the
    /// timeout expires; it does not wait if the collector has asked for a longer pause than that. What is left is kept.
    /// Also makes durable what was written.
    pub fn flush(&self, timeout: Duration) -> FlushState {
        let timeout = self.0.shared.clock.patience(timeout);
        let start = Instant::now();
        // What is held while the folder is being opened is to be sent too.
        self.ready(timeout);
        let outcome = self.input(|_| Input::Flush);
        self.sync(timeout.saturating_sub(start.elapsed()));
        let Outcome::Flushing(mark) = outcome else { return FlushState::Underway };
        let state = self.0.shared.wait_flushed(mark, timeout.saturating_sub(start.elapsed()));
        // Until it is written down that they are, what is delivered would be sent again by the next process.
        let noted = self.0.shared.wait_stored(timeout.saturating_sub(start.elapsed()));
        if noted.is_none() && state == FlushState::Done { FlushState::Underway } else { state }
    }

    /// Waits until the data folder has been read and everything accepted so far is on disk, safe from a crash of the
    /// process and of the machine. Returns `false` if the store did not take all of it, or not in time.
    pub fn sync(&self, timeout: Duration) -> bool {
        !self.0.shared.is_forked() && self.0.shared.wait_stored(timeout) == Some(true)
    }

    /// Shuts this client down. It makes one last attempt to deliver records and the requests in the erasure outbox, and
    /// writes everything down. If no other client shares the folder, its threads then end and the folder is released.
    /// Later calls are refused. All of that takes at most `timeout`. The result is that of [`flush`](Self::flush).
    pub fn shutdown(&self, timeout: Duration) -> FlushState {
        let timeout = self.0.shared.clock.patience(timeout);
        let start = Instant::now();
        let left = || timeout.saturating_sub(start.elapsed());
        let state = self.flush(timeout);
        if !self.is_closed() && !self.0.shared.is_forked() {
            self.0.shared.wait_erased(left());
        }
        if self.close(left) {
            self.0.shared.on_end.iter().for_each(|end| end());
        }
        state
    }

    /// Whether this client has been shut down, so that every call is refused.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Ends this client without another attempt to deliver. Whether it was the last one on its folder.
    pub(super) fn close(&self, timeout: impl FnOnce() -> Duration) -> bool {
        let last = !self.0.closed.swap(true, Ordering::SeqCst) && self.0.shared.release();
        if last {
            self.0.shared.wait_ended(timeout());
        }
        last
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn input<'a>(&self, make: impl FnOnce(&mut Entropy) -> Input<'a>) -> Outcome {
        if self.is_closed() {
            return Outcome::Rejected(Rejection::Closed);
        }
        self.0.shared.call(make)
    }

    /// The engine; `None` in a forked child, where another thread may have held its lock for ever.
    fn core(&self) -> Option<MutexGuard<'_, Core>> {
        (!self.0.shared.is_forked()).then(|| self.0.shared.lock())
    }

    /// [`Client::core`], when it has got so far, and knows what other processes have changed.
    fn core_when(&self, ready: impl Fn(&Core) -> bool) -> Option<MutexGuard<'_, Core>> {
        let core = self.core()?;
        let unwatched = core.is_unwatched(self.0.shared.clock.now());
        if ready(&core) && !unwatched {
            return Some(core);
        }
        drop(core);
        if unwatched {
            self.0.shared.look(LOOKING);
        }
        self.0.shared.wait(OPENING, |core| ready(core));
        self.core()
    }

    /// The decision that stands in the data folder now, for a client that does not follow it any more; `None` where none
    /// can be read.
    fn recorded(&self) -> Option<Decision> {
        match ConsentState::of(&self.0.ledger.read(RecordName::Consent)) {
            ConsentState::Found(record) => Some(record.decision),
            ConsentState::Absent | ConsentState::Unreadable => None,
        }
    }

    fn make(&self, kind: CallKind, name: &str, text: &str) -> Outcome {
        if self.is_closed() {
            return self.refuse(Rejection::Closed);
        }
        self.input(|entropy| Input::Call(Call::new(kind, name, text, entropy.bits())))
    }

    /// Refuses a call, and counts it.
    pub(super) fn refuse(&self, rejection: Rejection) -> Outcome {
        self.count_rejected();
        Outcome::Rejected(rejection)
    }
}

/// The verdict of a client that does not serve any more.
fn denied(decision: Decision) -> Verdict {
    Verdict::Deny(match decision {
        Decision::Denied => DenyReason::Person,
        _ => DenyReason::StoreUnavailable,
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.shared.release();
        }
    }
}

fn start(
    shared: &Arc<Shared>,
    predecessor: Option<Arc<Shared>>,
    transport: Box<dyn Transport>,
    ledger: &Ledger,
    endpoint: String,
    room: u64,
) -> std::io::Result<()> {
    let breaker = transport.breaker();
    let store_ledger = ledger.clone();
    let storage = Arc::clone(shared);
    spawn("refrain-storage", shared, move || {
        let store = Store::new(store_ledger, draw_array()).with_room(room);
        StorageThread::new(storage, store, breaker).run(predecessor);
    })?;
    let (ledger, served) = (ledger.clone(), Arc::clone(shared));
    let requests = RequestThread { shared: served, transport, ledger, endpoint };
    spawn("refrain-request", shared, move || requests.run())
}

/// A thread whose panic turns the client into one that refuses everything.
fn spawn(name: &str, shared: &Arc<Shared>, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let body = move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            shared.enter_state(State::Dead);
        }
    };
    thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

#[cfg(feature = "http")]
fn built_in_transport() -> Result<Box<dyn Transport>, BuildError> {
    Ok(Box::new(super::http::HttpTransport::new()))
}

#[cfg(not(feature = "http"))]
fn built_in_transport() -> Result<Box<dyn Transport>, BuildError> {
    Err(BuildError::NoTransport)
}
