//! Values of an order that follow from several of its fields: the numbers in its references, the item and
//! the ids of a line.

use crate::edi::purchase_order::{
    AllowanceCharge, ContactNumber, EdiContact, EdiReference, OrderExtra, ProductId, PurchaseOrder, PurchaseOrderLine,
};

impl PurchaseOrder {
    /// Fills the department and the vendor number from the references, wherever these are.
    ///
    /// A reference of the order itself takes precedence over one of an address. Different ones of addresses give no
    /// number, and a finding.
    pub fn fill_numbers_from_references(&mut self) {
        for (name, stated, qualifier) in
            [("department", self.department.clone(), "DP"), ("vendor", self.vendor.clone(), "IA")]
        {
            let of_order = |part: &&EdiReference| part.qualifier == qualifier && part.address.is_none();
            let other =
                self.references.iter().filter(of_order).find(|part| part.value.is_some() && part.value != stated);
            if let (Some(stated), Some(other)) = (stated.as_ref(), other.and_then(|other| other.value.as_ref())) {
                self.findings.push(format!("the {name} is {stated}, and the reference {qualifier} states {other}"));
            }
        }
        if self.department.is_none() {
            self.department = self.find_reference(&["DP"]);
        }
        if self.vendor.is_none() {
            self.vendor = self.find_reference(&["IA", "VR"]);
        }
        self.compare_numbers_of_addresses();
    }

    /// Adds a finding for an address whose department or vendor number is not that of the order.
    fn compare_numbers_of_addresses(&mut self) {
        for (name, qualifier) in [("department", "DP"), ("vendor", "IA")] {
            let is_of_kind = |part: &&EdiReference| part.qualifier == qualifier && part.value.is_some();
            let own = self.references.iter().filter(is_of_kind).find(|part| part.address.is_none());
            let Some(own) = own.and_then(|own| own.value.clone()) else { continue };
            let other = self.references.iter().filter(is_of_kind).find_map(|part| {
                let (address, value) = part.address.as_ref().zip(part.value.as_ref())?;
                (*value != own).then(|| format!("{address} states the {name} {value}"))
            });
            self.findings.extend(other.map(|other| format!("the {name} is {own}, and {other}")));
        }
    }

    /// Returns why the amounts of these lines cannot be added up, if they are in several currencies.
    #[must_use]
    pub fn currency_obstacle(&self, lines: &[&PurchaseOrderLine]) -> Option<String> {
        let mut of_lines =
            lines.iter().enumerate().filter_map(|(index, line)| Some((index, line, line.currency.as_deref()?)));
        let of_order = self.currency.as_deref();
        let base = of_order.or_else(|| of_lines.clone().next().map(|(_, _, currency)| currency))?;
        let (index, line, currency) = of_lines.find(|(_, _, currency)| *currency != base)?;
        let name = line.describe_position(index + 1);
        let noun = if of_order.is_some() { "the order" } else { "another line" };
        Some(format!("{name} is in {currency}, {noun} in {base}"))
    }

    /// Returns the value of the first of these kinds of reference that the order states; a contradiction is a finding.
    fn find_reference(&mut self, qualifiers: &[&str]) -> Option<String> {
        for qualifier in qualifiers {
            let with_value = |is_of_order: bool| {
                let references = self.references.iter().filter(move |reference| {
                    reference.qualifier == *qualifier && reference.address.is_none() == is_of_order
                });
                references.filter_map(|reference| reference.value.clone()).collect::<Vec<_>>()
            };
            let mut values = with_value(true);
            if values.is_empty() {
                values = with_value(false);
            }
            let first = values.first().cloned();
            values.sort();
            values.dedup();
            match values.as_slice() {
                [] => {}
                [_] => return first,
                several => {
                    let several = several.join(" and ");
                    self.findings.push(format!("the reference {qualifier} states {several}: neither is taken"));
                    return None;
                }
            }
        }
        None
    }
}

