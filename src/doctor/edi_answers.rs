//! What partners answered to the documents that were sent.

use crate::doctor::Findings;
use crate::store::StoreError;
use crate::store::audit::alerts::AlertKind;
use crate::store::erp::messages::{self, MessageView};
use crate::store::erp::sent_views::{self, SentFilter, SentSelection, SentSummary, UnmatchedAnswer};
use crate::text::format_count;
use rusqlite::Connection;

/// Most documents and answers that are counted.
const FINDINGS_MAX: u32 = 1_000;
/// Most documents with an alert of their own.
const CONDITIONS_MAX: usize = 20;
/// Most events that one command dismisses.
const DISMISSED_MAX: usize = 20;

/// What needs a person.
#[derive(Debug)]
pub(super) struct AnswerFindings {
    documents: Vec<SentSummary>,
    unmatched: Vec<UnmatchedAnswer>,
    messages: Vec<MessageView>,
}

/// Reads the documents that were rejected or not answered, the answers that fit nothing, and the documents for a
/// person.
pub(super) fn read_answer_findings(
    connection: &Connection,
    overdue_before: Option<&str>,
) -> Result<AnswerFindings, StoreError> {
    let filter = SentFilter {
        partner: None,
        selection: SentSelection::Attention,
        overdue_before: overdue_before.map(str::to_owned),
        limit: FINDINGS_MAX,
    };
    Ok(AnswerFindings {
        documents: sent_views::list_sent_documents(connection, &filter)?,
        unmatched: sent_views::list_unmatched_answers(connection, None, FINDINGS_MAX)?,
        messages: messages::list_open_messages(connection, None, FINDINGS_MAX)?,
    })
}

/// Adds a finding for each kind of answer that needs a person.
pub(super) fn report_answers(answers: &AnswerFindings, findings: &mut Findings) {
    let with_state = |state| answers.documents.iter().filter(|document| document.state == state).collect::<Vec<_>>();
    report_rejected_documents(&with_state("rejected"), "rejected by the partner", findings);
    report_rejected_documents(&with_state("unclear"), "answered in an unclear way", findings);
    let overdue = with_state("overdue");
    if let Some(newest) = overdue.first() {
        let count = format_count(overdue.len(), "sent document has", "sent documents have");
        findings.add_warning(
            "edi",
            format!("{count} no answer in time; the newest is {} to {}", newest.describe(), newest.partner),
            format!(
                "`novex-ingest sps sent --overdue`; ask the partner; then {}",
                describe_dismissal(overdue.iter().map(|document| document.event_id))
            ),
        );
    }
    report_messages(&answers.messages, findings);
    if let Some(newest) = answers.unmatched.first() {
        let count = format_count(answers.unmatched.len(), "file has", "files have");
        findings.add_warning(
            "edi",
            format!(
                "{count} answers that fit no sent document; the newest is event {} of {}: {}",
                newest.event_id, newest.partner, newest.problem
            ),
            format!(
                "`novex-ingest sps sent --attention`; ask the partner; then {}",
                describe_dismissal(answers.unmatched.iter().map(|answer| answer.event_id))
            ),
        );
    }
}

/// Reports messages, payment advices, credits and debits until a person dismisses them. They are no fault.
fn report_messages(messages: &[MessageView], findings: &mut Findings) {
    let Some(newest) = messages.first() else { return };
    let count = format_count(messages.len(), "EDI document is", "EDI documents are");
    let mut events: Vec<i64> = messages.iter().map(|message| message.event_id).collect();
    events.dedup();
    findings.add_info(
        "edi",
        format!(
            "{count} for a person; the newest is a {} from {} (event {}): {}",
            newest.describe_kind(),
            newest.partner,
            newest.event_id,
            newest.describe_facts()
        ),
        format!("`novex-ingest sps list --attention`; then {}", describe_dismissal(events.into_iter())),
    );
}

fn report_rejected_documents(documents: &[&SentSummary], fact: &str, findings: &mut Findings) {
    let Some(newest) = documents.first() else { return };
    for document in documents.iter().take(CONDITIONS_MAX) {
        findings.add_condition(
            AlertKind::DocumentRejected,
            document.event_id.to_string(),
            format!("{} to {} was {fact}; it does not count there", document.describe(), document.partner),
            format!(
                "`novex-ingest sps sent --attention`; correct it and send it under a new number; then `novex-ingest \
                 events dismiss {} --reason TEXT`",
                document.event_id
            ),
        );
    }
    let summary = format!("{} {fact}", format_count(documents.len(), "sent document was", "sent documents were"));
    findings.add_failure_with_summary(
        "edi",
        &summary,
        format!(
            "{summary}; the newest is {} to {} (event {}): {}",
            newest.describe(),
            newest.partner,
            newest.event_id,
            newest.reasons.first().map_or("", String::as_str)
        ),
        format!(
            "`novex-ingest sps sent --attention`; correct each and send it under a new number; then {}",
            describe_dismissal(documents.iter().map(|document| document.event_id))
        ),
    );
}

/// Returns the command that dismisses the first of these events.
fn describe_dismissal(events: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = events.map(|id| id.to_string()).collect();
    let again = if ids.len() > DISMISSED_MAX { "; then the same for the others" } else { "" };
    format!("`novex-ingest events dismiss {} --reason TEXT`{again}", ids[..ids.len().min(DISMISSED_MAX)].join(" "))
}
