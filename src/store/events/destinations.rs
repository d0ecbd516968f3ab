//! The state of each destination, and the operator's commands: pause, resume, forget.

use crate::clock;
use crate::clock::Timestamp;
use crate::event::Source;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::events::records::EventFilter;
use crate::store::{Store, StoreError};
use crate::text::format_count;
use rusqlite::{Connection, OptionalExtension, named_params, params};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// State of one destination: its queue, its circuit breaker, its last success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationState {
    pub name: String,
    pub paused_at: Option<String>,
    pub down_since: Option<String>,
    pub next_probe_at: Option<String>,
    /// Number of deliveries that are not finished.
    pub waiting: u64,
    /// When the event of the oldest unfinished delivery was completed.
    pub oldest_waiting_at: Option<String>,
    pub oldest_waiting_seconds: Option<u64>,
    /// Number of deliveries that failed for good and were not dismissed.
    pub failed: u64,
    pub last_success_at: Option<String>,
    /// Why the last attempt failed; None after a success, and after a redaction.
    pub last_error: Option<String>,
    /// Time of the last attempt if it failed.
    pub last_error_at: Option<String>,
    /// Time of the first success after a failed attempt, until the next failure.
    pub recovered_at: Option<String>,
}

/// Unfinished deliveries to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingDeliveries {
    pub events: u64,
    /// Number of different orders of these events.
    pub orders: u64,
}

impl WaitingDeliveries {
    /// Returns the number in words: `131 orders wait`, `140 events of 131 orders wait` or `140 events wait`.
    #[must_use]
    pub fn describe(&self) -> String {
        let (events, orders) =
            (format_count(self.events, "event", "events"), format_count(self.orders, "order", "orders"));
        let verb = if self.events == 1 { "waits" } else { "wait" };
        match self.orders {
            0 => format!("{events} {verb}"),
            count if count == self.events => format!("{orders} {verb}"),
            _ => format!("{events} of {orders} {verb}"),
        }
    }
}

/// Returns the unfinished deliveries of each destination that has any.
pub fn list_waiting(connection: &Connection) -> Result<BTreeMap<String, WaitingDeliveries>, StoreError> {
    // An ordering key is shop, kind and number of the subject.
    let mut statement = connection.prepare_cached(
        "SELECT destination, count(*), count(DISTINCT CASE WHEN ordering_key LIKE '% order %' OR ordering_key LIKE \
         '% purchase_order %' THEN ordering_key END) FROM destination_deliveries WHERE status IN ('pending', \
         'delivering') GROUP BY destination",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, WaitingDeliveries { events: row.get(1)?, orders: row.get(2)? })))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A destination that is down, or whose unfinished deliveries are retried after errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultyDestination {
    pub name: String,
    pub down_since: Option<String>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// Why the last attempt failed, else the error of the oldest retried delivery; None after a redaction.
    pub last_error: Option<String>,
    pub last_error_at: Option<String>,
    /// Number of unfinished deliveries with an error.
    pub retried: u64,
}

