//! The faults of EDI files, and what they mean for an order: a rejected document of it.

use crate::changes::LocatedFault;
use crate::edi::fault::FaultSeverity;
use crate::store::StoreError;
use rusqlite::{Connection, params};

/// Most faults that are stored of one file.
const FAULTS_MAX: usize = 1_000;
/// Most rejected documents that the attention of an order names.
const DOCUMENTS_NAMED_MAX: u32 = 3;

/// Stores the faults of a file, in place of earlier ones.
pub fn replace_edi_faults(connection: &Connection, event_id: i64, faults: &[LocatedFault]) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM edi_faults WHERE event_id = ?")?.execute([event_id])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_faults (event_id, ordinal, severity, document_position, line, position, location, message, partner, po_number) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''))",
    )?;
    let to_i64 = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    for (index, located) in faults.iter().take(FAULTS_MAX).enumerate() {
        let fault = &located.fault;
        statement.execute(params![
            event_id,
            to_i64(index + 1),
            if fault.severity == FaultSeverity::Error { "error" } else { "warning" },
            located.document_position,
            to_i64(fault.line),
            to_i64(fault.position),
            fault.location,
            fault.message,
            located.key.0,
            located.key.1
        ])?;
    }
    Ok(())
}

/// Returns what the attention of an order states about its documents that were rejected since its newest document: a
/// change that is not in the order. A dismissal of their event ends it, and so does the next document.
pub fn describe_rejected_documents(
    connection: &Connection,
    (partner, number): (&str, &str),
    newest_event_id: i64,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        // With min(), the other columns are those of the first fault of the document.
        "SELECT f.event_id, f.location, f.message, min(f.ordinal) FROM edi_faults f JOIN webhook_events e ON e.id = f.event_id \
         WHERE f.partner = ?1 AND f.po_number = ?2 AND f.severity = 'error' AND f.event_id >= ?3 AND e.dismissed_at IS NULL \
         GROUP BY f.event_id, f.document_position ORDER BY f.event_id, f.document_position LIMIT ?4",
    )?;
    let rows = statement.query_map(params![partner, number, newest_event_id, DOCUMENTS_NAMED_MAX], |row| {
        let (event_id, location, message): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("a document with this number was rejected (event {event_id}): {location}: {message}"))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
