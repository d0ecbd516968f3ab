//! Taking off what is old: bodies first, rows later, what they became never.
//!
//! A pass walks once over what is old enough for any rule, in small reads, and deletes in small jobs between which deliveries are
//! stored: no job holds the writer for longer than a commit or two. What is still handed on, or waits to be erased, is left.

use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, params};
use std::time::Duration;

/// How long events of one source and status are kept after they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `None`: of every source that has no rule of its own.
    pub source: Option<String>,
    /// completed or failed.
    pub status: String,
    /// The bytes that came; `None`: for ever.
    pub bodies: Option<Duration>,
    /// The event with its trail; `None`: for ever.
    pub rows: Option<Duration>,
}

/// What a pass took off, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub bodies: u64,
    /// Of those bodies.
    pub bytes: u64,
    pub rows: u64,
}

/// Rows that one read looks at, and that one job deletes; and most bytes of bodies that it deletes.
const READ_AT_ONCE: u32 = 500;
const DELETED_AT_ONCE: usize = 50;
const BYTES_AT_ONCE: u64 = 1 << 20;
/// Pages that one job gives back to the disk.
const PAGES_AT_ONCE: u32 = 128;
/// Free pages that are kept for what comes next: giving all back would only have the file grow again.
const PAGES_KEPT: u64 = 2_048;

/// One event that is old enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Old {
    id: i64,
    /// Of its body, if it has one.
    bytes: Option<u64>,
    /// The row goes, not only the body.
    row: bool,
}

/// The rule for a source and a status: its own before that for all.
fn rule<'r>(rules: &'r [Rule], source: &str, status: &str) -> Option<&'r Rule> {
    let of_status = || rules.iter().filter(|rule| rule.status == status);
    of_status()
        .find(|rule| rule.source.as_deref() == Some(source))
        .or_else(|| of_status().find(|rule| rule.source.is_none()))
}

/// The newest time that any rule reaches; `None` when none takes anything off.
fn horizon(rules: &[Rule], now: Timestamp) -> Option<String> {
    let shortest = rules.iter().flat_map(|rule| [rule.bodies, rule.rows]).flatten().min()?;
    now.checked_sub(shortest).ok().map(clock::text)
}

/// The next events after `after` that are old enough, and where the walk stands; `None` at its end.
fn look(
    connection: &Connection,
    rules: &[Rule],
    now: Timestamp,
    (after, horizon): (i64, &str),
) -> Result<Option<(i64, Vec<Old>)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT e.id, e.source, e.status, e.completed_at, length(p.body) FROM webhook_events e \
         LEFT JOIN webhook_payloads p ON p.event_id = e.id WHERE e.id > ?1 AND e.received_at < ?2 ORDER BY e.id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after, horizon, READ_AT_ONCE])?;
    let (mut last, mut found) = (None, Vec::new());
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        last = Some(id);
        let (source, status, ended): (String, String, Option<String>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let bytes: Option<u64> = row.get(4)?;
        let (Some(rule), Some(ended)) = (rule(rules, &source, &status), ended) else { continue };
        let is_over = |kept: Option<Duration>| {
            kept.and_then(|kept| now.checked_sub(kept).ok()).is_some_and(|limit| ended < clock::text(limit))
        };
        let (row, body) = (is_over(rule.rows), is_over(rule.bodies));
        if row || (body && bytes.is_some()) {
            found.push(Old { id, bytes, row });
        }
    }
    Ok(last.map(|last| (last, found)))
}

