//! `prune`: takes off what is old, as `[retention]` says.

use super::output::line;
use super::{Failure, Place, work};
use crate::config::Secrets;
use crate::queue::janitor;
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Prune {
    /// Only count what would go
    #[arg(long)]
    dry_run: bool,
    /// As on a disk that is nearly full: bodies of completed events older than `retention.squeeze_bodies` too, and all free
    /// pages are given back to the disk
    #[arg(long)]
    squeeze: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(place: &Place, arguments: &Prune) -> Result<(), Failure> {
    let config = place.load(Secrets::LeaveAside)?;
    let rules = if arguments.squeeze { config.retention.squeezed() } else { config.retention.rules.clone() };
    let (pruned, pages) = work::block_on(async {
        let store = work::open_existing(&config)?;
        let result = if arguments.dry_run {
            store.prune(&rules, true, Duration::ZERO).await.map(|pruned| (pruned, 0))
        } else {
            janitor::prune(&store, &rules, arguments.squeeze, janitor::REST_BESIDE).await
        };
        store.writer.close().await;
        Ok::<_, anyhow::Error>(result?)
    })??;
    let (bodies, bytes, events) = (pruned.bodies, pruned.bytes, pruned.rows);
    line(&if arguments.json {
        json!({"bodies": bodies, "bytes": bytes, "events": events, "pages": pages, "dry_run": arguments.dry_run})
            .to_string()
    } else {
        let how = if arguments.dry_run { "would be taken off" } else { "taken off" };
        format!("{bodies} bodies ({bytes} bytes) and {events} events {how}; {pages} pages given back to the disk")
    })?;
    Ok(())
}
