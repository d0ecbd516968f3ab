//! `/api/v1/polls`: polls of EDI sources, and a poll of all of them now.

use crate::console::ConsoleState;
use crate::console::api::paging::find_next;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiQuery, clamp_limit};
use crate::console::guard::ApiCaller;
use crate::store::events::polls::{PollRecord, list_polls};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for a poll. The poll goes on without a waiting client.
const POLL_WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Filter and page of a list of polls.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PollListQuery {
    /// Name of the EDI source
    source: Option<String>,
    /// Only polls with a lower id: `next` of the page before
    before: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// A page of polls, the newest first. Stored polls have no list of `failures`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PollPage {
    polls: Vec<PollRecord>,
    /// Value of `before` for the next page; null on the last one.
    next: Option<i64>,
}

/// The result of a poll of all sources.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PollResult {
    /// polled, or polling if it takes more than a minute
    #[schema(value_type = String, example = "polled")]
    status: &'static str,
    /// One record for each source; empty while the poll runs.
    polls: Vec<PollRecord>,
}

/// Lists polls, the newest first.
#[utoipa::path(get, path = "/api/v1/polls", tag = "edi", params(PollListQuery),
    responses((status = 200, body = PollPage)))]
pub async fn send_polls(State(state): State<Arc<ConsoleState>>, ApiQuery(query): ApiQuery<PollListQuery>) -> ApiResult {
    let (before, limit) = (query.before, clamp_limit(query.limit));
    let read = state.read(move |connection| list_polls(connection, query.source.as_deref(), before, limit));
    let polls = read.await?;
    let next = find_next(&polls, limit, |poll| poll.id);
    Ok(Json(PollPage { polls, next }).into_response())
}

/// Polls all EDI sources now, and waits for the result for up to a minute.
#[utoipa::path(post, path = "/api/v1/polls", tag = "edi",
    responses((status = 200, body = PollResult), (status = 202, body = PollResult, description = "The poll still runs")))]
pub async fn start_poll(State(state): State<Arc<ConsoleState>>, Extension(caller): Extension<ApiCaller>) -> ApiResult {
    let Some(poll_requests) = &state.server.poll_requests else {
        return Err(ApiError::conflict("no EDI source is configured: add [[sps.sources]] to the configuration"));
    };
    state.store.record_action(caller.to_actor(), ("EDI-SOURCE", "POLL"), "polls".to_owned(), None).await?;
    let (reply, polled) = oneshot::channel();
    let unavailable = |text: &str| ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    poll_requests.try_send(reply).map_err(|_full| unavailable("polls are running already: try again later"))?;
    match timeout(POLL_WAIT_TIMEOUT, polled).await {
        Ok(Ok(polls)) => Ok(Json(PollResult { status: "polled", polls }).into_response()),
        Ok(Err(_stopping)) => Err(unavailable("the daemon is stopping")),
        Err(_late) => {
            let result = PollResult { status: "polling", polls: Vec::new() };
            Ok((StatusCode::ACCEPTED, Json(result)).into_response())
        }
    }
}
