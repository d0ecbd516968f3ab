//! What a refund gave back, and the parts that explain it.
//!
//! Facts, from shopify.dev ("Refund" and "Transaction" of the REST Admin API): a refund gives back the amounts of its
//! transactions of the kind `refund`, in the currency that the customer paid in. Lines, shipping and duties state what
//! was due. `order_adjustments` of the kind `shipping_refund` repeat the shipping with a minus sign; all others are the
//! difference to what was due, positive if less was given back. Older API versions have no `refund_shipping_lines`.

use crate::handlers::HandlerError;
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::money::{add_amounts, read_amount, read_amount_or_zero};
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;

/// The amounts of a refund, in the shop's currency unless the name says otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RefundAmounts {
    /// What was given back; `None` if only the amount in the customer's currency is known.
    pub total: Option<Decimal>,
    pub currency: Option<String>,
    pub presentment_total: Option<Decimal>,
    pub presentment_currency: Option<String>,
    /// What the payment provider has not paid out yet, in the currency of the transactions.
    pub pending: Decimal,
    pub parts: RefundParts,
    pub taxes_included: bool,
    /// Text with both figures, if the parts do not explain what was given back.
    pub attention: Option<String>,
}

/// What a refund was due to give back, in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RefundParts {
    pub items: Decimal,
    pub shipping: Decimal,
    pub duties: Decimal,
    pub additional_fees: Decimal,
    pub tax: Decimal,
    /// The difference to what was due: negative if less was given back.
    pub adjustment: Decimal,
}

/// One of the two currencies in a set such as `amount_set`, with the paths of its amounts.
struct MoneyView {
    subtotal: &'static str,
    total_tax: &'static str,
    shipping: &'static str,
    shipping_tax: &'static str,
    amount: &'static str,
    tax_amount: &'static str,
    total_duties: &'static str,
    total_fees: &'static str,
}

/// The shop's currency. Older bodies state only plain amounts, which are in it.
const SHOP_VIEW: MoneyView = MoneyView {
    subtotal: "subtotal_set.shop_money.amount|subtotal",
    total_tax: "total_tax_set.shop_money.amount|total_tax",
    shipping: "subtotal_amount_set.shop_money.amount|subtotal_set.shop_money.amount|subtotal",
    shipping_tax: "tax_amount_set.shop_money.amount|total_tax_set.shop_money.amount|tax_amount|total_tax",
    amount: "amount_set.shop_money.amount|price_set.shop_money.amount|amount|price",
    tax_amount: "tax_amount_set.shop_money.amount|tax_amount",
    total_duties: "total_duties_set.shop_money.amount",
    total_fees: "total_additional_fees_set.shop_money.amount",
};

/// The currency that the customer paid in.
const PRESENTMENT_VIEW: MoneyView = MoneyView {
    subtotal: "subtotal_set.presentment_money.amount",
    total_tax: "total_tax_set.presentment_money.amount",
    shipping: "subtotal_amount_set.presentment_money.amount|subtotal_set.presentment_money.amount",
    shipping_tax: "tax_amount_set.presentment_money.amount|total_tax_set.presentment_money.amount",
    amount: "amount_set.presentment_money.amount|price_set.presentment_money.amount",
    tax_amount: "tax_amount_set.presentment_money.amount",
    total_duties: "total_duties_set.presentment_money.amount",
    total_fees: "total_additional_fees_set.presentment_money.amount",
};

