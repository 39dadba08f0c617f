//! What must be true, worked out from what was called and what came back, and from nothing of how it works.

use crate::collector::{Collector, marker_text, markers, text_of};
use crate::disk::SimDisk;
use crate::process::Process;
use refrain::engine::{
    Also, Config, ConsentRecord, Decision, DefaultConsent, Done, Engine, ErasureKind, ErasureState, Input,
    Now, Op, RecordRead, Request, Secret, Ticket, Trouble,
};
use refrain::journal::slot::{self, Slots};
use std::collections::{BTreeMap, BTreeSet};

/// A record that an app has made.
#[derive(Debug)]
struct Record {
    /// The process, by place and generation.
    maker: (usize, u8),
    op: Option<Op>,
    taken: bool,
    synced: bool,
    /// Captured before a withdrawal that has ended well, or under a refusal that stood there: it must never leave.
    withdrawn: bool,
    /// A withdrawal, a signal or a crash may have cost it.
    excused: bool,
}

/// A refusal under way.
#[derive(Debug)]
struct Refusal {
    maker: (usize, u8),
    ticket: Ticket,
    /// Records below this were captured before it.
    bound: u64,
    device: Option<String>,
    /// Other processes may have made another one: what stood on the disk since it was called for.
    stored: BTreeSet<String>,
    /// What is asked for, too.
    also: Also,
    /// Somebody has agreed since.
    overtaken: bool,
    /// A grant was under way when it was called for.
    crossing: bool,
}

/// The witness.
#[derive(Debug, Default)]
pub struct Oracle {
    records: BTreeMap<u64, Record>,
    refusals: Vec<Refusal>,
    /// Grants under way.
    grants_under_way: Vec<((usize, u8), Ticket)>,
    withdrawn_devices: BTreeSet<String>,
    /// What was asked for.
    asked: Vec<Asked>,
    /// Devices of which an erasure or deletion was refused for good.
    turned_away: BTreeSet<String>,
    /// What was asked for with a refusal that could not be written: as long as the process lives.
    owed: Vec<((usize, u8), Asked)>,
    /// The last word of the person is a refusal that has ended well.
    refused: bool,
    /// Whose word that is.
    refuser: Option<(usize, u8)>,
    /// Somebody was asked, or may collect without being asked: something may stand on the disk.
    pub may_write: bool,
    /// Bits of the disk were flipped, so that anything but safety may be lost.
    pub damaged: bool,
    /// Records may be evicted or expire in this world.
    pub lossy: bool,
    /// A decision could not be recorded.
    pub in_process: bool,
    /// The record could not be read while a grant was under way: what is written over it unseen may have been the last
    /// word, and nobody can know.
    blind: bool,
    /// The record was deleted, and what numbers the words anew.
    pub renumbered: bool,
    /// How often the record has come to say `granted`.
    grants: usize,
    last_decision: Option<Decision>,
    last_epoch: u64,
    /// What those two were read from.
    last_slots: Option<[Option<Vec<u8>>; 2]>,
    next_marker: u64,
}

/// What a refusal asks a collector for: that one of these devices is erased, or its profiles are deleted. None where nobody
/// was known here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    kind: ErasureKind,
    devices: BTreeSet<String>,
}

impl Refusal {
    fn asks(&self) -> Vec<Asked> {
        let mut devices: BTreeSet<_> = self.device.iter().cloned().collect();
        if !devices.is_empty() {
            devices.extend(self.stored.iter().cloned());
        }
        let kinds =
            [(self.also.erase, ErasureKind::Device), (self.also.delete_profile, ErasureKind::Profile)];
        let asked = kinds.into_iter().filter(|(wanted, _)| *wanted);
        asked.map(|(_, kind)| Asked { kind, devices: devices.clone() }).collect()
    }
}

impl Oracle {
    /// The marker of the next record.
    pub fn next_marker(&self) -> u64 {
        self.next_marker
    }

    /// A record was made: accepted or held; `refused` where a refusal stood, which this process could not know of yet.
    pub fn made(&mut self, maker: (usize, u8), asked: &[Op], refused: bool) {
        let record = Record {
            maker,
            op: asked.last().copied(),
            taken: false,
            synced: false,
            withdrawn: refused,
            excused: false,
        };
        self.records.insert(self.next_marker, record);
        self.next_marker += 1;
    }

