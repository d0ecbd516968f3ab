//! Finds the sent document that an answer is about: by control numbers, and for an 824 also by document number.
//!
//! An answer fits a document only if everything that it names fits. A document that was queued after the answer had
//! arrived is never its document: a restored database can use control numbers again.

use crate::edi::answers::EdiAnswer;
use crate::store::StoreError;
use rusqlite::{Connection, Params, Row, params};

/// A sent document that an answer may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub event_id: i64,
    kind: String,
    partner: String,
    number: String,
    is_test: bool,
    functional_id: Option<String>,
    set_number: Option<String>,
}

/// Document kinds that a reference qualifier of an 824 stands for (element 128): invoice numbers, and shipment numbers.
const QUALIFIER_KINDS: [(&str, &[&str]); 5] =
    [("IV", &["810", "880"]), ("IN", &["810", "880"]), ("OI", &["810", "880"]), ("SI", &["856"]), ("MA", &["856"])];
/// Qualifiers of a bill of lading.
const BILL_OF_LADING_QUALIFIERS: [&str; 3] = ["BM", "BL", "MB"];
/// Qualifiers of a purchase order.
const ORDER_QUALIFIERS: [&str; 2] = ["PO", "OP"];

impl Candidate {
    const COLUMNS: &'static str =
        "t.event_id, t.kind, t.partner, t.number, t.is_test, t.functional_id, t.set_number FROM edi_transmissions t";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            event_id: row.get(0)?,
            kind: row.get(1)?,
            partner: row.get(2)?,
            number: row.get(3)?,
            is_test: row.get(4)?,
            functional_id: row.get(5)?,
            set_number: row.get(6)?,
        })
    }

    fn describe(&self) -> String {
        format!("{} to {}", describe_document(&self.kind, &self.number), self.partner)
    }
}

/// Returns what people call a sent document.
pub(crate) fn describe_document(kind: &str, number: &str) -> String {
    match kind {
        "810" | "880" => format!("invoice {number}"),
        "856" => format!("ship notice {number}"),
        "997" => format!("acknowledgement of {number}"),
        _ => format!("{kind} {number}"),
    }
}

/// Returns the document that the answer of an event is about, or why there is none.
pub(super) fn find_answered_document(
    connection: &Connection,
    answer: &EdiAnswer,
    event_id: i64,
) -> Result<Result<Candidate, String>, StoreError> {
    let by_number = find_by_control_number(connection, answer, event_id)?;
    let found = if answer.references.is_empty() {
        choose_by_control_number(answer, &by_number)
    } else {
        let by_reference = find_by_references(connection, answer, event_id)?;
        choose_by_references(answer, &by_number, &by_reference)
    };
    Ok(found.and_then(|candidate| {
        let name = |is_test| if is_test { "a test" } else { "no test" };
        if candidate.is_test == answer.is_test {
            return Ok(candidate);
        }
        Err(format!(
            "the answer is {}, but {} is {}: it has no effect",
            name(answer.is_test),
            candidate.describe(),
            name(candidate.is_test)
        ))
    }))
}

