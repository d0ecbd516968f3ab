//! `sps send`: checks an invoice or a ship notice of the ERP against its purchase orders, and queues it.

use crate::cli::output::print_line;
use crate::cli::sps::read_file_or_stdin;
use crate::cli::store::with_store;
use crate::config::Config;
use crate::edi::outbound::ErpDocument;
use crate::store::erp::sent_documents::{SendDocumentOutcome, SendDocumentRequest};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct SpsSendArgs {
    /// Kind of document: 810 for an invoice (880 if the order is an 875), 856 for a ship notice
    #[arg(value_parser = ["810", "856", "880"])]
    kind: String,
    /// File with the document in JSON, as docs/edi.md describes it; - for standard input
    file: PathBuf,
    /// Check the document and print the EDI file, and send nothing
    #[arg(long)]
    check: bool,
    /// Send although prices, quantities or check digits differ from the order; the total must still add up
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn send_outbound_document(config: &Config, args: &SpsSendArgs) -> anyhow::Result<()> {
    let kind = &args.kind;
    if !args.check && config.sps.as_ref().is_none_or(|sps| sps.outbound.is_none()) {
        let path = config.path.display();
        bail!("{path} has no outgoing in [sps], so that no document can reach the partner: set sps.outgoing");
    }
    let request = read_request(config, args)?;
    let number = request.document.number().to_owned();
    let outcome = with_store(config, async |store| Ok(store.send_document(request).await?))?;
    let (sent, progress) = match outcome {
        SendDocumentOutcome::Refused(problems) => {
            if args.json {
                print_line(&json!({"problems": problems}).to_string())?;
            }
            bail!("{kind} {number} was not sent, and nothing was changed:\n  {}", problems.join("\n  "));
        }
        SendDocumentOutcome::Valid(text) if args.json => {
            return Ok(print_line(&json!({"file": text}).to_string())?);
        }
        SendDocumentOutcome::Valid(text) => return Ok(print_line(text.trim_end())?),
        SendDocumentOutcome::Queued(sent) => (sent, None),
        SendDocumentOutcome::AlreadySent(sent, progress, false) => (sent, Some(progress)),
        SendDocumentOutcome::AlreadySent(sent, progress, true) => {
            bail!("{kind} {number} was queued before as event {}: {progress}", sent.event_id)
        }
    };
    print_line(&if args.json {
        json!({
            "event_id": sent.event_id, "file": sent.file_name, "partner": sent.partner,
            "duplicate": progress.is_some(), "status": progress
        })
        .to_string()
    } else {
        let result = progress.map_or("is queued".to_owned(), |progress| format!("was sent before ({progress})"));
        format!("{kind} {number} to {} {result}: {}, event {}", sent.partner, sent.file_name, sent.event_id)
    })?;
    Ok(())
}

fn read_request(config: &Config, args: &SpsSendArgs) -> anyhow::Result<SendDocumentRequest> {
    let is_stdin = args.file.as_os_str() == "-";
    let file = if is_stdin { "standard input".to_owned() } else { args.file.display().to_string() };
    let text = String::from_utf8(read_file_or_stdin(&args.file)?)
        .with_context(|| format!("{file} is not UTF-8: save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').to_owned();
    let document = ErpDocument::parse_json(&args.kind, &text).map_err(|error| {
        anyhow::anyhow!("{file} is not a document {} as docs/edi.md describes it: {error}", args.kind)
    })?;
    Ok(SendDocumentRequest {
        document,
        document_json: text,
        lenient: args.force,
        dry_run: args.check,
        max_attempts: config.worker.max_attempts,
        partners: config.sps.as_ref().map(|sps| sps.partners.clone()).unwrap_or_default(),
    })
}
