//! `/orders`: the list of sales orders.

use crate::console::ConsoleState;
use crate::console::components::{build_next_link, build_select};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status, build_time};
use crate::console::pages::show_store_error;
use crate::console::paths::build_order_path;
use crate::console::reveals::PersonalView;
use crate::store::erp::sales_order_lists::{SalesOrderFilter, SalesOrderKey, SalesOrderSummary, list_sales_orders};
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
pub struct OrdersQuery {
    shop: String,
    q: String,
    /// Any text: only orders that need a person.
    attention: String,
    /// The last order of the page before: `17@shop`.
    before: String,
}

impl OrdersQuery {
    fn to_filter(&self) -> SalesOrderFilter {
        SalesOrderFilter {
            shop: self.shop.clone(),
            text: self.q.trim().to_owned(),
            attention_only: !self.attention.is_empty(),
        }
    }

    fn parse_place(&self) -> Option<SalesOrderKey> {
        let (order_id, shop) = self.before.split_once('@')?;
        Some((order_id.parse().ok()?, shop.to_owned()))
    }
}

/// Shows a page of sales orders.
pub async fn show_orders(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<OrdersQuery>,
) -> Response {
    let (filter, before) = (query.to_filter(), query.parse_place());
    let read = state.read(move |connection| list_sales_orders(connection, &filter, before.as_ref(), PAGE_ROWS + 1));
    let mut orders = match read.await {
        Ok(orders) => orders,
        Err(error) => return show_store_error(&error),
    };
    let has_more = orders.len() > PAGE_ROWS;
    orders.truncate(PAGE_ROWS);
    let personal = PersonalView::of(&state, &user, "/orders");
    let shops: Vec<String> = state.config.shopify.iter().map(|shop| shop.domain.clone()).collect();
    let content = html! {
        h1 { "Orders" }
        (build_filter(&query, &shops))
        @if orders.is_empty() {
            p { "No orders match." }
        } @else {
            (personal.build_button(&user))
            (build_order_table(&orders, &personal))
        }
        @if let Some(last) = orders.last().filter(|_| has_more) {
            (build_next_link(
                "Older orders",
                "/orders",
                &[("shop", &query.shop), ("q", &query.q), ("attention", &query.attention)],
                &format!("{}@{}", last.order_id, last.shop_domain),
            ))
        }
    };
    build_page("Orders", "/orders", &user, &content).into_response()
}

fn build_filter(query: &OrdersQuery, shops: &[String]) -> Markup {
    html! {
        form method="get" action="/orders" class="filter" role="search" {
            label { "Search " input type="search" name="q" value=(query.q) placeholder="order, customer, SKU, tracking code"; }
            (build_select("shop", "Shop", &query.shop, shops))
            label class="check" {
                input type="checkbox" name="attention" value="yes" checked[!query.attention.is_empty()];
                " Only those that need a person"
            }
            button type="submit" { "Show" }
        }
    }
}

fn build_order_table(orders: &[SalesOrderSummary], personal: &PersonalView) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "Order" } th scope="col" { "Placed" } th scope="col" { "Shop" }
                        th scope="col" { "Customer" } th scope="col" class="number" { "Total" }
                        th scope="col" { "State" } th scope="col" { "Payment" } th scope="col" { "Needs a person" }
                    }
                }
                tbody {
                    @for order in orders {
                        tr {
                            th scope="row" {
                                a href=(build_order_path(&order.shop_domain, order.order_id)) {
                                    (order.name.clone().unwrap_or_else(|| order.order_id.to_string()))
                                }
                            }
                            td { @if let Some(at) = &order.created_at { (build_time(at)) } }
                            td { (order.shop_domain) }
                            td { (personal.show(order.customer.as_deref().unwrap_or_default())) }
                            td class="number" { (describe_total(order)) }
                            td { (build_status(order.describe_state())) @if order.is_test { " test" } }
                            td { (order.financial_status.as_deref().unwrap_or_default()) }
                            td class="text" { (describe_attention(order)) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the total with its currency.
#[must_use]
pub fn describe_total(order: &SalesOrderSummary) -> String {
    let total = order.total.as_deref().unwrap_or_default();
    format!("{total} {}", order.currency.as_deref().unwrap_or_default()).trim().to_owned()
}

/// Returns why a person must look at an order; empty if nobody must.
#[must_use]
pub fn describe_attention(order: &SalesOrderSummary) -> String {
    let unmapped = (order.unmapped > 0).then(|| format_count(order.unmapped, "line has no item", "lines have no item"));
    order.attention.iter().cloned().chain(unmapped).collect::<Vec<_>>().join("; ")
}
