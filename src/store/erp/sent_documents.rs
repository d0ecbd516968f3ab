//! Invoices and ship notices for purchase orders.
//!
//! One transaction checks a document against the order and against earlier documents, and queues it. So two documents
//! together never send more than was ordered.

use crate::clock;
use crate::edi::decimal;
use crate::edi::outbound::order_balance::{OrderBalance, SentQuantity};
use crate::edi::outbound::partner_rules::PartnerRules;
use crate::edi::outbound::{ErpDocument, PreparedDocument, PurchaseOrderReference};
use crate::edi::outbound_document::OutboundContent;
use crate::edi::x12::write::ControlNumbers;
use crate::store::db::writer::WriteClass;
use crate::store::erp::transmissions::{self, NewTransmission};
use crate::store::erp::{outbound_documents, purchase_orders};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use std::collections::HashMap;

/// A document to send, and how to check it.
#[derive(Debug, Clone)]
pub struct SendDocumentRequest {
    pub document: ErpDocument,
    /// The document as the ERP sent it, in JSON.
    pub document_json: String,
    /// Accept prices and quantities that differ from the order.
    pub lenient: bool,
    /// Check only; queue nothing.
    pub dry_run: bool,
    pub max_attempts: u32,
    /// Demands of the partners, by partner.
    pub partners: HashMap<String, PartnerRules>,
}

/// The result of a request to send a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendDocumentOutcome {
    /// The document is queued.
    Queued(SentDocument),
    /// The same document was queued before: its progress as text, and true if it failed for good.
    AlreadySent(SentDocument, String, bool),
    /// The document is valid: the text of the file, with 1 as each control number.
    Valid(String),
    /// The reasons why the document is not queued.
    Refused(Vec<String>),
}

/// A queued document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDocument {
    pub event_id: i64,
    pub file_name: String,
    pub partner: String,
}

/// Partner, number and release.
type OrderKey = (String, String, String);

impl Store {
    /// Checks a document and queues it.
    pub async fn send_document(&self, request: SendDocumentRequest) -> Result<SendDocumentOutcome, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        if request.dry_run {
            return self.reader.read(|connection| check_and_enqueue(connection, &request, &at));
        }
        self.writer.submit(WriteClass::Maintain, move |connection| check_and_enqueue(connection, &request, &at)).await
    }
}

fn check_and_enqueue(
    connection: &Connection,
    request: &SendDocumentRequest,
    at: &str,
) -> Result<SendDocumentOutcome, StoreError> {
    let document = &request.document;
    let (mut keys, mut problems) = (Vec::new(), Vec::new());
    for reference in document.order_references() {
        match find_order_key(connection, &reference)? {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(problem),
        }
    }
    let Some(partner) = keys.first().map(|key| key.0.clone()).filter(|_| problems.is_empty()) else {
        if problems.is_empty() {
            problems.push("the document names no purchase order".to_owned());
        }
        return Ok(SendDocumentOutcome::Refused(problems));
    };
    if let Some(known) = find_sent_document(connection, request, &partner)? {
        return Ok(known);
    }
    let mut orders = Vec::new();
    for key in &keys {
        let state = purchase_orders::load_order_state(connection, (&key.0, &key.1, &key.2))?;
        let sent = list_sent_lines(connection, document.kinds(), key, state.order.is_test)?;
        orders.push(OrderBalance::new(state, sent));
    }
    let rules = request.partners.get(&partner).cloned().unwrap_or_default();
    let prepared = match document.prepare(&orders, request.lenient, at, &rules) {
        Ok(prepared) => prepared,
        Err(problems) => return Ok(SendDocumentOutcome::Refused(problems)),
    };
    if let Some(label) = find_used_label(connection, &prepared)?
        && !request.lenient
    {
        return Ok(SendDocumentOutcome::Refused(vec![label]));
    }
    if request.dry_run {
        return Ok(SendDocumentOutcome::Valid(match &prepared.document.content {
            OutboundContent::Text(text) => text.clone(),
            OutboundContent::X12(draft) => draft.write_interchange(ControlNumbers { interchange: 1, group: 1 }, at),
        }));
    }
    let queued = outbound_documents::enqueue_document(connection, &prepared.document, request.max_attempts, at, None)?;
    let event_id = queued.event_id;
    for (_, number, _) in &keys {
        // `events search` finds the document by its orders.
        connection
            .prepare_cached(
                "INSERT INTO event_subjects (kind, key, shop_domain, event_id) \
                 SELECT 'purchase_order', ?1, shop_domain, id FROM webhook_events WHERE id = ?2 ON CONFLICT DO NOTHING",
            )?
            .execute(params![number, event_id])?;
    }
    let is_test = orders.iter().any(|order| order.state.order.is_test);
    record_sent_document(connection, request, &prepared, (&keys, event_id, at, is_test))?;
    let transmission = NewTransmission {
        event_id,
        document: &prepared.document,
        partner: &partner,
        number: document.number(),
        is_test,
        control_numbers: queued.control_numbers,
        sent_at: at,
    };
    transmissions::record_transmission(connection, &transmission)?;
    Ok(SendDocumentOutcome::Queued(SentDocument { event_id, file_name: prepared.document.file_name, partner }))
}

