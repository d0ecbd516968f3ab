//! Deletion of old events: first the body, later the row; never the ERP tables that the event filled.
//!
//! A pass reads once, in small pages, all events that are old enough for any rule. It deletes in small jobs, so that
//! the writer stores requests between them; no job occupies the writer for longer than a commit or two. A pass leaves
//! an event with an unfinished delivery or an open data request.

use crate::clock;
use crate::clock::Timestamp;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use std::time::Duration;

/// How long the store keeps events of one source and status after they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// None for every source without a rule of its own.
    pub source: Option<String>,
    /// `completed` or `failed`.
    pub status: String,
    /// How long to keep the body; None for ever.
    pub keep_bodies_for: Option<Duration>,
    /// How long to keep the event with its history; None for ever.
    pub keep_events_for: Option<Duration>,
}

/// Number of events and bodies that a pass deleted, or would delete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneSummary {
    pub bodies: u64,
    /// Bytes of those bodies.
    pub bytes: u64,
    pub events: u64,
}

/// Most events that one read looks at.
const EVENTS_PER_READ: u32 = 500;
/// Most events that one job deletes.
const EVENTS_PER_DELETE: usize = 50;
/// Bytes of bodies after which a job ends.
const BODY_BYTES_PER_DELETE: u64 = 1 << 20;
/// Free pages that one job returns to the disk.
const PAGES_PER_VACUUM: u32 = 128;
/// Free pages that stay in the file for new events: without them the file would only grow again.
const FREE_PAGES_KEPT: u64 = 2_048;

/// An event that is old enough for its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ExpiredEvent {
    id: i64,
    /// Size of its body; None if the body is already deleted.
    body_bytes: Option<u64>,
    /// True if the rule deletes the row, not only the body.
    deletes_row: bool,
}

/// Returns the rule for a source and a status. A rule of the source goes before the rule for all sources.
fn find_rule<'r>(rules: &'r [RetentionRule], source: &str, status: &str) -> Option<&'r RetentionRule> {
    let with_status = || rules.iter().filter(|rule| rule.status == status);
    with_status()
        .find(|rule| rule.source.as_deref() == Some(source))
        .or_else(|| with_status().find(|rule| rule.source.is_none()))
}

/// Returns the newest time at which any rule deletes something, or None if no rule deletes.
fn compute_retention_horizon(rules: &[RetentionRule], now: Timestamp) -> Option<String> {
    let shortest = rules.iter().flat_map(|rule| [rule.keep_bodies_for, rule.keep_events_for]).flatten().min()?;
    now.checked_sub(shortest).ok().map(clock::format_timestamp)
}

/// Reads one page of events after the id `after`. Returns the last id of the page and the expired events, or None at
/// the end.
fn find_expired_events(
    connection: &Connection,
    rules: &[RetentionRule],
    now: Timestamp,
    after: i64,
    horizon: &str,
) -> Result<Option<(i64, Vec<ExpiredEvent>)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT e.id, e.source, e.status, e.completed_at, length(p.body) FROM webhook_events e LEFT JOIN \
         webhook_payloads p ON p.event_id = e.id WHERE e.id > ?1 AND e.received_at < ?2 ORDER BY e.id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after, horizon, EVENTS_PER_READ])?;
    let (mut last, mut found) = (None, Vec::new());
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        last = Some(id);
        let (source, status, ended_at): (String, String, Option<String>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let body_bytes: Option<u64> = row.get(4)?;
        let (Some(rule), Some(ended_at)) = (find_rule(rules, &source, &status), ended_at) else { continue };
        let is_over = |keep_for: Option<Duration>| {
            keep_for
                .and_then(|age| now.checked_sub(age).ok())
                .is_some_and(|limit| ended_at < clock::format_timestamp(limit))
        };
        let deletes_row = is_over(rule.keep_events_for);
        if deletes_row || (is_over(rule.keep_bodies_for) && body_bytes.is_some()) {
            found.push(ExpiredEvent { id, body_bytes, deletes_row });
        }
    }
    Ok(last.map(|last| (last, found)))
}

