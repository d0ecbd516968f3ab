//! Purchase orders for operators: the list of `sps list`, and one whole order for `sps show`.

use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::revisions::{self, ChangeQuantities, OrderState, ReceivedDocument};
use crate::store::StoreError;
use crate::store::erp::messages::{self, MessageView};
use crate::store::erp::purchase_orders;
use crate::store::erp::sent_views::{self, SentSummary};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

/// Selects purchase orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurchaseOrderFilter {
    pub partner: Option<String>,
    pub attention_only: bool,
    pub limit: u32,
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurchaseOrderSummary {
    pub partner: String,
    pub po_number: String,
    pub release: String,
    pub status: String,
    pub customer: Option<String>,
    pub ordered_on: Option<String>,
    pub lines: u64,
    pub unmapped: u64,
    pub changes: u64,
    pub lines_total: Option<String>,
    pub attention: Option<String>,
    pub event_id: Option<i64>,
}

/// The columns of [`PurchaseOrderSummary`] in a query on `purchase_orders o`.
macro_rules! order_summary_columns {
    () => {
        "o.partner, o.po_number, o.release, o.status, o.customer, o.ordered_on, \
         (SELECT count(*) FROM purchase_order_lines l WHERE l.partner = o.partner AND l.po_number = o.po_number AND l.release = o.release), \
         (SELECT count(*) FROM purchase_order_lines l WHERE l.partner = o.partner AND l.po_number = o.po_number AND l.release = o.release \
            AND l.item IS NULL AND l.status = 'open') AS unmapped, \
         o.changes, o.lines_total, o.attention, o.event_id"
    };
}
pub(crate) use order_summary_columns;

impl PurchaseOrderSummary {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            partner: row.get(0)?,
            po_number: row.get(1)?,
            release: row.get(2)?,
            status: row.get(3)?,
            customer: row.get(4)?,
            ordered_on: row.get(5)?,
            lines: row.get(6)?,
            unmapped: row.get(7)?,
            changes: row.get(8)?,
            lines_total: row.get(9)?,
            attention: row.get(10)?,
            event_id: row.get(11)?,
        })
    }
}

/// A line of [`PurchaseOrderView`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PurchaseOrderLineView {
    pub line_number: Option<String>,
    pub status: String,
    pub quantity: Option<String>,
    pub unit: Option<String>,
    pub price: Option<String>,
    pub number: Option<String>,
    pub description: Option<String>,
    pub item: Option<String>,
    pub item_quantity: Option<String>,
}

/// A purchase order with its lines, details, changes and outbound documents, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PurchaseOrderView {
    pub partner: String,
    pub po_number: String,
    pub release: String,
    pub status: String,
    pub customer: Option<String>,
    pub ordered_on: Option<String>,
    pub currency: Option<String>,
    /// The computed total, else the stated one.
    pub total: Option<String>,
    /// Sum of quantity times price of the open lines.
    pub lines_total: Option<String>,
    pub attention: Option<String>,
    /// All findings: what a person must look at in the documents and lines of the order.
    pub findings: Vec<String>,
    /// Addresses, dates, terms and notes: label and text.
    pub details: Vec<(String, String)>,
    pub lines: Vec<PurchaseOrderLineView>,
    pub changes: Vec<String>,
    /// Invoices and ship notices for the order, each with its progress.
    pub sent: Vec<String>,
    /// The same documents with the partner's answers.
    pub sent_documents: Vec<SentSummary>,
    /// Messages, payment advices, credits and debits of the partner that name the order or its documents.
    pub messages: Vec<MessageView>,
    /// The whole order with all its changes.
    pub document: PurchaseOrder,
}

/// A file that was received and could not be read in whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableFile {
    pub event_id: i64,
    pub file: String,
    /// Directory at the source.
    pub directory: String,
    pub received_at: String,
    pub error: Option<String>,
}

