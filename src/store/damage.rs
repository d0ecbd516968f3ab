//! Whether the file has shown itself to be damaged, since this process began: some writes may work still.

use super::StoreError;
use std::sync::{Arc, Mutex};

/// Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Damage(Arc<Mutex<Option<StoreError>>>);

impl Damage {
    /// Remembers an error, if it is of that kind.
    pub fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Damaged(_)) {
            *self.0.lock().expect("nothing panics while it holds it") = Some(error.clone());
        }
    }

    pub fn found(&self) -> Option<StoreError> {
        self.0.lock().expect("nothing panics while it holds it").clone()
    }
}
