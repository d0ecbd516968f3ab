//! Amount that a price, its basis and the quantity of a line give.
//!
//! Bases are X12's element 639 of 004010 (code list as stedi.com/edi prints it).

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::PurchaseOrderLine;
use rust_decimal::Decimal;

/// Units that are one single item.
pub(crate) const SINGLE_UNITS: [&str; 3] = ["EA", "PC", "UN"];
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
}

/// Returns true for a code that is a unit, and as a basis of a price has another meaning: per pound is not `PP`.
fn is_other_basis(basis: &str) -> bool {
    codes::PRICE_BASES.find(basis).is_some()
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
}
