//! Scrubs the database after redactions, in `serve` and in `work`.

use crate::store::Store;
use crate::store::privacy::scrub::ScrubResult;
use std::time::Duration;
use tracing::warn;

/// Time between two checks for redactions that wait for a scrub.
const SCRUB_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Scrubs until it is aborted.
pub async fn scrub_repeatedly(store: Store) {
    let mut has_warned = false;
    loop {
        if !scrub_once(&store).await {
            has_warned = false;
        } else if !std::mem::replace(&mut has_warned, true) {
            warn!(
                "the database file still holds traces of redacted data, because a program reads the database or the \
                 file is large; the daemon scrubs it when no program reads. For a large file run `novex-ingest privacy \
                 scrub` at a quiet hour"
            );
        }
        tokio::time::sleep(SCRUB_CHECK_INTERVAL).await;
    }
}

/// Scrubs the file if redacted data has left traces in it. Returns true if some traces remain.
pub async fn scrub_once(store: &Store) -> bool {
    match store.scrub(false).await {
        Ok(ScrubResult::Clean) => false,
        Ok(ScrubResult::Busy | ScrubResult::TooLarge) => true,
        Err(error) => {
            warn!(
                "the database could not be checked for redactions that wait for a scrub; the next check follows in a \
                 second: {error}"
            );
            false
        }
    }
}
