//! `GET /healthz`: checks by a synced write whether events can be stored now.

use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{error, info};

/// Lifetime of a cached result: a flood of requests costs one write in this time.
const PROBE_CACHE_LIFETIME: Duration = Duration::from_millis(500);

/// The probe with its last result. It holds the lock while it writes: concurrent callers get the same result.
pub struct HealthProbe {
    store: Store,
    probe_timeout: Duration,
    last_result: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl HealthProbe {
    #[must_use]
    pub fn new(store: Store, probe_timeout: Duration) -> Self {
        Self { store, probe_timeout, last_result: Mutex::new(None) }
    }

    /// Checks whether the writer works, for the watchdog of the service manager.
    ///
    /// Returns true also when the store refuses new events because the disk is nearly full.
    pub async fn is_alive(&self) -> bool {
        matches!(timeout(self.probe_timeout, self.store.write_probe(WriteClass::Maintain)).await, Ok(Ok(())))
    }

    /// Writes a row, synced as an event is. Reuses a result younger than half a second.
    ///
    /// # Errors
    /// The reason why the daemon cannot store events now.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut last = self.last_result.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < PROBE_CACHE_LIFETIME
        {
            return result.clone();
        }
        let result = timeout(self.probe_timeout, self.store.write_probe(WriteClass::Insert))
            .await
            .unwrap_or_else(|_late| Err(StoreError::Busy { waited: self.probe_timeout }))
            // A damaged file may still accept this one row.
            .and_then(|()| self.store.writer.damage().map_or(Ok(()), Err));
        // One log line for each change, however often somebody asks.
        let was_healthy = last.as_ref().map(|(_, before)| before.is_ok());
        match &result {
            Err(reason) if was_healthy != Some(false) => {
                error!("/healthz answers 503, the daemon cannot store events: {reason}");
            }
            Ok(()) if was_healthy == Some(false) => info!("/healthz answers 200 again, the daemon stores events"),
            _ => {}
        }
        *last = Some((Instant::now(), result.clone()));
        result
    }
}
