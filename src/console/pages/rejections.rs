//! `/rejections`: the last rejected requests, and what to check for each reason.

use crate::console::ConsoleState;
use crate::console::components::{build_next_link, build_select};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_page, build_time};
use crate::console::pages::{show_refusal, show_store_error};
use crate::event::Source;
use crate::presentation::program::complete_commands;
use crate::providers::RejectionReason;
use crate::providers::rejection::{build_path_pattern, find_rejection_hint};
use crate::store::events::rejections::{REJECTION_ROWS_MAX, RejectionFilter, RejectionRecord, list_rejections};
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows of a page.
const PAGE_ROWS: u32 = 50;

/// The filter in the address of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RejectionsQuery {
    reason: String,
    source: String,
    /// Only rejections with a lower id: the last one of the page before.
    before: Option<i64>,
}

/// Shows a page of rejected requests.
pub async fn show_rejections(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Query(query): Query<RejectionsQuery>,
) -> Response {
    let source = match query.source.as_str() {
        "" => None,
        name => match name.parse::<Source>() {
            Ok(source) => Some(source),
            Err(text) => return show_refusal(StatusCode::BAD_REQUEST, &text),
        },
    };
    let filter = RejectionFilter {
        path: build_path_pattern(source, None),
        reason: Some(query.reason.clone()).filter(|reason| !reason.is_empty()),
        before: query.before,
        ..RejectionFilter::default()
    };
    let rows = match state.read(move |connection| list_rejections(connection, &filter, PAGE_ROWS)).await {
        Ok(rows) => rows,
        Err(error) => return show_store_error(&error),
    };
    let is_full = rows.len() == PAGE_ROWS as usize;
    let content = html! {
        h1 { "Rejected requests" }
        p { "The last " (REJECTION_ROWS_MAX) " requests that the daemon rejected. Their bodies are not stored." }
        (build_rejection_filter(&query))
        @if rows.is_empty() { p { "No rejected requests match." } } @else { (build_advice(&rows)) (build_rejections(&rows)) }
        @if let Some((last, _)) = rows.last().filter(|_| is_full) {
            (build_next_link("Older requests", "/rejections", &[("reason", &query.reason), ("source", &query.source)], &last.to_string()))
        }
    };
    build_page("Rejected requests", "/rejections", &user, &content).into_response()
}

fn build_rejection_filter(query: &RejectionsQuery) -> Markup {
    let reasons = RejectionReason::ALL.map(|reason| reason.as_str().to_owned());
    let sources: Vec<String> = Source::ALL.iter().map(ToString::to_string).collect();
    html! {
        form method="get" action="/rejections" class="filter" role="search" {
            (build_select("reason", "Reason", &query.reason, &reasons))
            (build_select("source", "Source", &query.source, &sources))
            button type="submit" { "Show" }
        }
    }
}

/// Returns what to check for each reason on the page.
fn build_advice(rows: &[(i64, RejectionRecord)]) -> Markup {
    let reasons: BTreeSet<&str> = rows.iter().map(|(_, row)| row.reason.as_str()).collect();
    html! {
        section {
            h2 { "What to check" }
            dl class="fields" {
                @for reason in reasons {
                    dt { a href={ "/rejections?reason=" (reason) } { (reason) } }
                    dd { (complete_commands(find_rejection_hint(reason))) }
                }
            }
        }
    }
}

fn build_rejections(rows: &[(i64, RejectionRecord)]) -> Markup {
    html! {
        section {
            h2 { "Requests" }
            div class="scroll" {
                table {
                    thead {
                        tr {
                            th scope="col" { "When" } th scope="col" { "From" } th scope="col" { "Request" }
                            th scope="col" class="number" { "Status" } th scope="col" { "Reason" }
                            th scope="col" class="number" { "Bytes" } th scope="col" { "Headers" }
                        }
                    }
                    tbody {
                        @for (_, row) in rows {
                            tr {
                                td { (build_time(&row.at)) }
                                td { (row.remote_addr) }
                                th scope="row" { code { (row.method) " " (row.path) } }
                                td class="number" { (row.http_status) }
                                td {
                                    (row.reason)
                                    @if let Some(detail) = &row.detail { p class="text" { (detail) } }
                                    @if row.unrecorded > 0 { p class="text" { (row.unrecorded) " before it were not recorded, because of their rate" } }
                                }
                                td class="number" { (row.body_bytes) }
                                td class="text" { (row.header_names) }
                            }
                        }
                    }
                }
            }
        }
    }
}
