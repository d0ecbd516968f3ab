//! `stats`: shows counts of events, the oldest pending event, rates, and the size of the database.

use crate::cli::output::{format_bytes, format_count, format_duration, format_status, print_line, print_table};
use crate::cli::{CliError, GlobalArgs};
use crate::clock::{self, Clock};
use crate::store::events::stats;
use crate::store::events::stats::{PeriodCounts, StoreStats};
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run_stats(global: &GlobalArgs, args: &StatsArgs) -> Result<(), CliError> {
    let stats = global.open_reader()?.read(|connection| stats::read_stats(connection, Clock::system().now()))?;
    if args.json {
        print_line(&serde_json::to_string(&stats)?)?;
        return Ok(());
    }
    print_stats(&stats)?;
    Ok(())
}

fn print_stats(stats: &StoreStats) -> std::io::Result<()> {
    if stats.counts.is_empty() {
        print_line("No events yet.")?;
    }
    print_table(
        &["SOURCE", "STATUS", "EVENTS"],
        stats.counts.iter().map(|count| {
            vec![count.source.clone().into(), format_status(&count.status), count.events.to_string().into()]
        }),
    )?;
    if stats.test_events > 0 {
        let tests = format_count(stats.test_events, "test event is", "test events are");
        print_line(&format!("{tests} not in these figures (`novex-ingest events remove-tests` removes them)"))?;
    }
    let oldest =
        stats.oldest_pending_seconds.map_or_else(|| "none".to_owned(), |seconds| format_duration(seconds) + " old");
    print_line(&format!("\noldest pending   {oldest}"))?;
    for (counts, hours) in [(stats.last_hour, 1), (stats.last_day, 24)] {
        // The store counts by the clock hour, so a period starts at a full hour.
        let since =
            clock::parse_timestamp(&stats.at).ok().and_then(|at| at.checked_sub(Duration::from_hours(hours)).ok());
        let since = since.map_or(String::new(), |at| clock::format_timestamp(at)[..13].replace('T', " "));
        let PeriodCounts { received, completed, failed, retried } = counts;
        print_line(&format!(
            "since {since}h {received} received, {completed} completed, {failed} failed, {retried} retried"
        ))?;
    }
    print_line(&format!(
        "database         {}, {} of it free",
        format_bytes(stats.database_bytes),
        format_bytes(stats.free_bytes_inside)
    ))?;
    if let Some(at) = &stats.rejected_last {
        print_line(&format!("last rejection   {at} (`novex-ingest events rejected` gives the reason)"))?;
    }
    Ok(())
}
