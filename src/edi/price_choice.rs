//! Chooses the price of a line from the prices that are stated apart from it: CTP, `PriceInformation`.
//!
//! X12 defines CTP by examples: CTP04 is the quantity from which a price applies, CTP07 a factor that gives the final
//! discounted price. Kinds of a price are its element 236 of 004010.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::{EdiPrice, PurchaseOrderLine};
use rust_decimal::Decimal;

/// Kinds of a price that the buyer pays, the surest first: unit cost, confirmed, contract, net, invoice price.
const BUYING_PRICES: [&str; 5] = ["UCP", "CUP", "CON", "NET", "INV"];
/// Classes of trade whose price is for the consumer.
const RESALE_CLASSES: [&str; 2] = ["RS", "RT"];
/// Kind of a multiplier that gives the discounted price.
const DISCOUNT_MULTIPLIER: &str = "DIS";

impl PurchaseOrderLine {
    /// Takes the price from the prices that are stated apart from the line, if the line states none. Returns the
    /// contradictions between the prices, and why no price is taken.
    pub fn fill_price(&mut self) -> Vec<String> {
        let candidates = self.list_buying_prices();
        let Some(first) = candidates.first().copied() else { return Vec::new() };
        let is_other = |other: &&&EdiPrice| is_comparable(other, first) && final_price(other) != final_price(first);
        let mut findings: Vec<String> = candidates
            .iter()
            .filter(is_other)
            .map(|other| format!("states the prices {} and {}", describe_price_kind(first), describe_price_kind(other)))
            .collect();
        let rows: Vec<&EdiPrice> = candidates.into_iter().filter(|row| is_of_table(row, first)).collect();
        let stated = self.price.as_deref().and_then(decimal::parse_decimal);
        match (stated, self.choose_price(&rows)) {
            (Some(stated), _) => {
                let is_same_basis =
                    first.basis.is_none() || self.price_basis.is_none() || first.basis == self.price_basis;
                let is_possible = rows.iter().any(|row| list_meanings(row).contains(&Some(stated)));
                // A price that begins at a larger quantity is not the line's.
                let ordered = self.quantity.as_deref().and_then(decimal::parse_decimal);
                let is_reached = |row: &&EdiPrice| start_of(row) <= ordered;
                let is_possible = is_possible || (ordered.is_some() && !rows.iter().any(is_reached));
                if is_same_basis && is_of_unit(first, self.unit.as_deref()) && !is_possible {
                    findings.push(format!("states the prices {stated} and {}", describe_price_kind(first)));
                }
            }
            (None, Ok(price)) => {
                let basis = first.basis.clone();
                self.price = Some(price);
                self.price_basis = self.price_basis.take().or(basis);
            }
            (None, Err(reason)) => findings.push(format!("{reason}: the price is not taken")),
        }
        findings
    }

    /// Returns the contradiction between the price and the quantity of the line, if its prices depend on the quantity.
    ///
    /// A change of the quantity alone can make another price apply.
    #[must_use]
    pub fn contradict_price_by_quantity(&self) -> Option<String> {
        let candidates = self.list_buying_prices();
        let first = candidates.first().copied()?;
        let rows: Vec<&EdiPrice> = candidates.into_iter().filter(|row| is_of_table(row, first)).collect();
        let stated = decimal::parse_decimal(self.price.as_deref()?)?;
        let is_row = rows.iter().any(|row| list_meanings(row).contains(&Some(stated)));
        if !has_breaks(&rows) || !is_row || !is_of_unit(first, self.unit.as_deref()) {
            return None;
        }
        let row = self.find_break(&rows).ok()?;
        let (from, unit) = (start_of(row)?.normalize(), row.unit.as_deref().unwrap_or_default());
        (!list_meanings(row).contains(&Some(stated))).then(|| {
            let unit = format!("{from} {unit}");
            format!("has the price {}, and from {} on {}", stated.normalize(), unit.trim(), describe_price_kind(row))
        })
    }

    /// Returns the prices that the buyer pays, those of the surest kind first.
    fn list_buying_prices(&self) -> Vec<&EdiPrice> {
        let of_kinds: Vec<&EdiPrice> = BUYING_PRICES
            .iter()
            .flat_map(|kind| self.prices.iter().filter(move |price| price.kind.as_deref() == Some(kind)))
            .collect();
        let is_plain = |price: &&EdiPrice| {
            price.kind.is_none() && !price.class.as_deref().is_some_and(|class| RESALE_CLASSES.contains(&class))
        };
        if of_kinds.is_empty() { self.prices.iter().filter(is_plain).collect() } else { of_kinds }
    }

