//! The parts of an order's total: items, discounts, shipping, taxes, tip, duties, additional fees and cash rounding.
//!
//! Facts, from shopify.dev ("Order" of the REST Admin API): `subtotal_price` is less all discounts on lines;
//! `total_discounts` has those on shipping too; `total_shipping_price_set` is before discounts. If `taxes_included`,
//! the prices have the tax. So a total is explained in several ways, and one of them must fit.

use crate::handlers::HandlerError;
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::money::{add_amounts, read_amount, read_amount_or_zero};
use crate::handlers::shopify::order_parts::find_part_problems;
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;

/// Whether the parts of an order explain its totals.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AmountCheck {
    /// The body states too little.
    NotStated,
    Fits,
    /// The text names both figures.
    Differs(String),
}

impl AmountCheck {
    /// Returns the check with one more problem.
    pub(super) fn with_problem(self, problem: Option<String>) -> Self {
        match (problem, self) {
            (None, check) => check,
            (Some(problem), Self::Differs(others)) => Self::Differs(format!("{problem}; {others}")),
            (Some(problem), Self::NotStated | Self::Fits) => Self::Differs(problem),
        }
    }
}

/// Compares the totals of an order with their parts: as ordered, and after edits and refunds. Compares each part with
/// the lines that make it up, by [`find_part_problems`].
pub(super) fn check_order_amounts(order: &JsonValue) -> Result<AmountCheck, HandlerError> {
    let checks = [check_total(order)?, check_current_total(order)?];
    let currency = read_text(order, "currency").unwrap_or_default();
    let mut problems = Vec::new();
    for (name, check) in ["total", "current_total"].into_iter().zip(&checks) {
        if let Some((stated, Some(sum))) = check {
            problems.push(format!("the parts of {name} add up to {sum} {currency}, and it is {stated} {currency}"));
        }
    }
    problems.extend(find_part_problems(order)?);
    Ok(match (checks.iter().all(Option::is_none), problems.is_empty()) {
        (_, false) => AmountCheck::Differs(problems.join("; ")),
        (true, true) => AmountCheck::NotStated,
        (false, true) => AmountCheck::Fits,
    })
}

/// The stated total, and the sum of the parts if it is another one; `None` if the body states too little.
type ComparedTotal = Option<(Decimal, Option<Decimal>)>;

fn check_total(order: &JsonValue) -> Result<ComparedTotal, HandlerError> {
    let Some(total) = read_amount(order, "total_price")? else { return Ok(None) };
    let shipping = read_amount(order, "total_shipping_price_set.shop_money.amount")?;
    let discounted_shipping = add_shipping_lines(order)?;
    let mut goods = Vec::new();
    if let Some(subtotal) = read_amount(order, "subtotal_price")? {
        let shippings = discounted_shipping.into_iter().chain(shipping);
        goods.extend(shippings.filter_map(|shipping| add_amounts([subtotal, shipping])));
    }
    if let Some(items) = read_items(order)? {
        let discounts = read_amount_or_zero(order, "total_discounts")?;
        goods.extend(shipping.or(discounted_shipping).and_then(|shipping| add_amounts([items, -discounts, shipping])));
    }
    let rest = PartsBesideGoods {
        tax: read_amount_or_zero(order, "total_tax")?,
        duties: read_amount_or_zero(order, "original_total_duties_set.shop_money.amount")?,
        always: add_amounts([
            read_amount_or_zero(order, "total_tip_received")?,
            read_amount_or_zero(order, "original_total_additional_fees_set.shop_money.amount")?,
        ]),
        sometimes: vec![read_amount_or_zero(order, "total_cash_rounding_payment_adjustment_set.shop_money.amount")?],
    };
    Ok(rest.compare(order, total, &goods))
}

