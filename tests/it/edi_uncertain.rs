//! Documents of an order whose effect is not certain: unusual purposes, contradictions, values that a change may or may
//! not replace. None of them changes the order without a report, and no value is lost.

use crate::support::edi_files::interchange;
use crate::support::order_documents::{
    APPLIED, DocumentSpec, FORMATS, NO_EFFECT, Rows, UNCHANGED, UNCLEAR, change, check, check_format, describe_state,
    line, order, with_price,
};
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::PurchaseOrder;
use novex_ingest::internals::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, fold_documents,
};
use serde_json::json;

const ALL_CANCELLED: &str = "A1 cancelled, B2 cancelled, C3 cancelled";
const BEGIN: &str = "BEG*00*SA*PO1**20260912";
const BEGIN_CHANGE: &str = "BCH*04*SA*PO1**1*20260912*****20260914";
const LINES: [&str; 2] = ["PO1*1*50*CA*10**VN*A1*UP*111111111117", "PO1*2*20*CA*5**VN*B2*UP*222222222224"];

/// Returns the first order of a file.
fn read_order(text: &str) -> PurchaseOrder {
    file::read_edi_file(text.as_bytes()).documents.remove(0).order.unwrap_or_else(|| panic!("no order: {text}"))
}

/// Returns the segments as a document of a group that was sent at a time.
fn receive(segments: &[&str], sent_at: &str, event_id: i64) -> ReceivedDocument {
    let kind = if segments[0].starts_with("BCH") { "860" } else { "850" };
    let set: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
    let mut order = read_order(&interchange(kind, &[set]));
    order.origin.sent_at = Some(sent_at.to_owned());
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-09-30".to_owned() }
}

/// Folds an order with a change.
fn fold_change(order: &[&str], change: &[&str]) -> OrderState {
    let documents = [receive(order, "2026-09-12T10:00", 1), receive(change, "2026-09-14T10:00", 2)];
    fold_documents(&documents, ChangeQuantities::Total)
}

fn describe_rows(state: &OrderState) -> String {
    let rows = state.revisions.iter().map(|row| format!("{}: {}", row.outcome.as_str(), row.message));
    rows.collect::<Vec<_>>().join("\n")
}

/// A purpose whose effect is not certain changes nothing, and is never silent.
#[test]
fn uncertain_purpose_changes_nothing_and_is_flagged() {
    for purpose in ["02", "03", "16", "21", "24", "44", "46", "48", "77", "ZZ", "Q9"] {
        let rows: Rows = &[(UNCLEAR, "and its effect is not certain; it agrees with the order")];
        check(&[order(), DocumentSpec { purpose, ..order() }], UNCHANGED, rows);
        check(&[DocumentSpec { purpose, ..order() }, order()], UNCHANGED, rows);
        check(&[DocumentSpec { purpose, ..order() }], UNCHANGED, &[(UNCLEAR, "and the order itself did not")]);
        let rows: Rows =
            &[(UNCLEAR, "and its effect is not certain; it differs from the order: line 2: quantity 20 → 25")];
        check(&[order(), change(purpose, vec![line("QI", "2", "B2", "25")])], UNCHANGED, rows);
        let without_lines = DocumentSpec { purpose, lines: Vec::new(), ..order() };
        check(
            &[order(), without_lines],
            UNCHANGED,
            &[(UNCLEAR, "it differs from the order of event 1: line 1 removed")],
        );
    }
    let draft = DocumentSpec { purpose: "24", ..order() };
    let state = fold_documents(&[order().receive("x12", 1), draft.receive("x12", 2)], ChangeQuantities::Total);
    assert!(state.revisions[0].message.contains("its purpose is draft (24)"), "{}", describe_rows(&state));
    // An original without an answer is an order.
    check(&[DocumentSpec { purpose: "49", ..order() }], UNCHANGED, &[]);
    for purpose in ["01", "17"] {
        let cancellation = DocumentSpec { purpose, lines: Vec::new(), ..order() };
        check(&[order(), cancellation], ALL_CANCELLED, &[(APPLIED, "the order is cancelled")]);
    }
}