/// Returns the amounts of a refund; `None` if the body does not state its transactions. `order` is the order around it.
pub(super) fn read_refund_amounts(
    refund: &JsonValue,
    order: Option<&JsonValue>,
) -> Result<Option<RefundAmounts>, HandlerError> {
    if refund.get("transactions").and_then(JsonValue::as_array).is_none() {
        return Ok(None);
    }
    let paid = PaidBack::read(refund)?;
    let find = |money: &str, field: &str| {
        find_currency(refund, money).or_else(|| order.and_then(|order| read_text(order, field)))
    };
    let shop_currency = find("shop_money", "currency");
    let presentment_currency = find("presentment_money", "presentment_currency");
    let is_presentment = paid.currency.is_some() && shop_currency.is_some() && paid.currency != shop_currency;
    let is_one_currency = !is_presentment
        && presentment_currency.as_ref().is_none_or(|other| {
            shop_currency.as_ref().or(paid.currency.as_ref()).is_none_or(|currency| currency == other)
        });
    let due = [DueAmounts::read(refund, &SHOP_VIEW)?, DueAmounts::read(refund, &PRESENTMENT_VIEW)?];
    let [shop, presentment] = &due;
    let view = if is_presentment { presentment } else { shop };
    let stated = order.and_then(|order| order.get("taxes_included")).and_then(JsonValue::as_bool);
    let taxes_included = stated.map_or_else(|| find_taxes_included(refund), |stated| Ok(Some(stated)))?;
    let reading = view.find_reading(&paid, taxes_included);
    let chosen = reading.unwrap_or_else(|| view.usual_reading(taxes_included));
    let fits = reading.is_some() && !paid.has_several_currencies;
    let derive = |due: &DueAmounts| (fits && paid.pending.is_zero()).then(|| due.sum(chosen, Decimal::ZERO)).flatten();
    let paid_total = (!paid.has_several_currencies).then_some(paid.done);
    let attention = (!fits && (paid.count > 0 || view.has_adjustments)).then(|| paid.describe_difference(view, chosen));
    Ok(Some(RefundAmounts {
        total: if is_presentment { derive(shop) } else { paid_total },
        presentment_total: match (is_presentment, is_one_currency) {
            (true, _) | (_, true) => paid_total,
            (false, false) => derive(presentment),
        },
        currency: shop_currency.or_else(|| paid.currency.clone()),
        presentment_currency: presentment_currency.or_else(|| paid.currency.clone()),
        pending: paid.pending,
        parts: shop.to_parts(chosen),
        taxes_included: chosen.are_taxes_included,
        attention,
    }))
}

/// Returns whether the prices have the tax, by the first refunded line that states its tax and its rates.
fn find_taxes_included(refund: &JsonValue) -> Result<Option<bool>, HandlerError> {
    for line in iter_array(refund, "refund_line_items") {
        let (subtotal, tax) = (read_amount(line, SHOP_VIEW.subtotal)?, read_amount(line, SHOP_VIEW.total_tax)?);
        let Some((subtotal, tax)) = subtotal.zip(tax).filter(|(_, tax)| !tax.is_zero()) else { continue };
        let rates = line.get("line_item").into_iter().flat_map(|item| iter_array(item, "tax_lines"));
        let rates: Vec<Decimal> = rates.map(|rate| read_amount_or_zero(rate, "rate")).collect::<Result<_, _>>()?;
        let rate = add_amounts(rates).filter(|rate| !rate.is_zero());
        let Some(added) = rate.and_then(|rate| subtotal.checked_mul(rate)) else { continue };
        let Some(included) = rate.and_then(|rate| added.checked_div(Decimal::ONE.checked_add(rate)?)) else { continue };
        return Ok(Some((tax - included).abs() < (tax - added).abs()));
    }
    Ok(None)
}

/// Returns the currency of the first amount of a kind anywhere in the refund.
fn find_currency(value: &JsonValue, money: &str) -> Option<String> {
    match value {
        JsonValue::Object(object) => {
            let own = object.get(money).and_then(|amount| read_text(amount, "currency_code"));
            own.or_else(|| object.iter().find_map(|(_, field)| find_currency(field, money)))
        }
        JsonValue::Array(elements) => elements.iter().find_map(|element| find_currency(element, money)),
        _ => None,
    }
}

/// The transactions that gave money back.
#[derive(Debug, Default)]
struct PaidBack {
    done: Decimal,
    pending: Decimal,
    rounding: Decimal,
    currency: Option<String>,
    has_several_currencies: bool,
    count: usize,
}

