//! Reads exact decimal numbers of the ERP's documents, written as a JSON number or as text.

use crate::edi::decimal;
use rust_decimal::Decimal;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Limit of each value, so that no sum overflows.
const VALUE_LIMIT: u64 = 1_000_000_000_000;
/// Most decimals of a number.
const SCALE_MAX: u32 = 6;
/// Most decimals of an amount of money.
const MONEY_SCALE_MAX: u32 = 2;

fn parse_json_decimal<E: Error>(value: &Value, scale_max: u32) -> Result<Decimal, E> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => decimal::expand_exponent(&number.to_string()),
        other => return Err(E::custom(format!("{other} is not a number"))),
    };
    let number = decimal::parse_decimal(&text).ok_or_else(|| E::custom(format!("{text:?} is not a decimal number")))?;
    if number.abs() >= Decimal::from(VALUE_LIMIT) || number.normalize().scale() > scale_max {
        return Err(E::custom(format!("{text:?} is too large or has more than {scale_max} decimals")));
    }
    Ok(number)
}

/// Deserializes a number.
pub fn deserialize_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    parse_json_decimal(&Value::deserialize(deserializer)?, SCALE_MAX)
}

/// Deserializes a number that may be left out.
pub fn deserialize_optional_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(|value| parse_json_decimal(&value, SCALE_MAX)).transpose()
}

/// Deserializes an amount of money. Fractions of a cent are errors, because X12 cannot express them.
pub fn deserialize_money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    parse_json_decimal(&Value::deserialize(deserializer)?, MONEY_SCALE_MAX)
}

/// Deserializes an amount of money that may be left out.
pub fn deserialize_optional_money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(|value| parse_json_decimal(&value, MONEY_SCALE_MAX)).transpose()
}
