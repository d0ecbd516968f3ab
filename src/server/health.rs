//! `GET /healthz`: whether an event could be stored now, found out by storing something.

use crate::store::writer::Kind;
use crate::store::{Store, StoreError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{error, info};

/// Answers younger than this are given again, so that a flood of questions costs one write in this time.
const FRESH: Duration = Duration::from_millis(500);

/// The last finding. The lock is held while the probe writes: whoever asks meanwhile gets its result.
pub struct Health {
    store: Store,
    patience: Duration,
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl Health {
    #[must_use]
    pub fn new(store: Store, patience: Duration) -> Self {
        Self { store, patience, last: Mutex::new(None) }
    }

    /// Whether the writer does what it is there for, also where nothing new is taken because the disk is nearly full: what the
    /// service manager's watchdog is fed by.
    pub async fn is_alive(&self) -> bool {
        matches!(timeout(self.patience, self.store.probe(Kind::Upkeep)).await, Ok(Ok(())))
    }

    /// Writes a row, synced like any event's.
    ///
    /// # Errors
    /// Why nothing can be stored now.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, finding)) = &*last
            && at.elapsed() < FRESH
        {
            return finding.clone();
        }
        let finding = timeout(self.patience, self.store.probe(Kind::Intake))
            .await
            .unwrap_or_else(|_late| Err(StoreError::Busy { waited: self.patience }))
            // A file that is damaged may still take this one row.
            .and_then(|()| self.store.writer.damage().map_or(Ok(()), Err));
        // Told once for each finding, however often it is asked for.
        let before = last.as_ref().map(|(_, before)| before.is_ok());
        match &finding {
            Err(reason) if before != Some(false) => error!("/healthz says 503: {reason}"),
            Ok(()) if before == Some(false) => info!("/healthz says 200 again: events can be stored"),
            _ => {}
        }
        *last = Some((Instant::now(), finding.clone()));
        finding
    }
}
