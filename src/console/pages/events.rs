//! `/events`: the list of events with its filter, and the search.

use crate::console::ConsoleState;
use crate::console::components::{build_next_link, build_select};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_status, build_time};
use crate::console::pages::show_store_error;
use crate::event::Source;
use crate::store::events::records::{EventFilter, EventRecord, EventStatus, list_events};
use crate::store::events::search::search_events;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: u32 = 50;

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct EventsQuery {
    #[serde(default)]
    status: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    topic: String,
    /// Order number, customer, tracking code, SKU, PO number.
    #[serde(default)]
    q: String,
    /// Only events with a lower id: the last one of the page before.
    before: Option<i64>,
}

impl EventsQuery {
    fn to_filter(&self) -> EventFilter {
        EventFilter {
            status: EventStatus::from_str(&self.status, true).ok(),
            source: self.source.parse().ok(),
            topic: Some(self.topic.trim().to_owned()).filter(|topic| !topic.is_empty()),
            ..EventFilter::default()
        }
    }

    /// Returns the fields that the links of the page keep.
    fn list_fields(&self) -> [(&'static str, &str); 3] {
        [("status", &self.status), ("source", &self.source), ("topic", &self.topic)]
    }
}

/// Shows a page of events, or what a search finds.
pub async fn show_events(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<EventsQuery>,
) -> Response {
    let (filter, before, text) = (query.to_filter(), query.before, query.q.trim().to_owned());
    let read = state.read(move |connection| {
        if text.is_empty() {
            return list_events(connection, &filter, before, PAGE_ROWS);
        }
        let found = search_events(connection, &text, PAGE_ROWS)?;
        Ok(found.hits.into_iter().map(|hit| hit.event).collect())
    });
    let events = match read.await {
        Ok(events) => events,
        Err(error) => return show_store_error(&error),
    };
    let is_full = query.q.trim().is_empty() && events.len() == PAGE_ROWS as usize;
    let content = html! {
        h1 { "Events" }
        (build_filter(&query))
        (build_event_table(&events))
        @if events.is_empty() { p { "No events match." } }
        @if let Some(last) = events.last().filter(|_| is_full) {
            (build_next_link("Older events", "/events", &query.list_fields(), &last.identity.id.to_string()))
        }
    };
    build_page("Events", "/events", &user, &content).into_response()
}

fn build_filter(query: &EventsQuery) -> Markup {
    let status_values = EventStatus::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let statuses: Vec<String> = status_values.map(|value| value.get_name().to_owned()).collect();
    let sources: Vec<String> = Source::ALL.iter().map(ToString::to_string).collect();
    html! {
        form method="get" action="/events" class="filter" role="search" {
            label { "Search " input type="search" name="q" value=(query.q) placeholder="order, customer, tracking code, SKU, PO"; }
            (build_select("status", "Status", &query.status, &statuses))
            (build_select("source", "Source", &query.source, &sources))
            label { "Topic " input name="topic" value=(query.topic) placeholder="orders/*"; }
            button type="submit" { "Show" }
        }
    }
}

fn build_event_table(events: &[EventRecord]) -> Markup {
    html! {
        div class="scroll" {
            table {
                thead { tr { th class="number" { "Id" } th { "Received" } th { "Status" } th { "Source" } th { "Topic" } th { "Error or note" } } }
                tbody {
                    @for event in events {
                        tr {
                            th scope="row" class="number" { a href={ "/events/" (event.identity.id) } { (event.identity.id) } }
                            td { (build_time(&event.received_at)) }
                            td { (build_status(&event.status_text())) }
                            td { (event.identity.key.source.as_str()) }
                            td { (event.identity.key.topic) }
                            td class="text" { (event.last_error.as_deref().or(event.note.as_deref()).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}
