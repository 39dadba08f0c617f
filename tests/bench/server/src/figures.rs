//! Figures, and how they are printed.

use std::time::Duration;

/// The middle one; of an even number, the upper of the two.
pub fn median<T: Copy + PartialOrd>(values: &[T]) -> T {
    percentile(values, 50.0)
}

/// The value that so many per cent are not above.
pub fn percentile<T: Copy + PartialOrd>(values: &[T], percent: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let place = (percent / 100.0 * sorted.len() as f64) as usize;
    sorted[place.min(sorted.len() - 1)]
}

/// `123,456`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value);
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Milliseconds with two digits after the point.
pub fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A line of a part: what, and how much.
pub fn line(what: &str, figure: &str) {
    println!("  {what:<58} {figure}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let values: Vec<u32> = (1..=100).rev().collect();
        assert_eq!((median(&values), percentile(&values, 99.0), percentile(&values, 100.0)), (51, 100, 100));
        assert_eq!(median(&[7]), 7);
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(12.0), "12");
    }
}
