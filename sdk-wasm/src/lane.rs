//! Storage effects, one after the other. The head of the lane is the effect under way: JavaScript asks what it is,
//! does the part that needs promises, and hands over what it read or how it ended.

use super::{Core, copies};
use alloc::collections::VecDeque;
use alloc::string::String;
use refrain::engine::{
    Amended, Answer, ConsentRecord, ConsentState, Decision, Done, Effect, Input, Item, ItemKind, Op,
    RecordId, RecordName, RecordRead, RecoveredRecord, StoreFault, WipeScope, identity_is_before,
    wipe_before,
};
use refrain::json::Object;

/// Appends in one go at most, so that a burst makes no long task.
const APPENDS: usize = 64;

/// A record that JavaScript is writing.
pub struct Writing {
    op: Op,
    record: RecordName,
    text: String,
    /// Whether it differs from what stood there.
    changed: bool,
    /// The mirror as this began.
    mirror: RecordRead,
}

/// The person's refusal as it was written into the mirror, in the task of the call: the page may be left before
/// anything else can be.
pub struct Refusal {
    text: String,
    /// What the mirror said before: the ground of the change that is still to be made.
    before: RecordRead,
}

impl Core {
    /// Writes the person's refusal into the mirror, where whoever reads next finds it (C5, C7).
    pub(super) fn mirror_refusal(&mut self) {
        let before = self.ground_of_mirror();
        if let Some(text) = self.engine.refusal_over(&before) {
            let text = copies::unrecorded(text);
            self.store.set_mirror(&text);
            self.refusal = Some(Refusal { text, before });
        }
    }

    /// The mirror as the ground of a change: without a refusal of this page that is about to be recorded.
    fn ground_of_mirror(&self) -> RecordRead {
        match (self.store.mirror(), &self.refusal) {
            (RecordRead::Content(text), Some(refusal)) if text == refusal.text => refusal.before.clone(),
            (mirror, _) => mirror,
        }
    }

    /// Makes the copies of the consent record agree, given the one that was read under the lock. Gives out what to write
    /// in its place: a page was left before its refusal stood anywhere but in the mirror.
    pub(super) fn agree(&mut self, copy: Option<String>) -> Option<String> {
        if self.refusal.is_some() {
            return None;
        }
        let (of_mirror, text) = copies::agreed(&copies::read_of(copy), &self.store.mirror())?;
        if of_mirror {
            return Some(text);
        }
        self.store.set_mirror(&text);
        self.feed(Input::RecordChanged { name: RecordName::Consent, read: RecordRead::Content(text) });
        None
    }

    /// What the storage effect under way is: 0 none, 1 open, 2 recover (`number`: the epoch), 3 amend the consent
    /// record, 4 amend the identity, 5 the queue, 6 fence, 7 wipe, 8 wipe but for what belongs to living tabs,
    /// 9 list.
    pub(super) fn step(&mut self) -> u32 {
        let Some(effect) = self.lane.front() else { return 0 };
        let (kind, number) = match effect {
            Effect::Open { .. } => (1, 0),
            Effect::Recover { epoch, .. } => (2, *epoch),
            Effect::Amend { amendment, .. } if amendment.record() == RecordName::Consent => (3, 0),
            Effect::Amend { .. } => (4, 0),
            Effect::Fence { .. } => (6, 0),
            Effect::Wipe { scope: WipeScope::Store, .. } => (7, 0),
            Effect::Wipe { .. } => (8, 0),
            Effect::List { .. } => (9, 0),
            _ => (5, 0),
        };
        self.number = number as f64;
        kind
    }

    /// Names the tab whose queue this is: 0 is this tab's own, the others are of tabs that are gone.
    pub(super) fn tab(&mut self, queue: usize, name: String) {
        match self.store.tabs.get_mut(queue) {
            Some(tab) => *tab = name,
            None => self.store.tabs.push(name),
        }
    }

