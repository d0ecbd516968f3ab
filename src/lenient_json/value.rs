//! JSON in memory, in less than half of the space that [`serde_json::Value`] takes.
//!
//! A handler holds a whole body, and a body of many small values is worst: each object of `serde_json` takes 600 bytes.
//! Here an object is one allocation with its fields, equal names of fields are stored once, and a small integer is
//! stored in place.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonValue {
    Null,
    Bool(bool),
    Number(JsonNumber),
    Text(Box<str>),
    Array(Box<[JsonValue]>),
    Object(JsonObject),
}

/// A JSON number with all of its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonNumber {
    /// An integer whose digits are the usual ones.
    Integer(i64),
    Digits(Box<str>),
}

/// The fields of an object, sorted by name. If an object repeats a name, the last value counts; [`JsonObject::iter`]
/// returns the others only of an object that was read with [`RepeatedFields::Different`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonObject(Box<[(Rc<str>, JsonValue)]>);

impl JsonValue {
    /// Returns a field of an object; `None` for any other value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// Removes a field of an object.
    pub fn remove(&mut self, name: &str) {
        if let Self::Object(JsonObject(fields)) = self {
            let remaining = std::mem::take(fields).into_vec().into_iter().filter(|(other, _)| **other != *name);
            *fields = remaining.collect();
        }
    }

    #[must_use]
    pub fn as_object(&self) -> Option<&JsonObject> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl JsonNumber {
    /// Returns the number if it is an integer of 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Digits(digits) => digits.parse().ok(),
        }
    }

    fn parse(digits: &str) -> Result<Self, serde_json::Error> {
        match digits.parse::<i64>() {
            Ok(number) if number.to_string() == digits => Ok(Self::Integer(number)),
            // An object can look as serde_json hands over a number.
            _ => serde_json::Number::from_str(digits).map(|_| Self::Digits(digits.into())),
        }
    }
}

impl JsonObject {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&JsonValue> {
        // The last one of equal names.
        let place = self.0.partition_point(|(other, _)| **other <= *name).checked_sub(1)?;
        let (found, value) = &self.0[place];
        (**found == *name).then_some(value)
    }

    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &JsonValue)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl FromIterator<(Rc<str>, JsonValue)> for JsonObject {
    fn from_iter<I: IntoIterator<Item = (Rc<str>, JsonValue)>>(fields: I) -> Self {
        Self::from_fields(fields.into_iter().collect(), RepeatedFields::LastOnly, &mut BTreeSet::new())
    }
}

/// Which values of a repeated name an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepeatedFields {
    LastOnly,
    /// Each that differs from the one before it.
    Different,
}

impl JsonObject {
    /// Adds the names that the object repeats with different values to `names`.
    fn from_fields(
        mut fields: Vec<(Rc<str>, JsonValue)>,
        repeated: RepeatedFields,
        names: &mut BTreeSet<Rc<str>>,
    ) -> Self {
        // Stable: equal names stay in their order.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        fields.dedup_by(|later, earlier| {
            if later.0 != earlier.0 {
                return false;
            }
            let is_different = later.1 != earlier.1;
            if is_different {
                names.insert(later.0.clone());
            }
            let is_dropped = repeated == RepeatedFields::LastOnly || !is_different;
            if is_dropped {
                std::mem::swap(later, earlier);
            }
            is_dropped
        });
        Self(fields.into_boxed_slice())
    }
}

impl FromStr for JsonValue {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_json(text.as_bytes(), RepeatedFields::LastOnly).map(|(value, _)| value)
    }
}

/// Parses JSON. Returns the value, and the names that an object repeats with different values, sorted.
pub(crate) fn parse_json(
    text: &[u8],
    repeated: RepeatedFields,
) -> Result<(JsonValue, Vec<Rc<str>>), serde_json::Error> {
    let mut parser = JsonParser {
        names: FieldNames::default(),
        arrays: ListBuffers::default(),
        objects: ListBuffers::default(),
        repeated,
        repeated_names: BTreeSet::new(),
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = ValueSeed { parser: &mut parser }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, parser.repeated_names.into_iter().collect()))
}

impl fmt::Display for JsonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write_text(f, text),
            Self::Array(elements) => write_list(f, ['[', ']'], elements.iter(), |f, element| write!(f, "{element}")),
            Self::Object(object) => write_list(f, ['{', '}'], object.iter(), |f, (name, value)| {
                write_text(f, name)?;
                write!(f, ":{value}")
            }),
        }
    }
}

impl fmt::Display for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Digits(digits) => f.write_str(digits),
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    write_item: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        write_item(f, item)?;
    }
    write!(f, "{close}")
}

/// Most names of fields that are stored once for a whole body.
const SHARED_NAMES_MAX: usize = 4096;

