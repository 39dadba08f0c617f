//! What noticed a fault. Only a demand that the simulation makes counts: a fault that makes something fall over on the way
//! shows nothing about the rule that it breaks.

/// How a hunt has ended that has not ended well.
#[derive(Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A demand of the simulation is not met.
    Rule {
        /// What it says.
        rule: String,
        /// Its file and line.
        place: String,
    },
    /// Something else has failed.
    Otherwise(String),
}

/// Where the demands stand.
const DEMANDS: &str = "tests/simulation/src/";
/// Exit status of the simulation where a rule is broken.
const BROKEN: i32 = 1;
/// With these words the standard library panics by itself.
const NO_DEMANDS: [&str; 8] = [
    "called `Option::unwrap()`",
    "called `Result::unwrap()`",
    "index out of bounds",
    "range ",
    "slice index",
    "attempt to ",
    "already ",
    "internal error: entered unreachable code",
];

impl Noticed {
    /// Reads the exit status, and what was said on standard error; the first panic counts.
    pub fn read(code: Option<i32>, said: &str) -> Self {
        let mut lines = said.lines();
        let place = lines.by_ref().find_map(|line| line.split_once("panicked at ").map(|(_, place)| place));
        let message = lines.next().unwrap_or_default().trim();
        let place = place.unwrap_or_default().trim_end_matches(':');
        // The column says nothing.
        let place = place.rsplit_once(':').map_or(place, |(place, _)| place);
        let demands = place.starts_with(DEMANDS) && !NO_DEMANDS.iter().any(|word| message.starts_with(word));
        if code == Some(BROKEN) && demands {
            let rule = message.strip_prefix("assertion `left == right` failed: ").unwrap_or(message);
            return Self::Rule { rule: rule.to_owned(), place: place.to_owned() };
        }
        let last = || said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let what = if place.is_empty() { last().to_owned() } else { format!("{place}: {message}") };
        let status = code.map_or("ended by a signal".into(), |code| format!("exit status {code}"));
        Self::Otherwise(format!("{status}, {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic(place: &str, message: &str) -> String {
        format!(
            "\nthread 'main' (7) panicked at {place}:9:\n{message}\nnote: run with more\nseed 3 breaks a rule\n"
        )
    }

    #[test]
    fn only_a_demand_counts() {
        let rule = |said: &str| match Noticed::read(Some(1), said) {
            Noticed::Rule { rule, .. } => Some(rule),
            Noticed::Otherwise(_) => None,
        };
        let oracle = "tests/simulation/src/oracle.rs:227";
        assert_eq!(rule(&panic(oracle, "C5: x leaves")).as_deref(), Some("C5: x leaves"));
        let equal = "assertion `left == right` failed: C3: x stands there";
        assert_eq!(rule(&panic(oracle, equal)).as_deref(), Some("C3: x stands there"));
        assert_eq!(rule(&panic(oracle, "index out of bounds: the len is 0 but the index is 0")), None);
        assert_eq!(rule(&panic("sdk-core/src/engine/queue.rs:12", "C5: no demand of the simulation")), None);
        // The first one is what happened; others may follow from it.
        let twice = panic("sdk-core/src/engine/queue.rs:12", "oh") + &panic(oracle, "C5: x leaves");
        assert_eq!(rule(&twice), None);
        assert_eq!(rule("memory allocation of 99 bytes failed"), None);
    }

    #[test]
    fn only_the_simulation_s_own_status_counts() {
        let said = panic("tests/simulation/src/world.rs:300", "the engine never comes to rest");
        let place = "tests/simulation/src/world.rs:300".to_owned();
        let rule = "the engine never comes to rest".to_owned();
        assert_eq!(Noticed::read(Some(1), &said), Noticed::Rule { rule, place });
        for code in [None, Some(2), Some(101)] {
            assert!(matches!(Noticed::read(code, &said), Noticed::Otherwise(_)), "{code:?}");
        }
    }
}
