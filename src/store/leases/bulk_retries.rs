//! Retries of all events that match a filter, in batches. The state is in the database, so that any process can show
//! and stop one, and so that its end with the daemon is visible.
//!
//! Each batch is one transaction: it compares its events with the filter again, retries them as `events retry` does,
//! and notes how far it is. Ids only fall, so no event is retried twice.

use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::events::records::{EventFilter, find_event};
use crate::store::events::scan::EventMatcher;
use crate::store::leases::LeaseOwner;
use crate::store::leases::events::{log_retry, retry_event};
use crate::store::{Store, StoreError};
use crate::text::format_count;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Most rows in the table. The store deletes the oldest row when it adds one more.
const BULK_RETRIES_MAX: i64 = 1_000;
/// Reason of a retry whose process ended.
pub const INTERRUPTED_ERROR: &str = "the daemon stopped";

/// How a bulk retry is, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkRetryState {
    Running,
    Completed,
    /// A person stopped it.
    Stopped,
    /// The daemon ended.
    Interrupted,
    /// The database refused a batch.
    Failed,
}

impl BulkRetryState {
    const ALL: [Self; 5] = [Self::Running, Self::Completed, Self::Stopped, Self::Interrupted, Self::Failed];

    /// Returns the name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// A bulk retry as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRetry {
    pub id: i64,
    pub started_at: String,
    pub started_by: Actor,
    /// The filter as in the address of a page.
    pub filter: String,
    pub state: BulkRetryState,
    /// Events with this id or a higher one are done.
    pub position: i64,
    pub retried: u64,
    pub skipped: u64,
    pub owner: LeaseOwner,
    pub finished_at: Option<String>,
    pub error: Option<String>,
}

/// The next events of a bulk retry.
#[derive(Debug, Clone)]
pub struct RetryBatch {
    pub retry: i64,
    pub filter: EventFilter,
    /// Events that matched when they were read.
    pub ids: Vec<i64>,
    /// Where the next batch continues: below this id. None if this is the last one.
    pub next: Option<i64>,
    /// Attempts that each event gets.
    pub attempts: u32,
}

const BULK_RETRY_COLUMNS: &str = "id, started_at, started_by, address, filter, state, position, retried, skipped, \
                                  worker, worker_process, finished_at, error";

fn read_bulk_retry(row: &Row<'_>) -> rusqlite::Result<BulkRetry> {
    let state: String = row.get(5)?;
    Ok(BulkRetry {
        id: row.get(0)?,
        started_at: row.get(1)?,
        started_by: Actor { name: row.get(2)?, address: row.get(3)? },
        filter: row.get(4)?,
        state: BulkRetryState::ALL.into_iter().find(|one| one.as_str() == state).unwrap_or(BulkRetryState::Failed),
        position: row.get(6)?,
        retried: row.get(7)?,
        skipped: row.get(8)?,
        owner: LeaseOwner { worker: row.get(9)?, process: row.get(10)? },
        finished_at: row.get(11)?,
        error: row.get(12)?,
    })
}