/// The names of fields of a body.
#[derive(Default)]
struct FieldNames(HashSet<Rc<str>>);

impl FieldNames {
    fn share(&mut self, name: &str) -> Rc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let new: Rc<str> = name.into();
        if self.0.len() < SHARED_NAMES_MAX {
            self.0.insert(new.clone());
        }
        new
    }
}

/// The name of the only field of the map by which `serde_json` hands over a number that is not an integer of 64 bits.
pub(super) const NUMBER_FIELD: &str = "$serde_json::private::Number";

/// Longest list that is built in a reused buffer. Its own buffer, grown and shrunk, would leave holes in the memory.
const SHORT_LIST_MAX: usize = 64;

/// Buffers for lists that are being built, one for each level.
struct ListBuffers<T>(Vec<Vec<T>>);

impl<T> Default for ListBuffers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ListBuffers<T> {
    fn take(&mut self) -> Vec<T> {
        self.0.pop().unwrap_or_default()
    }

    /// Returns the list without its buffer.
    fn finish(&mut self, mut list: Vec<T>) -> Vec<T> {
        if list.len() > SHORT_LIST_MAX {
            return list;
        }
        let mut exact = Vec::with_capacity(list.len());
        exact.append(&mut list);
        self.0.push(list);
        exact
    }
}

/// State of parsing one body.
struct JsonParser {
    names: FieldNames,
    arrays: ListBuffers<JsonValue>,
    objects: ListBuffers<(Rc<str>, JsonValue)>,
    repeated: RepeatedFields,
    /// Names that an object repeats with different values.
    repeated_names: BTreeSet<Rc<str>>,
}

struct ValueSeed<'p> {
    parser: &'p mut JsonParser,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = JsonValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<JsonValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = JsonValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<JsonValue, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonValue, E> {
        Ok(JsonValue::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsonValue, E> {
        Ok(JsonValue::Number(JsonNumber::Integer(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonValue, E> {
        Ok(JsonValue::Number(
            i64::try_from(number).map_or_else(|_| JsonNumber::Digits(number.to_string().into()), JsonNumber::Integer),
        ))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonValue, E> {
        Ok(JsonValue::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<JsonValue, A::Error> {
        let mut array = self.parser.arrays.take();
        while let Some(element) = elements.next_element_seed(ValueSeed { parser: &mut *self.parser })? {
            array.push(element);
        }
        Ok(JsonValue::Array(self.parser.arrays.finish(array).into_boxed_slice()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonValue, A::Error> {
        let mut fields = self.parser.objects.take();
        while let Some(name) = map.next_key_seed(NameSeed { names: &mut self.parser.names })? {
            if fields.is_empty() && *name == *NUMBER_FIELD {
                self.parser.objects.finish(fields);
                let digits: String = map.next_value()?;
                return JsonNumber::parse(&digits).map(JsonValue::Number).map_err(A::Error::custom);
            }
            fields.push((name, map.next_value_seed(ValueSeed { parser: &mut *self.parser })?));
        }
        let fields = self.parser.objects.finish(fields);
        let parser = self.parser;
        Ok(JsonValue::Object(JsonObject::from_fields(fields, parser.repeated, &mut parser.repeated_names)))
    }
}

struct NameSeed<'n> {
    names: &'n mut FieldNames,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Rc<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Rc<str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Rc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Rc<str>, E> {
        Ok(self.names.share(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::sample::select(vec!["-0", "1e3", "0.10", "89999999999999999999.990"])
                .prop_map(|digits| serde_json::from_str(digits).unwrap()),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-d]{0,2}", inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(crate::seed::seeded_config(256))]

        #[test]
        fn value_is_as_serde_json_reads_it(expected in any_json()) {
            let text = expected.to_string();
            let value: JsonValue = text.parse().unwrap();
            prop_assert_eq!(value.to_string(), text);
            for (name, field) in expected.as_object().into_iter().flatten() {
                prop_assert_eq!(value.get(name).map(ToString::to_string), Some(field.to_string()));
            }
        }
    }

    #[test]
    fn last_of_repeated_fields_counts() {
        let mut value: JsonValue = r#"{"b":1,"a":2,"b":3,"a":[4]}"#.parse().unwrap();
        assert_eq!(value.to_string(), r#"{"a":[4],"b":3}"#);
        value.remove("a");
        assert_eq!(value.to_string(), r#"{"b":3}"#);
    }

    #[test]
    fn object_that_looks_as_a_number_is_an_error_or_a_number() {
        for text in ["x", "1 ", "", "01"] {
            assert!(json!({ NUMBER_FIELD: text }).to_string().parse::<JsonValue>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn small_values_take_little_memory() {
        assert_eq!((size_of::<JsonValue>(), size_of::<(Rc<str>, JsonValue)>()), (24, 40));
    }
}
