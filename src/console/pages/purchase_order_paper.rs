//! The parts of a purchase order that its page and its print view share: header, addresses, lines, totals, changes.

use crate::console::guard::CurrentUser;
use crate::console::pages::mapping_forms::build_item_form;
use crate::console::reveals::PersonalView;
use crate::edi::codes;
use crate::edi::part_descriptions::{
    PartGroup, describe_address, describe_component, list_line_facts, list_line_groups, list_order_groups,
};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrderLine};
use crate::store::erp::purchase_order_views::{PurchaseOrderLineView, PurchaseOrderView};
use maud::{Markup, html};

/// Order type (BEG02) of an order that goes to a consumer.
const DROP_SHIP: &str = "DS";

/// Who may map the lines of a page, and where the browser goes afterwards.
pub struct LineForms<'a> {
    pub user: &'a CurrentUser,
    pub back: &'a str,
}

/// A purchase order as on paper.
pub struct Paper<'a> {
    pub view: &'a PurchaseOrderView,
    pub personal: &'a PersonalView,
}

impl Paper<'_> {
    /// Returns true if the order goes to a consumer, so that its notes can name a person.
    fn is_drop_ship(&self) -> bool {
        self.view.document.kind.as_deref() == Some(DROP_SHIP)
    }

    /// Returns a text, masked if it can be about a person.
    fn show(&self, is_personal: bool, text: &str) -> Markup {
        if is_personal {
            self.personal.show(text)
        } else {
            html! { (text) }
        }
    }

    /// Returns the fields of the header. The attention has a place of its own.
    pub fn build_header(&self) -> Markup {
        html! {
            dl class="fields" {
                @for (label, value) in self.view.list_header_fields() {
                    @if !value.trim().is_empty() && label != "attention" { dt { (label) } dd { (value) } }
                }
            }
        }
    }

    /// Returns the addresses of the order.
    pub fn build_addresses(&self) -> Markup {
        let addresses = &self.view.document.addresses;
        html! {
            @if !addresses.is_empty() {
                section {
                    h2 { "Addresses" }
                    div class="addresses" { @for address in addresses { (self.build_address(address)) } }
                }
            }
        }
    }

    /// Returns an address. A place with an id of the retailer is a store or warehouse, and no person.
    fn build_address(&self, address: &EdiAddress) -> Markup {
        let text = describe_address(address);
        let is_personal = self.is_drop_ship() || address.id.is_none();
        html! {
            div {
                strong { (text.role) }
                @for name in &text.names { br; (self.show(is_personal, name)) }
                @for place in &text.places { br; (place) }
            }
        }
    }

    /// Returns dates, references, contacts, terms, notes and the other parts of the order.
    pub fn build_groups(&self) -> Markup {
        html! {
            @for group in list_order_groups(&self.view.document, &self.view.findings) {
                section {
                    h2 { (group.title) }
                    ul { @for entry in &group.entries { li { (self.show(self.is_personal(&group), entry)) } } }
                }
            }
        }
    }

    fn is_personal(&self, group: &PartGroup) -> bool {
        group.is_personal || (self.is_drop_ship() && group.title == "Notes")
    }

    /// Returns the lines. With `forms`, a line without an item has a form.
    pub fn build_lines(&self, forms: Option<&LineForms<'_>>) -> Markup {
        html! {
            section {
                h2 { "Lines" }
                @if self.view.document.lines.is_empty() { p { "The order has no lines." } }
                div class="scroll" tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Line" } th scope="col" class="number" { "Quantity" } th scope="col" { "Unit" }
                                th scope="col" class="number" { "Price" } th scope="col" class="number" { "Amount" }
                                th scope="col" { "Item" } th scope="col" { "Item of the ERP" }
                            }
                        }
                        tbody {
                            @for (index, line) in self.view.document.lines.iter().enumerate() {
                                (self.build_line((index, line), forms))
                            }
                        }
                    }
                }
            }
        }
    }

    fn build_line(&self, (index, line): (usize, &PurchaseOrderLine), forms: Option<&LineForms<'_>>) -> Markup {
        let stored = self.view.lines.get(index);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let status = stored.map_or("open", |stored| stored.status.as_str());
        html! {
            tr {
                th scope="row" { (line.number.clone().unwrap_or_else(|| format!("#{}", index + 1))) }
                td class="number" { (text(&line.quantity)) }
                td { (line.unit.as_deref().map(|unit| codes::UNITS.describe(unit)).unwrap_or_default()) }
                td class="number" { (text(&line.price)) }
                td class="number" { (line.exact_amount().map(|amount| format!("{amount:.2}")).unwrap_or_default()) }
                td {
                    (text(&line.description))
                    @if !["open", ""].contains(&status) { " " span class="status failed" { (status) } }
                    @for fact in list_line_facts(line) { p class="text" { (fact) } }
                    (self.build_line_parts(line))
                }
                td { (self.build_item(stored, line, status, forms)) }
            }
        }
    }

    fn build_line_parts(&self, line: &PurchaseOrderLine) -> Markup {
        html! {
            @for group in list_line_groups(line) {
                @for entry in &group.entries { p class="text" { (self.show(self.is_personal(&group), entry)) } }
            }
            @for address in &line.addresses { (self.build_address(address)) }
            @for component in &line.components {
                @for text in describe_component(component) { p class="text" { (text) } }
                (self.build_line_parts(component))
            }
        }
    }

    fn build_item(
        &self,
        stored: Option<&PurchaseOrderLineView>,
        line: &PurchaseOrderLine,
        status: &str,
        forms: Option<&LineForms<'_>>,
    ) -> Markup {
        let item = stored.and_then(|stored| stored.item.as_ref());
        html! {
            @if let Some(item) = item {
                (item) " × " (stored.and_then(|stored| stored.item_quantity.as_deref()).unwrap_or_default())
            } @else if status == "open" {
                span class="status failed" { "no item" }
                @if let Some(LineForms { user, back }) = forms {
                    (build_item_form(user, &self.view.partner, &list_item_numbers(line), (line.unit.as_deref(), back)))
                }
            }
        }
    }

    /// Returns the stated and the computed total.
    pub fn build_totals(&self) -> Markup {
        html! {
            section {
                h2 { "Totals" }
                dl class="fields" {
                    dt { "stated total" } dd { (self.view.describe_stated_total()) }
                    dt { "computed total" } dd { (self.view.describe_computed_total()) }
                }
            }
        }
    }

    /// Returns the effect of each change, in the order of the retailer.
    pub fn build_changes(&self) -> Markup {
        html! {
            @if !self.view.changes.is_empty() {
                section {
                    h2 { "Changes" }
                    ol { @for change in &self.view.changes { li { (self.show(self.is_drop_ship(), change)) } } }
                }
            }
        }
    }
}

/// Returns the numbers by which a mapping can find a line: kind and number.
#[must_use]
pub fn list_item_numbers(line: &PurchaseOrderLine) -> Vec<(String, String)> {
    let known =
        [("buyer", line.buyer_item()), ("vendor", line.vendor_item()), ("gtin", line.gtin()), ("upc", line.upc())];
    let known: Vec<(String, String)> =
        known.iter().filter_map(|(kind, number)| Some(((*kind).to_owned(), (*number)?.to_owned()))).collect();
    let is_new = |number: &str| known.iter().all(|(_, other)| other != number);
    let others = line.ids.iter().filter(|id| is_new(&id.value)).map(|id| {
        let kind = if id.qualifier.is_empty() { "none".to_owned() } else { id.qualifier.to_ascii_uppercase() };
        (kind, id.value.clone())
    });
    known.iter().cloned().chain(others).collect()
}
