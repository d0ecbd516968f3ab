//! Checks of the database: events, polls, alerts, privacy deadlines and the write-ahead log.

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::doctor::deliveries::DeliveryQueues;
use crate::doctor::edi_answers::{read_answer_findings, report_answers};
use crate::doctor::findings::FindingState;
use crate::doctor::sources::SourceFacts;
use crate::doctor::units::is_packaged;
use crate::doctor::{Findings, backups, deliveries};
use crate::event::Source;
use crate::files::with_suffix;
use crate::port_holder;
use crate::presentation::program::quote_word;
use crate::presentation::quantities::{format_bytes, format_duration};
use crate::store::StoreError;
use crate::store::audit::alerts::AlertKind;
use crate::store::db::diagnostics::{StoreDiagnostics, UndecidedRequest};
use crate::store::db::reader::Reader;
use crate::store::db::{backup, diagnostics, migrate};
use crate::store::erp::purchase_order_views::{UnreadableFile, list_unreadable_files};
use crate::store::events::destinations;
use crate::text::format_count;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Longest time from a redaction to its scrub, which needs hours unless a program has the file open.
const SCRUB_OVERDUE_SECONDS: u64 = 86_400;
/// A stopped redaction is reported in this many days before Shopify's time limit.
const STOPPED_REQUEST_DAYS: u64 = 7;
/// Time by which the clock may jump back unnoticed.
const CLOCK_SKEW_SECONDS_MAX: u64 = 300;
/// Most unreadable files whose events one command dismisses.
const UNREADABLE_FILES_MAX: u32 = 20;
/// Size of the WAL at which a reader blocks it, as a multiple of `store.wal_bytes`.
const WAL_SIZE_FACTOR_MAX: u64 = 8;

/// Checks the database. Returns false if it cannot be read. `unreachable` has the destinations whose hosts the check of
/// the network did not reach.
pub(crate) fn check_database(
    config: &Config,
    queues: &DeliveryQueues,
    unreachable: &BTreeSet<String>,
    findings: &mut Findings,
) -> bool {
    let now = Clock::system().now();
    let read = Reader::open(&config.store.path, 1).and_then(|reader| {
        reader.read(|connection| {
            let mut faulty = destinations::list_faulty(connection)?;
            faulty.retain(|destination| !unreachable.contains(&destination.name));
            let unreadable = list_unreadable_files(connection, UNREADABLE_FILES_MAX)?;
            let answers =
                read_answer_findings(connection, config.find_overdue_limit(Clock::system().now()).as_deref())?;
            let sources = SourceFacts::read(connection, now)?;
            Ok((diagnostics::read_diagnostics(connection, now)?, faulty, unreadable, answers, sources))
        })
    });
    let is_read = read.is_ok();
    let mut lineage = None;
    match read {
        Ok((diagnostics, faulty, unreadable, answers, sources)) => {
            lineage = Some(diagnostics.lineage.clone());
            check_events(config, &diagnostics, findings);
            deliveries::check_deliveries(config, &diagnostics, &faulty, queues, findings);
            check_unreadable_files(diagnostics.unreadable_files, &unreadable, findings);
            report_answers(&answers, findings);
            sources.report(config, now, findings);
            check_polls(config, &diagnostics, findings);
            check_alerts(&diagnostics, findings);
            check_amounts(config, &diagnostics, findings);
            check_privacy_deadlines(&diagnostics, findings);
        }
        // check_backups reports it with the backup to restore.
        Err(StoreError::DatabaseMissing { .. }) if backups::has_backup(config) => {}
        Err(error) => {
            let newest = backup::list_backups(&config.store.path).into_iter().max();
            let fix = match newest {
                Some(file) => {
                    let file = file.display();
                    format!(
                        "Follow the message; if the file is damaged, restore a backup: `novex-ingest restore {file}`"
                    )
                }
                None => "Follow the message.".to_owned(),
            };
            findings.add_failure("database", error.to_string(), fix);
        }
    }
    check_wal(config, findings);
    backups::check_rescued_files(config, findings);
    backups::check_backups(config, lineage, findings);
    is_read
}

