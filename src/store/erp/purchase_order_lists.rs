//! Pages of purchase orders for the console, and the documents and faults of one order.
//!
//! All orders come by their newest event. Those that need a person come by partner and number, from three partial
//! indexes, so that the cost of a page does not depend on the number of orders.

use crate::store::StoreError;
use crate::store::erp::purchase_order_key::PurchaseOrderKey;
use crate::store::erp::purchase_order_views::{PurchaseOrderSummary, order_summary_columns};
use crate::store::events::search::find_subjects;
use rusqlite::{Connection, OptionalExtension, params};
use std::cmp::Reverse;

/// Most dates of an order in the list.
const DATES_MAX: u32 = 3;
/// Most documents and most faults of an order that a page shows.
const ROWS_MAX: u32 = 200;

/// Selects purchase orders of a page. An empty text selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurchaseOrderPageFilter {
    pub partner: String,
    /// PO number, item, name of an address, or a part of one.
    pub text: String,
    pub attention_only: bool,
}

/// A purchase order in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseOrderRow {
    pub summary: PurchaseOrderSummary,
    /// Meaning and day of the first dates: (`010`, `2026-12-01`).
    pub dates: Vec<(String, String)>,
}

/// A page of purchase orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurchaseOrderPage {
    pub rows: Vec<PurchaseOrderRow>,
    /// The text by which the next page begins; None if this is the last one.
    pub next: Option<String>,
}

/// Returns a page of orders that begins after `after`, the `next` of the page before.
pub fn list_purchase_order_page(
    connection: &Connection,
    filter: &PurchaseOrderPageFilter,
    after: &str,
    limit: usize,
) -> Result<PurchaseOrderPage, StoreError> {
    // One more shows whether there is a next page.
    let mut found = if !filter.text.trim().is_empty() {
        find_by_text(connection, filter, after, limit + 1)?
    } else if filter.attention_only {
        list_attention(connection, filter, after, limit + 1)?
    } else {
        list_newest(connection, filter, after, limit + 1)?
    };
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(_, place)| place.clone());
    let mut rows = Vec::new();
    for (key, _) in found {
        let Some(summary) = find_summary(connection, &key)? else { continue };
        rows.push(PurchaseOrderRow { summary, dates: list_dates(connection, &key)? });
    }
    Ok(PurchaseOrderPage { rows, next })
}

/// Keys of orders, each with its place in the list.
type PlacedKeys = Vec<(PurchaseOrderKey, String)>;

fn find_summary(connection: &Connection, key: &PurchaseOrderKey) -> Result<Option<PurchaseOrderSummary>, StoreError> {
    let summary = connection
        .prepare_cached(concat!(
            "SELECT ",
            order_summary_columns!(),
            " FROM purchase_orders o WHERE o.partner = ? AND o.po_number = ? AND o.release = ?"
        ))?
        .query_row(params![key.partner, key.po_number, key.release], PurchaseOrderSummary::read)
        .optional()?;
    Ok(summary)
}

fn list_dates(connection: &Connection, key: &PurchaseOrderKey) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(code, ''), value FROM purchase_order_parts WHERE partner = ? AND po_number = ? AND release = ? \
         AND position = 0 AND kind = 'date' AND value IS NOT NULL ORDER BY ordinal LIMIT ?",
    )?;
    let values = params![key.partner, key.po_number, key.release, DATES_MAX];
    let rows = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns event and row of the text `17-4`, after which a page begins.
fn parse_place(text: &str) -> (i64, i64) {
    let parts = text.split_once('-').and_then(|(event, row)| Some((event.parse().ok()?, row.parse().ok()?)));
    parts.unwrap_or((i64::MAX, i64::MAX))
}

