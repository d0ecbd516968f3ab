//! Personal rows of the ERP tables. A data request exports and a redaction erases the same rows, by the catalogue.

use crate::changes::catalogue::{ALL_TABLES, NORMAL_FORM_COLUMNS};
use crate::changes::privacy::{PersonalColumn, PersonalRows, RedactionAction};
use crate::changes::rows::TableSpec;
use crate::store::StoreError;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, ToSql, params};
use serde_json::{Map, Value, json};

/// Columns of the store itself: they hold no data about a person.
const STORE_COLUMNS: [&str; 2] = ["row_version", "column_versions"];

fn list_personal_rows(column: PersonalColumn) -> impl Iterator<Item = (&'static str, &'static PersonalRows)> {
    let all = ALL_TABLES.iter().flat_map(|table| table.personal_rows.iter().map(|rows| (table.name, rows)));
    all.filter(move |(_, rows)| rows.column == column)
}

/// Returns the tables with rows that belong to a number or code, each with the SQL condition that selects them; `?1` is
/// the shop, `?2` the number or code.
pub fn list_row_conditions(column: PersonalColumn) -> Vec<(&'static str, String)> {
    list_personal_rows(column).map(|(table, rows)| (table, build_row_condition(rows))).collect()
}

/// Returns the SQL condition that selects the rows; `?1` is the shop, `?2` the number or code.
fn build_row_condition(rows: &PersonalRows) -> String {
    let condition = match rows.column {
        PersonalColumn::Customer => "shop_domain = ?1 AND customer_id = ?2",
        PersonalColumn::Order => "shop_domain = ?1 AND order_id = ?2",
        PersonalColumn::TrackingCode => "?1 = '' AND tracking_key = ?2",
    };
    rows.parent.map_or_else(
        || condition.to_owned(),
        |TableSpec { name, key, .. }| {
            let key = key.join(", ");
            format!("({key}) IN (SELECT {key} FROM {name} WHERE {condition})")
        },
    )
}

/// Erases the personal data of the rows that belong to `key`, as the catalogue states for each table.
pub fn redact_person_rows(
    connection: &Connection,
    column: PersonalColumn,
    shop: &str,
    key: &dyn ToSql,
) -> Result<(), StoreError> {
    for (table, rows) in list_personal_rows(column) {
        let condition = build_row_condition(rows);
        let sql = match rows.action {
            RedactionAction::DeleteRows => format!("DELETE FROM {table} WHERE {condition}"),
            RedactionAction::ClearColumns(columns) => {
                let assignments: Vec<String> = columns.iter().map(|column| format!("{column} = NULL")).collect();
                format!("UPDATE {table} SET {} WHERE {condition}", assignments.join(", "))
            }
        };
        connection.prepare_cached(&sql)?.execute(params![shop, key])?;
    }
    Ok(())
}

/// Deletes every row of a shop from the tables that `shop/redact` empties.
pub fn delete_shop_rows(connection: &Connection, shop: &str) -> Result<(), StoreError> {
    for table in ALL_TABLES.iter().filter(|table| table.is_deleted_with_shop) {
        connection.execute(&format!("DELETE FROM {} WHERE shop_domain = ?", table.name), [shop])?;
    }
    Ok(())
}