impl EdiContact {
    /// Adds a number: the first phone, fax and email have fields of their own.
    pub fn add_number(&mut self, qualifier: String, value: String) {
        let first = match qualifier.as_str() {
            "TE" => &mut self.phone,
            "FX" => &mut self.fax,
            "EM" => &mut self.email,
            _ => return self.others.push(ContactNumber { qualifier, value }),
        };
        if first.is_none() {
            *first = Some(value);
        } else {
            self.others.push(ContactNumber { qualifier, value });
        }
    }
}

impl AllowanceCharge {
    /// Returns what it is worth: its amount, else its percentage, else its rate per unit.
    #[must_use]
    pub fn describe_value(&self) -> Option<String> {
        let percent = || self.percent.as_ref().map(|percent| format!("{percent} %"));
        let rate = || self.rate.as_ref().map(|rate| format!("{rate} per unit"));
        self.amount.clone().or_else(percent).or_else(rate)
    }
}

impl PurchaseOrderLine {
    /// Returns the name of the line for messages: its number, else its position from 1.
    #[must_use]
    pub fn describe_position(&self, position: usize) -> String {
        self.number.as_deref().map_or_else(|| format!("line #{position}"), |number| format!("line {number}"))
    }

    /// Returns the key of the item, which does not depend on the line number: `buyer B1`, `vendor V1` …
    #[must_use]
    pub fn item_key(&self) -> Option<String> {
        let known =
            [("buyer", self.buyer_item()), ("vendor", self.vendor_item()), ("gtin", self.gtin()), ("upc", self.upc())];
        let known = known.into_iter().find_map(|(kind, id)| Some(format!("{kind} {}", id?)));
        known.or_else(|| self.ids.first().map(|id| format!("{} {}", id.qualifier, id.value)))
    }

    /// Returns the extras of the line and of its components; those of a component name it.
    #[must_use]
    pub fn all_extras(&self) -> Vec<OrderExtra> {
        let mut extras = self.extras.clone();
        for (index, component) in self.components.iter().enumerate() {
            let number = component.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
            extras.extend(component.all_extras().into_iter().map(|extra| {
                let of_component = format!("component {number}");
                let name = extra.name.map_or_else(|| of_component.clone(), |name| format!("{name}, {of_component}"));
                OrderExtra { name: Some(name), ..extra }
            }));
        }
        extras
    }

    /// Returns the value of the first of these kinds of id that the line has.
    #[must_use]
    pub fn find_product_id(&self, qualifiers: &[&str]) -> Option<&str> {
        let with_qualifier = |wanted: &&str| {
            self.ids.iter().find(|id| id.qualifier.eq_ignore_ascii_case(wanted) && is_value_of_kind(id))
        };
        qualifiers.iter().find_map(with_qualifier).map(|id| id.value.as_str())
    }

    /// Returns the buyer's item number.
    #[must_use]
    pub fn buyer_item(&self) -> Option<&str> {
        self.find_product_id(&["IN", "BP", "CB", "SK", "IT", "PI"])
    }

    /// Returns the vendor's item number, which is our own.
    #[must_use]
    pub fn vendor_item(&self) -> Option<&str> {
        self.find_product_id(&["VN", "VP", "VC", "VA", "MG"])
    }

    /// Returns the UPC, EAN or ISBN of the consumer unit.
    #[must_use]
    pub fn upc(&self) -> Option<&str> {
        self.find_product_id(&["UP", "EN", "EO", "UI", "IB", "UD", "UC", "UG"])
    }

    /// Returns the GTIN or UPC of the case.
    #[must_use]
    pub fn gtin(&self) -> Option<&str> {
        self.find_product_id(&["UK", "UA", "UN", "U2", "UH"])
    }
}

/// Shortest UPC or EAN, in digits.
const UPC_DIGITS_MIN: usize = 8;

/// Returns false for a UC that is no UPC: the standard defines it as a suffix of the UPC, senders write the whole UPC.
fn is_value_of_kind(id: &ProductId) -> bool {
    let digits = id.value.chars().filter(char::is_ascii_digit).count();
    !id.qualifier.eq_ignore_ascii_case("UC") || digits >= UPC_DIGITS_MIN
}