fn check_current_total(order: &JsonValue) -> Result<ComparedTotal, HandlerError> {
    let total = read_amount(order, "current_total_price")?;
    let subtotal = read_amount(order, "current_subtotal_price")?;
    let (Some(total), Some(subtotal)) = (total, subtotal) else { return Ok(None) };
    let shipping = read_amount(order, "current_shipping_price_set.shop_money.amount")?;
    let goods: Vec<Decimal> = shipping.and_then(|shipping| add_amounts([subtotal, shipping])).into_iter().collect();
    let rest = PartsBesideGoods {
        tax: read_amount_or_zero(order, "current_total_tax")?,
        duties: read_amount_or_zero(order, "current_total_duties_set.shop_money.amount")?,
        always: Some(read_amount_or_zero(order, "current_total_additional_fees_set.shop_money.amount")?),
        // Shopify's pages do not say whether this total has the tip.
        sometimes: vec![
            read_amount_or_zero(order, "total_tip_received")?,
            read_amount_or_zero(order, "total_cash_rounding_payment_adjustment_set.shop_money.amount")?,
            read_amount_or_zero(order, "total_cash_rounding_refund_adjustment_set.shop_money.amount")?,
        ],
    };
    if shipping.is_some() {
        return Ok(rest.compare(order, total, &goods));
    }
    // Older API versions state no shipping that is left: it is none, all or a part of what was ordered.
    let Some(most) = read_amount(order, "total_shipping_price_set.shop_money.amount")? else { return Ok(None) };
    let bounds = [Some(subtotal), add_amounts([subtotal, most])];
    let compared = bounds.into_iter().flatten().map(|goods| rest.compare(order, total, &[goods]));
    let sums: Vec<Decimal> = compared.flatten().map(|(stated, sum)| sum.unwrap_or(stated)).collect();
    let slack: Decimal = rest.sometimes.iter().map(Decimal::abs).sum();
    let (Some(least), Some(most)) = (sums.iter().min(), sums.iter().max()) else { return Ok(None) };
    let is_possible = total >= *least - slack && total <= *most + slack;
    // A sum that only may be right says nothing about the total.
    Ok((!is_possible).then_some((total, Some(*most))))
}

/// The parts of a total beside goods and shipping.
struct PartsBesideGoods {
    /// Part of the prices if the order states `taxes_included`.
    tax: Decimal,
    /// Part of the prices if the order states `duties_included`.
    duties: Decimal,
    always: Option<Decimal>,
    /// Amounts that some totals have and others have not.
    sometimes: Vec<Decimal>,
}

impl PartsBesideGoods {
    /// Returns the stated total with the first possible sum if no sum is the total.
    fn compare(&self, order: &JsonValue, total: Decimal, goods: &[Decimal]) -> ComparedTotal {
        let is_stated = |field: &str| order.get(field).and_then(JsonValue::as_bool).unwrap_or(false);
        let tax = if is_stated("taxes_included") { Decimal::ZERO } else { self.tax };
        let duties = if is_stated("duties_included") { Decimal::ZERO } else { self.duties };
        let sums = goods.iter().filter_map(|goods| add_amounts([*goods, tax, duties, self.always?]));
        let mut sums: Vec<Decimal> = sums.collect();
        let first = *sums.first()?;
        for amount in &self.sometimes {
            let with: Vec<Decimal> = sums.iter().filter_map(|sum| sum.checked_add(*amount)).collect();
            sums.extend(with);
        }
        Some((total, (!sums.contains(&total)).then_some(first)))
    }
}

/// Returns the price of all items before discounts, as stated or from the lines.
fn read_items(order: &JsonValue) -> Result<Option<Decimal>, HandlerError> {
    if let Some(items) = read_amount(order, "total_line_items_price")? {
        return Ok(Some(items));
    }
    let Some(lines) = order.get("line_items").and_then(JsonValue::as_array) else { return Ok(None) };
    let mut sum = Some(Decimal::ZERO);
    for line in lines {
        let (price, quantity) = (read_amount(line, "price")?, read_amount(line, "quantity")?);
        let amount = price.zip(quantity).and_then(|(price, quantity)| price.checked_mul(quantity));
        sum = sum.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
    }
    Ok(sum)
}

