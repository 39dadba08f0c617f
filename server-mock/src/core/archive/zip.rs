//! A ZIP of files that are stored as they are; dated 1980-01-01, so that equal data makes equal archives. It is written
//! piece by piece: only its directory is kept until the end.

/// What does not fit into 32 bits stands in a longer field, and this in its place.
const LONG: u64 = u32::MAX as u64;

/// A ZIP that is being written.
#[derive(Default)]
pub struct Zip {
    directory: Vec<u8>,
    files: u64,
    /// How many bytes of it there are.
    at: u64,
}

impl Zip {
    /// The head of a file whose bytes follow it.
    pub fn head(&mut self, name: &str, crc: u32, size: u64) -> Vec<u8> {
        let is_long = size >= LONG || self.at >= LONG;
        // Version, UTF-8 names, stored, time and date, then what both heads share.
        let mut shared = vec![if is_long { 45 } else { 20 }, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        shared.extend_from_slice(&crc.to_le_bytes());
        for _ in ["compressed", "plain"] {
            shared.extend_from_slice(&if is_long { u32::MAX } else { size as u32 }.to_le_bytes());
        }
        shared.extend_from_slice(&(name.len() as u16).to_le_bytes());
        let long = |fields: &[u64]| -> Vec<u8> {
            let mut extra = vec![1, 0];
            extra.extend_from_slice(&(8 * fields.len() as u16).to_le_bytes());
            extra.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
            extra
        };
        let (local, central) =
            if is_long { (long(&[size, size]), long(&[size, size, self.at])) } else { (vec![], vec![]) };
        self.directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        self.directory.extend_from_slice(&shared);
        self.directory.extend_from_slice(&(central.len() as u16).to_le_bytes());
        self.directory.extend_from_slice(&[0; 10]);
        let offset = if is_long { u32::MAX } else { self.at as u32 };
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.directory.extend_from_slice(&central);
        let mut head = b"PK\x03\x04".to_vec();
        head.extend_from_slice(&shared);
        head.extend_from_slice(&(local.len() as u16).to_le_bytes());
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(&local);
        self.files += 1;
        self.at += head.len() as u64 + size;
        head
    }

    /// What follows the bytes of the last file.
    pub fn end(self) -> Vec<u8> {
        let (start, size) = (self.at, self.directory.len() as u64);
        let is_long = start >= LONG;
        let mut end = self.directory;
        if is_long {
            end.extend_from_slice(b"PK\x06\x06");
            end.extend_from_slice(&44_u64.to_le_bytes());
            end.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for field in [self.files, self.files, size, start] {
                end.extend_from_slice(&field.to_le_bytes());
            }
            end.extend_from_slice(b"PK\x06\x07\0\0\0\0");
            end.extend_from_slice(&(start + size).to_le_bytes());
            end.extend_from_slice(&1_u32.to_le_bytes());
        }
        end.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        let files = (self.files as u16).to_le_bytes();
        end.extend_from_slice(&[files, files].concat());
        end.extend_from_slice(&(size as u32).to_le_bytes());
        end.extend_from_slice(&if is_long { u32::MAX } else { start as u32 }.to_le_bytes());
        end.extend_from_slice(&[0, 0]);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    #[test]
    fn what_is_beyond_4_gb_is_named_in_longer_fields() {
        const LARGE: u64 = 5_000_000_000;
        let mut zip = Zip::default();
        let heads = [("a", 10), ("b", LARGE), ("c", 20)].map(|(name, size)| zip.head(name, 7, size));
        let start: u64 = heads.iter().map(|head| head.len() as u64).sum::<u64>() + 10 + LARGE + 20;
        let end = zip.end();
        let locator = end.len() - 22 - 20;
        assert_eq!(&end[locator..locator + 4], b"PK\x06\x07");
        let record = (number(&end[locator + 8..locator + 16]) - start) as usize;
        assert_eq!(&end[record..record + 4], b"PK\x06\x06");
        assert_eq!(number(&end[record + 48..record + 56]), start);
        let (mut at, mut offset) = (0, 0);
        for (head, size) in heads.iter().zip([10, LARGE, 20]) {
            assert_eq!(&end[at..at + 4], b"PK\x01\x02");
            let (name, extra) = (number(&end[at + 28..at + 30]), number(&end[at + 30..at + 32]));
            let long = &end[at + 46 + name as usize..][..extra as usize];
            let (said_size, said_offset) = match long {
                [] => (number(&end[at + 24..at + 28]), number(&end[at + 42..at + 46])),
                long => (number(&long[12..20]), number(&long[20..28])),
            };
            assert_eq!((said_size, said_offset), (size, offset));
            offset += head.len() as u64 + size;
            at += 46 + (name + extra) as usize;
        }
        assert_eq!(at, record);
    }
}
