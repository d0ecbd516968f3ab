//! `events retry`: gives events new attempts, by id or by filter, one page per transaction.

use crate::cli::GlobalArgs;
use crate::cli::filters::{EVENT_PAGE_ROWS, EventFilterArgs, for_each_event, parse_number};
use crate::cli::output::print_line;
use crate::cli::store::{name_operator, with_store};
use crate::config::{Config, SecretLoading};
use crate::presentation::times::TimeFormat;
use crate::queue::process;
use crate::store::access::Actor;
use crate::store::db::reader::Reader;
use crate::store::events::records::EventStatus;
use crate::text::format_count;
use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
#[command(override_usage = "novex-ingest events retry [OPTIONS] ID...\n       \
                            novex-ingest events retry [OPTIONS] --status STATUS | --source SOURCE | --topic TOPIC | \
                            --since TIME | --limit LIMIT | --before ID")]
pub struct EventsRetryArgs {
    /// Ids of events; completed ones are processed again. Without ids, all matching events are retried: failed ones,
    /// unless --status selects others
    #[arg(value_name = "ID", value_parser = parse_number::<i64>,
          required_unless_present_any = ["status", "source", "topic", "since", "limit", "before"],
          conflicts_with_all = ["status", "source", "topic", "since", "limit", "before"])]
    ids: Vec<i64>,
    #[command(flatten)]
    filter: EventFilterArgs,
    /// Most events to retry; the newest ones [default: all]
    #[arg(long, value_parser = parse_number::<u32>)]
    limit: Option<u32>,
    /// Only events with a lower id: continues an interrupted retry
    #[arg(long, value_name = "ID", value_parser = parse_number::<i64>)]
    before: Option<i64>,
    /// List the events, and retry none
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON line per event
    #[arg(long)]
    json: bool,
}

pub fn retry_events(global: &GlobalArgs, args: &EventsRetryArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    if args.filter.status == Some(EventStatus::Processing) {
        bail!("events in processing cannot be retried; if their worker dies, another worker recovers them");
    }
    let is_filtered = args.ids.is_empty();
    let ids = if is_filtered {
        find_matching_events(&config, args, &global.time_format())?
    } else {
        remove_duplicates(&args.ids)
    };
    if ids.is_empty() {
        if !args.json {
            print_line("No such events.")?;
        }
        return Ok(());
    }
    if args.dry_run {
        for id in &ids {
            print_line(&if args.json {
                json!({"event_id": id}).to_string()
            } else {
                format!("event {id} would be due now")
            })?;
        }
        return Ok(());
    }
    let retried = retry_in_pages(&config, &ids, args.json)?;
    let skipped = ids.len() - retried;
    if skipped > 0 && !is_filtered {
        bail!(
            "{skipped} of {} not retried: they do not exist, are in processing, have no body any more ([retention]), or are redactions or deletions that \
             need a decision (`novex-ingest privacy list`)",
            format_count(ids.len(), "event was", "events were")
        );
    }
    Ok(())
}

/// Returns the ids of matching events, newest first. Without `--status`, only failed events that are not dismissed
/// match.
fn find_matching_events(config: &Config, args: &EventsRetryArgs, times: &TimeFormat) -> anyhow::Result<Vec<i64>> {
    let mut filter = args.filter.to_filter(times);
    filter.status = filter.status.or(Some(EventStatus::Failed));
    let mut ids = Vec::new();
    for_each_event(&Reader::open(&config.store.path, 1)?, &filter, args.before, args.limit, |event| {
        ids.push(event.identity.id);
        Ok(())
    })?;
    Ok(ids)
}

fn remove_duplicates(ids: &[i64]) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    ids.iter().copied().filter(|id| seen.insert(*id)).collect()
}

/// Retries the events and returns how many were retried.
fn retry_in_pages(config: &Config, ids: &[i64], as_json: bool) -> anyhow::Result<usize> {
    let bar = build_progress_bar(ids.len());
    let worker = process::identify_current_process().worker;
    let actor = Actor::from_operator(name_operator(None));
    let retried = with_store(config, async |store| {
        let mut retried_count = 0;
        for page in ids.chunks(EVENT_PAGE_ROWS as usize) {
            let retried =
                store.retry_events(page.to_vec(), config.worker.max_attempts, worker.clone(), actor.clone()).await?;
            retried_count += retried.len();
            for event in &retried {
                let (id, previous) = (event.event_id, event.previous_status);
                let text = if as_json {
                    json!({"event_id": id, "previous_status": previous, "status": "received"}).to_string()
                } else {
                    format!("event {id} was {previous} and is due now")
                };
                bar.suspend(|| print_line(&text))?;
            }
            bar.inc(page.len() as u64);
            // Ids descend and each page is its own transaction, so that a retry can continue below the last id.
            let last_id = page.last().copied().unwrap_or_default();
            bar.set_message(format!("to continue after an interruption: --before {last_id}"));
        }
        Ok(retried_count)
    })?;
    bar.finish_and_clear();
    Ok(retried)
}

/// Returns a progress bar. It appears only on a terminal, and only for more than one page.
fn build_progress_bar(event_count: usize) -> ProgressBar {
    if event_count <= EVENT_PAGE_ROWS as usize {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} events, {eta} left; {msg}");
    ProgressBar::new(event_count as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
