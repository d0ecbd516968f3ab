//! Decides which quantity a line of a change sets, from all quantities that it states.
//!
//! POC03 is the new quantity of the line, POC04 the part of it that is left to receive (X12 860). Some partners write
//! the difference into POC03, others the old quantity into POC03 and the new one into POC04: [`ChangeQuantities`] names
//! such partners. RSX states the new, the earlier and the difference. Quantities that contradict each other or the
//! order set nothing.

use crate::edi::decimal;
use crate::edi::purchase_order::PurchaseOrderLine;
use rust_decimal::Decimal;

/// Meaning of the quantities in the changes of a partner, which an operator states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangeQuantities {
    /// The quantity (POC03) is the new total.
    #[default]
    Total,
    /// The quantity of QI and QD is the difference.
    Delta,
    /// The quantity left to receive (POC04) is the new total, where it is stated.
    Left,
}

impl ChangeQuantities {
    /// Returns the meaning with the name that the database stores.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "delta" => Self::Delta,
            "left" => Self::Left,
            _ => Self::Total,
        }
    }
}

/// Makes POC04 of a line the new quantity. POC03 may then be the new quantity, the difference or the earlier quantity;
/// any other value becomes a wrong earlier quantity.
pub(super) fn read_quantity_left(line: &mut PurchaseOrderLine, old: Option<Decimal>) {
    let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
    let Some(new) = parse(&line.quantity_left) else { return };
    let difference = (new - old.unwrap_or_default()).abs();
    if parse(&line.quantity).is_some_and(|stated| stated != new && stated != difference) {
        line.quantity_before = line.quantity.take();
    }
    line.quantity = line.quantity_left.take();
}

/// Quantity that a change sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QuantityDecision {
    /// The change states no quantity, or the quantity of the order.
    Keep,
    Set(Decimal),
    /// The quantity is set, and a person must look at the reason.
    SetInDoubt(Decimal, String),
    /// The reason why nothing is set.
    Refuse(String),
}

/// Quantities that a line of a change states.
struct StatedQuantities {
    quantity: Option<Decimal>,
    left: Option<Decimal>,
    before: Option<Decimal>,
    difference: Option<Decimal>,
}

/// Returns the quantity of a line as a number, if it is one.
pub(super) fn parse_quantity(line: &PurchaseOrderLine) -> Option<Decimal> {
    decimal::parse_decimal(line.quantity.as_deref()?)
}

/// Decides the quantity of a line that has `old`. With `ChangeQuantities::Delta`, QI and QD state differences.
pub(super) fn decide_quantity(
    code: &str,
    change: &PurchaseOrderLine,
    old: Option<Decimal>,
    quantities: ChangeQuantities,
) -> QuantityDecision {
    let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
    let stated = StatedQuantities {
        quantity: parse(&change.quantity),
        left: parse(&change.quantity_left),
        before: parse(&change.quantity_before),
        difference: parse(&change.quantity_difference),
    };
    let must_change = matches!(code, "QI" | "QD");
    let Some(quantity) = stated.quantity else {
        return match stated.left {
            Some(left) => {
                QuantityDecision::Refuse(format!("it states {left} left to receive, but no quantity ordered"))
            }
            None if must_change => QuantityDecision::Refuse(format!("{code} states no quantity")),
            None => QuantityDecision::Keep,
        };
    };
    if quantity.is_sign_negative() && !quantity.is_zero() {
        return QuantityDecision::Refuse(format!("the quantity {quantity} is less than zero"));
    }
    if let Some(problem) = find_earlier_contradiction(&stated, quantity, old) {
        return QuantityDecision::Refuse(problem);
    }
    // A sender that states the earlier quantity states the new one too, and no difference.
    if quantities == ChangeQuantities::Delta && must_change && stated.before.is_none() && stated.difference.is_none() {
        return add_difference(code, quantity, stated.left, old);
    }
    let decision = match old {
        Some(old) if must_change => check_direction(code, quantity, old),
        Some(old) if old == quantity => QuantityDecision::Keep,
        _ => QuantityDecision::Set(quantity),
    };
    match (stated.left.filter(|left| *left != quantity), decision) {
        (None, decision) => decision,
        (Some(left), QuantityDecision::Set(new)) if left < quantity => QuantityDecision::SetInDoubt(
            new,
            format!("it states {quantity} ordered and {left} left to receive; expected {quantity} left to receive"),
        ),
        (Some(left), decision) => {
            let has = old.map_or_else(|| "no quantity".to_owned(), |old| old.to_string());
            let reason = match decision {
                QuantityDecision::Refuse(reason) => format!("; {reason}"),
                _ => String::new(),
            };
            let advice = "if POC04 is this partner's new quantity, run novex-ingest sps map partner PARTNER CUSTOMER \
                          --quantity left";
            QuantityDecision::Refuse(format!(
                "it states {quantity} ordered and {left} left to receive, the order has {has}{reason}; {advice}"
            ))
        }
    }
}

/// Returns the contradiction between the earlier quantity or the difference that a change states and the order.
fn find_earlier_contradiction(stated: &StatedQuantities, quantity: Decimal, old: Option<Decimal>) -> Option<String> {
    let old = old.unwrap_or_default();
    if let Some(before) = stated.before.filter(|before| *before != old) {
        return Some(format!("it changes a quantity of {before}, but the order has {old}"));
    }
    let difference = stated.difference?;
    (quantity - old).abs().ne(&difference.abs()).then(|| {
        format!("it states a difference of {difference}, but {old} → {quantity} is one of {}", (quantity - old).abs())
    })
}

/// Checks that QI raises and QD lowers the quantity.
fn check_direction(code: &str, new: Decimal, old: Decimal) -> QuantityDecision {
    let (direction, is_right) = if code == "QI" { ("an increase", new > old) } else { ("a decrease", new < old) };
    if is_right {
        QuantityDecision::Set(new)
    } else if new == old {
        QuantityDecision::Refuse(format!("{code} means {direction}, but the order has {old} already"))
    } else {
        QuantityDecision::Refuse(format!(
            "{code} means {direction}, but {old} → {new} is none; if this partner sends differences, run \
             novex-ingest sps map partner PARTNER CUSTOMER --quantity delta"
        ))
    }
}

/// Adds (QI) or subtracts (QD) a difference. POC04 may state the new quantity or repeat the difference.
fn add_difference(code: &str, by: Decimal, left: Option<Decimal>, old: Option<Decimal>) -> QuantityDecision {
    let Some(old) = old else { return QuantityDecision::Refuse("the order states no quantity".to_owned()) };
    let sum = if code == "QI" { old.checked_add(by) } else { old.checked_sub(by) };
    match sum {
        Some(new) if by.is_zero() => {
            QuantityDecision::Refuse(format!("{code} of 0 changes nothing: the order has {new} already"))
        }
        Some(new) if new.is_sign_negative() && !new.is_zero() => {
            QuantityDecision::Refuse(format!("{old} minus {by} is less than zero"))
        }
        Some(new) => match left.filter(|left| *left != new && *left != by) {
            Some(left) => {
                QuantityDecision::Refuse(format!("it states {left} left to receive, but {old} and {by} give {new}"))
            }
            None => QuantityDecision::Set(new),
        },
        None => QuantityDecision::Refuse(format!("{old} and {by} give no number")),
    }
}
