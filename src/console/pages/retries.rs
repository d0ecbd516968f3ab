//! `/retries`: retrying all events that match a filter: the question, the progress and the button that stops it.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::bulk_retry::{interrupt_ended_retries, run_bulk_retry};
use crate::console::components::build_action;
use crate::console::events_query::EventsQuery;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_refreshed_page, build_status, build_time};
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::queue::process::{identify_current_process, is_owner_dead};
use crate::store::StoreError;
use crate::store::events::records::{EventFilter, EventStatus};
use crate::store::events::scan::{BoundedCount, SCAN_EVENTS_MAX, ScanLimits, count_matching_events};
use crate::store::leases::bulk_retries::{BulkRetry, BulkRetryState, find_bulk_retry, list_running_retries};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use std::sync::Arc;

/// Events up to which a page counts.
const COUNT_LIMITS: ScanLimits = ScanLimits { rows: 10_000, scanned: SCAN_EVENTS_MAX };
/// Interval at which the page of a running retry is opened again, in seconds.
const REFRESH_SECONDS: u32 = 2;

/// Returns the filter of a retry. Without a status, failed events are retried, as `events retry` does.
fn read_retry_filter(mut query: EventsQuery) -> Result<(EventsQuery, EventFilter), String> {
    if query.status.trim().is_empty() {
        "failed".clone_into(&mut query.status);
    }
    let filter = query.to_filter()?;
    if filter.status == Some(EventStatus::Processing) {
        return Err("Events in processing cannot be retried. If their worker dies, another one recovers them.".into());
    }
    Ok((query.with_fixed_times(&filter), filter))
}

/// Asks whether all events that match a filter shall be retried.
pub async fn confirm_retry(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<EventsQuery>,
) -> Response {
    let (query, filter) = match read_retry_filter(query) {
        Ok(read) => read,
        Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &text),
    };
    let read = state.read(move |connection| {
        Ok((count_matching_events(connection, &filter, None, COUNT_LIMITS)?, list_running_retries(connection)?))
    });
    let (count, running) = match read.await {
        Ok(read) => read,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Retry all events that match" }
        p { (describe_matches(count)) ": " strong { (query.describe_filter()) } "." }
        p {
            "Each one gets new attempts, and its failed deliveries are sent again. An event that does not match any more \
             when its turn comes, stays as it is."
        }
        @for retry in &running { p class="notice" { a href={ "/retries/" (retry.id) } { "Retry " (retry.id) } " runs now." } }
        @if count.events > 0 || !count.is_exact { (build_action(&user, "/retries", "Retry them", &query.list_fields())) }
        p { a href={ "/events?" (query.to_query()) } { "Back to these events" } }
    };
    build_page("Retry", "/events", &user, &content).into_response()
}

fn describe_matches(count: BoundedCount) -> String {
    match (count.events, count.is_exact) {
        (1, true) => "1 event matches".to_owned(),
        _ => format!("{count} events match"),
    }
}

/// Starts the retry in the background.
pub async fn start_retry(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(query): Form<EventsQuery>,
) -> Response {
    let (query, filter) = match read_retry_filter(query) {
        Ok(read) => read,
        Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &text),
    };
    let Ok(place) = state.bulk_retry_place.clone().try_acquire_owned() else {
        let text = "Another retry of many events runs. Wait for its end or stop it; nothing was done.";
        return show_refusal(StatusCode::CONFLICT, text);
    };
    match state.store.start_bulk_retry(user.to_actor(), query.to_query(), identify_current_process()).await {
        Ok(retry) => {
            let path = format!("/retries/{}", retry.id);
            tokio::spawn(run_bulk_retry(state, retry, filter, place));
            redirect_to(&path)
        }
        Err(error) => show_store_error(&error),
    }
}

/// Stops a retry after its current batch.
pub async fn stop_retry(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    match state.store.finish_bulk_retry(id, BulkRetryState::Stopped, None, Some(user.to_actor())).await {
        Ok(_) => redirect_to(&format!("/retries/{id}")),
        Err(error) => show_store_error(&error),
    }
}

/// Shows how far a retry is, or how it ended.
pub async fn show_retry(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    let mut read = read_retry(&state, id).await;
    if let Ok(Some((retry, _))) = &read
        && retry.state == BulkRetryState::Running
        && is_owner_dead(&retry.owner, &identify_current_process())
    {
        interrupt_ended_retries(state.clone()).await;
        read = read_retry(&state, id).await;
    }
    let (retry, left) = match read {
        Ok(Some(found)) => found,
        Ok(None) => return show_refusal(StatusCode::NOT_FOUND, "There is no retry with this number."),
        Err(error) => return show_store_error(&error),
    };
    let title = format!("Retry {id}");
    let content = build_retry(&retry, left, &user);
    if retry.state == BulkRetryState::Running {
        return build_refreshed_page(&title, "/events", &user, REFRESH_SECONDS, &content).into_response();
    }
    build_page(&title, "/events", &user, &content).into_response()
}

/// Reads a retry and the number of events that are left.
async fn read_retry(
    state: &Arc<ConsoleState>,
    id: i64,
) -> Result<Option<(BulkRetry, Option<BoundedCount>)>, StoreError> {
    let read = state.read(move |connection| {
        let Some(retry) = find_bulk_retry(connection, id)? else { return Ok(None) };
        let filter = EventsQuery::parse_query(&retry.filter).and_then(|query| query.to_filter().ok());
        let left = match filter.filter(|_| retry.state != BulkRetryState::Completed) {
            Some(filter) => Some(count_matching_events(connection, &filter, Some(retry.position), COUNT_LIMITS)?),
            None => None,
        };
        Ok(Some((retry, left)))
    });
    read.await
}

fn build_retry(retry: &BulkRetry, left: Option<BoundedCount>, user: &CurrentUser) -> Markup {
    let filter = EventsQuery::parse_query(&retry.filter).unwrap_or_default();
    let is_running = retry.state == BulkRetryState::Running;
    html! {
        h1 { "Retry " (retry.id) " " (build_status(retry.state.as_str())) }
        p { "All events that match: " a href={ "/events?" (filter.to_query()) } { (filter.describe_filter()) } }
        dl class="counts" {
            div { dt { "Retried" } dd { (retry.retried) } }
            @if let Some(left) = left { div { dt { "Left" } dd { (left) } } }
            @if retry.skipped > 0 { div { dt { "Cannot be retried" } dd { (retry.skipped) } } }
        }
        dl class="fields" {
            dt { "Started" } dd { (build_time(&retry.started_at)) " by " (retry.started_by.name) }
            @if let Some(at) = &retry.finished_at { dt { "Ended" } dd { (build_time(at)) } }
        }
        @if let Some(error) = &retry.error {
            p class="notice failed" {
                "It ended before all events were retried: " (error) ". The retried events are worked as usual; start it \
                 again for the others."
            }
        }
        @if is_running && user.has_role(Role::Operator) {
            (build_action(user, &format!("/retries/{}/stop", retry.id), "Stop", &[]))
        }
        @if !is_running && left.is_some_and(|left| left.events > 0 || !left.is_exact) && user.has_role(Role::Operator) {
            p { a href={ "/retries/new?" (filter.to_query()) } { "Retry the others" } }
        }
    }
}