/// Returns the seconds from a stored time until now, or None for a time in the future.
fn parse_age_seconds(text: &str) -> Option<u64> {
    let (then, now) = (clock::parse_timestamp(text).ok()?, Clock::system().now());
    (then <= now).then(|| clock::duration_between(then, now).as_secs())
}

fn check_events(config: &Config, diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    if diagnostics.schema_version < migrate::SCHEMA_VERSION {
        findings.add_warning(
            "database",
            format!(
                "its schema is {}; this version writes schema {}",
                diagnostics.schema_version,
                migrate::SCHEMA_VERSION
            ),
            format!("{}: it makes a copy of the database and upgrades it", describe_start(config)),
        );
    } else {
        findings.add_passed("database", format!("schema {}", diagnostics.schema_version));
    }
    check_clock_against_events(diagnostics, findings);
    if diagnostics.expired_leases > 0 {
        findings.add_failure(
            "queue",
            format!(
                "{} for a worker that is gone",
                format_count(diagnostics.expired_leases, "event waits", "events wait")
            ),
            format!("{}, which recovers them within a second", describe_start(config)),
        );
    }
    match diagnostics.oldest_due_at.as_deref().and_then(parse_age_seconds) {
        Some(seconds) if seconds > config.alerts.overdue_after.as_secs() => {
            let message = format!("an event has been due for {}", format_duration(seconds));
            let fix = format!("Start a worker: {}, or `novex-ingest work --once`", describe_start(config));
            let outbound = format!("{message}; events arrive and are not processed");
            findings.add_condition(AlertKind::OverdueEvent, "", outbound, fix.clone());
            findings.add_failure("queue", message, fix);
        }
        _ => findings.add_passed("queue", "no event is overdue"),
    }
    if diagnostics.test_events > 0 {
        let stored = format_count(diagnostics.test_events, "test event is stored", "test events are stored");
        findings.add_passed("events", format!("{stored}; `novex-ingest events remove-tests` removes them"));
    }
    if diagnostics.failed_events > 0 {
        let last = diagnostics.last_failure.as_deref().unwrap_or_default();
        let failed = format_count(diagnostics.failed_events, "event", "events");
        let fix = "`novex-ingest events list --status failed`; fix the cause; then `novex-ingest events retry --status \
                   failed`; or, if no retry is needed: `novex-ingest events dismiss --status failed --reason TEXT`";
        // Without the error, which can have personal data.
        let (id, _) = last.split_once(':').unwrap_or((last, ""));
        let message =
            format!("{failed} failed for good; the last one is event {id}; the ERP tables lack what they changed");
        findings.add_condition(AlertKind::FailedEvents, "", message, fix);
        findings.add_warning("events", format!("{failed} failed for good; the last one is event {last}"), fix);
    }
}

/// Events are stored in order, so an event from the future shows that the clock was set back.
fn check_clock_against_events(diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    let Some(newest) = &diagnostics.newest_received_at else { return };
    let now = Clock::system().now();
    let is_in_future = clock::parse_timestamp(newest).is_ok_and(|newest_at| {
        newest_at > now && clock::duration_between(now, newest_at).as_secs() > CLOCK_SKEW_SECONDS_MAX
    });
    if is_in_future {
        findings.add_failure(
            "clock",
            format!(
                "the newest event is of {}, in the future: the clock was set back, and due events wait",
                findings.format_time(newest)
            ),
            "Check the clock of this machine: `timedatectl`",
        );
    }
}

