//! Remembers that SQLite found the file damaged. Some writes may still succeed, so one success does not clear the
//! record.

use crate::store::StoreError;
use std::sync::{Arc, Mutex};

/// The last error that showed damage since this process started. Cheap to clone; clones share the record.
#[derive(Debug, Clone, Default)]
pub(crate) struct DamageRecord(Arc<Mutex<Option<StoreError>>>);

impl DamageRecord {
    /// Stores `error` if it shows that the file is damaged.
    pub fn record(&self, error: &StoreError) {
        if matches!(error, StoreError::Damaged(_)) {
            *self.0.lock().expect("no code panics while it has the lock") = Some(error.clone());
        }
    }

    /// Returns the recorded error, or None if SQLite found no damage.
    pub fn error(&self) -> Option<StoreError> {
        self.0.lock().expect("no code panics while it has the lock").clone()
    }
}
