//! The `where` expressions of export and profile queries (SPEC §12.2).

mod parse;

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

pub use parse::parse;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A literal.
    Literal(Term),
    /// A list, not all of literals.
    List(Vec<Expression>),
    /// `e in [1, 2]`, where the list is all of literals: it may be long, and is asked about each subject.
    Among(Box<Expression>, HashSet<Term>),
    /// `properties["x"]`, `user["x"]`, `event["x"]`.
    Access(Scope, String),
    /// `not e`.
    Not(Box<Expression>),
    /// `-e`.
    Negate(Box<Expression>),
    /// `a op b`.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `f(e)`.
    Call(Function, Box<Expression>),
}

/// What a name is looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The event's properties, or the profile's in a profile query.
    Properties,
    /// The profile's properties.
    User,
    /// The event itself.
    Event,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Functions of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Function {
    Defined,
    Floor,
    Round,
    Ceil,
    Boolean,
    Number,
    String,
    Datetime,
}

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// Text.
    Text(String),
    /// Number.
    Number(f64),
    /// Truth value.
    Bool(bool),
    /// JSON's null.
    Null,
    /// Not there, or not computable.
    Undefined,
    /// A list.
    List(Vec<Term>),
    /// An object: it is there and equals its like, and that is all that can be said of it.
    Object(Map<String, Value>),
}

/// Numbers that are none equal nothing, which no list literal holds.
impl Eq for Term {}

impl Hash for Term {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Term::Text(text) => text.hash(hasher),
            // The sum makes one zero of both.
            Term::Number(number) => (number + 0.0).to_bits().hash(hasher),
            Term::Bool(value) => value.hash(hasher),
            Term::Null | Term::Undefined => {}
            Term::List(list) => list.hash(hasher),
            Term::Object(map) => map.hash(hasher),
        }
    }
}

impl From<&Value> for Term {
    fn from(value: &Value) -> Term {
        match value {
            Value::Null => Term::Null,
            Value::Bool(value) => Term::Bool(*value),
            Value::Number(number) => number.as_f64().map_or(Term::Undefined, Term::Number),
            Value::String(text) => Term::Text(text.clone()),
            Value::Array(list) => Term::List(list.iter().map(Term::from).collect()),
            Value::Object(map) => Term::Object(map.clone()),
        }
    }
}

impl Expression {
    /// Whether a subject matches: only what is true does. The error is for whoever wrote the expression.
    pub fn matches(&self, look: &dyn Fn(Scope, &str) -> Term) -> Result<bool, String> {
        Ok(*self.value(look)? == Term::Bool(true))
    }

    /// Whether the expression looks at profiles.
    pub fn uses_user(&self) -> bool {
        match self {
            Expression::Access(scope, _) => *scope == Scope::User,
            Expression::Literal(_) => false,
            Expression::List(list) => list.iter().any(Expression::uses_user),
            Expression::Not(one)
            | Expression::Negate(one)
            | Expression::Call(_, one)
            | Expression::Among(one, _) => one.uses_user(),
            Expression::Binary(_, left, right) => left.uses_user() || right.uses_user(),
        }
    }

    fn value(&self, look: &dyn Fn(Scope, &str) -> Term) -> Result<Cow<'_, Term>, String> {
        let term = match self {
            Expression::Literal(term) => return Ok(Cow::Borrowed(term)),
            Expression::List(list) => {
                let terms = list.iter().map(|one| one.value(look).map(Cow::into_owned));
                Term::List(terms.collect::<Result<_, _>>()?)
            }
            Expression::Among(one, list) => Term::Bool(list.contains(&*one.value(look)?)),
            Expression::Access(scope, name) => look(*scope, name),
            Expression::Not(one) => Term::Bool(!truth(&*one.value(look)?, "not")?),
            Expression::Negate(one) => match *one.value(look)? {
                Term::Number(number) => Term::Number(-number),
                _ => Term::Undefined,
            },
            // Both sides are looked at, so that what is an error does not depend on their order (SPEC §12.2).
            Expression::Binary(Operator::And, left, right) => {
                Term::Bool(truth(&*left.value(look)?, "and")? & truth(&*right.value(look)?, "and")?)
            }
            Expression::Binary(Operator::Or, left, right) => {
                Term::Bool(truth(&*left.value(look)?, "or")? | truth(&*right.value(look)?, "or")?)
            }
            Expression::Binary(operator, left, right) => {
                binary(*operator, &*left.value(look)?, &*right.value(look)?)
            }
            Expression::Call(function, one) => call(*function, &*one.value(look)?),
        };
        Ok(Cow::Owned(term))
    }
}

