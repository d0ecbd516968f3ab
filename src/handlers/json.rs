//! Reads providers' JSON: strict about the syntax, lenient about texts that cannot be read and about every field that a
//! handler does not need.
//!
//! [`lenient_json`](crate::lenient_json) repairs the texts, and [`Routes::plan`](crate::handlers::Routes::plan) adds
//! the notes of the one parse of a body to its plan.
//! Unknown fields are ignored and a missing field is `None`. A field of an unexpected type is `None` too, so that a new
//! API version of a provider does not fail events. [`fields`](crate::handlers::fields) maps whole objects to columns.

use crate::clock;
use crate::handlers::{Event, HandlerError};
use crate::lenient_json::{
    JsonValue, LenientJson, REPLACEMENT, describe_repeated_names, parse_lenient_json, repair_json,
};
use crate::text::format_count;
use std::cell::RefCell;

/// Parses a body, with repairs where a text cannot be read.
///
/// # Errors
/// [`HandlerError::Permanent`] with the place of the error. The message quotes nothing of the body, which may be
/// personal data.
pub fn parse_body(body: &[u8]) -> Result<JsonValue, HandlerError> {
    parse_lenient_json(body).map(|read| read.value).map_err(|error| describe_parse_error(&error, body))
}

fn describe_parse_error(error: &serde_json::Error, body: &[u8]) -> HandlerError {
    let place = format!("line {}, column {}", error.line(), error.column());
    let message = error.to_string();
    let problem = match error.classify() {
        serde_json::error::Category::Eof => "it is truncated",
        _ if message.starts_with("trailing characters") => "other text follows the JSON",
        _ if message.starts_with("recursion limit") => "it has too many levels",
        _ => "it is not JSON",
    };
    // The parser reads the text after repairs, whose bytes are not those of the body.
    let text = match repair_json(body) {
        (_, Some(_)) => "the repaired text".to_owned(),
        (_, None) => format_count(body.len(), "byte", "bytes"),
    };
    HandlerError::Permanent(format!("the body cannot be read: {problem} at {place} of {text}"))
}

/// Notes about the body of an event. Its reader writes them, and
/// [`Routes::plan`](crate::handlers::Routes::plan) adds them to the plan.
#[derive(Debug, Default)]
pub struct BodyNotes(RefCell<Vec<String>>);

impl BodyNotes {
    /// Returns the notes, and forgets them.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Parses the body of an event as [`parse_body`] does, and notes what was repaired and which keys are repeated.
///
/// # Errors
/// As [`parse_body`].
pub fn parse_event_body(event: &Event<'_>) -> Result<JsonValue, HandlerError> {
    let read = parse_lenient_json(event.body).map_err(|error| describe_parse_error(&error, event.body))?;
    if let Some(notes) = event.body_notes {
        notes.0.replace(list_body_notes(&read));
    }
    Ok(read.value)
}

/// Returns the notes about the repairs of a body, and about keys that it states twice with different values. They quote
/// no value.
#[must_use]
pub fn list_body_notes(read: &LenientJson) -> Vec<String> {
    let repairs = read.repairs.as_ref().map(ToString::to_string);
    repairs.into_iter().chain(describe_repeated_names(&read.repeated_names, "the last value counts")).collect()
}

/// Returns a text that is not empty, or the digits of a number.
#[must_use]
pub fn read_text(object: &JsonValue, field: &str) -> Option<String> {
    match object.get(field)? {
        JsonValue::Text(text) if !text.is_empty() => Some(text.to_string()),
        JsonValue::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns a text that identifies something. A text that could not be read identifies nothing.
#[must_use]
pub fn read_id_text(object: &JsonValue, field: &str) -> Option<String> {
    read_text(object, field).filter(|text| !text.contains(REPLACEMENT))
}

/// Returns the elements of an array; none if it is missing.
pub fn iter_array<'v>(object: &'v JsonValue, field: &str) -> impl Iterator<Item = &'v JsonValue> {
    object.get(field).and_then(JsonValue::as_array).into_iter().flatten()
}

/// Returns a time in the format of [`clock::format_timestamp`].
///
/// Returns `None` if the field is missing or invalid: a malformed time must not fail an event.
#[must_use]
pub fn read_time(object: &JsonValue, field: &str) -> Option<String> {
    parse_time(&read_text(object, field)?)
}

/// Parses a time. A time without a zone is read as UTC, and a date alone as midnight in UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<String> {
    let text = text.trim();
    let at = clock::parse_timestamp(text).or_else(|_| clock::parse_zoneless_timestamp(text)).ok()?;
    // Years with more than four digits do not sort as text.
    Some(clock::format_timestamp(at)).filter(|text| text.len() == "2026-11-23T20:30:00.123Z".len())
}

/// Returns true if the text is a moment: a time with a zone, so that nothing has to be assumed.
#[must_use]
pub fn is_exact_time(text: &str) -> bool {
    clock::parse_timestamp(text.trim()).is_ok()
}

/// Most bytes of a decimal number. The amounts of real orders have at most 20.
const DECIMAL_BYTES_MAX: usize = 64;

/// Returns true for exact decimal text such as `-404.95`.
pub(crate) fn is_decimal(text: &str) -> bool {
    if text.len() > DECIMAL_BYTES_MAX {
        return false;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_is_exact_text() {
        for text in ["404.95", "-0.10", "12"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in ["1e3", "1,50", ".5", "", &"9".repeat(65), &format!("0.{}", "0".repeat(63))] {
            assert!(!is_decimal(text), "{text}");
        }
        assert!(is_decimal(&"9".repeat(64)));
    }

    #[test]
    fn time_without_zone_is_read_as_utc() {
        for (text, expected, is_exact) in [
            ("2025-05-12T16:09:26-05:00", Some("2025-05-12T21:09:26.000Z"), true),
            ("2025-05-12T16:09:26Z", Some("2025-05-12T16:09:26.000Z"), true),
            ("2025-05-12T16:09:26", Some("2025-05-12T16:09:26.000Z"), false),
            (" 2025-05-12 16:09:26.5 ", Some("2025-05-12T16:09:26.500Z"), false),
            ("2025-05-12T16:09", Some("2025-05-12T16:09:00.000Z"), false),
            ("2025-05-12", Some("2025-05-12T00:00:00.000Z"), false),
            ("05/12/2025 4:09 PM", None, false),
            ("yesterday", None, false),
            ("", None, false),
        ] {
            assert_eq!((parse_time(text).as_deref(), is_exact_time(text)), (expected, is_exact), "{text}");
        }
    }

    #[test]
    fn parse_error_after_a_repair_names_no_number_of_bytes() {
        let Err(HandlerError::Permanent(error)) = parse_body(br#"{"name": "\uz"#) else { panic!() };
        assert_eq!(error, "the body cannot be read: it is truncated at line 1, column 15 of the repaired text");
    }

    #[test]
    fn parse_error_names_position_without_quoting_body() {
        let Err(HandlerError::Permanent(error)) = parse_body(b"{\"email\": \"jon@example.com\",\n oops}") else {
            panic!()
        };
        assert!(error.contains("line 2, column 2"), "{error}");
        assert!(!error.contains("jon") && !error.contains("oops"));
        let Err(HandlerError::Permanent(error)) = parse_body(b"{}\n{}") else { panic!() };
        assert!(error.contains("other text follows the JSON at line 2, column 1"), "{error}");
        let Err(HandlerError::Permanent(error)) = parse_body("[".repeat(200).as_bytes()) else { panic!() };
        assert!(error.contains("too many levels"), "{error}");
    }
}
