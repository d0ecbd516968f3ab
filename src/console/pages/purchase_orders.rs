//! `/purchase-orders`: the list of purchase orders.

use crate::console::ConsoleState;
use crate::console::components::build_next_link;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status};
use crate::console::pages::show_store_error;
use crate::console::paths::build_purchase_order_path;
use crate::edi::codes;
use crate::store::erp::purchase_order_lists::{PurchaseOrderPageFilter, PurchaseOrderRow, list_purchase_order_page};
use crate::store::erp::purchase_order_views::PurchaseOrderSummary;
use crate::text::format_count;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: usize = 50;

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PurchaseOrdersQuery {
    partner: String,
    q: String,
    /// Any text: only orders that need a person.
    attention: String,
    /// Where the page before ended.
    before: String,
}

/// Shows a page of purchase orders.
pub async fn show_purchase_orders(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<PurchaseOrdersQuery>,
) -> Response {
    let filter = PurchaseOrderPageFilter {
        partner: query.partner.trim().to_owned(),
        text: query.q.trim().to_owned(),
        attention_only: !query.attention.is_empty(),
    };
    let after = query.before.clone();
    let read = state.read(move |connection| list_purchase_order_page(connection, &filter, &after, PAGE_ROWS));
    let page = match read.await {
        Ok(page) => page,
        Err(error) => return show_store_error(&error),
    };
    let fields = [("partner", query.partner.as_str()), ("q", &query.q), ("attention", &query.attention)];
    let content = html! {
        h1 { "Purchase orders" }
        (build_filter(&query))
        @if page.rows.is_empty() { p { "No purchase orders match." } } @else { (build_table(&page.rows)) }
        @if let Some(next) = &page.next { (build_next_link("More purchase orders", "/purchase-orders", &fields, next)) }
    };
    build_page("Purchase orders", "/purchase-orders", &user, &content).into_response()
}

fn build_filter(query: &PurchaseOrdersQuery) -> Markup {
    html! {
        form method="get" action="/purchase-orders" class="filter" role="search" {
            label { "Search " input type="search" name="q" value=(query.q) placeholder="PO number, item, address"; }
            label { "Partner " input name="partner" value=(query.partner); }
            label class="check" {
                input type="checkbox" name="attention" value="yes" checked[!query.attention.is_empty()];
                " Only those that need a person"
            }
            button type="submit" { "Show" }
        }
    }
}

fn build_table(rows: &[PurchaseOrderRow]) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "PO" } th scope="col" { "Partner" } th scope="col" { "Customer" }
                        th scope="col" { "State" } th scope="col" { "Ordered" } th scope="col" { "Dates" }
                        th scope="col" class="number" { "Lines" } th scope="col" class="number" { "Changes" }
                        th scope="col" class="number" { "Total" } th scope="col" { "Needs a person" }
                    }
                }
                tbody { @for row in rows { (build_row(row)) } }
            }
        }
    }
}

fn build_row(row: &PurchaseOrderRow) -> Markup {
    let order = &row.summary;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                a href=(build_purchase_order_path(&order.partner, &order.po_number, &order.release)) { (order.po_number) }
                @if !order.release.is_empty() { " release " (order.release) }
            }
            td { (order.partner) }
            td { @if let Some(customer) = &order.customer { (customer) } @else { span class="status failed" { "not mapped" } } }
            td { (build_status(&order.status)) }
            td { (text(&order.ordered_on)) }
            td class="text" {
                @for (code, day) in &row.dates { p class="text" { (codes::DATES.find(code).unwrap_or(code)) ": " (day) } }
            }
            td class="number" { (order.lines) }
            td class="number" { (order.changes) }
            td class="number" { (text(&order.lines_total)) }
            td class="text" { (describe_reasons(order)) }
        }
    }
}

/// Returns why a person must look at an order; empty if nobody must.
fn describe_reasons(order: &PurchaseOrderSummary) -> String {
    let unmapped = (order.unmapped > 0).then(|| format_count(order.unmapped, "line has no item", "lines have no item"));
    order.attention.iter().cloned().chain(unmapped).collect::<Vec<_>>().join("; ")
}
