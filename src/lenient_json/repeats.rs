//! Finds names that an object repeats with different values: one of the values counts, and nobody knows which is right.

use crate::lenient_json::repair_json;
use crate::lenient_json::value::{JsonValue, parse_repeated_json};
use crate::text::format_count;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

/// Most names that the note lists.
const NAMES_MAX: usize = 5;
/// Most characters of a name in the note.
const NAME_CHARS_MAX: usize = 60;

/// Returns the names that an object of the body repeats with different values, sorted. The body may be invalid.
#[must_use]
pub fn find_repeated_names(body: &[u8]) -> Vec<String> {
    let (text, _) = repair_json(body);
    let mut reader = serde_json::Deserializer::from_slice(&text);
    // Nearly every body repeats nothing, so its values are not kept.
    if !matches!(RepetitionSeed.deserialize(&mut reader), Ok(true)) {
        return Vec::new();
    }
    let Ok(value) = parse_repeated_json(&text) else { return Vec::new() };
    let mut names = BTreeSet::new();
    collect_repeated_names(&value, &mut names);
    names.into_iter().map(str::to_owned).collect()
}

/// Returns the note about these names, or `None` if there are none. `consequence` states which values count.
#[must_use]
pub fn describe_repeated_names(names: &[String], consequence: &str) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("{:?}", name.chars().take(NAME_CHARS_MAX).collect::<String>()))
        .collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let keys = format_count(names.len(), "key", "keys");
    Some(format!("the body states {keys} twice with different values: {}{more}; {consequence}", shown.join(", ")))
}

fn collect_repeated_names<'v>(value: &'v JsonValue, names: &mut BTreeSet<&'v str>) {
    match value {
        JsonValue::Array(elements) => elements.iter().for_each(|element| collect_repeated_names(element, names)),
        JsonValue::Object(object) => {
            let mut last = None;
            for (name, value) in object.iter() {
                if last.replace(name) == Some(name) {
                    names.insert(name);
                }
                collect_repeated_names(value, names);
            }
        }
        _ => {}
    }
}

/// Reads any value; true if an object in it repeats a name.
struct RepetitionSeed;

impl<'de> DeserializeSeed<'de> for RepetitionSeed {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RepetitionSeed {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(is_found) = elements.next_element_seed(RepetitionSeed)? {
            found |= is_found;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let (mut found, mut names) = (false, HashSet::new());
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            found |= !names.insert(name);
            found |= map.next_value_seed(RepetitionSeed)?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_different_values_are_found() {
        for (body, expected) in [
            (r#"{"id":1,"id":2}"#, &["id"][..]),
            (r#"{"a":[{"b":{"x":1,"y":2,"x":3}}],"c":1,"c":2,"c":2}"#, &["c", "x"]),
            (r#"{"id":1,"id":1,"a":{"id":2},"b":[{"id":1},{"id":2}]}"#, &[]),
            (r#"{"a":1.50,"b":18446744073709551615,"a":1.50}"#, &[]),
            (r#"{"a":1,"a":2"#, &[]),
            ("no JSON", &[]),
        ] {
            assert_eq!(find_repeated_names(body.as_bytes()), expected, "{body}");
        }
        let note = describe_repeated_names(&["id".to_owned()], "the last value counts").unwrap();
        assert_eq!(note, "the body states 1 key twice with different values: \"id\"; the last value counts");
        let many: Vec<String> = (1..=7).map(|number| format!("k{number}")).collect();
        let note = describe_repeated_names(&many, "x").unwrap();
        assert!(note.contains("7 keys twice") && note.ends_with("\"k5\" and 2 more; x"), "{note}");
        assert_eq!(describe_repeated_names(&[], "x"), None);
    }
}
