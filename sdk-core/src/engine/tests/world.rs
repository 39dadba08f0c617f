//! The world of the engine's tests: a store in memory and drivers that execute effects against it, one at a time.

use crate::engine::*;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What all drivers share.
pub(super) struct Store {
    pub(super) consent: RecordRead,
    pub(super) identity: RecordRead,
    /// Queue, epoch, number, text.
    pub(super) records: Vec<(usize, u64, u64, String)>,
    pub(super) not_before: Option<(u64, u64)>,
    pub(super) fault: Option<StoreFault>,
    pub(super) writes: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            consent: RecordRead::Absent,
            identity: RecordRead::Absent,
            records: Vec::new(),
            not_before: None,
            fault: None,
            writes: 0,
        }
    }
}

impl Store {
    pub(super) fn state(&self) -> ConsentState {
        ConsentState::of(&self.consent)
    }

    pub(super) fn decision(&self) -> Decision {
        self.state().record().map(|r| r.decision).unwrap_or_default()
    }

    pub(super) fn has_data(&self) -> bool {
        !self.records.is_empty() || !matches!(self.identity, RecordRead::Absent)
    }
}

/// One engine and its driver: a process or a tab.
pub(super) struct Driver {
    pub(super) engine: Engine,
    number: usize,
    pub(super) now: Now,
    random: u8,
    pub(super) storage: VecDeque<Effect>,
    pub(super) requests: VecDeque<(Op, Permit<Request>)>,
    pub(super) erasures: VecDeque<(Op, OutboxPermit)>,
    /// Requests whose permit was redeemed, waiting for an answer.
    pub(super) open: VecDeque<(Op, Request)>,
    pub(super) settled: Vec<(Ticket, Result<(), ConsentError>)>,
    pub(super) notices: Vec<Notice>,
    /// Where consent stood each time that the engine said so.
    pub(super) announced: Vec<Consent>,
}

pub(super) fn config() -> Config {
    Config { default_consent: DefaultConsent::Pending, ..Config::new("T") }
}

pub(super) fn granted() -> Config {
    Config { default_consent: DefaultConsent::Granted, ..Config::new("T") }
}

pub(super) fn ok() -> Answer {
    answer(200, "1")
}

pub(super) fn answer(status: u16, body: &str) -> Answer {
    Answer::Response { status, retry_after: None, body: body.into() }
}

impl Driver {
    /// A driver whose engine has not been started.
    pub(super) fn new(number: usize, config: Config) -> Self {
        let now = Now { wall_ms: 1_788_220_800_000, mono_ms: 5 };
        Self {
            engine: Engine::new(config).unwrap(),
            number,
            now,
            random: number as u8 * 50,
            storage: VecDeque::new(),
            requests: VecDeque::new(),
            erasures: VecDeque::new(),
            open: VecDeque::new(),
            settled: Vec::new(),
            notices: Vec::new(),
            announced: Vec::new(),
        }
    }

    /// A driver that has been started, and whose store is not open yet.
    pub(super) fn starting(number: usize, config: Config) -> Self {
        let mut driver = Self::new(number, config);
        driver.input(Input::Start { secret: Secret([number as u8 + 1; 16]) });
        driver
    }

    /// A driver that is up and has nothing left to do.
    pub(super) fn started(number: usize, config: Config, store: &mut Store) -> Self {
        let mut driver = Self::starting(number, config);
        driver.run(store);
        driver
    }

    pub(super) fn bits(&mut self) -> [u8; 16] {
        self.random = self.random.wrapping_add(1);
        let mut bits = [self.random; 16];
        bits[0] = self.number as u8;
        bits
    }

    pub(super) fn input(&mut self, input: Input<'_>) -> Outcome {
        let effects = self.engine.handle(self.now, input);
        let outcome = effects.outcome();
        for effect in effects {
            match effect {
                Effect::Send { op, permit } => self.requests.push_back((op, *permit)),
                Effect::SendErasure { op, permit } => self.erasures.push_back((op, *permit)),
                Effect::Cancel { op } => {
                    self.requests.retain(|(other, _)| *other != op);
                    self.open.retain(|(other, _)| *other != op);
                }
                Effect::Notify(Notice::Settled { ticket, result }) => self.settled.push((ticket, result)),
                Effect::Notify(Notice::ConsentChanged(consent)) => self.announced.push(consent),
                Effect::Notify(notice) => self.notices.push(notice),
                effect => self.storage.push_back(effect),
            }
        }
        assert!(self.engine.stats().balance(), "C15: {:?}", self.engine.stats());
        outcome
    }

    pub(super) fn track(&mut self, name: &str) -> Outcome {
        let id = EventId(self.bits());
        self.input(Input::Call(Call::track(name, "{}", id)))
    }

