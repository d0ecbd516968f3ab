//! EDI documents that go out: each is an event of its own, whose id is its file name, so that none is made twice; the queue and
//! the deliveries take it from there.

use super::claims::Claim;
use super::{StoreError, receive};
use crate::clock;
use crate::formats::edi::Document;
use crate::formats::x12::acknowledge;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// The directory's name of events that go out.
pub const OUTGOING: &str = "outgoing";
/// How their topics begin: `send/997`.
pub const SEND: &str = "send/";

/// Writes a 997 for each group of a file that is to have one.
///
/// # Errors
/// When a statement fails.
pub fn acknowledge(connection: &Connection, claim: &Claim, document: &Document) -> Result<(), StoreError> {
    for group in 0..document.groups.len() {
        let name = format!("997-{}-{}.edi", claim.event_id, group + 1);
        let known = connection
            .prepare_cached("SELECT 1 FROM webhook_events WHERE source = 'sps' AND shop_domain = ? AND webhook_id = ?")?
            .exists(params![OUTGOING, name])?;
        // Worked again: it was answered then, and the answer does not change.
        if known || !acknowledge::is_due(document, group) {
            continue;
        }
        let partner = &document.groups[group].sender.1;
        let numbers = (next_number(connection, partner, "interchange")?, next_number(connection, partner, "group")?);
        // As of when the file came: the same file is answered alike.
        let at = clock::text(claim.received_at);
        let digits: String = at.chars().filter(char::is_ascii_digit).collect();
        let (date, time) = (digits.get(..8).unwrap_or("00000000"), digits.get(8..12).unwrap_or("0000"));
        let text = acknowledge::write(document, group, numbers, (date, time));
        send(connection, claim, &format!("{SEND}997"), &name, text.as_bytes())?;
    }
    Ok(())
}

/// The next control number with a partner: never one that was used.
fn next_number(connection: &Connection, partner: &str, kind: &str) -> Result<u64, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO edi_control_numbers (partner, kind, last) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row(params![partner, kind], |row| row.get(0))?)
}

/// Stores a document that goes out, once under its name.
fn send(connection: &Connection, claim: &Claim, topic: &str, name: &str, body: &[u8]) -> Result<(), StoreError> {
    let now = clock::text(claim.received_at);
    let digest: [u8; 32] = Sha256::digest(body).into();
    let id: Option<i64> = connection
        .prepare_cached(
            "INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, max_attempts, next_attempt_at, received_at, \
             provider_event_id) VALUES ('sps', ?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(params![OUTGOING, topic, name, claim.max_attempts, now, claim.event_id.to_string()], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(()) };
    let headers = format!("{{\"answers\":{}}}", claim.event_id);
    receive::begin(connection, id, &headers, (body, receive::body_hash(&digest)), &now)
}
