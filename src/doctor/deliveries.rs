//! Checks of the deliveries: destinations that are down, retries, failures, pauses, and what removed destinations left.

use crate::config::Config;
use crate::doctor::{FindingState, Findings};
use crate::presentation::program::quote_word;
use crate::store::audit::alerts::AlertKind;
use crate::store::db::diagnostics::{FailedDeliveries, StoreDiagnostics};
use crate::store::db::reader::Reader;
use crate::store::events::destinations;
use crate::store::events::destinations::{FaultyDestination, WaitingDeliveries};
use crate::text::format_count;
use std::collections::BTreeMap;

/// Failed attempts in a row from which on a destination counts as failing, though its circuit breaker is closed.
const FAILURES_IN_ROW_MIN: u32 = 2;

/// The unfinished deliveries of each destination.
#[derive(Default)]
pub(crate) struct DeliveryQueues(BTreeMap<String, WaitingDeliveries>);

impl DeliveryQueues {
    /// Reads the queues; empty if the database cannot be read, which another check reports.
    pub fn read(config: &Config) -> Self {
        let waiting = Reader::open(&config.store.path, 1).and_then(|reader| reader.read(destinations::list_waiting));
        Self(waiting.unwrap_or_default())
    }

    /// Returns what waits for a destination, in words: `131 orders wait`.
    pub fn describe_waiting(&self, destination: &str) -> String {
        self.0.get(destination).map_or_else(|| "new events will wait".to_owned(), WaitingDeliveries::describe)
    }
}

/// Checks the deliveries. `faulty` lacks the destinations that the check of the network reports.
pub(crate) fn check_deliveries(
    config: &Config,
    diagnostics: &StoreDiagnostics,
    faulty: &[FaultyDestination],
    queues: &DeliveryQueues,
    findings: &mut Findings,
) {
    let is_channel = |name: &str| config.alert_channels().any(|settings| settings.name == name);
    let is_configured = |name: &String| config.destinations.iter().any(|settings| settings.name == *name);
    for destination in faulty.iter().filter(|destination| is_configured(&destination.name)) {
        check_faulty_destination(destination, queues, findings);
        if destination.down_since.is_some() && !is_channel(&destination.name) {
            let FaultyDestination { name, .. } = destination;
            findings.add_condition(
                AlertKind::DestinationDown,
                name.as_str(),
                format!("destination {name} is down; {}", queues.describe_waiting(name)),
                format!("`novex-ingest destinations show {}`; correct the error at the destination", quote_word(name)),
            );
        }
    }
    let (configured, removed): (Vec<_>, Vec<_>) =
        diagnostics.failed_deliveries.iter().partition(|failed| is_configured(&failed.destination));
    for FailedDeliveries { destination, count, event_ids } in configured {
        let ids: Vec<String> = event_ids.iter().map(i64::to_string).collect();
        let quoted = quote_word(destination);
        // A message about a channel that does not work would go to this channel.
        if !is_channel(destination) {
            findings.add_condition(
                AlertKind::FailedDeliveries,
                destination.as_str(),
                format!(
                    "{} to {destination} failed for good; it lacks these events",
                    format_count(*count, "delivery", "deliveries")
                ),
                format!(
                    "`novex-ingest destinations show {quoted}`; fix the cause; then `novex-ingest events retry {}`",
                    ids.join(" ")
                ),
            );
        }
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
fn check_faulty_destination(faulty: &FaultyDestination, queues: &DeliveryQueues, findings: &mut Findings) {
    let FaultyDestination { name, down_since, consecutive_failures, last_error, last_error_at, retried } = faulty;
    let waiting = queues.describe_waiting(name);
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
