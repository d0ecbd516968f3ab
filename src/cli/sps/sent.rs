//! `sps sent`: the documents that were sent, and what the partners answered.

use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::table::{TableCell, free_text, print_table, time_cell};
use crate::clock::Clock;
use crate::config::Config;
use crate::presentation::times::TimeFormat;
use crate::store::db::reader::Reader;
use crate::store::erp::messages::MessageView;
use crate::store::erp::sent_views::{self, SentFilter, SentSelection, SentSummary, UnmatchedAnswer};
use crate::text::format_count;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct SpsSentArgs {
    /// Only documents to this partner
    #[arg(long)]
    partner: Option<String>,
    /// Only documents that the partner rejected
    #[arg(long, conflicts_with_all = ["overdue", "attention"])]
    rejected: bool,
    /// Only documents without an answer in time: `acknowledgement_timeout`
    #[arg(long, conflicts_with = "attention")]
    overdue: bool,
    /// Only documents that need a person: rejected, overdue, or with unclear answers; also answers that fit no document
    #[arg(long)]
    attention: bool,
    /// Most documents to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of sent documents in CSV.
const SENT_COLUMNS: [&str; 18] = [
    "event_id",
    "kind",
    "number",
    "partner",
    "purchase_orders",
    "total",
    "is_test",
    "sent_at",
    "delivered_at",
    "state",
    "reasons",
    "answered_at",
    "file_name",
    "interchange",
    "group_number",
    "set_number",
    "dismissed_at",
    "dismissed_reason",
];

/// An answer that fits no document, with the columns of a sent document.
#[derive(Debug, Serialize)]
struct UnmatchedRow<'a> {
    event_id: i64,
    /// 997, 999, TA1 or 824.
    kind: &'a str,
    partner: &'a str,
    is_test: bool,
    state: &'static str,
    reasons: [&'a str; 2],
    answered_at: &'a str,
}

impl<'a> UnmatchedRow<'a> {
    fn new(answer: &'a UnmatchedAnswer) -> Self {
        Self {
            event_id: answer.event_id,
            kind: &answer.kind,
            partner: &answer.partner,
            is_test: answer.is_test,
            state: "unmatched",
            reasons: [&answer.verdict, &answer.problem],
            answered_at: &answer.received_at,
        }
    }
}

pub(super) fn print_sent_documents(config: &Config, args: &SpsSentArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let selection = match (args.rejected, args.overdue, args.attention) {
        (true, ..) => SentSelection::Rejected,
        (_, true, _) => SentSelection::Overdue,
        (.., true) => SentSelection::Attention,
        _ => SentSelection::All,
    };
    let filter = SentFilter {
        partner: args.partner.clone(),
        selection,
        overdue_before: config.find_overdue_limit(Clock::system().now()),
        limit: args.limit,
    };
    let reader = Reader::open(&config.store.path, 1)?;
    let (documents, answers) = reader.read(|connection| {
        let answers = if args.attention {
            sent_views::list_unmatched_answers(connection, args.partner.as_deref(), args.limit)?
        } else {
            Vec::new()
        };
        Ok((sent_views::list_sent_documents(connection, &filter)?, answers))
    })?;
    if let Some(mut writer) = args.format.open_writer(&SENT_COLUMNS)? {
        documents.iter().try_for_each(|document| writer.write_row(document))?;
        return answers.iter().try_for_each(|answer| writer.write_row(&UnmatchedRow::new(answer)));
    }
    if !answers.is_empty() {
        print_unmatched_answers(&answers, times)?;
        print_line("")?;
    }
    if documents.is_empty() {
        print_line("No sent documents.")?;
        return Ok(());
    }
    print_document_table(&documents, times)
}

/// Prints documents as a table.
fn print_document_table(documents: &[SentSummary], times: &TimeFormat) -> anyhow::Result<()> {
    let to_row = |document: &SentSummary| -> Vec<TableCell> {
        let test = if document.is_test { " (test)" } else { "" };
        let dismissed = document.dismissed_reason.as_ref().map(|reason| format!("dismissed: {reason}"));
        let reasons = dismissed.into_iter().chain(document.reasons.iter().cloned()).collect::<Vec<_>>();
        vec![
            document.event_id.to_string().into(),
            format!("{}{test}", document.describe()).into(),
            document.partner.clone().into(),
            document.purchase_orders.clone().unwrap_or_default().into(),
            time_cell(times, Some(&document.sent_at)),
            document.describe_state().to_owned().into(),
            free_text(reasons.join("; ")),
        ]
    };
    print_table(&["EVENT", "DOCUMENT", "PARTNER", "PO", "SENT", "STATE", "REASONS"], documents.iter().map(to_row))?;
    Ok(())
}

/// Prints the documents that need a person, with what to do.
pub(super) fn print_refused_documents(documents: &[SentSummary], times: &TimeFormat) -> anyhow::Result<()> {
    let count = format_count(documents.len(), "sent document was", "sent documents were");
    let newest = documents[0].event_id;
    print_line(&format!(
        "{count} rejected or not answered; correct and send each again under a new number, then `novex-ingest events \
         dismiss {newest} --reason TEXT`:"
    ))?;
    print_document_table(documents, times)
}

/// Prints the answers that fit no document, with what to do.
pub(super) fn print_unmatched_answers(answers: &[UnmatchedAnswer], times: &TimeFormat) -> anyhow::Result<()> {
    let count = format_count(answers.len(), "answer fits", "answers fit");
    let newest = answers[0].event_id;
    print_line(&format!(
        "{count} no sent document; ask the partner, then `novex-ingest events dismiss {newest} --reason TEXT`:"
    ))?;
    print_table(
        &["EVENT", "ANSWER", "PARTNER", "VERDICT", "RECEIVED", "PROBLEM"],
        answers.iter().map(|answer| {
            vec![
                answer.event_id.to_string().into(),
                format!("{}{}", answer.kind, if answer.is_test { " (test)" } else { "" }).into(),
                answer.partner.clone().into(),
                answer.verdict.clone().into(),
                time_cell(times, Some(&answer.received_at)),
                free_text(answer.problem.clone()),
            ]
        }),
    )?;
    Ok(())
}

/// Prints the messages, payment advices, credits and debits that nobody dismissed.
pub(super) fn print_messages(messages: &[MessageView], times: &TimeFormat) -> anyhow::Result<()> {
    let count = format_count(messages.len(), "document", "documents");
    let newest = messages[0].event_id;
    print_line(&format!(
        "{count} for a person; `novex-ingest events show {newest}` prints the newest, `novex-ingest events dismiss {newest} \
         --reason TEXT` ends it:"
    ))?;
    print_table(
        &["EVENT", "DOCUMENT", "PARTNER", "RECEIVED", "FACTS", "TEXT"],
        messages.iter().map(|message| {
            vec![
                message.event_id.to_string().into(),
                message.describe_kind().into(),
                message.partner.clone().into(),
                time_cell(times, Some(&message.received_at)),
                message.describe_facts().into(),
                free_text(message.text.lines().collect::<Vec<_>>().join(" / ")),
            ]
        }),
    )?;
    Ok(())
}
