//! Gzip (RFC 1952) for request bodies: LZ77 with the fixed codes of DEFLATE (RFC 1951, §3.2.6). What repeats from one
//! record to the next, which is most of a batch, shrinks to a few bits; codes made to measure would gain a little
//! more, for much more code.

use crate::journal::Crc;

const WINDOW: usize = 1 << 15;
const LONGEST: usize = 258;
/// Shorter ones cost as much as they save.
const SHORTEST: usize = 4;
const HASH_BITS: u32 = 13;
/// Places with the same hash that are looked at.
const CHAIN: usize = 16;

/// (smallest length, extra bits) of the length codes 257 to 285.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// (smallest distance, extra bits) of the distance codes.
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// The input as one gzip member.
pub(super) fn gzip(input: &[u8]) -> Vec<u8> {
    // No name, no time, no system.
    let mut bits = Bits { out: vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF], held: 0, count: 0 };
    bits.out.reserve(input.len() / 3 + 64);
    // One block, the last one, with fixed codes.
    bits.put(0b011, 3);
    deflate(input, &mut bits);
    bits.symbol(256);
    bits.flush();
    let mut out = bits.out;
    out.extend_from_slice(&Crc::new().add(input).sum().to_le_bytes());
    out.extend_from_slice(&(input.len() as u32).to_le_bytes());
    out
}

fn deflate(input: &[u8], bits: &mut Bits) {
    // The latest place of each hash, and of each place the one before it with the same hash; all + 1.
    let mut latest = vec![0u32; 1 << HASH_BITS];
    let mut before = vec![0u32; input.len()];
    let mut at = 0;
    while at < input.len() {
        let (length, distance) = longest_match(input, at, &latest, &before);
        let length = if length >= SHORTEST {
            bits.length(length);
            bits.distance(distance);
            length
        } else {
            bits.symbol(usize::from(input[at]));
            1
        };
        for (place, before) in before.iter_mut().enumerate().skip(at).take(length) {
            if let Some(hash) = hash_at(input, place) {
                *before = latest[hash];
                latest[hash] = place as u32 + 1;
            }
        }
        at += length;
    }
}

/// Length and distance of the longest earlier text that goes on as the text here does.
fn longest_match(input: &[u8], at: usize, latest: &[u32], before: &[u32]) -> (usize, usize) {
    let mut best = (0, 0);
    let Some(hash) = hash_at(input, at) else { return best };
    let most = LONGEST.min(input.len() - at);
    let mut candidate = latest[hash] as usize;
    for _ in 0..CHAIN {
        let Some(place) = candidate.checked_sub(1).filter(|place| at - place <= WINDOW) else { break };
        let same = input[place..].iter().zip(&input[at..at + most]).take_while(|(a, b)| a == b).count();
        if same > best.0 {
            best = (same, at - place);
            if same == most {
                break;
            }
        }
        candidate = before[place] as usize;
    }
    best
}

fn hash_at(input: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_le_bytes(*input.get(at..)?.first_chunk()?);
    Some((word.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize)
}

/// Bits, the lowest first.
struct Bits {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// A Huffman code goes with its highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    /// A literal, the end of the block (256) or a length, by the fixed code.
    fn symbol(&mut self, symbol: usize) {
        let symbol = symbol as u32;
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xC0 + symbol - 280, 8),
        }
    }

    fn length(&mut self, length: usize) {
        let (index, rest, extra) = place(&LENGTHS, length);
        self.symbol(257 + index);
        self.put(rest, extra);
    }

    fn distance(&mut self, distance: usize) {
        let (index, rest, extra) = place(&DISTANCES, distance);
        self.code(index as u32, 5);
        self.put(rest, extra);
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.out.push(self.held as u8);
            (self.held, self.count) = (0, 0);
        }
    }
}

/// The code of a value, what is left above the code's smallest, and in how many bits that goes.
fn place(table: &[(u16, u8)], value: usize) -> (usize, u32, u32) {
    let index = table.partition_point(|(smallest, _)| usize::from(*smallest) <= value) - 1;
    let (smallest, extra) = table[index];
    (index, (value - usize::from(smallest)) as u32, u32::from(extra))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn round_trip(input: &[u8]) -> usize {
        let packed = gzip(input);
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut out).unwrap();
        assert!(out == input, "{} bytes", input.len());
        packed.len()
    }

    #[test]
    fn another_implementation_reads_it() {
        round_trip(b"");
        round_trip(b"a");
        for length in [3, 4, 257, 258, 259, 300, 70_000] {
            round_trip(&vec![b'x'; length]);
        }
        // Noise, and noise that repeats at every distance.
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let random: Vec<u8> = (0..100_000).map(|_| noise()).collect();
        round_trip(&random);
        for distance in [1, 2, 5, 100, 1_000, 32_767, 32_768, 32_769] {
            let repeated: Vec<u8> = random[..distance].iter().cycle().take(80_000).copied().collect();
            round_trip(&repeated);
        }
    }

    #[test]
    fn a_batch_shrinks_to_a_fraction() {
        let record = |n: u32| {
            format!(
                r#"{{"event":"Bought","properties":{{"token":"T","distinct_id":"u{n}","$insert_id":"{:032x}","price":{n}}}}}"#,
                u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
            )
        };
        let batch = (0..50).map(record).collect::<Vec<_>>().join(",");
        let packed = round_trip(batch.as_bytes());
        assert!(packed * 2 < batch.len(), "{packed} of {}", batch.len());
    }
}
