//! Compares copies (confirmation, duplicate, information copy) with the order. A copy never changes it, and neither
//! does a document whose purpose is uncertain, which a person must look at.

use crate::edi::document_purpose::{DocumentPurpose, is_copy_kind};
use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::revisions::originals::{DocumentRoles, OrderBase, describe_purpose};
use crate::edi::revisions::{
    ChangeQuantities, OrderState, ReceivedDocument, RevisionOutcome, build_revision, change, difference, sequence,
};

/// Compares copies of the order with each version of it.
pub(super) fn compare_order_copies(
    state: &mut OrderState,
    roles: &DocumentRoles<'_>,
    base: &OrderBase<'_>,
    versions: &[PurchaseOrder],
) {
    for copy in roles.order_copies.iter().filter(|copy| !std::ptr::eq(**copy, base.document)) {
        let list_differences = |version: &PurchaseOrder| {
            let mut stated = copy.order.clone();
            // The type states that it is a copy, and not the type of the order.
            if stated.kind.as_deref().is_some_and(is_copy_kind) {
                stated.kind.clone_from(&version.kind);
            }
            difference::list_order_differences(version, &stated)
        };
        let is_known = versions.iter().any(|version| list_differences(version).is_empty());
        if is_known {
            add_row(state, copy, RevisionOutcome::NoEffect, "it agrees with the order");
            continue;
        }
        let differences = difference::join_differences(&list_differences(&state.copy_open_order()));
        let fact = format!("it differs from {}: {differences}", base.document.name_kind());
        add_row(state, copy, RevisionOutcome::Unclear, &fact);
    }
}

/// Compares copies of changes with the changes, then with the order.
pub(super) fn compare_change_copies(state: &mut OrderState, roles: &DocumentRoles<'_>, quantities: ChangeQuantities) {
    let without_purpose = |document: &ReceivedDocument| {
        let mut plain = document.clone();
        plain.order.purpose.clear();
        plain.content_key()
    };
    for copy in &roles.change_copies {
        let key = without_purpose(copy);
        if let Some(change) = roles.changes.iter().find(|change| without_purpose(change) == key) {
            let fact = format!("it is a copy of {}", change.name_kind());
            add_row(state, copy, RevisionOutcome::NoEffect, &fact);
            continue;
        }
        // What would the copy change, if it were a change?
        let mut as_change = (*copy).clone();
        "04".clone_into(&mut as_change.order.purpose);
        let mut changed = state.clone();
        changed.revisions.clear();
        change::apply_change(&mut changed, &as_change, quantities);
        let found = changed.revisions.iter().find(|revision| !revision.states_what_is_so());
        match found {
            None if sequence::is_same_order(state, &changed) => {
                add_row(state, copy, RevisionOutcome::NoEffect, "it agrees with the order");
            }
            found => {
                let line = found.and_then(|revision| revision.line_number.as_ref());
                let line = line.map_or_else(String::new, |number| format!("line {number}: "));
                let message = found.map_or("", |revision| revision.message.as_str());
                let fact = format!("it differs from the order: {line}{message}");
                add_row(state, copy, RevisionOutcome::Unclear, &fact);
            }
        }
    }
}

fn add_row(state: &mut OrderState, copy: &ReceivedDocument, outcome: RevisionOutcome, fact: &str) {
    let purpose = describe_purpose(copy);
    let (outcome, doubt) = match copy.purpose() {
        DocumentPurpose::Uncertain => (RevisionOutcome::Unclear, ", and its effect is not certain"),
        _ => (outcome, ""),
    };
    let message = format!("not applied: its purpose is {purpose}{doubt}; {fact}");
    state.revisions.push(build_revision(copy, None, outcome, message));
}