fn truth(term: &Term, operator: &str) -> Result<bool, String> {
    match term {
        Term::Bool(value) => Ok(*value),
        Term::Undefined => Ok(false),
        _ => Err(format!("`{operator}` needs true or false")),
    }
}

fn binary(operator: Operator, left: &Term, right: &Term) -> Term {
    use Operator::*;
    match (operator, left, right) {
        (Equal, left, right) => Term::Bool(left == right),
        (Unequal, left, right) => Term::Bool(left != right),
        (In, Term::Text(part), Term::Text(whole)) => Term::Bool(whole.contains(part)),
        (In, one, Term::List(list)) => Term::Bool(list.contains(one)),
        (Add, Term::Text(left), Term::Text(right)) => Term::Text(format!("{left}{right}")),
        (_, Term::Number(left), Term::Number(right)) => match operator {
            Less => Term::Bool(left < right),
            LessOrEqual => Term::Bool(left <= right),
            Greater => Term::Bool(left > right),
            GreaterOrEqual => Term::Bool(left >= right),
            Add => Term::Number(left + right),
            Subtract => Term::Number(left - right),
            Multiply => Term::Number(left * right),
            Divide if *right != 0.0 => Term::Number(left / right),
            Remainder if *right != 0.0 => Term::Number(left % right),
            _ => Term::Undefined,
        },
        _ => Term::Undefined,
    }
}

