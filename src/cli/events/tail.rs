//! `events tail`: prints status changes of events as they happen.

use crate::cli::GlobalArgs;
use crate::cli::filters::parse_number;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::event::Source;
use crate::store::events::history;
use crate::text::keep_first_chars;
use clap::Args;
use std::time::Duration;
use wildmatch::WildMatch;

#[derive(Debug, Args)]
pub struct EventsTailArgs {
    /// Only events from this source: shopify, easypost, keycloak, sps or local
    #[arg(long)]
    source: Option<Source>,
    /// Only events with this topic; * matches anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// Exit after this many status changes
    #[arg(long, value_parser = parse_number::<u64>)]
    limit: Option<u64>,
    /// Print one JSON line per status change
    #[arg(long)]
    json: bool,
}

/// Wait between two reads of new history entries.
const TAIL_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Most history entries of one read.
const HISTORY_PAGE_ROWS: u32 = 500;

pub fn follow_event_history(global: &GlobalArgs, args: &EventsTailArgs) -> anyhow::Result<()> {
    let (reader, times) = (global.open_reader()?, global.time_format());
    let topic = args.topic.as_deref().map(WildMatch::new);
    let mut last_id = reader.read(history::read_last_history_id)?;
    let mut remaining = args.limit.unwrap_or(u64::MAX);
    while remaining > 0 {
        let entries = reader.read(|connection| history::list_history_after(connection, last_id, HISTORY_PAGE_ROWS))?;
        let is_full_page = entries.len() == HISTORY_PAGE_ROWS as usize;
        for entry in entries {
            last_id = entry.id;
            let matches = args.source.is_none_or(|source| source.as_str() == entry.source)
                && topic.as_ref().is_none_or(|topic| topic.matches(&entry.topic));
            if !matches || remaining == 0 {
                continue;
            }
            remaining -= 1;
            if args.json {
                print_line(&serde_json::to_string(&entry)?)?;
                continue;
            }
            let from = entry.from_status.map_or(String::new(), |from| format!("{from} → "));
            let error = entry.error.map_or(String::new(), |error| format!(": {}", keep_first_chars(&error, 100)));
            print_untrusted_line(&format!(
                "{}  event {}  {} {}  {from}{}{error}",
                times.format_precise_time(&entry.at),
                entry.event_id,
                entry.source,
                entry.topic,
                entry.to_status
            ))?;
        }
        if !is_full_page && remaining > 0 {
            std::thread::sleep(TAIL_POLL_INTERVAL);
        }
    }
    Ok(())
}
