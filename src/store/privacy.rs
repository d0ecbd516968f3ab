//! Requests for a customer's data: until when they are to be answered, and what the answer is.

use super::writer::Kind;
use super::{Store, StoreError, events};
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
pub fn export(connection: &Connection, request: &DataRequest) -> Result<Value, StoreError> {
    let shop = &request.shop_domain;
    let mut orders: BTreeSet<i64> = request.orders.iter().copied().collect();
    if let Some(customer) = request.customer_id {
        let mut statement =
            connection.prepare_cached("SELECT order_id FROM sales_orders WHERE shop_domain = ? AND customer_id = ?")?;
        let found = statement.query_map(params![shop, customer], |row| row.get(0))?;
        orders.extend(found.collect::<Result<Vec<i64>, _>>()?);
    }
    let mut tables = Map::new();
    let mut events = BTreeSet::new();
    if let Some(customer) = request.customer_id {
        for table in ["customers", "customer_addresses"] {
            rows(connection, &mut tables, table, "customer_id", shop, customer)?;
        }
        events.extend(about(connection, shop, "customer", customer)?);
    }
    for order in &orders {
        for table in [
            "sales_orders",
            "sales_order_lines",
            "sales_order_addresses",
            "sales_order_taxes",
            "sales_order_discounts",
            "sales_order_shipping_lines",
            "order_transactions",
            "refunds",
            "fulfillments",
            "fulfillment_events",
            "returns",
            "shipments",
        ] {
            rows(connection, &mut tables, table, "order_id", shop, *order)?;
        }
        events.extend(about(connection, shop, "order", *order)?);
    }
    let mut sent = Vec::new();
    for id in events {
        let Some(event) = events::get(connection, id)? else { continue };
        let body = events::payload(connection, id)?.map(|payload| payload.body);
        let body =
            body.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))));
        sent.push(json!({"event_id": id, "topic": event.topic, "received_at": event.received_at, "body": body}));
    }
    Ok(json!({
        "shop_domain": shop, "customer_id": request.customer_id, "request_id": request.request_id, "tables": tables, "events": sent
    }))
}

fn about(connection: &Connection, shop: &str, kind: &str, key: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT event_id FROM event_subjects WHERE key = ? AND kind = ? AND shop_domain = ?")?;
    let rows = statement.query_map(params![key.to_string(), kind, shop], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn rows(
    connection: &Connection,
    tables: &mut Map<String, Value>,
    table: &str,
    column: &str,
    shop: &str,
    key: i64,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT * FROM {table} WHERE shop_domain = ? AND {column} = ?"))?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = statement.query(params![shop, key])?;
    while let Some(row) = found.next()? {
        let mut object = Map::new();
        for (place, name) in
            names.iter().enumerate().filter(|(_, name)| !["version", "earlier"].contains(&name.as_str()))
        {
            let value = match row.get::<_, rusqlite::types::Value>(place)? {
                rusqlite::types::Value::Integer(number) => json!(number),
                rusqlite::types::Value::Text(text) => json!(text),
                _ => continue,
            };
            object.insert(name.clone(), value);
        }
        let list = tables.entry(table.to_owned()).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(Value::Object(object));
        }
    }
    Ok(())
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
