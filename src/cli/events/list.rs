//! `events list` and `events export`: events that match a filter, as a table or as JSON lines.

use crate::cli::GlobalArgs;
use crate::cli::events::parse_stored_headers;
use crate::cli::filters::{EventFilterArgs, for_each_event, parse_number};
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::table::{free_text, print_table, status_cell, time_cell};
use crate::presentation::times::TimeFormat;
use crate::store::events::records;
use crate::store::events::records::{EventFilter, EventRecord, EventStatus};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

#[derive(Debug, Args)]
pub struct EventsListArgs {
    #[command(flatten)]
    filter: EventFilterArgs,
    /// Most events to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of events in CSV.
pub(super) const EVENT_COLUMNS: [&str; 24] = [
    "id",
    "received_at",
    "source",
    "topic",
    "shop_domain",
    "webhook_id",
    "status",
    "attempts",
    "max_attempts",
    "next_attempt_at",
    "last_error",
    "note",
    "completed_at",
    "triggered_at",
    "provider_event_id",
    "same_body_as",
    "test",
    "redacted_at",
    "dismissed_at",
    "dismissed_by",
    "dismissed_reason",
    "locked_by",
    "locked_at",
    "lease_expires_at",
];

#[derive(Debug, Args)]
pub struct EventsExportArgs {
    #[command(flatten)]
    filter: EventFilterArgs,
    /// Most events to export; the newest ones [default: all]
    #[arg(long, value_parser = parse_number::<u32>)]
    limit: Option<u32>,
    /// Print one JSON line per event, which is the only format
    #[arg(long)]
    json: bool,
}

pub fn print_events(global: &GlobalArgs, args: &EventsListArgs) -> anyhow::Result<()> {
    let (reader, times) = (global.open_reader()?, global.time_format());
    let filter = args.filter.to_filter(&times);
    if let Some(mut writer) = args.format.open_writer(&EVENT_COLUMNS)? {
        return for_each_event(&reader, &filter, None, Some(args.limit), |event| writer.write_row(&event));
    }
    let mut rows = Vec::new();
    for_each_event(&reader, &filter, None, Some(args.limit), |event| {
        rows.push(event);
        Ok(())
    })?;
    if rows.is_empty() {
        print_line("No such events.")?;
    } else {
        print_event_table(rows, &times)?;
    }
    if filter.status == Some(EventStatus::Failed) {
        let dismissed = EventFilter { status: Some(EventStatus::Dismissed), ..filter };
        let dismissed = reader.read(|connection| records::list_events(connection, &dismissed, None, 1))?;
        if !dismissed.is_empty() {
            print_line("Dismissed events are not listed: `novex-ingest events list --status dismissed`")?;
        }
    }
    Ok(())
}

fn print_event_table(events: Vec<EventRecord>, times: &TimeFormat) -> anyhow::Result<()> {
    print_table(
        &["ID", "RECEIVED", "SOURCE", "TOPIC", "SHOP", "STATUS", "ATTEMPTS", "ERROR OR NOTE"],
        events.into_iter().map(|event| {
            let status = status_cell(&event.status_text());
            let message = event.last_error.or(event.note).unwrap_or_default();
            let message = match event.dismissed_reason {
                Some(reason) => format!("{reason}; it failed with: {message}"),
                None => message,
            };
            vec![
                event.identity.id.to_string().into(),
                time_cell(times, Some(&event.received_at)),
                event.identity.key.source.as_str().into(),
                free_text(event.identity.key.topic),
                free_text(event.identity.key.shop_domain),
                status,
                format!("{} of {}", event.attempts, event.max_attempts).into(),
                free_text(message),
            ]
        }),
    )?;
    Ok(())
}

pub fn export_events(global: &GlobalArgs, args: &EventsExportArgs) -> anyhow::Result<()> {
    let reader = global.open_reader()?;
    for_each_event(&reader, &args.filter.to_filter(&global.time_format()), None, args.limit, |event| {
        let payload = reader.read(|connection| records::read_payload(connection, event.identity.id))?;
        let mut document = serde_json::to_value(&event)?;
        if let Some(payload) = payload {
            document["headers"] = parse_stored_headers(&payload.headers);
            // Base64, because a body can hold any bytes and the export keeps them exactly.
            document["body_base64"] = STANDARD.encode(&payload.body).into();
        }
        Ok(print_line(&document.to_string())?)
    })
}
