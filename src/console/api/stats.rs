//! `/api/v1/stats`: the figures of `novex-ingest stats`.

use crate::console::ConsoleState;
use crate::console::api::problem::build_store_problem;
use crate::store::events::stats::read_stats;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Sends counts, rates and sizes.
pub async fn send_stats(State(state): State<Arc<ConsoleState>>) -> Response {
    let now = state.store.clock.now();
    match state.read(move |connection| read_stats(connection, now)).await {
        Ok(figures) => Json(figures).into_response(),
        Err(error) => build_store_problem(&error),
    }
}
