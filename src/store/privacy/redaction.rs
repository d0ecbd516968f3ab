//! Redaction: erases personal data on Shopify's request, from the ERP tables, the payloads, the error texts and the
//! file.
//!
//! SQLite overwrites deleted bytes with zeros (`secure_delete`, set on every writing connection); a scrub then rewrites
//! the file and empties the WAL. These stay: the event with its `redacted_at`, the amounts and lines of an order, and
//! numbers that name no person.
//!
//! A redaction also covers later events. `redacted_subjects` keeps its subjects. An event about one of them keeps its
//! amounts when it is processed and loses the personal data.

use crate::changes::privacy::{PersonalColumn, Redaction};
use crate::clock;
use crate::event::Subject;
use crate::store::db::writer::WriteClass;
use crate::store::privacy::person_ids::PersonIds;
use crate::store::privacy::{destructive_requests, person_ids, personal_columns};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use std::collections::BTreeSet;

/// Events redacted in one transaction; limits how long it holds the write lock.
const EVENTS_PER_BATCH: usize = 200;
/// Orders redacted in one transaction, with their events.
const ORDERS_PER_BATCH: usize = 50;

impl Store {
    /// Redacts in small transactions until nothing is left, and returns the number of redacted events.
    ///
    /// After a crash or an error a second call continues: each transaction is final.
    pub async fn apply_redaction(&self, event_id: i64, shop: &str, redaction: &Redaction) -> Result<u64, StoreError> {
        match redaction {
            Redaction::Customer { .. } => self.redact_customer(event_id, shop, redaction).await,
            Redaction::Shop => {
                let mut redacted = 0;
                loop {
                    let (shop, now) = (shop.to_owned(), clock::format_timestamp(self.clock.now()));
                    let job = move |connection: &Connection| redact_shop(connection, event_id, &shop, &now);
                    let count = self.writer.submit(WriteClass::Maintain, job).await?;
                    redacted += count as u64;
                    if count < EVENTS_PER_BATCH {
                        return Ok(redacted);
                    }
                }
            }
        }
    }

    async fn redact_customer(&self, by: i64, shop: &str, redaction: &Redaction) -> Result<u64, StoreError> {
        let Redaction::Customer { email, phone, .. } = redaction else { return Ok(0) };
        let now = clock::format_timestamp(self.clock.now());
        let job = {
            let (shop, redaction, now) = (shop.to_owned(), redaction.clone(), now.clone());
            move |connection: &Connection| record_redacted_customer(connection, by, &shop, &redaction, &now)
        };
        let (customers, orders) = self.writer.submit(WriteClass::Maintain, job).await?;
        let mut redacted = 0;
        for batch in orders.iter().copied().collect::<Vec<i64>>().chunks(ORDERS_PER_BATCH) {
            let (shop, batch, now) = (shop.to_owned(), batch.to_vec(), now.clone());
            let job = move |connection: &Connection| redact_orders(connection, by, &shop, &batch, &now);
            redacted += self.writer.submit(WriteClass::Maintain, job).await? as u64;
        }
        let mut events: BTreeSet<i64> = BTreeSet::new();
        for customer in &customers {
            let (shop, customer) = (shop.to_owned(), *customer);
            let job = move |connection: &Connection| {
                personal_columns::redact_person_rows(connection, PersonalColumn::Customer, &shop, &customer)?;
                find_events_about(connection, &shop, "customer", &customer.to_string())
            };
            events.extend(self.writer.submit(WriteClass::Maintain, job).await?);
        }
        // Failed events and events without a handler may name the person only in their bodies.
        let person = PersonIds { customers, orders, email: email.clone(), phone: phone.clone() };
        events.extend(person_ids::find_events_mentioning(&self.reader, shop, &person)?);
        // The requesting event keeps its body until it is completed, so that it can be processed again after a crash.
        events.remove(&by);
        for batch in events.into_iter().collect::<Vec<i64>>().chunks(EVENTS_PER_BATCH) {
            let (batch, now) = (batch.to_vec(), now.clone());
            let job = move |connection: &Connection| redact_events(connection, batch.into_iter(), &now);
            redacted += self.writer.submit(WriteClass::Maintain, job).await? as u64;
        }
        Ok(redacted)
    }
}

