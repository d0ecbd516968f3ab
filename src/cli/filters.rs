//! Filters and numbers that several commands accept, and paging through events.

use crate::event::Source;
use crate::presentation::times::{TimeArg, TimeFormat, parse_time_arg};
use crate::store::db::reader::Reader;
use crate::store::events::records;
use crate::store::events::records::{EventFilter, EventRecord, EventStatus};
use clap::Args;
use std::str::FromStr;

/// Most events that one read transaction returns. A long transaction would keep the WAL from shrinking.
pub(crate) const EVENT_PAGE_ROWS: u32 = 500;

/// Selection of events.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventFilterArgs {
    /// Only events with this status; failed leaves out those that an operator dismissed
    #[arg(long, value_enum)]
    pub(crate) status: Option<EventStatus>,
    /// Only events from this source: shopify, easypost, keycloak or sps
    #[arg(long)]
    source: Option<Source>,
    /// Only events with this topic; * matches anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// Only events received since this time: '2026-11-23 20:30', yesterday, or an age such as 2h or '3 days ago'
    #[arg(long, value_name = "TIME", value_parser = parse_time_arg)]
    since: Option<TimeArg>,
}

impl EventFilterArgs {
    pub(crate) fn to_filter(&self, times: &TimeFormat) -> EventFilter {
        EventFilter {
            status: self.status,
            source: self.source,
            topic: self.topic.clone(),
            since: self.since.as_ref().map(|since| since.resolve(times)),
            ..EventFilter::default()
        }
    }
}

/// Parses an event id, a request id or a limit.
pub(crate) fn parse_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number, such as 17".to_owned())
}

/// Parses a TCP port, which is never 0.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("{text} is not a port: write a number from 1 to 65535"))
}

/// Calls `each` for every matching event, newest first, one page per transaction. With `before`, only events with a
/// lower id match.
pub(crate) fn for_each_event(
    reader: &Reader,
    filter: &EventFilter,
    before: Option<i64>,
    limit: Option<u32>,
    mut each: impl FnMut(EventRecord) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut remaining = limit.unwrap_or(u32::MAX);
    let mut before = before;
    while remaining > 0 {
        let page_rows = remaining.min(EVENT_PAGE_ROWS);
        let page = reader.read(|connection| records::list_events(connection, filter, before, page_rows))?;
        let row_count = u32::try_from(page.len()).unwrap_or(u32::MAX);
        remaining = remaining.saturating_sub(row_count);
        before = page.last().map(|event| event.identity.id);
        page.into_iter().try_for_each(&mut each)?;
        if row_count < page_rows {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_are_reported_in_plain_words() {
        assert_eq!(parse_port("22x").unwrap_err(), "22x is not a port: write a number from 1 to 65535");
        assert!(parse_port("0").is_err() && parse_port("65536").is_err());
        assert_eq!(parse_port("443"), Ok(443));
        assert_eq!(parse_number::<i64>("17"), Ok(17));
        assert_eq!(parse_number::<i64>("#17").unwrap_err(), "write a whole number, such as 17");
    }
}
