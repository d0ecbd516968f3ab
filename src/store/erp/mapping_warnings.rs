//! Warnings about product mappings that fit nothing: a shop, an SKU or a variant of no stored order or product.

use crate::store::StoreError;
use crate::store::erp::mappings::ProductMapping;
use crate::text::{find_similar, normalize_sku};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};

/// Most SKUs of a shop that are compared with an unknown one.
const SKUS_MAX: u32 = 20_000;
/// Most unknown SKUs for which a similar one is searched.
const SUGGESTIONS_MAX: usize = 20;

/// Returns a warning for each unknown shop, and for each unknown product of a known one.
pub fn find_mapping_warnings(
    connection: &Connection,
    configured_shops: &[&str],
    mappings: &[ProductMapping],
) -> Result<Vec<String>, StoreError> {
    let stored_shops = list_stored_shops(connection)?;
    let mut by_shop: BTreeMap<&str, Vec<&ProductMapping>> = BTreeMap::new();
    for mapping in mappings {
        by_shop.entry(&mapping.shop_domain).or_default().push(mapping);
    }
    let mut warnings = Vec::new();
    for (shop, mappings) in by_shop {
        if stored_shops.contains(shop) {
            warnings.extend(find_unknown_products(connection, shop, &mappings)?);
        } else if configured_shops.contains(&shop) {
            warnings.push(format!("no order or product of {shop} is stored yet, so its products were not checked"));
        } else {
            let known = stored_shops.iter().map(String::as_str).chain(configured_shops.iter().copied());
            let hint = describe_similar(find_similar(shop, known));
            warnings
                .push(format!("the shop {shop} is not configured and has no orders: its mappings fit no order.{hint}"));
        }
    }
    Ok(warnings)
}

fn describe_similar(similar: Option<&str>) -> String {
    similar.map_or_else(String::new, |similar| format!(" Did you mean {similar}?"))
}

/// Returns the shops of orders and products. Each step finds the next shop by the primary key.
pub(crate) fn list_stored_shops(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut shops = BTreeSet::new();
    for table in ["sales_orders", "products"] {
        let mut statement = connection.prepare_cached(&format!(
            "WITH RECURSIVE shops (name) AS (SELECT min(shop_domain) FROM {table} UNION ALL SELECT (SELECT \
             min(shop_domain) FROM {table} WHERE shop_domain > shops.name) FROM shops WHERE name IS NOT NULL) \
             SELECT name FROM shops WHERE name IS NOT NULL"
        ))?;
        let names = statement.query_map([], |row| row.get(0))?;
        for name in names {
            shops.insert(name?);
        }
    }
    Ok(shops)
}

fn find_unknown_products(
    connection: &Connection,
    shop: &str,
    mappings: &[&ProductMapping],
) -> Result<Vec<String>, StoreError> {
    let mut has_line = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sales_order_lines WHERE sku_key = upper(replace(?2, ' ', '-')) AND shop_domain = ?1) OR \
         EXISTS (SELECT 1 FROM sales_order_lines WHERE variant_id = ?3 AND shop_domain = ?1)",
    )?;
    let (mut variants, mut skus) = (BTreeSet::new(), BTreeSet::new());
    let mut statement =
        connection.prepare_cached("SELECT variant_id, sku FROM product_variants WHERE shop_domain = ?")?;
    let mut rows = statement.query([shop])?;
    while let Some(row) = rows.next()? {
        variants.insert(row.get::<_, i64>(0)?);
        skus.extend(row.get::<_, Option<String>>(1)?.map(|sku| normalize_sku(&sku)));
    }
    let mut unknown = Vec::new();
    for mapping in mappings {
        let is_product = mapping.sku.as_ref().is_some_and(|sku| skus.contains(&normalize_sku(sku)))
            || mapping.variant_id.is_some_and(|variant| variants.contains(&variant));
        if !is_product && !has_line.query_row(params![shop, mapping.sku, mapping.variant_id], |row| row.get(0))? {
            unknown.push(mapping);
        }
    }
    if unknown.iter().any(|mapping| mapping.sku.is_some()) {
        skus.extend(list_ordered_skus(connection, shop)?);
    }
    let mut warnings = Vec::new();
    for mapping in unknown {
        let (product, similar) = match (&mapping.sku, mapping.variant_id) {
            (Some(sku), _) if warnings.len() < SUGGESTIONS_MAX => {
                (format!("the SKU {sku}"), find_similar(sku, skus.iter().map(String::as_str)))
            }
            (Some(sku), _) => (format!("the SKU {sku}"), None),
            (None, variant) => (format!("the variant {}", variant.unwrap_or_default()), None),
        };
        let hint = describe_similar(similar);
        warnings
            .push(format!("{product} is on no stored order or product of {shop}: its mapping fits nothing yet.{hint}"));
    }
    Ok(warnings)
}

/// Returns the SKUs on order lines. Each step finds the next SKU by its index.
fn list_ordered_skus(connection: &Connection, shop: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE skus (name) AS (SELECT min(sku_key) FROM sales_order_lines UNION ALL SELECT (SELECT min(sku_key) FROM \
         sales_order_lines WHERE sku_key > skus.name) FROM skus WHERE name IS NOT NULL LIMIT ?2) SELECT name FROM skus WHERE \
         EXISTS (SELECT 1 FROM sales_order_lines WHERE sku_key = skus.name AND shop_domain = ?1)",
    )?;
    let skus = statement.query_map(params![shop, SKUS_MAX], |row| row.get(0))?;
    Ok(skus.collect::<Result<_, _>>()?)
}
