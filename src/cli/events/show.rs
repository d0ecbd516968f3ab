//! `events show`: one event with its order, its rows, its state at each destination and its history; or its exact body.

use crate::cli::GlobalArgs;
use crate::cli::events::facts::{EventFacts, FactsReader};
use crate::cli::events::parse_stored_headers;
use crate::cli::filters::parse_number;
use crate::cli::output;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::table::{free_text, print_table};
use crate::config::SecretLoading;
use crate::presentation::times::TimeFormat;
use crate::store::db::reader::Reader;
use crate::store::erp::event_summary::EVENT_ROWS_MAX;
use crate::store::erp::messages::{self, MessageView};
use crate::store::events::history::HistoryEntry;
use crate::store::events::records::{EventRecord, Payload};
use crate::store::events::{destinations, history, records};
use crate::text::format_count;
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Debug, Args)]
pub struct EventsShowArgs {
    /// Id of the event
    #[arg(value_parser = parse_number::<i64>)]
    id: i64,
    /// Write the exact bytes of the body to standard output, and nothing else
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn print_event(global: &GlobalArgs, args: &EventsShowArgs) -> anyhow::Result<()> {
    let id = args.id;
    let config = global.load_config(SecretLoading::Skip)?;
    let times = global.time_format().for_programs(args.json);
    let shown = Reader::open(&config.store.path, 1)?.read(|connection| {
        let Some(event) = records::find_event(connection, id)? else { return Ok(None) };
        let facts = FactsReader::new(connection, &config, times.clone())?.read_facts(connection, &event)?;
        let history = history::list_history(connection, id)?;
        let payload = records::read_payload(connection, id)?;
        let deliveries = destinations::list_event_deliveries(connection, id)?;
        let conflicts = records::count_conflicts(connection, id)?;
        let messages = messages::list_messages_of_event(connection, id)?;
        Ok(Some((event, facts, history, payload, deliveries, conflicts, messages)))
    })?;
    let (event, facts, history, payload, deliveries, conflicts, messages) =
        shown.with_context(|| format!("there is no event {id}; `novex-ingest events list` lists the newest"))?;
    if args.body {
        let payload = payload.with_context(|| format!("event {id} has no body any more: it was redacted or pruned"))?;
        output::open_stdout().write_all(&payload.body)?;
        return Ok(());
    }
    if args.json {
        let mut document = serde_json::to_value(&event)?;
        document["history"] = serde_json::to_value(&history)?;
        document["deliveries"] = serde_json::to_value(&deliveries)?;
        document["headers"] = payload.as_ref().map_or(Value::Null, |payload| parse_stored_headers(&payload.headers));
        document["conflicts"] = json!(conflicts);
        document["body_bytes"] = json!(payload.as_ref().map(|payload| payload.body.len()));
        if !messages.is_empty() {
            document["messages"] = serde_json::to_value(&messages)?;
        }
        facts.add_to_document(&mut document);
        print_line(&document.to_string())?;
        return Ok(());
    }
    print_event_fields(event, &facts, payload.as_ref(), conflicts, &times)?;
    messages.iter().try_for_each(print_message)?;
    print_rows(&facts)?;
    print_destinations(&facts, &times)?;
    print_line("")?;
    print_history(history, &times)?;
    Ok(())
}

/// Prints a document for a person with its whole text.
fn print_message(message: &MessageView) -> std::io::Result<()> {
    print_line("")?;
    print_untrusted_line(&format!(
        "{} from {}: {}",
        message.describe_kind(),
        message.partner,
        message.describe_facts()
    ))?;
    message.text.lines().try_for_each(|line| print_untrusted_line(&format!("  {line}")))
}

fn print_event_fields(
    event: EventRecord,
    facts: &EventFacts,
    payload: Option<&Payload>,
    conflicts: u64,
    times: &TimeFormat,
) -> std::io::Result<()> {
    let format_at = |at: Option<String>| at.map(|at| times.format_time_with_age(&at));
    let id = event.identity.id;
    let body = payload.map_or("none: it was redacted or pruned".to_owned(), |payload| {
        let size = format_count(payload.body.len(), "byte", "bytes");
        format!("{size} (`novex-ingest events show {id} --body`)")
    });
    let status = event.status_text();
    let fields = [
        ("event", Some(id.to_string())),
        ("source", Some(event.identity.key.source.to_string())),
        ("topic", Some(event.identity.key.topic)),
        ("shop", Some(event.identity.key.shop_domain).filter(|shop| !shop.is_empty())),
        ("webhook id", Some(event.identity.key.webhook_id)),
        ("provider event id", event.provider_event_id),
        ("order", Some(facts.describe_orders().join("; ")).filter(|text| !text.is_empty())),
        ("customer", facts.rows.customer.clone()),
        ("status", Some(status)),
        ("attempts", Some(format!("{} of {}", event.attempts, event.max_attempts))),
        ("received at", format_at(Some(event.received_at))),
        ("triggered at", format_at(event.triggered_at)),
        ("next attempt at", format_at(event.next_attempt_at)),
        ("claimed by", event.locked_by),
        ("lease expires at", format_at(event.lease_expires_at)),
        ("finished at", format_at(event.completed_at)),
        ("error", event.last_error),
        ("note", event.note),
        ("dismissed at", format_at(event.dismissed_at)),
        ("dismissed by", event.dismissed_by),
        ("dismissed because", event.dismissed_reason),
        ("redacted at", format_at(event.redacted_at)),
        ("same body as", event.same_body_as.map(|other| format!("event {other}"))),
        ("repeats", (event.repeats > 0).then(|| format!("{}, see docs/events.md#keycloak", event.repeats))),
        ("body", Some(body)),
        ("conflicts", describe_conflicts(conflicts)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            print_untrusted_line(&format!("{name:<18} {value}"))?;
        }
    }
    Ok(())
}

/// Returns what the later requests with the webhook id of an event were. None if each had the bytes of the event.
fn describe_conflicts(count: u64) -> Option<String> {
    let requests = format_count(count, "later request", "later requests");
    (count > 0).then(|| {
        format!("{requests} had this webhook id and other bytes, and changed nothing: the view `conflicts` has them")
    })
}

fn print_history(history: Vec<HistoryEntry>, times: &TimeFormat) -> std::io::Result<()> {
    print_table(
        &["AT", "STATUS", "ATTEMPT", "WORKER", "MS", "ERROR"],
        history.into_iter().map(|entry| {
            let from = entry.from_status.map_or(String::new(), |from| format!("{from} → "));
            vec![
                times.format_precise_time(&entry.at).into(),
                format!("{from}{}", entry.to_status).into(),
                entry.attempt.to_string().into(),
                free_text(entry.worker.unwrap_or_default()),
                entry.duration_ms.map_or(String::new(), |ms| ms.to_string()).into(),
                free_text(entry.error.unwrap_or_default()),
            ]
        }),
    )
}

fn print_rows(facts: &EventFacts) -> std::io::Result<()> {
    if facts.rows.rows.is_empty() {
        return Ok(());
    }
    print_line("")?;
    print_table(
        &["TABLE", "KEY", "NAME", "NEWEST EVENT"],
        facts.rows.rows.iter().map(|row| {
            vec![
                row.table.into(),
                row.key_text().into(),
                free_text(row.name.clone().unwrap_or_default()),
                row.event_id.map_or(String::new(), |id| id.to_string()).into(),
            ]
        }),
    )?;
    if facts.rows.has_more {
        print_line(&format!("Only the first {EVENT_ROWS_MAX} rows are listed."))?;
    }
    Ok(())
}

/// Prints the destinations as lines, because an answer of the ERP is longer than a cell of a table.
fn print_destinations(facts: &EventFacts, times: &TimeFormat) -> std::io::Result<()> {
    if facts.destinations.is_empty() {
        return Ok(());
    }
    print_line("")?;
    print_line(&format!("{:<18} STATE", "DESTINATION"))?;
    facts.destinations.iter().try_for_each(|progress| {
        print_untrusted_line(&format!("{:<18} {}", progress.destination, progress.describe(times)))
    })
}
