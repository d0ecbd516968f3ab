//! Figures of the first page of the console: the last event of each source, and counts by hour.

use crate::clock::{self, Timestamp};
use crate::store::StoreError;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::time::Duration;

/// A source and when it last sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceState {
    pub source: String,
    /// Time of the last event; the start of its hour if many events of other sources came later.
    pub last_event_at: String,
    pub received_last_day: i64,
}

/// Counts of one hour, of all sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HourCounts {
    /// `2026-11-23T20`
    pub hour: String,
    pub received: i64,
    pub completed: i64,
    pub failed: i64,
}

/// Most of the newest events in which the exact time of a source is looked for.
const NEWEST_EVENTS_MAX: u32 = 2_000;

/// Returns the sources that have sent events, by name, without novex-ingest itself.
pub fn list_source_states(connection: &Connection) -> Result<Vec<SourceState>, StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH newest AS (SELECT source, received_at FROM webhook_events WHERE test = 0 ORDER BY id DESC LIMIT ?1), \
         exact AS (SELECT source, max(received_at) AS at FROM newest GROUP BY source), \
         hours AS (SELECT source, max(hour) AS hour FROM event_counts_by_hour WHERE received > 0 AND source <> 'local' \
           GROUP BY source), \
         today AS (SELECT source, sum(received) AS received FROM event_counts_by_hour \
           WHERE hour > strftime('%Y-%m-%dT%H', 'now', '-1 day') GROUP BY source) \
         SELECT h.source, coalesce(e.at, h.hour || ':00:00.000Z'), coalesce(t.received, 0) FROM hours h \
         LEFT JOIN exact e ON e.source = h.source LEFT JOIN today t ON t.source = h.source ORDER BY h.source",
    )?;
    let rows = statement.query_map([NEWEST_EVENTS_MAX], |row| {
        Ok(SourceState { source: row.get(0)?, last_event_at: row.get(1)?, received_last_day: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the counts of each hour from the one of `since` to the one of `until`, also of hours without events.
pub fn list_hour_counts(
    connection: &Connection,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<HourCounts>, StoreError> {
    let format_hour = |at: Timestamp| clock::format_timestamp(at)[..13].to_owned();
    let mut statement = connection.prepare_cached(
        "SELECT hour, sum(received), sum(completed), sum(failed) FROM event_counts_by_hour \
         WHERE hour BETWEEN ? AND ? GROUP BY hour ORDER BY hour",
    )?;
    let rows = statement.query_map(params![format_hour(since), format_hour(until)], |row| {
        Ok(HourCounts { hour: row.get(0)?, received: row.get(1)?, completed: row.get(2)?, failed: row.get(3)? })
    })?;
    let stored: Vec<HourCounts> = rows.collect::<Result<_, _>>()?;
    let mut hours = Vec::new();
    let (mut at, mut stored) = (since, stored.into_iter().peekable());
    while format_hour(at) <= format_hour(until) {
        let hour = format_hour(at);
        hours
            .push(stored.next_if(|counts| counts.hour == hour).unwrap_or(HourCounts { hour, ..HourCounts::default() }));
        at = clock::add_duration(at, Duration::from_hours(1));
    }
    Ok(hours)
}

/// The events of one source by hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceHours {
    pub source: String,
    /// Number of events in each hour, from the first hour with an event to the hour of the query.
    pub counts: Vec<u32>,
}

/// Returns the events by hour of each source that sent any since `since`, without those of novex-ingest itself.
pub fn list_source_hours(
    connection: &Connection,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<SourceHours>, StoreError> {
    let hour_of = |at: Timestamp| at.as_second().div_euclid(3600);
    let mut statement = connection.prepare_cached(
        "SELECT source, hour, received FROM event_counts_by_hour WHERE hour BETWEEN ?1 AND ?2 AND received > 0 \
         AND source <> 'local' ORDER BY source, hour",
    )?;
    let bounds = [since, now].map(|at| clock::format_timestamp(at)[..13].to_owned());
    let mut rows = statement.query(bounds)?;
    let (mut sources, mut first) = (Vec::<SourceHours>::new(), 0);
    while let Some(row) = rows.next()? {
        let (source, hour, received): (String, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Ok(hour) = clock::parse_timestamp(&format!("{hour}:00:00Z")).map(hour_of) else { continue };
        if sources.last().is_none_or(|last| last.source != source) {
            first = hour;
            let hours = usize::try_from(hour_of(now) - first + 1).unwrap_or_default();
            sources.push(SourceHours { source, counts: vec![0; hours] });
        }
        let index = usize::try_from(hour - first).unwrap_or(usize::MAX);
        if let Some(count) = sources.last_mut().and_then(|last| last.counts.get_mut(index)) {
            *count = received;
        }
    }
    Ok(sources)
}
