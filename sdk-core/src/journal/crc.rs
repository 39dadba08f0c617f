//! CRC-32 (IEEE), eight bytes at a time: with half a byte at a time it was half of what the storage thread did.
//!
//! The tables are made when they are first needed: they would be a sixtieth of the library that a phone loads.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a byte does to the checksum, with so many zero bytes after it.
type Tables = [[AtomicU32; 256]; 8];

static TABLES: Tables = [const { [const { AtomicU32::new(0) }; 256] }; 8];
static IS_MADE: AtomicBool = AtomicBool::new(false);

/// The tables. Threads that come here at once all make them, and write the same.
fn tables() -> &'static Tables {
    if !IS_MADE.load(Ordering::Acquire) {
        make();
        IS_MADE.store(true, Ordering::Release);
    }
    &TABLES
}

#[cold]
fn make() {
    for byte in 0..=u8::MAX {
        let mut value = u32::from(byte);
        for table in &TABLES {
            for _ in 0..8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xEDB8_8320 } else { value >> 1 };
            }
            if let Some(entry) = table.get(usize::from(byte)) {
                entry.store(value, Ordering::Relaxed);
            }
        }
    }
}

/// A running checksum.
pub(crate) struct Crc(u32);

impl Crc {
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = tables();
        let of = |table: &[AtomicU32; 256], byte: u8| {
            table.get(usize::from(byte)).map_or(0, |value| value.load(Ordering::Relaxed))
        };
        let (words, rest) = bytes.as_chunks();
        for &[a, b, c, d, e, f, g, h] in words {
            let [i, j, k, l] = self.0.to_le_bytes();
            let first = of(t7, a ^ i) ^ of(t6, b ^ j) ^ of(t5, c ^ k) ^ of(t4, d ^ l);
            self.0 = first ^ of(t3, e) ^ of(t2, f) ^ of(t1, g) ^ of(t0, h);
        }
        for &byte in rest {
            self.0 = self.0 >> 8 ^ of(t0, self.0 as u8 ^ byte);
        }
        self
    }

    pub(crate) const fn sum(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(Crc::new().add(b"1234").add(b"56789").sum(), 0xCBF4_3926);
    }

    #[test]
    fn eight_bytes_at_a_time_are_the_same_as_one() {
        let bytes: Vec<u8> = (0..400_u32).map(|at| ((at * at) >> 3) as u8).collect();
        for end in 0..bytes.len() {
            let one_by_one = bytes[..end].iter().fold(Crc::new(), |crc, byte| crc.add(&[*byte]));
            assert_eq!(one_by_one.sum(), Crc::new().add(&bytes[..end]).sum(), "{end}");
        }
    }
}
