//! Test events: counting and removing them.

use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::Connection;

/// Most test events that one job deletes.
const EVENTS_PER_DELETE: u32 = 50;

/// Result of a removal of the test events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestEventRemoval {
    pub removed: usize,
    /// Test events that a worker had claimed; they stay.
    pub in_process: u64,
}

/// Returns the number of stored test events.
pub fn count_test_events(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM webhook_events INDEXED BY webhook_events_test WHERE test = 1";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

impl Store {
    /// Deletes all test events that no worker has claimed, with their bodies and histories.
    ///
    /// # Errors
    /// When a transaction fails. Earlier deletions stay.
    pub async fn remove_test_events(&self) -> Result<TestEventRemoval, StoreError> {
        let mut removed = 0;
        loop {
            let job = |connection: &Connection| {
                let sql = "DELETE FROM webhook_events WHERE id IN (SELECT id FROM webhook_events INDEXED BY \
                           webhook_events_test WHERE test = 1 AND status <> 'processing' ORDER BY id LIMIT ?)";
                Ok(connection.prepare_cached(sql)?.execute([EVENTS_PER_DELETE])?)
            };
            match self.writer.submit(WriteClass::Maintain, job).await? {
                0 => break,
                count => removed += count,
            }
        }
        Ok(TestEventRemoval { removed, in_process: self.reader.read(count_test_events)? })
    }
}
