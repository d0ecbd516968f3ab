//! `/events?group=error`: failed events, grouped by their error.

use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::events_query::EventsQuery;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_time};
use crate::console::pages::events::build_filter;
use crate::console::pages::show_store_error;
use crate::store::events::failure_groups::{FailureGroup, FailureGroups, GROUPED_EVENTS_MAX, group_failures};
use crate::store::events::records::EventFilter;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// Shows the groups of the failed events that match.
pub async fn show_failure_groups(
    state: &Arc<ConsoleState>,
    user: &CurrentUser,
    query: &EventsQuery,
    filter: EventFilter,
) -> Response {
    let found = match state.read(move |connection| group_failures(connection, &filter)).await {
        Ok(found) => found,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "Failed events by error" }
        (build_filter(query))
        p { a href={ "/events?status=failed&" (EventsQuery { status: String::new(), ..query.clone() }.to_query()) } { "Failed events, one by one" } }
        @if found.groups.is_empty() { p { "No failed events match." } } @else { (build_groups(&found, query, user)) }
        @if found.has_more {
            p { "Only the newest " (GROUPED_EVENTS_MAX) " failed events are grouped, and only the largest groups are shown." }
        }
    };
    build_page("Failed events by error", "/events", user, &content).into_response()
}

fn build_groups(found: &FailureGroups, query: &EventsQuery, user: &CurrentUser) -> Markup {
    html! {
        div class="scroll" {
            table {
                thead {
                    tr {
                        th scope="col" { "Error" } th scope="col" class="number" { "Events" }
                        th scope="col" { "First failed" } th scope="col" { "Last failed" } th scope="col" { "Newest" }
                        @if user.has_role(Role::Operator) { th scope="col" { "Retry" } }
                    }
                }
                tbody { @for group in &found.groups { (build_group(group, query, user)) } }
            }
        }
    }
}

fn build_group(group: &FailureGroup, query: &EventsQuery, user: &CurrentUser) -> Markup {
    let pattern = if group.pattern.is_empty() { query.error.clone() } else { group.pattern.clone() };
    let filter = EventsQuery { status: "failed".to_owned(), error: pattern, ..query.clone() }.to_query();
    html! {
        tr {
            th scope="row" {
                a href={ "/events?" (filter) } title=(group.example) {
                    @if group.pattern.is_empty() { "No error text" } @else { (group.pattern) }
                }
            }
            td class="number" { (group.events) }
            td { (build_time(&group.first_failed_at)) }
            td { (build_time(&group.last_failed_at)) }
            td { a href={ "/events/" (group.last_event) } { "event " (group.last_event) } }
            @if user.has_role(Role::Operator) {
                td { a href={ "/retries/new?" (filter) } aria-label={ "Retry all: " (group.pattern) } { "Retry all" } }
            }
        }
    }
}