/// Returns true for a transaction that gives money back: `void` and `authorization` move none.
pub(super) fn is_refund_transaction(transaction: &JsonValue) -> bool {
    read_text(transaction, "kind").is_some_and(|kind| kind.eq_ignore_ascii_case("refund"))
}

impl PaidBack {
    fn read(refund: &JsonValue) -> Result<Self, HandlerError> {
        let mut paid = Self::default();
        for transaction in iter_array(refund, "transactions").filter(|one| is_refund_transaction(one)) {
            paid.count += 1;
            let status = read_text(transaction, "status").unwrap_or_else(|| "success".to_owned()).to_lowercase();
            let sum = match status.as_str() {
                "success" => &mut paid.done,
                "pending" => &mut paid.pending,
                _ => continue,
            };
            *sum = add_amounts([*sum, read_amount_or_zero(transaction, "amount")?]).unwrap_or(*sum);
            let rounding = read_amount_or_zero(transaction, "amount_rounding|amount_rounding.amount")?;
            paid.rounding = add_amounts([paid.rounding, rounding]).unwrap_or_default();
            let currency = read_text(transaction, "currency");
            paid.has_several_currencies |= paid.currency.is_some() && currency.is_some() && paid.currency != currency;
            paid.currency = paid.currency.or(currency);
        }
        Ok(paid)
    }

    /// Returns what a person needs to see: what was given back and what was due.
    fn describe_difference(&self, due: &DueAmounts, reading: Reading) -> String {
        if self.has_several_currencies {
            return "the transactions of the refund are in several currencies, so their sum is not known".to_owned();
        }
        let currency = self.currency.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        let done = add_amounts([self.done, self.pending]).unwrap_or_default();
        let sum = due.sum(reading, Decimal::ZERO).unwrap_or_default();
        format!("the refund gave back {done}{currency}, and its parts add up to {sum}{currency}")
    }
}

/// How to read the amounts of a refund, which does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    is_shipping_from_adjustments: bool,
    are_taxes_included: bool,
}

/// What was due in one currency.
#[derive(Debug, Default)]
struct DueAmounts {
    items: Decimal,
    items_tax: Decimal,
    /// Shipping and its tax: of the shipping lines, and of the adjustments.
    shipping: [(Decimal, Decimal); 2],
    has_shipping_lines: bool,
    duties: Decimal,
    additional_fees: Decimal,
    fees_tax: Decimal,
    adjustment: Decimal,
    adjustment_tax: Decimal,
    has_adjustments: bool,
}