/// Returns the destinations that are down or retry deliveries, without paused ones.
pub fn list_faulty(connection: &Connection) -> Result<Vec<FaultyDestination>, StoreError> {
    // With min(), SQLite takes the other columns of the group from the row with the minimum.
    let mut statement = connection.prepare_cached(
        "SELECT d.name, d.down_since, d.consecutive_failures, coalesce(d.last_error, r.last_error), d.last_error_at, \
         coalesce(r.retried, 0) FROM destinations d LEFT JOIN (SELECT destination, count(*) AS retried, \
         min(event_id), last_error FROM destination_deliveries INDEXED BY destination_deliveries_due WHERE status = \
         'pending' AND last_error IS NOT NULL GROUP BY destination) r ON r.destination = d.name \
         WHERE d.paused_at IS NULL AND (d.down_since IS NOT NULL OR r.retried > 0) ORDER BY d.name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(FaultyDestination {
            name: row.get(0)?,
            down_since: row.get(1)?,
            consecutive_failures: row.get(2)?,
            last_error: row.get(3)?,
            last_error_at: row.get(4)?,
            retried: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A delivery of one event, as `events show` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRecord {
    pub destination: String,
    pub status: String,
    pub attempts: u32,
    pub max_attempts: u32,
    pub next_attempt_at: Option<String>,
    /// Time of the claim, while it is being sent.
    pub locked_at: Option<String>,
    pub last_error: Option<String>,
    pub finished_at: Option<String>,
    /// When an operator dismissed the failed delivery.
    pub dismissed_at: Option<String>,
    pub dismissed_reason: Option<String>,
    /// While it is pending: the earlier event of the same order or record whose delivery must end first.
    pub waits_for_event: Option<i64>,
}

/// Returns the state of the configured destinations, and of others that still have pending deliveries.
pub fn list_destinations(
    connection: &Connection,
    configured: &[String],
    now: Timestamp,
) -> Result<Vec<DestinationState>, StoreError> {
    let others = find_unconfigured_destinations(connection, configured)?;
    configured.iter().chain(&others).map(|name| read_destination_state(connection, name, now)).collect()
}

/// Returns the names of destinations that have pending deliveries but are not configured.
pub fn find_unconfigured_destinations(
    connection: &Connection,
    configured: &[String],
) -> Result<BTreeSet<String>, StoreError> {
    // The query goes through the index from one name to the next, and skips the deliveries of each.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE names (name) AS (SELECT min(destination) FROM destination_deliveries WHERE status = 'pending' \
         UNION ALL SELECT (SELECT min(destination) FROM destination_deliveries WHERE status = 'pending' AND \
         destination > name) FROM names WHERE name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    let mut others = names.collect::<Result<BTreeSet<String>, _>>()?;
    for name in configured {
        others.remove(name);
    }
    Ok(others)
}

/// A delivery that failed for good and was not dismissed, with the answer of its destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryFailure {
    pub event_id: i64,
    pub source: String,
    pub topic: String,
    pub attempts: u32,
    pub failed_at: String,
    /// Why it failed; None after a redaction.
    pub error: Option<String>,
}

/// Returns the deliveries to a destination that failed for good and were not dismissed, the newest first.
pub fn list_delivery_failures(
    connection: &Connection,
    destination: &str,
    limit: u32,
) -> Result<Vec<DeliveryFailure>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.event_id, e.source, e.topic, d.attempts, d.finished_at, d.last_error FROM destination_deliveries d \
         INDEXED BY destination_deliveries_failed JOIN webhook_events e ON e.id = d.event_id \
         WHERE d.status = 'failed' AND d.destination = ? AND d.dismissed_at IS NULL ORDER BY d.id DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![destination, limit], |row| {
        Ok(DeliveryFailure {
            event_id: row.get(0)?,
            source: row.get(1)?,
            topic: row.get(2)?,
            attempts: row.get(3)?,
            failed_at: row.get(4)?,
            error: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the matching events with an undismissed failed delivery to a destination, the newest first. The status in
/// the filter does not count.
pub fn list_events_with_failed_delivery(
    connection: &Connection,
    destination: &str,
    filter: &EventFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.event_id FROM destination_deliveries d INDEXED BY destination_deliveries_failed \
         JOIN webhook_events e ON e.id = d.event_id WHERE d.status = 'failed' AND d.dismissed_at IS NULL \
         AND d.destination = :destination AND d.event_id < :before AND (:source IS NULL OR e.source = :source) \
         AND (:topic IS NULL OR e.topic GLOB :topic) AND (:since IS NULL OR e.received_at >= :since) \
         ORDER BY d.event_id DESC LIMIT :limit",
    )?;
    let rows = statement.query_map(
        named_params! {
            ":destination": destination,
            ":before": before.unwrap_or(i64::MAX),
            ":source": filter.source.map(Source::as_str),
            ":topic": filter.topic,
            ":since": filter.since,
            ":limit": limit,
        },
        |row| row.get(0),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the state of one destination, also of one that is not configured or not known.
pub fn read_destination_state(
    connection: &Connection,
    name: &str,
    now: Timestamp,
) -> Result<DestinationState, StoreError> {
    let (waiting, oldest): (u64, Option<String>) = connection
        .prepare_cached(
            "SELECT count(*), min(created_at) FROM destination_deliveries WHERE destination = ?1 AND status IN \
             ('pending', 'delivering')",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let failed = connection
        .prepare_cached(
            "SELECT count(*) FROM destination_deliveries WHERE status = 'failed' AND destination = ? \
             AND dismissed_at IS NULL",
        )?
        .query_row([name], |row| row.get(0))?;
    let mut state = DestinationState {
        name: name.to_owned(),
        paused_at: None,
        down_since: None,
        next_probe_at: None,
        waiting,
        oldest_waiting_seconds: oldest
            .as_deref()
            .and_then(|text| clock::parse_timestamp(text).ok())
            .map(|at| clock::duration_between(at, now).as_secs()),
        oldest_waiting_at: oldest,
        failed,
        last_success_at: None,
        last_error: None,
        last_error_at: None,
        recovered_at: None,
    };
    connection
        .prepare_cached(
            "SELECT paused_at, down_since, next_probe_at, last_success_at, last_error, last_error_at, recovered_at \
             FROM destinations WHERE name = ?",
        )?
        .query_row([name], |row| {
            state.paused_at = row.get(0)?;
            state.down_since = row.get(1)?;
            state.next_probe_at = row.get(2)?;
            state.last_success_at = row.get(3)?;
            state.last_error = row.get(4)?;
            state.last_error_at = row.get(5)?;
            state.recovered_at = row.get(6)?;
            Ok(())
        })
        .optional()?;
    Ok(state)
}

/// Returns the deliveries of one event, in the order of the configuration at that time.
pub fn list_event_deliveries(connection: &Connection, event_id: i64) -> Result<Vec<DeliveryRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT destination, status, attempts, max_attempts, next_attempt_at, last_error, finished_at, locked_at, \
         dismissed_at, dismissed_reason, CASE WHEN status = 'pending' AND ordering_key <> '' THEN \
         coalesce((SELECT min(p.event_id) FROM destination_deliveries p WHERE p.destination = d.destination AND \
         p.ordering_key = d.ordering_key AND p.status = 'delivering'), (SELECT min(p.event_id) FROM \
         destination_deliveries p WHERE p.destination = d.destination AND p.ordering_key = d.ordering_key AND p.status \
         = 'pending' AND p.event_id < d.event_id)) END FROM destination_deliveries d WHERE event_id = ? ORDER BY id",
    )?;
    let rows = statement.query_map([event_id], |row| {
        Ok(DeliveryRecord {
            destination: row.get(0)?,
            status: row.get(1)?,
            attempts: row.get(2)?,
            max_attempts: row.get(3)?,
            next_attempt_at: row.get(4)?,
            last_error: row.get(5)?,
            finished_at: row.get(6)?,
            locked_at: row.get(7)?,
            dismissed_at: row.get(8)?,
            dismissed_reason: row.get(9)?,
            waits_for_event: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Most deliveries that one transaction deletes. It limits how long the transaction has the lock.
const FORGET_BATCH_SIZE: u32 = 500;

impl Store {
    /// Pauses or resumes a destination.
    pub async fn set_destination_paused(&self, name: &str, is_paused: bool, actor: Actor) -> Result<(), StoreError> {
        let (name, now) = (name.to_owned(), clock::format_timestamp(self.clock.now()));
        let (at, operation) = if is_paused { (Some(now.clone()), "PAUSE") } else { (None, "RESUME") };
        self.writer
            .submit(WriteClass::Wake, move |connection| {
                connection.execute(
                    "INSERT INTO destinations (name, paused_at) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET paused_at = \
                     CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(paused_at, ?2) END, next_probe_at = CASE WHEN ?2 IS \
                     NULL THEN NULL ELSE next_probe_at END",
                    params![name, at],
                )?;
                actor.log_action(connection, &now, ("DESTINATION", operation, &format!("destinations/{name}")), None)
            })
            .await
    }

    /// Deletes the state and the failed deliveries of a destination. Returns the number of deliveries, or None if there
    /// was nothing to delete. Its successful deliveries stay with their events.
    pub async fn forget_destination(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let (mut deleted, mut had_state) = (0, false);
        loop {
            let name = name.to_owned();
            let job = move |connection: &Connection| {
                let deliveries = connection.execute(
                    "DELETE FROM destination_deliveries WHERE id IN (SELECT id FROM destination_deliveries WHERE \
                     status = 'failed' AND destination = ?1 LIMIT ?2)",
                    params![name, FORGET_BATCH_SIZE],
                )?;
                let state = connection.execute("DELETE FROM destinations WHERE name = ?", [&name])?;
                Ok((deliveries as u64, state))
            };
            let (deliveries, state) = self.writer.submit(WriteClass::Maintain, job).await?;
            deleted += deliveries;
            had_state |= state > 0;
            if deliveries < u64::from(FORGET_BATCH_SIZE) {
                return Ok((deleted > 0 || had_state).then_some(deleted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_deliveries_are_described_in_words() {
        let describe = |events, orders| WaitingDeliveries { events, orders }.describe();
        assert_eq!(describe(1, 1), "1 order waits");
        assert_eq!(describe(131, 131), "131 orders wait");
        assert_eq!(describe(3, 1), "3 events of 1 order wait");
        assert_eq!(describe(2, 0), "2 events wait");
    }
}
