//! Comparisons of each stated part of an order with the lines that make it up, and of quantities with each other.
//!
//! Facts, from shopify.dev ("Order" of the REST Admin API): `total_line_items_price` is the price of all lines before
//! discounts, `subtotal_price` the same after discounts on lines. An edit or refund changes only the `current_…`
//! fields. `total_shipping_price_set` is before discounts. `total_discounts` has those on lines and on shipping.

use crate::handlers::HandlerError;
use crate::handlers::fields::{parse_entity_id, parse_whole_number};
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::money::{add_amounts, read_amount, read_amount_or_zero};
use crate::handlers::shopify::refund_lines::add_quantities;
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;

/// Returns a text with both figures for each part that its lines do not explain.
pub(super) fn find_part_problems(order: &JsonValue) -> Result<Vec<String>, HandlerError> {
    let prices = read_line_prices(order)?;
    let mut problems = Vec::new();
    for check in [check_items, check_subtotal, check_current_subtotal] {
        problems.extend(check(order, prices.as_ref())?);
    }
    for check in [check_taxes, check_discounts, check_shipping] {
        problems.extend(check(order)?);
    }
    problems.extend(find_quantity_problem(order));
    problems.extend(find_refunded_quantity_problem(order));
    problems.extend(find_amount_set_problem(order));
    Ok(problems)
}

/// The price of all lines, for the ordered and for the remaining quantities; `None` if a line states too little.
struct LinePrices {
    ordered: Option<Decimal>,
    current: Option<Decimal>,
}

fn read_line_prices(order: &JsonValue) -> Result<Option<LinePrices>, HandlerError> {
    let Some(lines) = order.get("line_items").and_then(JsonValue::as_array) else { return Ok(None) };
    let mut prices = LinePrices { ordered: Some(Decimal::ZERO), current: Some(Decimal::ZERO) };
    let add = |sum: Option<Decimal>, price: Option<Decimal>, quantity: Option<Decimal>| {
        let amount = price.zip(quantity).and_then(|(price, quantity)| price.checked_mul(quantity));
        sum.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount))
    };
    for line in lines {
        let price = read_amount(line, "price")?;
        let ordered = read_quantity(line, "quantity");
        prices.ordered = add(prices.ordered, price, ordered);
        prices.current = add(prices.current, price, read_quantity(line, "current_quantity").or(ordered));
    }
    Ok(Some(prices))
}

fn read_quantity(line: &JsonValue, field: &str) -> Option<Decimal> {
    read_text(line, field).and_then(|text| parse_whole_number(&text)).map(Decimal::from)
}

/// Returns true if an edit or refund changed the order, as far as its totals say.
fn is_changed(order: &JsonValue) -> bool {
    let read = |path| read_amount(order, path).ok().flatten();
    read("total_price") != read("current_total_price")
}

/// Reads an amount after edits and refunds, which the lines may have instead of the ordered one.
fn read_current_amount(order: &JsonValue, path: &'static str) -> Result<Option<Decimal>, HandlerError> {
    if is_changed(order) { read_amount(order, path) } else { Ok(None) }
}

fn describe_currency(order: &JsonValue) -> String {
    read_text(order, "currency").map_or(String::new(), |code| format!(" {code}"))
}

/// Compares the prices of the lines with `total_line_items_price`. Some totals leave out the line of a tip.
fn check_items(order: &JsonValue, prices: Option<&LinePrices>) -> Result<Option<String>, HandlerError> {
    let stated = read_amount(order, "total_line_items_price")?;
    let (Some(stated), Some(prices)) = (stated, prices) else { return Ok(None) };
    let Some(sum) = prices.ordered else { return Ok(None) };
    let tip = read_amount_or_zero(order, "total_tip_received")?;
    let current = prices.current.filter(|_| is_changed(order));
    let fits = stated == sum || Some(stated) == current || add_amounts([stated, tip]) == Some(sum);
    let currency = describe_currency(order);
    Ok((!fits)
        .then(|| format!("the lines add up to {sum}{currency}, and total_line_items_price is {stated}{currency}")))
}

/// Compares the subtotal with the items: less at most all discounts, and never more.
fn check_subtotal(order: &JsonValue, prices: Option<&LinePrices>) -> Result<Option<String>, HandlerError> {
    let Some(subtotal) = read_amount(order, "subtotal_price")? else { return Ok(None) };
    let lines = prices.and_then(|prices| prices.ordered);
    let Some(items) = read_amount(order, "total_line_items_price")?.or(lines) else { return Ok(None) };
    let discounts = read_amount(order, "total_discounts")?;
    let tip = read_amount_or_zero(order, "total_tip_received")?;
    let least = discounts.and_then(|discounts| add_amounts([items, -discounts, -tip]));
    let fits = subtotal <= items && least.is_none_or(|least| subtotal >= least);
    let currency = describe_currency(order);
    let discounts = discounts.map(|discounts| format!(" less discounts of {discounts}{currency}")).unwrap_or_default();
    Ok((!fits)
        .then(|| format!("the items are {items}{currency}{discounts}, and subtotal_price is {subtotal}{currency}")))
}

