//! `/api/v1/rejections`: the rejected requests of `novex-ingest events rejected`.

use crate::console::ConsoleState;
use crate::console::api::paging::find_next;
use crate::console::api::problem::ApiResult;
use crate::console::api::query::{ApiQuery, clamp_limit, parse_time};
use crate::store::events::rejections::{RejectionFilter, RejectionRecord, list_rejections};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Filter and length of a list of rejections.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RejectionListQuery {
    /// Status of HTTP
    status: Option<u16>,
    /// Path; * matches anything
    path: Option<String>,
    /// This time or later (RFC 3339)
    since: Option<String>,
    /// Reason, such as `signature_mismatch`
    reason: Option<String>,
    /// Only rejections with a lower id: `next` of the page before
    before: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// Rejections, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RejectionList {
    rejections: Vec<RejectionRecord>,
    /// Value of `before` for the next page; null on the last one.
    next: Option<i64>,
}

/// Lists the newest rejected requests; the database keeps 1,000.
#[utoipa::path(get, path = "/api/v1/rejections", tag = "events", params(RejectionListQuery),
    responses((status = 200, body = RejectionList)))]
pub async fn send_rejections(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<RejectionListQuery>,
) -> ApiResult {
    let limit = clamp_limit(query.limit);
    let since = parse_time("since", query.since.as_ref())?;
    let filter = RejectionFilter {
        http_status: query.status,
        path: query.path,
        since,
        reason: query.reason,
        before: query.before,
    };
    let rejections = state.read(move |connection| list_rejections(connection, &filter, limit)).await?;
    let next = find_next(&rejections, limit, |(id, _)| *id);
    let rejections = rejections.into_iter().map(|(_, rejection)| rejection).collect();
    Ok(Json(RejectionList { rejections, next }).into_response())
}
