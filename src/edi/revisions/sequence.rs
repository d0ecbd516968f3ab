//! Applies the changes in the sequence of their own numbers and dates, never in that of their arrival.
//!
//! Changes that no number and no date puts in a sequence are applied only if each sequence gives the same order.

use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::revisions::change::{self, TargetKey};
use crate::edi::revisions::line_change::LineEffect;
use crate::edi::revisions::originals::{ChangePlacement, OrderBase};
use crate::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, Revision, RevisionOutcome, build_revision, difference,
    overwrite,
};
use std::collections::{BTreeSet, HashMap};

/// Most pairs of changes without a sequence that are compared by applying them; further pairs are undecided.
const COMPARISONS_MAX: usize = 50;

/// Most missing numbers between two changes that are reported: some senders count in tens, or use dates.
const MISSING_MAX: u64 = 8;

/// Change with its place in the sequence.
#[derive(Clone)]
struct PlacedChange<'d> {
    document: &'d ReceivedDocument,
    /// Day of the change, and not before that of a change with a lower number.
    place: String,
    number: Option<u64>,
}

/// Applies all changes to the order. `on_version` receives the order after each group of changes.
pub(super) fn apply_changes(
    state: &mut OrderState,
    changes: &[&ReceivedDocument],
    base: &OrderBase<'_>,
    quantities: ChangeQuantities,
    on_version: &mut dyn FnMut(&OrderState),
) {
    let placed = place_changes(changes);
    let repeated = find_repeated_numbers(&placed);
    let gaps = find_missing_numbers(&placed);
    for group in placed.chunk_by(|one, two| one.place == two.place) {
        let undecided = find_undecided_changes(state, group, quantities);
        for (position, change) in group.iter().enumerate() {
            if let Some(other) = repeated.get(&(change.document.event_id, change.document.document_position)) {
                let number = change.document.order.sequence.clone().unwrap_or_default();
                let message = format!("its number {number} is also the number of {other}, which has other contents");
                state.revisions.push(build_revision(change.document, None, RevisionOutcome::Unclear, message));
            }
            if let Some(missing) = gaps.get(&(change.document.event_id, change.document.document_position))
                && !matches!(base.place_change(change.document), ChangePlacement::Contained(_))
            {
                let message = format!("{missing}, with a number before this change, did not arrive");
                state.revisions.push(build_revision(change.document, None, RevisionOutcome::Unclear, message));
            }
            match &undecided[position] {
                Some(others) => {
                    let reason = format!("neither a number nor a date decides whether it comes before {others}");
                    state.add_revision(change.document, None, LineEffect::refuse(reason));
                }
                None => apply_placed_change(state, change.document, base, quantities),
            }
        }
        on_version(state);
    }
}

/// Sorts the changes: by number, those without a number by date among them.
fn place_changes<'d>(changes: &[&'d ReceivedDocument]) -> Vec<PlacedChange<'d>> {
    let parse_number = |document: &ReceivedDocument| {
        document.order.sequence.as_deref().map(|text| text.trim().parse::<u64>().unwrap_or(u64::MAX))
    };
    let mut placed: Vec<PlacedChange<'d>> = changes
        .iter()
        .map(|document| PlacedChange {
            document,
            place: document.effective_date().to_owned(),
            number: parse_number(document),
        })
        .collect();
    let text = |change: &PlacedChange<'_>| change.document.order.sequence.clone();
    placed.sort_by_cached_key(|change| (change.number, text(change), change.place.clone()));
    let mut latest = String::new();
    for change in placed.iter_mut().filter(|change| change.number.is_some()) {
        // A greater number comes later, whatever its date states.
        latest = latest.max(change.place.clone());
        change.place.clone_from(&latest);
    }
    // The sequence within a file is the sender's own. Between files, the contents give a sequence that does not depend
    // on the arrival.
    let mut first_of_file: HashMap<(i64, String), String> = HashMap::new();
    for change in &placed {
        let content = change.document.content_key();
        let first = first_of_file.entry((change.document.event_id, change.place.clone())).or_insert(content.clone());
        if content < *first {
            *first = content;
        }
    }
    placed.sort_by_cached_key(|change| {
        let document = change.document;
        let is_cancellation = document.purpose() == DocumentPurpose::Cancellation;
        (
            change.place.clone(),
            change.number.map_or((1, 0), |number| (0, number)),
            text(change),
            document.effective_date().to_owned(),
            is_cancellation,
            document.sent_at().map(str::to_owned),
            first_of_file.get(&(document.event_id, change.place.clone())).cloned(),
            document.document_position,
        )
    });
    placed
}

