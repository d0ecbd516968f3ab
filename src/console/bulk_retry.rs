//! Retries all events that match a filter, in the background of the console.
//!
//! One runs at a time in a process. It reads the next events outside of the writer, and leaves the writer to webhooks
//! between two batches. The database has its state, so that a person of any process can stop it.

use crate::console::ConsoleState;
use crate::queue::process::{identify_current_process, is_owner_dead};
use crate::store::StoreError;
use crate::store::events::records::EventFilter;
use crate::store::events::scan::{SCAN_EVENTS_MAX, ScanLimits, scan_events};
use crate::store::leases::bulk_retries::{
    BulkRetry, BulkRetryState, INTERRUPTED_ERROR, RetryBatch, list_running_retries,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

/// Most events of one transaction: it bounds how long a webhook waits for its commit.
const BATCH_EVENTS: usize = 200;
/// Pause between two transactions.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// Pause after an error of the database.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Errors in a row after which the retry fails.
const ERRORS_MAX: u32 = 10;

/// Retries events until none is left, until a person stops it, or until the daemon ends. `place` keeps other retries of
/// this process away.
pub async fn run_bulk_retry(
    state: Arc<ConsoleState>,
    mut retry: BulkRetry,
    filter: EventFilter,
    place: OwnedSemaphorePermit,
) {
    let id = retry.id;
    let mut errors = 0;
    while retry.state == BulkRetryState::Running {
        let pause = match retry_next_batch(&state, &retry, &filter).await {
            Ok(Some(current)) => {
                (retry, errors) = (current, 0);
                BATCH_PAUSE
            }
            Ok(None) => break,
            Err(error) if errors < ERRORS_MAX => {
                warn!("bulk retry {id} waits, because the database does not answer: {error}");
                errors += 1;
                ERROR_PAUSE
            }
            Err(error) => {
                finish_retry(&state, id, BulkRetryState::Failed, error.to_string()).await;
                break;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = state.wait_for_stop() => {
                finish_retry(&state, id, BulkRetryState::Interrupted, INTERRUPTED_ERROR.to_owned()).await;
                break;
            }
        }
    }
    drop(place);
}

async fn retry_next_batch(
    state: &Arc<ConsoleState>,
    retry: &BulkRetry,
    filter: &EventFilter,
) -> Result<Option<BulkRetry>, StoreError> {
    let (before, wanted) = (Some(retry.position), filter.clone());
    let limits = ScanLimits { rows: BATCH_EVENTS, scanned: SCAN_EVENTS_MAX };
    let scan = state.read(move |connection| scan_events(connection, &wanted, before, limits)).await?;
    let batch = RetryBatch {
        retry: retry.id,
        filter: filter.clone(),
        ids: scan.events.iter().map(|event| event.identity.id).collect(),
        next: scan.next,
        attempts: state.config.worker.max_attempts,
    };
    state.store.retry_batch(batch).await
}

async fn finish_retry(state: &ConsoleState, id: i64, end: BulkRetryState, error: String) {
    if let Err(error) = state.store.finish_bulk_retry(id, end, Some(error), None).await {
        warn!("the end of bulk retry {id} is not stored; the next start of the daemon stores it: {error}");
    }
}

/// Marks the retries whose process ended: they touch no event any more.
pub async fn interrupt_ended_retries(state: Arc<ConsoleState>) {
    let running = state.read(list_running_retries).await.unwrap_or_default();
    let me = identify_current_process();
    for retry in running.iter().filter(|retry| is_owner_dead(&retry.owner, &me)) {
        info!("bulk retry {} ended with its daemon after {} retried events", retry.id, retry.retried);
        finish_retry(&state, retry.id, BulkRetryState::Interrupted, INTERRUPTED_ERROR.to_owned()).await;
    }
}
