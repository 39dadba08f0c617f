//! The journal and the records on a disk that was changed underneath: what is found was written, nothing panics, and
//! what was found once is found again.
//!
//! The first byte of an input chooses: bytes that stand in a segment or in slots as they are; a segment that was
//! written well and is changed then; or a whole data folder, written by processes and changed then.

use crate::bytes::Bytes;
use crate::segment;
use refrain::engine::{
    Answer, ConsentRecord, ConsentState, Decision, DefaultConsent, DenyReason, Done, EventId, Input, Now,
    Outcome, RecordName, Signals, Verdict,
};
use refrain::engine::{Call, Recovered};
use refrain::journal::segment::{Found, HEADER_LEN, Header, Kind, Records, encode_record};
use refrain::journal::slot::{self, Slots};
use refrain::native::simulation::{Disk, DiskFile, Layout, Ledger, Mode, Store};
use refrain_simulation::disk::SimDisk;
use refrain_simulation::process::{Departure, Process, folder};
use refrain_simulation::search::laws;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) const DICTIONARY: &[&str] =
    &["RFQ1", "RFS1", "RFS2", "\0\0\0\0", "\0\0\0\0\0\0\0\0", "\u{1}\0\0\0\0\0\0\0", "{\"event\":\"e\"}"];

/// What stands before a record's payload.
const RECORD_HEAD: usize = 17;

pub(super) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.below(4) {
        0 => check_segment(bytes.rest()),
        1 => {
            let first = usize::from(bytes.byte());
            let (first, second) = (bytes.take(first), bytes.rest());
            check_slots(first, second);
        }
        2 => changed_segment(&mut bytes),
        _ => changed_folder(&mut bytes),
    }
}

/// Any bytes, and the same with a header in front that makes them a segment.
fn check_segment(bytes: &[u8]) {
    check_records(bytes);
    let header = Header { epoch: 1, number: 1 };
    check_records(&[&header.encode(), bytes].concat());
}

fn check_records(bytes: &[u8]) {
    let Some(records) = Records::new(bytes) else {
        return assert_eq!(Header::decode(bytes), None);
    };
    let header = records.header();
    assert_eq!(bytes.get(..HEADER_LEN), Some(&header.encode()[..]));
    let mut at = HEADER_LEN;
    for found in records {
        match found {
            Found::Record { kind, seq, payload } => {
                let mut record = Vec::new();
                encode_record(&mut record, header, kind, seq, payload);
                let place = payload.as_ptr() as usize - bytes.as_ptr() as usize;
                assert_eq!(bytes.get(place - RECORD_HEAD..place + payload.len()), Some(&record[..]));
                assert!(place >= at + RECORD_HEAD);
                at = place + payload.len();
            }
            Found::Damage { at: start, len } => {
                assert!(start >= at && len > 0 && start + len <= bytes.len());
                at = start + len;
            }
        }
    }
    assert!(at <= bytes.len());
    assert_eq!(Some(found(bytes)), second_opinion(bytes), "the other reader finds others");
}

fn check_slots(first: &[u8], second: &[u8]) {
    let newest = slot::newest(Some(first), Some(second));
    let later = |slot: &[u8]| slot.starts_with(b"RFS") && slot.get(3) > Some(&b'1');
    match newest {
        Slots::Absent => panic!("something stands there"),
        Slots::Unreadable => {}
        Slots::Content { generation, payload, second: in_second } => {
            let holder = if in_second { second } else { first };
            assert_eq!(slot::encode(generation, payload), holder);
            assert!(!later(first) && !later(second), "a later version is overruled");
        }
    }
    // Whatever stands in one slot, a whole one beside it is read; unless a later version has written.
    let whole = slot::encode(u64::MAX, b"whole");
    let content = Slots::Content { generation: u64::MAX, payload: &b"whole"[..], second: true };
    let read = slot::newest(Some(first), Some(&whole));
    let twin = matches!(slot::newest(Some(first), None), Slots::Content { generation: u64::MAX, .. });
    assert!(read == if later(first) { Slots::Unreadable } else { content } || twin);
}

/// A change of some bytes.
enum Change {
    Cut,
    Flip,
    Delete,
    /// What it leaves may hold a record twice.
    Copy,
    Insert,
    Zero,
}

