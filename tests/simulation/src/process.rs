//! One process: the engine that ships and the store that ships, with a driver that takes one step at a time.

use crate::disk::{SimDisk, SimLock};
use crate::flight::replay;
use crate::mishap::Mishap;
use crate::world::Laws;
use refrain::engine::{
    Also, Call, Config, ConsentError, Done, Effect, Engine, Entry, EventId, Input, Lane, Lifecycle, Notice,
    Now, Op, OutboxPermit, Outcome, Permit, RecordName, RecordRead, Request, Secret, Signals, Ticket,
};
use refrain::engine::{Answer, ConsentState};
use refrain::native::flight::{Contents, Recording};
use refrain::native::simulation::{Layout, Ledger, Store, is_choice};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

/// The longest wait that a server may ask for.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The data folder of all worlds.
pub fn folder() -> PathBuf {
    PathBuf::from("/data")
}

/// A request that waits to leave.
#[derive(Debug)]
pub enum Waiting {
    /// Records.
    Records(Permit<Request>),
    /// The erasure outbox.
    Outbox(OutboxPermit),
}

impl Waiting {
    /// Whether it is the outbox's.
    pub fn is_outbox(&self) -> bool {
        matches!(self, Self::Outbox(_))
    }
}

/// A request whose permit was redeemed: bytes are on their way.
#[derive(Debug)]
pub struct Open {
    /// Its number.
    pub op: Op,
    /// What is on its way.
    pub request: Request,
    /// Whether it is the outbox's.
    pub outbox: bool,
    /// Held until the last byte is out.
    pub sending: Option<SimLock>,
    /// Whether the engine has given it up: it may arrive, and be answered, all the same.
    pub cancelled: bool,
}

/// What a store has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// An append stands in it.
    Taken(Op),
    /// All that stands in it is durable.
    Synced,
    /// It has noted that records need no longer be kept.
    LetGo(Op),
    /// It could not change a record; or it could, and cannot tell.
    Unknown,
    /// It has read the consent record, of this epoch; 0 where there is none.
    Read(u64),
    /// It has deleted data.
    Wiped,
}

/// What came of trying to let a request leave.
#[derive(Debug, PartialEq, Eq)]
pub enum Departure {
    /// It is on its way: [`Process::open`] has it at the end.
    Left,
    /// The permit was refused, or a fence was not over.
    Refused,
    /// None waits.
    None,
}

/// A process on the data folder.
pub struct Process {
    /// The engine.
    pub engine: Engine,
    store: Store<SimDisk>,
    ledger: Ledger<SimDisk>,
    disk: SimDisk,
    /// Its place in the world, part of its random bits.
    number: u8,
    /// Processes that had the place before, part of its random bits.
    generation: u8,
    drawn: u16,
    /// Its clocks.
    pub now: Now,
    /// Its settings.
    pub limits: Config,
    /// Whether it does the steps of a choice before all else, and lets go of records after it has stored others, as the
    /// native driver does; or everything strictly in order.
    hurries: bool,
    /// Whether it was stopped (SIGSTOP).
    pub stopped: bool,
    /// Storage effects, in order.
    pub storage: VecDeque<Effect>,
    /// Requests that wait to leave, in order.
    pub waiting: VecDeque<(Op, Waiting)>,
    /// Requests on their way.
    pub open: Vec<Open>,
    /// Consent calls that have ended and were not looked at yet.
    pub settled: Vec<(Ticket, Result<(), ConsentError>)>,
    /// Appends that the last input asked for.
    pub asked: Vec<Op>,
    /// The acknowledgement that the last input asked for.
    pub lets_go: Option<Op>,
    /// What the store has done since it was last looked at.
    pub kept: Vec<Kept>,
    /// Records in requests that were answered by "delivered", and that the engine had not given up.
    pub delivered: u64,
    /// The last requests of a page that leaves.
    leaving: BTreeSet<Op>,
    /// Effects so far.
    pub effects: u64,
    /// What its engine is told, in worlds that are recorded.
    flight: Option<Recording>,
}

