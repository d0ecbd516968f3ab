//! Sent documents with the state of their answers, and answers that fit no document, for operators.

use crate::store::StoreError;
use crate::store::erp::answer_matching::describe_document;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

/// Selects sent documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SentSelection {
    #[default]
    All,
    Rejected,
    Overdue,
    /// Rejected, unclear or overdue, and not dismissed.
    Attention,
}

/// Filter of [`list_sent_documents`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentFilter {
    pub partner: Option<String>,
    pub selection: SentSelection,
    /// A document that was delivered before this time and has no answer is overdue; `None`: never.
    pub overdue_before: Option<String>,
    pub limit: u32,
}

/// A sent document and the state of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentSummary {
    pub event_id: i64,
    pub kind: String,
    pub number: String,
    pub partner: String,
    /// Numbers of its purchase orders, with commas between them.
    pub purchase_orders: Option<String>,
    pub total: Option<String>,
    pub is_test: bool,
    pub sent_at: String,
    pub delivered_at: Option<String>,
    /// `overdue`, or as in `edi_transmissions`.
    pub state: String,
    pub reasons: Vec<String>,
    pub answered_at: Option<String>,
    pub file_name: String,
    pub interchange: Option<u64>,
    pub group_number: Option<u64>,
    pub set_number: Option<String>,
    pub dismissed_at: Option<String>,
    pub dismissed_reason: Option<String>,
}

impl SentSummary {
    /// Returns the document and its number: `invoice INV-1`.
    #[must_use]
    pub fn describe(&self) -> String {
        describe_document(&self.kind, &self.number)
    }

    /// Returns the state in words.
    #[must_use]
    pub fn describe_state(&self) -> &'static str {
        match self.state.as_str() {
            "accepted" => "accepted",
            "accepted-with-errors" => "accepted with errors",
            "rejected" => "rejected",
            "unclear" => "unclear answers",
            "overdue" => "overdue: no answer",
            "waiting" if self.delivered_at.is_none() => "not delivered yet",
            "waiting" => "no answer yet",
            _ => "no answer expected",
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let reasons: Option<String> = row.get("reasons")?;
        Ok(Self {
            event_id: row.get("event_id")?,
            kind: row.get("kind")?,
            number: row.get("number")?,
            partner: row.get("partner")?,
            purchase_orders: row.get("purchase_orders")?,
            total: row.get("total")?,
            is_test: row.get("is_test")?,
            sent_at: row.get("sent_at")?,
            delivered_at: row.get("delivered_at")?,
            state: row.get("shown_state")?,
            reasons: reasons.map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default(),
            answered_at: row.get("answered_at")?,
            file_name: row.get("file_name")?,
            interchange: row.get("interchange")?,
            group_number: row.get("group_number")?,
            set_number: row.get("set_number")?,
            dismissed_at: row.get("dismissed_at")?,
            dismissed_reason: row.get("dismissed_reason")?,
        })
    }
}

/// Sent documents with `shown_state`; `?1` is the end of the time to answer. A document whose event was pruned counts
/// as delivered when it was queued.
macro_rules! sent_documents_sql {
    () => {
        "(SELECT *, CASE WHEN state = 'waiting' AND dismissed_at IS NULL AND delivered_at < ?1 THEN 'overdue' ELSE state END \
           AS shown_state FROM (SELECT t.*, s.total, (SELECT group_concat(DISTINCT l.po_number) FROM edi_sent_lines l \
             WHERE l.kind = t.kind AND l.partner = t.partner AND l.number = t.number) AS purchase_orders, \
           CASE WHEN EXISTS (SELECT 1 FROM webhook_events e WHERE e.id = t.event_id) THEN \
             (SELECT max(d.finished_at) FROM destination_deliveries d WHERE d.event_id = t.event_id AND d.status = 'delivered') \
             ELSE t.sent_at END AS delivered_at \
           FROM edi_transmissions t LEFT JOIN edi_sent s ON s.kind = t.kind AND s.partner = t.partner AND s.number = t.number))"
    };
}

/// Returns the newest sent documents that match the filter.
pub fn list_sent_documents(connection: &Connection, filter: &SentFilter) -> Result<Vec<SentSummary>, StoreError> {
    let selection = match filter.selection {
        SentSelection::All => "1",
        SentSelection::Rejected => "state = 'rejected'",
        SentSelection::Overdue => "state = 'waiting' AND shown_state = 'overdue'",
        SentSelection::Attention => {
            "state IN ('waiting', 'rejected', 'unclear') AND dismissed_at IS NULL AND shown_state <> 'waiting'"
        }
    };
    let sql = format!(
        concat!(
            "SELECT * FROM ",
            sent_documents_sql!(),
            " WHERE (?2 IS NULL OR partner = ?2) AND {} ORDER BY event_id DESC LIMIT ?3"
        ),
        selection
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![filter.overdue_before, filter.partner, filter.limit], SentSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the documents that were sent for a purchase order, oldest first.
pub fn list_documents_of_order(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
    overdue_before: Option<&str>,
) -> Result<Vec<SentSummary>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT * FROM ",
        sent_documents_sql!(),
        " WHERE (kind, partner, number) IN (SELECT l.kind, l.partner, l.number FROM edi_sent_lines l \
         WHERE l.partner = ?2 AND l.po_number = ?3 AND l.release = ?4) ORDER BY sent_at, event_id"
    ))?;
    let rows = statement.query_map(params![overdue_before, partner, number, release], SentSummary::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The answers of one file that fit no sent document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedAnswer {
    pub event_id: i64,
    /// 997, 999, TA1 or 824.
    pub kind: String,
    pub partner: String,
    pub is_test: bool,
    /// Verdict of the first answer.
    pub verdict: String,
    pub problem: String,
    pub received_at: String,
}

/// Returns the newest files with answers that fit no sent document, unless they were dismissed.
pub fn list_unmatched_answers(
    connection: &Connection,
    partner: Option<&str>,
    limit: u32,
) -> Result<Vec<UnmatchedAnswer>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT event_id, kind, partner, is_test, verdict, coalesce(problem, ''), received_at, min(ordinal) FROM edi_answers \
         WHERE sent_event_id IS NULL AND dismissed_at IS NULL AND (?1 IS NULL OR partner = ?1) GROUP BY event_id \
         ORDER BY event_id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![partner, limit], |row| {
        Ok(UnmatchedAnswer {
            event_id: row.get(0)?,
            kind: row.get(1)?,
            partner: row.get(2)?,
            is_test: row.get(3)?,
            verdict: row.get(4)?,
            problem: row.get(5)?,
            received_at: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
