//! `/privacy`: redactions and deletions that wait for a decision, and customers' requests for their data.

use crate::access::Role;
use crate::clock::{self, Timestamp};
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_input};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_status, build_time};
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::presentation::program::complete_commands;
use crate::queue::process;
use crate::store::leases::request_decisions::RequestDecision;
use crate::store::privacy::data_requests::{DataRequest, list_data_requests};
use crate::store::privacy::destructive_requests::{DestructiveRequest, RequestState, list_destructive_requests};
use crate::text::{format_count, parse_reason};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

const PATH: &str = "/privacy";
const DAY_SECONDS: u64 = 86_400;

/// Shows all requests.
pub async fn show_requests(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    let read = state.read(|connection| Ok((list_destructive_requests(connection)?, list_data_requests(connection)?)));
    let (destructive, data) = match read.await {
        Ok(lists) => lists,
        Err(error) => return show_store_error(&error),
    };
    let now = state.store.clock.now();
    let content = html! {
        h1 { "Privacy requests" }
        section {
            h2 { "Redactions, deletions and merges" }
            @if destructive.is_empty() { p { "None waits, and none was refused or stopped." } }
            @else { (build_destructive_table(&destructive, &user)) }
        }
        section {
            h2 { "Requests of customers for their data" }
            @if data.is_empty() { p { "No requests." } } @else { (build_data_table(&data, &user, now)) }
        }
    };
    build_page("Privacy requests", PATH, &user, &content).into_response()
}

fn build_destructive_table(requests: &[DestructiveRequest], user: &CurrentUser) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" class="number" { "Event" } th scope="col" { "Topic" } th scope="col" { "Shop" }
                        th scope="col" { "Arrived" } th scope="col" { "Deadline" } th scope="col" { "State" }
                        th scope="col" { "Decision" }
                    }
                }
                tbody {
                    @for request in requests {
                        tr {
                            th scope="row" class="number" { a href={ "/events/" (request.event_id) } { (request.event_id) } }
                            td { (request.topic) }
                            td { (request.shop_domain) }
                            td { (build_time(&request.received_at)) }
                            td { @if let Some(at) = &request.deadline_at { (build_time(at)) } }
                            td { (build_state(request)) }
                            td { (build_decision(request, user)) }
                        }
                    }
                }
            }
        }
    }
}

fn build_state(request: &DestructiveRequest) -> Markup {
    html! {
        (build_status(request.state.as_str()))
        @match request.state {
            RequestState::Waiting => { @if let Some(at) = &request.due_at { " until " (build_time(at)) } }
            RequestState::Refused => { ", needs a decision" }
            RequestState::Stopped | RequestState::Accepted => { " by " (request.decided_by.as_deref().unwrap_or_default()) }
            RequestState::Done => {}
        }
        @if let Some(reason) = &request.reason { p class="text" { (reason) } }
    }
}

fn build_decision(request: &DestructiveRequest, user: &CurrentUser) -> Markup {
    let is_open = request.state != RequestState::Done;
    html! {
        @if is_open && user.has_role(Role::Admin) {
            (build_action(user, &format!("{PATH}/{}/run", request.event_id), "Run now", &[]))
            @if request.state != RequestState::Stopped {
                form method="post" action={ (PATH) "/" (request.event_id) "/stop" } class="action" {
                    (build_csrf_field(user))
                    (build_input("reason", "Reason", "", ""))
                    button type="submit" { "Stop" }
                }
            }
        }
    }
}

fn build_data_table(requests: &[DataRequest], user: &CurrentUser, now: Timestamp) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" class="number" { "Id" } th scope="col" { "Shop" }
                        th scope="col" class="number" { "Customer" } th scope="col" { "Requested" }
                        th scope="col" { "Deadline" } th scope="col" { "State" } th scope="col" { "Answer" }
                    }
                }
                tbody {
                    @for request in requests {
                        tr {
                            th scope="row" class="number" { a href={ "/events/" (request.event_id) } { (request.id) } }
                            td { (request.shop_domain) }
                            td class="number" { @if let Some(customer) = request.customer_id { (customer) } }
                            td { (build_time(&request.requested_at)) }
                            td { (build_time(&request.due_at)) }
                            td { (build_data_state(request, now)) }
                            td {
                                @if request.done_at.is_none() {
                                    code { (complete_commands(&format!("novex-ingest privacy export {}", request.id))) }
                                    @if user.has_role(Role::Admin) {
                                        (build_action(user, &format!("{PATH}/requests/{}/done", request.id), "Answered", &[]))
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

fn build_data_state(request: &DataRequest, now: Timestamp) -> Markup {
    html! {
        @match (&request.done_at, clock::parse_timestamp(&request.due_at)) {
            (Some(at), _) => { "done " (build_time(at)) }
            (None, Ok(due)) if due < now => { span class="status failed" { "overdue" } }
            (None, Ok(due)) => {
                (format_count(clock::duration_between(now, due).as_secs() / DAY_SECONDS, "day", "days")) " left"
            }
            (None, Err(_)) => {}
        }
    }
}

/// The reason of a decision.
#[derive(Deserialize)]
pub struct StopForm {
    #[serde(default)]
    reason: String,
}

/// Stops a redaction that waits, or closes a refused one, as `privacy stop` does.
pub async fn stop_request(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(event): Path<i64>,
    Form(form): Form<StopForm>,
) -> Response {
    match parse_reason(&form.reason) {
        Ok(reason) => decide(&state, &user, event, RequestDecision::Stop { reason }).await,
        Err(error) => show_refusal(StatusCode::BAD_REQUEST, &format!("Nothing was done: {error}.")),
    }
}

/// Works a redaction or a refused deletion now, as `privacy run` does.
pub async fn run_request(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(event): Path<i64>,
) -> Response {
    let attempts = state.config.worker.max_attempts;
    decide(&state, &user, event, RequestDecision::Run { attempts }).await
}

async fn decide(state: &ConsoleState, user: &CurrentUser, event: i64, decision: RequestDecision) -> Response {
    let worker = process::identify_current_process().worker;
    match state.store.decide_destructive_request(event, decision, user.to_actor(), worker).await {
        Ok(result) => match result.describe_refusal(event) {
            None => redirect_to(PATH),
            Some(text) => {
                show_refusal(StatusCode::CONFLICT, &format!("Nothing was done: {}.", complete_commands(&text)))
            }
        },
        Err(error) => show_store_error(&error),
    }
}

/// Marks a customer's request as answered, as `privacy done` does.
pub async fn complete_request(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    match state.store.complete_data_request(id, user.to_actor()).await {
        Ok(true) => redirect_to(PATH),
        Ok(false) => show_refusal(StatusCode::NOT_FOUND, "There is no request with this id. Nothing was done."),
        Err(error) => show_store_error(&error),
    }
}
