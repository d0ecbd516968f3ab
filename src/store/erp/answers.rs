//! Answers of partners: stores each one, finds the document that it is about, and folds the state of that document.

use crate::clock;
use crate::edi::answers::state::{AnswerFact, SentState, fold_answers};
use crate::edi::answers::{AnswerScope, EdiAnswer, Verdict};
use crate::store::StoreError;
use crate::store::erp::answer_matching::{describe_document, find_answered_document};
use crate::store::erp::changes::ChangedEvent;
use crate::store::erp::purchase_orders;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use std::collections::BTreeMap;

/// Most documents and problems that the note of an event names.
const NOTE_ENTRIES_MAX: usize = 5;

/// What became of the answers of one event.
#[derive(Debug, Default)]
struct AppliedAnswers {
    /// Answers by the event of the answered document, each once.
    by_document: BTreeMap<i64, Vec<AnswerFact>>,
    /// Why an answer fits no document.
    problems: Vec<String>,
    /// Earlier events with the same answers.
    repeated: Vec<i64>,
}

/// Stores the answers of an event in place of earlier ones of this event, and updates the documents that they answer.
pub fn apply_answers(
    connection: &Connection,
    event: &ChangedEvent<'_>,
    answers: &[EdiAnswer],
) -> Result<(), StoreError> {
    let event_id = event.identity.id;
    let at = clock::format_timestamp(event.received_at);
    let mut documents: Vec<i64> = connection
        .prepare_cached("DELETE FROM edi_answers WHERE event_id = ? AND dismissed_at IS NULL RETURNING sent_event_id")?
        .query_map([event_id], |row| row.get::<_, Option<i64>>(0))?
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    let mut applied = AppliedAnswers::default();
    for (ordinal, answer) in (1_i64..).zip(answers) {
        let found = find_answered_document(connection, answer, event_id)?;
        let (sent_event_id, problem) = match found {
            Ok(candidate) => (Some(candidate.event_id), None),
            Err(problem) => (None, Some(problem)),
        };
        match find_same_answer(connection, event_id, answer, sent_event_id)? {
            Some(earlier) => applied.repeated.push(earlier),
            None => insert_answer(connection, (event_id, ordinal, &at), answer, (sent_event_id, problem.as_deref()))?,
        }
        match sent_event_id {
            Some(document) => applied.by_document.entry(document).or_default().push(to_fact(event_id, answer)),
            None => applied.problems.extend(problem),
        }
    }
    documents.extend(applied.by_document.keys());
    documents.sort_unstable();
    documents.dedup();
    for document in &documents {
        fold_document_state(connection, *document)?;
    }
    append_note(connection, event_id, &describe_applied_answers(connection, applied)?)
}

fn to_fact(event_id: i64, answer: &EdiAnswer) -> AnswerFact {
    AnswerFact {
        event_id,
        kind: answer.kind.clone(),
        scope: answer.scope,
        code: answer.code.clone(),
        verdict: answer.verdict,
        reasons: answer.reasons.clone(),
    }
}

/// Returns the event that brought the same answer before.
fn find_same_answer(
    connection: &Connection,
    event_id: i64,
    answer: &EdiAnswer,
    sent_event_id: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT event_id FROM edi_answers WHERE event_id <> ? AND kind = ? AND partner = ? AND is_test = ? AND scope = ? \
             AND target = ? AND code = ? AND verdict = ? AND reasons = ? AND sent_event_id IS ? ORDER BY event_id LIMIT 1",
        )?
        .query_row(
            params![
                event_id,
                answer.kind,
                answer.partner,
                answer.is_test,
                answer.scope.as_str(),
                answer.describe_target(),
                answer.code,
                answer.verdict.as_str(),
                json!(answer.reasons).to_string(),
                sent_event_id
            ],
            |row| row.get(0),
        )
        .optional()?)
}

fn insert_answer(
    connection: &Connection,
    (event_id, ordinal, at): (i64, i64, &str),
    answer: &EdiAnswer,
    (sent_event_id, problem): (Option<i64>, Option<&str>),
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO edi_answers (event_id, ordinal, kind, partner, is_test, scope, target, code, verdict, reasons, \
             sent_event_id, problem, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            event_id,
            ordinal,
            answer.kind,
            answer.partner,
            answer.is_test,
            answer.scope.as_str(),
            answer.describe_target(),
            answer.code,
            answer.verdict.as_str(),
            json!(answer.reasons).to_string(),
            sent_event_id,
            problem,
            at
        ])?;
    Ok(())
}

