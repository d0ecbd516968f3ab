//! Stores verified webhooks durably, each of them once.

use crate::clock;
use crate::event::VerifiedWebhook;
use crate::store::db::writer::{PendingWrite, WriteClass};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use tracing::warn;

/// Result of storing a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub event_id: i64,
    /// The store already had an event with this webhook id; `event_id` is that event.
    pub duplicate: bool,
    /// A duplicate with other bytes; `webhook_conflicts` keeps them.
    pub conflict: bool,
    /// A new event whose bytes arrived before under another id.
    pub is_copy: bool,
    /// True for a test event.
    pub is_test: bool,
}

impl Receipt {
    /// Returns whether the bytes arrived for the first time: a person who captured a webhook can only repeat its bytes.
    #[must_use]
    pub fn is_first_arrival(&self) -> bool {
        !self.duplicate && !self.is_copy
    }
}

impl Store {
    /// Submits a webhook to the writer; the returned write resolves when the event is synced to disk.
    ///
    /// The writer drops `hold` when it is done with the webhook, also if the caller no longer waits. `hold` is the
    /// share of the memory budget that the body has.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] at once if too many writes wait; otherwise the error of the commit.
    pub fn receive(
        &self,
        webhook: VerifiedWebhook,
        max_attempts: u32,
        hold: impl Send + 'static,
    ) -> Result<PendingWrite<Receipt>, StoreError> {
        // The caller's thread computes the digest, because all writes wait for the one writer thread.
        let digest: [u8; 32] = Sha256::digest(webhook.body()).into();
        self.writer.try_submit(WriteClass::Insert, move |connection| {
            let _hold = hold;
            insert_event(connection, &webhook, &digest, max_attempts)
        })
    }
}

fn insert_event(
    connection: &Connection,
    webhook: &VerifiedWebhook,
    digest: &[u8; 32],
    max_attempts: u32,
) -> Result<Receipt, StoreError> {
    let envelope = webhook.envelope();
    let received_at = clock::format_timestamp(envelope.received_at);
    let body_hash = to_body_hash(digest);
    // The UNIQUE constraint finds a duplicate. A SELECT before it would let another process insert the same event in
    // between.
    let inserted: Option<(i64, bool)> = connection
        .prepare_cached(
            // A test event says nothing about a real one with the same body.
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, \
             received_at, provider_event_id, triggered_at, test, same_body_as) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?10, \
             (SELECT event_id FROM webhook_payloads p WHERE body_hash = ?9 AND ?10 = 0 AND NOT EXISTS \
             (SELECT 1 FROM webhook_events WHERE id = p.event_id AND test = 1) ORDER BY event_id LIMIT 1)) \
             ON CONFLICT (source, shop_domain, webhook_id) DO NOTHING RETURNING id, same_body_as IS NOT NULL",
        )?
        .query_row(
            params![
                envelope.key.source,
                envelope.key.shop_domain,
                envelope.key.topic,
                envelope.key.webhook_id,
                max_attempts,
                received_at,
                envelope.provider_event_id,
                envelope.triggered_at,
                body_hash,
                webhook.is_test(),
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((event_id, is_copy)) = inserted else {
        return record_duplicate(connection, webhook, digest, &received_at);
    };
    insert_payload_and_log(connection, event_id, &envelope.headers, (webhook.body(), body_hash), &received_at)?;
    Ok(Receipt { event_id, duplicate: false, conflict: false, is_copy, is_test: webhook.is_test() })
}

/// Returns the first eight bytes of a SHA-256 digest, by which the store finds equal bodies.
pub(crate) fn to_body_hash(digest: &[u8; 32]) -> i64 {
    i64::from_be_bytes(*digest.first_chunk().expect("a digest has more than eight bytes"))
}

/// Inserts the payload and the first history entry of a new event, which every new event has beside its row.
pub(crate) fn insert_payload_and_log(
    connection: &Connection,
    event_id: i64,
    headers: &str,
    (body, body_hash): (&[u8], i64),
    at: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO webhook_payloads (event_id, headers, body, body_hash) VALUES (?, ?, ?, ?)")?
        .execute(params![event_id, headers, body, body_hash])?;
    connection
        .prepare_cached(
            "INSERT INTO webhook_event_log (event_id, at, to_status, attempt) VALUES (?, ?, 'received', 0)",
        )?
        .execute(params![event_id, at])?;
    Ok(())
}

/// Records a webhook whose id is stored already. Equal bytes are a retry of the provider; other bytes are kept in
/// `webhook_conflicts`.
fn record_duplicate(
    connection: &Connection,
    webhook: &VerifiedWebhook,
    digest: &[u8; 32],
    at: &str,
) -> Result<Receipt, StoreError> {
    let envelope = webhook.envelope();
    let (event_id, is_same_body): (i64, bool) = connection
        .prepare_cached(
            "SELECT e.id, coalesce(p.body = ?4, 1) FROM webhook_events e \
             LEFT JOIN webhook_payloads p ON p.event_id = e.id \
             WHERE e.source = ?1 AND e.shop_domain = ?2 AND e.webhook_id = ?3",
        )?
        .query_row(
            params![envelope.key.source, envelope.key.shop_domain, envelope.key.webhook_id, webhook.body()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if !is_same_body {
        let inserted = connection
            .prepare_cached(
                "INSERT INTO webhook_conflicts (event_id, at, headers, body, body_sha256) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![event_id, at, envelope.headers, webhook.body(), hex::encode(digest)])?;
        if inserted > 0 {
            warn!(
                event = event_id,
                "a request repeated the webhook id {:?} of {} with other bytes than event {event_id}; the \
                 event keeps the first bytes, and the view `conflicts` has the others",
                envelope.key.webhook_id,
                envelope.key.source
            );
        }
    }
    Ok(Receipt { event_id, duplicate: true, conflict: !is_same_body, is_copy: false, is_test: webhook.is_test() })
}
