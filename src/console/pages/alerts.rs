//! `/alerts`: the alerts, the open ones first, with the messages about each and where they went.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_status, build_time};
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::console::reveals::PersonalView;
use crate::delivery::destinations::ALERT_CHANNEL_PREFIX;
use crate::presentation::program::complete_commands;
use crate::store::audit::alerts::{
    Alert, AlertDelivery, AlertKind, AlertSelection, list_alert_deliveries, list_alerts,
};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Most open alerts on the page, and most of those that are over.
const PAGE_ROWS: u32 = 100;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// Shows the alerts.
pub async fn show_alerts(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    let read = state.read(|connection| {
        let open = list_alerts(connection, AlertSelection::Open, PAGE_ROWS)?;
        let closed = list_alerts(connection, AlertSelection::Closed, PAGE_ROWS)?;
        let ids: Vec<i64> = open.iter().chain(&closed).map(|alert| alert.id).collect();
        Ok((open, closed, list_alert_deliveries(connection, &ids)?))
    });
    let (open, closed, deliveries) = match read.await {
        Ok(found) => found,
        Err(error) => return show_store_error(&error),
    };
    let has_logins = open.iter().chain(&closed).any(is_login_alert);
    let personal = PersonalView::of(&state, &user, "/alerts");
    let content = html! {
        h1 { "Alerts" }
        (build_channels(&state))
        @if has_logins { (personal.build_button(&user)) }
        h2 { "Open" }
        @if open.is_empty() { p class="verdict ok" { "No alert is open." } }
        @for alert in &open { (build_alert(alert, &deliveries, &personal, &user)) }
        @if !closed.is_empty() {
            h2 { "Over" }
            @for alert in &closed { (build_alert(alert, &deliveries, &personal, &user)) }
        }
    };
    build_page("Alerts", "/alerts", &user, &content).into_response()
}

fn build_channels(state: &ConsoleState) -> Markup {
    let channels: Vec<&str> = state.config.alert_channels().map(|settings| name_channel(&settings.name)).collect();
    html! {
        @if channels.is_empty() {
            p class="notice failed" {
                "No channel is configured, so nobody gets a message. Add " code { "[[alerts.channels]]" } "; then "
                code { (complete_commands("novex-ingest alerts test")) } "."
            }
        } @else {
            p { "Messages go to " (channels.join(", ")) "." }
        }
    }
}

fn name_channel(destination: &str) -> &str {
    destination.strip_prefix(ALERT_CHANNEL_PREFIX).unwrap_or(destination)
}

fn is_login_alert(alert: &Alert) -> bool {
    AlertKind::from_name(&alert.kind).is_some_and(AlertKind::is_login)
}

fn build_alert(alert: &Alert, deliveries: &[AlertDelivery], personal: &PersonalView, user: &CurrentUser) -> Markup {
    let status = match alert.state() {
        "open" => "failed",
        "recovered" => "completed",
        _ => "received",
    };
    let message = complete_commands(&alert.message);
    html! {
        article class="card" id={ "alert-" (alert.id) } {
            h3 { span class={ "status " (status) } { (alert.state()) } " " (alert.kind) }
            // The message about failed logins names a person or an address.
            p { @if is_login_alert(alert) { (personal.show(&message)) } @else { (message) } }
            @if alert.is_open() && !alert.fix.is_empty() { p class="fix" { (complete_commands(&alert.fix)) } }
            p {
                "Since " (build_time(&alert.first_at))
                @if let Some(at) = &alert.recovered_at { ", over since " (build_time(at)) }
                @if let (Some(at), Some(by), Some(reason)) = (&alert.dismissed_at, &alert.dismissed_by, &alert.dismissed_reason) {
                    ", dismissed by " (by) " at " (build_time(at)) ": " (reason)
                }
                "."
            }
            (build_deliveries(alert, deliveries))
            @if alert.is_open() && user.has_role(Role::Operator) { (build_dismissal(alert, user)) }
        }
    }
}

fn build_deliveries(alert: &Alert, deliveries: &[AlertDelivery]) -> Markup {
    let own: Vec<&AlertDelivery> = deliveries.iter().filter(|delivery| delivery.alert_id == alert.id).collect();
    html! {
        @if own.is_empty() {
            p { "No message about it." }
        } @else {
            div class="scroll" tabindex="0" {
                table {
                    thead { tr { th { "Message" } th { "Event" } th { "Channel" } th { "Delivery" } th { "At" } th { "Error" } } }
                    tbody {
                        @for delivery in own {
                            tr {
                                td { (delivery.state) " " (build_time(&delivery.at)) }
                                td { a href={ "/events/" (delivery.event_id) } { (delivery.event_id) } }
                                td { (delivery.destination.as_deref().map_or("–", name_channel)) }
                                td { @if let Some(status) = &delivery.status { (build_status(status)) } }
                                td { @if let Some(at) = &delivery.finished_at { (build_time(at)) } }
                                td class="text" { (delivery.last_error.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn build_dismissal(alert: &Alert, user: &CurrentUser) -> Markup {
    html! {
        form method="post" action={ "/alerts/" (alert.id) "/dismiss" } class="action" {
            (build_csrf_field(user))
            label { "Reason " input name="reason" required maxlength=(REASON_CHARS_MAX); }
            button type="submit" { "Dismiss" }
        }
    }
}

/// Why a person dismisses an alert.
#[derive(Deserialize)]
pub struct AlertDismissalForm {
    reason: String,
}

/// Dismisses an alert, and appends that to the audit trail.
pub async fn dismiss_alert(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
    Form(form): Form<AlertDismissalForm>,
) -> Response {
    let reason = form.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let text = format!("Enter a reason of at most {REASON_CHARS_MAX} characters. Nothing was done.");
        return show_refusal(StatusCode::BAD_REQUEST, &text);
    }
    match state.store.dismiss_alerts(Some(vec![id]), reason.to_owned(), user.to_actor().name).await {
        Ok(dismissed) if dismissed.is_empty() => {
            show_refusal(StatusCode::NOT_FOUND, "There is no such alert that is not dismissed. Nothing was done.")
        }
        Ok(_) => redirect_to("/alerts"),
        Err(error) => show_store_error(&error),
    }
}
