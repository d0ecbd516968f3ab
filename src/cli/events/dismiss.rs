//! `events dismiss`: marks failed events and deliveries as settled, by id or by filter, one page per transaction.

use crate::cli::GlobalArgs;
use crate::cli::filters::{EVENT_PAGE_ROWS, EventFilterArgs, for_each_event, parse_number};
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::store::{name_operator, with_store};
use crate::config::{Config, SecretLoading};
use crate::presentation::times::TimeFormat;
use crate::store::db::reader::Reader;
use crate::store::events::destinations;
use crate::store::events::records::EventStatus;
use crate::store::leases::dismissals::{Dismissal, DismissedEvent};
use crate::text::{format_count, parse_reason};
use anyhow::bail;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
#[command(override_usage = "novex-ingest events dismiss --reason TEXT [OPTIONS] ID...\n       \
                            novex-ingest events dismiss --reason TEXT [OPTIONS] --status failed | --source SOURCE | \
                            --topic TOPIC | --since TIME | --destination NAME | --limit LIMIT | --before ID")]
pub struct EventsDismissArgs {
    /// Ids of events; of each the event, if it failed, and its failed deliveries are dismissed; also what `sps list
    /// --attention` states of it. Without ids, all failed events that match are dismissed
    #[arg(value_name = "ID", value_parser = parse_number::<i64>,
          required_unless_present_any = ["status", "source", "topic", "since", "limit", "before", "destination"],
          conflicts_with_all = ["status", "source", "topic", "since", "limit", "before"])]
    ids: Vec<i64>,
    /// Reason, which stays with the event
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Only failed deliveries to this destination, and no events
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    #[command(flatten)]
    filter: EventFilterArgs,
    /// Most events to dismiss; the newest ones [default: all]
    #[arg(long, value_parser = parse_number::<u32>)]
    limit: Option<u32>,
    /// Only events with a lower id
    #[arg(long, value_name = "ID", value_parser = parse_number::<i64>)]
    before: Option<i64>,
    /// Person who dismisses them [default: the user who runs the command]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// List the events, and dismiss none
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON line per event
    #[arg(long)]
    json: bool,
}

pub fn dismiss_events(global: &GlobalArgs, args: &EventsDismissArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    if args.filter.status.is_some_and(|status| status != EventStatus::Failed) {
        bail!("only failed events can be dismissed: leave --status out; `novex-ingest events list` shows the others");
    }
    let is_filtered = args.ids.is_empty();
    let ids =
        if is_filtered { find_matching_failures(&config, args, &global.time_format())? } else { args.ids.clone() };
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    if ids.is_empty() {
        if !args.json {
            print_line("No such failures.")?;
        }
        return Ok(());
    }
    if args.dry_run {
        return ids.iter().rev().try_for_each(|id| {
            Ok(print_line(&if args.json {
                json!({"event_id": id}).to_string()
            } else {
                format!("event {id} would be dismissed")
            })?)
        });
    }
    let dismissal = Dismissal {
        destination: args.destination.clone(),
        reason: args.reason.clone(),
        by: name_operator(args.by.as_deref()),
    };
    let ids: Vec<i64> = ids.into_iter().rev().collect();
    let dismissed_count = with_store(&config, async |store| {
        let mut count = 0;
        for page in ids.chunks(EVENT_PAGE_ROWS as usize) {
            let dismissed = store.dismiss_failures(page.to_vec(), dismissal.clone()).await?;
            count += dismissed.len();
            dismissed.iter().try_for_each(|event| print_dismissed_event(event, args.json))?;
        }
        Ok(count)
    })?;
    let skipped = ids.len() - dismissed_count;
    if skipped > 0 && !is_filtered {
        bail!(
            "{skipped} of {} not dismissed: they do not exist, have not failed and need no person, or are dismissed already",
            format_count(ids.len(), "event was", "events were")
        );
    }
    Ok(())
}

/// Returns the ids of matching failures that are not dismissed.
fn find_matching_failures(config: &Config, args: &EventsDismissArgs, times: &TimeFormat) -> anyhow::Result<Vec<i64>> {
    let reader = Reader::open(&config.store.path, 1)?;
    let mut filter = args.filter.to_filter(times);
    filter.status = Some(EventStatus::Failed);
    if let Some(destination) = &args.destination {
        let limit = args.limit.unwrap_or(u32::MAX);
        return Ok(reader.read(|connection| {
            destinations::list_events_with_failed_delivery(connection, destination, &filter, args.before, limit)
        })?);
    }
    let mut ids = Vec::new();
    for_each_event(&reader, &filter, args.before, args.limit, |event| {
        ids.push(event.identity.id);
        Ok(())
    })?;
    Ok(ids)
}

fn print_dismissed_event(event: &DismissedEvent, as_json: bool) -> anyhow::Result<()> {
    let DismissedEvent { event_id, is_event_dismissed, destinations, are_findings_dismissed } = event;
    if as_json {
        let document = json!({
            "event_id": event_id, "event_dismissed": is_event_dismissed, "deliveries_dismissed": destinations,
            "edi_findings_dismissed": are_findings_dismissed
        });
        return Ok(print_line(&document.to_string())?);
    }
    let deliveries = format!("its failed deliveries to {}", destinations.join(", "));
    print_untrusted_line(&match (is_event_dismissed, destinations.is_empty()) {
        (true, true) => format!("event {event_id} is dismissed"),
        (true, false) => format!("event {event_id} is dismissed, and {deliveries}"),
        (false, true) => format!("event {event_id}: its EDI findings are dismissed"),
        (false, false) => format!("event {event_id}: {deliveries} are dismissed"),
    })?;
    Ok(())
}