fn query_candidates(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> Result<Vec<Candidate>, StoreError> {
    let sql = format!("SELECT DISTINCT {} WHERE {condition} ORDER BY t.event_id", Candidate::COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map(values, Candidate::read)?.collect::<Result<_, _>>()?)
}

/// Returns the documents with the control number of the answer, of any partner.
fn find_by_control_number(
    connection: &Connection,
    answer: &EdiAnswer,
    event_id: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let to_i64 = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    match (answer.interchange, answer.group_number) {
        (Some(number), _) => {
            query_candidates(connection, "t.interchange = ? AND t.event_id < ?", params![to_i64(number), event_id])
        }
        (None, Some(number)) => {
            query_candidates(connection, "t.group_number = ? AND t.event_id < ?", params![to_i64(number), event_id])
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// Returns the one document of the partner with the control numbers of the answer.
fn choose_by_control_number(answer: &EdiAnswer, found: &[Candidate]) -> Result<Candidate, String> {
    let nothing = || format!("it answers nothing that was sent: {}", answer.describe_target());
    let own: Vec<&Candidate> = found.iter().filter(|candidate| candidate.partner == answer.partner).collect();
    let Some(first) = own.first() else {
        return Err(match found.first() {
            Some(other) => format!("{}; the number is that of {}", nothing(), other.describe()),
            None => nothing(),
        });
    };
    let fitting: Vec<&&Candidate> = own.iter().filter(|candidate| find_mismatch(answer, candidate).is_none()).collect();
    match fitting.as_slice() {
        [one] => Ok((**one).clone()),
        [] => {
            let mismatch = find_mismatch(answer, first).unwrap_or_default();
            Err(format!("{}; the number is that of {}, {mismatch}", nothing(), first.describe()))
        }
        several => Err(format!(
            "{} sent documents have the control numbers that it names: {}",
            several.len(),
            several.iter().map(|candidate| candidate.describe()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Returns what the answer names and the document does not have.
fn find_mismatch(answer: &EdiAnswer, candidate: &Candidate) -> Option<String> {
    if let (Some(named), Some(id)) = (&answer.functional_id, &candidate.functional_id)
        && named != id
    {
        return Some(format!("whose group is {id}"));
    }
    if let Some(named) = &answer.document_kind
        && *named != candidate.kind
    {
        return Some(format!("which is a document {}", candidate.kind));
    }
    let plain = |number: &str| number.trim_start_matches('0').to_owned();
    if let (Some(named), Some(number)) = (&answer.set_number, &candidate.set_number)
        && plain(named) != plain(number)
    {
        return Some(format!("whose only set is {number}"));
    }
    None
}

/// Documents that the references of an answer name.
#[derive(Debug, Default)]
struct ReferencedDocuments {
    /// By the number of the document itself, or of its bill of lading.
    by_own_number: Vec<Candidate>,
    /// By the purchase order.
    by_order: Vec<Candidate>,
    /// By their own number, but sent to another partner.
    of_others: Vec<Candidate>,
}

fn find_by_references(
    connection: &Connection,
    answer: &EdiAnswer,
    event_id: i64,
) -> Result<ReferencedDocuments, StoreError> {
    let mut documents = ReferencedDocuments::default();
    for (qualifier, value) in &answer.references {
        let kinds = QUALIFIER_KINDS.iter().find(|(known, _)| known == qualifier).map(|(_, kinds)| *kinds);
        let values = params![answer.partner, value, event_id];
        if ORDER_QUALIFIERS.contains(&qualifier.as_str()) {
            let lines = "t.partner = ?1 AND (t.kind, t.partner, t.number) IN (SELECT l.kind, l.partner, l.number FROM \
                         edi_sent_lines l WHERE l.partner = ?1 AND l.po_number = ?2) AND t.event_id < ?3";
            documents.by_order.extend(query_candidates(connection, lines, values)?);
        } else if BILL_OF_LADING_QUALIFIERS.contains(&qualifier.as_str()) {
            let bill = "t.partner = ?1 AND (t.kind, t.partner, t.number) IN (SELECT s.kind, s.partner, s.number FROM edi_sent s \
                        WHERE s.partner = ?1 AND s.document ->> 'bill_of_lading' = ?2) AND t.event_id < ?3";
            documents.by_own_number.extend(query_candidates(connection, bill, values)?);
        } else {
            let number = "t.number = ?1 AND t.kind <> '997' AND t.event_id < ?2";
            let mut found = query_candidates(connection, number, params![value, event_id])?;
            found.retain(|candidate| kinds.is_none_or(|kinds| kinds.contains(&candidate.kind.as_str())));
            let (own, others): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|candidate| candidate.partner == answer.partner);
            documents.by_own_number.extend(own);
            documents.of_others.extend(others);
        }
    }
    let is_kind = |candidate: &Candidate| answer.document_kind.as_ref().is_none_or(|kind| *kind == candidate.kind);
    for list in [&mut documents.by_own_number, &mut documents.by_order] {
        list.retain(is_kind);
        list.sort_by_key(|candidate| candidate.event_id);
        list.dedup();
    }
    Ok(documents)
}

/// Returns the document that control numbers and references name together.
fn choose_by_references(
    answer: &EdiAnswer,
    by_number: &[Candidate],
    documents: &ReferencedDocuments,
) -> Result<Candidate, String> {
    let numbered = choose_by_control_number(answer, by_number);
    let has_own_number = by_number.iter().any(|candidate| candidate.partner == answer.partner);
    let is_document_number = |qualifier: &str| QUALIFIER_KINDS.iter().any(|(known, _)| *known == qualifier);
    let names_document = answer.references.iter().any(|(qualifier, _)| is_document_number(qualifier));
    match (numbered, documents.by_own_number.as_slice()) {
        // The number of another document contradicts the control number.
        (Ok(numbered), []) if names_document => Err(format!(
            "its control numbers are those of {}, but it names {}",
            numbered.describe(),
            answer.describe_target()
        )),
        (Ok(numbered), []) => Ok(numbered),
        (Ok(numbered), named) => named.iter().find(|candidate| **candidate == numbered).cloned().ok_or_else(|| {
            format!("its control numbers are those of {}, but it names {}", numbered.describe(), list_documents(named))
        }),
        // The control number is none of ours: a network between the partners writes its own.
        (Err(_), [one]) if !has_own_number => Ok(one.clone()),
        (Err(problem), [one]) => Err(format!("{problem}; but it names {}", one.describe())),
        (Err(problem), []) => choose_by_order(problem, names_document || has_own_number, documents),
        (Err(_), several) => Err(format!("it fits several documents: {}", list_documents(several))),
    }
}

/// Returns the only document that was sent for the purchase order, if the answer names no document. `problem` is why
/// the control numbers fit none.
fn choose_by_order(
    problem: String,
    names_document: bool,
    documents: &ReferencedDocuments,
) -> Result<Candidate, String> {
    match documents.by_order.as_slice() {
        [one] if !names_document => Ok(one.clone()),
        [_, _, ..] if !names_document => Err(format!(
            "it names only a purchase order, for which several documents were sent: {}",
            list_documents(&documents.by_order)
        )),
        _ if documents.of_others.is_empty() => Err(problem),
        _ => Err(format!("{problem}; the number is that of {}", list_documents(&documents.of_others))),
    }
}

fn list_documents(documents: &[Candidate]) -> String {
    documents.iter().map(Candidate::describe).collect::<Vec<_>>().join(", ")
}
