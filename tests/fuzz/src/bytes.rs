//! A reader that makes choices, numbers and texts out of any bytes. Behind their end everything is 0 or empty.

/// Numbers at which counters and clocks change their ways.
const EDGES: [u64; 12] =
    [0, 1, 2, 7, 1_000, 1 << 32, (1 << 53) + 1, 1_788_220_800_000, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX];

/// A reading position in the bytes of an input.
#[derive(Debug, Clone)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Starts at the beginning.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number below a bound of at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Sixteen bits, little endian.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Any number; edges are more likely than others.
    pub fn number(&mut self) -> u64 {
        let choice = usize::from(self.byte());
        match EDGES.get(choice) {
            Some(edge) => *edge,
            None if choice < 64 => choice as u64,
            None if choice < 160 => u64::from(self.short()),
            None => {
                let mut bytes = [0; 8];
                bytes.iter_mut().for_each(|byte| *byte = self.byte());
                u64::from_le_bytes(bytes)
            }
        }
    }

    /// So many bytes, or as many as are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of several texts, or one that is written out: a byte of at least 128, its length, and its bytes.
    pub fn text(&mut self, of: &[&str]) -> String {
        match self.byte() {
            choice @ 0..128 if !of.is_empty() => of[usize::from(choice) % of.len()].into(),
            _ => {
                let len = usize::from(self.byte());
                String::from_utf8_lossy(self.take(len)).into_owned()
            }
        }
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