impl DueAmounts {
    fn read(refund: &JsonValue, view: &MoneyView) -> Result<Self, HandlerError> {
        let sum = |list: &str, path: &'static str, wanted: &dyn Fn(&JsonValue) -> bool| {
            let elements = iter_array(refund, list).filter(|element| wanted(element));
            let amounts: Vec<Decimal> =
                elements.map(|element| read_amount_or_zero(element, path)).collect::<Result<_, _>>()?;
            Ok::<_, HandlerError>(add_amounts(amounts).unwrap_or_default())
        };
        let any = |_: &JsonValue| true;
        let is_shipping = |adjustment: &JsonValue| is_shipping_adjustment(adjustment);
        let is_difference = |adjustment: &JsonValue| !is_shipping_adjustment(adjustment);
        let or_total = |sum: Decimal, list: &str, total: &'static str| {
            let is_listed = iter_array(refund, list).next().is_some();
            if is_listed { Ok(sum) } else { read_amount(refund, total).map(Option::unwrap_or_default) }
        };
        Ok(Self {
            items: sum("refund_line_items", view.subtotal, &any)?,
            items_tax: sum("refund_line_items", view.total_tax, &any)?,
            shipping: [
                (
                    sum("refund_shipping_lines", view.shipping, &any)?,
                    sum("refund_shipping_lines", view.shipping_tax, &any)?,
                ),
                (
                    negate(sum("order_adjustments", view.amount, &is_shipping)?),
                    negate(sum("order_adjustments", view.tax_amount, &is_shipping)?),
                ),
            ],
            has_shipping_lines: iter_array(refund, "refund_shipping_lines").next().is_some(),
            duties: or_total(sum("duties", view.amount, &any)?, "duties", view.total_duties)?,
            additional_fees: or_total(sum("additional_fees", view.amount, &any)?, "additional_fees", view.total_fees)?,
            fees_tax: sum("additional_fees", view.tax_amount, &any)?,
            adjustment: negate(sum("order_adjustments", view.amount, &is_difference)?),
            adjustment_tax: negate(sum("order_adjustments", view.tax_amount, &is_difference)?),
            has_adjustments: iter_array(refund, "order_adjustments").next().is_some(),
        })
    }

    fn usual_reading(&self, taxes_included: Option<bool>) -> Reading {
        let are_taxes_included = taxes_included.unwrap_or(false);
        Reading { is_shipping_from_adjustments: !self.has_shipping_lines, are_taxes_included }
    }

    /// Returns the reading by which the parts add up to what was given back.
    fn find_reading(&self, paid: &PaidBack, taxes_included: Option<bool>) -> Option<Reading> {
        let given = add_amounts([paid.done, paid.pending])?;
        let has_shipping_adjustment = self.shipping[1] != (Decimal::ZERO, Decimal::ZERO);
        let sources = match (self.has_shipping_lines, has_shipping_adjustment) {
            (false, _) => &[true][..],
            (true, false) => &[false],
            (true, true) => &[false, true],
        };
        // A refund that does not say whether the prices have the tax is read both ways.
        let taxes = taxes_included.map_or_else(|| vec![false, true], |included| vec![included]);
        let readings = sources.iter().flat_map(|source| {
            let read =
                |included: &bool| Reading { is_shipping_from_adjustments: *source, are_taxes_included: *included };
            taxes.iter().map(read).collect::<Vec<_>>()
        });
        readings.into_iter().find(|reading| {
            let roundings = [Decimal::ZERO, paid.rounding, -paid.rounding];
            roundings.iter().any(|rounding| self.sum(*reading, *rounding) == Some(given))
        })
    }

    fn to_parts(&self, reading: Reading) -> RefundParts {
        let (shipping, shipping_tax) = self.shipping[usize::from(reading.is_shipping_from_adjustments)];
        RefundParts {
            items: self.items,
            shipping,
            duties: self.duties,
            additional_fees: self.additional_fees,
            tax: add_amounts([self.items_tax, shipping_tax, self.fees_tax, self.adjustment_tax]).unwrap_or_default(),
            adjustment: self.adjustment,
        }
    }

    fn sum(&self, reading: Reading, rounding: Decimal) -> Option<Decimal> {
        let parts = self.to_parts(reading);
        let tax = if reading.are_taxes_included { Decimal::ZERO } else { parts.tax };
        add_amounts([parts.items, parts.shipping, parts.duties, parts.additional_fees, tax, parts.adjustment, rounding])
    }
}

/// Returns the amount with the other sign. Zero stays zero, because `-0` would be another text.
fn negate(amount: Decimal) -> Decimal {
    if amount.is_zero() { amount } else { -amount }
}

