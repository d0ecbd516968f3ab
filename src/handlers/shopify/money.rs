//! Amounts of money that a handler adds up to check a stated sum.

use crate::changes::rows::CellValue;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::{HandlerError, fields};
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;

/// Reads an amount by the path of a [`JsonField`]; `None` if it is missing, null or longer than 28 digits.
///
/// # Errors
/// [`HandlerError::Permanent`] if it is not a decimal number.
pub(super) fn read_amount(object: &JsonValue, path: &'static str) -> Result<Option<Decimal>, HandlerError> {
    let cells = fields::read_all_columns(object, &[JsonField("amount", FieldKind::Money, path)])?;
    Ok(cells.first().and_then(parse_amount))
}

/// Returns the number in a cell of the kind [`FieldKind::Money`].
pub(super) fn parse_amount(cell: &CellValue) -> Option<Decimal> {
    match cell {
        CellValue::Text(text) => Decimal::from_str_exact(text).ok(),
        CellValue::Null | CellValue::Integer(_) => None,
    }
}

/// Reads an amount that counts as zero if it is missing.
///
/// # Errors
/// As [`read_amount`].
pub(super) fn read_amount_or_zero(object: &JsonValue, path: &'static str) -> Result<Decimal, HandlerError> {
    Ok(read_amount(object, path)?.unwrap_or_default())
}

/// Adds up amounts; `None` if the sum has more than 28 digits.
pub(super) fn add_amounts(amounts: impl IntoIterator<Item = Decimal>) -> Option<Decimal> {
    amounts.into_iter().try_fold(Decimal::ZERO, Decimal::checked_add)
}
