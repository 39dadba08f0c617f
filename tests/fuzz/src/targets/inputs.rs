//! Inputs of every kind in any order, from a driver that need not be honest: effects end well, end in what belongs to
//! another effect, end twice, or never; records change underneath; clocks jump. Nothing panics, the books balance
//! (C15), nothing is written before anybody may write (C3), and while the verdict denies nothing leaves: neither is
//! anything asked for, nor does a permit open that was given out before.
//!
//! An input is the settings, and then one command after the other.

use crate::bytes::Bytes;
use crate::host::{Host, Waiting};
use refrain::engine::{
    Also, Answer, Call, CallKind, Config, ConsentRecord, ConsentState, Decision, DefaultConsent, DenyReason,
    Done, Effect, Erasure, ErasureKind, ErasureState, EventId, IdMerge, Input, Item, ItemKind, Lifecycle,
    Now, Op, Permit, RecordId, RecordName, RecordRead, Recovered, RecoveredRecord, Secret, Signals,
    StoreFault, Verdict,
};

pub(super) const DICTIONARY: &[&str] = &[
    "{\"a\":1}",
    "{\"$set\":{\"a\":1}}",
    "$device:x",
    "{\"v\":1,\"decision\":\"granted\",\"revision\":9,\"epoch\":9,\"at\":0}",
    "{\"v\":1,\"revision\":1,\"epoch\":1,\"secret\":\"00000000000000000000000000000000\",\"super\":{}}",
    "\u{e}\u{e}\u{e}\u{e}",
    "\u{b}",
];

const NAMES: [&str; 8] = ["e", "Read", "u1", "u2", "$device:x", "", "plan", "company"];
const TEXTS: [&str; 10] = [
    "{}",
    "{\"plan\":\"pro\"}",
    "{\"\\u0070lan\":1,\"plan\":[2]}",
    "{\"$set\":{\"a\":1}}",
    "{\"$group_key\":\"g\",\"$group_id\":\"1\",\"$set\":{\"a\":1}}",
    "{\"$duration\":1,\"token\":\"x\"}",
    "acme",
    "",
    "[",
    "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
];
const FAULTS: [StoreFault; 5] =
    [StoreFault::Full, StoreFault::ReadOnly, StoreFault::Unreadable, StoreFault::Absent, StoreFault::Other];

pub(super) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut driver = Driver::new(&mut bytes);
    while !bytes.is_empty() {
        driver.command(&mut bytes);
        driver.check();
    }
}

struct Driver {
    host: Host,
    /// Numbers of effects that have been asked for, ended or not.
    ops: Vec<Op>,
}