/// Records the numbers of the customer and of their orders as redacted subjects, and returns both.
fn record_redacted_customer(
    connection: &Connection,
    by: i64,
    shop: &str,
    redaction: &Redaction,
    now: &str,
) -> Result<(BTreeSet<i64>, BTreeSet<i64>), StoreError> {
    let Redaction::Customer { customer_id, email, phone, orders } = redaction else { return Ok(Default::default()) };
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
        // Numbers found before a crash count too: the tables may no longer lead to them.
        let mut statement = connection.prepare_cached(
            "SELECT CAST(key AS INTEGER) FROM redacted_subjects WHERE shop_domain = ? AND kind = ? AND by_event = ?",
        )?;
        let rows = statement.query_map(params![shop, kind, by], |row| row.get::<_, i64>(0))?;
        set.extend(rows.collect::<Result<Vec<_>, _>>()?);
        for key in set.iter() {
            record_redacted_subject(connection, shop, kind, &key.to_string(), by, now)?;
        }
    }
    Ok((customers, orders))
}

/// Redacts the rows, packages and events of these orders; returns the number of redacted events.
fn redact_orders(connection: &Connection, by: i64, shop: &str, orders: &[i64], now: &str) -> Result<usize, StoreError> {
    let mut events = BTreeSet::new();
    for order in orders {
        events.extend(find_events_about(connection, shop, "order", &order.to_string())?);
        for code in find_tracking_codes(connection, shop, Some(*order))? {
            events.extend(redact_tracking_code(connection, &code, by, now)?);
        }
        personal_columns::redact_person_rows(connection, PersonalColumn::Order, shop, order)?;
    }
    events.remove(&by);
    redact_events(connection, events.into_iter(), now)
}