    pub(super) fn opt_in(&mut self) -> Ticket {
        let (id, secret) = (EventId(self.bits()), Secret(self.bits()));
        match self.input(Input::OptIn { id, secret }) {
            Outcome::Pending(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn opt_out(&mut self, erase: bool) -> Ticket {
        self.opt_out_also(Also { erase, delete_profile: false })
    }

    pub(super) fn opt_out_also(&mut self, also: Also) -> Ticket {
        let id = EventId(self.bits());
        match self.input(Input::OptOut { also, id }) {
            Outcome::Pending(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
        let secret = Secret(self.bits());
        self.input(Input::Tick { secret });
    }

    pub(super) fn result(&self, ticket: Ticket) -> Option<&Result<(), ConsentError>> {
        self.settled.iter().find(|(t, _)| *t == ticket).map(|(_, result)| result)
    }

    /// Executes storage effects until none is left.
    pub(super) fn run(&mut self, store: &mut Store) {
        for _ in 0..1_000 {
            if !self.step(store) {
                return;
            }
        }
        panic!("the engine never comes to rest");
    }

    /// Executes one storage effect.
    pub(super) fn step(&mut self, store: &mut Store) -> bool {
        let Some(effect) = self.storage.pop_front() else { return false };
        let (op, result) = self.execute(effect, store);
        self.input(Input::Done { op, result });
        true
    }

    fn execute(&mut self, effect: Effect, store: &mut Store) -> (Op, Done) {
        match effect {
            Effect::Open { op } => {
                let (consent, identity) = (store.consent.clone(), store.identity.clone());
                (op, Done::Opened { consent, identity, data: !store.records.is_empty() })
            }
            Effect::Recover { op, epoch } => {
                let before = store.records.len();
                store.records.retain(|r| r.1 == epoch);
                let wiped = (before - store.records.len()) as u64;
                let records = store.records.iter().map(|(queue, _, seq, text)| RecoveredRecord {
                    id: RecordId { queue: u32::from(*queue != self.number), seq: *seq },
                    text: text.clone(),
                    adopted: *queue != self.number,
                });
                let next_seq = store.records.iter().map(|r| r.2 + 1).max().unwrap_or(1);
                let not_before_ms = store.not_before.filter(|(e, _)| *e == epoch).map(|(_, at)| at);
                (
                    op,
                    Done::Recovered(Recovered {
                        records: records.collect(),
                        next_seq,
                        not_before_ms,
                        damaged: 0,
                        wiped,
                    }),
                )
            }
            Effect::Amend { op, amendment } => {
                let (consent, identity) = (store.state(), store.identity.clone());
                let record = match amendment.record() {
                    RecordName::Consent => &mut store.consent,
                    RecordName::Identity => &mut store.identity,
                };
                let done = match (amendment.apply(record, &consent, &identity, 0), store.fault) {
                    (Amended::Withdrawn, _) => Done::Refused(store.consent.clone()),
                    (Amended::Keep, _) => Done::Amended { read: record.clone(), changed: false },
                    (Amended::Refuse, _) => Done::Failed(StoreFault::Unreadable),
                    (Amended::Write(_), Some(fault)) => Done::Failed(fault),
                    (Amended::Write(text), None) => {
                        store.writes += 1;
                        *record = RecordRead::Content(text);
                        Done::Amended { read: record.clone(), changed: true }
                    }
                };
                (op, done)
            }
            Effect::Append { op, permit } => {
                let epoch = permit.epoch();
                let done = match (permit.redeem(&store.state()), store.fault) {
                    (Err(Refused), _) => Done::Refused(store.consent.clone()),
                    (_, Some(fault)) => Done::Failed(fault),
                    (Ok(Entry::Record { seq, text }), None) => {
                        store.writes += 1;
                        store.records.push((self.number, epoch, seq, text.to_string()));
                        Done::Stored
                    }
                    (Ok(Entry::NotBefore(at)), None) => {
                        store.not_before = Some((epoch, at));
                        Done::Stored
                    }
                };
                (op, done)
            }
            Effect::Acknowledge { op, records } => {
                store.records.retain(|r| {
                    !records.iter().any(|id| id.seq == r.2 && (id.queue == 0) == (r.0 == self.number))
                });
                (op, Done::Stored)
            }
            Effect::Sync { op } | Effect::Fence { op } => (op, Done::Stored),
            Effect::Wipe { op, before, .. } => {
                let before = wipe_before(before, &store.consent).unwrap_or(0);
                let count = store.records.len();
                store.records.retain(|r| r.1 >= before);
                if identity_is_before(&store.identity, before) {
                    store.identity = RecordRead::Absent;
                }
                (op, Done::Wiped { items: (count - store.records.len()) as u64, before })
            }
            Effect::List { op } => {
                let item = |kind| Item { name: "x".into(), kind, bytes: 1 };
                let mut items: Vec<_> =
                    store.records.iter().map(|r| item(ItemKind::Data(Some(r.1)))).collect();
                if !matches!(store.identity, RecordRead::Absent) {
                    let old = identity_is_before(&store.identity, u64::MAX);
                    items.push(item(ItemKind::Data(old.then_some(u64::MAX))));
                }
                if !matches!(store.consent, RecordRead::Absent) {
                    items.push(item(ItemKind::Consent));
                }
                (op, Done::Listed(items))
            }
            Effect::Send { .. } | Effect::SendErasure { .. } | Effect::Cancel { .. } | Effect::Notify(_) => {
                unreachable!("sorted out by input()")
            }
        }
    }

    /// Redeems the oldest request's permit; it is on its way then. `false` if it was refused or there is none.
    pub(super) fn depart(&mut self, store: &Store) -> bool {
        let Some((op, permit)) = self.requests.pop_front() else { return false };
        match permit.redeem(&store.state()) {
            Ok(request) => {
                self.open.push_back((op, request));
                true
            }
            Err(Refused) => {
                let result = Done::Refused(store.consent.clone());
                self.input(Input::Done { op, result });
                false
            }
        }
    }

    /// Answers the oldest request that is on its way; gives its body.
    pub(super) fn answer(&mut self, answer: Answer) -> String {
        let (op, request) = self.open.pop_front().expect("a request is on its way");
        self.input(Input::Done { op, result: Done::Answered(answer) });
        request.body
    }

    /// Sends and answers one request, whole.
    pub(super) fn exchange(&mut self, store: &mut Store, with: Answer) -> String {
        self.run(store);
        assert!(self.depart(store), "a request is waiting and permitted");
        let body = self.answer(with);
        self.run(store);
        body
    }
}
