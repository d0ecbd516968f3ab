//! Applies one line of a change to the order, by its change code.
//!
//! The code states what may differ. A line that changes nothing, contradicts its code or contradicts the order is
//! unclear, and its values are not applied.

use crate::edi::decimal;
use crate::edi::order_percentages;
use crate::edi::purchase_order::PurchaseOrderLine;
use crate::edi::revisions::allowed_values::{self, AllowedValues, NOTHING};
use crate::edi::revisions::line_match::{LineMatch, MatchDoubt, name_goods, name_line};
use crate::edi::revisions::quantity::{self, QuantityDecision, parse_quantity};
use crate::edi::revisions::{ChangeQuantities, OrderState, OrderStatus, RevisionOutcome, difference, overwrite};

/// Line of the order at which a line of a change aims.
pub(super) struct LineTarget {
    pub(super) found: LineMatch,
    /// The first line with the number that the change names, whatever its goods are.
    pub(super) numbered: Option<usize>,
}

/// Effect of one line of a change.
pub(super) struct LineEffect {
    pub(super) outcome: RevisionOutcome,
    pub(super) message: String,
}

impl LineEffect {
    /// Returns true if the order has the values of the line already.
    pub(super) fn changes_nothing(&self) -> bool {
        self.message.ends_with(CHANGES_NOTHING)
    }

    pub(super) fn apply(message: impl Into<String>) -> Self {
        Self { outcome: RevisionOutcome::Applied, message: message.into() }
    }

    pub(super) fn skip(message: impl Into<String>) -> Self {
        Self { outcome: RevisionOutcome::NoEffect, message: message.into() }
    }

    /// The line is not applied, and a person must look at it.
    pub(super) fn refuse(reason: impl AsRef<str>) -> Self {
        Self { outcome: RevisionOutcome::Unclear, message: format!("{NOT_APPLIED}{}", reason.as_ref()) }
    }

    /// Returns true if the line is not applied.
    pub(super) fn is_refusal(&self) -> bool {
        self.message.starts_with(NOT_APPLIED)
    }

    /// Marks an effect as doubtful if there is a doubt.
    pub(super) fn with_doubts(self, doubts: &[String]) -> Self {
        if doubts.is_empty() { self } else { self.with_doubt(&doubts.join("; ")) }
    }

    /// Marks an effect as doubtful: what was applied stays applied.
    fn with_doubt(self, doubt: &str) -> Self {
        let applied = match self.outcome {
            RevisionOutcome::Applied => "applied, ",
            _ => "",
        };
        Self { outcome: RevisionOutcome::Unclear, message: format!("{applied}{}; {doubt}", self.message) }
    }
}

/// Message of a line that is not applied begins with this text.
const NOT_APPLIED: &str = "not applied: ";

/// Message of a line whose values the order has already.
const CHANGES_NOTHING: &str = "it changes nothing: the order has these values already";

/// Applies a line of a change to its target. `quantities` is their meaning.
pub(super) fn apply_line(
    state: &mut OrderState,
    line: &PurchaseOrderLine,
    target: &LineTarget,
    quantities: ChangeQuantities,
) -> LineEffect {
    let code = line.change.as_deref().unwrap_or("CA");
    match code {
        "CF" => {
            state.cancel_all_lines();
            return LineEffect::apply("the order is cancelled");
        }
        "PO1" | "POC" | "G68" => {
            let expected = "a line must be a POC segment in an 860 and a G68 segment in an 876";
            return LineEffect::refuse(format!("{expected}, found {code}"));
        }
        "AI" => return add_line(state, line, target),
        _ => {}
    }
    let (index, doubt) = match &target.found {
        LineMatch::Found { index, doubt } => (*index, doubt.as_ref()),
        LineMatch::Missing(reason) => return LineEffect::refuse(reason),
    };
    let is_cancelled = state.line_statuses[index] == OrderStatus::Cancelled;
    let effect = match code {
        "NC" | "NCH" => check_unchanged(&state.order.lines[index], line),
        _ if is_cancelled => {
            let name = name_line(&state.order.lines[index], index);
            LineEffect::refuse(if code == "DI" {
                format!("{name} is cancelled already")
            } else {
                format!("{name} is cancelled, and {code} changes it")
            })
        }
        "DI" => delete_line(state, index, line),
        _ if matches!(doubt, Some(MatchDoubt::OtherGoods(_))) && !replaces_ids(code) => {
            // The code changes no goods: the line keeps its ids.
            let line = PurchaseOrderLine { ids: Vec::new(), ..line.clone() };
            change_values_by_code(state, index, (&line, code), quantities)
        }
        _ => change_values_by_code(state, index, (line, code), quantities),
    };
    match doubt {
        // A change of all values may also change an id of the goods.
        Some(MatchDoubt::OtherGoods(_)) if replaces_ids(code) => effect,
        Some(doubt) => effect.with_doubt(doubt.as_str()),
        None => effect,
    }
}

/// Returns true for a code that may also change the ids of the goods.
fn replaces_ids(code: &str) -> bool {
    matches!(code, "CA" | "RZ" | "RE" | "RM")
}

