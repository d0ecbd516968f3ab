//! What a handler wants written when its event is completed, and the writing of it, in the completing transaction.

use super::StoreError;
use super::alerts::LoginErrors;
use super::claims::Claim;
use super::mappings;
use super::privacy::{self, Asked};
use super::projection::{self, Row, Scan};
use super::system_log::{self, Entry};
use super::tables::SALES_ORDERS;
use super::{outgoing, purchase_orders};
use crate::formats::fault::Fault;
use crate::formats::outgoing::Outgoing;
use crate::formats::purchase_order::PurchaseOrder;
use rusqlite::{Connection, params};

/// One change to the ERP's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What the event states about an entity.
    Row(Row),
    /// A fact that only adds up.
    Scan(Scan),
    /// A row of the audit trail.
    SystemLog(Box<Entry>),
    /// A purchase order or a change to one: the so-many-th of its file.
    PurchaseOrder(i64, Box<PurchaseOrder>),
    /// A document goes out to a trading partner.
    Send(Outgoing),
    /// What was wrong with an EDI file, and in which part of it.
    EdiFaults(Vec<(i64, Fault)>),
    /// Somebody asks for a customer's data.
    DataRequest(Asked),
}

/// Something that an event is about: `order` 820982911946154508.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `order`, `customer`, `tracking_code` …
    pub kind: &'static str,
    pub key: String,
}

/// A subject's number or code.
#[derive(Debug)]
pub struct Key(String);

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<String> for Key {
    fn from(code: String) -> Self {
        Self(code)
    }
}

impl From<&str> for Key {
    fn from(code: &str) -> Self {
        Self(code.to_owned())
    }
}

impl Subject {
    #[must_use]
    pub fn new(kind: &'static str, key: impl Into<Key>) -> Self {
        Self { kind, key: key.into().0 }
    }
}

/// Writes what completing the event writes.
///
/// # Errors
/// When a statement fails.
pub fn apply(
    connection: &Connection,
    claim: &Claim,
    changes: &[Change],
    subjects: &[Subject],
    logins: &LoginErrors,
) -> Result<(), StoreError> {
    for change in changes {
        match change {
            Change::Row(row) => {
                projection::merge(connection, claim.event_id, row)?;
                if row.table == SALES_ORDERS && !row.lists.is_empty() {
                    mappings::map_order(connection, &row.key)?;
                }
            }
            Change::PurchaseOrder(part, order) => purchase_orders::tell(connection, claim.event_id, *part, order)?,
            Change::Send(document) => outgoing::answer(connection, claim, document)?,
            Change::EdiFaults(faults) => purchase_orders::faults(connection, claim.event_id, faults)?,
            Change::Scan(scan) => projection::add(connection, claim.event_id, scan)?,
            Change::DataRequest(asked) => privacy::ask(connection, claim.event_id, &claim.shop_domain, asked)?,
            // Worked before: its row is there, or was cut off with its time.
            Change::SystemLog(_) if claim.claim > 1 && was_completed(connection, claim.event_id)? => {}
            Change::SystemLog(entry) => system_log::append(connection, claim.event_id, entry, logins)?,
        }
    }
    about(connection, claim, subjects)
}

/// Notes what an event is about.
fn about(connection: &Connection, claim: &Claim, subjects: &[Subject]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO event_subjects (kind, key, shop_domain, event_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    for subject in subjects {
        statement.execute(params![subject.kind, subject.key, claim.shop_domain, claim.event_id])?;
    }
    Ok(())
}

fn was_completed(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM webhook_event_log WHERE event_id = ? AND to_status = 'completed'")?
        .exists([event_id])?)
}
