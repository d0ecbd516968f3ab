//! Reads a few text fields of a large object, without the memory for the rest of it.

use crate::lenient_json::repair_json;
use crate::lenient_json::value::NUMBER_FIELD;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Returns the text values of these keys of the outermost object, without keeping the rest of it in memory.
///
/// Returns `None` if `body` is not an object in JSON. A value that is not a text counts as missing.
#[must_use]
pub fn read_text_fields<const N: usize>(body: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    read_fields(body, names, false)
}

/// Returns the values of these keys as [`read_text_fields`] does, and the digits of a number as well.
#[must_use]
pub fn read_scalar_fields<const N: usize>(body: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    read_fields(body, names, true)
}

fn read_fields<const N: usize>(body: &[u8], names: [&str; N], with_numbers: bool) -> Option<[Option<String>; N]> {
    let (text, _) = repair_json(body);
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let fields = reader.deserialize_map(TextFieldsVisitor { names, with_numbers }).ok()?;
    reader.end().ok()?;
    Some(fields)
}

/// Reads the text values of some keys of an object.
struct TextFieldsVisitor<'n, const N: usize> {
    names: [&'n str; N],
    with_numbers: bool,
}

impl<'de, const N: usize> Visitor<'de> for TextFieldsVisitor<'_, N> {
    type Value = [Option<String>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [const { None }; N];
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.names.iter().position(|name| *name == key) {
                Some(index) => values[index] = map.next_value_seed(TextValue { with_numbers: self.with_numbers })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// Reads a text, and a number if wanted; any other value is `None`.
struct TextValue {
    with_numbers: bool,
}

impl<'de> DeserializeSeed<'de> for TextValue {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextValue {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.with_numbers.then(|| number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.with_numbers.then(|| number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    // serde_json hands over a long number or a fraction as a map with this key, because it keeps every digit.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut number = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.with_numbers && key == NUMBER_FIELD {
                number = map.next_value_seed(Self { with_numbers: false })?;
            } else {
                let _ = map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_only_as_scalars() {
        let body = br#"{"text": "a", "whole": 1763929800000, "fraction": 1.50, "other": {"x": 1}, "null": null}"#;
        let names = ["text", "whole", "fraction", "other", "null", "missing"];
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(read_text_fields(body, names).unwrap(), [text("a"), None, None, None, None, None]);
        let scalars = [text("a"), text("1763929800000"), text("1.50"), None, None, None];
        assert_eq!(read_scalar_fields(body, names).unwrap(), scalars);
    }
}
