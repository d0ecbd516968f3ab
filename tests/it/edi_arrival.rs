//! Purchase orders do not depend on the arrival of their documents: every permutation of the same documents gives the
//! same order and the same history.

use crate::support::home::Home;
use crate::support::order_documents::{DocumentSpec, change, line, order};
use crate::support::seed::seeded_config;
use novex_ingest::internals::edi::purchase_order::{DocumentOrigin, ProductId, PurchaseOrder, PurchaseOrderLine};
use novex_ingest::internals::edi::revisions::{ChangeQuantities, OrderState, ReceivedDocument, fold_documents};
use proptest::prelude::*;
use std::fs;

/// Document with the day on which it arrives; its event depends on the permutation.
type DatedDocument = (PurchaseOrder, String);

fn day() -> impl Strategy<Value = String> {
    (12..=15_u8).prop_map(|day| format!("2026-09-{day}"))
}

prop_compose! {
    /// A line with few possible values, so that documents often name the same line.
    fn any_line()(
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
    fn any_original()(
        purpose in prop::sample::select(vec!["00", "00", "05", "01", "22", "24"]), ordered_on in prop::option::weighted(0.9, day()),
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
    fn any_change()(
        purpose in prop::sample::select(vec!["04", "04", "04", "05", "01", "22", "21"]), sequence in prop::option::of("[13]"),
        changed_on in prop::option::weighted(0.8, day()), ordered_on in prop::option::weighted(0.3, day()),
        lines in prop::collection::vec(any_line(), 0..3), department in prop::option::weighted(0.3, "[12]"),
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
fn fold_in_sequence(documents: &[DatedDocument], sequence: &[usize], quantities: ChangeQuantities) -> OrderState {
    let received: Vec<ReceivedDocument> = (100..)
        .zip(sequence)
        .map(|(event_id, index)| {
            let (order, received_on) = documents[*index].clone();
            ReceivedDocument { order, event_id, document_position: 1, received_on }
        })
        .collect();
    let mut state = fold_documents(&received, quantities);
    let content = |index: usize| PurchaseOrder { origin: DocumentOrigin::default(), ..documents[index].0.clone() };
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
        originals in prop::collection::vec(any_original(), 0..3), changes in prop::collection::vec(any_change(), 0..3), quantities in prop::sample::select(vec![ChangeQuantities::Total, ChangeQuantities::Delta, ChangeQuantities::Left]),
        repeats_one in any::<bool>(),
    ) {
        let mut documents: Vec<DatedDocument> = originals.into_iter().chain(changes).collect();
        if repeats_one && let Some(first) = documents.first().cloned() {
            documents.push(first);
        }
        let permutations = permutations(documents.len());
        let expected = fold_in_sequence(&documents, &permutations[0], quantities);
        for sequence in &permutations[1..] {
            let state = fold_in_sequence(&documents, sequence, quantities);
            prop_assert_eq!(&state.order, &expected.order, "{:?}", sequence);
            prop_assert_eq!(&state.line_statuses, &expected.line_statuses, "{:?}", sequence);
            let rows = |state: &OrderState| state.revisions.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
            prop_assert_eq!(rows(&state), rows(&expected), "{:?}", sequence);
            prop_assert_eq!(state.status, expected.status);
            prop_assert_eq!(state.attention().is_some(), expected.attention().is_some());
        }
    }
}

/// The tables are the same for every permutation: each permutation has an order number of its own.
#[test]
fn every_permutation_gives_the_same_tables() {
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    home.configure(&format!(
        "[worker]\npoll = \"20ms\"\n[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n\
         settle = \"0s\"\n",
        home.path("in").display()
    ));
    let daemon = home.serve();
    let replaced = DocumentSpec { purpose: "05", ordered_on: "2026-09-16", department: "12", ..order() };
    let second =
        DocumentSpec { purpose: "00", ordered_on: "2026-09-14", lines: order().lines[..2].to_vec(), ..order() };
    let contained = change("04", vec![line("QI", "1", "A1", "15")]);
    let newer =
        DocumentSpec { sequence: "2", changed_on: "2026-09-18", ..change("04", vec![line("DI", "1", "C3", "")]) };
    let documents = [order(), second, replaced, contained, newer];
    let permutations = permutations(documents.len());
    for step in 0..documents.len() {
        for (number, sequence) in permutations.iter().enumerate() {
            // The name of the file names the document, also in the history.
            let text = documents[sequence[step]].write("x12").replace("*PO1*", &format!("*N{number}*"));
            fs::write(home.path("in").join(format!("N{number}-{}.edi", sequence[step])), text).unwrap();
        }
        home.run_ok(&["sps", "poll"]);
        home.wait_until_processed();
    }
    let names =
        "(SELECT group_concat(substr(webhook_id, instr(webhook_id, '-'), 2)) FROM webhook_events WHERE id = event_id)";
    let tables = [
        "SELECT status, attention IS NOT NULL, purpose, ordered_on, department, lines_total, changes, NAME FROM purchase_orders",
        "SELECT position, line_number, status, quantity, unit, price, vendor_item FROM purchase_order_lines",
        "SELECT position, kind, ordinal, code, value, details FROM purchase_order_parts",
        "SELECT revision, sequence, changed_on, line_number, code, outcome, NAME FROM purchase_order_changes",
    ];
    let read = |number: usize| {
        let rows = tables.map(|sql| home.sql(&format!("{} WHERE po_number = 'N{number}'", sql.replace("NAME", names))));
        rows.join("\n")
    };
    let expected = read(0);
    assert!(expected.contains("open|1|05|2026-09-16|12|") && expected.contains("3|3|cancelled"), "{expected}");
    for (number, sequence) in permutations.iter().enumerate() {
        assert_eq!(read(number), expected, "{sequence:?}");
    }
    daemon.stop();
}
