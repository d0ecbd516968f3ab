//! EDI mappings: the ERP's customer of a partner, and the ERP's item of a retailer's item.

use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::erp::purchase_orders;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// A row of `sps_partner_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerMapping {
    pub partner: String,
    pub customer: String,
    /// `total`, `delta` or `left`; None keeps the stored value.
    pub quantity: Option<String>,
}

/// A row of `sps_item_mappings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemMapping {
    pub partner: String,
    /// `buyer`, `vendor`, `upc`, `gtin`, a qualifier such as `PL`, or `none`.
    pub kind: String,
    pub value: String,
    pub unit: String,
    pub item: String,
    pub item_unit: Option<String>,
    pub factor: String,
}

impl ItemMapping {
    /// Reads the columns `partner, kind, value, unit, item, item_unit, factor`.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            partner: row.get(0)?,
            kind: row.get(1)?,
            value: row.get(2)?,
            unit: row.get(3)?,
            item: row.get(4)?,
            item_unit: row.get(5)?,
            factor: row.get(6)?,
        })
    }

    /// Returns the path of the mapping in the audit trail.
    fn build_path(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" in {}", self.unit) };
        format!("mappings/{}/{} {}{unit}", self.partner, self.kind, self.value)
    }
}

/// Kinds of a number that have a column of their own, and the one without a qualifier.
pub const ITEM_KINDS: [&str; 5] = ["buyer", "vendor", "upc", "gtin", "none"];
/// Longest qualifier of a product id; X12 has two characters.
const QUALIFIER_CHARS_MAX: usize = 10;

/// Parses the kind of a number: one of the five words, or a qualifier, which is in capitals.
pub fn parse_item_kind(text: &str) -> Result<String, String> {
    if ITEM_KINDS.contains(&text) {
        return Ok(text.to_owned());
    }
    let is_qualifier =
        (1..=QUALIFIER_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_qualifier {
        return Err(format!("use {}, or a qualifier such as PL", ITEM_KINDS.join(", ")));
    }
    Ok(text.to_ascii_uppercase())
}

/// Returns what to correct in a mapping that the table refused; None for any other error.
#[must_use]
pub fn describe_refused_mapping(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Sqlite(inner) if inner.to_string().contains("CHECK") => Some(
            "the mapping was not saved: no value may be empty, and a factor has at most six digits on each side of its \
             point",
        ),
        _ => None,
    }
}

/// An ordered item without a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedPurchaseLine {
    pub partner: String,
    pub buyer_item: Option<String>,
    pub vendor_item: Option<String>,
    pub upc: Option<String>,
    pub gtin: Option<String>,
    /// Ids with other qualifiers: `PL 7, ZZ A-1`.
    pub other_ids: Option<String>,
    pub unit: Option<String>,
    pub description: Option<String>,
    pub lines: u64,
}

impl Store {
    /// Stores the mapping of a partner, rebuilds its orders and returns their number.
    pub async fn map_partner(&self, mapping: PartnerMapping, actor: Actor) -> Result<u64, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_partner_mappings (partner, customer, quantity) VALUES (?1, ?2, coalesce(?3, 'total')) \
                 ON CONFLICT DO UPDATE SET customer = ?2, quantity = coalesce(?3, quantity)",
                params![mapping.partner, mapping.customer, mapping.quantity],
            )?;
            purchase_orders::rebuild_orders(connection, &mapping.partner)?;
            let path = format!("mappings/{}", mapping.partner);
            actor.log_action(connection, &at, ("PARTNER-MAPPING", "SAVE", &path), None)?;
            let sql = "SELECT count(*) FROM purchase_orders WHERE partner = ?";
            Ok(connection.query_row(sql, [&mapping.partner], |row| row.get(0))?)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Stores the mapping of an item and returns the number of lines that it maps. An invalid factor is an error.
    pub async fn map_item(&self, mapping: ItemMapping, actor: Actor) -> Result<u64, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_item_mappings (partner, kind, value, unit, item, item_unit, factor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT DO UPDATE SET item = ?5, item_unit = ?6, factor = ?7",
                params![
                    mapping.partner,
                    mapping.kind,
                    mapping.value,
                    mapping.unit,
                    mapping.item,
                    mapping.item_unit,
                    mapping.factor
                ],
            )?;
            actor.log_action(connection, &at, ("ITEM-MAPPING", "SAVE", &mapping.build_path()), None)?;
            let condition = match mapping.kind.as_str() {
                "buyer" => "buyer_item = ?1",
                "vendor" => "vendor_item = ?1",
                "upc" => "upc = ?1",
                "gtin" => "gtin = ?1",
                _ => {
                    "(partner, po_number, release, position) IN (SELECT partner, po_number, release, position \
                     FROM purchase_order_parts WHERE kind = 'id' AND value = ?1)"
                }
            };
            let sql = format!("SELECT count(*) FROM purchase_order_lines WHERE {condition} AND item = ?2");
            Ok(connection.query_row(&sql, params![mapping.value, mapping.item], |row| row.get(0))?)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

impl Store {
    /// Deletes the mapping of a partner and rebuilds its orders; returns false if there is none.
    pub async fn unmap_partner(&self, partner: String, actor: Actor) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            if connection.execute("DELETE FROM sps_partner_mappings WHERE partner = ?", [&partner])? == 0 {
                return Ok(false);
            }
            purchase_orders::rebuild_orders(connection, &partner)?;
            let path = format!("mappings/{partner}");
            actor.log_action(connection, &at, ("PARTNER-MAPPING", "REMOVE", &path), None)?;
            Ok(true)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Deletes the mapping of an item by its id; returns false if there is none. Its lines lose their item.
    pub async fn unmap_item(&self, id: i64, actor: Actor) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let deleted = connection
                .query_row(
                    "DELETE FROM sps_item_mappings WHERE id = ? RETURNING partner, kind, value, unit, item, item_unit, factor",
                    [id],
                    ItemMapping::read,
                )
                .optional()?;
            if let Some(mapping) = &deleted {
                actor.log_action(connection, &at, ("ITEM-MAPPING", "REMOVE", &mapping.build_path()), None)?;
            }
            Ok(deleted.is_some())
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

/// Returns the partners without a customer, each with its number of orders.
pub fn list_unmapped_partners(connection: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT partner, orders FROM unmapped_partners ORDER BY partner")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns at most 1,000 ordered items without a mapping.
pub fn list_unmapped_lines(connection: &Connection) -> Result<Vec<UnmappedPurchaseLine>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT partner, buyer_item, vendor_item, upc, gtin, other_ids, unit, description, lines FROM unmapped_purchase_lines \
         ORDER BY partner, lines DESC LIMIT 1000",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(UnmappedPurchaseLine {
            partner: row.get(0)?,
            buyer_item: row.get(1)?,
            vendor_item: row.get(2)?,
            upc: row.get(3)?,
            gtin: row.get(4)?,
            other_ids: row.get(5)?,
            unit: row.get(6)?,
            description: row.get(7)?,
            lines: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