fn list_newest(
    connection: &Connection,
    filter: &PurchaseOrderPageFilter,
    after: &str,
    limit: usize,
) -> Result<PlacedKeys, StoreError> {
    let partner = if filter.partner.is_empty() { "?4 = ''" } else { "partner = ?4" };
    let sql = format!(
        "SELECT partner, po_number, release, last_event_id, rowid FROM purchase_orders WHERE last_event_id <= ?1 \
         AND (last_event_id < ?1 OR rowid < ?2) AND {partner} ORDER BY last_event_id DESC, rowid DESC LIMIT ?3"
    );
    let (event, row) = parse_place(after);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![event, row, limit, filter.partner], |row| {
        let place = format!("{}-{}", row.get::<_, i64>(3)?, row.get::<_, i64>(4)?);
        Ok((PurchaseOrderKey::read(row)?, place))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn list_attention(
    connection: &Connection,
    filter: &PurchaseOrderPageFilter,
    after: &str,
    limit: usize,
) -> Result<PlacedKeys, StoreError> {
    let after = PurchaseOrderKey::parse_id(after).unwrap_or_default();
    // Each form of the condition is a range of the three indexes.
    let place = if filter.partner.is_empty() {
        "?5 = '' AND (partner, po_number, release) > (?1, ?2, ?3)"
    } else {
        "partner = ?5 AND ?1 IN ('', ?5) AND (po_number, release) > (?2, ?3)"
    };
    let select = |distinct: &str, table: &str, condition: &str| {
        format!(
            "SELECT * FROM (SELECT {distinct} partner, po_number, release FROM {table} WHERE {condition} AND {place} \
             ORDER BY partner, po_number, release LIMIT ?4)"
        )
    };
    let sql = [
        select("", "purchase_orders INDEXED BY purchase_orders_attention", "attention IS NOT NULL"),
        select("", "purchase_orders INDEXED BY purchase_orders_unmapped", "customer IS NULL"),
        select(
            "DISTINCT",
            "purchase_order_lines INDEXED BY purchase_order_lines_unmapped",
            "item IS NULL AND status = 'open'",
        ),
    ];
    let sql = format!("{} ORDER BY partner, po_number, release LIMIT ?4", sql.join(" UNION "));
    let mut statement = connection.prepare_cached(&sql)?;
    let values = params![after.partner, after.po_number, after.release, limit, filter.partner];
    let rows = statement.query_map(values, |row| {
        let key = PurchaseOrderKey::read(row)?;
        let place = key.to_id();
        Ok((key, place))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn find_by_text(
    connection: &Connection,
    filter: &PurchaseOrderPageFilter,
    after: &str,
    limit: usize,
) -> Result<PlacedKeys, StoreError> {
    let mut found = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT partner, po_number, release, last_event_id, rowid FROM purchase_orders WHERE po_number = ?1 \
         AND ?2 IN ('', partner)",
    )?;
    for (number, _) in find_subjects(connection, filter.text.trim(), "purchase_order")? {
        let rows = statement.query_map(params![number, filter.partner], |row| {
            Ok(((row.get::<_, i64>(3)?, row.get::<_, i64>(4)?), PurchaseOrderKey::read(row)?))
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_by_key(|(place, _)| Reverse(*place));
    found.dedup();
    let after = parse_place(after);
    let mut keys = Vec::new();
    for ((event, row), key) in found.into_iter().filter(|(place, _)| *place < after) {
        let needs_person =
            |order: PurchaseOrderSummary| order.attention.is_some() || order.customer.is_none() || order.unmapped > 0;
        if !filter.attention_only || find_summary(connection, &key)?.is_some_and(needs_person) {
            keys.push((key, format!("{event}-{row}")));
        }
        if keys.len() == limit {
            break;
        }
    }
    Ok(keys)
}

/// A document of an order as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDocumentView {
    pub event_id: i64,
    pub document_position: i64,
    pub is_change: bool,
    pub received_on: String,
    pub purpose: String,
}

/// Returns the received documents of an order, the oldest first.
pub fn list_order_documents(
    connection: &Connection,
    key: &PurchaseOrderKey,
) -> Result<Vec<OrderDocumentView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT event_id, document_position, is_change, received_on, coalesce(document ->> '$.purpose', '') \
         FROM purchase_order_documents WHERE partner = ? AND po_number = ? AND release IN (?, '') \
         ORDER BY event_id, document_position LIMIT ?",
    )?;
    let rows = statement.query_map(params![key.partner, key.po_number, key.release, ROWS_MAX], |row| {
        Ok(OrderDocumentView {
            event_id: row.get(0)?,
            document_position: row.get(1)?,
            is_change: row.get(2)?,
            received_on: row.get(3)?,
            purpose: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A fault of a document of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFaultView {
    pub event_id: i64,
    /// True if the document was not imported.
    pub is_error: bool,
    pub location: String,
    /// Line of the file; 0: unknown.
    pub line: i64,
    pub message: String,
}

/// Returns the faults of the documents of an order, those of rejected documents too.
pub fn list_order_faults(connection: &Connection, key: &PurchaseOrderKey) -> Result<Vec<OrderFaultView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT f.event_id, f.severity = 'error', f.location, f.line, f.message, f.ordinal FROM (SELECT DISTINCT event_id, \
           document_position FROM edi_faults WHERE partner = ?1 AND po_number = ?2 AND severity = 'error') rejected \
           JOIN edi_faults f USING (event_id, document_position) \
         UNION SELECT f.event_id, f.severity = 'error', f.location, f.line, f.message, f.ordinal \
           FROM purchase_order_documents d JOIN edi_faults f ON f.event_id = d.event_id \
            AND f.document_position IN (0, d.document_position) \
         WHERE d.partner = ?1 AND d.po_number = ?2 AND d.release IN (?3, '') ORDER BY 1, 6 LIMIT ?4",
    )?;
    let rows = statement.query_map(params![key.partner, key.po_number, key.release, ROWS_MAX], |row| {
        Ok(OrderFaultView {
            event_id: row.get(0)?,
            is_error: row.get(1)?,
            location: row.get(2)?,
            line: row.get(3)?,
            message: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
