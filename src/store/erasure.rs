//! Erasing personal data when Shopify asks for it: from the tables, the raw bodies, the logs' texts, and from the file itself.
//!
//! What goes is overwritten with zeros (`secure_delete`, set for every writing connection), and the WAL is  What stays: that an event came
//! and was erased (`webhook_events.erased_at`), what an order was worth and what was on it, and numbers that name nobody.
//!
//! An erasure outlives itself: `erased_subjects` keeps whom and what it was about, and an event about them that is worked later
//! keeps what it was worth and loses whose it was.

use super::changes::Subject;
use super::mentions::{self, Whom};
use super::personal::{self, By};
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use std::collections::BTreeSet;

/// Whose data is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// One customer of a shop: by number, by address and phone, and the orders that are named.
    Customer { customer_id: Option<i64>, email: Option<String>, phone: Option<String>, orders: Vec<i64> },
    /// Everything of a shop.
    Shop,
}

/// Events erased in one transaction: bounds how long it holds the lock.
const BATCH: usize = 200;
/// Orders erased in one transaction, with their events.
const ORDERS: usize = 50;

/// Tables whose rows are a shop's.
const SHOP_TABLES: [&str; 27] = [
    "sales_orders",
    "sales_order_lines",
    "sales_order_addresses",
    "sales_order_taxes",
    "sales_order_discounts",
    "sales_order_shipping_lines",
    "sales_order_edits",
    "sales_order_edit_lines",
    "order_transactions",
    "refunds",
    "refund_lines",
    "fulfillments",
    "fulfillment_lines",
    "fulfillment_tracking_numbers",
    "fulfillment_events",
    "fulfillment_orders",
    "fulfillment_holds",
    "returns",
    "return_lines",
    "customers",
    "customer_addresses",
    "products",
    "product_variants",
    "inventory_items",
    "inventory_levels",
    "locations",
    "shopify_product_mappings",
];

impl Store {
    /// Erases, some events a transaction, until nothing is left. Done again after a crash it goes on where it was.
    ///
    /// # Errors
    /// When a transaction fails; what was erased before stays erased.
    pub async fn erase(&self, event_id: i64, shop: &str, erasure: &Erasure) -> Result<u64, StoreError> {
        match erasure {
            Erasure::Customer { .. } => self.erase_customer(event_id, shop, erasure).await,
            Erasure::Shop => {
                let mut erased = 0;
                loop {
                    let (shop, now) = (shop.to_owned(), clock::text(self.clock.now()));
                    let job = move |connection: &Connection| erase_shop(connection, event_id, &shop, &now);
                    let count = self.writer.submit(Kind::Upkeep, job).await?;
                    erased += count as u64;
                    if count < BATCH {
                        return Ok(erased);
                    }
                }
            }
        }
    }

    async fn erase_customer(&self, by: i64, shop: &str, erasure: &Erasure) -> Result<u64, StoreError> {
        let Erasure::Customer { email, phone, .. } = erasure else { return Ok(0) };
        let now = clock::text(self.clock.now());
        let job = {
            let (shop, erasure, now) = (shop.to_owned(), erasure.clone(), now.clone());
            move |connection: &Connection| remember_customer(connection, by, &shop, &erasure, &now)
        };
        let (customers, orders) = self.writer.submit(Kind::Upkeep, job).await?;
        let mut erased = 0;
        for some in orders.iter().copied().collect::<Vec<i64>>().chunks(ORDERS) {
            let (shop, some, now) = (shop.to_owned(), some.to_vec(), now.clone());
            let job = move |connection: &Connection| erase_orders(connection, by, &shop, &some, &now);
            erased += self.writer.submit(Kind::Upkeep, job).await? as u64;
        }
        let mut events: BTreeSet<i64> = BTreeSet::new();
        for customer in &customers {
            let (shop, customer) = (shop.to_owned(), *customer);
            let job = move |connection: &Connection| {
                personal::erase(connection, By::Customer, &shop, &customer)?;
                about(connection, &shop, "customer", &customer.to_string())
            };
            events.extend(self.writer.submit(Kind::Upkeep, job).await?);
        }
        // Events that failed or that nothing handles may name them in their bodies only.
        let whom = Whom { customers, orders, email: email.clone(), phone: phone.clone() };
        events.extend(mentions::find(&self.reader, shop, &whom)?);
        // The one that asks keeps its body until it is completed, so that it can be worked again after a crash.
        events.remove(&by);
        for some in events.into_iter().collect::<Vec<i64>>().chunks(BATCH) {
            let (some, now) = (some.to_vec(), now.clone());
            let job = move |connection: &Connection| erase_events(connection, some.into_iter(), &now);
            erased += self.writer.submit(Kind::Upkeep, job).await? as u64;
        }
        Ok(erased)
    }
}

