//! Product mappings: the ERP's item of a shop's product. Triggers in `schema.sql` complete older orders.

use crate::changes::rows::CellValue;
use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

/// A mapping of a variant or of an SKU; exactly one of the two is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductMapping {
    pub shop_domain: String,
    pub variant_id: Option<i64>,
    pub sku: Option<String>,
    pub item: String,
    /// ERP units in one unit at Shopify: a decimal number greater than 0.
    pub factor: String,
    pub note: Option<String>,
}

/// A product on orders without a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedProduct {
    pub shop_domain: String,
    pub sku: Option<String>,
    pub variant_id: Option<i64>,
    pub title: Option<String>,
    pub variant_title: Option<String>,
    pub lines: i64,
    pub orders: i64,
    pub first_order: Option<String>,
}

/// Gives the lines of an order their items. A shop without mappings costs one lookup.
pub fn map_order_lines(connection: &Connection, order: &[CellValue]) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO map_sales_order_lines SELECT shop_domain, order_id, line_id FROM sales_order_lines \
             WHERE shop_domain = ?1 AND order_id = ?2 AND EXISTS (SELECT 1 FROM shopify_product_mappings WHERE shop_domain = ?1)",
        )?
        .execute(params_from_iter(order))?;
    Ok(())
}

/// Returns all mappings, by shop.
pub fn list_product_mappings(connection: &Connection) -> Result<Vec<ProductMapping>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT shop_domain, variant_id, sku, item, factor, note FROM shopify_product_mappings ORDER BY shop_domain, sku, variant_id",
    )?;
    let rows = statement.query_map([], |row: &Row<'_>| {
        Ok(ProductMapping {
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

/// Returns at most 1,000 products without a mapping, those on most orders first.
pub fn list_unmapped_products(connection: &Connection) -> Result<Vec<UnmappedProduct>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT shop_domain, sku, variant_id, title, variant_title, lines, orders, first_order FROM unmapped_lines \
         ORDER BY orders DESC, shop_domain, sku LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(UnmappedProduct {
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

/// Returns the path of a mapping in the audit trail.
fn build_mapping_path(shop_domain: &str, variant_id: Option<i64>, sku: Option<&str>) -> String {
    match (variant_id, sku) {
        (Some(variant), _) => format!("mappings/{shop_domain}/variant {variant}"),
        (None, sku) => format!("mappings/{shop_domain}/{}", sku.unwrap_or_default()),
    }
}

impl Store {
    /// Adds or replaces mappings in one transaction; on an error none is stored. Returns the number of order lines
    /// without an item before and after.
    pub async fn map_products(&self, mappings: Vec<ProductMapping>, actor: Actor) -> Result<(i64, i64), StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let count_unmapped = || -> Result<i64, StoreError> {
                    Ok(connection.query_row("SELECT count(*) FROM sales_order_lines WHERE item IS NULL", [], |row| row.get(0))?)
                };
                let before = count_unmapped()?;
                for mapping in &mappings {
                    let conflict_target = if mapping.variant_id.is_some() {
                        "(shop_domain, variant_id) WHERE variant_id IS NOT NULL"
                    } else {
                        "(shop_domain, sku) WHERE sku IS NOT NULL"
                    };
                    connection
                        .prepare_cached(&format!(
                            "INSERT INTO shopify_product_mappings (shop_domain, variant_id, sku, item, factor, note) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT {conflict_target} DO UPDATE SET item = ?4, factor = ?5, note = ?6"
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
                let path = match &mappings[..] {
                    [mapping] => build_mapping_path(&mapping.shop_domain, mapping.variant_id, mapping.sku.as_deref()),
                    several => format!("mappings/{} of a file", several.len()),
                };
                actor.log_action(connection, &at, ("PRODUCT-MAPPING", "SAVE", &path), None)?;
                Ok((before, count_unmapped()?))
            })
            .await
    }

    /// Deletes a mapping; returns false if there is none. Its lines lose their item.
    pub async fn unmap_product(
        &self,
        shop: String,
        variant_id: Option<i64>,
        sku: Option<String>,
        actor: Actor,
    ) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let deleted = connection.execute(
                    "DELETE FROM shopify_product_mappings WHERE shop_domain = ?1 AND (variant_id = ?2 OR sku = ?3)",
                    params![shop, variant_id, sku],
                )?;
                if deleted > 0 {
                    let path = build_mapping_path(&shop, variant_id, sku.as_deref());
                    actor.log_action(connection, &at, ("PRODUCT-MAPPING", "REMOVE", &path), None)?;
                }
                Ok(deleted > 0)
            })
            .await
    }
}