/// Reports the files that could not be read in whole. `newest` has at most [`UNREADABLE_FILES_MAX`] of the `count`
/// files.
fn check_unreadable_files(count: u64, newest: &[UnreadableFile], findings: &mut Findings) {
    let Some(UnreadableFile { event_id, file, error, .. }) = newest.first() else { return };
    let summary = format!("{} could not be read in whole", format_count(count, "EDI file", "EDI files"));
    findings.add_condition(
        AlertKind::FailedEvents,
        Source::Sps.as_str(),
        format!("{summary}; the newest is event {event_id}; orders may be missing"),
        format!(
            "`novex-ingest sps list --attention`; `novex-ingest events show {event_id}`; ask the sender for the file"
        ),
    );
    let ids: Vec<String> = newest.iter().map(|file| file.event_id.to_string()).collect();
    let again = if count > ids.len() as u64 { "; then the same for the others" } else { "" };
    findings.add_failure_with_summary(
        "edi",
        &summary,
        format!("{summary}; the newest is {file} (event {event_id}): {}", error.as_deref().unwrap_or_default()),
        format!(
            "`novex-ingest sps list --attention`; ask the sender for the files again; then `novex-ingest events \
             dismiss {} --reason TEXT`{again}",
            ids.join(" ")
        ),
    );
}

fn check_polls(config: &Config, diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    check_files_at_source(diagnostics, findings);
    for (source, error) in &diagnostics.failed_sources {
        let is_configured = config.sps.iter().flat_map(|sps| &sps.sources).any(|settings| settings.name == *source);
        if is_configured {
            findings.add_failure(
                "edi",
                format!("the last poll of {source} failed: {error}; its files wait there"),
                format!("`novex-ingest sps poll --source {}`", quote_word(source)),
            );
        } else {
            findings.add_info(
                "edi",
                format!("the last poll of {source} failed; it is not in the configuration any more"),
                format!("`novex-ingest sps forget {}`", quote_word(source)),
            );
        }
    }
}

/// Reports the files that stay at each source, because no poll can fetch, move or delete them.
fn check_files_at_source(diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    let (stored, unstored): (Vec<_>, Vec<_>) =
        diagnostics.files_at_source.iter().partition(|file| file.event_id.is_some());
    for (files, state, fact, consequence) in [
        (unstored, FindingState::Failed, "cannot be received", "its order is not here"),
        (stored, FindingState::Warning, "cannot be moved or deleted", "it is stored, and each poll lists it again"),
    ] {
        for files in files.chunk_by(|one, other| one.source == other.source) {
            let first = files[0];
            let count = format_count(files.len(), "file", "files");
            let summary = format!("{count} of EDI source {} {fact}", first.source);
            findings.push_with_summary(
                "edi",
                state,
                &summary,
                format!("{summary}; {}: {}; {consequence}", first.file, first.error),
                format!(
                    "`novex-ingest sps list --attention`; correct the cause; then `novex-ingest sps poll --source {}`",
                    quote_word(&first.source)
                ),
            );
        }
    }
}

fn check_alerts(diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    if let Some((id, newest)) = &diagnostics.newest_alert {
        let others = match diagnostics.recent_alerts.saturating_sub(1) {
            0 => String::new(),
            count => format!("; and {}", format_count(count, "other alert", "other alerts")),
        };
        let message = format!("login alert of the last seven days: {newest}{others}");
        let fix = format!(
            "`novex-ingest audit alerts`; look at the logins in Keycloak; then `novex-ingest audit dismiss {id} \
             --reason TEXT`"
        );
        findings.add_warning("alerts", message, fix);
    }
}

/// Reports orders and refunds whose parts do not add up to their total.
fn check_amounts(config: &Config, diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    let (count, Some(newest)) = &diagnostics.unexplained_amounts else { return };
    let summary =
        format!("the amounts of {} do not add up", format_count(*count, "order or refund", "orders and refunds"));
    let message = format!("{summary}; the newest is {newest}; the ERP may book a wrong amount");
    let database = quote_word(&config.store.path.to_string_lossy());
    findings.push_with_summary(
        "amounts",
        FindingState::Warning,
        &summary,
        message,
        format!("`sqlite3 -readonly {database} 'SELECT * FROM sales_attention'`; compare them in the shop's admin"),
    );
}