/// Adds the rows that belong to `key` to `tables`, by table name and each row once.
pub fn collect_person_rows(
    connection: &Connection,
    tables: &mut Map<String, Value>,
    column: PersonalColumn,
    shop: &str,
    key: &dyn ToSql,
) -> Result<(), StoreError> {
    for (table, rows) in list_personal_rows(column) {
        let condition = build_row_condition(rows);
        let mut statement = connection.prepare_cached(&format!("SELECT * FROM {table} WHERE {condition}"))?;
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut found = statement.query(params![shop, key])?;
        while let Some(row) = found.next()? {
            let mut object = Map::new();
            for (index, name) in names.iter().enumerate() {
                if STORE_COLUMNS.contains(&name.as_str()) || NORMAL_FORM_COLUMNS.contains(&name.as_str()) {
                    continue;
                }
                let value = match row.get::<_, SqlValue>(index)? {
                    SqlValue::Integer(number) => json!(number),
                    SqlValue::Text(text) => json!(text),
                    _ => continue,
                };
                object.insert(name.clone(), value);
            }
            let object = Value::Object(object);
            if let Some(list) = tables.entry(table).or_insert_with(|| json!([])).as_array_mut()
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
    use crate::store::db::migrate::SCHEMA;
    use std::collections::BTreeSet;

    /// Tables of the event store that name a shop; redactions handle them one by one.
    const EVENT_STORE_TABLES: [&str; 6] =
        ["webhook_events", "event_subjects", "redacted_subjects", "redactions", "destructive_requests", "secret_uses"];

    fn open_empty_database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    fn list_names(connection: &Connection, sql: &str) -> BTreeSet<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn tables_with(connection: &Connection, columns: &str) -> BTreeSet<String> {
        list_names(
            connection,
            &format!(
                "SELECT DISTINCT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND c.name IN ({columns})"
            ),
        )
    }

    #[test]
    fn every_table_with_shop_customer_or_order_is_in_the_catalogue() {
        let connection = open_empty_database();
        for table in tables_with(&connection, "'shop_domain', 'customer_id', 'order_id'") {
            let is_listed = ALL_TABLES.iter().any(|spec| spec.name == table);
            assert!(
                is_listed != EVENT_STORE_TABLES.contains(&table.as_str()),
                "add {table} to src/changes/catalogue.rs"
            );
        }
    }

    /// Only a data request has the number of a customer and no entry: its redaction would leave it without an answer.
    #[test]
    fn every_table_with_customer_or_order_states_its_redaction() {
        let connection = open_empty_database();
        for table in tables_with(&connection, "'customer_id', 'order_id'") {
            let spec = ALL_TABLES.iter().find(|spec| spec.name == table).unwrap();
            assert!(!spec.personal_rows.is_empty() || table == "data_requests", "{table} states no redaction");
        }
    }

    #[test]
    fn every_table_of_a_shop_is_deleted_with_it() {
        let connection = open_empty_database();
        let keyed = "SELECT DISTINCT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
                     WHERE t.type = 'table' AND c.name = 'shop_domain' AND c.\"notnull\" = 1";
        for table in list_names(&connection, keyed) {
            let spec = ALL_TABLES.iter().find(|spec| spec.name == table);
            assert!(spec.is_none_or(|spec| spec.is_deleted_with_shop), "{table} keeps rows of a redacted shop");
        }
        delete_shop_rows(&connection, "s").unwrap();
    }

    #[test]
    fn keys_and_lists_match_the_schema() {
        let connection = open_empty_database();
        for spec in ALL_TABLES {
            let sql = format!("SELECT name FROM pragma_table_info('{}') WHERE pk > 0", spec.name);
            assert_eq!(
                list_names(&connection, &sql),
                spec.key.iter().map(|name| (*name).to_owned()).collect(),
                "{}",
                spec.name
            );
            for list in spec.lists {
                let table = list.split(':').next().unwrap();
                assert!(ALL_TABLES.iter().any(|spec| spec.name == table), "{table} is a list of {}", spec.name);
            }
        }
    }

    #[test]
    fn every_statement_of_the_catalogue_runs() {
        let connection = open_empty_database();
        let mut tables = Map::new();
        for column in [PersonalColumn::Customer, PersonalColumn::Order, PersonalColumn::TrackingCode] {
            redact_person_rows(&connection, column, "", &1).unwrap();
            collect_person_rows(&connection, &mut tables, column, "", &1).unwrap();
        }
    }

    /// Child rows are found by their parent, so its redaction must not delete it or clear the column first.
    #[test]
    fn parents_keep_their_rows() {
        for rows in ALL_TABLES.iter().flat_map(|spec| spec.personal_rows) {
            for parent in rows.parent.into_iter().flat_map(|parent| parent.personal_rows) {
                let column = ["customer_id", "order_id", "tracking_code"];
                match parent.action {
                    RedactionAction::ClearColumns(columns) => {
                        assert!(columns.iter().all(|name| !column.contains(name)));
                    }
                    RedactionAction::DeleteRows => panic!("a parent is deleted"),
                }
            }
        }
    }
}
