//! Faults that a test asks for: which requests they meet, and what happens to those. Seeded, so that a run can be
//! played again.

use serde_json::{Map, Value, json};

use super::time;

/// A delay is at most this long, so that a typing error does not hang a test for ever.
const LONGEST_DELAY_MS: u64 = 600_000;

/// What happens to a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Act {
    /// It is answered with this status instead of being worked on.
    pub status: Option<u16>,
    /// The `Retry-After` of that answer.
    pub retry_after: Option<String>,
    /// The body of that answer; without one it has the shape that the route's errors have.
    pub body: Option<String>,
    /// It waits so long, in milliseconds, before it is worked on.
    pub delay_ms: u64,
    /// The connection is cut.
    pub close: Option<Close>,
    /// The answer's body ends after so many bytes, whatever its length says, and the connection with it.
    pub truncate: Option<usize>,
    /// An export ends after so many events with the line `terminated early`, as when storage fails (SPEC §12).
    pub terminate_after: Option<usize>,
    /// Its body is read no faster than this.
    pub read_bytes_per_s: Option<u64>,
}

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Nothing was done for the request.
    BeforeStore,
    /// What it brought is stored.
    AfterStore,
}

/// A rule: which requests, and what happens to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    method: Option<String>,
    path: Option<String>,
    from: u64,
    count: Option<u64>,
    probability: f64,
    seed: u64,
    min_records: usize,
    act: Act,
    seen: u64,
    hits: u64,
    document: Map<String, Value>,
}

/// The rules, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Faults(Vec<Rule>);

impl Faults {
    /// Adds rules behind the others.
    pub fn append(&mut self, rules: Vec<Rule>) {
        self.0.extend(rules);
    }

    /// Drops all rules.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list with hit counts.
    pub fn to_json(&self) -> Value {
        let shown = self.0.iter().enumerate().map(|(index, rule)| {
            let mut shown = rule.document.clone();
            shown.entry("match").or_insert_with(|| json!({}));
            shown.entry("act").or_insert_with(|| json!({}));
            shown.insert("index".into(), index.into());
            shown.insert("seen".into(), rule.seen.into());
            shown.insert("hits".into(), rule.hits.into());
            Value::Object(shown)
        });
        let rules: Vec<Value> = shown.collect();
        json!({"total": rules.len(), "faults": rules})
    }

    /// How fast the body of a request may be read that has only begun, so that its records are not known yet.
    pub fn throttle(&self, method: &str, path: &str) -> Option<u64> {
        let next = self.0.iter().find(|rule| rule.matches(method, path) && rule.would_act())?;
        next.act.read_bytes_per_s
    }

    /// What happens to a request that is there in full. The first rule that meets it decides; it counts.
    pub fn meet(&mut self, method: &str, path: &str, records: usize) -> Option<Act> {
        for rule in &mut self.0 {
            if !rule.matches(method, path) || records < rule.min_records {
                continue;
            }
            let acts = rule.would_act();
            rule.seen += 1;
            if acts {
                rule.hits += 1;
                return Some(rule.act.clone());
            }
        }
        None
    }
}

