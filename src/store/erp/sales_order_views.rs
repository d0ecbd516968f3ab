//! One sales order with everything that belongs to it, for the console.

use crate::store::StoreError;
use crate::store::erp::sales_order_lists::{SalesOrderSummary, find_sales_order_summary};
use crate::store::erp::shipment_views::{ShipmentSummary, list_shipments_of_order};
use rusqlite::{Connection, Row, params};

/// Most rows of each part of an order that a page shows. An order of Shopify has at most 500 lines.
const ROWS_MAX: u32 = 500;
/// Most events of an order that a page shows, the newest ones.
const EVENTS_MAX: u32 = 100;

/// A line of a sales order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesOrderLineView {
    pub line_id: i64,
    pub sku: Option<String>,
    pub variant_id: Option<i64>,
    pub title: Option<String>,
    pub variant_title: Option<String>,
    pub quantity: i64,
    pub current_quantity: Option<i64>,
    pub fulfillable_quantity: Option<i64>,
    pub price: Option<String>,
    pub total_discount: Option<String>,
    pub item: Option<String>,
    pub item_quantity: Option<String>,
    /// What the customer chose or wrote, as JSON: personal data.
    pub properties: Option<String>,
    /// Fields that no column takes, as JSON: may hold personal data.
    pub extras: Option<String>,
}

impl SalesOrderLineView {
    /// Returns whether a mapping would give the line its item.
    #[must_use]
    pub fn is_unmapped(&self) -> bool {
        self.item.is_none()
            && (self.sku.is_some() || self.variant_id.is_some())
            && self.current_quantity.unwrap_or(self.quantity) > 0
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            line_id: row.get(0)?,
            sku: row.get(1)?,
            variant_id: row.get(2)?,
            title: row.get(3)?,
            variant_title: row.get(4)?,
            quantity: row.get(5)?,
            current_quantity: row.get(6)?,
            fulfillable_quantity: row.get(7)?,
            price: row.get(8)?,
            total_discount: row.get(9)?,
            item: row.get(10)?,
            item_quantity: row.get(11)?,
            properties: row.get(12)?,
            extras: row.get(13)?,
        })
    }
}

/// A refund with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundView {
    pub refund_id: i64,
    pub created_at: Option<String>,
    pub total: Option<String>,
    pub currency: Option<String>,
    pub pending: Option<String>,
    pub attention: Option<String>,
    /// Reason in words of a person: may name the customer.
    pub note: Option<String>,
    pub event_id: i64,
    /// Units and title of each line: `2 × Jam`.
    pub lines: Vec<String>,
}

/// A fulfillment: a package that left, as Shopify states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FulfillmentView {
    pub name: Option<String>,
    pub status: Option<String>,
    pub shipment_status: Option<String>,
    pub tracking_company: Option<String>,
    pub created_at: Option<String>,
    pub event_id: i64,
    pub tracking_numbers: Vec<String>,
}

/// An event about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectEvent {
    pub id: i64,
    pub topic: String,
    pub status: String,
    pub received_at: String,
    pub note: Option<String>,
}

/// A sales order with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesOrderView {
    pub summary: SalesOrderSummary,
    /// Label and amount, in the currency of the order.
    pub amounts: Vec<(&'static str, String)>,
    /// Label and text: personal data.
    pub personal: Vec<(String, String)>,
    pub lines: Vec<SalesOrderLineView>,
    pub refunds: Vec<RefundView>,
    pub fulfillments: Vec<FulfillmentView>,
    pub shipments: Vec<ShipmentSummary>,
    pub events: Vec<SubjectEvent>,
}

/// Columns with amounts, and their labels.
const AMOUNT_COLUMNS: &[(&str, &str)] = &[
    ("total", "Total as ordered"),
    ("current_total", "Total now"),
    ("subtotal", "Subtotal"),
    ("total_discounts", "Discounts"),
    ("total_shipping", "Shipping"),
    ("total_tax", "Tax"),
    ("total_tip", "Tip"),
    ("total_duties", "Duties"),
    ("total_additional_fees", "Additional fees"),
    ("total_outstanding", "Not paid yet"),
];

/// Columns that a redaction clears, and their labels.
const PERSONAL_COLUMNS: &[(&str, &str)] = &[
    ("email", "Email"),
    ("phone", "Phone"),
    ("company", "Company"),
    ("po_number", "PO number of the buyer"),
    ("note", "Note"),
    ("note_attributes", "Values of the note"),
    ("tags", "Tags"),
    ("extras", "Other fields"),
];

/// Returns an order of a shop with its parts.
pub fn find_sales_order_view(
    connection: &Connection,
    shop: &str,
    order_id: i64,
) -> Result<Option<SalesOrderView>, StoreError> {
    let Some(summary) = find_sales_order_summary(connection, (order_id, shop))? else { return Ok(None) };
    let key = (shop, order_id);
    let amounts = read_stated_columns(connection, AMOUNT_COLUMNS, key)?;
    let mut personal: Vec<(String, String)> = list_addresses(connection, key)?;
    let columns = read_stated_columns(connection, PERSONAL_COLUMNS, key)?;
    personal.extend(columns.into_iter().map(|(label, text)| (label.to_owned(), text)));
    Ok(Some(SalesOrderView {
        amounts,
        personal,
        lines: list_lines(connection, key)?,
        refunds: list_refunds(connection, key)?,
        fulfillments: list_fulfillments(connection, key)?,
        shipments: list_shipments_of_order(connection, shop, order_id)?,
        events: list_events_about_order(connection, key)?,
        summary,
    }))
}

