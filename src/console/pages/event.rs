//! `/events/{id}`: one event with its trail, its attempts, its rows, its deliveries and its bytes.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::body_view::{build_body_view, find_extension};
use crate::console::components::build_action;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_status, build_time};
use crate::console::pages::{show_refusal, show_store_error};
use crate::console::reveals::PersonalView;
use crate::store::StoreError;
use crate::store::erp::event_summary::{EVENT_ROWS_MAX, EventOrder, EventSummary, find_event_summary};
use crate::store::events::destinations::{DeliveryRecord, list_event_deliveries};
use crate::store::events::history::{HistoryEntry, list_history};
use crate::store::events::records::{EventRecord, Payload, count_conflicts, find_event, read_payload};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use rusqlite::Connection;
use std::sync::Arc;

/// Everything that the page shows of an event.
struct EventPage {
    event: EventRecord,
    payload: Option<Payload>,
    history: Vec<HistoryEntry>,
    deliveries: Vec<DeliveryRecord>,
    rows: EventSummary,
    conflicts: u64,
}

fn read_event_page(connection: &Connection, id: i64) -> Result<Option<EventPage>, StoreError> {
    let Some(event) = find_event(connection, id)? else { return Ok(None) };
    let mut rows = find_event_summary(connection, id, &event.identity.key.shop_domain)?;
    rows.keep_own_rows(&event);
    Ok(Some(EventPage {
        payload: read_payload(connection, id)?,
        history: list_history(connection, id)?,
        deliveries: list_event_deliveries(connection, id)?,
        conflicts: count_conflicts(connection, id)?,
        rows,
        event,
    }))
}

/// Shows one event.
pub async fn show_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let page = match state.read(move |connection| read_event_page(connection, id)).await {
        Ok(Some(page)) => page,
        Ok(None) => return show_refusal(StatusCode::NOT_FOUND, "There is no event with this id."),
        Err(error) => return show_store_error(&error),
    };
    let personal = PersonalView::of(&state, &user, &format!("/events/{id}"));
    let is_operator = user.has_role(Role::Operator);
    let content = html! {
        h1 { "Event " (id) " " (build_status(&page.event.status_text())) }
        @if let Some(error) = &page.event.last_error { p class="notice failed" { (error) } }
        @if is_operator && page.event.status != "processing" {
            (build_action(&user, &format!("/events/{id}/retry"), "Retry now", &[]))
        }
        (personal.build_button(&user))
        (build_fields(&page.event))
        @if page.conflicts > 0 {
            p { (page.conflicts) " later requests had this webhook id and other bytes, and changed nothing." }
        }
        (build_history(&page.history))
        (build_orders(&page.rows.orders, &personal))
        (build_rows(&page.rows, &personal))
        (build_deliveries(&state, &user, id, &page.deliveries))
        @if is_operator && needs_person(&page) { (build_dismissal(&user, id)) }
        @match &page.payload {
            Some(payload) => { (build_headers(payload, &personal)) (build_body(id, payload, &personal)) }
            None => section { h2 { "Body" } p { "The event has no body any more: it was redacted, or retention deleted it." } }
        }
    };
    build_page(&format!("Event {id}"), "/events", &user, &content).into_response()
}

/// Sends the exact bytes of an event, if its page is revealed to this session.
pub async fn send_body(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let payload = match state.read(move |connection| read_payload(connection, id)).await {
        Ok(Some(payload)) => payload,
        Ok(None) => return show_refusal(StatusCode::NOT_FOUND, "There is no event with this id, or its body is gone."),
        Err(error) => return show_store_error(&error),
    };
    let path = format!("/events/{id}");
    if !PersonalView::of(&state, &user, &path).is_revealed() {
        let text = "The body has personal data. Choose \"Show personal data\" on the page of the event first.";
        return show_refusal(StatusCode::FORBIDDEN, text);
    }
    let disposition = format!("attachment; filename=\"event-{id}.{}\"", find_extension(&payload.body));
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_DISPOSITION, disposition)];
    (headers, payload.body).into_response()
}

/// Returns whether an event or a delivery of it failed and nobody dismissed it.
fn needs_person(page: &EventPage) -> bool {
    let failed = |status: &str, dismissed_at: &Option<String>| status == "failed" && dismissed_at.is_none();
    failed(&page.event.status, &page.event.dismissed_at)
        || page.deliveries.iter().any(|delivery| failed(&delivery.status, &delivery.dismissed_at))
}

fn build_dismissal(user: &CurrentUser, id: i64) -> Markup {
    html! {
        section {
            h2 { "Dismiss" }
            p { "Nothing is retried, and the failures do not count any more. The reason stays with the event." }
            form method="post" action={ "/events/" (id) "/dismiss" } class="filter" {
                (build_csrf_field(user))
                label { "Reason " input name="reason" required maxlength="1000"; }
                button type="submit" { "Dismiss" }
            }
        }
    }
}

