//! Sending a finished event to one destination again, without processing it again.

use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};

impl Store {
    /// Queues a delivery again that was delivered or failed, and makes a waiting one due now. It gets `attempts` more
    /// attempts. The destination gets the event under the same id. Returns false if nothing was queued: the delivery
    /// does not exist, is being sent, or its body is gone.
    pub async fn resend_delivery(
        &self,
        event_id: i64,
        destination: String,
        attempts: u32,
        actor: Actor,
    ) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let rows = connection
                .prepare_cached(
                    "UPDATE destination_deliveries SET status = 'pending', next_attempt_at = ?1, not_before = NULL, \
                     finished_at = NULL, dismissed_at = NULL, dismissed_reason = NULL, dismissed_by = NULL, \
                     max_attempts = CASE WHEN status = 'pending' THEN max_attempts ELSE attempts + ?2 END \
                     WHERE event_id = ?3 AND destination = ?4 AND status IN ('pending', 'delivered', 'failed') \
                     AND (EXISTS (SELECT 1 FROM webhook_events e JOIN webhook_payloads p ON p.event_id = e.id \
                     WHERE e.id = ?3 AND e.redacted_at IS NULL) OR EXISTS (SELECT 1 FROM redactions WHERE event_id = ?3))",
                )?
                .execute(params![at, attempts, event_id, destination])?;
            if rows > 0 {
                let path = format!("events/{event_id}/destinations/{destination}");
                actor.log_action(connection, &at, ("EVENT", "RESEND", &path), None)?;
            }
            Ok(rows > 0)
        };
        let is_queued = self.writer.submit(WriteClass::Wake, job).await?;
        // The dispatcher looks for deliveries when this changes.
        self.attempts_ended.send_modify(|count| *count = count.wrapping_add(1));
        Ok(is_queued)
    }
}
