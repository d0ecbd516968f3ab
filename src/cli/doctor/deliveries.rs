//! Checks of the deliveries: destinations that are down, retries, failures, pauses, and what removed destinations left.

use crate::cli::doctor::findings::quote_word;
use crate::cli::doctor::{FindingState, Findings};
use crate::config::Config;
use crate::store::db::diagnostics::{FailedDeliveries, StoreDiagnostics};
use crate::store::events::destinations::{FaultyDestination, WaitingDeliveries};
use crate::text::format_count;
use std::collections::BTreeMap;

/// Failed attempts in a row from which on a destination counts as failing, though its circuit breaker is closed.
const FAILURES_IN_ROW_MIN: u32 = 2;

/// Queues of the destinations, and the destinations that take nothing.
pub(crate) struct QueueState {
    pub waiting: BTreeMap<String, WaitingDeliveries>,
    /// Without those that the check of the network reports.
    pub faulty: Vec<FaultyDestination>,
}

pub(crate) fn check_deliveries(
    config: &Config,
    diagnostics: &StoreDiagnostics,
    queues: &QueueState,
    findings: &mut Findings,
) {
    let is_configured = |name: &String| config.destinations.iter().any(|settings| settings.name == *name);
    for faulty in queues.faulty.iter().filter(|faulty| is_configured(&faulty.name)) {
        check_faulty_destination(faulty, queues, findings);
    }
    let (configured, removed): (Vec<_>, Vec<_>) =
        diagnostics.failed_deliveries.iter().partition(|failed| is_configured(&failed.destination));
    for FailedDeliveries { destination, count, event_ids } in configured {
        let ids: Vec<String> = event_ids.iter().map(i64::to_string).collect();
        let quoted = quote_word(destination);
        findings.add_warning(
            "destinations",
            format!("{} to {destination} failed for good", format_count(*count, "delivery", "deliveries")),
            format!(
                "`novex-ingest destinations show {quoted}`; fix the cause; then `novex-ingest events retry {}`; or, if no \
                 retry is needed: `novex-ingest events dismiss --destination {quoted} --reason TEXT`",
                ids.join(" ")
            ),
        );
    }
    for destination in diagnostics.paused_destinations.iter().filter(|name| is_configured(name)) {
        findings.add_warning(
            "destinations",
            format!("{destination} is paused by an operator; its deliveries stay queued"),
            format!("`novex-ingest destinations resume {}`", quote_word(destination)),
        );
    }
    for (destination, count) in diagnostics.waiting_deliveries.iter().filter(|(name, _)| !is_configured(name)) {
        findings.add_warning(
            "destinations",
            format!(
                "{} for destination {destination}, which is not in the configuration",
                format_count(*count, "delivery waits", "deliveries wait")
            ),
            format!(
                "Add it to [[destinations]] again; if it is gone for good: `novex-ingest destinations forget {}`",
                quote_word(destination)
            ),
        );
    }
    for FailedDeliveries { destination, count, .. } in removed {
        findings.add_info(
            "destinations",
            format!(
                "{} to {destination} failed; it is not in the configuration any more",
                format_count(*count, "delivery", "deliveries")
            ),
            format!("`novex-ingest destinations forget {}`", quote_word(destination)),
        );
    }
}

/// Reports a destination that is down, or whose deliveries are retried.
fn check_faulty_destination(faulty: &FaultyDestination, queues: &QueueState, findings: &mut Findings) {
    let FaultyDestination { name, down_since, consecutive_failures, last_error, last_error_at, retried } = faulty;
    let waiting = match queues.waiting.get(name) {
        Some(waiting) => waiting.describe(),
        None => "new events will wait".to_owned(),
    };
    let error = last_error.as_deref().unwrap_or("a redaction erased the error");
    let (state, summary, since) = if let Some(since) = down_since {
        (
            FindingState::Failed,
            format!("destination {name} is down; {waiting}"),
            format!("destination {name} is down since {}", findings.format_time(since)),
        )
    } else {
        let is_failing = *consecutive_failures >= FAILURES_IN_ROW_MIN;
        let fact = if is_failing {
            format!("destination {name} takes no delivery")
        } else {
            format!(
                "destination {name}: {} after errors",
                format_count(*retried, "delivery is retried", "deliveries are retried")
            )
        };
        let state = if is_failing { FindingState::Failed } else { FindingState::Warning };
        let at = last_error_at.as_deref().map(|at| format!(", last attempt at {}", findings.format_time(at)));
        (state, format!("{fact}; {waiting}"), format!("{fact}{}", at.unwrap_or_default()))
    };
    let quoted = quote_word(name);
    findings.push_with_summary(
        "destinations",
        state,
        summary,
        format!("{since}: {error}; {waiting}"),
        format!(
            "`novex-ingest destinations show {quoted}`; correct the error at the destination. The deliveries then go \
             out by themselves; at once with `novex-ingest destinations resume {quoted}`"
        ),
    );
}
