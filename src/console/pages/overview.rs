//! `/`: whether events flow, and if not, what to do.

use crate::access::Role;
use crate::clock;
use crate::console::ConsoleState;
use crate::console::checks::CheckResult;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_time};
use crate::console::pages::show_store_error;
use crate::doctor::FindingState;
use crate::presentation::program::complete_commands;
use crate::presentation::quantities::format_duration;
use crate::store::StoreError;
use crate::store::events::destinations::{DestinationState, list_destinations};
use crate::store::events::overview::{HourCounts, SourceState, list_hour_counts, list_source_states};
use crate::store::events::stats::{StoreStats, read_stats};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;

/// Hours in the chart.
const CHART_HOURS: u64 = 48;
/// A due event that waits longer than this is a problem.
const WAIT_WARNING: u64 = 5 * 60;

/// What the page shows, read in one go.
struct Overview {
    stats: StoreStats,
    sources: Vec<SourceState>,
    hours: Vec<HourCounts>,
    destinations: Vec<DestinationState>,
}

/// Shows the overview.
pub async fn show_overview(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    refresh_checks(&state, false);
    let now = state.store.clock.now();
    let names: Vec<String> = state.config.destinations.iter().map(|settings| settings.name.clone()).collect();
    let read = state.read(move |connection| {
        let since = now.checked_sub(Duration::from_hours(CHART_HOURS - 1)).unwrap_or(clock::Timestamp::MIN);
        Ok::<_, StoreError>(Overview {
            stats: read_stats(connection, now)?,
            sources: list_source_states(connection)?,
            hours: list_hour_counts(connection, since, now)?,
            destinations: list_destinations(connection, &names, now)?,
        })
    });
    let overview = match read.await {
        Ok(overview) => overview,
        Err(error) => return show_store_error(&error),
    };
    let checks = state.checks.last();
    let content = html! {
        h1 { "Overview" }
        (build_verdict(&overview, checks.as_ref()))
        (build_counts(&overview.stats))
        @if overview.sources.is_empty() { (build_first_steps(&state)) } @else { (build_sources(&overview.sources)) }
        (build_chart(&overview.hours))
        (build_destinations(&overview.destinations))
        (build_checks(checks.as_ref(), &user))
    };
    build_page("Overview", "/", &user, &content).into_response()
}

/// Runs the checks now, in the background.
pub async fn run_checks_now(State(state): State<Arc<ConsoleState>>) -> Response {
    refresh_checks(&state, true);
    (StatusCode::SEE_OTHER, [(LOCATION, "/#checks")]).into_response()
}

fn refresh_checks(state: &Arc<ConsoleState>, is_forced: bool) {
    let state = state.clone();
    let now = state.store.clock.now();
    drop(tokio::task::spawn_blocking(move || state.checks.run_if_due(&state.config, now, is_forced)));
}

fn count_status(figures: &StoreStats, status: &str) -> i64 {
    figures.counts.iter().filter(|count| count.status == status).map(|count| count.events).sum()
}

/// The answer to "do orders flow?", in one sentence.
fn build_verdict(overview: &Overview, checks: Option<&CheckResult>) -> Markup {
    let failed = count_status(&overview.stats, "failed");
    let waits = overview.stats.oldest_pending_seconds.unwrap_or_default();
    let down = overview.destinations.iter().filter(|state| state.down_since.is_some()).count();
    let failures = checks.map_or(0, |checks| checks.findings.count_failures());
    let is_well = failed == 0 && waits < WAIT_WARNING && down == 0 && failures == 0;
    html! {
        @if is_well {
            p class="verdict ok" { "Events flow." @if checks.is_none() { " The checks of this machine are running." } }
        } @else {
            ul class="verdict failed" {
                @if failed > 0 {
                    li { a href="/events?status=failed" { (failed) " failed" } " and wait for a person." }
                }
                @if waits >= WAIT_WARNING {
                    li { "The oldest event waits for " (format_duration(waits)) "." }
                }
                @if down > 0 { li { (down) " of the destinations cannot be reached." } }
                @if failures > 0 { li { a href="#checks" { (failures) " checks" } " of this machine failed." } }
            }
        }
    }
}

fn build_counts(stats: &StoreStats) -> Markup {
    let waiting = count_status(stats, "received") + count_status(stats, "processing");
    html! {
        section aria-label="Counts" {
            dl class="counts" {
                div { dt { "Received, last 24 hours" } dd { (stats.last_day.received) } }
                div { dt { "Completed, last 24 hours" } dd { (stats.last_day.completed) } }
                div {
                    dt { "Failed, all" }
                    dd { a href="/events?status=failed" { (count_status(stats, "failed")) } }
                }
                div { dt { "Waiting now" } dd { a href="/events?status=received" { (waiting) } } }
                div {
                    dt { "Oldest waiting" }
                    dd { @if let Some(seconds) = stats.oldest_pending_seconds { (format_duration(seconds)) } @else { "–" } }
                }
            }
        }
    }
}

