//! Requests for a customer's data: until when they are to be answered, and what the answer is.

use super::mentions::{self, Whom};
use super::personal::{self, By};
use super::reader::Reader;
use super::writer::Kind;
use super::{Store, StoreError, erasure, events};
use crate::clock;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What `customers/data_request` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub request_id: Option<i64>,
    pub customer_id: Option<i64>,
    pub orders: Vec<i64>,
    pub requested_at: String,
    pub due_at: String,
}

/// A request, for people.
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

/// Notes a request.
///
/// # Errors
/// When the statement fails.
pub fn ask(connection: &Connection, event_id: i64, shop: &str, asked: &Asked) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO data_requests (event_id, shop_domain, request_id, customer_id, orders, requested_at, due_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        )?
        .execute(params![
            event_id,
            shop,
            asked.request_id,
            asked.customer_id,
            json!(asked.orders).to_string(),
            asked.requested_at,
            asked.due_at
        ])?;
    Ok(())
}

/// All requests: the open ones first, the next due before the others.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection) -> Result<Vec<DataRequest>, StoreError> {
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

/// Everything that is kept about the customer of a request: the rows of the tables, and the events with their bodies.
///
/// # Errors
/// When a query fails.
pub fn export(reader: &Reader, request: &DataRequest) -> Result<Value, StoreError> {
    let (email, phone) = reader.read(|connection| address(connection, request.event_id))?;
    let (customers, orders) = reader.read(|connection| theirs(connection, request, email.as_deref()))?;
    let whom = Whom { customers, orders, email, phone };
    let mentions = mentions::find(reader, &request.shop_domain, &whom)?;
    reader.read(|connection| gather(connection, request, &whom, mentions))
}

/// The numbers of the customer and of their orders.
fn theirs(
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
    // A guest has no number: the request's own body says by what address they ordered.
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

fn gather(
    connection: &Connection,
    request: &DataRequest,
    whom: &Whom,
    mentions: Vec<i64>,
) -> Result<Value, StoreError> {
    let shop = &request.shop_domain;
    let (mut tables, mut events) = (Map::new(), BTreeSet::from_iter(mentions));
    for customer in &whom.customers {
        personal::gather(connection, &mut tables, By::Customer, shop, customer)?;
        events.extend(erasure::about(connection, shop, "customer", &customer.to_string())?);
    }
    for order in &whom.orders {
        personal::gather(connection, &mut tables, By::Order, shop, order)?;
        events.extend(erasure::about(connection, shop, "order", &order.to_string())?);
        for code in erasure::codes(connection, shop, Some(*order))? {
            personal::gather(connection, &mut tables, By::Code, "", &code)?;
            events.extend(erasure::about(connection, "", "tracking_code", &code)?);
        }
    }
    let mut sent = Vec::new();
    for id in events {
        let Some(event) = events::get(connection, id)? else { continue };
        let body = events::payload(connection, id)?.map(|payload| readable(&payload.body));
        let others: Vec<Value> = connection
            .prepare_cached("SELECT body FROM webhook_conflicts WHERE event_id = ? ORDER BY id")?
            .query_map([id], |row| Ok(readable(&row.get::<_, Vec<u8>>(0)?)))?
            .collect::<Result<_, _>>()?;
        sent.push(json!({
            "event_id": id, "source": event.source, "topic": event.topic, "received_at": event.received_at, "body": body,
            "other_bodies": others
        }));
    }
    Ok(json!({
        "shop_domain": shop, "customer_id": request.customer_id, "request_id": request.request_id, "tables": tables, "events": sent
    }))
}

/// JSON as JSON, anything else as text.
fn readable(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

/// The address and the phone that a request names, if its body is still there.
fn address(connection: &Connection, event_id: i64) -> Result<(Option<String>, Option<String>), StoreError> {
    let body = events::payload(connection, event_id)?.map(|payload| readable(&payload.body)).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok((text("/customer/email"), text("/customer/phone")))
}

impl Store {
    /// Notes that a request was answered; `false` when there is none with this number.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn data_request_done(&self, id: i64) -> Result<bool, StoreError> {
        let now = clock::text(self.clock.now());
        self.writer
            .submit(Kind::Upkeep, move |connection| {
                let found = connection
                    .query_row(
                        "UPDATE data_requests SET done_at = coalesce(done_at, ?1) WHERE id = ?2 RETURNING id",
                        params![now, id],
                        |_| Ok(()),
                    )
                    .optional()?;
                Ok(found.is_some())
            })
            .await
    }
}
