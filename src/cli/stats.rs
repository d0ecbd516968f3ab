//! `stats`: shows counts of events, the oldest pending event, rates, and the size of the database.

use crate::cli::output::print_line;
use crate::cli::table::{print_table, status_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::clock::{self, Clock, Timestamp};
use crate::presentation::quantities::{format_bytes, format_duration};
use crate::presentation::times::TimeFormat;
use crate::store::events::stats;
use crate::store::events::stats::{PeriodCounts, StoreStats};
use crate::text::format_count;
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
    print_stats(&stats, &global.time_format())?;
    Ok(())
}

fn print_stats(stats: &StoreStats, times: &TimeFormat) -> std::io::Result<()> {
    if stats.counts.is_empty() {
        print_line("No events yet.")?;
    }
    print_table(
        &["SOURCE", "STATUS", "EVENTS"],
        stats.counts.iter().map(|count| {
            vec![count.source.clone().into(), status_cell(&count.status), count.events.to_string().into()]
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
        let since = find_period_start(&stats.at, hours).map_or(String::new(), |at| times.format_minute(&at));
        let PeriodCounts { received, completed, failed, retried } = counts;
        print_line(&format!(
            "since {since}: {received} received, {completed} completed, {failed} failed, {retried} retried"
        ))?;
    }
    print_line(&format!(
        "database         {}, {} of it free",
        format_bytes(stats.database_bytes),
        format_bytes(stats.free_bytes_inside)
    ))?;
    if let Some(at) = &stats.rejected_last {
        print_line(&format!(
            "last rejection   {} (`novex-ingest events rejected` gives the reason)",
            times.format_time_with_age(at)
        ))?;
    }
    Ok(())
}

/// Returns the start of a period of full hours that ends in the hour of `at`.
fn find_period_start(at: &str, hours: u64) -> Option<String> {
    const HOUR_SECONDS: i64 = 3_600;
    let at = clock::parse_timestamp(at).ok()?.checked_sub(Duration::from_hours(hours)).ok()?;
    let start = Timestamp::from_second(at.as_second().div_euclid(HOUR_SECONDS) * HOUR_SECONDS).ok()?;
    Some(clock::format_timestamp(start))
}