impl Driver {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let mut config = Config::new("T");
        config.default_consent =
            bytes.pick(&[DefaultConsent::Pending, DefaultConsent::Granted, DefaultConsent::Denied]);
        config.id_merge = bytes.pick(&[IdMerge::Simplified, IdMerge::Original]);
        config.leading_edge = bytes.flag();
        config.batch_size = bytes.pick(&[50, 1, 2]);
        (config.honor_gpc, config.honor_dnt) = (!bytes.flag(), !bytes.flag());
        if bytes.flag() {
            config.flush_interval_ms = bytes.number();
            config.queue_limit_bytes = bytes.number();
            config.queue_limit_age_ms = bytes.number();
            config.hold_limit = bytes.below(4);
            config.hold_limit_bytes = usize::from(bytes.short());
            config.hold_limit_age_ms = bytes.number();
            config.batch_bytes = usize::from(bytes.short());
            config.leaving_bytes = usize::from(bytes.short());
        }
        let mut driver = Self { host: Host::new(config, record(bytes)), ops: Vec::new() };
        // Mostly it begins as it should.
        if !bytes.flag() {
            let secret = Secret(driver.host.bits());
            driver.input(Input::Start { secret });
            if !bytes.flag() {
                driver.host.run();
            }
        }
        driver
    }

    fn input(&mut self, input: Input<'_>) {
        self.host.input(input);
        self.ops.extend(self.host.storage.iter().filter_map(op_of));
        self.ops.extend(self.host.waiting.iter().map(|(op, _)| *op));
        self.ops.sort();
        self.ops.dedup();
    }

    fn command(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(24) {
            0 | 1 => {
                let (name, text) = (bytes.text(&NAMES), bytes.text(&TEXTS));
                let kind = bytes.pick(&CallKind::ALL);
                let bits = self.host.bits();
                self.input(Input::Call(Call::new(kind, &name, &text, bits)));
            }
            2 | 3 => {
                let id = EventId(self.host.bits());
                let name = bytes.text(&NAMES);
                self.input(Input::Call(Call::track(&name, "{}", id)));
            }
            4 => {
                let (id, secret) = (EventId(self.host.bits()), Secret(self.host.bits()));
                self.input(Input::OptIn { id, secret });
            }
            5 => {
                let also = Also { erase: bytes.flag(), delete_profile: bytes.flag() };
                let id = EventId(self.host.bits());
                self.input(Input::OptOut { also, id });
            }
            6 => {
                let signals = Signals { gpc: bytes.flag(), dnt: bytes.flag(), host: bytes.flag() };
                self.input(Input::Signals(signals));
            }
            7 => self.input(Input::Flush),
            8 => {
                let lifecycle = bytes.pick(&[
                    Lifecycle::Foreground,
                    Lifecycle::Background,
                    Lifecycle::Leaving,
                    Lifecycle::Online,
                    Lifecycle::Resumed,
                ]);
                self.input(Input::Lifecycle(lifecycle));
            }
            9 => {
                let secret = Secret(self.host.bits());
                self.input(Input::Tick { secret });
            }
            10 => self.host.now = Now { wall_ms: bytes.number(), mono_ms: bytes.number() },
            11 => {
                let ms = bytes.number();
                self.host.now.wall_ms = self.host.now.wall_ms.wrapping_add(ms);
                self.host.now.mono_ms = self.host.now.mono_ms.saturating_add(ms);
            }
            12 => {
                let due = self.host.engine.next_wakeup().unwrap_or_default();
                self.host.now.mono_ms = self.host.now.mono_ms.max(due);
                let secret = Secret(self.host.bits());
                self.input(Input::Tick { secret });
            }
            13 => {
                let (name, read) = (bytes.pick(&[RecordName::Consent, RecordName::Identity]), record(bytes));
                self.input(Input::RecordChanged { name, read });
            }
            14..=16 => self.step(),
            17 => self.host.run(),
            // The effect ends as it must not.
            18 => {
                if let Some(effect) = self.host.storage.pop_front() {
                    let op = op_of(&effect).expect("a storage effect has a number");
                    let result = done(bytes);
                    self.input(Input::Done { op, result });
                }
            }
            // An effect ends that may have ended before, or that was never asked for.
            19 => {
                let op = match bytes.below(self.ops.len() + 1) {
                    0 => Op(bytes.number()),
                    place => self.ops[place - 1],
                };
                let result = done(bytes);
                self.input(Input::Done { op, result });
            }
            20 => {
                self.host.depart();
            }
            21 => {
                if let Some((op, ..)) = self.host.open.pop_front() {
                    let result = Done::Answered(answer(bytes));
                    self.input(Input::Done { op, result });
                }
            }
            22 => match bytes.below(3) {
                0 => self.host.consent = record(bytes),
                1 => self.host.identity = record(bytes),
                _ => {
                    let read = self.host.consent.clone();
                    self.input(Input::RecordChanged { name: RecordName::Consent, read });
                }
            },
            _ => {
                let secret = Secret(self.host.bits());
                self.input(Input::Start { secret });
            }
        }
    }

    fn step(&mut self) {
        if let Some(effect) = self.host.storage.pop_front() {
            let (op, result) = self.host.execute(effect);
            self.input(Input::Done { op, result });
        }
    }

    fn check(&mut self) {
        let engine = &self.host.engine;
        let (consent, stats) = (engine.consent(), engine.stats());
        assert!(!consent.sentence().is_empty() && !consent.reason().is_empty());
        assert!(refrain::json::Object::parse(engine.super_properties()).is_ok());
        assert!(stats.queued > 0 || stats.queued_bytes == 0);
        let Verdict::Deny(reason) = consent.verdict else { return };
        // What cannot be read may be readable in a moment; until then no driver can redeem anything.
        if reason == DenyReason::StoreUnavailable {
            return;
        }
        assert_eq!(stats.held, 0, "C3: {reason:?}, and calls are held");
        assert_eq!((stats.queued, engine.device_id()), (0, None), "C3: {reason:?}, and data is kept");
        self.check_permits(reason);
    }

    /// C2, C4: what was given out before a refusal opens no more, even against a record that would allow it.
    fn check_permits(&mut self, reason: DenyReason) {
        let epochs = self.host.storage.iter().filter_map(|effect| match effect {
            Effect::Append { permit, .. } => Some(permit.epoch()),
            _ => None,
        });
        let sending = self.host.waiting.iter().filter_map(|(_, waiting)| match waiting {
            Waiting::Records(permit) => Some(permit.epoch()),
            Waiting::Outbox(_) => None,
        });
        let epochs: Vec<u64> = epochs.chain(sending).collect();
        if epochs.is_empty() {
            return;
        }
        for effect in std::mem::take(&mut self.host.storage) {
            match effect {
                Effect::Append { permit, .. } => refuses(permit, reason),
                effect => self.host.storage.push_back(effect),
            }
        }
        for (op, waiting) in std::mem::take(&mut self.host.waiting) {
            match waiting {
                Waiting::Records(permit) => refuses(permit, reason),
                outbox => self.host.waiting.push_back((op, outbox)),
            }
        }
    }
}