    /// C1, C6: whether a process that has not opened its store yet is called under a refusal. Where clocks jump, or the
    /// record could not be read or was deleted, it cannot tell that what it finds there came after the call.
    pub fn stands_refused(&self, disk: &SimDisk) -> bool {
        let told = !(self.lossy || self.in_process || self.damaged || self.renumbered);
        told && self.grants_under_way.is_empty()
            && record_on(disk).is_some_and(|record| record.decision == Decision::Denied)
    }

    /// The person objects, in this process.
    pub fn refuses(&mut self, maker: (usize, u8), ticket: Ticket, device: Option<String>, also: Also) {
        self.may_write = true;
        // Whether or not it ends well: from now on their loss is no fault.
        self.excuse_all();
        let bound = self.next_marker;
        let crossing = !self.grants_under_way.is_empty();
        let (stored, overtaken) = (BTreeSet::new(), false);
        self.refusals.push(Refusal { maker, ticket, bound, device, stored, also, overtaken, crossing });
    }

    /// The person agrees, in whatever process.
    pub fn agrees(&mut self, maker: (usize, u8), ticket: Ticket) {
        self.grants_under_way.push((maker, ticket));
        self.may_write = true;
        self.refused = false;
        self.refusals.iter_mut().for_each(|refusal| refusal.overtaken = true);
    }

    /// What this request of the outbox asks for was refused for good.
    pub fn turned_away(&mut self, body: &str) {
        let devices = self.asked.iter().chain(self.owed.iter().map(|(_, asked)| asked));
        let named: Vec<_> =
            devices.flat_map(|asked| &asked.devices).filter(|id| body.contains(*id)).collect();
        let named: Vec<_> = named.into_iter().cloned().collect();
        self.turned_away.extend(named);
        self.turned_away.extend(text_of(body, "device_id").map(String::from));
    }

    /// From now on the record cannot be read.
    pub fn blinded(&mut self) {
        self.in_process = true;
        self.blind |= !self.grants_under_way.is_empty();
    }

    /// Records made so far may be lost without fault.
    pub fn excuse_all(&mut self) {
        self.records.values_mut().for_each(|record| record.excused = true);
    }

    /// These records may be lost without fault.
    pub fn excuse(&mut self, markers: &[u64]) {
        for (marker, record) in &mut self.records {
            record.excused |= markers.contains(marker);
        }
    }

    /// A process is gone. What the store had taken is still there; after a power cut, what was synced.
    pub fn gone(&mut self, maker: (usize, u8), power: bool) {
        self.refusals.retain(|refusal| refusal.maker != maker);
        self.owed.retain(|(other, _)| *other != maker);
        self.grants_under_way.retain(|(other, _)| *other != maker);
        for record in self.records.values_mut() {
            if power && !record.synced || !power && record.maker == maker && !record.taken {
                record.excused = true;
            }
        }
    }

    /// Looks at what a process has come to since it was last looked at; whether a withdrawal has ended well.
    pub fn look(&mut self, maker: (usize, u8), process: &mut Process, disk: &SimDisk) -> bool {
        let mut ended_well = false;
        for (op, synced) in &process.taken {
            let mine = |record: &&mut Record| record.maker == maker && record.op == Some(*op);
            if let Some(record) = self.records.values_mut().find(mine) {
                record.taken = true;
                record.synced |= *synced;
            }
        }
        process.taken.retain(|(_, synced)| !synced);
        for (ticket, result) in std::mem::take(&mut process.settled) {
            self.in_process |= result.is_err();
            self.grants_under_way.retain(|grant| *grant != (maker, ticket));
            let Some(at) = self.refusals.iter().position(|r| r.maker == maker && r.ticket == ticket) else {
                continue;
            };
            let refusal = self.refusals.remove(at);
            if result.is_ok() {
                self.withdrawn(&refusal, disk);
                ended_well = true;
            } else if matches!(result, Err(Trouble::NotRecorded(_))) {
                self.owed.extend(refusal.asks().into_iter().map(|asked| (maker, asked)));
            }
        }
        self.watch_decision(disk);
        ended_well
    }

