//! The queue's files read a second time, from what is written down about their format, with nothing of the SDK's reader:
//! what a recovery has to find in them, no more and no less.
//!
//! ```text
//! header   "RFQ1" | epoch u64 | number u64 | crc u32                      little endian
//! record   len u32 | crc u32 | kind u8 | seq u64 | payload (len bytes)
//! ```
//! A record's checksum is that of the header's epoch and number, its kind, its number and its payload.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const HEADER: usize = 24;
const RECORD_HEAD: usize = 17;
const EVENT: u8 = 0;
const ACKNOWLEDGED: u8 = 1;
const NOT_BEFORE: u8 = 2;

/// An undamaged record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is, as a byte says it.
    pub kind: u8,
    /// Its number in the queue.
    pub seq: u64,
    /// Its content.
    pub payload: Vec<u8>,
}

/// What a recovery has to find.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The texts of events that nobody has acknowledged, sorted.
    pub texts: Vec<String>,
    /// Before when nothing may be sent.
    pub not_before_ms: Option<u64>,
}

/// The epoch and the number of a segment; `None` if its header is damaged.
pub fn header(bytes: &[u8]) -> Option<(u64, u64)> {
    let whole = bytes.get(..HEADER)?;
    let sound = whole.starts_with(b"RFQ1") && crc(&[&whole[..20]]) == u32_at(whole, 20)?;
    sound.then_some((u64_at(whole, 4)?, u64_at(whole, 12)?))
}

/// The undamaged records of a segment, in order; what stands between them is passed byte by byte.
pub fn records(bytes: &[u8]) -> Option<Vec<Record>> {
    let (epoch, number) = header(bytes)?;
    let mut records = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        match record(bytes, at, epoch, number) {
            Some(record) => {
                at += RECORD_HEAD + record.payload.len();
                records.push(record);
            }
            None => at += 1,
        }
    }
    records.retain(|record| record.kind <= NOT_BEFORE);
    Some(records)
}

fn record(bytes: &[u8], at: usize, epoch: u64, number: u64) -> Option<Record> {
    let (len, sum) = (u32_at(bytes, at)? as usize, u32_at(bytes, at + 4)?);
    let (kind, seq) = (*bytes.get(at + 8)?, u64_at(bytes, at + 9)?);
    let payload = bytes.get(at + RECORD_HEAD..)?.get(..len)?;
    let own = crc(&[&epoch.to_le_bytes(), &number.to_le_bytes(), &[kind], &seq.to_le_bytes(), payload]);
    (own == sum).then(|| Record { kind, seq, payload: payload.to_vec() })
}

/// What stands in these files for a process of this epoch that takes over all queues below `folder`.
pub fn recovered(files: &[(PathBuf, Vec<u8>)], folder: &Path, epoch: u64) -> Queue {
    let mut queues: BTreeMap<&Path, BTreeMap<u64, Vec<Record>>> = BTreeMap::new();
    for (path, bytes) in files {
        let Some(queue) = path.parent().filter(|queue| queue.parent() == Some(folder)) else { continue };
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
        let ours = header(bytes).is_some_and(|(of, _)| of == epoch);
        if let (Some(number), true, Some(records)) = (number, ours, records(bytes)) {
            queues.entry(queue).or_default().insert(number, records);
        }
    }
    let mut found = Queue::default();
    for segments in queues.into_values() {
        let records: Vec<Record> = segments.into_values().flatten().collect();
        let (mut events, mut gone, mut not_before) = (BTreeMap::new(), BTreeSet::new(), None);
        for Record { kind, seq, payload } in records {
            match kind {
                // Of one that stands there twice the later one counts; what is no text is damaged.
                EVENT => drop(String::from_utf8(payload).map(|text| events.insert(seq, text))),
                ACKNOWLEDGED => gone.extend(payload.chunks_exact(8).filter_map(|seq| u64_at(seq, 0))),
                _ if payload.len() == 8 => not_before = u64_at(&payload, 0),
                _ => {}
            }
        }
        found.texts.extend(events.into_iter().filter(|(seq, _)| !gone.contains(seq)).map(|(_, text)| text));
        found.not_before_ms = found.not_before_ms.max(not_before);
    }
    found.texts.sort();
    found
}

/// CRC-32 (IEEE), bit by bit.
fn crc(parts: &[&[u8]]) -> u32 {
    !parts.iter().flat_map(|part| part.iter()).fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
