//! Whether a value holds a number that JSON cannot.

use serde::Serialize;
use serde::ser::{self, Serializer};
use std::fmt;

/// Whether an infinite number, or one that is none, is in it: as JSON text that is `null`, like what was left out.
pub(super) fn holds_no_number(value: &impl Serialize) -> bool {
    matches!(value.serialize(Probe), Err(Found::NoNumber))
}

/// Goes through a value and writes nothing.
#[derive(Clone, Copy)]
struct Probe;

#[derive(Debug)]
enum Found {
    NoNumber,
    /// The value cannot be gone through.
    Other,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a number")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

type Result<T = ()> = std::result::Result<T, Found>;

/// What cannot hold a fraction.
macro_rules! passes {
    ($($name:ident: $kind:ty),*) => {
        $(fn $name(self, _: $kind) -> Result { Ok(()) })*
    };
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    passes!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );

    fn serialize_f32(self, number: f32) -> Result {
        self.serialize_f64(number.into())
    }
    fn serialize_f64(self, number: f64) -> Result {
        if number.is_finite() { Ok(()) } else { Err(Found::NoNumber) }
    }
    fn serialize_none(self) -> Result {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result {
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result {
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
}

/// Containers: each part is gone through as it comes.
macro_rules! goes_through {
    ($($container:ident: $($part:ident($($name:ty)?)),*;)*) => {
        $(impl ser::$container for Probe {
            type Ok = ();
            type Error = Found;

            $(fn $part<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result {
                value.serialize(*self)
            })*
            fn end(self) -> Result {
                Ok(())
            }
        })*
    };
}

goes_through! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(f32),
        Box(f64, f64),
        Named { x: Option<f64> },
    }

    #[test]
    fn it_is_found_wherever_it_stands() {
        let infinite = f64::INFINITY;
        for shape in [Shape::Circle(f32::NAN), Shape::Box(1.0, infinite), Shape::Named { x: Some(f64::NAN) }]
        {
            assert!(holds_no_number(&shape));
        }
        assert!(holds_no_number(&BTreeMap::from([("a", vec![(1, infinite)])])));
        for shape in [Shape::Point, Shape::Circle(1.5), Shape::Box(0.0, -0.0), Shape::Named { x: None }] {
            assert!(!holds_no_number(&shape));
        }
        assert!(!holds_no_number(&json!({"a": null, "b": [1.5, "x", true, {"c": 7}]})));
    }
}
