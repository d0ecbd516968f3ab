//! Several orders with one number, cancellations and copies, in X12, RSX in XML and RSX in JSON: what one document does
//! to another one follows from their purposes and dates, and what cannot be decided is flagged with both events.

use crate::support::order_documents::{
    APPLIED, DocumentSpec, FORMATS, LineSpec, NO_EFFECT, Rows, UNCHANGED, UNCLEAR, change, check, check_format, line,
    order, with_price,
};
use novex_ingest::internals::edi::revisions::{ChangeQuantities, OrderStatus, RevisionOutcome, fold_documents};

const ALL_CANCELLED: &str = "A1 cancelled, B2 cancelled, C3 cancelled";
const RENEWED: &str = "A1 15 at 1, D4 5 at 4";

/// Returns another order of the same number: other quantities, one line less, one line more.
fn renewed(purpose: &'static str, ordered_on: &'static str) -> DocumentSpec {
    let lines = vec![with_price(line("", "1", "A1", "15"), "1"), with_price(line("", "2", "D4", "5"), "4")];
    DocumentSpec { purpose, ordered_on, lines, ..order() }
}

#[test]
fn second_order_of_a_number_replaces_the_first_or_is_flagged() {
    const DIFFERENCES: &str = "line 1: quantity 10 → 15, line 2 added (VN D4, 5 CA), line 2 removed (VN B2, 20 CA)";
    check(&[order(), order()], UNCHANGED, &[(NO_EFFECT, "repeats the order of event 1")]);
    let sent_again = DocumentSpec { control_number: "8", ..order() };
    let sent_first = DocumentSpec { control_number: "7", ..order() };
    check(&[sent_first, sent_again], UNCHANGED, &[(NO_EFFECT, "repeats the order of event 1")]);
    // A replacement of the same or a later day is certain.
    for day in ["2026-09-12", "2026-09-14"] {
        check(&[order(), renewed("05", day)], RENEWED, &[(APPLIED, "replaces the order of event 1: ")]);
        check(&[renewed("05", day), order()], RENEWED, &[(APPLIED, "replaces the order of event 2: ")]);
    }
    check(&[order(), renewed("05", "2026-09-12")], RENEWED, &[(APPLIED, DIFFERENCES)]);
    check(
        &[order(), DocumentSpec { purpose: "05", ..order() }],
        UNCHANGED,
        &[(NO_EFFECT, "states the same as the order of event 1")],
    );
    // Two originals contradict each other, whatever their dates are.
    let newer: Rows = &[(UNCLEAR, "its date 2026-09-14 is newer than 2026-09-12")];
    check(&[order(), renewed("00", "2026-09-14")], RENEWED, newer);
    check(&[renewed("00", "2026-09-14"), order()], RENEWED, newer);
    for format in FORMATS {
        let same_day = [order().receive(format, 1), renewed("00", "2026-09-12").receive(format, 2)];
        let state = fold_documents(&same_day, ChangeQuantities::Total);
        let row = &state.revisions[0];
        assert!(row.message.contains("event 1,") && row.message.contains("event 2,"), "{format}: {}", row.message);
        assert!(state.attention().is_some(), "{format}");
    }
    let older: Rows = &[(UNCLEAR, "it is a replacement, although its date 2026-09-10 is older")];
    check(&[order(), renewed("05", "2026-09-10")], RENEWED, older);
    let twice = [renewed("05", "2026-09-14"), DocumentSpec { purpose: "05", ordered_on: "2026-09-14", ..order() }];
    for format in FORMATS {
        let received: Vec<_> =
            twice.iter().zip(1..).map(|(document, event_id)| document.receive(format, event_id)).collect();
        assert!(
            fold_documents(&received, ChangeQuantities::Total).attention().is_some(),
            "{format}: two replacements of one day"
        );
    }
}

