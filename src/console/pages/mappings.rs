//! `/mappings`: what has no mapping, and the mappings of products, items and partners.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_next_link};
use crate::console::guard::CurrentUser;
use crate::console::layout::build_page;
use crate::console::pages::mapping_forms::{
    build_item_form, build_item_suggestions, build_new_mapping_forms, build_partner_form, build_product_form,
};
use crate::console::pages::mapping_import::build_import_form;
use crate::console::pages::show_store_error;
use crate::store::StoreError;
use crate::store::erp::mapping_views::{
    StoredItemMapping, StoredProductMapping, list_first_unmapped_partners, list_item_mapping_page, list_known_items,
    list_newest_unmapped_items, list_newest_unmapped_products, list_partner_mapping_page, list_product_mapping_page,
};
use crate::store::erp::mappings::{ProductMapping, UnmappedProduct};
use crate::store::erp::sps_mappings::{PartnerMapping, UnmappedPurchaseLine};
use crate::text::format_count;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use rusqlite::Connection;
use serde::Deserialize;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: u32 = 50;
const PATH: &str = "/mappings";

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MappingsQuery {
    /// `items` or `partners`; any other text: products.
    kind: String,
    q: String,
    /// The last mapping of the page before: its id, or its partner.
    before: String,
}

/// A page of one kind of mappings.
enum MappingPage {
    Products(Vec<StoredProductMapping>),
    Items(Vec<StoredItemMapping>),
    Partners(Vec<PartnerMapping>),
}

impl MappingPage {
    fn read(connection: &Connection, query: &MappingsQuery) -> Result<Self, StoreError> {
        let (text, limit) = (query.q.trim(), PAGE_ROWS + 1);
        let before = query.before.parse().unwrap_or(i64::MAX);
        Ok(match query.kind.as_str() {
            "items" => Self::Items(list_item_mapping_page(connection, text, before, limit)?),
            "partners" => Self::Partners(list_partner_mapping_page(connection, text, &query.before, limit)?),
            _ => Self::Products(list_product_mapping_page(connection, text, before, limit)?),
        })
    }

    /// Cuts the row that only shows that there is a next page, and returns where that page begins.
    fn cut_next_page(&mut self) -> Option<String> {
        let rows = PAGE_ROWS as usize;
        match self {
            Self::Products(list) if list.len() > rows => {
                list.truncate(rows);
                list.last().map(|(id, _)| id.to_string())
            }
            Self::Items(list) if list.len() > rows => {
                list.truncate(rows);
                list.last().map(|(id, _)| id.to_string())
            }
            Self::Partners(list) if list.len() > rows => {
                list.truncate(rows);
                list.last().map(|mapping| mapping.partner.clone())
            }
            _ => None,
        }
    }
}

/// What waits for a mapping.
struct Unmapped {
    products: Vec<UnmappedProduct>,
    items: Vec<UnmappedPurchaseLine>,
    partners: Vec<String>,
}

/// Shows a page of mappings.
pub async fn show_mappings(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<MappingsQuery>,
) -> Response {
    let wanted = query.clone();
    let read = state.read(move |connection| {
        let unmapped = Unmapped {
            products: list_newest_unmapped_products(connection)?,
            items: list_newest_unmapped_items(connection)?,
            partners: list_first_unmapped_partners(connection)?,
        };
        Ok((unmapped, MappingPage::read(connection, &wanted)?, list_known_items(connection)?))
    });
    let (unmapped, mut page, items) = match read.await {
        Ok(found) => found,
        Err(error) => return show_store_error(&error),
    };
    let may_change = user.has_role(Role::Operator);
    let shops: Vec<String> = state.config.shopify.iter().map(|shop| shop.domain.clone()).collect();
    let next = page.cut_next_page();
    let content = html! {
        h1 { "Mappings" }
        (build_unmapped(&unmapped, &user))
        section {
            h2 { "Stored mappings" }
            (build_filter(&query))
            (build_mapping_table(&page, &user))
            @if let Some(next) = &next {
                (build_next_link("More mappings", PATH, &[("kind", &query.kind), ("q", &query.q)], next))
            }
        }
        @if may_change {
            (build_new_mapping_forms(&user, &shops))
            (build_import_form(&user))
            (build_item_suggestions(&items))
        }
    };
    build_page("Mappings", PATH, &user, &content).into_response()
}

fn build_unmapped(unmapped: &Unmapped, user: &CurrentUser) -> Markup {
    let may_change = user.has_role(Role::Operator);
    let is_complete = unmapped.products.is_empty() && unmapped.items.is_empty() && unmapped.partners.is_empty();
    html! {
        section {
            h2 { "Without a mapping" }
            @if is_complete { p { "Every good and every partner on the stored orders has a mapping." } }
            @if !unmapped.partners.is_empty() {
                h3 { "Partners" }
                ul {
                    @for partner in &unmapped.partners {
                        li { strong { (partner) } " " @if may_change { (build_partner_form(user, partner, PATH)) } }
                    }
                }
            }
            @if !unmapped.items.is_empty() {
                h3 { "Items of retailers" }
                ul { @for item in &unmapped.items { (build_unmapped_item(item, user)) } }
            }
            @if !unmapped.products.is_empty() {
                h3 { "Products of shops" }
                ul { @for product in &unmapped.products { (build_unmapped_product(product, user)) } }
            }
        }
    }
}