    /// Something was found during `recover`: an event of a queue, oldest first. Says whether it can be read.
    pub(super) fn found(&mut self, queue: u32, seq: u64, text: String) -> bool {
        let id = RecordId { queue, seq };
        if queue == 0 {
            self.recovered.next_seq = self.recovered.next_seq.max(id.seq + 1);
        }
        let sound = Object::parse(&text).is_ok();
        if sound {
            self.recovered.records.push(RecoveredRecord { id, text, adopted: queue > 0 });
        } else {
            self.recovered.damaged += 1;
        }
        sound
    }

    /// Data that stands in the store, for `list`; a negative epoch is one that cannot be told.
    pub(super) fn item(&mut self, name: String, epoch: f64, bytes: f64) {
        let epoch = if epoch >= 0.0 { Some(epoch as u64) } else { None };
        self.items.push(Item { name, kind: ItemKind::Data(epoch), bytes: bytes as u64 });
    }

    /// Works out what `amend` makes of the record as read under the lock, and of the other one beside it. Gives out the text to write, which has to be told as written or failed; nothing if there is nothing to
    /// write, which ends it.
    pub(super) fn amend(&mut self, copy: Option<String>, other: Option<String>) -> Option<String> {
        if !matches!(self.step(), 3 | 4) {
            return None;
        }
        let Some(Effect::Amend { op, amendment }) = self.lane.pop_front() else { return None };
        let stored = copies::read_of(copy);
        let record = amendment.record();
        let (read, state, identity) = match record {
            RecordName::Consent => {
                let ground = copies::ground(&stored, &self.ground_of_mirror());
                (ground, ConsentState::Absent, copies::read_of(other))
            }
            RecordName::Identity => (stored.clone(), self.consent_state(other, false), RecordRead::Absent),
        };
        let result = match amendment.apply(&read, &state, &identity, 0) {
            Amended::Write(text) => return self.write(op, record, text, true),
            Amended::Keep => match read {
                // It stays, but the copies have to agree on it.
                RecordRead::Content(text)
                    if record == RecordName::Consent
                        && !matches!(&stored, RecordRead::Content(there) if *there == text) =>
                {
                    return self.write(op, record, text, false);
                }
                read => Done::Amended { read, changed: false },
            },
            Amended::Refuse => Done::Failed(StoreFault::Unreadable),
            Amended::Withdrawn => Done::Refused(copies::as_read(&state)),
        };
        self.feed(Input::Done { op, result });
        None
    }

    /// Does what is next for the queue, given the consent record as read now. `leaving`: the page cannot wait, and
    /// only the mirror was read; then it is everything for the queue, whatever stands before it.
    pub(super) fn queue(&mut self, copy: Option<String>, leaving: bool) {
        let state = self.consent_state(copy, leaving);
        if leaving && !matches!(state, ConsentState::Found(_)) {
            return;
        }
        let mut others = VecDeque::new();
        for _ in 0..if leaving { usize::MAX } else { APPENDS } {
            if !leaving && self.step() != 5 {
                return;
            }
            let mut result = Done::Stored;
            let op = match self.lane.pop_front() {
                Some(Effect::Append { op, permit }) => {
                    let epoch = permit.epoch();
                    match permit.redeem(&state) {
                        Ok(entry) => {
                            if let Err(fault) = self.store.append(epoch, &entry) {
                                result = Done::Failed(fault);
                            }
                        }
                        Err(_) => result = Done::Refused(copies::as_read(&state)),
                    }
                    op
                }
                Some(Effect::Acknowledge { op, records }) => {
                    self.store.acknowledge(&records);
                    op
                }
                // What `localStorage` has taken is as durable as it will get.
                Some(Effect::Sync { op }) => op,
                Some(other) => {
                    others.push_back(other);
                    continue;
                }
                None => break,
            };
            self.feed(Input::Done { op, result });
        }
        if leaving {
            self.lane = others;
        }
    }

    /// What a `wipe` has to take, by the records as read under the lock: what is older than `number` (-1: it cannot be
    /// told, and nothing may go), and whether the identity is.
    pub(super) fn stale(&mut self, consent: Option<String>, identity: Option<String>) -> bool {
        let Some(Effect::Wipe { before, .. }) = self.lane.front() else { return false };
        let consent = copies::as_read(&self.consent_state(consent, false));
        let before = wipe_before(*before, &consent);
        self.number = before.map_or(-1.0, |before| before as f64);
        before.is_some_and(|before| identity_is_before(&copies::read_of(identity), before))
    }