/// An order that took the place of an earlier one contains the older changes.
#[test]
fn changes_before_and_after_a_replacement_are_distinguished() {
    const REPLACED: (RevisionOutcome, &str) = (APPLIED, "replaces the order of event 1");
    let on = |changed_on| DocumentSpec { changed_on, ..change("04", vec![line("QI", "1", "A1", "40")]) };
    let reissue = renewed("05", "2026-09-16");
    check(&[order(), on("2026-09-14"), reissue.clone()], RENEWED, &[REPLACED, (NO_EFFECT, "it is older: it is dated")]);
    let applied = "A1 40 at 1, D4 5 at 4";
    check(&[order(), on("2026-09-18"), reissue.clone()], applied, &[REPLACED, (APPLIED, "quantity 15 → 40")]);
    // Of one day, or if the replacement keeps the date of the order, it is not certain.
    let undecided: Rows = &[REPLACED, (UNCLEAR, "it is not certain whether the order contains it")];
    check(&[order(), on("2026-09-16"), reissue], RENEWED, undecided);
    let rows: Rows = &[
        REPLACED,
        (UNCLEAR, "applied, but it is not certain whether the order contains it"),
        (APPLIED, "quantity 15 → 40"),
    ];
    check(&[order(), on("2026-09-18"), renewed("05", "2026-09-12")], applied, rows);
    let gone = DocumentSpec { changed_on: "2026-09-16", ..change("04", vec![line("DI", "9", "Z9", "")]) };
    check(&[order(), gone, renewed("05", "2026-09-16")], RENEWED, &[REPLACED, (UNCLEAR, "neither line 9")]);
    let contained = change("04", vec![line("QI", "1", "A1", "15")]);
    check(
        &[order(), contained, renewed("05", "2026-09-12")],
        RENEWED,
        &[REPLACED, (NO_EFFECT, "the order contains it")],
    );
}

/// A number that a retailer uses again: the change states the order that it changes.
#[test]
fn change_of_another_order_is_not_applied() {
    let rows: Rows = &[
        (UNCLEAR, "contradict each other"),
        (UNCLEAR, "it changes the order of 2026-09-12 (event 1), and the order of 2027-03-01 (event 2) counts"),
    ];
    let late = DocumentSpec { changed_on: "2027-03-05", ..change("04", vec![line("QI", "1", "A1", "40")]) };
    check(&[order(), renewed("00", "2027-03-01"), late], RENEWED, rows);
    let early = DocumentSpec { changed_on: "2026-09-10", ..change("04", vec![line("QI", "1", "A1", "40")]) };
    check(&[order(), early], UNCHANGED, &[(UNCLEAR, "it is older than the order")]);
    let other = DocumentSpec { ordered_on: "2026-08-01", ..change("04", vec![line("QI", "1", "A1", "40")]) };
    let rows: Rows = &[(UNCLEAR, "applied, but it states the order date 2026-08-01"), (APPLIED, "quantity 10 → 40")];
    check(&[order(), other], "A1 40 at 1, B2 20 at 2, C3 30 at 3", rows);
}

