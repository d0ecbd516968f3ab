//! Scans events by a filter, the newest first, within limits: a filter that few events match must not read the whole
//! table in one go.
//!
//! [`EventMatcher`] is the one rule of what a filter matches. Lists, counts, retries and live rows use it.

use crate::clock;
use crate::event::Source;
use crate::store::StoreError;
use crate::store::events::records::{
    COLUMNS, EventFilter, EventRecord, EventStatus, LAST_ERROR_COLUMN, RECEIVED_AT_COLUMN, read_event_row,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use std::time::Duration;
use wildmatch::WildMatch;

/// Most events that a list of the console scans for one page.
pub const SCAN_EVENTS_MAX: u32 = 50_000;
/// Ids grow in the order of commits, which differs from the order of arrival by less than this.
const ARRIVAL_MARGIN: Duration = Duration::from_hours(1);

/// Limits of one scan.
#[derive(Debug, Clone, Copy)]
pub struct ScanLimits {
    /// Most matching events.
    pub rows: usize,
    /// Most events that are compared with the filter.
    pub scanned: u32,
}

/// Result of one scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventScan {
    /// The matching events, the newest first.
    pub events: Vec<EventRecord>,
    /// Where the next scan continues: below this id. None if no event is left.
    pub next: Option<i64>,
}

/// A number of events that was counted up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundedCount {
    pub events: usize,
    /// False if more events may match.
    pub is_exact: bool,
}

impl std::fmt::Display for BoundedCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.events.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(if self.is_exact { "" } else { "+" })
    }
}

/// Compares events with a filter.
#[derive(Debug)]
pub struct EventMatcher<'f> {
    filter: &'f EventFilter,
    topic: Option<WildMatch>,
    error: Option<WildMatch>,
}

impl<'f> EventMatcher<'f> {
    #[must_use]
    pub fn new(filter: &'f EventFilter) -> Self {
        let contains = |text: &String| WildMatch::new(&format!("*{}*", text.to_lowercase()));
        Self { filter, topic: filter.topic.as_deref().map(WildMatch::new), error: filter.error.as_ref().map(contains) }
    }

    /// Returns whether the filter matches an event.
    #[must_use]
    pub fn matches_event(&self, event: &EventRecord) -> bool {
        let status = match self.filter.status {
            None => true,
            Some(EventStatus::Received) => event.status == "received",
            Some(EventStatus::Processing) => event.status == "processing",
            Some(EventStatus::Completed) => event.status == "completed",
            Some(EventStatus::Failed) => event.status == "failed" && event.dismissed_at.is_none(),
            Some(EventStatus::Dismissed) => event.dismissed_at.is_some(),
        };
        let key = &event.identity.key;
        status && self.matches_columns(key.source.as_str(), &key.topic, &event.received_at, event.last_error.as_deref())
    }

    /// Returns whether the filter matches a row; the statement has compared its status.
    fn matches_row(&self, row: &Row<'_>) -> Result<bool, rusqlite::Error> {
        let text = |index: usize| Ok::<_, rusqlite::Error>(row.get_ref(index)?.as_str_or_null()?.unwrap_or_default());
        let error = row.get_ref(LAST_ERROR_COLUMN)?.as_str_or_null()?;
        Ok(self.matches_columns(text(1)?, text(3)?, text(RECEIVED_AT_COLUMN)?, error))
    }

    fn matches_columns(&self, source: &str, topic: &str, received_at: &str, error: Option<&str>) -> bool {
        self.filter.source.map(Source::as_str).is_none_or(|wanted| wanted == source)
            && self.topic.as_ref().is_none_or(|pattern| pattern.matches(topic))
            && self.filter.since.as_deref().is_none_or(|since| received_at >= since)
            && self.filter.until.as_deref().is_none_or(|until| received_at < until)
            && self.error.as_ref().is_none_or(|pattern| error.is_some_and(|text| pattern.matches(&text.to_lowercase())))
    }
}

/// Returns the matching events below the id `before`, the newest first.
pub fn scan_events(
    connection: &Connection,
    filter: &EventFilter,
    before: Option<i64>,
    limits: ScanLimits,
) -> Result<EventScan, StoreError> {
    let mut events = Vec::new();
    let next = visit_matches(connection, filter, before, limits.scanned, |row| {
        if events.len() < limits.rows {
            events.push(read_event_row(row)?);
            return Ok(true);
        }
        Ok(false)
    })?;
    Ok(EventScan { events, next })
}

