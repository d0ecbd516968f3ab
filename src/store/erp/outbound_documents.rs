//! Outbound EDI documents: each is an event whose webhook id is its file name, so that none is made twice.
//!
//! The queue and the dispatcher handle it like any other event.

use crate::clock;
use crate::edi::outbound_document::{OutboundContent, OutboundDocument};
use crate::edi::x12::write::ControlNumbers;
use crate::store::StoreError;
use crate::store::db::types::to_body_hash;
use crate::store::erp::changes::ChangedEvent;
use crate::store::erp::transmissions::{self, NewTransmission};
use crate::store::events::receive;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// Shop domain of outbound documents.
pub const OUTBOUND_SHOP_DOMAIN: &str = "outgoing";
/// First part of the topics of outbound documents: `send/997`.
pub const SEND_TOPIC_PREFIX: &str = "send/";

/// Stores the acknowledgement of an event once, even if the event is processed again or the same file arrives under
/// another name.
pub fn enqueue_acknowledgement(
    connection: &Connection,
    event: &ChangedEvent<'_>,
    document: &OutboundDocument,
) -> Result<(), StoreError> {
    // The time of arrival makes the document the same in every attempt.
    let at = clock::format_timestamp(event.received_at);
    let queued = enqueue_document(connection, document, event.max_attempts, &at, Some(event.identity.id))?;
    if let (Some(control_numbers), OutboundContent::X12(draft)) = (queued.control_numbers, &document.content) {
        // AK1 names the group that the document answers.
        let group = draft
            .segments
            .first()
            .map_or(String::new(), |ak1| ak1.iter().skip(1).take(2).cloned().collect::<Vec<_>>().join(" "));
        let transmission = NewTransmission {
            event_id: queued.event_id,
            document,
            partner: &draft.origin.sender.1,
            number: &group,
            is_test: draft.is_test,
            control_numbers: Some(control_numbers),
            sent_at: &at,
        };
        transmissions::record_transmission(connection, &transmission)?;
    }
    Ok(())
}

/// An outbound document in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuedDocument {
    pub event_id: i64,
    /// Control numbers as the file has them; `None` for RSX, and for a document that was queued before.
    pub control_numbers: Option<ControlNumbers>,
}

/// Stores an outbound document once under its file name. `answers` is the event that it acknowledges.
pub(crate) fn enqueue_document(
    connection: &Connection,
    document: &OutboundDocument,
    max_attempts: u32,
    at: &str,
    answers: Option<i64>,
) -> Result<QueuedDocument, StoreError> {
    let known: Option<i64> = connection
        .prepare_cached("SELECT id FROM webhook_events WHERE source = 'sps' AND shop_domain = ? AND webhook_id = ?")?
        .query_row(params![OUTBOUND_SHOP_DOMAIN, document.file_name], |row| row.get(0))
        .optional()?;
    // The lookup comes before the allocation of control numbers, so that their sequence has no gap.
    if let Some(event_id) = known {
        return Ok(QueuedDocument { event_id, control_numbers: None });
    }
    let mut control_numbers = None;
    let body = match &document.content {
        OutboundContent::Text(text) => text.clone(),
        OutboundContent::X12(draft) => {
            let partner = &draft.origin.sender.1;
            let interchange = allocate_control_number(connection, partner, "interchange")?;
            let group = allocate_control_number(connection, partner, "group")?;
            let numbers = ControlNumbers { interchange, group }.as_written();
            control_numbers = Some(numbers);
            draft.write_interchange(numbers, at)
        }
    };
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let topic = format!("{SEND_TOPIC_PREFIX}{}", document.kind);
    let event_id = connection
        .prepare_cached(
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, received_at, \
             provider_event_id, body_hash) VALUES ('sps', ?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7) RETURNING id",
        )?
        .query_row(
            params![
                OUTBOUND_SHOP_DOMAIN,
                topic,
                document.file_name,
                max_attempts,
                at,
                answers.map(|event| event.to_string()),
                to_body_hash(&digest)
            ],
            |row| row.get(0),
        )?;
    let headers = answers.map_or("{}".to_owned(), |event| format!("{{\"answers\":{event}}}"));
    receive::insert_payload_and_log(connection, event_id, &headers, body.as_bytes(), at)?;
    Ok(QueuedDocument { event_id, control_numbers })
}

/// Returns the next control number for a partner. No number is used twice.
fn allocate_control_number(connection: &Connection, partner: &str, kind: &str) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO edi_control_numbers (partner, kind, last) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row(params![partner, kind], |row| row.get(0))?)
}
