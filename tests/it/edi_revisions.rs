//! Changes of purchase orders, in X12, RSX in XML and RSX in JSON: what contradicts the order, itself or another
//! document is never applied without a report.

use crate::support::order_documents::{
    APPLIED, DocumentSpec, FORMATS, LineSpec, NO_EFFECT, Rows, UNCHANGED, UNCLEAR, change, check, check_format,
    describe_state, line, order, with_price,
};
use novex_ingest::internals::edi::revisions::{ChangeQuantities, fold_documents};

fn check_lines(lines: Vec<LineSpec>, expected: &str, rows: Rows) {
    check(&[order(), change("04", lines)], expected, rows);
}

/// Many senders number the lines again in each document: the goods identify the line.
#[test]
fn goods_identify_the_line_and_a_contradicting_number_is_flagged() {
    check_lines(
        vec![line("DI", "1", "C3", "30")],
        "A1 10 at 1, B2 20 at 2, C3 cancelled",
        &[(UNCLEAR, "applied, line 3 deleted; line 1 is VN A1, but the change names the goods VN C3")],
    );
    check_lines(
        vec![line("QI", "9", "B2", "25")],
        "A1 10 at 1, B2 25 at 2, C3 30 at 3",
        &[(UNCLEAR, "applied, quantity 20 → 25; line 9 is not in the order")],
    );
    // Goods that no line has identify nothing, and the number does not either.
    check_lines(
        vec![line("CA", "1", "Z9", "15")],
        UNCHANGED,
        &[(UNCLEAR, "line 1 is VN A1, and no line has the goods")],
    );
    check_lines(vec![line("DI", "7", "Z9", "")], UNCHANGED, &[(UNCLEAR, "neither line 7 nor the goods VN Z9")]);
    check_lines(vec![line("DI", "7", "", "")], UNCHANGED, &[(UNCLEAR, "it has 3 lines, 1 to 3")]);
    check_lines(vec![line("DI", "", "", "")], UNCHANGED, &[(UNCLEAR, "neither a line number nor goods")]);
    // The number alone, the goods alone, and both are certain.
    let rows: Rows = &[(APPLIED, "quantity 20 → 25")];
    for (number, goods) in [("2", ""), ("", "B2"), ("002", "B2")] {
        check_lines(vec![line("QI", number, goods, "25")], "A1 10 at 1, B2 25 at 2, C3 30 at 3", rows);
    }
}

/// A change that changes nothing, or something that its code does not change, is never applied.
#[test]
fn change_that_contradicts_its_code_or_changes_nothing_is_flagged() {
    let cases: [(LineSpec, Rows); 13] = [
        (line("QD", "2", "B2", "20"), &[(UNCLEAR, "QD means a decrease, but the order has 20 already")]),
        (line("QI", "2", "B2", "20"), &[(UNCLEAR, "QI means an increase, but the order has 20 already")]),
        (line("QI", "2", "B2", "5"), &[(UNCLEAR, "20 → 5 is none; if this partner sends differences")]),
        (line("QD", "2", "B2", ""), &[(UNCLEAR, "QD states no quantity")]),
        (line("QD", "2", "B2", "-5"), &[(UNCLEAR, "less than zero")]),
        (with_price(line("PC", "2", "B2", "20"), "2.00"), &[(UNCLEAR, "PC means another price, but the order has 2")]),
        (line("PC", "2", "B2", ""), &[(UNCLEAR, "PC means another price, but it states none")]),
        (with_price(line("PC", "2", "B2", "25"), "3"), &[(UNCLEAR, "the quantity: expected 20, found 25")]),
        (
            with_price(line("QI", "2", "B2", "25"), "3"),
            &[(UNCLEAR, "QI does not change the price: expected 2, found 3")],
        ),
        (with_price(line("CA", "2", "B2", "20"), "2"), &[(UNCLEAR, "the order has these values already")]),
        (with_price(line("RZ", "2", "B2", ""), "2"), &[(UNCLEAR, "RZ replaces all values, but it states no quantity")]),
        (line("DI", "2", "B2", "5"), &[(UNCLEAR, "it states 5, and the order has 20")]),
        (line("XX", "2", "B2", "5"), &[(UNCLEAR, "does not know the change code XX")]),
    ];
    for (line, rows) in cases {
        check_lines(vec![line], UNCHANGED, rows);
    }
    // A header that states what is already so.
    let header = DocumentSpec { department: "10", vendor: "V1", control_number: "8", ..change("04", Vec::new()) };
    check(&[order(), header], UNCHANGED, &[(UNCLEAR, "the change changes nothing")]);
    let unchanged = with_price(line("NC", "2", "B2", "20"), "2");
    check_lines(vec![unchanged], UNCHANGED, &[(NO_EFFECT, "no change"), (UNCLEAR, "the change changes nothing")]);
    check_lines(
        vec![line("NC", "2", "B2", "25"), line("QI", "1", "A1", "11")],
        "A1 11 at 1, B2 20 at 2, C3 30 at 3",
        &[(UNCLEAR, "it states no change, but it differs from the order: quantity 20 → 25"), (APPLIED, "10 → 11")],
    );
}

