//! The subjects of an event, and the tables that have their rows. The rows that destinations get and the summary of an
//! event both start here.
//!
//! The catalogue decides: a column of a table's key belongs to one kind of subject, `refund_id` to `refund`. So no
//! topic needs a rule of its own.

use crate::changes::catalogue::{ALL_TABLES, EASYPOST_OBJECTS, SHIPMENTS, SHOPS};
use crate::changes::rows::TableSpec;
use crate::store::StoreError;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// A subject with its shop; the shop is empty if its source has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventSubject {
    pub kind: String,
    pub key: String,
    pub shop_domain: String,
}

/// Tables whose rows name their event, each with the key and the condition of the rows; `?1` is the event.
#[derive(Debug)]
pub struct EventTable {
    pub name: &'static str,
    pub key: &'static [&'static str],
    pub condition: &'static str,
}

/// Condition of the rows of each purchase order that an event is about.
pub const PURCHASE_ORDER_CONDITION: &str = "(partner, po_number, release) IN (SELECT partner, po_number, release FROM \
                                            purchase_order_documents WHERE event_id = ?1)";

pub const EVENT_TABLES: [EventTable; 7] = [
    EventTable {
        name: "purchase_orders",
        key: &["partner", "po_number", "release"],
        condition: PURCHASE_ORDER_CONDITION,
    },
    EventTable { name: "edi_sent", key: &["kind", "partner", "number"], condition: "event_id = ?1" },
    EventTable { name: "edi_answers", key: &["event_id", "ordinal"], condition: "event_id = ?1" },
    EventTable { name: "edi_messages", key: &["event_id", "document_position"], condition: "event_id = ?1" },
    EventTable { name: "data_requests", key: &["id"], condition: "event_id = ?1" },
    EventTable { name: "redactions", key: &["event_id"], condition: "event_id = ?1" },
    EventTable { name: "system_log", key: &["id"], condition: "event_id = ?1" },
];

/// Returns at most `limit` subjects of an event. A test event has none: it wrote no rows, and a row with the number in
/// its body belongs to a real event.
pub fn read_event_subjects(
    connection: &Connection,
    event_id: i64,
    limit: u32,
) -> Result<BTreeSet<EventSubject>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT s.kind, s.key, s.shop_domain FROM event_subjects s JOIN webhook_events e ON e.id = s.event_id \
         WHERE s.event_id = ? AND e.test = 0 ORDER BY s.kind, s.key LIMIT ?",
    )?;
    let subjects = statement.query_map(params![event_id, limit], |row| {
        Ok(EventSubject { kind: row.get(0)?, key: row.get(1)?, shop_domain: row.get(2)? })
    })?;
    Ok(subjects.collect::<Result<_, _>>()?)
}

/// Returns the kind of the subjects whose keys are in a key column; None for the shop and the mode, which all subjects
/// share.
pub fn find_subject_kind(table: &TableSpec, column: &'static str) -> Option<&'static str> {
    match column {
        "shop_domain" if table == SHOPS => Some("shop"),
        "shop_domain" | "mode" => None,
        "id" if table == EASYPOST_OBJECTS => Some("easypost"),
        column => Some(column.strip_suffix("_id").unwrap_or(column)),
    }
}

/// Returns the table with one row for each subject of a kind, and the column that has its key.
pub fn find_main_table(kind: &str) -> Option<(&'static TableSpec, &'static str)> {
    if kind == "tracking_code" {
        return Some((SHIPMENTS, "tracking_key"));
    }
    ALL_TABLES.iter().find_map(|table| {
        let mut own = table.key.iter().copied().filter(|column| find_subject_kind(table, column).is_some());
        let column = own.next().filter(|column| find_subject_kind(table, column) == Some(kind))?;
        own.next().is_none().then_some((*table, column))
    })
}
