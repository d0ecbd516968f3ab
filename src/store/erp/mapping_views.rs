//! Mappings and what has none, for the console.

use crate::store::StoreError;
use crate::store::erp::mappings::{ProductMapping, UnmappedProduct};
use crate::store::erp::sps_mappings::{ItemMapping, PartnerMapping, UnmappedPurchaseLine};
use rusqlite::{Connection, OptionalExtension, params};

/// Most lines without an item that are looked at for the list of goods without a mapping.
const LINES_MAX: u32 = 5_000;
/// Most goods or partners without a mapping in a list.
const UNMAPPED_MAX: u32 = 25;
/// Newest mappings of each kind whose items a form suggests.
const SUGGESTIONS_MAX: u32 = 500;

/// A product mapping with its id.
pub type StoredProductMapping = (i64, ProductMapping);
/// An item mapping with its id.
pub type StoredItemMapping = (i64, ItemMapping);

/// Returns a page of product mappings, the newest first; only those in which a value contains `text`.
pub fn list_product_mapping_page(
    connection: &Connection,
    text: &str,
    before: i64,
    limit: u32,
) -> Result<Vec<StoredProductMapping>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, shop_domain, variant_id, sku, item, factor, note FROM shopify_product_mappings WHERE id < ?1 AND (?2 = '' OR \
         instr(upper(concat_ws(' ', shop_domain, variant_id, sku, item, note)), upper(?2)) > 0) ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![before, text, limit], |row| {
        let mapping = ProductMapping {
            shop_domain: row.get(1)?,
            variant_id: row.get(2)?,
            sku: row.get(3)?,
            item: row.get(4)?,
            factor: row.get(5)?,
            note: row.get(6)?,
        };
        Ok((row.get(0)?, mapping))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns a page of item mappings, the newest first; only those in which a value contains `text`.
pub fn list_item_mapping_page(
    connection: &Connection,
    text: &str,
    before: i64,
    limit: u32,
) -> Result<Vec<StoredItemMapping>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, kind, value, unit, item, item_unit, factor, id FROM sps_item_mappings WHERE id < ?1 AND (?2 = '' OR \
         instr(upper(concat_ws(' ', partner, kind, value, item)), upper(?2)) > 0) ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![before, text, limit], |row| Ok((row.get(7)?, ItemMapping::read(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns a page of partner mappings by partner, after `after`; only those in which a value contains `text`.
pub fn list_partner_mapping_page(
    connection: &Connection,
    text: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<PartnerMapping>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, customer, quantity FROM sps_partner_mappings WHERE partner > ?1 AND (?2 = '' OR \
         instr(upper(partner || ' ' || customer), upper(?2)) > 0) ORDER BY partner LIMIT ?3",
    )?;
    let rows = statement.query_map(params![after, text, limit], |row| {
        Ok(PartnerMapping { partner: row.get(0)?, customer: row.get(1)?, quantity: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the goods on most orders among the newest lines without an item.
pub fn list_newest_unmapped_products(connection: &Connection) -> Result<Vec<UnmappedProduct>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT shop_domain, sku, variant_id, min(title), min(variant_title), count(*), count(DISTINCT order_id) AS orders, \
           min(order_id) FROM (SELECT l.* FROM sales_order_lines l INDEXED BY sales_order_lines_unmapped WHERE l.item IS NULL \
           ORDER BY l.shop_domain DESC, l.order_id DESC LIMIT ?1) l \
         WHERE (sku IS NOT NULL OR variant_id IS NOT NULL) AND coalesce(current_quantity, quantity) > 0 AND NOT EXISTS \
           (SELECT 1 FROM sales_orders o WHERE o.shop_domain = l.shop_domain AND o.order_id = l.order_id AND o.deleted_at IS NOT NULL) \
         GROUP BY shop_domain, sku, variant_id ORDER BY orders DESC, shop_domain, sku LIMIT ?2",
    )?;
    let rows = statement.query_map([LINES_MAX, UNMAPPED_MAX], |row| {
        Ok(UnmappedProduct {
            shop_domain: row.get(0)?,
            sku: row.get(1)?,
            variant_id: row.get(2)?,
            title: row.get(3)?,
            variant_title: row.get(4)?,
            lines: row.get(5)?,
            orders: row.get(6)?,
            first_order: row.get::<_, i64>(7).map(|number| Some(number.to_string()))?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the ordered items on most lines among the last lines without an item.
pub fn list_newest_unmapped_items(connection: &Connection) -> Result<Vec<UnmappedPurchaseLine>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, buyer_item, vendor_item, upc, gtin, ids, unit, min(description), count(*) AS lines FROM (SELECT l.*, \
           CASE WHEN coalesce(l.buyer_item, l.vendor_item, l.upc, l.gtin) IS NULL THEN (SELECT group_concat(CASE p.code WHEN '' \
           THEN 'none' ELSE upper(p.code) END || ' ' || p.value, char(10)) FROM purchase_order_parts p WHERE p.partner = l.partner \
           AND p.po_number = l.po_number AND p.release = l.release AND p.position = l.position AND p.kind = 'id') END AS ids \
           FROM purchase_order_lines l INDEXED BY purchase_order_lines_unmapped WHERE l.item IS NULL AND l.status = 'open' \
           ORDER BY l.partner DESC, l.po_number DESC LIMIT ?1) \
         GROUP BY partner, buyer_item, vendor_item, upc, gtin, ids, unit ORDER BY lines DESC, partner LIMIT ?2",
    )?;
    let rows = statement.query_map([LINES_MAX, UNMAPPED_MAX], |row| {
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

/// Returns the first partners without a customer. Each step finds the next partner by the index.
pub fn list_first_unmapped_partners(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE partners (name) AS (SELECT min(partner) FROM purchase_orders WHERE customer IS NULL UNION ALL \
           SELECT (SELECT min(partner) FROM purchase_orders WHERE customer IS NULL AND partner > partners.name) FROM partners \
           WHERE name IS NOT NULL LIMIT ?1) SELECT name FROM partners WHERE name IS NOT NULL",
    )?;
    let rows = statement.query_map([UNMAPPED_MAX], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the ERP's items of the newest mappings, which a form suggests.
pub fn list_known_items(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT item FROM (SELECT item FROM sps_item_mappings ORDER BY id DESC LIMIT ?1) UNION SELECT item FROM \
         (SELECT item FROM shopify_product_mappings ORDER BY id DESC LIMIT ?1) ORDER BY item",
    )?;
    let rows = statement.query_map([SUGGESTIONS_MAX], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the stored mapping of the same variant or SKU, which an import would replace.
pub fn find_product_mapping(
    connection: &Connection,
    mapping: &ProductMapping,
) -> Result<Option<ProductMapping>, StoreError> {
    let stored = connection
        .prepare_cached(
            "SELECT item, factor, note FROM shopify_product_mappings WHERE shop_domain = ?1 AND variant_id = ?2 \
             UNION ALL SELECT item, factor, note FROM shopify_product_mappings WHERE shop_domain = ?1 AND sku = ?3",
        )?
        .query_row(params![mapping.shop_domain, mapping.variant_id, mapping.sku], |row| {
            Ok(ProductMapping { item: row.get(0)?, factor: row.get(1)?, note: row.get(2)?, ..mapping.clone() })
        })
        .optional()?;
    Ok(stored)
}