    /// Returns the price that the rows of one kind give for the line, or the reason why none is certain.
    fn choose_price(&self, rows: &[&EdiPrice]) -> Result<String, String> {
        let Some(first) = rows.first().copied() else { return Err("has no price".to_owned()) };
        if first.basis.is_none() && !is_of_unit(first, self.unit.as_deref()) {
            let (unit, of_line) = (first.unit.as_deref().unwrap_or_default(), self.unit.as_deref());
            return Err(format!("has a price for {unit} and a quantity in {}", of_line.unwrap_or("no unit")));
        }
        if has_breaks(rows) {
            return final_price(self.find_break(rows)?);
        }
        // Some senders repeat the ordered quantity beside the price of one unit.
        let ordered = self.quantity.as_deref().and_then(decimal::parse_decimal);
        let is_unclear = |start: &Decimal| *start > Decimal::ONE && first.basis.is_none() && ordered != Some(*start);
        let start = start_of(first).filter(is_unclear);
        if let Some(start) = start {
            let unit = first.unit.as_deref().unwrap_or("units");
            let price = describe_price_kind(first);
            return Err(format!("states the price {price} for {start} {unit}, and not whether it is for each of them"));
        }
        final_price(first)
    }

    /// Returns the row that applies to the quantity of the line.
    fn find_break<'p>(&self, rows: &[&'p EdiPrice]) -> Result<&'p EdiPrice, String> {
        let mut sorted: Vec<(Decimal, &EdiPrice)> =
            rows.iter().filter_map(|row| Some((start_of(row)?, *row))).collect();
        sorted.sort_by_key(|(start, _)| *start);
        let price = |row: &EdiPrice| decimal::parse_decimal(&row.price);
        let rising = sorted.windows(2).find(|pair| price(pair[0].1) < price(pair[1].1));
        if let Some([(small, low), (large, high)]) = rising {
            let (low, high) = (&low.price, &high.price);
            return Err(format!("states the price {low} for {small} and the higher price {high} for {large}"));
        }
        let Some(quantity) = self.quantity.as_deref().and_then(decimal::parse_decimal) else {
            return Err("has prices by quantity, and no quantity".to_owned());
        };
        let applies = sorted.iter().rfind(|(start, _)| *start <= quantity).map(|(_, row)| *row);
        applies.ok_or_else(|| {
            let smallest = sorted.first().map(|(start, _)| start.normalize().to_string()).unwrap_or_default();
            format!("has the quantity {}, and its prices begin at {smallest}", quantity.normalize())
        })
    }
}

/// Returns the quantity from which a price applies, 0 if none is stated.
fn start_of(price: &EdiPrice) -> Option<Decimal> {
    price.quantity.as_deref().map_or(Some(Decimal::ZERO), decimal::parse_decimal)
}

/// Returns true if two prices differ at most in the quantity from which they apply.
fn is_of_table(row: &EdiPrice, first: &EdiPrice) -> bool {
    row.kind == first.kind && row.class == first.class && row.unit == first.unit && row.basis == first.basis
}

/// Returns true if the price depends on the quantity.
fn has_breaks(rows: &[&EdiPrice]) -> bool {
    rows.iter().any(|row| start_of(row) != start_of(rows[0]))
}

/// Returns the price after its multiplier, or the reason why it is not certain.
fn final_price(price: &EdiPrice) -> Result<String, String> {
    let (value, multiplier) = (decimal::parse_decimal(&price.price), price.multiplier.as_deref());
    let Some(text) = multiplier else { return Ok(price.price.clone()) };
    let factor = decimal::parse_decimal(text).unwrap_or_default();
    let kind = price.multiplier_kind.as_deref();
    let is_certain = factor == Decimal::ONE
        || (kind == Some(DISCOUNT_MULTIPLIER) && factor > Decimal::ZERO && factor < Decimal::ONE);
    let product = value.filter(|_| is_certain).and_then(|value| value.checked_mul(factor));
    product.map(|product| product.normalize().to_string()).ok_or_else(|| {
        let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
        format!("states the price {} with the multiplier {text}{kind}", describe_price_kind(price))
    })
}

/// Returns what a price apart from the line may mean for one unit: itself, discounted, or its part of the quantity.
fn list_meanings(price: &EdiPrice) -> [Option<Decimal>; 3] {
    let value = decimal::parse_decimal(&price.price);
    let discounted = final_price(price).ok().and_then(|text| decimal::parse_decimal(&text));
    let count = start_of(price).filter(|start| *start > Decimal::ONE);
    [value, discounted, value.zip(count).and_then(|(value, count)| value.checked_div(count))]
}

/// Returns true if two prices are for the same quantity and unit.
fn is_comparable(one: &EdiPrice, other: &EdiPrice) -> bool {
    one.quantity == other.quantity && one.unit == other.unit && one.basis == other.basis
}

/// Returns true if the price is for the unit of the line, or states none.
fn is_of_unit(price: &EdiPrice, unit: Option<&str>) -> bool {
    price.unit.is_none() || price.unit.as_deref() == unit
}

