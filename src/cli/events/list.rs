//! `events list` and `events export`: events that match a filter, as a table or as JSON lines.

use crate::cli::events::parse_stored_headers;
use crate::cli::filters::{EventFilterArgs, for_each_event, parse_number};
use crate::cli::output::{format_status, print_line, print_table, shorten_text};
use crate::store::db::reader::Reader;
use crate::store::events::records;
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
    /// Print one JSON line per event
    #[arg(long)]
    json: bool,
}

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

pub fn print_events(reader: &Reader, args: &EventsListArgs) -> anyhow::Result<()> {
    let filter = args.filter.to_filter();
    if args.json {
        return for_each_event(reader, &filter, None, Some(args.limit), |event| {
            Ok(print_line(&serde_json::to_string(&event)?)?)
        });
    }
    let mut rows = Vec::new();
    for_each_event(reader, &filter, None, Some(args.limit), |event| {
        rows.push(event);
        Ok(())
    })?;
    if rows.is_empty() {
        print_line("No such events.")?;
        return Ok(());
    }
    print_table(
        &["ID", "RECEIVED", "SOURCE", "TOPIC", "SHOP", "STATUS", "ATTEMPTS", "ERROR OR NOTE"],
        rows.into_iter().map(|event| {
            let status = format_status(&event.status_text());
            let message = event.last_error.or(event.note).unwrap_or_default();
            let message = match (&event.dismissed_at, event.dismissed_reason) {
                (Some(_), Some(reason)) => format!("dismissed ({reason}): {message}"),
                (Some(_), None) => format!("dismissed: {message}"),
                (None, _) => message,
            };
            vec![
                event.identity.id.to_string().into(),
                event.received_at.into(),
                event.identity.key.source.as_str().into(),
                event.identity.key.topic.into(),
                event.identity.key.shop_domain.into(),
                status,
                format!("{} of {}", event.attempts, event.max_attempts).into(),
                shorten_text(&message, 80).into(),
            ]
        }),
    )?;
    Ok(())
}

pub fn export_events(reader: &Reader, args: &EventsExportArgs) -> anyhow::Result<()> {
    for_each_event(reader, &args.filter.to_filter(), None, args.limit, |event| {
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