/// Finds the customer's numbers and those of their orders, and remembers them all.
fn remember_customer(
    connection: &Connection,
    by: i64,
    shop: &str,
    erasure: &Erasure,
    now: &str,
) -> Result<(BTreeSet<i64>, BTreeSet<i64>), StoreError> {
    let Erasure::Customer { customer_id, email, phone, orders } = erasure else { return Ok(Default::default()) };
    let numbers = |sql: &str, value: &dyn rusqlite::ToSql| -> Result<Vec<i64>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![shop, value], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let mut customers: BTreeSet<i64> = customer_id.iter().copied().collect();
    let mut orders: BTreeSet<i64> = orders.iter().copied().collect();
    for (column, value) in [("email", email), ("phone", phone)] {
        let Some(value) = value else { continue };
        let sql = |number: &str, table: &str| {
            format!("SELECT {number} FROM {table} WHERE shop_domain = ?1 AND {column} = ?2 COLLATE NOCASE")
        };
        customers.extend(numbers(&sql("customer_id", "customers"), value)?);
        orders.extend(numbers(&sql("order_id", "sales_orders"), value)?);
    }
    for customer in &customers {
        orders.extend(numbers(
            "SELECT order_id FROM sales_orders WHERE shop_domain = ?1 AND customer_id = ?2",
            customer,
        )?);
    }
    for (kind, set) in [("customer", &mut customers), ("order", &mut orders)] {
        // What was found before a crash is found again: its traces in the tables may be gone by now.
        let mut statement = connection.prepare_cached(
            "SELECT CAST(key AS INTEGER) FROM erased_subjects WHERE shop_domain = ? AND kind = ? AND by_event = ?",
        )?;
        let rows = statement.query_map(params![shop, kind, by], |row| row.get::<_, i64>(0))?;
        set.extend(rows.collect::<Result<Vec<_>, _>>()?);
        for key in set.iter() {
            remember(connection, shop, kind, &key.to_string(), by, now)?;
        }
    }
    Ok((customers, orders))
}

/// Erases some orders: what the tables say of whose they are, their parcels, and every event about them.
fn erase_orders(connection: &Connection, by: i64, shop: &str, orders: &[i64], now: &str) -> Result<usize, StoreError> {
    let mut events = BTreeSet::new();
    for order in orders {
        events.extend(about(connection, shop, "order", &order.to_string())?);
        for code in codes(connection, shop, Some(*order))? {
            events.extend(forget_code(connection, &code, by, now)?);
        }
        personal::erase(connection, By::Order, shop, order)?;
    }
    events.remove(&by);
    erase_events(connection, events.into_iter(), now)
}