/// Returns the command that starts the daemon.
fn describe_start(config: &Config) -> &'static str {
    if is_packaged(config) { "`systemctl start novex-ingest`" } else { "`novex-ingest serve`" }
}

/// Checks the deadlines that the law sets.
fn check_privacy_deadlines(diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    if let Some((id, due)) = &diagnostics.next_data_request {
        let shown = findings.format_time(due);
        let fix = format!(
            "`novex-ingest privacy export {id}`; once the shop's owner has it: `novex-ingest privacy done {id}`"
        );
        if clock::parse_timestamp(due).is_ok_and(|due| due < Clock::system().now()) {
            let message = format!("a customer's request for their data is overdue: it was due by {shown}");
            findings.add_failure("privacy", message, fix);
        } else {
            findings.add_warning("privacy", format!("a customer's request for their data is due by {shown}"), fix);
        }
    }
    check_destructive_requests(diagnostics, findings);
    if let Some(at) = &diagnostics.oldest_unscrubbed_at
        && parse_age_seconds(at).is_some_and(|age| age > SCRUB_OVERDUE_SECONDS)
    {
        findings.add_warning(
            "privacy",
            format!("data redacted at {} may still be in free pages of the database file", findings.format_time(at)),
            "`novex-ingest privacy scrub`, with no sqlite3 shell open",
        );
    }
}

fn check_destructive_requests(diagnostics: &StoreDiagnostics, findings: &mut Findings) {
    if let (count @ 1.., Some(due)) = &diagnostics.waiting_redactions {
        let waits = format_count(*count, "redaction waits", "redactions wait");
        findings.add_info(
            "privacy",
            format!("{waits}; the first is worked at {}", findings.format_time(due)),
            "`novex-ingest privacy list`",
        );
    }
    for UndecidedRequest { event_id: event, topic, state, deadline_at: deadline } in &diagnostics.undecided_requests {
        let fix = format!(
            "`novex-ingest events show {event}`; if the request is true: `novex-ingest privacy run {event}`; if not: \
             `novex-ingest privacy stop {event} --reason TEXT`"
        );
        let days_left = deadline.as_deref().and_then(|text| clock::parse_timestamp(text).ok()).map(|deadline| {
            let now = Clock::system().now();
            (deadline >= now).then(|| clock::duration_between(now, deadline).as_secs() / 86_400)
        });
        let limit = deadline
            .as_deref()
            .map_or(String::new(), |at| format!("; Shopify's time limit is {}", findings.format_time(at)));
        let message = format!("event {event} ({topic}) was {state}{limit}");
        match days_left {
            Some(None) => findings.add_failure("privacy", message, fix),
            Some(Some(days)) if state == "stopped" && days > STOPPED_REQUEST_DAYS => {}
            _ => findings.add_warning("privacy", message, fix),
        }
    }
}

fn check_wal(config: &Config, findings: &mut Findings) {
    let Ok(size) = fs::metadata(with_suffix(&config.store.path, "-wal")).map(|data| data.len()) else { return };
    if size < config.store.wal_bytes * WAL_SIZE_FACTOR_MAX {
        return findings.add_passed("wal", format_bytes(size));
    }
    let processes = describe_database_users(&config.store.path);
    findings.add_failure(
        "wal",
        format!(
            "the write-ahead log has {} and cannot shrink; the database is open in: {processes}",
            format_bytes(size)
        ),
        "Close the program that reads the database, usually a sqlite3 shell with an open transaction. The log then \
         shrinks by itself.",
    );
}

/// Returns the other processes that have the database open, for a message.
pub(crate) fn describe_database_users(database: &Path) -> String {
    let users = port_holder::find_database_users(database).into_iter().filter(|(pid, _)| *pid != std::process::id());
    let users: Vec<String> = users.map(|(pid, name)| format!("{name} ({pid})")).collect();
    if users.is_empty() { "no process that this user can see".to_owned() } else { users.join(", ") }
}