const CHANGES: [fn() -> Change; 6] =
    [|| Change::Cut, || Change::Flip, || Change::Delete, || Change::Copy, || Change::Insert, || Change::Zero];

/// Changes bytes as the input says.
fn change(bytes: &mut Bytes<'_>, file: &mut Vec<u8>, other: &[u8]) -> Change {
    let change = bytes.pick(&CHANGES)();
    let at = usize::from(bytes.short()) % (file.len() + 1);
    let len = usize::from(bytes.byte()).min(file.len() - at);
    match change {
        Change::Cut => file.truncate(at),
        Change::Flip => {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 1 << bytes.below(8);
            }
        }
        Change::Delete => {
            file.drain(at..at + len);
        }
        Change::Copy => {
            let from = usize::from(bytes.short()) % (other.len() + 1);
            let copy = &other[from..(from + len).min(other.len())];
            file.splice(at..at, copy.iter().copied());
        }
        Change::Insert => {
            let len = bytes.below(32);
            file.splice(at..at, bytes.take(len).iter().copied());
        }
        Change::Zero => file[at..at + len].fill(0),
    }
    change
}

type Written = (Kind, u64, Vec<u8>);

fn found(segment: &[u8]) -> Vec<Written> {
    let records = Records::new(segment).into_iter().flatten();
    let record = |found| match found {
        Found::Record { kind, seq, payload } => Some((kind, seq, payload.to_vec())),
        Found::Damage { .. } => None,
    };
    records.filter_map(record).collect()
}

/// The records as the other reader finds them.
fn second_opinion(bytes: &[u8]) -> Option<Vec<Written>> {
    let kinds = [Kind::Event, Kind::Acknowledged, Kind::NotBefore];
    let records = segment::records(bytes)?.into_iter();
    Some(records.map(|record| (kinds[usize::from(record.kind)], record.seq, record.payload)).collect())
}

fn changed_segment(bytes: &mut Bytes<'_>) {
    let header = Header { epoch: bytes.number(), number: bytes.number() };
    let mut segment = header.encode().to_vec();
    let mut written: Vec<Written> = Vec::new();
    for _ in 0..bytes.below(8) {
        let kind = bytes.pick(&[Kind::Event, Kind::Event, Kind::Acknowledged, Kind::NotBefore]);
        let (seq, len) = (bytes.number(), bytes.below(64));
        let payload = bytes.take(len).to_vec();
        encode_record(&mut segment, header, kind, seq, &payload);
        written.push((kind, seq, payload));
    }
    assert_eq!(found(&segment), written);
    check_records(&segment);
    let whole = segment.clone();
    let (mut cuts_only, mut flips, mut flips_only, mut twice) = (true, 0, true, false);
    while !bytes.is_empty() {
        let change = change(bytes, &mut segment, &whole);
        cuts_only &= matches!(change, Change::Cut);
        flips_only &= matches!(change, Change::Flip);
        flips += 1;
        twice |= matches!(change, Change::Copy);
    }
    check_records(&segment);
    let left = found(&segment);
    // What stands in a payload is its writer's business: a record in there may come to light.
    let nested = |record: &Written| {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, header, record.0, record.1, &record.2);
        whole.windows(bytes.len()).any(|window| window == bytes)
    };
    assert!(left.iter().all(|record| written.contains(record) || nested(record)), "never written: {left:?}");
    if cuts_only {
        assert!(written.starts_with(&left), "a cut leaves what stood before it");
    }
    if flips_only && Header::decode(&segment).is_some() {
        assert!(left.len() + flips >= written.len(), "a flip costs more than its record");
    }
    if !twice {
        let mut rest = written.iter();
        let in_order = left.iter().all(|record| rest.any(|other| other == record) || nested(record));
        assert!(in_order, "out of order: {left:?}");
    }
}

/// The clocks and the place of processes come from a counter, so that their random bits differ.
struct Folder {
    disk: SimDisk,
    now: Now,
    processes: u8,
    /// Names of events, each given once.
    names: usize,
    /// Events that are on disk: the store has come to rest since, they have not left, and nobody has objected.
    kept: BTreeSet<String>,
}

