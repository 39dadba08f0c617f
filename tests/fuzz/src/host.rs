//! The smallest driver around an engine: a store of three variables, and requests that wait until they are answered.
//! After every input it checks what must hold whatever happens.

use refrain::engine::{
    Amended, Config, ConsentState, Decision, DenyReason, Done, Effect, Engine, Entry, Input, Item, ItemKind,
    Now, Op, OutboxPermit, Outcome, Permit, RecordId, RecordName, RecordRead, Recovered, RecoveredRecord,
    Refused, Request, Secret, StoreFault, Verdict, identity_is_before, wipe_before,
};
use std::collections::VecDeque;

/// 2026-09-01.
pub const WALL_MS: u64 = 1_788_220_800_000;
/// More storage effects in a row than any input leads to.
const MANY: usize = 1_000;

/// A request whose permit was not redeemed yet.
#[derive(Debug)]
pub enum Waiting {
    /// Records.
    Records(Permit<Request>),
    /// The erasure outbox.
    Outbox(OutboxPermit),
}

/// A driver.
pub struct Host {
    /// The engine.
    pub engine: Engine,
    /// Its clocks.
    pub now: Now,
    /// The consent record in the store.
    pub consent: RecordRead,
    /// The identity record in the store.
    pub identity: RecordRead,
    /// The queue in the store: epoch, number, text.
    pub records: Vec<(u64, u64, String)>,
    /// The `Retry-After` in the store, with its epoch.
    pub not_before: Option<(u64, u64)>,
    /// Storage effects, in order.
    pub storage: VecDeque<Effect>,
    /// Requests that wait to leave, in order.
    pub waiting: VecDeque<(Op, Waiting)>,
    /// Requests on their way, and whether they are the outbox's.
    pub open: VecDeque<(Op, Request, bool)>,
    /// Effects so far.
    pub effects: u64,
    /// Somebody has agreed or objected, here or elsewhere, or need not be asked: something may be written.
    may_write: bool,
    drawn: u64,
}

impl Host {
    /// A driver whose engine was not started.
    pub fn new(config: Config, consent: RecordRead) -> Self {
        Self {
            engine: Engine::new(config).expect("the settings are sound"),
            now: Now { wall_ms: WALL_MS, mono_ms: 1_000 },
            consent,
            identity: RecordRead::Absent,
            records: Vec::new(),
            not_before: None,
            storage: VecDeque::new(),
            waiting: VecDeque::new(),
            open: VecDeque::new(),
            effects: 0,
            may_write: false,
            drawn: 0,
        }
    }

    /// Starts the engine and executes what it wants.
    pub fn start(mut self) -> Self {
        let secret = Secret(self.bits());
        self.input(Input::Start { secret });
        self.run();
        self
    }

    /// Bits that are drawn once.
    pub fn bits(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let mut bits = [0xA5; 16];
        bits[..8].copy_from_slice(&self.drawn.to_le_bytes());
        bits
    }

    /// Ticks.
    pub fn tick(&mut self) {
        let secret = Secret(self.bits());
        self.input(Input::Tick { secret });
    }

    /// Hands over an input and sorts what is to be done about it.
    pub fn input(&mut self, input: Input<'_>) -> Outcome {
        let decided = |engine: &Engine| {
            let consent = engine.consent();
            consent.verdict == Verdict::Allow || consent.decision != Decision::Unset
        };
        self.may_write |= decided(&self.engine);
        let effects = self.engine.handle(self.now, input);
        let outcome = effects.outcome();
        let effects: Vec<Effect> = effects.collect();
        self.may_write |= decided(&self.engine);
        self.effects += effects.len() as u64;
        assert!(effects.len() < MANY, "an input leads to {} effects", effects.len());
        let verdict = self.engine.consent().verdict;
        for effect in &effects {
            self.check(verdict, effect);
        }
        for effect in effects {
            match effect {
                Effect::Send { op, permit } => self.waiting.push_back((op, Waiting::Records(*permit))),
                Effect::SendErasure { op, permit } => self.waiting.push_back((op, Waiting::Outbox(*permit))),
                Effect::Cancel { op } => {
                    self.waiting.retain(|(other, _)| *other != op);
                    self.open.retain(|(other, ..)| *other != op);
                }
                Effect::Notify(_) => {}
                effect => self.storage.push_back(effect),
            }
        }
        let stats = self.engine.stats();
        assert!(stats.balance(), "C15: the books do not balance: {stats:?}");
        outcome
    }

    /// C3, C13: what a refusal does not allow, and what nobody has asked for.
    fn check(&self, verdict: Verdict, effect: &Effect) {
        // What cannot be read may be readable in a moment, and until then opens no permit.
        let in_a_moment = verdict == Verdict::Deny(DenyReason::StoreUnavailable);
        let is_data = match effect {
            Effect::Send { .. } | Effect::Recover { .. } => true,
            Effect::Append { .. } => !in_a_moment,
            Effect::Amend { amendment, .. } => amendment.record() == RecordName::Identity && !in_a_moment,
            _ => false,
        };
        assert!(!is_data || !matches!(verdict, Verdict::Deny(_)), "C13: {verdict:?}, and {effect:?}");
        let writes = match effect {
            Effect::Amend { .. } => self.engine.erasure_outbox().is_empty(),
            Effect::Append { .. } | Effect::Acknowledge { .. } | Effect::Sync { .. } => true,
            Effect::Recover { .. } => true,
            _ => false,
        };
        assert!(!writes || self.may_write, "C3: nobody has decided, and {effect:?}");
    }

