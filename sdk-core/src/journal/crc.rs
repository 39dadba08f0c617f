//! CRC-32 (IEEE), with a table of sixteen words: two look-ups a byte, small in a browser.

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse")]
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 { value >> 1 ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// A running checksum.
pub(crate) struct Crc(u32);

impl Crc {
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.0 ^= u32::from(byte);
            for _ in 0..2 {
                self.0 = self.0 >> 4 ^ TABLE.get(self.0 as usize & 15).copied().unwrap_or_default();
            }
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
}
