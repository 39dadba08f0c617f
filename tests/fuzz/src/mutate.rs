//! Mutation without knowledge of the code: what libFuzzer does to an input, without the feedback.

use refrain_simulation::dice::Dice;

/// Longer inputs are cut: what needs more is rare, and slow.
pub const MOST: usize = 4 << 10;

const BYTES: [u8; 12] = [0, 1, 0x20, b'"', b'0', b'9', b'{', b'\\', 0x7F, 0x80, 0xC0, 0xFF];

/// A mutation of one of the seeds; any bytes where there are none.
pub fn mutate(dice: &mut Dice, seeds: &[Vec<u8>], dictionary: &[&str]) -> Vec<u8> {
    let mut data = match dice.place(seeds.len()) {
        Some(seed) if !dice.once_in(16) => seeds[seed].clone(),
        _ => (0..dice.below(64)).map(|_| dice.number() as u8).collect(),
    };
    for _ in 0..=dice.below(6) {
        change(dice, &mut data, seeds, dictionary);
    }
    data.truncate(MOST);
    data
}

fn change(dice: &mut Dice, data: &mut Vec<u8>, seeds: &[Vec<u8>], dictionary: &[&str]) {
    let at = dice.below(data.len() as u64 + 1) as usize;
    let len = stretch(dice, data.len() - at);
    match dice.below(10) {
        0 if at < data.len() => data[at] ^= 1 << dice.below(8),
        1 if at < data.len() => data[at] = *dice.pick(&BYTES),
        2 if at < data.len() => data[at] = data[at].wrapping_add(dice.below(9) as u8).wrapping_sub(4),
        3 => {
            data.drain(at..at + len);
        }
        4 => {
            let copy = data[at..at + len].to_vec();
            insert(data, at, &copy);
        }
        5 => {
            let copy = data[at..at + len].to_vec();
            let to = dice.below(data.len() as u64 + 1) as usize;
            insert(data, to, &copy);
        }
        6 | 7 if !dictionary.is_empty() => insert(data, at, dice.pick(dictionary).as_bytes()),
        8 if !seeds.is_empty() => {
            let other = dice.pick(seeds);
            let from = dice.below(other.len() as u64 + 1) as usize;
            let len = stretch(dice, other.len() - from);
            insert(data, at, &other[from..from + len]);
        }
        _ => {
            let bytes: Vec<u8> = (0..=dice.below(4)).map(|_| dice.number() as u8).collect();
            insert(data, at, &bytes);
        }
    }
}

/// A length up to a bound, mostly a short one.
fn stretch(dice: &mut Dice, most: usize) -> usize {
    let bound = if dice.once_in(4) { most } else { most.min(16) };
    dice.below(bound as u64 + 1) as usize
}

fn insert(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    data.splice(at..at, bytes.iter().copied());
}
