//! Describes names that an object repeats with different values: one of the values counts, and nobody knows which is
//! right.

use crate::text::format_count;
use std::rc::Rc;

/// Most names that the note lists.
const NAMES_MAX: usize = 5;
/// Most characters of a name in the note.
const NAME_CHARS_MAX: usize = 60;

/// Returns the note about these names, or `None` if there are none. `consequence` states which values count.
#[must_use]
pub fn describe_repeated_names(names: &[Rc<str>], consequence: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lenient_json::{parse_lenient_json, parse_repeated_lenient_json};

    #[test]
    fn names_with_different_values_are_found() {
        for (body, expected) in [
            (r#"{"id":1,"id":2}"#, &["id"][..]),
            (r#"{"a":[{"b":{"x":1,"y":2,"x":3}}],"c":1,"c":2,"c":2}"#, &["c", "x"]),
            (r#"{"id":1,"id":1,"a":{"id":2},"b":[{"id":1},{"id":2}]}"#, &[]),
            (r#"{"a":1.50,"b":18446744073709551615,"a":1.50}"#, &[]),
        ] {
            for parse in [parse_lenient_json, parse_repeated_lenient_json] {
                let names = parse(body.as_bytes()).unwrap().repeated_names;
                assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), expected, "{body}");
            }
        }
        let note = describe_repeated_names(&["id".into()], "the last value counts").unwrap();
        assert_eq!(note, "the body states 1 key twice with different values: \"id\"; the last value counts");
        let many: Vec<Rc<str>> = (1..=7).map(|number| format!("k{number}").into()).collect();
        let note = describe_repeated_names(&many, "x").unwrap();
        assert!(note.contains("7 keys twice") && note.ends_with("\"k5\" and 2 more; x"), "{note}");
        assert_eq!(describe_repeated_names(&[], "x"), None);
    }
}
