//! Chooses the order to which the changes apply, from all orders (850, `Order`) that have its number.
//!
//! Purpose and own dates decide, never the arrival. Two orders with different contents are always visible in the
//! history: as a replacement if one replaces the other, else as a contradiction that a person must resolve.

use crate::edi::codes;
use crate::edi::revisions::change;
use crate::edi::revisions::line_change::LineEffect;
use crate::edi::revisions::{
    OrderState, OrderStatus, ReceivedDocument, Revision, RevisionOutcome, build_revision, difference,
};
use std::cmp::Ordering;

/// Effect of a document by its purpose: BEG01, BCH01, the status of a grocery order (G5001) or the code of its change
/// (G9201).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentPurpose {
    /// 01 cancellation, 17 cancel to be reissued, F and CF cancellation.
    Cancellation,
    /// 05 replacement, 15 resubmission, 18 reissue, CO corrected, T resubmission.
    Replacement,
    /// 06 confirmation, 07 duplicate, 22 information copy, CN completion notification, A information, C and E
    /// confirmation: these change nothing.
    Copy,
    /// 00 and N original, 04 change and all others.
    Plain,
}

impl DocumentPurpose {
    pub(super) fn of(purpose: &str) -> Self {
        match purpose {
            "01" | "17" | "F" | "CF" => Self::Cancellation,
            "05" | "15" | "18" | "CO" | "T" => Self::Replacement,
            "06" | "07" | "22" | "CN" | "A" | "C" | "E" => Self::Copy,
            _ => Self::Plain,
        }
    }
}

/// Documents of one order by what they do, without repetitions.
#[derive(Default)]
pub(super) struct DocumentRoles<'d> {
    /// Orders, sorted: the last one counts.
    pub(super) orders: Vec<&'d ReceivedDocument>,
    /// Orders with the purpose of a cancellation.
    pub(super) cancellations: Vec<&'d ReceivedDocument>,
    pub(super) order_copies: Vec<&'d ReceivedDocument>,
    /// Changes, also those that cancel the order.
    pub(super) changes: Vec<&'d ReceivedDocument>,
    pub(super) change_copies: Vec<&'d ReceivedDocument>,
}

impl<'d> DocumentRoles<'d> {
    pub(super) fn new(documents: Vec<&'d ReceivedDocument>) -> Self {
        let mut roles = Self::default();
        for document in documents {
            let list = match (document.order.is_change, DocumentPurpose::of(&document.order.purpose)) {
                (true, DocumentPurpose::Copy) => &mut roles.change_copies,
                (true, _) => &mut roles.changes,
                (false, DocumentPurpose::Copy) => &mut roles.order_copies,
                (false, DocumentPurpose::Cancellation) => &mut roles.cancellations,
                (false, _) => &mut roles.orders,
            };
            list.push(document);
        }
        for list in [&mut roles.orders, &mut roles.cancellations, &mut roles.order_copies, &mut roles.change_copies] {
            list.sort_by_cached_key(|document| {
                let is_replacement = DocumentPurpose::of(&document.order.purpose) == DocumentPurpose::Replacement;
                (
                    is_replacement,
                    document.effective_date().to_owned(),
                    document.sent_at().map(str::to_owned),
                    document.content_key(),
                )
            });
        }
        roles
    }
}

