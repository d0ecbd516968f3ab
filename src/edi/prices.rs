//! Prices of a line: the one that counts where several are stated, and the amount that a price and its basis give.
//!
//! Bases are X12's element 639, kinds of a price its element 236, both of 004010 (code lists as stedi.com/edi prints
//! them).

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::{EdiPrice, PurchaseOrderLine};
use rust_decimal::Decimal;

/// Kinds of a price that the buyer pays, the surest first: unit cost, confirmed, contract, net, invoice price.
const BUYING_PRICES: [&str; 5] = ["UCP", "CUP", "CON", "NET", "INV"];
/// Classes of trade whose price is for the consumer.
const RESALE_CLASSES: [&str; 2] = ["RS", "RT"];
/// Units that are one single item.
const SINGLE_UNITS: [&str; 3] = ["EA", "PC", "UN"];
/// Bases that name a kind of price, not its unit: the price is for the unit of the line, as the standard states.
const BASES_OF_UNIT: [&str; 9] = ["UM", "CP", "CT", "FX", "NT", "PQ", "PR", "QT", "ST"];
/// Bases that count single items, each with their number.
const BASES_OF_ITEMS: [(&str, u32); 26] = [
    ("HP", 100),
    ("HT", 100_000),
    ("LC", 100),
    ("LD", 12),
    ("LE", 1),
    ("LM", 1_000),
    ("PD", 12),
    ("DZ", 12),
    ("PE", 1),
    ("PN", 10),
    ("QE", 1),
    ("QH", 100),
    ("QS", 1_000),
    ("TC", 100),
    ("TD", 12),
    ("TE", 1),
    ("TM", 1_000),
    ("TP", 1_000),
    ("TT", 10_000),
    ("WC", 100),
    ("WD", 12),
    ("WE", 1),
    ("WM", 1_000),
    ("EA", 1),
    ("PC", 1),
    ("UN", 1),
];
/// Bases that are a measure, each with the unit of the line that makes the amount certain.
const BASES_OF_MEASURE: [(&str, &str); 16] = [
    ("CA", "CA"),
    ("DZ", "DZ"),
    ("LD", "DZ"),
    ("ML", "ML"),
    ("PD", "DZ"),
    ("PF", "FT"),
    ("PG", "GR"),
    ("PK", "KG"),
    ("PL", "LT"),
    ("PO", "OZ"),
    ("PP", "LB"),
    ("PT", "TN"),
    ("PY", "YD"),
    ("QE", "EA"),
    ("TD", "DZ"),
    ("WD", "DZ"),
];

impl PurchaseOrderLine {
    /// Returns the number of ordered units for which the price is: 1 for a price per unit, 100 for one per hundred.
    ///
    /// Returns None if basis and unit do not make it certain, such as a price per each for a case.
    #[must_use]
    pub fn units_per_price(&self) -> Option<Decimal> {
        let Some(basis) = self.price_basis.as_deref() else { return Some(Decimal::ONE) };
        let unit = self.unit.as_deref().unwrap_or_default();
        let is_for_unit = BASES_OF_UNIT.contains(&basis)
            || BASES_OF_MEASURE.contains(&(basis, unit))
            // Some senders write the unit itself in the place of the basis.
            || (basis == unit && codes::UNITS.find(unit).is_some() && !is_other_basis(basis));
        if is_for_unit {
            return Some(Decimal::ONE);
        }
        let count = BASES_OF_ITEMS.iter().find(|(known, _)| *known == basis).map(|(_, count)| *count)?;
        SINGLE_UNITS.contains(&unit).then(|| Decimal::from(count))
    }

    /// Returns quantity times price, if both are stated and the basis of the price makes it certain.
    #[must_use]
    pub fn exact_amount(&self) -> Option<Decimal> {
        let quantity = decimal::parse_decimal(self.quantity.as_deref()?)?;
        let price = decimal::parse_decimal(self.price.as_deref()?)?;
        quantity.checked_mul(price)?.checked_div(self.units_per_price()?)
    }

    /// Returns the reason why the line has no certain amount, if it has none.
    #[must_use]
    pub fn amount_obstacle(&self) -> Option<String> {
        if self.exact_amount().is_some() {
            return None;
        }
        Some(match (&self.quantity, &self.price) {
            (None, _) => "it has no quantity".to_owned(),
            (_, None) => "it has no price".to_owned(),
            _ => {
                let basis = codes::PRICE_BASES.describe(self.price_basis.as_deref().unwrap_or_default());
                let unit = self.unit.as_deref().map_or("no unit".to_owned(), |unit| codes::UNITS.describe(unit));
                format!("its price is {basis}, its quantity is in {unit}")
            }
        })
    }

