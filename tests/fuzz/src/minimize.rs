//! Making a failing input small.

/// The smallest input found that still fails, by leaving out stretches and by making bytes plain.
pub fn minimize(data: &[u8], fails: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = data.to_vec();
    loop {
        let before = best.clone();
        shorten(&mut best, fails);
        simplify(&mut best, fails);
        if best == before {
            return best;
        }
    }
}

fn shorten(best: &mut Vec<u8>, fails: &mut dyn FnMut(&[u8]) -> bool) {
    let mut len = best.len();
    while len > 0 {
        let mut at = 0;
        while at < best.len() {
            let end = (at + len).min(best.len());
            let shorter = [&best[..at], &best[end..]].concat();
            if fails(&shorter) {
                *best = shorter;
            } else {
                at += len;
            }
        }
        len /= 2;
    }
}

fn simplify(best: &mut Vec<u8>, fails: &mut dyn FnMut(&[u8]) -> bool) {
    for at in 0..best.len() {
        for plain in [0, b'0', b'a'] {
            if best[at] == plain {
                break;
            }
            let mut simpler = best.clone();
            simpler[at] = plain;
            if fails(&simpler) {
                *best = simpler;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::minimize;

    #[test]
    fn what_does_not_matter_goes() {
        let data = b"some text with {\"needle\" and 7 more";
        let small = minimize(data, &mut |data| data.windows(6).any(|w| w == b"needle"));
        assert_eq!(small, b"needle");
        assert_eq!(minimize(b"xyz", &mut |data| data.len() >= 2), [0, 0]);
    }
}
