//! `sps list` and `sps show`: purchase orders as a table, or one order as on paper.

use crate::cli::filters::parse_number;
use crate::cli::output::{self, print_line};
use crate::cli::rows::RowFormatArgs;
use crate::cli::sps::paper;
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::times::TimeFormat;
use crate::store::db::diagnostics;
use crate::store::db::diagnostics::FileAtSource;
use crate::store::db::reader::Reader;
use crate::store::erp::purchase_order_views as views;
use crate::store::erp::purchase_order_views::{PurchaseOrderFilter, UnreadableFile};
use crate::text::format_count;
use anyhow::bail;
use clap::Args;

#[derive(Debug, Args)]
pub struct SpsListArgs {
    /// Only orders of this partner
    #[arg(long)]
    partner: Option<String>,
    /// Only orders that need a person: unclear, waiting, or not mapped; also files that could not be read or received
    #[arg(long)]
    attention: bool,
    /// Most orders to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of purchase orders in CSV. Those from `file` on are of files that could not be read or received.
const ORDER_COLUMNS: [&str; 18] = [
    "po_number",
    "partner",
    "release",
    "customer",
    "status",
    "ordered_on",
    "lines",
    "unmapped",
    "changes",
    "lines_total",
    "attention",
    "event_id",
    "file",
    "directory",
    "received_at",
    "error",
    "source",
    "next_attempt_at",
];

#[derive(Debug, Args)]
pub struct SpsShowArgs {
    /// Number of the purchase order
    number: String,
    /// Only the order of this partner, if several partners use the number
    #[arg(long)]
    partner: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn print_purchase_orders(reader: &Reader, args: &SpsListArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let filter =
        PurchaseOrderFilter { partner: args.partner.clone(), attention_only: args.attention, limit: args.limit };
    let orders = reader.read(|connection| views::list_purchase_orders(connection, &filter))?;
    // The partner of a file that cannot be read is not known.
    let (files_at_source, files) = if args.attention && args.partner.is_none() {
        reader.read(|connection| {
            Ok((diagnostics::list_files_at_source(connection)?, views::list_unreadable_files(connection, args.limit)?))
        })?
    } else {
        (Vec::new(), Vec::new())
    };
    if let Some(mut writer) = args.format.open_writer(&ORDER_COLUMNS)? {
        orders.iter().try_for_each(|order| writer.write_row(order))?;
        files.iter().try_for_each(|file| writer.write_row(file))?;
        return files_at_source.iter().try_for_each(|file| writer.write_row(file));
    }
    if !files_at_source.is_empty() {
        print_files_at_source(&files_at_source, times)?;
        print_line("")?;
    }
    if let Some(newest) = files.first() {
        print_unreadable_files(&files, newest.event_id, times)?;
        print_line("")?;
    }
    if orders.is_empty() {
        print_line("No purchase orders.")?;
        return Ok(());
    }
    print_table(
        &["PO", "PARTNER", "CUSTOMER", "STATUS", "ORDERED", "LINES", "UNMAPPED", "CHANGES", "TOTAL", "ATTENTION"],
        orders.iter().map(|order| {
            vec![
                order.po_number.clone().into(),
                order.partner.clone().into(),
                order.customer.clone().unwrap_or_else(|| "not mapped".to_owned()).into(),
                order.status.clone().into(),
                order.ordered_on.clone().unwrap_or_default().into(),
                order.lines.to_string().into(),
                order.unmapped.to_string().into(),
                order.changes.to_string().into(),
                order.lines_total.clone().unwrap_or_default().into(),
                free_text(order.attention.as_deref().unwrap_or_default()),
            ]
        }),
    )?;
    Ok(())
}

fn print_files_at_source(files: &[FileAtSource], times: &TimeFormat) -> anyhow::Result<()> {
    let count = format_count(files.len(), "file stays", "files stay");
    print_line(&format!("{count} at the source; correct the cause, then `novex-ingest sps poll`:"))?;
    print_table(
        &["SOURCE", "FILE", "EVENT", "NEXT ATTEMPT", "REASON"],
        files.iter().map(|file| {
            vec![
                file.source.clone().into(),
                free_text(file.file.clone()),
                file.event_id.map_or_else(|| "none".to_owned(), |id| id.to_string()).into(),
                time_cell(times, file.next_attempt_at.as_deref()),
                free_text(file.error.clone()),
            ]
        }),
    )?;
    Ok(())
}

fn print_unreadable_files(files: &[UnreadableFile], newest: i64, times: &TimeFormat) -> anyhow::Result<()> {
    let count = format_count(files.len(), "file", "files");
    print_line(&format!("{count} could not be read; `novex-ingest events show {newest} --body` prints the newest:"))?;
    print_table(
        &["EVENT", "FILE", "RECEIVED", "REASON"],
        files.iter().map(|file| {
            vec![
                file.event_id.to_string().into(),
                free_text(file.file.clone()),
                time_cell(times, Some(&file.received_at)),
                free_text(file.error.as_deref().unwrap_or_default()),
            ]
        }),
    )?;
    Ok(())
}

pub fn print_purchase_order(reader: &Reader, args: &SpsShowArgs) -> anyhow::Result<()> {
    let orders =
        reader.read(|connection| views::find_purchase_orders(connection, &args.number, args.partner.as_deref()))?;
    if orders.is_empty() {
        bail!("there is no purchase order {}; `novex-ingest sps list` lists all", args.number);
    }
    if args.json {
        return orders.iter().try_for_each(|order| Ok(print_line(&serde_json::to_string_pretty(order)?)?));
    }
    for order in &orders {
        print_line(&paper::format_order(order, output::measure_page_width()))?;
    }
    Ok(())
}