/// Returns the stored answers to a document.
fn load_answers(connection: &Connection, sent_event_id: i64) -> Result<Vec<AnswerFact>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT event_id, kind, scope, code, verdict, reasons FROM edi_answers WHERE sent_event_id = ?",
    )?;
    let rows = statement.query_map([sent_event_id], |row| {
        Ok(AnswerFact {
            event_id: row.get(0)?,
            kind: row.get(1)?,
            scope: AnswerScope::from_name(&row.get::<_, String>(2)?),
            code: row.get(3)?,
            verdict: Verdict::from_name(&row.get::<_, String>(4)?),
            reasons: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Folds the answers to a document into its state, and updates the attention of its orders. A new state ends the
/// dismissal of the old one.
fn fold_document_state(connection: &Connection, sent_event_id: i64) -> Result<(), StoreError> {
    let functional_id: Option<String> = connection
        .prepare_cached("SELECT functional_id FROM edi_transmissions WHERE event_id = ?")?
        .query_row([sent_event_id], |row| row.get(0))?;
    let is_answer_due = functional_id.is_some_and(|id| id != "FA");
    let (state, reasons) = fold_answers(&load_answers(connection, sent_event_id)?, is_answer_due);
    let reasons = (!reasons.is_empty()).then(|| reasons.join("\n"));
    let changed = connection
        .prepare_cached(
            "UPDATE edi_transmissions SET state = ?1, reasons = ?2, dismissed_at = NULL, dismissed_reason = NULL, \
             dismissed_by = NULL WHERE event_id = ?3 AND (state <> ?1 OR reasons IS NOT ?2)",
        )?
        .execute(params![state.as_str(), reasons, sent_event_id])?;
    connection
        .prepare_cached(
            "UPDATE edi_transmissions SET answered_at = (SELECT max(received_at) FROM edi_answers WHERE sent_event_id = ?1) \
             WHERE event_id = ?1",
        )?
        .execute([sent_event_id])?;
    if changed > 0 { refresh_orders(connection, sent_event_id) } else { Ok(()) }
}

/// Updates the attention of the orders of a sent document.
pub(crate) fn refresh_orders(connection: &Connection, sent_event_id: i64) -> Result<(), StoreError> {
    let orders: Vec<(String, String, String)> = connection
        .prepare_cached(
            "SELECT DISTINCT l.partner, l.po_number, l.release FROM edi_transmissions t JOIN edi_sent_lines l \
             USING (kind, partner, number) WHERE t.event_id = ?",
        )?
        .query_map([sent_event_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (partner, number, release) in &orders {
        purchase_orders::refresh_attention(connection, (partner, number, release))?;
    }
    Ok(())
}

/// Returns what the answers of one event state, for its note.
fn describe_applied_answers(connection: &Connection, applied: AppliedAnswers) -> Result<String, StoreError> {
    let mut entries = Vec::new();
    for (document, facts) in &applied.by_document {
        let (kind, number): (String, String) = connection
            .prepare_cached("SELECT kind, number FROM edi_transmissions WHERE event_id = ?")?
            .query_row([document], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (state, reasons) = fold_answers(facts, false);
        let reason = match reasons.as_slice() {
            [] => String::new(),
            [one] => format!(" ({one})"),
            [first, rest @ ..] => format!(" ({first}; and {} more)", rest.len()),
        };
        let verdict = match state {
            SentState::AcceptedWithErrors => "accepted with errors",
            state => state.as_str(),
        };
        entries.push(format!("{} is {verdict}{reason}", describe_document(&kind, &number)));
    }
    let mut problems = applied.problems;
    problems.dedup();
    entries.extend(problems);
    let more = entries.len().saturating_sub(NOTE_ENTRIES_MAX);
    entries.truncate(NOTE_ENTRIES_MAX);
    if more > 0 {
        entries.push(format!("and {more} more in edi_answers"));
    }
    if let Some(earlier) = applied.repeated.first() {
        entries.push(format!("event {earlier} brought the same answer"));
    }
    Ok(entries.join("; "))
}

/// Adds text to the note of an event.
fn append_note(connection: &Connection, event_id: i64, text: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE webhook_events SET note = coalesce(note || '; ', '') || ?1 WHERE id = ?2 AND ?1 <> ''")?
        .execute(params![text, event_id])?;
    Ok(())
}
