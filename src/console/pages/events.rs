//! `/events`: the list of events with its filter, and the search.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::components::{build_next_link, build_select};
use crate::console::events_query::EventsQuery;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_status, build_time};
use crate::console::pages::failure_groups::show_failure_groups;
use crate::console::pages::{show_refusal, show_store_error};
use crate::event::Source;
use crate::store::StoreError;
use crate::store::events::history::read_last_history_id;
use crate::store::events::records::{EventFilter, EventRecord, EventStatus};
use crate::store::events::scan::{EventMatcher, EventScan, SCAN_EVENTS_MAX, ScanLimits, scan_events};
use crate::store::events::search::search_events;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use maud::{Markup, html};
use rusqlite::Connection;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: usize = 50;
/// Most events that a search finds before the filter.
const FOUND_EVENTS_MAX: u32 = 200;

/// What a page of the list shows.
struct EventList {
    scan: EventScan,
    /// A search does not page: it says what it left out.
    search_note: Option<&'static str>,
    /// The last status change before the list was read.
    last_change: i64,
}

/// Shows a page of events, what a search finds, or the groups of failed events.
pub async fn show_events(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<EventsQuery>,
) -> Response {
    let filter = match query.to_filter() {
        Ok(filter) => filter,
        Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &text),
    };
    if query.group == "error" {
        return show_failure_groups(&state, &user, &query, filter).await;
    }
    let (before, text) = (query.before, query.q.trim().to_owned());
    let read = state.read(move |connection| {
        let last_change = read_last_history_id(connection)?;
        if text.is_empty() {
            let limits = ScanLimits { rows: PAGE_ROWS, scanned: SCAN_EVENTS_MAX };
            let scan = scan_events(connection, &filter, before, limits)?;
            return Ok(EventList { scan, search_note: None, last_change });
        }
        search_list(connection, &filter, &text, last_change)
    });
    let list = match read.await {
        Ok(list) => list,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Events" }
        (build_retry_notice(&query))
        (build_filter(&query))
        (build_view_links(&query, &user))
        (build_event_form(&list, &query, &user))
        (build_end(&list, &query))
    };
    build_page("Events", "/events", &user, &content).into_response()
}

fn search_list(
    connection: &Connection,
    filter: &EventFilter,
    text: &str,
    last_change: i64,
) -> Result<EventList, StoreError> {
    let found = search_events(connection, text, FOUND_EVENTS_MAX)?;
    let matcher = EventMatcher::new(filter);
    let mut events: Vec<EventRecord> = found.hits.into_iter().map(|hit| hit.event).collect();
    events.retain(|event| matcher.matches_event(event));
    let is_cut = found.has_more || events.len() > PAGE_ROWS;
    events.truncate(PAGE_ROWS);
    let search_note = match (is_cut, found.skipped_old_rows) {
        (true, _) => Some("More events match: write more of the name or number."),
        (_, true) => {
            Some("Parts of words were searched among the newest rows only; whole names and numbers among all.")
        }
        _ => None,
    };
    Ok(EventList { scan: EventScan { events, next: None }, search_note, last_change })
}

fn build_retry_notice(query: &EventsQuery) -> Markup {
    html! {
        @if let (Some(chosen), Some(retried)) = (query.chosen, query.retried) {
            p class="notice" role="status" {
                (retried) " of " (chosen) " chosen events are retried."
                @if retried < chosen {
                    " The others are in processing, have no body any more, or need a decision about a privacy request."
                }
            }
        }
    }
}

