//! Writes the changes of a handler, in the transaction that completes the event.

use crate::changes::Change;
use crate::changes::catalogue::SALES_ORDERS;
use crate::clock::Timestamp;
use crate::event::{EventIdentity, Subject};
use crate::store::StoreError;
use crate::store::audit::alerts::LoginErrorThreshold;
use crate::store::audit::system_log;
use crate::store::erp::{answers, edi_faults, mappings, messages, outbound_documents, projection, purchase_orders};
use crate::store::privacy::data_requests;
use rusqlite::{Connection, params};

/// The event whose changes are applied.
#[derive(Debug, Clone, Copy)]
pub struct ChangedEvent<'a> {
    pub identity: &'a EventIdentity,
    pub received_at: Timestamp,
    pub max_attempts: u32,
    /// True if an earlier claim may have applied changes already.
    pub was_claimed_before: bool,
}

/// Applies the changes of an event and stores its subjects.
pub fn apply_changes(
    connection: &Connection,
    event: &ChangedEvent<'_>,
    changes: &[Change],
    subjects: &[Subject],
    logins: &LoginErrorThreshold,
) -> Result<(), StoreError> {
    for change in changes {
        match change {
            Change::Row(row) => {
                projection::merge_row(connection, event.identity.id, row)?;
                if row.table == SALES_ORDERS && !row.lists.is_empty() {
                    mappings::map_order_lines(connection, &row.key)?;
                }
            }
            Change::PurchaseOrder(position, order) => {
                let event = (event.identity.id, event.received_at);
                purchase_orders::add_document(connection, event, *position, order)?;
            }
            Change::SendDocument(document) => outbound_documents::enqueue_acknowledgement(connection, event, document)?,
            Change::EdiFaults(faults) => {
                edi_faults::replace_edi_faults(connection, event.identity.id, faults)?;
                purchase_orders::refresh_orders_of_rejected(connection, event.identity.id)?;
            }
            Change::EdiAnswers(received) => answers::apply_answers(connection, event, received)?,
            Change::EdiMessage(position, message) => messages::insert_message(connection, event, *position, message)?,
            Change::Fact(fact) => projection::insert_fact(connection, event.identity.id, fact)?,
            Change::DataRequest(request) => {
                data_requests::insert_data_request(
                    connection,
                    event.identity.id,
                    &event.identity.key.shop_domain,
                    request,
                )?;
            }
            // The event was completed before: its entries are there, or a truncation deleted them.
            Change::AuditEntries(_)
                if event.was_claimed_before && has_completed_before(connection, event.identity.id)? => {}
            Change::AuditEntries(entries) => {
                system_log::append_audit_entries(connection, event.identity.id, entries, logins)?;
            }
        }
    }
    insert_subjects(connection, event, subjects)
}

/// Stores the subjects of an event.
fn insert_subjects(connection: &Connection, event: &ChangedEvent<'_>, subjects: &[Subject]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO event_subjects (kind, key, shop_domain, event_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    for subject in subjects {
        statement.execute(params![subject.kind, subject.key, event.identity.key.shop_domain, event.identity.id])?;
    }
    Ok(())
}

fn has_completed_before(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM webhook_event_log WHERE event_id = ? AND to_status = 'completed'")?
        .exists([event_id])?)
}
