//! Comparisons of the lines of a refund with the lines of its order, and of the orders that its parts name.

use crate::handlers::HandlerError;
use crate::handlers::fields::{parse_entity_id, parse_whole_number};
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::money::{add_amounts, read_amount};
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Returns a text with both figures for each line that gives back more than was ordered, and for each part that names
/// another order. `order` is the order around the refund.
pub(super) fn find_refund_problems(refund: &JsonValue, order: Option<&JsonValue>) -> Result<Vec<String>, HandlerError> {
    let mut problems = Vec::new();
    let refunded = add_quantities(iter_array(refund, "refund_line_items"));
    let lines = map_order_lines(refund, order);
    let mut counted = BTreeSet::new();
    for line in iter_array(refund, "refund_line_items") {
        let id = read_line_id(line);
        // The copy of the ordered line, else the one in the order around the refund.
        let inner = line.get("line_item").filter(|inner| inner.is_object());
        let Some(ordered) = inner.or_else(|| lines.get(&id?).copied()) else { continue };
        problems.extend(compare_line(line, ordered)?);
        let Some(id) = id.filter(|id| counted.insert(*id)) else { continue };
        let limit = read_quantity(ordered);
        if let (Some(taken), Some(limit)) = (refunded.get(&id), limit)
            && *taken > limit
        {
            problems.push(format!("the refund takes {taken} of line {id}, and its quantity is {limit}"));
        }
    }
    problems.extend(compare_shipping(refund)?);
    problems.extend(find_other_order(refund, order));
    Ok(problems)
}

/// Adds up the refunded quantities by the line of the order.
pub(super) fn add_quantities<'v>(lines: impl Iterator<Item = &'v JsonValue>) -> BTreeMap<i64, i64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        if let (Some(id), Some(quantity)) = (read_line_id(line), read_quantity(line)) {
            let sum: &mut i64 = sums.entry(id).or_default();
            *sum = sum.saturating_add(quantity);
        }
    }
    sums
}

/// Returns the line of the order that a refund line names.
pub(super) fn read_line_id(line: &JsonValue) -> Option<i64> {
    let own = line.get("line_item_id").and_then(parse_entity_id);
    own.or_else(|| line.get("line_item")?.get("id").and_then(parse_entity_id))
}

/// Returns the lines of the order around a refund that the refund names, by id.
pub(super) fn map_order_lines<'v>(refund: &JsonValue, order: Option<&'v JsonValue>) -> BTreeMap<i64, &'v JsonValue> {
    let named: BTreeSet<i64> = iter_array(refund, "refund_line_items").filter_map(read_line_id).collect();
    let lines = order.filter(|_| !named.is_empty()).into_iter().flat_map(|order| iter_array(order, "line_items"));
    let with_id = lines.filter_map(|line| Some((line.get("id").and_then(parse_entity_id)?, line)));
    with_id.filter(|(id, _)| named.contains(id)).collect()
}

fn read_quantity(line: &JsonValue) -> Option<i64> {
    read_text(line, "quantity").and_then(|text| parse_whole_number(&text))
}

/// Amounts as JSON numbers may have lost decimals, so a cent more is no difference.
const ROUNDING: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Reads an amount of the copy of an ordered line. A wrong one fails no refund, because no column takes it.
fn read_copied_amount(copy: &JsonValue, path: &'static str) -> Option<Decimal> {
    read_amount(copy, path).ok().flatten()
}

/// Compares the amount and the tax of a refund line with those of the ordered line.
fn compare_line(line: &JsonValue, ordered: &JsonValue) -> Result<Vec<String>, HandlerError> {
    let name = read_line_id(line).map_or(String::new(), |id| format!(" {id}"));
    let given = read_amount(line, "subtotal_set.shop_money.amount|subtotal")?;
    let price = read_copied_amount(ordered, "price_set.shop_money.amount|price");
    let quantity = read_quantity(line);
    let mut problems = Vec::new();
    if let (Some(given), Some(price), Some(quantity)) = (given, price, quantity)
        && let Some(most) = price.checked_mul(Decimal::from(quantity))
        && given > most.saturating_add(ROUNDING)
    {
        problems.push(format!("the refund gives {given} for {quantity} of line{name}, whose price is {price}"));
    }
    let mut taxes = Vec::new();
    for tax in iter_array(ordered, "tax_lines") {
        let Some(tax) = read_copied_amount(tax, "price_set.shop_money.amount|price") else { return Ok(problems) };
        taxes.push(tax);
    }
    let tax = read_amount(line, "total_tax_set.shop_money.amount|total_tax")?;
    if let (Some(tax), false, Some(most)) = (tax, taxes.is_empty(), add_amounts(taxes))
        && tax > most.saturating_add(ROUNDING)
    {
        problems.push(format!("the refund gives {tax} of tax for line{name}, whose tax is {most}"));
    }
    Ok(problems)
}

/// Compares the refunded shipping with the price of the shipping line.
fn compare_shipping(refund: &JsonValue) -> Result<Vec<String>, HandlerError> {
    let mut problems = Vec::new();
    for line in iter_array(refund, "refund_shipping_lines") {
        let given = read_amount(line, "subtotal_amount_set.shop_money.amount|subtotal_set.shop_money.amount|subtotal")?;
        let price =
            line.get("shipping_line").and_then(|line| read_copied_amount(line, "price_set.shop_money.amount|price"));
        if let (Some(given), Some(price)) = (given, price)
            && given > price.saturating_add(ROUNDING)
        {
            problems.push(format!("the refund gives {given} for shipping, whose price is {price}"));
        }
    }
    Ok(problems)
}

/// Returns the first part of the refund that names another order or another refund.
fn find_other_order(refund: &JsonValue, order: Option<&JsonValue>) -> Option<String> {
    let read_id = |object: &JsonValue, field: &str| object.get(field).and_then(parse_entity_id);
    let own = read_id(refund, "order_id");
    let around = order.and_then(|order| read_id(order, "id"));
    if let (Some(own), Some(around)) = (own, around)
        && own != around
    {
        return Some(format!("the refund is in order {around} and names order {own}"));
    }
    let own = own.or(around);
    let differs = |stated: Option<i64>, own: Option<i64>| stated.filter(|stated| own.is_some_and(|own| own != *stated));
    [("transactions", "a transaction"), ("order_adjustments", "an adjustment")].iter().find_map(|(list, part)| {
        iter_array(refund, list).find_map(|element| {
            let order = differs(read_id(element, "order_id"), own).map(|order| ("order", order, own));
            let id = read_id(refund, "id");
            let (kind, stated, own) =
                order.or_else(|| differs(read_id(element, "refund_id"), id).map(|stated| ("refund", stated, id)))?;
            Some(format!(
                "{part} of the refund names {kind} {stated}, and the refund {kind} {}",
                own.unwrap_or_default()
            ))
        })
    })
}