/// Returns the form of the filter. `group` stays as it is.
pub fn build_filter(query: &EventsQuery) -> Markup {
    let status_values = EventStatus::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let statuses: Vec<String> = status_values.map(|value| value.get_name().to_owned()).collect();
    let sources: Vec<String> = Source::ALL.iter().map(ToString::to_string).collect();
    let is_grouped = !query.group.is_empty();
    html! {
        form method="get" action="/events" class="filter" role="search" {
            @if is_grouped {
                input type="hidden" name="group" value=(query.group);
            } @else {
                label { "Search " input type="search" name="q" value=(query.q) placeholder="order, customer, tracking code, SKU, PO"; }
                (build_select("status", "Status", &query.status, &statuses))
            }
            (build_select("source", "Source", &query.source, &sources))
            label { "Topic " input name="topic" value=(query.topic) placeholder="orders/*"; }
            label { "Error " input name="error" value=(query.error) placeholder="no line *"; }
            label { "Since " input name="since" value=(query.since) placeholder="2h, yesterday, 2026-11-23 (UTC)"; }
            label { "Until " input name="until" value=(query.until) placeholder="2026-11-24 08:00 (UTC)"; }
            button type="submit" { "Show" }
        }
    }
}

fn build_view_links(query: &EventsQuery, user: &CurrentUser) -> Markup {
    let grouped = EventsQuery { status: String::new(), ..query.clone() }.to_query();
    html! {
        p {
            a href={ "/events?group=error&" (grouped) } { "Failed events by error" }
            @if user.has_role(Role::Operator) && query.q.trim().is_empty() {
                " · " a href={ "/retries/new?" (query.to_query()) } { "Retry all that match" }
            }
        }
    }
}

/// Returns the list as a form: an operator chooses rows and retries them.
fn build_event_form(list: &EventList, query: &EventsQuery, user: &CurrentUser) -> Markup {
    let is_operator = user.has_role(Role::Operator);
    let is_first = query.before.is_none() && query.q.trim().is_empty();
    let stream = is_first.then(|| format!("/events/stream?{}&after={}", query.to_query(), list.last_change));
    html! {
        p class="live" role="status" {}
        form method="post" action="/events/retry" {
            (build_csrf_field(user))
            @for (name, value) in query.list_fields() { input type="hidden" name=(name) value=(value); }
            div class="scroll" tabindex="0" {
                table data-stream=[stream] {
                    thead {
                        tr {
                            @if is_operator { th scope="col" { "Retry" } }
                            th scope="col" class="number" { "Id" }
                            th scope="col" { "Received" } th scope="col" { "Status" } th scope="col" { "Source" }
                            th scope="col" { "Topic" } th scope="col" { "Error or note" }
                        }
                    }
                    tbody { @for event in &list.scan.events { (build_event_row(event, user)) } }
                }
            }
            @if is_operator && !list.scan.events.is_empty() { p { button type="submit" { "Retry the chosen events" } } }
        }
    }
}

/// Returns the row of an event. The stream of live rows has the same row.
#[must_use]
pub fn build_event_row(event: &EventRecord, user: &CurrentUser) -> Markup {
    let id = event.identity.id;
    html! {
        tr id={ "event-" (id) } {
            @if user.has_role(Role::Operator) {
                td { input type="checkbox" name="id" value=(id) aria-label={ "Event " (id) } disabled[event.status == "processing"]; }
            }
            th scope="row" class="number" { a href={ "/events/" (id) } { (id) } }
            td { (build_time(&event.received_at)) }
            td { (build_status(&event.status_text())) }
            td { (event.identity.key.source.as_str()) }
            td { (event.identity.key.topic) }
            td class="text" { (event.last_error.as_deref().or(event.note.as_deref()).unwrap_or_default()) }
        }
    }
}

/// Returns what follows the rows: the next page, or why there is none.
fn build_end(list: &EventList, query: &EventsQuery) -> Markup {
    let is_full = list.scan.events.len() == PAGE_ROWS;
    html! {
        @if let Some(note) = list.search_note { p { (note) } }
        @match list.scan.next {
            Some(next) if is_full => (build_next_link("Older events", "/events", &query.list_fields(), &next.to_string())),
            Some(next) => {
                p { "Few events match: the search stopped before event " (next) "." }
                (build_next_link("Search older events", "/events", &query.list_fields(), &next.to_string()))
            }
            None if list.scan.events.is_empty() => p { "No events match." },
            None => {}
        }
    }
}
