//! `/destinations`: the state of each destination; pauses, resumes and tests one.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::components::build_action;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_time};
use crate::console::pages::overview::describe_destination;
use crate::console::pages::{redirect_to, show_refusal, show_result, show_store_error};
use crate::delivery::destinations::{Destination, DestinationSettings};
use crate::presentation::quantities::format_duration;
use crate::store::events::destinations::{DestinationState, list_destinations};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

const PATH: &str = "/destinations";

/// Shows all destinations.
pub async fn show_destinations(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    let names: Vec<String> = state.config.destinations.iter().map(|settings| settings.name.clone()).collect();
    let now = state.store.clock.now();
    let states = match state.read(move |connection| list_destinations(connection, &names, now)).await {
        Ok(states) => states,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Destinations" }
        @if states.is_empty() {
            p { "No destinations are configured: see [[destinations]] in the shipped config.toml." }
        } @else {
            div class="scroll" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Destination" } th scope="col" { "State" } th scope="col" { "Next probe" }
                            th scope="col" class="number" { "Queued" } th scope="col" { "Oldest waits for" }
                            th scope="col" class="number" { "Failed" } th scope="col" { "Last success" }
                            th scope="col" { "Last error" } th scope="col" { "Actions" }
                        }
                    }
                    tbody { @for destination in &states { (build_row(&state, destination, &user)) } }
                }
            }
        }
    };
    build_page("Destinations", PATH, &user, &content).into_response()
}

fn build_row(state: &ConsoleState, destination: &DestinationState, user: &CurrentUser) -> Markup {
    let name = &destination.name;
    let is_configured = find_settings(state, name).is_some();
    let action = |operation: &str, label: &str| build_action(user, &format!("{PATH}/{name}/{operation}"), label, &[]);
    html! {
        tr {
            th scope="row" { (name) }
            td { @if is_configured { (describe_destination(destination)) } @else { "not configured" } }
            td { @if let Some(at) = &destination.next_probe_at { (build_time(at)) } }
            td class="number" { (destination.waiting) }
            td { @if let Some(seconds) = destination.oldest_waiting_seconds { (format_duration(seconds)) } }
            td class="number" { (destination.failed) }
            td { @if let Some(at) = &destination.last_success_at { (build_time(at)) } }
            td class="text" { (build_last_error(destination)) }
            td {
                @if is_configured && user.has_role(Role::Operator) {
                    @if destination.paused_at.is_some() || destination.down_since.is_some() {
                        (action("resume", "Resume"))
                    }
                    @if destination.paused_at.is_none() { (action("pause", "Pause")) }
                    (action("test", "Test"))
                }
            }
        }
    }
}

fn build_last_error(destination: &DestinationState) -> Markup {
    html! {
        @match (&destination.last_error_at, &destination.last_error, &destination.recovered_at) {
            (Some(at), Some(error), _) => { (build_time(at)) " " (error) }
            (Some(at), None, _) => { (build_time(at)) " A redaction erased the text." }
            (None, _, Some(at)) => { "recovered " (build_time(at)) }
            (None, _, None) => {}
        }
    }
}

fn find_settings<'c>(state: &'c ConsoleState, name: &str) -> Option<&'c DestinationSettings> {
    state.config.destinations.iter().find(|settings| settings.name == name)
}

fn refuse_unknown() -> Response {
    show_refusal(StatusCode::NOT_FOUND, "The configuration has no destination with this name. Nothing was done.")
}

/// Pauses a destination, as `destinations pause` does.
pub async fn pause_destination(
    state: State<Arc<ConsoleState>>,
    user: Extension<CurrentUser>,
    Path(name): Path<String>,
) -> Response {
    set_paused(state, user, &name, true).await
}

/// Resumes a destination, as `destinations resume` does.
pub async fn resume_destination(
    state: State<Arc<ConsoleState>>,
    user: Extension<CurrentUser>,
    Path(name): Path<String>,
) -> Response {
    set_paused(state, user, &name, false).await
}

async fn set_paused(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    name: &str,
    is_paused: bool,
) -> Response {
    if find_settings(&state, name).is_none() {
        return refuse_unknown();
    }
    match state.store.set_destination_paused(name, is_paused, user.to_actor()).await {
        Ok(()) => redirect_to(PATH),
        Err(error) => show_store_error(&error),
    }
}

/// Delivers a made-up event to a destination, as `destinations test` does, and shows the result.
pub async fn test_destination(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(name): Path<String>,
) -> Response {
    let Some(settings) = find_settings(&state, &name).cloned() else { return refuse_unknown() };
    let result = Destination::send_test_event(settings, state.store.clock.now()).await;
    let error = result.err().map(|error| format!("{error:#}"));
    // The audit trail keeps no text of a destination: a redaction could not erase it there.
    let outcome = error.as_ref().map(|_| "test_failed".to_owned());
    let path = format!("destinations/{name}");
    if let Err(error) = state.store.record_action(user.to_actor(), ("DESTINATION", "TEST"), path, outcome).await {
        return show_store_error(&error);
    }
    match error {
        None => show_result("Destination test", PATH, &user, true, &format!("{name} accepted the test event.")),
        Some(error) => show_result("Destination test", PATH, &user, false, &error),
    }
}