impl Process {
    /// A process that has just begun. Its engine is started.
    pub fn start(
        disk: &SimDisk,
        laws: &Laws,
        signals: Signals,
        now: Now,
        number: u8,
        generation: u8,
        recorded: bool,
    ) -> Self {
        let disk = disk.process();
        let layout = Layout::on(disk.clone(), folder(), "T").with_segments_of(laws.segment_bytes);
        let ledger = Ledger::new(Some(layout));
        let config = laws.config.clone();
        let limits = config.clone();
        let id = queue_id(number, generation);
        let flight = recorded
            .then(|| Recording::in_memory(Contents::Kept, &config, u64::from(id[0]) << 8 | u64::from(id[1])));
        let mut process = Self {
            engine: Engine::new(config).expect("a world's settings are sound"),
            store: Store::new(ledger.clone(), id),
            ledger,
            disk,
            number,
            generation,
            drawn: 0,
            now,
            limits,
            hurries: (number ^ generation) & 1 == 0,
            stopped: false,
            storage: VecDeque::new(),
            waiting: VecDeque::new(),
            open: Vec::new(),
            settled: Vec::new(),
            asked: Vec::new(),
            lets_go: None,
            kept: Vec::new(),
            delivered: 0,
            leaving: BTreeSet::new(),
            effects: 0,
            flight,
        };
        process.input(Input::Signals(signals));
        let secret = Secret(process.bits());
        process.input(Input::Start { secret });
        process
    }

    /// What was recorded of it replays, with contents and without.
    pub fn replays(&self) {
        let Some(flight) = &self.flight else { return };
        let (redacted, kept) = flight.texts();
        for text in [Some(redacted), kept].into_iter().flatten() {
            if let Err(fault) = replay(text.as_bytes(), |_, _| ()) {
                let line = text.lines().nth(fault.line - 1).unwrap_or_default();
                panic!("a recording goes another way: {fault}: {line}");
            }
        }
    }

    /// Kills it. The system takes back its locks; nothing it had in memory is left.
    pub fn kill(self) {
        self.replays();
        self.disk.kill();
    }

    /// After so many disk calls this goes wrong. Of a write so many quarters stand there.
    pub fn set_mishap(&self, calls: u32, mishap: Mishap, quarters: u64) {
        self.disk.fate().set(calls, mishap, quarters);
    }

    /// What is still to go wrong, and after how many disk calls.
    pub fn mishap(&self) -> Option<(u32, Mishap)> {
        self.disk.fate().to_come()
    }

    /// Nothing goes wrong any more.
    pub fn forget_mishap(&self) {
        self.disk.fate().forget_mishap();
    }

    /// After so many disk calls of its next step others have a turn.
    pub fn set_turn(&self, calls: u32, turn: Box<dyn FnOnce()>) {
        self.disk.fate().set_turn(calls, turn);
    }

    /// The others have no turn any more.
    pub fn forget_turn(&self) {
        self.disk.fate().forget_turn();
    }

    /// Whether it has died in the middle of a step.
    pub fn is_dead(&self) -> bool {
        !self.disk.is_alive()
    }

    /// Whether a look at the disk has failed since this was last asked.
    pub fn was_blind(&self) -> bool {
        self.disk.fate().was_blind()
    }

    /// Whether its next step begins with waiting for what another process is in the middle of.
    pub fn would_wait(&self) -> bool {
        let is_record_lock = |name: &str| name.ends_with(".lock") && name.matches('.').count() == 1;
        match self.next_step() {
            None | Some(Effect::List { .. }) => false,
            Some(Effect::Fence { .. }) => self.disk.is_locked(|name| name.ends_with(".send.lock"), true),
            Some(_) => self.disk.is_locked(is_record_lock, false),
        }
    }