fn describe_price_kind(price: &EdiPrice) -> String {
    let kind = price.kind.as_deref().map(|kind| codes::PRICES.describe(kind));
    kind.map_or_else(|| price.price.clone(), |kind| format!("{} ({kind})", price.price))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_with(price: Option<&str>, prices: &[(&str, &str, &str)]) -> PurchaseOrderLine {
        let to_price = |(class, kind, price): &(&str, &str, &str)| EdiPrice {
            class: Some((*class).to_owned()).filter(|text| !text.is_empty()),
            kind: Some((*kind).to_owned()).filter(|text| !text.is_empty()),
            price: (*price).to_owned(),
            ..EdiPrice::default()
        };
        PurchaseOrderLine {
            price: price.map(str::to_owned),
            unit: Some("CA".into()),
            prices: prices.iter().map(to_price).collect(),
            ..PurchaseOrderLine::default()
        }
    }

    #[test]
    fn price_of_the_buyer_is_taken_and_contradictions_are_named() {
        for (price, prices, wanted, finding_count) in [
            (None, &[("RS", "RES", "39.99"), ("", "UCP", "27.5")][..], Some("27.5"), 0),
            (None, &[("RS", "RES", "39.99")], None, 0),
            (None, &[("", "", "5")], Some("5"), 0),
            (None, &[("RS", "", "5")], None, 0),
            (None, &[("", "NET", "26"), ("", "UCP", "27.5")], Some("27.5"), 1),
            (Some("27.5"), &[("", "UCP", "27.5"), ("RS", "RES", "39.99")], Some("27.5"), 0),
            (Some("28"), &[("", "UCP", "27.5")], Some("28"), 1),
        ] {
            let mut line = line_with(price, prices);
            let findings = line.fill_price();
            assert_eq!((line.price.as_deref(), findings.len()), (wanted, finding_count), "{prices:?} {findings:?}");
        }
        let mut each = line_with(None, &[("", "UCP", "2.5")]);
        each.prices[0].unit = Some("EA".into());
        assert_eq!(each.fill_price(), ["has a price for EA and a quantity in CA: the price is not taken"]);
        assert_eq!(each.price, None);
    }

    /// Returns a line of 150 CA with prices as `price quantity unit multiplier`; `-` stands for none.
    fn line_of_rows(rows: &[&str]) -> PurchaseOrderLine {
        let to_price = |row: &&str| {
            let fields: Vec<Option<String>> =
                row.split(' ').map(|text| Some(text.to_owned()).filter(|text| text != "-")).collect();
            EdiPrice {
                kind: Some("UCP".into()),
                price: fields[0].clone().unwrap_or_default(),
                quantity: fields[1].clone(),
                unit: fields[2].clone(),
                multiplier: fields[3].clone(),
                multiplier_kind: fields[3].as_ref().map(|_| "DIS".to_owned()),
                ..EdiPrice::default()
            }
        };
        PurchaseOrderLine {
            quantity: Some("150".into()),
            unit: Some("CA".into()),
            prices: rows.iter().map(to_price).collect(),
            ..PurchaseOrderLine::default()
        }
    }

    #[test]
    fn quantity_and_multiplier_of_a_price_count() {
        for (rows, wanted, finding) in [
            (&["10 1 CA -", "9 100 CA -", "8 200 CA -"][..], Some("9"), ""),
            (&["9 100 CA -", "10 - CA -"], Some("9"), ""),
            (&["9 200 CA -", "8 300 CA -"], None, "has the quantity 150, and its prices begin at 200"),
            (&["0.5 1 CA -", "50 100 CA -"], None, "states the price 0.5 for 1 and the higher price 50 for 100"),
            (&["50 100 CA -"], None, "states the price 50 (unit cost price (UCP)) for 100 CA, and not whether"),
            (&["10 150 CA -"], Some("10"), ""),
            (&["10 1 CA 0.9"], Some("9"), ""),
            (&["10 1 CA 1"], Some("10"), ""),
            (&["10 1 CA 90"], None, "with the multiplier 90 (DIS)"),
        ] {
            let mut line = line_of_rows(rows);
            let findings = line.fill_price().join("; ");
            assert_eq!(line.price.as_deref(), wanted, "{rows:?} {findings}");
            assert!(findings.contains(finding) && findings.is_empty() == finding.is_empty(), "{rows:?} {findings}");
            assert_eq!(line.contradict_price_by_quantity(), None, "{rows:?}");
        }
        let mut stated = line_of_rows(&["50 100 CA -"]);
        stated.price = Some("0.5".into());
        assert_eq!(stated.fill_price(), [""; 0], "the line decides what the price means");
        let mut lowered = line_of_rows(&["10 1 CA -", "9 100 CA -"]);
        lowered.fill_price();
        lowered.quantity = Some("50".into());
        let message = lowered.contradict_price_by_quantity().unwrap_or_default();
        assert!(message.starts_with("has the price 9, and from 1 CA on 10"), "{message}");
    }
}