/// Sets the values of a line that its change code allows to differ.
fn change_values_by_code(
    state: &mut OrderState,
    index: usize,
    (line, code): (&PurchaseOrderLine, &str),
    quantities: ChangeQuantities,
) -> LineEffect {
    match AllowedValues::of_code(code) {
        Some(allowed) => change_values(state, index, (line, code, allowed), quantities),
        None => LineEffect::refuse(format!("novex-ingest does not know the change code {code}")),
    }
}

/// Checks that a line which states no change agrees with the order.
fn check_unchanged(own: &PurchaseOrderLine, line: &PurchaseOrderLine) -> LineEffect {
    let mut stated = own.clone();
    overwrite::overwrite_line(&mut stated, line);
    let differences = difference::list_line_differences(own, &stated);
    if differences.is_empty() {
        return LineEffect::skip("no change");
    }
    let differences = difference::join_differences(&differences);
    LineEffect::refuse(format!("it states no change, but it differs from the order: {differences}"))
}

fn delete_line(state: &mut OrderState, index: usize, line: &PurchaseOrderLine) -> LineEffect {
    let own = &state.order.lines[index];
    let old = parse_quantity(own);
    // The quantity of a deletion is the deleted one, or the one that remains.
    if let Some(stated) = parse_quantity(line).filter(|stated| !stated.is_zero() && Some(*stated) != old) {
        let has = own.quantity.as_deref().unwrap_or("no quantity");
        return LineEffect::refuse(format!("DI deletes the line, but it states {stated}, and the order has {has}"));
    }
    if let Some(before) = line.quantity_before.as_deref().filter(|before| Some(*before) != own.quantity.as_deref()) {
        let has = own.quantity.as_deref().unwrap_or("no quantity");
        return LineEffect::refuse(format!("DI deletes a quantity of {before}, but the order has {has}"));
    }
    let left = line.quantity_left.as_deref().filter(|left| *left != "0" && Some(*left) != own.quantity.as_deref());
    if let Some(left) = left {
        return LineEffect::refuse(format!("DI deletes the line, but {left} is left to receive"));
    }
    let unit = line.unit.as_ref().filter(|unit| own.unit.as_ref().is_some_and(|own| own != *unit));
    if let Some(unit) = unit {
        let has = own.unit.as_deref().unwrap_or_default();
        return LineEffect::refuse(format!("DI deletes the line, but its unit is {unit}, and the order has {has}"));
    }
    let is_zero = |price: &String| decimal::parse_decimal(price).is_some_and(|price| price.is_zero());
    let price = line.price.clone().filter(|price| !is_zero(price));
    let stated = PurchaseOrderLine { quantity: None, unit: None, price, ..line.clone() };
    if let Some(problem) = allowed_values::find_forbidden_value(&state.order, own, (&stated, "DI"), NOTHING) {
        return LineEffect::refuse(problem);
    }
    state.line_statuses[index] = OrderStatus::Cancelled;
    LineEffect::apply(format!("{} deleted", name_line(&state.order.lines[index], index)))
}

/// Sets the values that the line states, or replaces all values (RZ).
fn change_values(
    state: &mut OrderState,
    index: usize,
    (line, code, allowed): (&PurchaseOrderLine, &str, AllowedValues),
    quantities: ChangeQuantities,
) -> LineEffect {
    let before = &state.order.lines[index];
    let problem = allowed_values::find_forbidden_value(&state.order, before, (line, code), allowed);
    if let Some(problem) = problem.or_else(|| find_missing_price(before, line, code)) {
        return LineEffect::refuse(problem);
    }
    if code == "RZ" && line.quantity.is_none() {
        return LineEffect::refuse("RZ replaces all values, but it states no quantity");
    }
    let decided = quantity::decide_quantity(code, line, parse_quantity(before), quantities);
    let (mut after, mut doubts) = if code == "RZ" {
        replace_line(before, line)
    } else {
        let mut after = before.clone();
        let doubts = overwrite::overwrite_line(&mut after, line);
        (after, doubts)
    };
    match decided {
        QuantityDecision::Refuse(reason) => return LineEffect::refuse(reason),
        QuantityDecision::Keep => after.quantity.clone_from(&before.quantity),
        QuantityDecision::Set(new) => after.quantity = Some(new.normalize().to_string()),
        QuantityDecision::SetInDoubt(new, reason) => {
            after.quantity = Some(new.normalize().to_string());
            doubts.push(reason);
        }
    }
    let differences = difference::list_line_differences(before, &after);
    if !has_effect(before, &after) {
        if !doubts.is_empty() {
            return LineEffect::refuse(doubts.join("; "));
        }
        // A line without a code does not claim a change.
        return if line.change.is_none() {
            LineEffect::skip(CHANGES_NOTHING)
        } else {
            LineEffect::refuse(CHANGES_NOTHING)
        };
    }
    doubts.extend(order_percentages::find_line_percentage_findings(line, &[&after, before]));
    state.order.lines[index] = after;
    LineEffect::apply(difference::join_differences(&differences)).with_doubts(&doubts)
}

