//! Invoices and ship notices for purchase orders: checked against the order and what was sent for it before, and queued, in one
//! transaction, so that no two of them together send more than was ordered.

use super::outgoing;
use super::purchase_orders;
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock;
use crate::formats::decimal;
use crate::formats::outgoing::Content;
use crate::formats::sending::ordered::Ordered;
use crate::formats::sending::{Document, Prepared, Reference};
use crate::formats::x12::write::Numbers;
use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::HashMap;

/// What is to be sent, and how.
#[derive(Debug, Clone)]
pub struct Request {
    pub document: Document,
    /// As it was given, in JSON.
    pub given: String,
    /// Prices and quantities may differ from the order.
    pub lenient: bool,
    /// Nothing is sent.
    pub check: bool,
    pub max_attempts: u32,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is on its way.
    Queued(Sent),
    /// It was sent before, as it is.
    Known(Sent),
    /// Nothing is wrong with it; the file as it would be, with 1 for each control number.
    Sound(String),
    /// Why it is not sent.
    Refused(Vec<String>),
}

/// A document that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub event_id: i64,
    /// Its file's name.
    pub name: String,
    pub partner: String,
}

/// Partner, number and release.
type Key = (String, String, String);

impl Store {
    /// Checks a document and queues it.
    ///
    /// # Errors
    /// When the transaction fails; then nothing is sent.
    pub async fn send_document(&self, request: Request) -> Result<Answer, StoreError> {
        let at = clock::text(self.clock.now());
        self.writer.submit(Kind::Upkeep, move |connection| send(connection, &request, &at)).await
    }
}

fn send(connection: &Connection, request: &Request, at: &str) -> Result<Answer, StoreError> {
    let document = &request.document;
    let (mut keys, mut problems) = (Vec::new(), Vec::new());
    for reference in document.orders() {
        match find(connection, &reference)? {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(problem),
        }
    }
    let Some(partner) = keys.first().map(|key| key.0.clone()).filter(|_| problems.is_empty()) else {
        if problems.is_empty() {
            problems.push("it is for no purchase order".to_owned());
        }
        return Ok(Answer::Refused(problems));
    };
    if let Some(known) = known(connection, request, &partner)? {
        return Ok(known);
    }
    let mut orders = Vec::new();
    for key in &keys {
        let state = purchase_orders::state(connection, (&key.0, &key.1, &key.2))?;
        orders.push(Ordered { state, sent: sent_before(connection, document.kind(), key)? });
    }
    let prepared = match document.prepare(&orders, request.lenient, at) {
        Ok(prepared) => prepared,
        Err(problems) => return Ok(Answer::Refused(problems)),
    };
    if request.check {
        return Ok(Answer::Sound(match &prepared.outgoing.content {
            Content::Text(text) => text.clone(),
            Content::X12(draft) => draft.write(Numbers { interchange: 1, group: 1 }, at),
        }));
    }
    let event_id = outgoing::send(connection, &prepared.outgoing, request.max_attempts, at, None)?;
    note(connection, request, &prepared, (&keys, event_id, at))?;
    Ok(Answer::Queued(Sent { event_id, name: prepared.outgoing.name, partner }))
}

/// The one order that is meant.
fn find(connection: &Connection, reference: &Reference) -> Result<Result<Key, String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, po_number, release FROM purchase_orders WHERE po_number = ?1 AND (?2 IS NULL OR partner = ?2) \
         AND (?3 IS NULL OR release = ?3)",
    )?;
    let rows = statement.query_map(params![reference.number, reference.partner, reference.release], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let mut found: Vec<Key> = rows.collect::<Result<_, _>>()?;
    let number = &reference.number;
    Ok(match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(format!("there is no purchase order {number}; `novex-ingest sps list` shows them")),
        _ => Err(format!("there are {} purchase orders {number}: name partner and release", found.len())),
    })
}

/// Whether the partner has the document already.
fn known(connection: &Connection, request: &Request, partner: &str) -> Result<Option<Answer>, StoreError> {
    let document = &request.document;
    let row: Option<(i64, String, String)> = connection
        .prepare_cached(
            "SELECT event_id, file_name, document FROM edi_sent WHERE kind = ? AND partner = ? AND number = ?",
        )?
        .query_row(params![document.kind(), partner, document.number()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(row.map(|(event_id, name, before)| {
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        if value(&before) == value(&request.given) {
            return Answer::Known(Sent { event_id, name, partner: partner.to_owned() });
        }
        Answer::Refused(vec![format!(
            "{} {} was sent to {partner} before, and said something else (event {event_id}): give it a number of its own",
            document.kind(),
            document.number()
        )])
    }))
}

fn sent_before(
    connection: &Connection,
    kind: &str,
    (partner, number, release): &Key,
) -> Result<HashMap<String, Decimal>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT line, quantity FROM edi_sent_lines WHERE kind = ? AND partner = ? AND po_number = ? AND release = ?",
    )?;
    let rows = statement.query_map(params![kind, partner, number, release], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut sums: HashMap<String, Decimal> = HashMap::new();
    for row in rows {
        let (line, quantity) = row?;
        *sums.entry(line).or_default() += decimal::parse(&quantity).unwrap_or_default();
    }
    Ok(sums)
}

fn note(
    connection: &Connection,
    request: &Request,
    prepared: &Prepared,
    (keys, event_id, at): (&[Key], i64, &str),
) -> Result<(), StoreError> {
    let (kind, number, partner) = (request.document.kind(), request.document.number(), &keys[0].0);
    connection
        .prepare_cached(
            "INSERT INTO edi_sent (kind, partner, number, event_id, file_name, total, sent_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            kind,
            partner,
            number,
            event_id,
            prepared.outgoing.name,
            prepared.total,
            at,
            request.given
        ])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_sent_lines (kind, partner, number, place, po_number, release, line, quantity, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (place, line) in (1_i64..).zip(&prepared.lines) {
        let (_, po_number, release) = &keys[line.order];
        let quantity = line.quantity.normalize().to_string();
        statement.execute(params![kind, partner, number, place, po_number, release, line.line, quantity, line.unit])?;
    }
    Ok(())
}
