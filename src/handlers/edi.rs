//! EDI files: topics of the source `sps`.
//!
//! Orders and changes of any format are stored. A faulty order does not affect the other orders of its file. A file in
//! which every order is rejected fails for good, with the place of each fault.

use crate::changes::Change;
use crate::edi::fault::EdiFault;
use crate::edi::file;
use crate::edi::file::EdiFile;
use crate::edi::x12::acknowledgement;
use crate::edi::x12::answers::is_answer_set;
use crate::edi::x12::messages::is_message_set;
use crate::event::Subject;
use crate::handlers::{Event, Handler, HandlerError, Plan};
use crate::text::format_count;

/// Handles each received file. Topics: every topic of `sps` but `send/*`, such as `850` and `860`.
///
/// Writes `purchase_orders` with its documents, lines and changes, `edi_answers`, `edi_messages`, and
/// `edi_faults`. Queues the acknowledgements of the file as outbound documents.
pub struct EdiFileHandler;

/// Completes an outbound document. Topics: `send/997`, `send/810`, `send/856`, `send/880` of the source `sps`.
///
/// Writes no table: the body of the event is the document, and the dispatcher delivers it to `sps.outgoing`.
pub struct OutboundDocumentHandler;

impl Handler for OutboundDocumentHandler {
    fn plan(&self, _event: &Event<'_>) -> Result<Plan, HandlerError> {
        Ok(Plan::default())
    }
}

/// Most faults in an event's note or error; `edi_faults` has all of them.
const FAULTS_NAMED_MAX: usize = 3;
/// Most documents for a person in an event's note; `edi_messages` has all of them.
const MESSAGES_NAMED_MAX: usize = 3;

impl Handler for EdiFileHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let file = file::read_edi_file(event.body);
        let mut plan = Plan::default();
        let (mut stored, mut rejected, mut other) = (0, 0, 0);
        for (index, document) in file.documents.iter().enumerate() {
            match &document.order {
                Some(order) => {
                    stored += 1;
                    plan.subjects.push(Subject::new("purchase_order", order.number.as_str()));
                    plan.changes.push(Change::PurchaseOrder(to_document_position(index), Box::new(order.clone())));
                }
                None if document.is_rejected() => rejected += 1,
                // The store adds to the note what they answer.
                None if is_answer_set(&document.kind) || is_message_set(&document.kind) => {}
                None => other += 1,
            }
        }
        if !file.answers.is_empty() {
            plan.changes.push(Change::EdiAnswers(file.answers.clone()));
        }
        let mut notes = Vec::new();
        for (index, message) in &file.messages {
            notes.push(format!("for a person: {}", message.summarize()));
            plan.changes.push(Change::EdiMessage(to_document_position(*index), Box::new(message.clone())));
        }
        if let Some(more) = notes.len().checked_sub(MESSAGES_NAMED_MAX + 1) {
            notes.truncate(MESSAGES_NAMED_MAX);
            notes.push(format!("and {} more in edi_messages", more + 1));
        }
        let faults = collect_faults(&file);
        let fault_summary = summarize_faults(&faults);
        if !faults.is_empty() {
            plan.changes.push(Change::EdiFaults(faults));
        }
        plan.changes.extend(
            acknowledgement::build_acknowledgements(&file, event.body_hash).into_iter().map(Change::SendDocument),
        );
        if file.is_unreadable() {
            let fact = if rejected > 0 { "the file has no usable order" } else { "the file cannot be read" };
            let error = format!("{fact}: {fault_summary}");
            return Err(HandlerError::PermanentWithPlan { error, plan: Box::new(plan) });
        }
        if rejected > 0 {
            notes.push(format!("{rejected} of {} rejected", format_count(rejected + stored, "order", "orders")));
        }
        if other > 0 && stored == 0 {
            notes.push(format!("stored only: no handler for {}", file.kind));
        }
        if !fault_summary.is_empty() {
            notes.push(fault_summary);
        }
        plan.note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(plan)
    }
}

/// Returns the position of a document in its file, from 1.
fn to_document_position(index: usize) -> i64 {
    i64::try_from(index).map_or(i64::MAX, |index| index + 1)
}

/// Returns all faults, each with the position of its document; 0 stands for the file itself.
fn collect_faults(file: &EdiFile) -> Vec<(i64, EdiFault)> {
    let group_faults = file.groups.iter().flat_map(|group| &group.faults);
    let file_faults = file.faults.iter().chain(group_faults).map(|fault| (0, fault.clone()));
    let document_faults = file.documents.iter().enumerate().flat_map(|(index, document)| {
        document.faults.iter().map(move |fault| (to_document_position(index), fault.clone()))
    });
    file_faults.chain(document_faults).collect()
}

/// Returns the most severe faults as text.
fn summarize_faults(faults: &[(i64, EdiFault)]) -> String {
    let mut by_severity: Vec<&(i64, EdiFault)> = faults.iter().collect();
    by_severity.sort_by_key(|(_, fault)| std::cmp::Reverse(fault.severity));
    let mut texts: Vec<String> =
        by_severity.iter().take(FAULTS_NAMED_MAX).map(|(_, fault)| fault.to_string()).collect();
    if faults.len() > FAULTS_NAMED_MAX {
        texts.push(format!("and {} more in edi_faults", faults.len() - FAULTS_NAMED_MAX));
    }
    texts.join("; ")
}