impl DocumentRoles<'_> {
    /// Reports the grocery orders whose status is not one of an order: D deletion, R change and the like. It is not
    /// certain whether they state the whole order.
    pub(super) fn report_uncertain_statuses(&self) -> impl Iterator<Item = Revision> {
        // Statuses have one letter: N original, B backorder, S future date, X simulation, T resubmission.
        let is_uncertain = |order: &&&ReceivedDocument| {
            let purpose = order.order.purpose.as_str();
            purpose.chars().count() == 1 && !matches!(purpose, "N" | "B" | "S" | "X" | "T")
        };
        self.orders.iter().filter(is_uncertain).map(|order| {
            let status = describe_purpose(order);
            let message = format!("its order status is {status}: it is read as a whole order, which is not certain");
            build_revision(order, None, RevisionOutcome::Unclear, message)
        })
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
        DocumentPurpose::of(&self.document.order.purpose)
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
    fn compare_issue(&self, document: &ReceivedDocument) -> Option<Ordering> {
        let by_date = document.effective_date().cmp(self.document.effective_date());
        if self.has_own_date() && by_date.is_ne() { Some(by_date) } else { self.compare_sent(document) }
    }

    /// Describes each replacement and each contradiction among the orders.
    pub(super) fn describe_orders(&self) -> Vec<Revision> {
        if self.purpose() == DocumentPurpose::Copy {
            let name = describe_purpose(self.document);
            let message = format!("only a copy of the order arrived ({name}), and the order itself did not");
            return vec![build_revision(self.document, None, RevisionOutcome::Unclear, message)];
        }
        let chain: Vec<&ReceivedDocument> = self.earlier.iter().copied().chain([self.document]).collect();
        chain.windows(2).map(|pair| describe_succession(pair[0], pair[1])).collect()
    }

    /// Relates a change to the order by their dates.
    pub(super) fn place_change(&self, change: &ReceivedDocument) -> ChangePlacement {
        let order = self.document;
        let (date, order_date) = (change.effective_date(), order.effective_date());
        let names = format!("dated {date}, {} is dated {order_date}", order.name_kind());
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
    let replaces = DocumentPurpose::of(&later.order.purpose) == DocumentPurpose::Replacement;
    let is_first_replacement = DocumentPurpose::of(&earlier.order.purpose) != DocumentPurpose::Replacement;
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

fn describe_purpose(document: &ReceivedDocument) -> String {
    codes::PURPOSES.describe(&document.order.purpose)
}

/// Applies the orders that have the purpose of a cancellation. They count after all changes, whose dates are newer than
/// the date of the order that a cancellation states.
pub(super) fn apply_cancellations(state: &mut OrderState, roles: &DocumentRoles<'_>, base: &OrderBase<'_>) {
    let is_base = |cancellation: &&ReceivedDocument| std::ptr::eq(*cancellation, base.document);
    // If no other order arrived, one of the cancellations is the order.
    let (base_first, others): (Vec<_>, Vec<_>) = roles.cancellations.iter().copied().partition(is_base);
    for cancellation in base_first.into_iter().chain(others) {
        let (date, order_date) = (cancellation.effective_date(), base.document.effective_date());
        let names = format!("it is dated {date}, {} is dated {order_date}", base.document.name_kind());
        // The date of a cancellation is often that of the first order: then the times decide.
        let order = if date < order_date { Some(Ordering::Less) } else { base.compare_issue(cancellation) };
        if state.status == OrderStatus::Cancelled {
            let fact = format!("the order is cancelled already{}", state.name_cancellation());
            state.add_revision(cancellation, None, LineEffect::refuse(fact));
        } else if is_base(&cancellation) {
            state.cancel(cancellation, &[]);
            let message = "only the cancellation arrived, and the order itself did not".to_owned();
            state.revisions.push(build_revision(cancellation, None, RevisionOutcome::Unclear, message));
        } else if order == Some(Ordering::Less) {
            state.add_revision(cancellation, None, LineEffect::refuse(format!("{names}: the order stays open")));
        } else {
            let targets = change::find_targets(state, &cancellation.order.lines);
            state.cancel(cancellation, &targets);
            if order.is_none() && base.is_reissue() {
                let message = format!("applied, but it is not certain that the cancellation is newer: {names}");
                state.revisions.push(build_revision(cancellation, None, RevisionOutcome::Unclear, message));
            }
            report_newer_changes(state, roles, cancellation, order_date);
        }
    }
}

/// Reports the changes that are newer than a cancellation, if its date is not only the date of the order.
fn report_newer_changes(
    state: &mut OrderState,
    roles: &DocumentRoles<'_>,
    cancellation: &ReceivedDocument,
    order_date: &str,
) {
    let date = cancellation.effective_date();
    for change in roles.changes.iter().filter(|change| order_date < date && change.effective_date() > date) {
        let message = format!(
            "it is dated {}, after the cancellation of {} ({date}): the order stays cancelled",
            change.effective_date(),
            cancellation.name()
        );
        state.revisions.push(build_revision(change, None, RevisionOutcome::Unclear, message));
    }
}
