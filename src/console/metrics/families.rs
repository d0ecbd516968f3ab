//! Every metric with its name and its help.

use crate::console::metrics::MachineGauges;
use crate::console::metrics::exposition::{Labels, MetricFamily};
use crate::event::Source;
use crate::metrics::{DeliveryAttemptEnd, Metrics};
use crate::server::ServerState;
use crate::store::events::gauges::StoreGauges;

/// Returns one label with its value.
fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

/// Returns two labels with their values.
fn two_labels(one: (&'static str, &str), other: (&'static str, &str)) -> Labels {
    vec![(one.0, one.1.to_owned()), (other.0, other.1.to_owned())]
}

fn to_gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the figures that this process counted since its start.
pub(super) fn list_process_families(server: &ServerState) -> Vec<MetricFamily> {
    let metrics: &Metrics = &server.store.metrics;
    let requests = metrics.list_requests().into_iter();
    let rejections = server.rejections.list_counts().filter(|(_, count)| *count > 0);
    let handlers = Source::ALL.map(|source| (source, metrics.handler_seconds(source).snapshot()));
    vec![
        MetricFamily::gauges(
            "build_info",
            "Version of the daemon; the value is always 1",
            [(label("version", env!("CARGO_PKG_VERSION")), 1)],
        ),
        MetricFamily::counters(
            "requests",
            "Answers of the public listener by source and status of HTTP; without health checks",
            requests.map(|(source, code, count)| (two_labels(("source", source), ("code", &code)), count)),
        ),
        MetricFamily::counters(
            "rejections",
            "Rejected requests by reason",
            rejections.map(|(reason, count)| (label("reason", reason.as_str()), count)),
        ),
        MetricFamily::histograms(
            "ack_seconds",
            "Time from the headers of a webhook to its 200, which follows the sync of the disk",
            [(Vec::new(), metrics.ack_seconds.snapshot())],
        ),
        MetricFamily::histograms(
            "commit_batch_size",
            "Writes in one transaction",
            [(Vec::new(), metrics.commit_batch_size.snapshot())],
        ),
        MetricFamily::histograms(
            "commit_seconds",
            "Time of one transaction with the sync of the disk",
            [(Vec::new(), metrics.commit_seconds.snapshot())],
        ),
        MetricFamily::histograms(
            "handler_seconds",
            "Time of one attempt of a handler by source",
            handlers.into_iter().map(|(source, snapshot)| (label("source", source.as_str()), snapshot)),
        ),
        MetricFamily::counters(
            "delivery_attempts",
            "Attempts to deliver by their end: delivered, rejected for good, or retried later",
            DeliveryAttemptEnd::ALL.map(|end| (label("end", end.as_str()), metrics.delivery_attempts(end).get())),
        ),
        MetricFamily::histograms(
            "delivery_seconds",
            "Time of one attempt to deliver",
            [(Vec::new(), metrics.delivery_seconds.snapshot())],
        ),
        MetricFamily::gauge(
            "open_connections",
            "Open connections of the public listener",
            to_gauge(server.connections.count_taken()),
        ),
        MetricFamily::gauge(
            "requests_in_flight",
            "Requests of the public listener without an answer yet",
            to_gauge(server.requests.count_taken()),
        ),
    ]
}

/// Returns the figures of the database; `None`: it did not answer in time.
pub(super) fn list_database_families(gauges: Option<&StoreGauges>) -> Vec<MetricFamily> {
    let is_readable = MetricFamily::gauge(
        "database_readable",
        "1 if the database answered this scrape in time; if not, its figures are missing",
        i64::from(gauges.is_some()),
    );
    let Some(gauges) = gauges else { return vec![is_readable] };
    let StoreGauges { stats, oldest_due_seconds, deliveries, destinations, edi_sources, open_alerts } = gauges;
    let polls = edi_sources.iter().filter_map(|source| Some((source, source.success_age_seconds?)));
    vec![
        is_readable,
        MetricFamily::gauges(
            "events",
            "Stored events by source and status; dismissed ones have failed and need no person",
            stats
                .counts
                .iter()
                .map(|count| (two_labels(("source", &count.source), ("status", &count.status)), count.events)),
        ),
        MetricFamily::gauge("test_events", "Stored test events", to_gauge(stats.test_events)),
        MetricFamily::gauge(
            "oldest_due_seconds",
            "Seconds since the oldest event without a worker became due; 0 if none is due",
            to_gauge(*oldest_due_seconds),
        ),
        MetricFamily::gauges(
            "deliveries",
            "Unfinished and failed deliveries by destination and status",
            deliveries.iter().map(|count| {
                let labels = two_labels(("destination", &count.destination), ("status", count.status));
                (labels, to_gauge(count.deliveries))
            }),
        ),
        MetricFamily::gauges(
            "destination_down",
            "1 if the circuit breaker stops the deliveries to a destination",
            destinations.iter().map(|state| (label("destination", &state.name), i64::from(state.is_down))),
        ),
        MetricFamily::gauges(
            "destination_paused",
            "1 if an operator paused a destination",
            destinations.iter().map(|state| (label("destination", &state.name), i64::from(state.is_paused))),
        ),
        MetricFamily::gauges(
            "edi_poll_failures",
            "Polls of an EDI source that failed since the last success",
            edi_sources
                .iter()
                .map(|source| (label("edi_source", &source.name), i64::from(source.consecutive_failures))),
        ),
        MetricFamily::gauges(
            "edi_poll_success_age_seconds",
            "Seconds since the last successful poll of an EDI source",
            polls.map(|(source, age)| (label("edi_source", &source.name), to_gauge(age))),
        ),
        MetricFamily::gauge("open_alerts", "Alerts that no person dismissed", to_gauge(*open_alerts)),
        MetricFamily::gauge("database_bytes", "Size of the database without its WAL", to_gauge(stats.database_bytes)),
        MetricFamily::gauge(
            "database_free_bytes",
            "Bytes of free pages inside the database",
            to_gauge(stats.free_bytes_inside),
        ),
    ]
}

/// Returns the figures of the files of this machine.
pub(super) fn list_machine_families(machine: &MachineGauges) -> Vec<MetricFamily> {
    let MachineGauges { wal_bytes, disk_free_bytes, certificates, backup_age_seconds } = machine;
    let without_labels = |value: &Option<u64>| value.map(|value| (Vec::new(), to_gauge(value)));
    vec![
        MetricFamily::gauge("wal_bytes", "Size of the write-ahead log", to_gauge(*wal_bytes)),
        MetricFamily::gauges(
            "disk_free_bytes",
            "Free bytes on the disk of the database",
            without_labels(disk_free_bytes),
        ),
        MetricFamily::gauges(
            "certificate_expiry_seconds",
            "Seconds until the certificate of a listener expires; negative after that",
            certificates.iter().map(|(listener, seconds)| (label("listener", *listener), *seconds)),
        ),
        MetricFamily::gauges(
            "last_backup_age_seconds",
            "Age of the newest backup in the directory backups beside the database",
            without_labels(backup_age_seconds),
        ),
    ]
}