fn refuses<T>(permit: Permit<T>, reason: DenyReason) {
    let record = ConsentRecord {
        decision: Decision::Granted,
        revision: u64::MAX,
        epoch: permit.epoch(),
        ..ConsentRecord::default()
    };
    assert!(permit.redeem(&ConsentState::Found(record)).is_err(), "C2: {reason:?}, and a permit opens");
}

fn op_of(effect: &Effect) -> Option<Op> {
    match effect {
        Effect::Open { op }
        | Effect::Recover { op, .. }
        | Effect::Amend { op, .. }
        | Effect::Append { op, .. }
        | Effect::Acknowledge { op, .. }
        | Effect::Sync { op }
        | Effect::Fence { op }
        | Effect::Wipe { op, .. }
        | Effect::List { op }
        | Effect::Send { op, .. }
        | Effect::SendErasure { op, .. }
        | Effect::Cancel { op } => Some(*op),
        Effect::Notify(_) => None,
    }
}

/// What stands under a record's name.
fn record(bytes: &mut Bytes<'_>) -> RecordRead {
    let text = match bytes.below(8) {
        0..=2 => return RecordRead::Absent,
        3 => return RecordRead::Unreadable,
        4 | 5 => ConsentRecord {
            decision: bytes.pick(&[Decision::Granted, Decision::Denied, Decision::Unset]),
            revision: bytes.number(),
            epoch: bytes.number(),
            at_ms: bytes.number(),
            outbox: (0..bytes.below(3)).map(|_| erasure(bytes)).collect(),
            source: bytes.pick(&["", "refrain-web"]).into(),
        }
        .encode(),
        6 => {
            let (revision, epoch) = (bytes.number(), bytes.number());
            let secret = format!("{:032x}", bytes.byte());
            format!(
                "{{\"v\":1,\"revision\":{revision},\"epoch\":{epoch},\"secret\":\"{secret}\",\"super\":{{}}}}"
            )
        }
        _ => bytes.text(&[]),
    };
    RecordRead::Content(text)
}

fn erasure(bytes: &mut Bytes<'_>) -> Erasure {
    Erasure {
        id: bytes.text(&["ab", "cd"]),
        kind: bytes.pick(&[ErasureKind::Device, ErasureKind::Profile]),
        device_id: "d".into(),
        user: bytes.flag().then(|| bytes.text(&NAMES)),
        secret: bytes.text(&["s", ""]),
        state: bytes.pick(&[
            ErasureState::Requested,
            ErasureState::Accepted,
            ErasureState::Completed,
            ErasureState::Refused,
        ]),
        answer: bytes.flag().then(|| String::from("{\"id\":\"e1\"}")),
    }
}

fn answer(bytes: &mut Bytes<'_>) -> Answer {
    let status = match bytes.byte() {
        255 => return Answer::Unreachable,
        254 => return Answer::TimedOut,
        choice => [200, 503, 400, 413, 403, 429, 302, 0][usize::from(choice) % 8],
    };
    let retry_after = bytes.flag().then(|| bytes.text(&["1", "86400", "99999999999999", "soon"]));
    let body = bytes.text(&["1", "0", "", "{\"id\":\"e1\",\"state\":\"completed\"}"]);
    Answer::Response { status, retry_after, body }
}

/// Any end that an effect can have.
fn done(bytes: &mut Bytes<'_>) -> Done {
    match bytes.below(11) {
        0 => Done::Opened { consent: record(bytes), identity: record(bytes), data: bytes.flag() },
        1 => Done::Recovered(recovered(bytes)),
        2 => Done::Amended { read: record(bytes), changed: bytes.flag() },
        3 => Done::Stored,
        4 => Done::Wiped { items: bytes.number(), before: bytes.number() },
        5 => Done::Listed((0..bytes.below(3)).map(|_| item(bytes)).collect()),
        6 => Done::Refused(record(bytes)),
        7 => Done::Unfenced(bytes.text(&["process 1"])),
        8 => Done::Answered(answer(bytes)),
        _ => Done::Failed(bytes.pick(&FAULTS)),
    }
}

fn item(bytes: &mut Bytes<'_>) -> Item {
    let epoch = bytes.flag().then(|| bytes.number());
    let kind = bytes.pick(&[ItemKind::Consent, ItemKind::Data(epoch), ItemKind::Lock]);
    Item { name: bytes.text(&["queue/x"]), kind, bytes: bytes.number() }
}

fn recovered(bytes: &mut Bytes<'_>) -> Recovered {
    let mut recovered = Recovered::default();
    for _ in 0..bytes.below(4) {
        recovered.records.push(RecoveredRecord {
            id: RecordId { queue: bytes.below(3) as u32, seq: bytes.number() },
            text: bytes.text(&["{\"event\":\"e\",\"properties\":{}}", "{\"$token\":\"T\"}", "", "["]),
            adopted: bytes.flag(),
        });
    }
    recovered.next_seq = bytes.number();
    recovered.not_before_ms = bytes.flag().then(|| bytes.number());
    (recovered.damaged, recovered.wiped) = (bytes.number(), bytes.number());
    recovered
}