fn call(function: Function, term: &Term) -> Term {
    match (function, term) {
        // A null counts as not set (SPEC §20.2).
        (Function::Defined, term) => Term::Bool(!matches!(term, Term::Undefined | Term::Null)),
        (Function::Floor, Term::Number(number)) => Term::Number(number.floor()),
        (Function::Round, Term::Number(number)) => Term::Number(number.round()),
        (Function::Ceil, Term::Number(number)) => Term::Number(number.ceil()),
        (Function::Boolean, Term::Bool(value)) => Term::Bool(*value),
        (Function::Boolean, Term::Number(number)) => Term::Bool(*number != 0.0),
        (Function::Boolean, Term::Text(text)) => Term::Bool(!text.is_empty()),
        (Function::Boolean, Term::Null) => Term::Bool(false),
        (Function::Number, Term::Number(number)) => Term::Number(*number),
        (Function::Number, Term::Bool(value)) => Term::Number(f64::from(u8::from(*value))),
        (Function::Number, Term::Text(text)) => {
            text.trim().parse::<f64>().ok().filter(|n| n.is_finite()).map_or(Term::Undefined, Term::Number)
        }
        (Function::String, Term::Text(text)) => Term::Text(text.clone()),
        (Function::String, Term::Number(number)) => Term::Text(number.to_string()),
        (Function::String, Term::Bool(value)) => Term::Text(value.to_string()),
        (Function::String, Term::Null) => Term::Text("null".into()),
        (Function::Datetime, Term::Text(text)) => {
            super::time::parse_iso(text).map_or(Term::Undefined, |ms| Term::Number(ms as f64 / 1000.0))
        }
        (Function::Datetime, Term::Number(number)) => Term::Number(*number),
        _ => Term::Undefined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(text: &str) -> Result<bool, String> {
        let properties = json!({"n": 5, "s": "abc", "t": true, "z": null, "l": ["x"], "o": {"k": 1}});
        parse(text)?.matches(&|scope, name| match (scope, properties.get(name)) {
            (Scope::Properties, Some(value)) => Term::from(value),
            (Scope::Event, _) if name == "$time" => Term::Number(1_788_220_800.0),
            _ => Term::Undefined,
        })
    }

    #[test]
    fn rules_of_the_table_hold() {
        for yes in [
            r#"properties["n"] > 4 and not defined(properties["nope"])"#,
            r#"properties["n"] == 5.0"#,
            r#"properties["n"] != "5""#,
            r#"string(properties["n"]) == "5" and number("7") == 7 and number(true) == 1"#,
            r#""b" in properties["s"] or properties["nope"]"#,
            r#"properties["s"] in ["abc", "d"] and "x" in properties["l"]"#,
            r#"1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and -7 % 3 == -1 and 2 - 1 - 1 == 0"#,
            r#"not properties["nope"]"#,
            r#"properties["s"] + "d" == "abcd""#,
            r#"not defined(1 / 0) and not defined(properties["s"] * 2)"#,
            r#"event["$time"] >= datetime("2026-09-01T00:00:00")"#,
            r#"false or true and true"#,
            r#"properties['z'] == null"#,
            r#"not defined(properties["z"]) and properties["z"] != properties["nope"]"#,
            r#"floor(1.5) == 1 and ceil(1.5) == 2 and round(1.4) == 1"#,
            r#"defined(properties["o"]) and properties["o"] == properties["o"]"#,
            r#"properties["o"] != properties["nope"] and not properties["o"] > 1"#,
            r#"not properties["o"] in [1, "k"] and properties["z"] in [null] and -0 in [1, 0]"#,
            r#"properties["nope"] in [undefined] and not properties["nope"] in ["nope"] and not 1 in [true]"#,
            r#"properties["l"] in [["x"], []] and properties["l"] == ["x"] and -5 in [-5, properties["n"]]"#,
            r#"not "1" in [1] and 5 in [properties["n"]] and not 5 in [] and defined([1])"#,
        ] {
            assert_eq!(matches(yes), Ok(true), "{yes}");
        }
        for no in [
            r#"properties["nope"] > 1"#,
            r#"properties["s"] > 1"#,
            r#"properties["nope"]"#,
            r#"1 == "1""#,
            "5",
        ] {
            assert_eq!(matches(no), Ok(false), "{no}");
        }
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in [
            "",
            "1 +",
            "(1",
            "properties[n]",
            "what(1)",
            "1 and true",
            "false and 5",
            "true or 5",
            "not 5",
            r#"not properties["o"]"#,
            "\"open",
            "1 2",
            "a == 1",
            "#",
        ] {
            assert!(matches(bad).is_err(), "{bad}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"-".repeat(100_000)).is_err());
        assert!(parse(&"not ".repeat(100_000)).is_err());
        for operator in ["or", "and", "==", "in", "+", "-", "*", "/", "%"] {
            let chain = format!("1 {operator} ");
            assert!(parse(&(chain.repeat(500) + "1")).is_ok());
            assert!(parse(&(chain.repeat(100_000) + "1")).is_err(), "{operator}");
        }
        assert_eq!(matches(&format!("1 in [{} 1]", "2, ".repeat(100_000))), Ok(true));
        let mixed = |length: usize| format!("5 in [{}properties[\"n\"]]", "2, ".repeat(length));
        assert_eq!(matches(&mixed(499)), Ok(true));
        assert!(parse(&mixed(500)).unwrap_err().contains("literals"));
    }

    /// It would not end if the list were made again, or gone through, for each.
    #[test]
    fn a_long_list_is_read_once_for_very_many_subjects() {
        let long = format!("[{}1]", "-2, ".repeat(200_000));
        for text in [format!("properties[\"n\"] in {long}"), format!("properties[\"n\"] == {long}")] {
            let filter = parse(&text).unwrap();
            for n in 0..100_000 {
                assert_eq!(filter.matches(&|_, _| Term::Number(f64::from(n) + 2.0)), Ok(false));
            }
        }
    }
}
