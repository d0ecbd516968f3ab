//! Invoices and ship notices for purchase orders: checked against the order and what was sent for it before, and queued, in one
//! transaction, so that no two of them together send more than was ordered.

use super::outgoing;
use super::purchase_orders;
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock;
use crate::formats::decimal;
use crate::formats::outgoing::Content;
use crate::formats::sending::ordered::{Ordered, SentBefore};
use crate::formats::sending::{Document, Prepared, Reference};
use crate::formats::x12::write::Numbers;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

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
    /// It was queued before, as it is; how far it is, in words, and whether that is its end without having arrived.
    Known(Sent, String, bool),
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
        if request.check {
            return self.reader.read(|connection| send(connection, &request, &at));
        }
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
        let sent = sent_before(connection, document.kind(), key, state.order.is_test)?;
        orders.push(Ordered::new(state, sent));
    }
    let prepared = match document.prepare(&orders, request.lenient, at) {
        Ok(prepared) => prepared,
        Err(problems) => return Ok(Answer::Refused(problems)),
    };
    if let Some(label) = used_label(connection, &prepared)?
        && !request.lenient
    {
        return Ok(Answer::Refused(vec![label]));
    }
    if request.check {
        return Ok(Answer::Sound(match &prepared.outgoing.content {
            Content::Text(text) => text.clone(),
            Content::X12(draft) => draft.write(Numbers { interchange: 1, group: 1 }, at),
        }));
    }
    let event_id = outgoing::send(connection, &prepared.outgoing, request.max_attempts, at, None)?;
    let is_test = orders.iter().any(|order| order.state.order.is_test);
    note(connection, request, &prepared, (&keys, event_id, at, is_test))?;
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
    let Some((event_id, name, before)) = row else { return Ok(None) };
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    if value(&before).is_none_or(|before| value(&request.given) != Some(before)) {
        return Ok(Some(Answer::Refused(vec![format!(
            "{} {} was sent to {partner} before, and said something else (event {event_id}): give it a number of its own",
            document.kind(),
            document.number()
        )])));
    }
    let (said, is_lost) = how_far(connection, event_id)?;
    Ok(Some(Answer::Known(Sent { event_id, name, partner: partner.to_owned() }, said, is_lost)))
}

/// How far a document is, and whether nobody tries any more although it has not arrived.
fn how_far(connection: &Connection, event_id: i64) -> Result<(String, bool), StoreError> {
    let row: Option<(String, Option<String>, Option<String>)> = connection
        .prepare_cached(
            "SELECT e.status, d.status, coalesce(d.last_error, e.last_error) FROM webhook_events e \
             LEFT JOIN destination_deliveries d ON d.event_id = e.id WHERE e.id = ? ORDER BY d.id DESC LIMIT 1",
        )?
        .query_row([event_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((event, delivery, error)) = row else { return Ok(("its event is gone by now".to_owned(), false)) };
    let error = error.map_or(String::new(), |error| format!(": {error}"));
    Ok(match (event.as_str(), delivery.as_deref()) {
        (_, Some("delivered")) => ("delivered".to_owned(), false),
        ("failed", _) | (_, Some("failed" | "dropped")) | ("completed", None) => {
            (format!("not delivered{error}; when that is mended, novex-ingest events retry {event_id} sends it"), true)
        }
        _ => (format!("on its way{error}"), false),
    })
}

/// A label that stands on a pack of an earlier shipment.
fn used_label(connection: &Connection, prepared: &Prepared) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT partner || ' by ' || number FROM edi_sent_labels WHERE sscc = ?")?;
    for label in &prepared.labels {
        if let Some(shipment) = statement.query_row([label], |row| row.get::<_, String>(0)).optional()? {
            return Ok(Some(format!(
                "sscc {label} was sent to {shipment}: a label stands for one pack, and for a year at least"
            )));
        }
    }
    Ok(None)
}

fn sent_before(
    connection: &Connection,
    kind: &str,
    (partner, number, release): &Key,
    is_test: bool,
) -> Result<Vec<SentBefore>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.goods, l.unit, l.quantity FROM edi_sent_lines l JOIN edi_sent s USING (kind, partner, number) \
         WHERE l.kind = ? AND l.partner = ? AND l.po_number = ? AND l.release = ? AND s.is_test = ?",
    )?;
    let rows = statement.query_map(params![kind, partner, number, release, is_test], |row| {
        let quantity = decimal::parse(&row.get::<_, String>(2)?).unwrap_or_default();
        Ok(SentBefore { goods: row.get(0)?, unit: row.get(1)?, quantity })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn note(
    connection: &Connection,
    request: &Request,
    prepared: &Prepared,
    (keys, event_id, at, is_test): (&[Key], i64, &str, bool),
) -> Result<(), StoreError> {
    let (kind, number, partner) = (request.document.kind(), request.document.number(), &keys[0].0);
    connection
        .prepare_cached(
            "INSERT INTO edi_sent (kind, partner, number, event_id, file_name, total, is_test, sent_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            kind,
            partner,
            number,
            event_id,
            prepared.outgoing.name,
            prepared.total,
            is_test,
            at,
            request.given
        ])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_sent_lines (kind, partner, number, place, po_number, release, line, goods, quantity, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (place, line) in (1_i64..).zip(&prepared.lines) {
        let (_, po_number, release) = &keys[line.order];
        let quantity = line.quantity.normalize().to_string();
        statement.execute(params![
            kind, partner, number, place, po_number, release, line.line, line.goods, quantity, line.unit
        ])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_sent_labels (sscc, partner, number, sent_at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
         partner = excluded.partner, number = excluded.number, sent_at = excluded.sent_at",
    )?;
    for label in &prepared.labels {
        statement.execute(params![label, partner, number, at])?;
    }
    Ok(())
}
