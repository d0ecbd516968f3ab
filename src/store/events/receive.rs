//! Stores verified webhooks durably, each of them once.

use crate::clock;
use crate::event::{DIGEST_ID_PREFIX, EventKey, Source, VerifiedWebhook};
use crate::keycloak_event::states_whole_seconds;
use crate::store::audit::alerts::{self, LoginErrorThreshold};
use crate::store::audit::system_log;
use crate::store::db::types::to_body_hash;
use crate::store::db::writer::{PendingWrite, WriteClass};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use tracing::warn;

/// Result of storing a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub event_id: i64,
    pub arrival: Arrival,
    /// True for a test event.
    pub is_test: bool,
}

/// What the store had of a webhook before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing.
    First,
    /// The bytes, under another webhook id.
    Copy,
    /// The webhook id and the bytes.
    Duplicate,
    /// The webhook id with other bytes; `webhook_conflicts` keeps the bytes of the later request.
    Conflict,
}

impl Receipt {
    /// Returns whether the store already had an event with this webhook id.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(self.arrival, Arrival::Duplicate | Arrival::Conflict)
    }

    /// Returns whether the bytes arrived for the first time: a person who captured a webhook can only repeat its bytes.
    #[must_use]
    pub fn is_first_arrival(&self) -> bool {
        self.arrival == Arrival::First
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
        let threshold = self.login_error_threshold;
        self.writer.try_submit(WriteClass::Insert, move |connection| {
            let _hold = hold;
            let receipt = insert_event(connection, &webhook, &digest, max_attempts)?;
            if receipt.arrival == Arrival::Duplicate && may_be_another_event(&webhook) {
                count_repeat(connection, receipt.event_id, &threshold)?;
            }
            Ok(receipt)
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
    let insert = |webhook_id: &str| insert_event_row(connection, webhook, webhook_id, digest, max_attempts);
    let mut inserted = insert(&envelope.key.webhook_id)?;
    if inserted.is_none() {
        let stored = find_stored_event(connection, webhook, &envelope.key.webhook_id)?;
        if stored.topic == envelope.key.topic {
            return record_duplicate(connection, webhook, digest, &stored, &received_at);
        }
        // Shopify signs neither the id nor the topic. So somebody else may have used the id before under another topic,
        // and this event must not be lost to that one.
        let webhook_id = build_id_with_topic(&envelope.key);
        inserted = insert(&webhook_id)?;
        let Some(InsertedEvent { id, .. }) = inserted else {
            let stored = find_stored_event(connection, webhook, &webhook_id)?;
            return record_duplicate(connection, webhook, digest, &stored, &received_at);
        };
        warn!(
            event = id,
            "event {id} ({}) has the webhook id {:?} of event {} ({}); it is stored and processed as \
             {webhook_id:?}, because {} does not repeat an id under another topic",
            envelope.key.topic,
            envelope.key.webhook_id,
            stored.id,
            stored.topic,
            envelope.key.source
        );
    }
    let InsertedEvent { id, arrival } = inserted.expect("a missing id returns above");
    insert_payload_and_log(connection, id, &envelope.headers, webhook.body(), &received_at)?;
    Ok(Receipt { event_id: id, arrival, is_test: webhook.is_test() })
}

/// Returns true for a repeated event of Keycloak that only its bytes identify, with a time in whole seconds. An equal
/// body can be another event of the same second.
fn may_be_another_event(webhook: &VerifiedWebhook) -> bool {
    let key = &webhook.envelope().key;
    key.source == Source::Keycloak
        && !webhook.is_test()
        && key.webhook_id.starts_with(DIGEST_ID_PREFIX)
        && states_whole_seconds(webhook.body())
}

/// Counts a request that repeated an event, so that repeated failed logins raise an alert all the same.
fn count_repeat(connection: &Connection, event_id: i64, threshold: &LoginErrorThreshold) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE webhook_events SET repeats = repeats + 1 WHERE id = ?")?.execute([event_id])?;
    // The alert of an event that is not worked yet counts its repeats then.
    for row in system_log::read_event_entries(connection, event_id)? {
        alerts::raise_login_alerts(connection, &row, threshold)?;
    }
    Ok(())
}

/// Returns the webhook id of an event whose id another topic has. No header holds such an id, because it is not ASCII.
fn build_id_with_topic(key: &EventKey) -> String {
    format!("{} · {}", key.webhook_id, key.topic)
}

/// The row of a new event.
#[derive(Clone, Copy)]
struct InsertedEvent {
    id: i64,
    arrival: Arrival,
}

/// Inserts the row of an event; returns `None` if the store has an event with this webhook id.
fn insert_event_row(
    connection: &Connection,
    webhook: &VerifiedWebhook,
    webhook_id: &str,
    digest: &[u8; 32],
    max_attempts: u32,
) -> Result<Option<InsertedEvent>, StoreError> {
    let envelope = webhook.envelope();
    // The UNIQUE constraint finds a duplicate. A SELECT before it would let another process insert the same event in
    // between.
    Ok(connection
        .prepare_cached(
            // A test event says nothing about a real one with the same body.
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, \
             received_at, provider_event_id, triggered_at, body_hash, test, same_body_as) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, \
             (SELECT id FROM webhook_events WHERE body_hash = ?9 AND ?10 = 0 AND test = 0 ORDER BY id LIMIT 1)) \
             ON CONFLICT (source, shop_domain, webhook_id) DO NOTHING RETURNING id, same_body_as IS NOT NULL",
        )?
        .query_row(
            params![
                envelope.key.source,
                envelope.key.shop_domain,
                envelope.key.topic,
                webhook_id,
                max_attempts,
                clock::format_timestamp(envelope.received_at),
                envelope.provider_event_id,
                envelope.triggered_at,
                to_body_hash(digest),
                webhook.is_test(),
            ],
            |row| {
                let arrival = if row.get(1)? { Arrival::Copy } else { Arrival::First };
                Ok(InsertedEvent { id: row.get(0)?, arrival })
            },
        )
        .optional()?)
}

