//! Builds a 997: the acknowledgement of a received group, set by set.
//!
//! A set with a usable order is accepted (A), or accepted with errors (E: the sender must not send it again). Any other
//! set is rejected (R). The counts follow the standard: AK902 is the number of sets that the sender stated, AK903 the
//! number received, AK904 the number accepted. Source: X12 997 of 004010 and 005010, as documented at stedi.com/edi and
//! in bots-grammars.

use crate::edi::fault::{EdiFault, SyntaxErrorCode};
use crate::edi::file::{EdiDocument, EdiFile};
use crate::edi::outbound_document::{OutboundContent, OutboundDocument, build_file_name};
use crate::edi::x12::envelope::is_order_set;
use crate::edi::x12::write::{X12Draft, build_segment};
use std::collections::BTreeSet;

/// Most AK4 segments of one AK3, by the standard.
const AK4_PER_AK3_MAX: usize = 99;
/// Most error codes of one AK5 or AK9, by the standard.
const ERROR_CODES_MAX: usize = 5;
/// Most AK3 segments of one set; bounds the answer to a file full of faults.
const AK3_PER_SET_MAX: usize = 200;

/// Returns true if a group contains orders and its sender is known. A 997 is never acknowledged.
#[must_use]
pub fn is_acknowledgement_due(file: &EdiFile, group_index: usize) -> bool {
    let group = &file.groups[group_index];
    let in_group = |document: &&EdiDocument| document.group == Some(group_index);
    let has_orders = file.documents.iter().filter(in_group).any(|document| is_order_set(&document.kind));
    let is_identified = !group.functional_id.is_empty()
        && !group.origin.version.is_empty()
        && group.control_number.parse::<u64>().is_ok();
    !group.origin.sender.1.is_empty() && group.functional_id != "FA" && is_identified && has_orders
}

/// Builds the acknowledgements of a file, one for each group that is due one.
///
/// `digest` is the digest of the file and part of the names. The same file under another name therefore has the same
/// answers.
#[must_use]
pub fn build_acknowledgements(file: &EdiFile, digest: i64) -> Vec<OutboundDocument> {
    let digest = format!("{digest:016x}");
    let due = (0..file.groups.len()).filter(|index| is_acknowledgement_due(file, *index));
    due.map(|index| {
        let group = &file.groups[index];
        let parts = [group.origin.sender.1.as_str(), &group.control_number, &digest, &(index + 1).to_string()];
        OutboundDocument {
            kind: "997",
            file_name: build_file_name("997", &parts, "edi"),
            content: OutboundContent::X12(Box::new(draft_acknowledgement(file, index))),
        }
    })
    .collect()
}

/// Drafts the acknowledgement of one group.
#[must_use]
pub fn draft_acknowledgement(file: &EdiFile, group_index: usize) -> X12Draft {
    let group = &file.groups[group_index];
    // A set without a control number cannot be answered.
    let sets: Vec<&EdiDocument> = file
        .documents
        .iter()
        .filter(|document| document.group == Some(group_index) && !document.control_number.is_empty())
        .collect();
    let version = if group.origin.version.as_str() >= "005" { group.origin.version.as_str() } else { "" };
    let mut segments = vec![build_segment(["AK1", &group.functional_id, &group.control_number, version])];
    let (mut accepted_count, mut has_errors) = (0, !group.faults.is_empty());
    for set in &sets {
        segments.push(build_segment(["AK2", &set.kind, &set.control_number]));
        segments.extend(build_ak3_segments(&set.faults));
        if is_order_set(&set.kind) {
            accepted_count += usize::from(!set.is_rejected());
            has_errors |= !collect_set_error_codes(&set.faults).is_empty();
        }
        segments.push(build_ak5_segment(set));
    }
    let status = if accepted_count == 0 {
        "R"
    } else if accepted_count < sets.len() {
        "P"
    } else if has_errors {
        "E"
    } else {
        "A"
    };
    let stated_count = group.stated_set_count.unwrap_or(0).to_string();
    let mut ak9 = build_segment(["AK9", status, &stated_count, &sets.len().to_string(), &accepted_count.to_string()]);
    let codes: BTreeSet<u8> = group
        .faults
        .iter()
        .filter_map(|fault| if let SyntaxErrorCode::FunctionalGroup(code) = fault.code { Some(code) } else { None })
        .collect();
    ak9.extend(codes.iter().take(ERROR_CODES_MAX).map(u8::to_string));
    segments.push(ak9);
    X12Draft { kind: "997", functional_id: "FA", origin: group.origin.clone(), is_test: group.is_test, segments }
}

/// Builds the AK5 of a set. A set that is not an order is rejected with code 1, not supported.
fn build_ak5_segment(set: &EdiDocument) -> Vec<String> {
    if !is_order_set(&set.kind) {
        return build_segment(["AK5", "R", "1"]);
    }
    let codes = collect_set_error_codes(&set.faults);
    let status = match (set.is_rejected(), codes.is_empty()) {
        (true, _) => "R",
        (false, true) => "A",
        (false, false) => "E",
    };
    let mut ak5 = build_segment(["AK5", status]);
    ak5.extend(codes.iter().take(ERROR_CODES_MAX).map(u8::to_string));
    ak5
}

/// Builds the AK3 segments of a set in its order, each with its AK4 segments.
fn build_ak3_segments(faults: &[EdiFault]) -> Vec<Vec<String>> {
    let mut faulty_segments: BTreeSet<(usize, &str, u8)> = BTreeSet::new();
    for fault in faults {
        let code = match fault.code {
            SyntaxErrorCode::Segment(code) => code,
            SyntaxErrorCode::Element(..) => 8,
            _ => continue,
        };
        let id = fault
            .location
            .get(..fault.location.len() - if fault.element > 0 { 2 } else { 0 })
            .unwrap_or(&fault.location);
        faulty_segments.insert((fault.position, id, code));
    }
    let mut segments = Vec::new();
    for (position, id, code) in faulty_segments.into_iter().take(AK3_PER_SET_MAX) {
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(3).collect();
        segments.push(vec!["AK3".to_owned(), id, position.to_string(), String::new(), code.to_string()]);
        if code == 8 {
            let of_segment = faults.iter().filter(|fault| fault.position == position);
            segments.extend(of_segment.filter_map(build_ak4_segment).take(AK4_PER_AK3_MAX));
        }
    }
    segments
}

fn build_ak4_segment(fault: &EdiFault) -> Option<Vec<String>> {
    let SyntaxErrorCode::Element(number, code, value) = &fault.code else { return None };
    // A copy with characters that are not allowed would make the 997 itself invalid.
    let copy = if *code == 6 { "" } else { value.as_str() };
    Some(vec![
        "AK4".to_owned(),
        fault.element.to_string(),
        number.to_string(),
        code.to_string(),
        copy.chars().take(99).collect(),
    ])
}

/// Returns the AK502 codes of a set. Faults of its segments count as code 5.
fn collect_set_error_codes(faults: &[EdiFault]) -> BTreeSet<u8> {
    faults
        .iter()
        .filter_map(|fault| match fault.code {
            SyntaxErrorCode::TransactionSet(code) => Some(code),
            SyntaxErrorCode::Segment(_) | SyntaxErrorCode::Element(..) => Some(5),
            SyntaxErrorCode::None | SyntaxErrorCode::FunctionalGroup(_) => None,
        })
        .collect()
}
