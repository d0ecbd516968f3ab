//! Sales orders: the projection of Shopify's orders.

use super::StoreError;
use super::claims::Claim;
use rusqlite::{Connection, params};

/// An order as one event tells it. Money is decimal text as it came; times are [`crate::clock::text`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SalesOrder {
    pub order_id: i64,
    pub name: Option<String>,
    pub currency: Option<String>,
    pub total: Option<String>,
    pub subtotal: Option<String>,
    pub total_tax: Option<String>,
    pub total_discounts: Option<String>,
    pub financial_status: Option<String>,
    pub fulfillment_status: Option<String>,
    pub po_number: Option<String>,
    pub customer_id: Option<i64>,
    pub email: Option<String>,
    pub test: bool,
    pub created_at: Option<String>,
    pub updated_at: String,
    pub cancelled_at: Option<String>,
    pub lines: Vec<SalesOrderLine>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SalesOrderLine {
    pub line_id: i64,
    pub sku: Option<String>,
    pub product_id: Option<i64>,
    pub variant_id: Option<i64>,
    pub title: Option<String>,
    pub variant_title: Option<String>,
    pub quantity: i64,
    pub price: Option<String>,
    pub total_discount: Option<String>,
}

/// Writes the order and its lines, unless what is there is newer by the order's own `updated_at`.
///
/// # Errors
/// When a statement fails.
pub fn apply(connection: &Connection, claim: &Claim, order: &SalesOrder) -> Result<(), StoreError> {
    let written = connection
        .prepare_cached(
            "INSERT INTO sales_orders (shop_domain, order_id, name, currency, total, subtotal, total_tax, total_discounts, \
             financial_status, fulfillment_status, po_number, customer_id, email, test, created_at, updated_at, \
             cancelled_at, event_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
             ON CONFLICT (shop_domain, order_id) DO UPDATE SET name = ?3, currency = ?4, total = ?5, subtotal = ?6, \
             total_tax = ?7, total_discounts = ?8, financial_status = ?9, fulfillment_status = ?10, po_number = ?11, \
             customer_id = ?12, email = ?13, test = ?14, created_at = ?15, updated_at = ?16, cancelled_at = ?17, \
             event_id = ?18 WHERE excluded.updated_at >= sales_orders.updated_at",
        )?
        .execute(params![
            claim.shop_domain,
            order.order_id,
            order.name,
            order.currency,
            order.total,
            order.subtotal,
            order.total_tax,
            order.total_discounts,
            order.financial_status,
            order.fulfillment_status,
            order.po_number,
            order.customer_id,
            order.email,
            order.test,
            order.created_at,
            order.updated_at,
            order.cancelled_at,
            claim.event_id,
        ])?;
    if written == 0 {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM sales_order_lines WHERE shop_domain = ? AND order_id = ?")?
        .execute(params![claim.shop_domain, order.order_id])?;
    for (position, line) in (1_i64..).zip(&order.lines) {
        connection
            .prepare_cached(
                "INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, sku, product_id, variant_id, \
                 title, variant_title, quantity, price, total_discount) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                claim.shop_domain,
                order.order_id,
                line.line_id,
                position,
                line.sku,
                line.product_id,
                line.variant_id,
                line.title,
                line.variant_title,
                line.quantity,
                line.price,
                line.total_discount,
            ])?;
    }
    Ok(())
}
