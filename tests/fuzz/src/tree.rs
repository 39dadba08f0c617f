//! JSON as `serde_json` understands it, with the order of members and repeated keys kept.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use std::fmt;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Tree>),
    /// An object.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// What a text means; `None` if `serde_json` does not take it.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The members, if it is an object.
    pub fn members(&self) -> &[(String, Tree)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// The value of a key; of the last one, where a key is repeated.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.members().iter().rev().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// How deep arrays and objects that hold something are nested; 1 for one alone. An empty one is as deep as what it
    /// stands in.
    pub fn depth(&self) -> usize {
        let inner = match self {
            Self::Array(elements) => elements.iter().map(Self::depth).max(),
            Self::Object(members) => members.iter().map(|(_, value)| value.depth()).max(),
            _ => None,
        };
        inner.map_or(0, |depth| depth + 1)
    }

    /// The members with each key once, at the place of its last value.
    pub fn last_members(&self) -> Vec<(String, Tree)> {
        let members = self.members();
        let last = |at: usize| members[at + 1..].iter().all(|(other, _)| *other != members[at].0);
        (0..members.len()).filter(|at| last(*at)).map(|at| members[at].clone()).collect()
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

/// As which a number comes where another package of the build has `serde_json` keep numbers as texts.
const NUMBER: &str = "$serde_json::private::Number";

/// The number that `serde_json` makes of a text where it keeps none.
fn number(text: &str) -> Option<Tree> {
    let whole = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
    let number = whole.ok().filter(|_| text != "-0");
    number.or_else(|| Number::from_f64(text.parse().ok()?)).map(Tree::Number)
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        if let [(key, Tree::String(text))] = object.as_slice()
            && key == NUMBER
        {
            return number(text).ok_or_else(|| A::Error::custom("number out of range"));
        }
        Ok(Tree::Object(object))
    }
}
