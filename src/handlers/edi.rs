//! EDI files: topics of the source `sps`.
//!
//! Orders and changes of any format are stored. A faulty order does not affect the other orders of its file. A file of
//! which a part is lost fails for good, with the place of each fault: a person must look at it.

use crate::changes::{Change, LocatedFault};
use crate::edi::file;
use crate::edi::file::{EdiFile, FaultSeverity};
use crate::edi::x12::acknowledgement;
use crate::edi::x12::answers::is_answer_set;
use crate::edi::x12::messages::is_message_set;
use crate::event::Subject;
use crate::handlers::{Event, Handler, HandlerError, Plan};
use crate::text::format_count;
use std::collections::{BTreeSet, HashMap};

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
        let (mut stored, mut rejected, mut other) = (0, 0, BTreeSet::new());
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
                None => drop(other.insert(document.kind.as_str())),
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
        let fault_summary = summarize_faults(&file, &faults);
        if !faults.is_empty() {
            plan.changes.push(Change::EdiFaults(faults));
        }
        plan.changes.extend(
            acknowledgement::build_acknowledgements(&file, event.body_hash).into_iter().map(Change::SendDocument),
        );
        if file.has_unread_part() {
            let orders = format_count(rejected + stored, "order", "orders");
            let fact = match (stored, rejected) {
                (0, 0) => "the file cannot be read".to_owned(),
                (0, _) => "the file has no usable order".to_owned(),
                (_, 0) => format!("a part of the file cannot be read, {orders} stored"),
                _ => format!("{rejected} of {orders} rejected"),
            };
            let error = format!("{fact}: {fault_summary}");
            return Err(HandlerError::PermanentWithPlan { error, plan: Box::new(plan) });
        }
        if !other.is_empty() {
            let kinds = other.into_iter().collect::<Vec<_>>().join(", ");
            notes.push(format!("stored only: no handler for {kinds}"));
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

/// Returns all faults, each with its document.
fn collect_faults(file: &EdiFile) -> Vec<LocatedFault> {
    let group_faults = file.groups.iter().flat_map(|group| &group.faults);
    let mut faults: Vec<LocatedFault> = file
        .faults
        .iter()
        .chain(group_faults)
        .map(|fault| LocatedFault { document_position: 0, key: <(String, String)>::default(), fault: fault.clone() })
        .collect();
    for (index, document) in file.documents.iter().enumerate() {
        faults.extend(document.faults.iter().map(|fault| LocatedFault {
            document_position: to_document_position(index),
            key: document.key.clone(),
            fault: fault.clone(),
        }));
    }
    faults
}

/// Returns the most severe faults as text, with those first that are the first ones of their document. If the file has
/// several documents, each fault of an order names it.
fn summarize_faults(file: &EdiFile, faults: &[LocatedFault]) -> String {
    let mut rank: HashMap<(i64, FaultSeverity), usize> = HashMap::new();
    let mut ranked: Vec<(std::cmp::Reverse<FaultSeverity>, usize, &LocatedFault)> = Vec::new();
    for fault in faults {
        let count = rank.entry((fault.document_position, fault.fault.severity)).or_default();
        ranked.push((std::cmp::Reverse(fault.fault.severity), *count, fault));
        *count += 1;
    }
    ranked.sort_by_key(|(severity, rank, _)| (*severity, *rank));
    let describe = |located: &LocatedFault| match located.key.1.as_str() {
        number if !number.is_empty() && file.documents.len() > 1 => format!("order {number}: {}", located.fault),
        _ => located.fault.to_string(),
    };
    let mut texts: Vec<String> =
        ranked.iter().take(FAULTS_NAMED_MAX).map(|(_, _, located)| describe(located)).collect();
    if faults.len() > FAULTS_NAMED_MAX {
        texts.push(format!("and {} more in edi_faults", faults.len() - FAULTS_NAMED_MAX));
    }
    texts.join("; ")
}
