//! A 997: what is said of a group that was received, set by set.
//!
//! A set whose order was taken is accepted (A), or accepted with errors (E: the sender must not send it again); one that was not is
//! rejected (R). AK5 and AK9 add up as the standard asks: AK902 is the count the sender stated, AK903 the one received, AK904 the
//! one accepted. Source: X12 997 of 004010 and 005010, as stedi.com/edi and bots-grammars have it.

use super::order::is_order;
use super::write::{Draft, segment};
use crate::formats::edi::{Document, Part};
use crate::formats::fault::{Code, Fault};
use crate::formats::outgoing::{Content, Outgoing, name};
use std::collections::BTreeSet;

/// Most AK4 of one AK3, and AK5 and AK9 codes, by the standard.
const ELEMENTS_MAX: usize = 99;
const CODES_MAX: usize = 5;
/// Most AK3 of one set: bounds the answer to a file of faults.
const SEGMENTS_MAX: usize = 200;

/// Whether a group is to be acknowledged: one with orders in it, whose sender is known. A 997 never is.
#[must_use]
pub fn is_due(document: &Document, group: usize) -> bool {
    let of = &document.groups[group];
    let has_orders = document.parts.iter().any(|part| part.group == Some(group) && is_order(&part.kind));
    let is_named = !of.functional_id.is_empty() && !of.origin.version.is_empty() && of.control.parse::<u64>().is_ok();
    !of.origin.sender.1.is_empty() && of.functional_id != "FA" && is_named && has_orders
}

/// The acknowledgements of a file, one for each group that is to have one. `digest`: of the file; the same file under another name has
/// the same answers, by their names.
#[must_use]
pub fn answers(document: &Document, digest: i64) -> Vec<Outgoing> {
    let digest = format!("{digest:016x}");
    let due = (0..document.groups.len()).filter(|group| is_due(document, *group));
    due.map(|group| {
        let of = &document.groups[group];
        let parts = [of.origin.sender.1.as_str(), &of.control, &digest, &(group + 1).to_string()];
        Outgoing {
            kind: "997",
            name: name("997", &parts, "edi"),
            content: Content::X12(Box::new(draft(document, group))),
        }
    })
    .collect()
}

/// The acknowledgement of one group.
#[must_use]
pub fn draft(document: &Document, group: usize) -> Draft {
    let of = &document.groups[group];
    // A set without a number cannot be answered.
    let parts: Vec<&Part> =
        document.parts.iter().filter(|part| part.group == Some(group) && !part.control.is_empty()).collect();
    let version = if of.origin.version.as_str() >= "005" { of.origin.version.as_str() } else { "" };
    let mut said = vec![segment(["AK1", &of.functional_id, &of.control, version])];
    let (mut accepted, mut noted) = (0, !of.faults.is_empty());
    for part in &parts {
        said.push(segment(["AK2", &part.kind, &part.control]));
        said.extend(segments(&part.faults));
        let mut end = vec!["AK5".to_owned()];
        if is_order(&part.kind) {
            let codes = set_codes(&part.faults);
            let refused = part.is_refused();
            accepted += usize::from(!refused);
            noted |= !codes.is_empty();
            let verdict = match (refused, codes.is_empty()) {
                (true, _) => "R",
                (false, true) => "A",
                (false, false) => "E",
            };
            end.push(verdict.to_owned());
            end.extend(codes.iter().take(CODES_MAX).map(u8::to_string));
        } else {
            end.extend(["R".to_owned(), "1".to_owned()]);
        }
        said.push(end);
    }
    let verdict = if accepted == 0 {
        "R"
    } else if accepted < parts.len() {
        "P"
    } else if noted {
        "E"
    } else {
        "A"
    };
    let stated = of.stated_sets.unwrap_or(0).to_string();
    let mut end = vec!["AK9".to_owned(), verdict.to_owned(), stated, parts.len().to_string(), accepted.to_string()];
    let codes: BTreeSet<u8> = of
        .faults
        .iter()
        .filter_map(|fault| if let Code::Group(code) = fault.code { Some(code) } else { None })
        .collect();
    end.extend(codes.iter().take(CODES_MAX).map(u8::to_string));
    said.push(end);
    Draft { kind: "997", functional_id: "FA", origin: of.origin.clone(), is_test: of.is_test, segments: said }
}

/// AK3 with its AK4s, in the order of the set.
fn segments(faults: &[Fault]) -> Vec<Vec<String>> {
    let mut places: BTreeSet<(usize, &str, u8)> = BTreeSet::new();
    for fault in faults {
        let code = match fault.code {
            Code::Segment(code) => code,
            Code::Element(..) => 8,
            _ => continue,
        };
        let id = fault.at.get(..fault.at.len() - if fault.element > 0 { 2 } else { 0 }).unwrap_or(&fault.at);
        places.insert((fault.position, id, code));
    }
    let mut said = Vec::new();
    for (position, id, code) in places.into_iter().take(SEGMENTS_MAX) {
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(3).collect();
        said.push(vec!["AK3".to_owned(), id, position.to_string(), String::new(), code.to_string()]);
        if code != 8 {
            continue;
        }
        let of_it = faults.iter().filter(|fault| fault.position == position);
        said.extend(
            of_it
                .filter_map(|fault| match &fault.code {
                    Code::Element(number, code, value) => {
                        // A copy of what has letters that are not allowed is not sent back.
                        let copy = if *code == 6 { "" } else { value.as_str() };
                        Some(vec![
                            "AK4".to_owned(),
                            fault.element.to_string(),
                            number.to_string(),
                            code.to_string(),
                            copy.chars().take(99).collect(),
                        ])
                    }
                    _ => None,
                })
                .take(ELEMENTS_MAX),
        );
    }
    said
}

fn set_codes(faults: &[Fault]) -> BTreeSet<u8> {
    faults
        .iter()
        .filter_map(|fault| match fault.code {
            Code::Set(code) => Some(code),
            Code::Segment(_) | Code::Element(..) => Some(5),
            Code::None | Code::Group(_) => None,
        })
        .collect()
}
