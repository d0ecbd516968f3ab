//! Lists of ERP rows for programs. They page by the primary key, so that each page costs the same.

use crate::changes::catalogue::NORMAL_FORM_COLUMNS;
use crate::store::StoreError;
use crate::store::db::migrate::SCHEMA;
use crate::store::erp::event_rows::{STORE_COLUMNS, to_json};
use crate::text::normalize_tracking_code;
use rusqlite::{Connection, ToSql, named_params};
use serde_json::{Map, Value};

/// A row with all columns that matter to an ERP.
pub type ErpRow = Map<String, Value>;

/// Selects sales orders; the default selects all.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    pub shop: Option<String>,
    /// Number that people see, with or without `#`.
    pub name: Option<String>,
    /// Only orders that a person must look at.
    pub attention_only: bool,
    /// Changed at the provider at this time or later.
    pub updated_since: Option<String>,
}

/// Returns a page of sales orders by shop and number, the highest first. `after` is the key of the last one before.
pub fn list_order_rows(
    connection: &Connection,
    filter: &OrderFilter,
    after: Option<(String, i64)>,
    limit: u32,
) -> Result<Vec<ErpRow>, StoreError> {
    let (shop, id) = after.unzip();
    let sql = "SELECT * FROM sales_orders WHERE (:shop IS NULL OR shop_domain = :shop) \
               AND (:name IS NULL OR name_key = nullif(upper(replace(replace(:name, ' ', ''), '#', '')), '')) \
               AND (NOT :attention OR attention IS NOT NULL) AND (:since IS NULL OR updated_at >= :since) \
               AND (:after_shop IS NULL OR (shop_domain, order_id) < (:after_shop, :after_id)) \
               ORDER BY shop_domain DESC, order_id DESC LIMIT :limit";
    let parameters = named_params! {
        ":shop": filter.shop,
        ":name": filter.name,
        ":attention": filter.attention_only,
        ":since": filter.updated_since,
        ":after_shop": shop,
        ":after_id": id,
        ":limit": limit,
    };
    read_rows(connection, sql, parameters)
}

/// Selects purchase orders; the default selects all.
#[derive(Debug, Clone, Default)]
pub struct PurchaseOrderSelection {
    pub partner: Option<String>,
    /// Number of the retailer.
    pub number: Option<String>,
    /// open, cancelled or waiting
    pub status: Option<String>,
    /// Only orders that a person must look at.
    pub attention_only: bool,
}

/// Key of a purchase order: partner, number and release.
pub type PurchaseOrderMark = (String, String, String);

/// Returns a page of purchase orders by partner, number and release. `after` is the key of the last one before.
pub fn list_purchase_order_rows(
    connection: &Connection,
    selection: &PurchaseOrderSelection,
    after: Option<PurchaseOrderMark>,
    limit: u32,
) -> Result<Vec<ErpRow>, StoreError> {
    let (partner, number, release) =
        after.map_or((None, None, None), |(one, two, three)| (Some(one), Some(two), Some(three)));
    let sql = "SELECT * FROM purchase_orders WHERE (:partner IS NULL OR partner = :partner) \
               AND (:number IS NULL OR po_number = :number) AND (:status IS NULL OR status = :status) \
               AND (NOT :attention OR attention IS NOT NULL OR customer IS NULL) AND (:after_partner IS NULL OR \
               (partner, po_number, release) > (:after_partner, :after_number, :after_release)) \
               ORDER BY partner, po_number, release LIMIT :limit";
    let parameters = named_params! {
        ":partner": selection.partner,
        ":number": selection.number,
        ":status": selection.status,
        ":attention": selection.attention_only,
        ":after_partner": partner,
        ":after_number": number,
        ":after_release": release,
        ":limit": limit,
    };
    read_rows(connection, sql, parameters)
}

/// Selects shipments; the default selects all.
#[derive(Debug, Clone, Default)]
pub struct ShipmentRowFilter {
    /// Tracking code in any form.
    pub code: Option<String>,
    pub status: Option<String>,
    /// Shop and number of the order.
    pub shop: Option<String>,
    pub order_id: Option<i64>,
}

