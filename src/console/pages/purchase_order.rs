//! `/purchase-orders/{id}` and its print view: one purchase order with all that `sps show` prints.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_bare_page, build_page, build_status, build_time};
use crate::console::pages::mapping_forms::{build_item_suggestions, build_partner_form};
use crate::console::pages::purchase_order_paper::{LineForms, Paper};
use crate::console::pages::{show_refusal, show_store_error};
use crate::console::reveals::PersonalView;
use crate::edi::document_purpose;
use crate::store::erp::mapping_views::list_known_items;
use crate::store::erp::purchase_order_key::PurchaseOrderKey;
use crate::store::erp::purchase_order_lists::{
    OrderDocumentView, OrderFaultView, list_order_documents, list_order_faults,
};
use crate::store::erp::purchase_order_views::{PurchaseOrderView, find_purchase_orders};
use crate::store::erp::sent_views::SentSummary;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// An order with what only its page shows.
struct FoundOrder {
    view: PurchaseOrderView,
    documents: Vec<OrderDocumentView>,
    faults: Vec<OrderFaultView>,
    items: Vec<String>,
}

async fn find_order(state: &Arc<ConsoleState>, id: &str) -> Result<FoundOrder, Response> {
    let missing = || show_refusal(StatusCode::NOT_FOUND, "There is no such purchase order.");
    let Some(key) = PurchaseOrderKey::parse_id(id) else { return Err(missing()) };
    let overdue_before = state.config.find_overdue_limit(state.store.clock.now());
    let read = state.read(move |connection| {
        let views = find_purchase_orders(connection, &key.po_number, Some(&key.partner), overdue_before.as_deref())?;
        let Some(view) = views.into_iter().find(|view| view.release == key.release) else { return Ok(None) };
        Ok(Some(FoundOrder {
            view,
            documents: list_order_documents(connection, &key)?,
            faults: list_order_faults(connection, &key)?,
            items: list_known_items(connection)?,
        }))
    });
    match read.await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(missing()),
        Err(error) => Err(show_store_error(&error)),
    }
}

/// Shows one purchase order.
pub async fn show_purchase_order(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<String>,
) -> Response {
    let FoundOrder { view, documents, faults, items } = match find_order(&state, &id).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let path = format!("/purchase-orders/{id}");
    let personal = PersonalView::of(&state, &user, &path);
    let paper = Paper { view: &view, personal: &personal };
    let forms = user.has_role(Role::Operator).then_some(LineForms { user: &user, back: &path });
    let content = html! {
        h1 { "Purchase order " (view.po_number) @if !view.release.is_empty() { ", release " (view.release) } " " (build_status(&view.status)) }
        p { a href={ (path) "/print" } { "Print view" } }
        @if let Some(attention) = &view.attention { p class="notice failed" { (attention) } }
        @if view.customer.is_none() {
            div class="notice failed" {
                p { "The partner " (view.partner) " has no customer of the ERP." }
                @if forms.is_some() { (build_partner_form(&user, &view.partner, &path)) }
            }
        }
        (paper.build_header())
        (personal.build_button(&user))
        (paper.build_addresses())
        (paper.build_groups())
        (paper.build_lines(forms.as_ref()))
        @if forms.is_some() { (build_item_suggestions(&items)) }
        (paper.build_totals())
        (paper.build_changes())
        (build_documents(&documents))
        (build_sent(&view.sent_documents))
        (build_messages(&view))
        (build_faults(&faults))
    };
    build_page(&format!("Purchase order {}", view.po_number), "/purchase-orders", &user, &content).into_response()
}

/// Shows one purchase order as on paper.
pub async fn print_purchase_order(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<String>,
) -> Response {
    let FoundOrder { view, documents, .. } = match find_order(&state, &id).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let path = format!("/purchase-orders/{id}");
    // What a person revealed on the page of the order is on its paper too.
    let personal = PersonalView::of(&state, &user, &path);
    let paper = Paper { view: &view, personal: &personal };
    let content = html! {
        p class="screen" { a href=(path) { "Back to the order" } " Print this page with the browser. It fits A4 and Letter." }
        article class="paper" {
            h1 { (view.describe_title()) }
            @if let Some(attention) = &view.attention { p class="notice failed" { (attention) } }
            (paper.build_header())
            (paper.build_addresses())
            (paper.build_groups())
            (paper.build_lines(None))
            (paper.build_totals())
            (paper.build_changes())
            (build_documents(&documents))
            (build_sent(&view.sent_documents))
            (build_messages(&view))
        }
    };
    build_bare_page(&format!("Purchase order {}", view.po_number), &content).into_response()
}

fn build_event_link(id: i64) -> Markup {
    html! { a href={ "/events/" (id) } { "event " (id) } }
}

fn build_documents(documents: &[OrderDocumentView]) -> Markup {
    html! {
        section {
            h2 { "Received documents" }
            ol {
                @for document in documents {
                    li {
                        (document.received_on) " " @if document.is_change { "change" } @else { "order" }
                        @if !document.purpose.is_empty() { ", purpose " (document_purpose::PURPOSES.describe(&document.purpose)) }
                        ", " (build_event_link(document.event_id))
                    }
                }
            }
        }
    }
}

/// The class of a state of a sent document, by which it gets its colour.
fn choose_state_class(document: &SentSummary) -> &'static str {
    match document.state.as_str() {
        "accepted" => "completed",
        "rejected" | "unclear" | "overdue" => "failed",
        _ => "waiting",
    }
}

fn build_sent(documents: &[SentSummary]) -> Markup {
    html! {
        @if !documents.is_empty() {
            section {
                h2 { "Sent documents" }
                div class="scroll" tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Document" } th scope="col" class="number" { "Total" }
                                th scope="col" { "Sent" } th scope="col" { "Delivered" } th scope="col" { "Answer" }
                                th scope="col" { "Event" }
                            }
                        }
                        tbody {
                            @for document in documents {
                                tr {
                                    th scope="row" { (document.describe()) @if document.is_test { " test" } }
                                    td class="number" { (document.total.as_deref().unwrap_or_default()) }
                                    td { (build_time(&document.sent_at)) }
                                    td { @if let Some(at) = &document.delivered_at { (build_time(at)) } @else { "not yet" } }
                                    td {
                                        span class={ "status " (choose_state_class(document)) } { (document.describe_state()) }
                                        @for reason in &document.reasons { p class="text" { (reason) } }
                                        @if let Some(reason) = &document.dismissed_reason { p class="text" { "dismissed: " (reason) } }
                                    }
                                    td { (build_event_link(document.event_id)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn build_messages(view: &PurchaseOrderView) -> Markup {
    html! {
        @if !view.messages.is_empty() {
            section {
                h2 { "From the partner" }
                ul {
                    @for message in &view.messages {
                        li {
                            (build_time(&message.received_at)) " " (message.describe_kind()) ", " (message.describe_facts())
                            ", " (build_event_link(message.event_id))
                            p class="text lines" { (message.text) }
                        }
                    }
                }
            }
        }
    }
}

fn build_faults(faults: &[OrderFaultView]) -> Markup {
    html! {
        @if !faults.is_empty() {
            section {
                h2 { "Faults" }
                ul class="findings" {
                    @for fault in faults {
                        li class=(if fault.is_error { "failed" } else { "warning" }) {
                            strong { @if fault.is_error { "not imported" } @else { "note" } } " "
                            (fault.location) @if fault.line > 0 { ", line " (fault.line) } ": " (fault.message)
                            ", " (build_event_link(fault.event_id))
                        }
                    }
                }
            }
        }
    }
}