fn build_unmapped_item(item: &UnmappedPurchaseLine, user: &CurrentUser) -> Markup {
    let known = [("buyer", &item.buyer_item), ("vendor", &item.vendor_item), ("gtin", &item.gtin), ("upc", &item.upc)];
    let known = known.iter().filter_map(|(kind, value)| Some(((*kind).to_owned(), value.as_ref()?.clone())));
    let others = item.other_ids.iter().flat_map(|ids| ids.lines()).filter_map(|id| id.split_once(' '));
    let others = others.map(|(kind, value)| (kind.to_owned(), value.to_owned()));
    let numbers: Vec<(String, String)> = known.chain(others).collect();
    html! {
        li {
            strong { (item.description.as_deref().unwrap_or("item")) } " of " (item.partner) ", "
            (format_count(item.lines, "line", "lines"))
            @if user.has_role(Role::Operator) {
                " " (build_item_form(user, &item.partner, &numbers, (item.unit.as_deref(), PATH)))
            } @else {
                @for (kind, number) in &numbers { ", " (kind) " " (number) }
            }
        }
    }
}

fn build_unmapped_product(product: &UnmappedProduct, user: &CurrentUser) -> Markup {
    let title = product.title.iter().chain(&product.variant_title).cloned().collect::<Vec<_>>().join(", ");
    html! {
        li {
            strong { (product.sku.as_deref().unwrap_or_default()) } " " (title) " of " (product.shop_domain) ", "
            (format_count(product.orders, "order", "orders"))
            @if user.has_role(Role::Operator) {
                " " (build_product_form(user, (&product.shop_domain, product.sku.as_deref(), product.variant_id), PATH))
            }
        }
    }
}

fn build_filter(query: &MappingsQuery) -> Markup {
    let kinds = [("products", "products of shops"), ("items", "items of retailers"), ("partners", "retailers")];
    html! {
        form method="get" action=(PATH) class="filter" role="search" {
            label { "Search " input type="search" name="q" value=(query.q) placeholder="SKU, number, item"; }
            label { "Mappings of "
                select name="kind" {
                    @for (kind, name) in kinds { option value=(kind) selected[kind == query.kind] { (name) } }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn build_mapping_table(page: &MappingPage, user: &CurrentUser) -> Markup {
    let (columns, is_empty): (&[&str], bool) = match page {
        MappingPage::Products(list) => (&["SKU or variant", "Shop", "Item", "Factor", "Note"], list.is_empty()),
        MappingPage::Items(list) => (&["Number", "Partner", "Unit", "Item", "Factor"], list.is_empty()),
        MappingPage::Partners(list) => (&["Partner", "Customer", "Changes state"], list.is_empty()),
    };
    html! {
        @if is_empty {
            p { "No mappings match." }
        } @else {
            div class="scroll" tabindex="0" {
                table {
                    thead { tr { @for column in columns { th scope="col" { (column) } } th scope="col" { "Action" } } }
                    tbody {
                        @match page {
                            MappingPage::Products(list) => @for (_, mapping) in list { (build_product_row(mapping, user)) },
                            MappingPage::Items(list) => @for mapping in list { (build_item_row(mapping, user)) },
                            MappingPage::Partners(list) => @for mapping in list { (build_partner_row(mapping, user)) },
                        }
                    }
                }
            }
        }
    }
}

fn build_remove_cell(user: &CurrentUser, path: &str, fields: &[(&str, &str)]) -> Markup {
    html! { td { @if user.has_role(Role::Operator) { (build_action(user, path, "Remove", fields)) } } }
}

fn build_product_row(mapping: &ProductMapping, user: &CurrentUser) -> Markup {
    let variant = mapping.variant_id.map(|variant| variant.to_string()).unwrap_or_default();
    let sku = mapping.sku.as_deref().unwrap_or_default();
    let fields = [("shop", mapping.shop_domain.as_str()), ("variant", &variant), ("sku", sku)];
    html! {
        tr {
            th scope="row" { (sku) @if !variant.is_empty() { "variant " (variant) } }
            td { (mapping.shop_domain) }
            td { (mapping.item) }
            td class="number" { (mapping.factor) }
            td class="text" { (mapping.note.as_deref().unwrap_or_default()) }
            (build_remove_cell(user, "/mappings/products/remove", &fields))
        }
    }
}

fn build_item_row((id, mapping): &StoredItemMapping, user: &CurrentUser) -> Markup {
    let or_all = |text: &str| if text.is_empty() { "all".to_owned() } else { text.to_owned() };
    html! {
        tr {
            th scope="row" { (mapping.kind) " " (mapping.value) }
            td { (or_all(&mapping.partner)) }
            td { (or_all(&mapping.unit)) }
            td { (mapping.item) }
            td class="number" { (mapping.factor) " " (mapping.item_unit.as_deref().unwrap_or_default()) }
            (build_remove_cell(user, "/mappings/items/remove", &[("id", &id.to_string())]))
        }
    }
}

fn build_partner_row(mapping: &PartnerMapping, user: &CurrentUser) -> Markup {
    html! {
        tr {
            th scope="row" { (mapping.partner) }
            td { (mapping.customer) }
            td { (mapping.quantity.as_deref().unwrap_or_default()) }
            (build_remove_cell(user, "/mappings/partners/remove", &[("partner", &mapping.partner)]))
        }
    }
}
