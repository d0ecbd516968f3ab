//! Chooses the order to which the changes apply, from all orders (850, `Order`) that have its number.
//!
//! Purpose and own dates decide, never the arrival. Two orders with different contents are always visible in the
//! history: as a replacement if one replaces the other, else as a contradiction that a person must resolve.

use crate::edi::codes;
use crate::edi::document_purpose::{self, DocumentPurpose};
use crate::edi::revisions::{ReceivedDocument, Revision, RevisionOutcome, build_revision, difference};
use std::cmp::Ordering;

/// Documents of one order by what they do, without repetitions.
#[derive(Default)]
pub(super) struct DocumentRoles<'d> {
    /// Orders, sorted: the last one counts.
    pub(super) orders: Vec<&'d ReceivedDocument>,
    /// Orders with the purpose of a cancellation.
    pub(super) cancellations: Vec<&'d ReceivedDocument>,
    /// Copies, and orders whose purpose is uncertain.
    pub(super) order_copies: Vec<&'d ReceivedDocument>,
    /// Changes, also those that cancel the order.
    pub(super) changes: Vec<&'d ReceivedDocument>,
    /// Copies, and changes whose purpose is uncertain.
    pub(super) change_copies: Vec<&'d ReceivedDocument>,
}

impl<'d> DocumentRoles<'d> {
    pub(super) fn new(documents: Vec<&'d ReceivedDocument>) -> Self {
        let mut roles = Self::default();
        for document in documents {
            let list = match (document.order.is_change, document.purpose()) {
                (true, DocumentPurpose::Copy | DocumentPurpose::Uncertain) => &mut roles.change_copies,
                (true, _) => &mut roles.changes,
                (false, DocumentPurpose::Copy | DocumentPurpose::Uncertain) => &mut roles.order_copies,
                (false, DocumentPurpose::Cancellation) => &mut roles.cancellations,
                (false, _) => &mut roles.orders,
            };
            list.push(document);
        }
        for list in [&mut roles.orders, &mut roles.cancellations, &mut roles.order_copies, &mut roles.change_copies] {
            list.sort_by_cached_key(|document| {
                // A copy states more of the order than a document whose purpose is uncertain.
                let rank = matches!(document.purpose(), DocumentPurpose::Replacement | DocumentPurpose::Copy);
                (
                    rank,
                    document.effective_date().to_owned(),
                    document.sent_at().map(str::to_owned),
                    document.content_key(),
                )
            });
        }
        roles
    }
}

/// Order to which the changes apply.
pub(super) struct OrderBase<'d> {
    pub(super) document: &'d ReceivedDocument,
    /// Orders that it replaces or contradicts.
    earlier: Vec<&'d ReceivedDocument>,
}

/// Relation of a change to the order, by their own dates.
pub(super) enum ChangePlacement {
    /// The change is newer than the order.
    Apply,
    /// The change applies, but a person must look at the reason.
    ApplyInDoubt(String),
    /// The order replaced an earlier one after the change: it contains the change.
    Contained(String),
    /// It is not certain whether the order contains the change. The date of the change may be newer, but the date of
    /// the order is only that of the first order.
    Undecided { is_newer: bool, reason: String },
    /// The change does not belong to this order.
    Foreign(String),
}

impl<'d> OrderBase<'d> {
    /// Chooses the order; `None` if only changes arrived.
    pub(super) fn choose(roles: &DocumentRoles<'d>) -> Option<Self> {
        let (document, earlier) = match (roles.orders.split_last(), roles.order_copies.last()) {
            (Some((document, earlier)), _) => (document, earlier.to_vec()),
            (None, Some(copy)) => (copy, Vec::new()),
            (None, None) => (roles.cancellations.last()?, Vec::new()),
        };
        Some(Self { document, earlier })
    }

    pub(super) fn purpose(&self) -> DocumentPurpose {
        self.document.purpose()
    }

    /// Returns true if the order took the place of an earlier one.
    pub(super) fn is_reissue(&self) -> bool {
        self.purpose() == DocumentPurpose::Replacement || !self.earlier.is_empty()
    }

    /// Returns true if the date of the order states when it was issued, and not only the date of the first order.
    fn has_own_date(&self) -> bool {
        self.earlier.iter().all(|earlier| earlier.effective_date() < self.document.effective_date())
    }

    /// Compares the time at which a document was sent with the time at which the order was; `None` if the times decide
    /// nothing.
    fn compare_sent(&self, document: &ReceivedDocument) -> Option<Ordering> {
        let is_last = self.earlier.iter().all(|earlier| earlier.is_sent_before(self.document));
        match (document.is_sent_before(self.document), self.document.is_sent_before(document)) {
            (true, _) if is_last => Some(Ordering::Less),
            (_, true) if is_last => Some(Ordering::Greater),
            _ => None,
        }
    }

    /// Compares a document with the order that took the place of an earlier one: by their dates, then by the times at
    /// which they were sent.
    pub(super) fn compare_issue(&self, document: &ReceivedDocument) -> Option<Ordering> {
        let by_date = document.effective_date().cmp(self.document.effective_date());
        if self.has_own_date() && by_date.is_ne() { Some(by_date) } else { self.compare_sent(document) }
    }

    /// Returns the days of a document and of the order for a message, with the times at which they were sent, if these
    /// differ.
    pub(super) fn name_dates(&self, document: &ReceivedDocument) -> String {
        let order = self.document;
        let has_times = document.is_sent_before(order) || order.is_sent_before(document);
        let sent = |document: &ReceivedDocument| {
            document.sent_at().filter(|_| has_times).map_or_else(String::new, |time| format!(" (sent {time})"))
        };
        format!(
            "dated {}{}, {} is dated {}{}",
            document.effective_date(),
            sent(document),
            order.name_kind(),
            order.effective_date(),
            sent(order)
        )
    }