/// Returns the tracking codes of one order, or of every order of the shop, in the form in which they are compared.
pub(crate) fn find_tracking_codes(
    connection: &Connection,
    shop: &str,
    order: Option<i64>,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT n.number_key FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, fulfillment_id) \
         WHERE f.shop_domain = ?1 AND (?2 IS NULL OR f.order_id = ?2) \
         UNION SELECT tracking_key FROM shipments WHERE shop_domain = ?1 AND (?2 IS NULL OR order_id = ?2) AND tracking_key IS NOT NULL",
    )?;
    let rows = statement.query_map(params![shop, order], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Redacts the rows of a package and returns its events, which belong to no shop. Later events are redacted too.
fn redact_tracking_code(connection: &Connection, code: &str, by: i64, now: &str) -> Result<Vec<i64>, StoreError> {
    record_redacted_subject(connection, "", "tracking_code", code, by, now)?;
    personal_columns::redact_person_rows(connection, PersonalColumn::TrackingCode, "", &code)?;
    find_events_about(connection, "", "tracking_code", code)
}

fn redact_shop(connection: &Connection, by: i64, shop: &str, now: &str) -> Result<usize, StoreError> {
    record_redacted_subject(connection, shop, "shop", shop, by, now)?;
    let mut statement = connection.prepare_cached(
        "SELECT id FROM webhook_events WHERE source = 'shopify' AND shop_domain = ? AND redacted_at IS NULL AND id <> ? LIMIT ?",
    )?;
    let batch = i64::try_from(EVENTS_PER_BATCH).unwrap_or(i64::MAX);
    let events = statement.query_map(params![shop, by, batch], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let count = redact_events(connection, events.into_iter(), now)?;
    if count < EVENTS_PER_BATCH {
        let mut package_events = Vec::new();
        for code in find_tracking_codes(connection, shop, None)? {
            package_events.extend(redact_tracking_code(connection, &code, by, now)?);
        }
        redact_events(connection, package_events.into_iter(), now)?;
        personal_columns::delete_shop_rows(connection, shop)?;
    }
    Ok(count)
}

/// Ends a redaction in the transaction that completes its event: redacts that event and stores the notice for
/// destinations, which has numbers only.
///
/// It deletes the rows of a shop once more, because a handler may have read its event before the redaction.
pub(crate) fn complete_redaction(
    connection: &Connection,
    event_id: i64,
    shop: &str,
    redaction: &Redaction,
    now: &str,
) -> Result<(), StoreError> {
    let notice = match redaction {
        Redaction::Shop => {
            personal_columns::delete_shop_rows(connection, shop)?;
            json!({"shop_domain": shop})
        }
        Redaction::Customer { customer_id, orders, .. } => {
            let mut statement = connection.prepare_cached(
                "SELECT CAST(key AS INTEGER) FROM redacted_subjects WHERE shop_domain = ? AND kind = ? AND by_event = ?",
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
            "INSERT INTO redactions (event_id, at, shop_domain, notice) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![event_id, now, shop, notice.to_string()])?;
    destructive_requests::record_worked_redaction(connection, event_id)?;
    redact_events(connection, [event_id].into_iter(), now).map(drop)
}

impl Store {
    /// Returns the notice of a redaction: JSON in the shape of Shopify's body, with numbers and the shop domain only.
    /// Destinations receive it in place of the erased body. Returns None if the event requested no redaction.
    pub fn redaction_notice(&self, event_id: i64) -> Result<Option<String>, StoreError> {
        self.reader.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT notice FROM redactions WHERE event_id = ?")?
                .query_row([event_id], |row| row.get(0))
                .optional()?)
        })
    }
}

/// Returns true if the content of the event was redacted.
pub fn is_redacted(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM webhook_events WHERE id = ? AND redacted_at IS NOT NULL")?
        .exists([event_id])?)
}

/// Returns whether an event asked for a redaction that was done: its notice is delivered in place of its body.
pub(crate) fn has_redaction_notice(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM redactions WHERE event_id = ?")?.exists([event_id])?)
}

/// Redacts events and returns how many were not redacted before.
fn redact_events(connection: &Connection, events: impl Iterator<Item = i64>, now: &str) -> Result<usize, StoreError> {
    let mut count = 0;
    for event in events {
        let updated = connection
            .prepare_cached("UPDATE webhook_events SET redacted_at = ?1, last_error = NULL, note = NULL, dismissed_reason = NULL WHERE id = ?2 AND redacted_at IS NULL")?
            .execute(params![now, event])?;
        if updated == 0 {
            continue;
        }
        for sql in [
            "UPDATE redactions SET scrubbed_at = NULL, late_events = late_events + 1 WHERE event_id = (SELECT max(event_id) FROM redactions WHERE event_id <> ?)",
            "DELETE FROM webhook_payloads WHERE event_id = ?",
            "DELETE FROM webhook_conflicts WHERE event_id = ?",
            "UPDATE destructive_requests SET reason = NULL WHERE event_id = ?",
            "UPDATE webhook_event_log SET error = NULL WHERE event_id = ?",
            "UPDATE destination_deliveries SET last_error = NULL, dismissed_reason = NULL WHERE event_id = ?",
            "UPDATE destination_deliveries SET status = 'failed', next_attempt_at = NULL, finished_at = created_at, \
             last_error = 'redacted before it was delivered' WHERE event_id = ? AND status = 'pending'",
            "UPDATE destination_delivery_log SET error = NULL WHERE delivery_id IN (SELECT id FROM destination_deliveries WHERE event_id = ?)",
            "DELETE FROM event_subjects WHERE event_id = ? AND kind IN ('customer', 'tracking_code')",
        ] {
            connection.prepare_cached(sql)?.execute([event])?;
        }
        count += 1;
    }
    if count > 0 {
        // The last error of a destination may quote any event.
        connection
            .prepare_cached("UPDATE destinations SET last_error = NULL WHERE last_error IS NOT NULL")?
            .execute([])?;
    }
    Ok(count)
}

pub(crate) fn find_events_about(
    connection: &Connection,
    shop: &str,
    kind: &str,
    key: &str,
) -> Result<Vec<i64>, StoreError> {
    // An event about several packages, such as a batch or a manifest, names no person.
    let mut statement = connection.prepare_cached(
        "SELECT s.event_id FROM event_subjects s JOIN webhook_events e ON e.id = s.event_id \
         WHERE s.key = ?1 AND s.kind = ?2 AND s.shop_domain = ?3 AND e.redacted_at IS NULL AND NOT (s.kind = 'tracking_code' \
         AND EXISTS (SELECT 1 FROM event_subjects o WHERE o.event_id = s.event_id AND o.kind = 'tracking_code' AND o.key <> s.key))",
    )?;
    let rows = statement.query_map(params![key, kind, shop], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn record_redacted_subject(
    connection: &Connection,
    shop: &str,
    kind: &str,
    key: &str,
    by: i64,
    now: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO redacted_subjects (shop_domain, kind, key, at, by_event) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET by_event = max(by_event, excluded.by_event)",
        )?
        .execute(params![shop, kind, key, now, by])?;
    Ok(())
}

/// Redacts an event and its rows if it is about a subject of an earlier redaction; returns true if it is. The amounts
/// of an order stay. The caller applies the changes of the event first.
pub(crate) fn redact_if_subject_redacted(
    connection: &Connection,
    event_id: i64,
    shop: &str,
    subjects: &[Subject],
    now: &str,
) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT by_event FROM redacted_subjects WHERE shop_domain = ?1 AND kind = ?2 AND key = ?3")?;
    let code_count = subjects.iter().filter(|subject| subject.kind == "tracking_code").count();
    let mut found = false;
    // A redacted shop may install the app again: its later events are new, so its kind is not looked up.
    for subject in subjects {
        let (shop, is_package) = if subject.kind == "tracking_code" { ("", true) } else { (shop, false) };
        if !(["customer", "order"].contains(&subject.kind) || is_package && code_count == 1) {
            continue;
        }
        let by: Option<i64> =
            statement.query_row(params![shop, subject.kind, subject.key], |row| row.get(0)).optional()?;
        let Some(by) = by else { continue };
        found = true;
        match (subject.kind, subject.key.parse::<i64>()) {
            ("order", Ok(order)) => {
                personal_columns::redact_person_rows(connection, PersonalColumn::Order, shop, &order)?;
            }
            ("customer", Ok(customer)) => {
                personal_columns::redact_person_rows(connection, PersonalColumn::Customer, shop, &customer)?;
                // The event may bring an order of the customer that the redaction did not know.
                for subject in subjects.iter().filter(|subject| subject.kind == "order") {
                    let Ok(order) = subject.key.parse::<i64>() else { continue };
                    if is_order_of_customer(connection, shop, order, customer)? {
                        record_redacted_subject(connection, shop, "order", &subject.key, by, now)?;
                        personal_columns::redact_person_rows(connection, PersonalColumn::Order, shop, &order)?;
                    }
                }
            }
            ("tracking_code", _) => drop(redact_tracking_code(connection, &subject.key, by, now)?),
            _ => {}
        }
    }
    if !found {
        return Ok(false);
    }
    redact_events(connection, [event_id].into_iter(), now)?;
    Ok(true)
}

fn is_order_of_customer(connection: &Connection, shop: &str, order: i64, customer: i64) -> Result<bool, StoreError> {
    let known: Option<Option<i64>> = connection
        .prepare_cached("SELECT customer_id FROM sales_orders WHERE shop_domain = ? AND order_id = ?")?
        .query_row(params![shop, order], |row| row.get(0))
        .optional()?;
    // The event itself names the customer, so an order without a customer number is theirs.
    Ok(known.is_none_or(|known| known.is_none_or(|known| known == customer)))
}