impl Folder {
    fn process(&mut self) -> Process {
        self.processes += 1;
        let mut laws = laws(DefaultConsent::Granted);
        laws.config.batch_size = 2;
        let mut process =
            Process::start(&self.disk, &laws, Signals::default(), self.now, 1, self.processes, false);
        while process.step() {}
        process
    }

    /// A store without a client, as a process sees it.
    fn store(&mut self) -> (Store<SimDisk>, Ledger<SimDisk>) {
        self.processes += 1;
        let ledger = Ledger::new(Some(Layout::on(self.disk.process(), folder(), "T")));
        (Store::new(ledger.clone(), [2, self.processes, 0, 0, 0, 0, 0, 1]), ledger)
    }

    fn recover(&mut self, epoch: u64) -> Recovered {
        let (mut store, _) = self.store();
        match store.recover(epoch) {
            Done::Recovered(recovered) => recovered,
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let mut file = self.disk.open(path, Mode::Anew).expect("the disk is well");
        file.write_all(bytes).and_then(|()| file.sync()).expect("the disk is well");
    }
}

/// Where the queues are.
fn queues() -> PathBuf {
    folder().join("queue")
}

fn texts(recovered: &Recovered) -> Vec<(bool, u64, &str)> {
    recovered.records.iter().map(|record| (record.adopted, record.id.seq, record.text.as_str())).collect()
}

fn changed_folder(bytes: &mut Bytes<'_>) {
    let now = Now { wall_ms: crate::host::WALL_MS, mono_ms: 1_000 };
    let mut place = Folder { disk: SimDisk::new(), now, processes: 0, names: 0, kept: BTreeSet::new() };
    live(bytes, &mut place);
    let before = Ledger::new(Some(Layout::on(place.disk.process(), folder(), "T"))).read(RecordName::Consent);
    let before = ConsentState::of(&before).record().cloned();
    // Of the events that were taken none is missing, and none stands there that nobody has recorded.
    let written =
        segment::recovered(&place.disk.files(), &queues(), before.as_ref().map_or(1, |it| it.epoch));
    let named = |name: &String| written.texts.iter().any(|text| text.contains(&format!("\"{name}\"")));
    assert!(place.kept.iter().all(named), "lost: {:?} of {:?}", place.kept, written.texts);
    change_files(bytes, &place);

    let (_, ledger) = place.store();
    let state = ConsentState::of(&ledger.read(RecordName::Consent));
    let epoch = match (&state, &before) {
        (ConsentState::Found(record), _) => record.epoch,
        (_, Some(record)) => record.epoch,
        _ => 1,
    };
    let agreed = |record: &ConsentRecord| record.decision != Decision::Denied;
    let expected = match state.record().is_some_and(agreed) || state == ConsentState::Unreadable {
        true => segment::recovered(&place.disk.files(), &queues(), epoch),
        // A refusal leaves nothing, and without a record nothing is anybody's.
        false => segment::Queue::default(),
    };
    let first = place.recover(epoch);
    let mut found: Vec<_> = first.records.iter().map(|record| record.text.clone()).collect();
    found.sort();
    assert_eq!(
        found, expected.texts,
        "what was written, is undamaged and not acknowledged, and nothing else"
    );
    assert_eq!(first.not_before_ms, expected.not_before_ms);
    let second = place.recover(epoch);
    assert_eq!(texts(&second), texts(&first), "a second recovery finds the same");
    assert_eq!((second.damaged, second.wiped), (0, 0), "what was repaired is whole");
    // What stood in a segment whose records are all acknowledged goes with it.
    assert!(second.not_before_ms.is_none_or(|_| second.not_before_ms == first.not_before_ms));
    for recovered in [&first, &second] {
        let own = recovered.records.iter().filter(|record| !record.adopted).map(|record| record.id.seq);
        assert!(own.max().is_none_or(|seq| seq < recovered.next_seq || seq == u64::MAX));
    }
    client(&mut place, &state, &first);
}

/// Processes come and go, and leave something behind.
fn live(bytes: &mut Bytes<'_>, place: &mut Folder) {
    for _ in 0..=bytes.below(3) {
        let mut process = place.process();
        let mut recorded = BTreeSet::new();
        for _ in 0..bytes.below(16) {
            match bytes.below(12) {
                0..=4 => {
                    place.names += 1;
                    let name = format!("e{}-{}-{}", place.processes, bytes.byte(), place.names);
                    let properties = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes.below(200)));
                    if process.track(&name, &properties) == Outcome::Accepted {
                        recorded.insert(name);
                    }
                }
                5 => {
                    process.input(Input::Flush);
                }
                6 | 7 => {
                    if process.depart() == Departure::Left {
                        // Whether or not it is delivered, nothing more is demanded of what has left.
                        let left = &process.open[0].request.body;
                        let stays = |name: &String| !left.contains(&format!("\"{name}\""));
                        place.kept.retain(stays);
                        recorded.retain(stays);
                        let body = String::from(if bytes.flag() { "1" } else { "" });
                        let status = bytes.pick(&[200, 503, 400]);
                        let retry_after = bytes.flag().then(|| bytes.below(100).to_string());
                        process.answered(0, Answer::Response { status, retry_after, body });
                    }
                }
                8 => {
                    process.input(Input::Call(Call::identify("u1", EventId([1; 16]))));
                }
                9 => {
                    process.now.mono_ms += 10_000;
                    process.tick();
                }
                10 if bytes.below(4) == 0 => {
                    place.kept.clear();
                    recorded.clear();
                    process.opt_out(Default::default());
                    while process.step() {}
                    process.opt_in();
                }
                _ => {
                    process.step();
                }
            }
        }
        if bytes.flag() {
            while process.step() {}
            place.kept.append(&mut recorded);
        }
        process.kill();
    }
}