/// An order of the type confirmation or information copy was placed in another way.
#[test]
fn order_with_the_type_of_a_copy_is_flagged_or_agrees() {
    for kind in ["CF", "IN"] {
        let begin = BEGIN.replace("*SA*", &format!("*{kind}*"));
        let copy = receive(&[&begin, LINES[0], LINES[1]], "2026-09-13T10:00", 2);
        let alone = fold_documents(std::slice::from_ref(&copy), ChangeQuantities::Total);
        assert!(alone.attention().is_some(), "{kind}: {}", describe_rows(&alone));
        let first = receive(&[BEGIN, LINES[0], LINES[1]], "2026-09-12T10:00", 1);
        let both = fold_documents(&[first, copy], ChangeQuantities::Total);
        assert_eq!(both.attention(), None, "{kind}: {}", describe_rows(&both));
        assert_eq!(both.order.kind.as_deref(), Some("SA"));
    }
}

/// Senders of JSON write the number 1 for the code 01.
#[test]
fn codes_without_leading_zeros_are_read() {
    let file = json!({
        "Header": {
            "OrderHeader": {"TradingPartnerId": "ACMERETAIL", "PurchaseOrderNumber": "PO1", "TsetPurposeCode": 1},
            "Dates": [{"DateTimeQualifier": 2, "Date": "2026-12-01"}],
        },
        "LineItem": [{"OrderLine": {"LineSequenceNumber": "1", "OrderQty": 5, "OrderQtyUOM": "CA"}}],
    });
    let order = read_order(&file.to_string());
    assert_eq!((order.purpose.as_str(), order.dates[0].qualifier.as_str()), ("01", "002"));
    let short = receive(&[&BEGIN.replace("*00*", "*1*"), LINES[0]], "2026-09-12T10:00", 1);
    assert_eq!(short.order.purpose, "01");
    let information = interchange("850", &[vec![BEGIN.to_owned(), LINES[0].to_owned()]]).replace("*0*P*>", "*0*I*>");
    assert!(read_order(&information).is_test, "ISA15 I is no production");
}

/// A cancellation that states other quantities, or that changes a price, contradicts itself.
#[test]
fn cancellation_whose_lines_contradict_it_is_not_applied() {
    const OTHER: &str = "its purpose 01 cancels the order, but line 1 states 4 CA, and the order has 10 CA";
    let lines = |code| vec![line(code, "1", "A1", "4"), line(code, "2", "B2", "20"), line(code, "3", "C3", "30")];
    check(&[order(), DocumentSpec { purpose: "01", lines: lines(""), ..order() }], UNCHANGED, &[(UNCLEAR, OTHER)]);
    for code in ["CA", "NC", "DI"] {
        check(&[order(), change("01", lines(code))], UNCHANGED, &[(UNCLEAR, OTHER)]);
    }
    // A cancellation that repeats the order as it was first sent is certain, and the difference is reported.
    let raised = change("04", vec![line("QI", "1", "A1", "15")]);
    let rows: Rows = &[
        (APPLIED, "10 → 15"),
        (UNCLEAR, "applied, the order is cancelled; line 1 states 10 CA, and the order has 15 CA"),
    ];
    check(&[order(), raised, DocumentSpec { purpose: "01", ..order() }], ALL_CANCELLED, rows);
    let price = change("01", vec![with_price(line("PC", "1", "A1", "10"), "7"), line("NC", "2", "B2", "20")]);
    check(&[order(), price], UNCHANGED, &[(UNCLEAR, "one of its lines states PC 10 CA at 7")]);
    let left = vec![crate::support::order_documents::LineSpec { left: "6", ..line("CA", "1", "A1", "10") }];
    check_format("x12", &[order(), change("01", left)], UNCHANGED, &[(UNCLEAR, "line 1 states 6 CA left to receive")]);
}

