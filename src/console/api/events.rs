//! `/api/v1/events`: the events, the newest first, and single events with their trail.

use crate::console::ConsoleState;
use crate::console::api::problem::{build_problem, build_store_problem};
use crate::event::Source;
use crate::store::events::destinations::list_event_deliveries;
use crate::store::events::history::list_history;
use crate::store::events::records::{EventFilter, EventStatus, find_event, list_events};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Events of a page, unless the request names another number.
const PAGE_ROWS: u32 = 100;
/// Most events of a page.
const PAGE_ROWS_MAX: u32 = 1_000;

/// Filter and page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventListQuery {
    status: Option<String>,
    source: Option<String>,
    /// A glob: `orders/*`.
    topic: Option<String>,
    /// Only events with a lower id: `next` of the page before.
    before: Option<i64>,
    limit: Option<u32>,
}

impl EventListQuery {
    /// Returns the filter.
    ///
    /// # Errors
    /// The message that names the values which are allowed.
    fn to_filter(&self) -> Result<EventFilter, String> {
        let parse_status = |name: &String| {
            EventStatus::from_str(name, false)
                .map_err(|_| "status is received, processing, completed, failed or dismissed".to_owned())
        };
        let parse_source = |name: &String| {
            name.parse::<Source>().map_err(|_| "source is shopify, easypost, keycloak or sps".to_owned())
        };
        Ok(EventFilter {
            status: self.status.as_ref().map(parse_status).transpose()?,
            source: self.source.as_ref().map(parse_source).transpose()?,
            topic: self.topic.clone(),
            ..EventFilter::default()
        })
    }
}

/// Sends a page of events. `next` is null on the last page.
pub async fn send_events(
    State(state): State<Arc<ConsoleState>>,
    query: Result<Query<EventListQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return build_problem(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let filter = match query.to_filter() {
        Ok(filter) => filter,
        Err(detail) => return build_problem(StatusCode::BAD_REQUEST, &detail),
    };
    let limit = query.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX);
    match state.read(move |connection| list_events(connection, &filter, query.before, limit)).await {
        Ok(events) => {
            let is_full = events.len() == limit as usize;
            let next = events.last().filter(|_| is_full).map(|event| event.identity.id);
            Json(json!({ "events": events, "next": next })).into_response()
        }
        Err(error) => build_store_problem(&error),
    }
}

/// Sends one event with its status changes and deliveries.
pub async fn send_event(State(state): State<Arc<ConsoleState>>, id: Result<Path<i64>, PathRejection>) -> Response {
    let Ok(Path(id)) = id else { return build_problem(StatusCode::NOT_FOUND, "the id of an event is a number") };
    let read = state.read(move |connection| {
        let Some(event) = find_event(connection, id)? else { return Ok(None) };
        Ok(Some((event, list_history(connection, id)?, list_event_deliveries(connection, id)?)))
    });
    match read.await {
        Ok(Some((event, history, deliveries))) => {
            let mut document = json!(event);
            document["history"] = json!(history);
            document["deliveries"] = json!(deliveries);
            Json(document).into_response()
        }
        Ok(None) => build_problem(StatusCode::NOT_FOUND, &format!("there is no event {id}")),
        Err(error) => build_store_problem(&error),
    }
}
