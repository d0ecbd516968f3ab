//! `/events/{id}`: one event with its trail, its attempts and its deliveries.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::components::build_action;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status, build_time};
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::console::reveals::PersonalView;
use crate::queue::process;
use crate::store::events::destinations::{DeliveryRecord, list_event_deliveries};
use crate::store::events::history::{HistoryEntry, list_history};
use crate::store::events::records::{EventRecord, Payload, find_event, read_payload};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// Shows one event.
pub async fn show_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let read = state.read(move |connection| {
        let Some(event) = find_event(connection, id)? else { return Ok(None) };
        let payload = read_payload(connection, id)?;
        Ok(Some((event, payload, list_history(connection, id)?, list_event_deliveries(connection, id)?)))
    });
    let (event, payload, history, deliveries) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return show_refusal(StatusCode::NOT_FOUND, "There is no event with this id."),
        Err(error) => return show_store_error(&error),
    };
    let personal = PersonalView::of(&state, &user, &format!("/events/{id}"));
    let content = html! {
        h1 { "Event " (id) " " (build_status(&event.status_text())) }
        (build_fields(&event))
        @if user.has_role(Role::Operator) && event.status != "processing" {
            (build_action(&user, &format!("/events/{id}/retry"), "Retry now", &[]))
        }
        (build_history(&history))
        (build_deliveries(&deliveries))
        @if let Some(payload) = &payload { (build_body(payload, &personal, &user)) }
    };
    build_page(&format!("Event {id}"), "/events", &user, &content).into_response()
}

/// Gives an event new attempts, as `events retry` does.
pub async fn retry_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let (attempts, worker) = (state.config.worker.max_attempts, process::identify_current_process().worker);
    match state.store.retry_events(vec![id], attempts, worker, user.to_actor()).await {
        Ok(retried) if retried.is_empty() => show_refusal(
            StatusCode::CONFLICT,
            "The event was not retried: it is in processing, has no body any more, or needs a decision on the page of \
             privacy requests.",
        ),
        Ok(_) => redirect_to(&format!("/events/{id}")),
        Err(error) => show_store_error(&error),
    }
}

fn build_body(payload: &Payload, personal: &PersonalView, user: &CurrentUser) -> Markup {
    html! {
        section {
            h2 { "Body" }
            @if personal.is_revealed() {
                pre class="scroll" { (String::from_utf8_lossy(&payload.body)) }
            } @else {
                p { (personal.show("masked")) " " (personal.build_button(user)) }
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
        ("Last error", text(&event.last_error)),
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

fn build_deliveries(deliveries: &[DeliveryRecord]) -> Markup {
    html! {
        @if !deliveries.is_empty() {
            section {
                h2 { "Deliveries" }
                ul {
                    @for delivery in deliveries {
                        li {
                            strong { (delivery.destination) } " " (build_status(&delivery.status))
                            " attempts " (delivery.attempts)
                            @if let Some(error) = &delivery.last_error { p class="text" { (error) } }
                        }
                    }
                }
            }
        }
    }
}