fn build_first_steps(state: &ConsoleState) -> Markup {
    let host = state.config.domain.clone().unwrap_or_else(|| "HOST".to_owned());
    let port = state.config.server.listen.port();
    let base = if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") };
    html! {
        section class="card" {
            h2 { "No event yet" }
            p { "Enter these addresses at the providers, then send a test event." }
            dl {
                dt { "Shopify" } dd { code { (base) "/api/webhooks/shopify/orders/create" } }
                dt { "EasyPost" } dd { code { (base) "/api/webhooks/easypost" } }
                dt { "Keycloak" } dd { code { (base) "/api/keycloak/events" } }
            }
            p { "On this machine: " code { (complete_commands("novex-ingest send shopify orders/create")) } }
        }
    }
}

fn build_sources(sources: &[SourceState]) -> Markup {
    html! {
        section {
            h2 { "Sources" }
            div class="scroll" tabindex="0" {
                table {
                    thead { tr { th { "Source" } th { "Last event" } th class="number" { "Last 24 hours" } } }
                    tbody {
                        @for source in sources {
                            tr {
                                th scope="row" { a href={ "/events?source=" (source.source) } { (source.source) } }
                                td { (build_time(&source.last_event_at)) }
                                td class="number" { (source.received_last_day) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Bars of received events by hour, with the failed ones at their feet.
fn build_chart(hours: &[HourCounts]) -> Markup {
    const HEIGHT: i64 = 80;
    const STEP: usize = 12;
    let most = hours.iter().map(|hour| hour.received).max().unwrap_or_default().max(1);
    let scale = |count: i64| (count * HEIGHT + most - 1) / most;
    let width = hours.len() * STEP;
    html! {
        section {
            h2 { "Events by hour" }
            svg class="chart" viewBox={ "0 0 " (width) " " (HEIGHT) } role="img"
                aria-label={ "Events of the last " (CHART_HOURS) " hours, at most " (most) " in an hour" } {
                @for (index, hour) in hours.iter().enumerate() {
                    g {
                        title { (hour.hour) ":00 UTC: " (hour.received) " received, " (hour.failed) " failed" }
                        rect class="received" x=(index * STEP) y=(HEIGHT - scale(hour.received))
                            width=(STEP - 2) height=(scale(hour.received)) {}
                        rect class="failed" x=(index * STEP) y=(HEIGHT - scale(hour.failed).min(HEIGHT))
                            width=(STEP - 2) height=(scale(hour.failed).min(HEIGHT)) {}
                    }
                }
            }
        }
    }
}

fn build_destinations(destinations: &[DestinationState]) -> Markup {
    html! {
        @if !destinations.is_empty() {
            section {
                h2 { "Destinations" }
                div class="scroll" tabindex="0" {
                    table {
                        thead {
                            tr { th { "Destination" } th { "State" } th class="number" { "Waiting" } th class="number" { "Failed" } th { "Last success" } }
                        }
                        tbody {
                            @for state in destinations {
                                tr {
                                    th scope="row" { (state.name) }
                                    td { (describe_destination(state)) }
                                    td class="number" { (state.waiting) }
                                    td class="number" { (state.failed) }
                                    td { @if let Some(at) = &state.last_success_at { (build_time(at)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the state of a destination in words: up, down or paused.
pub fn describe_destination(state: &DestinationState) -> Markup {
    match (&state.paused_at, &state.down_since) {
        (Some(at), _) => html! { span class="status received" { "paused" } " since " (build_time(at)) },
        (None, Some(at)) => html! { span class="status failed" { "down" } " since " (build_time(at)) },
        (None, None) => html! { span class="status completed" { "up" } },
    }
}

fn build_checks(checks: Option<&CheckResult>, user: &CurrentUser) -> Markup {
    html! {
        section id="checks" {
            h2 { "Checks of this machine" }
            @if let Some(checks) = checks {
                p { "Checked at " (build_time(&clock::format_timestamp(checks.at))) "." }
                ul class="findings" {
                    @for finding in checks.findings.sorted() {
                        li class=(finding.state.as_str()) {
                            strong { (finding.check) } " " (complete_commands(&finding.message))
                            @if !finding.fix.is_empty() && finding.state != FindingState::Passed {
                                p class="fix" { (complete_commands(&finding.fix)) }
                            }
                        }
                    }
                }
            } @else {
                p { "They are running. Open this page again in a few seconds." }
            }
            @if user.has_role(Role::Operator) {
                form method="post" action="/checks" { (build_csrf_field(user)) button type="submit" { "Check again" } }
            }
        }
    }
}
