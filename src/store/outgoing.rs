//! EDI documents that go out: each is an event of its own, whose id is its file name, so that none is made twice; the queue and
//! the deliveries take it from there.

use super::claims::Claim;
use super::{StoreError, receive};
use crate::clock;
use crate::formats::outgoing::{Content, Outgoing};
use crate::formats::x12::write::Numbers;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// The directory's name of events that go out.
pub const OUTGOING: &str = "outgoing";
/// How their topics begin: `send/997`.
pub const SEND: &str = "send/";

/// Stores what answers an event. What was answered is not answered again, however often the event is worked, and under
/// whatever name the same file came.
///
/// # Errors
/// When a statement fails.
pub fn answer(connection: &Connection, claim: &Claim, document: &Outgoing) -> Result<(), StoreError> {
    // As of when the file came.
    let at = clock::text(claim.received_at);
    send(connection, document, claim.max_attempts, &at, Some(claim.event_id)).map(drop)
}

/// Stores a document that goes out, once under its name, and gives the event that carries it. `answers`: the event that it
/// answers.
///
/// # Errors
/// When a statement fails.
pub(super) fn send(
    connection: &Connection,
    document: &Outgoing,
    max_attempts: u32,
    at: &str,
    answers: Option<i64>,
) -> Result<i64, StoreError> {
    let known: Option<i64> = connection
        .prepare_cached("SELECT id FROM webhook_events WHERE source = 'sps' AND shop_domain = ? AND webhook_id = ?")?
        .query_row(params![OUTGOING, document.name], |row| row.get(0))
        .optional()?;
    // Looked up before a number is taken: none is left out.
    if let Some(event_id) = known {
        return Ok(event_id);
    }
    let body = match &document.content {
        Content::Text(text) => text.clone(),
        Content::X12(draft) => {
            let partner = &draft.origin.sender.1;
            let interchange = next_number(connection, partner, "interchange")?;
            draft.write(Numbers { interchange, group: next_number(connection, partner, "group")? }, at)
        }
    };
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let topic = format!("{SEND}{}", document.kind);
    let event_id = connection
        .prepare_cached(
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, received_at, \
             provider_event_id) VALUES ('sps', ?1, ?2, ?3, ?4, ?5, ?5, ?6) RETURNING id",
        )?
        .query_row(
            params![OUTGOING, topic, document.name, max_attempts, at, answers.map(|event| event.to_string())],
            |row| row.get(0),
        )?;
    let headers = answers.map_or("{}".to_owned(), |event| format!("{{\"answers\":{event}}}"));
    receive::begin(connection, event_id, &headers, (body.as_bytes(), receive::body_hash(&digest)), at)?;
    Ok(event_id)
}

/// The next control number with a partner: never one that was used.
fn next_number(connection: &Connection, partner: &str, kind: &str) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO edi_control_numbers (partner, kind, last) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row(params![partner, kind], |row| row.get(0))?)
}
