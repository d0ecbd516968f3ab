//! `sps parse`: reads an EDI file and prints its documents and faults.

use crate::cli::output::{self, print_line, print_untrusted_line};
use crate::cli::sps::{paper, read_file_or_stdin};
use crate::edi::file::{self, EdiFile, FaultSeverity};
use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::x12::answers::is_answer_set;
use crate::edi::x12::messages::is_message_set;
use crate::store::erp::purchase_order_views as views;
use crate::text::format_count;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct SpsParseArgs {
    /// EDI file; - for standard input
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn parse_edi_file(args: &SpsParseArgs) -> anyhow::Result<()> {
    let file = file::read_edi_file(&read_file_or_stdin(&args.file)?);
    if args.json {
        print_file_as_json(&file)?;
    } else {
        print_file(&file)?;
    }
    let rejected = file.documents.iter().filter(|document| document.is_rejected()).count();
    if file.has_unread_part() && rejected == 0 {
        let name = args.file.display();
        if file.count_orders() > 0 {
            bail!("a part of {name} cannot be read; the faults above give the reasons");
        }
        bail!("{name} cannot be read as EDI: novex-ingest reads X12, and RSX in XML or JSON");
    }
    if rejected > 0 {
        bail!("{} rejected; the faults above give the reasons", format_count(rejected, "document is", "documents are"));
    }
    Ok(())
}

fn print_file_as_json(file: &EdiFile) -> anyhow::Result<()> {
    let orders: Vec<&PurchaseOrder> = file.documents.iter().filter_map(|document| document.order.as_ref()).collect();
    let faults: Vec<_> = file.all_faults().collect();
    let documents: Vec<_> = file
        .documents
        .iter()
        .map(|document| {
            json!({
                "kind": document.kind, "control_number": document.control_number, "accepted": document.order.is_some()
            })
        })
        .collect();
    let answers: Vec<_> = file
        .answers
        .iter()
        .map(|answer| {
            json!({
                "kind": answer.kind, "target": answer.describe_target(), "verdict": answer.verdict.as_str(),
                "code": answer.code, "reasons": answer.reasons
            })
        })
        .collect();
    let messages: Vec<_> = file
        .messages
        .iter()
        .map(|(_, message)| json!({"kind": message.kind, "summary": message.summarize(), "text": message.text}))
        .collect();
    let json = json!({
        "format": file.format.as_str(), "kind": file.kind, "documents": documents, "orders": orders, "faults": faults,
        "answers": answers, "messages": messages
    });
    Ok(print_line(&serde_json::to_string_pretty(&json)?)?)
}

fn print_file(file: &EdiFile) -> anyhow::Result<()> {
    let count = format_count(file.documents.len(), "document", "documents");
    print_line(&format!("{}: {}, {count}", file.format.as_str(), file.kind))?;
    for document in &file.documents {
        print_line("")?;
        let name = format!("{} {}", document.kind, document.control_number);
        match &document.order {
            Some(order) => {
                let width = output::measure_page_width();
                print_line(&paper::format_order(&views::to_order_view(order), width))?;
            }
            None if document.is_rejected() => print_line(&format!("{name}: rejected"))?,
            None if is_answer_set(&document.kind) => print_line(&format!("{name}: answers"))?,
            None if is_message_set(&document.kind) => print_line(&format!("{name}: for a person"))?,
            None => print_line(&format!("{name}: not an order; it would only be stored"))?,
        }
        for fault in &document.faults {
            print_line(&format!("  {} {fault}", severity_label(fault.severity)))?;
        }
    }
    print_answers_and_messages(file)?;
    let outer_faults: Vec<_> = file.faults.iter().chain(file.groups.iter().flat_map(|group| &group.faults)).collect();
    if !outer_faults.is_empty() {
        print_line("")?;
    }
    for fault in outer_faults {
        print_line(&format!("{} {fault}", severity_label(fault.severity)))?;
    }
    Ok(())
}

/// Prints what the file answers, and what it has for a person.
fn print_answers_and_messages(file: &EdiFile) -> anyhow::Result<()> {
    for answer in &file.answers {
        let verdict = format!("{} ({})", answer.verdict.as_str(), answer.code);
        print_untrusted_line(&format!("{} for {}: {verdict}", answer.kind, answer.describe_target()))?;
        answer.reasons.iter().try_for_each(|reason| print_untrusted_line(&format!("  {reason}")))?;
    }
    for (_, message) in &file.messages {
        print_untrusted_line(&message.summarize())?;
        message.text.lines().try_for_each(|line| print_untrusted_line(&format!("  {line}")))?;
    }
    Ok(())
}

fn severity_label(severity: FaultSeverity) -> &'static str {
    if severity == FaultSeverity::Error { "ERROR" } else { "note" }
}
