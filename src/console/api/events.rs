//! `/api/v1/events` and `/api/v1/changes`: events with their trail, their body and their rows.

use crate::console::ConsoleState;
use crate::console::api::document::{EventRowsDocument, ReceivedBytes};
use crate::console::api::paging::find_next;
use crate::console::api::problem::{ApiError, ApiResult};
use crate::console::api::query::{ApiPath, ApiQuery, clamp_limit, parse_time};
use crate::delivery::rows_payload::format_rows_payload;
use crate::event::Source;
use crate::store::erp::event_rows::{EventRowsResult, read_event_rows};
use crate::store::events::destinations::{DeliveryRecord, list_event_deliveries};
use crate::store::events::history::{HistoryEntry, TailEntry, list_history, list_history_after};
use crate::store::events::records::{EventFilter, EventRecord, EventStatus, find_event, list_events, read_payload};
use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::IntoResponse;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most bytes of the rows of one event.
const ROWS_BYTES_MAX: usize = 8 << 20;

/// Filter and page of a list of events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventListQuery {
    /// received, processing, completed, failed or dismissed
    status: Option<String>,
    /// shopify, easypost, keycloak, sps or local
    source: Option<String>,
    /// Topic; * matches anything: `orders/*`
    topic: Option<String>,
    /// Received at this time or later (RFC 3339)
    since: Option<String>,
    /// Received before this time (RFC 3339)
    until: Option<String>,
    /// A part of the last error, in any case; it is fast together with a status
    error: Option<String>,
    /// Only events with a lower id: `next` of the page before
    before: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

impl EventListQuery {
    /// Returns the filter.
    ///
    /// # Errors
    /// The problem that names the values which are allowed.
    fn to_filter(&self) -> Result<EventFilter, ApiError> {
        let parse_status = |name: &String| {
            EventStatus::from_str(name, false)
                .map_err(|_| ApiError::bad_request("status is received, processing, completed, failed or dismissed"))
        };
        let parse_source = |name: &String| {
            let names = Source::ALL.map(Source::as_str).join(", ");
            name.parse::<Source>().map_err(|_| ApiError::bad_request(format!("source is one of {names}")))
        };
        Ok(EventFilter {
            status: self.status.as_ref().map(parse_status).transpose()?,
            source: self.source.as_ref().map(parse_source).transpose()?,
            topic: self.topic.clone(),
            since: parse_time("since", self.since.as_ref())?,
            until: parse_time("until", self.until.as_ref())?,
            error: self.error.clone(),
        })
    }
}

/// A page of events, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventListPage {
    events: Vec<EventRecord>,
    /// Value of `before` for the next page; null on the last one.
    next: Option<i64>,
}

/// An event with its status changes and its deliveries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventDocument {
    #[serde(flatten)]
    event: EventRecord,
    /// Status changes, the oldest first.
    history: Vec<HistoryEntry>,
    deliveries: Vec<DeliveryRecord>,
}

/// A page of status changes, the oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ChangePage {
    changes: Vec<TailEntry>,
    /// Value of `after` for the next request. It is always there, so that a program can ask again later.
    next: i64,
}

/// Begin and length of a page of changes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangeListQuery {
    /// Only changes with a higher id: `next` of the request before [default: 0, the oldest]
    after: Option<i64>,
    /// Rows of the page, at most 1,000 [default: 100]
    limit: Option<u32>,
}

/// Lists events, the newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventListQuery),
    responses((status = 200, body = EventListPage)))]
pub async fn send_events(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<EventListQuery>,
) -> ApiResult {
    let (filter, limit, before) = (query.to_filter()?, clamp_limit(query.limit), query.before);
    let events = state.read(move |connection| list_events(connection, &filter, before, limit)).await?;
    let next = find_next(&events, limit, |event| event.identity.id);
    Ok(Json(EventListPage { events, next }).into_response())
}

/// Lists the status changes of all events, the oldest first: a program that keeps `next` misses none.
#[utoipa::path(get, path = "/api/v1/changes", tag = "events", params(ChangeListQuery),
    responses((status = 200, body = ChangePage)))]
pub async fn send_changes(
    State(state): State<Arc<ConsoleState>>,
    ApiQuery(query): ApiQuery<ChangeListQuery>,
) -> ApiResult {
    let (after, limit) = (query.after.unwrap_or(0), clamp_limit(query.limit));
    let changes = state.read(move |connection| list_history_after(connection, after, limit)).await?;
    let next = changes.last().map_or(after, |change| change.id);
    Ok(Json(ChangePage { changes, next }).into_response())
}

/// Returns one event with its status changes and deliveries.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = i64, Path, description = "Id")),
    responses((status = 200, body = EventDocument)))]
pub async fn send_event(State(state): State<Arc<ConsoleState>>, ApiPath(id): ApiPath<i64>) -> ApiResult {
    let read = state.read(move |connection| {
        let Some(event) = find_event(connection, id)? else { return Ok(None) };
        let (history, deliveries) = (list_history(connection, id)?, list_event_deliveries(connection, id)?);
        Ok(Some(EventDocument { event, history, deliveries }))
    });
    let document = read.await?.ok_or_else(|| no_event(id))?;
    Ok(Json(document).into_response())
}

/// Returns the body of an event, byte for byte as it was received. It is personal data.
#[utoipa::path(get, path = "/api/v1/events/{id}/body", tag = "events", params(("id" = i64, Path, description = "Id")),
    responses((status = 200, body = inline(ReceivedBytes), content_type = "application/octet-stream")))]
pub async fn send_event_body(State(state): State<Arc<ConsoleState>>, ApiPath(id): ApiPath<i64>) -> ApiResult {
    let Some(payload) = state.read(move |connection| read_payload(connection, id)).await? else {
        let text = format!("there is no body of event {id}: the event does not exist, or its body was deleted");
        return Err(ApiError::not_found(text));
    };
    // A browser that opens the address must not show the bytes as a page of the console.
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
    ];
    Ok((headers, payload.body).into_response())
}

/// Returns the current ERP rows of an event, as a destination with `payload = "rows"` gets them.
#[utoipa::path(get, path = "/api/v1/events/{id}/rows", tag = "events", params(("id" = i64, Path, description = "Id")),
    responses((status = 200, body = EventRowsDocument)))]
pub async fn send_event_rows(State(state): State<Arc<ConsoleState>>, ApiPath(id): ApiPath<i64>) -> ApiResult {
    let read_at = crate::clock::format_timestamp(state.store.clock.now());
    let read = state.read(move |connection| {
        let transaction = connection.unchecked_transaction()?;
        read_event_rows(&transaction, id, &read_at, ROWS_BYTES_MAX)
    });
    match read.await? {
        EventRowsResult::Rows(rows) => {
            let json = HeaderValue::from_static("application/json");
            Ok(([(CONTENT_TYPE, json)], format_rows_payload(&rows, None)).into_response())
        }
        EventRowsResult::TooLarge => Err(ApiError::Refused(
            axum::http::StatusCode::PAYLOAD_TOO_LARGE,
            format!("the rows have more than {} MiB: read them from their own addresses", ROWS_BYTES_MAX >> 20),
        )),
        EventRowsResult::NoEvent => Err(no_event(id)),
    }
}

/// Returns the error of an event that does not exist.
pub(super) fn no_event(id: i64) -> ApiError {
    ApiError::not_found(format!("there is no event {id}"))
}