/// Lines that exist are not added again, and lines that are gone are not deleted or changed.
#[test]
fn added_and_deleted_lines_fit_the_order_or_are_flagged() {
    let cases: [(LineSpec, Rows); 4] = [
        (line("AI", "1", "Z9", "5"), &[(UNCLEAR, "AI adds VN Z9, but line 1 exists and is VN A1")]),
        (line("AI", "1", "A1", "15"), &[(UNCLEAR, "AI adds a line with 15, but the order has line 1 with 10")]),
        (line("AI", "1", "A1", "10"), &[(UNCLEAR, "the order has line 1 already")]),
        (line("AI", "4", "A1", "10"), &[(UNCLEAR, "line 1 has the same goods and quantity")]),
    ];
    for (line, rows) in cases {
        check_lines(vec![line], UNCHANGED, rows);
    }
    let added = with_price(line("AI", "4", "D4", "5"), "4");
    check_lines(vec![added], "A1 10 at 1, B2 20 at 2, C3 30 at 3, D4 5 at 4", &[(APPLIED, "added: 5 CA")]);
    let next = |lines| DocumentSpec { sequence: "2", changed_on: "2026-09-15", ..change("04", lines) };
    let gone: [(&str, Rows); 3] = [
        ("DI", &[(APPLIED, "line 2 deleted"), (UNCLEAR, "line 2 is cancelled already")]),
        ("CA", &[(APPLIED, "line 2 deleted"), (UNCLEAR, "line 2 is cancelled, and CA changes it")]),
        ("QI", &[(APPLIED, "line 2 deleted"), (UNCLEAR, "line 2 is cancelled, and QI changes it")]),
    ];
    for (code, rows) in gone {
        let again = next(vec![line(code, "2", "B2", "")]);
        check(
            &[order(), change("04", vec![line("DI", "2", "B2", "")]), again],
            "A1 10 at 1, B2 cancelled, C3 30 at 3",
            rows,
        );
    }
    let again = next(vec![with_price(line("AI", "2", "B2", "7"), "2")]);
    check(
        &[order(), change("04", vec![line("DI", "2", "B2", "")]), again],
        "A1 10 at 1, B2 7 at 2, C3 30 at 3",
        &[(APPLIED, "line 2 deleted"), (APPLIED, "line 2 added again: 7 CA")],
    );
}

/// Lines of one change that state different values for one line cancel each other out.
#[test]
fn change_that_contradicts_itself_is_not_applied() {
    let twice: Rows = &[(UNCLEAR, "line 2 more than once, with different values"), (UNCLEAR, "more than once")];
    check_lines(vec![line("QI", "2", "B2", "25"), line("QI", "2", "B2", "30")], UNCHANGED, twice);
    check_lines(vec![line("QI", "2", "", "25"), line("DI", "", "B2", "")], UNCHANGED, twice);
    check_lines(vec![line("CA", "2", "B2", "25"), line("CA", "1", "B2", "30")], UNCHANGED, twice);
    check_lines(
        vec![line("AI", "4", "D4", "5"), line("AI", "4", "D4", "6")],
        UNCHANGED,
        &[(UNCLEAR, "the new line 4 more than once"), (UNCLEAR, "more than once")],
    );
    // The same line stated twice, or in two parts, is no contradiction.
    check_lines(
        vec![line("QI", "2", "B2", "25"), line("QI", "2", "B2", "25")],
        "A1 10 at 1, B2 25 at 2, C3 30 at 3",
        &[(APPLIED, "quantity 20 → 25"), (NO_EFFECT, "repeats line 2 of the same change")],
    );
    check_lines(
        vec![line("QI", "2", "B2", "25"), with_price(line("PC", "2", "B2", ""), "3")],
        "A1 10 at 1, B2 25 at 3, C3 30 at 3",
        &[(APPLIED, "quantity 20 → 25"), (APPLIED, "price 2 → 3")],
    );
}

