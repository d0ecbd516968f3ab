//! Requests of customers for their data: the deadline, and the export that answers one.

use crate::changes::privacy::{NewDataRequest, PersonalColumn};
use crate::clock;
use crate::lenient_json::repair_json;
use crate::store::access::Actor;
use crate::store::db::reader::Reader;
use crate::store::db::writer::WriteClass;
use crate::store::events::records;
use crate::store::privacy::person_ids::PersonIds;
use crate::store::privacy::{person_ids, personal_columns, redaction};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A stored data request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataRequest {
    pub id: i64,
    pub event_id: i64,
    pub shop_domain: String,
    pub request_id: Option<i64>,
    pub customer_id: Option<i64>,
    pub requested_at: String,
    pub due_at: String,
    pub done_at: Option<String>,
    #[serde(skip)]
    pub orders: Vec<i64>,
}

/// Stores a data request, once for each event.
pub fn insert_data_request(
    connection: &Connection,
    event_id: i64,
    shop: &str,
    request: &NewDataRequest,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO data_requests (event_id, shop_domain, request_id, customer_id, orders, requested_at, due_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event_id,
            shop,
            request.request_id,
            request.customer_id,
            json!(request.orders).to_string(),
            request.requested_at,
            request.due_at
        ])?;
    Ok(())
}

/// Returns at most 1,000 data requests: open ones first, then by deadline.
pub fn list_data_requests(connection: &Connection) -> Result<Vec<DataRequest>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, event_id, shop_domain, request_id, customer_id, requested_at, due_at, done_at, orders FROM data_requests \
         ORDER BY done_at IS NOT NULL, due_at LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(DataRequest {
            id: row.get(0)?,
            event_id: row.get(1)?,
            shop_domain: row.get(2)?,
            request_id: row.get(3)?,
            customer_id: row.get(4)?,
            requested_at: row.get(5)?,
            due_at: row.get(6)?,
            done_at: row.get(7)?,
            orders: serde_json::from_str(&row.get::<_, String>(8)?).unwrap_or_default(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the data of the customer of a request as JSON: rows of the ERP tables, and events with their bodies.
pub fn export_personal_data(reader: &Reader, request: &DataRequest) -> Result<Value, StoreError> {
    let (email, phone) = reader.read(|connection| read_email_and_phone(connection, request.event_id))?;
    let (customers, orders) =
        reader.read(|connection| find_customers_and_orders(connection, request, email.as_deref()))?;
    let person = PersonIds { customers, orders, email, phone };
    let mentions = person_ids::find_events_mentioning(reader, &request.shop_domain, &person)?;
    reader.read(|connection| collect_export(connection, request, &person, mentions))
}

/// Returns the customer numbers of the person and the numbers of their orders.
fn find_customers_and_orders(
    connection: &Connection,
    request: &DataRequest,
    email: Option<&str>,
) -> Result<(BTreeSet<i64>, BTreeSet<i64>), StoreError> {
    let shop = &request.shop_domain;
    let mut customers: BTreeSet<i64> = request.customer_id.into_iter().collect();
    let mut orders: BTreeSet<i64> = request.orders.iter().copied().collect();
    let numbers = |sql: &str, value: &dyn rusqlite::ToSql| -> Result<Vec<i64>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![shop, value], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    // A guest has no customer number. The body of the request has the email address of their orders.
    if let Some(email) = email {
        customers.extend(numbers(
            "SELECT customer_id FROM customers WHERE shop_domain = ?1 AND email = ?2 COLLATE NOCASE",
            &email,
        )?);
        orders.extend(numbers(
            "SELECT order_id FROM sales_orders WHERE shop_domain = ?1 AND email = ?2 COLLATE NOCASE",
            &email,
        )?);
    }
    for customer in &customers {
        orders.extend(numbers(
            "SELECT order_id FROM sales_orders WHERE shop_domain = ?1 AND customer_id = ?2",
            customer,
        )?);
    }
    Ok((customers, orders))
}

fn collect_export(
    connection: &Connection,
    request: &DataRequest,
    person: &PersonIds,
    mentions: Vec<i64>,
) -> Result<Value, StoreError> {
    let shop = &request.shop_domain;
    let (mut tables, mut events) = (Map::new(), BTreeSet::from_iter(mentions));
    for customer in &person.customers {
        personal_columns::collect_person_rows(connection, &mut tables, PersonalColumn::Customer, shop, customer)?;
        events.extend(redaction::find_events_about(connection, shop, "customer", &customer.to_string())?);
    }
    for order in &person.orders {
        personal_columns::collect_person_rows(connection, &mut tables, PersonalColumn::Order, shop, order)?;
        events.extend(redaction::find_events_about(connection, shop, "order", &order.to_string())?);
        for code in redaction::find_tracking_codes(connection, shop, Some(*order))? {
            personal_columns::collect_person_rows(connection, &mut tables, PersonalColumn::TrackingCode, "", &code)?;
            events.extend(redaction::find_events_about(connection, "", "tracking_code", &code)?);
        }
    }
    let mut exported = Vec::new();
    for id in events {
        let Some(event) = records::find_event(connection, id)? else { continue };
        let body = records::read_payload(connection, id)?.map(|payload| to_json_or_text(&payload.body));
        let other_bodies: Vec<Value> = connection
            .prepare_cached("SELECT body FROM webhook_conflicts WHERE event_id = ? ORDER BY id")?
            .query_map([id], |row| Ok(to_json_or_text(&row.get::<_, Vec<u8>>(0)?)))?
            .collect::<Result<_, _>>()?;
        exported.push(json!({
            "event_id": id, "source": event.identity.key.source, "topic": event.identity.key.topic, "received_at": event.received_at, "body": body,
            "other_bodies": other_bodies
        }));
    }
    Ok(json!({
        "shop_domain": shop, "customer_id": request.customer_id, "request_id": request.request_id, "tables": tables, "events": exported
    }))
}

/// Returns a body as JSON, or as a JSON string if it is not JSON.
fn to_json_or_text(body: &[u8]) -> Value {
    serde_json::from_slice(&repair_json(body).0).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

/// Returns the email address and the phone in the body of a request, if the body is still stored.
fn read_email_and_phone(
    connection: &Connection,
    event_id: i64,
) -> Result<(Option<String>, Option<String>), StoreError> {
    let body =
        records::read_payload(connection, event_id)?.map(|payload| to_json_or_text(&payload.body)).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok((text("/customer/email"), text("/customer/phone")))
}

impl Store {
    /// Marks a request as answered; returns false if no request has this number.
    pub async fn complete_data_request(&self, id: i64, actor: Actor) -> Result<bool, StoreError> {
        let now = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let is_open: Option<bool> = connection
                    .query_row("SELECT done_at IS NULL FROM data_requests WHERE id = ?", [id], |row| row.get(0))
                    .optional()?;
                if is_open == Some(true) {
                    connection.execute("UPDATE data_requests SET done_at = ?1 WHERE id = ?2", params![now, id])?;
                    actor.log_action(
                        connection,
                        &now,
                        ("DATA-REQUEST", "DONE", &format!("data-requests/{id}")),
                        None,
                    )?;
                }
                Ok(is_open.is_some())
            })
            .await
    }
}
