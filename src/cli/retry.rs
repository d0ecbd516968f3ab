//! `events retry`: by number, or everything that fits a filter, some at a time.

use super::events::{PAGE, Which, pages};
use super::output::line;
use super::{Place, work};
use crate::config::Secrets;
use crate::queue::process;
use crate::store::events::Status;
use crate::store::reader::Reader;
use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub struct Retry {
    /// The events' numbers; completed ones are worked again too
    #[arg(required_unless_present_any = ["status", "source", "topic", "since", "limit", "before"],
          conflicts_with_all = ["status", "source", "topic", "since", "limit", "before"])]
    ids: Vec<i64>,
    /// Without numbers: all events that fit, failed ones unless --status says otherwise
    #[command(flatten)]
    which: Which,
    /// At most so many, the newest
    #[arg(long)]
    limit: Option<u32>,
    /// Only events before this number: goes on where an interrupted retry stopped
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// Only say which events it would be
    #[arg(long)]
    dry_run: bool,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

pub fn run(place: &Place, arguments: &Retry) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let mut filter = arguments.which.filter();
    if filter.status == Some(Status::Processing) {
        bail!("events that are being worked cannot be brought back; they come back by themselves if their worker dies");
    }
    let mut seen = BTreeSet::new();
    let mut ids: Vec<i64> = arguments.ids.iter().copied().filter(|id| seen.insert(*id)).collect();
    let by_filter = ids.is_empty();
    if by_filter {
        filter.status = filter.status.or(Some(Status::Failed));
        pages(&Reader::open(&config.store.path, 1)?, &filter, arguments.before, arguments.limit, |event| {
            ids.push(event.id);
            Ok(())
        })?;
    }
    if ids.is_empty() {
        if !arguments.json {
            line("No such events.")?;
        }
        return Ok(());
    }
    if arguments.dry_run {
        for id in &ids {
            line(&if arguments.json {
                json!({"event_id": id}).to_string()
            } else {
                format!("event {id} would be due now")
            })?;
        }
        return Ok(());
    }
    let bar = bar(ids.len());
    let retried = work::block_on(async {
        let store = work::open_existing(&config)?;
        let mut retried = 0;
        for page in ids.chunks(PAGE as usize) {
            let done = store.retry(page.to_vec(), config.worker.max_attempts, process::current().worker).await?;
            retried += done.len();
            for event in &done {
                let (id, was) = (event.event_id, event.was);
                let text = if arguments.json {
                    json!({"event_id": id, "was": was, "status": "received"}).to_string()
                } else {
                    format!("event {id} was {was} and is due now")
                };
                bar.suspend(|| line(&text))?;
            }
            bar.inc(page.len() as u64);
            // Every page is a transaction of its own; what is left after an interruption is before this one.
            bar.set_message(format!("interrupted, go on with --before {}", page.last().copied().unwrap_or_default()));
        }
        store.writer.close().await;
        Ok::<_, anyhow::Error>(retried)
    })??;
    bar.finish_and_clear();
    let left = ids.len() - retried;
    if left > 0 && !by_filter {
        bail!(
            "{left} of {} events do not exist, are being worked, or have no body any more ([retention]), and were left alone",
            ids.len()
        );
    }
    Ok(())
}

/// Shown on a terminal only, and only when there is something to wait for.
fn bar(events: usize) -> ProgressBar {
    if events <= PAGE as usize {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} events, {eta} left; {msg}");
    ProgressBar::new(events as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
