//! `/api/v1/stats`: the figures of `novex-ingest stats`.

use crate::console::ConsoleState;
use crate::console::api::problem::ApiResult;
use crate::store::events::stats::{StoreStats, read_stats};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use std::sync::Arc;

/// Sends counts, rates and sizes.
#[utoipa::path(get, path = "/api/v1/stats", tag = "events", responses((status = 200, body = StoreStats)))]
pub async fn send_stats(State(state): State<Arc<ConsoleState>>) -> ApiResult {
    let now = state.store.clock.now();
    Ok(Json(state.read(move |connection| read_stats(connection, now)).await?).into_response())
}
