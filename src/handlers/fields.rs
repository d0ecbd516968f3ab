//! Converts a provider's JSON to columns by lists of [`JsonField`]s. Each entry of a list names a column, its kind and
//! the path of its field.
//!
//! A missing field is not stated; `null` is stated. A field of an unexpected type counts as missing, so that a new API
//! version of a provider fails no event. Money is checked: a wrong amount is worse than none.

use crate::changes::rows::CellValue;
use crate::handlers::HandlerError;
use crate::handlers::json::{is_decimal, parse_time};
use crate::lenient_json::JsonValue;
use crate::text::clean_code;

/// Kind of value that a column accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, or the digits of a number; empty text is NULL.
    Text,
    /// Text that identifies something, such as an SKU, by [`clean_code`]; empty text is NULL.
    Code,
    /// Integer of up to 64 bits, as a number or as its digits.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Exact decimal text; anything else fails the event.
    Money,
    /// Time, stored in UTC; an invalid time counts as missing.
    Time,
    /// Numeric id of an entity: a number, or the end of `gid://shopify/Order/1`.
    Id,
    /// Any value, as JSON text.
    Json,
}

/// Column, kind, and path of the field, separated by dots. `|` separates several fields of which the first with a value
/// counts.
#[derive(Debug, Clone, Copy)]
pub struct JsonField(pub &'static str, pub FieldKind, pub &'static str);

/// Reads the columns that `object` states.
///
/// # Errors
/// [`HandlerError::Permanent`] for money that is not a decimal number.
pub fn read_stated_columns(
    object: &JsonValue,
    fields: &[JsonField],
) -> Result<Vec<(&'static str, CellValue)>, HandlerError> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        if let Some(cell) = read_field(object, field)? {
            columns.push((field.0, cell));
        }
    }
    Ok(columns)
}

/// Reads all columns for a row of a list; missing fields are NULL.
///
/// # Errors
/// The same as [`read_stated_columns`].
pub fn read_all_columns(object: &JsonValue, fields: &[JsonField]) -> Result<Vec<CellValue>, HandlerError> {
    fields.iter().map(|field| Ok(read_field(object, field)?.unwrap_or(CellValue::Null))).collect()
}

/// Returns the names of the columns, in order.
pub fn list_column_names(fields: &[JsonField]) -> impl Iterator<Item = &'static str> {
    fields.iter().map(|field| field.0)
}

/// Parses the numeric id of an entity: a number, its digits, or the end of a `gid://…`.
#[must_use]
pub fn parse_entity_id(value: &JsonValue) -> Option<i64> {
    match value {
        JsonValue::Number(number) => number.as_i64(),
        JsonValue::Text(text) => text.rsplit('/').next()?.split('?').next()?.parse().ok(),
        _ => None,
    }
}

/// Parses an integer, also if it is written as 2.0.
#[must_use]
pub fn parse_whole_number(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.bytes().all(|byte| byte == b'0') { whole.parse().ok() } else { None }
}

fn read_field(object: &JsonValue, JsonField(_, kind, paths): &JsonField) -> Result<Option<CellValue>, HandlerError> {
    let mut stated = None;
    for path in paths.split('|') {
        match read_path(object, *kind, path)? {
            Some(CellValue::Null) => stated = Some(CellValue::Null),
            Some(cell) => return Ok(Some(cell)),
            None => {}
        }
    }
    Ok(stated)
}

