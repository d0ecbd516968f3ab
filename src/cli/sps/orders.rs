//! `sps list` and `sps show`: purchase orders as a table, or one order as on paper.

use crate::cli::filters::parse_number;
use crate::cli::output::{self, print_line};
use crate::cli::rows::RowFormatArgs;
use crate::cli::sps::{paper, sent};
use crate::cli::table::{free_text, print_table, time_cell};
use crate::clock::Clock;
use crate::config::Config;
use crate::presentation::times::TimeFormat;
use crate::store::db::diagnostics;
use crate::store::db::diagnostics::FileAtSource;
use crate::store::db::reader::Reader;
use crate::store::erp::messages::{self, MessageView};
use crate::store::erp::purchase_order_views as views;
use crate::store::erp::purchase_order_views::{PurchaseOrderFilter, UnreadableFile};
use crate::store::erp::sent_views::{self, SentFilter, SentSelection, SentSummary, UnmatchedAnswer};
use crate::text::format_count;
use anyhow::bail;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct SpsListArgs {
    /// Only orders of this partner
    #[arg(long)]
    partner: Option<String>,
    /// Only orders that need a person: unclear, waiting, or not mapped; also files that could not be read
    /// or received, and sent documents that were rejected or not answered, and messages
    #[arg(long)]
    attention: bool,
    /// Most orders to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of purchase orders in CSV. Those from `file` on are of files that could not be read or received;
/// `document` is a sent document, an answer or a message that needs a person.
const ORDER_COLUMNS: [&str; 19] = [
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
    "document",
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

pub(crate) fn print_purchase_orders(config: &Config, args: &SpsListArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let reader = Reader::open(&config.store.path, 1)?;
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
    let answers = read_answer_sections(config, &reader, args)?;
    if let Some(mut writer) = args.format.open_writer(&ORDER_COLUMNS)? {
        orders.iter().try_for_each(|order| writer.write_row(order))?;
        files.iter().try_for_each(|file| writer.write_row(file))?;
        files_at_source.iter().try_for_each(|file| writer.write_row(file))?;
        return answers.to_rows().iter().try_for_each(|row| writer.write_row(row));
    }
    if !files_at_source.is_empty() {
        print_files_at_source(&files_at_source, times)?;
        print_line("")?;
    }
    if let Some(newest) = files.first() {
        print_unreadable_files(&files, newest.event_id, times)?;
        print_line("")?;
    }
    if !answers.refused.is_empty() {
        sent::print_refused_documents(&answers.refused, times)?;
        print_line("")?;
    }
    if !answers.unmatched.is_empty() {
        sent::print_unmatched_answers(&answers.unmatched, times)?;
        print_line("")?;
    }
    if !answers.messages.is_empty() {
        sent::print_messages(&answers.messages, times)?;
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

/// What partners answered that needs a person.
#[derive(Debug, Default)]
struct AnswerSections {
    refused: Vec<SentSummary>,
    unmatched: Vec<UnmatchedAnswer>,
    messages: Vec<MessageView>,
}

/// A sent document or an answer among the orders that need a person.
#[derive(Debug, Serialize)]
struct AnswerRow {
    event_id: i64,
    partner: String,
    document: String,
    attention: String,
}

impl AnswerSections {
    fn to_rows(&self) -> Vec<AnswerRow> {
        let refused = self.refused.iter().map(|document| {
            let reasons: Vec<&str> =
                std::iter::once(document.describe_state()).chain(document.reasons.iter().map(String::as_str)).collect();
            AnswerRow {
                event_id: document.event_id,
                partner: document.partner.clone(),
                document: document.describe(),
                attention: reasons.join("; "),
            }
        });
        let unmatched = self.unmatched.iter().map(|answer| AnswerRow {
            event_id: answer.event_id,
            partner: answer.partner.clone(),
            document: format!("answer {}", answer.kind),
            attention: format!("{}: {}", answer.verdict, answer.problem),
        });
        let messages = self.messages.iter().map(|message| AnswerRow {
            event_id: message.event_id,
            partner: message.partner.clone(),
            document: message.describe_kind(),
            attention: [message.describe_facts(), message.text.clone()].join(": "),
        });
        refused.chain(unmatched).chain(messages).collect()
    }
}

fn read_answer_sections(config: &Config, reader: &Reader, args: &SpsListArgs) -> anyhow::Result<AnswerSections> {
    if !args.attention {
        return Ok(AnswerSections::default());
    }
    let filter = SentFilter {
        partner: args.partner.clone(),
        selection: SentSelection::Attention,
        overdue_before: config.find_overdue_limit(Clock::system().now()),
        limit: args.limit,
    };
    Ok(reader.read(|connection| {
        Ok(AnswerSections {
            refused: sent_views::list_sent_documents(connection, &filter)?,
            unmatched: sent_views::list_unmatched_answers(connection, args.partner.as_deref(), args.limit)?,
            messages: messages::list_open_messages(connection, args.partner.as_deref(), args.limit)?,
        })
    })?)
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
    print_line(&format!(
        "{count} could not be read in whole; `novex-ingest events show {newest} --body` prints the newest:"
    ))?;
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

pub fn print_purchase_order(config: &Config, args: &SpsShowArgs) -> anyhow::Result<()> {
    let (reader, overdue_before) =
        (Reader::open(&config.store.path, 1)?, config.find_overdue_limit(Clock::system().now()));
    let orders = reader.read(|connection| {
        views::find_purchase_orders(connection, &args.number, args.partner.as_deref(), overdue_before.as_deref())
    })?;
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