/// Returns true for an adjustment that is the shipping of the refund. The field `kind` is deprecated since 2024-10.
fn is_shipping_adjustment(adjustment: &JsonValue) -> bool {
    let is_shipping = |text: String| text.to_lowercase().replace('_', " ") == "shipping refund";
    match read_text(adjustment, "kind") {
        Some(kind) => is_shipping(kind),
        None => read_text(adjustment, "reason").is_some_and(is_shipping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An amount in both currencies; 1 USD is 2 CAD.
    fn set(amount: &str) -> Value {
        let double: Decimal = amount.parse::<Decimal>().unwrap() * Decimal::TWO;
        json!({"shop_money": {"amount": amount, "currency_code": "USD"},
            "presentment_money": {"amount": double.to_string(), "currency_code": "CAD"}})
    }

    fn line(subtotal: &str, tax: &str) -> Value {
        json!({"quantity": 1, "subtotal_set": set(subtotal), "total_tax_set": set(tax)})
    }

    fn paid(amount: &str, currency: &str) -> Value {
        json!({"kind": "refund", "status": "success", "amount": amount, "currency": currency})
    }

    fn read(refund: &Value) -> RefundAmounts {
        read_refund_amounts(&refund.to_string().parse().unwrap(), None).unwrap().unwrap()
    }

    fn totals(amounts: &RefundAmounts) -> (Option<String>, Option<String>) {
        (amounts.total.map(|total| total.to_string()), amounts.presentment_total.map(|total| total.to_string()))
    }

    fn both(total: &str, presentment: &str) -> (Option<String>, Option<String>) {
        (Some(total.to_owned()), Some(presentment.to_owned()))
    }

    #[test]
    fn every_part_of_a_refund_counts_once() {
        let refund = json!({"refund_line_items": [line("10.00", "0.80"), line("5.00", "0.40")],
            "refund_shipping_lines": [{"subtotal_amount_set": set("8.00"), "tax_amount_set": set("0.64")}],
            "duties": [{"duty_id": 1, "amount_set": set("3.00")}],
            "additional_fees": [{"id": 1, "price_set": set("1.00")}],
            "order_adjustments": [
                {"kind": "shipping_refund", "amount_set": set("-8.00"), "tax_amount_set": set("-0.64")},
                {"kind": "refund_discrepancy", "amount_set": set("2.00"), "tax_amount_set": set("0.10")}],
            "transactions": [paid("20.00", "USD"), paid("6.74", "USD")]});
        let amounts = read(&refund);
        assert_eq!((totals(&amounts), amounts.attention), (both("26.74", "53.48"), None));
        let expected = RefundParts {
            items: "15.00".parse().unwrap(),
            shipping: "8.00".parse().unwrap(),
            duties: "3.00".parse().unwrap(),
            additional_fees: "1.00".parse().unwrap(),
            tax: "1.74".parse().unwrap(),
            adjustment: "-2.00".parse().unwrap(),
        };
        assert_eq!(amounts.parts, expected);
        for list in ["refund_line_items", "duties", "additional_fees", "order_adjustments"] {
            let mut cut = refund.clone();
            cut[list] = json!([]);
            let attention = read(&cut).attention.unwrap_or_else(|| panic!("without {list}"));
            assert!(attention.starts_with("the refund gave back 26.74 USD, and its parts add up to"), "{attention}");
        }
    }

    #[test]
    fn transaction_in_the_customers_currency_is_compared_in_it() {
        let mut refund = json!({"refund_line_items": [line("10.00", "0.80")], "transactions": [paid("21.60", "CAD")]});
        let amounts = read(&refund);
        assert_eq!((totals(&amounts), amounts.attention), (both("10.80", "21.60"), None));
        assert_eq!(amounts.currency.as_deref(), Some("USD"));
        refund["transactions"][0]["amount"] = json!("10.80");
        let amounts = read(&refund);
        assert_eq!(totals(&amounts), (None, Some("10.80".to_owned())));
        assert_eq!(
            amounts.attention.as_deref(),
            Some("the refund gave back 10.80 CAD, and its parts add up to 21.60 CAD")
        );
        refund["transactions"] = json!([paid("10.80", "CAD"), paid("5.40", "USD")]);
        let amounts = read(&refund);
        assert_eq!(totals(&amounts), (None, None));
        assert!(amounts.attention.unwrap().contains("several currencies"));
    }

    #[test]
    fn shipping_of_older_versions_comes_from_the_adjustments() {
        for kind in [json!({"kind": "shipping_refund"}), json!({"reason": "Shipping refund"})] {
            let mut adjustment = json!({"amount": "-8.00", "tax_amount": "-0.64"});
            adjustment.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
            let amounts = read(&json!({"refund_line_items": [], "order_adjustments": [adjustment],
                "transactions": [paid("8.64", "USD")]}));
            assert_eq!((totals(&amounts), amounts.attention), (both("8.64", "8.64"), None));
            assert_eq!((amounts.parts.shipping, amounts.parts.tax), ("8".parse().unwrap(), "0.64".parse().unwrap()));
        }
    }

    #[test]
    fn lines_without_sets_and_included_taxes_are_read() {
        let amounts = read(&json!({"refund_line_items": [{"subtotal": 59.5, "total_tax": 9.5}],
            "transactions": [paid("59.50", "EUR")]}));
        assert_eq!((totals(&amounts), amounts.attention), (both("59.50", "59.50"), None));
        assert!(amounts.taxes_included);
        let amounts = read(&json!({"refund_line_items": [{"subtotal": 50, "total_tax": 9.500}],
            "transactions": [paid("59.500", "KWD")]}));
        assert_eq!(
            (totals(&amounts), amounts.taxes_included, amounts.attention),
            (both("59.500", "59.500"), false, None)
        );
    }

    #[test]
    fn rate_of_the_tax_decides_whether_the_prices_have_it() {
        let refund = |tax: &str, given: &str| {
            read(&json!({"refund_line_items": [{"subtotal": "59.50", "total_tax": tax,
                "line_item": {"tax_lines": [{"rate": 0.19}]}}], "transactions": [paid(given, "EUR")]}))
        };
        let included = refund("9.50", "59.50");
        assert_eq!((included.taxes_included, included.attention), (true, None));
        // 11.31 is the tax on 59.50: if 59.50 was given back, the tax was not.
        let difference = refund("11.31", "59.50").attention.unwrap();
        assert_eq!(difference, "the refund gave back 59.50 EUR, and its parts add up to 70.81 EUR");
        assert_eq!(refund("11.31", "70.81").attention, None);
        let order: JsonValue = r#"{"currency": "EUR", "taxes_included": false}"#.parse().unwrap();
        let body = json!({"refund_line_items": [{"subtotal": "59.50", "total_tax": "9.50"}],
            "transactions": [paid("59.50", "EUR")]});
        let amounts = read_refund_amounts(&body.to_string().parse().unwrap(), Some(&order)).unwrap().unwrap();
        assert!(amounts.attention.is_some(), "the order says that its prices have no tax");
    }

    #[test]
    fn only_money_that_was_given_back_counts() {
        let status = |status: &str, kind: &str| {
            json!({"refund_line_items": [line("10.00", "0.00")], "transactions": [
                {"kind": kind, "status": status, "amount": "10.00", "currency": "USD"}]})
        };
        let pending = read(&status("pending", "refund"));
        assert_eq!((pending.total, pending.pending, pending.attention), (Some(Decimal::ZERO), Decimal::TEN, None));
        let failed = read(&status("failure", "refund"));
        assert_eq!(failed.total, Some(Decimal::ZERO));
        assert!(failed.attention.unwrap().starts_with("the refund gave back 0, and its parts add up to 10.00"));
        // An authorization that is voided, or goods taken off an unpaid order: no money was due.
        for refund in
            [status("success", "void"), json!({"refund_line_items": [line("10.00", "0")], "transactions": []})]
        {
            let amounts = read(&refund);
            assert_eq!((amounts.total, amounts.attention), (Some(Decimal::ZERO), None));
        }
        let offset = json!({"refund_line_items": [line("10.00", "0")], "transactions": [],
            "order_adjustments": [{"kind": "refund_discrepancy", "amount": "10.00", "tax_amount": "0.00"}]});
        assert_eq!(read(&offset).attention, None);
        let cut = json!({"refund_line_items": [line("10.00", "0")]});
        assert_eq!(read_refund_amounts(&cut.to_string().parse().unwrap(), None).unwrap(), None);
    }

    #[test]
    fn rounding_in_cash_is_no_difference() {
        let mut refund = json!({"refund_line_items": [line("9.98", "0.00")], "transactions": [paid("10.00", "USD")]});
        assert!(read(&refund).attention.is_some());
        refund["transactions"][0]["amount_rounding"] = json!("0.02");
        assert_eq!(read(&refund).attention, None);
    }
}