    /// How the storage effect under way has ended: 60 it is done; 61 opened, with both records as read, and whether
    /// there is data (`x`); 62 recovered, with the wall time before which nothing may be sent (`x`, 0: none) and the
    /// keys that went (`y`); 63 written; 64 `x` items older than `y` are wiped; 65 listed; 66 no fence, and who still
    /// sends, in words; it could not be executed: 67 no room, 68 anything else.
    ///
    /// Or what came from elsewhere: another tab has changed 69 the consent record, 70 the identity; 71 request `x` has
    /// ended with HTTP status `y` (0: no answer, 1: none in time), `Retry-After` and body.
    pub(super) fn tell(&mut self, kind: u32, one: Option<String>, two: Option<String>, x: f64, y: f64) {
        let result = match kind {
            60 => Done::Stored,
            61 => Done::Opened {
                consent: copies::as_read(&self.consent_state(one, false)),
                identity: copies::read_of(two),
                data: x > 0.0,
            },
            62 => {
                let mut recovered = core::mem::take(&mut self.recovered);
                recovered.not_before_ms = if x > 0.0 { Some(x as u64) } else { None };
                recovered.wiped = y as u64;
                Done::Recovered(recovered)
            }
            63 => match &self.writing {
                Some(Writing { text, changed, record, mirror, .. }) => {
                    if *record == RecordName::Consent {
                        let now = self.store.mirror();
                        // Another tab's refusal that has come meanwhile stands nowhere else; it is recorded next.
                        if self.refusal.is_some() || now == *mirror || !copies::is_unrecorded(&now) {
                            self.store.set_mirror(text);
                        }
                        self.refusal = None;
                    }
                    Done::Amended { read: RecordRead::Content(text.clone()), changed: *changed }
                }
                None => return,
            },
            64 if y < 0.0 => Done::Failed(StoreFault::Unreadable),
            64 => Done::Wiped { items: x as u64, before: y as u64 },
            65 => Done::Listed(core::mem::take(&mut self.items)),
            66 => Done::Unfenced(one.unwrap_or_default()),
            67 => Done::Failed(StoreFault::Full),
            68 => Done::Failed(StoreFault::Other),
            69 => {
                let read = copies::as_read(&self.consent_state(one, false));
                return self.feed(Input::RecordChanged { name: RecordName::Consent, read });
            }
            70 => {
                let read = copies::read_of(one);
                return self.feed(Input::RecordChanged { name: RecordName::Identity, read });
            }
            _ => {
                // If it never came so far as to be redeemed.
                self.take_held(Op(x as u64));
                let answer = match y as u16 {
                    0 => Answer::Unreachable,
                    1 => Answer::TimedOut,
                    status => Answer::Response { status, retry_after: one, body: two.unwrap_or_default() },
                };
                return self.feed(Input::Done { op: Op(x as u64), result: Done::Answered(answer) });
            }
        };
        let op = match self.writing.take() {
            Some(writing) => Some(writing.op),
            None => self.lane.pop_front().and_then(|effect| effect.op()),
        };
        if let Some(op) = op {
            self.feed(Input::Done { op, result });
        }
        if kind == 63 {
            // A refusal that was given while this was written has to stand there all the same.
            self.mirror_refusal();
        }
    }

    fn write(&mut self, op: Op, record: RecordName, text: String, changed: bool) -> Option<String> {
        let refuses = |record: ConsentRecord| record.decision == Decision::Denied;
        if record == RecordName::Consent && ConsentRecord::decode(&text).is_some_and(refuses) {
            // A refusal is in the mirror first: a page that is leaving reads nothing else.
            self.store.set_mirror(&copies::unrecorded(text.clone()));
        }
        self.writing = Some(Writing { op, record, text: text.clone(), changed, mirror: self.store.mirror() });
        Some(text)
    }
}