/// Returns the one order that the reference names, or the problem.
fn find_order_key(
    connection: &Connection,
    reference: &PurchaseOrderReference,
) -> Result<Result<OrderKey, String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, po_number, release FROM purchase_orders WHERE po_number = ?1 AND (?2 IS NULL OR partner = ?2) \
         AND (?3 IS NULL OR release = ?3)",
    )?;
    let rows = statement.query_map(params![reference.number, reference.partner, reference.release], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let mut found: Vec<OrderKey> = rows.collect::<Result<_, _>>()?;
    let number = &reference.number;
    Ok(match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(format!("there is no purchase order {number}: `novex-ingest sps list` lists them")),
        _ => Err(format!("{} purchase orders have the number {number}: state partner and release", found.len())),
    })
}

/// Returns the outcome if a document of this number was queued for the partner before.
fn find_sent_document(
    connection: &Connection,
    request: &SendDocumentRequest,
    partner: &str,
) -> Result<Option<SendDocumentOutcome>, StoreError> {
    let document = &request.document;
    let row: Option<(i64, String, String, String)> = connection
        .prepare_cached(
            "SELECT event_id, file_name, document, kind FROM edi_sent \
             WHERE kind IN (?1, ?2) AND partner = ?3 AND number = ?4",
        )?
        .query_row(params![document.kinds()[0], document.kinds()[1], partner, document.number()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((event_id, file_name, earlier_json, kind)) = row else { return Ok(None) };
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    if parse(&earlier_json).is_none_or(|earlier| parse(&request.document_json) != Some(earlier)) {
        return Ok(Some(SendDocumentOutcome::Refused(vec![format!(
            "{kind} {} was sent to {partner} before with other content (event {event_id}): give it a number of its own",
            document.number()
        )])));
    }
    let (progress, has_failed) = describe_progress(connection, event_id)?;
    Ok(Some(SendDocumentOutcome::AlreadySent(
        SentDocument { event_id, file_name, partner: partner.to_owned() },
        progress,
        has_failed,
    )))
}

/// Returns the progress of a document as text, and true if it failed for good.
fn describe_progress(connection: &Connection, event_id: i64) -> Result<(String, bool), StoreError> {
    let row: Option<(String, Option<String>, Option<String>)> = connection
        .prepare_cached(
            "SELECT e.status, d.status, coalesce(d.last_error, e.last_error) FROM webhook_events e \
             LEFT JOIN destination_deliveries d ON d.event_id = e.id WHERE e.id = ? ORDER BY d.id DESC LIMIT 1",
        )?
        .query_row([event_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((event, delivery, error)) = row else { return Ok(("its event was pruned".to_owned(), false)) };
    let error = error.map_or(String::new(), |error| format!(": {error}"));
    Ok(match (event.as_str(), delivery.as_deref()) {
        (_, Some("delivered")) => ("delivered".to_owned(), false),
        ("failed", _) | (_, Some("failed")) | ("completed", None) => {
            (format!("not delivered{error}; fix this, then send it with novex-ingest events retry {event_id}"), true)
        }
        _ => (format!("queued{error}"), false),
    })
}

/// Returns the problem if an earlier shipment has one of the labels.
fn find_used_label(connection: &Connection, prepared: &PreparedDocument) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT partner || ' in shipment ' || number FROM edi_sent_labels WHERE sscc = ?")?;
    for label in &prepared.sscc_labels {
        if let Some(shipment) = statement.query_row([label], |row| row.get::<_, String>(0)).optional()? {
            return Ok(Some(format!(
                "SSCC {label} was sent to {shipment}: use a new label, because a label identifies one pack for a year at least"
            )));
        }
    }
    Ok(None)
}

fn list_sent_lines(
    connection: &Connection,
    kinds: [&str; 2],
    (partner, number, release): &OrderKey,
    is_test: bool,
) -> Result<Vec<SentQuantity>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.item_key, l.unit, l.quantity FROM edi_sent_lines l JOIN edi_sent s USING (kind, partner, number) \
         WHERE l.kind IN (?, ?) AND l.partner = ? AND l.po_number = ? AND l.release = ? AND s.is_test = ?",
    )?;
    let rows = statement.query_map(params![kinds[0], kinds[1], partner, number, release, is_test], |row| {
        let quantity = decimal::parse_decimal(&row.get::<_, String>(2)?).unwrap_or_default();
        Ok(SentQuantity { item_key: row.get(0)?, unit: row.get(1)?, quantity })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn record_sent_document(
    connection: &Connection,
    request: &SendDocumentRequest,
    prepared: &PreparedDocument,
    (keys, event_id, at, is_test): (&[OrderKey], i64, &str, bool),
) -> Result<(), StoreError> {
    let (kind, number, partner) = (prepared.document.kind, request.document.number(), &keys[0].0);
    connection
        .prepare_cached(
            "INSERT INTO edi_sent (kind, partner, number, event_id, file_name, total, is_test, sent_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            kind,
            partner,
            number,
            event_id,
            prepared.document.file_name,
            prepared.total,
            is_test,
            at,
            request.document_json
        ])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_sent_lines (kind, partner, number, ordinal, po_number, release, line, item_key, quantity, unit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (ordinal, line) in (1_i64..).zip(&prepared.lines) {
        let (_, po_number, release) = &keys[line.order_index];
        let quantity = line.quantity.normalize().to_string();
        statement.execute(params![
            kind,
            partner,
            number,
            ordinal,
            po_number,
            release,
            line.line_number,
            line.item_key,
            quantity,
            line.unit
        ])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_sent_labels (sscc, partner, number, sent_at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
         partner = excluded.partner, number = excluded.number, sent_at = excluded.sent_at",
    )?;
    for label in &prepared.sscc_labels {
        statement.execute(params![label, partner, number, at])?;
    }
    Ok(())
}
