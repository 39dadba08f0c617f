//! A small record that is replaced as a whole, kept twice.
//!
//! ```text
//! slot     "RFS1" | generation u64 | len u32 | crc u32 | payload          little endian
//! ```
//! A write goes to the slot that does not hold the newest content, so that a torn write leaves the old content;
//! once it is durable the other slot is written too, so that later damage to either leaves the new.

use super::crc::Crc;
use alloc::vec::Vec;

const MAGIC: &[u8; 3] = b"RFS";
const VERSION: u8 = b'1';
const HEAD: usize = 20;

/// What two slots hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots<'a> {
    /// Neither was ever written.
    Absent,
    /// Something stands there, but no undamaged content that this version understands.
    Unreadable,
    /// The newest undamaged content.
    Content {
        /// Its generation; the next write has the next one.
        generation: u64,
        /// The record.
        payload: &'a [u8],
        /// Whether it stands in the second slot.
        second: bool,
    },
}

/// The bytes of a slot.
pub fn encode(generation: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + payload.len());
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(generation, payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// Reads two slots, each `None` where there is no such file.
pub fn newest<'a>(first: Option<&'a [u8]>, second: Option<&'a [u8]>) -> Slots<'a> {
    if first.is_none() && second.is_none() {
        return Slots::Absent;
    }
    // A later version has written here: its content outranks whatever an earlier one left behind.
    if [first, second].into_iter().flatten().any(|b| b.starts_with(MAGIC) && b.get(3) > Some(&VERSION)) {
        return Slots::Unreadable;
    }
    match (first.and_then(decode), second.and_then(decode)) {
        (None, None) => Slots::Unreadable,
        (Some((generation, payload)), None) => Slots::Content { generation, payload, second: false },
        (None, Some((generation, payload))) => Slots::Content { generation, payload, second: true },
        (Some(a), Some(b)) => {
            let second = b.0 > a.0;
            let (generation, payload) = if second { b } else { a };
            Slots::Content { generation, payload, second }
        }
    }
}

fn decode(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let generation = u64::from_le_bytes(*rest.first_chunk()?);
    let len = u32::from_le_bytes(*rest.get(8..)?.first_chunk()?) as usize;
    let sum = u32::from_le_bytes(*rest.get(12..)?.first_chunk()?);
    let payload = rest.get(16..)?;
    (payload.len() == len && crc(generation, payload) == sum).then_some((generation, payload))
}

fn crc(generation: u64, payload: &[u8]) -> u32 {
    Crc::new().add(&generation.to_le_bytes()).add(payload).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_undamaged_content_counts() {
        let (old, new) = (encode(1, b"granted"), encode(2, b"denied"));
        let content = |generation, payload, second| Slots::Content { generation, payload, second };
        assert_eq!(newest(None, None), Slots::Absent);
        assert_eq!(newest(Some(&old), Some(&new)), content(2, &b"denied"[..], true));
        assert_eq!(newest(Some(&new), Some(&old)), content(2, &b"denied"[..], false));
        assert_eq!(newest(Some(&new[..9]), Some(&old)), content(1, &b"granted"[..], true));
        assert_eq!(newest(Some(&[]), None), Slots::Unreadable);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = encode(7, b"{\"v\":1}");
        for bit in 0..whole.len() * 8 {
            let mut hurt = whole.clone();
            hurt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(newest(Some(&hurt), None), Slots::Unreadable, "bit {bit}");
        }
        for cut in 0..whole.len() {
            assert_eq!(newest(Some(&whole[..cut]), None), Slots::Unreadable, "cut at {cut}");
        }
    }

    #[test]
    fn a_later_version_is_never_overruled_by_an_old_slot() {
        let mut later = encode(9, b"denied");
        later[3] = b'2';
        assert_eq!(newest(Some(&encode(1, b"granted")), Some(&later)), Slots::Unreadable);
    }
}
