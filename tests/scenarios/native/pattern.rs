//! Values and patterns of the scenarios, as `tests/scenarios/README.md` has them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// What was remembered, by name.
pub type Remembered = BTreeMap<String, String>;

/// What a value stands for. `@number` stays: only a serialiser can say it.
pub fn value(of: &Value, index: u64, remembered: &Remembered) -> Result<Value> {
    let inner = |value| self::value(value, index, remembered);
    let Some((word, argument)) = word(of)? else {
        return Ok(match of {
            Value::Array(list) => Value::Array(list.iter().map(inner).collect::<Result<_>>()?),
            Value::Object(object) => {
                let members = object.iter().map(|(name, value)| Ok((name.clone(), inner(value)?)));
                Value::Object(members.collect::<Result<_>>()?)
            }
            plain => plain.clone(),
        });
    };
    Ok(match word {
        "@number" => of.clone(),
        "@text" => {
            let parts = argument.as_array().context("@text takes a text and a count")?;
            let [Value::String(text), count] = parts.as_slice() else {
                bail!("@text takes a text and a count")
            };
            Value::String(text.repeat(usize::try_from(whole(count)?)?))
        }
        "@half" => bail!("a text of this language cannot hold half of a surrogate pair"),
        "@members" => {
            let numbered = (0..whole(argument)?).map(|number| (format!("p{number}"), json!(number)));
            Value::Object(numbered.collect())
        }
        "@remembered" => json!(recall(argument, remembered)?),
        "@index" => json!(index),
        _ => bail!("`{word}` is no word for a value"),
    })
}

/// Checks what was found, `None` where there is nothing.
pub fn check(pattern: &Value, found: Option<&Value>, index: u64, remembered: &Remembered) -> Result<()> {
    if let Some((word, argument)) = word(pattern)? {
        return special(word, argument, found, index, remembered)
            .with_context(|| format!("wanted {pattern}, found {}", shown(found)));
    }
    match (pattern, found) {
        (Value::Object(wanted), Some(Value::Object(there))) => {
            for (name, wanted) in wanted {
                check(wanted, there.get(name), index, remembered).with_context(|| format!("in {name}"))?;
            }
        }
        (Value::Array(wanted), Some(Value::Array(there))) => {
            ensure!(wanted.len() == there.len(), "wanted {} elements, found {}", wanted.len(), shown(found));
            for (at, (wanted, there)) in wanted.iter().zip(there).enumerate() {
                check(wanted, Some(there), index, remembered).with_context(|| format!("in element {at}"))?;
            }
        }
        (Value::Number(wanted), Some(Value::Number(there))) => {
            ensure!(wanted.as_f64() == there.as_f64(), "wanted {wanted}, found {there}");
        }
        _ => ensure!(Some(pattern) == found, "wanted {pattern}, found {}", shown(found)),
    }
    Ok(())
}

fn special(
    word: &str,
    argument: &Value,
    found: Option<&Value>,
    index: u64,
    remembered: &Remembered,
) -> Result<()> {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).context("no number");
    let text = || found.and_then(Value::as_str).context("no text");
    let holds = match word {
        "@absent" => found.is_none(),
        "@present" => found.is_some(),
        "@remembered" => text()? == recall(argument, remembered)?,
        "@other_than" => text()? != recall(argument, remembered)?,
        "@index" => found.and_then(Value::as_u64) == Some(index),
        "@at_least" => number(found)? >= number(Some(argument))?,
        "@at_most" => number(found)? <= number(Some(argument))?,
        "@each" => {
            let list = found.and_then(Value::as_array).filter(|list| !list.is_empty());
            for one in list.context("no list with an element")? {
                check(argument, Some(one), index, remembered)?;
            }
            true
        }
        _ => bail!("`{word}` is no word for a pattern"),
    };
    ensure!(holds, "it is another one");
    Ok(())
}

/// The word and the argument of an object that stands for something else.
fn word(value: &Value) -> Result<Option<(&str, &Value)>> {
    let Value::Object(object) = value else { return Ok(None) };
    let Some(found) = object.iter().find(|(name, _)| name.starts_with('@')) else { return Ok(None) };
    ensure!(object.len() == 1, "{} stands beside other members", found.0);
    Ok(Some((found.0, found.1)))
}

fn recall<'a>(name: &Value, remembered: &'a Remembered) -> Result<&'a str> {
    let name = name.as_str().context("a name is a text")?;
    Ok(remembered.get(name).with_context(|| format!("nothing was remembered as {name}"))?)
}

/// A count.
pub fn whole(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no whole number, 0 or more"))
}

fn shown(found: Option<&Value>) -> String {
    let text = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
    if text.chars().count() > 400 { text.chars().take(400).chain("…".chars()).collect() } else { text }
}

/// The members of a document of the format, taken one by one, so that what is left is known to be unknown.
pub struct Members(Map<String, Value>);

impl Members {
    /// Of an object; what it is, for the error.
    pub fn of(what: &str, value: &Value) -> Result<Self> {
        value.as_object().cloned().map(Self).with_context(|| format!("{what} is an object, not {value}"))
    }

    /// Takes a member.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Takes a member that is a text.
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>> {
        let text =
            |value: Value| value.as_str().map(str::to_owned).with_context(|| format!("{name} is a text"));
        self.take(name).map(text).transpose()
    }

    /// Takes a member that is true or false; false if it is left out.
    pub fn take_flag(&mut self, name: &str) -> Result<bool> {
        let flag = |value: Value| value.as_bool().with_context(|| format!("{name} is true or false"));
        self.take(name).map_or(Ok(false), flag)
    }

    /// Nothing is left.
    pub fn end(self) -> Result<()> {
        ensure!(self.0.is_empty(), "unknown: {}", self.0.keys().cloned().collect::<Vec<_>>().join(", "));
        Ok(())
    }
}
