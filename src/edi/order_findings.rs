//! What a person must look at in an order: contradictions, and stated sums that do not fit. The readers add findings of
//! a document; here are those of a line as it is after all changes, so that a later change can settle them.

use crate::edi::purchase_order::PurchaseOrderLine;
use crate::edi::revisions::{OrderState, OrderStatus, RevisionOutcome};

/// Most findings that `attention` names; `sps show` lists all.
const FINDINGS_NAMED_MAX: usize = 5;

impl OrderState {
    /// Returns the reason why a person must look at the order, if there is one.
    #[must_use]
    pub fn attention(&self) -> Option<String> {
        if self.status == OrderStatus::Waiting {
            return Some("a change arrived before the order that it changes".to_owned());
        }
        let unclear = self.revisions.iter().filter(|revision| revision.outcome == RevisionOutcome::Unclear).count();
        let unclear = match unclear {
            0 => None,
            1 => Some("1 change is unclear: see purchase_order_changes".to_owned()),
            _ => Some(format!("{unclear} changes are unclear: see purchase_order_changes")),
        };
        summarize_findings(unclear.into_iter().chain(self.findings()).collect())
    }

    /// Returns what a person must look at in the order as it is now: the findings of its documents, and those of its
    /// open lines.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let open = self.order.lines.iter().zip(&self.line_statuses).enumerate();
        let open = open.filter(|(_, (_, status))| **status == OrderStatus::Open);
        let of_lines = open.flat_map(|(index, (line, _))| find_line_findings(line, index + 1));
        self.order.findings.iter().cloned().chain(of_lines).collect()
    }
}

/// Joins findings to one text, or returns None if there is none.
fn summarize_findings(mut findings: Vec<String>) -> Option<String> {
    let more = findings.len().saturating_sub(FINDINGS_NAMED_MAX);
    findings.truncate(FINDINGS_NAMED_MAX);
    if more > 0 {
        findings.push(format!("and {more} more in `novex-ingest sps show`"));
    }
    (!findings.is_empty()).then(|| findings.join("; "))
}

/// Returns the findings of an open line; `position` counts from 1.
fn find_line_findings(line: &PurchaseOrderLine, position: usize) -> Vec<String> {
    let name = line.number.as_deref().map_or_else(|| format!("line #{position}"), |number| format!("line {number}"));
    let mut findings = Vec::new();
    if line.quantity.is_none() {
        findings.push(format!("{name} has no quantity"));
    }
    findings
}
