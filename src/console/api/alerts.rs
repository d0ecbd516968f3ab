//! `/api/v1/alerts`: the alerts of `novex-ingest alerts list --all`.

use crate::console::ConsoleState;
use crate::console::api::problem::ApiResult;
use crate::console::api::query::{ApiQuery, clamp_limit};
use crate::store::audit::alerts::{Alert, AlertSelection, list_alerts};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Length of a list of alerts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertListQuery {
    /// Most alerts, the newest ones; at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// The newest alerts, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AlertList {
    alerts: Vec<Alert>,
}

/// Lists the newest alerts.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "audit", params(AlertListQuery),
    responses((status = 200, body = AlertList)))]
pub async fn send_alerts(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<AlertListQuery>,
) -> ApiResult {
    let limit = clamp_limit(query.limit);
    let alerts = state.read(move |connection| list_alerts(connection, AlertSelection::All, limit)).await?;
    Ok(Json(AlertList { alerts }).into_response())
}