/// POC04 is the quantity left to receive. Some partners write the old quantity into POC03 and the new one into POC04.
#[test]
fn stated_quantities_agree_or_are_flagged() {
    let left = |code, quantity, left| vec![LineSpec { left, ..line(code, "2", "B2", quantity) }];
    let cases: [(Vec<LineSpec>, &str, Rows); 5] = [
        (left("QD", "20", "12"), UNCHANGED, &[(UNCLEAR, "20 ordered and 12 left to receive, the order has 20")]),
        (left("CA", "20", "12"), UNCHANGED, &[(UNCLEAR, "20 ordered and 12 left to receive")]),
        (left("QI", "5", "25"), UNCHANGED, &[(UNCLEAR, "5 ordered and 25 left to receive, the order has 20")]),
        (left("QD", "15", "15"), "A1 10 at 1, B2 15 at 2, C3 30 at 3", &[(APPLIED, "quantity 20 → 15")]),
        (
            left("QD", "15", "9"),
            "A1 10 at 1, B2 15 at 2, C3 30 at 3",
            &[(UNCLEAR, "applied, quantity 20 → 15; it states")],
        ),
    ];
    for (lines, expected, rows) in cases {
        check_format("x12", &[order(), change("04", lines)], expected, rows);
    }
    let deleted = left("DI", "20", "12");
    check_format("x12", &[order(), change("04", deleted)], UNCHANGED, &[(UNCLEAR, "12 is left to receive")]);
    for format in ["rsx-xml", "rsx-json"] {
        let before = |before| vec![LineSpec { before, ..line("QI", "2", "B2", "25") }];
        let rows: Rows = &[(UNCLEAR, "it changes a quantity of 15, but the order has 20")];
        check_format(format, &[order(), change("04", before("15"))], UNCHANGED, rows);
        let expected = "A1 10 at 1, B2 25 at 2, C3 30 at 3";
        check_format(format, &[order(), change("04", before("20"))], expected, &[(APPLIED, "quantity 20 → 25")]);
    }
}

/// Some partners write the new quantity into POC04, and the old one, the new one or the difference into POC03.
#[test]
fn quantity_left_is_the_new_one_for_a_partner_that_means_it() {
    let fold = |code, quantity, left| {
        let lines = vec![LineSpec { left, ..line(code, "2", "B2", quantity) }];
        let received = [order().receive("x12", 1), change("04", lines).receive("x12", 2)];
        fold_documents(&received, ChangeQuantities::Left)
    };
    for (code, quantity, left, wanted) in [
        ("QD", "20", "12", "B2 12 at 2"),
        ("QD", "12", "12", "B2 12 at 2"),
        ("QD", "8", "12", "B2 12 at 2"),
        ("QI", "20", "25", "B2 25 at 2"),
        ("QI", "5", "25", "B2 25 at 2"),
        ("CA", "20", "12", "B2 12 at 2"),
        ("QD", "12", "", "B2 12 at 2"),
        ("DI", "20", "0", "B2 cancelled"),
    ] {
        let state = fold(code, quantity, left);
        assert_eq!(describe_state(&state), format!("A1 10 at 1, {wanted}, C3 30 at 3"), "{code} {quantity} {left}");
        assert_eq!(state.attention(), None, "{code} {quantity} {left}");
    }
    for (code, quantity, left, reason) in [
        ("QD", "19", "12", "it changes a quantity of 19, but the order has 20"),
        ("QI", "20", "12", "QI means an increase, but 20 → 12 is none"),
        ("DI", "19", "0", "DI deletes a quantity of 19, but the order has 20"),
        ("DI", "20", "12", "DI deletes the line, but it states 12"),
        ("PC", "20", "12", "PC does not change the quantity: expected 20, found 12"),
    ] {
        let state = fold(code, quantity, left);
        assert_eq!(describe_state(&state), UNCHANGED, "{code} {quantity} {left}");
        assert!(state.revisions[0].message.contains(reason), "{code}: {}", state.revisions[0].message);
    }
    let added = fold_documents(
        &[
            order().receive("x12", 1),
            change("04", vec![LineSpec { left: "7", ..line("AI", "4", "D4", "0") }]).receive("x12", 2),
        ],
        ChangeQuantities::Left,
    );
    assert_eq!(added.order.lines[3].quantity.as_deref(), Some("7"));
    assert_eq!(added.attention(), None);
}

/// A line of an order in a change, and a line of a change in an order, are in the history and not in the order.
#[test]
fn line_of_the_wrong_segment_is_flagged() {
    let mut wrong_change = change("04", vec![line("QI", "1", "A1", "11")]);
    wrong_change.lines.push(line("", "2", "B2", "25"));
    let rows: Rows = &[(APPLIED, "quantity 10 → 11"), (UNCLEAR, "must be a POC segment")];
    check_format("x12", &[order(), wrong_change], "A1 11 at 1, B2 20 at 2, C3 30 at 3", rows);
    let mut wrong_order = order();
    wrong_order.lines.push(line("AI", "4", "D4", "5"));
    check_format("x12", &[wrong_order], UNCHANGED, &[(UNCLEAR, "must be a PO1 segment")]);
}

/// The history states the values of the header that differ, and the department and the vendor follow a change.
#[test]
fn header_of_a_change_replaces_department_and_vendor() {
    let header = DocumentSpec { department: "12", vendor: "V2", ..change("04", vec![line("QI", "1", "A1", "11")]) };
    for format in FORMATS {
        let state = fold_documents(&[order().receive(format, 1), header.receive(format, 2)], ChangeQuantities::Total);
        let stated = (state.order.department.as_deref(), state.order.vendor.as_deref());
        assert_eq!(stated, (Some("12"), Some("V2")), "{format}");
        let messages: Vec<&str> = state.revisions.iter().map(|row| row.message.as_str()).collect();
        assert_eq!(messages, ["department 10 → 12, vendor V1 → V2", "quantity 10 → 11"], "{format}");
    }
}
