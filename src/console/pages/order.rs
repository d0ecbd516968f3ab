//! `/orders/{shop}/{order_id}`: one sales order with its lines, refunds, packages and events.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status, build_time};
use crate::console::pages::mapping_forms::{build_item_suggestions, build_product_form};
use crate::console::pages::orders::{describe_attention, describe_total};
use crate::console::pages::shipments::build_shipment_table;
use crate::console::pages::{show_refusal, show_store_error};
use crate::console::paths::{build_order_path, build_shipment_path};
use crate::console::reveals::PersonalView;
use crate::store::erp::mapping_views::list_known_items;
use crate::store::erp::sales_order_views::{
    FulfillmentView, RefundView, SalesOrderLineView, SalesOrderView, SubjectEvent, find_sales_order_view,
};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// Shows one sales order.
pub async fn show_order(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path((shop, order_id)): Path<(String, i64)>,
) -> Response {
    let path = build_order_path(&shop, order_id);
    let read = state.read(move |connection| {
        let Some(order) = find_sales_order_view(connection, &shop, order_id)? else { return Ok(None) };
        Ok(Some((order, list_known_items(connection)?)))
    });
    let (order, items) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return show_refusal(StatusCode::NOT_FOUND, "There is no order with this number in this shop."),
        Err(error) => return show_store_error(&error),
    };
    let personal = PersonalView::of(&state, &user, &path);
    let summary = &order.summary;
    let name = summary.name.clone().unwrap_or_else(|| summary.order_id.to_string());
    let attention = describe_attention(summary);
    let content = html! {
        h1 { "Order " (name) " " (build_status(summary.describe_state())) }
        @if summary.is_test { p class="notice" { "This is a test order: do not ship it." } }
        @if !attention.is_empty() { p class="notice failed" { (attention) } }
        (build_fields(&order))
        (build_personal(&order, &personal, &user))
        (build_lines(&order, &personal, &user, &path))
        @if user.has_role(Role::Operator) && summary.unmapped > 0 { (build_item_suggestions(&items)) }
        (build_amounts(&order))
        (build_refunds(&order.refunds, &personal))
        (build_fulfillments(&order.fulfillments))
        @if !order.shipments.is_empty() {
            section { h2 { "Shipments" } (build_shipment_table(&order.shipments)) }
        }
        (build_events(&order.events))
    };
    build_page(&format!("Order {name}"), "/orders", &user, &content).into_response()
}

fn build_fields(order: &SalesOrderView) -> Markup {
    let summary = &order.summary;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |at: &Option<String>| at.as_deref().map(build_time);
    html! {
        dl class="fields" {
            dt { "Shop" } dd { (summary.shop_domain) }
            dt { "Number" } dd { (summary.order_id) }
            dt { "Total" } dd { (describe_total(summary)) }
            dt { "Payment" } dd { (text(&summary.financial_status)) }
            dt { "Placed" } dd { @if let Some(at) = time(&summary.created_at) { (at) } }
            @if let Some(at) = time(&summary.cancelled_at) { dt { "Cancelled" } dd { (at) } }
            @if let Some(at) = time(&summary.deleted_at) { dt { "Deleted" } dd { (at) } }
        }
    }
}

fn build_personal(order: &SalesOrderView, personal: &PersonalView, user: &CurrentUser) -> Markup {
    let customer = order.summary.customer.as_deref().unwrap_or_default();
    html! {
        @if !customer.is_empty() || !order.personal.is_empty() {
            section {
                h2 { "Customer" }
                (personal.build_button(user))
                dl class="fields" {
                    dt { "Name" } dd { (personal.show(customer)) }
                    @for (label, value) in &order.personal {
                        dt { (label) } dd { (personal.show(value)) }
                    }
                }
            }
        }
    }
}

fn build_lines(order: &SalesOrderView, personal: &PersonalView, user: &CurrentUser, path: &str) -> Markup {
    let shop = &order.summary.shop_domain;
    html! {
        section {
            h2 { "Lines" }
            div class="scroll" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Product" } th scope="col" { "SKU" } th scope="col" class="number" { "Ordered" }
                            th scope="col" class="number" { "Now" } th scope="col" class="number" { "To ship" }
                            th scope="col" class="number" { "Price" } th scope="col" class="number" { "Discount" }
                            th scope="col" { "Item of the ERP" }
                        }
                    }
                    tbody { @for line in &order.lines { (build_line(line, shop, personal, user, path)) } }
                }
            }
        }
    }
}