    /// Whoever waits for something is woken for it, and not after the longest wait that a server may ask for.
    pub fn is_woken(&self, has_read: impl Fn() -> bool) {
        let busy = !(self.storage.is_empty() && self.waiting.is_empty() && self.open.is_empty());
        if self.stopped || busy {
            return;
        }
        let (engine, stats) = (&self.engine, self.engine.stats());
        let open = engine.erasure_outbox().iter().any(|entry| !entry.state.is_final());
        if stats.queued > 0 || stats.held > 0 || open || !engine.is_settled() {
            let due = engine.next_wakeup();
            let soon = due.is_some_and(|due| due <= self.now.mono_ms + DAY_MS);
            // What a record had asked for that was deleted waits for the next one, and until that is read here.
            let waits_for_record = open && stats.queued + stats.held == 0 && engine.is_settled();
            let soon = soon || waits_for_record && !has_read();
            assert!(soon, "liveness: something waits, and nothing wakes it: {due:?}, {stats:?}");
        }
    }

    /// What tells this process from others: what it holds in memory, and what it is about to do.
    pub fn fingerprint(&self) -> String {
        let wants = (&self.storage, &self.waiting, &self.open);
        format!(
            "{} {wants:?} {:?} {} {:?}",
            self.engine.fingerprint(),
            self.store,
            self.stopped,
            self.mishap()
        )
    }

    /// Bits that no other process draws, and this one only once.
    pub fn bits(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let [low, high] = self.drawn.to_le_bytes();
        let mut bits = [0xA5; 16];
        bits[..4].copy_from_slice(&[self.number, self.generation, low, high]);
        bits
    }

    /// Hands an input to the engine and sorts what it wants done.
    pub fn input(&mut self, input: Input<'_>) -> Outcome {
        self.asked.clear();
        self.lets_go = None;
        let leaves = matches!(input, Input::Lifecycle(Lifecycle::Leaving));
        if let Some(flight) = &mut self.flight {
            flight.input(self.now, &input);
        }
        let effects = self.engine.handle(self.now, input);
        let outcome = effects.outcome();
        for effect in effects {
            self.effects += 1;
            if let Some(flight) = &mut self.flight {
                flight.effect(&effect);
            }
            match effect {
                Effect::Send { op, permit } => {
                    if leaves {
                        self.leaving.insert(op);
                    }
                    self.waiting.push_back((op, Waiting::Records(*permit)));
                }
                Effect::SendErasure { op, permit } => self.waiting.push_back((op, Waiting::Outbox(*permit))),
                Effect::Cancel { op } => {
                    self.waiting.retain(|(other, _)| *other != op);
                    cancel(&mut self.open, op, self.hurries);
                }
                Effect::Notify(Notice::Settled { ticket, result }) => self.settled.push((ticket, result)),
                Effect::Notify(_) => {}
                effect => {
                    match &effect {
                        Effect::Append { op, .. } => self.asked.push(*op),
                        Effect::Acknowledge { op, .. } => self.lets_go = Some(*op),
                        _ => {}
                    }
                    self.storage.push_back(effect);
                }
            }
        }
        if let Some(flight) = &mut self.flight {
            flight.end(&mut self.engine);
        }
        let stats = self.engine.stats();
        assert!(stats.balance(), "C15: the books do not balance: {stats:?}");
        assert_eq!(stats.delivered, self.delivered, "C15: the collector has answered otherwise: {stats:?}");
        outcome
    }