/// Reads one path of a [`JsonField`]; `None` if it has no value that the kind accepts.
///
/// # Errors
/// The same as [`read_stated_columns`].
pub fn read_path(object: &JsonValue, kind: FieldKind, path: &str) -> Result<Option<CellValue>, HandlerError> {
    let mut value = object;
    for step in path.split('.') {
        match value.get(step) {
            Some(next) => value = next,
            // A field of a null object is null. A field of any other value is missing.
            None if value.is_null() => return Ok(Some(CellValue::Null)),
            None => return Ok(None),
        }
    }
    if value.is_null() {
        return Ok(Some(CellValue::Null));
    }
    let text = match value {
        JsonValue::Text(text) => Some(text.to_string()),
        JsonValue::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(match (kind, text) {
        (FieldKind::Json, _) => Some(value.to_string().into()),
        (FieldKind::Boolean, _) => value.as_bool().map(CellValue::from),
        (FieldKind::Id, _) => parse_entity_id(value).map(CellValue::from),
        (_, None) => None,
        (_, Some(text)) if text.is_empty() => Some(CellValue::Null),
        (FieldKind::Integer, Some(text)) => parse_whole_number(&text).map(CellValue::from),
        (FieldKind::Money, Some(text)) if is_decimal(&text) => Some(text.into()),
        (FieldKind::Money, Some(_)) => {
            return Err(HandlerError::Permanent(format!("{path} is not a decimal number")));
        }
        (FieldKind::Time, Some(text)) => parse_time(&text).map(CellValue::from),
        (FieldKind::Text, Some(text)) => Some(text.into()),
        (FieldKind::Code, Some(text)) => Some(Some(clean_code(&text)).filter(|code| !code.is_empty()).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[JsonField] = &[
        JsonField("name", FieldKind::Text, "name"),
        JsonField("total", FieldKind::Money, "total"),
        JsonField("city", FieldKind::Text, "address.city"),
        JsonField("test", FieldKind::Boolean, "test"),
        JsonField("at", FieldKind::Time, "at"),
        JsonField("owner", FieldKind::Id, "owner"),
    ];

    fn to_value(value: &serde_json::Value) -> JsonValue {
        value.to_string().parse().unwrap()
    }

    #[test]
    fn null_is_stated_and_missing_or_mistyped_fields_are_not() {
        let object =
            to_value(&json!({"name": "", "address": null, "test": "yes", "owner": "gid://shopify/Customer/7?x=1"}));
        let expected = [("name", CellValue::Null), ("city", CellValue::Null), ("owner", CellValue::Integer(7))];
        assert_eq!(read_stated_columns(&object, FIELDS).unwrap(), expected);
        let object = to_value(&json!({"address": {}, "name": ["new shape"]}));
        assert_eq!(read_stated_columns(&object, FIELDS).unwrap(), []);
    }

    #[test]
    fn first_field_with_a_value_counts() {
        const TOTAL: &[JsonField] = &[JsonField("total", FieldKind::Money, "total_set.amount|total|other")];
        let read = |object: serde_json::Value| read_stated_columns(&to_value(&object), TOTAL).unwrap();
        let total = |text: &str| vec![("total", CellValue::from(text))];
        assert_eq!(read(json!({"total_set": {"amount": "1.0"}, "total": 2})), total("1.0"));
        assert_eq!(read(json!({"total_set": {"amount": ""}, "total": 2.50})), total("2.5"));
        assert_eq!(read(json!({"total_set": null, "other": "3"})), total("3"));
        assert_eq!(read(json!({"total_set": null, "total": null})), [("total", CellValue::Null)]);
        assert_eq!(read(json!({"total": []})), []);
    }

    #[test]
    fn numbers_keep_every_digit() {
        let object: JsonValue = r#"{"total": 89999999999999.990, "owner": 9223372036854775807}"#.parse().unwrap();
        let expected = [("total", "89999999999999.990".into()), ("owner", CellValue::Integer(i64::MAX))];
        assert_eq!(read_stated_columns(&object, FIELDS).unwrap(), expected);
    }

    #[test]
    fn invalid_money_fails_and_invalid_time_is_ignored() {
        for invalid in [json!({"total": "1e3"}), json!({"total": "1,50"})] {
            assert!(
                matches!(read_stated_columns(&to_value(&invalid), FIELDS), Err(HandlerError::Permanent(_))),
                "{invalid}"
            );
        }
        assert_eq!(read_stated_columns(&to_value(&json!({"at": "yesterday"})), FIELDS).unwrap(), []);
        let midnight = [("at", "2026-01-05T00:00:00.000Z".into())];
        assert_eq!(read_stated_columns(&to_value(&json!({"at": "2026-01-05"})), FIELDS).unwrap(), midnight);
    }

    #[test]
    fn whole_number_may_have_zero_decimals() {
        for (text, expected) in [("2", Some(2)), ("2.0", Some(2)), ("2.5", None), ("x", None), ("-3.00", Some(-3))] {
            assert_eq!(parse_whole_number(text), expected, "{text}");
        }
    }
}