/// Counts the matching events below the id `before`.
pub fn count_matching_events(
    connection: &Connection,
    filter: &EventFilter,
    before: Option<i64>,
    limits: ScanLimits,
) -> Result<BoundedCount, StoreError> {
    let mut events = 0;
    let next = visit_matches(connection, filter, before, limits.scanned, |_| {
        let has_place = events < limits.rows;
        events += usize::from(has_place);
        Ok(has_place)
    })?;
    Ok(BoundedCount { events, is_exact: next.is_none() })
}

/// Calls `visit` with each matching row, the newest first, until it returns false. Returns the id below which the next
/// scan continues, or None at the end.
pub(super) fn visit_matches(
    connection: &Connection,
    filter: &EventFilter,
    before: Option<i64>,
    scanned_max: u32,
    mut visit: impl FnMut(&Row<'_>) -> Result<bool, rusqlite::Error>,
) -> Result<Option<i64>, StoreError> {
    let matcher = EventMatcher::new(filter);
    let (first, end) = find_id_range(connection, filter, before)?;
    let mut statement = connection.prepare_cached(&build_scan_sql(filter.status))?;
    let mut rows = statement
        .query(named_params! { ":first": first, ":before": end, ":limit": i64::from(scanned_max).saturating_add(1) })?;
    let (mut scanned, mut last) = (0, end);
    while let Some(row) = rows.next()? {
        if scanned == scanned_max {
            return Ok(Some(last));
        }
        let id = row.get(0)?;
        if matcher.matches_row(row)? && !visit(row)? {
            return Ok(Some(last));
        }
        (scanned, last) = (scanned + 1, id);
    }
    Ok(None)
}

/// Returns the SQL of a scan, which finds unfinished and failed events in their partial indexes.
///
/// So ten million completed events do not slow it down. The status is part of the text because SQLite uses a partial
/// index only if the condition is a constant.
fn build_scan_sql(status: Option<EventStatus>) -> String {
    const RANGE: &str = "id >= :first AND id < :before";
    let select = format!("SELECT {COLUMNS} FROM webhook_events");
    // An index in the order of the times has the ids only: sorting these costs little, sorting rows would not.
    let unfinished = |index: &str, status: &str| {
        format!(
            "{select} WHERE id IN (SELECT id FROM webhook_events INDEXED BY {index} WHERE status = '{status}' \
             AND {RANGE} ORDER BY id DESC LIMIT :limit) ORDER BY id DESC"
        )
    };
    let (index, condition) = match status {
        Some(EventStatus::Received) => return unfinished("webhook_events_due", "received"),
        Some(EventStatus::Processing) => return unfinished("webhook_events_leased", "processing"),
        Some(EventStatus::Failed) => {
            ("INDEXED BY webhook_events_failed", "AND status = 'failed' AND dismissed_at IS NULL")
        }
        Some(EventStatus::Dismissed) => {
            ("INDEXED BY webhook_events_failed", "AND status = 'failed' AND dismissed_at IS NOT NULL")
        }
        Some(EventStatus::Completed) => ("", "AND status = 'completed'"),
        None => ("", ""),
    };
    format!("{select} {index} WHERE {RANGE} {condition} ORDER BY id DESC LIMIT :limit")
}

/// Returns the ids between which the events of the filter's times are: from the first one up to below the second one.
/// Events that arrived while the clock was wrong by more than [`ARRIVAL_MARGIN`] can be left out.
fn find_id_range(connection: &Connection, filter: &EventFilter, before: Option<i64>) -> Result<(i64, i64), StoreError> {
    let first = match filter.since.as_deref().and_then(|since| clock::parse_timestamp(since).ok()) {
        Some(since) => find_first_id(connection, since.checked_sub(ARRIVAL_MARGIN).unwrap_or(clock::Timestamp::MIN))?,
        None => 0,
    };
    let end = before.unwrap_or(i64::MAX);
    let end = match filter.until.as_deref().and_then(|until| clock::parse_timestamp(until).ok()) {
        Some(until) => end.min(find_first_id(connection, clock::add_duration(until, ARRIVAL_MARGIN))?),
        None => end,
    };
    Ok((first, end))
}

/// Returns the id of the first event that was received at this time or later, by halving the range of ids.
fn find_first_id(connection: &Connection, at: clock::Timestamp) -> Result<i64, StoreError> {
    let at = clock::format_timestamp(at);
    let last: i64 =
        connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_events", [], |row| row.get::<_, i64>(0))?;
    let (mut low, mut high) = (0, last + 1);
    let mut statement = connection
        .prepare_cached("SELECT id, received_at >= ?2 FROM webhook_events WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, bool)> =
            statement.query_row(params![middle, at], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((id, false)) => low = id + 1,
            Some((_, true)) | None => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::migrate::SCHEMA;

    /// A database with one event a minute; each third failed, each hundredth of them because of the database.
    fn open_filled_database(events: u32) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
            .execute(
                "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?) INSERT INTO \
                 webhook_events (id, source, shop_domain, topic, webhook_id, status, received_at, last_error) \
                 SELECT id, 'shopify', 's', iif(id % 2, 'orders/create', 'refunds/create'), id, \
                 iif(id % 3, 'completed', 'failed'), \
                 strftime('%Y-%m-%dT%H:%M:00.000Z', '2026-01-01', '+' || id || ' minutes'), \
                 iif(id % 3, NULL, iif(id % 300, 'no line ' || id, 'Disk is FULL')) FROM n",
                [events],
            )
            .unwrap();
        connection
    }

    fn scan_ids(connection: &Connection, filter: &EventFilter, before: Option<i64>, limits: ScanLimits) -> Vec<i64> {
        let found = scan_events(connection, filter, before, limits).unwrap();
        found.events.iter().map(|event| event.identity.id).collect()
    }

    const NO_LIMIT: ScanLimits = ScanLimits { rows: usize::MAX, scanned: u32::MAX };

    #[test]
    fn scan_continues_where_it_stopped() {
        let connection = open_filled_database(1_000);
        let filter = EventFilter { error: Some("disk is full".into()), ..EventFilter::default() };
        assert_eq!(scan_ids(&connection, &filter, None, NO_LIMIT), [900, 600, 300]);
        let limits = ScanLimits { rows: 2, scanned: 150 };
        let (mut found, mut before, mut scans) = (Vec::new(), None, 0);
        loop {
            let scan = scan_events(&connection, &filter, before, limits).unwrap();
            found.extend(scan.events.iter().map(|event| event.identity.id));
            (before, scans) = (scan.next, scans + 1);
            if before.is_none() || scans > 10 {
                break;
            }
        }
        assert_eq!((found, scans), (vec![900, 600, 300], 7), "a scan ends after 150 events");
        let full = scan_events(&connection, &filter, None, ScanLimits { rows: 1, scanned: 900 }).unwrap();
        assert_eq!(full.events.len(), 1);
        assert_eq!(scan_ids(&connection, &filter, full.next, NO_LIMIT), [600, 300]);
    }

    #[test]
    fn filter_matches_each_column() {
        let connection = open_filled_database(1_000);
        let failed = EventFilter { status: Some(EventStatus::Failed), ..EventFilter::default() };
        let ids = |filter: EventFilter| scan_ids(&connection, &filter, None, NO_LIMIT);
        assert_eq!(ids(failed.clone()).len(), 333);
        let topic = EventFilter { topic: Some("orders/*".into()), ..failed.clone() };
        assert!(ids(topic.clone()).len() == 167 && ids(topic).iter().all(|id| id % 2 == 1));
        let error = EventFilter { error: Some("No Line 30".into()), ..failed.clone() };
        assert_eq!(ids(error), [309, 306, 303, 30]);
        let wildcard = EventFilter { error: Some("no * 999".into()), ..failed };
        assert_eq!(ids(wildcard), [999]);
        let range = EventFilter {
            since: Some("2026-01-01T10:00:00.000Z".into()),
            until: Some("2026-01-01T10:03:00.000Z".into()),
            ..EventFilter::default()
        };
        assert_eq!(ids(range), [602, 601, 600]);
    }

    /// The scan of a short time reads only its events, wherever they are.
    #[test]
    fn times_lead_to_ids() {
        let connection = open_filled_database(1_000);
        for (at, id) in [("2025-01-01T00:00:00Z", 0), ("2026-01-01T00:10:00Z", 10), ("2027-01-01T00:00:00Z", 1_001)] {
            let found = find_first_id(&connection, clock::parse_timestamp(at).unwrap()).unwrap();
            assert!(found == id || id == 10 && found <= 10, "{at} leads to {found}");
        }
        let filter = EventFilter { until: Some("2026-01-01T00:10:00.000Z".into()), ..EventFilter::default() };
        let limits = ScanLimits { rows: 100, scanned: 80 };
        assert_eq!(scan_ids(&connection, &filter, None, limits).len(), 9, "the newer events are not scanned");
    }

    #[test]
    fn count_has_a_limit() {
        let connection = open_filled_database(1_000);
        let failed = EventFilter { status: Some(EventStatus::Failed), ..EventFilter::default() };
        let count = |rows, scanned| {
            count_matching_events(&connection, &failed, None, ScanLimits { rows, scanned }).unwrap().to_string()
        };
        assert_eq!(
            [count(1_000, 1_000), count(100, 1_000), count(333, 333), count(1_000, 50)],
            ["333", "100+", "333", "50+"]
        );
        assert_eq!(BoundedCount { events: 1_234_567, is_exact: false }.to_string(), "1,234,567+");
    }
}