/// Deletes expired events that are still finished, and returns their number.
fn delete_expired_events(connection: &Connection, events: &[ExpiredEvent]) -> Result<PruneSummary, StoreError> {
    let mut pruned = PruneSummary::default();
    for event in events {
        // Retried, not delivered yet, needed for a data request, or a refused redaction without a decision: a later
        // pass deletes it.
        let is_busy: bool = connection
            .prepare_cached(
                "SELECT NOT EXISTS (SELECT 1 FROM webhook_events WHERE id = ?1 AND status IN ('completed', 'failed')) \
                 OR EXISTS (SELECT 1 FROM destination_deliveries WHERE event_id = ?1 AND status IN ('pending', \
                 'delivering')) OR EXISTS (SELECT 1 FROM data_requests WHERE event_id = ?1 AND done_at IS NULL) \
                 OR EXISTS (SELECT 1 FROM destructive_requests WHERE event_id = ?1 AND state = 'refused' AND topic LIKE '%/redact')",
            )?
            .query_row([event.id], |row| row.get(0))?;
        if is_busy {
            continue;
        }
        let body = connection.prepare_cached("DELETE FROM webhook_payloads WHERE event_id = ?")?.execute([event.id])?;
        // A conflict is another body of this event.
        connection.prepare_cached("DELETE FROM webhook_conflicts WHERE event_id = ?")?.execute([event.id])?;
        if body > 0 {
            pruned.bodies += 1;
            pruned.bytes += event.body_bytes.unwrap_or(0);
        }
        if event.deletes_row {
            pruned.events +=
                connection.prepare_cached("DELETE FROM webhook_events WHERE id = ?")?.execute([event.id])? as u64;
        }
    }
    Ok(pruned)
}

impl Store {
    /// Deletes the events and bodies that the rules name, with a pause after each job for other writers.
    ///
    /// A dry run only counts them, and also counts events that are not delivered yet.
    ///
    /// # Errors
    /// Those of a read or of a job. Earlier deletions stay.
    pub async fn prune_events(
        &self,
        rules: &[RetentionRule],
        is_dry_run: bool,
        pause: Duration,
    ) -> Result<PruneSummary, StoreError> {
        let now = self.clock.now();
        let mut pruned = PruneSummary::default();
        let Some(horizon) = compute_retention_horizon(rules, now) else { return Ok(pruned) };
        let mut after = 0;
        while let Some((last, found)) =
            self.reader.read(|connection| find_expired_events(connection, rules, now, after, &horizon))?
        {
            after = last;
            let mut remaining = found.as_slice();
            while !remaining.is_empty() {
                let (batch, later) = remaining.split_at(compute_batch_len(remaining));
                remaining = later;
                let deleted = if is_dry_run {
                    count_expired_events(batch)
                } else {
                    self.delete_expired(batch.to_vec(), pause).await?
                };
                pruned.bodies += deleted.bodies;
                pruned.bytes += deleted.bytes;
                pruned.events += deleted.events;
            }
        }
        Ok(pruned)
    }

    async fn delete_expired(&self, batch: Vec<ExpiredEvent>, pause: Duration) -> Result<PruneSummary, StoreError> {
        let deleted =
            self.writer.submit(WriteClass::Maintain, move |connection| delete_expired_events(connection, &batch)).await;
        tokio::time::sleep(pause).await;
        deleted
    }

    /// Returns free pages to the disk in small jobs, with a pause after each, and returns their number.
    ///
    /// With `all`, no free pages stay in the file for new events.
    pub async fn vacuum_free_pages(&self, all: bool, pause: Duration) -> Result<u64, StoreError> {
        let pages_kept = if all { 0 } else { FREE_PAGES_KEPT };
        let mut pages_returned = 0;
        loop {
            let job = move |connection: &Connection| {
                let count_free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u64>(0));
                let before = count_free()?;
                if before <= pages_kept {
                    return Ok(0);
                }
                // Each step of the statement frees one page, so the loop reads all its rows.
                let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_PER_VACUUM})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                drop(rows);
                Ok(before - count_free()?)
            };
            match self.writer.submit(WriteClass::Maintain, job).await? {
                0 => return Ok(pages_returned),
                pages => pages_returned += pages,
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns how full the disk of the database is, in percent of the space that users other than root may use.
    pub fn disk_used_percent(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(self.path())
            .map_err(|error| StoreError::DiskFull { detail: format!("its free space cannot be read: {error}") })?;
        Ok(compute_used_percent(&disk))
    }
}

/// Returns how full a disk is, in percent of the space that users other than root may use.
#[must_use]
pub fn compute_used_percent(disk: &rustix::fs::StatVfs) -> u64 {
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    used.saturating_mul(100).div_ceil((used + disk.f_bavail).max(1))
}

/// Returns how many of the events one job deletes; at least one.
fn compute_batch_len(events: &[ExpiredEvent]) -> usize {
    let mut bytes = 0;
    let batch = events.iter().take(EVENTS_PER_DELETE).take_while(|event| {
        let before = bytes;
        bytes += event.body_bytes.unwrap_or(0);
        before < BODY_BYTES_PER_DELETE
    });
    batch.count().max(1)
}

fn count_expired_events(events: &[ExpiredEvent]) -> PruneSummary {
    PruneSummary {
        bodies: events.iter().filter(|event| event.body_bytes.is_some()).count() as u64,
        bytes: events.iter().filter_map(|event| event.body_bytes).sum(),
        events: events.iter().filter(|event| event.deletes_row).count() as u64,
    }
}
