//! `prune`: deletes old finished events and bodies now, as `[retention]` defines.

use crate::cli::output::print_line;
use crate::cli::store::with_store;
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::presentation::quantities::format_bytes;
use crate::queue::retention;
use crate::text::format_count;
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Count what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete as on a nearly full disk: also bodies of completed events older than retention.squeeze_bodies; then
    /// return all free pages to the file system
    #[arg(long)]
    #[expect(clippy::doc_markdown, reason = "help has no markup")]
    squeeze: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run_prune(global: &GlobalArgs, args: &PruneArgs) -> Result<(), CliError> {
    let config = global.load_config(SecretLoading::Skip)?;
    let rules = if args.squeeze { config.retention.disk_pressure_rules() } else { config.retention.rules.clone() };
    let (pruned, pages) = with_store(&config, async |store| {
        Ok(if args.dry_run {
            (store.prune_events(&rules, true, Duration::ZERO).await?, 0)
        } else {
            retention::prune_and_shrink(store, &rules, args.squeeze, retention::JOB_PAUSE_BESIDE_DAEMON).await?
        })
    })?;
    let (bodies, bytes, events) = (pruned.bodies, pruned.bytes, pruned.events);
    print_line(&if args.json {
        json!({"bodies": bodies, "bytes": bytes, "events": events, "pages": pages, "dry_run": args.dry_run}).to_string()
    } else {
        let bodies = format_count(bodies, "body", "bodies");
        let deleted = format!("{bodies} ({}) and {}", format_bytes(bytes), format_count(events, "event", "events"));
        if args.dry_run {
            format!("Would delete {deleted}.")
        } else {
            let pages = format_count(pages, "free page", "free pages");
            format!("Deleted {deleted}; returned {pages} to the file system.")
        }
    })?;
    Ok(())
}