#[test]
fn cancellation_with_lines_cancels_the_order() {
    let all = |code| vec![line(code, "1", "A1", "10"), line(code, "2", "B2", "20"), line(code, "3", "C3", "30")];
    let cancelled: Rows = &[(APPLIED, "the order is cancelled")];
    for code in ["CA", "NC", "DI"] {
        check(&[order(), change("01", all(code))], ALL_CANCELLED, cancelled);
    }
    check(&[order(), change("01", Vec::new())], ALL_CANCELLED, cancelled);
    check(&[order(), DocumentSpec { purpose: "01", ..order() }], ALL_CANCELLED, cancelled);
    let without_lines = DocumentSpec { purpose: "01", lines: Vec::new(), ..order() };
    check(&[without_lines.clone(), order()], ALL_CANCELLED, cancelled);
    // A deletion of a part contradicts the cancellation of the whole order.
    for lines in [
        vec![line("DI", "2", "B2", "20")],
        vec![line("DI", "1", "A1", "10"), line("CA", "2", "B2", "20"), line("CA", "3", "C3", "30")],
    ] {
        check(&[order(), change("01", lines)], UNCHANGED, &[(UNCLEAR, "delete only a part of the order")]);
    }
    let part = vec![line("DI", "1", "A1", "10"), line("DI", "2", "B2", "20"), line("DI", "3", "C3", "5")];
    check(&[order(), change("01", part)], UNCHANGED, &[(UNCLEAR, "line 3 states 5 CA, and the order has 30 CA")]);
    let raised = change("01", vec![line("QI", "2", "B2", "25")]);
    check(&[order(), raised], UNCHANGED, &[(UNCLEAR, "one of its lines states QI 25")]);
    let rows: Rows = &[(UNCLEAR, "applied, the order is cancelled; the cancellation does not state line 3")];
    check(&[order(), change("01", all("CA")[..2].to_vec())], ALL_CANCELLED, rows);
    let rows: Rows = &[(UNCLEAR, "applied, the order is cancelled; neither line 9")];
    check(&[order(), change("01", [all("CA"), vec![line("CA", "9", "Z9", "1")]].concat())], ALL_CANCELLED, rows);
    let twice = DocumentSpec { sequence: "2", ..change("01", Vec::new()) };
    let rows: Rows = &[(APPLIED, "the order is cancelled"), (UNCLEAR, "the order is cancelled already (event 2)")];
    check(&[order(), change("01", Vec::new()), twice], ALL_CANCELLED, rows);
    let late = DocumentSpec { sequence: "2", ..change("04", vec![line("QI", "1", "A1", "40")]) };
    let rows: Rows = &[(APPLIED, "the order is cancelled"), (UNCLEAR, "not applied: the order is cancelled (event 2)")];
    check(&[order(), change("01", Vec::new()), late], ALL_CANCELLED, rows);
    check(&[without_lines], "", &[(APPLIED, "cancelled"), (UNCLEAR, "only the cancellation arrived")]);
}

/// An order that is newer than its cancellation is open, and a person must look at it.
#[test]
fn order_after_its_cancellation_is_flagged() {
    let cancellation = change("01", Vec::new());
    let rows: Rows = &[(UNCLEAR, "it is older than the order")];
    check(&[cancellation.clone(), renewed("00", "2026-09-20")], RENEWED, rows);
    let reissue = renewed("05", "2026-09-20");
    let rows: Rows = &[(APPLIED, "replaces the order of event 1"), (UNCLEAR, "not applied: it is older")];
    check(&[order(), cancellation, reissue], RENEWED, rows);
    let rows: Rows = &[(APPLIED, "replaces"), (UNCLEAR, "dated 2026-09-20: the order stays open")];
    let cancelled_order = DocumentSpec { purpose: "01", lines: Vec::new(), ..order() };
    check(&[order(), cancelled_order.clone(), renewed("05", "2026-09-20")], RENEWED, rows);
    for format in FORMATS {
        let documents = [order(), cancelled_order.clone(), renewed("05", "2026-09-12")];
        let received: Vec<_> =
            documents.iter().zip(1..).map(|(document, event_id)| document.receive(format, event_id)).collect();
        let state = fold_documents(&received, ChangeQuantities::Total);
        assert_eq!(state.status, OrderStatus::Cancelled, "{format}: all of one day");
        assert!(state.attention().is_some(), "{format}");
    }
}

/// Confirmations, duplicates and information copies change nothing. They agree with the order, or it is flagged.
#[test]
fn copies_never_change_an_order() {
    for purpose in ["06", "07", "22"] {
        check(&[order(), DocumentSpec { purpose, ..order() }], UNCHANGED, &[(NO_EFFECT, "it agrees with the order")]);
        let rows: Rows = &[(UNCLEAR, "it differs from the order of event 1: line 1: quantity 10 → 15")];
        check(&[order(), renewed(purpose, "2026-09-12")], UNCHANGED, rows);
        let copy = |lines| DocumentSpec { sequence: "2", ..change(purpose, lines) };
        let rows: Rows = &[(UNCLEAR, "it differs from the order: line 2: quantity 20 → 25")];
        check(&[order(), copy(vec![line("QI", "2", "B2", "25")])], UNCHANGED, rows);
        let same = vec![with_price(line("CA", "2", "B2", "20"), "2")];
        check(&[order(), copy(same)], UNCHANGED, &[(NO_EFFECT, "it agrees with the order")]);
        check(&[order(), copy(vec![line("DI", "9", "Z9", "")])], UNCHANGED, &[(UNCLEAR, "neither line 9")]);
        let applied = change("04", vec![line("QI", "2", "B2", "25")]);
        let duplicate = DocumentSpec { purpose, ..applied.clone() };
        check(
            &[order(), duplicate, applied],
            "A1 10 at 1, B2 25 at 2, C3 30 at 3",
            &[(APPLIED, "quantity 20 → 25"), (NO_EFFECT, "it is a copy of the change of event 3")],
        );
        check(&[DocumentSpec { purpose, ..order() }], UNCHANGED, &[(UNCLEAR, "only a copy of the order arrived")]);
    }
}

