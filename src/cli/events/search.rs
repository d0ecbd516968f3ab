//! `events search`: finds events by an order, a customer, a product, a tracking code or a number, and shows what they
//! became.

use crate::cli::GlobalArgs;
use crate::cli::events::facts::{EventFacts, FactsReader};
use crate::cli::events::list::EVENT_COLUMNS;
use crate::cli::filters::parse_number;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::rows::RowFormatArgs;
use crate::config::SecretLoading;
use crate::presentation::times::TimeFormat;
use crate::store::db::reader::Reader;
use crate::store::events::search::{self, SCAN_ROWS_MAX, SearchHit};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct EventsSearchArgs {
    /// Order name or number, PO number, name, company or e-mail address of a customer, product title, SKU, tracking
    /// code, any id of Shopify, or a part of one
    #[arg(value_name = "TEXT")]
    text: String,
    /// Most events to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of a found event in CSV, after those of every event.
const FACT_COLUMNS: [&str; 8] =
    ["subject", "order_number", "customer", "total", "currency", "orders", "rows", "destinations"];

/// Columns of found events in CSV.
const HIT_COLUMNS: [&str; EVENT_COLUMNS.len() + FACT_COLUMNS.len()] = {
    let mut columns = [""; EVENT_COLUMNS.len() + FACT_COLUMNS.len()];
    columns.split_at_mut(EVENT_COLUMNS.len()).0.copy_from_slice(&EVENT_COLUMNS);
    columns.split_at_mut(EVENT_COLUMNS.len()).1.copy_from_slice(&FACT_COLUMNS);
    columns
};

pub fn print_search_hits(global: &GlobalArgs, args: &EventsSearchArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let reader = Reader::open(&config.store.path, 1)?;
    let result = reader.read(|connection| search::search_events(connection, &args.text, args.limit))?;
    let times = global.time_format().for_programs(args.format.is_for_programs());
    let facts_reader = reader.read(|connection| FactsReader::new(connection, &config, times.clone()))?;
    let mut writer = args.format.open_writer(&HIT_COLUMNS)?;
    if result.hits.is_empty() && writer.is_none() {
        print_line("No event matches.")?;
    }
    for (index, hit) in result.hits.iter().enumerate() {
        let facts = reader.read(|connection| facts_reader.read_facts(connection, &hit.event))?;
        if let Some(writer) = &mut writer {
            let mut document = serde_json::to_value(&hit.event)?;
            document["subject"] = json!(hit.about);
            facts.add_to_document(&mut document);
            writer.write_row(&document)?;
            continue;
        }
        if index > 0 {
            print_line("")?;
        }
        print_search_hit(hit, &facts, &times)?;
    }
    if writer.is_some() {
        return Ok(());
    }
    if result.has_more {
        print_line("\nMore events match: raise --limit, or search for more of the text.")?;
    }
    if result.skipped_old_rows {
        print_line(&format!(
            "\nA table has more than {SCAN_ROWS_MAX} rows: in older ones only the start of the text was searched."
        ))?;
    }
    Ok(())
}

/// Prints a block of lines, because an answer of the ERP is longer than a cell of a table.
fn print_search_hit(hit: &SearchHit, facts: &EventFacts, times: &TimeFormat) -> std::io::Result<()> {
    let event = &hit.event;
    let key = &event.identity.key;
    let head = format!(
        "event {}  {}  {} {}  {}",
        event.identity.id,
        times.format_time_with_age(&event.received_at),
        key.source,
        key.topic,
        event.status_text()
    );
    print_untrusted_line(&head)?;
    let message = event.last_error.as_ref().or(event.note.as_ref());
    let orders = facts.describe_orders();
    let own_customer = if orders.is_empty() { facts.rows.customer.as_ref() } else { None };
    let lines = [
        message.map(|text| format!("{text}; `novex-ingest events show {}`", event.identity.id)),
        Some(orders.join("; ")).filter(|text| !text.is_empty()).map(|text| format!("order {text}")),
        own_customer.map(|name| format!("customer {name}")),
        Some(facts.describe_rows().join(", ")).filter(|text| !text.is_empty()).map(|text| format!("rows: {text}")),
    ];
    for line in lines.into_iter().flatten() {
        print_untrusted_line(&format!("    {line}"))?;
    }
    for progress in &facts.destinations {
        print_untrusted_line(&format!("    {}: {}", progress.destination, progress.describe(times)))?;
    }
    print_untrusted_line(&format!("    found by {}", hit.about))
}
