//! Product mappings: the ERP's item of what a shop sells. The triggers in `schema.sql` complete the orders that wait for one.

use super::projection::Cell;
use super::writer::Kind;
use super::{Store, StoreError};
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

/// A mapping. Exactly one of variant and SKU is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    pub shop_domain: String,
    pub variant_id: Option<i64>,
    pub sku: Option<String>,
    pub item: String,
    /// ERP units in one unit at Shopify: a decimal number over 0.
    pub factor: String,
    pub note: Option<String>,
}

/// What is sold and has no mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmapped {
    pub shop_domain: String,
    pub sku: Option<String>,
    pub variant_id: Option<i64>,
    pub title: Option<String>,
    pub variant_title: Option<String>,
    pub lines: i64,
    pub orders: i64,
    pub first_order: Option<String>,
}

/// Gives the lines of an order their items: once for the order, not for each line.
///
/// # Errors
/// When the statement fails.
pub fn map_order(connection: &Connection, order: &[Cell]) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE sales_order_lines SET (item, item_quantity) = (\
               SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain \
               AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id) \
             WHERE shop_domain = ?1 AND order_id = ?2 AND EXISTS (SELECT 1 FROM shopify_product_mappings WHERE shop_domain = ?1)",
        )?
        .execute(params_from_iter(order))?;
    Ok(())
}

/// All mappings, by shop.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection) -> Result<Vec<Mapping>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT shop_domain, variant_id, sku, item, factor, note FROM shopify_product_mappings ORDER BY shop_domain, sku, variant_id",
    )?;
    let rows = statement.query_map([], |row: &Row<'_>| {
        Ok(Mapping {
            shop_domain: row.get(0)?,
            variant_id: row.get(1)?,
            sku: row.get(2)?,
            item: row.get(3)?,
            factor: row.get(4)?,
            note: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is sold and not mapped, what is on most orders first.
///
/// # Errors
/// When the query fails.
pub fn unmapped(connection: &Connection) -> Result<Vec<Unmapped>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT shop_domain, sku, variant_id, title, variant_title, lines, orders, first_order FROM unmapped_lines \
         ORDER BY orders DESC, shop_domain, sku LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Unmapped {
            shop_domain: row.get(0)?,
            sku: row.get(1)?,
            variant_id: row.get(2)?,
            title: row.get(3)?,
            variant_title: row.get(4)?,
            lines: row.get(5)?,
            orders: row.get(6)?,
            first_order: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Adds mappings, or changes those that are there, all in one transaction. Gives how many lines of orders wait for a mapping
    /// before and after.
    ///
    /// # Errors
    /// When one of them is refused; then none was added.
    pub async fn map_products(&self, mappings: Vec<Mapping>) -> Result<(i64, i64), StoreError> {
        self.writer
            .submit(Kind::Upkeep, move |connection| {
                let waiting = || -> Result<i64, StoreError> {
                    Ok(connection.query_row("SELECT count(*) FROM sales_order_lines WHERE item IS NULL", [], |row| row.get(0))?)
                };
                let before = waiting()?;
                for mapping in &mappings {
                    let on = if mapping.variant_id.is_some() {
                        "(shop_domain, variant_id) WHERE variant_id IS NOT NULL"
                    } else {
                        "(shop_domain, sku) WHERE sku IS NOT NULL"
                    };
                    connection
                        .prepare_cached(&format!(
                            "INSERT INTO shopify_product_mappings (shop_domain, variant_id, sku, item, factor, note) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT {on} DO UPDATE SET item = ?4, factor = ?5, note = ?6"
                        ))?
                        .execute(params![
                            mapping.shop_domain,
                            mapping.variant_id,
                            mapping.sku,
                            mapping.item,
                            mapping.factor,
                            mapping.note
                        ])?;
                }
                Ok((before, waiting()?))
            })
            .await
    }

    /// Takes a mapping away; `false` when there is none. The lines it completed wait again.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn unmap_product(
        &self,
        shop: String,
        variant_id: Option<i64>,
        sku: Option<String>,
    ) -> Result<bool, StoreError> {
        self.writer
            .submit(Kind::Upkeep, move |connection| {
                let gone = connection.execute(
                    "DELETE FROM shopify_product_mappings WHERE shop_domain = ?1 AND (variant_id = ?2 OR sku = ?3)",
                    params![shop, variant_id, sku],
                )?;
                Ok(gone > 0)
            })
            .await
    }
}
