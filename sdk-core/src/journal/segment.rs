//! Segments of the queue: a header, then records until the end of the file.
//!
//! ```text
//! header   "RFQ1" | epoch u64 | number u64 | crc u32                      little endian
//! record   len u32 | crc u32 | kind u8 | seq u64 | payload (len bytes)
//! ```
//! A record's checksum covers kind, sequence number and payload and starts from the header's epoch and number, so that
//! bytes left over from another segment never pass for a record of this one.

use super::crc::Crc;
use alloc::vec::Vec;

/// Length of a segment's header, in bytes.
pub const HEADER_LEN: usize = 24;
const MAGIC: &[u8; 4] = b"RFQ1";
const RECORD_HEAD: usize = 17;

/// What all records of a segment share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The consent epoch under which every record here was captured.
    pub epoch: u64,
    /// Position of this segment in its queue; later segments have higher numbers.
    pub number: u64,
}

impl Header {
    /// The header's bytes.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (body, sum) = out.split_at_mut(HEADER_LEN - 4);
        let bytes = MAGIC.iter().copied().chain(self.epoch.to_le_bytes()).chain(self.number.to_le_bytes());
        body.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        sum.copy_from_slice(&Crc::new().add(body).sum().to_le_bytes());
        out
    }

    /// Reads the header at the start of a segment; `None` if there is no whole, undamaged one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let header = Self { epoch: u64_at(bytes, 4)?, number: u64_at(bytes, 12)? };
        (bytes.get(..HEADER_LEN)? == header.encode()).then_some(header)
    }

    fn crc(self, kind: u8, seq: u64, payload: &[u8]) -> u32 {
        // Without the header's own checksum: a checksum over text and its checksum is the same for every text.
        Crc::new()
            .add(&self.epoch.to_le_bytes())
            .add(&self.number.to_le_bytes())
            .add(&[kind])
            .add(&seq.to_le_bytes())
            .add(payload)
            .sum()
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The text of an event, ready to be sent.
    Event = 0,
    /// Sequence numbers (u64 each) of events of this queue that need no longer be kept.
    Acknowledged = 1,
    /// The wall time (u64, milliseconds) before which nothing may be sent: a `Retry-After`.
    NotBefore = 2,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Event),
            1 => Some(Self::Acknowledged),
            2 => Some(Self::NotBefore),
            _ => None,
        }
    }
}

/// Appends one record to a buffer.
pub fn encode_record(out: &mut Vec<u8>, header: Header, kind: Kind, seq: u64, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&header.crc(kind as u8, seq, payload).to_le_bytes());
    out.push(kind as u8);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(payload);
}

/// A stretch of a segment, as [`Records`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// An undamaged record.
    Record {
        /// What it is.
        kind: Kind,
        /// Its number in the queue.
        seq: u64,
        /// Its content.
        payload: &'a [u8],
    },
    /// Bytes that are no record. At the end of the last segment they are a torn write; anywhere else, damage.
    Damage {
        /// Where they begin, from the start of the segment.
        at: usize,
        /// How many they are.
        len: usize,
    },
}

/// Reads a segment from front to back. Damage costs the bytes that it hit, never what follows.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    header: Header,
    at: usize,
}

impl<'a> Records<'a> {
    /// Starts behind the header; `None` if the header is damaged, so that nothing here can be trusted.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, header: Header::decode(bytes)?, at: HEADER_LEN })
    }

    /// The segment's header.
    pub fn header(&self) -> Header {
        self.header
    }

    fn record_at(&self, at: usize) -> Option<(Option<Kind>, u64, &'a [u8])> {
        let len = u32_at(self.bytes, at)? as usize;
        let start = at.checked_add(RECORD_HEAD)?;
        let payload = self.bytes.get(start..start.checked_add(len)?)?;
        let kind = *self.bytes.get(at + 8)?;
        let seq = u64_at(self.bytes, at + 9)?;
        (u32_at(self.bytes, at + 4)? == self.header.crc(kind, seq, payload))
            .then(|| (Kind::from_byte(kind), seq, payload))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            let start = self.at;
            if start >= self.bytes.len() {
                return None;
            }
            if let Some((kind, seq, payload)) = self.record_at(start) {
                self.at = start + RECORD_HEAD + payload.len();
                match kind {
                    Some(kind) => return Some(Found::Record { kind, seq, payload }),
                    // Undamaged, but of a kind that a later version writes.
                    None => continue,
                }
            }
            // A file may have been given its length without its bytes. Zeros to the end are not looked at one by one.
            let written = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            while self.at < self.bytes.len() && self.record_at(self.at).is_none() {
                self.at = if self.at < written { self.at + 1 } else { self.bytes.len() };
            }
            return Some(Found::Damage { at: start, len: self.at - start });
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn segment() -> Vec<u8> {
        let header = Header { epoch: 3, number: 9 };
        let mut bytes = header.encode().to_vec();
        encode_record(&mut bytes, header, Kind::Event, 1, b"{\"event\":\"a\"}");
        encode_record(&mut bytes, header, Kind::Event, 2, b"{\"event\":\"b\"}");
        encode_record(&mut bytes, header, Kind::Acknowledged, 3, &1u64.to_le_bytes());
        bytes
    }

    fn seqs(bytes: &[u8]) -> (Vec<u64>, usize) {
        let mut damage = 0;
        let mut seqs = vec![];
        for found in Records::new(bytes).unwrap() {
            match found {
                Found::Record { seq, .. } => seqs.push(seq),
                Found::Damage { len, .. } => damage += len,
            }
        }
        (seqs, damage)
    }

    #[test]
    fn a_torn_tail_costs_only_itself() {
        let whole = segment();
        assert_eq!(seqs(&whole), (vec![1, 2, 3], 0));
        for cut in HEADER_LEN..whole.len() {
            let (seqs, damage) = seqs(&whole[..cut]);
            let expected = [54, 84, 109].iter().filter(|&&end| end <= cut).count();
            assert_eq!(seqs.len(), expected, "cut at {cut}");
            assert_eq!(damage > 0, ![24, 54, 84].contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_without_bytes_costs_nothing_else() {
        let mut bytes = segment();
        let written = bytes.len();
        for tail in [1, RECORD_HEAD, 1 << 20] {
            bytes.resize(written + tail, 0);
            assert_eq!(seqs(&bytes), (vec![1, 2, 3], tail));
        }
    }

    #[test]
    fn a_flipped_bit_costs_at_most_its_record() {
        let whole = segment();
        for bit in 0..whole.len() * 8 {
            let mut hurt = whole.clone();
            hurt[bit / 8] ^= 1 << (bit % 8);
            if bit / 8 < HEADER_LEN {
                assert!(Records::new(&hurt).is_none());
                continue;
            }
            let (left, damage) = seqs(&hurt);
            assert_eq!(left.len(), 2, "bit {bit}");
            assert!(damage > 0);
        }
    }

    #[test]
    fn records_of_another_segment_do_not_pass() {
        let other = Header { epoch: 2, number: 9 };
        let mut bytes = Header { epoch: 3, number: 9 }.encode().to_vec();
        encode_record(&mut bytes, other, Kind::Event, 1, b"{}");
        assert_eq!(seqs(&bytes), (vec![], bytes.len() - HEADER_LEN));
    }
}