    /// A call of the app.
    pub fn call<'c>(&mut self, make: impl FnOnce([u8; 16]) -> Call<'c>) -> Outcome {
        let bits = self.bits();
        self.input(Input::Call(make(bits)))
    }

    /// An event.
    pub fn track(&mut self, name: &str, properties: &str) -> Outcome {
        let id = EventId(self.bits());
        self.input(Input::Call(Call::track(name, properties, id)))
    }

    /// The person agrees. The ticket, and the id of what announces it.
    pub fn opt_in(&mut self) -> (Ticket, String) {
        let (id, secret) = (EventId(self.bits()), Secret(self.bits()));
        (ticket(self.input(Input::OptIn { id, secret })), id.to_hex())
    }

    /// The person objects.
    pub fn opt_out(&mut self, also: Also) -> Ticket {
        let id = EventId(self.bits());
        ticket(self.input(Input::OptOut { also, id }))
    }

    /// The app has changed its state.
    pub fn lifecycle(&mut self, lifecycle: Lifecycle) {
        self.input(Input::Lifecycle(lifecycle));
    }

    /// Ticks.
    pub fn tick(&mut self) {
        let secret = Secret(self.bits());
        self.input(Input::Tick { secret });
    }

    /// Looks for what other processes have changed.
    pub fn watch(&mut self) {
        let changes = self.store.changes();
        for (name, read) in if self.is_dead() { Vec::new() } else { changes } {
            self.input(Input::RecordChanged { name, read });
        }
    }

    /// The end of the name of its own queue's folder.
    pub fn queue_name(&self) -> String {
        let id = queue_id(self.number, self.generation);
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The consent record as it reads now.
    pub fn consent_read(&self) -> ConsentState {
        ConsentState::of(&self.ledger.read(RecordName::Consent))
    }

    /// Where the next storage effect stands.
    fn next_place(&self) -> usize {
        let choice = self.storage.iter().position(is_choice).filter(|_| self.hurries);
        choice.unwrap_or_default()
    }

    /// The next storage effect.
    pub fn next_step(&self) -> Option<&Effect> {
        self.storage.get(self.next_place())
    }

    /// Executes the next storage effect, or the next appends together. `false` if there is none, or the process has died
    /// meanwhile: then nobody has seen how it ended.
    pub fn step(&mut self) -> bool {
        if self.is_dead() {
            return false;
        }
        let Some(effect) = self.storage.remove(self.next_place()) else { return false };
        let (op, done) = match effect {
            Effect::Append { op, permit } => {
                self.keep(op, permit);
                return !self.is_dead();
            }
            Effect::Open { op } => {
                let done = self.store.open();
                if let Done::Opened { consent, .. } = &done
                    && !matches!(consent, RecordRead::Unreadable)
                {
                    let epoch = ConsentState::of(consent).record().map_or(0, |record| record.epoch);
                    self.kept.push(Kept::Read(epoch));
                }
                (op, done)
            }
            Effect::Recover { op, epoch } => (op, self.store.recover(epoch)),
            Effect::Amend { op, amendment } => {
                let done = self.store.amend(amendment);
                if matches!(done, Done::Failed(_)) {
                    self.kept.push(Kept::Unknown);
                }
                (op, done)
            }
            Effect::Acknowledge { op, records } => {
                let done = self.store.acknowledge(&records);
                self.let_go(op, &done);
                (op, done)
            }
            Effect::Sync { op } => (op, self.sync()),
            Effect::Fence { op } => (op, self.store.fence()),
            Effect::Wipe { op, before, scope } => {
                self.kept.push(Kept::Wiped);
                (op, self.store.wipe(before, scope))
            }
            Effect::List { op } => (op, self.store.list()),
            Effect::Send { .. } | Effect::SendErasure { .. } | Effect::Cancel { .. } | Effect::Notify(_) => {
                unreachable!("sorted out by `input`")
            }
        };
        if self.is_dead() {
            return false;
        }
        self.input(Input::Done { op, result: done });
        true
    }

    /// Appends an entry, and those that stand behind it.
    fn keep(&mut self, op: Op, permit: Permit<Entry>) {
        let (mut ops, mut permits) = (vec![op], vec![permit]);
        let (mut acknowledges, mut gone) = (Vec::new(), Vec::new());
        while let Some(effect) = self.storage.pop_front() {
            match effect {
                Effect::Append { op, permit } => {
                    ops.push(op);
                    permits.push(permit);
                }
                Effect::Acknowledge { op, mut records } if self.hurries => {
                    acknowledges.push(op);
                    gone.append(&mut records);
                }
                other => {
                    self.storage.push_front(other);
                    break;
                }
            }
        }
        let results = self.store.append(permits);
        if self.is_dead() {
            return;
        }
        for (op, result) in ops.into_iter().zip(results) {
            if matches!(result, Done::Stored) {
                self.kept.push(Kept::Taken(op));
            }
            self.input(Input::Done { op, result });
        }
        if !acknowledges.is_empty() {
            let fault = match self.store.acknowledge(&gone) {
                Done::Failed(fault) => Some(fault),
                _ => None,
            };
            if self.is_dead() {
                return;
            }
            for op in acknowledges {
                let result = fault.map_or(Done::Stored, Done::Failed);
                self.let_go(op, &result);
                self.input(Input::Done { op, result });
            }
        }
    }

    fn let_go(&mut self, op: Op, done: &Done) {
        if matches!(done, Done::Stored) {
            self.kept.push(Kept::LetGo(op));
        }
    }

    fn sync(&mut self) -> Done {
        let done = self.store.sync();
        if matches!(done, Done::Stored) {
            self.kept.push(Kept::Synced);
        }
        done
    }

    /// Redeems the permit of the oldest request that waits, under the sending lock.
    pub fn depart(&mut self) -> Departure {
        let Some((op, waiting)) = self.waiting.pop_front() else { return Departure::None };
        let entered = self.ledger.enter();
        if self.is_dead() {
            return Departure::None;
        }
        let Ok((sending, read)) = entered else {
            self.input(Input::Done { op, result: Done::Answered(Answer::Unreachable) });
            return Departure::Refused;
        };
        let state = ConsentState::of(&read);
        let (redeemed, outbox) = match waiting {
            Waiting::Records(permit) => (permit.redeem(&state), false),
            Waiting::Outbox(permit) => (permit.redeem(&state), true),
        };
        match redeemed {
            Ok(request) => {
                self.open.push(Open { op, request, outbox, sending, cancelled: false });
                Departure::Left
            }
            Err(_) => {
                drop(sending);
                self.refused(op, read);
                Departure::Refused
            }
        }
    }

    fn refused(&mut self, op: Op, read: RecordRead) {
        self.input(Input::Done { op, result: Done::Refused(read) });
    }

    /// The answer to a request on its way.
    pub fn answered(&mut self, at: usize, answer: Answer) {
        let open = self.open.remove(at);
        let delivers = matches!(&answer, Answer::Response { status: 200, body, .. } if body == "1");
        if delivers && !open.outbox && !open.cancelled {
            self.delivered += open.request.records as u64;
        }
        self.input(Input::Done { op: open.op, result: Done::Answered(answer) });
    }

    /// Requests of a lane that wait or are on their way, but for the last ones of a leaving page.
    pub fn in_lane(&self, lane: Lane) -> usize {
        let path = |path: &str| {
            let wanted = match lane {
                Lane::Events => "/track/",
                Lane::Profiles => "/engage/",
                Lane::Groups => "/groups/",
            };
            path.starts_with(wanted)
        };
        let waiting = self.waiting.iter().filter(|(op, waiting)| match waiting {
            Waiting::Records(permit) => path(permit.path()) && !self.leaving.contains(op),
            Waiting::Outbox(_) => false,
        });
        let lives = |open: &&Open| !open.outbox && !open.request.leaving && !open.cancelled;
        let open = self.open.iter().filter(lives).filter(|open| path(&open.request.path));
        waiting.count() + open.count()
    }
}

/// Breaks a request off, as far as that can be done. Where the transport can be stopped, one that has not left whole arrives
/// as nothing; elsewhere it goes on leaving, and a fence waits for it. What has left may arrive, and be answered.
fn cancel(open: &mut Vec<Open>, op: Op, stops: bool) {
    if stops {
        open.retain(|open| open.op != op || open.sending.is_none());
    }
    open.iter_mut().filter(|open| open.op == op).for_each(|open| open.cancelled = true);
}

/// The id in the name of a process's own queue.
fn queue_id(number: u8, generation: u8) -> [u8; 8] {
    [number, generation, 0, 0, 0, 0, 0, 1]
}

fn ticket(outcome: Outcome) -> Ticket {
    match outcome {
        Outcome::Pending(ticket) => ticket,
        other => panic!("a consent call answers with {other:?}"),
    }
}
