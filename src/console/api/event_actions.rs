//! `/api/v1/events/{id}/retry` and `/dismiss`: what `events retry` and `events dismiss` do.

use crate::console::ConsoleState;
use crate::console::api::events::no_event;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiBody, ApiPath};
use crate::console::guard::ApiCaller;
use crate::queue::process;
use crate::store::events::records::find_event;
use crate::store::leases::dismissals::Dismissal;
use crate::text::parse_reason;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An event that is due again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetryResult {
    event_id: i64,
    #[schema(value_type = String)]
    previous_status: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
}

/// Why an event needs no retry.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DismissRequest {
    /// Reason, which stays with the event; at most 1,000 characters
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// Only the failed delivery to this destination, and not the event
    destination: Option<String>,
}

/// What was dismissed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DismissResult {
    event_id: i64,
    event_dismissed: bool,
    /// Destinations whose failed deliveries were dismissed.
    deliveries_dismissed: Vec<String>,
    edi_findings_dismissed: bool,
}

/// Gives an event new attempts.
#[utoipa::path(post, path = "/api/v1/events/{id}/retry", tag = "events",
    params(("id" = i64, Path, description = "Id")), responses((status = 200, body = RetryResult)))]
pub async fn retry_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(id): ApiPath<i64>,
) -> ApiResult {
    let (attempts, worker) = (state.config.worker.max_attempts, process::identify_current_process().worker);
    let retried = state.store.retry_events(vec![id], attempts, worker, caller.to_actor()).await?;
    let Some(event) = retried.first() else {
        let text = "the event was not retried: it is in processing, has no body any more, or needs a decision \
                    (`novex-ingest privacy list`)";
        return Err(explain_missing_event(&state, id, text).await?);
    };
    let result = RetryResult { event_id: id, previous_status: event.previous_status, status: "received" };
    Ok(Json(result).into_response())
}

/// Dismisses a failed event and its failed deliveries.
#[utoipa::path(post, path = "/api/v1/events/{id}/dismiss", tag = "events",
    params(("id" = i64, Path, description = "Id")), request_body = DismissRequest,
    responses((status = 200, body = DismissResult)))]
pub async fn dismiss_event(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(id): ApiPath<i64>,
    ApiBody(request): ApiBody<DismissRequest>,
) -> ApiResult {
    let reason = parse_reason(&request.reason).map_err(|text| ApiError::bad_request(format!("reason: {text}")))?;
    let dismissal = Dismissal { destination: request.destination, reason, by: caller.to_actor().name };
    let dismissed = state.store.dismiss_failures(vec![id], dismissal).await?;
    let Some(event) = dismissed.into_iter().next() else {
        let text = "nothing was dismissed: the event has not failed and needs no person, or is dismissed already";
        return Err(explain_missing_event(&state, id, text).await?);
    };
    let result = DismissResult {
        event_id: event.event_id,
        event_dismissed: event.is_event_dismissed,
        deliveries_dismissed: event.destinations,
        edi_findings_dismissed: event.are_findings_dismissed,
    };
    Ok(Json(result).into_response())
}

/// Returns the error of a change that did nothing: the event does not exist, or `conflict` explains it.
async fn explain_missing_event(state: &Arc<ConsoleState>, id: i64, conflict: &str) -> Result<ApiError, ApiError> {
    let event = state.read(move |connection| find_event(connection, id)).await?;
    Ok(if event.is_none() { no_event(id) } else { ApiError::conflict(conflict) })
}