/// Returns the price of all shipping after discounts; `None` if a line does not state it.
fn add_shipping_lines(order: &JsonValue) -> Result<Option<Decimal>, HandlerError> {
    let Some(lines) = order.get("shipping_lines").and_then(JsonValue::as_array) else { return Ok(None) };
    let mut amounts = Vec::new();
    for line in iter_array(order, "shipping_lines") {
        amounts.extend(read_amount(line, "discounted_price|discounted_price_set.shop_money.amount")?);
    }
    Ok((amounts.len() == lines.len()).then(|| add_amounts(amounts)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(amount: &str) -> serde_json::Value {
        json!({"shop_money": {"amount": amount, "currency_code": "GBP"}})
    }

    fn check(order: &serde_json::Value) -> AmountCheck {
        check_order_amounts(&order.to_string().parse().unwrap()).unwrap()
    }

    /// 100 for goods, 20 tax, 10 shipping, 6.40 duties, 3 tip, 0.60 fees.
    fn order_with_every_part() -> serde_json::Value {
        json!({"currency": "GBP", "total_price": "140.00", "subtotal_price": "100.00", "total_tax": "20.00",
            "total_line_items_price": "110.00", "total_discounts": "10.00", "total_tip_received": "3.00",
            "total_shipping_price_set": set("10.00"), "original_total_duties_set": set("6.40"),
            "original_total_additional_fees_set": set("0.60")})
    }

    #[test]
    fn every_part_counts_once() {
        let order = order_with_every_part();
        assert_eq!(check(&order), AmountCheck::Fits);
        for field in ["subtotal_price", "total_line_items_price"] {
            let mut cut = order.clone();
            cut.as_object_mut().unwrap().remove(field);
            assert_eq!(check(&cut), AmountCheck::Fits, "without {field}");
        }
        for field in
            ["total_tax", "total_tip_received", "original_total_duties_set", "original_total_additional_fees_set"]
        {
            let mut cut = order.clone();
            cut.as_object_mut().unwrap().remove(field);
            let AmountCheck::Differs(text) = check(&cut) else { panic!("without {field}") };
            assert!(text.ends_with("and it is 140.00 GBP"), "{text}");
        }
    }

    #[test]
    fn difference_names_both_figures() {
        let mut order = order_with_every_part();
        order["total_price"] = json!("140.01");
        order["current_total_price"] = json!("0.00");
        order["current_subtotal_price"] = json!("5.00");
        order["current_shipping_price_set"] = set("0.00");
        let expected = "the parts of total add up to 140.00 GBP, and it is 140.01 GBP; \
                        the parts of current_total add up to 5.00 GBP, and it is 0.00 GBP";
        assert_eq!(check(&order), AmountCheck::Differs(expected.to_owned()));
    }

    #[test]
    fn included_taxes_and_rounding_are_no_difference() {
        let mut order = order_with_every_part();
        order["taxes_included"] = json!(true);
        order["total_price"] = json!("120.00");
        assert_eq!(check(&order), AmountCheck::Fits);
        order["total_cash_rounding_payment_adjustment_set"] = set("-0.03");
        order["total_price"] = json!("119.97");
        assert_eq!(check(&order), AmountCheck::Fits);
        order["duties_included"] = json!(true);
        order["total_price"] = json!("113.60");
        assert_eq!(check(&order), AmountCheck::Fits);
    }

    #[test]
    fn items_and_shipping_come_from_the_lines_if_no_sum_is_stated() {
        let order = json!({"total_price": "26.500", "line_items": [{"price": "2.250", "quantity": 10}],
            "shipping_lines": [{"price": "5.000", "discounted_price": "4.000"}]});
        assert_eq!(check(&order), AmountCheck::Fits);
    }

    #[test]
    fn cut_body_states_no_check() {
        for order in [json!({}), json!({"total_price": "5.00"}), json!({"total_price": "5.00", "line_items": []})] {
            assert_eq!(check(&order), AmountCheck::NotStated, "{order}");
        }
        let huge = json!({"total_price": "9".repeat(60), "subtotal_price": "1", "shipping_lines": []});
        assert_eq!(check(&huge), AmountCheck::NotStated);
    }
}