/// Returns one bulk retry, or None if it does not exist.
pub fn find_bulk_retry(connection: &Connection, id: i64) -> Result<Option<BulkRetry>, StoreError> {
    let sql = format!("SELECT {BULK_RETRY_COLUMNS} FROM bulk_retries WHERE id = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_bulk_retry).optional()?)
}

/// Returns the bulk retries that run, also those of ended processes.
pub fn list_running_retries(connection: &Connection) -> Result<Vec<BulkRetry>, StoreError> {
    let sql = format!("SELECT {BULK_RETRY_COLUMNS} FROM bulk_retries WHERE state = 'running' ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read_bulk_retry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Stores the start of a bulk retry of the events that exist now, and returns it. `filter` is as in the address of
    /// a page.
    pub async fn start_bulk_retry(
        &self,
        actor: Actor,
        filter: String,
        owner: LeaseOwner,
    ) -> Result<BulkRetry, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "INSERT INTO bulk_retries (started_at, started_by, address, filter, worker, worker_process, position) \
                     SELECT ?, ?, ?, ?, ?, ?, coalesce(max(id), 0) + 1 FROM webhook_events",
                )?
                .execute(params![at, actor.name, actor.address, filter, owner.worker, owner.process])?;
            let id = connection.last_insert_rowid();
            connection.execute("DELETE FROM bulk_retries WHERE id <= ?", [id - BULK_RETRIES_MAX])?;
            find_bulk_retry(connection, id)?.ok_or(StoreError::ShuttingDown)
        };
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Retries the events of a batch that still match, and returns the bulk retry after it. If it does not run any
    /// more, nothing is retried.
    ///
    /// # Errors
    /// When the transaction fails; then no event of the batch was retried.
    pub async fn retry_batch(&self, batch: RetryBatch) -> Result<Option<BulkRetry>, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer.submit(WriteClass::Wake, move |connection| retry_matching(connection, &batch, &at)).await
    }

    /// Ends a bulk retry that runs, and returns whether it ran. `stopped_by` is the person who stops it.
    pub async fn finish_bulk_retry(
        &self,
        id: i64,
        state: BulkRetryState,
        error: Option<String>,
        stopped_by: Option<Actor>,
    ) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let has_ended = write_end(connection, id, state, error.as_deref(), &at)?;
            if let Some(actor) = stopped_by.filter(|_| has_ended) {
                actor.log_action(connection, &at, ("EVENT", "RETRY-STOP", &format!("retries/{id}")), None)?;
            }
            Ok(has_ended)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

fn retry_matching(connection: &Connection, batch: &RetryBatch, at: &str) -> Result<Option<BulkRetry>, StoreError> {
    let Some(retry) = find_bulk_retry(connection, batch.retry)? else { return Ok(None) };
    if retry.state != BulkRetryState::Running {
        return Ok(Some(retry));
    }
    let matcher = EventMatcher::new(&batch.filter);
    let (mut retried, mut skipped) = (Vec::new(), 0);
    for id in batch.ids.iter().copied().filter(|id| *id < retry.position) {
        let Some(event) = find_event(connection, id)?.filter(|event| matcher.matches_event(event)) else { continue };
        match retry_event(connection, event.identity.id, batch.attempts, &retry.owner.worker, at)? {
            Some(event) => retried.push(event),
            None => skipped += 1,
        }
    }
    log_retry(connection, at, &retry.started_by, &retried)?;
    connection
        .prepare_cached(
            "UPDATE bulk_retries SET position = ?, retried = retried + ?, skipped = skipped + ? WHERE id = ?",
        )?
        .execute(params![batch.next.unwrap_or(0), retried.len(), skipped, retry.id])?;
    if batch.next.is_none() {
        write_end(connection, retry.id, BulkRetryState::Completed, None, at)?;
    }
    find_bulk_retry(connection, retry.id)
}

/// Writes the end of a bulk retry that runs, and its entry in the audit trail. Returns false if it does not run.
fn write_end(
    connection: &Connection,
    id: i64,
    state: BulkRetryState,
    error: Option<&str>,
    at: &str,
) -> Result<bool, StoreError> {
    let rows = connection
        .prepare_cached(
            "UPDATE bulk_retries SET state = ?, error = ?, finished_at = ? WHERE id = ? AND state = 'running'",
        )?
        .execute(params![state.as_str(), error, at, id])?;
    let Some(retry) = find_bulk_retry(connection, id)?.filter(|_| rows > 0) else { return Ok(false) };
    let events = format_count(retry.retried, "event", "events");
    let path = format!("retries/{id}: {events} of {}, {}", retry.filter, state.as_str());
    retry.started_by.log_action(connection, at, ("EVENT", "RETRY-ALL", &path), error)?;
    Ok(true)
}