    /// Executes storage effects until none is left.
    pub fn run(&mut self) {
        for _ in 0..MANY {
            let Some(effect) = self.storage.pop_front() else { return };
            let (op, result) = self.execute(effect);
            self.input(Input::Done { op, result });
        }
        panic!("the engine never comes to rest");
    }

    /// The consent record, understood.
    pub fn state(&self) -> ConsentState {
        ConsentState::of(&self.consent)
    }

    /// Does a storage effect as a driver should.
    pub fn execute(&mut self, effect: Effect) -> (Op, Done) {
        match effect {
            Effect::Open { op } => {
                let (consent, identity) = (self.consent.clone(), self.identity.clone());
                (op, Done::Opened { consent, identity, data: !self.records.is_empty() })
            }
            Effect::Recover { op, epoch } => (op, Done::Recovered(self.recover(epoch))),
            Effect::Amend { op, amendment } => {
                let (name, consent, identity) = (amendment.record(), self.state(), self.identity.clone());
                let data_epoch = self.records.iter().map(|(epoch, ..)| *epoch).max().unwrap_or_default();
                let record = match name {
                    RecordName::Consent => &mut self.consent,
                    RecordName::Identity => &mut self.identity,
                };
                let done = match amendment.apply(record, &consent, &identity, data_epoch) {
                    Amended::Withdrawn => Done::Refused(self.consent.clone()),
                    Amended::Keep => Done::Amended { read: record.clone(), changed: false },
                    Amended::Refuse => Done::Failed(StoreFault::Unreadable),
                    Amended::Write(text) => {
                        let read = RecordRead::Content(text);
                        let readable = reads_back(name, &read) || counted_up(&consent);
                        assert!(readable, "{name:?} is written so that nobody can read it");
                        record.clone_from(&read);
                        Done::Amended { read, changed: true }
                    }
                };
                (op, done)
            }
            Effect::Append { op, permit } => (op, self.append(permit)),
            Effect::Acknowledge { op, records } => {
                self.records.retain(|(_, seq, _)| !records.contains(&RecordId { queue: 0, seq: *seq }));
                (op, Done::Stored)
            }
            Effect::Sync { op } | Effect::Fence { op } => (op, Done::Stored),
            Effect::Wipe { op, before, .. } => {
                let Some(before) = wipe_before(before, &self.consent) else {
                    return (op, Done::Failed(StoreFault::Unreadable));
                };
                let count = self.records.len();
                self.records.retain(|(epoch, ..)| *epoch >= before);
                if identity_is_before(&self.identity, before) {
                    self.identity = RecordRead::Absent;
                }
                (op, Done::Wiped { items: (count - self.records.len()) as u64, before })
            }
            Effect::List { op } => {
                let item = |kind| Item { name: "x".into(), kind, bytes: 1 };
                let data = self.records.iter().map(|(epoch, ..)| item(ItemKind::Data(Some(*epoch))));
                let mut items: Vec<_> = data.collect();
                if !matches!(self.consent, RecordRead::Absent) {
                    items.push(item(ItemKind::Consent));
                }
                (op, Done::Listed(items))
            }
            Effect::Send { .. } | Effect::SendErasure { .. } | Effect::Cancel { .. } | Effect::Notify(_) => {
                unreachable!("sorted out by `input`")
            }
        }
    }

    fn recover(&mut self, epoch: u64) -> Recovered {
        let count = self.records.len();
        self.records.retain(|(of, ..)| *of == epoch);
        let mut recovered = Recovered { next_seq: 1, ..Default::default() };
        recovered.wiped = (count - self.records.len()) as u64;
        recovered.not_before_ms = self.not_before.filter(|(of, _)| *of == epoch).map(|(_, at)| at);
        for (_, seq, text) in &self.records {
            recovered.next_seq = recovered.next_seq.max(seq.saturating_add(1));
            let id = RecordId { queue: 0, seq: *seq };
            recovered.records.push(RecoveredRecord { id, text: text.clone(), adopted: false });
        }
        recovered
    }

    fn append(&mut self, permit: Permit<Entry>) -> Done {
        let epoch = permit.epoch();
        match permit.redeem(&self.state()) {
            Ok(Entry::Record { seq, text }) => {
                self.records.push((epoch, seq, text.to_string()));
            }
            Ok(Entry::NotBefore(at)) => self.not_before = Some((epoch, at)),
            Err(Refused) => return Done::Refused(self.consent.clone()),
        }
        Done::Stored
    }

    /// Redeems the permit of the oldest request that waits. `false` if it is refused or there is none.
    pub fn depart(&mut self) -> bool {
        let Some((op, waiting)) = self.waiting.pop_front() else { return false };
        let state = self.state();
        let (redeemed, outbox) = match waiting {
            Waiting::Records(permit) => (permit.redeem(&state), false),
            Waiting::Outbox(permit) => (permit.redeem(&state), true),
        };
        match redeemed {
            Ok(request) => {
                self.open.push_back((op, request, outbox));
                true
            }
            Err(Refused) => {
                let result = Done::Refused(self.consent.clone());
                self.input(Input::Done { op, result });
                false
            }
        }
    }
}

/// Whether a record has come to the end of what is counted: what follows is not read, and so refuses.
pub fn counted_up(state: &ConsentState) -> bool {
    let near = |number: u64| number > (1 << 53) - 1_000;
    state.record().is_some_and(|record| near(record.epoch) || near(record.revision))
}

fn reads_back(name: RecordName, read: &RecordRead) -> bool {
    match name {
        RecordName::Consent => ConsentState::of(read).record().is_some(),
        // Nothing is older than epoch 0 but what cannot be read.
        RecordName::Identity => !identity_is_before(read, 0),
    }
}
