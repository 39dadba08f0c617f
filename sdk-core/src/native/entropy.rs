//! Random bits from the operating system, drawn ahead of need.

use crate::engine::{EventId, Secret};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;

/// Ids drawn at once when a burst has used up what the storage thread had prepared: 4 KiB, some 10 µs.
const REFILL: usize = 4 << 10;
/// What the storage thread prepares.
const FULL: usize = 64 << 10;

/// A pool of random bytes. It belongs to one process: a client that finds itself in a forked child uses none of it.
pub(super) struct Entropy {
    source: Option<File>,
    bytes: Vec<u8>,
    /// The state of a stream that is the same in every run, in place of the operating system's.
    #[cfg(feature = "testing")]
    seed: Option<u64>,
}

impl Entropy {
    /// An empty pool. Opens nothing yet.
    pub(super) fn new() -> Self {
        Self {
            source: None,
            bytes: Vec::new(),
            #[cfg(feature = "testing")]
            seed: None,
        }
    }

    /// One that hands out the same in every run.
    #[cfg(feature = "testing")]
    pub(super) fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::new() }
    }

    /// Whether the storage thread should bring more.
    pub(super) fn is_low(&self) -> bool {
        #[cfg(feature = "testing")]
        if self.seed.is_some() {
            return false;
        }
        self.bytes.len() < FULL / 2
    }

    /// Takes in what was drawn without a lock.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        #[cfg(feature = "testing")]
        if self.seed.is_some() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn event_id(&mut self) -> EventId {
        EventId(self.take())
    }

    pub(super) fn secret(&mut self) -> Secret {
        Secret(self.take())
    }

    pub(super) fn bits(&mut self) -> [u8; 16] {
        self.take()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        #[cfg(feature = "testing")]
        if let Some(state) = &mut self.seed {
            return std::array::from_fn(|_| splitmix64(state).to_le_bytes()[0]);
        }
        if self.bytes.len() < N {
            let mut more = [0; REFILL];
            draw(&mut self.source, &mut more);
            self.bytes.extend_from_slice(&more);
        }
        let rest = self.bytes.len().saturating_sub(N);
        let taken = self.bytes.get(rest..).and_then(|end| end.try_into().ok()).unwrap_or([0; N]);
        // Handed out bytes must not linger in memory: a secret may be among them.
        self.bytes.get_mut(rest..).unwrap_or_default().fill(0);
        self.bytes.truncate(rest);
        taken
    }
}

#[cfg(feature = "testing")]
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// As much as fills the pool, for [`Entropy::add`].
pub(super) fn draw_pool() -> Vec<u8> {
    let mut bytes = vec![0; FULL];
    draw(&mut None, &mut bytes);
    bytes
}

/// A few random bytes.
pub(super) fn draw_array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    draw(&mut None, &mut bytes);
    bytes
}

fn draw(source: &mut Option<File>, bytes: &mut [u8]) {
    if cfg!(unix) {
        if source.is_none() {
            *source = File::open("/dev/urandom").ok();
        }
        if source.as_mut().is_some_and(|file| file.read_exact(bytes).is_ok()) {
            return;
        }
        *source = None;
    }
    // The standard library keys its hash maps with 128 bits from the operating system, once for each thread, and
    // a keyed SipHash of a counter is as good as a stream of them. A thread of its own brings a fresh key.
    let thread = std::thread::Builder::new().spawn(RandomState::new);
    let keys = thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_default();
    let more = RandomState::new();
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        let word = [&keys, &more].iter().fold(index as u64, |word, key| {
            let mut hasher = key.build_hasher();
            hasher.write_u64(word);
            hasher.write_u64(index as u64);
            hasher.finish()
        });
        chunk.copy_from_slice(word.to_le_bytes().get(..chunk.len()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_do_not_repeat_over_refills() {
        let mut entropy = Entropy::new();
        entropy.add(&draw_pool());
        let ids: BTreeSet<_> = (0..20_000).map(|_| entropy.event_id()).collect();
        assert_eq!(ids.len(), 20_000);
        assert_eq!(entropy.bytes.capacity().max(FULL), entropy.bytes.capacity());
    }

    #[test]
    fn a_pool_never_hands_out_zeros() {
        let mut entropy = Entropy::new();
        assert_ne!(entropy.secret(), Secret([0; 16]));
        assert_ne!(draw_array::<16>(), [0; 16]);
    }
}