fn build_line(
    line: &SalesOrderLineView,
    shop: &str,
    personal: &PersonalView,
    user: &CurrentUser,
    path: &str,
) -> Markup {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let titles = [text(&line.title), text(&line.variant_title)].into_iter().filter(|part| !part.is_empty());
    let title = titles.collect::<Vec<_>>().join(", ");
    html! {
        tr {
            th scope="row" {
                @if title.is_empty() { "untitled" } @else { (title) }
                @for value in [&line.properties, &line.extras].into_iter().flatten() {
                    p class="text" { (personal.show(value)) }
                }
            }
            td { (text(&line.sku)) @if line.sku.is_none() { @if let Some(variant) = line.variant_id { "variant " (variant) } } }
            td class="number" { (line.quantity) }
            td class="number" { (number(line.current_quantity)) }
            td class="number" { (number(line.fulfillable_quantity)) }
            td class="number" { (text(&line.price)) }
            td class="number" { (text(&line.total_discount)) }
            td {
                @if let Some(item) = &line.item {
                    (item) " × " (text(&line.item_quantity))
                } @else if line.is_unmapped() {
                    span class="status failed" { "no item" }
                    @if user.has_role(Role::Operator) {
                        (build_product_form(user, (shop, line.sku.as_deref(), line.variant_id), path))
                    }
                }
            }
        }
    }
}

fn build_amounts(order: &SalesOrderView) -> Markup {
    html! {
        @if !order.amounts.is_empty() {
            section {
                h2 { "Amounts" }
                dl class="fields" {
                    @for (label, amount) in &order.amounts {
                        dt { (label) } dd { (amount) " " (order.summary.currency.as_deref().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

fn build_refunds(refunds: &[RefundView], personal: &PersonalView) -> Markup {
    html! {
        @if !refunds.is_empty() {
            section {
                h2 { "Refunds" }
                ul {
                    @for refund in refunds {
                        li {
                            @if let Some(at) = &refund.created_at { (build_time(at)) " " }
                            strong {
                                (refund.total.as_deref().unwrap_or("amount not known")) " "
                                (refund.currency.as_deref().unwrap_or_default())
                            }
                            @if let Some(pending) = refund.pending.as_deref().filter(|pending| *pending != "0.00") {
                                ", " (pending) " pending"
                            }
                            " (" a href={ "/events/" (refund.event_id) } { "event " (refund.event_id) } ")"
                            @for line in &refund.lines { p class="text" { (line) } }
                            @if let Some(note) = &refund.note { p class="text" { "Note: " (personal.show(note)) } }
                            @if let Some(attention) = &refund.attention { p class="notice failed" { (attention) } }
                        }
                    }
                }
            }
        }
    }
}

fn build_fulfillments(fulfillments: &[FulfillmentView]) -> Markup {
    html! {
        @if !fulfillments.is_empty() {
            section {
                h2 { "Packages" }
                ul {
                    @for package in fulfillments {
                        li {
                            strong { (package.name.as_deref().unwrap_or("package")) } " "
                            (build_status(package.shipment_status.as_deref().or(package.status.as_deref()).unwrap_or_default()))
                            @if let Some(carrier) = &package.tracking_company { ", " (carrier) }
                            @if let Some(at) = &package.created_at { ", " (build_time(at)) }
                            @for number in &package.tracking_numbers {
                                ", " a href=(build_shipment_path(number)) { (number) }
                            }
                            " (" a href={ "/events/" (package.event_id) } { "event " (package.event_id) } ")"
                        }
                    }
                }
            }
        }
    }
}

fn build_events(events: &[SubjectEvent]) -> Markup {
    html! {
        section {
            h2 { "Events" }
            @if events.is_empty() { p { "No event of this order is stored any more." } }
            ol class="trail" {
                @for event in events {
                    li {
                        (build_time(&event.received_at)) " "
                        a href={ "/events/" (event.id) } { "event " (event.id) } " " (event.topic) " "
                        (build_status(&event.status))
                        @if let Some(note) = &event.note { p class="text" { (note) } }
                    }
                }
            }
        }
    }
}
