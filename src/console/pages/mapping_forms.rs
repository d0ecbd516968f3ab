//! The forms that add mappings, on the page of mappings and on the orders that wait for one.

use crate::console::guard::CurrentUser;
use crate::console::layout::build_csrf_field;
use crate::store::erp::sps_mappings::ITEM_KINDS;
use maud::{Markup, html};

/// Id of the list of items that the forms suggest.
const ITEM_LIST: &str = "items";
/// Meanings of the quantities in a partner's changes.
const QUANTITIES: [(&str, &str); 3] =
    [("total", "the new total"), ("delta", "the difference"), ("left", "the rest to receive")];

/// Returns the items that the forms of a page suggest. A browser shows them while a person writes.
#[must_use]
pub fn build_item_suggestions(items: &[String]) -> Markup {
    html! { datalist id=(ITEM_LIST) { @for item in items { option value=(item) {} } } }
}

/// Returns the fields that each mapping of goods has.
fn build_item_fields(name: &str) -> Markup {
    html! {
        input name="item" list=(ITEM_LIST) required aria-label={ "Item of the ERP for " (name) } placeholder="item of the ERP";
        " "
        input name="factor" value="1" size="4" inputmode="decimal" required aria-label={ "Units of the ERP in one unit of " (name) };
        " "
        button type="submit" { "Map" }
    }
}

/// Returns the form that maps a product of a shop: its SKU, or its variant if it has none.
#[must_use]
pub fn build_product_form(
    user: &CurrentUser,
    (shop, sku, variant): (&str, Option<&str>, Option<i64>),
    back: &str,
) -> Markup {
    let variant = variant.map(|variant| variant.to_string());
    let (field, value) = match (sku, &variant) {
        (Some(sku), _) => ("sku", sku),
        (None, variant) => ("variant", variant.as_deref().unwrap_or_default()),
    };
    html! {
        form method="post" action="/mappings/products" class="map" {
            (build_csrf_field(user))
            input type="hidden" name="shop" value=(shop);
            input type="hidden" name=(field) value=(value);
            input type="hidden" name="back" value=(back);
            (build_item_fields(value))
        }
    }
}

/// Returns the form that maps an ordered item by one of its numbers.
#[must_use]
pub fn build_item_form(
    user: &CurrentUser,
    partner: &str,
    numbers: &[(String, String)],
    (unit, back): (Option<&str>, &str),
) -> Markup {
    let Some((_, first)) = numbers.first() else { return html! { " It has no number that a mapping could name." } };
    html! {
        form method="post" action="/mappings/items" class="map" {
            (build_csrf_field(user))
            input type="hidden" name="back" value=(back);
            select name="number" aria-label={ "Number of " (first) } {
                @for (kind, number) in numbers { option value={ (kind) " " (number) } { (kind) " " (number) } }
            }
            " "
            select name="partner" aria-label={ "Partners of " (first) } {
                option value=(partner) { "only " (partner) }
                option value="" { "every partner" }
            }
            @if let Some(unit) = unit {
                " "
                select name="unit" aria-label={ "Unit of " (first) } { option value="" { "any unit" } option value=(unit) { "only " (unit) } }
            }
            " "
            input name="item_unit" size="4" aria-label={ "Unit of the ERP for " (first) } placeholder="its unit";
            " "
            (build_item_fields(first))
        }
    }
}

/// Returns the form that maps a partner to a customer.
#[must_use]
pub fn build_partner_form(user: &CurrentUser, partner: &str, back: &str) -> Markup {
    html! {
        form method="post" action="/mappings/partners" class="map" {
            (build_csrf_field(user))
            input type="hidden" name="partner" value=(partner);
            input type="hidden" name="back" value=(back);
            (build_customer_fields(partner))
        }
    }
}

fn build_customer_fields(partner: &str) -> Markup {
    html! {
        input name="customer" required aria-label={ "Customer of the ERP for " (partner) } placeholder="customer of the ERP";
        " "
        select name="quantity" aria-label={ "Quantity in changes of " (partner) } {
            @for (value, meaning) in QUANTITIES { option value=(value) { "changes state " (meaning) } }
        }
        " "
        button type="submit" { "Map" }
    }
}

/// Returns the empty forms that add a mapping of any goods or partner.
#[must_use]
pub fn build_new_mapping_forms(user: &CurrentUser, shops: &[String]) -> Markup {
    html! {
        section {
            h2 { "Add a mapping" }
            h3 { "Product of a shop" }
            form method="post" action="/mappings/products" class="filter" {
                (build_csrf_field(user))
                label { "Shop " select name="shop" { @for shop in shops { option { (shop) } } } }
                label { "SKU " input name="sku"; }
                label { "or variant id " input name="variant" inputmode="numeric"; }
                label { "Item of the ERP " input name="item" list=(ITEM_LIST) required; }
                label { "Factor " input name="factor" value="1" size="4" required; }
                label { "Note " input name="note"; }
                button type="submit" { "Map" }
            }
            h3 { "Item of a retailer" }
            form method="post" action="/mappings/items" class="filter" {
                (build_csrf_field(user))
                label { "Kind of number " input name="kind" list="kinds" value="buyer" size="8" required; }
                datalist id="kinds" { @for kind in ITEM_KINDS { option value=(kind) {} } }
                label { "Number " input name="value" required; }
                label { "Only for partner " input name="partner"; }
                label { "Only in unit " input name="unit" size="4"; }
                label { "Item of the ERP " input name="item" list=(ITEM_LIST) required; }
                label { "Its unit " input name="item_unit" size="4"; }
                label { "Factor " input name="factor" value="1" size="4" required; }
                button type="submit" { "Map" }
            }
            h3 { "Retailer" }
            form method="post" action="/mappings/partners" class="filter" {
                (build_csrf_field(user))
                label { "Partner " input name="partner" required; }
                (build_customer_fields("the partner"))
            }
        }
    }
}
