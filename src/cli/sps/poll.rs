//! `sps poll`: polls the EDI sources now and prints how many files each had.

use crate::app::build;
use crate::cli::output::print_line;
use crate::cli::store::{with_store, with_store_multi_thread};
use crate::config::Config;
use crate::edi_poll::poller::{PollTrigger, Poller};
use crate::store::events::polls::{FileFailure, PollRecord};
use crate::text::format_count;
use crate::transfer::source::SourceSettings;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;

#[derive(Debug, Args)]
pub struct SpsPollArgs {
    /// Only this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Print one JSON line per source
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct SpsForgetArgs {
    /// Name of the source
    name: String,
}

/// Deletes what is left of a source that the configuration does not name any more.
pub fn forget_source(config: &Config, args: &SpsForgetArgs) -> anyhow::Result<()> {
    let name = &args.name;
    if config.sps.iter().flat_map(|sps| &sps.sources).any(|source| source.name == *name) {
        bail!("{name} is in {}: remove it there first, then run this again", config.path.display());
    }
    if !with_store(config, async |store| Ok(store.forget_source(name).await?))? {
        bail!("nothing is stored about a source {name:?}");
    }
    print_line(&format!("Forgot {name}. Its purchase orders stay."))?;
    Ok(())
}

pub fn poll_sources(config: &Config, args: &SpsPollArgs) -> anyhow::Result<()> {
    let sources = select_sources(config, args.source.as_deref())?;
    crate::logging::init_logging(&config.log);
    let polls = with_store_multi_thread(config, async |store| {
        let poller = build::build_poller(config, store.clone());
        let mut polls = Vec::new();
        for source in sources {
            polls.push(poll_source(&poller, source, args.json).await);
        }
        let polls = polls.into_iter().collect::<anyhow::Result<Vec<PollRecord>>>()?;
        poller.close();
        Ok(polls)
    })?;
    let failed: Vec<String> = polls
        .iter()
        .filter_map(|poll| poll.error.as_ref().map(|error| format!("{} cannot be polled: {error}", poll.source)))
        .collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

fn select_sources<'c>(config: &'c Config, name: Option<&str>) -> anyhow::Result<Vec<&'c SourceSettings>> {
    let sources = config.sps.as_ref().map(|sps| &sps.sources).filter(|sources| !sources.is_empty());
    let sources = sources
        .with_context(|| format!("{} has no [[sps.sources]]: there is nothing to poll", config.path.display()))?;
    let Some(name) = name else { return Ok(sources.iter().collect()) };
    let source = sources.iter().find(|source| source.name == name).with_context(|| {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        format!("there is no source {name:?}; configured are: {}", names.join(", "))
    })?;
    Ok(vec![source])
}

async fn poll_source(poller: &Poller, source: &SourceSettings, as_json: bool) -> anyhow::Result<PollRecord> {
    // indicatif draws on a terminal only.
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos} of {len} files");
    let bar = ProgressBar::new(0)
        .with_prefix(source.name.clone())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress_bar = bar.clone();
    let show_progress = move |done, total| {
        progress_bar.set_length(total);
        progress_bar.set_position(done);
    };
    let poll = poller.poll_source(source, PollTrigger::Command, &show_progress).await;
    bar.finish_and_clear();
    let poll = poll?;
    print_line(&if as_json { serde_json::to_string(&poll)? } else { describe_poll(&poll) })?;
    Ok(poll)
}

/// Returns a line such as `acme: 10 files: 7 orders, 3 could not be read in whole`, and one line for each file that
/// failed.
fn describe_poll(poll: &PollRecord) -> String {
    let mut parts = Vec::new();
    if poll.orders > 0 {
        parts.push(format_count(poll.orders, "order", "orders"));
    }
    if poll.unreadable > 0 {
        parts.push(format!("{} could not be read in whole (`novex-ingest sps list --attention`)", poll.unreadable));
    }
    if poll.stored > 0 && parts.is_empty() {
        parts.push(format!("{} stored", poll.stored));
    }
    if poll.duplicates > 0 {
        parts.push(format_count(poll.duplicates, "duplicate", "duplicates"));
    }
    if poll.skipped > 0 {
        parts.push(format!("{} skipped", poll.skipped));
    }
    if poll.failed > 0 {
        parts.push(format!("{} failed", poll.failed));
    }
    if parts.is_empty() {
        parts.push("nothing new".to_owned());
    }
    let files = format_count(poll.found, "file", "files");
    let mut text = format!("{}: {files}: {}", poll.source, parts.join(", "));
    if let Some(error) = &poll.error {
        let _ = write!(text, "; {error}");
    }
    for FileFailure { file, error } in &poll.failures {
        let _ = write!(text, "\n  {file}: {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_is_described_by_its_content() {
        let poll = |found, stored, orders, unreadable, duplicates| PollRecord {
            source: "acme".to_owned(),
            found,
            stored,
            orders,
            unreadable,
            duplicates,
            ..PollRecord::default()
        };
        assert_eq!(
            describe_poll(&poll(10, 10, 7, 3, 0)),
            "acme: 10 files: 7 orders, 3 could not be read in whole (`novex-ingest sps list --attention`)"
        );
        assert_eq!(describe_poll(&poll(0, 0, 0, 0, 0)), "acme: 0 files: nothing new");
        assert_eq!(describe_poll(&poll(3, 2, 0, 0, 1)), "acme: 3 files: 2 stored, 1 duplicate");
        let mut failed = poll(2, 1, 1, 0, 0);
        failed.add_failure("PO1.edi".to_owned(), "it is too large".to_owned());
        assert_eq!(describe_poll(&failed), "acme: 2 files: 1 order, 1 failed\n  PO1.edi: it is too large");
    }
}