/// Returns the line with all values of the change (RZ). A price that the change does not state stays, and so does a
/// value for which it states an empty part: both are doubts.
fn replace_line(before: &PurchaseOrderLine, line: &PurchaseOrderLine) -> (PurchaseOrderLine, Vec<String>) {
    let mut after = PurchaseOrderLine { number: before.number.clone(), ..overwrite::to_order_line(line) };
    let mut doubts = overwrite::keep_line_values(&mut after, before);
    if let Some(price) = before.price.as_ref().filter(|_| line.price.is_none()) {
        after.price = Some(price.clone());
        if after.price_basis.is_none() {
            after.price_basis.clone_from(&before.price_basis);
        }
        doubts.push(format!("RZ replaces all values, but it states no price: the price stays {price}"));
    }
    (after, doubts)
}

/// Returns false if the two versions differ at most in ids and a price basis that the order did not state yet.
fn has_effect(before: &PurchaseOrderLine, after: &PurchaseOrderLine) -> bool {
    let mut compared = after.clone();
    if before.ids.iter().all(|id| after.ids.contains(id)) {
        compared.ids.clone_from(&before.ids);
    }
    if before.price_basis.is_none() {
        compared.price_basis = None;
    }
    !difference::list_line_differences(before, &compared).is_empty()
}

/// Returns the problem of a code that means another price, if the line states none.
fn find_missing_price(own: &PurchaseOrderLine, line: &PurchaseOrderLine, code: &str) -> Option<String> {
    let is_same_price = line.price.is_none() || line.price == own.price;
    let is_same_basis = line.price_basis.is_none() || own.price_basis.is_none() || line.price_basis == own.price_basis;
    if code != "PC" || !is_same_price || !is_same_basis {
        return None;
    }
    let has = own.price.as_deref().unwrap_or("none");
    Some(match &line.price {
        Some(_) => format!("PC means another price, but the order has {has} already"),
        None => format!("PC means another price, but it states none; the order has {has}"),
    })
}

/// Adds a line that is not in the order, or opens a cancelled one again.
fn add_line(state: &mut OrderState, line: &PurchaseOrderLine, target: &LineTarget) -> LineEffect {
    let decided = quantity::decide_quantity("AI", line, None, ChangeQuantities::Total);
    let of_percentages = order_percentages::find_line_percentage_findings(line, &[line]);
    let doubt = match decided {
        QuantityDecision::Refuse(reason) => return LineEffect::refuse(reason),
        _ if !of_percentages.is_empty() => Some(of_percentages.join("; ")),
        QuantityDecision::SetInDoubt(_, reason) => Some(reason),
        QuantityDecision::Keep => Some("AI adds a line, but it states no quantity".to_owned()),
        QuantityDecision::Set(_) => None,
    };
    let added = overwrite::to_order_line(line);
    let quantity = added.quantity.as_deref().unwrap_or("no quantity");
    let amount = format!("{quantity} {}", added.unit.as_deref().unwrap_or_default()).trim_end().to_owned();
    let effect = match (&target.found, target.numbered) {
        (LineMatch::Found { index, doubt: None }, _) => {
            let name = name_line(&state.order.lines[*index], *index);
            if state.line_statuses[*index] == OrderStatus::Open {
                let own = &state.order.lines[*index];
                let has = own.quantity.as_deref().unwrap_or("no quantity");
                return LineEffect::refuse(if own.quantity == line.quantity {
                    format!("AI adds a line, but the order has {name} already")
                } else {
                    format!("AI adds a line with {quantity}, but the order has {name} with {has}")
                });
            }
            let number = state.order.lines[*index].number.clone();
            state.order.lines[*index] = PurchaseOrderLine { number, ..added };
            state.line_statuses[*index] = OrderStatus::Open;
            LineEffect::apply(format!("{name} added again: {amount}"))
        }
        (_, Some(other)) => {
            let goods = name_goods(line).unwrap_or_else(|| "no goods".to_owned());
            let has = name_goods(&state.order.lines[other]).unwrap_or_else(|| "no goods".to_owned());
            let name = name_line(&state.order.lines[other], other);
            return LineEffect::refuse(format!("AI adds {goods}, but {name} exists and is {has}"));
        }
        (_, None) => {
            if let LineMatch::Found { index, .. } = &target.found
                && is_repetition(state, *index, line)
            {
                let name = name_line(&state.order.lines[*index], *index);
                return LineEffect::refuse(format!("AI adds a line, but {name} has the same goods and quantity"));
            }
            state.order.lines.push(added);
            state.line_statuses.push(OrderStatus::Open);
            LineEffect::apply(format!("added: {amount}"))
        }
    };
    match doubt {
        Some(reason) => effect.with_doubt(&reason),
        None => effect,
    }
}

/// Returns true if an open line has the quantity and the dates of a line that is to be added.
fn is_repetition(state: &OrderState, index: usize, line: &PurchaseOrderLine) -> bool {
    let own = &state.order.lines[index];
    state.line_statuses[index] == OrderStatus::Open && own.quantity == line.quantity && own.dates == line.dates
}
