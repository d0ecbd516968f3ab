//! What a partner demands of invoices and ship notices beyond the standard, as the operator configures it.
//!
//! A fact has the name of its field in the ERP's document. A fact that the order supplies counts as stated.

use crate::edi::purchase_order::EdiAddress;
use crate::text::find_similar;
use std::collections::BTreeSet;

/// Facts of an invoice that a partner can require.
const INVOICE_FACTS: [&str; 15] = [
    "currency",
    "shipped_on",
    "bill_of_lading",
    "pro_number",
    "carrier",
    "carrier.code",
    "carrier.method",
    "carrier.routing",
    "freight_payer",
    "terms",
    "allowances",
    "taxes",
    "contacts",
    "notes",
    "lines.weight",
];
/// Facts of a ship notice that a partner can require.
const SHIP_NOTICE_FACTS: [&str; 21] = [
    "ship_time",
    "delivery_on",
    "bill_of_lading",
    "pro_number",
    "carrier",
    "carrier.code",
    "carrier.method",
    "carrier.routing",
    "freight_payer",
    "weight",
    "trailer",
    "trailer.seals",
    "contacts",
    "notes",
    "packs",
    "packs.sscc",
    "packs.tracking",
    "packs.weight",
    "lines.lot",
    "lines.expires_on",
    "lines.weight",
];
/// Parts of an address that a partner can require: `addresses.RI.city`.
const ADDRESS_FIELDS: [&str; 7] = ["name", "id", "lines", "city", "state", "postal_code", "country"];

/// Kind of a document, for its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    Invoice,
    ShipNotice,
}

/// Number of digits of an SSCC in MAN02 and `ShippingSerialID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SsccForm {
    /// The SSCC-18 alone.
    Digits18,
    /// With the application identifier 00 in front, as on the label.
    #[default]
    Digits20,
}

/// Demands of one partner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartnerRules {
    pub sscc_form: SsccForm,
    pub invoice_requires: Vec<String>,
    pub ship_notice_requires: Vec<String>,
}

/// Facts that a document states, with those of its order.
#[derive(Debug, Default)]
pub struct StatedFacts {
    document: BTreeSet<String>,
    parts: Vec<PartFacts>,
}

/// Facts of one line or pack.
#[derive(Debug)]
struct PartFacts {
    /// `lines` or `packs`.
    group: &'static str,
    /// Name for messages: `order PO1, line 2`.
    name: String,
    stated: Vec<&'static str>,
}

impl FactKind {
    fn facts(self) -> &'static [&'static str] {
        match self {
            Self::Invoice => &INVOICE_FACTS,
            Self::ShipNotice => &SHIP_NOTICE_FACTS,
        }
    }
}

/// Checks the name of a fact.
///
/// # Errors
/// The fix: a similar fact, or the list of all.
pub fn check_fact(kind: FactKind, name: &str) -> Result<(), String> {
    let parts: Vec<&str> = name.split('.').collect();
    let is_qualifier = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_fact = match parts.as_slice() {
        ["addresses" | "references" | "dates", role] => is_qualifier(role),
        ["addresses", role, field] => is_qualifier(role) && ADDRESS_FIELDS.contains(field),
        _ => kind.facts().contains(&name),
    };
    if is_fact {
        return Ok(());
    }
    Err(match find_similar(name, kind.facts().iter().copied()) {
        Some(similar) => format!("Did you mean {similar:?}?"),
        None => format!(
            "Use {}, addresses.KIND such as \"addresses.RI\", addresses.KIND.FIELD, references.QUALIFIER or \
             dates.QUALIFIER.",
            kind.facts().join(", ")
        ),
    })
}

impl PartnerRules {
    /// Returns the facts that each document of a kind must state.
    #[must_use]
    pub fn required_facts(&self, kind: FactKind) -> &[String] {
        match kind {
            FactKind::Invoice => &self.invoice_requires,
            FactKind::ShipNotice => &self.ship_notice_requires,
        }
    }

