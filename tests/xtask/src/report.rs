//! The closing table of a run: one row per step, and the counts.

use std::time::Duration;

/// How a step ended.
pub enum Outcome {
    /// It ran and all was well.
    Passed,
    /// It ran, and this was wrong.
    Failed(String),
    /// It did not run, for this reason.
    Skipped(String),
}

/// One step of the run.
pub struct Row {
    /// What the step is called.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// The table, and under it the counts on a line of their own.
pub fn render(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for Row { name, outcome, took } in rows {
        let (word, why) = match outcome {
            Outcome::Passed => (count(&mut passed, "passed"), ""),
            Outcome::Failed(why) => (count(&mut failed, "FAILED"), why.as_str()),
            Outcome::Skipped(why) => (count(&mut skipped, "skipped"), why.as_str()),
        };
        let separator = if why.is_empty() { "" } else { ": " };
        let why = why.replace('\n', " ");
        text.push_str(&format!("{name:width$}  {:>4} s  {word}{separator}{why}\n", took.as_secs()));
    }
    text.push_str(&format!("\n{passed} passed, {failed} failed, {skipped} skipped\n"));
    text
}

fn count(counter: &mut u32, word: &'static str) -> &'static str {
    *counter += 1;
    word
}

/// Whether any step failed.
pub fn any_failed(rows: &[Row]) -> bool {
    rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, outcome: Outcome) -> Row {
        Row { name, outcome, took: Duration::from_secs(3) }
    }

    #[test]
    fn every_row_is_counted_once_and_reasons_stay_on_one_line() {
        let rows = [
            row("a", Outcome::Passed),
            row("long name", Outcome::Failed("first\nsecond".to_owned())),
            row("c", Outcome::Skipped("no JDK".to_owned())),
        ];
        let text = render(&rows);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "a             3 s  passed",
                "long name     3 s  FAILED: first second",
                "c             3 s  skipped: no JDK",
                "",
                "1 passed, 1 failed, 1 skipped",
            ]
        );
        assert!(any_failed(&rows));
        assert!(!any_failed(&rows[..1]));
    }
}
