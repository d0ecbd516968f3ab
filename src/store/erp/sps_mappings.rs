//! EDI mappings: the ERP's customer of a partner, and the ERP's item of a retailer's item.

use crate::store::db::writer::WriteClass;
use crate::store::erp::purchase_orders;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use serde::Serialize;

/// A row of `sps_partner_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerMapping {
    pub partner: String,
    pub customer: String,
    /// `total`, `delta` or `left`; None keeps the stored value.
    pub quantity: Option<String>,
}

/// A row of `sps_item_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemMapping {
    pub partner: String,
    /// `buyer`, `vendor`, `upc`, `gtin`, a qualifier such as `PL`, or `none`.
    pub kind: String,
    pub value: String,
    pub unit: String,
    pub item: String,
    pub item_unit: Option<String>,
    pub factor: String,
}

/// An ordered item without a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedPurchaseLine {
    pub partner: String,
    pub buyer_item: Option<String>,
    pub vendor_item: Option<String>,
    pub upc: Option<String>,
    pub gtin: Option<String>,
    /// Ids with other qualifiers: `PL 7, ZZ A-1`.
    pub other_ids: Option<String>,
    pub unit: Option<String>,
    pub description: Option<String>,
    pub lines: u64,
}

impl Store {
    /// Stores the mapping of a partner, rebuilds its orders and returns their number.
    pub async fn map_partner(&self, mapping: PartnerMapping) -> Result<u64, StoreError> {
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_partner_mappings (partner, customer, quantity) VALUES (?1, ?2, coalesce(?3, 'total')) \
                 ON CONFLICT DO UPDATE SET customer = ?2, quantity = coalesce(?3, quantity)",
                params![mapping.partner, mapping.customer, mapping.quantity],
            )?;
            purchase_orders::rebuild_orders(connection, &mapping.partner)?;
            let sql = "SELECT count(*) FROM purchase_orders WHERE partner = ?";
            Ok(connection.query_row(sql, [&mapping.partner], |row| row.get(0))?)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Stores the mapping of an item and returns the number of lines that it maps. An invalid factor is an error.
    pub async fn map_item(&self, mapping: ItemMapping) -> Result<u64, StoreError> {
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_item_mappings (partner, kind, value, unit, item, item_unit, factor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT DO UPDATE SET item = ?5, item_unit = ?6, factor = ?7",
                params![
                    mapping.partner,
                    mapping.kind,
                    mapping.value,
                    mapping.unit,
                    mapping.item,
                    mapping.item_unit,
                    mapping.factor
                ],
            )?;
            let condition = match mapping.kind.as_str() {
                "buyer" => "buyer_item = ?1",
                "vendor" => "vendor_item = ?1",
                "upc" => "upc = ?1",
                "gtin" => "gtin = ?1",
                _ => {
                    "(partner, po_number, release, position) IN (SELECT partner, po_number, release, position \
                     FROM purchase_order_parts WHERE kind = 'id' AND value = ?1)"
                }
            };
            let sql = format!("SELECT count(*) FROM purchase_order_lines WHERE {condition} AND item = ?2");
            Ok(connection.query_row(&sql, params![mapping.value, mapping.item], |row| row.get(0))?)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

/// Returns the partners without a customer, each with its number of orders.
pub fn list_unmapped_partners(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT partner, orders FROM unmapped_partners ORDER BY partner")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns at most 1,000 ordered items without a mapping.
pub fn list_unmapped_lines(connection: &Connection) -> Result<Vec<UnmappedPurchaseLine>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, buyer_item, vendor_item, upc, gtin, other_ids, unit, description, lines FROM unmapped_purchase_lines \
         ORDER BY partner, lines DESC LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(UnmappedPurchaseLine {
            partner: row.get(0)?,
            buyer_item: row.get(1)?,
            vendor_item: row.get(2)?,
            upc: row.get(3)?,
            gtin: row.get(4)?,
            other_ids: row.get(5)?,
            unit: row.get(6)?,
            description: row.get(7)?,
            lines: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