/// Inserts the payload and the first history entry of a new event, which every new event has beside its row.
pub(crate) fn insert_payload_and_log(
    connection: &Connection,
    event_id: i64,
    headers: &str,
    body: &[u8],
    at: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO webhook_payloads (event_id, headers, body) VALUES (?, ?, ?)")?
        .execute(params![event_id, headers, body])?;
    connection
        .prepare_cached(
            "INSERT INTO webhook_event_log (event_id, at, to_status, attempt) VALUES (?, ?, 'received', 0)",
        )?
        .execute(params![event_id, at])?;
    Ok(())
}

/// The event that has the webhook id of a request.
struct StoredEvent {
    id: i64,
    topic: String,
    /// True if it has the bytes of the request, or has no body any more.
    is_same_body: bool,
}

fn find_stored_event(
    connection: &Connection,
    webhook: &VerifiedWebhook,
    webhook_id: &str,
) -> Result<StoredEvent, StoreError> {
    let key = &webhook.envelope().key;
    Ok(connection
        .prepare_cached(
            "SELECT e.id, e.topic, coalesce(p.body = ?4, 1) FROM webhook_events e \
             LEFT JOIN webhook_payloads p ON p.event_id = e.id \
             WHERE e.source = ?1 AND e.shop_domain = ?2 AND e.webhook_id = ?3",
        )?
        .query_row(params![key.source, key.shop_domain, webhook_id, webhook.body()], |row| {
            Ok(StoredEvent { id: row.get(0)?, topic: row.get(1)?, is_same_body: row.get(2)? })
        })?)
}

/// Records a webhook whose id and topic are stored already. Equal bytes are a retry of the provider; other bytes are
/// kept in `webhook_conflicts`.
fn record_duplicate(
    connection: &Connection,
    webhook: &VerifiedWebhook,
    digest: &[u8; 32],
    stored: &StoredEvent,
    at: &str,
) -> Result<Receipt, StoreError> {
    let envelope = webhook.envelope();
    let StoredEvent { id: event_id, is_same_body, .. } = *stored;
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
    let arrival = if is_same_body { Arrival::Duplicate } else { Arrival::Conflict };
    Ok(Receipt { event_id, arrival, is_test: webhook.is_test() })
}
