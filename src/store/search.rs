//! Finding events by what people have in hand: an order's name, a customer, a tracking code, an SKU, any number.
//!
//! The word is looked up in the indexes of the ERP's tables, which gives what it is about; `event_subjects` gives the events
//! about that, newest first. No table is walked through, and no body is read.

use super::StoreError;
use super::events::{self, Event};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// Most orders, customers and products that one word is followed to.
const FOLLOWED_MAX: i64 = 500;

/// An event, and by what it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub event: Event,
    /// `order 820982911946154508`.
    pub about: String,
}

/// Where a word may lead: what it is about, and the query that says so, whose columns are shop and key.
const WAYS: [(&str, &str); 10] = [
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE name IN (?1, '#' || ?1) LIMIT ?2"),
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE email = ?1 COLLATE NOCASE LIMIT ?2"),
    ("customer", "SELECT shop_domain, customer_id FROM customers WHERE email = ?1 COLLATE NOCASE LIMIT ?2"),
    ("customer", "SELECT shop_domain, customer_id FROM customers WHERE last_name = ?1 COLLATE NOCASE LIMIT ?2"),
    (
        "order",
        "SELECT o.shop_domain, o.order_id FROM customers c JOIN sales_orders o ON o.shop_domain = c.shop_domain \
         AND o.customer_id = c.customer_id WHERE c.last_name = ?1 COLLATE NOCASE LIMIT ?2",
    ),
    // The index is walked from its end: the newest lines of an SKU that is on very many.
    (
        "order",
        "SELECT shop_domain, order_id FROM sales_order_lines WHERE sku = ?1 ORDER BY shop_domain DESC, rowid DESC LIMIT ?2",
    ),
    ("product", "SELECT shop_domain, product_id FROM product_variants WHERE sku = ?1 LIMIT ?2"),
    ("tracking_code", "SELECT '', upper(?1) WHERE ?2 > 0"),
    (
        "order",
        "SELECT f.shop_domain, f.order_id FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, fulfillment_id) \
         WHERE n.number IN (?1, upper(?1)) LIMIT ?2",
    ),
    (
        "order",
        "SELECT shop_domain, order_id FROM shipments WHERE tracking_code = upper(?1) AND order_id IS NOT NULL LIMIT ?2",
    ),
];

/// The newest events about what `word` names.
///
/// # Errors
/// When a query fails.
pub fn search(connection: &Connection, word: &str, limit: u32) -> Result<Vec<Hit>, StoreError> {
    let word = word.trim();
    let mut subjects: BTreeSet<(String, String, String)> = BTreeSet::new();
    for (kind, sql) in WAYS {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![word, FOLLOWED_MAX], |row| {
            let key = match row.get(1)? {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                _ => String::new(),
            };
            Ok((row.get::<_, String>(0)?, key))
        })?;
        for row in rows {
            let (shop, key) = row?;
            subjects.insert((key, kind.to_owned(), shop));
        }
    }
    // The word itself may be the number or code of anything.
    let mut direct =
        connection.prepare_cached("SELECT DISTINCT kind, shop_domain FROM event_subjects WHERE key = ? LIMIT 100")?;
    let rows = direct.query_map([word], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in rows {
        let (kind, shop) = row?;
        subjects.insert((word.to_owned(), kind, shop));
    }
    let mut found: BTreeSet<(i64, String)> = BTreeSet::new();
    let mut about = connection.prepare_cached(
        "SELECT event_id FROM event_subjects WHERE key = ? AND kind = ? AND shop_domain = ? ORDER BY event_id DESC LIMIT ?",
    )?;
    for (key, kind, shop) in &subjects {
        let ids = about.query_map(params![key, kind, shop, limit], |row| row.get::<_, i64>(0))?;
        for id in ids {
            found.insert((id?, format!("{kind} {key}")));
        }
    }
    let mut hits: Vec<Hit> = Vec::new();
    for (id, about) in found.into_iter().rev() {
        if hits.last().is_some_and(|hit| hit.event.id == id) {
            continue;
        }
        if hits.len() >= limit as usize {
            break;
        }
        hits.extend(events::get(connection, id)?.map(|event| Hit { event, about }));
    }
    Ok(hits)
}

/// A step of any event, for watching.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    pub id: i64,
    pub at: String,
    pub event_id: i64,
    pub source: String,
    pub topic: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub attempt: u32,
    pub worker: Option<String>,
    pub error: Option<String>,
}

/// The steps after step `id`, the oldest first.
///
/// # Errors
/// When the query fails.
pub fn steps_after(connection: &Connection, id: i64, limit: u32) -> Result<Vec<Step>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.id, l.at, l.event_id, e.source, e.topic, l.from_status, l.to_status, l.attempt, l.worker, l.error \
         FROM webhook_event_log l JOIN webhook_events e ON e.id = l.event_id WHERE l.id > ? ORDER BY l.id LIMIT ?",
    )?;
    let rows = statement.query_map(params![id, limit], |row| {
        Ok(Step {
            id: row.get(0)?,
            at: row.get(1)?,
            event_id: row.get(2)?,
            source: row.get(3)?,
            topic: row.get(4)?,
            from_status: row.get(5)?,
            to_status: row.get(6)?,
            attempt: row.get(7)?,
            worker: row.get(8)?,
            error: row.get(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last step there is.
///
/// # Errors
/// When the query fails.
pub fn last_step(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_event_log", [], |row| row.get(0))?)
}
