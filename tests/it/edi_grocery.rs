//! Orders and changes of the grocery sets (875, 876) are purchase orders like those of an 850 and 860.

use crate::support::edi_files::{interchange, order_set};
use crate::support::grocery_documents::{grocery_file, grocery_order, read_order, receive_grocery};
use crate::support::order_documents::{APPLIED, NO_EFFECT, Rows, UNCLEAR};
use crate::support::outbound_documents::{home_with_order, receive_file};
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::revisions::{ChangeQuantities, OrderState, OrderStatus, fold_documents};
use serde_json::json;
use std::fs;

/// The order as it was, as [`describe_lines`] shows it.
const UNCHANGED: &str = "001061414100 40 at 18.5, 001061414200 10 at 20.25";

/// Returns the order with other segments in front of its first line.
fn order_with(segments: &[&'static str]) -> Vec<&'static str> {
    let mut order = grocery_order();
    order.splice(7..7, segments.iter().copied());
    order
}

/// Returns the lines of an order: UPC of the case, quantity and price, or `cancelled`.
fn describe_lines(state: &OrderState) -> String {
    let lines = state.order.lines.iter().zip(&state.line_statuses).map(|(line, status)| {
        let (case, text) = (line.gtin().unwrap_or("?"), |value: &Option<String>| value.clone().unwrap_or_default());
        match status {
            OrderStatus::Open => format!("{case} {} at {}", text(&line.quantity), text(&line.price)),
            _ => format!("{case} cancelled"),
        }
    });
    lines.collect::<Vec<_>>().join(", ")
}

/// Folds documents in each sequence of arrival, and compares the order and its history.
fn check_documents(documents: &[(&str, Vec<&str>)], expected: &str, rows: Rows) {
    let received: Vec<_> =
        documents.iter().zip(1..).map(|((kind, segments), id)| receive_grocery(kind, segments, id)).collect();
    let state = fold_documents(&received, ChangeQuantities::Total);
    let found: Vec<_> = state.revisions.iter().map(|row| (row.outcome, row.message.as_str())).collect();
    assert_eq!(describe_lines(&state), expected, "{documents:?}\n{found:#?}");
    assert_eq!(found.len(), rows.len(), "{documents:?}\n{found:#?}");
    for ((outcome, message), (expected, part)) in found.iter().zip(rows) {
        assert!(outcome == expected && message.contains(part), "{outcome:?} {message:?}, expected {part:?}");
    }
    assert_eq!(state.attention().is_some(), rows.iter().any(|(outcome, _)| *outcome == UNCLEAR), "{found:#?}");
    let mut reversed: Vec<_> = received.into_iter().rev().collect();
    let again = fold_documents(&reversed, ChangeQuantities::Total);
    assert_eq!(describe_lines(&again), expected, "in the reverse sequence of arrival");
    reversed.rotate_left(1);
    assert_eq!(
        describe_lines(&fold_documents(&reversed, ChangeQuantities::Total)),
        expected,
        "in another sequence of arrival"
    );
}

fn change(code: &str, lines: &[&'static str]) -> (&'static str, Vec<&'static str>) {
    let begin = format!("G92*{code}*20261124*UN-77").leak();
    ("876", [&[&*begin, "N1*ST*Grocer DC 5*9*0012345670005"], lines].concat())
}

fn check_change(code: &str, lines: &[&'static str], expected: &str, rows: Rows) {
    check_documents(&[("875", grocery_order()), change(code, lines)], expected, rows);
}

#[test]
fn order_has_its_header_parties_and_terms() {
    let order = read_order(&grocery_file(
        "875",
        &order_with(&[
            "G61*BD*Ada*TE*555-0100*Q9",
            "G62*10*20261130*1*0830*ET",
            "NTE*DEL*Ring the bell",
            "G66*PP*M***Overnight via Reno*OR*Columbus",
            "G72*504*06*FR-1*****2550",
            "G73*Fuel",
            "G73*Winter",
        ]),
    ));
    assert_eq!((order.number.as_str(), order.purpose.as_str(), order.kind.as_deref()), ("UN-77", "N", Some("SA")));
    assert_eq!((order.ordered_on.as_deref(), order.vendor.as_deref()), (Some("2026-11-24"), Some("V-501")));
    assert_eq!((order.is_change, order.is_test, order.partner.as_str()), (false, false, "ACMERETAIL"));
    assert_eq!(order.origin.transaction_set, "875");
    let terms = &order.terms[0];
    assert_eq!((terms.discount_days.as_deref(), terms.net_days.as_deref()), (Some("10"), Some("30")));
    let value = json!(order);
    let contact = &value["contacts"][0];
    assert_eq!((contact["kind"].as_str(), contact["phone"].as_str()), (Some("BD"), Some("555-0100")));
    let dates: Vec<_> = order.dates.iter().map(|date| (date.qualifier.as_str(), date.time.as_deref())).collect();
    assert_eq!(dates, [("02", None), ("10", Some("08:30"))]);
    let (carrier, freight) = (&order.carriers[0], &order.instructions[0]);
    assert_eq!((carrier.method.as_deref(), carrier.routing.as_deref()), (Some("M"), Some("Overnight via Reno")));
    assert_eq!((freight.code.as_deref(), freight.description.as_deref()), (Some("PP"), Some("Columbus")));
    let charge = &order.allowances[0];
    assert_eq!((charge.kind.as_str(), charge.amount.as_deref()), ("C", Some("25.5")));
    assert_eq!((charge.handling.as_deref(), charge.description.as_deref()), (Some("06"), Some("Fuel, Winter")));
    assert_eq!(order.notes, ["Ring the bell"]);
    assert_eq!(order.addresses[0].city.as_deref(), Some("Dayville"));
    let extras: Vec<_> = order.extras.iter().map(|extra| (extra.location.as_str(), extra.value.as_str())).collect();
    let expected = [("G6105", "Q9"), ("G6203", "1"), ("NTE01", "DEL"), ("G6606", "OR"), ("G7203", "FR-1")];
    assert!(expected.iter().all(|extra| extras.contains(extra)), "{extras:?}");
    assert_eq!(order.findings, [""; 0]);
}

#[test]
fn line_has_its_goods_price_pack_locations_and_components() {
    let mut segments = grocery_order();
    segments.splice(
        10..10,
        [
            "G70*12*10*OZ*****BROWN**6",
            "N9*PD*PROMO-4",
            "G72*53*02***0.5",
            "N1*SN*Store 12*92*0012",
            "QTY*01*25*CA",
            "N9*ST*S-12",
            "N1*SN**92*0013",
            "QTY*01*15*CA",
            "SLN*1**I*6*EA*1.25***VN*A1-S",
            "G72*52*02****10*CA*500",
        ],
    );
    let order = read_order(&grocery_file("875", &segments));
    let line = &order.lines[0];
    let ids: Vec<_> = line.ids.iter().map(|id| (id.qualifier.as_str(), id.value.as_str())).collect();
    assert_eq!(ids, [("UA", "001061414100"), ("VN", "A1"), ("UP", "106141410001")]);
    assert_eq!((line.gtin(), line.upc(), line.vendor_item()), (Some("001061414100"), Some("106141410001"), Some("A1")));
    assert_eq!((line.quantity.as_deref(), line.unit.as_deref()), (Some("40"), Some("CA")));
    assert_eq!((line.price.as_deref(), line.exact_amount().unwrap().to_string()), (Some("18.5"), "740.0".to_owned()));
    assert_eq!((line.pack.as_deref(), line.pack_size.as_deref()), (Some("12"), Some("10 OZ")));
    assert_eq!(line.description.as_deref(), Some("Strawberry jam"));
    let places: Vec<_> =
        line.schedules.iter().map(|part| (part.location.as_deref().unwrap(), part.quantity.as_str())).collect();
    assert_eq!(places, [("0012", "25"), ("0013", "15")]);
    let references: Vec<_> =
        line.references.iter().map(|part| (part.qualifier.as_str(), part.address.as_deref())).collect();
    assert_eq!(references, [("PD", None), ("ST", Some("SN 0012"))]);
    assert_eq!((line.allowances[0].kind.as_str(), line.allowances[0].rate.as_deref()), ("A", Some("0.5")));
    let component = &line.components[0];
    assert_eq!((component.quantity.as_deref(), component.allowances[0].amount.as_deref()), (Some("6"), Some("5")));
    // A second G70 is another level of the pack.
    let extras: Vec<_> = line.extras.iter().map(|extra| (extra.location.as_str(), extra.value.as_str())).collect();
    assert!(extras.contains(&("G70", "12*10*OZ*****BROWN**6")), "{extras:?}");
    assert_eq!((order.lines[1].ids.len(), order.lines[1].extras.len()), (2, 0));
}

/// Totals that the lines do not have are findings with both figures.
#[test]
fn totals_and_locations_that_do_not_fit_are_findings() {
    let with_totals = |totals: &'static str| {
        let mut segments = grocery_order();
        segments.pop();
        segments.extend((!totals.is_empty()).then_some(totals));
        file::read_edi_file(grocery_file("875", &segments).as_bytes())
    };
    let cases: [(&str, &[&str], usize); 6] = [
        ("G76*50*CA*120*LB*3*CF*7*94250", &[], 0),
        ("G76*51*CA", &["the quantities add up to 50, G7601 states \"51\""], 1),
        ("G76*50*CA******942.50", &[], 1),
        ("G76*50*CA******94200", &["the lines add up to 942.5, G7608 states \"942\""], 1),
        ("G76*many*CA", &[], 1),
        ("", &[], 1),
    ];
    for (totals, findings, faults) in cases {
        let file = with_totals(totals);
        let order = file.documents[0].order.as_ref().unwrap();
        assert_eq!(
            (order.findings.as_slice(), file.documents[0].faults.len()),
            (findings.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().as_slice(), faults),
            "{totals}: {:?}",
            file.documents[0].faults
        );
    }
    // A rate per unit, off the invoice, may be part of the total.
    let mut segments = grocery_order();
    segments.insert(10, "G72*53*02***0.5");
    *segments.last_mut().unwrap() = "G76*50*CA******92250";
    assert_eq!(read_order(&grocery_file("875", &segments)).findings, [""; 0]);
    segments.insert(11, "N1*SN**92*0012");
    segments.insert(12, "QTY*01*30*CA");
    let order = receive_grocery("875", &segments, 1);
    let attention = fold_documents(&[order], ChangeQuantities::Total).attention().unwrap();
    assert!(
        attention.contains("the quantities of the locations add up to 30 CA, the line states 40 CA"),
        "{attention}"
    );
}

/// A change states new values; a quantity of 0 deletes the line.
#[test]
fn change_states_new_values_and_zero_deletes() {
    check_change(
        "CA",
        &["G68*45*CA*18.5*001061414100*VN*A1", "G68*10*CA*20.25*001061414200*VN*B2"],
        "001061414100 45 at 18.5, 001061414200 10 at 20.25",
        &[(APPLIED, "quantity 40 → 45"), (NO_EFFECT, "it changes nothing")],
    );
    check_change(
        "CA",
        &["G68*0*CA**001061414200"],
        "001061414100 40 at 18.5, 001061414200 cancelled",
        &[(APPLIED, "line #2 deleted")],
    );
    check_change(
        "AI",
        &["G68*5*CA*9*001061414300*VN*C3"],
        "001061414100 40 at 18.5, 001061414200 10 at 20.25, 001061414300 5 at 9",
        &[(APPLIED, "added: 5 CA")],
    );
    check_change("CF", &[], "001061414100 cancelled, 001061414200 cancelled", &[(APPLIED, "the order is cancelled")]);
    check_change("CD", &[], UNCHANGED, &[(UNCLEAR, "the change changes nothing")]);
    let mut dated = change("CD", &[]);
    dated.1.insert(1, "G62*02*20261204");
    check_documents(
        &[("875", grocery_order()), dated],
        UNCHANGED,
        &[(APPLIED, "delivery requested (02) 2026-12-01 → 2026-12-04")],
    );
}

/// What contradicts the order, its code or the standard is never applied.
#[test]
fn change_that_contradicts_is_flagged() {
    let cases: [(&str, &'static str, Rows); 7] = [
        ("CA", "G68*5*CA*9*001061414300*VN*C3", &[(UNCLEAR, "no line has the goods UA 001061414300, VN C3")]),
        ("PC", "G68*45*CA*18.5*001061414100", &[(UNCLEAR, "the quantity: expected 40, found 45")]),
        ("PC", "G68*0*CA*18.5*001061414100", &[(UNCLEAR, "the quantity: expected 40, found 0")]),
        ("QD", "G68*45*CA*18.5*001061414100", &[(UNCLEAR, "QD means a decrease")]),
        ("AI", "G68*40*CA*18.5*001061414100", &[(UNCLEAR, "the order has line #1 already")]),
        ("OC", "G68*45*CA*18.5*001061414100", &[(UNCLEAR, "does not know the change code OC")]),
        ("CA", "POC*1*CA*45**CA", &[(UNCLEAR, "a G68 segment in an 876, found POC")]),
    ];
    for (code, line, rows) in cases {
        check_change(code, &[line], UNCHANGED, rows);
    }
    let other_day = ("876", vec!["G92*CA*20261123*UN-77", "G68*45*CA**001061414100"]);
    check_documents(
        &[("875", grocery_order()), other_day],
        "001061414100 45 at 18.5, 001061414200 10 at 20.25",
        &[(UNCLEAR, "it states the order date 2026-11-23"), (APPLIED, "quantity 40 → 45")],
    );
    let misplaced = [order_set("PO1", 1), vec!["G68*40*CA".to_owned()]].concat();
    let misplaced = read_order(&interchange("850", &[misplaced]));
    assert_eq!(misplaced.lines[1].change.as_deref(), Some("G68"));
}

/// The status of an order has the effect of the purpose with the same meaning.
#[test]
fn order_status_decides_what_a_second_order_does() {
    let second = |status: &str| {
        let mut segments = grocery_order();
        segments[0] = format!("G50*{status}*20261124*UN-77****SA").leak();
        segments[7] = "G68*44*CA*18.5*001061414100*VN*A1*UP*106141410001";
        segments.pop();
        segments.push("G76*54*CA");
        ("875", segments)
    };
    let changed = "001061414100 44 at 18.5, 001061414200 10 at 20.25";
    let cases: [(&str, &str, Rows); 6] = [
        ("T", changed, &[(APPLIED, "replaces the order of event 1")]),
        ("C", UNCHANGED, &[(UNCLEAR, "it differs from the order of event 1")]),
        ("A", UNCHANGED, &[(UNCLEAR, "it differs from the order of event 1")]),
        ("F", UNCHANGED, &[(UNCLEAR, "line #1 states 44 CA, and the order has 40 CA")]),
        ("X", UNCHANGED, &[(UNCLEAR, "it is a test and the order is not")]),
        ("N", changed, &[(UNCLEAR, "contradict each other")]),
    ];
    for (status, expected, rows) in cases {
        check_documents(&[("875", grocery_order()), second(status)], expected, rows);
    }
    let mut cancellation = grocery_order();
    cancellation[0] = "G50*F*20261124*UN-77****SA";
    let cancelled = "001061414100 cancelled, 001061414200 cancelled";
    check_documents(
        &[("875", grocery_order()), ("875", cancellation)],
        cancelled,
        &[(APPLIED, "the order is cancelled")],
    );
    for status in ["D", "G", "L", "R", "Q"] {
        let documents: Vec<_> = [("875", grocery_order()), second(status)]
            .iter()
            .zip(1..)
            .map(|((kind, segments), id)| receive_grocery(kind, segments, id))
            .collect();
        let state = fold_documents(&documents, ChangeQuantities::Total);
        let is_flagged = state
            .revisions
            .iter()
            .any(|row| row.outcome == UNCLEAR && row.message.contains("its effect is not certain"));
        assert!(
            describe_lines(&state) == UNCHANGED && is_flagged && state.status == OrderStatus::Open,
            "{:#?}",
            state.revisions
        );
    }
}

/// A set that lacks what an order needs is rejected, and the partner learns it.
#[test]
fn faulty_sets_are_rejected_with_the_place() {
    let cases: [(&[&str], &str); 5] = [
        (&["G50*N*20261124", "G68*1*CA**001061414100"], "the purchase order number is missing"),
        (&["G50**20261124*UN-77", "G68*1*CA**001061414100"], "the order status is missing"),
        (&["G50*N*20261124*UN-77"], "there is no G68: the order has no lines"),
        (&["G68*1*CA**001061414100"], "there is no G50: the order number is not known"),
        (&["G50*N*20261124*UN-77", "G68*ten*CA**001061414100"], "the quantity is \"ten\", which is not a number"),
    ];
    for (segments, message) in cases {
        let file = file::read_edi_file(grocery_file("875", segments).as_bytes());
        assert!(file.documents[0].order.is_none() && file.has_unread_part(), "{segments:?}");
        assert!(file.all_faults().any(|fault| fault.message == message), "{:?}", file.documents[0].faults);
    }
    let whole = grocery_file("875", &grocery_order());
    let cut = whole.split_inclusive('\n').take(8).collect::<String>();
    assert!(file::read_edi_file(cut.as_bytes()).has_unread_part(), "a file that ends inside the set");
    let mut second = grocery_order();
    second.insert(1, "G50*N*20261124*UN-78");
    let file = file::read_edi_file(grocery_file("875", &second).as_bytes());
    assert!(file.all_faults().any(|fault| fault.message.starts_with("a second G50")), "{:?}", file.documents[0].faults);
    let placeholder = ["G50*N*20261124*UN-77", "G68*1*CA**000000000000*VN*A1", "G76*1*CA"];
    let order = read_order(&grocery_file("875", &placeholder));
    assert_eq!((order.lines[0].ids.len(), order.lines[0].extras[0].location.as_str()), (1, "G6804"));
}

/// The order goes the whole way: stored, printed, acknowledged in its group and version, and changed.
#[test]
fn order_is_stored_printed_acknowledged_and_changed() {
    let home = home_with_order(&grocery_file("875", &grocery_order()));
    assert_eq!(
        home.sql("SELECT po_number, status, vendor, lines_total, stated_total, attention IS NULL FROM purchase_orders"),
        "UN-77|open|V-501|942.5|942.5|1"
    );
    assert_eq!(
        home.sql("SELECT quantity, unit, price, gtin, upc, vendor_item, pack FROM purchase_order_lines ORDER BY position LIMIT 1"),
        "40|CA|18.5|001061414100|106141410001|A1|12"
    );
    assert_eq!(home.sql("SELECT topic, status FROM webhook_events ORDER BY id LIMIT 1"), "875|completed");
    let shown = home.run_ok(&["sps", "show", "UN-77"]);
    for part in [
        "original (N)",
        "delivery requested (02)",
        "UPC of the case 001061414100 (UA)",
        "Grocer DC 5",
        "    #2         10 case",
        "942.5",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    home.run_ok(&["work", "--once"]);
    let answer = fs::read_dir(home.path("out")).unwrap().next().unwrap().unwrap().path();
    let answer = fs::read_to_string(answer).unwrap();
    for part in ["*004010UCS~", "AK1*OG*7~", "AK2*875*0001~", "AK5*A~", "AK9*A*1*1*1~"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let (_, lines) = change("CA", &["G68*0*CA**001061414200", "G68*45*CA**001061414100"]);
    receive_file(&home, &grocery_file("876", &lines));
    assert_eq!(
        home.sql("SELECT quantity || ' ' || status FROM purchase_order_lines ORDER BY position"),
        "45 open\n10 cancelled"
    );
    assert_eq!(home.sql("SELECT count(*) FROM edi_messages"), "0", "it is no document for a person");
}