/// The same order again, after its cancellation, is the newer order.
#[test]
fn order_sent_again_after_its_cancellation_is_open_and_flagged() {
    let segments = [BEGIN, LINES[0], LINES[1]];
    let first = receive(&segments, "2026-09-12T10:00", 1);
    let cancellation = receive(&["BCH*01*SA*PO1**1*20260912*****20260916"], "2026-09-16T10:00", 2);
    let again = receive(&segments, "2026-09-20T10:00", 3);
    let sequences = [[&first, &cancellation, &again], [&again, &first, &cancellation], [&cancellation, &again, &first]];
    for sequence in sequences {
        let state = fold_documents(&sequence.map(Clone::clone), ChangeQuantities::Total);
        assert_eq!(state.status, OrderStatus::Open, "{}", describe_rows(&state));
        assert!(state.attention().is_some(), "{}", describe_rows(&state));
        assert_eq!(state.event_id, Some(3));
    }
    let early = receive(&segments, "2026-09-14T10:00", 3);
    let state = fold_documents(&[first.clone(), early, cancellation.clone()], ChangeQuantities::Total);
    assert_eq!((state.status, state.attention()), (OrderStatus::Cancelled, None), "{}", describe_rows(&state));
    let last = receive(&["BCH*01*SA*PO1**1*20260912*****20260916"], "2026-09-22T10:00", 4);
    let state = fold_documents(&[first, cancellation, again, last], ChangeQuantities::Total);
    assert_eq!(state.status, OrderStatus::Cancelled, "{}", describe_rows(&state));
    // RSX states no time: the order stays cancelled, and a person must look at it.
    let again = DocumentSpec { control_number: "9", ..order() };
    let rows: Rows = &[
        (APPLIED, "the order is cancelled"),
        (UNCLEAR, "the order is cancelled (event 2), and it is not certain whether the repetition was sent later"),
    ];
    for format in ["rsx-xml", "rsx-json"] {
        check_format(format, &[order(), change("01", Vec::new()), again.clone()], ALL_CANCELLED, rows);
        let rows: Rows = &[(APPLIED, "the order is cancelled"), (NO_EFFECT, "repeats the order of event 1")];
        check_format(format, &[order(), change("01", Vec::new()), order()], ALL_CANCELLED, rows);
    }
}

/// Two ids of one line of a change that are those of two lines of the order contradict each other.
#[test]
fn ids_of_two_lines_are_a_contradiction() {
    for code in ["CA", "RZ", "RE", "QI", "DI"] {
        let foreign = format!("POC*1*{code}*60**CA*10**VN*A1*UP*222222222224");
        let state = fold_change(&[BEGIN, LINES[0], LINES[1]], &[BEGIN_CHANGE, &foreign]);
        let rows = describe_rows(&state);
        assert!(rows.contains("its ids name two lines: UP 222222222224 is line 2, the others are line 1"), "{rows}");
        assert_eq!(state.order.lines[0].upc(), Some("111111111117"), "{code}");
        assert!(state.attention().is_some());
    }
    // An id that no line has is a new one; a change of the quantity alone does not take it over.
    for (code, upc) in [("CA", "333333333331"), ("QI", "111111111117")] {
        let new = format!("POC*1*{code}*60**CA*10**VN*A1*UP*333333333331");
        let state = fold_change(&[BEGIN, LINES[0], LINES[1]], &[BEGIN_CHANGE, &new]);
        assert_eq!(state.order.lines[0].upc(), Some(upc), "{code}: {}", describe_rows(&state));
        assert_eq!(state.order.lines[0].quantity.as_deref(), Some("60"));
    }
}