    /// Takes the price from the prices that are stated apart from the line, if the line states none. Returns the
    /// contradictions between the prices.
    pub fn fill_price(&mut self) -> Vec<String> {
        let candidates = self.list_buying_prices();
        let applicable: Vec<&EdiPrice> =
            candidates.iter().filter(|price| self.is_in_quantity(price)).copied().collect();
        // The tier with the greatest quantity counts, among the prices of the surest kind.
        let first = applicable.first().map(|first| {
            let same_kind = applicable.iter().copied().filter(|price| price.kind == first.kind);
            let quantity = |price: &EdiPrice| price.quantity.as_deref().and_then(decimal::parse_decimal);
            same_kind.fold(*first, |best, price| if quantity(price) > quantity(best) { price } else { best }).clone()
        });
        let Some(first) = first else {
            let tier = candidates.first().filter(|_| self.price.is_none()).and_then(|price| price.quantity.clone());
            return tier.map(|tier| format!("has a price only from {tier} on: it is not taken")).into_iter().collect();
        };
        if let (Some(multiplier), None) = (&first.multiplier, &self.price) {
            let price = describe_price_kind(&first);
            return vec![format!("has the price {price} with the multiplier {multiplier}: it is not taken")];
        }
        let mut findings = Vec::new();
        for other in applicable.iter().filter(|other| other.price != first.price && is_comparable(other, &first)) {
            findings.push(format!(
                "states the prices {} and {}",
                describe_price_kind(&first),
                describe_price_kind(other)
            ));
        }
        if first.multiplier.is_some() {
            return findings;
        }
        let is_same_basis = first.basis.is_none() || self.price_basis.is_none() || first.basis == self.price_basis;
        match &self.price {
            Some(price) if *price != first.price && is_same_basis && is_of_unit(&first, self.unit.as_deref()) => {
                findings.push(format!("states the prices {price} and {}", describe_price_kind(&first)));
            }
            Some(_) => {}
            None if is_of_unit(&first, self.unit.as_deref()) || first.basis.is_some() => {
                self.price = Some(first.price);
                self.price_basis = self.price_basis.take().or(first.basis);
            }
            None => {
                let (unit, of_line) = (first.unit.as_deref().unwrap_or_default(), self.unit.as_deref());
                let of_line = of_line.unwrap_or("no unit");
                findings.push(format!("has a price for {unit} and a quantity in {of_line}: the price is not taken"));
            }
        }
        findings
    }

    /// Returns the prices that the buyer pays: those of the surest kinds first, else those without a kind.
    fn list_buying_prices(&self) -> Vec<&EdiPrice> {
        let candidates: Vec<&EdiPrice> = BUYING_PRICES
            .iter()
            .flat_map(|kind| self.prices.iter().filter(move |price| price.kind.as_deref() == Some(kind)))
            .collect();
        let is_plain = |price: &&EdiPrice| {
            price.kind.is_none() && !price.class.as_deref().is_some_and(|class| RESALE_CLASSES.contains(&class))
        };
        if candidates.is_empty() { self.prices.iter().filter(is_plain).collect() } else { candidates }
    }

    /// Returns false for a price that is valid only from a quantity on which the line does not reach.
    fn is_in_quantity(&self, price: &EdiPrice) -> bool {
        let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
        match (parse(&price.quantity), parse(&self.quantity)) {
            (Some(from), Some(quantity)) => !is_of_unit(price, self.unit.as_deref()) || from <= quantity,
            _ => true,
        }
    }
}

/// Returns true for a code that is a unit, and as a basis of a price has another meaning: per pound is not `PP`.
fn is_other_basis(basis: &str) -> bool {
    codes::PRICE_BASES.find(basis).is_some()
}

/// Returns true if two prices are for the same quantity and unit.
fn is_comparable(one: &EdiPrice, other: &EdiPrice) -> bool {
    one.quantity == other.quantity
        && one.unit == other.unit
        && one.basis == other.basis
        && one.multiplier == other.multiplier
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

    fn amount(unit: &str, basis: &str) -> Option<String> {
        let line = PurchaseOrderLine {
            quantity: Some("200".into()),
            unit: Some(unit.into()),
            price: Some("3".into()),
            price_basis: Some(basis.into()).filter(|basis: &String| !basis.is_empty()),
            ..PurchaseOrderLine::default()
        };
        assert_eq!(line.exact_amount().is_some(), line.amount_obstacle().is_none());
        line.exact_amount().map(|amount| amount.normalize().to_string())
    }

    #[test]
    fn amount_is_certain_only_if_unit_and_basis_fit() {
        for (unit, basis, wanted) in [
            ("CA", "", Some("600")),
            ("EA", "LE", Some("600")),
            ("EA", "PE", Some("600")),
            ("CA", "PE", None),
            ("CA", "UM", Some("600")),
            ("CA", "CA", Some("600")),
            ("EA", "CA", None),
            ("EA", "HP", Some("6")),
            ("CA", "HP", None),
            ("EA", "HT", Some("0.006")),
            ("EA", "TP", Some("0.6")),
            ("EA", "DZ", Some("50")),
            ("DZ", "DZ", Some("600")),
            ("LB", "PP", Some("600")),
            ("CA", "PP", None),
            ("LB", "LB", Some("600")),
            ("EA", "RE", None),
            ("EA", "??", None),
        ] {
            assert_eq!(amount(unit, basis).as_deref(), wanted, "{unit} {basis}");
        }
    }

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
}
