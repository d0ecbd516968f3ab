//! What the tables hold about a customer: one list, so that what is handed over on request and what is erased is the same.

use super::StoreError;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

/// By what rows are somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The customer's number.
    Customer,
    /// The number of an order of theirs.
    Order,
    /// The tracking code of a package of theirs; it is of no shop.
    Code,
}

/// What an erasure takes from the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Erase {
    /// All of it.
    Rows,
    /// What says whose they are; what they were worth stays.
    Columns(&'static [&'static str]),
    /// Nothing: numbers, money and times that name nobody.
    Nothing,
}

/// Table, by what, which rows (`?1` is the shop, `?2` the number or code), what is erased.
type Holding = (&'static str, By, &'static str, Erase);

const OF_CUSTOMER: &str = "shop_domain = ?1 AND customer_id = ?2";
const OF_ORDER: &str = "shop_domain = ?1 AND order_id = ?2";

const HOLDINGS: &[Holding] = &[
    ("customers", By::Customer, OF_CUSTOMER, Erase::Rows),
    ("customer_addresses", By::Customer, OF_CUSTOMER, Erase::Rows),
    ("sales_orders", By::Order, OF_ORDER, Erase::Columns(&["customer_id", "email", "phone", "note", "tags"])),
    ("sales_order_lines", By::Order, OF_ORDER, Erase::Columns(&["properties"])),
    ("sales_order_addresses", By::Order, OF_ORDER, Erase::Rows),
    ("sales_order_taxes", By::Order, OF_ORDER, Erase::Nothing),
    // A code or title may be made for one person.
    ("sales_order_discounts", By::Order, OF_ORDER, Erase::Columns(&["code", "title"])),
    ("sales_order_shipping_lines", By::Order, OF_ORDER, Erase::Nothing),
    ("sales_order_edits", By::Order, OF_ORDER, Erase::Columns(&["staff_note"])),
    (
        "sales_order_edit_lines",
        By::Order,
        "(shop_domain, edit_id) IN (SELECT shop_domain, edit_id FROM sales_order_edits WHERE shop_domain = ?1 AND order_id = ?2)",
        Erase::Nothing,
    ),
    ("order_transactions", By::Order, OF_ORDER, Erase::Nothing),
    ("refunds", By::Order, OF_ORDER, Erase::Columns(&["note"])),
    (
        "refund_lines",
        By::Order,
        "(shop_domain, refund_id) IN (SELECT shop_domain, refund_id FROM refunds WHERE shop_domain = ?1 AND order_id = ?2)",
        Erase::Nothing,
    ),
    ("fulfillments", By::Order, OF_ORDER, Erase::Nothing),
    ("fulfillment_lines", By::Order, OF_FULFILLMENT, Erase::Nothing),
    // The number stays, as the order's does: a shipment is found by it, and it names nobody by itself.
    ("fulfillment_tracking_numbers", By::Order, OF_FULFILLMENT, Erase::Columns(&["url"])),
    ("fulfillment_events", By::Order, OF_ORDER, Erase::Columns(&["message", "city", "zip"])),
    ("fulfillment_orders", By::Order, OF_ORDER, Erase::Columns(&["message"])),
    (
        "fulfillment_holds",
        By::Order,
        "(shop_domain, fulfillment_order_id) IN \
         (SELECT shop_domain, fulfillment_order_id FROM fulfillment_orders WHERE shop_domain = ?1 AND order_id = ?2)",
        Erase::Columns(&["reason_notes"]),
    ),
    ("returns", By::Order, OF_ORDER, Erase::Columns(&["decline_note"])),
    (
        "return_lines",
        By::Order,
        "(shop_domain, return_id) IN (SELECT shop_domain, return_id FROM returns WHERE shop_domain = ?1 AND order_id = ?2)",
        Erase::Columns(&["note"]),
    ),
    ("shipments", By::Order, OF_ORDER, Erase::Columns(&["signed_by", "public_url"])),
    // Scans before their shipment: they are found by it.
    (
        "tracking_events",
        By::Code,
        "(mode, tracker_id) IN (SELECT mode, tracker_id FROM shipments WHERE ?1 = '' AND tracking_code = ?2)",
        Erase::Rows,
    ),
    ("shipments", By::Code, OF_CODE, Erase::Columns(&["signed_by", "public_url"])),
    ("easypost_objects", By::Code, OF_CODE, Erase::Columns(&["url", "message"])),
];

const OF_FULFILLMENT: &str = "(shop_domain, fulfillment_id) IN \
    (SELECT shop_domain, fulfillment_id FROM fulfillments WHERE shop_domain = ?1 AND order_id = ?2)";
const OF_CODE: &str = "?1 = '' AND tracking_code = ?2";

fn holdings(by: By) -> impl Iterator<Item = &'static Holding> {
    HOLDINGS.iter().filter(move |holding| holding.1 == by)
}

/// Takes out of the tables what says whose `key` is.
///
/// # Errors
/// When a statement fails.
pub fn erase(connection: &Connection, by: By, shop: &str, key: &dyn rusqlite::ToSql) -> Result<(), StoreError> {
    for (table, _, rows, erase) in holdings(by) {
        let sql = match erase {
            Erase::Nothing => continue,
            Erase::Rows => format!("DELETE FROM {table} WHERE {rows}"),
            Erase::Columns(columns) => {
                let set: Vec<String> = columns.iter().map(|column| format!("{column} = NULL")).collect();
                format!("UPDATE {table} SET {} WHERE {rows}", set.join(", "))
            }
        };
        connection.prepare_cached(&sql)?.execute(params![shop, key])?;
    }
    Ok(())
}

/// Adds the rows that are somebody's by `key` to `tables`, each row once.
///
/// # Errors
/// When a query fails.
pub fn gather(
    connection: &Connection,
    tables: &mut Map<String, Value>,
    by: By,
    shop: &str,
    key: &dyn rusqlite::ToSql,
) -> Result<(), StoreError> {
    for (table, _, rows, _) in holdings(by) {
        let mut statement = connection.prepare_cached(&format!("SELECT * FROM {table} WHERE {rows}"))?;
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut found = statement.query(params![shop, key])?;
        while let Some(row) = found.next()? {
            let mut object = Map::new();
            for (place, name) in names.iter().enumerate() {
                // How we keep it is no data about anybody.
                if ["version", "earlier"].contains(&name.as_str()) {
                    continue;
                }
                let value = match row.get::<_, rusqlite::types::Value>(place)? {
                    rusqlite::types::Value::Integer(number) => json!(number),
                    rusqlite::types::Value::Text(text) => json!(text),
                    _ => continue,
                };
                object.insert(name.clone(), value);
            }
            let object = Value::Object(object);
            if let Some(list) = tables.entry(*table).or_insert_with(|| json!([])).as_array_mut()
                && !list.contains(&object)
            {
                list.push(object);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_column_of_the_list_exists() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        let mut tables = Map::new();
        for by in [By::Customer, By::Order, By::Code] {
            erase(&connection, by, "", &1).unwrap();
            gather(&connection, &mut tables, by, "", &1).unwrap();
        }
    }

    /// A table that is added later must not be forgotten here.
    #[test]
    fn every_table_with_a_customer_or_order_is_in_the_list() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../schema.sql")).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT DISTINCT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND c.name IN ('customer_id', 'order_id') AND t.name <> 'data_requests'",
            )
            .unwrap();
        let named = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        for table in named.map(Result::unwrap) {
            assert!(HOLDINGS.iter().any(|holding| holding.0 == table), "{table} is not in the list");
        }
    }
}
