//! Shipments with their scans, for the console.

use crate::store::StoreError;
use crate::text::normalize_tracking_code;
use rusqlite::{Connection, Row, params};

/// Most shipments of one tracking code or one order that a page shows, the newest ones: carriers reuse codes.
const SHIPMENTS_MAX: u32 = 50;
/// Most scans of a shipment that a page shows, the newest ones.
const SCANS_MAX: u32 = 500;
/// Most orders of a name whose shipments are listed.
const ORDERS_MAX: u32 = 100;

/// Selects shipments. An empty text selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShipmentFilter {
    pub status: String,
    /// Tracking code, or its start; or the name of an order.
    pub text: String,
}

/// A shipment with its last scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipmentSummary {
    /// Place in the list: greater is newer.
    pub row_id: i64,
    /// production or test.
    pub mode: String,
    pub tracker_id: String,
    pub tracking_code: Option<String>,
    pub carrier: Option<String>,
    pub status: Option<String>,
    pub status_detail: Option<String>,
    pub est_delivery_date: Option<String>,
    /// Name of the recipient: personal data.
    pub signed_by: Option<String>,
    pub service: Option<String>,
    pub public_url: Option<String>,
    pub updated_at: Option<String>,
    pub shop_domain: Option<String>,
    pub order_id: Option<i64>,
    pub order_name: Option<String>,
    /// `tracking_code` or `reference`.
    pub linked_by: Option<String>,
    pub event_id: i64,
    pub last_scan_at: Option<String>,
    pub is_return: bool,
}

/// The columns of [`ShipmentSummary`].
const COLUMNS: &str = "s.rowid, s.mode, s.tracker_id, s.tracking_code, s.carrier, s.status, s.status_detail, \
    s.est_delivery_date, s.signed_by, s.service, s.public_url, s.updated_at, s.shop_domain, s.order_id, \
    (SELECT o.name FROM sales_orders o WHERE o.shop_domain = s.shop_domain AND o.order_id = s.order_id), s.linked_by, \
    s.event_id, (SELECT max(t.at) FROM tracking_events t WHERE t.mode = s.mode AND t.tracker_id = s.tracker_id), s.is_return";

impl ShipmentSummary {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row_id: row.get(0)?,
            mode: row.get(1)?,
            tracker_id: row.get(2)?,
            tracking_code: row.get(3)?,
            carrier: row.get(4)?,
            status: row.get(5)?,
            status_detail: row.get(6)?,
            est_delivery_date: row.get(7)?,
            signed_by: row.get(8)?,
            service: row.get(9)?,
            public_url: row.get(10)?,
            updated_at: row.get(11)?,
            shop_domain: row.get(12)?,
            order_id: row.get(13)?,
            order_name: row.get(14)?,
            linked_by: row.get(15)?,
            event_id: row.get(16)?,
            last_scan_at: row.get::<_, Option<String>>(17)?.filter(|at| !at.is_empty()),
            is_return: row.get::<_, Option<bool>>(18)?.unwrap_or_default(),
        })
    }
}

/// One report of a carrier about a shipment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanView {
    /// Empty if the scan has no time that can be read.
    pub at: String,
    /// exact, `no_zone`, date or none.
    pub time_certainty: String,
    /// The time that cannot be read, as the carrier wrote it.
    pub unread_time: String,
    pub status: String,
    pub status_detail: String,
    pub message: String,
    pub description: String,
    /// City, state and country.
    pub place: String,
    pub source: String,
}

/// Returns a page of shipments, the newest first. `before` is the last row of the page before.
pub fn list_shipments(
    connection: &Connection,
    filter: &ShipmentFilter,
    before: i64,
    limit: u32,
) -> Result<Vec<ShipmentSummary>, StoreError> {
    let text = filter.text.trim();
    let (key, name) = (normalize_tracking_code(text), text.replace([' ', '#'], "").to_uppercase());
    let (source, values) = if text.is_empty() {
        ("s.rowid < ?1", (String::new(), String::new()))
    } else {
        (
            "s.rowid < ?1 AND s.rowid IN (SELECT rowid FROM shipments WHERE tracking_key >= ?4 AND tracking_key < ?4 || char(1114111) \
             AND ?4 <> '' UNION ALL SELECT l.rowid FROM (SELECT shop_domain, order_id FROM sales_orders WHERE name_key = ?5 LIMIT ?6) o \
             JOIN shipments l ON l.shop_domain = o.shop_domain AND l.order_id = o.order_id)",
            (key, name),
        )
    };
    // Without a status the planner must not walk the index of another one.
    let status = if filter.status.is_empty() { "?2 = ''" } else { "s.status = ?2" };
    let sql = format!("SELECT {COLUMNS} FROM shipments s WHERE {source} AND {status} ORDER BY s.rowid DESC LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    if text.is_empty() {
        let rows = statement.query_map(params![before, filter.status, limit], ShipmentSummary::read)?;
        return Ok(rows.collect::<Result<_, _>>()?);
    }
    let values = params![before, filter.status, limit, values.0, values.1, ORDERS_MAX];
    let rows = statement.query_map(values, ShipmentSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the newest shipments with a tracking code, however it is written.
pub fn find_shipments(connection: &Connection, code: &str) -> Result<Vec<ShipmentSummary>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM shipments s WHERE s.tracking_key = ? ORDER BY s.rowid DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![normalize_tracking_code(code), SHIPMENTS_MAX], ShipmentSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the newest shipments of an order.
pub fn list_shipments_of_order(
    connection: &Connection,
    shop: &str,
    order_id: i64,
) -> Result<Vec<ShipmentSummary>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM shipments s WHERE s.shop_domain = ? AND s.order_id = ? ORDER BY s.rowid DESC LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![shop, order_id, SHIPMENTS_MAX], ShipmentSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the newest scans of a shipment, the oldest first. Those without a time come before all others.
pub fn list_scans(connection: &Connection, mode: &str, tracker_id: &str) -> Result<Vec<ScanView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, time_certainty, unread_time, status, status_detail, message, description, city, state, country, source \
         FROM tracking_events WHERE mode = ? AND tracker_id = ? ORDER BY at DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![mode, tracker_id, SCANS_MAX], |row| {
        let place: [String; 3] = [row.get(7)?, row.get(8)?, row.get(9)?];
        let place: Vec<&str> = place.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        Ok(ScanView {
            at: row.get(0)?,
            time_certainty: row.get(1)?,
            unread_time: row.get(2)?,
            status: row.get(3)?,
            status_detail: row.get(4)?,
            message: row.get(5)?,
            description: row.get(6)?,
            place: place.join(", "),
            source: row.get(10)?,
        })
    })?;
    let mut scans: Vec<ScanView> = rows.collect::<Result<_, _>>()?;
    scans.reverse();
    Ok(scans)
}