/// Compares the subtotal after edits and refunds with the lines that are left.
fn check_current_subtotal(order: &JsonValue, prices: Option<&LinePrices>) -> Result<Option<String>, HandlerError> {
    let stated = read_amount(order, "current_subtotal_price")?;
    let left = prices.and_then(|prices| prices.current);
    let (Some(stated), Some(left)) = (stated, left) else { return Ok(None) };
    let currency = describe_currency(order);
    Ok((stated > left).then(|| {
        format!("the lines that are left add up to {left}{currency}, and current_subtotal_price is {stated}{currency}")
    }))
}

/// The tax lines of one level of an order.
#[derive(Default)]
struct TaxLines {
    sum: Decimal,
    rate: Decimal,
    count: usize,
}

impl TaxLines {
    /// Adds the tax lines of the order, a line or a shipping line; `None` if one has no price.
    fn add(mut self, holder: &JsonValue) -> Result<Option<Self>, HandlerError> {
        for tax in iter_array(holder, "tax_lines") {
            let Some(price) = read_amount(tax, "price")? else { return Ok(None) };
            let rate = read_text(tax, "rate").and_then(|rate| Decimal::from_str_exact(&rate).ok()).unwrap_or_default();
            let (Some(sum), Some(rate)) = (self.sum.checked_add(price), self.rate.checked_add(rate)) else {
                return Ok(None);
            };
            self = Self { sum, rate, count: self.count + 1 };
        }
        Ok(Some(self))
    }

    /// Returns true if the two amounts are equal but for rounding each tax line to a cent.
    fn is_near(&self, one: Decimal, other: Decimal) -> bool {
        (one - other).abs() <= Decimal::new(1, 2) * Decimal::from(self.count)
    }
}

/// Compares the tax lines with `total_tax`: those of the order, else those of its lines and its shipping.
fn check_taxes(order: &JsonValue) -> Result<Option<String>, HandlerError> {
    let Some(total) = read_amount(order, "total_tax")? else { return Ok(None) };
    let Some(mut taxes) = TaxLines::default().add(order)? else { return Ok(None) };
    if taxes.count == 0 {
        for holder in iter_array(order, "line_items").chain(iter_array(order, "shipping_lines")) {
            let Some(more) = taxes.add(holder)? else { return Ok(None) };
            taxes = more;
        }
        // The rates of several lines say nothing about the sum of their prices.
        taxes.rate = Decimal::ZERO;
    }
    let current = read_current_amount(order, "current_total_tax")?;
    let fits = taxes.count == 0
        || [Some(total), current].into_iter().flatten().any(|stated| taxes.is_near(taxes.sum, stated))
        || do_rates_explain(order, &taxes, total)?;
    let currency = describe_currency(order);
    Ok((!fits).then(|| format!("the tax lines add up to {}{currency}, and total_tax is {total}{currency}", taxes.sum)))
}

/// Returns true if the rates of the tax lines give the tax. Some shops state the price of a tax line before discounts,
/// or with the tax on shipping.
fn do_rates_explain(order: &JsonValue, taxes: &TaxLines, total: Decimal) -> Result<bool, HandlerError> {
    let Some(goods) = read_amount(order, "subtotal_price")? else { return Ok(false) };
    let shipping = read_amount_or_zero(order, "total_shipping_price_set.shop_money.amount")?;
    let is_included = order.get("taxes_included").and_then(JsonValue::as_bool).unwrap_or(false);
    let compute = |base: Decimal| {
        let added = base.checked_mul(taxes.rate)?;
        if is_included { added.checked_div(Decimal::ONE.checked_add(taxes.rate)?) } else { Some(added) }
    };
    let bases = [Some(goods), add_amounts([goods, shipping])];
    Ok(!taxes.rate.is_zero() && bases.into_iter().flatten().filter_map(compute).any(|tax| taxes.is_near(tax, total)))
}

/// Compares the discounts on lines and shipping with `total_discounts`. An order without any says nothing about them.
fn check_discounts(order: &JsonValue) -> Result<Option<String>, HandlerError> {
    let Some(total) = read_amount(order, "total_discounts")? else { return Ok(None) };
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for holder in iter_array(order, "line_items").chain(iter_array(order, "shipping_lines")) {
        for allocation in iter_array(holder, "discount_allocations") {
            let Some(amount) = read_amount(allocation, "amount|amount_set.shop_money.amount")? else {
                return Ok(None);
            };
            if is_removed(holder) { removed.push(amount) } else { kept.push(amount) }
        }
    }
    let has_any = !kept.is_empty() || !removed.is_empty();
    let kept = add_amounts(kept);
    let all = kept.and_then(|kept| add_amounts(removed.into_iter().chain([kept])));
    let current = read_current_amount(order, "current_total_discounts")?.unwrap_or(total);
    // After an edit, the allocations are those before it or those after it, or of each line one of both.
    let (least, most) = (total.min(current), total.max(current));
    let fits = [kept, all].into_iter().flatten().any(|sum| sum >= least && sum <= most);
    let currency = describe_currency(order);
    Ok(all.filter(|_| has_any && !fits).map(|sum| {
        format!("the discounts of the lines add up to {sum}{currency}, and total_discounts is {total}{currency}")
    }))
}