    /// C3, C4: a withdrawal has ended well.
    fn withdrawn(&mut self, refusal: &Refusal, disk: &SimDisk) {
        // Where clocks jump, or the record was deleted or could not be read, it cannot be told which of two words that
        // cross was the last.
        let crossing = refusal.crossing || !self.grants_under_way.is_empty();
        let told = !self.lossy && !self.in_process && !self.renumbered || !crossing;
        if !refusal.overtaken && told {
            self.refused = true;
            self.refuser = Some(refusal.maker);
        }
        self.withdrawn_devices.extend(refusal.device.clone());
        let known = |asked: &Asked| self.asked.contains(asked);
        let asked: Vec<_> = refusal.asks().into_iter().filter(|asked| !known(asked)).collect();
        self.asked.extend(asked);
        for (_, record) in self.records.range_mut(..refusal.bound) {
            record.withdrawn |= told || record.maker == refusal.maker;
        }
        // A refusal over what cannot be read is numbered by the clock, and that has jumped.
        if self.lossy && self.in_process {
            return;
        }
        for (path, bytes) in disk.files() {
            let text = String::from_utf8_lossy(&bytes);
            let left = markers(&text).find(|marker| told && *marker < refusal.bound);
            assert_eq!(left, None, "C3: a withdrawn record stands in {}", path.display());
            let consent = path.to_string_lossy().contains(".consent.");
            let secret = !consent && !refusal.overtaken && told && text.contains("a5a5a5a5a5a5");
            assert!(!secret, "C3: an identifier stands in {}", path.display());
        }
    }

    /// Looks at the decision on the disk; after every step, so that none goes unseen.
    pub fn watch_decision(&mut self, disk: &SimDisk) {
        let mut asking =
            self.refusals.iter_mut().filter(|refusal| refusal.also != Also::default()).peekable();
        if asking.peek().is_some()
            && let Some(device) = device_on(disk)
        {
            asking.for_each(|refusal| _ = refusal.stored.insert(device.clone()));
        }
        let slots = consent_slots(disk);
        // Most steps write no record, and reading one is most of the work of looking.
        if self.last_slots.as_ref() == Some(&slots) {
            return;
        }
        self.last_slots = Some(slots);
        let record = record_on(disk);
        let decision = record.as_ref().map(|record| record.decision);
        if decision == Some(Decision::Granted) && self.last_decision != decision {
            self.grants += 1;
        }
        self.last_decision = decision;
        // A withdrawal takes what was captured before it was written, not only before it was called for.
        let epoch = record.map_or(0, |record| record.epoch);
        // Lower, where a refusal was written over what could not be read.
        if epoch != self.last_epoch {
            self.last_epoch = epoch;
            self.excuse_all();
        }
    }

    /// C2, C5, C6: a request that is not the outbox's has begun to leave.
    pub fn departed(&self, maker: (usize, u8), process: &Process, request: &Request) {
        let here = process.engine.consent().decision;
        assert!(here != Decision::Denied, "C5: a process sends after its own refusal: {maker:?}");
        if self.blind {
            return;
        }
        assert!(!self.refused, "C5: a request leaves after a refusal: {}", request.path);
        for marker in markers(&request.body) {
            let withdrawn = self.records.get(&marker).is_some_and(|record| record.withdrawn);
            assert!(!withdrawn, "C6: {} was withdrawn and leaves", marker_text(marker));
        }
        for device in &self.withdrawn_devices {
            assert!(!request.body.contains(device.as_str()), "C6: a withdrawn device sends: {device}");
        }
    }

    /// C5: once a withdrawal has ended well, no byte of what it withdrew is still being written. A process that decided
    /// without being able to read the record cannot have read anybody else's word in it.
    pub fn writes(&self, process: &Process) {
        if self.in_process {
            return;
        }
        for open in process.open.iter().filter(|open| open.sending.is_some() && !open.outbox) {
            for marker in markers(&open.request.body) {
                let withdrawn = self.records.get(&marker).is_some_and(|record| record.withdrawn);
                assert!(!withdrawn, "C5: {} is still being written", marker_text(marker));
            }
        }
    }

    /// C7: whoever has given the last refusal goes on refusing.
    pub fn holds(&self, maker: (usize, u8), process: &Process) {
        if self.refused && !self.blind && self.refuser == Some(maker) {
            let consent = process.engine.consent();
            let unavailable = consent.reason() == "store_unavailable";
            assert!(
                consent.decision == Decision::Denied || unavailable,
                "C7: a refusal is taken back: {consent:?}"
            );
        }
    }

