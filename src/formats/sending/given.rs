//! Numbers of a given document: exact, as a JSON number or as text.

use crate::formats::decimal;
use rust_decimal::Decimal;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// So that no sum of them overflows.
const BOUND: u64 = 1_000_000_000_000;
const SCALE_MAX: u32 = 6;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(serde_json::Number),
}

fn exact<E: Error>(written: &Written) -> Result<Decimal, E> {
    let text = match written {
        Written::Text(text) => text.clone(),
        Written::Number(number) => decimal::plain(&number.to_string()),
    };
    let number = decimal::parse(&text).ok_or_else(|| E::custom(format!("{text:?} is no decimal number")))?;
    if number.abs() >= Decimal::from(BOUND) || number.normalize().scale() > SCALE_MAX {
        return Err(E::custom(format!("{text:?} is too large or has more than {SCALE_MAX} decimals")));
    }
    Ok(number)
}

/// A number.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    exact(&Written::deserialize(deserializer)?)
}

/// A number that may be left out.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<Written>::deserialize(deserializer)?.map(|written| exact(&written)).transpose()
}
