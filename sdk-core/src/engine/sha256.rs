//! SHA-256 (FIPS 180-4) of one short block, for device ids.

const ROUND: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The digest, as words, of at most 55 bytes: the length that fits one block with its padding. Longer input is cut.
pub(super) fn short(input: &[u8]) -> [u32; 8] {
    let input = input.get(..55).unwrap_or(input);
    let mut words = [0u32; 64];
    let mut put = |at: usize, byte: u8| {
        if let Some(word) = words.get_mut(at / 4) {
            *word |= u32::from(byte) << (24 - at % 4 * 8);
        }
    };
    for (at, byte) in input.iter().enumerate() {
        put(at, *byte);
    }
    put(input.len(), 0x80);
    // The length in bits is the last number of the block.
    put(62, (input.len() >> 5) as u8);
    put(63, (input.len() << 3) as u8);

    let at = |words: &[u32; 64], i: usize| words.get(i).copied().unwrap_or_default();
    for i in 16..64 {
        let (w15, w2) = (at(&words, i - 15), at(&words, i - 2));
        let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ w15 >> 3;
        let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ w2 >> 10;
        let sum = at(&words, i - 16).wrapping_add(s0).wrapping_add(at(&words, i - 7)).wrapping_add(s1);
        if let Some(word) = words.get_mut(i) {
            *word = sum;
        }
    }

    let mut state: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for (round, word) in ROUND.iter().zip(&words) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*round).wrapping_add(*word);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    for (word, end) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = end.wrapping_add(*word);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::short;
    use alloc::string::String;

    #[test]
    fn the_vectors_of_the_standard() {
        for (input, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let mut hex = String::new();
            for word in short(input.as_bytes()) {
                crate::json::write::hex(&mut hex, &word.to_be_bytes());
            }
            assert_eq!(hex, digest);
        }
    }
}