/// Deletes some of what was found, if it still is as it was; gives what went.
fn delete(connection: &Connection, old: &[Old]) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    for event in old {
        // Brought back, still on its way, or an erasure still needs it: left for another time.
        let is_busy: bool = connection
            .prepare_cached(
                "SELECT NOT EXISTS (SELECT 1 FROM webhook_events WHERE id = ?1 AND status IN ('completed', 'failed')) \
                 OR EXISTS (SELECT 1 FROM destination_deliveries WHERE event_id = ?1 AND status IN ('pending', 'delivering')) \
                 OR EXISTS (SELECT 1 FROM data_requests WHERE event_id = ?1 AND done_at IS NULL)",
            )?
            .query_row([event.id], |row| row.get(0))?;
        if is_busy {
            continue;
        }
        let body = connection.prepare_cached("DELETE FROM webhook_payloads WHERE event_id = ?")?.execute([event.id])?;
        // Other bytes that came under its id are bodies too.
        connection.prepare_cached("DELETE FROM webhook_conflicts WHERE event_id = ?")?.execute([event.id])?;
        if body > 0 {
            pruned.bodies += 1;
            pruned.bytes += event.bytes.unwrap_or(0);
        }
        if event.row {
            pruned.rows +=
                connection.prepare_cached("DELETE FROM webhook_events WHERE id = ?")?.execute([event.id])? as u64;
        }
    }
    Ok(pruned)
}

impl Store {
    /// Takes off what the rules say. `dry`: only counts it, and nothing is left out that is still on its way. `pause`: after
    /// each job, for others.
    ///
    /// # Errors
    /// When a read or a job fails; what was taken off before stays so.
    pub async fn prune(&self, rules: &[Rule], dry: bool, pause: Duration) -> Result<Pruned, StoreError> {
        let now = self.clock.now();
        let mut pruned = Pruned::default();
        let Some(horizon) = horizon(rules, now) else { return Ok(pruned) };
        let mut after = 0;
        while let Some((last, found)) =
            self.reader.read(|connection| look(connection, rules, now, (after, &horizon)))?
        {
            after = last;
            let mut rest = found.as_slice();
            while !rest.is_empty() {
                let (part, left) = rest.split_at(share(rest));
                rest = left;
                let gone = if dry { counted(part) } else { self.delete_old(part.to_vec(), pause).await? };
                pruned.bodies += gone.bodies;
                pruned.bytes += gone.bytes;
                pruned.rows += gone.rows;
            }
        }
        Ok(pruned)
    }

    async fn delete_old(&self, part: Vec<Old>, pause: Duration) -> Result<Pruned, StoreError> {
        let gone = self.writer.submit(Kind::Upkeep, move |connection| delete(connection, &part)).await;
        tokio::time::sleep(pause).await;
        gone
    }

    /// Gives free pages back to the disk, little by little; gives how many. `all`: none is kept for what comes. `pause`: as
    /// for [`Store::prune`].
    ///
    /// # Errors
    /// When a job fails.
    pub async fn shrink(&self, all: bool, pause: Duration) -> Result<u64, StoreError> {
        let kept = if all { 0 } else { PAGES_KEPT };
        let mut given = 0;
        loop {
            let job = move |connection: &Connection| {
                let free = |connection: &Connection| {
                    connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u64>(0))
                };
                let before = free(connection)?;
                if before <= kept {
                    return Ok(0);
                }
                // Each step frees one page: all of them must be taken.
                let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                drop(rows);
                Ok(before - free(connection)?)
            };
            match self.writer.submit(Kind::Upkeep, job).await? {
                0 => return Ok(given),
                pages => given += pages,
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// How full the database's disk is, in percent of what others than root may use.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn disk_percent(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::statvfs(self.path())
            .map_err(|error| StoreError::DiskFull { detail: format!("the disk cannot be asked: {error}") })?;
        Ok(used_percent(&disk))
    }
}

/// How full a disk is, in percent of what others than root may use.
#[must_use]
pub fn used_percent(disk: &rustix::fs::StatVfs) -> u64 {
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    used.saturating_mul(100).div_ceil((used + disk.f_bavail).max(1))
}

/// How many of them one job takes.
fn share(old: &[Old]) -> usize {
    let mut bytes = 0;
    let fits = old.iter().take(DELETED_AT_ONCE).take_while(|event| {
        let before = bytes;
        bytes += event.bytes.unwrap_or(0);
        before < BYTES_AT_ONCE
    });
    fits.count().max(1)
}

fn counted(old: &[Old]) -> Pruned {
    Pruned {
        bodies: old.iter().filter(|event| event.bytes.is_some()).count() as u64,
        bytes: old.iter().filter_map(|event| event.bytes).sum(),
        rows: old.iter().filter(|event| event.row).count() as u64,
    }
}