impl Rule {
    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => path.starts_with(beginning),
                None => without_slash(wanted) == without_slash(path),
            })
    }

    /// Whether it acts on the next request that it matches.
    fn would_act(&self) -> bool {
        let number = self.seen + 1;
        number >= self.from
            && self.count.is_none_or(|count| self.hits < count)
            && chance(self.seed, number) < self.probability
    }

    /// Reads one rule, or a list of them. The error names the field.
    pub fn read_all(document: &Value) -> Result<Vec<Rule>, String> {
        match document {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(index, one)| Rule::read(one).map_err(|text| format!("rule {index}: {text}")))
                .collect(),
            one => Rule::read(one).map(|rule| vec![rule]),
        }
    }

    fn read(document: &Value) -> Result<Rule, String> {
        let whole = document.as_object().ok_or("a rule is a JSON object with \"match\" and \"act\"")?;
        known(whole, "the rule", &["match", "act", "index", "seen", "hits"])?;
        let empty = Map::new();
        let part = |name: &str| match whole.get(name) {
            None => Ok(&empty),
            Some(value) => value.as_object().ok_or_else(|| format!("{name} is a JSON object")),
        };
        let (wanted, act) = (part("match")?, part("act")?);
        known(wanted, "match", &["method", "path", "from", "count", "probability", "seed", "min_records"])?;
        let probability = match wanted.get("probability") {
            None => 1.0,
            Some(value) => value
                .as_f64()
                .filter(|number| (0.0..=1.0).contains(number))
                .ok_or("match.probability is a number from 0 to 1")?,
        };
        let mut document = whole.clone();
        ["index", "seen", "hits"].iter().for_each(|name| drop(document.shift_remove(*name)));
        Ok(Rule {
            method: text(wanted, "match.method")?.map(|method| method.to_ascii_uppercase()),
            path: text(wanted, "match.path")?,
            from: number(wanted, "match.from")?.unwrap_or(1).max(1),
            count: number(wanted, "match.count")?,
            probability,
            seed: number(wanted, "match.seed")?.unwrap_or(0),
            min_records: number(wanted, "match.min_records")?.unwrap_or(0) as usize,
            act: Act::read(act)?,
            seen: 0,
            hits: 0,
            document,
        })
    }
}

impl Act {
    fn read(map: &Map<String, Value>) -> Result<Act, String> {
        known(
            map,
            "act",
            &[
                "status",
                "retry_after",
                "body",
                "delay_ms",
                "close",
                "truncate",
                "terminate_after",
                "read_bytes_per_s",
            ],
        )?;
        let status = match number(map, "act.status")? {
            None => None,
            Some(status) => {
                let status = u16::try_from(status).ok().filter(|status| (200..=599).contains(status));
                Some(status.ok_or("act.status is an HTTP status from 200 to 599")?)
            }
        };
        let close = match text(map, "act.close")?.as_deref() {
            None => None,
            Some("before_store") => Some(Close::BeforeStore),
            Some("after_store") => Some(Close::AfterStore),
            Some(_) => return Err("act.close is before_store or after_store".into()),
        };
        let retry_after = match map.get("retry_after") {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) if is_seconds(&number.to_string()) => Some(number.to_string()),
            Some(Value::String(text)) if is_seconds(text) || time::is_http_date(text) => Some(text.clone()),
            Some(_) => {
                return Err("act.retry_after is a number of seconds such as 2 or 0.5, or a date such as \
                            \"Tue, 01 Sep 2026 00:00:00 GMT\""
                    .into());
            }
        };
        let body = match map.get("body") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let delay_ms = number(map, "act.delay_ms")?.unwrap_or(0);
        if delay_ms > LONGEST_DELAY_MS {
            return Err(format!("act.delay_ms is at most {LONGEST_DELAY_MS}"));
        }
        let read_bytes_per_s = number(map, "act.read_bytes_per_s")?;
        if read_bytes_per_s == Some(0) {
            return Err("act.read_bytes_per_s is 1 or more".into());
        }
        Ok(Act {
            status,
            retry_after,
            body,
            delay_ms,
            close,
            truncate: number(map, "act.truncate")?.map(|bytes| bytes as usize),
            terminate_after: number(map, "act.terminate_after")?.map(|events| events as usize),
            read_bytes_per_s,
        })
    }
}

/// Whole seconds, or decimal ones as Swift reads them (SPEC §8.1).
fn is_seconds(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').map_or_else(|| digits(text), |(whole, part)| digits(whole) && digits(part))
}

fn known(map: &Map<String, Value>, what: &str, names: &[&str]) -> Result<(), String> {
    match map.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(format!("{what} has no field {key:?}; it has {}", names.join(", "))),
        None => Ok(()),
    }
}

/// `path` is the dotted name of a field; the map is that of its last part.
fn field<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    map.get(path.rsplit('.').next().unwrap_or(path)).filter(|value| !value.is_null())
}

fn number(map: &Map<String, Value>, path: &str) -> Result<Option<u64>, String> {
    match field(map, path) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{path} is a whole number, 0 or more")),
    }
}