/// Returns the newest files that could not be read in whole: the failed events of EDI files.
pub fn list_unreadable_files(connection: &Connection, limit: u32) -> Result<Vec<UnreadableFile>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT id, webhook_id, shop_domain, received_at, last_error FROM ",
        crate::store::db::diagnostics::unreadable_files_sql!(),
        " ORDER BY id DESC LIMIT ?"
    ))?;
    let rows = statement.query_map([limit], |row| {
        // The webhook id is the name of the file and its digest.
        let webhook_id: String = row.get(1)?;
        let file = webhook_id.rsplit_once(' ').map_or(webhook_id.as_str(), |(name, _digest)| name).to_owned();
        Ok(UnreadableFile {
            event_id: row.get(0)?,
            file,
            directory: row.get(2)?,
            received_at: row.get(3)?,
            error: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the newest orders that match the filter.
pub fn list_purchase_orders(
    connection: &Connection,
    filter: &PurchaseOrderFilter,
) -> Result<Vec<PurchaseOrderSummary>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        order_summary_columns!(),
        " FROM purchase_orders o \
         WHERE (?1 IS NULL OR o.partner = ?1) AND (NOT ?2 OR o.attention IS NOT NULL OR o.customer IS NULL OR unmapped > 0) \
         ORDER BY o.last_event_id DESC, o.po_number LIMIT ?3",
    ))?;
    let values = params![filter.partner, filter.attention_only, filter.limit];
    let rows = statement.query_map(values, PurchaseOrderSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the orders with a number, of one partner or of all.
pub fn find_purchase_orders(
    connection: &Connection,
    number: &str,
    partner: Option<&str>,
    overdue_before: Option<&str>,
) -> Result<Vec<PurchaseOrderView>, StoreError> {
    let mut views: Vec<PurchaseOrderView> = connection
        .prepare_cached(
            "SELECT partner, po_number, release, status, customer, ordered_on, currency, coalesce(lines_total, stated_total), attention, lines_total \
             FROM purchase_orders WHERE po_number = ?1 AND (?2 IS NULL OR partner = ?2) ORDER BY partner, release",
        )?
        .query_map(params![number, partner], |row| {
            Ok(PurchaseOrderView {
                partner: row.get(0)?,
                po_number: row.get(1)?,
                release: row.get(2)?,
                status: row.get(3)?,
                customer: row.get(4)?,
                ordered_on: row.get(5)?,
                currency: row.get(6)?,
                total: row.get(7)?,
                attention: row.get(8)?,
                lines_total: row.get(9)?,
                ..PurchaseOrderView::default()
            })
        })?
        .collect::<Result<_, _>>()?;
    for view in &mut views {
        let order_key = (view.partner.as_str(), view.po_number.as_str(), view.release.as_str());
        let state = purchase_orders::load_order_state(connection, order_key)?;
        view.findings = state.findings();
        view.document = state.order;
        let key = params![view.partner, view.po_number, view.release];
        view.lines = connection
            .prepare_cached(
                "SELECT line_number, status, quantity, unit, price, coalesce(vendor_item, buyer_item, gtin, upc), description, item, \
                 item_quantity || coalesce(' ' || item_unit, '') FROM purchase_order_lines \
                 WHERE partner = ? AND po_number = ? AND release = ? ORDER BY position",
            )?
            .query_map(key, |row| {
                Ok(PurchaseOrderLineView {
                    line_number: row.get(0)?,
                    status: row.get(1)?,
                    quantity: row.get(2)?,
                    unit: row.get(3)?,
                    price: row.get(4)?,
                    number: row.get(5)?,
                    description: row.get(6)?,
                    item: row.get(7)?,
                    item_quantity: row.get(8)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        view.details = connection
            .prepare_cached(
                "SELECT kind || coalesce(' ' || code, ''), coalesce(value, '') FROM purchase_order_parts \
                 WHERE partner = ? AND po_number = ? AND release = ? AND position = 0 ORDER BY kind, ordinal",
            )?
            .query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        view.changes = connection
            .prepare_cached(
                "SELECT coalesce(changed_on || ' ', '') || coalesce('change ' || sequence || ', ', '') \
                 || coalesce('line ' || line_number || ', ', '') || coalesce(code || ': ', '') || message \
                 || CASE outcome WHEN 'applied' THEN '' ELSE ' [' || outcome || ']' END || ' (event ' || event_id || ')' \
                 FROM purchase_order_changes WHERE partner = ? AND po_number = ? AND release = ? ORDER BY revision",
            )?
            .query_map(key, |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        view.sent_documents = sent_views::list_documents_of_order(connection, order_key, overdue_before)?;
        view.messages = messages::list_messages_of_order(connection, order_key)?;
        for document in &view.sent_documents {
            view.sent.push(describe_sent_document(connection, document)?);
        }
    }
    Ok(views)
}

/// Returns a sent document with its deliveries and the partner's answer.
fn describe_sent_document(connection: &Connection, document: &SentSummary) -> Result<String, StoreError> {
    let deliveries: Option<String> = connection
        .prepare_cached(
            "SELECT group_concat(destination || ': ' || status, ', ') FROM destination_deliveries WHERE event_id = ?",
        )?
        .query_row([document.event_id], |row| row.get(0))?;
    let total = document.total.as_ref().map_or(String::new(), |total| format!(" of {total}"));
    let day = document.sent_at.get(..10).unwrap_or_default();
    let deliveries = deliveries.unwrap_or_else(|| "not delivered yet".to_owned());
    let mut reasons = document.reasons.join("; ");
    if !reasons.is_empty() {
        reasons.insert_str(0, ": ");
    }
    let dismissed = document.dismissed_reason.as_ref().map_or(String::new(), |reason| format!("; dismissed: {reason}"));
    Ok(format!(
        "{day} {}{total}, {deliveries} (event {}); {}{reasons}{dismissed}",
        document.describe(),
        document.event_id,
        document.describe_state()
    ))
}

/// Returns the view of a parsed order that is not stored.
#[must_use]
pub fn to_order_view(order: &PurchaseOrder) -> PurchaseOrderView {
    let mut details = Vec::new();
    for date in &order.dates {
        details.push((format!("date {}", date.qualifier), date.on.clone().unwrap_or_default()));
    }
    for address in &order.addresses {
        let parts = [&address.name, &address.id, &address.city, &address.state].into_iter().flatten();
        let texts = address.more_names.iter().chain(&address.lines).map(String::as_str);
        let text: Vec<&str> = parts.map(String::as_str).chain(texts).collect();
        details.push((format!("address {}", address.kind), text.join(", ")));
    }
    for part in &order.allowances {
        let kind = format!("allowance {} {}", part.kind, part.code.as_deref().unwrap_or(""));
        details.push((kind, part.describe_value().unwrap_or_default()));
    }
    details.extend(order.notes.iter().map(|note| ("note".to_owned(), note.clone())));
    // A change states only differences, which add up to nothing.
    let document =
        ReceivedDocument { order: order.clone(), event_id: 0, document_position: 1, received_on: String::new() };
    let state = (!order.is_change).then(|| revisions::fold_documents(&[document], ChangeQuantities::Total));
    let lines_total = state.as_ref().and_then(OrderState::open_lines_total);
    let findings = state.map_or_else(|| order.findings.clone(), |state| state.findings());
    PurchaseOrderView {
        partner: order.partner.clone(),
        po_number: order.number.clone(),
        release: order.release.clone(),
        status: if order.is_change { "change" } else { "order" }.to_owned(),
        customer: None,
        ordered_on: order.ordered_on.clone(),
        currency: order.currency.clone(),
        total: lines_total.clone().or_else(|| order.stated_total.clone()),
        lines_total,
        attention: order.is_test.then(|| "test order: do not ship".to_owned()),
        findings,
        details,
        lines: order
            .lines
            .iter()
            .map(|line| PurchaseOrderLineView {
                line_number: line.number.clone(),
                status: line.change.clone().unwrap_or_default(),
                quantity: line.quantity.clone(),
                unit: line.unit.clone(),
                price: line.price.clone(),
                number: line.vendor_item().or(line.buyer_item()).or(line.gtin()).or(line.upc()).map(str::to_owned),
                description: line.description.clone(),
                item: None,
                item_quantity: None,
            })
            .collect(),
        changes: Vec::new(),
        sent: Vec::new(),
        sent_documents: Vec::new(),
        messages: Vec::new(),
        document: order.clone(),
    }
}