    /// After every step.
    pub fn check(&self, disk: &SimDisk, collector: &Collector) {
        if !self.may_write {
            let files = disk.files();
            assert!(files.is_empty(), "C3: nobody has decided, and there is {:?}", files[0].0);
        }
        if !self.damaged && !self.in_process && !self.lossy && !self.renumbered {
            let announced = collector.opt_ins.len();
            assert!(announced <= self.grants, "C11: {announced} announcements of {} grants", self.grants);
        }
    }

    /// A process that has just begun has read what there is.
    pub fn started(&self, process: &Process) {
        if self.refused && !self.blind && process.engine.is_open() {
            let consent = process.engine.consent();
            let denies = consent.verdict.as_str() == "deny";
            assert!(
                consent.decision == Decision::Denied || denies,
                "C7, C8: a refusal was forgotten: {consent:?}"
            );
        }
    }

    /// The world has calmed down, and nobody has died of it: what was asked for with a refusal that could not be written
    /// was asked for all the same (C12), once there is a record to keep it.
    pub fn paid(&self, collector: &Collector, disk: &SimDisk) {
        if !(self.damaged || self.lossy) && record_on(disk).is_some() {
            let owed = self.owed.iter().map(|(_, asked)| asked);
            owed.filter(|asked| self.is_promised(asked)).for_each(|asked| asked.has_arrived(collector));
        }
    }

    /// The world has calmed down: everything was delivered that had to be.
    pub fn ended(&self, collector: &Collector, poison: &dyn Fn(u64) -> bool) {
        for (marker, record) in &self.records {
            let arrived = collector.records.contains_key(marker);
            let lost = record.taken && !record.excused && !arrived && !poison(*marker);
            assert!(!lost || self.damaged || self.lossy, "{} was taken, and is lost", marker_text(*marker));
        }
        for (marker, text) in &collector.records {
            assert!(self.records.contains_key(marker), "{} was never made: {text}", marker_text(*marker));
            assert!(!poison(*marker), "poison was taken");
        }
        if !(self.damaged || self.lossy || self.in_process) {
            let asked = self.asked.iter().filter(|asked| self.is_promised(asked));
            asked.for_each(|asked| asked.has_arrived(collector));
        }
        let ids: BTreeSet<_> =
            collector.records.values().filter_map(|text| text_of(text, "$insert_id")).collect();
        let events = collector.records.values().filter(|text| text.starts_with("{\"event\"")).count();
        assert_eq!(ids.len(), events, "every event has an id of its own");
    }

    fn is_promised(&self, asked: &Asked) -> bool {
        asked.devices.is_disjoint(&self.turned_away)
    }

    /// C4, C8: where the record refuses, or there is none, and somebody lives there, nothing is left.
    pub fn purged(&self, disk: &SimDisk) {
        let numbered_anew = self.lossy && self.in_process;
        let decided = disk.files().iter().any(|(path, _)| path.to_string_lossy().contains(".consent."));
        let refuses = record_on(disk).is_some_and(|record| record.decision == Decision::Denied);
        if self.damaged || numbered_anew || decided && !refuses {
            return;
        }
        for (path, bytes) in disk.files() {
            if !path.to_string_lossy().contains(".consent.") {
                let text = String::from_utf8_lossy(&bytes);
                let data = markers(&text).next().is_some() || text.contains("a5a5a5a5a5a5");
                assert!(!data, "C4: a withdrawal was not gone on with: {}", path.display());
            }
        }
    }

    /// Somebody else has deleted the consent record. C8: what stands there, and is nobody's, belongs to nobody now.
    pub fn record_lost(&mut self, nobody_lives: bool) {
        self.excuse_all();
        self.renumbered = true;
        self.asked.clear();
        self.owed.clear();
        self.refused = false;
        // Who holds records and an identity in memory and has not seen a refusal that stood there never will.
        let held = self.records.values_mut().filter(|record| record.op.is_none());
        held.for_each(|record| record.withdrawn = false);
        for refusal in &mut self.refusals {
            (refusal.overtaken, refusal.crossing, refusal.also) = (true, true, Also::default());
            // Others who hold it still will never hear of the refusal.
            refusal.device = None;
        }
        self.last_epoch = 0;
        self.last_slots = None;
        if nobody_lives {
            self.records.values_mut().for_each(|record| record.withdrawn = true);
        } else {
            self.withdrawn_devices.clear();
        }
    }