    /// Returns the digits of an SSCC as the partner wants them. `digits` is the SSCC-18.
    #[must_use]
    pub fn format_sscc(&self, digits: &str) -> String {
        match self.sscc_form {
            SsccForm::Digits18 => digits.to_owned(),
            SsccForm::Digits20 => format!("00{digits}"),
        }
    }
}

impl StatedFacts {
    /// Adds a fact of the document, if it is stated.
    pub fn add(&mut self, name: impl Into<String>, is_stated: bool) {
        if is_stated {
            self.document.insert(name.into());
        }
    }

    /// Adds the carrier's facts.
    pub fn add_carrier(&mut self, code: Option<&String>, method: Option<&String>, routing: Option<&String>) {
        self.add("carrier", code.is_some() || routing.is_some());
        for (name, value) in [("code", code), ("method", method), ("routing", routing)] {
            self.add(format!("carrier.{name}"), value.is_some());
        }
    }

    /// Adds the facts of an address that is written.
    pub fn add_address(&mut self, address: &EdiAddress) {
        let kind = &address.kind;
        self.add(format!("addresses.{kind}"), true);
        let optional =
            [&address.name, &address.id, &address.city, &address.state, &address.postal_code, &address.country];
        let names = ["name", "id", "city", "state", "postal_code", "country"];
        for (name, value) in names.into_iter().zip(optional) {
            self.add(format!("addresses.{kind}.{name}"), value.is_some());
        }
        self.add(format!("addresses.{kind}.lines"), !address.lines.is_empty());
    }

    /// Adds a line or pack with the names of its stated facts. `name` is its name in messages.
    pub fn add_part(&mut self, group: &'static str, name: impl Into<String>, facts: &[(&'static str, bool)]) {
        let stated = facts.iter().filter(|(_, is_stated)| *is_stated).map(|(fact, _)| *fact).collect();
        self.parts.push(PartFacts { group, name: name.into(), stated });
    }

    /// Returns the required facts that are not stated, each with the lines or packs that lack it.
    #[must_use]
    pub fn list_missing(&self, required: &[String]) -> Vec<String> {
        let describe = |fact: &String| {
            if self.document.contains(fact) {
                return None;
            }
            let group = fact.split_once('.').filter(|(group, _)| ["lines", "packs"].contains(group));
            let Some((group, field)) = group else { return Some(fact.clone()) };
            let lacking = self.parts.iter().filter(|part| part.group == group && !part.stated.contains(&field));
            let names: Vec<&str> = lacking.map(|part| part.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{fact} ({})", names.join("; ")))
        };
        required.iter().filter_map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FactKind, StatedFacts, check_fact};

    #[test]
    fn names_of_facts_are_checked() {
        for name in ["bill_of_lading", "lines.lot", "addresses.SF", "addresses.ST.id", "references.CR", "dates.067"] {
            assert_eq!(check_fact(FactKind::ShipNotice, name), Ok(()), "{name}");
        }
        for (name, hint) in [
            ("bill_of_ladding", "Did you mean \"bill_of_lading\"?"),
            ("addresses", "addresses.KIND"),
            ("addresses.ST.street", "addresses.KIND.FIELD"),
            ("references.", "references.QUALIFIER"),
            ("terms", "Use ship_time"),
        ] {
            assert!(check_fact(FactKind::ShipNotice, name).unwrap_err().contains(hint), "{name}");
        }
    }

    #[test]
    fn missing_facts_name_their_lines() {
        let mut facts = StatedFacts::default();
        facts.add("weight", true);
        facts.add_part("lines", "order PO1, line 1", &[("lot", true)]);
        facts.add_part("lines", "order PO1, line 2", &[("lot", false)]);
        let required = ["weight", "carrier", "lines.lot", "packs.sscc"].map(str::to_owned);
        assert_eq!(facts.list_missing(&required), ["carrier", "lines.lot (order PO1, line 2)"]);
    }
}