fn text(map: &Map<String, Value>, path: &str) -> Result<Option<String>, String> {
    match field(map, path) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{path} is a text")),
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// A number from 0 up to 1 that only the seed and the count decide (SplitMix64).
fn chance(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: Value) -> Faults {
        Faults(Rule::read_all(&rules).unwrap())
    }

    fn statuses(faults: &mut Faults, requests: usize) -> Vec<Option<u16>> {
        (0..requests).map(|_| faults.meet("POST", "/track/", 5).and_then(|act| act.status)).collect()
    }

    #[test]
    fn a_rule_acts_from_a_request_on_and_so_many_times() {
        let mut faults = faults(
            json!({"match": {"method": "post", "path": "/track", "from": 2, "count": 2}, "act": {"status": 503}}),
        );
        assert_eq!(statuses(&mut faults, 5), [None, Some(503), Some(503), None, None]);
        assert_eq!(faults.meet("GET", "/track", 5), None);
        assert_eq!(faults.meet("POST", "/engage", 5), None);
        let shown = faults.to_json();
        assert_eq!((&shown["faults"][0]["seen"], &shown["faults"][0]["hits"]), (&json!(5), &json!(2)));
    }

    #[test]
    fn rules_are_tried_in_order_and_the_first_that_acts_decides() {
        let mut faults = faults(json!([
            {"match": {"min_records": 6}, "act": {"status": 413}},
            {"match": {"count": 1}, "act": {"status": 429, "retry_after": 2}},
            {"match": {"path": "/tr*"}, "act": {"delay_ms": 5}},
        ]));
        assert_eq!(faults.meet("POST", "/track", 6).unwrap().status, Some(413));
        assert_eq!(faults.meet("POST", "/track", 5).unwrap().retry_after.as_deref(), Some("2"));
        assert_eq!(faults.meet("POST", "/track", 5).unwrap().delay_ms, 5);
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let rule = |seed: u64| json!({"match": {"probability": 0.5, "seed": seed}, "act": {"status": 500}});
        let (mut first, mut again, mut other) = (faults(rule(7)), faults(rule(7)), faults(rule(8)));
        let chosen = statuses(&mut first, 200);
        assert_eq!(chosen, statuses(&mut again, 200));
        assert_ne!(chosen, statuses(&mut other, 200));
        let hits = chosen.iter().flatten().count();
        assert!((70..130).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn when_to_try_again_is_said_as_a_header_says_it() {
        for (written, header) in [
            (json!(0), "0"),
            (json!(120), "120"),
            (json!(0.5), "0.5"),
            (json!("1.25"), "1.25"),
            (json!("Tue, 01 Sep 2026 00:00:00 GMT"), "Tue, 01 Sep 2026 00:00:00 GMT"),
        ] {
            let mut faults = faults(json!({"act": {"status": 429, "retry_after": written}}));
            assert_eq!(faults.meet("POST", "/track", 1).unwrap().retry_after.as_deref(), Some(header));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (wrong, named) in [
            (json!(5), "object"),
            (json!({"matches": {}}), "matches"),
            (json!({"match": {"times": 1}}), "times"),
            (json!({"act": {"status": 42}}), "act.status"),
            (json!({"act": {"close": "now"}}), "before_store"),
            (json!({"act": {"retry_after": true}}), "act.retry_after"),
            (json!({"act": {"retry_after": -1}}), "act.retry_after"),
            (json!({"act": {"retry_after": "soon"}}), "act.retry_after"),
            (json!({"act": {"retry_after": "1."}}), "act.retry_after"),
            (json!({"act": {"retry_after": "Tue, 31 Feb 2026 00:00:00 GMT"}}), "act.retry_after"),
            (json!({"match": {"probability": 2}}), "probability"),
            (json!([{}, {"match": {"count": -1}}]), "rule 1: match.count"),
            (json!({"act": {"read_bytes_per_s": 0}}), "read_bytes_per_s"),
            (json!({"act": {"terminate_after": "two"}}), "act.terminate_after"),
        ] {
            let text = Rule::read_all(&wrong).unwrap_err();
            assert!(text.contains(named), "{wrong}: {text}");
        }
    }
}
