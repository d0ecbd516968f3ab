//! Documents for a person: text messages, payment advices, credits and debits.

use crate::clock;
use crate::edi::message::{EdiMessage, describe_message_kind};
use crate::store::StoreError;
use crate::store::erp::changes::ChangedEvent;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::json;

/// Stores a document for a person. The same document in another file is stored once.
pub fn insert_message(
    connection: &Connection,
    event: &ChangedEvent<'_>,
    position: i64,
    message: &EdiMessage,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM edi_messages WHERE event_id = ? AND document_position = ? AND dismissed_at IS NULL",
        )?
        .execute(params![event.identity.id, position])?;
    connection
        .prepare_cached(
            "INSERT INTO edi_messages (event_id, document_position, kind, partner, is_test, number, subject, amount, direction, \
             currency, dated_on, refs, text, received_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 \
             WHERE NOT EXISTS (SELECT 1 FROM edi_messages WHERE event_id <> ?1 AND kind = ?3 AND partner = ?4 AND is_test = ?5 \
             AND number IS ?6 AND subject IS ?7 AND amount IS ?8 AND direction IS ?9 AND currency IS ?10 AND dated_on IS ?11 \
             AND refs = ?12 AND text = ?13) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            event.identity.id,
            position,
            message.kind,
            message.partner,
            message.is_test,
            message.number,
            message.subject,
            message.amount,
            message.direction,
            message.currency,
            message.dated_on,
            json!(message.references).to_string(),
            message.text,
            clock::format_timestamp(event.received_at)
        ])?;
    Ok(())
}

/// A stored document for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    pub event_id: i64,
    /// 864, 820 or 812.
    pub kind: String,
    pub partner: String,
    pub is_test: bool,
    pub number: Option<String>,
    pub subject: Option<String>,
    pub amount: Option<String>,
    pub direction: Option<String>,
    pub currency: Option<String>,
    pub dated_on: Option<String>,
    pub text: String,
    pub received_at: String,
    pub dismissed_at: Option<String>,
    pub dismissed_reason: Option<String>,
}

impl MessageView {
    const COLUMNS: &'static str = "event_id, kind, partner, is_test, number, subject, amount, direction, currency, dated_on, \
                                   text, received_at, dismissed_at, dismissed_reason";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            event_id: row.get(0)?,
            kind: row.get(1)?,
            partner: row.get(2)?,
            is_test: row.get(3)?,
            number: row.get(4)?,
            subject: row.get(5)?,
            amount: row.get(6)?,
            direction: row.get(7)?,
            currency: row.get(8)?,
            dated_on: row.get(9)?,
            text: row.get(10)?,
            received_at: row.get(11)?,
            dismissed_at: row.get(12)?,
            dismissed_reason: row.get(13)?,
        })
    }

    /// Returns the kind in words, marked if it is a test.
    #[must_use]
    pub fn describe_kind(&self) -> String {
        format!("{}{}", describe_message_kind(&self.kind), if self.is_test { " (test)" } else { "" })
    }

    /// Returns number, amount and subject in one line.
    #[must_use]
    pub fn describe_facts(&self) -> String {
        let amount = [self.direction.as_deref(), self.amount.as_deref(), self.currency.as_deref()];
        let amount = amount.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let dated = self.dated_on.as_ref().map(|day| format!("of {day}"));
        let parts = [self.number.clone(), Some(amount), dated, self.subject.clone()];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the newest documents for a person that nobody dismissed.
pub fn list_open_messages(
    connection: &Connection,
    partner: Option<&str>,
    limit: u32,
) -> Result<Vec<MessageView>, StoreError> {
    let sql = format!(
        "SELECT {} FROM edi_messages WHERE dismissed_at IS NULL AND (?1 IS NULL OR partner = ?1) \
         ORDER BY event_id DESC, document_position LIMIT ?2",
        MessageView::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map(params![partner, limit], MessageView::read)?.collect::<Result<_, _>>()?)
}

/// Returns the documents for a person in one file.
pub fn list_messages_of_event(connection: &Connection, event_id: i64) -> Result<Vec<MessageView>, StoreError> {
    let columns = MessageView::COLUMNS;
    let sql = format!("SELECT {columns} FROM edi_messages WHERE event_id = ? ORDER BY document_position");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([event_id], MessageView::read)?.collect::<Result<_, _>>()?)
}

/// Returns the partner's documents for a person that name a purchase order, or an invoice or ship notice for it.
pub fn list_messages_of_order(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
) -> Result<Vec<MessageView>, StoreError> {
    let sql = format!(
        "SELECT {} FROM edi_messages m WHERE m.partner = ?1 AND EXISTS (SELECT 1 FROM json_each(m.refs) r WHERE \
         r.value ->> 1 = ?2 OR r.value ->> 1 IN (SELECT l.number FROM edi_sent_lines l WHERE l.partner = ?1 AND \
         l.po_number = ?2 AND l.release = ?3)) ORDER BY m.event_id, m.document_position",
        MessageView::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map(params![partner, number, release], MessageView::read)?.collect::<Result<_, _>>()?)
}
