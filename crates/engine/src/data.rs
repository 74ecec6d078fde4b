//! What rows have in their fields: metadata, as filters, columns and text read them.
//!
//! Text is compared by code points, as WTF-8: JSON from JavaScript may hold a lone surrogate. Numbers are the doubles
//! that JavaScript reads from the same text, to the last bit, which is not what `serde_json` makes of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A scalar that a row's values are compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    /// Finite, and never -0.
    Number(f64),
    Text(Box<[u8]>),
}

impl Value {
    /// Kinds are ordered too, so that values of several kinds can be searched.
    pub fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }

    pub fn kind(&self) -> u8 {
        match self {
            Value::Bool(_) => 0,
            Value::Number(_) => 1,
            Value::Text(_) => 2,
        }
    }
}

/// What a row's metadata has in a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum<'a> {
    Missing,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, [u8]>),
    List(Vec<Datum<'a>>),
    /// An object, or an array inside of an array: nothing that can be compared.
    Other,
}

impl<'a> Datum<'a> {
    /// The value that a JSON text stands for.
    pub fn read(raw: &'a RawValue) -> Datum<'a> {
        match scalar(raw) {
            Datum::Other if raw.get().starts_with('[') => {
                let elements: Vec<&'a RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
                Datum::List(elements.into_iter().map(scalar).collect())
            }
            value => value,
        }
    }

    /// The scalar that it is; infinities, of numbers that are too large for a double, are none.
    pub fn value(&self) -> Option<Value> {
        match self {
            Datum::Bool(value) => Some(Value::Bool(*value)),
            Datum::Number(number) if number.is_finite() => Some(Value::Number(*number)),
            Datum::Text(text) => Some(Value::Text(text.as_ref().into())),
            _ => None,
        }
    }

    pub fn kind(&self) -> Option<u8> {
        match self {
            Datum::Bool(_) => Some(0),
            Datum::Number(_) => Some(1),
            Datum::Text(_) => Some(2),
            _ => None,
        }
    }

    /// How a value is ordered to another one; kinds come first, and what has none last.
    pub fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Datum::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Datum::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Datum::Text(a), Value::Text(b)) => (**a).cmp(b),
            _ => self.kind().unwrap_or(u8::MAX).cmp(&other.kind()),
        }
    }
}

/// The value of a JSON text that has no parts; [`Datum::Other`] of any other.
fn scalar(raw: &RawValue) -> Datum<'_> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => Datum::Text(unquoted(text)),
        Some(b'n') => Datum::Null,
        Some(b't') => Datum::Bool(true),
        Some(b'f') => Datum::Bool(false),
        Some(b'{' | b'[') | None => Datum::Other,
        // JSON's numbers are among those that Rust reads, and Rust rounds them as JavaScript does. -0 becomes 0.
        Some(_) => text.parse().map_or(Datum::Other, |number: f64| Datum::Number(number + 0.0)),
    }
}

/// The content of a JSON string.
fn unquoted(text: &str) -> Cow<'_, [u8]> {
    let inside = text.as_bytes().get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    serde_json::from_str::<Bytes>(text).map_or(Cow::Borrowed(inside), |bytes| bytes.0)
}

/// A JSON string as WTF-8.
struct Bytes<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, [u8]>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Text).map(Bytes)
    }
}

/// A key and its value.
pub(crate) type Entry<'a> = (Cow<'a, [u8]>, &'a RawValue);

/// The entries of a JSON object, in their order.
pub(crate) struct Entries<'a>(pub Vec<Entry<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<Entry<'de>>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Bytes<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Object).map(Entries)
    }
}

/// Names of fields, numbered in the order in which they were first seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Sorted by name.
    sorted: Vec<(Box<[u8]>, usize)>,
}

impl Names {
    /// Names that differ, numbered as they stand.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Names {
        let mut sorted: Vec<(Box<[u8]>, usize)> =
            names.enumerate().map(|(i, name)| (name.as_bytes().into(), i)).collect();
        sorted.sort_unstable();
        Names { sorted }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Every name and its number.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.sorted.iter().map(|(name, number)| (&**name, *number))
    }

    /// The number of a name.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let at = self.sorted.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(self.sorted[at].1)
    }

    pub fn number(&mut self, name: &[u8]) -> usize {
        let next = self.sorted.len();
        match self.sorted.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => self.sorted[at].1,
            Err(at) => {
                self.sorted.insert(at, (name.into(), next));
                next
            }
        }
    }

    /// What an object has in each of these fields. Of a key that is there twice the last counts, as in JavaScript; a
    /// text that is no object has none of them.
    pub fn read<'a>(&self, metadata: &'a str) -> Vec<Datum<'a>> {
        let mut data = vec![Datum::Missing; self.sorted.len()];
        if metadata != crate::storage::frame::EMPTY {
            let wanted = Wanted { names: self, data: &mut data };
            // What an object that ends early has is left out by the caller, who knows of the damage.
            let _ = wanted.deserialize(&mut serde_json::Deserializer::from_str(metadata));
        }
        data
    }
}

/// Reads the fields that are asked for, and passes over the others.
struct Wanted<'n, 'd, 'a> {
    names: &'n Names,
    data: &'d mut [Datum<'a>],
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Wanted<'_, '_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Wanted<'_, '_, 'a> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<Bytes<'de>>()? {
            match self.names.find(&key.0) {
                Some(field) => self.data[field] = Datum::read(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
