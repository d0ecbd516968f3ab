//! Records which secrets senders use, at most once in a while for each secret.

use crate::clock::{self, Timestamp};
use crate::event::VerifiedWebhook;
use crate::store::Store;
use crate::store::events::secret_uses::SecretKey;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// Shortest time between two records of one secret: one row an hour costs nothing beside the events.
const RECORD_INTERVAL: Duration = Duration::from_hours(1);

/// Remembers when it recorded each secret. The configuration limits the number of secrets.
#[derive(Default)]
pub struct SecretUseRecorder(Mutex<HashMap<SecretKey, Timestamp>>);

impl SecretUseRecorder {
    /// Returns the secret that proved a webhook. None for a test event, which the provider did not send.
    #[must_use]
    pub fn identify_secret(webhook: &VerifiedWebhook) -> Option<SecretKey> {
        let reference = webhook.secret_reference().filter(|_| !webhook.is_test())?.clone();
        let key = &webhook.envelope().key;
        Some(SecretKey { source: key.source, shop_domain: key.shop_domain.clone(), reference })
    }

    /// Records a use at `at`, unless one was recorded shortly before. Waits for nothing.
    pub fn record(&self, key: SecretKey, at: Timestamp, store: &Store) {
        let mut recorded = self.0.lock().expect("nothing panics while it holds the times");
        // A clock that was set back must not stop the records.
        let is_recent = |last: &Timestamp| *last <= at && clock::duration_between(*last, at) < RECORD_INTERVAL;
        if recorded.get(&key).is_some_and(is_recent) {
            return;
        }
        recorded.insert(key.clone(), at);
        store.record_secret_use(key, clock::format_timestamp(at));
    }
}