    /// Describes each replacement and each contradiction among the orders.
    pub(super) fn describe_orders(&self) -> Vec<Revision> {
        let kind = match self.purpose() {
            DocumentPurpose::Copy => Some("a copy of the order"),
            DocumentPurpose::Uncertain => Some("a document whose purpose does not make it an order"),
            _ => None,
        };
        if let Some(kind) = kind {
            let name = describe_purpose(self.document);
            let message = format!("only {kind} arrived ({name}), and the order itself did not");
            return vec![build_revision(self.document, None, RevisionOutcome::Unclear, message)];
        }
        let chain: Vec<&ReceivedDocument> = self.earlier.iter().copied().chain([self.document]).collect();
        chain.windows(2).map(|pair| describe_succession(pair[0], pair[1])).collect()
    }

    /// Relates a change to the order by their dates.
    pub(super) fn place_change(&self, change: &ReceivedDocument) -> ChangePlacement {
        let order = self.document;
        let (date, order_date) = (change.effective_date(), order.effective_date());
        let names = self.name_dates(change);
        if !self.is_reissue() {
            let is_older = change.order.changed_on.is_some() && order.order.ordered_on.is_some() && date < order_date;
            if is_older {
                return ChangePlacement::Foreign(format!("it is older than the order: it is {names}"));
            }
            return self.check_order_date(change);
        }
        match self.compare_issue(change) {
            Some(Ordering::Less) => {
                let fact = "takes the place of the earlier order and contains the change";
                ChangePlacement::Contained(format!("it is older: it is {names}; the order {fact}"))
            }
            Some(_) => self.check_order_date(change),
            None => {
                let reason = format!("it is not certain whether the order contains it: it is {names}");
                ChangePlacement::Undecided { is_newer: date > order_date, reason }
            }
        }
    }

    /// Compares the date of the order that a change names (BCH06) with the date of the order.
    fn check_order_date(&self, change: &ReceivedDocument) -> ChangePlacement {
        let (Some(named), Some(own)) = (&change.order.ordered_on, &self.document.order.ordered_on) else {
            return ChangePlacement::Apply;
        };
        if named == own {
            return ChangePlacement::Apply;
        }
        let other = self.earlier.iter().find(|earlier| earlier.order.ordered_on.as_ref() == Some(named));
        match other {
            // A replacement may have a date of its own.
            Some(_) if self.purpose() == DocumentPurpose::Replacement => ChangePlacement::Apply,
            Some(other) => ChangePlacement::Foreign(format!(
                "it changes the order of {named} ({}), and the order of {own} ({}) counts",
                other.name(),
                self.document.name()
            )),
            None => ChangePlacement::ApplyInDoubt(format!(
                "it states the order date {named}, but {} is of {own}",
                self.document.name_kind()
            )),
        }
    }
}

/// Describes that one order took the place of another one, or that both contradict each other.
fn describe_succession(earlier: &ReceivedDocument, later: &ReceivedDocument) -> Revision {
    let differences = difference::list_order_differences(&earlier.order, &later.order);
    if differences.is_empty() {
        let message = format!("states the same as {}", earlier.name_kind());
        return build_revision(later, None, RevisionOutcome::NoEffect, message);
    }
    let differences = difference::join_differences(&differences);
    let (earlier_date, later_date) = (earlier.effective_date(), later.effective_date());
    let replaces = later.purpose() == DocumentPurpose::Replacement;
    let is_first_replacement = earlier.purpose() != DocumentPurpose::Replacement;
    let is_newer = match later_date.cmp(earlier_date) {
        Ordering::Less => false,
        Ordering::Equal => is_first_replacement || earlier.is_sent_before(later),
        Ordering::Greater => true,
    };
    if replaces && is_newer {
        let message = format!("replaces {}: {differences}", earlier.name_kind());
        return build_revision(later, None, RevisionOutcome::Applied, message);
    }
    let reason = if later_date > earlier_date {
        format!("its date {later_date} is newer than {earlier_date}")
    } else if later_date < earlier_date {
        format!("it is a replacement, although its date {later_date} is older than {earlier_date}")
    } else if earlier.is_sent_before(later) {
        let times = (later.sent_at().unwrap_or_default(), earlier.sent_at().unwrap_or_default());
        format!("both are dated {later_date}, and it was sent later ({} after {})", times.0, times.1)
    } else {
        format!("both are dated {later_date}, and neither is certain to be newer")
    };
    let message = format!(
        "{}, {}, and {}, {}, contradict each other: {differences}. {} counts: {reason}",
        earlier.name(),
        describe_purpose(earlier),
        later.name(),
        describe_purpose(later),
        later.name(),
    );
    build_revision(later, None, RevisionOutcome::Unclear, message)
}

/// Returns the purpose for a message, and the type if it decides what the document is.
pub(super) fn describe_purpose(document: &ReceivedDocument) -> String {
    let purpose = document_purpose::PURPOSES.describe(&document.order.purpose);
    match document.order.kind.as_deref().filter(|kind| document_purpose::is_copy_kind(kind)) {
        Some(kind) if document.purpose() == DocumentPurpose::Copy => {
            format!("{purpose}, its type {}", codes::ORDER_TYPES.describe(kind))
        }
        _ => purpose,
    }
}