/// The tracking codes of an order, or of all of a shop's.
pub(super) fn codes(connection: &Connection, shop: &str, order: Option<i64>) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT n.number FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, fulfillment_id) \
         WHERE f.shop_domain = ?1 AND (?2 IS NULL OR f.order_id = ?2) \
         UNION SELECT tracking_code FROM shipments WHERE shop_domain = ?1 AND (?2 IS NULL OR order_id = ?2) AND tracking_code IS NOT NULL",
    )?;
    let rows = statement.query_map(params![shop, order], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes out what EasyPost told of a parcel, whose events are of no shop; gives those events. Later ones are erased too.
fn forget_code(connection: &Connection, code: &str, by: i64, now: &str) -> Result<Vec<i64>, StoreError> {
    remember(connection, "", "tracking_code", code, by, now)?;
    personal::erase(connection, By::Code, "", &code)?;
    about(connection, "", "tracking_code", code)
}

fn erase_shop(connection: &Connection, by: i64, shop: &str, now: &str) -> Result<usize, StoreError> {
    remember(connection, shop, "shop", shop, by, now)?;
    let mut statement = connection.prepare_cached(
        "SELECT id FROM webhook_events WHERE source = 'shopify' AND shop_domain = ? AND erased_at IS NULL AND id <> ? LIMIT ?",
    )?;
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let events = statement.query_map(params![shop, by, batch], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let count = erase_events(connection, events.into_iter(), now)?;
    if count < BATCH {
        let mut parcels = Vec::new();
        for code in codes(connection, shop, None)? {
            parcels.extend(forget_code(connection, &code, by, now)?);
        }
        erase_events(connection, parcels.into_iter(), now)?;
        clear_shop(connection, shop)?;
    }
    Ok(count)
}

fn clear_shop(connection: &Connection, shop: &str) -> Result<(), StoreError> {
    for table in SHOP_TABLES.into_iter().chain(["data_requests", "shops"]) {
        connection.execute(&format!("DELETE FROM {table} WHERE shop_domain = ?"), [shop])?;
    }
    Ok(())
}

/// Ends an erasure when the event that asked for it is completed: takes out what that event itself said, and once more what
/// handlers wrote that had read their event before it was erased; keeps in numbers what it was about, to hand it on.
///
/// # Errors
/// When a statement fails.
pub(super) fn finish(
    connection: &Connection,
    event_id: i64,
    shop: &str,
    erasure: &Erasure,
    now: &str,
) -> Result<(), StoreError> {
    let notice = match erasure {
        Erasure::Shop => {
            clear_shop(connection, shop)?;
            json!({"shop_domain": shop})
        }
        Erasure::Customer { customer_id, orders, .. } => {
            let mut statement = connection.prepare_cached(
                "SELECT CAST(key AS INTEGER) FROM erased_subjects WHERE shop_domain = ? AND kind = ? AND by_event = ?",
            )?;
            let mut numbers = |kind: &str| -> Result<BTreeSet<i64>, StoreError> {
                let rows = statement.query_map(params![shop, kind, event_id], |row| row.get(0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            };
            let (customers, mut all) = (numbers("customer")?, numbers("order")?);
            all.extend(orders);
            let customer = customer_id.or(customers.first().copied());
            json!({"shop_domain": shop, "customer": {"id": customer}, "orders_to_redact": all})
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO erasures (event_id, at, shop_domain, notice) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![event_id, now, shop, notice.to_string()])?;
    // What a destination said last may be about anybody.
    connection.prepare_cached("UPDATE destinations SET last_error = NULL WHERE last_error IS NOT NULL")?.execute([])?;
    erase_events(connection, [event_id].into_iter(), now).map(drop)
}

impl Store {
    /// What an erasure was about, as JSON in Shopify's shape with nothing in it but numbers and the shop's name: handed on in
    /// place of the body, which is erased with all the rest. `None` when the event asked for none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn erasure_notice(&self, event_id: i64) -> Result<Option<String>, StoreError> {
        self.reader.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT notice FROM erasures WHERE event_id = ?")?
                .query_row([event_id], |row| row.get(0))
                .optional()?)
        })
    }
}

/// Whether an event's content was erased.
///
/// # Errors
/// When the query fails.
pub fn is_erased(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM webhook_events WHERE id = ? AND erased_at IS NOT NULL")?
        .exists([event_id])?)
}

/// Takes out what these events said; gives how many had something left to take out.
fn erase_events(connection: &Connection, events: impl Iterator<Item = i64>, now: &str) -> Result<usize, StoreError> {
    let mut count = 0;
    for event in events {
        let had = connection
            .prepare_cached("UPDATE webhook_events SET erased_at = ?1, last_error = NULL, note = NULL WHERE id = ?2 AND erased_at IS NULL")?
            .execute(params![now, event])?;
        if had == 0 {
            continue;
        }
        for sql in [
            "UPDATE erasures SET scrubbed_at = NULL, late = late + 1 WHERE event_id = (SELECT max(event_id) FROM erasures WHERE event_id <> ?)",
            "DELETE FROM webhook_payloads WHERE event_id = ?",
            "DELETE FROM webhook_conflicts WHERE event_id = ?",
            "UPDATE webhook_event_log SET error = NULL WHERE event_id = ?",
            "UPDATE destination_deliveries SET last_error = NULL WHERE event_id = ?",
            "UPDATE destination_deliveries SET status = 'failed', next_attempt_at = NULL, finished_at = created_at, \
             last_error = 'erased before it was handed on' WHERE event_id = ? AND status = 'pending'",
            "UPDATE destination_delivery_log SET error = NULL WHERE delivery_id IN (SELECT id FROM destination_deliveries WHERE event_id = ?)",
            "DELETE FROM event_subjects WHERE event_id = ? AND kind IN ('customer', 'tracking_code')",
        ] {
            connection.prepare_cached(sql)?.execute([event])?;
        }
        count += 1;
    }
    Ok(count)
}

