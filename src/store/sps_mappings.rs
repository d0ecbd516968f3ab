//! Who trading partners are in the ERP, and what their goods are.

use super::writer::Kind;
use super::{Store, StoreError, purchase_orders};
use rusqlite::{Connection, params};
use serde::Serialize;

/// A row of `sps_partner_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerMapping {
    pub partner: String,
    pub customer: String,
    /// `total` or `delta`; `None`: as before.
    pub quantity: Option<String>,
}

/// A row of `sps_item_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemMapping {
    pub partner: String,
    /// `buyer`, `vendor`, `upc` or `gtin`.
    pub kind: String,
    pub value: String,
    pub unit: String,
    pub item: String,
    pub item_unit: Option<String>,
    pub factor: String,
}

/// What is ordered and has no item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedLine {
    pub partner: String,
    pub buyer_item: Option<String>,
    pub vendor_item: Option<String>,
    pub upc: Option<String>,
    pub gtin: Option<String>,
    pub unit: Option<String>,
    pub description: Option<String>,
    pub lines: u64,
}

impl Store {
    /// Sets a partner's mapping; gives how many of its orders have a customer by it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn map_partner(&self, mapping: PartnerMapping) -> Result<u64, StoreError> {
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_partner_mappings (partner, customer, quantity) VALUES (?1, ?2, coalesce(?3, 'total')) \
                 ON CONFLICT DO UPDATE SET customer = ?2, quantity = coalesce(?3, quantity)",
                params![mapping.partner, mapping.customer, mapping.quantity],
            )?;
            purchase_orders::tell_again(connection, &mapping.partner)?;
            let sql = "SELECT count(*) FROM purchase_orders WHERE partner = ?";
            Ok(connection.query_row(sql, [&mapping.partner], |row| row.get(0))?)
        };
        self.writer.submit(Kind::Upkeep, job).await
    }

    /// Sets an item's mapping; gives how many lines have an item by its number.
    ///
    /// # Errors
    /// When the transaction fails, or the factor is none.
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
            let column = match mapping.kind.as_str() {
                "buyer" => "buyer_item",
                "vendor" => "vendor_item",
                "upc" => "upc",
                _ => "gtin",
            };
            let sql = format!("SELECT count(*) FROM purchase_order_lines WHERE {column} = ? AND item = ?");
            Ok(connection.query_row(&sql, params![mapping.value, mapping.item], |row| row.get(0))?)
        };
        self.writer.submit(Kind::Upkeep, job).await
    }
}

/// Partners without a customer, with how many orders they have.
///
/// # Errors
/// When the query fails.
pub fn unmapped_partners(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT partner, orders FROM unmapped_partners ORDER BY partner")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Goods without an item.
///
/// # Errors
/// When the query fails.
pub fn unmapped_lines(connection: &Connection) -> Result<Vec<UnmappedLine>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, buyer_item, vendor_item, upc, gtin, unit, description, lines FROM unmapped_purchase_lines \
         ORDER BY partner, lines DESC LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(UnmappedLine {
            partner: row.get(0)?,
            buyer_item: row.get(1)?,
            vendor_item: row.get(2)?,
            upc: row.get(3)?,
            gtin: row.get(4)?,
            unit: row.get(5)?,
            description: row.get(6)?,
            lines: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