/// Returns, for each change whose number has several contents, the names of the other changes.
fn find_repeated_numbers(placed: &[PlacedChange<'_>]) -> HashMap<(i64, i64), String> {
    let mut by_number: HashMap<(u64, String), Vec<&ReceivedDocument>> = HashMap::new();
    for change in placed {
        if let (Some(number), Some(text)) = (change.number, &change.document.order.sequence) {
            let text = if number == u64::MAX { text.clone() } else { String::new() };
            by_number.entry((number, text)).or_default().push(change.document);
        }
    }
    let mut repeated = HashMap::new();
    for documents in by_number.values().filter(|documents| documents.len() > 1) {
        for document in documents.iter().skip(1) {
            let content = document.content_key();
            let others = documents.iter().filter(|other| other.content_key() != content);
            let names: Vec<String> = others.map(|other| other.name_kind()).collect();
            if names.is_empty() {
                continue;
            }
            repeated.insert((document.event_id, document.document_position), names.join(" and "));
        }
    }
    repeated
}

/// Returns, for each change that follows a gap in the numbers of the changes, the names of the missing ones.
fn find_missing_numbers(placed: &[PlacedChange<'_>]) -> HashMap<(i64, i64), String> {
    let mut numbered: Vec<(u64, &ReceivedDocument)> =
        placed.iter().filter_map(|change| Some((change.number?, change.document))).collect();
    numbered.retain(|(number, _)| *number != u64::MAX);
    numbered.sort_by_key(|(number, _)| *number);
    let mut missing = HashMap::new();
    for pair in numbered.windows(2) {
        let ((earlier, _), (later, document)) = (pair[0], pair[1]);
        let names = match later - earlier {
            0 | 1 => continue,
            2 => format!("change {}", earlier + 1),
            // Numbers that are far apart are no count.
            difference if difference - 1 > MISSING_MAX => continue,
            _ => format!("changes {} to {}", earlier + 1, later - 1),
        };
        missing.insert((document.event_id, document.document_position), names);
    }
    missing
}

/// Applies a change, if it belongs to this order and is newer.
fn apply_placed_change(
    state: &mut OrderState,
    document: &ReceivedDocument,
    base: &OrderBase<'_>,
    quantities: ChangeQuantities,
) {
    let is_cancellation = document.purpose() == DocumentPurpose::Cancellation;
    match base.place_change(document) {
        ChangePlacement::Apply => change::apply_change(state, document, quantities),
        ChangePlacement::ApplyInDoubt(reason) => {
            let message = format!("applied, but {reason}");
            state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, message));
            change::apply_change(state, document, quantities);
        }
        ChangePlacement::Contained(reason) if !is_cancellation => {
            state.add_revision(document, None, LineEffect::skip(reason));
        }
        // A cancellation of an order that was issued again is always for a person.
        ChangePlacement::Contained(reason) | ChangePlacement::Foreign(reason) => {
            state.add_revision(document, None, LineEffect::refuse(reason));
        }
        ChangePlacement::Undecided { is_newer, reason } => {
            let mut changed = state.clone();
            change::apply_change(&mut changed, document, quantities);
            let is_same = is_same_order(state, &changed);
            let mut rows = changed.revisions[state.revisions.len()..].iter();
            if is_same && !rows.all(Revision::states_what_is_so) {
                // Nothing was applied, and each line has its reason.
                *state = changed;
            } else if is_same {
                let fact = "the order contains it: it has each stated value already";
                state.add_revision(document, None, LineEffect::skip(fact));
            } else if is_newer || is_cancellation {
                let message = format!("applied, but {reason}");
                state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, message));
                change::apply_change(state, document, quantities);
            } else {
                state.add_revision(document, None, LineEffect::refuse(reason));
            }
        }
    }
}

