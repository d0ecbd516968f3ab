//! Purchase orders do not depend on the arrival of their documents: every permutation of the same documents gives the
//! same order and the same history.

use crate::support::seed::seeded_config;
use novex_ingest::internals::edi::purchase_order::{ProductId, PurchaseOrder, PurchaseOrderLine};
use novex_ingest::internals::edi::revisions::{OrderState, ReceivedDocument, fold_documents};
use proptest::prelude::*;

/// Document with the day on which it arrives; its event depends on the permutation.
type DatedDocument = (PurchaseOrder, String);

fn day() -> impl Strategy<Value = String> {
    (12..=15_u8).prop_map(|day| format!("2026-09-{day}"))
}

prop_compose! {
    /// A line with few possible values, so that documents often name the same line.
    fn line()(
        number in prop::option::of("[1-3]"), goods in prop::option::of("[ABC]"), quantity in prop::option::of("[1-3]0"),
        price in prop::option::of("[12]"), left in prop::option::weighted(0.1, "[1-3]0"),
        code in prop::sample::select(vec!["AI", "DI", "CA", "QI", "QD", "PC", "RZ", "NC", "CF", "PO1", "XX"]),
    ) -> PurchaseOrderLine {
        PurchaseOrderLine {
            number, change: Some(code.to_owned()), quantity, quantity_left: left, unit: Some("CA".into()), price,
            ids: goods.into_iter().map(|value| ProductId { qualifier: "VP".into(), value }).collect(),
            ..PurchaseOrderLine::default()
        }
    }
}

prop_compose! {
    fn original()(
        purpose in prop::sample::select(vec!["00", "00", "05", "01", "22", "06"]), ordered_on in prop::option::weighted(0.9, day()),
        quantities in prop::collection::vec("[1-3]0", 1..4), department in prop::option::of("[12]"), is_test in prop::bool::weighted(0.05),
        sent_at in prop::option::weighted(0.3, day()), received_on in day(),
    ) -> DatedDocument {
        let lines = quantities.into_iter().zip(["A", "B", "C"]).enumerate().map(|(index, (quantity, goods))| PurchaseOrderLine {
            number: Some((index + 1).to_string()), quantity: Some(quantity), unit: Some("CA".into()), price: Some("1".into()),
            ids: vec![ProductId { qualifier: "VP".into(), value: goods.into() }], ..PurchaseOrderLine::default()
        });
        let mut order = PurchaseOrder {
            number: "PO1".into(), purpose: purpose.into(), ordered_on, department, is_test, lines: lines.collect(), ..PurchaseOrder::default()
        };
        order.origin.sent_at = sent_at;
        (order, received_on)
    }
}

prop_compose! {
    fn change()(
        purpose in prop::sample::select(vec!["04", "04", "04", "05", "01", "22", "07"]), sequence in prop::option::of("[12]"),
        changed_on in prop::option::weighted(0.8, day()), ordered_on in prop::option::weighted(0.3, day()),
        lines in prop::collection::vec(line(), 0..3), department in prop::option::weighted(0.3, "[12]"),
        sent_at in prop::option::weighted(0.3, day()), received_on in day(),
    ) -> DatedDocument {
        let mut order = PurchaseOrder {
            is_change: true, number: "PO1".into(), purpose: purpose.into(), sequence, changed_on, ordered_on, department, lines,
            ..PurchaseOrder::default()
        };
        order.origin.sent_at = sent_at;
        (order, received_on)
    }
}

/// Returns every permutation of the numbers below `count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let insert = |list: &Vec<usize>, at: usize| [&list[..at], &[count - 1], &list[at..]].concat();
    shorter.iter().flat_map(|list| (0..count).map(move |at| insert(list, at))).collect()
}

/// Folds documents that arrive in this sequence. Equal documents have one name, and events the name of their document.
fn fold_in_sequence(documents: &[DatedDocument], sequence: &[usize], delta: bool) -> OrderState {
    let received: Vec<ReceivedDocument> = (100..)
        .zip(sequence)
        .map(|(event_id, index)| {
            let (order, received_on) = documents[*index].clone();
            ReceivedDocument { order, event_id, document_position: 1, received_on }
        })
        .collect();
    let mut state = fold_documents(&received, delta);
    let content = |index: usize| PurchaseOrder { origin: Default::default(), ..documents[index].0.clone() };
    let name = |event_id: i64| {
        let index = sequence[usize::try_from(event_id - 100).unwrap()];
        let first = (0..documents.len()).find(|other| content(*other) == content(index)).unwrap();
        i64::try_from(first).unwrap()
    };
    state.last_event_id = 0;
    state.event_id = state.event_id.map(name);
    for revision in &mut state.revisions {
        for event_id in 100..100 + i64::try_from(documents.len()).unwrap() {
            revision.message =
                revision.message.replace(&format!("event {event_id}"), &format!("document {}", name(event_id)));
        }
        revision.event_id = name(revision.event_id);
    }
    state
}

proptest! {
    #![proptest_config(seeded_config(300))]

    #[test]
    fn every_permutation_gives_the_same_order(
        originals in prop::collection::vec(original(), 0..3), changes in prop::collection::vec(change(), 0..3), delta in any::<bool>(),
        repeats_one in any::<bool>(),
    ) {
        let mut documents: Vec<DatedDocument> = originals.into_iter().chain(changes).collect();
        if repeats_one && let Some(first) = documents.first().cloned() {
            documents.push(first);
        }
        let permutations = permutations(documents.len());
        let expected = fold_in_sequence(&documents, &permutations[0], delta);
        for sequence in &permutations[1..] {
            let state = fold_in_sequence(&documents, sequence, delta);
            prop_assert_eq!(&state.order, &expected.order, "{:?}", sequence);
            prop_assert_eq!(&state.line_statuses, &expected.line_statuses, "{:?}", sequence);
            let rows = |state: &OrderState| state.revisions.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
            prop_assert_eq!(rows(&state), rows(&expected), "{:?}", sequence);
            prop_assert_eq!(state.status, expected.status);
            prop_assert_eq!(state.attention().is_some(), expected.attention().is_some());
        }
    }
}