/// Names that a file of a queue may come to have.
const NAMES: [&str; 8] = [
    "0000000000000001.log",
    "0000000000000002.log",
    "0000000000000009.log",
    "9999999999999999.log",
    "0000000000000001.log.bad",
    "0000000000000001.log.tmp",
    "owner",
    "notes.txt",
];

fn change_files(bytes: &mut Bytes<'_>, place: &Folder) {
    while !bytes.is_empty() {
        let files = place.disk.files();
        if files.is_empty() {
            return;
        }
        let (path, mut file) = files[bytes.below(files.len())].clone();
        let (beside, other) = &files[bytes.below(files.len())];
        match bytes.below(8) {
            0 => place.disk.remove(&path).expect("it is there"),
            1 if beside.starts_with(folder().join("queue")) => {
                place.write(&beside.with_file_name(bytes.pick(&NAMES)), &file);
            }
            2 => place.write(&path, other),
            _ => {
                change(bytes, &mut file, other);
                place.write(&path, &file);
            }
        }
    }
}

/// A client begins on what is left.
fn client(place: &mut Folder, state: &ConsentState, recovered: &Recovered) {
    let mut process = place.process();
    let verdict = process.engine.consent().verdict;
    let stats = process.engine.stats();
    match state {
        ConsentState::Unreadable => assert_eq!(verdict, Verdict::Deny(DenyReason::StoreUnavailable)),
        // Data without a record is wiped (C8).
        ConsentState::Absent => assert_eq!((verdict, stats.queued), (Verdict::Allow, 0)),
        ConsentState::Found(record) if record.decision == Decision::Denied => {
            assert_eq!(verdict, Verdict::Deny(DenyReason::Person));
            assert_eq!(segments(&place.disk), Vec::<PathBuf>::new(), "C3: data beside a refusal");
        }
        ConsentState::Found(_) => {
            assert_eq!(verdict, Verdict::Allow);
            assert_eq!((stats.recovered + stats.adopted) as usize, recovered.records.len());
        }
    }
    // It goes on from there, and objecting leaves nothing.
    if verdict == Verdict::Allow {
        process.track("goes on", "{}");
        while process.step() {}
        assert_eq!(process.engine.stats().queued, stats.queued + 1);
    }
    let ticket = process.opt_out(Default::default());
    while process.step() {}
    let ended = process.settled.iter().find(|(of, _)| *of == ticket).map(|(_, result)| result.clone());
    assert_eq!(ended, Some(Ok(())));
    assert_eq!(segments(&place.disk), Vec::<PathBuf>::new(), "C3: data after a refusal");
}

/// Everything that may hold a record.
fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let data = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.contains(".log") || name.contains(".identity.")
    };
    disk.files().into_iter().filter(|(_, file)| !file.is_empty()).map(|(path, _)| path).filter(data).collect()
}