/// Returns, for each change of a group, the names of the changes before or after which it may come, with different
/// results.
fn find_undecided_changes(
    state: &OrderState,
    group: &[PlacedChange<'_>],
    quantities: ChangeQuantities,
) -> Vec<Option<String>> {
    let mut others: Vec<Vec<String>> = vec![Vec::new(); group.len()];
    if group.len() > 1 && state.status != OrderStatus::Cancelled {
        let targets: Vec<BTreeSet<TargetKey>> =
            group.iter().map(|change| list_target_keys(state, &change.document.order)).collect();
        let mut comparison_count = 0;
        for one in 0..group.len() {
            for two in one + 1..group.len() {
                if is_decided(&group[one], &group[two]) {
                    continue;
                }
                let pair = (group[one].document, group[two].document);
                let shares_lines = !targets[one].is_disjoint(&targets[two]);
                if do_headers_commute(state, pair) && !shares_lines {
                    continue;
                }
                comparison_count += 1;
                if comparison_count > COMPARISONS_MAX || !do_changes_commute(state, pair, quantities) {
                    others[one].push(pair.1.name_kind());
                    others[two].push(pair.0.name_kind());
                }
            }
        }
    }
    others.into_iter().map(|names| (!names.is_empty()).then(|| names.join(" and "))).collect()
}

/// Returns true if numbers, dates or the file of two changes of one group decide which one is first.
fn is_decided(one: &PlacedChange<'_>, two: &PlacedChange<'_>) -> bool {
    let has_cancellation = [one, two].iter().any(|change| change.document.purpose() == DocumentPurpose::Cancellation);
    let by_number = match (one.number, two.number) {
        (Some(first), Some(second)) => {
            first != second || one.document.effective_date() != two.document.effective_date()
        }
        _ => false,
    };
    // Changes with and without a number are not sorted by the time at which they were sent.
    let by_time = one.number == two.number
        && (one.document.is_sent_before(two.document) || two.document.is_sent_before(one.document));
    by_number || by_time || has_cancellation || one.document.event_id == two.document.event_id
}

fn list_target_keys(state: &OrderState, change: &PurchaseOrder) -> BTreeSet<TargetKey> {
    let targets = change::find_targets(state, &change.lines);
    let keys = change.lines.iter().zip(&targets).filter_map(|(line, target)| change::find_target_key(line, target));
    keys.collect()
}

/// Returns true if the headers of two changes give the same order in either sequence.
fn do_headers_commute(state: &OrderState, (one, two): (&ReceivedDocument, &ReceivedDocument)) -> bool {
    let mut header = state.order.clone();
    header.lines.clear();
    let fold = |first: &ReceivedDocument, second: &ReceivedDocument| {
        let mut folded = header.clone();
        overwrite::overwrite_header(&mut folded, &first.order);
        overwrite::overwrite_header(&mut folded, &second.order);
        folded
    };
    difference::list_header_differences(&fold(one, two), &fold(two, one)).is_empty()
}

/// Returns true if two changes give the same order in either sequence.
fn do_changes_commute(
    state: &OrderState,
    (one, two): (&ReceivedDocument, &ReceivedDocument),
    quantities: ChangeQuantities,
) -> bool {
    let fold = |first: &ReceivedDocument, second: &ReceivedDocument| {
        let mut folded = state.clone();
        change::apply_change(&mut folded, first, quantities);
        change::apply_change(&mut folded, second, quantities);
        folded
    };
    is_same_order(&fold(one, two), &fold(two, one))
}

/// Compares two states without regard to their history and to the order of their lines.
pub(super) fn is_same_order(one: &OrderState, two: &OrderState) -> bool {
    one.status == two.status
        && difference::list_order_differences(&one.copy_open_order(), &two.copy_open_order()).is_empty()
}