fn build_headers(payload: &Payload, personal: &PersonalView) -> Markup {
    let headers: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&payload.headers).unwrap_or_default();
    html! {
        section {
            h2 { "Headers" }
            div class="scroll" {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Value" } } }
                    tbody {
                        @for (name, value) in &headers {
                            tr {
                                th scope="row" { (name) }
                                td class="text" { (personal.show(value.as_str().unwrap_or(&value.to_string()))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn build_body(id: i64, payload: &Payload, personal: &PersonalView) -> Markup {
    let path = format!("/events/{id}/body");
    html! {
        section {
            h2 { "Body" }
            p { (payload.body.len()) " bytes" }
            @if personal.is_revealed() {
                p {
                    a href=(path) download { "Download the exact bytes" } " "
                    button type="button" data-copy=(path) hidden { "Copy" }
                }
                (build_body_view(&payload.body))
            } @else {
                p { (personal.show("masked")) }
            }
        }
    }
}

fn build_orders(orders: &[EventOrder], personal: &PersonalView) -> Markup {
    let customer = |order: &EventOrder| order.customer.clone().unwrap_or_default();
    html! {
        @for order in orders {
            p {
                "Order " strong { (order.number.as_deref().unwrap_or("without a number")) }
                @if order.customer.is_some() { ", " (personal.show(&customer(order))) }
                @if let Some(total) = &order.total { ", " (total) " " (order.currency.as_deref().unwrap_or_default()) }
            }
        }
    }
}

fn build_rows(summary: &EventSummary, personal: &PersonalView) -> Markup {
    html! {
        @if !summary.rows.is_empty() {
            section {
                h2 { "Rows of the event" }
                div class="scroll" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Table" } th scope="col" { "Key" } th scope="col" { "Name" }
                                th scope="col" { "Newest event" }
                            }
                        }
                        tbody {
                            @for row in &summary.rows {
                                @let name = row.name.as_deref().unwrap_or_default();
                                tr {
                                    th scope="row" { (row.table) }
                                    td { (row.key_text()) }
                                    td { @if row.is_name_personal { (personal.show(name)) } @else { (name) } }
                                    td { @if let Some(id) = row.event_id { a href={ "/events/" (id) } { (id) } } }
                                }
                            }
                        }
                    }
                }
                @if summary.has_more { p { "Only the first " (EVENT_ROWS_MAX) " rows are listed." } }
            }
        }
    }
}

fn build_fields(event: &EventRecord) -> Markup {
    let key = &event.identity.key;
    let time = |at: &Option<String>| at.as_deref().map(build_time);
    let text = |text: &Option<String>| text.as_ref().map(|text| html! { (text) });
    let fields = [
        ("Source", Some(html! { (key.source.as_str()) })),
        ("Topic", Some(html! { (key.topic) })),
        ("Shop", Some(html! { (key.shop_domain) }).filter(|_| !key.shop_domain.is_empty())),
        ("Webhook id", Some(html! { (key.webhook_id) })),
        ("Attempts", Some(html! { (event.attempts) " of " (event.max_attempts) })),
        ("Received", Some(build_time(&event.received_at))),
        ("Triggered", time(&event.triggered_at)),
        ("Next attempt", time(&event.next_attempt_at)),
        ("Completed", time(&event.completed_at)),
        ("Worker", text(&event.locked_by)),
        ("Note", text(&event.note)),
        ("Dismissed", time(&event.dismissed_at)),
        ("Dismissed by", text(&event.dismissed_by)),
        ("Reason", text(&event.dismissed_reason)),
        ("Redacted", time(&event.redacted_at)),
        ("Same body as", event.same_body_as.map(|id| html! { a href={ "/events/" (id) } { "event " (id) } })),
    ];
    html! {
        dl class="fields" {
            @for (name, value) in fields {
                @if let Some(value) = value { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn build_history(history: &[HistoryEntry]) -> Markup {
    html! {
        section {
            h2 { "Trail" }
            ol class="trail" {
                @for entry in history {
                    li {
                        (build_time(&entry.at)) " "
                        @if let Some(from) = &entry.from_status { (build_status(from)) " → " }
                        (build_status(&entry.to_status))
                        " attempt " (entry.attempt)
                        @if let Some(worker) = &entry.worker { ", " (worker) }
                        @if let Some(milliseconds) = entry.duration_ms { ", " (milliseconds) " ms" }
                        @if let Some(error) = &entry.error { p class="text" { (error) } }
                    }
                }
            }
        }
    }
}

fn build_deliveries(state: &ConsoleState, user: &CurrentUser, id: i64, deliveries: &[DeliveryRecord]) -> Markup {
    let is_configured = |name: &str| state.config.destinations.iter().any(|settings| settings.name == name);
    let may_send = |delivery: &DeliveryRecord| {
        user.has_role(Role::Operator) && delivery.status != "delivering" && is_configured(&delivery.destination)
    };
    html! {
        @if !deliveries.is_empty() {
            section {
                h2 { "Deliveries" }
                div class="scroll" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Destination" } th scope="col" { "Status" }
                                th scope="col" class="number" { "Attempts" } th scope="col" { "When" }
                                th scope="col" { "Answer" } th scope="col" { "Send again" }
                            }
                        }
                        tbody {
                            @for delivery in deliveries {
                                tr {
                                    th scope="row" { (delivery.destination) }
                                    td { (build_status(&delivery.status)) }
                                    td class="number" { (delivery.attempts) " of " (delivery.max_attempts) }
                                    td { (describe_delivery_time(delivery)) }
                                    td class="text" {
                                        (delivery.last_error.as_deref().unwrap_or_default())
                                        @if let Some(reason) = &delivery.dismissed_reason { " Dismissed: " (reason) }
                                    }
                                    td {
                                        @if may_send(delivery) {
                                            (build_action(user, &format!("/events/{id}/resend"), "Send again",
                                                &[("destination", &delivery.destination)]))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn describe_delivery_time(delivery: &DeliveryRecord) -> Markup {
    html! {
        @if let Some(at) = &delivery.finished_at { (build_time(at)) }
        @else if let Some(id) = delivery.waits_for_event { "after " a href={ "/events/" (id) } { "event " (id) } }
        @else if let Some(at) = &delivery.next_attempt_at { "next attempt " (build_time(at)) }
        @else if let Some(at) = &delivery.locked_at { "since " (build_time(at)) }
    }
}