/// A change without a date is as of the day on which it arrived.
#[test]
fn undated_change_is_as_of_its_arrival() {
    let quantity = |quantity| vec![LineSpec { quantity, ..line("CA", "1", "A1", "") }];
    let dated = DocumentSpec { sequence: "", ..change("04", quantity("12")) };
    let undated = DocumentSpec { sequence: "", changed_on: "", ..change("04", quantity("14")) };
    let rows: Rows = &[(APPLIED, "quantity 10 → 12"), (APPLIED, "quantity 12 → 14")];
    for documents in [[order(), dated.clone(), undated.clone()], [undated, dated, order()]] {
        check_format("x12", &documents, "A1 14 at 1, B2 20 at 2, C3 30 at 3", rows);
    }
    let by_request = DocumentSpec { sequence: "", ..change("04", quantity("12")) }.write("x12");
    let by_other = by_request.replace("*****20260914~", "****20260914~");
    assert_ne!(by_request, by_other);
    let file = novex_ingest::internals::edi::file::read_edi_file(by_other.as_bytes());
    assert_eq!(file.documents[0].order.as_ref().unwrap().changed_on.as_deref(), Some("2026-09-14"), "BCH10");
}

/// A number that repeats with other contents, and changes that nothing puts in a sequence.
#[test]
fn changes_without_a_certain_sequence_are_flagged() {
    let with = |sequence, changed_on, quantity| DocumentSpec {
        sequence,
        changed_on,
        ..change("04", vec![line("CA", "1", "A1", quantity)])
    };
    let rows: Rows = &[
        (APPLIED, "quantity 10 → 12"),
        (UNCLEAR, "its number 1 is also the number of the change of event 2, which has other contents"),
        (APPLIED, "quantity 12 → 14"),
    ];
    let expected = "A1 14 at 1, B2 20 at 2, C3 30 at 3";
    check(&[order(), with("1", "2026-09-14", "12"), with("1", "2026-09-15", "14")], expected, rows);
    for format in FORMATS {
        let documents = [order(), with("", "2026-09-14", "12"), with("", "2026-09-14", "14")];
        let received: Vec<_> =
            documents.iter().zip(1..).map(|(document, event_id)| document.receive(format, event_id)).collect();
        let state = fold_documents(&received, ChangeQuantities::Total);
        assert_eq!(state.order.lines[0].quantity.as_deref(), Some("10"), "{format}: neither is applied");
        let messages: Vec<&str> = state.revisions.iter().map(|row| row.message.as_str()).collect();
        assert!(messages.iter().any(|text| text.contains("comes before the change of event 2")), "{messages:?}");
        assert!(messages.iter().any(|text| text.contains("comes before the change of event 3")), "{messages:?}");
    }
    // Changes of different lines give the same order in either sequence.
    let other = DocumentSpec { sequence: "", ..change("04", vec![line("CA", "2", "B2", "22")]) };
    for documents in
        [[order(), with("", "2026-09-14", "12"), other.clone()], [order(), other, with("", "2026-09-14", "12")]]
    {
        for format in FORMATS {
            let received: Vec<_> =
                documents.iter().zip(1..).map(|(document, event_id)| document.receive(format, event_id)).collect();
            assert_eq!(fold_documents(&received, ChangeQuantities::Total).attention(), None, "{format}");
        }
    }
}