    /// What the witness expects: states in which it expects different things are different.
    pub fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// The newest epoch that stood on the disk.
    pub fn epoch(&self) -> u64 {
        self.last_epoch
    }

    /// How many records were made.
    pub fn made_count(&self) -> usize {
        self.records.len()
    }
}

impl Asked {
    fn has_arrived(&self, collector: &Collector) {
        let Self { kind, devices } = self;
        let names =
            |body: &String| devices.iter().any(|device| body.contains(&format!("\"$device:{device}\"")));
        let arrived = match kind {
            ErasureKind::Device => collector.erasures.iter().any(|asked| devices.contains(asked)),
            ErasureKind::Profile => collector.deletions.iter().any(names),
        };
        assert!(
            arrived || devices.is_empty(),
            "C12: the erasure of {devices:?} ({kind:?}) is never asked for"
        );
    }
}

/// C12: an erasure that counts as done has its receipt.
pub fn receipts(disk: &SimDisk) {
    for entry in record_on(disk).into_iter().flat_map(|record| record.outbox) {
        let done = entry.kind == ErasureKind::Device && entry.state == ErasureState::Completed;
        let receipt = entry.answer.is_some_and(|answer| answer.contains("\"receipt\""));
        assert!(!done || receipt, "C12: an erasure is done without a receipt");
    }
}

/// C12: no record that names a user overtakes the deletion of that user's profile.
pub fn stays_behind(disk: &SimDisk, request: &Request) {
    for entry in record_on(disk).into_iter().flat_map(|record| record.outbox) {
        let open = entry.kind == ErasureKind::Profile && !entry.state.is_final();
        let user = entry.user.filter(|_| open).map(|user| format!("\"{user}\""));
        let overtakes = user.is_some_and(|user| request.body.contains(&user));
        assert!(!overtakes, "C12: a record overtakes the deletion of its profile: {}", request.body);
    }
}

/// What each slot of the consent record holds.
pub fn slots_on(disk: &SimDisk) -> Vec<Vec<u8>> {
    let slots = disk.files().into_iter().filter(|(path, _)| path.to_string_lossy().contains(".consent."));
    let content = |bytes: Vec<u8>| match slot::newest(Some(&bytes), None) {
        Slots::Content { payload, .. } => Some(payload.to_vec()),
        _ => None,
    };
    slots.filter_map(|(_, bytes)| content(bytes)).collect()
}

/// C8: what a bit that flips has made of a slot is no record.
pub fn no_other_record(disk: &SimDisk, before: &[Vec<u8>]) {
    let other = slots_on(disk).into_iter().find(|payload| !before.contains(payload));
    assert_eq!(other, None, "C8: a damaged record passes for a whole one");
}

/// The consent record that stands on the disk.
pub fn record_on(disk: &SimDisk) -> Option<ConsentRecord> {
    let [a, b] = consent_slots(disk);
    match slot::newest(a.as_deref(), b.as_deref()) {
        Slots::Content { payload, .. } => ConsentRecord::decode(std::str::from_utf8(payload).ok()?),
        _ => None,
    }
}

/// What stands in the consent record's two files.
fn consent_slots(disk: &SimDisk) -> [Option<Vec<u8>>; 2] {
    [".consent.a", ".consent.b"].map(|end| disk.file(end))
}

/// The device that stands on the disk, as an engine reads it.
fn device_on(disk: &SimDisk) -> Option<String> {
    let [a, b] = [".identity.a", ".identity.b"].map(|end| disk.file(end));
    let Slots::Content { payload, .. } = slot::newest(a.as_deref(), b.as_deref()) else { return None };
    let (text, consent) = (String::from_utf8(payload.to_vec()).ok()?, record_on(disk)?);
    let mut config = Config::new("T");
    config.default_consent = DefaultConsent::Granted;
    let mut reader = Engine::new(config).ok()?;
    let start = reader.handle(Now::default(), Input::Start { secret: Secret([0; 16]) }).next();
    let op = start.and_then(|effect| effect.op())?;
    let (consent, identity) = (RecordRead::Content(consent.encode()), RecordRead::Content(text));
    let result = Done::Opened { consent, identity, data: false };
    drop(reader.handle(Now::default(), Input::Done { op, result }));
    reader.device_id()
}
