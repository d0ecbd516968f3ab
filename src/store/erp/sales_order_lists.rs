//! Pages of sales orders for the console: all, those of a shop, those that need a person, or those that a text finds.
//!
//! Each shop gives its next rows by an index, and the newest of them are the page. So the cost depends on the number of
//! shops and the rows of the page, never on the number of orders.

use crate::store::StoreError;
use crate::store::erp::event_summary::build_customer_expression;
use crate::store::erp::mapping_warnings::list_stored_shops;
use crate::store::events::search::find_subjects;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// Selects sales orders. An empty text selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalesOrderFilter {
    pub shop: String,
    /// Name of an order, customer, email address, SKU, tracking code, PO number, or a part of one.
    pub text: String,
    pub attention_only: bool,
}

/// Number of an order with its shop. Numbers grow with time.
pub type SalesOrderKey = (i64, String);

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesOrderSummary {
    pub shop_domain: String,
    pub order_id: i64,
    pub name: Option<String>,
    /// Total after edits and refunds.
    pub total: Option<String>,
    pub currency: Option<String>,
    pub financial_status: Option<String>,
    pub fulfillment_status: Option<String>,
    pub created_at: Option<String>,
    pub cancelled_at: Option<String>,
    pub deleted_at: Option<String>,
    pub is_test: bool,
    /// Why a person must look at the order or at one of its refunds.
    pub attention: Option<String>,
    /// Name of the customer, or else the email address: personal data.
    pub customer: Option<String>,
    /// Lines without an item of the ERP.
    pub unmapped: u64,
}

impl SalesOrderSummary {
    /// Returns the state of the order: `cancelled`, `fulfilled`, `partial`, `open` …
    #[must_use]
    pub fn describe_state(&self) -> &str {
        match (&self.deleted_at, &self.cancelled_at) {
            (Some(_), _) => "deleted",
            (_, Some(_)) => "cancelled",
            _ => self.fulfillment_status.as_deref().unwrap_or("open"),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            shop_domain: row.get(0)?,
            order_id: row.get(1)?,
            name: row.get(2)?,
            total: row.get(3)?,
            currency: row.get(4)?,
            financial_status: row.get(5)?,
            fulfillment_status: row.get(6)?,
            created_at: row.get(7)?,
            cancelled_at: row.get(8)?,
            deleted_at: row.get(9)?,
            is_test: row.get::<_, Option<bool>>(10)?.unwrap_or_default(),
            attention: row.get(11)?,
            unmapped: row.get(12)?,
            customer: row.get(13)?,
        })
    }
}

/// Returns one order of a shop.
pub fn find_sales_order_summary(
    connection: &Connection,
    (order_id, shop): (i64, &str),
) -> Result<Option<SalesOrderSummary>, StoreError> {
    let sql = format!(
        "SELECT o.shop_domain, o.order_id, o.name, coalesce(o.current_total, o.total), o.currency, o.financial_status, \
         o.fulfillment_status, o.created_at, o.cancelled_at, o.deleted_at, o.test, coalesce(o.attention, (SELECT \
         min(r.attention) FROM refunds r WHERE r.shop_domain = o.shop_domain AND r.order_id = o.order_id)), \
         (SELECT count(*) FROM sales_order_lines l WHERE l.shop_domain = o.shop_domain AND l.order_id = o.order_id \
            AND l.item IS NULL AND (l.sku IS NOT NULL OR l.variant_id IS NOT NULL) AND coalesce(l.current_quantity, l.quantity) > 0), \
         {} FROM sales_orders o WHERE o.shop_domain = ?1 AND o.order_id = ?2",
        build_customer_expression()
    );
    let order =
        connection.prepare_cached(&sql)?.query_row(params![shop, order_id], SalesOrderSummary::read).optional()?;
    Ok(order)
}

/// Returns a page of orders, the newest first. `before` is the last order of the page before.
pub fn list_sales_orders(
    connection: &Connection,
    filter: &SalesOrderFilter,
    before: Option<&SalesOrderKey>,
    limit: usize,
) -> Result<Vec<SalesOrderSummary>, StoreError> {
    let shops =
        if filter.shop.is_empty() { list_stored_shops(connection)? } else { BTreeSet::from([filter.shop.clone()]) };
    let keys = if filter.text.is_empty() {
        list_newest_keys(connection, &shops, filter.attention_only, before, limit)?
    } else {
        find_keys_by_text(connection, &shops, &filter.text)?
    };
    let mut orders = Vec::new();
    for (order_id, shop) in keys.iter().rev().filter(|key| before.is_none_or(|before| *key < before)) {
        let order = find_sales_order_summary(connection, (*order_id, shop))?;
        orders.extend(order.filter(|order| !filter.attention_only || order.attention.is_some()));
        if orders.len() == limit {
            break;
        }
    }
    Ok(orders)
}

/// Returns the newest keys of each shop, at most `limit` of each; by index.
fn list_newest_keys(
    connection: &Connection,
    shops: &BTreeSet<String>,
    attention_only: bool,
    before: Option<&SalesOrderKey>,
    limit: usize,
) -> Result<BTreeSet<SalesOrderKey>, StoreError> {
    const ALL: &[&str] = &[
        "SELECT order_id FROM sales_orders WHERE shop_domain = ?1 AND order_id <= ?2 ORDER BY order_id DESC LIMIT ?3",
    ];
    const ATTENTION: &[&str] = &[
        "SELECT order_id FROM sales_orders INDEXED BY sales_orders_attention WHERE attention IS NOT NULL AND shop_domain = ?1 \
         AND order_id <= ?2 ORDER BY order_id DESC LIMIT ?3",
        "SELECT DISTINCT order_id FROM refunds INDEXED BY refunds_attention WHERE attention IS NOT NULL AND shop_domain = ?1 \
         AND order_id <= ?2 ORDER BY order_id DESC LIMIT ?3",
    ];
    let mut keys = BTreeSet::new();
    let last = before.map_or(i64::MAX, |(order_id, _)| *order_id);
    for shop in shops {
        for sql in if attention_only { ATTENTION } else { ALL } {
            // One more: the last order of the page before is among them.
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map(params![shop, last, limit + 1], |row| row.get(0))?;
            for order_id in found {
                keys.insert((order_id?, shop.clone()));
            }
        }
    }
    Ok(keys)
}

fn find_keys_by_text(
    connection: &Connection,
    shops: &BTreeSet<String>,
    text: &str,
) -> Result<BTreeSet<SalesOrderKey>, StoreError> {
    let mut keys = BTreeSet::new();
    for (key, found_shop) in find_subjects(connection, text, "order")? {
        let Ok(order_id) = key.parse() else { continue };
        let matching = shops.iter().filter(|shop| found_shop.as_ref().is_none_or(|found| found == *shop));
        keys.extend(matching.map(|shop| (order_id, shop.clone())));
    }
    Ok(keys)
}
