//! Outbound documents with their control numbers, by which partners answer them.

use crate::edi::outbound_document::{OutboundContent, OutboundDocument};
use crate::edi::x12::write::{ControlNumbers, SET_CONTROL_NUMBER};
use crate::store::StoreError;
use crate::store::erp::answer_matching::describe_document;
use rusqlite::{Connection, params};

/// A document that went to the queue.
#[derive(Debug)]
pub(crate) struct NewTransmission<'a> {
    pub event_id: i64,
    pub document: &'a OutboundDocument,
    pub partner: &'a str,
    /// Our number of the document; of a 997 the group that it answers.
    pub number: &'a str,
    pub is_test: bool,
    /// As the file has them; `None` for RSX.
    pub control_numbers: Option<ControlNumbers>,
    pub sent_at: &'a str,
}

/// Stores a document that went to the queue, so that an answer finds it.
///
/// Partners answer X12 groups, except those with an acknowledgement. So no answer to a 997 or an RSX document is
/// expected.
pub(crate) fn record_transmission(
    connection: &Connection,
    transmission: &NewTransmission<'_>,
) -> Result<(), StoreError> {
    let functional_id = match &transmission.document.content {
        OutboundContent::X12(draft) => Some(draft.functional_id),
        OutboundContent::Text(_) => None,
    };
    let is_answer_due = functional_id.is_some_and(|id| id != "FA");
    let numbers = transmission.control_numbers;
    connection
        .prepare_cached(
            "INSERT INTO edi_transmissions (event_id, kind, partner, number, file_name, is_test, functional_id, interchange, \
             group_number, set_number, sent_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            transmission.event_id,
            transmission.document.kind,
            transmission.partner,
            transmission.number,
            transmission.document.file_name,
            transmission.is_test,
            functional_id,
            numbers.map(|numbers| numbers.interchange),
            numbers.map(|numbers| numbers.group),
            numbers.map(|_| SET_CONTROL_NUMBER),
            transmission.sent_at,
            if is_answer_due { "waiting" } else { "none" }
        ])?;
    Ok(())
}

/// Returns a sentence for each document of an order that the partner rejected or answered in an unclear way, unless an
/// operator dismissed it.
pub(crate) fn describe_refused_documents(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.kind, t.number, t.state, t.reasons FROM edi_transmissions t WHERE t.state IN ('rejected', 'unclear') \
         AND t.dismissed_at IS NULL AND (t.kind, t.partner, t.number) IN (SELECT l.kind, l.partner, l.number FROM \
         edi_sent_lines l WHERE l.partner = ? AND l.po_number = ? AND l.release = ?) ORDER BY t.event_id",
    )?;
    let rows = statement.query_map(params![partner, number, release], |row| {
        let document = describe_document(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        let reasons: String = row.get::<_, Option<String>>(3)?.unwrap_or_default();
        let (first, others) = reasons.split_once('\n').unwrap_or((&reasons, ""));
        let more = match others.lines().count() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        let fact = match row.get::<_, String>(2)?.as_str() {
            "rejected" => "was rejected",
            _ => "has unclear answers",
        };
        Ok(format!("{document} {fact}: {first}{more}"))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
