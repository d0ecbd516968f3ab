//! `stats`: the overview.

use super::output::{bytes, line, span, status, table};
use super::{Failure, Place, clock};
use crate::store::stats::{self, Rates, Stats};
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Arguments {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let stats = place.reader()?.read(|connection| stats::read(connection, clock().now()))?;
    if arguments.json {
        line(&serde_json::to_string(&stats)?)?;
        return Ok(());
    }
    print(&stats)?;
    Ok(())
}

fn print(stats: &Stats) -> std::io::Result<()> {
    if stats.counts.is_empty() {
        line("No events yet.")?;
    }
    table(
        &["SOURCE", "STATUS", "EVENTS"],
        stats
            .counts
            .iter()
            .map(|count| vec![count.source.clone().into(), status(&count.status), count.events.to_string().into()]),
    )?;
    let oldest = stats.oldest_pending_seconds.map_or_else(|| "none".to_owned(), |seconds| span(seconds) + " old");
    line(&format!("\noldest pending   {oldest}"))?;
    for (rates, hours) in [(stats.last_hour, 1), (stats.last_day, 24)] {
        // Kept by the hour, so it begins with one.
        let since = crate::clock::parse(&stats.at).ok().and_then(|at| at.checked_sub(Duration::from_hours(hours)).ok());
        let since = since.map_or(String::new(), |at| crate::clock::text(at)[..13].replace('T', " "));
        let Rates { received, completed, failed, retried } = rates;
        line(&format!(
            "since {since}h {received} received, {completed} completed, {failed} failed, {retried} retried"
        ))?;
    }
    line(&format!("database         {}, {} of it free", bytes(stats.database_bytes), bytes(stats.free_bytes_inside)))?;
    if let Some(at) = &stats.rejected_last {
        line(&format!("last refused     {at} (`novex-ingest events rejected` says why)"))?;
    }
    Ok(())
}
