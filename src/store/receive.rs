//! Storing a delivery: durably, once.

use super::envelope::Verified;
use super::writer::{Kind, Pending};
use super::{Store, StoreError};
use crate::clock;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use tracing::warn;

/// What a delivery became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub event_id: i64,
    /// This delivery was here before, under the same `event_id`.
    pub duplicate: bool,
    /// It was, but with other bytes: kept in `webhook_conflicts`.
    pub conflict: bool,
}

impl Store {
    /// Hands a delivery to the writer; the answer comes when it is on the disk. `hold` is dropped when the writer is done with
    /// the delivery, also when nobody waits for the answer any more: whatever the body has a share of.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] at once when too many wait, otherwise what the commit gave.
    pub fn receive(
        &self,
        delivery: Verified,
        max_attempts: u32,
        hold: impl Send + 'static,
    ) -> Result<Pending<Receipt>, StoreError> {
        // Hashed here, on the caller's thread: the writer is the one thread that everybody waits for.
        let digest: [u8; 32] = Sha256::digest(delivery.body()).into();
        self.writer.try_submit(Kind::Intake, move |connection| {
            let _hold = hold;
            insert(connection, &delivery, &digest, max_attempts)
        })
    }
}

fn insert(
    connection: &Connection,
    delivery: &Verified,
    digest: &[u8; 32],
    max_attempts: u32,
) -> Result<Receipt, StoreError> {
    let envelope = delivery.envelope();
    let received_at = clock::text(envelope.received_at);
    let body_hash = body_hash(digest);
    // UNIQUE (source, shop_domain, webhook_id) judges; there is no look before it that somebody could get between.
    let id: Option<i64> = connection
        .prepare_cached(
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, \
             received_at, provider_event_id, triggered_at, same_body_as) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, \
             (SELECT min(event_id) FROM webhook_payloads WHERE body_hash = ?9)) \
             ON CONFLICT (source, shop_domain, webhook_id) DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                envelope.source.as_str(),
                envelope.shop_domain,
                envelope.topic,
                envelope.webhook_id,
                max_attempts,
                received_at,
                envelope.provider_event_id,
                envelope.triggered_at,
                body_hash,
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(event_id) = id else { return repeated(connection, delivery, digest, &received_at) };
    begin(connection, event_id, &envelope.headers, (delivery.body(), body_hash), &received_at)?;
    Ok(Receipt { event_id, duplicate: false, conflict: false })
}

/// The part of a digest by which the same bytes are found.
pub(super) fn body_hash(digest: &[u8; 32]) -> i64 {
    i64::from_be_bytes(*digest.first_chunk().expect("a digest has more than eight bytes"))
}

/// What belongs to every new event beside its row: its payload, and the first step of its trail.
pub(super) fn begin(
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

/// The id is here already: the same bytes are a retry, other bytes are kept beside the first.
fn repeated(connection: &Connection, delivery: &Verified, digest: &[u8; 32], at: &str) -> Result<Receipt, StoreError> {
    let envelope = delivery.envelope();
    let (event_id, same): (i64, bool) = connection
        .prepare_cached(
            "SELECT e.id, coalesce(p.body = ?4, 1) FROM webhook_events e LEFT JOIN webhook_payloads p ON p.event_id = e.id \
             WHERE e.source = ?1 AND e.shop_domain = ?2 AND e.webhook_id = ?3",
        )?
        .query_row(
            params![envelope.source.as_str(), envelope.shop_domain, envelope.webhook_id, delivery.body()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if !same {
        let new = connection
            .prepare_cached(
                "INSERT INTO webhook_conflicts (event_id, at, headers, body, body_sha256) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![event_id, at, envelope.headers, delivery.body(), hex::encode(digest)])?;
        if new > 0 {
            warn!(
                event = event_id,
                "a delivery repeated the webhook id {:?} of {} with other bytes: the first is kept, this one is in the \
                 view `conflicts`",
                envelope.webhook_id,
                envelope.source.as_str()
            );
        }
    }
    Ok(Receipt { event_id, duplicate: true, conflict: !same })
}