fn is_removed(line: &JsonValue) -> bool {
    line.get("is_removed").and_then(JsonValue::as_bool).unwrap_or(false)
}

/// Compares the shipping lines with the shipping of the order. Removed lines may count in it or not.
fn check_shipping(order: &JsonValue) -> Result<Option<String>, HandlerError> {
    let Some(total) = read_amount(order, "total_shipping_price_set.shop_money.amount")? else { return Ok(None) };
    let Some(lines) = order.get("shipping_lines").and_then(JsonValue::as_array) else { return Ok(None) };
    let current = read_current_amount(order, "current_shipping_price_set.shop_money.amount")?;
    let mut sums = [Some(Decimal::ZERO); 4];
    for line in lines {
        let Some(price) = read_amount(line, "price|price_set.shop_money.amount")? else { return Ok(None) };
        let discounted = read_amount(line, "discounted_price|discounted_price_set.shop_money.amount")?.unwrap_or(price);
        let left = |amount: Decimal| if is_removed(line) { Decimal::ZERO } else { amount };
        for (sum, amount) in sums.iter_mut().zip([price, discounted, left(price), left(discounted)]) {
            *sum = sum.and_then(|sum| sum.checked_add(amount));
        }
    }
    let fits = sums.iter().flatten().any(|sum| *sum == total || Some(*sum) == current);
    let currency = describe_currency(order);
    Ok(sums[0].filter(|_| !fits).map(|sum| {
        format!("the shipping lines add up to {sum}{currency}, and the order's shipping is {total}{currency}")
    }))
}

/// Returns the first line of which more is left than was ordered.
fn find_quantity_problem(order: &JsonValue) -> Option<String> {
    iter_array(order, "line_items").find_map(|line| {
        let (ordered, left) = (read_quantity(line, "quantity")?, read_quantity(line, "current_quantity")?);
        let id = line.get("id").and_then(parse_entity_id)?;
        (left > ordered).then(|| format!("current_quantity of line {id} is {left}, and its quantity is {ordered}"))
    })
}

/// Returns the first line of which all refunds of the order together take more than was ordered.
fn find_refunded_quantity_problem(order: &JsonValue) -> Option<String> {
    // One refund that takes too much has its own attention.
    iter_array(order, "refunds").nth(1)?;
    let lines = iter_array(order, "refunds").flat_map(|refund| iter_array(refund, "refund_line_items"));
    let refunded = add_quantities(lines);
    iter_array(order, "line_items").find_map(|line| {
        let (id, ordered) = (line.get("id").and_then(parse_entity_id)?, read_quantity(line, "quantity")?);
        let taken = Decimal::from(*refunded.get(&id)?);
        (taken > ordered).then(|| format!("the refunds take {taken} of line {id}, and its quantity is {ordered}"))
    })
}

/// Deepest level of a body at which amounts are compared: order, lines, taxes of a line.
const SET_DEPTH_MAX: usize = 4;

/// Returns the first amount that differs from the amount of its set in the shop's currency, such as `total_price` and
/// `total_price_set`.
fn find_amount_set_problem(order: &JsonValue) -> Option<String> {
    // A refund states numbers that may have lost decimals, and has a check of its own.
    let lists = order.as_object()?.iter().filter(|(name, _)| *name != "refunds");
    let find_inner = |(name, list): (&str, &JsonValue)| Some(format!("{name}: {}", find_inner_set_problem(list, 1)?));
    compare_own_sets(order).or_else(|| lists.into_iter().find_map(find_inner))
}

fn find_inner_set_problem(list: &JsonValue, depth: usize) -> Option<String> {
    let elements = list.as_array().filter(|_| depth <= SET_DEPTH_MAX)?;
    elements.iter().find_map(|element| {
        let mut fields = element.as_object()?.iter();
        compare_own_sets(element).or_else(|| fields.find_map(|(_, inner)| find_inner_set_problem(inner, depth + 1)))
    })
}

fn compare_own_sets(object: &JsonValue) -> Option<String> {
    let read = |value: &JsonValue| match value {
        JsonValue::Text(text) => Decimal::from_str_exact(text).ok(),
        JsonValue::Number(number) => Decimal::from_str_exact(&number.to_string()).ok(),
        _ => None,
    };
    object.as_object()?.iter().find_map(|(name, set)| {
        let plain = name.strip_suffix("_set")?;
        let (amount, in_set) = (read(object.get(plain)?)?, read(set.get("shop_money")?.get("amount")?)?);
        (amount != in_set).then(|| format!("{plain} is {amount}, and {name} has {in_set}"))
    })
}
