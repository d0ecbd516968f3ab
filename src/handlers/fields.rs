//! From a provider's JSON to columns, by lists of [`Field`]s: each line of such a list reads "this column, of this kind, from
//! that field".
//!
//! What an event does not say is not stated; `null` is stated. A field of another type than expected counts as not said, so
//! that a provider's next version fails no event. Money is checked: a wrong amount is worse than none.

use super::Trouble;
use super::json::{is_decimal, time_of};
use crate::store::projection::Cell;
use serde_json::Value;

/// What a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, or a number's digits; empty text is NULL.
    Text,
    /// A whole number of up to 64 bits, as a number or as its digits.
    Integer,
    /// `true` or `false`.
    Flag,
    /// Exact decimal text; anything else fails the event.
    Money,
    /// A time, kept as UTC; what is none counts as not said.
    Time,
    /// The number of an entity: as such, or at the end of `gid://shopify/Order/1`.
    Id,
    /// Whatever it is, as JSON.
    Json,
}

/// Column, kind, and the field's path with dots.
#[derive(Debug, Clone, Copy)]
pub struct Field(pub &'static str, pub Kind, pub &'static str);

/// The columns that `object` states.
///
/// # Errors
/// [`Trouble::Permanent`] for money that is no decimal number.
pub fn stated(object: &Value, fields: &[Field]) -> Result<Vec<(&'static str, Cell)>, Trouble> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        if let Some(cell) = read(object, field)? {
            columns.push((field.0, cell));
        }
    }
    Ok(columns)
}

/// All columns, for a row of a list: what is not said is NULL.
///
/// # Errors
/// As [`stated`].
pub fn all(object: &Value, fields: &[Field]) -> Result<Vec<Cell>, Trouble> {
    fields.iter().map(|field| Ok(read(object, field)?.unwrap_or(Cell::Null))).collect()
}

/// The names of the columns, in order.
pub fn names(fields: &[Field]) -> impl Iterator<Item = &'static str> {
    fields.iter().map(|field| field.0)
}

/// The number of an entity: as such, as digits, or at the end of a `gid://…`.
#[must_use]
pub fn id(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.rsplit('/').next()?.split('?').next()?.parse().ok(),
        _ => None,
    }
}

/// A whole number, also as 2.0.
#[must_use]
pub fn whole(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.bytes().all(|byte| byte == b'0') { whole.parse().ok() } else { None }
}

fn read(object: &Value, Field(_, kind, path): &Field) -> Result<Option<Cell>, Trouble> {
    let mut value = object;
    for step in path.split('.') {
        match value.get(step) {
            Some(next) => value = next,
            // What is inside of nothing is nothing; what is inside of something else was not said.
            None if value.is_null() => return Ok(Some(Cell::Null)),
            None => return Ok(None),
        }
    }
    if value.is_null() {
        return Ok(Some(Cell::Null));
    }
    let wrong = |what: &str| Err(Trouble::Permanent(format!("{path} is not {what}")));
    let text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(match (kind, text) {
        (Kind::Json, _) => Some(value.to_string().into()),
        (Kind::Flag, _) => value.as_bool().map(Cell::from),
        (Kind::Id, _) => id(value).map(Cell::from),
        (_, None) => None,
        (_, Some(text)) if text.is_empty() => Some(Cell::Null),
        (Kind::Integer, Some(text)) => whole(&text).map(Cell::from),
        (Kind::Money, Some(text)) if is_decimal(&text) => Some(text.into()),
        (Kind::Money, Some(_)) => return wrong("a decimal number"),
        (Kind::Time, Some(text)) => time_of(&text).map(Cell::from),
        (Kind::Text, Some(text)) => Some(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field] = &[
        Field("name", Kind::Text, "name"),
        Field("total", Kind::Money, "total"),
        Field("city", Kind::Text, "address.city"),
        Field("test", Kind::Flag, "test"),
        Field("at", Kind::Time, "at"),
        Field("owner", Kind::Id, "owner"),
    ];

    #[test]
    fn what_is_null_is_stated_and_what_is_missing_or_of_another_type_is_not() {
        let object = json!({"name": "", "address": null, "test": "yes", "owner": "gid://shopify/Customer/7?x=1"});
        let expected = [("name", Cell::Null), ("city", Cell::Null), ("owner", Cell::Integer(7))];
        assert_eq!(stated(&object, FIELDS).unwrap(), expected);
        assert_eq!(stated(&json!({"address": {}, "name": ["new shape"]}), FIELDS).unwrap(), []);
    }

    #[test]
    fn numbers_keep_every_digit() {
        let object: Value =
            serde_json::from_str(r#"{"total": 89999999999999.990, "owner": 9223372036854775807}"#).unwrap();
        let expected = [("total", "89999999999999.990".into()), ("owner", Cell::Integer(i64::MAX))];
        assert_eq!(stated(&object, FIELDS).unwrap(), expected);
    }

    #[test]
    fn wrong_money_fails_and_an_odd_time_is_not_said() {
        for wrong in [json!({"total": "1e3"}), json!({"total": "1,50"})] {
            assert!(matches!(stated(&wrong, FIELDS), Err(Trouble::Permanent(_))), "{wrong}");
        }
        assert_eq!(stated(&json!({"at": "yesterday"}), FIELDS).unwrap(), []);
        let midnight = [("at", "2026-01-05T00:00:00.000Z".into())];
        assert_eq!(stated(&json!({"at": "2026-01-05"}), FIELDS).unwrap(), midnight);
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (text, expected) in [("2", Some(2)), ("2.0", Some(2)), ("2.5", None), ("x", None), ("-3.00", Some(-3))] {
            assert_eq!(whole(text), expected, "{text}");
        }
    }
}