/// A change replaces the part that it names. Where that is not certain, all parts stay.
#[test]
fn part_of_a_change_replaces_only_the_part_that_it_names() {
    let count = |header: &[&str], change: &str| {
        let order: Vec<&str> = [BEGIN].iter().chain(header).chain(&LINES).copied().collect();
        let state = fold_change(&order, &[BEGIN_CHANGE, change]);
        let order = &state.order;
        let count = order.addresses.len() + order.references.len() + order.allowances.len();
        (count, state.attention().is_some(), state)
    };
    let charges = ["SAC*A*D240***1000", "SAC*C*D240***500"];
    let (found, is_flagged, state) = count(&charges, "SAC*C*D240***600");
    assert_eq!((found, is_flagged), (2, false), "{}", describe_rows(&state));
    let stores = ["N1*BY*Store 1*92*0001", "N1*BY*Store 2*92*0002"];
    let (found, is_flagged, state) = count(&stores, "N1*BY*Store 2 new*92*0002");
    assert_eq!((found, is_flagged), (2, false), "{}", describe_rows(&state));
    assert_eq!(state.order.addresses[1].name.as_deref(), Some("Store 2 new"));
    let (found, is_flagged, state) = count(&["REF*ZZ*LOT1", "REF*ZZ*LOT2"], "REF*ZZ*LOT3");
    assert_eq!((found, is_flagged), (3, true), "{}", describe_rows(&state));
    let (found, is_flagged, state) = count(&["REF*ZZ*LOT1"], "REF*ZZ*LOT3");
    assert_eq!((found, is_flagged), (1, false), "{}", describe_rows(&state));
    let (_, _, state) = count(&["N1*ST*DC 12*92*0012", "N3*1 ROAD", "N4*COLUMBUS*OH*43215"], "N1*ST**92*0012");
    let address = &state.order.addresses[0];
    assert_eq!((address.name.as_deref(), address.lines.as_slice()), (Some("DC 12"), &["1 ROAD".to_owned()][..]));
    let line_stores = [BEGIN, LINES[0], "N1*ST*S1*92*0001", "N1*ST*S2*92*0002", LINES[1]];
    let state = fold_change(&line_stores, &[BEGIN_CHANGE, "POC*1*CT*50**CA*10**VN*A1", "N1*ST*S2 new*92*0002"]);
    assert_eq!(state.order.lines[0].addresses.len(), 2, "{}", describe_rows(&state));
    let kit = [BEGIN, LINES[0], "SLN*1**I*2*EA****VN*JAM", "SLN*2**I*1*EA****VN*HONEY", LINES[1]];
    let state = fold_change(&kit, &[BEGIN_CHANGE, "POC*1*CA*60**CA*10**VN*A1", "SLN*1**I*3*EA****VN*JAM"]);
    let quantities: Vec<_> =
        state.order.lines[0].components.iter().map(|component| component.quantity.as_deref()).collect();
    assert_eq!(quantities, [Some("3"), Some("1")], "{}", describe_rows(&state));
    let packed = [BEGIN, LINES[0], "PO4*12", LINES[1]];
    let state = fold_change(&packed, &[BEGIN_CHANGE, "POC*1*PC*50**CA*12**VN*A1", "PO4*24"]);
    let message = "PC does not change the pack: expected 12, found 24";
    assert!(describe_rows(&state).contains(message), "{}", describe_rows(&state));
}

/// A replacement cancels lines only if each of its own lines is one of the order.
#[test]
fn replacement_with_unknown_lines_deletes_nothing() {
    let unknown = change("05", vec![line("CA", "9", "Z9", "40")]);
    let rows: Rows = &[
        (UNCLEAR, "neither line 9 nor the goods VN Z9 are in the order"),
        (UNCLEAR, "leaves out line 1, line 2, line 3, but it states line 9, which the order does not have"),
    ];
    check(&[order(), unknown], UNCHANGED, rows);
    let rows: Rows = &[(UNCLEAR, "RZ replaces all values, but it states no price: the price stays 2")];
    let replaced = change("04", vec![line("RZ", "2", "B2", "25")]);
    check(&[order(), replaced], "A1 10 at 1, B2 25 at 2, C3 30 at 3", rows);
}

/// A number that is missing between two changes is reported until its change arrives.
#[test]
fn missing_change_is_reported() {
    let with = |sequence, changed_on, quantity| DocumentSpec {
        sequence,
        changed_on,
        ..change("04", vec![line("CA", "1", "A1", quantity)])
    };
    let (one, two, three) =
        (with("1", "2026-09-14", "12"), with("2", "2026-09-15", "14"), with("3", "2026-09-16", "16"));
    let rows: Rows =
        &[(APPLIED, "10 → 12"), (UNCLEAR, "change 2, with a number before this change"), (APPLIED, "12 → 16")];
    let expected = "A1 16 at 1, B2 20 at 2, C3 30 at 3";
    check(&[order(), one.clone(), three.clone()], expected, rows);
    for format in FORMATS {
        let documents = [order(), three.clone(), one.clone(), two.clone()];
        let received: Vec<_> = documents.iter().zip(1..).map(|(document, id)| document.receive(format, id)).collect();
        let state = fold_documents(&received, ChangeQuantities::Total);
        assert_eq!((describe_state(&state).as_str(), state.attention()), (expected, None), "{format}");
    }
}