pub(super) fn about(connection: &Connection, shop: &str, kind: &str, key: &str) -> Result<Vec<i64>, StoreError> {
    // A batch or a manifest of many parcels is about none of them alone, and names nobody.
    let mut statement = connection.prepare_cached(
        "SELECT s.event_id FROM event_subjects s JOIN webhook_events e ON e.id = s.event_id \
         WHERE s.key = ?1 AND s.kind = ?2 AND s.shop_domain = ?3 AND e.erased_at IS NULL AND NOT (s.kind = 'tracking_code' \
         AND EXISTS (SELECT 1 FROM event_subjects o WHERE o.event_id = s.event_id AND o.kind = 'tracking_code' AND o.key <> s.key))",
    )?;
    let rows = statement.query_map(params![key, kind, shop], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn remember(connection: &Connection, shop: &str, kind: &str, key: &str, by: i64, now: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO erased_subjects (shop_domain, kind, key, at, by_event) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET by_event = max(by_event, excluded.by_event)",
        )?
        .execute(params![shop, kind, key, now, by])?;
    Ok(())
}

/// Takes out again what an event brought that is about somebody who was erased before it was worked: what an order was worth
/// stays. Called after its changes are applied; true when it was about such a one.
///
/// # Errors
/// When a statement fails.
pub(super) fn late(
    connection: &Connection,
    event_id: i64,
    shop: &str,
    subjects: &[Subject],
    now: &str,
) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT by_event FROM erased_subjects WHERE shop_domain = ?1 AND kind = ?2 AND key = ?3")?;
    let parcels = subjects.iter().filter(|subject| subject.kind == "tracking_code").count();
    let mut found = false;
    // A shop that was erased may be installed again: its later events are new.
    for subject in subjects {
        let (shop, is_parcel) = if subject.kind == "tracking_code" { ("", true) } else { (shop, false) };
        if !(["customer", "order"].contains(&subject.kind) || is_parcel && parcels == 1) {
            continue;
        }
        let by: Option<i64> =
            statement.query_row(params![shop, subject.kind, subject.key], |row| row.get(0)).optional()?;
        let Some(by) = by else { continue };
        found = true;
        match (subject.kind, subject.key.parse::<i64>()) {
            ("order", Ok(order)) => personal::erase(connection, By::Order, shop, &order)?,
            ("customer", Ok(customer)) => {
                personal::erase(connection, By::Customer, shop, &customer)?;
                // An order of theirs that nobody had heard of, which this event brings.
                for subject in subjects.iter().filter(|subject| subject.kind == "order") {
                    let Ok(order) = subject.key.parse::<i64>() else { continue };
                    if is_of(connection, shop, order, customer)? {
                        remember(connection, shop, "order", &subject.key, by, now)?;
                        personal::erase(connection, By::Order, shop, &order)?;
                    }
                }
            }
            ("tracking_code", _) => drop(forget_code(connection, &subject.key, by, now)?),
            _ => {}
        }
    }
    if !found {
        return Ok(false);
    }
    erase_events(connection, [event_id].into_iter(), now)?;
    Ok(true)
}

fn is_of(connection: &Connection, shop: &str, order: i64, customer: i64) -> Result<bool, StoreError> {
    let known: Option<Option<i64>> = connection
        .prepare_cached("SELECT customer_id FROM sales_orders WHERE shop_domain = ? AND order_id = ?")?
        .query_row(params![shop, order], |row| row.get(0))
        .optional()?;
    // An order whose customer is not told is the event's own.
    Ok(known.is_none_or(|known| known.is_none_or(|known| known == customer)))
}