/// Returns a page of shipments by mode and tracker. `after` is the key of the last one before.
pub fn list_shipment_rows(
    connection: &Connection,
    filter: &ShipmentRowFilter,
    after: Option<(String, String)>,
    limit: u32,
) -> Result<Vec<ErpRow>, StoreError> {
    let (mode, tracker) = after.unzip();
    let sql = "SELECT * FROM shipments WHERE (:code IS NULL OR tracking_key = :code) \
               AND (:status IS NULL OR status = :status) AND (:shop IS NULL OR shop_domain = :shop) \
               AND (:order IS NULL OR order_id = :order) \
               AND (:after_mode IS NULL OR (mode, tracker_id) > (:after_mode, :after_tracker)) \
               ORDER BY mode, tracker_id LIMIT :limit";
    let parameters = named_params! {
        ":code": filter.code.as_deref().map(normalize_tracking_code),
        ":status": filter.status,
        ":shop": filter.shop,
        ":order": filter.order_id,
        ":after_mode": mode,
        ":after_tracker": tracker,
        ":limit": limit,
    };
    read_rows(connection, sql, parameters)
}

/// A table of mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingTable {
    Products,
    Partners,
    Items,
}

/// Returns a page of mappings in the order in which they were added, each with its mark. `after` is the mark of the
/// last one before.
pub fn list_mapping_rows(
    connection: &Connection,
    table: MappingTable,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, ErpRow)>, StoreError> {
    let name = match table {
        MappingTable::Products => "shopify_product_mappings",
        MappingTable::Partners => "sps_partner_mappings",
        MappingTable::Items => "sps_item_mappings",
    };
    let sql = format!("SELECT rowid AS mark, * FROM {name} WHERE rowid > :after ORDER BY rowid LIMIT :limit");
    let rows = read_rows(connection, &sql, named_params! {":after": after, ":limit": limit})?;
    let take_mark = |mut row: ErpRow| {
        let mark = row.remove("mark").and_then(|mark| mark.as_i64()).unwrap_or_default();
        (mark, row)
    };
    Ok(rows.into_iter().map(take_mark).collect())
}

/// Reads rows with the columns that matter to an ERP.
pub(super) fn read_rows(
    connection: &Connection,
    sql: &str,
    parameters: &[(&str, &dyn ToSql)],
) -> Result<Vec<ErpRow>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let rows = statement.query_map(parameters, |row| {
        let mut values = ErpRow::new();
        for (index, name) in names.iter().enumerate().filter(|(_, name)| is_erp_column(name)) {
            values.insert(name.clone(), to_json(row.get_ref(index)?));
        }
        Ok(values)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns whether a column matters to an ERP, and not only to the store.
fn is_erp_column(name: &str) -> bool {
    !STORE_COLUMNS.contains(&name) && !NORMAL_FORM_COLUMNS.contains(&name)
}

/// A table of the schema, for documents about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    pub name: String,
    pub columns: Vec<ColumnDescription>,
}

/// A column of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDescription {
    pub name: String,
    pub is_integer: bool,
    pub is_nullable: bool,
}

/// Returns the tables of the schema with the columns that programs get. Reads no stored data.
pub fn describe_tables() -> Result<Vec<TableDescription>, StoreError> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut statement = connection.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?)")?;
    let mut tables = Vec::new();
    for name in names {
        let columns = statement.query_map([&name], |row| {
            let (kind, is_not_null, is_key): (String, bool, bool) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(ColumnDescription {
                name: row.get(0)?,
                is_integer: kind == "INTEGER",
                is_nullable: !is_not_null && !is_key,
            })
        })?;
        let columns = columns.filter(|column| column.as_ref().map_or(true, |column| is_erp_column(&column.name)));
        let columns = columns.collect::<Result<_, _>>()?;
        tables.push(TableDescription { name, columns });
    }
    Ok(tables)
}
