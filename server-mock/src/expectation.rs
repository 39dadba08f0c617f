//! What a test expects to arrive.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use crate::mock_server::Event;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    least: usize,
    most: Option<usize>,
}

impl Times {
    /// Within a range, such as `1..` or `2..=5`.
    pub fn within(range: impl RangeBounds<usize>) -> Times {
        let least = match range.start_bound() {
            Bound::Included(least) => *least,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let most = match range.end_bound() {
            Bound::Included(most) => Some(*most),
            Bound::Excluded(end) => Some(end.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        Times { least, most }
    }

    /// Whether any number is within it.
    pub fn is_possible(self) -> bool {
        self.most.is_none_or(|most| self.least <= most)
    }

    fn allows(self, count: usize) -> bool {
        count >= self.least && !self.is_exceeded(count)
    }

    fn is_exceeded(self, count: usize) -> bool {
        self.most.is_some_and(|most| count > most)
    }
}

impl From<usize> for Times {
    fn from(exactly: usize) -> Times {
        Times { least: exactly, most: Some(exactly) }
    }
}

macro_rules! from_ranges {
    ($($range:ident),*) => {
        $(impl From<std::ops::$range<usize>> for Times {
            fn from(range: std::ops::$range<usize>) -> Times {
                Times::within(range)
            }
        })*
    };
}

from_ranges!(Range, RangeInclusive, RangeFrom, RangeTo, RangeToInclusive);

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |count: usize| if count == 1 { "once".to_owned() } else { format!("{count} times") };
        match (self.least, self.most) {
            (0, Some(0)) => formatter.write_str("never"),
            (least, Some(most)) if least == most => formatter.write_str(&times(least)),
            (0, Some(most)) => write!(formatter, "at most {}", times(most)),
            (least, Some(most)) => write!(formatter, "{least} to {most} times"),
            (0, None) => formatter.write_str("any number of times"),
            (least, None) => write!(formatter, "at least {}", times(least)),
        }
    }
}

/// An event that a test expects, at least once unless it says how often.
///
/// ```
/// use refrain_mock::Expectation;
///
/// let bought = Expectation::event("Bought").project("T").distinct_id("u1").property("price", 12.5).times(1..);
/// let silence = Expectation::any_event().never();
/// assert_eq!(silence.to_string(), "any event, never");
/// ```
#[derive(Debug, Clone)]
pub struct Expectation {
    name: Option<String>,
    project: Option<String>,
    distinct_id: Option<String>,
    properties: Vec<(String, Value)>,
    times: Times,
}

impl Expectation {
    /// An event of this name.
    pub fn event(name: impl Into<String>) -> Expectation {
        Expectation { name: Some(name.into()), ..Expectation::any_event() }
    }

    /// Any event.
    pub fn any_event() -> Expectation {
        Expectation {
            name: None,
            project: None,
            distinct_id: None,
            properties: Vec::new(),
            times: Times::within(1..),
        }
    }

    /// Of the project with this token.
    pub fn project(mut self, token: impl Into<String>) -> Expectation {
        self.project = Some(token.into());
        self
    }

    /// Of the person with this canonical id.
    pub fn distinct_id(mut self, id: impl Into<String>) -> Expectation {
        self.distinct_id = Some(id.into());
        self
    }

    /// With this property.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Expectation {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// So often: a number, or a range such as `1..` or `2..=5`.
    pub fn times(mut self, times: impl Into<Times>) -> Expectation {
        self.times = times.into();
        self
    }

    /// Not once.
    pub fn never(self) -> Expectation {
        self.times(0)
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.name.as_ref().is_none_or(|name| *name == event.name)
            && self.project.as_ref().is_none_or(|project| *project == event.project)
            && self.distinct_id.as_ref().is_none_or(|id| Some(id) == event.distinct_id.as_ref())
            && self
                .properties
                .iter()
                .all(|(name, value)| event.properties.get(name).is_some_and(|found| equal(found, value)))
    }

    /// Whether more events could make it wrong: then only time tells that they do not come.
    pub(crate) fn is_bounded(&self) -> bool {
        self.times.most.is_some()
    }

    /// Whether there are too many already, so that waiting does not help.
    pub(crate) fn is_exceeded(&self, events: &[Event]) -> bool {
        let count = events.iter().filter(|event| self.matches(event)).count();
        self.times.is_exceeded(count)
    }

    /// Why the events that arrived are not as expected.
    pub(crate) fn unmet(&self, events: &[Event]) -> Option<String> {
        let count = events.iter().filter(|event| self.matches(event)).count();
        (!self.times.allows(count)).then(|| format!("expected {self}, found {count}"))
    }
}

/// Numbers are equal by value, however they are written.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(formatter, "event {name:?}")?,
            None => write!(formatter, "any event")?,
        }
        if let Some(project) = &self.project {
            write!(formatter, " of project {project:?}")?;
        }
        if let Some(id) = &self.distinct_id {
            write!(formatter, " of {id:?}")?;
        }
        for (name, value) in &self.properties {
            write!(formatter, " with {name} = {value}")?;
        }
        write!(formatter, ", {}", self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, properties: Value) -> Event {
        Event {
            name: name.into(),
            project: "T".into(),
            distinct_id: Some("u".into()),
            properties: properties.as_object().unwrap().clone(),
            time_ms: 0,
        }
    }

    #[test]
    fn an_expectation_says_what_it_missed() {
        let events = [event("A", json!({"n": 1.0})), event("A", json!({"n": 2})), event("B", json!({}))];
        let unmet = |expectation: Expectation| expectation.unmet(&events);
        assert_eq!(unmet(Expectation::event("A")), None);
        assert_eq!(unmet(Expectation::event("A").times(2)), None);
        assert_eq!(unmet(Expectation::event("A").property("n", 1).times(1..=1)), None);
        assert_eq!(unmet(Expectation::any_event().project("T").distinct_id("u").times(2..4)), None);
        assert_eq!(unmet(Expectation::event("C").never()), None);
        assert_eq!(
            unmet(Expectation::event("B").property("n", "x").project("T")).unwrap(),
            "expected event \"B\" of project \"T\" with n = \"x\", at least once, found 0"
        );
        assert_eq!(
            unmet(Expectation::any_event().times(..2)).unwrap(),
            "expected any event, at most once, found 3"
        );
    }

    #[test]
    fn how_often_is_said_in_english() {
        let said = |times: Times| times.to_string();
        assert_eq!(said(0.into()), "never");
        assert_eq!(said(1.into()), "once");
        assert_eq!(said(2.into()), "2 times");
        assert_eq!(said((1..).into()), "at least once");
        assert_eq!(said((3..).into()), "at least 3 times");
        assert_eq!(said((..=1).into()), "at most once");
        assert_eq!(said((..4).into()), "at most 3 times");
        assert_eq!(said((2..=5).into()), "2 to 5 times");
        assert_eq!(said((0..).into()), "any number of times");
    }
}
