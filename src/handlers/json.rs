//! Reading providers' JSON: strict about what it is, lenient about everything a handler does not need.
//!
//! Unknown fields are ignored and a missing field is `None`; a field of another type than expected is `None` too, so that
//! a provider's next version does not fail events. Money is checked, because a wrong amount is worse than none.

use super::Trouble;
use crate::clock;
use serde_json::Value;

/// Parses a body.
///
/// # Errors
/// [`Trouble::Permanent`] with the place of the error; the text quotes nothing of the body.
pub fn parse(body: &[u8]) -> Result<Value, Trouble> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            _ => "it is not JSON",
        };
        Trouble::Permanent(format!("the body cannot be read: {what} at {place} of {} bytes", body.len()))
    })
}

/// A text that is not empty.
#[must_use]
pub fn text(object: &Value, field: &str) -> Option<String> {
    match object.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number of up to 64 bits, as a number or as its digits.
#[must_use]
pub fn integer(object: &Value, field: &str) -> Option<i64> {
    match object.get(field)? {
        Value::Number(number) => number.as_i64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// True only for `true`.
#[must_use]
pub fn flag(object: &Value, field: &str) -> bool {
    object.get(field) == Some(&Value::Bool(true))
}

/// The elements of an array; none when it is missing.
pub fn items<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// An amount of money: exact decimal text, as the provider wrote it.
///
/// # Errors
/// [`Trouble::Permanent`] when it is there and is no decimal number.
pub fn money(object: &Value, field: &str) -> Result<Option<String>, Trouble> {
    let Some(amount) = text(object, field) else { return Ok(None) };
    if is_decimal(&amount) {
        return Ok(Some(amount));
    }
    Err(Trouble::Permanent(format!("{field} is not a decimal number")))
}

/// A time, as [`clock::text`]; a date alone is its midnight in UTC. `None` when it is missing or is none: no time that a provider
/// writes oddly is worth an event.
#[must_use]
pub fn time(object: &Value, field: &str) -> Option<String> {
    time_of(&text(object, field)?)
}

/// [`time`] of a text.
#[must_use]
pub fn time_of(written: &str) -> Option<String> {
    let at = clock::parse(written).or_else(|_| clock::parse(&format!("{written}T00:00:00Z"))).ok()?;
    // Years of more than four digits do not sort as text.
    Some(clock::text(at)).filter(|text| text.len() == "2026-11-23T20:30:00.123Z".len())
}

pub(super) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_keep_all_64_bits() {
        let order = json!({"id": 820_982_911_946_154_508_i64, "text": "9223372036854775807", "real": 1.5});
        assert_eq!(integer(&order, "id"), Some(820_982_911_946_154_508));
        assert_eq!(integer(&order, "text"), Some(i64::MAX));
        assert_eq!(integer(&order, "real"), None);
    }

    #[test]
    fn money_is_exact_or_refused() {
        let order =
            json!({"a": "404.95", "b": "-0.10", "c": "12", "d": null, "e": "1e3", "f": "1,50", "g": ".5", "h": ""});
        let read = |field| money(&order, field);
        assert_eq!(read("a").unwrap().as_deref(), Some("404.95"));
        assert_eq!(read("b").unwrap().as_deref(), Some("-0.10"));
        assert_eq!(read("c").unwrap().as_deref(), Some("12"));
        assert_eq!((read("d").unwrap(), read("h").unwrap(), read("none").unwrap()), (None, None, None));
        for wrong in ["e", "f", "g"] {
            assert!(matches!(read(wrong), Err(Trouble::Permanent(_))));
        }
    }

    #[test]
    fn a_broken_body_names_the_place_and_quotes_nothing() {
        let Err(Trouble::Permanent(error)) = parse(b"{\"email\": \"jon@example.com\",\n oops}") else { panic!() };
        assert!(error.contains("line 2, column 2"), "{error}");
        assert!(!error.contains("jon") && !error.contains("oops"));
    }
}
