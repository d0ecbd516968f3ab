//! Numbers of a given document: exact, as a JSON number or as text.

use crate::formats::decimal;
use rust_decimal::Decimal;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// So that no sum of them overflows.
const BOUND: u64 = 1_000_000_000_000;
const SCALE_MAX: u32 = 6;
/// Of money.
const CENTS: u32 = 2;

fn exact<E: Error>(written: &Value, scale: u32) -> Result<Decimal, E> {
    let text = match written {
        Value::String(text) => text.clone(),
        Value::Number(number) => decimal::plain(&number.to_string()),
        other => return Err(E::custom(format!("{other} stands where a number belongs"))),
    };
    let number = decimal::parse(&text).ok_or_else(|| E::custom(format!("{text:?} is no decimal number")))?;
    if number.abs() >= Decimal::from(BOUND) || number.normalize().scale() > scale {
        return Err(E::custom(format!("{text:?} is too large or has more than {scale} decimals")));
    }
    Ok(number)
}

/// A number.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    exact(&Value::deserialize(deserializer)?, SCALE_MAX)
}

/// A number that may be left out.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(|written| exact(&written, SCALE_MAX)).transpose()
}

/// An amount of money: no part of a cent, which could not be written.
pub fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    exact(&Value::deserialize(deserializer)?, CENTS)
}

/// An amount of money that may be left out.
pub fn optional_money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(|written| exact(&written, CENTS)).transpose()
}