/// Returns label and text of the columns that an event stated.
fn read_stated_columns(
    connection: &Connection,
    columns: &'static [(&'static str, &'static str)],
    (shop, order_id): (&str, i64),
) -> Result<Vec<(&'static str, String)>, StoreError> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let sql = format!("SELECT {} FROM sales_orders WHERE shop_domain = ? AND order_id = ?", names.join(", "));
    let stated = connection.prepare_cached(&sql)?.query_row(params![shop, order_id], |row| {
        let mut stated = Vec::new();
        for (index, (_, label)) in columns.iter().enumerate() {
            let text: Option<String> = row.get(index)?;
            stated.extend(text.filter(|text| !text.is_empty()).map(|text| (*label, text)));
        }
        Ok(stated)
    })?;
    Ok(stated)
}

fn list_addresses(connection: &Connection, (shop, order_id): (&str, i64)) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, first_name, last_name, company, address1, address2, zip, city, province, country, phone \
         FROM sales_order_addresses WHERE shop_domain = ? AND order_id = ? ORDER BY kind DESC LIMIT 10",
    )?;
    let rows = statement.query_map(params![shop, order_id], |row| {
        let mut parts = Vec::new();
        for column in 1..11 {
            parts.extend(row.get::<_, Option<String>>(column)?.filter(|part| !part.is_empty()));
        }
        let kind: String = row.get(0)?;
        Ok((
            if kind == "billing" { "Billing address".to_owned() } else { "Shipping address".to_owned() },
            parts.join(", "),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn list_lines(connection: &Connection, (shop, order_id): (&str, i64)) -> Result<Vec<SalesOrderLineView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT line_id, sku, variant_id, title, variant_title, quantity, current_quantity, fulfillable_quantity, price, \
         total_discount, item, item_quantity, properties, extras FROM sales_order_lines WHERE shop_domain = ? AND order_id = ? \
         ORDER BY position LIMIT ?",
    )?;
    let rows = statement.query_map(params![shop, order_id, ROWS_MAX], SalesOrderLineView::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn list_refunds(connection: &Connection, (shop, order_id): (&str, i64)) -> Result<Vec<RefundView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT refund_id, created_at, total, currency, pending, attention, note, event_id FROM refunds \
         WHERE shop_domain = ? AND order_id = ? ORDER BY refund_id LIMIT ?",
    )?;
    let rows = statement.query_map(params![shop, order_id, ROWS_MAX], |row| {
        Ok(RefundView {
            refund_id: row.get(0)?,
            created_at: row.get(1)?,
            total: row.get(2)?,
            currency: row.get(3)?,
            pending: row.get(4)?,
            attention: row.get(5)?,
            note: row.get(6)?,
            event_id: row.get(7)?,
            lines: Vec::new(),
        })
    })?;
    let mut refunds: Vec<RefundView> = rows.collect::<Result<_, _>>()?;
    for refund in &mut refunds {
        let mut statement = connection.prepare_cached(
            "SELECT coalesce(r.quantity, 0) || ' × ' || coalesce(l.title, l.sku, 'line ' || r.line_id, 'line') \
             || coalesce(', ' || r.subtotal, '') FROM refund_lines r LEFT JOIN sales_order_lines l \
               ON l.shop_domain = r.shop_domain AND l.order_id = ?3 AND l.line_id = r.line_id \
             WHERE r.shop_domain = ?1 AND r.refund_id = ?2 ORDER BY r.position LIMIT ?4",
        )?;
        let lines = statement.query_map(params![shop, refund.refund_id, order_id, ROWS_MAX], |row| row.get(0))?;
        refund.lines = lines.collect::<Result<_, _>>()?;
    }
    Ok(refunds)
}

fn list_fulfillments(
    connection: &Connection,
    (shop, order_id): (&str, i64),
) -> Result<Vec<FulfillmentView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, status, shipment_status, tracking_company, created_at, event_id, fulfillment_id FROM fulfillments \
         WHERE shop_domain = ? AND order_id = ? ORDER BY fulfillment_id LIMIT ?",
    )?;
    let rows = statement.query_map(params![shop, order_id, ROWS_MAX], |row| {
        let fulfillment = FulfillmentView {
            name: row.get(0)?,
            status: row.get(1)?,
            shipment_status: row.get(2)?,
            tracking_company: row.get(3)?,
            created_at: row.get(4)?,
            event_id: row.get(5)?,
            tracking_numbers: Vec::new(),
        };
        Ok((fulfillment, row.get(6)?))
    })?;
    let found: Vec<(FulfillmentView, i64)> = rows.collect::<Result<_, _>>()?;
    let mut fulfillments = Vec::new();
    for (mut fulfillment, id) in found {
        let mut statement = connection.prepare_cached(
            "SELECT number FROM fulfillment_tracking_numbers WHERE shop_domain = ? AND fulfillment_id = ? AND number <> '' \
             ORDER BY position LIMIT ?",
        )?;
        let numbers = statement.query_map(params![shop, id, ROWS_MAX], |row| row.get(0))?;
        fulfillment.tracking_numbers = numbers.collect::<Result<_, _>>()?;
        fulfillments.push(fulfillment);
    }
    Ok(fulfillments)
}

/// Returns the newest events about an order.
fn list_events_about_order(
    connection: &Connection,
    (shop, order_id): (&str, i64),
) -> Result<Vec<SubjectEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT e.id, e.topic, e.status, e.received_at, coalesce(e.last_error, e.note) FROM event_subjects s \
         JOIN webhook_events e ON e.id = s.event_id WHERE s.key = ?1 AND s.kind = 'order' AND s.shop_domain = ?2 \
         ORDER BY s.event_id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![order_id.to_string(), shop, EVENTS_MAX], |row| {
        Ok(SubjectEvent {
            id: row.get(0)?,
            topic: row.get(1)?,
            status: row.get(2)?,
            received_at: row.get(3)?,
            note: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
