//! `/api/v1/destinations`: their states, and what `destinations pause`, `resume` and `test` do.

use crate::console::ConsoleState;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::ApiPath;
use crate::console::guard::ApiCaller;
use crate::delivery::destinations::{Destination, DestinationSettings, OutboundEvent, SendResult};
use crate::store::events::destinations::{
    DeliveryFailure, DestinationState, list_delivery_failures, list_destinations, read_destination_state,
};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;
use std::sync::Arc;

/// Most failed deliveries that the document of a destination has.
const FAILURES_MAX: u32 = 100;

/// The destinations of the configuration, and others that still have pending deliveries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DestinationList {
    destinations: Vec<DestinationState>,
}

/// A destination with its newest failed deliveries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DestinationDocument {
    #[serde(flatten)]
    state: DestinationState,
    /// Topics that it gets; null if it is not in the configuration.
    topics: Option<Vec<String>>,
    /// Its newest failed deliveries that nobody dismissed; at most 100.
    failures: Vec<DeliveryFailure>,
}

/// Result of a test.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DestinationTest {
    /// delivered, rejected (such a delivery fails at once) or unavailable (such a delivery is attempted again)
    #[schema(value_type = String, example = "delivered")]
    result: &'static str,
    /// Why it was not delivered.
    error: Option<String>,
}

/// Lists the destinations with their states.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "destinations",
    responses((status = 200, body = DestinationList)))]
pub async fn send_destinations(State(state): State<Arc<ConsoleState>>) -> ApiResult {
    let names: Vec<String> = state.config.destinations.iter().map(|settings| settings.name.clone()).collect();
    let now = state.store.clock.now();
    let destinations = state.read(move |connection| list_destinations(connection, &names, now)).await?;
    Ok(Json(DestinationList { destinations }).into_response())
}

/// Returns one destination.
#[utoipa::path(get, path = "/api/v1/destinations/{name}", tag = "destinations",
    params(("name" = String, Path, description = "Name")), responses((status = 200, body = DestinationDocument)))]
pub async fn send_destination(State(state): State<Arc<ConsoleState>>, ApiPath(name): ApiPath<String>) -> ApiResult {
    Ok(Json(read_destination(&state, name).await?).into_response())
}

/// Pauses a destination: its deliveries stay queued.
#[utoipa::path(post, path = "/api/v1/destinations/{name}/pause", tag = "destinations",
    params(("name" = String, Path, description = "Name")), responses((status = 200, body = DestinationDocument)))]
pub async fn pause_destination(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(name): ApiPath<String>,
) -> ApiResult {
    set_paused(&state, &caller, name, true).await
}

/// Resumes a paused destination, or tries one that is down at once.
#[utoipa::path(post, path = "/api/v1/destinations/{name}/resume", tag = "destinations",
    params(("name" = String, Path, description = "Name")), responses((status = 200, body = DestinationDocument)))]
pub async fn resume_destination(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(name): ApiPath<String>,
) -> ApiResult {
    set_paused(&state, &caller, name, false).await
}

/// Delivers a made-up event to a destination now.
#[utoipa::path(post, path = "/api/v1/destinations/{name}/test", tag = "destinations",
    params(("name" = String, Path, description = "Name")), responses((status = 200, body = DestinationTest)))]
pub async fn test_destination(
    State(state): State<Arc<ConsoleState>>,
    Extension(caller): Extension<ApiCaller>,
    ApiPath(name): ApiPath<String>,
) -> ApiResult {
    let settings = find_settings(&state, &name)?.clone();
    let destination = Destination::new(settings)
        .map_err(|error| ApiError::conflict(format!("destination `{name}` cannot be used: {error:#}")))?;
    let (result, error) = match destination.send(&OutboundEvent::test(), state.store.clock.now()).await {
        SendResult::Delivered => ("delivered", None),
        SendResult::Rejected { error } => ("rejected", Some(error)),
        SendResult::Unavailable { error, .. } | SendResult::RetryLater { error, .. } => ("unavailable", Some(error)),
    };
    let path = format!("destinations/{name}");
    state.store.record_action(caller.to_actor(), ("DESTINATION", "TEST"), path, error.clone()).await?;
    Ok(Json(DestinationTest { result, error }).into_response())
}

async fn set_paused(state: &Arc<ConsoleState>, caller: &ApiCaller, name: String, is_paused: bool) -> ApiResult {
    find_settings(state, &name)?;
    state.store.set_destination_paused(&name, is_paused, caller.to_actor()).await?;
    Ok((StatusCode::OK, Json(read_destination(state, name).await?)).into_response())
}

async fn read_destination(state: &Arc<ConsoleState>, name: String) -> Result<DestinationDocument, ApiError> {
    let now = state.store.clock.now();
    let settings = find_settings(state, &name);
    let topics = settings.as_ref().ok().map(|settings| settings.topics.clone());
    let read = state.read(move |connection| {
        let failures = list_delivery_failures(connection, &name, FAILURES_MAX)?;
        Ok((read_destination_state(connection, &name, now)?, failures))
    });
    let (destination, failures) = read.await?;
    let is_unknown = destination.waiting == 0 && destination.failed == 0 && destination.last_success_at.is_none();
    if is_unknown {
        settings?;
    }
    Ok(DestinationDocument { state: destination, topics, failures })
}

fn find_settings<'s>(state: &'s ConsoleState, name: &str) -> Result<&'s DestinationSettings, ApiError> {
    let found = state.config.destinations.iter().find(|settings| settings.name == name);
    found.ok_or_else(|| ApiError::not_found(format!("there is no destination {name} in the configuration")))
}
